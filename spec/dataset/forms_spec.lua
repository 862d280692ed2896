--- The quick reading of records against their rules: what it takes, the rules take too, and say the same of it.
local fs, json = require "hone.fs", require "hone.json"
local forms = require "hone.dataset.forms"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"

local TRACE = [[
{"definition":"d","workload":{"axes":{"n":4,"m":0},"inputs":{"x":{"type":"random"},"y":{"type":"safetensors",
"path":"b","tensor_key":"k"},"z":{"type":"scalar","value":1.5}},"uuid":"u"},"solution":"s","evaluation":
{"status":"PASSED","environment":{"hardware":"H","libs":{"torch":"2"}},"timestamp":"t","log":"","correctness":
{"max_relative_error":0.5,"max_absolute_error":"NaN","extra":{"a":[1,{"b":null}]}},"performance":
{"latency_ms":2,"reference_latency_ms":1.0,"speedup_factor":0.5}}}]]

local SOLUTION = [[
{"name":"s","definition":"d","author":"a","spec":{"language":"cuda","target_hardware":["cuda"],
"entry_point":"k.cu::f","dependencies":["x"],"destination_passing_style":true,"binding":null},
"sources":[{"path":"k.cu","content":"c"},{"path":"h/k.h","content":"c"}],"description":null}]]

-- Values that a field may be wrong in, or right in an unusual way.
local VALUES = {
  "null",
  "true",
  '""',
  '"x"',
  '"../x"',
  '"/x"',
  '"a/../b"',
  '"3"',
  "0",
  "-1",
  "1.0",
  "1.5",
  "-0.0",
  "1e999",
  "NaN",
  "18446744073709551615",
  "123456789012345678901234567890",
  "[]",
  "{}",
  "[1]",
  '{"a":1,"a":2}',
  '"RUNTIME_ERROR"',
  '"INCORRECT_NUMERICAL"',
  '"k.cu::f::g"',
  '"k.cu::"',
  '"other::f"',
  '"\\ud800"',
  '{"type":"random"}',
} -- stylua: ignore

-- Every place of a value in a JSON text, as { first, last } of its characters.
local function places_of(text)
  local found = {}
  for _, pattern in ipairs { "()%b{}()", '()"[^"]*"()', "()%b[]()", "()%f[%d][%d.]+()", "()null()", "()true()" } do
    local at = 1
    while true do
      local first, last = text:match(pattern, at)
      if not first then break end
      local is_key = text:match("^%s*:", last) and text:sub(first, first) == '"'
      if not is_key then found[#found + 1] = { first, last - 1 } end
      at = first + 1
    end
  end
  return found
end

local function shown(value) return json.encode(value, { nan = "string" }) end

-- The text with each value replaced by each of VALUES, each field left out, and each said twice.
local function variations(text)
  local list = { text }
  for _, place in ipairs(places_of(text)) do
    for _, value in ipairs(VALUES) do
      list[#list + 1] = text:sub(1, place[1] - 1) .. value .. text:sub(place[2] + 1)
    end
  end
  for first, last in text:gmatch '()"[%w_]+":[^{}%[%],]+,()' do
    list[#list + 1] = text:sub(1, first - 1) .. text:sub(last)
    list[#list + 1] = text:sub(1, last - 1) .. text:sub(first)
    list[#list + 1] = text:sub(1, first - 1) .. '"other":1,' .. text:sub(first)
  end
  return list
end

describe("the quick reading of records", function()
  local dir, path

  setup(function()
    dir = fs.tempdir()
    path = fs.join(dir.path, "record")
  end)
  teardown(function() dir:remove() end)

  local function quick(read, text)
    os.remove(path) -- a file that is emptied is flushed to the disk when it is closed
    local file <close> = assert(io.open(path, "w"))
    file:write((text:gsub("\n", "")))
    file:close()
    return read(path)
  end

  it("takes traces as the benchmark writes them", function()
    local columns = assert(quick(forms.results, TRACE))
    assert.same({
      count = 1,
      definition = { "d" },
      solution = { "s" },
      uuid = { "u" },
      status = { "PASSED" },
      latency = { 2.0 },
      hardware = { "H" },
    }, columns)
    assert.equal("float", math.type(columns.latency[1]))
  end)

  it("takes no trace that the rules refuse, and reads what they read", function()
    local taken, all = 0, 0
    for _, text in ipairs(variations(TRACE)) do
      local columns = quick(forms.results, text)
      all = all + 1
      if columns then
        taken = taken + 1
        local checked = assert(trace.read(text), text)
        local expected = forms.columns_of { checked }
        for name, column in pairs(columns) do
          assert.equal(shown(expected[name]), shown(column), name .. " of " .. text)
        end
      end
    end
    assert.is_true(all > 500 and taken > 20 and taken < all / 2)
  end)

  it("reads the axes and inputs of workloads as the rules do", function()
    for _, text in ipairs(variations((TRACE:gsub('"solution".*$', '"solution":null}')))) do
      local columns = quick(forms.workloads, text)
      if columns then
        local checked = assert(trace.read(text), text)
        local expected = forms.columns_of { checked }
        for name, column in pairs(columns) do
          assert.equal(shown(expected[name]), shown(column), name .. " of " .. text)
        end
      end
    end
  end)

  it("takes no solution that the rules refuse", function()
    local taken = 0
    for _, text in ipairs(variations(SOLUTION)) do
      local found = quick(forms.solution, text)
      if found then
        taken = taken + 1
        local checked = assert(solution.check(assert(json.decode(text))), text)
        assert.same(
          { checked.name, checked.definition, checked.author },
          { found.name, found.definition, found.author }
        )
      end
    end
    assert.is_true(taken > 5)
    assert.is_table(quick(forms.solution, SOLUTION))
  end)

  it("hands back a file with one line that is torn", function()
    local line = TRACE:gsub("\n", "")
    assert(fs.write(path, line .. "\n\n" .. line:sub(1, 90)))
    assert.is_nil(forms.results(path))
  end)
end)
