---@meta hone.parallel
--- Several pieces of work at once, each written as if it were alone.
---
---     local results = parallel.run {
---       function(await) return await { "git", "fetch" }.status end,
---       function(await) return await { "git", "-C", "other", "fetch" }.status end,
---     }
local parallel = {}

--- Run functions side by side, in one thread: while one waits for its command the others go on. `await` takes
--- what process.run takes, and returns the result, or nil and why the command could not be run. When one
--- raises, the commands of all are ended, their to-be-closed values are closed, and the error goes on.
---@param pieces (fun(await: fun(command: table): table?, string?): ...)[]
---@return table[] results what each returned, as table.pack gives it
function parallel.run(pieces) end

return parallel
