#!/usr/bin/env hone
--- RMSNorm fused into one kernel, against the same in tensor operations:
--- hone examples/fused_rmsnorm.lua [ROWS] [HIDDEN]
local cuda = require "hone.cuda"
local tensor = require "hone.tensor"

local EPSILON = 1e-6

local available, why = cuda.available()
if not available then
  io.stderr:write("no GPU: ", why, "\n")
  os.exit(1)
end

local rows, hidden = math.tointeger(arg[1] or 4096), math.tointeger(arg[2] or 4096)
if not rows or not hidden or rows < 1 or hidden < 8 or hidden % 8 ~= 0 then
  io.stderr:write("usage: hone examples/fused_rmsnorm.lua [ROWS] [HIDDEN, a multiple of 8]\n")
  os.exit(2)
end

-- A block has a row, a thread eight neighbours at a time: 16 bytes. The row is read twice, the second
-- time out of the cache.
local THREADS = 256
local kernel = assert(assert(cuda.compile [[
  #include <cuda_bf16.h>

  struct alignas(16) eight { __nv_bfloat16 x[8]; };

  __device__ float sum_of_block(float value) {
    __shared__ float of_warp[32];
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; warp++) sum += of_warp[warp];
    return sum;
  }

  extern "C" __global__ void rmsnorm(const eight *x, const eight *weight, eight *out, int hidden, float epsilon) {
    int count = hidden / 8;
    x += (size_t)blockIdx.x * count;
    out += (size_t)blockIdx.x * count;
    float squares = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      eight v = x[i];
      for (int k = 0; k < 8; k++) squares += float(v.x[k]) * float(v.x[k]);
    }
    float scale = rsqrtf(sum_of_block(squares) / hidden + epsilon);
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      eight v = x[i], w = weight[i];
      for (int k = 0; k < 8; k++) v.x[k] = __float2bfloat16(float(v.x[k]) * scale * float(w.x[k]));
      out[i] = v;
    }
  }
]]):kernel "rmsnorm")

-- The definition, an operation after another, each reading and writing memory.
local function rmsnorm(x, weight)
  local wide = x:to "float32"
  local scale = ((wide * wide):mean(-1, true) + EPSILON):rsqrt()
  return (wide * scale * weight:to "float32"):to "bfloat16"
end

tensor.manual_seed(1)
local x = tensor.randn(rows, hidden, { dtype = "bfloat16" }):to "cuda:0"
local weight = tensor.randn(hidden, { dtype = "bfloat16" }):to "cuda:0"
local out = tensor.empty_like(x)
local fused = assert(kernel:bind { grid = rows, block = THREADS, x, weight, out, hidden, EPSILON })

assert(fused())
local seen = tensor.compare(out:to "cpu", rmsnorm(x, weight):to "cpu", { rtol = 1e-2, atol = 1e-2 })
print(
  ("%d x %d: %.4f %% of the elements match, at most %.3g apart"):format(
    rows,
    hidden,
    seen.matched_ratio * 100,
    seen.max_absolute_error
  )
)
if seen.mismatches > 0 then os.exit(1) end

local bytes = 2 * rows * hidden * 2 -- read once, written once
local function report(label, work)
  local time = assert(cuda.time(work, { bytes = bytes, max_time = 1 }))
  print(("%-18s %9.2f us %8.0f GB/s"):format(label, time.median * 1e6, time.bytes_per_second / 1e9))
  return time.median
end

local one = report("one kernel", fused)
local many = report("tensor operations", function()
  local made <close> = rmsnorm(x, weight) -- luacheck: ignore 211
end)
print(("%.1f times as fast"):format(many / one))
