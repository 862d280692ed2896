local crew = require "hone.bench.crew"
local fs = require "hone.fs"
local process = require "hone.process"
local runner = require "hone.bench.runner"
local settings = require "hone.bench.settings"
local traceset = require "hone.dataset.traceset"

local SOLUTION =
  [[function run(A, B, C) C:copy_(A:to("float32"):matmul(B:to("float32"):transpose(1, 2))) end]]

-- A dataset of one definition and two solutions in Lua, the second of which does not come back the first time.
local function make_dataset(root)
  assert(process.run { "cp", "-R", "examples/dataset/definitions", "examples/dataset/workloads", root })
  for _, name in ipairs { "one", "other" } do
    local solution = {
      name = name,
      definition = "gemm_n128_k2048",
      author = "spec",
      spec = {
        language = "lua",
        extension = "hone",
        target_hardware = { "cpu" },
        entry_point = "main.lua::run",
      },
      sources = { { path = "main.lua", content = SOLUTION } },
    }
    local folder = fs.join(root, "solutions/spec/gemm/gemm_n128_k2048")
    assert(fs.write(fs.join(folder, name .. ".json"), require("hone.json").encode(solution)))
  end
  return assert(traceset.open(root))
end

local function run(set, on_trace)
  local chosen = assert(settings.load { overrides = { iterations = 3, num_trials = 1, warmup_runs = 1 } })
  local plan = runner.plan({ set }, { cuda = true })
  local groups, traces, skipped = {}, {}, {}
  for i, item in ipairs(plan.items) do
    groups[i] = { item }
  end
  local shares = crew.run(groups, {
    devices = { "cpu", "cpu" },
    plain = { settings = chosen.given_to_load },
  }, function(t, solution, item)
    assert.equal(t.solution, solution.name)
    assert.equal(t.workload.uuid, item.workload.uuid)
    traces[#traces + 1] = t
    if on_trace then on_trace(#traces) end
  end, function(_, why) skipped[#skipped + 1] = why end)
  return traces, skipped, shares, plan
end

local function keys_of(traces)
  local keys = {}
  for _, t in ipairs(traces) do
    local key = t.workload.uuid .. " " .. t.solution
    keys[key] = (keys[key] or 0) + 1
  end
  return keys
end

-- The processes that run a crew's script.
local function members()
  local pids = {}
  for _, path in ipairs(fs.glob "/proc/*/cmdline") do
    local line = fs.read(path) or ""
    if line:find("crew_member.lua", 1, true) then pids[#pids + 1] = path:match "%d+" end
  end
  return pids
end

describe("a crew of several devices", function()
  local scratch
  before_each(function() scratch = fs.tempdir() end)
  after_each(function() scratch:remove() end)

  it("evaluates everything once, each trace with its item", function()
    local traces, skipped, shares, plan = run(make_dataset(scratch.path))
    assert.same({}, skipped)
    assert.equal(plan.evaluations, #traces)
    for key, count in pairs(keys_of(traces)) do
      assert.equal(1, count, key)
    end
    for _, t in ipairs(traces) do
      assert.equal("PASSED", t.evaluation.status, t.evaluation.log)
    end
    assert.is_true(shares.calls > 0)
  end)

  it("replaces processes that end, and loses nothing of what they had", function()
    local traces, skipped, _, plan = run(make_dataset(scratch.path), function(n)
      if n == 2 then assert(process.run { "kill", "-9", table.unpack(members()) }) end
    end)
    assert.same({}, skipped)
    local count = 0
    for _ in pairs(keys_of(traces)) do
      count = count + 1
    end
    assert.equal(plan.evaluations, count)
  end)

  it("leaves no process behind", function()
    run(make_dataset(scratch.path))
    assert.same({}, members())
  end)
end)
