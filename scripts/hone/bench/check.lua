--- Validation that builds and runs: do a definition's baseline solutions build, and do they and its reference pass on
--- its workloads? The words are flashinfer-bench's; what cannot be told here, because the machine lacks something, is
--- no error of the dataset.
local environment = require "hone.bench.environment"
local needs_gpu = require("hone.dataset.solution").needs_gpu

local check = {}

local SETTINGS = { warmup_runs = 2, iterations = 5, num_trials = 1 }

local function devices() return { require("hone.bench.device").gpus()[1] } end

-- The reference as if it were a solution, which FlashInfer-Bench checks against itself.
local function reference_of(definition, on_gpu)
  return {
    name = definition.name .. "__reference",
    definition = definition.name,
    author = "__reference__",
    spec = {
      language = "python",
      target_hardware = { on_gpu and "cuda" or "cpu" },
      entry_point = "main.py::run",
      destination_passing_style = false,
    },
    sources = { { path = "main.py", content = definition.reference } },
  }
end

---Build solutions of a definition. `add(level, text, ...)` is told of each.
function check.build(definition, solutions, add)
  local build, on = require "hone.bench.build", devices()
  for _, solution in ipairs(solutions) do
    local device = needs_gpu(solution) and on[1] or "cpu"
    local artefact, why, _, code = build.solution(definition, solution, { device = device })
    if artefact then
      add("info", "build %s: ok", solution.name)
    elseif code == "UNAVAILABLE" then
      add("warning", "build %s not tried: %s", solution.name, why)
    else
      add("error", "build %s failed: %s", solution.name, why)
    end
  end
end

-- The items of a run of these solutions on all workloads, by the kind of device that they need.
local function plan_of(root, definition, workloads, solutions)
  local plan = { items = {} }
  for _, kind in ipairs { "cuda", "cpu" } do
    local of_kind = {}
    for _, solution in ipairs(solutions) do
      if needs_gpu(solution) == (kind == "cuda") then of_kind[#of_kind + 1] = solution end
    end
    for _, workload in ipairs(#of_kind > 0 and workloads or {}) do
      table.insert(plan.items, {
        root = root,
        definition = definition,
        workload = workload,
        solutions = of_kind,
        kind = kind,
      })
    end
  end
  return plan
end

-- Whether this machine can run a solution; else what it lacks.
local function lacking(solution, on)
  if needs_gpu(solution) and #on == 0 then return "there is no GPU" end
  local package = environment.missing_package(solution)
  return package and ("Python has no %s here"):format(package)
end

-- What can run here of the baseline solutions and the reference, and how many of the former.
local function runnable(definition, baselines, on, add)
  local has_torch, solutions = environment.packages().torch ~= nil, {}
  for _, solution in ipairs(baselines) do
    local reason = lacking(solution, on)
    if reason then
      add("warning", "%s not run: %s", solution.name, reason)
    else
      solutions[#solutions + 1] = solution
    end
  end
  local count = #solutions
  if has_torch then
    solutions[#solutions + 1] = reference_of(definition, #on > 0)
  else
    add("info", "reference not run: Python has no torch here")
  end
  return solutions, has_torch, count
end

local function say(failures, name, add)
  if #failures == 0 then add("info", "%s: PASS", name) end
  for _, failure in ipairs(failures) do
    add("error", "%s failed: %s", name, failure)
  end
end

---Run the baseline solutions of a definition and its reference on its workloads. Nothing is written.
function check.benchmark(root, definition, workloads, baselines, add)
  if #workloads == 0 then return add("warning", "no workloads to benchmark") end
  if #baselines == 0 then return add("warning", "no baseline solutions for benchmark") end
  local on = devices()
  local solutions, has_reference, run_baselines = runnable(definition, baselines, on, add)
  local failures = { baseline = {}, reference = {} }
  local function note(t)
    if t.evaluation.status == "PASSED" then return end
    local uuid, status = t.workload.uuid, t.evaluation.status
    if t.solution == definition.name .. "__reference" then
      table.insert(failures.reference, ("workload %s: %s"):format(uuid, status))
    else
      table.insert(failures.baseline, ("%s on %s: %s"):format(t.solution, uuid, status))
    end
  end
  local chosen = require("hone.bench.settings").load { packaged = false, overrides = SETTINGS }
  local done, why = require("hone.bench.runner").run(plan_of(root, definition, workloads, solutions), {
    settings = chosen,
    devices = on,
    reference = "auto",
    on_trace = note,
    on_skip = function(item, reason) add("error", "benchmark failed: %s: %s", item.workload.uuid, reason) end,
  })
  if not done then return add("error", "benchmark failed: %s", why) end
  if run_baselines > 0 then say(failures.baseline, "baseline", add) end
  if has_reference then say(failures.reference, "reference", add) end
end

return check
