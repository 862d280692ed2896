--- Python files: finding and parsing them.
local syntax = require "hone.syntax"
local core = require "hone.python.core"
local outline = require "hone.python.outline"
local scopes = require "hone.python.scope"

local types = core.types
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

-- Whether a text may bind names inside expressions; it is looked through when that is first asked.
local function depth_of(text)
  local deep
  return function()
    if deep == nil then deep = scopes.needs_depth(text) end
    return deep
  end
end

---Parse Python text; blocks are left lazy.
---@return table? { root = tables, expand = function(lazy node), is_deep = function(node): whether it may bind names inside expressions }
---@return string? message one line with file, line and column
function source.parse(text, name)
  local tree, message = parse_whole(text, name)
  if not tree then return nil, message end
  local root
  root, message = tree:to_table(nil, CONVERSION)
  if not root then return nil, ("%s: %s"):format(name, message) end
  local is_any_deep = depth_of(text)
  return {
    root = root,
    expand = function(node) return tree:expand(node, CONVERSION) end,
    is_deep = function(node)
      return is_any_deep() and (not node.from or scopes.needs_depth(text:sub(node.from, node.to)))
    end,
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

-- Parse a piece of a file, all of which is needed; its tree goes at once, since trees are large.
local function parse_piece(text, name, line)
  local tree, message = parse_whole(text, name)
  if not tree then return nil, message end
  local root
  root, message = tree:to_table(nil, { tokens = CONVERSION.tokens, text = CONVERSION.text, line = line })
  tree:close()
  if not root then return nil, ("%s: %s"):format(name, message) end
  return {
    root = root,
    expand = function(node) return node end,
    is_deep = depth_of(text),
    text = text,
  }
end

---Read and parse a file, all of it at once.
---@return table? tree as source.parse gives it
---@return string? message
function source.whole(path)
  local text, message = read_text(path)
  if not text then return nil, message end
  return source.parse(text, path)
end

-- A file of which only those statements are parsed of which the outline does not tell the names.
local function parse_outline(text, path)
  local statements = outline.statements(text)
  if not statements then return source.parse(text, path) end
  for _, statement in ipairs(statements) do
    if not statement.names then
      statement.text = text:sub(statement.from, statement.to)
      local piece = parse_piece(statement.text, path, statement.line)
      if not piece then return source.parse(text, path) end
      statement.nodes = piece.root
    end
  end
  return {
    statements = statements,
    expand = function(node) return node end,
    is_deep = depth_of(text),
    text = text,
    path = path,
  }
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
  local piece = parse_piece("def _():\n" .. text, "body", math.max(1, line - 1))
  return piece and #piece.root == 1 and piece.root[1].body or nil
end

-- What functions stand in, beside what holds statements of their own scope.
local HOLDS_FUNCTIONS = setmetatable({
  class_definition = true,
  decorated_definition = true,
  for_statement = true,
  case_clause = true,
}, { __index = scopes.HOLDS_STATEMENTS })

-- Find the blocks that stand for bodies left out, and make them lazy.
local function mark(node, by_line, bodies)
  for _, child in ipairs(node) do
    local kind = child.type
    if kind == "function_definition" then
      local body = by_line[child.line]
      if body then
        child.body.lazy, bodies[child.body] = true, body
      end
    elseif kind ~= "expression_statement" and HOLDS_FUNCTIONS[kind] then
      mark(child, by_line, bodies)
    end
  end
end

-- Let the bodies that a definition was parsed without be put in where they are asked for.
local function complete_later(own, by_line, text, whole)
  local bodies, is_deep = {}, own.is_deep
  mark(own.root, by_line, bodies)
  function own.expand(node)
    local body = node.lazy and bodies[node]
    if not body then return node end
    local body_text = text:sub(body.from, body.to)
    if not is_deep() and scopes.needs_depth(body_text) then is_deep = function() return true end end
    local statements = parse_body(body_text, body.line)
    if not statements then
      local tree, message = whole()
      statements = tree and body_at(tree.root, body.def)
      if not statements then error(core.exception(types.SyntaxError, { message }), 0) end
      if statements.lazy then tree.expand(statements) end
    end
    node.lazy = nil
    return table.move(statements, 1, #statements, 1, node)
  end
  -- Of what is inside a body, all that has been put in so far tells.
  function own.is_deep(node)
    local body = bodies[node]
    if body then return scopes.needs_depth(text:sub(body.from, body.to)) end
    return is_deep()
  end
end

-- A statement all of which is parsed: by itself, else with all of its file.
local function whole_statement(tree, statement)
  local text = tree.text:sub(statement.from, statement.to)
  local own = parse_piece(text, tree.path, statement.line)
  if own and #own.root == 1 then return own end
  local whole, message = source.parse(tree.text, tree.path)
  if not whole then return nil, message end
  for _, node in ipairs(whole.root) do
    if node.line == statement.line then
      return { root = { node }, expand = whole.expand, is_deep = whole.is_deep, text = whole.text }
    end
  end
  local message_form = "%s:%d: cannot tell where the statement ends"
  return nil, message_form:format(tree.path, statement.line)
end

-- A definition without the bodies of its functions, which are put in later.
local function parse_definition(tree, statement)
  local text, bodies = outline.shortened(tree.text, statement)
  local own = parse_piece(text, tree.path, statement.line)
  if not own or #own.root ~= 1 then return nil end
  complete_later(own, bodies, tree.text, function() return whole_statement(tree, statement) end)
  return own
end

---Parse one statement of an outlined file.
---@return table? tree whose root[1] is the statement
---@return string? message
function source.statement(tree, statement)
  if statement.tree then return statement.tree end
  local message
  local own = statement.is_definition and parse_definition(tree, statement)
  if not own then
    own, message = whole_statement(tree, statement)
  end
  statement.tree = own
  return own, message
end

-- Trees by path, as long as some world uses them: worlds for other parallel sizes read the same files.
source.parsed = setmetatable({}, { __mode = "v" })

---Read and parse a file, and count it in the world's report.
---@param whole boolean? notice any syntax error in it, not only in what is needed of it
---@return table? tree { root or statements, expand, is_deep, text }
---@return string? message
function source.read(path, world, whole)
  local text, message = read_text(path)
  if not text then return nil, message end
  if world then table.insert(world.report.files, { path = path, bytes = #text }) end
  local tree = source.parsed[path]
  local is_enough = tree and tree.text == text and not (whole and tree.statements)
  if not is_enough then
    tree, message = (whole and source.parse or parse_outline)(text, path)
    source.parsed[path] = tree
  end
  return tree, message
end

return source
