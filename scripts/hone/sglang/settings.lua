--- The settings of SGLang's server with the defaults that its sources declare.
--
-- They are class bodies of `name: type = literal`, so reading them takes no evaluation: the namespaces of
-- srt/arg_groups/fields in newer versions, the dataclass ServerArgs before.
local fs = require "hone.fs"
local syntax = require "hone.syntax"

local M = {}

local FIELDS_FOLDER = "srt/arg_groups/fields"
local SERVER_ARGS = "srt/server_args.py"

---A default that is None.
M.NONE = {}

local LITERALS = {
  integer = function(node) return math.tointeger(node.text) end,
  float = function(node) return tonumber(node.text) end,
  ["true"] = function() return true end,
  ["false"] = function() return false end,
  none = function() return M.NONE end,
  string = function(_, source, node) return source:sub(node.from, node.to):match("^['\"](.*)['\"]$") end,
}

local function literal(node, source)
  local read = node and LITERALS[node.type]
  if read then return read(node, source, node) end
end

local function each_field(class, source, field)
  for _, statement in ipairs(class.body or {}) do
    local assignment = statement.type == "expression_statement" and statement[1]
    if assignment and assignment.type == "assignment" and assignment.left.type == "identifier" then
      field(assignment.left.text, literal(assignment.right, source))
    end
  end
end

-- Classes at a module's top level, decorated ones too.
local function classes_of(root)
  local classes = {}
  for _, node in ipairs(root) do
    local class = node.type == "decorated_definition" and node.definition or node
    if class.type == "class_definition" then classes[#classes + 1] = class end
  end
  return classes
end

local function fields_of(source)
  local tree = syntax.parse(source, "python")
  local root = tree and tree:to_table(nil, { offsets = true, lazy = { "type", "function_definition" } })
  if tree then tree:close() end
  local fields = {}
  for _, class in ipairs(root and classes_of(root) or {}) do
    each_field(class, source, function(name, default) fields[#fields + 1] = { name, default } end)
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
