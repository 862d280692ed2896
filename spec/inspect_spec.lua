local inspect = require "hone.inspect"
local json = require "hone.json"

describe("hone.inspect", function()
  local render = inspect.render

  it("shows short tables on one line, items first, then keys in their order", function()
    assert.equal(
      '{ 1, "two", { true }, a = 1, b = { c = 0.5 } }',
      render { 1, "two", { true }, b = { c = 0.5 }, a = 1 }
    )
    assert.equal("{}", render {})
  end)

  it(
    "writes keys that are no names in brackets",
    function()
      assert.equal(
        '{ [0] = "zero", [10] = 1, ["a-b"] = 2, ["end"] = 3, [true] = 4 }',
        render { [0] = "zero", [10] = 1, ["a-b"] = 2, ["end"] = 3, [true] = 4 }
      )
    end
  )

  it(
    "breaks what is too wide, one entry a line",
    function()
      assert.equal(
        '{\n  first = {\n    "aaaaaaaaaa",\n    "bbbbbbbbbb",\n  },\n  second = { 1, 2 },\n}',
        render({ first = { "aaaaaaaaaa", "bbbbbbbbbb" }, second = { 1, 2 } }, { width = 24 })
      )
    end
  )

  it("keeps the order of an object of JSON, and knows null", function()
    local object = json.object { { "z", 1 }, { "a", json.null }, { "n", {} } }
    assert.equal("{ z = 1, a = null, n = {} }", render(object))
    assert.equal("{}", render(json.object()))
  end)

  it("quotes strings so that a terminal stays as it is", function()
    assert.equal([["a\"b\\c\n\x1b[31m"]], render 'a"b\\c\n\27[31m')
    assert.equal([["été"]], render "été")
    assert.equal([["a\xff\xfez"]], render "a\xff\xfez")
  end)

  it(
    "cuts long strings between characters, and says how long they are",
    function() assert.equal('"éé"... (12 bytes)', render(("é"):rep(6), { text = 5 })) end
  )

  it(
    "tells integers from floats, and shows the odd numbers",
    function()
      assert.equal(
        "{ 1, 1.0, 1e+100, inf, -inf, nan }",
        render { 1, 1.0, 1e100, math.huge, -math.huge, 0 / 0 }
      )
    end
  )

  it("marks a table inside itself, and no other repetition", function()
    local shared = { 1 }
    local value = { shared, shared }
    value.me = value
    assert.equal("{ { 1 }, { 1 }, me = <cycle> }", render(value))
  end)

  it("cuts long and deep tables, and counts what is missing", function()
    local long = {}
    for i = 1, 1000 do
      long[i] = i
    end
    assert.equal("{\n  1,\n  2,\n  3,\n  ... (997 more)\n}", render(long, { items = 3 }))
    assert.equal("{ { {...} } }", render({ { { { 1 } } } }, { depth = 2 }))
  end)

  it("bounds the text of any value", function()
    local function tree(depth)
      if depth == 0 then return ("x"):rep(1000) end
      local node = {}
      for i = 1, 12 do
        node[i] = tree(depth - 1)
      end
      return node
    end
    local _, lines = render(tree(4)):gsub("\n", "\n")
    assert.is_true(lines < 1000)
  end)

  it("lets objects describe themselves, and survives those that cannot", function()
    local point = setmetatable({ 1 }, { __tostring = function() return "point 1" end })
    local broken = setmetatable({}, { __tostring = function() error "no" end })
    assert.equal("{ point 1, <table whose __tostring fails> }", render { point, broken })
    local unpaired = setmetatable({ 7 }, { __pairs = function() error "no" end })
    assert.equal("{ 7 }", render(unpaired))
  end)

  it("says where a function comes from", function()
    assert.matches("^<function .*inspect_spec%.lua:%d+>$", render(function() end))
    assert.equal("<C function>", render(print))
  end)

  it("leaves no trace in the text but the colours when these are asked for", function()
    local value = { a = 1, b = { "x", true } }
    local coloured = render(value, { colours = true })
    assert.matches("\27%[36m1\27%[0m", coloured)
    assert.equal(render(value), (coloured:gsub("\27%[%d+m", "")))
  end)
end)
