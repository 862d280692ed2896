---@meta hone
--- The front door: every library under its name, on first use, and every skill as a function.
---
---     local hone = require "hone"
---     local config = hone.json.read("config.json")
---     local result, why = hone.skills["clone-repos"]{ target_dir = "./repos" }
---
--- A library that does not exist is nil, as any absent field is.
local hone = {}

--- The skills by name. Calling one checks the arguments as the command line does: an unknown name or a wrong
--- value is raised, and blamed on the caller. What the world refuses is returned: nil, message, code.
--- `pairs(hone.skills)` goes through all there are.
hone.skills = nil ---@type table<string, fun(args?: table): any, string?, string?>

return hone
