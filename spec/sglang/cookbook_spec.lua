local cookbook = require "hone.sglang.cookbook"
local fs = require "hone.fs"

local folder

local function write(path, text)
  local full = fs.join(folder.path, "data/models/generated", path)
  assert(fs.mkdir(fs.dirname(full)))
  assert(fs.write(full, text))
end

-- A vendor's file with one model; `engines` are lines of "tp: 8, ep: 8".
local function vendor(name, path, engines)
  local lines = {
    "vendor: org",
    "families:",
    "- name: Family",
    "  models:",
    "  - name: " .. name,
    "    model_path: " .. path,
    "    hardware:",
    "      H200:",
    "        configurations:",
  }
  for i, engine in ipairs(engines) do
    lines[#lines + 1] = ("        - { name: c%d, engine: { %s } }"):format(i, engine)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function text(settings)
  local parts = {}
  for i, setting in ipairs(settings or {}) do
    parts[i] = setting.tp .. ":" .. setting.ep
  end
  return table.concat(parts, " ")
end

describe("cookbook.settings", function()
  before_each(function() folder = assert(fs.tempdir "hone-spec-") end)
  after_each(function() folder:remove() end)

  local function settings(repo_id, warn) return cookbook.settings(folder.path, repo_id, warn) end

  it("gives every pair of sizes once, smallest first", function()
    write(
      "v0.5.6/a.yaml",
      vendor("Big-8B", "org/Big-8B", { "tp: 8, ep: 8", "tp: 8, ep: null", "tp: 2", "tp: 8" })
    )
    local list, version = settings "org/Big-8B"
    assert.equal("2:1 8:1 8:8", text(list))
    assert.equal("v0.5.6", version)
  end)

  it("takes the newest version that has the model", function()
    write("v0.5.6/a.yaml", vendor("Big-8B", "org/Big-8B", { "tp: 1" }))
    write("v0.5.10/a.yaml", vendor("Big-8B", "org/Big-8B", { "tp: 4" }))
    write("v0.5.9/a.yaml", vendor("Big-8B", "org/Big-8B", { "tp: 2" }))
    write("v0.5.11/b.yaml", vendor("Other", "org/Other", { "tp: 16" }))
    local list, version = settings "org/Big-8B"
    assert.equal("4:1", text(list))
    assert.equal("v0.5.10", version)
  end)

  it("prefers the repository to the name, and the name to a variant of it", function()
    write("v1/a.yaml", vendor("Big-8B-FP8", "org/Big-8B-FP8", { "tp: 1" }))
    write("v1/b.yaml", vendor("Big-8B", "else/Big-8B", { "tp: 2" }))
    assert.equal("2:1", text(settings "org/Big-8B"))
    assert.equal("1:1", text(settings "org/Big-8B-FP8"))
    write("v2/c.yaml", vendor("Big-9B-Instruct-0728", "org/Big-9B-Instruct-0728", { "tp: 4" }))
    assert.equal("4:1", text(settings "org/Big-9B"))
  end)

  it("leaves out attention that is data parallel: its heads are not split", function()
    write(
      "v1/a.yaml",
      vendor("Big-8B", "org/Big-8B", { "tp: 8, dp: 8, enable_dp_attention: true", "tp: 4, dp: 2" })
    )
    assert.equal("4:1", text(settings "org/Big-8B"))
  end)

  it("reads prefill and decode engines, versions inside a model, and files without a version", function()
    write(
      "a.yaml",
      [[
vendor: org
families:
- models:
  - name: Big-8B
    hardware:
      H200:
        versions:
          v0.5.6:
            configurations:
            - engine: null
              prefill: { tp: 4 }
              decode: { tp: 8, ep: 2 }
]]
    )
    local list, version = settings "org/Big-8B"
    assert.equal("4:1 8:2", text(list))
    assert.equal("unversioned", version)
  end)

  it("passes over a file that cannot be read, and says so", function()
    write("v1/a.yaml", "big: [unclosed\n")
    write("v1/b.yaml", vendor("Big-8B", "org/Big-8B", { "tp: 2" }))
    local warnings = {}
    assert.equal("2:1", text(settings("org/Big-8B", function(warning) warnings[#warnings + 1] = warning end)))
    assert.equal(1, #warnings)
    assert.matches("cannot read .*v1/a.yaml: ", warnings[1])
    assert.is_nil(warnings[1]:find("\n", 1, true))
  end)

  it("has nothing to say of sizes that are none, of other models and of no checkout", function()
    write("v1/a.yaml", vendor("Big-8B", "org/Big-8B", { "tp: many", "tp: -1" }))
    write("v1/b.yaml", "just: big text\n")
    write("v1/c.yaml", "- big\n- list\n")
    assert.is_nil(settings "org/Big-8B")
    assert.is_nil(settings "org/Small")
    assert.is_nil(cookbook.settings("/nowhere", "org/Big-8B"))
  end)
end)
