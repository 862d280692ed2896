--- Python files: finding and parsing them.
local syntax = require "hone.syntax"
local core = require "hone.python.core"
local outline = require "hone.python.outline"

local types = core.types
local source = {}

local CONVERSION = {
  lazy = { "block" },
  tokens = { "yield" },
  text = { "type", "interpolation", "format_specifier", "format_expression" },
}

-- How a text is converted whose first line has this number.
local function conversion_at(line)
  if not line then return CONVERSION end
  local conversion = { line = line }
  for option, value in pairs(CONVERSION) do
    conversion[option] = value
  end
  return conversion
end

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

-- Parsed text with no mistakes in it; nil and a message that names the first one.
local function parse_whole(text, name)
  local tree, message = syntax.parse(text, "python")
  if not tree then return nil, ("%s: %s"):format(name, message) end
  if tree:root():has_error() then
    local first = tree:errors(1)[1]
    if first then
      return nil, ("%s:%d:%d: syntax error: %s"):format(name, first.row, first.col, first.message)
    end
    return nil, name .. ": syntax error"
  end
  return tree
end

---Parse Python text.
---@param line integer? number of its first line, for a piece of a file
---@return table? { root = tables, expand = function(lazy node), text_of = function(node that was lazy) }
---@return string? message one line with file, line and column
function source.parse(text, name, line)
  local tree, message = parse_whole(text, name)
  if not tree then return nil, message end
  local conversion = conversion_at(line)
  local root
  root, message = tree:to_table(nil, conversion)
  if not root then return nil, ("%s: %s"):format(name, message) end
  return {
    root = root,
    expand = function(node) return tree:expand(node, conversion) end,
    text_of = function(node) return node.from and text:sub(node.from, node.to) end,
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

---Read and parse a file, all of it at once.
---@return table? tree as source.parse gives it
---@return string? message
function source.whole(path)
  local text, message = read_text(path)
  if not text then return nil, message end
  return source.parse(text, path)
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

-- The body of the function at a line.
local function body_at(node, line)
  if node.type == "function_definition" and node.line == line then return node.body end
  for _, child in ipairs(node) do
    local body = body_at(child, line)
    if body then return body end
  end
end

-- The statements of a function's body that was left out, nil where they do not parse on their own.
local function parse_body(text, line)
  local tree = parse_whole("def _():\n" .. text, "body")
  if not tree then return nil end
  local root =
    tree:to_table(nil, { tokens = CONVERSION.tokens, text = CONVERSION.text, line = math.max(1, line - 1) })
  tree:close()
  return root and #root == 1 and root[1].body or nil
end

-- Let the bodies that a definition was parsed without be put in where they are asked for.
local function complete_later(own, bodies, text, whole)
  local expand, text_of = own.expand, own.text_of
  function own.expand(node)
    local body = node.lazy and bodies[node.from]
    if not body then return expand(node) end
    local statements = parse_body(text:sub(body.from, body.to), body.line)
    if not statements then
      local tree, message = whole()
      statements = tree and body_at(tree.root, body.def)
      if not statements then error(core.exception(types.SyntaxError, { message }), 0) end
      if statements.lazy then tree.expand(statements) end
    end
    node.lazy = nil
    return table.move(statements, 1, #statements, 1, node)
  end
  function own.text_of(node)
    local body = bodies[node.from]
    if not body then return text_of(node) end
    return text:sub(body.from, body.to)
  end
end

-- A definition all of which is parsed: by itself, else with all of its file.
local function whole_definition(tree, definition)
  local text = tree.whole_text:sub(definition.from, definition.to)
  local own = source.parse(text, tree.path, definition.line)
  if own and #own.root == 1 then return own end
  local whole, message = source.parse(tree.whole_text, tree.path)
  if not whole then return nil, message end
  for _, node in ipairs(whole.root) do
    if node.line == definition.line then
      return { root = { node }, expand = whole.expand, text_of = whole.text_of, text = whole.text }
    end
  end
  return nil, ("%s:%d: cannot tell where '%s' ends"):format(tree.path, definition.line, definition.name)
end

---Parse one definition of an outlined file.
---@return table? tree whose root[1] is the definition
---@return string? message
function source.definition(tree, definition)
  if definition.tree then return definition.tree end
  local text, bodies = outline.shortened(tree.whole_text, definition)
  local own, message = source.parse(text, tree.path, definition.line)
  if own and #own.root == 1 then
    complete_later(own, bodies, tree.whole_text, function() return whole_definition(tree, definition) end)
  else
    own, message = whole_definition(tree, definition)
  end
  definition.tree = own
  return own, message
end

-- Trees by path, as long as some world uses them: worlds for other parallel sizes read the same files.
source.parsed = setmetatable({}, { __mode = "v" })

---Read and parse a file, and count it in the world's report.
---@param whole boolean? notice any syntax error in it, not only in what is needed of it
---@return table? tree { root, expand, text_of, text, definitions? }
---@return string? message
function source.read(path, world, whole)
  local text, message = read_text(path)
  if not text then return nil, message end
  if world then table.insert(world.report.files, { path = path, bytes = #text }) end
  local tree = source.parsed[path]
  if not (tree and (tree.whole_text or tree.text) == text) then
    tree, message = parse_outline(text, path)
    source.parsed[path] = tree
  end
  if tree and whole and not tree.is_whole then
    local checked
    checked, message = parse_whole(text, path)
    if not checked then return nil, message end
    checked:close()
    tree.is_whole = true
  end
  return tree, message
end

return source
