--- A Python file's top level, told from its text: where its statements start and end, which names they bind, and the
--- bodies of its functions.
---
--- Most of a module is imports, functions and classes that nobody asks for, and most of a class is methods that nobody
--- calls. So each statement is parsed when one of its names is needed, and each body when it is called. Where the text
--- is not understood there is no outline, and more of it is parsed at once.
local core = require "hone.core.outline"

local outline = {}

---@class hone.python.Statement
---@field names string[]? # that it binds; nil where it takes a syntax tree to tell
---@field is_definition boolean # whether it is a function or a class
---@field line integer # of its first decorator, or its own
---@field from integer # its first byte in the text
---@field to integer # its last byte

---The statements at a module's top level; nil where the text is not understood.
---@param text string
---@return hone.python.Statement[]?
function outline.statements(text) return core.statements(text) end

-- A text without pieces of it, lines kept. `each(i)` gives the i-th piece, nil behind the last: first and last byte,
-- what stands for it.
local function without(text, from, to, each)
  local parts, kept, i = {}, from, 1
  local first, last, instead = each(i)
  while first do
    parts[#parts + 1] = text:sub(kept, first - 1)
    parts[#parts + 1] = instead
    kept, i = last + 1, i + 1
    first, last, instead = each(i)
  end
  parts[#parts + 1] = text:sub(kept, to)
  return table.concat(parts)
end

local SHORTEST = 100 -- bytes of a body below which parsing it with the rest is less work

---@class hone.python.Body
---@field from integer # its first byte in the module's text, the start of a line
---@field to integer # its last byte
---@field line integer # of its first line
---@field def integer # line of the function itself: that of its `def`, behind the decorators

---A definition without the bodies of its functions.
---@param text string # the module's
---@param definition hone.python.Statement
---@return string shortened # with a name in each body's place, lines kept
---@return table<integer, hone.python.Body> bodies # by the line of their function
function outline.shortened(text, definition)
  local found = core.bodies(text, definition.from, definition.to, SHORTEST) or {}
  local bodies = {}
  local before = definition.line - 1
  local shortened = without(text, definition.from, definition.to, function(i)
    local at = 5 * i - 4
    local from, to = found[at], found[at + 1]
    if not from then return nil end
    local indent = text:match("^ *", from)
    local instead = indent .. "_" .. ("\n"):rep(found[at + 4])
    local def = before + found[at + 3]
    bodies[def] = { from = from, to = to, line = before + found[at + 2], def = def }
    return from, to, instead
  end)
  return shortened, bodies
end

return outline
