--- Mistakes of matrix products' kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed = mistakes.changed

-- A factor of 1, be it a number or a tensor of them.
local function ones(value)
  if tensor.is_tensor(value) then return tensor.ones_like(value) end
  return type(value) == "number" and value ~= 1 and 1.0 or nil
end

local function unscaled(what, ...)
  local names = { ... }
  return changed(what, "multiply FP8 values by the scales of their blocks", function(input)
    local inputs = {}
    for _, name in ipairs(names) do
      inputs[name] = ones(input[name])
    end
    return next(inputs) and inputs
  end)
end

-- The scales in memory as if their dimensions were in the other order.
local function misread(what, name)
  return changed(what, "check the strides of the scales", function(input)
    local t = input[name]
    if not tensor.is_tensor(t) or t:dim() ~= 2 then return nil end
    return { [name] = t:reshape(t:size(2), t:size(1)):t():contiguous() }
  end)
end

return {
  changed("B is not transposed", "C = A @ B.T: both are summed over their last dimension", function(input)
    local B = input.B
    if B:size(1) ~= B:size(2) then return nil end
    return { B = B:t():contiguous() }
  end),
  changed("B is read as [K, N]", "its rows are output features: check the leading dimension", function(input)
    local B = input.B
    if B:size(1) == B:size(2) then return nil end
    return { B = B:reshape(B:size(2), B:size(1)):t():contiguous() }
  end),
  unscaled("A's scale is missing", "A_scale"),
  unscaled("B's scale is missing", "B_scale"),
  unscaled("both scales are missing: the FP8 values are taken as they are", "A_scale", "B_scale"),
  misread("A's scales are read as if they were transposed", "A_scale"),
  misread("B's scales are read as if they were transposed", "B_scale"),
}
