--- Matrix products on the CPU, against PyTorch with as many threads in the same run.
local fs = require "hone.fs"
local now = require("hone.core.process").now -- processor time of several threads would add up
local process = require "hone.process"
local tensor = require "hone.tensor"

local PYTHON = "build/testenv/bin/python"
local SIZE = 2048
local ROUNDS = 15
local DTYPES = { "float32", "bfloat16" }

-- Prints the least seconds of a product for each dtype: SIZE ROUNDS THREADS DTYPE...
local THEIRS = [[
import sys, time, torch
size, rounds, threads = map(int, sys.argv[1:4])
torch.set_num_threads(threads)
for name in sys.argv[4:]:
    a, b = (torch.randn(size, size).to(getattr(torch, name)) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    print(best)
]]

local function our_seconds(dtype)
  local a, b = tensor.randn(SIZE, SIZE, dtype), tensor.randn(SIZE, SIZE, dtype)
  local best = math.huge
  for _ = 1, ROUNDS do
    local start = now()
    local product <close> = a:matmul(b) -- luacheck: ignore 211
    best = math.min(best, now() - start)
  end
  return best
end

local function their_seconds()
  if not fs.exists(PYTHON) then return nil end
  local words = { PYTHON, "-c", THEIRS, tostring(SIZE), tostring(ROUNDS), tostring(tensor.threads()) }
  table.move(DTYPES, 1, #DTYPES, #words + 1, words)
  local result = assert(process.run(words))
  local seconds = {}
  for line in result.stdout:gmatch("%S+") do
    table.insert(seconds, tonumber(line))
  end
  return seconds
end

local function describe(ours, theirs)
  local text = ("hone %.1f ms, %.0f GFLOP/s"):format(ours * 1e3, 2 * SIZE ^ 3 / ours / 1e9)
  return theirs and text .. (", torch %.1f ms"):format(theirs * 1e3) or text .. ", no " .. PYTHON
end

local function run(report)
  local theirs = their_seconds()
  for i, dtype in ipairs(DTYPES) do
    local ours, torch = our_seconds(dtype), theirs and theirs[i]
    report(
      ("%s matmul of %d, %d threads"):format(dtype, SIZE, tensor.threads()),
      torch and ours / torch,
      describe(ours, torch)
    )
  end
end

return { name = "matmul", run = run }
