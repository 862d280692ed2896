#!/usr/bin/env hone
--- How much of a multiprocessor a kernel occupies, by threads and shared memory of a block:
--- hone examples/occupancy.lua [FILE.cu KERNEL]
local cuda = require "hone.cuda"

local SHARED_KIB = { 0, 8, 16, 32, 48, 64, 96, 128, 192 }
local THREADS = { 32, 64, 128, 192, 256, 384, 512, 768, 1024 }

local available, why = cuda.available()
if not available then
  io.stderr:write("no GPU: ", why, "\n")
  os.exit(1)
end

-- What there is to look at without a file: a thread that holds 8 x 8 sums of a product needs registers.
local SOURCE = [[
  extern "C" __global__ void outer_products(const float *a, const float *b, float *out, int n) {
    float sums[8][8] = {}, x[8], y[8];
    for (int k = 0; k < n; k++) {
      for (int i = 0; i < 8; i++) x[i] = a[(k * blockDim.x + threadIdx.x) * 8 + i];
      for (int i = 0; i < 8; i++) y[i] = b[(k * gridDim.x + blockIdx.x) * 8 + i];
      for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) sums[i][j] += x[i] * y[j];
    }
    for (int i = 0; i < 8; i++)
      for (int j = 0; j < 8; j++) out[((blockIdx.x * blockDim.x + threadIdx.x) * 8 + i) * 8 + j] = sums[i][j];
  }
]]

local function open_kernel(file, name)
  local module, kernel, problem
  if file then
    module, problem = cuda.compile_file(file)
  else
    module, problem = cuda.compile(SOURCE)
  end
  if module then
    kernel, problem = module:kernel(name or "outer_products")
  end
  if kernel then return kernel end
  io.stderr:write(problem, "\n")
  os.exit(1)
end

if #arg == 1 or #arg > 2 then
  io.stderr:write("usage: hone examples/occupancy.lua [FILE.cu KERNEL]\n")
  os.exit(2)
end
local kernel = open_kernel(arg[1], arg[2])
local needs, device = assert(kernel:attributes()), cuda.devices()[cuda.device() + 1]
print(("%s on %s"):format(kernel:name(), device.name))
print(
  ("%d registers and %d bytes of local memory a thread, %d bytes of shared memory a block"):format(
    needs.registers,
    needs.local_bytes,
    needs.shared_bytes
  )
)

-- "3 37%": three blocks at once, which have 37 % of the threads that there could be.
local function cell(threads, shared)
  local blocks, share = kernel:occupancy(threads, shared)
  if not blocks or blocks == 0 then return "-" end
  return ("%d %3.0f%%"):format(blocks, share * 100)
end

local headers, rows = { "threads" }, {}
for i, kib in ipairs(SHARED_KIB) do
  headers[i + 1] = kib .. " KiB"
end
for i, threads in ipairs(THREADS) do
  rows[i] = { tostring(threads) }
  for k, kib in ipairs(SHARED_KIB) do
    rows[i][k + 1] = threads <= needs.max_threads and cell(threads, kib * 1024) or "-"
  end
end
print("\nblocks on a multiprocessor, and the share of its threads, by shared memory of a block:\n")
require("hone.table").print(rows, { headers = headers })
local threads, blocks = assert(kernel:best_block())
print(("\n%d threads a block occupy most; %d blocks of them fill the device"):format(threads, blocks))
