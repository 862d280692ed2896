--- Tensors: see scripts/meta/tensor.lua for what there is. The work is done in engine/tensor, and for
--- tensors on a GPU in engine/gpu/tensor.
local tensor = require "hone.core.tensor"

-- Items of an index, t[{tensor.all, tensor.newaxis, 2}].
tensor.all = ":"
tensor.ellipsis = "..."
tensor.newaxis = "new"

function tensor.Tensor:cpu() return self:to "cpu" end

function tensor.Tensor:cuda(index) return self:to("cuda:" .. (index or 0)) end

tensor._on_cuda(function() require("hone.cuda.toolkit").find_library(tensor._cuda_libraries) end)

return tensor
