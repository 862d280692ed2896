local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local solution = require "hone.dataset.solution"

local ROOT = "examples/dataset"

local function described(folder) return json.decode(fs.read(fs.join(folder, "solution.json"))) end

-- The folders of solutions for the definitions that are here; the others are for the public dataset's.
local function folders()
  local list = {}
  for _, folder in ipairs(fs.glob "examples/solutions/*") do
    local pattern = ("%s/definitions/*/%s.json"):format(ROOT, described(folder).definition)
    if #fs.glob(pattern) == 1 then list[#list + 1] = folder end
  end
  return list
end

local function pack(root, ...)
  return process.run { os.getenv "HONE_BIN" or "build/hone", "examples/pack_solution.lua", root, ... }
end

local function packed_files(root)
  local files = {}
  for path in fs.walk(fs.join(root, "solutions")) do
    if fs.is_file(path) then files[fs.relative(path, root)] = fs.read(path) end
  end
  return files
end

describe("the example dataset", function()
  local scratch
  before_each(function()
    scratch = fs.tempdir()
    assert(process.run { "cp", "-R", ROOT .. "/definitions", scratch.path })
  end)
  after_each(function() scratch:remove() end)

  it("holds what packing the sources beside it gives", function()
    local result = assert(pack(scratch.path, table.unpack(folders())))
    assert.equal("", result.stderr)
    assert.is_truthy(next(packed_files(ROOT)))
    assert.same(packed_files(ROOT), packed_files(scratch.path))
  end)

  it("does not change when it is packed again", function()
    assert(pack(scratch.path, table.unpack(folders())))
    local once = packed_files(scratch.path)
    assert(pack(scratch.path, table.unpack(folders())))
    assert.same(once, packed_files(scratch.path))
  end)

  it("keeps a solution only where its definition is", function()
    fs.remove(fs.join(scratch.path, "definitions/gemm/gemm_n128_k2048.json"))
    local result = assert(pack(scratch.path, "examples/solutions/gemm_cpp"))
    assert.equal(1, result.status)
    assert.matches("gemm_n128_k2048", result.stderr, 1, true)
    assert.is_nil(result.stderr:find "traceback")
  end)

  it("says what is wrong with a folder that holds no solution", function()
    local result = assert(pack(scratch.path, scratch.path))
    assert.equal(1, result.status)
    assert.matches("solution.json", result.stderr, 1, true)
  end)

  it("refuses a solution.json that is not an object", function()
    fs.write(fs.join(scratch.path, "bad/solution.json"), "[1]")
    local result = assert(pack(scratch.path, fs.join(scratch.path, "bad")))
    assert.equal(1, result.status)
    assert.is_nil(result.stderr:find "traceback")
  end)

  it("has a name of its own for every solution", function()
    local seen = {}
    for _, text in pairs(packed_files(ROOT)) do
      local name = solution.with_unique_name(json.decode(text)).name
      assert.is_nil(seen[name])
      seen[name] = true
    end
  end)

  it("has one baseline, and something to compare with it, for every definition", function()
    local baselines, others = {}, {}
    for _, folder in ipairs(fs.glob "examples/solutions/*") do
      local it = described(folder)
      local counts = it.author == "baseline" and baselines or others
      counts[it.definition] = (counts[it.definition] or 0) + 1
    end
    for definition in pairs(others) do
      assert.equal(1, baselines[definition], definition)
    end
    for definition in pairs(baselines) do
      assert.is_truthy(others[definition], definition)
    end
  end)
end)
