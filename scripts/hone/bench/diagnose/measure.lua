--- How far one tensor is from another, as a diagnosis weighs it.
local tensor = require "hone.tensor"

local M = {}

-- In double precision: poison is large, and its square larger.
local function numbers(t)
  if t.dtype == "float4_e2m1" then t = t:unpack_float4() end
  return t:to "float64"
end

local MOST = 1 << 22 -- elements whose errors are summed: of more, rows at even distances

local function some(t)
  local rows = t:dim() > 0 and t:size(1) or 0
  local step = t:numel() // MOST + 1
  if step == 1 or rows < 2 * step then return t end
  local picked = tensor.arange((rows + step - 1) // step, { device = t.device }) * step
  return t:index_select(1, picked)
end

---@class hone.bench.diagnose.Measure
---@field error number # root of the squared differences over that of the squares of what was wanted
---@field matched number # the share of elements within tolerance
---@field strange integer # elements that only one side has as infinity or NaN
---@field fits boolean # as many are within tolerance as have to be
---@field is_of_some boolean # whether errors were summed over some rows only

-- Integers name things: they are the same or not.
local function between_names(got, wanted)
  local same = got:eq(wanted):to("float64"):mean():item()
  return { error = 1 - same, matched = same, strange = 0, fits = same == 1 }
end

---Measure `got` against `wanted`: tensors of one shape.
---@return hone.bench.diagnose.Measure
function M.between(got, wanted, tolerance)
  if not wanted.dtype:find "float" then return between_names(got, wanted) end
  local found = tensor.compare(got, wanted, tolerance)
  local x, y = some(got), some(wanted)
  x, y = numbers(x), numbers(y)
  local finite = x:isfinite() & y:isfinite()
  local difference = tensor.where(finite, x - y, 0.0):square():sum():item()
  local size = tensor.where(finite, y, 0.0):square():sum():item()
  local result = { matched = found.matched_ratio, strange = found.nonfinite_mismatches }
  result.error = difference == 0 and 0.0 or size > 0 and math.sqrt(difference / size) or math.huge
  result.fits = result.strange == 0 and result.matched >= (tolerance.required or 1.0)
  result.is_of_some = x:numel() < got:numel()
  return result
end

local MUCH, SOME = 10, 2

---Whether what is left of an error is so little that the mistake explains it.
function M.explains(left, base)
  if base.fits or left.strange > 0 then return false end
  if left.fits and (base.strange > 0 or base.error == 0) then return true end -- it lies where errors were not summed
  if base.error == 0 then return false end
  if left.is_of_some and 1 - left.matched > (1 - base.matched) / 2 then return false end
  if left.error <= base.error / MUCH then return true end
  return left.fits and left.error <= base.error / SOME
end

return M
