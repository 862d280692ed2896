--- Mistakes of norms' kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed = mistakes.changed

-- The norm by its formula: rows in float32, what they are scaled by, what is added under the root.
local function norm(rows, gain, eps)
  local mean = rows:square():mean(2, true)
  return rows * (mean + eps):rsqrt() * gain
end

-- What the definition's kernel is given: its rows, the gain, epsilon as far as it is known.
local function parts_of(case)
  local input = case.input
  local rows = input.hidden_states:to "float32"
  if input.residual then rows = rows + input.residual:to "float32" end
  local _, details = require("hone.ops").signature(case.definition)
  local hidden = details.hidden or {}
  local weight = input.weight:to "float32"
  local has_offset = tonumber(hidden.weight_offset or hidden.offset) == 1
  return rows, weight, tonumber(hidden.eps) or 1e-6, has_offset
end

local function by_formula(what, hint, make)
  return {
    what = what,
    hint = hint,
    outputs = function(case)
      local rows, weight, eps, has_offset = parts_of(case)
      local made = make(rows, weight, eps, has_offset)
      return made and { output = made:to(case.expected.output.dtype) }
    end,
  }
end

local list = {
  by_formula(
    "the weight is missing",
    "multiply by the weight",
    function(rows, _, eps) return norm(rows, 1.0, eps) end
  ),
  by_formula(
    "the weight plus one is applied, as in Gemma",
    "multiply by the weight itself",
    function(rows, w, eps, plus) return not plus and norm(rows, w + 1, eps) or nil end
  ),
  by_formula(
    "the weight is applied without plus one",
    "Gemma's norm multiplies by 1 + weight",
    function(rows, w, eps, plus) return plus and norm(rows, w, eps) or nil end
  ),
  by_formula(
    "the mean is subtracted, as in LayerNorm",
    "an RMS norm does not centre",
    function(rows, w, eps, plus) return norm(rows - rows:mean(2, true), plus and w + 1 or w, eps) end
  ),
  by_formula(
    "rows are not normalised",
    "divide by the root of the mean square",
    function(rows, w, _, plus) return rows * (plus and w + 1 or w) end
  ),
  by_formula(
    "rows are divided by the mean square, without the root",
    "rsqrt, not a division",
    function(rows, w, eps, plus) return rows / (rows:square():mean(2, true) + eps) * (plus and w + 1 or w) end
  ),
  by_formula(
    "epsilon is added outside the root",
    "rsqrt(mean square + eps)",
    function(rows, w, eps, plus)
      return rows / (rows:square():mean(2, true):sqrt() + eps) * (plus and w + 1 or w)
    end
  ),
  changed(
    "the residual is not added",
    "normalise the sum",
    function(input) return input.residual and { residual = tensor.zeros_like(input.residual) } end
  ),
}

for _, other in ipairs { 0.0, 1e-5, 1e-6, 1e-8, 1e-3 } do
  local what = other == 0 and "epsilon is missing" or ("epsilon is %g"):format(other)
  list[#list + 1] = {
    what = what,
    hint = "take epsilon from the reference",
    outputs = function(case)
      local rows, weight, eps, has_offset = parts_of(case)
      if eps == other then return nil end
      return { output = norm(rows, has_offset and weight + 1 or weight, other):to(case.expected.output.dtype) }
    end,
  }
end

return list
