--- A second opinion on the worker's clock, which a solution shares a process with: what the judge saw go by must be
--- explained by what the worker says.
local calls = require "hone.bench.calls"
local slots = require "hone.bench.slots"
local statistics = require "hone.bench.statistics"

local doubt = {}

-- Seconds that a call may take beyond what the worker says of it: to be made ready, flushed and kept.
local BASE = { native = 1e-3, python = 2e-3, lua = 2e-3 }
local FLUSHED = { cpu = 0.5e9, cuda = 20e9 } -- bytes a second, at the least
local SHARE = 3 -- of what it says
local CONFIRMATIONS, CONFIRMING_CALLS = 3, 100

---Seconds of a call, of the n of a request, that this process saw go by and that the worker's times do not explain; 0
---where that is usual.
function doubt.unexplained(of, made, run, reply, n)
  local device = of.device == "cpu" and "cpu" or "cuda"
  local told = statistics.sum(reply.host) / n
  if device == "cuda" then told = told + statistics.sum(reply.seconds) / #reply.seconds end
  local seen = reply.judged / n
  local usual = BASE[run.artefact.worker] + slots.bytes(made.values) / FLUSHED[device]
  return seen - told > usual + SHARE * told and seen - told or 0.0
end

---Whether the worker's clock can be believed: nil, or why not; nil, why and a code where calls fail. Where this process
---saw much more time go by in every request (run.odd), many calls are made at once, so that what comes once a request
---does not count.
function doubt.of(of, work, run)
  if run.odd == 0 then return nil end
  local made, least = work.contents, math.huge
  for _ = 1, CONFIRMATIONS do
    local n = math.min(CONFIRMING_CALLS, calls.capacity(of, made))
    local reply, why, code = calls.make(of, made, run, n, {}, 1)
    if not reply then return nil, why, code end
    least = math.min(least, doubt.unexplained(of, made, run, reply, n))
    if least == 0 then return nil end
  end
  return ("a call took %.3g ms that its clock does not tell of"):format(least * 1e3)
end

return doubt
