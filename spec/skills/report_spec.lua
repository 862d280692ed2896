--- The skill report, on small datasets written by hone itself.
local fs, json = require "hone.fs", require "hone.json"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"
local traceset = require "hone.dataset.traceset"
local sandbox = require "support.sandbox"

local DEFINITION = json.object {
  { "name", "double" },
  { "op_type", "toy" },
  { "axes", json.object { { "n", { type = "var" } } } },
  { "inputs", json.object { { "x", json.object { { "shape", { "n" } }, { "dtype", "float32" } } } } },
  { "outputs", json.object { { "y", json.object { { "shape", { "n" } }, { "dtype", "float32" } } } } },
  { "reference", "def run(x):\n    return x + x\n" },
}

local function solution_of(author, content)
  return {
    name = author .. "_double",
    definition = "double",
    author = author,
    spec = { language = "python", target_hardware = { "cpu" }, entry_point = "a.py::run" },
    sources = { { path = "a.py", content = content or author } },
  }
end

local function result(author, uuid, latency)
  local evaluation = { status = "RUNTIME_ERROR", environment = { hardware = "H" }, timestamp = "t" }
  if latency then
    evaluation.status, evaluation.correctness = "PASSED", json.object()
    evaluation.performance = { latency_ms = latency, reference_latency_ms = 8, speedup_factor = 8 / latency }
  end
  local workload = { axes = { n = 4 }, inputs = { x = { type = "random" } }, uuid = uuid }
  return {
    definition = "double",
    workload = workload,
    solution = author .. "_double",
    evaluation = evaluation,
  }
end

describe("hone report", function()
  local box

  before_each(function() box = sandbox.new() end)
  after_each(function() box:close() end)

  -- A dataset with these latencies: { author = { uuid = list of latencies, false for a failure } }.
  local function write(name, latencies)
    local root = box:at(name)
    assert(json.write(fs.join(root, "definitions/toy/double.json"), DEFINITION))
    for author, by_uuid in pairs(latencies) do
      local written = solution_of(author)
      assert(solution.write(root, written))
      for uuid, list in pairs(by_uuid) do
        for _, latency in ipairs(list) do
          assert(trace.append(root, result(author, uuid, latency), written, DEFINITION))
        end
      end
    end
    return root
  end

  local function report(...) return box:hone { "report", ... } end

  it("ranks authors by their mean speedup over the baseline", function()
    write(
      "d",
      { baseline = { a = { 4, 3 }, b = { 2 } }, ann = { a = { 1 }, b = { 1 } }, bob = { a = { false } } }
    )
    local done = report("summary", "--local", "d", "--json")
    assert.equal(0, done.status, done.stderr)
    local summary = assert(json.decode(done.stdout))[1]
    assert.same({ 6, 5, 1 }, { summary.total, summary.passed, summary.failed })
    assert.same({ "ann", "bob" }, { summary.rankings[1].author, summary.rankings[2].author })
    assert.equal(2.5, summary.rankings[1].avg_speedup)
    assert.equal(0, summary.rankings[2].avg_speedup)
  end)

  it("names a definition without a baseline instead of giving up", function()
    write("d", { ann = { a = { 1 } } })
    local done = report("summary", "--local", "d")
    assert.equal(0, done.status)
    assert.matches("not ranked: double has no solution of author 'baseline'", done.stderr, 1, true)
    assert.equal(0, report("summary", "--local", "d", "--baseline-author", "ann").status)
  end)

  it("keeps what is whole beside a torn last line, and names that line", function()
    local root = write("d", { baseline = { a = { 2 } }, ann = { a = { 1 } } })
    local path = fs.join(root, "traces/ann/toy/double.jsonl")
    assert(fs.write(path, fs.read(path) .. '{"definition":"dou'))
    local done = report("summary", "--local", "d")
    assert.equal(0, done.status)
    assert.matches("2 traces, 2 passed", done.stdout, 1, true)
    assert.matches("double%.jsonl:2:", done.stderr)
    assert(trace.append(root, result("ann", "b", 1), solution_of "ann", DEFINITION))
    assert.equal(3, #assert(traceset.open(root)):filter_traces "double")
  end)

  it("shows the best trace within the tolerances", function()
    write("d", { baseline = { a = { 2 } }, ann = { a = { 1, 4 } } })
    local best = assert(json.decode(report("best", "--local", "d", "--json").stdout))[1]
    assert.equal("ann_double", best.double.solution)
    assert.equal(1, best.double.evaluation.performance.latency_ms)
  end)

  it("merges datasets, and reports solutions of one name that differ", function()
    write("one", { ann = { a = { 1 } }, bob = { a = { 2 } } })
    local two = write("two", { ann = { a = { 1 }, b = { 3 } } })
    assert(solution.write(two, solution_of("ann", "other")))
    local done = report("merge", "--local", "one", "--local", "two", "--output", "both", "--json")
    assert.equal(0, done.status, done.stderr)
    local merged = assert(json.decode(done.stdout))
    assert.equal(1, #merged.conflicts)
    assert.matches("solution ann_double", merged.conflicts[1])
    assert.same({ 1, 2, 3 }, { merged.counts.definitions, merged.counts.solutions, merged.counts.traces })
    local set = assert(traceset.open(box:at "both"))
    assert.equal("ann", set:solution("ann_double").sources[1].content)
    assert.is_false(fs.exists(box:at "both.partial"))
  end)

  it("does not merge into a folder that exists", function()
    write("one", { ann = { a = { 1 } } })
    local done = report("merge", "--local", "one", "--output", "one")
    assert.equal(1, done.status)
    assert.matches("it exists already", done.stderr)
  end)

  it("fails when a solution became slower or broke, and says which", function()
    write("before", { ann = { a = { 1.00, 1.01, 0.99 }, b = { 1 }, c = { 1 }, d = { 1, 2, 1 } } })
    write("after", { ann = { a = { 1.20, 1.21, 1.19 }, b = { false }, c = { 0.5 }, d = { 2, 1, 1.5 } } })
    local done = report("compare", "--local", "before", "--local", "after", "--json")
    assert.equal(1, done.status)
    local verdicts = {}
    for _, row in ipairs(assert(json.decode(done.stdout)).rows) do
      verdicts[row.workload] = row.verdict
    end
    assert.same({ a = "slower", b = "broken", c = "faster", d = "undecided" }, verdicts)
  end)

  it("succeeds when nothing became slower", function()
    write("before", { ann = { a = { 1 } } })
    write("after", { ann = { a = { 1.01 } } })
    assert.equal(0, report("compare", "--local", "before", "--local", "after").status)
  end)

  it("draws a page, and says where it is", function()
    write("d", { baseline = { a = { 2 } }, ann = { a = { 1 } } })
    local done = report("visualize", "--local", "d", "--output", "page.html", "--json")
    assert.equal(0, done.status, done.stderr)
    local said = assert(json.decode(done.stdout))
    assert.same({ "page.html", 2 }, { said.path, said.counts.solutions })
    assert.matches("^<!doctype html>", fs.read(box:at "page.html"))
  end)

  it("draws one dataset at a time", function()
    write("d", { baseline = { a = { 2 } } })
    assert.equal(2, report("visualize", "--local", "d", "--local", "d").status)
  end)

  it("wants two datasets to compare", function()
    write("before", { ann = { a = { 1 } } })
    assert.equal(2, report("compare", "--local", "before").status)
  end)
end)
