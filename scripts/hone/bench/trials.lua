--- Timed calls: some of each trial at first, more where the middle time is not known well by then. What is right is
--- found out by the same calls: those that are looked at are drawn by chance.
local calls = require "hone.bench.calls"
local clock = require "hone.bench.clock"
local doubt = require "hone.bench.doubt"
local evaluate = require "hone.bench.evaluate"
local statistics = require "hone.bench.statistics"

local trials = {}

local AUDITS = 2 -- contents of each trial whose outputs are known
local CHEAP_SECONDS = 5e-3 -- what a reference may take for so many; one, where it takes more
local MOST_AUDIT_SHARE = 0.1 -- of the time that a run takes: above it one, too
local MOST_LOOKED_AT = 8 -- calls of a request

local FIRST = 5 -- timed calls of a trial to begin with, where nothing is known of them
local FIRST_SHORT, SHORT_SECONDS = 10, 0.3e-3 -- of calls that take less: another request costs more than they
local FIRST_LONG, LONG_SECONDS = 3, 5e-3 -- of calls that take more
local PRECISION, CONFIDENCE = 0.01, 0.95 -- how well the median of all is to be known
local MOST_SECONDS = 0.04 -- of calls and all that goes with them, beyond the first ones of each trial
local TELLING = 50 -- calls from which on their scatter tells how many would be needed
local WARM_SECONDS, LEAST_WARM_UPS = 10e-3, 2 -- of warm-up calls in a process that has made such calls
local TICK = 33e-9 -- seconds from one time to the next that CUPTI can tell

local function audits_for(of, work)
  local spent = clock.now() - of.watch.started
  local seconds = work.reference_times[#work.reference_times] or 0
  return (of.audited > MOST_AUDIT_SHARE * spent or seconds > CHEAP_SECONDS) and 1 or AUDITS
end

-- The contents that the solution has not seen yet and is to be looked at by; nil and why the reference failed.
local function new_contents(of, work)
  local list = {}
  local count = work.evaluator.same_inputs and 1 or work.settings.num_trials * audits_for(of, work)
  for i = 1, count do
    local content, why = of:known_content(work, i)
    if not content then return nil, why end
    list[i] = content
  end
  of.watch:lap "references"
  return list
end

-- One more content that the solution has not seen: what comes again could be told from all else, and be answered well.
local function add_new(of, work, run)
  local content, why = of:known_content(work, work.evaluator.same_inputs and 1 or run.drawn + 1)
  if not content then return nil, why end
  run.new[1], run.drawn = content, run.drawn + 1
  of.watch:lap "references"
  return true
end

---Which of n calls are looked at, anywhere after the warm-up: those of the contents in `new`.
function trials.choose(new, warmup, n)
  local audited = {}
  for _ = 1, math.min(#new, n - warmup, MOST_LOOKED_AT) do
    local at
    repeat
      at = math.random(warmup + 1, n)
    until not audited[at]
    audited[at] = table.remove(new)
  end
  return audited
end

-- The calls shared out among the trials, in the order in which they came: the median of each.
local function medians_of(seconds, count)
  local medians, n = {}, #seconds
  for i = 1, count do
    local first, last = (i - 1) * n // count + 1, i * n // count
    if last >= first then
      medians[#medians + 1] = statistics.median(table.move(seconds, first, last, 1, {}))
    end
  end
  return medians
end

-- How wide the interval of the middle time is (nil for few calls), and how wide it may be.
local function interval_of(seconds)
  local low, high = statistics.median_interval(seconds, CONFIDENCE)
  return low and high - low, math.max(2 * PRECISION * statistics.median(seconds), TICK)
end

-- Whether more calls, `most` in all, would not make the middle time known: it is, since its interval is narrow or three
-- trials and more agree; or it scatters so much that it would not be with all of them, for the interval shrinks with
-- the root of their number.
local function is_settled(seconds, count, most)
  local width, allowed = interval_of(seconds)
  if width and width <= allowed then return true end
  local medians = medians_of(seconds, count)
  local spread = math.max(table.unpack(medians)) - math.min(table.unpack(medians))
  if #medians >= 3 and spread <= allowed / 2 then return true end
  return width and #seconds >= TELLING and width * math.sqrt(#seconds / most) > allowed
end

-- Whether the calls have taken so long that more of them are not worth it; `started`: when they began, on the clock, or
-- false where the first of them had to compile.
local function is_enough(run, started)
  local since = started and clock.now() - started or 0
  return math.max(statistics.sum(run.seconds), since) > MOST_SECONDS
end

-- Look at the chosen calls of a request: a verdict where it ends all. Draws are only looked at one by one here.
local function audit(of, work, run, cases, reply)
  local started = clock.now()
  local auditor = run.evaluator
  if work.evaluator.same_inputs then auditor = evaluate.new(work.definition, work.settings) end
  local verdict = calls.look_at(of, work, work.contents, cases, reply, auditor)
  of.watch:lap "audits"
  of.audited = of.audited + clock.now() - started
  run.audits, run.judged = run.audits + #cases, run.judged + reply.judged
  return verdict
end

-- Make `wanted` more timed calls, in as many requests as the memory asks for; or nil, a verdict or why, code.
local function time_more(of, work, run, wanted, warmup)
  local made, room = work.contents, calls.capacity(of, work.contents)
  while wanted > 0 do
    local first = math.min(warmup, math.max(1, room - 1))
    local n = math.min(wanted, math.max(1, room - first)) + first
    if #run.new == 0 then
      local ok, why = add_new(of, work, run)
      if not ok then return nil, why, "REFERENCE" end
    end
    local reply, cases, code = calls.make(of, made, run, n, trials.choose(run.new, first, n), first)
    if not reply then return nil, cases, code end
    if #reply.seconds ~= n - first then
      return nil, "refused: it reported other times than calls", "RUNTIME_ERROR"
    end
    local verdict = audit(of, work, run, cases, reply)
    if verdict then return nil, verdict, "VERDICT" end
    table.move(reply.seconds, 1, #reply.seconds, #run.seconds + 1, run.seconds)
    run.odd = math.min(run.odd or math.huge, doubt.unexplained(of, made, run, reply, n))
    run.last, warmup, wanted = reply, 1, wanted - #reply.seconds
  end
  return true
end

-- Seconds from a call to its end, host and device: what it takes of a run.
local function whole_seconds(run) return statistics.median(run.seconds) + statistics.median(run.last.host) end

-- Timed calls to begin with, of all trials.
local function first_calls(run, settings)
  local seconds, first = run.worker.call_seconds, FIRST
  if seconds and seconds < SHORT_SECONDS then first = FIRST_SHORT end
  if seconds and seconds > LONG_SECONDS then first = FIRST_LONG end
  return settings.num_trials * math.min(first, settings.iterations)
end

-- Warm-up calls: as many as the settings say, but fewer long ones of a process that is warm from other workloads.
local function warm_ups_for(run, settings)
  local wanted, seconds = settings.warmup_runs, run.worker.call_seconds
  if seconds then wanted = math.min(wanted, math.max(LEAST_WARM_UPS, math.floor(WARM_SECONDS / seconds))) end
  return math.max(1, wanted)
end

---Time the calls of a workload: run.seconds has their times. Nil, and a verdict or why, and a code ("VERDICT",
---"REFERENCE", or a worker's) where that came to an end.
function trials.time(of, work, run)
  local why, code, ok
  run.seconds = {}
  run.new, why = new_contents(of, work)
  if not run.new then return nil, why, "REFERENCE" end
  run.drawn = #run.new
  local settings = work.settings
  local most = settings.iterations * settings.num_trials
  local wanted, warmup = first_calls(run, settings), warm_ups_for(run, settings)
  local started = run.worker.call_seconds and clock.now()
  repeat
    ok, why, code = time_more(of, work, run, math.max(wanted, #run.new), warmup)
    if not ok then return nil, why, code end
    wanted, warmup = math.min(#run.seconds, most - #run.seconds), 1
  until wanted <= 0
    or run.evaluator.failed
    or is_settled(run.seconds, settings.num_trials, most)
    or is_enough(run, started)
  run.worker.call_seconds = whole_seconds(run)
  return true
end

---How well the middle time is known, as a share of it: half the interval at 95 %; nil where there were too few calls.
function trials.uncertainty(run)
  local width = interval_of(run.seconds)
  local middle = statistics.median(run.seconds)
  return width and middle > 0 and width / 2 / middle or nil
end

---The mean of the trials' medians, in seconds.
function trials.latency(run, count) return statistics.mean(medians_of(run.seconds, count)) end

return trials
