--- Benchmark a dataset: every solution on every workload of its definition, each result a trace.
local skill = {
  summary = "benchmark a dataset's solutions on its workloads",
  description = [[
Builds every solution, runs it on every workload of its definition, says whether what comes out is right and how long it
takes, and appends each result to the dataset's traces as soon as it is known. The dataset, the flags, the statuses and
the trace files are flashinfer-bench's.

Solutions run in processes of their own, which never hold what is expected of them. Inputs are new in content and place
for every call; timed calls are looked at by chance. Solutions for CUDA need a GPU; those whose target hardware is the
CPU run there. docs/benchmarking.md tells the rest.]],
  params = {
    { name = "local", type = "list", help = "datasets, by default FIB_DATASET_PATH or ./flashinfer-trace" },
    {
      name = "warmup_runs",
      type = "integer",
      min = 0,
      help = "calls before the clock, at most (default 10)",
    },
    { name = "iterations", type = "integer", min = 1, help = "timed calls of a trial, at most (default 50)" },
    { name = "num_trials", type = "integer", min = 1, help = "trials (default 3)" },
    { name = "rtol", type = "number", help = "relative tolerance (default 0.01)" },
    { name = "atol", type = "number", help = "absolute tolerance (default 0.01)" },
    {
      name = "required_matched_ratio",
      type = "number",
      help = "share of elements that must match (default 1)",
    },
    { name = "timeout", type = "integer", min = 1, help = "seconds for one evaluation (default 300)" },
    { name = "use_isolated_runner", type = "boolean", help = "a new process for every evaluation" },
    { name = "save_results", type = "boolean", default = true, help = "append traces to the dataset" },
    { name = "resume", type = "boolean", help = "leave out what has a trace" },
    { name = "definitions", type = "list", help = "only these definitions" },
    { name = "solutions", type = "list", help = "only the solutions of these names" },
    { name = "profile_baseline", type = "boolean", default = true, help = "time the references" },
    { name = "config", type = "path", help = "a YAML file in the place of the shipped settings" },
    { name = "devices", type = "list", help = "GPUs, such as cuda:0,cuda:1 (default: all); cpu: none" },
    {
      name = "reference",
      type = "choice",
      choices = { "native", "torch", "auto" },
      default = "auto",
      help = "where references run: on hone's tensors, in Python with torch, or there where hone cannot",
    },
    {
      name = "wait",
      type = "number",
      default = 600,
      min = 0,
      help = "seconds to wait for a GPU that another benchmark uses",
    },
    { name = "dry_run", type = "boolean", help = "say what would be done" },
    {
      name = "log_level",
      type = "choice",
      choices = { "DEBUG", "INFO", "WARNING", "ERROR" },
      default = "INFO",
      help = "how much is said",
    },
  },
  outputs = {
    { name = "traces", help = "of --json: the traces of this run" },
    { name = "counts", help = "evaluations by status" },
    { name = "seconds", help = "what the run took" },
    { name = "shares", help = "seconds by what they were spent on" },
  },
  examples = {
    "hone run --local flashinfer-trace",
    "hone run --local flashinfer-trace --definitions rmsnorm_h4096 --resume",
    "hone run --local flashinfer-trace --devices cuda:0 --config settings.yaml --json",
  },
}

local OVERRIDES = {
  "warmup_runs",
  "iterations",
  "num_trials",
  "rtol",
  "atol",
  "required_matched_ratio",
  "definitions",
  "solutions",
}

local function load_settings(args)
  local overrides = { timeout_seconds = args.timeout, use_isolated_runner = args.use_isolated_runner or nil }
  for _, name in ipairs(OVERRIDES) do
    overrides[name] = args[name]
  end
  if args.profile_baseline == false then overrides.profile_baseline = false end
  return require("hone.bench.settings").load { config = args.config, overrides = overrides }
end

-- The GPUs to be used: those named, or all there are; none where "cpu" is named.
local function find_devices(args)
  local device = require "hone.bench.device"
  local present = device.gpus()
  if not args.devices then return present end
  local list = {}
  for _, name in ipairs(args.devices) do
    local index = device.ordinal(name)
    if not index and name ~= "cpu" then
      return nil, ("device '%s' is not known (cuda:0, cuda:1, …, or cpu)"):format(name), "usage"
    end
    if index and not present[index + 1] then
      return nil, ("cannot run on %s: there are %d GPUs (hone doctor says more)"):format(name, #present)
    end
    if index then list[#list + 1] = name end
  end
  return list
end

-- ---- telling ---------------------------------------------------------------------------------------

local function microseconds(ms) return ("%.2f us"):format(ms * 1000) end

local function outcome(t)
  local evaluation, json = t.evaluation, require "hone.json"
  if evaluation.performance == json.null then
    local correctness = evaluation.correctness
    if correctness == json.null then return evaluation.status end
    local text = ("%s (error %.3g)"):format(evaluation.status, correctness.max_absolute_error)
    return (text:gsub("-nan", "nan"))
  end
  local performance = evaluation.performance
  return ("%s %s, %.2fx"):format(
    evaluation.status,
    microseconds(performance.latency_ms),
    performance.speedup_factor
  )
end

-- What --resume leaves out.
local function done_before(plan)
  return plan.skipped > 0 and (", %d more have a trace"):format(plan.skipped) or ""
end

local function say_plan(plan, ctx)
  local axes_text = require("hone.dataset.workload").axes_text
  for _, item in ipairs(plan.items) do
    local names = {}
    for i, solution in ipairs(item.solutions) do
      names[i] = solution.name
    end
    ctx.say(
      "%s %s (%s): %s",
      item.definition.name,
      item.workload.uuid,
      axes_text(item.workload.axes),
      table.concat(names, ", ")
    )
  end
  ctx.say("%d evaluations of %d workloads%s", plan.evaluations, #plan.items, done_before(plan))
end

-- An input whose file is not here is made by rules, which is another workload: nobody shall take it for the real one.
local function warn_of_absent(plan, ctx)
  local inputs, order, by_name = require "hone.dataset.inputs", {}, {}
  for _, item in ipairs(plan.items) do
    local name = item.definition.name
    local entry = by_name[name]
    if not entry then
      entry = { name = name, count = 0, total = 0 }
      by_name[name], order[#order + 1] = entry, entry
    end
    local first = inputs.absent(item.workload, item.root)[1]
    entry.total = entry.total + 1
    if first then
      entry.count = entry.count + 1
      entry.first = entry.first or ("%s of %s: %s"):format(first.name, item.workload.uuid, first.why)
    end
  end
  for _, entry in ipairs(order) do
    if entry.first then
      local text = "%s: inputs of %d of %d workloads are made, and are not those that were recorded (%s)"
      ctx.warn(text, entry.name, entry.count, entry.total, entry.first)
    end
  end
end

local function say_result(result, traces, plan, ctx)
  if result.evaluations == 0 then return ctx.say("0 evaluations%s", done_before(plan)) end
  local summary = require "hone.bench.summary"
  local rows = summary.rows(traces)
  ctx.say("%s", require("hone.table").format(rows, { headers = summary.HEADERS }))
  local parts = {}
  for name, seconds in pairs(result.shares) do
    parts[#parts + 1] = ("%s %.2f s"):format(name, seconds)
  end
  table.sort(parts)
  local text = "%d evaluations in %.2f s (%s); judging took %.1f %% of it%s"
  local spent = table.concat(parts, ", ")
  ctx.say(text, result.evaluations, result.seconds, spent, 100 * result.judging, done_before(plan))
end

-- ---- running ---------------------------------------------------------------------------------------

-- What a run costs beyond building solutions, running references and calls: the judge's own share.
local function judging_share(result)
  local own = (result.shares.audits or 0) + (result.shares.comparisons or 0)
  return result.seconds > 0 and own / result.seconds or 0.0
end

-- What the dataset's lines say, in which a number that JSON does not have is quoted.
local function as_written(traces)
  local json, line = require "hone.json", require("hone.dataset.trace").line
  local list = json.array {}
  for i, t in ipairs(traces) do
    list[i] = assert(json.decode(assert(line(t))))
  end
  return list
end

local function run_plan(plan, args, ctx, chosen, devices)
  local json = require "hone.json"
  local traces, quiet = json.array {}, args.log_level == "ERROR" or args.log_level == "WARNING"
  local bar = ctx.progress { label = "evaluations", total = plan.evaluations }
  local result, why = require("hone.bench.runner").run(plan, {
    settings = chosen,
    devices = devices,
    isolated = chosen.use_isolated_runner,
    reference = args.reference,
    save = args.save_results,
    wait = args.wait,
    on_wait = function(device, holder)
      ctx.warn("%s is used by another benchmark (%s): waiting for it", device, holder)
    end,
    on_trace = function(t, item)
      traces[#traces + 1] = t
      bar:update(#traces, t.solution)
      if quiet then return end
      local axes = require("hone.dataset.workload").axes_text(item.workload.axes)
      local where = ("%s %s (%s)"):format(item.definition.name, t.solution, axes)
      ctx.say("%s: %s", where, outcome(t))
    end,
    on_skip = function(item, reason, solution)
      local what = solution and solution.name or ("%s %s"):format(item.definition.name, item.workload.uuid)
      ctx.warn("%s is left out: %s", what, reason)
    end,
  })
  bar:done()
  if not result then return nil, why end
  result.judging = judging_share(result)
  result.traces = as_written(traces)
  if not quiet then say_result(result, traces, plan, ctx) end
  return result
end

function skill.run(args, ctx)
  local chosen, why, code = load_settings(args)
  if not chosen then return nil, why, code == "EINVAL" and "usage" or code end
  for _, note in ipairs(chosen.notes) do
    ctx.warn("%s", note)
  end
  local devices
  devices, why, code = find_devices(args)
  if not devices then return nil, why, code end
  local sets
  sets, why = require("hone.dataset.traceset").open_all(args["local"])
  if not sets then return nil, why end
  local runner = require "hone.bench.runner"
  local plan = runner.plan(sets, {
    definitions = chosen.definitions,
    solutions = chosen.solutions,
    resume = args.resume,
    cuda = #devices > 0,
  })
  for _, set in ipairs(sets) do
    for _, problem in ipairs(set.problems) do
      ctx.warn("%s", problem.message)
    end
  end
  for _, note in ipairs(plan.notes) do
    ctx.warn("%s", note)
  end
  if plan.left_out > 0 then
    ctx.warn("%d solutions need a GPU, and there is none: they are left out", plan.left_out)
  end
  warn_of_absent(plan, ctx)
  if args.dry_run then
    say_plan(plan, ctx)
    return { evaluations = plan.evaluations, workloads = #plan.items, skipped = plan.skipped }
  end
  return run_plan(plan, args, ctx, chosen, devices)
end

return skill
