--- Tensors on a GPU: what moves memory against a device-to-device copy of as many bytes, products against
--- torch, and what one operation costs the host against torch.add.
local cuda = require "hone.cuda"
local now = require("hone.core.process").now
local process = require "hone.process"
local tensor = require "hone.tensor"

local ROWS, COLUMNS = 16384, 16384 -- of float32: 1 GiB
local GIB = ROWS * COLUMNS * 4
local REPEATS = 20
local PEERS = "spec/gpu/tensor_peers.py"
local GPU = { device = "cuda:0" }

local function time(f)
  local result = assert(cuda.time(f, { cold = false, min_samples = REPEATS, max_time = 1 }))
  return result.median
end

-- ---- what moves memory -------------------------------------------------------------------------------

-- Label, bytes that are read and written, and the work on x, y (float32), b (bfloat16) and out (float32).
local MOVES = {
  { "copy", 2 * GIB, function(t) t.out:copy_(t.x) end },
  { "fill", GIB, function(t) t.out:fill_(0.5) end },
  { "x + y", 3 * GIB, function(t) return t.x + t.y end },
  { "x * 2", 2 * GIB, function(t) return t.x * 2.0 end },
  { "x:add_(y)", 3 * GIB, function(t) t.out:add_(t.y) end },
  { "x + a row", 2 * GIB, function(t) return t.x + t.row end },
  { "x + a column", 2 * GIB, function(t) return t.x + t.column end },
  { "bfloat16 + bfloat16", 3 * GIB // 2, function(t) return t.b + t.b2 end },
  { "exp", 2 * GIB, function(t) return t.x:exp() end },
  { "silu of bfloat16", GIB, function(t) return t.b:silu() end },
  { "gt", GIB * 9 // 4, function(t) return t.x:gt(t.y) end },
  { "where", GIB * 13 // 4, function(t) return tensor.where(t.mask, t.x, t.y) end },
  { "float32 to bfloat16", GIB * 3 // 2, function(t) return t.x:to "bfloat16" end },
  { "bfloat16 to float32", GIB * 3 // 2, function(t) return t.b:to "float32" end },
  { "float32 to float16", GIB * 3 // 2, function(t) return t.x:to "float16" end },
  { "bfloat16 to float8_e4m3fn", GIB * 3 // 4, function(t) return t.b:to "float8_e4m3fn" end },
  { "float8_e4m3fn to bfloat16", GIB * 3 // 4, function(t) return t.small:to "bfloat16" end },
  { "transpose of float32", 2 * GIB, function(t) return t.x:t():contiguous() end },
  { "transpose of bfloat16", GIB, function(t) return t.b:t():contiguous() end },
  {
    "[64, 2048, 2048] to [2048, 64, 2048]",
    2 * GIB,
    function(t) return t.x:view(64, 2048, 2048):transpose(1, 2):contiguous() end,
  },
}

local function make_tensors()
  local x = tensor.linspace(-3, 3, COLUMNS, GPU):expand(ROWS, COLUMNS):contiguous()
  local y = x:abs() + 0.5
  local b = x:to "bfloat16"
  return {
    x = x,
    y = y,
    out = x:clone(),
    row = y[1],
    column = y:narrow(2, 1, 1):contiguous(),
    b = b,
    b2 = b:clone(),
    mask = x:gt(0),
    small = b:to "float8_e4m3fn",
  }
end

local function bench_moves(report)
  local t = make_tensors()
  local copied = cuda.alloc(2 * GIB)
  local from = assert(cuda.alloc(2 * GIB))
  local rate = 4 * GIB / time(function() copied:copy(from) end)
  report("cuMemcpyDtoD of 2 GiB", nil, ("%.2f TB/s"):format(rate / 1e12))
  copied:free()
  from:free()
  for _, case in ipairs(MOVES) do
    local label, bytes, work = table.unpack(case)
    local seconds = time(function()
      local made <close> = work(t) -- luacheck: ignore 211
    end)
    report(
      label,
      seconds / (bytes / rate),
      ("%.0f us, %.2f TB/s"):format(seconds * 1e6, bytes / seconds / 1e12)
    )
  end
end

-- ---- against torch -----------------------------------------------------------------------------------

local function matrices(dtype, ...)
  local a, b = tensor.randn(...), tensor.randn(...)
  return a:to(GPU):to(dtype), b:to(GPU):to(dtype)
end

local function setup(dtype, shape, transform)
  local one = ("torch.randn(%s, device='cuda')%s.to(torch.%s)"):format(shape, transform or "", dtype)
  return ("a = %s; b = %s"):format(one, one)
end

-- Label, our operands, our call, torch's setup and expression, and its operations.
local function products()
  local list = {}
  for _, size in ipairs { 4096, 8192 } do
    for _, dtype in ipairs { "bfloat16", "float16", "float32" } do
      list[#list + 1] = {
        ("%s matmul of %d"):format(dtype, size),
        function() return matrices(dtype, size, size) end,
        function(a, b) return a:matmul(b) end,
        setup(dtype, ("%d, %d"):format(size, size)),
        "a @ b",
        2 * size ^ 3,
      }
    end
    list[#list + 1] = {
      ("float8_e4m3fn matmul of %d, b transposed"):format(size),
      function() return matrices("float8_e4m3fn", size, size) end,
      function(a, b) return a:matmul(b:t()) end,
      setup("float8_e4m3fn", ("%d, %d"):format(size, size)) .. "; one = torch.ones((), device='cuda')",
      "torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.float32)",
      2 * size ^ 3,
    }
  end
  for _, dtype in ipairs { "bfloat16", "float32" } do
    list[#list + 1] = {
      ("%s bmm of 64 times 1024"):format(dtype),
      function() return matrices(dtype, 64, 1024, 1024) end,
      function(a, b) return a:bmm(b) end,
      setup(dtype, "64, 1024, 1024"),
      "torch.bmm(a, b)",
      2 * 64 * 1024 ^ 3,
    }
  end
  list[#list + 1] = {
    "bfloat16 [128, 4096] by a weight [14336, 4096]",
    function()
      local a, b = matrices("bfloat16", 14336, 4096)
      return a:narrow(1, 1, 128), b
    end,
    function(a, b) return a:matmul(b:t()) end,
    setup("bfloat16", "14336, 4096") .. "; a = a[:128]",
    "a @ b.t()",
    2 * 128 * 14336 * 4096,
  }
  return list
end

-- Microseconds of torch for each { ..., [4] = setup, [5] = expression }, "-" where it cannot.
local function torch_times(list)
  local lines = {}
  for i, case in ipairs(list) do
    lines[i] = case[4] .. "\t" .. case[5] .. "\n"
  end
  local result = process.run { "python3", PEERS, tostring(REPEATS), input = table.concat(lines) }
  local times = {}
  for word in (result and result.stdout or ""):gmatch "%S+" do
    times[#times + 1] = tonumber(word) or false
  end
  return times
end

-- torch's before and ours: the chip's clocks fall under such loads, so the lesser of two rounds counts.
local function bench_products(report)
  local list = products()
  local theirs = torch_times(list)
  for i, again in ipairs(torch_times(list)) do
    theirs[i] = theirs[i] and again and math.min(theirs[i], again)
  end
  for i, case in ipairs(list) do
    local a, b = case[2]()
    local function multiply()
      local made <close> = case[3](a, b) -- luacheck: ignore 211
    end
    local seconds = math.min(time(multiply), time(multiply))
    a:close()
    b:close()
    collectgarbage()
    local detail = ("%.0f us, %.0f TFLOP/s"):format(seconds * 1e6, case[6] / seconds / 1e12)
    if theirs[i] then detail = detail .. (", torch %.0f us"):format(theirs[i]) end
    report(case[1], theirs[i] and seconds * 1e6 / theirs[i], detail)
  end
end

-- ---- the host ----------------------------------------------------------------------------------------

local SCRIPT = [[
import time, torch
x = torch.ones(32, device="cuda")
out = torch.empty_like(x)
def cost(f):
    best = 1e9
    for _ in range(40):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(512): f()
        best = min(best, (time.perf_counter() - start) / 512)
    return best * 1e6
print(cost(lambda: torch.add(x, x, out=out)), cost(lambda: x + x), cost(lambda: x.view(4, 8).t()))
]]

local function host_us(f)
  local best = math.huge
  for _ = 1, 40 do
    assert(cuda.synchronize())
    local start = now()
    for _ = 1, 512 do
      f()
    end
    best = math.min(best, (now() - start) / 512)
  end
  return best * 1e6
end

local function bench_host(report)
  local x = tensor.ones(32, GPU)
  local out = tensor.empty_like(x)
  local result = process.run { "python3", "-c", SCRIPT }
  local in_place, fresh, view = (result and result.stdout or ""):match "(%S+) (%S+) (%S+)"
  local rows = {
    { "add into a tensor", host_us(function() out:add_(x) end), in_place },
    {
      "x + x, a new tensor",
      host_us(function()
        local sum <close> = x + x -- luacheck: ignore 211
      end),
      fresh,
    },
    { "view and transpose", host_us(function() return x:view(4, 8):t() end), view },
  }
  for _, row in ipairs(rows) do
    local theirs = tonumber(row[3])
    local detail = ("%.2f us, torch %.2f us"):format(row[2], theirs or 0 / 0)
    report("host: " .. row[1], theirs and row[2] / theirs, detail)
  end
end

local function run(report)
  local ok, why = cuda.available()
  if not ok then return report("no GPU here: " .. why, nil) end
  bench_moves(report)
  bench_products(report)
  bench_host(report)
end

return { name = "tensors on a GPU", run = run }
