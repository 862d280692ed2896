---@meta hone.dataset.workload

--- Workloads: the sizes of a definition's variable axes, and where each input comes from.
local workload = {}

--- The workload as flashinfer-bench would read it; every input has its type.
---@param value table
---@param field? string # what messages call it
---@return table? workload
---@return string? message
function workload.check(value, field) end

--- The sizes of variable axes in words: "batch_size=7 num_pages=18".
---@param axes table<string, integer>
---@return string
function workload.axes_text(axes) end

return workload
