--- Whether what a solution gave is right: one evaluator a kind of definition, chosen as flashinfer-bench chooses.
--
-- An evaluator is a file of this folder that returns a table:
--   name
--   calls(self, axes)         how many calls it takes to judge, and how many times each holds the workload's rows: by
--                             default as many as there are trials, once
--   same_inputs               all calls get the same inputs' contents (sampling)
--   begin(self)               what is kept while calls are judged, put into self
--   check(self, outputs, expected, inputs)   one call: nil, or a verdict that ends it
--   finish(self)              the verdict after all calls
-- `self` holds definition, settings (resolved), max_absolute, max_relative, log (lines), failed, and what
-- flashinfer-bench would say of what was seen so far: upstream_failed, upstream_ended (it would not look further).
local json = require "hone.json"
local tensor = require "hone.tensor"

local evaluate = {}

local Evaluator = {}
Evaluator.__index = Evaluator

-- As flashinfer-bench's registry: where two match, it gives up.
local SPARSE_ATTENTION = {
  dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps1 = true,
  dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64 = true,
}
local KINDS = {
  { "sampling", function(d) return d.op_type == "sampling" end },
  { "lowbit", function(d) return d.name:find("moe_fp8_block_scale", 1, true) ~= nil end },
  { "dsa_sparse_attention", function(d) return SPARSE_ATTENTION[d.name] == true end },
  { "dsa_topk_indexer", function(d) return d.name:find "^dsa_topk_indexer" ~= nil end },
}

---The name of the evaluator that judges a definition; nil where two would.
function evaluate.choose(definition)
  local chosen
  for _, kind in ipairs(KINDS) do
    if kind[2](definition) then
      if chosen then
        return nil, ("%s is for two evaluators: %s and %s"):format(definition.name, chosen, kind[1])
      end
      chosen = kind[1]
    end
  end
  return chosen or "default"
end

---An evaluator for the calls of one solution on one workload.
---@param definition table
---@param settings table # resolved
---@return table? evaluator
---@return string? message
function evaluate.new(definition, settings)
  local name, why = evaluate.choose(definition)
  if not name then return nil, why end
  local kind = require("hone.bench.evaluate." .. name)
  local self = setmetatable({
    name = name,
    kind = kind,
    definition = definition,
    settings = settings,
    inputs = json.keys(definition.inputs),
    outputs = json.keys(definition.outputs),
    max_absolute = 0.0,
    max_relative = 0.0,
    trials = 0,
    log = {},
    same_inputs = kind.same_inputs or false,
  }, Evaluator)
  if kind.begin then kind.begin(self) end
  return self
end

-- ---- parts that evaluators share -------------------------------------------------------------------

function Evaluator:note(format, ...) self.log[#self.log + 1] = format:format(...) end

---The input called `name` of a list in the definition's order.
function Evaluator:input(inputs, name)
  for i, known in ipairs(self.inputs) do
    if known == name then return inputs[i] end
  end
end

---A verdict where the definition has no input of one of these names, which an evaluator cannot do without.
function Evaluator:check_inputs(...)
  for _, name in ipairs { ... } do
    if not self.definition.inputs[name] then
      self:note("%s has no input '%s', which its evaluator (%s) needs", self.definition.name, name, self.name)
      return self:verdict "RUNTIME_ERROR"
    end
  end
end

-- The status that flashinfer-bench would give, where it is not ours.
local function upstream_of(self, status)
  if self.upstream_failed == nil then return nil end
  local theirs = self.upstream_failed and "INCORRECT_NUMERICAL" or "PASSED"
  local is_about_values = status == "PASSED" or status == "INCORRECT_NUMERICAL"
  if theirs == status or not is_about_values and not self.upstream_ended then return nil end
  return theirs
end

---A verdict of this status, with what was found so far.
function Evaluator:verdict(status)
  local verdict = { status = status, log = self.log, upstream = upstream_of(self, status) }
  if verdict.upstream then self:note("flashinfer-bench would say %s of this", verdict.upstream) end
  if status == "PASSED" or status == "INCORRECT_NUMERICAL" then
    verdict.correctness = {
      max_relative_error = self.max_relative,
      max_absolute_error = self.max_absolute,
      extra = self.extra,
    }
  end
  return verdict
end

---INCORRECT_NUMERICAL with both errors as given.
function Evaluator:wrong(error_value, format, ...)
  if format then self:note(format, ...) end
  self.max_absolute, self.max_relative = error_value, error_value
  return self:verdict "INCORRECT_NUMERICAL"
end

local function shape_text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i, size in ipairs(a) do
    if size ~= b[i] then return false end
  end
  return true
end

---What can be said of one output without its elements: a verdict where shape or dtype is wrong. An output may be a
---tensor or what is known of one, { shape, dtype }.
function Evaluator:check_form(i, output, expected)
  local is_tensor = tensor.is_tensor(output)
  local shape = is_tensor and output:shape() or output.shape
  if not same_shape(shape, expected:shape()) then
    self:note(
      "%s has shape %s, it should be %s",
      self.outputs[i],
      shape_text(shape),
      shape_text(expected:shape())
    )
    return self:verdict "INCORRECT_SHAPE"
  end
  if output.dtype ~= expected.dtype then
    self:note("%s is %s, it should be %s", self.outputs[i], output.dtype, expected.dtype)
    return self:verdict "INCORRECT_DTYPE"
  end
end

---Judge one call: nil, or a verdict that ends it.
function Evaluator:check(outputs, expected, inputs)
  self.trials = self.trials + 1
  return self.kind.check(self, outputs, expected, inputs)
end

---How many calls it takes, given the workload's sizes, and how many times over each of them holds its rows.
function Evaluator:calls(axes)
  if self.kind.calls then return self.kind.calls(self, axes) end
  return self.settings.num_trials, 1
end

---The verdict after all calls.
function Evaluator:finish()
  if self.kind.finish then return self.kind.finish(self) end
  return self:verdict(self.failed and "INCORRECT_NUMERICAL" or "PASSED")
end

return evaluate
