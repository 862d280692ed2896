--- What the first word of a command line is: a skill, or a script whose name does not say so.
local M = {}

local function is_file(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

---A skill of that name wins over a file of that name.
---@param word string with or without a leading slash
---@return "skill"|"script"|nil kind
---@return string? name the skill's name, or the message when it is neither
function M.kind(word)
  local name = word:gsub("^/", "")
  local found, why = require("hone.skill").find(name)
  if found then return "skill", name end
  if is_file(word) then return "script" end
  return nil, ("unknown skill or script '%s': %s"):format(word, why)
end

return M
