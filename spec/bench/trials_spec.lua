--- How many calls are made, which are looked at, and whether their times can be believed. The worker is one that says
--- what a case wants; the judge's parts are real.
local clock = require "hone.bench.clock"
local contents = require "hone.bench.contents"
local arena = require "hone.bench.arena"
local benchmarks = require "support.benchmarks"
local doubt = require "hone.bench.doubt"
local evaluate = require "hone.bench.evaluate"
local json = require "hone.json"
local settings = require "hone.bench.settings"
local trials = require "hone.bench.trials"

local DEFINITION = assert(json.decode(benchmarks.DEFINITION:format "double"))

-- A judge and a worker whose k-th timed call takes `time(k)` seconds; it gives right outputs, unless `spoil` says else.
local function case_of(memory, time, options)
  options = options or {}
  local work = { definition = DEFINITION, known = {}, reference_times = { 1e-6 } }
  work.settings = settings.resolve(
    assert(settings.load { overrides = { iterations = options.iterations or 50, num_trials = 3 } }),
    DEFINITION
  )
  work.evaluator = assert(evaluate.new(DEFINITION, work.settings))
  work.contents = assert(contents.new(DEFINITION, {
    axes = { n = 16 },
    inputs = { x = { type = "random" } },
    uuid = "one",
  }, { root = ".", device = "cpu", seed = 1, secret = function() return 5 end, pools = {} }))
  local of = { device = "cpu", arena = memory, watch = clock.watch(), seen_by = {}, audited = 0.0 }
  function of.known_content(_, _, i)
    local seed = 1000003 * i
    work.known[i] = work.known[i] or { seed = seed, expected = { work.contents:make(seed)[1] * 2 } }
    return work.known[i]
  end
  local made, fake = 0, { arena = memory }
  function fake.calls(_, request)
    local reply = { seconds = {}, host = {}, returned = {}, clock = "wall" }
    for i, slot in ipairs(request.slots) do
      slot.given[1]:copy_(slot.views[1])
      slot.views[2]:copy_(slot.views[1] * (options.factor or 2))
      reply.host[i], reply.returned[i] = 1e-6, {}
      if i > request.warmup then
        made = made + 1
        reply.seconds[#reply.seconds + 1] = time(made)
      end
    end
    if options.short then table.remove(reply.seconds) end
    return reply
  end
  local run = {
    worker = fake,
    artefact = { worker = "native" },
    dps = true,
    audits = 0,
    judged = 0,
    deadline = clock.now() + 60,
    evaluator = assert(evaluate.new(DEFINITION, work.settings)),
  }
  return of, work, run
end

describe("trials", function()
  local memory
  setup(function() memory = assert(arena.new("cpu", 1 << 22)) end)
  teardown(function() memory:close() end)

  it("end after the first calls where all take the same", function()
    local of, work, run = case_of(memory, function() return 1e-3 end)
    assert(trials.time(of, work, run))
    assert.equal(15, #run.seconds)
    assert.is_true(math.abs(trials.latency(run, 3) - 1e-3) < 1e-12)
    assert.equal(0.0, trials.uncertainty(run))
  end)
  it("go on to the limit where the middle time is not known", function()
    local of, work, run = case_of(memory, function(k) return 1e-5 * (1 + 0.0165 * math.sqrt(k)) end)
    assert(trials.time(of, work, run))
    assert.equal(150, #run.seconds)
  end)
  it("end where all that are allowed would not make it known either", function()
    local of, work, run = case_of(memory, function(k) return 1e-6 * k end)
    assert(trials.time(of, work, run))
    assert.equal(60, #run.seconds)
    assert.is_true(trials.uncertainty(run) > 0.1)
  end)
  it("end where the calls have taken long enough", function()
    local of, work, run = case_of(memory, function(k) return 0.1 * (1 + k % 7) end)
    assert(trials.time(of, work, run))
    assert.equal(15, #run.seconds)
  end)
  it("warm a process up that is cold, and less one whose calls are long and that has made such", function()
    local asked = {}
    local of, work, run = case_of(memory, function() return 10e-3 end)
    local calls = run.worker.calls
    function run.worker:calls(request)
      asked[#asked + 1] = request.warmup
      return calls(self, request)
    end
    assert(trials.time(of, work, run))
    assert.same({ 10 }, asked)
    assert(trials.time(of, work, run))
    assert.same({ 10, 2 }, asked)
  end)
  it("make no more calls than the settings allow", function()
    local of, work, run = case_of(memory, function(k) return 1e-6 * k end, { iterations = 2 })
    assert(trials.time(of, work, run))
    assert.equal(6, #run.seconds)
  end)
  it("end at the first wrong outputs", function()
    local of, work, run = case_of(memory, function() return 1e-3 end, { factor = 3 })
    trials.time(of, work, run)
    local verdict = run.evaluator:finish()
    assert.equal("INCORRECT_NUMERICAL", verdict.status)
  end)
  it("refuse times that are fewer than calls", function()
    local of, work, run = case_of(memory, function() return 1e-3 end, { short = true })
    local ok, why, code = trials.time(of, work, run)
    assert.is_nil(ok)
    assert.equal("RUNTIME_ERROR", code)
    assert.equal("refused: it reported other times than calls", why)
  end)
  it("choose calls after the warm-up, each content once", function()
    local counts = {}
    for _ = 1, 300 do
      local new = { "a", "b", "c" }
      local chosen, seen = trials.choose(new, 10, 20), {}
      for at, content in pairs(chosen) do
        assert.is_true(at > 10 and at <= 20)
        assert.is_nil(seen[content])
        seen[content] = true
        counts[at] = (counts[at] or 0) + 1
      end
      assert.same({ a = true, b = true, c = true }, seen)
    end
    for at = 11, 20 do
      assert.is_true((counts[at] or 0) > 30, ("call %d was chosen %d times"):format(at, counts[at] or 0))
    end
  end)
  it("leave contents that there is no call for to the next request", function()
    local new = { "a", "b", "c" }
    local chosen = trials.choose(new, 1, 2)
    assert.equal("c", chosen[2])
    assert.same({ "a", "b" }, new)
  end)
end)

describe("doubt", function()
  local memory
  setup(function() memory = assert(arena.new("cpu", 1 << 22)) end)
  teardown(function() memory:close() end)

  local function unexplained(judged, host, kind)
    local of, work, run = case_of(memory, function() return 1e-3 end)
    run.artefact.worker = kind or "native"
    local reply = { judged = judged * 10, host = {}, seconds = {} }
    for i = 1, 10 do
      reply.host[i], reply.seconds[i] = host, host
    end
    return doubt.unexplained(of, work.contents, run, reply, 10)
  end

  it("has none where the worker tells of what went by", function()
    assert.equal(0.0, unexplained(1.1e-3, 1e-3))
    assert.equal(0.0, unexplained(0.5e-3, 1e-6)) -- to make a call ready takes time
    assert.equal(0.0, unexplained(1.9e-3, 1e-6, "python"))
  end)
  it("grows with what it does not tell of", function()
    assert.is_true(math.abs(unexplained(20e-3, 1e-3) - 19e-3) < 1e-9)
    assert.is_true(unexplained(1.9e-3, 1e-6) > 0)
  end)
  it("makes calls again, and believes a clock that explains them", function()
    local of, work, run = case_of(memory, function() return 1e-3 end)
    run.odd = 0
    assert.is_nil(doubt.of(of, work, run))
    run.odd = 5e-3
    run.worker.calls = (function(calls)
      return function(self, request)
        local reply, started = calls(self, request), clock.now()
        repeat
        until clock.now() > started + 2e-3 * #request.slots
        return reply
      end
    end)(run.worker.calls)
    local why = doubt.of(of, work, run)
    assert.matches("^a call took [%d.e+-]+ ms that its clock does not tell of$", why)
  end)
end)
