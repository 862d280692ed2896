---@meta hone.dataset.trace

--- Traces: what came of a solution on a workload. One with neither solution nor evaluation is a workload's line.
local trace = {}

--- The trace as flashinfer-bench would read it, with all fields; those without a value are `json.null`.
---@param t table
---@return table? trace
---@return string? message
function trace.check(t) end

--- Whether it is a workload's line.
---@param t table
---@return boolean
function trace.is_workload(t) end

--- One line without its newline, byte for byte as flashinfer-bench writes it. Infinite latencies and scalars are
--- quoted, where it writes a null that it cannot read again.
---@param t table
---@return string? line
---@return string? message
function trace.line(t) end

--- Read one line. Bare NaN and Infinity are taken.
---@param line string
---@param name? string # what messages call the text
---@return table? trace
---@return string? message
function trace.read(line, name) end

--- The file that a solution's traces are in.
---@param root string
---@param solution table
---@param definition table
---@return string? path
---@return string? message
function trace.path(root, solution, definition) end

--- Append a trace as one whole line, however many processes append to the file; a torn last line is ended first.
---@param root string
---@param t table
---@param solution table
---@param definition table
---@return string? path
---@return string? message
---@return string? code
function trace.append(root, t, solution, definition) end

return trace
