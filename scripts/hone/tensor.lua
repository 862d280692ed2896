--- Tensors: see scripts/meta/tensor.lua for what there is. The work is done in engine/tensor.
local tensor = require "hone.core.tensor"

-- Items of an index, t[{tensor.all, tensor.newaxis, 2}].
tensor.all = ":"
tensor.ellipsis = "..."
tensor.newaxis = "new"

return tensor
