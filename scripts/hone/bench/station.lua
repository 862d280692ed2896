--- One device and what is done on it: a judge, its workers, and what is remembered of solutions that keep failing.
local build = require "hone.bench.build"
local clock = require "hone.bench.clock"
local environment = require "hone.bench.environment"
local json = require "hone.json"
local judge = require "hone.bench.judge"
local pool = require "hone.bench.pool"
local settings = require "hone.bench.settings"
local hash_of = require("hone.dataset.solution").hash

local station = {}

local Station = {}
Station.__index = Station

local MOST_LOG = 5 << 20

-- Failures that end it at once, and those that may be the workload's; a wrong number counts for nothing.
local WEIGHT = { COMPILE_ERROR = 3, TIMEOUT = 3, RUNTIME_ERROR = 1, INCORRECT_SHAPE = 1, INCORRECT_DTYPE = 1 }
local MOST_FAILURES = 3

---@param options { device: string, settings: table, isolated: boolean?, reference: string?, cache: string? }
function station.new(options)
  return setmetatable({
    options = options,
    device = options.device,
    settings = options.settings,
    judges = {},
    jobs = {},
    failures = {},
    diagnosed = {},
    warmed = {}, -- definitions
    pool = pool.new {
      device = options.device,
      isolated = options.isolated,
      ahead = options.device ~= "cpu", -- what starts beside a call on the CPU takes its time
    },
  }, Station)
end

-- ---- building --------------------------------------------------------------------------------------

local identities = setmetatable({}, { __mode = "k" })

-- A solution by its name and what it is: two datasets may have different ones of a name.
local function identity(solution)
  if not identities[solution] then
    local style = tostring(solution.spec.destination_passing_style)
    identities[solution] = table.concat({ solution.name, style, hash_of(solution) }, "\0")
  end
  return identities[solution]
end

-- The definition counts, too: it says how many inputs and outputs there are.
local function job_key(definition, solution)
  local inputs, outputs = json.keys(definition.inputs), json.keys(definition.outputs)
  return table.concat({ definition.name, #inputs, #outputs, identity(solution) }, "\0")
end

---Begin to build what will be asked for, beside all else.
function Station:prepare(definition, solutions)
  for _, solution in ipairs(solutions) do
    local key = job_key(definition, solution)
    if not self.jobs[key] then
      self.jobs[key] = build.start(definition, solution, {
        device = self.device,
        timeout = self.settings.timeout_seconds,
        cache = self.options.cache,
      })
    end
  end
  if self.device ~= "cpu" then return end
  for _, solution in ipairs(solutions) do
    self.jobs[job_key(definition, solution)]:wait(self.settings.timeout_seconds)
  end
end

---Have workers come up for what will be asked for, { definition, solution } each, and has none yet.
function Station:expect(expected)
  local wanted = {}
  for _, pair in ipairs(expected) do
    local kit, solution = build.kit_of(pair.solution), pair.solution
    if not self.pool:has(identity(solution)) then wanted[kit] = (wanted[kit] or 0) + 1 end
  end
  for kit, count in pairs(wanted) do
    self.pool:prepare(kit, count)
  end
end

-- What this machine lacks is no fault of the solution: there is no trace of it.
local function missing_here(solution)
  local package = environment.missing_package(solution)
  return package and ("it needs Python with %s (python3 has none; HONE_PYTHON names another)"):format(package)
end

---Load what is built and will be asked for, { definition, solution } each, into workers that have come up.
function Station:preload(expected)
  if self.device == "cpu" or self.options.isolated then return end
  for _, pair in ipairs(expected) do
    local job = self.jobs[job_key(pair.definition, pair.solution)]
    if job and not self.pool:has(identity(pair.solution)) and job:done() then
      local artefact = job:wait(0)
      if artefact then self.pool:preload(identity(pair.solution), artefact) end
    end
  end
end

---Whether a solution can be evaluated without waiting for its build or its worker.
function Station:is_ready(definition, solution)
  if missing_here(solution) then return true end
  return self.jobs[job_key(definition, solution)]:done()
    and (self.pool:has(identity(solution)) or self.pool:is_here(build.kit_of(solution)))
end

-- ---- one evaluation --------------------------------------------------------------------------------

local function join(log)
  local text = table.concat(log, "\n")
  if #text > MOST_LOG then text = text:sub(1, MOST_LOG) .. "\n\n[log truncated]\n" end
  return require("hone.text").to_utf8(text)
end

local function evaluation_of(self, verdict, solution)
  return json.object {
    { "status", verdict.status },
    { "environment", environment.of(self.device, build.worker_of(solution)) },
    { "timestamp", environment.timestamp() },
    { "log", join(verdict.log) },
    { "correctness", verdict.correctness or json.null },
    { "performance", verdict.performance or json.null },
  }
end

local function trace_of(self, definition, workload, solution, verdict)
  return json.object {
    { "definition", definition.name },
    { "workload", workload },
    { "solution", solution.name },
    { "evaluation", evaluation_of(self, verdict, solution) },
  }
end

-- What is said of a solution that has failed too often to be tried again.
local function remembered(self, solution)
  local failure = self.failures[identity(solution)]
  if not failure or failure.count < MOST_FAILURES then return nil end
  local text = "Solution skipped after %d failures. Last error: %s"
  return { status = failure.status, log = { text:format(failure.count, failure.last) } }
end

local function remember(self, solution, verdict)
  if verdict.status == "PASSED" then
    self.failures[identity(solution)] = nil
    return
  end
  local failure = self.failures[identity(solution)] or { count = 0 }
  failure.count = failure.count + (WEIGHT[verdict.status] or 0)
  failure.status, failure.last = verdict.status, verdict.log[#verdict.log] or verdict.status
  self.failures[identity(solution)] = failure
end

local function build_failure(message, log, code)
  if code == "UNAVAILABLE" then return nil, message, "UNAVAILABLE" end
  return {
    status = code == "TIMEOUT" and "TIMEOUT" or "COMPILE_ERROR",
    log = { message, log ~= "" and log or nil },
  }
end

local MOST_DIAGNOSES = 3 -- of one solution: it goes wrong in the same way, most often
local DIAGNOSIS_SECONDS = 2

-- Say what a wrong result looks like.
local function diagnose(self, of, work, solution, verdict)
  local case = verdict.wrong_case
  local done = self.diagnosed[identity(solution)] or 0
  if not case or done >= MOST_DIAGNOSES then return end
  self.diagnosed[identity(solution)] = done + 1
  local explain = require "hone.bench.diagnose"
  local found = explain.explain(work.definition, case.inputs, case.outputs, case.expected or {}, {
    settings = work.settings,
    run = work.reference,
    budget = DIAGNOSIS_SECONDS,
    evaluator = case.evaluator,
  })
  for _, line in ipairs(explain.lines(found)) do
    table.insert(verdict.log, line)
  end
  of.watch:lap "diagnosis"
end

-- What was printed, and why it failed, unless that was printed, too.
local function log_of(printed, why)
  if not printed or printed == "" then return { why } end
  return { printed, not printed:find(why, 1, true) and why or nil }
end

-- Verdict; nil, why and "UNAVAILABLE" where this machine cannot run it; nil and why where the reference failed.
local function evaluate(self, of, work, solution)
  local missing = missing_here(solution)
  if missing then return nil, missing, "UNAVAILABLE" end
  local deadline = clock.now() + self.settings.timeout_seconds
  local job = self.jobs[job_key(work.definition, solution)]
  local artefact, message, log, code = job:wait(self.settings.timeout_seconds)
  of.watch:lap "builds"
  if not artefact then return build_failure(message, log, code) end
  local worker, why, printed
  worker, why, code, printed = self.pool:get(identity(solution), artefact, deadline - clock.now())
  if self.device ~= "cpu" then self.pool:settle() end
  of.watch:lap "workers"
  if not worker then return { status = judge.status_of(code), log = log_of(printed, why) } end
  local verdict
  verdict, why = of:evaluate(work, { worker = worker, artefact = artefact, deadline = deadline })
  if verdict then
    printed = worker:log()
    if printed ~= "" then table.insert(verdict.log, 1, printed) end
    diagnose(self, of, work, solution, verdict)
  end
  self.pool:put(identity(solution))
  return verdict, why
end

-- ---- a workload ------------------------------------------------------------------------------------

local function judge_of(self, root)
  if not self.judges[root] then
    self.judges[root] = judge.new {
      device = self.device,
      root = root,
      reference = require("hone.bench.references").maker(self.options.reference, self.device),
    }
  end
  return self.judges[root]
end

-- What a judge needs for an item; nil and why where that cannot be judged.
local function work_of(self, of, item)
  return of:workload(item.definition, item.workload, settings.resolve(self.settings, item.definition))
end

---Make ready what a definition's first workload would wait for: kernels that its reference needs, files that are read.
---Whether there was anything to do. What goes wrong is told when it is the item's turn.
function Station:warm(item)
  local name = item.definition.name
  if self.warmed[name] then return false end
  self.warmed[name] = true
  work_of(self, judge_of(self, item.root), item)
  return true
end

---Evaluate the solutions of an item, { root, definition, workload, solutions }: `report(trace, solution, item)` is called
---with each trace as soon as it is known, `skip(item, why, solution)` for a solution that this machine cannot run. Nil
---and why where the workload cannot be judged.
function Station:run(item, report, skip)
  local of = judge_of(self, item.root)
  self.warmed[item.definition.name] = true
  self:prepare(item.definition, item.solutions)
  of.watch:lap "builds"
  local work, why = work_of(self, of, item)
  if not work then return nil, why end
  for _, solution in ipairs(item.solutions) do
    local verdict = remembered(self, solution)
    if not verdict then
      local code
      verdict, why, code = evaluate(self, of, work, solution)
      if not verdict and code ~= "UNAVAILABLE" then return nil, why end
      if verdict then remember(self, solution, verdict) end
    end
    if verdict then
      report(trace_of(self, item.definition, item.workload, solution, verdict), solution, item)
    else
      skip(item, why, solution)
    end
    of.watch:lap "reports"
  end
  return true
end

---A definition's workloads are done: its workers may end.
function Station:leave(solutions)
  local names = {}
  for i, solution in ipairs(solutions) do
    names[i] = identity(solution)
  end
  self.pool:drop(names)
end

---What the time was spent on: name to seconds.
function Station:shares()
  local shares = {}
  for _, of in pairs(self.judges) do
    for name, seconds in pairs(of.watch.shares) do
      shares[name] = (shares[name] or 0) + seconds
    end
  end
  return shares
end

function Station:close()
  self.pool:close()
  for _, of in pairs(self.judges) do
    of:close()
  end
  for _, job in pairs(self.jobs) do
    job:cancel()
  end
end

Station.__close = Station.close

return station
