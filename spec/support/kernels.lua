--- Definitions of kernels, built from sizes.
local ops = require "hone.ops"

local kernels = {}

---A kernel's definition, told of those sizes alone that it has.
function kernels.build(op_type, variant, sizes)
  local params, op = {}, ops.get(op_type)
  local kind = op.variants[variant]
  for _, axis in ipairs(kind.axes) do
    if axis[2] == "const" and not axis.value then params[axis[1]] = sizes[axis[1]] end
  end
  for _, constant in ipairs(op.hidden_constants or {}) do
    if not constant.of or constant.of(kind) then params[constant.name] = sizes[constant.name] end
  end
  return assert(ops.build(op_type, variant, params))
end

return kernels
