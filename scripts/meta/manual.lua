---@meta hone.manual
--- Manual pages of skills, made from their tables.
local manual = {}

--- The usage, wrapped, without a final newline.
---@param name string
---@param loaded hone.skill.Skill
---@return string
function manual.usage(name, loaded) end

--- The page that `--help` prints, without a final newline.
---@param name string
---@param loaded hone.skill.Skill
---@return string
function manual.page(name, loaded) end

--- The page for docs/, as Markdown.
---@param name string
---@param loaded hone.skill.Skill
---@return string
function manual.markdown(name, loaded) end

--- The SKILL.md that agents read: YAML front matter, how to run the skill, what comes back.
---@param name string
---@param loaded hone.skill.Skill
---@return string
function manual.agent(name, loaded) end

return manual
