--- Sorting, selecting and indexing on a GPU: against torch, and rows that are moved against a
--- device-to-device copy of as many bytes.
local cuda = require "hone.cuda"
local process = require "hone.process"
local tensor = require "hone.tensor"

local PEERS = "spec/gpu/sort_peers.py"
local REPEATS = 20
local GPU = { device = "cuda:0" }

local function time(f)
  local result = assert(cuda.time(f, { cold = false, min_samples = REPEATS, max_time = 1 }))
  return result.median
end

-- Label, our operands, our call; torch's call is the one of that name in the peers' script.
local CASES = {
  { "sort of 64 x 129280 float32", { 64, 129280 }, function(t) return t:sort() end },
  { "topk 50 of 64 x 129280 float32", { 64, 129280 }, function(t) return t:topk(50) end },
  { "topk 1000 of 64 x 129280 float32", { 64, 129280 }, function(t) return t:topk(1000) end },
  { "sort of 16 Mi float32", { 1 << 24 }, function(t) return t:sort() end },
  { "topk 100 of 16 Mi float32", { 1 << 24 }, function(t) return t:topk(100) end },
  { "sort of 1 Mi x 32 float32", { 1 << 20, 32 }, function(t) return t:sort() end },
  { "sort of 4096 x 4096 float32", { 4096, 4096 }, function(t) return t:sort() end },
  { "unique of 1 Mi x 4 int64", "integers", function(t) return t:unique() end },
  { "nonzero of 16 Mi bools", "flags", function(t) return t:nonzero() end },
  { "index_add_ of 16384 x 4096 float32", "adding", function(t) t[1]:index_add_(1, t[2], t[3]) end },
}

local function random(...) return tensor.rand(...):to(GPU):sub(0.5) end

local function operands(kind)
  if kind == "integers" then return tensor.randint(0, 100000, { 1 << 22 }):to(GPU) end
  if kind == "flags" then return tensor.rand(1 << 24):to(GPU):gt(0.5) end
  if kind == "adding" then
    return { random(2048, 4096), tensor.randint(0, 2048, { 16384 }):to(GPU), random(16384, 4096) }
  end
  return random(table.unpack(kind))
end

-- Microseconds of torch, by label.
local function torch_times()
  local result = process.run { "python3", PEERS, tostring(REPEATS) }
  local times = {}
  for label, figure in (result and result.stdout or ""):gmatch "([^\t\n]+)\t([%d.]+)\n" do
    times[label] = tonumber(figure)
  end
  return times
end

local function close_all(...)
  for _, made in ipairs { ... } do
    made:close()
  end
end

local function bench_order(report)
  local theirs = torch_times()
  for _, case in ipairs(CASES) do
    local label, kind, work = table.unpack(case)
    local t = operands(kind)
    local us = time(function() close_all(work(t)) end) * 1e6
    local detail = ("%.0f us"):format(us)
    if theirs[label] then detail = detail .. (", torch %.0f us"):format(theirs[label]) end
    report(label, theirs[label] and us / theirs[label], detail)
    t = nil -- luacheck: ignore 311
    collectgarbage()
  end
end

-- Rows of 16 KiB, and elements that lie as they are asked for.
local function bench_moves(report)
  local rows, columns = 65536, 4096
  local t = random(rows, columns)
  local index = tensor.randperm(rows):to(GPU)
  local along = tensor.arange(columns):to(GPU):flip(1):expand(rows // 4, columns):contiguous()
  local to, from = assert(cuda.alloc(1 << 30)), assert(cuda.alloc(1 << 30))
  local rate = (2 << 30) / time(function() to:copy(from) end)
  to:free()
  from:free()
  local moves = {
    { "index_select of rows of 16 KiB", 2 << 30, function() return t:index_select(1, index) end },
    { "rows by index", 2 << 30, function() return t[index] end },
    { "gather along rows", rows // 4 * columns * 16, function() return t:gather(2, along) end },
  }
  for _, move in ipairs(moves) do
    local seconds = time(function() close_all(move[3]()) end)
    local detail = ("%.0f us, %.2f TB/s"):format(seconds * 1e6, move[2] / seconds / 1e12)
    report(move[1] .. ", against a copy", seconds / (move[2] / rate), detail)
  end
end

local function run(report)
  local ok, why = cuda.available()
  if not ok then return report("no GPU here: " .. why, nil) end
  bench_order(report)
  bench_moves(report)
end

return { name = "order and indices on a GPU", run = run }
