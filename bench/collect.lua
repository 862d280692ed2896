--- Dumps to workloads, against the public script on the same dumps. HONE_DUMPS says how many (1,000 by default),
--- HONE_SANITIZE names flashinfer-bench's scripts/sanitize_dumps.py.
local fs = require "hone.fs"
local json = require "hone.json"
local ops = require "hone.ops"
local process = require "hone.process"

-- Decode steps of mixed sizes, half a megabyte each: the caches are most of it, and nobody needs them.
local GENERATE = [[
import random, sys
sys.path.insert(0, "spec/support")
from flashinfer_dumps import *
log, draw = Log(sys.argv[1]), random.Random(1)
for i in range(int(sys.argv[2]) // 2):
    lengths = [draw.randint(1, 64) for _ in range(draw.randint(1, 64))]
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

local function peak_of(command)
  local result = assert(process.run { "/usr/bin/time", "-f", "%e %M", table.unpack(command) })
  local seconds, kilobytes = result.stderr:match "([%d.]+) (%d+)%s*$"
  assert(result.status == 0 and seconds, result.stderr)
  return tonumber(seconds), tonumber(kilobytes) / 1e3
end

local function run(report)
  local count = tonumber(os.getenv "HONE_DUMPS" or 1000)
  local dir <close> = assert(fs.tempdir "hone-bench-")
  local dumps = fs.join(dir.path, "dumps")
  assert(process.run { "python3", "-c", GENERATE, dumps, tostring(count), check = true })
  local label = ("%d dumps to workloads"):format(count)
  local ours, our_peak = peak_of {
    require("hone.paths").exe,
    "collect-workloads",
    "--model-name",
    "llama-3.1-8b",
    "--all",
    "--from-dumps",
    dumps,
    "--local",
    dataset(dir, "ours"),
    "--no-submit-pr",
  }
  local detail = ("hone %.2f s, %.0f MB"):format(ours, our_peak)
  local script = os.getenv "HONE_SANITIZE"
  if not script then
    return report(label, nil, detail .. "; HONE_SANITIZE names no script to compare with")
  end
  local root = dataset(dir, "theirs")
  local theirs, their_peak = peak_of {
    "python3",
    script,
    "--dump-dir",
    dumps,
    "--op-type",
    "gqa_paged",
    "--flashinfer-trace-dir",
    root,
  }
  report(label, ours / theirs, ("%s; sanitize_dumps.py %.2f s, %.0f MB"):format(detail, theirs, their_peak))
end

return { name = "dumps", run = run }
