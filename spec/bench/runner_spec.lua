--- What a run is to do.
local benchmarks = require "support.benchmarks"
local runner = require "hone.bench.runner"
local sandbox = require "support.sandbox"
local traceset = require "hone.dataset.traceset"

describe("a plan", function()
  local box, set

  before_each(function()
    box = sandbox.new()
    local for_gpu = benchmarks.cpp ""
    for_gpu.spec.target_hardware = { "NVIDIA H200" }
    set = benchmarks
      .dataset(box)
      :define("one", { benchmarks.workload("a", 1), benchmarks.workload("b", 2) }, {
        first = benchmarks.lua "return x * 2",
        second = benchmarks.lua "return x * 2",
        for_gpu = for_gpu,
      })
      :define("two", { benchmarks.workload("c", 3) }, { third = benchmarks.lua "return x * 2" })
  end)
  after_each(function() box:close() end)

  local function plan(options) return runner.plan({ assert(traceset.open(set.root)) }, options or {}) end

  local function described(made)
    local lines = {}
    for i, item in ipairs(made.items) do
      local names = {}
      for k, solution in ipairs(item.solutions) do
        names[k] = solution.name
      end
      local text = "%s %s %s: %s"
      lines[i] = text:format(item.kind, item.definition.name, item.workload.uuid, table.concat(names, " "))
    end
    return lines
  end

  it("has every solution on every workload of its definition", function()
    local made = plan { cuda = true }
    assert.same({
      "cuda one a: for_gpu",
      "cuda one b: for_gpu",
      "cpu one a: first second",
      "cpu one b: first second",
      "cpu two c: third",
    }, described(made))
    assert.equal(7, made.evaluations)
    assert.equal(0, made.left_out)
  end)
  it("leaves out what needs a GPU where there is none", function()
    local made = plan()
    assert.equal(5, made.evaluations)
    assert.equal(1, made.left_out)
  end)
  it("has what was chosen, and notes names that nobody has", function()
    local made = plan { definitions = { "one", "none" }, solutions = { "second", "nobody" } }
    assert.same({ "cpu one a: second", "cpu one b: second" }, described(made))
    assert.same({ "no definition is called 'none'", "no solution is called 'nobody'" }, made.notes)
  end)
  it("leaves out what has a trace, whatever its status, to resume", function()
    box:write(
      "set/traces/spec/doubling/one.jsonl",
      [[{"definition":"one","workload":{"axes":{"n":1},"inputs":{"x":{"type":"random"}},"uuid":"a"},]]
        .. [["solution":"first",]]
        .. [["evaluation":{"status":"TIMEOUT","environment":{"hardware":"x","libs":{}},"timestamp":"t","log":""}}]]
        .. "\n"
    )
    local made = plan { resume = true }
    assert.same({ "cpu one a: second", "cpu one b: first second", "cpu two c: third" }, described(made))
    assert.equal(1, made.skipped)
    assert.equal(5, plan().evaluations)
  end)
end)

-- A GPU's station that only notes what is asked of it; its solutions are ready after so many questions.
local function noting_station(ready_after)
  local station, asked = { device = "cuda:0", notes = {} }, {}
  local function note(...) table.insert(station.notes, table.concat({ ... }, " ")) end
  function station.prepare() end
  function station.preload() end
  function station.expect(_, pairs_)
    local names = {}
    for i, pair in ipairs(pairs_) do
      names[i] = pair.solution.name
    end
    note("expect", table.concat(names, ","))
  end
  function station.is_ready(_, _, solution)
    asked[solution.name] = (asked[solution.name] or 0) + 1
    return asked[solution.name] > ready_after[solution.name]
  end
  local warmed = {}
  function station.warm(_, item)
    local name = item.definition.name
    if warmed[name] then return false end
    warmed[name] = true
    note("warm", name)
    return true
  end
  function station.run(_, item)
    for _, solution in ipairs(item.solutions) do
      note("run", item.workload.uuid, solution.name)
    end
    return true
  end
  function station.leave(_, solutions)
    for _, solution in ipairs(solutions) do
      note("leave", solution.name)
    end
  end
  return station
end

describe("on a GPU a run", function()
  local one, two = { name = "one" }, { name = "two" }
  local quick, slow, other = { name = "quick" }, { name = "slow" }, { name = "other" }
  local function item(definition, uuid, ...)
    return { root = ".", definition = definition, workload = { uuid = uuid }, solutions = { ... } }
  end
  local function notes_of(ready_after)
    local station = noting_station(ready_after)
    local items = { item(one, "a", quick, slow), item(one, "b", quick, slow), item(two, "c", other) }
    runner.run_items(station, items, function() end, error)
    return station.notes
  end

  it(
    "evaluates what is ready before what is still to come up, each on all its workloads",
    function()
      assert.same({
        "expect quick,slow,other",
        "run a quick",
        "run b quick",
        "leave quick",
        "expect slow,other",
        "run c other",
        "leave other",
        "expect slow",
        "warm one",
        "run a slow",
        "run b slow",
        "leave slow",
      }, notes_of { quick = 0, slow = 3, other = 0 })
    end
  )
  it("makes definitions ready while nothing can be evaluated", function()
    local notes = notes_of { quick = 2, slow = 2, other = 2 }
    assert.same({ "expect quick,slow,other", "warm one", "warm two", "run a quick" }, {
      table.unpack(notes, 1, 4),
    })
  end)

  it("starts workers ahead, has definitions ready, and evaluates all of it", function()
    local box = sandbox.new()
    finally(function() box:close() end)
    local set = benchmarks
      .dataset(box)
      :define("one", { benchmarks.workload("a", 1), benchmarks.workload("b", 2) }, {
        native = benchmarks.cpp(benchmarks.RIGHT),
        python = benchmarks.python "def run(x):\n    return x * 2\n",
      })
      :define("two", { benchmarks.workload("c", 3) }, { lua = benchmarks.lua "return x * 2" })
    local made = runner.plan({ assert(traceset.open(set.root)) }, {})
    local real <close> = require("hone.bench.station").new {
      device = "cpu",
      settings = assert(require("hone.bench.settings").load {}),
    }
    real.pool.options.ahead = true
    -- The CPU's station, for all that the runner knows a GPU's.
    local station = setmetatable({ device = "cuda:0" }, {
      __index = function(_, name)
        return function(_, ...) return real[name](real, ...) end
      end,
    })
    local found = {}
    local function report(trace, solution)
      found[#found + 1] = ("%s %s %s"):format(solution.name, trace.workload.uuid, trace.evaluation.status)
    end
    runner.run_items(station, made.items, report, function(_, why) error(why) end)
    table.sort(found)
    assert.same(
      { "lua c PASSED", "native a PASSED", "native b PASSED", "python a PASSED", "python b PASSED" },
      found
    )
    assert.same({ one = true, two = true }, real.warmed)
    assert.same({}, real.pool.kept)
  end)
end)
