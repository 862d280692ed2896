--- Several processes read a folder's dumps: what comes of it is what one alone finds.
local calls, convert = require "hone.workloads.calls", require "hone.workloads.convert"
local collect = require "hone.workloads.collect"
local dump = require "hone.workloads.dump"
local fs = require "hone.fs"
local json = require "hone.json"
local log_dumps = require "support.log_dumps"
local ops = require "hone.ops"
local process = require "hone.process"
local readers = require "hone.workloads.readers"

-- 800 dumps of two processes and three objects: steps of one plan and many runs, so that plans lie in other portions
-- than their runs; runs that nobody planned; dumps that are torn, plans among them.
local LOG = [[
import random
draw = random.Random(3)
logs = [Log(sys.argv[1], pid=41), Log(sys.argv[1], pid=42)]
cache = Tensor("bfloat16", [40, 1, 8, 128])
def runs(log, batch, count, object):
    for _ in range(count):
        log.call(DECODE + ".run", Tensor("bfloat16", [batch, 32, 128]), (cache, cache), self_id=object)
def tear(folder):
    open(folder + "/metadata.jsonl", "w").write('{"function_name": "torn')
made = 0
while made < 800:
    log, object = draw.choice(logs), draw.randint(1, 3)
    other = logs[0] if log is logs[1] else logs[1]
    log.time = max(log.time, other.time)
    batch, count = draw.randint(1, 6), draw.choice([1, 1, 2, 3, 30])
    if draw.random() < 0.9:
        planned = log.decode([draw.randint(1, 12) for _ in range(batch)], self_id=object, runs=0, seed=made)
        if draw.random() < 0.1:
            tear(planned)
    runs(log, batch, count, object)
    made += count + 1
    if draw.random() < 0.3:
        folders = sorted(os.listdir(sys.argv[1]))
        tear(os.path.join(sys.argv[1], folders[-draw.randint(1, min(20, len(folders)))]))
]]

describe("readers of dumps", function()
  local dir, dumps, definition

  setup(function()
    dir = assert(fs.tempdir())
    dumps = fs.join(dir.path, "dumps")
    log_dumps(dumps, LOG)
    local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
    definition = assert(ops.build("gqa_paged", "decode", sizes, { models = { "m" } }))
  end)
  teardown(function() dir:remove() end)

  -- What is found and written with that many processes, as text.
  local function outcome(processes, max_workloads)
    local root <close> = assert(fs.tempdir())
    local report = assert(collect.from_dumps(dumps, { definition }, {
      root = root.path,
      max_workloads = max_workloads,
      max_per_axes = 2,
      processes = processes,
    }))
    local one = report.definitions[1]
    local written = fs.read(one.path)
    one.path = nil
    return json.encode(report, { indent = 1 }), written, report
  end

  it("find and write the same, however many they are", function()
    local alone, written, report = outcome(0, 20)
    local one = report.definitions[1]

    assert.is_true(#one.kept == 20 and one.calls > 400 and #report.broken > 3)
    assert.is_true(one.refused["no plan() that can be read comes before it in its process"].count > 10)
    for _, processes in ipairs { 1, 3 } do
      local found, lines = outcome(processes, 20)
      assert.equal(alone, found)
      assert.equal(written, lines)
    end
  end)

  it("look at no more calls than are wanted, at the same ones", function()
    local alone, _, report = outcome(0, 1)
    assert.is_true(report.left_out > 0)
    assert.equal(alone, (outcome(3, 1)))
  end)

  it("go on where a process ends before its time", function()
    local job = calls.job(dumps, { assert(convert.target(definition)) })
    local names = assert(dump.list(dumps))
    local function read(count, kill)
      local reading <close> = readers.start(job, names, count, {
        copies = function() end,
        needed = function() return math.huge end,
      })
      if kill then assert(reading.children[2]:kill "SIGKILL") end
      local found = {}
      for _, findings in reading:portions() do
        found[#found + 1] = json.encode(json.array(findings))
      end
      return found, reading.problem
    end
    local alone = read(0)
    assert.is_true(#alone >= 5)
    local found, problem = read(2, true)
    assert.same(alone, found)
    assert.equal("a process that read dumps ended (SIGKILL): its part was read by another", problem)
  end)

  it("find the same in PyTorch's format, which one Python copies for all of them", function()
    if process.run({ "python3", "-c", "import safetensors, torch" }).status ~= 0 then
      return pending "no Python with torch and safetensors"
    end
    local alone, written = outcome(0, 20)
    assert(process.run {
      "python3",
      "-c",
      [[
import os, sys, torch
from safetensors.torch import load_file
for name in os.listdir(sys.argv[1]):
    path = os.path.join(sys.argv[1], name, "inputs")
    torch.save(load_file(path + ".safetensors"), path + ".pt")
    os.remove(path + ".safetensors")
]],
      dumps,
      check = true,
    })
    for _, processes in ipairs { 0, 3 } do
      local found, lines = outcome(processes, 20)
      assert.equal(alone, found)
      assert.equal(written, lines)
    end
  end)

  it("are none where a folder is soon read", function()
    assert.equal(0, readers.count(100))
    assert.is_true(readers.count(100000) >= 1)
  end)
end)
