---@meta hone.cli
--- The command line of a skill.
local cli = {}

--- Run a skill as `hone NAME WORDS...` does. Nothing is raised: what went wrong is on stderr, in one line,
--- with the usage when the command line was wrong, and with a traceback only when it is a bug.
---@param name string
---@param words string[]
---@return integer status 0 done, 1 refused or a bug, 2 wrong command line, 130 interrupted
function cli.main(name, words) end

return cli
