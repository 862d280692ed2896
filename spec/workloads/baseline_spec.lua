--- The baselines on what was collected: run where they can be, named where they cannot.
local fs, json = require "hone.fs", require "hone.json"
local ops = require "hone.ops"
local process = require "hone.process"

local BIN = os.getenv "HONE_BIN" or "build/hone"
local NAME = "rmsnorm_h128"
local NORM = [[
function run(x, weight, y)
  local wide = x:to("float32")
  y:copy_(wide * ((wide * wide):mean(2, true) + 1e-5):rsqrt() * weight:to("float32"))
end
]]
local DUMPS = [[
import sys
sys.path.insert(0, "spec/support")
from flashinfer_dumps import *
log = Log(sys.argv[1])
for rows in (3, 7):
    log.call("rmsnorm", Tensor("bfloat16", [rows, 128]), Tensor("bfloat16", [128]), 1e-5)
]]

describe("baselines on collected workloads", function()
  local dir, root, dumps
  before_each(function()
    dir = assert(fs.tempdir())
    root, dumps = fs.join(dir.path, "dataset"), fs.join(dir.path, "dumps")
    local definition =
      assert(ops.build("rmsnorm", "rmsnorm", { hidden_size = 128, eps = 1e-5 }, { models = { "m" } }))
    assert(fs.mkdir(fs.join(root, "definitions/rmsnorm")))
    assert(json.write(fs.join(root, "definitions/rmsnorm", NAME .. ".json"), definition))
    assert(process.run { "python3", "-c", DUMPS, dumps, check = true })
  end)
  after_each(function() dir:remove() end)

  local function add_solution(name, more)
    local solution = {
      name = name,
      definition = NAME,
      author = "baseline",
      spec = {
        language = "lua",
        extension = "hone",
        target_hardware = { "cpu" },
        entry_point = "main.lua::run",
      },
      sources = { { path = "main.lua", content = NORM } },
    }
    for key, value in pairs(more or {}) do
      solution[key] = value
    end
    local folder = fs.join(root, "solutions", solution.author, "rmsnorm", NAME)
    assert(fs.mkdir(folder))
    assert(json.write(fs.join(folder, name .. ".json"), solution))
  end

  local function on_gpu()
    return {
      spec = { language = "cuda", target_hardware = { "NVIDIA H200" }, entry_point = "main.cu::run" },
      sources = { { path = "main.cu", content = "void run() {}" } },
    }
  end

  local function collect(...)
    local command = { BIN, "collect-workloads", "--model-name", "m", "--local", root, "--all" }
    table.move({ "--from-dumps", dumps, "--json", ... }, 1, 3 + select("#", ...), #command + 1, command)
    command.env = { CUDA_VISIBLE_DEVICES = "", HF_TOKEN = false }
    local result = assert(process.run(command))
    assert.equal(0, result.status, result.stderr)
    return json.decode(result.stdout), result
  end

  local function traces()
    local path, list = fs.join(root, "traces/baseline/rmsnorm", NAME .. ".jsonl"), {}
    if not fs.is_file(path) then return list end
    for _, trace in json.lines(path) do
      list[#list + 1] = trace
    end
    return list
  end

  it("runs those for the CPU, keeps their traces, and says how they did", function()
    add_solution "norm"
    local answer, result = collect "--no-submit-pr"
    assert.equal(2, answer.baseline.evaluations, result.stderr)
    assert.equal("2/2", answer.baseline.rows[1][3])
    local kept = {}
    for _, one in ipairs(answer.definitions[1].kept) do
      kept[one.uuid] = true
    end
    for _, trace in ipairs(traces()) do
      assert.equal("PASSED", trace.evaluation.status, trace.evaluation.log)
      assert.is_true(kept[trace.workload.uuid])
    end
    assert.equal(2, #traces())
    local text = fs.read(answer.report .. ".md")
    assert.matches("## Baselines on these workloads", text, 1, true)
    assert.matches("| rmsnorm_h128 | norm | 2/2 |", text, 1, true)
  end)

  it("leaves solutions of other authors alone", function()
    add_solution("other", { author = "someone" })
    local answer = collect "--no-submit-pr"
    assert.equal(0, answer.baseline.evaluations)
    assert.same({ "no baseline is there for rmsnorm_h128" }, { table.unpack(answer.baseline.notes) })
  end)

  it("goes on with the workloads that have no trace yet", function()
    local first = collect "--no-submit-pr"
    assert.equal(0, first.baseline.evaluations)
    add_solution "norm"
    assert.equal(2, collect("--no-submit-pr").baseline.evaluations)
    assert.equal(0, collect("--no-submit-pr").baseline.evaluations)
    assert.equal(2, #traces())
  end)

  it("runs nothing on workloads that were there before", function()
    collect "--no-submit-pr"
    add_solution "norm"
    fs.remove(dumps)
    assert(fs.mkdir(dumps))
    assert.is_nil(collect("--no-submit-pr").baseline)
    assert.same({}, traces())
  end)

  it("says which command runs those that need a GPU, where there is none", function()
    add_solution("kernel", on_gpu())
    local answer, result = collect "--no-submit-pr"
    assert.equal(0, answer.baseline.evaluations)
    local command = "hone run --local " .. root .. " --definitions rmsnorm_h128 --solutions kernel --resume"
    assert.matches(
      "1 baselines need a GPU, and there is none: where there is one, run",
      result.stderr,
      1,
      true
    )
    assert.matches(command, result.stderr, 1, true)
  end)

  it("keeps the trace of one that fails, and the collection with it", function()
    add_solution(
      "wrong",
      { sources = { { path = "main.lua", content = "function run(x, w, y) y:copy_(x) end" } } }
    )
    local answer = collect "--no-submit-pr"
    assert.equal(2, #answer.definitions[1].kept)
    assert.equal("0/2", answer.baseline.rows[1][3])
    assert.equal("INCORRECT_NUMERICAL", answer.baseline.rows[1][6])
  end)

  it("puts the traces into the pull request", function()
    local function git(...) return assert(process.run { "git", "-C", root, check = true, ... }).stdout end
    add_solution "norm"
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.email", "a@example.org")
    git("config", "user.name", "A")
    git("add", "--all")
    git("commit", "--quiet", "--message=start")
    git("remote", "add", "origin", "file://" .. dir.path)
    local request = collect().pull_request
    local files = git("diff", "--name-only", "main", request.branch)
    assert.matches("traces/baseline/rmsnorm/" .. NAME .. ".jsonl", files, 1, true)
  end)

  it("is left out where it is not wanted", function()
    add_solution "norm"
    assert.is_nil(collect("--no-submit-pr", "--no-eval-baseline").baseline)
    assert.is_nil(collect("--no-submit-pr", "--dry-run").baseline)
    assert.same({}, traces())
  end)
end)
