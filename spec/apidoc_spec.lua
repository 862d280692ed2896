local apidoc = require "hone.apidoc"

local SAMPLE = [==[
---@meta hone.sample
--- What samples are for. They are read by specs.
---
---     sample.first(1)
local sample = {}

--- A name for a type.
---@alias hone.sample.Mode "r"|"w"

---@alias hone.sample.Kind
---| "one" # the first
---| "two"

--- How many there are.
sample.count = 3 ---@type integer

--- The first of many.
--- It goes on here.
---@param list table<string, integer[]> what to look
--- through
---@param test? fun(item: any, index: integer): boolean, string? says yes
---@param mode string | nil
---@param ... any
---@return { [1]: string, n: integer }? item what was found
---@return string # why not
function sample.first(list, test, mode, ...) end

function sample.inner.deep() end

--- A box.
---@class hone.sample.Box: hone.sample.Base
---@field size integer in bytes
---@field [string] any
local Box = {}

--- Open it.
---@param self hone.sample.Box
---@return boolean ok
function Box.peek(self) end

function Box:open() end

--- Only fields.
---@class hone.sample.Options
---@field deep? boolean

return sample
]==]

local function sample() return assert(apidoc.read(SAMPLE, "sample.lua")) end

describe("apidoc.read", function()
  it("reads the library's name and prose", function()
    local library = sample()
    assert.equal("hone.sample", library.name)
    assert.equal("sample", library.variable)
    assert.equal("What samples are for. They are read by specs.\n\n    sample.first(1)", library.text)
  end)

  it("reads functions, with types that hold spaces", function()
    local entry = sample().functions[1]
    assert.equal("sample.first", entry.name)
    assert.equal("function", entry.kind)
    assert.equal("The first of many.\nIt goes on here.", entry.text)
    assert.same({
      { name = "list", type = "table<string, integer[]>", optional = false, text = "what to look through" },
      {
        name = "test",
        type = "fun(item: any, index: integer): boolean, string?",
        optional = true,
        text = "says yes",
      },
      { name = "mode", type = "string | nil", optional = false, text = "" },
      { name = "...", type = "any", optional = false, text = "" },
    }, entry.params)
    assert.same({
      { type = "{ [1]: string, n: integer }?", name = "item", text = "what was found" },
      { type = "string", text = "why not" },
    }, entry.returns)
  end)

  it("reads functions of inner tables, values and aliases", function()
    local library = sample()
    assert.equal("inner.deep", library.functions[2].key)
    assert.same({
      kind = "value",
      name = "sample.count",
      key = "count",
      library = "hone.sample",
      type = "integer",
      text = "How many there are.",
    }, library.values[1])
    assert.same({
      { name = "hone.sample.Mode", type = '"r"|"w"', text = "A name for a type." },
      { name = "hone.sample.Kind", type = '"one" | "two"', text = "" },
    }, library.aliases)
  end)

  it("reads classes, with or without methods", function()
    local box, options = table.unpack(sample().classes)
    assert.equal("hone.sample.Box", box.name)
    assert.equal("A box.", box.text)
    assert.same({ "size", "[string]" }, { box.fields[1].name, box.fields[2].name })
    assert.equal("Box.peek", box.methods[1].name)
    assert.equal("Box:open", box.methods[2].name)
    assert.equal("hone.sample.Options", options.name)
    assert.is_true(options.fields[1].optional)
    assert.same({}, options.methods)
  end)

  it("says which line is not of the form", function()
    local function refusal(body)
      local library, why = apidoc.read("---@meta hone.x\nlocal x = {}\n" .. body, "x.lua")
      assert.is_nil(library)
      return why
    end
    assert.equal("cannot read x.lua: line 3: x.f has no @param a", refusal("function x.f(a) end\n"))
    assert.equal(
      "cannot read x.lua: line 4: x.f has no parameter b",
      refusal("---@param b any\nfunction x.f() end")
    )
    assert.equal("cannot read x.lua: line 3: function of unknown table 'y'", refusal("function y.f() end"))
    assert.equal("cannot read x.lua: line 3: x.n has no @type", refusal("x.n = 1"))
    assert.equal("cannot read x.lua: line 3: @param a without a type", refusal("---@param a"))
    assert.same(
      { nil, "cannot read x.lua: it does not start with ---@meta NAME" },
      { apidoc.read("local x = {}", "x.lua") }
    )
    assert.same(
      { nil, "cannot read x.lua: it declares no library table" },
      { apidoc.read("---@meta a.b", "x.lua") }
    )
  end)
end)

describe("apidoc.find", function()
  it("finds a function by its full name, its name and its last part", function()
    for _, name in ipairs { "hone.syntax.parse", "syntax.parse" } do
      assert.equal("syntax.parse", assert(apidoc.find(name))[1].name)
    end
    local names = {}
    for _, entry in ipairs(apidoc.find("parse")) do
      names[entry.name] = true
    end
    assert.is_true(names["syntax.parse"])
  end)

  it("finds libraries, classes, methods and values", function()
    assert.equal("library", apidoc.find("syntax")[1].kind)
    assert.equal("class", apidoc.find("hone.syntax.Tree")[1].kind)
    assert.equal("method", apidoc.find("Tree:root")[1].kind)
    assert.equal("Tree:root", apidoc.find("Tree.root")[1].name)
    assert.equal("Tree:root", apidoc.find("hone.syntax.Tree:root")[1].name)
    assert.equal("value", apidoc.find("syntax.languages")[1].kind)
  end)

  it("finds nothing under other names", function()
    assert.same({}, apidoc.find("no.such.thing"))
    assert.has_error(function() apidoc.find(nil) end, "bad argument #1 to 'find' (string expected, got nil)")
  end)
end)

describe("apidoc.describe", function()
  local syntax = require "hone.syntax"

  it("knows functions, libraries, values, objects and their methods", function()
    local tree = syntax.parse("x", "python")
    assert.equal("syntax.parse", apidoc.describe(syntax.parse).name)
    assert.equal("hone.syntax", apidoc.describe(syntax).name)
    assert.equal("syntax.languages", apidoc.describe(syntax.languages).name)
    assert.equal("hone.syntax.Tree", apidoc.describe(tree).name)
    assert.equal("Node:text", apidoc.describe(tree:root().text).name)
  end)

  it("knows nothing of values that are not documented", function()
    for _, value in ipairs { print, {}, 3, "parse", true, io.stdout } do
      assert.is_nil(apidoc.describe(value))
    end
    assert.is_nil(apidoc.describe(nil))
  end)
end)

describe("apidoc.render_text", function()
  it(
    "shows a function with its parameters and returns, in the width given",
    function()
      assert.equal(
        [[
sample.first(list, test?, mode, ...) ->
    item, string

The first of many. It goes on here.

parameters
  list: table<string, integer[]>, what
      to look through
  test?: fun(item: any, index: integer):
      boolean, string?, says yes
  mode: string | nil
  ...: any

returns
  item: { [1]: string, n: integer }?,
      what was found
  string, why not]],
        apidoc.render_text(sample().functions[1], 40)
      )
    end
  )

  it("keeps code as it is and hangs items", function()
    local library = assert(apidoc.read([==[
---@meta hone.x
--- Before:
---
---     a   =   1
---
--- - one two three
---   four five six
--- - seven
local x = {}
]==]))
    assert.equal(
      "hone.x\n\nBefore:\n\n    a   =   1\n\n- one two three four\n  five six\n- seven",
      apidoc.render_text(library, 21)
    )
  end)

  it("lists what a library and a class hold", function()
    local text = apidoc.render_text(sample(), 70)
    assert.matches("\nvalues\n  sample.count: integer\n      How many there are\n", text, 1, true)
    assert.matches("\nclasses\n  hone.sample.Box\n      A box\n", text, 1, true)
    text = apidoc.render_text(sample().classes[1], 70)
    assert.matches("\nfields\n  size: integer, in bytes\n", text, 1, true)
    assert.matches("\nmethods\n  Box.peek(self) -> ok\n      Open it\n", text, 1, true)
  end)

  it("never makes a line wider than it may", function()
    for _, entry in ipairs(apidoc.find "Tree") do
      for line in apidoc.render_text(entry, 60):gmatch("[^\n]+") do
        assert.is_true(#line <= 60 or not line:find(" ", 8, true), line)
      end
    end
  end)
end)

describe("apidoc.render_markdown", function()
  it("makes a page with a heading for each name", function()
    local page = apidoc.render_markdown(sample())
    local headings = {}
    for heading in page:gmatch("\n(##+ [^\n]+)") do
      table.insert(headings, heading)
    end
    assert.same({
      "## Values",
      "### sample.count",
      "## Functions",
      "### sample.first(list, test?, mode, ...)",
      "### sample.inner.deep()",
      "## hone.sample.Box",
      "### Box.peek(self)",
      "### Box:open()",
      "## hone.sample.Options",
      "## Types",
    }, headings)
    assert.matches("^# hone%.sample\n\nWhat samples are for", page)
    assert.matches("- `test?` `fun(item: any, index: integer): boolean, string?` says yes\n", page, 1, true)
    assert.matches("[^\n]\n$", page)
  end)
end)

describe("apidoc.write", function()
  local fs = require "hone.fs"

  it("writes a page for each library and an index, and leaves right pages alone", function()
    local folder <close> = assert(fs.tempdir())
    local target = fs.join(folder.path, "api")
    local written = assert(apidoc.write(target))
    assert.equal(#apidoc.libraries() + 1, #written)
    assert.matches(
      "| [hone.syntax](syntax.md) | Syntax trees of",
      fs.read(fs.join(target, "README.md")),
      1,
      true
    )
    assert.equal(apidoc.render_markdown(apidoc.find("hone.syntax")[1]), fs.read(fs.join(target, "syntax.md")))
    assert.same({}, apidoc.write(target))
    assert(fs.write(fs.join(target, "syntax.md"), "other"))
    assert.same({ fs.join(target, "syntax.md") }, apidoc.write(target))
  end)

  it("says why it cannot", function()
    local written, why = apidoc.write("/dev/null/api")
    assert.is_nil(written)
    assert.matches("/dev/null", why, 1, true)
  end)
end)
