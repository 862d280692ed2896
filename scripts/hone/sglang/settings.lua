--- The settings of SGLang's server with the defaults that its sources declare.
--
-- They are class bodies of `name: type = literal`, so reading them takes no evaluation and no syntax tree: the
-- namespaces of srt/arg_groups/fields in newer versions, the dataclass ServerArgs before.
local fs = require "hone.fs"
local outline = require "hone.core.outline"

local M = {}

local FIELDS_FOLDER = "srt/arg_groups/fields"
local SERVER_ARGS = "srt/server_args.py"

---A default that is None.
M.NONE = {}

local CONSTANTS = { True = true, False = false, None = M.NONE }

-- The value of a literal, nil for other expressions.
local function literal(text)
  if CONSTANTS[text] ~= nil then return CONSTANTS[text] end
  if text:find "^%d+$" then return math.tointeger(text) end
  if text:find "^[%d.]+[eE]?[-+]?%d*$" then return tonumber(text) end
  return text:match '^"([^"\\]*)"$' or text:match "^'([^'\\]*)'$"
end

local function fields_of(source)
  local texts, fields = outline.fields(source) or {}, {}
  for i = 1, #texts, 2 do
    fields[#fields + 1] = { texts[i], literal(texts[i + 1]) }
  end
  return fields
end

-- By path, the text of a file and its fields: the settings are read again for other parallel sizes.
local known = {}

local function read_file(path, found)
  local source = fs.read(path)
  if not source then return end
  found.files[#found.files + 1] = { path = path, bytes = #source }
  if not (known[path] and known[path].source == source) then
    known[path] = { source = source, fields = fields_of(source) }
  end
  for _, field in ipairs(known[path].fields) do
    local name, default = field[1], field[2]
    if name == "_NS_PATH" then
      for part in tostring(default):gmatch("[^.]+") do
        found.groups[part] = true
      end
    elseif default ~= nil and found.defaults[name] == nil then
      found.defaults[name] = default
    end
  end
end

---Read the defaults.
---@param package string # SGLang's package folder
---@return { defaults: table<string, any>, groups: table<string, boolean>, files: table[] } settings
function M.read(package)
  local found = { defaults = {}, groups = {}, files = {} }
  local folder = fs.join(package, FIELDS_FOLDER)
  if fs.is_dir(folder) then
    for _, file in ipairs(fs.list(folder) or {}) do
      if file:find("%.py$") then read_file(fs.join(folder, file), found) end
    end
  else
    read_file(fs.join(package, SERVER_ARGS), found)
  end
  return found
end

return M
