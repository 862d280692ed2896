--- What judging costs: its share of a run, what an evaluation takes beyond its calls, and how soon after a crash there
--- is a result again.
local clock = require "hone.bench.clock"
local fs = require "hone.fs"
local json = require "hone.json"
local runner = require "hone.bench.runner"
local settings = require "hone.bench.settings"
local traceset = require "hone.dataset.traceset"

local BOUND, SOON = 0.10, 2.0 -- of a run; seconds
local REPEATS = 10 -- of the workload between crashes

-- A run that keeps nothing: what it was.
local function run_set(root, device, overrides, on_trace)
  local set = assert(traceset.open(root))
  local chosen = assert(settings.load { overrides = overrides })
  local plan = runner.plan({ set }, { cuda = device ~= "cpu" })
  local result = assert(runner.run(plan, {
    settings = chosen,
    devices = device ~= "cpu" and { device } or {},
    reference = "native",
    save = false,
    on_trace = on_trace or function() end,
    on_skip = function() end,
  }))
  return result
end

local function share(result, ...)
  local sum = 0.0
  for _, name in ipairs { ... } do
    sum = sum + (result.shares[name] or 0.0)
  end
  return sum
end

-- A run of the examples; those in Python are left out where Python has no torch.
local function report_examples(report, device)
  run_set("examples/dataset", device) -- builds, and compiles what references need
  local result = run_set("examples/dataset", device)
  if result.evaluations == 0 then return report(device .. ": judging", nil, "no solution runs here") end
  local own = share(result, "audits", "comparisons")
  report(
    device .. ": judging's share of a run against its bound",
    own / result.seconds / BOUND,
    ("%.1f %% of %.2f s, %d evaluations"):format(
      100 * own / result.seconds,
      result.seconds,
      result.evaluations
    )
  )
  local beyond = result.seconds - share(result, "calls", "builds", "workers")
  report(
    device .. ": an evaluation beyond its calls against them",
    beyond / share(result, "calls"),
    ("%.1f ms beside %.1f ms; workers took %.2f s"):format(
      1e3 * beyond / result.evaluations,
      1e3 * share(result, "calls") / result.evaluations,
      share(result, "workers")
    )
  )
end

local DEFINITION = [[{"name": "double", "op_type": "doubling", "axes": {"n": {"type": "var"}},
  "inputs": {"x": {"shape": ["n"], "dtype": "float32"}}, "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
  "reference": "import torch\n\ndef run(x):\n    return x * 2\n"}]]

local CODES = {
  a_crash = "return { run = function(x) if x:numel() % 2 == 0 then os.exit(1, false) end return x * 2 end }",
  b_right = "return { run = function(x) return x * 2 end }",
}

local function put(root, path, text)
  local full = fs.join(root, path)
  assert(fs.mkdir(fs.dirname(full)))
  assert(fs.write(full, text))
end

-- One solution crashes on every other workload, after which the other one, and itself, are right.
local function make_crashes(root)
  put(root, "definitions/doubling/double.json", DEFINITION)
  local lines = {}
  for i = 1, REPEATS do
    lines[i] = json.encode {
      definition = "double",
      workload = { axes = { n = 1000 + i }, inputs = { x = { type = "random" } }, uuid = tostring(i) },
      solution = json.null,
      evaluation = json.null,
    }
  end
  put(root, "workloads/doubling/double.jsonl", table.concat(lines, "\n") .. "\n")
  for name, code in pairs(CODES) do
    put(
      root,
      ("solutions/bench/doubling/double/%s.json"):format(name),
      json.encode {
        name = name,
        definition = "double",
        author = "bench",
        spec = {
          extension = "hone",
          language = "lua",
          target_hardware = { "cpu" },
          entry_point = "main.lua::run",
          destination_passing_style = false,
        },
        sources = { { path = "main.lua", content = code } },
      }
    )
  end
end

-- From the trace of a crash to the next good one of the solution that crashed, whose process had to be replaced.
local function report_recovery(report)
  local folder <close> = assert(fs.tempdir "hone-bench-")
  make_crashes(folder.path)
  local crashed, longest, count = nil, 0.0, 0
  run_set(folder.path, "cpu", { iterations = 5, num_trials = 1 }, function(t)
    if t.solution ~= "a_crash" then return end
    local now = clock.now()
    if t.evaluation.status ~= "PASSED" then
      crashed = now
    elseif crashed then
      longest, count, crashed = math.max(longest, now - crashed), count + 1, nil
    end
  end)
  report(
    "cpu: from a crash to the next good result, against 2 s",
    longest / SOON,
    ("%.0f ms, the longest of %d"):format(1e3 * longest, count)
  )
end

local function run(report)
  report_examples(report, "cpu")
  local cuda = require "hone.cuda"
  if cuda.available() and #cuda.devices() > 0 then report_examples(report, "cuda:0") end
  report_recovery(report)
end

return { name = "judging", run = run }
