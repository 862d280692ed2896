--- Random numbers: the published bits, the documented arithmetic, and the distributions.
-- Seeds are fixed, so that a test passes always or never. Thresholds lie where one right generator in a
-- thousand or fewer would fail; each test says what wrongness it would see.
local tensor = require "hone.tensor"
local torch_cases = require "support.torch_cases"

local function generator(seed) return tensor.generator(seed) end

-- The largest distance between a sample's distribution and the one of `cumulative`, times the root of the
-- sample's size: beyond 1.95 in one of a thousand (Kolmogorov and Smirnov).
local function ks(t, cumulative)
  local n = t:numel()
  local expected = cumulative((t:to("float64"):sort()))
  local steps = tensor.arange(n, { dtype = "float64" })
  local above = steps:add(1):div(n):sub(expected):max():item()
  local below = expected:sub(steps:div(n)):max():item()
  return math.max(above, below) * math.sqrt(n)
end

-- Pearson's statistic in standard deviations from its mean.
local function chi_square(counts, probabilities, n)
  local sum = 0
  for i, p in ipairs(probabilities) do
    sum = sum + ((counts[i] or 0) - n * p) ^ 2 / (n * p)
  end
  local freedom = #probabilities - 1
  return (sum - freedom) / math.sqrt(2 * freedom)
end

-- How often each of the numbers 0 to n - 1 occurs.
local function count(t, n)
  local places = t:flatten():sort():searchsorted(tensor.arange(n + 1, { dtype = t.dtype })):tolist()
  local counts = {}
  for i = 1, n do
    counts[i] = places[i + 1] - places[i]
  end
  return counts
end

local function equal_parts(n)
  local parts = {}
  for i = 1, n do
    parts[i] = 1 / n
  end
  return parts
end

local function assert_within(limit, value, what)
  assert.is_true(math.abs(value) <= limit, ("%s is %g, at most %g"):format(what, value, limit))
end

local function refusal(f, ...)
  local done, why = pcall(f, ...)
  assert.is_false(done)
  assert.is_nil(why:find("\n", 1, true))
  return why
end

describe("the generator", function()
  it("is Philox 4x32-10, by the known answers of Random123", function()
    local all = 0xffffffff
    for _, known in ipairs {
      { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
      { all, all, all, all, all, all, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
      {
        0x243f6a88,
        0x85a308d3,
        0x13198a2e,
        0x03707344,
        0xa4093822,
        0x299f31d0,
        0xd16cfe09,
        0x94fdcceb,
        0x5001e420,
        0x24126ea1,
      },
    } do
      assert.same({ table.unpack(known, 7) }, { tensor._philox(table.unpack(known, 1, 6)) })
    end
  end)

  it("gives the bits of the documented arithmetic, as numpy computes it step by step", function()
    local cases, tensors = torch_cases.load("random")
    if not cases then return pending(tensors) end
    for _, case in ipairs(cases) do
      local function again() return { generator = generator(case.seed):set_offset(case.offset) } end
      local function with(dtype)
        local options = again()
        options.dtype = dtype
        return options
      end
      local n = case.n
      local drawn = {
        uniform = tensor.rand(n, again()),
        uniform_half = tensor.rand(n, with "float16"),
        normal = tensor.randn(n, again()),
        uniform64 = tensor.rand(n, with "float64"),
        integers = tensor.randint(-500, 500, { n }, again()),
        permutation = tensor.randperm(5000, again()),
      }
      for what, t in pairs(drawn) do
        torch_cases.assert_same(tensors[case[what]], t, what)
      end
    end
  end)

  it("gives element i the same value in any shape, layout and number of threads", function()
    local function draw(...) return tensor.randn(..., { generator = generator(7) }) end
    local long = draw(100000)
    assert.equal(long:narrow(1, 1, 999):bytes(), draw(999):bytes())
    assert.equal(long:narrow(1, 1, 6000):bytes(), tensor.randn(20, 300, { generator = generator(7) }):bytes())
    local turned = tensor.empty(300, 20):t()
    turned:normal_(0, 1, generator(7))
    assert.equal(long:narrow(1, 1, 6000):bytes(), turned:bytes())
    local threads = tensor.threads()
    tensor.set_threads(1)
    local alone = draw(100000)
    tensor.set_threads(threads)
    assert.equal(long:bytes(), alone:bytes())
  end)

  it("counts draws, and goes back to one by its offset", function()
    local g = generator(3)
    local first, second = tensor.rand(5, { generator = g }), tensor.rand(5, { generator = g })
    assert.equal(2, g:offset())
    assert.equal(3, g:seed())
    assert.not_equal(first:bytes(), second:bytes())
    assert.equal(second:bytes(), tensor.rand(5, { generator = g:set_offset(1) }):bytes())
    assert.equal(first:bytes(), tensor.rand(5, { generator = g:manual_seed(3) }):bytes())
  end)

  it("of a state is set by manual_seed", function()
    tensor.manual_seed(11)
    local t = tensor.randn(4)
    assert.equal(tensor.randn(4, { generator = generator(11) }):bytes(), t:bytes())
  end)

  it("stays where it is when a draw is refused", function()
    local g = generator(1)
    refusal(tensor.randint, 5, 5, { 3 }, { generator = g })
    assert.equal(0, g:offset())
  end)
end)

-- With a million numbers a KS statistic of 1.95 is a distance of 0.002: a mean off by 0.005 standard
-- deviations, or a tail of 2 in a thousand that is missing, is seen.
describe("uniform numbers", function()
  it("are uniform", function()
    for _, dtype in ipairs { "float32", "float64" } do
      local t = tensor.rand(1000000, { dtype = dtype, generator = generator(21) })
      assert_within(1.95, ks(t, function(x) return x end), dtype)
    end
  end)

  it("of neighbours are independent", function()
    local t = tensor.rand(1000000, { generator = generator(22) }):mul(20):floor()
    local pairs_of = t:view(500000, 2)
    local cell = pairs_of:select(2, 1):mul(20):add(pairs_of:select(2, 2))
    assert_within(4, chi_square(count(cell, 400), equal_parts(400), 500000), "pairs of neighbours")
  end)

  it("stay below their upper end, whatever they are rounded to", function()
    for _, dtype in ipairs { "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float32", "float64" } do
      for _, range in ipairs { { 0, 1 }, { 1, 2 }, { -3, 5 } } do
        local t = tensor.empty(100000, dtype):uniform_(range[1], range[2], generator(5)):to("float64")
        assert.is_true(t:min():item() >= range[1] and t:max():item() < range[2], dtype)
      end
    end
  end)

  it("refuse integers and ranges that are none", function()
    assert.matches("cannot draw uniform numbers of int32", refusal(tensor.rand, 3, "int32"))
    local t = tensor.zeros(3)
    assert.matches("from 2 to 1", refusal(t.uniform_, t, 2, 1))
    assert.matches("elements share memory", refusal(t.uniform_, tensor.zeros(1):expand(3)))
  end)
end)

describe("normal numbers", function()
  local function cumulative(x) return x:div(math.sqrt(2)):erf():add(1):div(2) end

  it("are normal", function()
    for _, dtype in ipairs { "float32", "float64" } do
      local t = tensor.randn(1000000, { dtype = dtype, generator = generator(31) })
      assert_within(1.95, ks(t, cumulative), dtype)
    end
  end)

  -- The standard errors of the first four moments are sqrt(1, 2, 15, 96) / sqrt(n).
  it("have the moments of the distribution", function()
    local n = 4000000
    local t = tensor.randn(n, { generator = generator(32) }):to("float64")
    for power, moment in ipairs { { 0, 1 }, { 1, 2 }, { 0, 15 }, { 3, 96 } } do
      local mean = t:pow(power):mean():item()
      assert_within(3.3, (mean - moment[1]) * math.sqrt(n / moment[2]), "moment " .. power)
    end
  end)

  it("of a pair are independent, in size too", function()
    local n = 1000000
    local t = tensor.randn(n, 2, { generator = generator(33) }):to("float64")
    local x, y = t:select(2, 1), t:select(2, 2)
    assert_within(3.3, x:mul(y):mean():item() * math.sqrt(n), "correlation")
    local squares = x:square():sub(1):mul(y:square():sub(1)):mean():item()
    assert_within(3.3, squares * math.sqrt(n) / 2, "correlation of squares")
  end)

  -- Beyond 4.5 there are 6.8 in a million: a generator whose tail ends early has none.
  it("reach far out", function()
    local t = tensor.randn(10000000, { generator = generator(34) })
    local far = t:abs():gt(4.5):sum():item()
    assert_within(3.3, (far - 67.95) / math.sqrt(67.95), "numbers beyond 4.5")
    assert.is_true(t:isfinite():all():item())
  end)

  it("take a mean and a standard deviation", function()
    local t = tensor.empty(100000):normal_(5, 2, generator(35)):to("float64")
    assert_within(3.3, (t:mean():item() - 5) * math.sqrt(100000) / 2, "mean")
    assert.matches("standard deviation %-1", refusal(t.normal_, t, 0, -1))
  end)
end)

describe("exponential numbers", function()
  it("are exponential, and more than 0", function()
    for _, dtype in ipairs { "float32", "float64" } do
      local t = tensor.empty(1000000, dtype):exponential_(2, generator(41))
      assert_within(1.95, ks(t, function(x) return x:mul(-2):expm1():neg() end), dtype)
      assert.is_true(t:gt(0):all():item())
    end
  end)
end)

describe("random integers", function()
  it("are all as likely", function()
    local t = tensor.randint(0, 1000, { 1000000 }, { generator = generator(51) })
    assert_within(4, chi_square(count(t, 1000), equal_parts(1000), 1000000), "integers below 1000")
  end)

  -- Of 2^64 words taken modulo 3 * 2^62, the lowest third would come twice as often.
  it("have no bias where the range does not divide 2^64", function()
    local low = math.mininteger
    local n = 300000
    local t = tensor.randint(low, low + 3 * (1 << 62), { n }, { generator = generator(52) })
    local third = t:lt(low + (1 << 62)):sum():item()
    assert_within(3.3, (third - n / 3) / math.sqrt(n * 2 / 9), "numbers of the lowest third")
    assert.is_true(t:lt(low + 3 * (1 << 62)):all():item())
  end)

  it("fill the range of each dtype", function()
    local ranges = { { "int8", -128, 128 }, { "uint8", 0, 256 }, { "bool", 0, 2 }, { "float32", -3, 4 } }
    for _, case in ipairs(ranges) do
      local t = tensor.randint(case[2], case[3], { 20000 }, { dtype = case[1], generator = generator(53) })
      local wide = t:to("int64")
      assert.equal(case[2], wide:min():item())
      assert.equal(case[3] - 1, wide:max():item())
    end
  end)

  it("refuse what a dtype does not hold, and empty ranges", function()
    assert.matches("int8 does not hold them", refusal(tensor.randint, 0, 129, { 2 }, { dtype = "int8" }))
    assert.matches("there are none", refusal(tensor.randint, 5, 5, { 2 }))
  end)
end)

describe("Bernoulli's numbers", function()
  it("are 1 as often as said", function()
    local n = 1000000
    for _, p in ipairs { 0.3, 0.001, 0.999 } do
      local ones = tensor.empty(n):bernoulli_(p, generator(61)):sum():item()
      assert_within(3.3, (ones - n * p) / math.sqrt(n * p * (1 - p)), "ones of p = " .. p)
    end
    assert.equal(0, tensor.empty(n):bernoulli_(0, generator(62)):sum():item())
    assert.equal(n, tensor.empty(n):bernoulli_(1, generator(62)):sum():item())
  end)

  it("take a probability an element", function()
    local p = tensor.new({ 0, 0.25, 0.5, 1 }):view(4, 1):expand(4, 100000)
    local ones = p:bernoulli(generator(63)):sum(2):tolist()
    assert.equal(0, ones[1])
    assert_within(3.3, (ones[2] - 25000) / math.sqrt(18750), "ones of p = 1/4")
    assert_within(3.3, (ones[3] - 50000) / math.sqrt(25000), "ones of p = 1/2")
    assert.equal(100000, ones[4])
  end)

  it("refuse what is no probability", function()
    local t = tensor.zeros(3)
    assert.matches("1.5 is not a probability", refusal(t.bernoulli_, t, 1.5))
    assert.matches("nan is not a probability", refusal(t.bernoulli, tensor.full({ 2 }, 0 / 0)))
  end)
end)

describe("t:multinomial", function()
  local weights = { 1, 0, 5, 2, 0.5, 1.5 }
  local probabilities = { 0.1, 0.5, 0.2, 0.05, 0.15 } -- of those that are not 0

  local function check_counts(counts, n)
    assert.equal(0, table.remove(counts, 2))
    assert_within(4, chi_square(counts, probabilities, n), "categories")
  end

  it("chooses by weight, with replacement", function()
    local t = tensor.new(weights):multinomial(500000, true, generator(71))
    check_counts(count(t, 6), 500000)
  end)

  it("chooses by weight, one of each row", function()
    local rows = tensor.new(weights):expand(100000, 6)
    check_counts(count(rows:multinomial(1, false, generator(72)), 6), 100000)
  end)

  it("chooses the second among the rest, without replacement", function()
    local rows = tensor.new({ 4.0, 3.0, 2.0, 1.0 }):expand(100000, 4)
    local t = rows:multinomial(4, false, generator(73))
    assert.is_true(t:sort(2):eq(tensor.arange(4)):all():item())
    local pairs_of = t:select(2, 1):mul(4):add(t:select(2, 2))
    local counts, expected, list = count(pairs_of, 16), {}, {}
    for first = 0, 3 do
      for second = 0, 3 do
        if first ~= second then
          table.insert(expected, (4 - first) / 10 * (4 - second) / (6 + first))
          table.insert(list, counts[4 * first + second + 1])
        end
      end
    end
    assert_within(4, chi_square(list, expected, 100000), "first two of four")
  end)

  it("takes half weights and rows of many categories", function()
    local t = tensor.rand(3, 70000, { dtype = "bfloat16", generator = generator(74) })
    local chosen = t:multinomial(64, false, generator(75))
    assert.same({ 3, 64 }, chosen:shape())
    assert.is_true(chosen:ge(0):all():item() and chosen:lt(70000):all():item())
  end)

  it("refuses weights by which nothing can be chosen", function()
    local function refused(list, n, replacement)
      local t = tensor.new(list)
      return refusal(t.multinomial, t, n, replacement)
    end
    assert.matches("weight of %-1", refused({ 1.5, -1 }, 1))
    assert.matches("weight of inf", refused({ 1, math.huge }, 1))
    assert.matches("weights that are all 0", refused({ 0.0, 0.0 }, 1))
    assert.matches("3 of 2 categories without replacement", refused({ 0.5, 0.5 }, 3))
    assert.matches("2 of 1 categories of positive weight", refused({ 0.5, 0.0 }, 2))
    assert.matches("cannot choose 0", refused({ 0.5, 0.0 }, 0))
    assert.matches("weights are floats", refused({ 1, 2 }, 1))
  end)
end)

describe("tensor.randperm", function()
  it("is a permutation", function()
    for _, n in ipairs { 0, 1, 2, 1000, 100000 } do
      assert.equal(
        tensor.arange(n):bytes(),
        (tensor.randperm(n, { generator = generator(n) }):sort()):bytes()
      )
    end
  end)

  it("is every permutation as often", function()
    local g, counts = generator(81), {}
    for _ = 1, 24000 do
      local key = tensor.randperm(4, { generator = g }):bytes()
      counts[key] = (counts[key] or 0) + 1
    end
    local list = {}
    for _, times in pairs(counts) do
      table.insert(list, times)
    end
    assert.equal(24, #list)
    assert_within(4, chi_square(list, equal_parts(24), 24000), "permutations of 4")
  end)
end)
