local evaluate = require "hone.bench.evaluate"
local ops, tensor = require "hone.ops", require "hone.tensor"

local VOCAB = 512

-- A judge's settings; the secret is fixed so that the specs are.
local function settings_of(extra)
  return { num_trials = 3, atol = 1e-2, rtol = 1e-2, extra = extra or {}, secret = 41 }
end

local function definition_of(variant, vocab)
  return assert(ops.build("sampling", variant, { vocab_size = vocab or VOCAB }))
end

-- Probabilities of rows, peaked a little.
local function probabilities(rows, vocab, sharpness)
  return (tensor.randn({ rows, vocab or VOCAB }, { generator = tensor.generator(7) }) * (sharpness or 2)):softmax(
    -1
  )
end

-- What is drawn from these distributions, as the judge repeats the rows: row, row, …, then all over again.
local function draw(probs, times, generator)
  local drawn = probs:multinomial(times, true, generator) -- [rows, times]
  return drawn:t():reshape(-1)
end

-- The distribution of each row, worked out one token after the other.
local function restricted(probs, top_k, top_p)
  local rows = {}
  for r, row in ipairs(probs:tolist()) do
    local order = {}
    for i = 1, #row do
      order[i] = i
    end
    table.sort(order, function(a, b) return row[a] > row[b] end)
    local kept, mass, k = {}, 0.0, top_k and top_k[r] or #row
    for i = 1, k do
      mass = mass + row[order[i]]
    end
    local before = 0.0
    for i = 1, k do
      if not top_p or before / mass <= top_p[r] then kept[order[i]] = row[order[i]] end
      before = before + row[order[i]]
    end
    rows[r] = {}
    for i = 1, #row do
      rows[r][i] = kept[i] or 0.0
    end
  end
  return tensor.new(rows, "float64")
end

-- The verdict on draws from `actual` where `values` are the inputs.
local function judge(definition, values, actual, options)
  options = options or {}
  local evaluator = assert(evaluate.new(definition, settings_of(options.extra)))
  local rows, vocab = actual:size(1), actual:size(2)
  local calls, times = evaluator:calls { batch_size = rows, vocab_size = vocab }
  local generator = tensor.generator(options.seed or 5)
  local inputs = {}
  for i, value in ipairs(values) do
    local shape = { times }
    for d = 2, value:dim() do
      shape[d] = 1
    end
    inputs[i] = value:tile(table.unpack(shape))
  end
  for _ = 1, calls do
    local samples = draw(actual, times, generator):to(options.dtype or "int64")
    local verdict = evaluator:check({ samples }, nil, inputs)
    if verdict then return verdict end
  end
  return evaluator:finish()
end

local function log_of(verdict) return table.concat(verdict.log, "\n") end

describe("the evaluator of sampling", function()
  local probs = probabilities(3)
  local top_k, top_p = tensor.new({ 5, 40, 512 }, "int32"), tensor.new({ 0.3, 0.8, 0.95 }, "float32")

  it("passes honest draws of all three kinds", function()
    for seed = 1, 3 do
      local options = { seed = seed }
      local by_k = judge(definition_of "top_k", { probs, top_k }, restricted(probs, top_k:tolist()), options)
      assert.equal("PASSED", by_k.status, log_of(by_k))
      local by_p =
        judge(definition_of "top_p", { probs, top_p }, restricted(probs, nil, top_p:tolist()), options)
      assert.equal("PASSED", by_p.status, log_of(by_p))
      local both = restricted(probs, top_k:tolist(), top_p:tolist())
      assert.equal(
        "PASSED",
        judge(definition_of "top_k_top_p", { probs, top_k, top_p }, both, options).status
      )
    end
  end)

  it("says how sure it is, and how far the draws are", function()
    local verdict = judge(definition_of "top_k", { probs, top_k }, restricted(probs, top_k:tolist()))
    assert.truthy(log_of(verdict):find("draws a row", 1, true))
    assert.equal(3, #verdict.correctness.extra.tvds_per_batch)
    assert.is_true(verdict.correctness.extra.tvd < 0.1)
  end)

  it("refuses a token that top-k leaves out, for certain", function()
    local wrong = restricted(probs, { 6, 40, 512 })
    local verdict = judge(definition_of "top_k", { probs, top_k }, wrong)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("of row 0 may not be drawn", 1, true))
    assert.equal(math.huge, verdict.correctness.max_absolute_error)
  end)

  it("lets tokens that tie with the last one take its place", function()
    local flat = tensor.full({ 1, 8 }, 1 / 8)
    local k = tensor.new({ 3 }, "int32")
    local others = tensor.new({ { 0, 0, 0, 0, 0, 1, 1, 1 } }, "float64")
    assert.equal("PASSED", judge(definition_of("top_k", 8), { flat, k }, others).status)
  end)

  it("sees a nucleus that leaves out the token that crosses p", function()
    local two = tensor.new { { 0.5, 0.3, 0.2 } }
    local p = tensor.new({ 0.7 }, "float32")
    local right = tensor.new({ { 0.5, 0.3, 0 } }, "float64")
    local wrong = tensor.new({ { 1, 0, 0 } }, "float64")
    local definition = definition_of("top_p", 3)
    local verdict = judge(definition, { two, p }, right)
    assert.equal("PASSED", verdict.status)
    assert.equal("INCORRECT_NUMERICAL", verdict.upstream) -- flashinfer-bench leaves that token out
    assert.equal("INCORRECT_NUMERICAL", judge(definition, { two, p }, wrong).status)
  end)

  it("allows no token that lies clearly beyond the border", function()
    local three = tensor.new { { 0.5, 0.49, 0.01 } }
    local p = tensor.new({ 0.97 }, "float32") -- 0.99 lie before the third
    local wrong = tensor.new({ { 0.5, 0.49, 0.01 } }, "float64")
    assert.equal("INCORRECT_NUMERICAL", judge(definition_of("top_p", 3), { three, p }, wrong).status)
  end)

  it("lets tokens at the border have their share, and no more", function()
    local row = { 0.7 }
    for i = 2, 41 do
      row[i] = 1e-5 -- the first of them crosses p, give or take
    end
    row[42] = 0.3 - 40e-5
    local values = { tensor.new({ row }, "float32"), tensor.new({ 0.9999 }, "float32") }
    table.sort(row, function(a, b) return a > b end)
    values[1] = tensor.new({ row }, "float32")
    local honest, greedy = {}, {}
    for i, q in ipairs(row) do
      honest[i], greedy[i] = q, i > 2 and q * 1000 or q
    end
    local definition = definition_of("top_p", 42)
    local verdict = judge(definition, values, tensor.new({ honest }, "float64"))
    assert.equal("PASSED", verdict.status, log_of(verdict))
    verdict = judge(definition, values, tensor.new({ greedy }, "float64"))
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("draws tokens at the border too often", 1, true), log_of(verdict))
  end)

  it("says that flashinfer-bench expects another distribution where top-p follows top-k", function()
    local row = {}
    for i = 1, 20 do
      row[i] = 0.05 + (10.5 - i) * 1e-4
    end
    local values =
      { tensor.new({ row }, "float32"), tensor.new({ 10 }, "int32"), tensor.new({ 0.5 }, "float32") }
    local right = restricted(values[1], { 10 }, { 0.5 })
    local verdict = judge(definition_of("top_k_top_p", 20), values, right)
    assert.equal("PASSED", verdict.status, log_of(verdict))
    assert.equal("INCORRECT_NUMERICAL", verdict.upstream)
  end)

  it("asks for as many draws as its power takes, or as the settings say", function()
    local evaluator = assert(evaluate.new(definition_of "top_k", settings_of()))
    local calls, times = evaluator:calls { batch_size = 3, vocab_size = VOCAB }
    assert.is_true(calls * times >= 15725)
    evaluator =
      assert(evaluate.new(definition_of "top_k", settings_of { sampling_validation_trials = 40000 }))
    calls, times = evaluator:calls { batch_size = 3, vocab_size = VOCAB }
    assert.is_true(calls * times >= 40000)
  end)

  it("takes 0 of top-p as the most likely token alone, 1 as all", function()
    local values = { probabilities(2, 64), tensor.new({ 0, 1 }, "float32") }
    local all = values[1]:to "float64"
    local first = restricted(values[1], { 1, 64 })
    assert.equal("PASSED", judge(definition_of("top_p", 64), values, first).status)
    assert.equal("INCORRECT_NUMERICAL", judge(definition_of("top_p", 64), values, all).status)
  end)

  it("refuses a temperature that nobody asked for", function()
    local wrong = probs:to("float64"):pow(0.9)
    local verdict = judge(definition_of "top_k", { probs, tensor.new({ 0, 0, 0 }, "int32") }, wrong)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("does not draw from its distribution", 1, true))
  end)

  it("refuses a row that draws from its neighbour", function()
    local all = tensor.new({ 0, 0, 0 }, "int32")
    local wrong = tensor.stack({ probs[1], probs[1], probs[3] }, 1):to "float64"
    local verdict = judge(definition_of "top_k", { probs, all }, wrong)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("row 1", 1, true))
  end)

  it("passes honest draws among very many even tokens, where noise alone looks like 0.2", function()
    local vocab = 20000
    local even = tensor.full({ 1, vocab }, 1 / vocab)
    local verdict =
      judge(definition_of("top_k", vocab), { even, tensor.new({ 0 }, "int32") }, even:to "float64")
    assert.equal("PASSED", verdict.status, log_of(verdict))
  end)

  it("refuses what is 0.05 away, each time, and never what is honest", function()
    local even = tensor.full({ 1, 64 }, 1 / 64)
    local tilted = tensor.arange(64):remainder(2):to("float64"):mul(0.2):add(0.9):reshape(1, 64) -- of 0.9 and 1.1
    local definition, all = definition_of("top_k", 64), tensor.new({ 0 }, "int32")
    for seed = 1, 20 do
      local options = { seed = seed }
      assert.equal("INCORRECT_NUMERICAL", judge(definition, { even, all }, tilted, options).status)
      assert.equal("PASSED", judge(definition, { even, all }, even:to "float64", options).status)
    end
  end)

  it("takes the threshold from the settings", function()
    local even, all = tensor.full({ 1, 64 }, 1 / 64), tensor.new({ 0 }, "int32")
    local tilted = tensor.arange(64):remainder(2):to("float64"):mul(0.1):add(0.95):reshape(1, 64) -- 0.025 away
    local definition = definition_of("top_k", 64)
    local verdict = judge(definition, { even, all }, tilted)
    assert.equal("PASSED", verdict.status, log_of(verdict))
    verdict = judge(definition, { even, all }, tilted, { extra = { sampling_tvd_threshold = 0.005 } })
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("is above 0.0050", 1, true), log_of(verdict))
  end)

  it("takes samples of any integer's dtype, and refuses others", function()
    local right = restricted(probs, top_k:tolist())
    local definition = definition_of "top_k"
    assert.equal("PASSED", judge(definition, { probs, top_k }, right, { dtype = "int32" }).status)
    assert.equal("INCORRECT_DTYPE", judge(definition, { probs, top_k }, right, { dtype = "float32" }).status)
  end)

  it("refuses tokens outside the vocabulary, and another number of samples", function()
    local evaluator = assert(evaluate.new(definition_of "top_k", settings_of()))
    evaluator:calls { batch_size = 3, vocab_size = VOCAB }
    local verdict = evaluator:check({ tensor.new({ 0, VOCAB, 0 }, "int64") }, nil, { probs, top_k })
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("outside the vocabulary", 1, true))
    evaluator = assert(evaluate.new(definition_of "top_k", settings_of()))
    verdict = evaluator:check({ tensor.new({ 0, -1, 0 }, "int64") }, nil, { probs, top_k })
    assert.truthy(log_of(verdict):find("sample -1 of row 1 is outside the vocabulary", 1, true))
    evaluator = assert(evaluate.new(definition_of "top_k", settings_of()))
    evaluator:calls { batch_size = 3, vocab_size = VOCAB }
    local few = evaluator:check({ tensor.new({ 0, 1 }, "int64") }, nil, { probs, top_k })
    assert.equal("INCORRECT_SHAPE", few.status)
  end)
end)
