--- Random outputs beside expected ones: for evaluators, and for what others say of the same.
local json, tensor = require "hone.json", require "hone.tensor"

local M = {}

local DTYPES = { "float32", "float16", "bfloat16", "int32", "int64" }
local NAMES = { "some_kernel", "moe_fp8_block_scale_some", "other_kernel" }

local function definition_of(name, outputs)
  local definition = json.object {
    { "name", name },
    { "op_type", "some" },
    { "axes", json.object { { "n", json.object { { "type", "var" } } } } },
    { "inputs", json.object { { "x", json.object { { "shape", { "n" } }, { "dtype", "float32" } } } } },
    { "outputs", json.object() },
    { "reference", "def run(x):\n    return x\n" },
  }
  for i, dtype in ipairs(outputs) do
    definition.outputs["y" .. i] = json.object { { "shape", { "n" } }, { "dtype", dtype } }
  end
  return definition
end

-- A draw of 1 .. n.
local function one_of(r, n) return tensor.randint(1, n + 1, { 1 }, { generator = r }):item() end
local function chance(r, p) return tensor.rand(1, { generator = r, dtype = "float64" }):item() < p end

local SHAPES = { { 7 }, { 3, 5 }, { 1 }, { 0 }, { 2, 3, 4 }, { 130 }, {} }

-- What a solution might make of an expected output.
local function perturb(r, expected, case)
  local output = expected:clone()
  local is_float = output:is_floating_point()
  local kind = one_of(r, 10)
  if kind <= 4 then
    if is_float then
      local noise = tensor.randn(output:shape(), { generator = r }) * 10 ^ (one_of(r, 5) - 5)
      output = (output:to "float32" + noise):to(output.dtype)
    elseif output:numel() > 0 then
      output = output + tensor.randint(0, 2, output:shape(), { generator = r }):to(output.dtype)
    end
  elseif kind == 5 and output:numel() > 0 then
    output:view(-1)[one_of(r, output:numel())] = 77
  elseif kind == 6 and chance(r, 0.6) then
    output = tensor.cat { output:reshape(-1), output:reshape(-1):narrow(1, 1, math.min(1, output:numel())) }
    case.what = case.what .. " shape"
  elseif kind == 7 and chance(r, 0.6) then
    output = output:to(output.dtype == "float32" and "float16" or "float32")
    case.what = case.what .. " dtype"
  end
  return output
end

local STRANGE = { math.huge, -math.huge, 0 / 0 }

-- Put what is not finite into the one, the other or both.
local function add_strange(r, output, expected, case)
  if not (expected:is_floating_point() and expected:numel() > 0) or output:numel() ~= expected:numel() then return end
  if not output:is_floating_point() then return end
  local where, value = one_of(r, 3), STRANGE[one_of(r, 3)]
  local at = one_of(r, expected:numel())
  if where ~= 1 then expected:view(-1)[at] = value end
  if where ~= 2 then output:view(-1)[at] = value end
  case.strange = true
  case.what = ("%s strange %s in %d"):format(case.what, value, where)
end

local function one_case(r, i)
  local case = { what = "case " .. i, outputs = {}, expected = {}, inputs = {} }
  local dtypes, shapes = {}, {}
  for k = 1, one_of(r, 2) do
    dtypes[k], shapes[k] = DTYPES[one_of(r, #DTYPES)], SHAPES[one_of(r, #SHAPES)]
  end
  case.definition = definition_of(NAMES[one_of(r, #NAMES)], dtypes)
  local settings = { atol = 10.0 ^ -one_of(r, 4), rtol = 10.0 ^ -one_of(r, 4) }
  if chance(r, 0.5) then settings.required_matched_ratio = ({ 0.5, 0.9, 0.99, 1.0 })[one_of(r, 4)] end
  case.settings = settings
  case.resolved = { atol = settings.atol, rtol = settings.rtol, extra = {} }
  case.resolved.required_matched_ratio = settings.required_matched_ratio
  local want_strange = chance(r, 0.35)
  for trial = 1, one_of(r, 3) do
    case.outputs[trial], case.expected[trial] = {}, {}
    for k, dtype in ipairs(dtypes) do
      local expected = (tensor.randn(shapes[k], { generator = r }) * 4):to(dtype)
      local output = chance(r, 0.4) and expected:clone() or perturb(r, expected, case)
      if want_strange and chance(r, 0.6) then add_strange(r, output, expected, case) end
      case.outputs[trial][k], case.expected[trial][k] = output, expected
    end
    case.inputs[trial] = { tensor.zeros(1) }
  end
  return case
end

---So many cases of a seed.
function M.cases(seed, n)
  local r, cases = tensor.generator(seed), {}
  for i = 1, n do
    cases[i] = one_case(r, i)
  end
  return cases
end

---Cases as JSON and the tensors that they name.
function M.describe(cases)
  local list, tensors = json.array {}, {}
  for i, case in ipairs(cases) do
    local function keys(kind, of)
      local named = json.array {}
      for trial, values in ipairs(of) do
        named[trial] = json.array {}
        for k, t in ipairs(values) do
          local key = ("c%d_%s_%d_%d"):format(i, kind, trial, k)
          tensors[key], named[trial][k] = t:contiguous(), key
        end
      end
      return named
    end
    list[i] = json.object {
      { "definition", case.definition },
      { "settings", case.settings },
      { "outputs", keys("outputs", case.outputs) },
      { "expected", keys("expected", case.expected) },
      { "inputs", keys("inputs", case.inputs) },
    }
  end
  return list, tensors
end

return M
