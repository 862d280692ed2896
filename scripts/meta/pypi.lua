---@meta hone.pypi
--- Bringing the sources of published Python packages, through `python3 -m pip`. Nothing of them is run.
local pypi = {}

--- What is to be brought.
---@class hone.pypi.Job
---@field name string
---@field package string its name on the package index
---@field version? string the newest when absent
---@field path string
---@field inside string where in the folder the archive's content goes; "" for the folder itself
---@field before? hone.repos.Entry what was recorded the last time
---@field await fun(command: table): table?, string? runs a command of hone.process; may yield
---@field progress fun(percent: number, note: string)
---@field warn fun(fmt: string, ...)

--- Bring the package's sources, or keep them when the wanted version is there. What was changed by hand, or
--- came from elsewhere, is not replaced. Wheels only, built for whatever Python and machine.
---@param job hone.pypi.Job
---@return hone.repos.Entry? entry with `status`: "downloaded", "updated" or "unchanged"
---@return string? message
function pypi.bring(job) end

return pypi
