local coverage = require "hone.dataset.coverage"
local fs = require "hone.fs"
local json = require "hone.json"
local ops = require "hone.ops"
local traceset = require "hone.dataset.traceset"

local folder

local function gemm(n, tags)
  local definition = assert(ops.build("gemm", "gemm", { N = n, K = 64, dtype = "float16" }))
  definition.tags = tags or {}
  return definition
end

local function write(definition, workloads)
  local path = fs.join(folder.path, "definitions", definition.op_type, definition.name .. ".json")
  assert(json.write(path, definition, { indent = 2, newline = true }))
  if not workloads then return end
  path = fs.join(folder.path, "workloads", definition.op_type, definition.name .. ".jsonl")
  assert(fs.mkdir(fs.dirname(path)))
  assert(fs.write(path, ("{}\n"):rep(workloads) .. "\n"))
end

local function index() return coverage.index(assert(traceset.open(folder.path))) end

describe("coverage", function()
  before_each(function()
    folder = assert(fs.tempdir "hone-spec-")
    assert(fs.mkdir(fs.join(folder.path, "definitions/gemm")))
  end)
  after_each(function() folder:remove() end)

  it("tells what is there with workloads, without, and not at all", function()
    write(gemm(8), 3)
    write(gemm(16))
    local entries = coverage.of(index(), "a", { gemm(8), gemm(16), gemm(32) })
    local statuses = {}
    for i, entry in ipairs(entries) do
      statuses[i] = ("%s %s %d"):format(entry.name, entry.status, entry.workloads)
    end
    assert.same({ "gemm_n8_k64 workloads 3", "gemm_n16_k64 present 0", "gemm_n32_k64 missing 0" }, statuses)
    assert.same({ workloads = 1, present = 1, missing = 1, total = 3 }, coverage.count(entries))
  end)

  it("knows a kernel under another name, and another kernel under its name", function()
    local older = gemm(8)
    older.name = "gemm_n_8_k_64"
    write(older, 1)
    local other = gemm(16)
    other.axes.K.value = 32
    write(other)
    local entries = coverage.of(index(), "a", { gemm(8), gemm(16) })
    assert.equal("gemm_n_8_k_64", entries[1].name)
    assert.equal("workloads", entries[1].status)
    assert.equal("missing", entries[2].status)
    assert.is_true(entries[2].namesake)
  end)

  it("adds what only the dataset's tags say that a model runs", function()
    write(gemm(8, { "model:a-8b", "tp:2" }))
    write(gemm(16, { "model:b" }))
    local entries = coverage.of(index(), "a-8b", {})
    assert.equal(1, #entries)
    assert.is_false(entries[1].found)
    assert.same({ "tp:2" }, entries[1].parallel)
  end)

  it("finds a model's definitions whether the tag tells its size or not", function()
    write(gemm(8, { "model:a-next" }))
    write(gemm(16, { "model:a-next-80b-a3b" }))
    write(gemm(32, { "model:a-next-air" }))
    assert.equal(2, #coverage.tagged(index(), "a-next-80b-a3b"))
    assert.same({ "a-next", "a-next-80b-a3b", "a-next-air" }, coverage.models(index()))
  end)
end)
