--- Mending a dataset that is spoilt in ways of which each has one remedy.
local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local fix, traceset = require "hone.dataset.fix", require "hone.dataset.traceset"
local trace = require "hone.dataset.trace"

local NAME = "gemm_n16_k32"
local SOLUTION = json.object {
  { "name", "s" },
  { "definition", NAME },
  { "author", "ann" },
  { "spec", { language = "python", target_hardware = { "cpu" }, entry_point = "a.py::run" } },
  { "sources", { { path = "a.py", content = "x" } } },
}

local function line_of(uuid, input, result)
  return json.encode(json.object {
    { "definition", NAME },
    {
      "workload",
      json.object {
        { "axes", json.object { { "M", 4 } } },
        { "inputs", json.object { { "A", input or { type = "random" } }, { "B", { type = "random" } } } },
        { "uuid", uuid },
      },
    },
    { "solution", result and "s" or json.null },
    { "evaluation", result or json.null },
  })
end

local RESULT = json.object {
  { "status", "RUNTIME_ERROR" },
  { "environment", json.object { { "hardware", "H" }, { "libs", json.object() } } },
  { "timestamp", "t" },
  { "log", "" },
  { "correctness", json.null },
  { "performance", json.null },
}

describe("mending a dataset", function()
  local dir, root
  local DEFINITION, SOLUTION_FILE =
    "definitions/gemm/" .. NAME .. ".json", "solutions/ann/gemm/" .. NAME .. "/s.json"
  local WORKLOADS, TRACES = "workloads/gemm/" .. NAME .. ".jsonl", "traces/ann/gemm/" .. NAME .. ".jsonl"

  local function write(path, text) assert(fs.write(fs.join(root, path), text)) end
  local function read(path) return fs.read(fs.join(root, path)) end
  local function exists(path) return fs.exists(fs.join(root, path)) end

  before_each(function()
    dir = fs.tempdir()
    root = dir.path
    local definition = assert(ops.build("gemm", "gemm", { N = 16, K = 32 }))
    write(DEFINITION, json.encode(definition, { indent = 2 }) .. "\n")
    write(SOLUTION_FILE, json.encode(SOLUTION, { indent = 2 }))
    write(WORKLOADS, line_of "u1" .. "\n")
    write(TRACES, line_of("u1", nil, RESULT) .. "\n")
  end)
  after_each(function() dir:remove() end)

  local function changes()
    local plan = assert(fix.plan(root))
    return fix.lines(plan), plan
  end

  -- What is mended once needs nothing more.
  local function mend()
    local lines, plan = changes()
    assert(fix.apply(plan))
    assert.same({}, (changes()))
    return lines
  end

  it("leaves a dataset alone that needs nothing", function() assert.same({}, (changes())) end)

  it("lays out a definition, its keys in order and every value as it was", function()
    local before = assert(json.decode(read(DEFINITION)))
    local turned = json.object()
    for i = #json.keys(before), 1, -1 do
      local key = json.keys(before)[i]
      turned[key] = before[key]
    end
    write(DEFINITION, json.encode(turned))
    assert.same({ "~ " .. DEFINITION .. ": layout" }, mend())
    assert.equal(json.encode(before, { indent = 2 }) .. "\n", read(DEFINITION))
  end)

  it("adds the tags that follow from what a definition is", function()
    local norm = assert(ops.build("rmsnorm", "fused_add_rmsnorm", { hidden_size = 64, eps = 1e-6 }))
    norm.tags = json.array { "status:verified" }
    write("definitions/rmsnorm/fused_add_rmsnorm_h64.json", json.encode(norm, { indent = 2 }) .. "\n")
    mend()
    local tags = json.decode(read "definitions/rmsnorm/fused_add_rmsnorm_h64.json").tags
    assert.same(
      { "status:verified", "fi_api:flashinfer.norm.fused_add_rmsnorm", "fused" },
      { table.unpack(tags) }
    )
  end)

  it("moves files to where they belong", function()
    assert(fs.rename(fs.join(root, DEFINITION), fs.join(root, "definitions/d.json")))
    assert(fs.rename(fs.join(root, SOLUTION_FILE), fs.join(root, "solutions/s.json")))
    assert(fs.rename(fs.join(root, WORKLOADS), fs.join(root, "workloads/w.jsonl")))
    assert(fs.rename(fs.join(root, TRACES), fs.join(root, "traces/gemm/t.jsonl")))
    assert.equal(4, #mend())
    for _, path in ipairs { DEFINITION, SOLUTION_FILE, WORKLOADS, TRACES } do
      assert.is_true(exists(path), path)
    end
    assert.is_false(exists "traces/gemm/t.jsonl")
    assert.equal(line_of("u1", nil, RESULT) .. "\n", read(TRACES))
  end)

  it("moves single lines out of other files, and none twice", function()
    write(
      "traces/bob/x/other.jsonl",
      line_of("u1", nil, RESULT) .. "\n" .. line_of("u2", nil, RESULT) .. "\n"
    )
    local lines = mend()
    assert.equal("- traces/bob/x/other.jsonl: line 1: there already, in " .. TRACES, lines[1])
    assert.equal("> traces/bob/x/other.jsonl: line 2: " .. TRACES, lines[2])
    assert.equal(line_of("u1", nil, RESULT) .. "\n" .. line_of("u2", nil, RESULT) .. "\n", read(TRACES))
    assert.is_false(exists "traces/bob/x/other.jsonl")
  end)

  it("sets a torn line aside and loses nothing of it", function()
    write(TRACES, read(TRACES) .. '{"definition":"ge')
    mend()
    assert.equal(line_of("u1", nil, RESULT) .. "\n", read(TRACES))
    assert.equal('{"definition":"ge\n', read(TRACES .. ".torn"))
    local set = assert(traceset.open(root))
    assert.equal(1, #set:traces(NAME))
    assert.same({}, set.problems)
  end)

  it("ends last lines, and drops blank ones and repeated ones", function()
    write(WORKLOADS, "\n" .. line_of "u1" .. "\r\n\n" .. line_of "u2" .. "\n" .. line_of "u1")
    mend()
    assert.equal(line_of "u1" .. "\n" .. line_of "u2" .. "\n", read(WORKLOADS))
  end)

  it("writes the paths of blobs from the root", function()
    for _, path in ipairs { "blob/x", "./blob/x", fs.join(root, "blob/x") } do
      write(WORKLOADS, line_of("u1", { type = "safetensors", path = path, tensor_key = "A" }) .. "\n")
      mend()
      local t = assert(trace.read(read(WORKLOADS)))
      assert.equal("./blob/x", t.workload.inputs.A.path)
    end
    write(WORKLOADS, line_of("u1", { type = "safetensors", path = "/elsewhere/x", tensor_key = "A" }) .. "\n")
    assert.same({}, (changes()))
  end)

  it("removes a copy of a solution from where it does not belong, and no other", function()
    write("solutions/s.json", read(SOLUTION_FILE))
    assert.same({ "- solutions/s.json: the same as " .. SOLUTION_FILE }, mend())
    assert.is_true(exists(SOLUTION_FILE))
    local other = json.decode(read(SOLUTION_FILE))
    other.sources[1].content = "y"
    write("solutions/s.json", json.encode(other, { indent = 2 }))
    local lines, plan = changes()
    assert.matches("^%? solutions/s.json: belongs to ", lines[1])
    assert(fix.apply(plan))
    assert.is_true(exists "solutions/s.json")
  end)

  it("touches nothing that it cannot read", function()
    write("definitions/gemm/broken.json", "{")
    write("solutions/ann/odd.json", '{"name": 3}')
    write("workloads/gemm/other.jsonl", '{"definition":"unknown"}\n')
    assert.same({}, (changes()))
  end)

  it("mends from the command line, and says first what it would do", function()
    local hone = require("hone.paths").exe
    local process = require "hone.process"
    write(WORKLOADS, line_of "u1")
    local function validate(...)
      return assert(process.run { hone, "validate", "--dataset", root, "--disable-gpu", "--fix", ... })
    end
    local said = validate("--dry-run").stdout
    assert.equal("~ " .. WORKLOADS .. ": blank lines, line ends\n1 changes; nothing was written\n", said)
    assert.equal(line_of "u1", read(WORKLOADS))
    local done = validate()
    assert.equal(0, done.status, done.stderr)
    assert.matches("1 files written, 0 removed", done.stdout, 1, true)
    assert.equal(line_of "u1" .. "\n", read(WORKLOADS))
    assert.equal(2, assert(process.run { hone, "validate", "--dataset", root, "--dry-run" }).status)
  end)
end)
