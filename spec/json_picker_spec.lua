local fs, json = require "hone.fs", require "hone.json"

describe("json.picker", function()
  local dir, path

  before_each(function()
    dir = fs.tempdir()
    path = fs.join(dir.path, "texts")
  end)
  after_each(function() dir:remove() end)

  local function lines(form, text)
    assert(fs.write(path, text))
    return json.picker(form):lines(path)
  end

  local function value(form, text)
    assert(fs.write(path, text))
    return json.picker(form):value(path)
  end

  it("gives the wanted parts of every line, and false where there is none", function()
    local form = {
      "object",
      { "name", { "text", pick = 2 } },
      { "size", { "size", pick = 1 }, optional = true },
      { "rest", { "any" }, optional = true },
    }
    local text = '{"name":"a","size":3}\n\n \r\n{"size":4,"name":"a","rest":[{"x":null}]}\n{"name":"b"}'
    assert.same({ { 3, 4, false }, { "a", "a", "b" } }, (lines(form, text)))
    assert.equal(3, select(2, lines(form, text)))
  end)

  it("gives objects, lists and null as decode does", function()
    local form = { "object", { "x", { "any", pick = 1 } }, { "y", { "null", pick = 2 } } }
    local x, y = value(form, '{"x":{"b":[],"a":{"c":1.5}},"y":null}\n')
    assert.equal('{"b":[],"a":{"c":1.5}}', json.encode(x))
    assert.equal(json.null, y)
  end)

  it("gives one field of each object in a list", function()
    local item = { "object", { "path", { "path" } }, { "content", { "string" } } }
    local form = { "list", item, least = 1, pick = 1, only = "path" }
    assert.same({ "a", "b/c" }, value(form, '[{"path":"a","content":""},{"content":"x","path":"b/c"}]'))
    assert.is_nil(value(form, "[]"))
    for _, wrong in ipairs { "/a", "../a", "a/..", "a/../b", "" } do
      assert.is_nil(value(form, json.encode { { path = wrong, content = "" } }), wrong)
    end
    assert.same({ "..a" }, value(form, '[{"path":"..a","content":""}]'))
  end)

  it("forgets what an alternative picked before it failed", function()
    local form = {
      "either",
      { "object", { "a", { "text", pick = 1 } }, { "b", { "size" } } },
      { "object", { "a", { "text" } }, { "b", { "text", pick = 2 } } },
    }
    assert.same({ false, "y" }, { value(form, '{"a":"x","b":"y"}') })
    assert.same({ "x", false }, { value(form, '{"a":"x","b":1}') })
  end)

  it("hands back what is of another form, with the line", function()
    local form = { "object", { "a", { "size" } } }
    local columns, why, code = lines(form, '{"a":1}\n{"a":-1}\n')
    assert.is_nil(columns)
    assert.same({ path .. ":2 is of another form", "FORM" }, { why, code })
    for _, text in ipairs {
      '{"a":1,"b":2}',
      '{"a":1,"a":1}',
      '{"a":1.0}',
      '{"a":9223372036854775808}',
      '{"a":123456789012345678901234567890}',
      '{"a":"1"}',
      "{}",
      "[]",
      "",
      '{"a":1',
      '{"a":1}{"a":1}',
    } do
      assert.is_nil(value(form, text), text)
    end
    assert.truthy(value({ "object", { "a", { "size", pick = 1 } } }, '{"a":9223372036854775807}'))
  end)

  it("refuses repeated keys and deep nesting anywhere", function()
    assert.is_nil(value({ "any", pick = 1 }, '[{"a":{"b":1,"b":2}}]'))
    assert.is_nil(value({ "map", { "size" }, pick = 1 }, '{"a":1,"\\u0061":2}'))
    assert.is_nil(value({ "any", pick = 1 }, ("["):rep(80) .. ("]"):rep(80)))
    assert.truthy(value({ "any", pick = 1 }, ("["):rep(40) .. ("]"):rep(40)))
  end)

  it("names a file that cannot be opened", function()
    local absent = fs.join(dir.path, "absent")
    local picker = json.picker { "any" }
    assert.same(
      { nil, ("cannot open %s: No such file or directory"):format(absent), "ENOENT" },
      { picker:lines(absent) }
    )
    assert.same({ nil, "EISDIR" }, { picker:value(dir.path), (select(3, picker:value(dir.path))) })
  end)

  it("raises for a form that is none", function()
    local cyclic = { "list" }
    cyclic[2] = cyclic
    for _, form in ipairs {
      {},
      { "thing" },
      { "object", { "a" } },
      { "object", { { "text" } } },
      { "map" },
      { "list", { "text" }, { "text" } },
      { "choice", 3 },
      { "text", pick = 17 },
      cyclic,
    } do
      assert.has_error(function() json.picker(form) end)
    end
    assert.has_error(function() json.picker() end)
    assert.has_error(function() json.picker({ "any" }).lines({}, "x") end)
  end)
end)
