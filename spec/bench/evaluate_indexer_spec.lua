local evaluate = require "hone.bench.evaluate"
local inputs = require "hone.dataset.inputs"
local ops, tensor = require "hone.ops", require "hone.tensor"
local reference = require "hone.reference"

describe("the evaluator of DSA's indexer", function()
  local definition, values, expected

  setup(function()
    definition = assert(ops.build("dsa_paged", "topk_indexer", {
      num_index_heads = 4,
      index_head_dim = 32,
      page_size = 8,
      topk = 16,
    }))
    local sizes = { batch_size = 3, max_num_pages = 6, num_pages = 24 }
    local list = assert(inputs.make(definition, { axes = sizes, seed = 3 }))
    values = {}
    for i, input in ipairs(list) do
      values[i] = input.value
    end
    values[4] = tensor.new({ 48, 5, 30 }, "int32") -- the second sequence is shorter than topk
    expected = assert(assert(reference(definition))(table.unpack(values)))
  end)

  local function judge(indices)
    local evaluator =
      assert(evaluate.new(definition, { atol = 1e-2, rtol = 1e-2, num_trials = 1, extra = {} }))
    assert.equal("dsa_topk_indexer", evaluator.name)
    local verdict = evaluator:check({ indices }, expected, values)
    return verdict or evaluator:finish()
  end

  local function log_of(verdict) return table.concat(verdict.log, "\n") end

  it("passes the chosen tokens in any order", function()
    assert.equal("PASSED", judge(expected[1]).status)
    local verdict = judge(expected[1]:flip(2))
    assert.equal("PASSED", verdict.status)
    assert.equal(0, verdict.correctness.max_absolute_error)
  end)

  it("refuses tokens that score less", function()
    local indices = expected[1]:clone()
    local pages = values[5][1]
    local best = {}
    for _, i in ipairs(indices[1]:tolist()) do
      best[i] = true
    end
    local spare = {}
    for position = 0, 47 do
      local token = pages[position // 8 + 1] * 8 + position % 8
      token = tensor.is_tensor(token) and token:item() or token
      if not best[token] then spare[#spare + 1] = token end
    end
    for i = 1, 8 do
      indices[1][i] = spare[i]
    end
    local verdict = judge(indices)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("scores of the chosen tokens", 1, true))
    assert.is_true(verdict.correctness.max_absolute_error < math.huge)
  end)

  it("refuses a token of a page that the sequence does not have", function()
    local of_others = {}
    for page = 0, 23 do
      of_others[page] = true
    end
    for _, page in ipairs(values[5][3]:tolist()) do
      of_others[page] = nil
    end
    local indices = expected[1]:clone()
    indices[3][1] = next(of_others) * 8
    local verdict = judge(indices)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.truthy(log_of(verdict):find("out-of-range indices in batch [2]", 1, true))
    assert.equal(math.huge, verdict.correctness.max_absolute_error)
  end)

  it("refuses a token beyond the sequence's end on a page of its own", function()
    local indices = expected[1]:clone()
    indices[2][16] = values[5][2]:tolist()[1] * 8 + 5
    assert.truthy(log_of(judge(indices)):find("out-of-range indices in batch [1]", 1, true))
  end)

  it("refuses a token that is chosen twice", function()
    local indices = expected[1]:clone()
    indices[1][2] = indices[1]:tolist()[1]
    assert.truthy(log_of(judge(indices)):find("duplicate indices in batch [0]", 1, true))
  end)

  it("refuses token 0 that is chosen twice", function()
    local own = values[5]
    values[5] = own:clone()
    values[5][1][1] = 0 -- the first sequence begins on page 0
    local indices = expected[1]:clone()
    indices[1] = tensor.cat { tensor.arange(15), tensor.zeros(1, "int64") }:to "int32" -- 0, 1, … of which 8 are of others
    indices[1]:narrow(1, 9, 7):fill_(-1)
    local verdict = judge(indices)
    values[5] = own
    assert.truthy(log_of(verdict):find("duplicate indices in batch [0]", 1, true), log_of(verdict))
  end)

  it("refuses padding where there are tokens", function()
    local indices = expected[1]:clone()
    indices[1][16] = -1
    local verdict = judge(indices)
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
    assert.equal(math.huge, verdict.correctness.max_absolute_error)
  end)

  it(
    "refuses indices of another dtype",
    function() assert.equal("INCORRECT_DTYPE", judge(expected[1]:to "int64").status) end
  )
end)
