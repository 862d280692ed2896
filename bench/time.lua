--- The timer: against the kernels' own clock and against CUPTI, and against itself.
local cuda = require "hone.cuda"

local RUNS = 20

local SPIN = [[
extern "C" __global__ void spin(unsigned long long nanoseconds, unsigned long long *took) {
  unsigned long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); while (now - start < nanoseconds);
  *took = now - start;
}
extern "C" __global__ void nothing() {}
]]

local function microseconds(seconds) return ("%.3f us"):format(seconds * 1e6) end

-- The mean of what the kernel says of itself: its clock has a grain, too.
local function own_time(launch, took)
  local sum = 0
  for _ = 1, RUNS do
    assert(launch())
    sum = sum + string.unpack("<i8", took:read()) * 1e-9
  end
  return sum / RUNS
end

local function report_body(report, label, launch, took, options)
  options.body = true
  local body, why = cuda.time(launch, options)
  if not body then return report(label .. ", its body", nil, why) end
  local own = own_time(launch, took)
  report(
    label .. ", its body against its own clock",
    body.median / own,
    ("%s, own %s, %d samples: %s"):format(
      microseconds(body.median),
      microseconds(own),
      body.count,
      body.reason
    )
  )
end

local function report_cupti(report, label, launch, cold)
  local timed = assert(cuda.time(launch, { cold = cold }))
  local cupti, why = cuda.time(launch, { cold = cold, clock = "cupti", max_samples = 200 })
  report(
    label .. " against CUPTI",
    cupti and timed.median / cupti.median,
    ("%s by %s, CUPTI %s; by events %s, to within %s"):format(
      microseconds(timed.median),
      timed.clock,
      cupti and microseconds(cupti.median) or why,
      microseconds(timed.by_events or timed.median),
      microseconds(timed.resolution)
    )
  )
end

local function report_kernel(report, label, launch, took)
  for _, cold in ipairs { true, false } do
    local labelled = ("%s, %s"):format(label, cold and "cold" or "warm")
    if took then report_body(report, labelled, launch, took, { cold = cold }) end
    report_cupti(report, labelled, launch, cold)
  end
end

local function report_repeats(report, launch)
  local medians = {}
  for i = 1, RUNS do
    medians[i] = assert(cuda.time(launch)).median
  end
  local s = require("hone.core.cuda").summary(medians, 0.95)
  report(
    ("the median of %d runs: its deviation"):format(RUNS),
    nil,
    ("%s, %.2f %%"):format(microseconds(s.median), s.stddev / s.mean * 100)
  )
end

local function run(report)
  local available, why = cuda.available()
  if not available then return report("no GPU", nil, why) end
  local m = assert(cuda.compile(SPIN))
  local spin, nothing, took = assert(m:kernel "spin"), assert(m:kernel "nothing"), assert(cuda.alloc(8))
  report_kernel(report, "an empty kernel", nothing:bind { grid = 1, block = 1 })
  for _, duration in ipairs { 2, 10, 100 } do
    local launch = spin:bind { grid = 1, block = 1, duration * 1000, took }
    report_kernel(report, ("a kernel of %d us"):format(duration), launch, took)
  end
  report_repeats(report, spin:bind { grid = 1, block = 1, 10000, took })
end

return { name = "time", run = run }
