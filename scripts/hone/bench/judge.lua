--- The judge of one device: it owns the memory that solutions are given, makes their inputs, knows what should come
--- out, and says what came of a solution on a workload. See docs/judging.md.
--
-- All calls look the same to a solution: new values at new places, outputs poisoned, the clock running. Which of them
-- are looked at is drawn by chance; what is looked at is what stood in the outputs when the call was over.
local arena = require "hone.bench.arena"
local calls = require "hone.bench.calls"
local ceilings = require "hone.bench.ceilings"
local clock = require "hone.bench.clock"
local contents = require "hone.bench.contents"
local device = require "hone.bench.device"
local doubt = require "hone.bench.doubt"
local evaluate = require "hone.bench.evaluate"
local integrity = require "hone.bench.integrity"
local settings = require "hone.bench.settings"
local slots = require "hone.bench.slots"
local statistics = require "hone.bench.statistics"
local tensor = require "hone.tensor"
local trials = require "hone.bench.trials"

local judge = {}

local Judge = {}
Judge.__index = Judge

local MOST_MEMORY = { cpu = 1 << 30, cuda = 16 << 30 } -- bytes of an arena, unless one call needs more
local SHARE_OF_FREE = 0.4

local function secret() return calls.secret() end

-- ---- a judge ---------------------------------------------------------------------------------------

---The judge of a device, "cpu" or "cuda:0".
---@param options { device: string, root: string, reference: fun(definition: table): function?, string? }
function judge.new(options)
  math.randomseed(secret())
  local self = setmetatable({
    device = options.device,
    root = options.root,
    make_reference = options.reference,
    watch = clock.watch(),
    seen_by = {}, -- workers that have the arena open
    audited = 0.0, -- seconds spent on looking at timed calls
  }, Judge)
  return self
end

local function memory_limit(self)
  if self.device == "cpu" then return MOST_MEMORY.cpu end
  local free = require("hone.cuda").memory(device.ordinal(self.device)).free
  return math.min(MOST_MEMORY.cuda, math.floor(free * SHARE_OF_FREE))
end

---Free the arena: first all workers that see it let go of it.
function Judge:close()
  for worker in pairs(self.seen_by) do
    worker:unmap()
  end
  self.seen_by = {}
  if self.arena then self.arena:close() end
  self.arena = nil
end

local GROWTH = 4 -- times what an arena had, where that was too little: all workers let go of it then

-- An arena of at least `least` bytes, better of `wanted`.
local function reserve(self, least, wanted)
  local limit = self.limit or memory_limit(self)
  self.limit = limit
  local bytes = math.max(least, math.min(wanted, limit))
  if self.arena and self.arena.bytes >= bytes then return self.arena end
  if self.arena then bytes = math.max(bytes, math.min(GROWTH * self.arena.bytes, limit)) end
  self:close()
  local why
  self.arena, why = arena.new(self.device, bytes)
  if not self.arena then return nil, ("the calls' tensors need %d MiB: %s"):format(bytes >> 20, why) end
  return self.arena
end

-- ---- a workload ------------------------------------------------------------------------------------

-- The outputs that are expected for a seed; nil and why the reference gave none.
local function run_reference(self, work, seed)
  local list = work.contents:make(seed)
  device.synchronize(self.device)
  local started = clock.now()
  local outputs, why, seconds = work.reference(table.unpack(list, 1, #work.contents.inputs))
  if not outputs then return nil, why end
  device.synchronize(self.device)
  return outputs, nil, seconds or clock.now() - started
end

---The i-th set of values of a workload whose outputs are known, { seed, expected }; nil and why the reference failed.
function Judge:known_content(work, i)
  while #work.known < i do
    local seed = work.evaluator.same_inputs and work.seed or secret()
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

-- Room for the calls of a trial, where there is so much, and for three at the least.
local function reserve_for(self, work)
  local timed, checked = slots.bytes(work.contents.values), slots.bytes(work.checked.values)
  local most = work.settings.iterations * work.settings.num_trials + work.settings.warmup_runs + 2
  return reserve(self, 3 * math.max(timed, checked), math.max(most * timed, 8 * checked))
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
    seed = secret(),
    known = {},
    reference_times = {},
    needs_reference = evaluator.name ~= "sampling",
  }
  if self.pools_of ~= definition.name then
    self.pools, self.pools_of = {}, definition.name
  end
  local options =
    { root = self.root, device = self.device, seed = work.seed, secret = secret, pools = self.pools }
  work.contents, why = contents.new(definition, workload, options)
  if not work.contents then return nil, why end
  work.calls, options.times = evaluator:calls(work.contents.axes)
  work.checked = work.contents
  if options.times and options.times > 1 then
    work.checked, why = contents.new(definition, workload, options)
    if not work.checked then return nil, why end
  end
  self.watch:lap "workloads"
  work.reference, why = self.make_reference(definition)
  if not work.reference then return nil, why end
  local first
  first, why = self:known_content(work, 1)
  if not first then return nil, why end
  if self.device ~= "cpu" then
    work.floor = ceilings.floor(self.device, definition, work.contents.axes, structure_of(work.contents))
  end
  self.watch:lap "references"
  local memory
  memory, why = reserve_for(self, work)
  if not memory then return nil, why end
  self.watch:lap "memory"
  return work
end

-- ---- draws -----------------------------------------------------------------------------------------

-- Requests of which every call is looked at, but for the first: for what only many calls can tell.
local function check(self, work, run, evaluator)
  local made, left = work.checked, work.calls
  while left > 0 do
    local n = math.min(left, math.max(1, calls.capacity(self, made) - 1), 16)
    local audited = {}
    for i = 1, n do
      audited[i + 1] = work.known[1]
    end
    local reply, cases, code = calls.make(self, made, run, n + 1, audited, 1)
    if not reply then return nil, cases, code end
    local verdict = calls.look_at(self, work, made, cases, reply, evaluator)
    self.watch:lap "comparisons"
    if verdict then return verdict end
    left = left - n
  end
  return evaluator:finish()
end

-- ---- times that cannot be ----------------------------------------------------------------------------

-- What the worker says must come of its own code, fit what this process saw, and what the device can do.
local function suspicion(self, work, run)
  local changed = integrity.changed(run.worker.process:pid())
  if changed then return ("the solution changed the code of %s"):format(changed) end
  local sum = statistics.sum(run.seconds)
  if sum > run.judged then
    return ("the reported times, %.3g s in all, are longer than the calls took"):format(sum)
  end
  local mean = sum / #run.seconds
  if self.device ~= "cpu" and mean < work.floor then
    local text = "%.3g us a call is faster than this device can be (%.3g us)"
    return text:format(mean * 1e6, work.floor * 1e6)
  end
end

-- ---- a solution on a workload ----------------------------------------------------------------------

local STATUS = { COMPILE_ERROR = "COMPILE_ERROR", TIMEOUT = "TIMEOUT" }

---The status of an evaluation that a worker's code ended.
function judge.status_of(code) return STATUS[code] or "RUNTIME_ERROR" end

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
  local uncertainty = trials.uncertainty(run)
  if uncertainty then
    text = ("%s; the middle time is known within %.1f %%"):format(text, 100 * uncertainty)
  end
  return ("%s; %d of the %d timed calls were looked at"):format(text, run.audits, #run.seconds)
end

local MOST_KERNELS, LONGEST_NAME = 8, 80

-- Which kernels ran in the timed calls, in a line: whose they are tells a library's from a solution's own. Nil where
-- nobody knows.
local function describe_kernels(reply)
  local names = {}
  for i, name in ipairs(reply.kernels or {}) do
    if i <= MOST_KERNELS then
      names[i] = #name > LONGEST_NAME and name:sub(1, LONGEST_NAME) .. "..." or name
    end
  end
  if #names == 0 then return nil end
  local more = #reply.kernels - #names
  return ("ran on the device: %s%s"):format(
    table.concat(names, ", "),
    more > 0 and (", and %d others"):format(more) or ""
  )
end

local function failed(status, why, lines)
  if why then table.insert(lines, why) end
  return { status = status, log = lines }
end

-- Calls and what they tell: the verdict, without its times. Or nil, a verdict or why, code.
local function try(self, work, run)
  local verdict, why, code
  if work.evaluator.same_inputs then
    verdict, why, code = check(self, work, run, run.evaluator)
    if not verdict or verdict.status ~= "PASSED" then return verdict, why, code end
  end
  local ok
  ok, why, code = trials.time(self, work, run)
  if not ok then return nil, why, code end
  return verdict or run.evaluator:finish()
end

local function performance_of(self, work, run)
  local latency = trials.latency(run, work.settings.num_trials) * 1e3
  local reference = reference_latency(self, work)
  self.watch:lap "references"
  return {
    latency_ms = latency,
    reference_latency_ms = reference,
    speedup_factor = latency > 0 and reference / latency or 0.0,
  }
end

---Say what came of a solution: `run` is { worker, artefact, deadline (on the clock), clock? }. Returns the verdict,
---{ status, log = lines, correctness?, performance? }; nil and why where the reference failed.
function Judge:evaluate(work, run)
  run.dps, run.audits, run.judged = run.artefact.dps, 0, 0
  run.evaluator = assert(evaluate.new(work.definition, work.settings))
  run.evaluator:calls(work.contents.axes) -- what is checked may hold the workload's rows several times
  local verdict, why, code = try(self, work, run)
  if code == "REFERENCE" then return nil, why end
  if code == "VERDICT" then verdict = why end
  if not verdict then
    local log, notes = run.evaluator.log, work.contents.notes
    return failed(judge.status_of(code), why, table.move(notes, 1, #notes, #log + 1, log))
  end
  if verdict.status == "INCORRECT_NUMERICAL" and not run.evaluator.wrong_case then -- all calls together tell it
    run.evaluator.wrong_case = { inputs = {}, outputs = {}, expected = {}, evaluator = run.evaluator }
  end
  verdict.wrong_case = run.evaluator.wrong_case
  table.insert(verdict.log, 1, settings.describe(work.settings))
  table.move(work.contents.notes, 1, #work.contents.notes, #verdict.log + 1, verdict.log)
  if verdict.status ~= "PASSED" then return verdict end
  local suspect = suspicion(self, work, run)
  if not suspect then
    suspect, why, code = doubt.of(self, work, run)
    if code then return failed(judge.status_of(code), why, verdict.log) end
  end
  if suspect then return failed("RUNTIME_ERROR", "refused: " .. suspect, verdict.log) end
  verdict.performance = performance_of(self, work, run)
  verdict.log[#verdict.log + 1] = describe_clock(run)
  verdict.log[#verdict.log + 1] = describe_kernels(run.last)
  return verdict
end

return judge
