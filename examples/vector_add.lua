--- Add two vectors on the GPU, in a kernel that is compiled here: hone examples/vector_add.lua [N]
local cuda = require "hone.cuda"

local n = tonumber(arg[1]) or 1 << 20

local available, why = cuda.available()
if not available then
  io.stderr:write("no GPU: ", why, "\n")
  os.exit(1)
end

local add = assert(assert(cuda.compile [[
  extern "C" __global__ void add(const float *x, const float *y, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i] + y[i];
  }
]]):kernel "add")

-- A vector on the device: i * by for i from 0.
local function ramp(by)
  local values = {}
  for i = 1, n do
    values[i] = string.pack("<f", (i - 1) * by)
  end
  return assert(assert(cuda.alloc(4 * n)):write(table.concat(values)))
end

local x, y, out = ramp(1), ramp(2), assert(cuda.alloc(4 * n))
local launch = assert(add:bind { grid = (n + 255) // 256, block = 256, x, y, out, n })
assert(launch())

local last = string.unpack("<f", out:read(4 * n - 4, 4))
print(("the last of %d sums is %g, and should be %g"):format(n, last, 3.0 * (n - 1)))

local time = assert(cuda.time(launch, { bytes = 12 * n }))
print(
  ("%.2f us (median of %d; %s), %.0f GB/s on %s"):format(
    time.median * 1e6,
    time.count,
    time.reason,
    time.bytes_per_second / 1e9,
    cuda.devices()[cuda.device() + 1].name
  )
)
