--- Dumps to workloads, against the public script on the same dumps, and several readers against one on dumps that are on
--- the disk only. HONE_DUMPS says how many dumps (1,000 by default; 10,000 are 5 GB), HONE_SANITIZE names
--- flashinfer-bench's scripts/sanitize_dumps.py, HONE_FLASHINFER_BENCH a checkout that has it.
local fs = require "hone.fs"
local json = require "hone.json"
local ops = require "hone.ops"
local process = require "hone.process"
local calls, readers = require "hone.workloads.calls", require "hone.workloads.readers"

-- Decode steps of mixed sizes, half a megabyte each: the caches are most of it, and nobody needs them.
local GENERATE = [[
import random, sys
sys.path.insert(0, "spec/support")
from flashinfer_dumps import *
log, draw = Log(sys.argv[1]), random.Random(1)
for i in range(int(sys.argv[2]) // 2):
    lengths = [draw.randint(1, 28) for _ in range(draw.randint(1, 28))]
    log.decode(lengths, seed=i, sm_scale=0.08838834764831843)
]]

local function definition()
  local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
  return assert(ops.build("gqa_paged", "decode", sizes, { models = { "llama-3.1-8b" } }))
end

local function dataset(dir, name)
  local root = fs.join(dir.path, name)
  local made = definition()
  assert(fs.mkdir(fs.join(root, "definitions/gqa_paged")))
  assert(json.write(fs.join(root, "definitions/gqa_paged", made.name .. ".json"), made))
  return root
end

-- A process and all that it started.
local function family(pid)
  local list = { pid }
  for child in (fs.read(("/proc/%d/task/%d/children"):format(pid, pid)) or ""):gmatch "%d+" do
    local its = family(math.tointeger(tonumber(child)))
    table.move(its, 1, #its, #list + 1, list)
  end
  return list
end

-- The memory of a process and of all that it started, what they share counted once.
local function megabytes_of(pid)
  local kilobytes = 0
  for _, one in ipairs(family(pid)) do
    local told = fs.read(("/proc/%d/smaps_rollup"):format(one)) or ""
    kilobytes = kilobytes + (tonumber(told:match "\nPss:%s*(%d+)") or 0)
  end
  return kilobytes / 1e3
end

-- Wall time and processor time in seconds, and the most memory that was seen.
local function measure(command)
  local timed = { "/usr/bin/time", "-f", "%e %U %S", table.unpack(command) }
  local child <close> = assert(process.start(timed))
  local most = 0
  while not child:wait(0.01) do
    most = math.max(most, megabytes_of(child.pid))
  end
  local result = child:wait()
  local wall, user, system = result.stderr:match "([%d.]+) ([%d.]+) ([%d.]+)%s*$"
  assert(result.status == 0 and wall, result.stderr)
  return { wall = tonumber(wall), cpu = user + system, memory = most }
end

local function best(count, run)
  local least
  for _ = 1, count do
    local one = run()
    if not least or one.cpu < least.cpu then least = one end
  end
  return least
end

local function text(one)
  return ("%.2f s, %.2f s of processors, %.0f MB"):format(one.wall, one.cpu, one.memory)
end

local function ours(dir, dumps, round)
  local root = dataset(dir, "ours" .. round)
  local words =
    { "--model-name", "llama-3.1-8b", "--all", "--from-dumps", dumps, "--local", root, "--no-submit-pr" }
  return measure { require("hone.paths").exe, "collect-workloads", table.unpack(words) }
end

local function script()
  local named, checkout = os.getenv "HONE_SANITIZE", os.getenv "HONE_FLASHINFER_BENCH"
  return named or checkout and fs.join(checkout, "scripts/sanitize_dumps.py")
end

local function against_theirs(report, label, dir, dumps)
  local round = 0
  local one = best(3, function()
    round = round + 1
    return ours(dir, dumps, round)
  end)
  local detail = "hone " .. text(one)
  local path = script()
  if not path then return report(label, nil, detail .. "; HONE_SANITIZE names no script to compare with") end
  local words =
    { "--dump-dir", dumps, "--op-type", "gqa_paged", "--flashinfer-trace-dir", dataset(dir, "theirs") }
  local theirs = measure { "python3", path, table.unpack(words) }
  report(label, one.cpu / theirs.cpu, ("%s; sanitize_dumps.py %s"):format(detail, text(theirs)))
end

-- ---- readers -------------------------------------------------------------------------------------------

-- Take the dumps out of the page cache, as far as anybody may.
local FORGET = [[
import os, sys
os.sync()
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        handle = os.open(os.path.join(folder, name), os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
]]

local function seconds_with(processes, dumps, is_cold)
  local now = require("hone.core.process").now
  if is_cold then assert(process.run { "python3", "-c", FORGET, dumps, check = true }) end
  local job = calls.job(dumps, { assert(require("hone.workloads.convert").target(definition())) })
  local names = assert(require("hone.workloads.dump").list(dumps))
  local started = now()
  local needs = { copies = function() end, needed = function() return math.huge end }
  local reading <close> = readers.start(job, names, processes or readers.count(#names), needs)
  for _ in reading:portions() do -- luacheck: ignore 542
  end
  return now() - started
end

local function several_against_one(report, label, dumps)
  for _, is_cold in ipairs { true, false } do
    local one, several = math.huge, math.huge
    for _ = 1, 3 do
      one = math.min(one, seconds_with(0, dumps, is_cold))
      several = math.min(several, seconds_with(nil, dumps, is_cold))
    end
    local where = is_cold and "from the disk" or "from memory"
    local count = readers.count(#assert(require("hone.workloads.dump").list(dumps)))
    local detail = ("%d readers %.2f s, one %.2f s"):format(count, several, one)
    report(("%s, all read %s"):format(label, where), several / one, detail)
  end
end

local function run(report)
  local count = tonumber(os.getenv "HONE_DUMPS" or 1000)
  local dir <close> = assert(fs.tempdir "hone-bench-")
  local dumps = fs.join(dir.path, "dumps")
  assert(process.run { "python3", "-c", GENERATE, dumps, tostring(count), check = true })
  local label = ("%d dumps to workloads"):format(count)
  against_theirs(report, label, dir, dumps)
  several_against_one(report, label, dumps)
end

return { name = "dumps", run = run }
