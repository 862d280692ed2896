-- What making inputs takes beyond the inputs themselves.
local inputs = require "hone.dataset.inputs"
local tensor = require "hone.tensor"

local ELEMENTS = 1 << 25
local MIB = 1 << 20

local function peak_kib()
  local file <close> = assert(io.open "/proc/self/status")
  return math.tointeger(file:read("a"):match "VmHWM:%s*(%d+)")
end

-- The kernel takes the present size for the peak from here on.
local function forget_peak()
  collectgarbage()
  local file = io.open("/proc/self/clear_refs", "w")
  if not file then return pending "the peak of memory cannot be reset here" end
  file:write "5"
  file:close()
end

local function drawn(dtype, sizes) return inputs.random({ dtype = dtype }, sizes, tensor.generator(5)) end

describe("random inputs", function()
  it("hold at most one float32 copy while FP8 weights are made, so that weights of gigabytes fit", function()
    forget_peak()
    local before = peak_kib()
    local weights = drawn("float8_e4m3fn", { ELEMENTS })
    local taken = (peak_kib() - before) * 1024
    assert.equal(ELEMENTS, weights:numel())
    assert.is_true(taken < 5 * ELEMENTS + 32 * MIB, ("%d MiB were taken"):format(taken // MIB))
  end)

  it("let go of what they were made from", function()
    forget_peak()
    local kept = {}
    local before = peak_kib()
    for i = 1, 4 do
      kept[i] = drawn("bfloat16", { ELEMENTS })
    end
    local taken = (peak_kib() - before) * 1024
    assert.equal(4 * ELEMENTS, kept[1]:numel() + kept[2]:numel() + kept[3]:numel() + kept[4]:numel())
    assert.is_true(taken < (4 * 2 + 4) * ELEMENTS + 32 * MIB, ("%d MiB were taken"):format(taken // MIB))
  end)

  it("are the same values as float32 ones, brought within 2 for FP8", function()
    local wide = drawn("float32", { 37, 130 })
    for _, dtype in ipairs { "bfloat16", "float16", "float64" } do
      assert.is_true(drawn(dtype, { 37, 130 }):eq(wide:to(dtype)):all():item())
    end
    local small = drawn("float8_e4m3fn", { 37, 130 }):to "float32"
    assert.is_true(small:eq(wide:clamp(-2, 2):to("float8_e4m3fn"):to "float32"):all():item())
    assert.equal(2, small:max():item())
  end)
end)
