--- Reductions, comparisons and random numbers on a GPU: what reads much memory against a device-to-device
-- copy of as many bytes, the rest against torch.
local cuda = require "hone.cuda"
local process = require "hone.process"
local tensor = require "hone.tensor"

local ROWS, COLUMNS = 16384, 16384 -- of float32: 1 GiB
local GIB = ROWS * COLUMNS * 4
local REPEATS = 20
local PEERS = "spec/gpu/tensor_peers.py"
local GPU = { device = "cuda:0" }

local function close(...)
  for i = 1, select("#", ...) do
    local made = select(i, ...)
    if tensor.is_tensor(made) then made:close() end
  end
end

local function time(f)
  local options = { cold = false, min_samples = REPEATS, max_time = 1 }
  return assert(cuda.time(function() close(f()) end, options)).median
end

-- ---- against a copy ----------------------------------------------------------------------------------

-- Label, bytes that are read and written, and the work on x (float32) and b (bfloat16, as many bytes).
local READS = {
  { "sum", GIB, function(t) return t.x:sum() end },
  { "sum of rows", GIB, function(t) return t.x:sum(2) end },
  { "sum of columns", GIB, function(t) return t.x:sum(1) end },
  { "sum of bfloat16", GIB, function(t) return t.b:sum() end },
  { "sum of bfloat16 rows of 64", GIB, function(t) return t.b:view(-1, 64):sum(2) end },
  { "sum of bfloat16 columns", GIB, function(t) return t.b:sum(1) end },
  { "sum of the middle dimension", GIB, function(t) return t.x:view(256, 256, 4096):sum(2) end },
  { "mean of rows of 8", GIB, function(t) return t.x:view(-1, 8):mean(2) end },
  { "max", GIB, function(t) return t.x:max() end },
  { "max of bfloat16", GIB, function(t) return t.b:max() end },
  { "argmax", GIB, function(t) return t.x:argmax() end },
  { "argmax of rows", GIB, function(t) return t.x:argmax(2) end },
  { "argmax of bfloat16 rows", GIB, function(t) return t.b:argmax(2) end },
  { "max of rows, with places", GIB, function(t) return t.x:max(2) end },
  { "var of rows", GIB, function(t) return t.x:var(2) end },
  { "logsumexp of rows", GIB, function(t) return t.x:logsumexp(2) end },
  { "softmax", 2 * GIB, function(t) return t.x:softmax(2) end },
  { "softmax of bfloat16", 2 * GIB, function(t) return t.b:softmax(2) end },
  { "softmax of rows of 1024", 2 * GIB, function(t) return t.x:view(-1, 1024):softmax(2) end },
  { "softmax of rows of 129280", 2 * GIB, function(t) return t.vocabulary:softmax(2) end },
  { "log_softmax", 2 * GIB, function(t) return t.x:log_softmax(2) end },
  { "softmax of columns", 2 * GIB, function(t) return t.x:softmax(1) end },
  { "cumsum", 2 * GIB, function(t) return t.x:cumsum(2) end },
  { "cumsum of columns", 2 * GIB, function(t) return t.x:cumsum(1) end },
  { "compare", 2 * GIB, function(t) return tensor.compare(t.x, t.y, { rtol = 0, atol = 0 }) end },
  { "uniform", GIB, function(t) t.y:uniform_() end },
  { "normal", GIB, function(t) t.y:normal_() end },
}

local function make_tensors()
  local x = tensor.linspace(-3, 3, COLUMNS, GPU):expand(ROWS, COLUMNS):contiguous()
  local rows = GIB // 4 // 129280
  return {
    x = x,
    y = x:clone(),
    b = tensor.linspace(-3, 3, 2 * COLUMNS, GPU):to("bfloat16"):expand(ROWS, 2 * COLUMNS):contiguous(),
    vocabulary = x:view(-1):narrow(1, 1, rows * 129280):view(rows, 129280),
  }
end

local function bench_reads(report)
  local copied, from = cuda.alloc(2 * GIB), assert(cuda.alloc(2 * GIB))
  local rate = 4 * GIB / time(function() copied:copy(from) end)
  report("cuMemcpyDtoD of 2 GiB", nil, ("%.2f TB/s"):format(rate / 1e12))
  copied:free()
  from:free()
  local t = make_tensors()
  for _, case in ipairs(READS) do
    local label, bytes, work = table.unpack(case)
    local done, seconds = pcall(time, function() return work(t) end)
    if done then
      local text = ("%.0f us, %.2f TB/s"):format(seconds * 1e6, bytes / seconds / 1e12)
      report(label, seconds / (bytes / rate), text)
    else
      report(label, nil, tostring(seconds))
    end
  end
end

-- ---- against torch -----------------------------------------------------------------------------------

local VOCABULARY = "x = torch.randn(64, 129280, device='cuda'); w = x.softmax(1)"
local SMALL = "x = torch.randn(4096, 8, device='cuda')"

-- Label, our work on x, w (64 x 129280) and small (4096 x 8), torch's setup and expression.
local AGAINST = {
  { "cumsum of 64 x 129280", function(t) return t.x:cumsum(2) end, VOCABULARY, "x.cumsum(1)" },
  { "softmax of 64 x 129280", function(t) return t.x:softmax(2) end, VOCABULARY, "x.softmax(1)" },
  { "argmax of 64 x 129280", function(t) return t.x:argmax(2) end, VOCABULARY, "x.argmax(1)" },
  {
    "multinomial of 64 x 129280",
    function(t) return t.w:multinomial(1) end,
    VOCABULARY,
    "torch.multinomial(w, 1)",
  },
  {
    "multinomial of 64 x 129280, 8 with replacement",
    function(t) return t.w:multinomial(8, true) end,
    VOCABULARY,
    "torch.multinomial(w, 8, replacement=True)",
  },
  { "sum of 4096 rows of 8", function(t) return t.small:sum(2) end, SMALL, "x.sum(1)" },
  { "softmax of 4096 rows of 8", function(t) return t.small:softmax(2) end, SMALL, "x.softmax(1)" },
  { "cumsum of 4096 rows of 8", function(t) return t.small:cumsum(2) end, SMALL, "x.cumsum(1)" },
  { "sum of 32768", function(t) return t.small:sum() end, SMALL, "x.sum()" },
}

local function torch_seconds()
  local lines = {}
  for i, case in ipairs(AGAINST) do
    lines[i] = case[3] .. "\t" .. case[4]
  end
  local input = table.concat(lines, "\n") .. "\n"
  local result = process.run { "python3", PEERS, tostring(REPEATS), input = input, timeout = 300 }
  if not result or result.status ~= 0 then return {} end
  local seconds = {}
  for word in result.stdout:gmatch "%S+" do
    seconds[#seconds + 1] = (tonumber(word) or false) and tonumber(word) / 1e6
  end
  return seconds
end

local function bench_against_torch(report)
  local theirs = torch_seconds()
  local x = tensor.randn(64, 129280):to(GPU)
  local t = { x = x, w = x:softmax(2), small = tensor.randn(4096, 8):to(GPU) }
  for i, case in ipairs(AGAINST) do
    local done, ours = pcall(time, function() return case[2](t) end)
    if not done then
      report(case[1], nil, tostring(ours))
    elseif theirs[i] then
      report(case[1], ours / theirs[i], ("hone %.1f us, torch %.1f us"):format(ours * 1e6, theirs[i] * 1e6))
    else
      report(case[1], nil, ("hone %.1f us, no torch here"):format(ours * 1e6))
    end
  end
end

local function run(report)
  if not cuda.available() then return report("no GPU here", nil) end
  bench_reads(report)
  bench_against_torch(report)
end

return { name = "reductions and random numbers on a GPU", run = run }
