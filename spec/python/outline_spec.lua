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

  it("tells strings, brackets and comments from statements", function()
    assert.same({ "f:3" }, (names "x = 'a' + '''b\ndef g(): pass'''\ndef f(): pass\n"))
    assert.same({ "f:2" }, (names "# it's ''' here\ndef f(): pass\n"))
    assert.same({ "f:3" }, (names "x = 1 + \\\n2\ndef f(): pass\n"))
    assert.same({ "f:4" }, (names 'x = [\ndef_one,\n"\\"]"]\ndef f(a=")"): pass\n'))
  end)

  it("gives up where the text is not understood", function()
    assert.is_nil(outline.of "x = 'a\ndef f(): pass\n")
    assert.is_nil(outline.of "x = (1\ndef f(): pass\n")
    assert.is_nil(outline.of "x = 1)\ndef f(): pass\n")
    assert.is_nil(outline.of "if x:\n\ty = 1\ndef f(): pass\n")
    assert.is_nil(outline.of "@decorator\nx = 1\n")
    assert.is_nil(outline.of "@decorator\n")
  end)

  it("takes any bytes", function()
    assert.same({}, outline.of("").definitions)
    assert.same({ "f:1" }, (names "def f(\0): pass"))
    assert.is_nil(outline.of "\\")
    assert.is_nil(outline.of '"""')
    assert.is_nil(outline.of '"\\')
  end)
end)

describe("outline.shortened", function()
  local CLASS = [[
import a

class C(Base):
    """Says much."""
    x = 1

    @property
    def method(self, other=(
        1,
    )):  # a comment
        # another
        """doc

    def no(): pass
        """
        def inner():
            return self.yes_it_does_what_it_says
        return inner

    def short(self): return 1

    async def last(self):
        if self.x:
            return [
    1 ]
        return "a long enough body of a function, so that it is worth while to leave it out"
y = 1
]]

  local function shortened(text) return outline.shortened(text, outline.of(text).definitions[1]) end

  it("leaves the outermost functions' bodies out, lines kept", function()
    local expected = 'class C(Base):\n    """Says much."""\n    x = 1\n\n    @property\n'
      .. "    def method(self, other=(\n        1,\n    )):  # a comment\n        # another\n        _"
      .. ("\n"):rep(6)
      .. "\n\n    def short(self): return 1\n\n    async def last(self):\n        _\n\n\n\n"
    assert.equal(expected, (shortened(CLASS)))
  end)

  it("tells where each body is, by the line of its function", function()
    local _, bodies = shortened(CLASS)
    local list = {}
    for def, body in pairs(bodies) do
      assert.equal(def, body.def)
      table.insert(list, body)
    end
    table.sort(list, function(a, b) return a.line < b.line end)
    assert.equal(2, #list)
    assert.same({ 12, 8 }, { list[1].line, list[1].def })
    assert.matches('^        """doc\n.*return inner$', CLASS:sub(list[1].from, list[1].to))
    assert.same({ 23, 22 }, { list[2].line, list[2].def })
    assert.matches('^        if self.x:.*out"$', CLASS:sub(list[2].from, list[2].to))
  end)

  it("leaves a definition whole whose text is not understood", function()
    local text = "class C:\n    def f(self):\n    pass\n"
    assert.same({ text, {} }, { shortened(text) })
  end)
end)
