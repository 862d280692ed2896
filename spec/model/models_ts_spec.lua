local fs = require "hone.fs"
local json = require "hone.json"
local models_ts = require "hone.model.models_ts"
local process = require "hone.process"

local COMPILER = "build/deps/typescript"

local function entry(fields)
  local made = {
    id = "new-model",
    name = "New Model",
    description = 'It\'s "new".',
    modules = json.object {
      { "NewForCausalLM", { count = 1, type = "block", definitions = {} } },
      { "attn", { count = 3, parent = "NewForCausalLM", type = "layer", definitions = { "rmsnorm_h64" } } },
    },
  }
  for name, value in pairs(fields or {}) do
    made[name] = value
  end
  return made
end

local function put(source, one, force)
  return models_ts.put(assert(models_ts.read(source, "models.ts")), one or entry(), force)
end

local FILE = [[
import type { Model } from "@/lib/schemas"

// Keep   this.
const others = [1, 2]
const models: Model[] = [
  {
    id: "first",
    name: "First",
    modules: {},
  },  // of its own kind
  // last
] satisfies Model[]

export default models
]]

describe("hone.model.models_ts", function()
  it("adds a model behind the others and keeps every other byte", function()
    local changed, action = put(FILE)
    assert.equal("added", action)
    local text = "\n  " .. models_ts.write(entry()) .. ","
    local from, to = changed:find(text, 1, true)
    assert.equal(FILE, changed:sub(1, from - 1) .. changed:sub(to + 1))
    assert.same({ "first", "new-model" }, models_ts.read(changed, "models.ts").ids)
    assert.matches("},  // of its own kind\n  {\n    id", changed, 1, true)
  end)

  it("changes nothing when the model is there already", function()
    local once = put(FILE)
    local twice, action = put(once)
    assert.equal("unchanged", action)
    assert.equal(once, twice)
  end)

  it("replaces a model of the same id only when told to", function()
    local once = put(FILE)
    local kept, action = put(once, entry { name = "Newer" })
    assert.equal("kept", action)
    assert.equal(once, kept)
    local updated
    updated, action = put(once, entry { name = "Newer" }, true)
    assert.equal("updated", action)
    assert.equal(once, (updated:gsub("Newer", "New Model")))
  end)

  for name, case in pairs {
    ["an empty list"] = { "const models: Model[] = []\n", {} },
    ["a list on one line without a comma at its end"] = { "const models = [{ id: 'a' }]", { "a" } },
    ["a list that is exported as it is"] = { 'export default [\n  { id: "a" } // first\n]\n', { "a" } },
    ["a list behind a spread"] = { 'const models: Model[] = [\n  ...others,\n  { id: "a" },\n]\n', { "a" } },
    ["keys in quotes"] = { 'const models: Model[] = [\n  { "id": "a" },\n]\n', { "a" } },
  } do
    it("reads and writes " .. name, function()
      assert.same(case[2], assert(models_ts.read(case[1], "models.ts")).ids)
      local changed = put(case[1])
      local ids = assert(models_ts.read(changed, "models.ts")).ids
      assert.equal(#case[2] + 1, #ids)
      assert.equal("new-model", ids[#ids])
    end)
  end

  it("writes as the file is written: indentation, quotes and ends of lines", function()
    local changed = put("const models: Model[] = [\r\n    {\r\n        id: 'a',\r\n    },\r\n];\r\n")
    assert.matches("\r\n    {\r\n        id: 'new-model',\r\n", changed, 1, true)
    assert.matches([[description: 'It\'s "new".']], changed, 1, true)
    assert.is_nil(changed:find("[^\r]\n"))
  end)

  it("tells the older spelling of definitions from the newer", function()
    assert.is_true(models_ts.is_older '["gemm_n_6144_k_4096"]')
    assert.is_false(models_ts.is_older '["gemm_n_6144_k_4096", "gemm_n6144_k4096"]')
    assert.is_false(models_ts.is_older "")
  end)

  it("breaks a list of definitions that is too long for a line", function()
    local names = {}
    for i = 1, 8 do
      names[i] = "gqa_paged_decode_h32_kv8_d128_ps" .. i
    end
    local modules = json.object { { "attn", { count = 1, type = "layer", definitions = names } } }
    local text = models_ts.write(entry { modules = modules })
    assert.matches('definitions: [\n          "gqa_paged_decode_h32_kv8_d128_ps1",\n', text, 1, true)
  end)

  it("quotes what is no identifier, and what a string may not hold", function()
    local modules =
      json.object { { "a-b", { count = 1, type = "block" } }, { "__proto__", { count = 1, type = "block" } } }
    local text = models_ts.write(entry { modules = modules, description = "a\nb\\" })
    assert.matches('"a-b": {', text, 1, true)
    assert.matches('"__proto__": {', text, 1, true)
    assert.matches([["a\u000ab\\"]], text, 1, true)
  end)

  it("names the place of a mistake", function()
    local file, message = models_ts.read('const models: Model[] = [\n  { id: "a", \n]\n', "data/models.ts")
    assert.is_nil(file)
    assert.matches("^data/models.ts:2:%d+: syntax error:", message)
    file, message = models_ts.read("const numbers = 1\n", "data/models.ts")
    assert.is_nil(file)
    assert.matches("it has no list of models", message, 1, true)
  end)

  it("finds parents that are missing, circles, counts and names that cannot be", function()
    local problems = models_ts.problems {
      modules = json.object {
        { "a", { count = 1, parent = "b", type = "block" } },
        { "b", { count = 1, parent = "a", type = "block" } },
        {
          "c",
          { count = 0, parent = "nobody", type = "layer", definitions = { "rmsnorm_h64", "what_is_this" } },
        },
      },
    }
    assert.same({ "a", "b" }, problems.cycles)
    assert.same({ "c" }, problems.parents)
    assert.same({ "c" }, problems.counts)
    assert.same({ "what_is_this" }, problems.definitions)
  end)

  describe("asks the TypeScript compiler", function()
    local getenv
    before_each(function()
      local real = os.getenv
      getenv = stub(os, "getenv", function(name)
        if name == "HONE_TYPESCRIPT" then return fs.absolute(COMPILER) end
        return real(name)
      end)
    end)
    after_each(function() getenv:revert() end)

    local function compile(source)
      if not process.which("node") then return pending "node is not installed" end
      if not fs.is_dir(COMPILER) then
        return pending("no " .. COMPILER .. " (tools/deps.sh test makes it)")
      end
      return true, models_ts.compile(source, "data/models.ts")
    end

    it("which takes what is written", function()
      local ran, ok, message = compile(models_ts.new(entry()))
      if ran then assert.is_true(ok, message) end
    end)

    it("which refuses another type, with its place", function()
      local source = models_ts.new(entry()):gsub('"layer"', '"layers"')
      local ran, ok, message = compile(source)
      if not ran then return end
      assert.is_false(ok)
      assert.matches("^data/models.ts:%d+:%d+: Type '\"layers\"'", message)
    end)
  end)
end)
