local statistics = require "hone.bench.statistics"
local tensor = require "hone.tensor"

local function near(expected, got, tolerance)
  assert.is_true(
    math.abs(expected - got) <= (tolerance or 1e-9) * math.max(1, math.abs(expected)),
    ("%.15g expected, got %.15g"):format(expected, got)
  )
end

local function normal_list(n, seed)
  return tensor.randn(n, { generator = tensor.generator(seed), dtype = "float64" }):tolist()
end

describe("hone.bench.statistics", function()
  it("takes the middle of odd and even lists", function()
    assert.equal(3, statistics.median { 5, 1, 3 })
    assert.equal(2.5, statistics.median { 4, 1, 2, 3 })
    assert.is_nil(statistics.median {})
  end)

  it("takes quantiles between neighbours", function()
    near(1.4, statistics.quantile({ 1, 2, 3, 4, 5 }, 0.1))
    near(5, statistics.quantile({ 5, 4, 3, 2, 1 }, 1))
  end)

  it(
    "measures spread by the median distance",
    function() near(1, statistics.deviation { 1, 2, 3, 4, 1000 }) end
  )

  it("does not change the list it is given", function()
    local list = { 3, 1, 2 }
    statistics.median(list)
    assert.same({ 3, 1, 2 }, list)
  end)

  it("holds the true median as often as its confidence says", function()
    local held = 0
    for seed = 1, 400 do
      local low, high = statistics.median_interval(normal_list(25, seed), 0.9)
      if low <= 0 and 0 <= high then held = held + 1 end
    end
    -- 400 tries at 0.9: below 0.85 has a chance of about 1e-3, and the seeds are fixed
    assert.is_true(held / 400 >= 0.87, held)
  end)

  it(
    "has no interval of the median for too few numbers",
    function() assert.is_nil(statistics.median_interval({ 1, 2, 3 }, 0.95)) end
  )

  it("knows the tail of the chi-square distribution", function()
    near(0.0455002638963584, statistics.chi_square_tail(4, 1))
    near(0.440493285065212, statistics.chi_square_tail(10, 10))
    near(math.exp(-30), statistics.chi_square_tail(60, 2), 1e-12)
    assert.equal(1.0, statistics.chi_square_tail(0, 5))
  end)

  it("finds the limit that belongs to a chance", function()
    for _, freedom in ipairs { 1, 7, 63, 500 } do
      for _, chance in ipairs { 0.5, 0.01, 1e-9 } do
        local limit = statistics.chi_square_limit(chance, freedom)
        near(chance, statistics.chi_square_tail(limit, freedom), 1e-9)
      end
    end
    near(1.959963984540054, statistics.normal_limit(0.025))
    near(-1.959963984540054, statistics.normal_limit(0.975))
  end)

  it("pools cells in which too little is expected", function()
    local value, freedom = statistics.chi_square({ 40, 52, 3, 4, 1 }, { 45, 45, 4, 3, 3 })
    assert.equal(2, freedom)
    near((40 - 45) ^ 2 / 45 + (52 - 45) ^ 2 / 45 + (1 + 4 + 3 - 10) ^ 2 / 10, value)
  end)

  it("compares nothing where one cell is left", function()
    assert.is_nil(statistics.chi_square({ 3 }, { 3 }))
    assert.is_nil(statistics.chi_square({ 1, 1 }, { 1, 1 }))
  end)

  it("says how many draws refuse a distance", function()
    local cells, distance, alarm, power = 64, 0.05, 1e-6, 0.999
    local n = statistics.draws_needed(distance, cells, alarm, power)
    local generator = tensor.generator(5)
    local weights = tensor.ones(cells)
    -- half of the cells up, half down: a total variation of exactly `distance`
    for i = 1, cells do
      weights[i] = 1 / cells * (1 + (i % 2 == 0 and 1 or -1) * 2 * distance)
    end
    local function refused(p)
      local counts = tensor.zeros(cells, { dtype = "int64" })
      counts:index_add_(1, p:multinomial(n, true, generator), tensor.ones(n, { dtype = "int64" }))
      local expected = {}
      for i = 1, cells do
        expected[i] = n / cells
      end
      local _, _, chance = statistics.chi_square(counts:tolist(), expected)
      return chance < alarm
    end
    for _ = 1, 20 do
      assert.is_true(refused(weights))
      assert.is_false(refused(tensor.ones(cells)))
    end
  end)

  it("bounds a count of hits from below", function()
    local n, p, alarm = 10000, 0.9, 1e-9
    local least = statistics.least_hits(n, p, alarm)
    assert.is_true(least < n * p and least > n * p - 8 * math.sqrt(n * p * (1 - p)))
    assert.equal(n, statistics.least_hits(n, 1, alarm))
    assert.equal(0, statistics.least_hits(3, 0.5, alarm))
  end)

  it("decides between two runs only when it is sure", function()
    local slow, fast, noisy = {}, {}, {}
    for i = 1, 40 do
      fast[i], slow[i], noisy[i] = 1 + i * 1e-4, 1.1 + i * 1e-4, i % 2 == 0 and 0.5 or 1.5
    end
    assert.equal("first", statistics.faster(fast, slow))
    assert.equal("second", statistics.faster(slow, fast))
    assert.equal("same", statistics.faster(fast, fast))
    assert.equal("undecided", statistics.faster(fast, noisy))
    assert.equal("undecided", statistics.faster({ 1 }, slow))
  end)
end)
