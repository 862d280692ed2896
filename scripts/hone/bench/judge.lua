--- The judge of one device: it owns the memory that solutions are given, makes their inputs, knows what should come
--- out, and says what came of a solution on a workload. See docs/judging.md.
--
-- All calls look the same to a solution: new values at new places, outputs poisoned, the clock running. Which of them
-- are looked at is drawn by chance; what is looked at is what stood in the outputs when the call was over.
local arena = require "hone.bench.arena"
local ceilings = require "hone.bench.ceilings"
local clock = require "hone.bench.clock"
local contents = require "hone.bench.contents"
local core = require "hone.core.worker"
local evaluate = require "hone.bench.evaluate"
local settings = require "hone.bench.settings"
local slots = require "hone.bench.slots"
local statistics = require "hone.bench.statistics"
local tensor = require "hone.tensor"

local judge = {}

---What stands between a solution and a number that it did not earn: by name, so that a spec can take one away and see
---that the suite of exploits notices.
judge.defences = {}
local defences = judge.defences

local Judge = {}
Judge.__index = Judge

local MOST_MEMORY = { cpu = 1 << 30, cuda = 16 << 30 } -- bytes of an arena, unless one call needs more
local SHARE_OF_FREE = 0.4
local AUDITS = 2 -- calls of each timed request that are looked at
local MOST_AUDIT_SHARE = 0.1 -- of the time that a run takes: above it fewer calls are looked at

-- ---- a judge ---------------------------------------------------------------------------------------

---The judge of a device, "cpu" or "cuda:0".
---@param options { device: string, root: string, reference: fun(definition: table): function?, string? }
function judge.new(options)
  math.randomseed(defences.secret())
  local self = setmetatable({
    device = options.device,
    root = options.root,
    make_reference = options.reference,
    watch = clock.watch(),
    audited = 0.0, -- seconds spent on looking at timed calls
  }, Judge)
  return self
end

-- A secret number, for a generator: no two calls have the same.
function defences.secret() return string.unpack("<i8", core.random(8)) & math.maxinteger end

local function synchronize(self)
  if self.device ~= "cpu" then require("hone.cuda").synchronize(math.tointeger(self.device:match "%d+")) end
end

local function memory_limit(self)
  if self.device == "cpu" then return MOST_MEMORY.cpu end
  local free = require("hone.cuda").memory(math.tointeger(self.device:match "%d+")).free
  return math.min(MOST_MEMORY.cuda, math.floor(free * SHARE_OF_FREE))
end

-- An arena of at least `least` bytes, better of `wanted`.
local function reserve(self, least, wanted)
  local limit = self.limit or memory_limit(self)
  self.limit = limit
  local bytes = math.max(least, math.min(wanted, limit))
  if self.arena and self.arena.bytes >= bytes then return self.arena end
  if self.arena then self.arena:close() end
  local why
  self.arena, why = arena.new(self.device, bytes)
  if not self.arena then return nil, ("the calls' tensors need %d MiB: %s"):format(bytes >> 20, why) end
  return self.arena
end

function Judge:close()
  if self.arena then self.arena:close() end
  self.arena = nil
end

-- ---- a workload ------------------------------------------------------------------------------------

-- The outputs that are expected for a seed; nil and why the reference gave none.
local function run_reference(self, work, seed)
  local list = work.contents:make(seed)
  synchronize(self)
  local started = clock.now()
  local outputs, why, seconds = work.reference(table.unpack(list, 1, #work.contents.inputs))
  if not outputs then return nil, why end
  synchronize(self)
  return outputs, nil, seconds or clock.now() - started
end

-- The i-th set of values whose outputs are known: { seed, expected }.
local function known_content(self, work, i)
  while #work.known < i do
    local seed = work.evaluator.same_inputs and work.seed or defences.secret()
    local entry = { seed = seed }
    if work.needs_reference or #work.known == 0 and work.settings.profile_baseline then
      local outputs, why, seconds = run_reference(self, work, seed)
      if not outputs then return nil, why end
      entry.expected = outputs
      work.reference_times[#work.reference_times + 1] = seconds
    end
    work.known[#work.known + 1] = entry
  end
  return work.known[i]
end

local FIRST_RUNS = 1 -- of a reference, in which kernels are compiled and memory is found

-- What the reference takes, in milliseconds: the middle of its runs but the first.
local function reference_latency(self, work)
  if not work.settings.profile_baseline then return 0.0 end
  if not work.reference_ms then
    while #work.reference_times < 2 do
      local outputs, _, seconds = run_reference(self, work, work.seed)
      if not outputs then return 0.0 end
      work.reference_times[#work.reference_times + 1] = seconds
    end
    local later = table.move(work.reference_times, FIRST_RUNS + 1, #work.reference_times, 1, {})
    work.reference_ms = statistics.median(later) * 1e3
  end
  return work.reference_ms
end

local function structure_of(made)
  local structure = made:structure()
  for name, value in pairs(structure) do
    local is_index = tensor.is_tensor(value) and (value.dtype == "int32" or value.dtype == "int64")
    structure[name] = is_index and value:to("cpu"):tolist() or nil
  end
  return structure
end

---Get ready for judging solutions of a definition on a workload; nil and why where that cannot be done.
---@return table? work
---@return string? message
function Judge:workload(definition, workload, resolved)
  local evaluator, why = evaluate.new(definition, resolved)
  if not evaluator then return nil, why end
  local work = {
    definition = definition,
    workload = workload,
    settings = resolved,
    evaluator = evaluator, -- for questions; each solution has its own
    seed = defences.secret(),
    known = {},
    reference_times = {},
    needs_reference = evaluator.name ~= "sampling",
  }
  if self.pools_of ~= definition.name then
    self.pools, self.pools_of = {}, definition.name
  end
  local options =
    { root = self.root, device = self.device, seed = work.seed, secret = defences.secret, pools = self.pools }
  work.contents, why = contents.new(definition, workload, options)
  if not work.contents then return nil, why end
  work.calls, options.times = evaluator:calls(work.contents.axes)
  work.checked = work.contents
  if options.times and options.times > 1 then
    work.checked, why = contents.new(definition, workload, options)
    if not work.checked then return nil, why end
  end
  work.reference, why = self.make_reference(definition)
  if not work.reference then return nil, why end
  local first
  first, why = known_content(self, work, 1)
  if not first then return nil, why end
  if self.device ~= "cpu" then
    work.floor = ceilings.floor(self.device, definition, work.contents.axes, structure_of(work.contents))
  end
  self.watch:lap "references"
  return work
end

-- ---- one request -----------------------------------------------------------------------------------

-- What stands in the way of a call's outputs being looked at; nil when all is well. Fills `outputs`.
local function read_outputs(work, made, case, facts, outputs)
  local first = #made.inputs
  for i = 1, #made.outputs do
    outputs[i] = case.slot.views[first + i]
  end
  if case.dps then return nil end
  local count = #facts
  local is_sparse = work.evaluator.name == "dsa_sparse_attention"
  if count ~= #made.outputs and not is_sparse then
    return ("the solution returned %d values, it should be %d"):format(count, #made.outputs)
  end
  for i = 1, #made.outputs do
    local fact, value = facts[i], made.values[first + i]
    if not fact then
      outputs[i] = nil
    elseif not fact.shape then
      return ("the solution returned a %s as output '%s', not a tensor"):format(fact.type, value.name)
    elseif fact.dtype ~= value.dtype or table.concat(fact.shape, ",") ~= table.concat(value.shape, ",") then
      outputs[i] = { shape = fact.shape, dtype = fact.dtype }
    end
  end
end

-- Inputs that the definition lets a solution change.
local function may_change(definition, name)
  local op = require("hone.ops").get(definition.op_type)
  if op and op.may_change and op.may_change[name] then return true end
  local description = definition.inputs[name].description
  return type(description) == "string" and description:lower():find "in[%s-]?place" ~= nil
end

-- What a solution did that it may not; nil where it kept the rules.
function defences.broken_rule(self, work, made, case, facts, list)
  local may_change_some = false
  for i, name in ipairs(made.inputs) do
    local view, may = case.slot.given[i], may_change(work.definition, name)
    if view and not may and not slots.same_bytes(view, list[i]) then
      return ("refused: the solution changed its input '%s'"):format(name)
    end
    may_change_some = may_change_some or may
  end
  for i, fact in ipairs(facts) do
    if fact.in_arena and not may_change_some and not case.dps then
      return ("refused: what it returned as '%s' is its input's memory"):format(made.outputs[i] or i)
    end
  end
  local near = slots.broken_guard(self.arena, made.values, case.slot)
  if near then return ("refused: the solution wrote outside of '%s'"):format(near) end
end

-- Look at one call: nil, or an early verdict.
local function look(self, work, made, case, facts, evaluator)
  local outputs = {}
  local why = read_outputs(work, made, case, facts, outputs)
  if why then
    evaluator:note("%s", why)
    return evaluator:verdict "RUNTIME_ERROR"
  end
  local list = case.list
  local verdict = evaluator:check(outputs, case.content.expected, list)
  if verdict and verdict.status ~= "INCORRECT_NUMERICAL" then return verdict end
  local rule = defences.broken_rule(self, work, made, case, facts, list)
  if rule then
    evaluator:note("%s", rule)
    return evaluator:verdict "RUNTIME_ERROR"
  end
  if (verdict or evaluator.failed) and not evaluator.wrong_case then
    evaluator.wrong_case =
      { inputs = list, expected = case.content.expected, outputs = {}, evaluator = evaluator }
    for i, output in ipairs(outputs) do
      evaluator.wrong_case.outputs[i] = tensor.is_tensor(output) and output:clone() or output
    end
  end
  return verdict
end

-- Make `n` calls of which `audited[i]` is a content whose outputs are known. Returns the reply and the cases that are to
-- be looked at; or nil, why, code.
local function request(self, made, run, n, audited, warmup)
  local memory = self.arena
  if run.worker.arena ~= memory then
    local ok, why, code = run.worker:map(memory)
    if not ok then return nil, why, code end
  end
  local list, cases = slots.make(memory, made.values, n), {}
  for i, slot in ipairs(list) do
    local content = audited[i]
    local values = made:fill(slot.views, content and content.seed or defences.secret())
    if content then
      cases[#cases + 1] = { i = i, slot = slot, content = content, dps = run.dps, list = values }
    end
  end
  synchronize(self)
  self.watch:lap "inputs"
  local sent = clock.now()
  local left = run.deadline - sent
  if left <= 0 then return nil, "no time was left", "TIMEOUT" end
  local reply, why, code = run.worker:calls {
    values = made.values,
    inputs = #made.inputs,
    slots = list,
    warmup = warmup,
    cold = true,
    clock = run.clock,
    timeout = left,
  }
  self.watch:lap "calls"
  if not reply then return nil, why, code end
  reply.judged = clock.now() - sent
  return reply, cases
end

local function look_at_all(self, work, made, cases, reply, evaluator)
  for k = #cases, 1, -1 do -- the last first: it has had the least time
    local case = cases[k]
    local verdict = look(self, work, made, case, reply.returned[case.i] or {}, evaluator)
    if verdict then return verdict end
  end
end

-- ---- a second opinion ------------------------------------------------------------------------------

-- Seconds that a call may take beyond what the worker says of it: to be made ready, flushed and kept.
local BASE = { native = 1e-3, python = 2e-3, lua = 2e-3 }
local FLUSHED = { cpu = 0.5e9, cuda = 20e9 } -- bytes a second, at the least
local SHARE = 3 -- of what it says
local CONFIRMATIONS, CONFIRMING_CALLS = 3, 100

local function sum_of(list)
  local sum = 0.0
  for _, value in ipairs(list) do
    sum = sum + value
  end
  return sum
end

-- Seconds of a call that this process saw go by, and that the worker's times do not explain; 0 where that is usual.
function defences.unexplained(self, made, run, reply, n)
  local device = self.device == "cpu" and "cpu" or "cuda"
  local told = sum_of(reply.host) / n
  if device == "cuda" then told = told + sum_of(reply.seconds) / #reply.seconds end
  local seen = reply.judged / n
  local usual = BASE[run.artefact.worker] + slots.bytes(made.values) / FLUSHED[device]
  return seen - told > usual + SHARE * told and seen - told or 0.0
end

-- How many slots a request can have.
local function capacity(self, made) return math.max(1, self.arena.bytes // slots.bytes(made.values) - 1) end

-- ---- correctness -----------------------------------------------------------------------------------

-- Requests of which every call is looked at, but for the first.
local function check(self, work, run, evaluator)
  local made, left, at = work.checked, work.calls, 0
  local memory, why = reserve(self, 3 * slots.bytes(made.values), 8 * slots.bytes(made.values))
  if not memory then return nil, why, "RUNTIME_ERROR" end
  while left > 0 do
    local n = math.min(left, math.max(1, capacity(self, made) - 1), 16)
    local audited = {}
    for i = 1, n do
      local content
      content, why = known_content(self, work, work.evaluator.same_inputs and 1 or at + i)
      if not content then return nil, why, "REFERENCE" end
      audited[i + 1] = content
    end
    self.watch:lap "references"
    local reply, cases, code = request(self, made, run, n + 1, audited, 1)
    if not reply then return nil, cases, code end
    local verdict = look_at_all(self, work, made, cases, reply, evaluator)
    self.watch:lap "comparisons"
    if verdict then return verdict end
    left, at = left - n, at + n
    run.first = run.first or reply
  end
  run.used = at
  return evaluator:finish()
end

-- ---- timing ----------------------------------------------------------------------------------------

local CHEAP_SECONDS = 5e-3 -- what a reference may take for two calls of a trial to be looked at

-- How many new contents a trial's calls get whose outputs are known: fewer where that costs too much.
local function audits_for(self, work)
  local spent = clock.now() - self.watch.started
  local seconds = work.reference_times[#work.reference_times] or 0
  return (self.audited > MOST_AUDIT_SHARE * spent or seconds > CHEAP_SECONDS) and 1 or AUDITS
end

-- The contents that a trial's first request is looked at by. Its later ones see them again, at new places.
local function contents_of_trial(self, work, run)
  local list = {}
  for k = 1, audits_for(self, work) do
    local content, why = known_content(self, work, work.evaluator.same_inputs and 1 or run.used + 1)
    if not content then return nil, why end
    list[k], run.used = content, run.used + 1
  end
  self.watch:lap "audits"
  return list
end

-- Which calls of a request are looked at: any of those after the warm-up.
function defences.choose(list, warmup, n)
  local audited = {}
  for _, content in ipairs(list) do
    audited[math.random(warmup + 1, n)] = content
  end
  return audited
end

local FIRST = 10 -- timed calls of a trial's first request; a second has the rest, if they are needed
local PRECISION, CONFIDENCE = 0.005, 0.95 -- how well a trial's median is to be known
local TICK = 33e-9 -- seconds from one time to the next that CUPTI can tell

-- Whether more calls would tell nothing new of the middle time.
local function is_known(seconds)
  local low, high = statistics.median_interval(seconds, CONFIDENCE)
  return low ~= nil and high - low <= math.max(2 * PRECISION * statistics.median(seconds), TICK)
end

-- Look at the chosen calls of a timed request: a verdict where one of them is wrong.
local function audit(self, work, run, cases, reply)
  local started = clock.now()
  local auditor = evaluate.new(work.definition, work.settings)
  local verdict = look_at_all(self, work, work.contents, cases, reply, auditor)
  if not verdict and auditor.failed and auditor.name ~= "sampling" then verdict = auditor:finish() end
  self.watch:lap "audits"
  self.audited = self.audited + clock.now() - started
  run.audits, run.judged = run.audits + #cases, run.judged + reply.judged
  if verdict then
    table.insert(verdict.log, 1, "a call that was timed gave something else than the calls before")
  end
  return verdict
end

-- One trial: requests until its median is known well, or it has had its calls. Returns their seconds; or nil, a verdict
-- or why, code.
local function trial(self, work, run, warmup)
  local made, seconds, most = work.contents, {}, work.settings.iterations
  local list, missing = contents_of_trial(self, work, run)
  if not list then return nil, missing, "REFERENCE" end
  while #seconds < most and not (#seconds >= FIRST and is_known(seconds)) do
    local room = capacity(self, made)
    local first = math.min(warmup, math.max(1, room - 1))
    local wanted = #seconds == 0 and FIRST or most
    local n = math.min(wanted, most - #seconds, math.max(1, room - first)) + first
    local reply, cases, code = request(self, made, run, n, defences.choose(list, first, n), first)
    if not reply then return nil, cases, code end
    if #reply.seconds ~= n - first then
      return nil, "refused: it reported other times than calls", "RUNTIME_ERROR"
    end
    local verdict = audit(self, work, run, cases, reply)
    if verdict then return nil, verdict, "VERDICT" end
    run.odd = math.min(run.odd or math.huge, defences.unexplained(self, made, run, reply, n))
    table.move(reply.seconds, 1, #reply.seconds, #seconds + 1, seconds)
    run.last, run.timed, warmup = reply, run.timed + #reply.seconds, 1
  end
  return seconds
end

-- What the worker says must fit what this process saw, and what the device can do.
local function suspicion(self, work, run, trials)
  local sum, count = 0.0, 0
  for _, seconds in ipairs(trials) do
    for _, s in ipairs(seconds) do
      sum, count = sum + s, count + 1
    end
  end
  if sum > run.judged then
    return ("the reported times, %.3g s in all, are longer than the calls took"):format(sum)
  end
  local mean = sum / count
  if self.device ~= "cpu" and mean < work.floor then
    return ("%.3g us a call is faster than this device can be (%.3g us)"):format(mean * 1e6, work.floor * 1e6)
  end
end

-- Whether the worker's clock can be believed: where this process saw much more time go by in every request, many calls
-- are made at once, so that what comes once a request does not count.
local function doubt(self, work, run)
  if run.odd == 0 then return nil end
  local made, least = work.contents, math.huge
  for _ = 1, CONFIRMATIONS do
    local n = math.min(CONFIRMING_CALLS, capacity(self, made))
    local reply, why, code = request(self, made, run, n, {}, 1)
    if not reply then return nil, why, code end
    least = math.min(least, defences.unexplained(self, made, run, reply, n))
    if least == 0 then return nil end
  end
  return ("a call took %.3g ms that its clock does not tell of"):format(least * 1e3)
end

local REWARM = 2 -- calls before the clock in trials after the first

local function measure(self, work, run)
  local bytes = slots.bytes(work.contents.values)
  local warmup = math.max(1, work.settings.warmup_runs)
  local calls = work.settings.iterations + warmup + 2
  local memory, why = reserve(self, 3 * bytes, calls * bytes)
  if not memory then return nil, why, "RUNTIME_ERROR" end
  local trials, medians = {}, {}
  local code
  for i = 1, work.settings.num_trials do
    local seconds
    seconds, why, code = trial(self, work, run, warmup)
    if not seconds then return nil, why, code end
    warmup = math.min(warmup, REWARM)
    trials[i], medians[i] = seconds, statistics.median(seconds)
  end
  local suspect = suspicion(self, work, run, trials)
  if not suspect then
    suspect, why, code = doubt(self, work, run)
    if code then return nil, why, code end
  end
  if suspect then return nil, "refused: " .. suspect, "RUNTIME_ERROR" end
  return { latency = statistics.mean(medians), trials = trials }
end

-- ---- a solution on a workload ----------------------------------------------------------------------

local STATUS = {
  COMPILE_ERROR = "COMPILE_ERROR",
  TIMEOUT = "TIMEOUT",
  RUNTIME_ERROR = "RUNTIME_ERROR",
  OUT_OF_MEMORY = "RUNTIME_ERROR",
  CRASH = "RUNTIME_ERROR",
}

-- How the times were taken, in a line.
local function describe_clock(run)
  local reply = run.last
  local text = ("timed by %s"):format(reply.clock)
  if reply.clock_mhz > 0 then text = text .. (" at %d MHz"):format(reply.clock_mhz) end
  local host = statistics.median(reply.host)
  text = ("%s; a call returned after %.3g us"):format(text, host * 1e6)
  if reply.threads_after > reply.threads_before then
    text = ("%s; it started %d threads"):format(text, reply.threads_after - reply.threads_before)
  end
  return ("%s; %d of the %d timed calls were looked at"):format(text, run.audits, run.timed)
end

local function failed(status, why, lines)
  if why then table.insert(lines, why) end
  return { status = status, log = lines }
end

---Say what came of a solution: `run` is { worker, artefact, deadline (on the clock), clock? }. Returns the verdict,
---{ status, log = lines, correctness?, performance? }; nil and why where the reference failed.
function Judge:evaluate(work, run)
  run.dps, run.audits, run.used, run.judged, run.timed = run.artefact.dps, 0, 0, 0, 0
  local evaluator = assert(evaluate.new(work.definition, work.settings))
  local verdict, why, code = check(self, work, run, evaluator)
  if code == "REFERENCE" then return nil, why end
  if not verdict then return failed(STATUS[code] or "RUNTIME_ERROR", why, evaluator.log) end
  verdict.wrong_case = evaluator.wrong_case
  table.insert(verdict.log, 1, settings.describe(work.settings))
  table.move(work.contents.notes, 1, #work.contents.notes, #verdict.log + 1, verdict.log)
  if verdict.status ~= "PASSED" then return verdict end
  local measured
  measured, why, code = measure(self, work, run)
  if code == "REFERENCE" then return nil, why end
  if code == "VERDICT" then return why end
  if not measured then return failed(STATUS[code] or "RUNTIME_ERROR", why, verdict.log) end
  local reference = reference_latency(self, work)
  self.watch:lap "references"
  local latency = measured.latency * 1e3
  verdict.performance = {
    latency_ms = latency,
    reference_latency_ms = reference,
    speedup_factor = latency > 0 and reference / latency or 0.0,
  }
  verdict.log[#verdict.log + 1] = describe_clock(run)
  return verdict
end

return judge
