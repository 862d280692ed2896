--- Python files: finding and parsing them.
local syntax = require "hone.syntax"
local outline = require "hone.python.outline"

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
  return {
    root = root,
    expand = function(node) return tree:expand(node, CONVERSION) end,
    tree = tree,
    text = text,
  }
end

local function read_text(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, ("cannot read %s"):format(message) end
  local text = file:read("a")
  file:close()
  if not text then return nil, ("cannot read %s"):format(path) end
  return text
end

---Parse a text as far as its outline allows: `definitions` are then parsed by source.definition.
local function parse_outline(text, path)
  local parts = outline.of(text)
  if not parts or #parts.definitions == 0 then return source.parse(text, path) end
  local tree = source.parse(parts.rest, path)
  if not tree then return source.parse(text, path) end
  tree.definitions, tree.whole_text, tree.path = parts.definitions, text, path
  return tree
end

---Parse one definition of an outlined file.
---@return table? tree whose root[1] is the definition
---@return string? message
function source.definition(tree, definition)
  if definition.tree then return definition.tree end
  local text = ("\n"):rep(definition.line - 1) .. tree.whole_text:sub(definition.from, definition.to)
  local own = source.parse(text, tree.path)
  if own and #own.root == 1 then
    definition.tree = own
    return own
  end
  local whole, message = source.parse(tree.whole_text, tree.path)
  if not whole then return nil, message end
  for _, node in ipairs(whole.root) do
    if node.line == definition.line then
      definition.tree = { root = { node }, expand = whole.expand, text = whole.text }
    end
  end
  return definition.tree,
    ("%s:%d: cannot tell where '%s' ends"):format(tree.path, definition.line, definition.name)
end

-- Trees by path, as long as some world uses them: worlds for other parallel sizes read the same files.
source.parsed = setmetatable({}, { __mode = "v" })

---Read and parse a file, and count it in the world's report.
---@param whole boolean? parse all of it at once, for its syntax errors
---@return table? tree { root, expand, text, definitions? }
---@return string? message
function source.read(path, world, whole)
  local text, message = read_text(path)
  if not text then return nil, message end
  if world then table.insert(world.report.files, { path = path, bytes = #text }) end
  local tree = source.parsed[path]
  if tree and (tree.whole_text or tree.text) == text and not (whole and tree.whole_text) then return tree end
  tree, message = (whole and source.parse or parse_outline)(text, path)
  source.parsed[path] = tree
  return tree, message
end

return source
