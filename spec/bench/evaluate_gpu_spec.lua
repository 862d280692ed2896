--- Verdicts and diagnoses of tensors on a GPU: what they are of the same tensors on the CPU.
local cuda = require "hone.cuda"
local diagnose = require "hone.bench.diagnose"
local evaluate = require "hone.bench.evaluate"
local inputs = require "hone.dataset.inputs"
local mistakes = require "support.mistakes"
local ops = require "hone.ops"
local random = require "support.evaluations"
local reference = require "hone.reference"
local tensor = require "hone.tensor"

local has_device = cuda.available()

local function on_gpu(name, f)
  it(name .. " #gpu", function()
    if not has_device then return pending "no GPU" end
    f()
  end)
end

local function lying_on(device, list)
  local moved = {}
  for i, value in pairs(list) do
    moved[i] = tensor.is_tensor(value) and value:to(device) or value
  end
  return moved
end

local function repeated(case, list)
  if not case.times then return list end
  local all = {}
  for i, value in ipairs(list) do
    local times = { case.times }
    for d = 2, value:dim() do
      times[d] = 1
    end
    all[i] = value:tile(table.unpack(times))
  end
  return all
end

local function judge(case, device)
  local evaluator = assert(evaluate.new(case.definition, case.resolved))
  if case.times then evaluator:calls { batch_size = case.inputs[1][1]:size(1), vocab_size = 64 } end
  for trial, expected in ipairs(case.expected) do
    local list = lying_on(device, repeated(case, case.inputs[trial]))
    local outputs = lying_on(device, case.outputs[trial])
    local verdict = evaluator:check(outputs, lying_on(device, expected), list)
    if verdict then return verdict end
  end
  return evaluator:finish()
end

local function text(x) return ("%.6g"):format(x) end

describe("an evaluator on a GPU", function()
  for name, cases in pairs {
    ["of pairs of outputs"] = function() return random.cases(11, 100) end,
    ["of the indexer of DSA"] = function() return random.indexer_cases(5, 21) end,
    ["of draws"] = function() return random.sampling_cases(9, 9) end,
  } do
    on_gpu("gives the verdicts " .. name .. " that the CPU gives", function()
      for _, case in ipairs(cases()) do
        local here, there = judge(case, "cpu"), judge(case, "cuda:0")
        assert.equal(here.status, there.status, case.what)
        assert.equal(here.upstream, there.upstream, case.what)
        assert.equal(here.correctness ~= nil, there.correctness ~= nil, case.what)
        if here.correctness then
          local a, b = here.correctness.max_absolute_error, there.correctness.max_absolute_error
          assert.equal(text(a), text(b), case.what)
        end
      end
    end)
  end
end)

describe("a diagnosis on a GPU", function()
  for _, edit in ipairs(mistakes.edits) do
    on_gpu(("of %s, %s says: %s"):format(edit[1], edit[2], edit[4]), function()
      local definition = assert(ops.build(edit[1], edit[2], edit[3]))
      local values, list = {}, assert(inputs.make(definition, { axes = edit.axes, seed = 4 }))
      for i, input in ipairs(list) do
        values[i] = input.value
        if edit.small and tensor.is_tensor(values[i]) and values[i]:dim() == 2 then
          values[i] = values[i] * 2.0 ^ -9
        end
      end
      values = lying_on("cuda:0", values)
      local wrong = setmetatable(
        { reference = mistakes.edited(definition.reference, edit) },
        { __index = definition }
      )
      local expected = assert(assert(reference(definition))(table.unpack(values, 1, #list)))
      local got = assert(assert(reference(wrong))(table.unpack(values, 1, #list)))
      local settings = edit.tolerance and { atol = edit.tolerance, rtol = edit.tolerance }
      local found = diagnose.explain(definition, values, got, expected, { settings = settings, budget = 60 })
      assert.is_true(#found > 0, "nothing is said")
      assert.equal(edit[4], found[1].what:sub(1, #edit[4]), table.concat(diagnose.lines(found), "\n"))
    end)
  end
end)
