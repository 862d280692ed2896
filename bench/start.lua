--- The time from a command to its end, for a chunk that does nothing.
local process = require "hone.process"
local clock = require("hone.core.terminal").clock

local RUNS = 20

local function once(program)
  local started = clock()
  assert(process.run { program, "-e", "" })
  return clock() - started
end

local function median(times)
  table.sort(times)
  return (times[#times // 2] + times[#times // 2 + 1]) / 2
end

-- The two take turns, so that what else the machine does meets both.
local function run(report)
  local ours, theirs = {}, {}
  for i = 1, RUNS do
    ours[i] = once(require("hone.paths").exe)
    theirs[i] = once("lua5.4")
  end
  local mine, other = median(ours), median(theirs)
  report(
    "hone -e '' against lua5.4 -e ''",
    mine / other,
    ("%.2f ms against %.2f ms, median of %d"):format(mine * 1e3, other * 1e3, RUNS)
  )
end

return { name = "start", run = run }
