--- The outline of a module: statements found by their text.
local core = require "hone.core.outline"
local outline = require "hone.python.outline"

-- "line: names" for each statement; "?" where it takes a syntax tree.
local function listed(text)
  local list = {}
  for i, statement in ipairs(outline.statements(text)) do
    local names = statement.names and table.concat(statement.names, " ") or "?"
    list[i] = ("%d: %s"):format(statement.line, names)
  end
  return list
end

local function names(text) return outline.statements(text)[1].names end

describe("outline.statements", function()
  it("finds statements with their decorators, and the names that they bind", function()
    local text = [[
"""What it is."""
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
y: int = 2
if x:
    z = 1
# another
else:
    z = 2
print(z)
]]
    local expected = { "1: ", "2: os", "3: f", "15: x", "16: C", "18: g", "19: y", "20: ?", "25: ?" }
    assert.same(expected, listed(text))
    local statements = outline.statements(text)
    assert.equal(
      "if x:\n    z = 1\n# another\nelse:\n    z = 2",
      text:sub(statements[8].from, statements[8].to)
    )
    assert.is_true(statements[3].is_definition)
    assert.is_false(statements[4].is_definition)
  end)

  it("tells the names of imports", function()
    assert.same({ "a" }, names "import a.b.c")
    assert.same({ "a", "d", "e" }, names "import a, b.c as d, e.f  # g")
    assert.same({ "b", "d" }, names "from a import b, c as d")
    assert.same(
      { "b", "d" },
      names "from ..a.x import (  # of two\n    b,\n    c as d,  # the last, a comma\n)"
    )
    assert.same({ "b", "c" }, names "from . import b, \\\n    c")
    assert.same({}, names "from __future__ import annotations")
    assert.is_nil(names "from a import *")
    assert.is_nil(names "import a; import b")
  end)

  it("tells the name of an assignment that binds no other", function()
    assert.same({ "a" }, names "a = f(b=1, c={'d=': 2}) == 3  # e = 4")
    assert.same({ "a" }, names "a: Dict[str, int] = {}")
    assert.same({ "a" }, names "a: int")
    assert.same({ "a" }, names "a = [\n    1,\n]")
    for _, text in ipairs {
      "a = b = 1",
      "a = 1; b = 2",
      "a, b = 1, 2",
      "a = (b := 1)",
      "a += 1",
      "a.b = 1",
      "a[0] = 1",
      "f()",
      "try: a = 1\nexcept E: pass",
      "try:\n    a = 1\nfinally:\n    b = 1",
      "lambda: 0",
    } do
      assert.is_nil(names(text), text)
    end
  end)

  it("tells strings, brackets and comments from statements", function()
    assert.same({ "1: x", "3: f" }, listed "x = 'a' + '''b\ndef g(): pass'''\ndef f(): pass\n")
    assert.same({ "2: f" }, listed "# it's ''' here\ndef f(): pass\n")
    assert.same({ "1: x", "3: f" }, listed "x = 1 + \\\n2\ndef f(): pass\n")
    assert.same({ "1: x", "4: f" }, listed 'x = [\ndef_one,\n"\\"]"]\ndef f(a=")"): pass\n')
  end)

  it("gives up where the text is not understood", function()
    assert.is_nil(outline.statements "x = 'a\ndef f(): pass\n")
    assert.is_nil(outline.statements "x = (1\ndef f(): pass\n")
    assert.is_nil(outline.statements "x = 1)\ndef f(): pass\n")
    assert.is_nil(outline.statements "if x:\n\ty = 1\ndef f(): pass\n")
    assert.is_nil(outline.statements "@decorator\nx = 1\n")
    assert.is_nil(outline.statements "@decorator\n")
    assert.is_nil(outline.statements "else:\n    x = 1\n")
    assert.is_nil(outline.statements "  x = 1\n")
  end)

  it("takes any bytes", function()
    assert.same({}, outline.statements "")
    assert.same({ "1: f" }, listed "def f(\0): pass")
    assert.same({ "1: ?" }, listed "import \0")
    assert.same({ "1: ?" }, listed "x\0= 1")
    assert.is_nil(outline.statements "\\")
    assert.is_nil(outline.statements '"""')
    assert.is_nil(outline.statements '"\\')
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

  local function shortened(text)
    for _, statement in ipairs(outline.statements(text)) do
      if statement.is_definition then return outline.shortened(text, statement) end
    end
  end

  it("leaves the outermost functions' bodies out, lines kept", function()
    local expected = 'class C(Base):\n    """Says much."""\n    x = 1\n\n    @property\n'
      .. "    def method(self, other=(\n        1,\n    )):  # a comment\n        # another\n        _"
      .. ("\n"):rep(6)
      .. "\n\n    def short(self): return 1\n\n    async def last(self):\n        _\n\n\n"
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
    local text = "class C:\n    def f(self):\n    pass"
    assert.same({ text, {} }, { shortened(text) })
  end)
end)

describe("core.fields", function()
  it("lists what the classes at the top level assign to names of their own", function()
    local text = [[
x = 0
@decorated
class C(Base):
    """Text: a = 1"""
    a: A[
        int,
        Arg(help="not = this", n=1),  # nor = this
    ] = 8
    b = "=" # a comment
    c: int
    def f(self, d=1):
        e = 2
    g.h = 3
    i == 4
    j += 5
if x:
    k = 6
class D:
    l = [
        7
    ]
]]
    assert.same({ "a", "8", "b", '"="', "l", "[\n        7\n    ]" }, core.fields(text))
  end)

  it("gives up where the text is not understood", function()
    assert.is_nil(core.fields "class C:\n    a = (1\n")
    assert.same({}, core.fields "")
  end)
end)
