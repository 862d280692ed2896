--- How fast a device can be at the best, measured on it: what is faster than this did not do its work.
local clock = require "hone.bench.clock"
local tensor = require "hone.tensor"
local ops = require "hone.ops"

local ceilings = {}

-- Kernels that do nothing but load or multiply reach more than the copies and products measured here.
local MARGIN = 1.3
-- A kernel is started and ended in no less, however little it does.
local LEAST_SECONDS = 0.6e-6
-- Rates of matrix units relative to bfloat16's.
local RELATIVE = { float8_e4m3fn = 2, float8_e5m2 = 2, int8 = 2, float4_e2m1 = 4 }
local BYTES, SIZE, TURNS = 256 << 20, 4096, 5

local measured = {}

-- The least seconds that `work` takes on the device.
local function least(cuda, work)
  local best = math.huge
  for _ = 1, TURNS do
    cuda.synchronize()
    local started = clock.now()
    work()
    cuda.synchronize()
    best = math.min(best, clock.now() - started)
  end
  return best
end

---The ceilings of a GPU: bytes and floating-point operations (bfloat16 products) a second; nil for the CPU, whose
---caches and clocks make no ceiling that holds.
---@return { bytes: number, flops: number }?
function ceilings.of(device)
  if device == "cpu" then return nil end
  if measured[device] then return measured[device] end
  local cuda = require "hone.cuda"
  local from = tensor.empty(BYTES, { dtype = "uint8", device = device })
  local to = tensor.empty_like(from)
  local copy = least(cuda, function() to:copy_(from) end)
  local a = tensor.empty(SIZE, SIZE, { dtype = "bfloat16", device = device }):fill_(1)
  local product = least(cuda, function() a:matmul(a) end)
  measured[device] = { bytes = 2 * BYTES / copy, flops = 2 * SIZE ^ 3 / product }
  return measured[device]
end

---The seconds that a call of a definition takes at the least on a device, 0 where nothing is known. `structure` holds
---the inputs by name.
function ceilings.floor(device, definition, axes, structure)
  local of = ceilings.of(device)
  if not of then return 0.0 end
  local work = ops.work(definition, axes, structure)
  if not work then return LEAST_SECONDS end
  local rate = of.flops * (RELATIVE[work.dtype] or 1)
  local seconds = math.max(work.read / of.bytes, work.flops / rate) / MARGIN
  return math.max(seconds, LEAST_SECONDS)
end

return ceilings
