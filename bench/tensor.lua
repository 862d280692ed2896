--- Elementwise operations and reductions on 256 MiB, against torch on the CPU with as many threads.
local fs = require "hone.fs"
local json = require "hone.json"
local now = require("hone.core.process").now
local process = require "hone.process"
local tensor = require "hone.tensor"

local PYTHON = "build/testenv/bin/python"
local ROWS, COLUMNS = 8192, 8192 -- of float32: 256 MiB
local REPEATS = 5

-- What is timed: the label, ours of x, y (float32) and b (x as bfloat16), torch's of the same.
local CASES = {
  { "x + y", function(x, y) return x + y end, "x + y" },
  { "x * 2", function(x) return x * 2.0 end, "x * 2.0" },
  { "x:add_(0)", function(x) return nil, x:add_(0.0) end, "x.add_(0.0)" },
  { "x + a row", function(x, y) return x + y[1] end, "x + y[0]" },
  { "x:gt(y)", function(x, y) return x:gt(y) end, "x > y" },
  { "exp", function(x) return x:exp() end, "x.exp()" },
  { "log", function(_, y) return y:log() end, "y.log()" },
  { "sin", function(x) return x:sin() end, "x.sin()" },
  { "tanh", function(x) return x:tanh() end, "x.tanh()" },
  { "sigmoid", function(x) return x:sigmoid() end, "x.sigmoid()" },
  { "silu", function(x) return x:silu() end, "torch.nn.functional.silu(x)" },
  { "rsqrt", function(_, y) return y:rsqrt() end, "y.rsqrt()" },
  { "float32 to bfloat16", function(x) return x:to "bfloat16" end, "x.bfloat16()" },
  { "bfloat16 to float32", function(_, _, b) return b:to "float32" end, "b.float()" },
  { "float32 to float8_e4m3fn", function(x) return x:to "float8_e4m3fn" end, "x.to(torch.float8_e4m3fn)" },
  { "bfloat16 + bfloat16", function(_, _, b) return b + b end, "b + b" },
  { "clone", function(x) return x:clone() end, "x.clone()" },
  { "copy of the transposed", function(x) return x:t():contiguous() end, "x.t().contiguous()" },
  { "fill_", function(x) return nil, x:fill_(0.5) end, "x.fill_(0.5)" },
  { "sum", function(x) return x:sum() end, "x.sum()" },
  { "sum of columns", function(x) return x:sum(1) end, "x.sum(0)" },
  { "sum of rows", function(x) return x:sum(2) end, "x.sum(1)" },
  { "max", function(x) return x:max() end, "x.max()" },
  { "argmax of rows", function(x) return x:argmax(2) end, "x.argmax(1)" },
  { "var of rows", function(x) return x:var(2) end, "x.var(1)" },
  { "logsumexp of rows", function(x) return x:logsumexp(2) end, "x.logsumexp(1)" },
  { "softmax of rows", function(x) return x:softmax(2) end, "x.softmax(1)" },
  { "softmax of columns", function(x) return x:softmax(1) end, "x.softmax(0)" },
  { "cumsum of rows", function(x) return x:cumsum(2) end, "x.cumsum(1)" },
  { "cumsum of columns", function(x) return x:cumsum(1) end, "x.cumsum(0)" },
  { "sum of bfloat16", function(_, _, b) return b:sum() end, "b.sum()" },
}

local SCRIPT = [[
import json, sys, time
import torch
threads, repeats, rows, columns = map(int, sys.argv[1:5])
torch.set_num_threads(threads)
x = torch.linspace(-3, 3, rows * columns).view(rows, columns)
y = x.abs() + 0.5
b = x.bfloat16()
def least(f):
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - start)
    return best
for text in sys.argv[5:]:
    print(json.dumps(least(eval("lambda: " + text))))
]]

-- Seconds of each case in torch, one after the other in one process.
local function torch_seconds()
  local dir <close> = assert(fs.tempdir("hone-bench-"))
  local path = fs.join(dir.path, "against_torch.py")
  assert(fs.write(path, SCRIPT))
  local command =
    { PYTHON, path, tostring(tensor.threads()), tostring(REPEATS), tostring(ROWS), tostring(COLUMNS) }
  for _, case in ipairs(CASES) do
    command[#command + 1] = case[3]
  end
  local result = assert(process.run(command))
  assert(result.status == 0, result.stderr)
  local seconds = {}
  for line in result.stdout:gmatch("%S+") do
    seconds[#seconds + 1] = json.decode(line)
  end
  return seconds
end

local function least(f, ...)
  local best = math.huge
  for _ = 0, REPEATS do
    local start = now()
    local result = f(...)
    best = math.min(best, now() - start)
    if result then result:close() end
  end
  return best
end

local function run(report)
  if not fs.is_file(PYTHON) then return report("no torch here: tools/deps.sh test", nil) end
  local theirs = torch_seconds()
  local x = tensor.linspace(-3, 3, ROWS * COLUMNS):view(ROWS, COLUMNS)
  local y, b = x:abs() + 0.5, x:to "bfloat16"
  for i, case in ipairs(CASES) do
    local ours = least(case[2], x, y, b)
    report(case[1], ours / theirs[i], ("hone %.1f ms, torch %.1f ms"):format(ours * 1e3, theirs[i] * 1e3))
  end
end

return { name = ("tensor, %d threads"):format(tensor.threads()), run = run }
