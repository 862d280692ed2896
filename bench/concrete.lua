--- What running Python costs beside the tensors: operations on one element, against torch on the same source.
local concrete = require "hone.python.concrete"
local fs = require "hone.fs"
local now = require("hone.core.process").now
local process = require "hone.process"
local tensor = require "hone.tensor"

local PYTHON = "build/testenv/bin/python"
local ROUNDS, REPEATS = 5000, 5
local OPERATIONS = 18 -- of torch, in a round

local SOURCE = [[
import torch
import torch.nn.functional as F


@torch.no_grad()
def run(x, places, rounds):
    for i in range(rounds):
        y = x + 1.0
        y = y * x
        y = torch.exp(y)
        s = y.sum(dim=-1, keepdim=True)
        z = y / s
        w = z[0:1]
        v = w.unsqueeze(0).to(torch.float32)
        u = torch.matmul(v, v.t())
        a = F.silu(u) - x[0]
        if i % 2 == 0:
            b = a.squeeze(0)
        c = torch.cat([a.view(1), x], dim=0)
        d = torch.softmax(c, dim=-1)
        e = places[0].item()
    return d
]]

local DRIVER = [[
import sys, time, torch
torch.set_num_threads(1)
names = {}
exec(sys.argv[1], names)
x, places, best = torch.ones(1) * 0.5, torch.tensor([3]), float("inf")
for _ in range(int(sys.argv[3]) + 1):
    start = time.perf_counter()
    names["run"](x, places, int(sys.argv[2]))
    best = min(best, time.perf_counter() - start)
print(best)
]]

local function our_seconds()
  local source = assert(concrete.load(SOURCE, { name = "source" }))
  local x, places, best = tensor.full({ 1 }, 0.5), tensor.new { 3 }, math.huge
  for _ = 0, REPEATS do
    local start = now()
    assert(source:call("run", x, places, ROUNDS))
    best = math.min(best, now() - start)
  end
  return best
end

local function run(report)
  if not fs.is_file(PYTHON) then return report("no torch here: tools/deps.sh test", nil) end
  local command = { PYTHON, "-c", DRIVER, SOURCE, ROUNDS, REPEATS }
  local result = assert(process.run(command))
  assert(result.status == 0, result.stderr)
  local ours, theirs = our_seconds(), tonumber(result.stdout)
  local each = 1e6 / ROUNDS / OPERATIONS
  report(
    "an operation on one element",
    ours / theirs,
    ("hone %.2f us, torch %.2f us"):format(ours * each, theirs * each)
  )
end

return { name = "references on the CPU", run = run }
