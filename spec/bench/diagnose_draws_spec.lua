local diagnose = require "hone.bench.diagnose"
local evaluate = require "hone.bench.evaluate"
local ops, tensor = require "hone.ops", require "hone.tensor"

local VOCAB, ROWS = 128, 3

local probs = (tensor.randn({ ROWS, VOCAB }, { generator = tensor.generator(7) }) * 2):softmax(-1)
local TOP_K, TOP_P = { 2, 20, 60 }, { 0.9, 0.7, 0.9 }

-- The tokens of a row that a filter keeps, one after the other, most likely first: what the wrong samplers below do.
local function in_order(row)
  local order = {}
  for i = 1, #row do
    order[i] = i
  end
  table.sort(order, function(a, b) return row[a] > row[b] end)
  return order
end

-- The distribution of rows by `weight(rank, token's probability, mass before it, sum of the k kept, row number)`.
local function distribution(weight, top_k)
  local rows = {}
  for r, row in ipairs(probs:tolist()) do
    local order, before, kept_mass = in_order(row), 0.0, 0.0
    for rank = 1, (top_k or TOP_K)[r] do
      kept_mass = kept_mass + row[order[rank]]
    end
    rows[r] = {}
    for rank, token in ipairs(order) do
      rows[r][token] = weight(rank, row[token], before, kept_mass, r) or 0.0
      before = before + row[token]
    end
  end
  return tensor.new(rows, "float64")
end

local function explain(variant, actual)
  local definition = assert(ops.build("sampling", variant, { vocab_size = VOCAB }))
  local settings = { num_trials = 3, atol = 1e-2, rtol = 1e-2, extra = {}, secret = 3 }
  local evaluator = assert(evaluate.new(definition, settings))
  local calls, times = evaluator:calls { batch_size = ROWS, vocab_size = VOCAB }
  local values = { probs:tile(times, 1) }
  if definition.inputs.top_k then values[2] = tensor.new(TOP_K, "int32"):tile(times) end
  if definition.inputs.top_p then values[#values + 1] = tensor.new(TOP_P, "float32"):tile(times) end
  local generator, verdict = tensor.generator(11), nil
  for _ = 1, calls do
    local samples = actual:multinomial(times, true, generator):t():reshape(-1)
    verdict = evaluator:check({ samples }, nil, values)
    if verdict then break end
  end
  verdict = verdict or evaluator:finish()
  return diagnose.explain(definition, values, {}, {}, { evaluator = evaluator }), verdict
end

local function first(variant, weight, top_k)
  local found, verdict = explain(variant, distribution(weight, top_k))
  assert.equal("INCORRECT_NUMERICAL", verdict.status)
  return found[1] and found[1].what or "nothing", found
end

describe("the diagnosis of draws", function()
  it("says nothing of honest ones", function()
    local found, verdict =
      explain("top_k", distribution(function(rank, p, _, _, r) return rank <= TOP_K[r] and p end))
    assert.equal("PASSED", verdict.status)
    assert.same({}, found)
  end)

  it("knows a filter that is missing", function()
    local function all(_, p) return p end
    assert.equal("top-k is not applied", (first("top_k", all)))
    assert.equal("top-p is not applied", (first("top_p", all)))
    assert.equal("neither top-k nor top-p is applied", (first("top_k_top_p", all)))
  end)

  it("knows one token too few and one too many", function()
    assert.equal(
      "top-k keeps one token too few",
      (first("top_k", function(rank, p, _, _, r) return rank < TOP_K[r] and p end))
    )
    assert.equal(
      "top-k keeps one token too many",
      (first("top_k", function(rank, p, _, _, r) return rank <= TOP_K[r] + 1 and p end))
    )
  end)

  it("knows a nucleus without the token that crosses p", function()
    local what = first(
      "top_p",
      function(rank, p, before, _, r) return (rank == 1 or before + p <= TOP_P[r]) and p end
    )
    assert.equal("the token that crosses p is left out", what)
  end)

  it("knows top-p of probabilities that were not renormalised", function()
    local what = first(
      "top_k_top_p",
      function(rank, p, before, _, r) return rank <= TOP_K[r] and before <= TOP_P[r] and p end
    )
    assert.equal("top-p is asked of probabilities that were not renormalised after top-k", what)
  end)

  it("knows a greedy sampler, an even one, and a wrong temperature", function()
    assert.equal(
      "the most likely token is always drawn",
      (first("top_k", function(rank, p) return rank == 1 and p end))
    )
    assert.equal(
      "all tokens that may be drawn are drawn alike",
      (first("top_k", function(rank, _, _, _, r) return rank <= TOP_K[r] and 1 end))
    )
    assert.equal(
      "probabilities are squared: the temperature is 0.5",
      (first("top_k", function(rank, p, _, _, r) return rank <= TOP_K[r] and p * p end))
    )
  end)

  it("knows parameters and rows that are taken from the first row", function()
    assert.equal(
      "all rows use the first row's top_k",
      (first("top_k", function(rank, p) return rank <= TOP_K[1] and p end))
    )
    local rows = distribution(function(rank, p, _, _, r) return rank <= TOP_K[r] and p end)
    local found = explain("top_k", rows:narrow(1, 1, 1):expand_as(rows):contiguous())
    assert.equal("all rows draw from the first row", found[1].what)
  end)
end)
