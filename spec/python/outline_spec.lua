--- The outline of a module: definitions found by their text.
local outline = require "hone.python.outline"

local function names(text)
  local parts = outline.of(text)
  local list = {}
  for i, definition in ipairs(parts.definitions) do
    list[i] = ("%s:%d"):format(definition.name, definition.line)
  end
  return list, parts.rest
end

describe("outline.of", function()
  it("finds functions and classes with their decorators, and leaves the rest at its lines", function()
    local found, rest = names [[
import os
@decorated(
    1,
)
@twice
def f(a,
      b):
    """doc
def not_one(): pass
"""
    return 1

# a comment
x = 1
class C:
    def method(self): pass
async def g(): pass
y = 2
]]
    assert.same({ "f:2", "C:15", "g:17" }, found)
    assert.equal("import os\n" .. ("\n"):rep(12) .. "x = 1\n\n\n\ny = 2\n", rest:gsub("# a comment\n", "\n"))
  end)

  it("covers every line once: rest and definitions add up to the text", function()
    local text = "def a(): pass\n\nb = 1\nclass D:\n    pass\n"
    local parts = outline.of(text)
    local _, lines = text:gsub("\n", "")
    local _, kept = parts.rest:gsub("\n", "")
    assert.equal(lines, kept)
    assert.equal("def a(): pass\n\n", text:sub(parts.definitions[1].from, parts.definitions[1].to))
  end)

  it("gives up where strings are not certain", function()
    assert.is_nil(outline.of("x = 'a' + '''b'''\ndef f(): pass\n"))
    assert.is_nil(outline.of("# it's ''' here\ndef f(): pass\n"))
    assert.is_nil(outline.of("x = 1 + \\\n2\ndef f(): pass\n"))
  end)
end)
