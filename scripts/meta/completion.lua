---@meta hone.completion
--- Shell completion, made from the tables of the skills.
local completion = {}

--- A script that completes names of skills, flags, choices and files in bash.
---@param skills { name: string, loaded: hone.skill.Skill }[]
---@return string
function completion.bash(skills) end

return completion
