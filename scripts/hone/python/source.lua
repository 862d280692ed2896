--- Python files: finding and parsing them.
local syntax = require "hone.syntax"

local source = {}

local CONVERSION = {
  lazy = { "block" },
  tokens = { "yield" },
  text = { "type", "interpolation", "format_specifier", "format_expression" },
}

local function is_readable(path)
  local file = io.open(path, "r")
  if not file then return false end
  file:close()
  return true
end

---Find a module's file under a package's folder.
---@param root string folder of the package
---@param name string dotted name under it, "" for the package itself
---@return table? found { file?, folder?, is_package }
function source.find(root, name)
  local path = name == "" and root or root .. "/" .. name:gsub("%.", "/")
  if is_readable(path .. "/__init__.py") then
    return { file = path .. "/__init__.py", folder = path, is_package = true }
  end
  if name ~= "" and is_readable(path .. ".py") then return { file = path .. ".py", is_package = false } end
  -- fopen opens folders too, for reading nothing
  if is_readable(path) then return { folder = path, is_package = true } end
end

---Parse Python text.
---@return table? { root = tables, expand = function(lazy node) }
---@return string? message one line with file, line and column
function source.parse(text, name)
  local tree, message = syntax.parse(text, "python")
  if not tree then return nil, ("%s: %s"):format(name, message) end
  if tree:root():has_error() then
    local first = tree:errors(1)[1]
    if first then
      return nil, ("%s:%d:%d: syntax error: %s"):format(name, first.row, first.col, first.message)
    end
    return nil, name .. ": syntax error"
  end
  local root
  root, message = tree:to_table(nil, CONVERSION)
  if not root then return nil, ("%s: %s"):format(name, message) end
  return { root = root, expand = function(node) return tree:expand(node, CONVERSION) end, tree = tree,
    text = text }
end

-- Trees by path, as long as some world uses them: worlds for other parallel sizes read the same files.
source.parsed = setmetatable({}, { __mode = "v" })

---Read and parse a file, and count it in the world's report.
function source.read(path, world)
  local file, message = io.open(path, "rb")
  if not file then return nil, ("cannot read %s"):format(message) end
  local text = file:read("a")
  file:close()
  if not text then return nil, ("cannot read %s"):format(path) end
  if world then table.insert(world.report.files, { path = path, bytes = #text }) end
  local tree = source.parsed[path]
  if tree and tree.text == text then return tree end
  tree, message = source.parse(text, path)
  source.parsed[path] = tree
  return tree, message
end

return source
