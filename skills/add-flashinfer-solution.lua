--- From a definition to a solution with traces: pick, begin, pack, build, run, look, draw.
local skill = {
  summary = "write a solution: pick a definition, begin from a template, build, check, run, look at its traces",
  description = [[
Seven steps, each of which can be the last (`--until`):

1. pick: without `--definition` the dataset's definitions are listed, with how many workloads and solutions they have.
2. start: a folder of sources from a template, filled from the definition: its signature, dtypes and sizes. A folder
   that is there is taken as it is, so the same command goes on after an edit.
3. build: the solution is compiled, and where that fails the compiler's words are shown.
4. check: it is written into the dataset and checked there, with its definition and workloads.
5. run: it is run on every workload, and traces are written, as `hone run` does.
6. inspect: what came of it on each workload, with errors, log and the speed-up over the reference and the baseline.
7. visualize: a page of the definition, in the folder.

Templates: `dense` (PyTorch), `library` (FlashInfer's own kernel), `vendored` (a kernel from elsewhere: `--kernel
FILE::FUNCTION`), `cuda`, `triton`, `cpp` (on the CPU). For GEMM and RMSNorm they are whole, and so is `dense` for
decode attention; for other kernels `dense` begins with the reference, and `cuda`, `triton` and `cpp` with a skeleton
that builds and is wrong. `library` is whole wherever FlashInfer has a kernel that hone's tests of references call (all
but plain products, experts and attention with sinks); for others it begins with the function that a tag `fi_api:`
names. FlashInfer may compile at the first call, for minutes. docs/solution-pitfalls.md lists what goes wrong with
wrappers, and how it looks.]],
  params = {
    {
      name = "definition",
      type = "string",
      positional = true,
      help = "its name; without it they are listed",
    },
    {
      name = "template",
      type = "choice",
      choices = { "dense", "library", "vendored", "cuda", "triton", "cpp" },
      help = "what to begin from; needed where the folder does not exist",
    },
    { name = "name", type = "string", help = "of the solution (default: DEFINITION_TEMPLATE)" },
    { name = "author", type = "string", help = "whose it is (default: the user's name)" },
    { name = "folder", type = "path", help = "where its sources are (default: ./NAME)" },
    {
      name = "kernel",
      type = "string",
      help = "vendored: FILE::FUNCTION, a Python module and what it calls",
    },
    {
      name = "target",
      type = "choice",
      choices = { "cuda", "cpu" },
      help = "what it runs on (cpp: cpu; else cuda)",
    },
    {
      name = "architecture",
      type = "string",
      help = "what CUDA is compiled for, 9.0a (default: the GPU's, or TVM_FFI_CUDA_ARCH_LIST)",
    },
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    { name = "op_type", type = "string", help = "list only definitions of this op type" },
    {
      name = "until",
      type = "choice",
      choices = { "start", "build", "check", "run", "inspect", "visualize" },
      default = "visualize",
      help = "the last step",
    },
  },
  outputs = {
    { name = "definitions", help = "without --definition: name, op_type, workloads, solutions of each" },
    { name = "folder", help = "where the sources are" },
    { name = "path", help = "the solution's file in the dataset" },
    { name = "traces", help = "of its workloads, the newest each" },
    { name = "page", help = "path of the page" },
  },
  examples = {
    "hone add-flashinfer-solution --op-type rmsnorm",
    "hone add-flashinfer-solution rmsnorm_h4096 --template triton --until start",
    "hone add-flashinfer-solution gemm_n6144_k4096 --template cuda --author me",
  },
}

local STEPS = { start = 1, build = 2, check = 3, run = 4, inspect = 5, visualize = 6 }

-- ---- 1: pick ---------------------------------------------------------------------------------------

local function pick(set, args, ctx)
  local json = require "hone.json"
  local list, rows = json.array {}, {}
  for _, name in ipairs(set:definitions()) do
    local definition = set:definition(name)
    if not args.op_type or definition.op_type == args.op_type then
      local workloads, solutions = #set:workloads(name), #set:authors(name)
      list[#list + 1] = json.object {
        { "name", name },
        { "op_type", definition.op_type },
        { "workloads", workloads },
        { "solutions", solutions },
      }
      rows[#rows + 1] = { name, definition.op_type, workloads, solutions }
    end
  end
  if #rows == 0 then
    return nil,
      ("%s has no definition%s"):format(set.root, args.op_type and " of op type " .. args.op_type or "")
  end
  local headers = { "definition", "op type", "workloads", "solutions" }
  ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
  return json.object { { "definitions", list } }
end

-- ---- 2: start --------------------------------------------------------------------------------------

local function user_name() return os.getenv "USER" or os.getenv "LOGNAME" or "me" end

local function begin(state, args, ctx)
  local fs = require "hone.fs"
  local name = args.name or (args.template and ("%s_%s"):format(state.definition.name, args.template))
  local folder = args.folder or name and fs.join(".", name)
  if not folder then return nil, "a new solution needs --template, one that is there --folder", "usage" end
  state.folder = folder
  if fs.is_dir(folder) then
    ctx.say("2 start: %s is there already and is taken as it is", folder)
    return true
  end
  if not args.template then
    return nil, ("%s does not exist: --template says what to begin from"):format(folder), "usage"
  end
  local made, skeleton, code = require("hone.solutions.template").make(args.template, state.definition, {
    name = name,
    author = args.author or user_name(),
    target = args.target,
    kernel = args.kernel,
  })
  if not made then return nil, skeleton, code end
  local ok, why
  ok, why, code = require("hone.solutions.folder").write(folder, made)
  if not ok then return nil, why, code end
  for _, source in ipairs(made.sources) do
    ctx.say("2 start: %s", fs.join(folder, source.path))
  end
  if skeleton then ctx.warn("this is a skeleton: it builds, and what it computes is wrong") end
  return true
end

-- ---- 3 and 4: build, check ---------------------------------------------------------------------------

local function device_of(solution)
  if not require("hone.dataset.solution").needs_gpu(solution) then return "cpu" end
  return require("hone.bench.device").gpus()[1]
end

local LOG_LINES = 30

local function last_lines(text, count)
  local lines = {}
  for line in (text or ""):gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

local function build(state, args, ctx)
  local clock = require "hone.core.process"
  local solution, why, code = require("hone.solutions.folder").read(state.folder)
  if not solution then return nil, why, code end
  if solution.definition ~= state.definition.name then
    return nil,
      ("%s is a solution of %s, not of %s"):format(state.folder, solution.definition, state.definition.name)
  end
  state.solution = solution
  local started = clock.now()
  local artefact, log
  artefact, why, log, code = require("hone.bench.build").solution(state.definition, solution, {
    device = device_of(solution),
    architecture = args.architecture,
  })
  if not artefact then
    if log and log ~= "" then ctx.warn("%s", last_lines(log, LOG_LINES)) end
    return nil, why, code
  end
  ctx.say(
    "3 build: %s%s",
    artefact.cached and "it was built before" or ("%.1f s"):format(clock.now() - started),
    artefact.library and ", " .. artefact.library or ""
  )
  return true
end

local OWN, DATASET = { "definition", "solution" }, { "layout", "workload" } -- checks

-- The errors that checks found.
local function errors_of(found, checks)
  local list = {}
  for _, name in ipairs(checks) do
    for _, message in ipairs(found and found[name].messages or {}) do
      if message.level == "error" then list[#list + 1] = ("%s: %s"):format(name, message.message) end
    end
  end
  return list
end

-- What is wrong with the workloads is no fault of the solution: `hone run` makes the inputs whose files are not there,
-- and leaves out workloads that cannot be.
local function warn_of_dataset(found, name, ctx)
  local errors = errors_of(found, DATASET)
  if #errors == 0 then return end
  local text = "4 check: %d errors of the dataset itself (hone validate --definitions %s lists them): %s"
  ctx.warn(text, #errors, name, errors[1])
end

local function check(state, _, ctx)
  local solution, fs = state.solution, require "hone.fs"
  local taken = state.set:author(solution.name)
  local path, why = require("hone.dataset.solution").path(state.set.root, solution, state.definition.op_type)
  if not path then return nil, why end
  if taken and fs.absolute(taken.path) ~= fs.absolute(path) then
    return nil,
      ("the name %s is taken by %s: give the solution another --name"):format(solution.name, taken.path),
      "EEXIST"
  end
  local code
  path, why, code = require("hone.dataset.solution").write(state.set.root, solution, state.definition.op_type)
  if not path then return nil, why, code end
  state.path = path
  local report
  report, why = require("hone.dataset.validator").run(state.set.root, {
    checks = { "definition", "solution", "layout", "workload" },
    disable_gpu = true,
    definitions = { state.definition.name },
  })
  if not report then return nil, why end
  local found = report.definitions[state.definition.name]
  warn_of_dataset(found, state.definition.name, ctx)
  local errors = errors_of(found, OWN)
  for _, message in ipairs(errors) do
    ctx.warn("4 check: %s", message)
  end
  ctx.say("4 check: %s", path)
  if #errors > 0 then
    return nil, ("%s has errors: mend them before it is run"):format(state.definition.name), "INVALID"
  end
  return true
end

-- ---- 5, 6 and 7: run, inspect, visualize ---------------------------------------------------------------

local function run(state, args, ctx)
  if not device_of(state.solution) then
    return nil,
      ("%s needs a GPU, and there is none: it is written and built, run it where there is one"):format(
        state.solution.name
      ),
      "ENODEV"
  end
  local _, why, code = ctx.skill("run", {
    ["local"] = { state.set.root },
    definitions = { state.definition.name },
    solutions = { state.solution.name },
    log_level = "WARNING",
  })
  if why then return nil, why, code end
  ctx.say(
    "5 run: traces are in %s",
    require("hone.dataset.trace").path(state.set.root, state.solution, state.definition)
  )
  state.set = assert(require("hone.dataset.traceset").open(args.root))
  return true
end

-- The newest trace of each workload.
local function newest(state)
  local order, by_uuid = {}, {}
  for _, t in ipairs(state.set:traces(state.definition.name)) do
    if t.solution == state.solution.name then
      local uuid = t.workload.uuid
      if not by_uuid[uuid] then order[#order + 1] = uuid end
      by_uuid[uuid] = t
    end
  end
  local list = require("hone.json").array {}
  for i, uuid in ipairs(order) do
    list[i] = by_uuid[uuid]
  end
  return list
end

local function inspect(state, _, ctx)
  local json, axes_text = require "hone.json", require("hone.dataset.workload").axes_text
  local rows, logs, failed = {}, {}, 0
  state.traces = newest(state)
  for _, t in ipairs(state.traces) do
    local e = t.evaluation
    local performance = e.performance ~= json.null and e.performance or nil
    local correctness = e.correctness ~= json.null and e.correctness or nil
    rows[#rows + 1] = {
      axes_text(t.workload.axes),
      e.status,
      performance and ("%.4g us"):format(performance.latency_ms * 1000) or "",
      performance and ("%.2fx"):format(performance.speedup_factor) or "",
      correctness and ("%.3g"):format(correctness.max_absolute_error) or "",
    }
    if e.status ~= "PASSED" then
      failed = failed + 1
      logs[#logs + 1] = ("%s: %s\n%s"):format(axes_text(t.workload.axes), e.status, last_lines(e.log, 12))
    end
  end
  local headers = { "6 inspect", "status", "latency", "over reference", "error" }
  ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
  if logs[1] then ctx.warn("%s", logs[1]) end
  local score, why = state.set:solution_score(state.solution.name)
  if score then ctx.say("%.2fx the baseline on %d workloads", score.avg_speedup, score.workloads) end
  if why then ctx.say("not compared with a baseline: %s", why) end
  state.failed = failed
  return true
end

local function visualize(state, _, ctx)
  local page = require("hone.fs").join(state.folder .. ".html")
  local _, why, code = ctx.skill("report", {
    action = "visualize",
    ["local"] = { state.set.root },
    definitions = { state.definition.name },
    output = page,
  })
  if why then return nil, why, code end
  state.page = page
  ctx.say("7 visualize: %s", page)
  return true
end

-- ---- all of them -----------------------------------------------------------------------------------------

local RUN = { begin, build, check, run, inspect, visualize }

local function result_of(state)
  return require("hone.json").object {
    { "folder", state.folder },
    { "path", state.path },
    { "traces", state.traces },
    { "page", state.page },
  }
end

function skill.run(args, ctx)
  local traceset = require "hone.dataset.traceset"
  local root = traceset.locate(args["local"])
  local set, why, code = traceset.open(root)
  if not set then return nil, why, code end
  if not args.definition then return pick(set, args, ctx) end
  local definition = set:definition(args.definition)
  if not definition then
    return nil,
      ("there is no definition '%s' in %s (without a name they are listed)"):format(args.definition, root),
      "ENOENT"
  end
  local state = { set = set, definition = definition }
  args.root = root
  ctx.say(
    "1 pick: %s, %d workloads, %d solutions",
    definition.name,
    #set:workloads(definition.name),
    #set:authors(definition.name)
  )
  for step = 1, STEPS[args["until"]] do
    local ok
    ok, why, code = RUN[step](state, args, ctx)
    if not ok then return nil, why, code, result_of(state) end
  end
  if (state.failed or 0) > 0 then
    local text = "%s does not pass on %d of %d workloads"
    return nil, text:format(state.solution.name, state.failed, #state.traces), "FAILED", result_of(state)
  end
  return result_of(state)
end

return skill
