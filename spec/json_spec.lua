local cjson = require "cjson"
local fs = require "hone.fs"
local json = require "hone.json"

local function read_file(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function write_file(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function keys_by_pairs(object)
  local keys = {}
  for key in pairs(object) do
    keys[#keys + 1] = key
  end
  return keys
end

local function message_of(text, options)
  local value, message = json.decode(text, options)
  assert.is_nil(value)
  return message
end

-- Finite floats whose bits are drawn at random; the same ones in every run.
local function random_floats(count)
  local state, floats = 88172645463325252, {}
  while #floats < count do
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    local x = string.unpack("d", string.pack("j", state))
    if x == x and math.abs(x) ~= math.huge then floats[#floats + 1] = x end
  end
  return floats
end

describe("json.decode", function()
  it("keeps the order of fields under pairs", function()
    local object = json.decode '{"z": 1, "a": {"q": 1, "b": 2}, "m": 3}'
    assert.same({ "z", "a", "m" }, keys_by_pairs(object))
    assert.same({ "q", "b" }, keys_by_pairs(object.a))
  end)

  it("keeps the order of more fields than a shared shape holds", function()
    local parts, expected = {}, {}
    for i = 1, 1000 do
      expected[i] = ("k%d"):format((i * 7919) % 1000)
      parts[i] = ('"%s":%d'):format(expected[i], i)
    end
    local object = json.decode("{" .. table.concat(parts, ",") .. "}")
    assert.same(expected, keys_by_pairs(object))
    assert.equal(1000, object[expected[1000]])
  end)

  it("holds fields directly in the table", function()
    local object = json.decode '{"a": 1}'
    assert.equal(1, rawget(object, "a"))
    assert.equal("a", next(object))
  end)

  it(
    "tells an empty list from an empty object",
    function() assert.equal("[[],{}]", json.encode(json.decode "[ [ ], { } ]")) end
  )

  it("keeps integers integers and floats floats", function()
    local list = json.decode "[1, 1.0, -7, 1e2, 0, -0, -0.0]"
    local kinds = {}
    for i, x in ipairs(list) do
      kinds[i] = math.type(x)
    end
    assert.same({ "integer", "float", "integer", "float", "integer", "integer", "float" }, kinds)
    assert.equal("[1,1.0,-7,100.0,0,0,-0.0]", json.encode(list))
  end)

  it("reads the largest and smallest integers", function()
    assert.equal(math.maxinteger, json.decode "9223372036854775807")
    assert.equal(math.mininteger, json.decode "-9223372036854775808")
  end)

  it("refuses an integer past 64 bits with its position", function()
    local why = "integer does not fit in 64 bits"
    assert.equal("json:2:5: " .. why .. " (byte 9)", message_of "[1,\n2,  9223372036854775808]")
    assert.equal("json:1:6: " .. why .. " (byte 6)", message_of '["a",-123456789012345678901234567890]')
  end)

  it("reads an integer past 64 bits as a float when asked", function()
    assert.equal(2.0 ^ 63, json.decode("9223372036854775808", { big = "float" }))
    assert.equal(-1e30, json.decode("-1000000000000000000000000000000", { big = "float" }))
  end)

  it(
    "refuses a number too large for a float",
    function() assert.equal("json:1:2: number is too large (byte 2)", message_of "[1e400]") end
  )

  it("refuses NaN and Infinity unless nan is set", function()
    assert.truthy(message_of("NaN"))
    assert.truthy(message_of("[-Infinity]"))
    local list = json.decode("[NaN, Infinity, -Infinity]", { nan = true })
    assert.is_true(list[1] ~= list[1])
    assert.same({ math.huge, -math.huge }, { list[2], list[3] })
  end)

  it("decodes escapes, surrogate pairs and NUL", function()
    assert.equal('a\0b\n"\\/é😀', json.decode [["a\u0000b\n\"\\\/\u00e9\ud83d\ude00"]])
    assert.equal("x\0y", next(json.decode [[{"x\u0000y": 1}]]))
  end)

  it("refuses strings that are not UTF-8 and lone surrogates", function()
    for _, bytes in ipairs { "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" } do
      assert.equal("json:1:2: invalid UTF-8 encoding in string (byte 2)", message_of('"' .. bytes .. '"'))
    end
    assert.truthy(message_of [["\ud800"]])
    assert.truthy(message_of [["\udc00"]])
  end)

  it("refuses a repeated key and says where it is", function()
    assert.equal('json:2:3: duplicate key "a" (byte 12)', message_of '{"a": 1,\n  "a": 2}')
    local parts = {}
    for i = 1, 100 do
      parts[i] = ('"k%d":0'):format(i)
    end
    local text = "{" .. table.concat(parts, ",") .. ',"k7":1}'
    local _, message, position = json.decode(text)
    assert.truthy(message:find('duplicate key "k7"', 1, true))
    assert.equal('"k7":1}', text:sub(position.offset))
  end)

  it("names the text, line and column of a mistake, columns in characters", function()
    local _, message, position = json.decode('{\n  "é": "ü" x\n}', { name = "config.json" })
    assert.truthy(message:find("^config%.json:2:12: "))
    assert.same({ offset = 16, line = 2, column = 12 }, position)
  end)

  it("refuses what JSON does not allow", function()
    for _, text in ipairs {
      "",
      "  ",
      "[1,]",
      '{"a":1,}',
      "[1",
      '{"a',
      "nul",
      "1 2",
      "{'a':1}",
      "01",
      "[1 2]",
      '{"a" 1}',
      "// c\n1",
      "\xef\xbb\xbf1",
      "+1",
      ".5",
      "1.",
      "1e",
      '"\1"',
      "[1]]",
      "\0",
      "{1:2}",
      "--1",
      "tru",
      "[,1]",
    } do
      local value, message, position = json.decode(text)
      assert.is_nil(value)
      assert.truthy(message:find("^json:%d+:%d+: .+ %(byte %d+%)$"), text)
      assert.is_true(position.offset >= 1 and position.offset <= #text + 1)
    end
  end)

  it("bounds nesting at max_depth, 512 by default", function()
    local function nested(depth) return ("["):rep(depth) .. ("]"):rep(depth) end
    assert.truthy(json.decode(nested(512)))
    assert.equal("json:1:513: nested too deep (byte 513)", message_of(nested(513)))
    assert.truthy(json.decode(nested(4096), { max_depth = 4096 }))
    assert.truthy(message_of(nested(1000000), { max_depth = 4096 }))
    assert.equal("json:1:2: nested too deep (byte 2)", message_of('[{"[":1}]', { max_depth = 1 }))
  end)

  it("gives objects with the same keys one metatable, which dies with them", function()
    local list = json.decode '[{"a":1,"b":2},{"a":3,"b":4}]'
    local watch = setmetatable({ getmetatable(list[1]) }, { __mode = "v" })
    assert.equal(watch[1], getmetatable(list[2]))
    list[1], list[2] = nil, nil
    collectgarbage()
    collectgarbage()
    assert.is_nil(watch[1])
  end)

  it("keeps order and refuses repeated keys where every object has keys of its own", function()
    local kept = {}
    for i = 1, 400 do
      local text = ('{"id%d":1,"x":{"k%d":2,"a":3,"b":4}}'):format(i, i)
      kept[i] = json.decode(text)
      assert.equal(text, json.encode(kept[i]))
      kept[i]["y" .. i] = 5
      assert.same({ "id" .. i, "x", "y" .. i }, keys_by_pairs(kept[i]))
      assert.truthy(message_of(('{"id%d":1,"x":2,"x":3}'):format(i)):find('duplicate key "x"', 1, true))
    end
  end)

  it("raises for options that do not exist", function()
    for _, depth in ipairs { 0, -1, 4097, 1.5, "deep" } do
      local function decode() json.decode("1", { max_depth = depth }) end
      assert.error_matches(decode, "max_depth must be from 1 to 4096")
    end
    assert.error_matches(function() json.decode("1", { big = "huge" }) end, 'big must be "error" or "float"')
    assert.error_matches(function() json.decode({}) end, "string expected")
  end)
end)

describe("an object", function()
  it("keeps the order in which fields were assigned", function()
    local object = json.object()
    for _, key in ipairs { "z", "a", "m" } do
      object[key] = true
    end
    assert.equal('{"z":true,"a":true,"m":true}', json.encode(object))
  end)

  it("can be made from a list of fields", function()
    local object = json.object { { "b", 1 }, { "a", json.null } }
    assert.equal('{"b":1,"a":null}', json.encode(object))
    assert.error_matches(function() json.object { { "a", 1 }, { "a", 2 } } end, 'field 2 repeats the key "a"')
    assert.error_matches(function() json.object { { 1, 2 } } end, "field 1 of the object has no string")
  end)

  it("skips a field set to nil, which keeps its place when it comes back", function()
    local object = json.decode '{"a":1,"b":2,"c":3}'
    object.b = nil
    assert.same({ "a", "c" }, keys_by_pairs(object))
    assert.equal('{"a":1,"c":3}', json.encode(object))
    object.b = 4
    assert.equal('{"a":1,"b":4,"c":3}', json.encode(object))
  end)

  it("does not change others of the same shape", function()
    local list = json.decode '[{"a":1},{"a":2}]'
    list[1].b = 3
    assert.same({ "a", "b" }, keys_by_pairs(list[1]))
    assert.same({ "a" }, keys_by_pairs(list[2]))
  end)

  it("grows past the keys of a shared shape and keeps order and places", function()
    local object, expected = json.object(), {}
    for i = 1, 200 do
      expected[i] = "key" .. i
      object[expected[i]] = i
    end
    object.key7, object.key150 = nil, nil
    object.key7 = "back"
    table.remove(expected, 150)
    assert.same(expected, keys_by_pairs(object))
    assert.same(expected, json.keys(object))
  end)

  it("lets fields be changed and cleared during a traversal", function()
    local object = json.decode '{"a":1,"b":2,"c":3}'
    for key, value in pairs(object) do
      object[key] = value < 3 and value * 10 or nil
    end
    assert.equal('{"a":10,"b":20}', json.encode(object))
  end)

  it("refuses a key that is not a string", function()
    local object = json.object()
    assert.error_matches(function() object[1] = 2 end, "an object's key must be a string, got a number")
  end)

  it("ignores nil assigned to a field it does not have", function()
    local object = json.object()
    object.a = nil
    assert.same({}, json.keys(object))
  end)
end)

describe("json.is_object, json.is_array and json.keys", function()
  it("say how a table would be written", function()
    assert.is_true(json.is_object(json.decode "{}"))
    assert.is_true(json.is_object({}))
    assert.is_true(json.is_object({ a = 1 }))
    assert.is_false(json.is_object(json.array()))
    assert.is_true(json.is_array(json.decode "[]"))
    assert.is_true(json.is_array({ 1 }))
    assert.is_false(json.is_array(json.object()))
    assert.is_false(json.is_array({ 1, a = 2 }))
    assert.is_false(json.is_object({ 1, a = 2 }))
    assert.is_false(json.is_object(json.null))
    assert.is_false(json.is_array("x"))
  end)

  it("list the keys of a plain table sorted", function()
    assert.same({ "a", "b" }, json.keys { b = 1, a = 2 })
    assert.error_matches(function() json.keys { 1 } end, "it is not an object")
  end)

  it("json.array marks the table it is given, but not an object", function()
    local list = { 1 }
    assert.equal(list, json.array(list))
    assert.error_matches(function() json.array(json.object()) end, "it is an object")
  end)
end)

describe("json.encode", function()
  it("writes no spaces by default", function()
    local value = json.object { { "a", { 1, 2 } }, { "b", json.object { { "c", true } } } }
    assert.equal('{"a":[1,2],"b":{"c":true}}', json.encode(value))
  end)

  it("indents as Python's json.dumps does", function()
    local value = json.decode '{"a":[1,[],{}],"b":{"c":null}}'
    assert.equal(
      [[
{
  "a": [
    1,
    [],
    {}
  ],
  "b": {
    "c": null
  }
}]],
      json.encode(value, { indent = 2 })
    )
  end)

  it(
    "puts spaces into a line when asked",
    function()
      assert.equal('{"a": [1, 2], "b": {}}', json.encode({ a = { 1, 2 }, b = {} }, { spaced = true }))
    end
  )

  it(
    "sorts the keys of plain tables",
    function()
      assert.equal('{"":0,"B":1,"a":2,"aa":3,"b":4}', json.encode { b = 4, aa = 3, a = 2, B = 1, [""] = 0 })
    end
  )

  it("writes a plain empty table as an object", function() assert.equal("{}", json.encode {}) end)

  it(
    "escapes what pydantic escapes and nothing else",
    function()
      assert.equal(
        [["\u0000\u0001\b\t\n\u000b\f\r\u001f]] .. ' !\\"\\\\/\127\u{80}\u{2028}\u{1F600}"',
        json.encode '\0\1\b\t\n\v\f\r\31 !"\\/\127\u{80}\u{2028}\u{1F600}'
      )
    end
  )

  it("finds what to escape wherever it lies in a string", function()
    for at = 1, 20 do
      for _, special in ipairs { '"', "\\", "\n", "é" } do
        local text = ("x"):rep(at - 1) .. special .. ("y"):rep(20 - at)
        assert.equal(text, json.decode(json.encode(text)))
      end
    end
  end)

  it("prints floats as pydantic does", function()
    local printed = {
      ["1.0"] = 1.0,
      ["-1.0"] = -1.0,
      ["0.0"] = 0.0,
      ["-0.0"] = -0.0,
      ["0.1"] = 0.1,
      ["0.3"] = 0.3,
      ["0.0001"] = 1e-4,
      ["0.0001234"] = 0.0001234,
      ["0.00001"] = 1e-5,
      ["0.000015"] = 1.5e-5,
      ["0.00001234"] = 1.234e-5,
      ["1e-6"] = 1e-6,
      ["1.5e-6"] = 1.5e-6,
      ["1e-7"] = 1e-7,
      ["-1e-7"] = -1e-7,
      ["1000000000.0"] = 1e9,
      ["1000000000000000.0"] = 1e15,
      ["1e+16"] = 1e16,
      ["1.5e+16"] = 1.5e16,
      ["1e+17"] = 1e17,
      ["9999999999999998.0"] = 9999999999999998.0,
      ["9.999999999999998e+16"] = 99999999999999980.0,
      ["1234567890123456.8"] = 1234567890123456.7,
      ["1.2345678901234568e+16"] = 12345678901234567.0,
      ["9007199254740992.0"] = 9007199254740993.0,
      ["1e+21"] = 1e21,
      ["1e+22"] = 1e22,
      ["1e+100"] = 1e100,
      ["1.25e-300"] = 1.25e-300,
      ["5e-324"] = 5e-324,
      ["2.2250738585072014e-308"] = 2.2250738585072014e-308,
      ["1.7976931348623157e+308"] = 1.7976931348623157e308,
      ["123456789.125"] = 123456789.125,
    }
    for text, value in pairs(printed) do
      assert.equal(text, json.encode(value))
    end
  end)

  it("prints every float so that it reads back the same, with no more digits than needed", function()
    for _, x in ipairs(random_floats(20000)) do
      local text = json.encode(x)
      assert.equal(x, tonumber(text))
      assert.equal(x, json.decode(text))
      local digits = text:gsub("e.*", ""):gsub("[-.]", ""):gsub("^0+", ""):gsub("0+$", "")
      if #digits > 1 then
        local shorter = ("%%.%dg"):format(#digits - 1):format(x)
        assert.not_equal(x, tonumber(shorter))
      end
    end
  end)

  it("prints the extreme integers", function()
    assert.equal("9223372036854775807", json.encode(math.maxinteger))
    assert.equal("-9223372036854775808", json.encode(math.mininteger))
  end)

  it("writes NaN and infinities as asked", function()
    local list = { 0 / 0, 1 / 0, -1 / 0 }
    assert.error_matches(function() json.encode(list) end, "cannot encode NaN at %[1%]")
    assert.equal("[NaN,Infinity,-Infinity]", json.encode(list, { nan = "allow" }))
    assert.equal("[null,null,null]", json.encode(list, { nan = "null" }))
    assert.equal('["NaN","Infinity","-Infinity"]', json.encode(list, { nan = "string" }))
    assert.error_matches(function() json.encode(1, { nan = "maybe" }) end, "nan must be")
  end)

  it("raises with the way to a value that JSON cannot hold", function()
    local cyclic = {}
    cyclic.a = cyclic
    local messages = {
      ["cannot encode a function at .spec.sources[2]"] = { spec = { sources = { 1, print } } },
      ["cannot encode a function"] = print,
      ["cannot encode a table that mixes list items and named fields at .a"] = { a = { 1, x = 2 } },
      ["cannot encode a list with holes"] = { 1, nil, 3 },
      ["cannot encode a table with a key that is neither a string nor an integer"] = { [1.5] = 1 },
      ['cannot encode a string that is not UTF-8 at ["a b"][1]'] = { ["a b"] = { "\xff" } },
      ["cannot encode a key that is not UTF-8 at .a"] = { a = { ["\xff"] = 1 } },
      ["cannot encode a userdata at .f"] = { f = io.stdout },
    }
    for message, value in pairs(messages) do
      local done, why = pcall(json.encode, value)
      assert.is_false(done)
      assert.equal(message, why)
    end
    local _, why = pcall(json.encode, cyclic)
    assert.truthy(why:find("^cannot encode a table that contains itself or is nested too deep at %.a%.a"))
  end)

  it("blames the line that called it", function()
    local _, why = pcall(function() json.encode(print) end)
    assert.truthy(why:find("json_spec.lua:%d+: cannot encode a function"))
  end)

  it("understands cjson's null, and cjson its values", function()
    assert.equal(cjson.null, json.null)
    assert.equal('{"a":[null,1]}', cjson.encode(json.decode '{"a":[null,1]}'))
    assert.equal('{"a":[null,"x"]}', json.encode(cjson.decode '{"a":[null,"x"]}'))
  end)
end)

describe("json.read and json.write", function()
  local folder
  before_each(function() folder = fs.tempdir() end)
  after_each(function() folder:remove() end)

  it("write a file and read it back", function()
    local path = fs.join(folder.path, "a.json")
    assert(json.write(path, json.object { { "b", 1 }, { "a", 2 } }, { indent = 2 }))
    assert.equal('{\n  "b": 1,\n  "a": 2\n}', read_file(path))
    assert.same({ "b", "a" }, keys_by_pairs(assert(json.read(path))))
    assert(json.write(path, { 1 }, { newline = true }))
    assert.equal("[1]\n", read_file(path))
  end)

  it("name the file and the place of a mistake", function()
    local path = fs.join(folder.path, "bad.json")
    write_file(path, '{\n  "a": }\n')
    local value, message, position = json.read(path)
    assert.is_nil(value)
    assert.equal(path .. ":2:8:", message:match("^.-:%d+:%d+:"))
    assert.equal(10, position.offset)
  end)

  it("return what the system says about a file that is not there", function()
    local value, message, code = json.read(fs.join(folder.path, "absent.json"))
    assert.is_nil(value)
    assert.truthy(message:find("No such file"))
    assert.equal("ENOENT", code)
  end)

  it("leave the old file when the value cannot be encoded", function()
    local path = fs.join(folder.path, "a.json")
    write_file(path, "old")
    local done, why = pcall(function() json.write(path, { print }) end)
    assert.is_false(done)
    assert.truthy(why:find("json_spec.lua:%d+: cannot encode a function at %[1%]"))
    assert.equal("old", read_file(path))
  end)
end)

describe("json.lines", function()
  local folder, path
  before_each(function()
    folder = fs.tempdir()
    path = fs.join(folder.path, "a.jsonl")
  end)
  after_each(function() folder:remove() end)

  local function collect(...)
    local seen = {}
    for number, value, why in assert(json.lines(...)) do
      seen[#seen + 1] = { number, value, why }
    end
    return seen
  end

  it("yields line numbers and values and skips blank lines", function()
    write_file(path, '{"a":1}\n\n  \t\r\n[2]\r\nnull')
    assert.same({ { 1, { a = 1 } }, { 4, { 2 } }, { 5, json.null } }, collect(path))
  end)

  it("yields nil and a message for a bad line and goes on", function()
    write_file(path, '1\n\n{"a":1,"a":2}\n4\n')
    local seen = collect(path, { name = "traces.jsonl" })
    assert.same({ 1, 1 }, seen[1])
    assert.same({ 3, nil, 'traces.jsonl:3:8: duplicate key "a" (byte 11)' }, seen[2])
    assert.same({ 4, 4 }, seen[3])
  end)

  it("names the file when no name is given", function()
    write_file(path, "x")
    assert.equal(path .. ":1:1:", collect(path)[1][3]:match("^.-:1:1:"))
  end)

  it("reads lines longer than any buffer", function()
    local long = ("x"):rep(3000000)
    write_file(path, '"' .. long .. '"\n2\n')
    assert.same({ { 1, long }, { 2, 2 } }, collect(path))
  end)

  it("reads an open file from where it stands", function()
    write_file(path, "skipped\n1\n2\n")
    local file <close> = assert(io.open(path))
    file:read("l")
    assert.same({ { 1, 1 }, { 2, 2 } }, collect(file))
    assert.equal("file", io.type(file))
  end)

  it("raises when its open file is closed within the loop", function()
    write_file(path, "1\n2\n")
    local file = assert(io.open(path))
    local function walk()
      for _ in json.lines(file) do
        file:close()
      end
    end
    assert.error_matches(walk, "the file was closed")
    assert.error_matches(function() json.lines(file) end, "the file is closed")
  end)

  it("closes the file when the loop is left early", function()
    write_file(path, "1\n2\n")
    local function open_files()
      local count = 0
      for _ in require("lfs").dir("/proc/self/fd") do
        count = count + 1
      end
      return count
    end
    local before = open_files()
    for number in json.lines(path) do
      assert.equal(before + 1, open_files())
      if number == 1 then break end
    end
    assert.equal(before, open_files())
  end)

  it("returns nil and a message for a file that cannot be opened", function()
    local iterator, message, code = json.lines(fs.join(folder.path, "absent"))
    assert.is_nil(iterator)
    assert.truthy(message:find("^cannot open .*absent: No such file"))
    assert.equal("ENOENT", code)
  end)

  it("yields a message when reading fails", function()
    local seen = collect(folder.path)
    assert.equal(1, #seen)
    assert.truthy(seen[1][3]:find("Is a directory"))
  end)

  it("has the options of decode", function()
    write_file(path, "NaN\n18446744073709551615\n")
    local seen = collect(path, { nan = true, big = "float" })
    assert.is_true(seen[1][2] ~= seen[1][2])
    assert.equal(2.0 ^ 64, seen[2][2])
  end)
end)

describe("json.append", function()
  local folder
  before_each(function() folder = fs.tempdir() end)
  after_each(function() folder:remove() end)

  it("appends one compact line, and first ends the line that is there", function()
    local path = fs.join(folder.path, "a.jsonl")
    assert(json.append(path, { a = { 1, 2 } }))
    assert.equal('{"a":[1,2]}\n', read_file(path))
    write_file(path, "1")
    assert(json.append(path, "two\nlines"))
    assert.equal('1\n"two\\nlines"\n', read_file(path))
  end)

  it("takes encode's options but no indent", function()
    local path = fs.join(folder.path, "a.jsonl")
    assert(json.append(path, { 1 / 0 }, { nan = "string" }))
    assert.equal('["Infinity"]\n', read_file(path))
    assert.error_matches(function() json.append(path, 1, { indent = 2 }) end, "a line cannot be indented")
  end)
end)

describe("json.insert", function()
  -- Each: text, path, value, key and what is expected.
  local function inserts(cases)
    for _, case in ipairs(cases) do
      assert.equal(case[5], json.insert(case[1], case[2], case[3], case[4]))
    end
  end

  it(
    "adds a line to a list that has one item a line",
    function()
      inserts {
        {
          '{\n  "tags": [\n    "a"\n  ],\n  "n":1\n}\n',
          { "tags" },
          "b",
          nil,
          '{\n  "tags": [\n    "a",\n    "b"\n  ],\n  "n":1\n}\n',
        },
        { "[\r\n\t1\r\n]", {}, { 2 }, nil, "[\r\n\t1,\r\n\t[\r\n\t\t2\r\n\t]\r\n]" },
        { "[\n  [1, 2],\n  [3, 4]\n]", {}, { 5, 6 }, nil, "[\n  [1, 2],\n  [3, 4],\n  [5, 6]\n]" },
      }
    end
  )

  it(
    "continues a list that is in one line",
    function()
      inserts {
        { "[1,2]", {}, 3, nil, "[1,2,3]" },
        { "[1, 2]", {}, 3, nil, "[1, 2, 3]" },
        { '{"tags": ["a"]}', { "tags" }, { x = 1, y = 2 }, nil, '{"tags": ["a", {"x": 1, "y": 2}]}' },
        { '{"tags":["a"]}', { "tags" }, "b", nil, '{"tags":["a","b"]}' },
        { "[ 1 ]", {}, 2, nil, "[ 1,2 ]" },
      }
    end
  )

  it(
    "opens an empty list in the style of its surroundings",
    function()
      inserts {
        { '{\n  "tags": []\n}', { "tags" }, "a", nil, '{\n  "tags": [\n    "a"\n  ]\n}' },
        { '{\n    "x": {"tags": []}\n}', { "x", "tags" }, "a", nil, '{\n    "x": {"tags": ["a"]}\n}' },
        { "[]", {}, 1, nil, "[1]" },
        { "[\n]", {}, 1, nil, "[\n  1\n]" },
      }
    end
  )

  it(
    "adds a field to an object",
    function()
      inserts {
        { '{"a":1}', {}, 2, "b", '{"a":1,"b":2}' },
        {
          '{\n  "a": {\n    "x": 1\n  }\n}',
          { "a" },
          json.array(),
          "y",
          '{\n  "a": {\n    "x": 1,\n    "y": []\n  }\n}',
        },
        { '{ "a" : 1 }', {}, 2, "b", '{ "a" : 1, "b" : 2 }' },
        { "{}", {}, 1, "a", '{"a":1}' },
      }
    end
  )

  it(
    "is not misled by brackets, quotes and escapes in strings",
    function()
      inserts {
        {
          [=[{"a]\"": {"b": "]}\\", "c": [1]}, "\u0061": []}]=],
          { 'a]"', "c" },
          2,
          nil,
          [=[{"a]\"": {"b": "]}\\", "c": [1, 2]}, "\u0061": []}]=],
        },
        { [=[{"x": "\\", "\u0061": [ ]}]=], { "a" }, 2, nil, [=[{"x": "\\", "\u0061": [2]}]=] },
      }
    end
  )

  it(
    "counts positions in lists from 1, negative ones from the end",
    function()
      inserts {
        { "[[1],[2]]", { 1 }, 0, nil, "[[1,0],[2]]" },
        { "[[1],[2]]", { -1 }, 0, nil, "[[1],[2,0]]" },
      }
    end
  )

  it("returns nil and why when the text has no such place", function()
    local function why(...)
      local text, message = json.insert(...)
      assert.is_nil(text)
      return message
    end
    assert.equal("cannot insert at .b[3]: there is no such value", why('{"a":1}', { "b", 3 }, 1))
    assert.equal("cannot insert at .a: it is neither a list nor an object", why('{"a":1}', { "a" }, 1))
    assert.equal("cannot insert at the root: it is a list, which has no keys", why("[1]", {}, 1, "k"))
    assert.equal("cannot insert at the root: it is an object, which needs a key", why("{}", {}, 1))
    assert.equal('cannot insert at the root: it has the key "a" already', why('{"a":1}', {}, 1, "a"))
    assert.truthy(why("[", {}, 1):find("unexpected end of data"))
  end)

  it("raises for a value that cannot be encoded and a path that is none", function()
    local function insert(...) return pcall(json.insert, ...) end
    assert.same({ false, "cannot encode a function" }, { insert("[]", {}, print) })
    assert.same(
      { false, "bad argument #2 to 'insert' (list of keys and positions expected)" },
      { insert("[]", { 1.5 }, 1) }
    )
  end)
end)

describe("the published dataset", function()
  local dataset = os.getenv("HONE_TRACE") or "../shared/flashinfer-trace"

  -- Whether a text is laid out as json.dumps(indent=2, ensure_ascii=False) does: nothing but [] and {}
  -- opens and goes on in the same line, and nothing is escaped that need not be.
  local function is_laid_out_by_python(text)
    local bare = text:gsub("\\.", ""):gsub('"[^"]*"', ""):gsub("%[%]", ""):gsub("{}", "")
    return not bare:find("[%[{,][^\n]") and not text:find("\\u", 1, true)
  end

  it("is reproduced by decode and encode, byte for byte up to the final newline", function()
    if not fs.is_dir(fs.join(dataset, "definitions")) then return pending("no dataset found") end
    local compared = 0
    for _, path in ipairs(fs.glob(fs.join(dataset, "definitions", "**", "*.json"))) do
      local text = read_file(path):gsub("%s+$", "")
      if is_laid_out_by_python(text) then
        assert.equal(text, json.encode(assert(json.read(path)), { indent = 2 }), path)
        compared = compared + 1
      end
    end
    assert.is_true(compared > 0)
  end)

  it("decodes to what cjson decodes to", function()
    if not fs.is_dir(fs.join(dataset, "workloads")) then return pending("no dataset found") end
    for _, path in ipairs(fs.glob(fs.join(dataset, "workloads", "**", "*.jsonl"))) do
      local lines = io.lines(path)
      for _, value in json.lines(path) do
        assert.same(cjson.decode(lines()), value)
      end
    end
  end)
end)
