-- What making inputs takes beyond the inputs themselves.
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
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
  it("take no more than themselves while FP8 weights are made, so that weights of gigabytes fit", function()
    forget_peak()
    local before = peak_kib()
    local weights = drawn("float8_e4m3fn", { ELEMENTS })
    local taken = (peak_kib() - before) * 1024
    assert.equal(ELEMENTS, weights:numel())
    assert.is_true(taken < ELEMENTS + 32 * MIB, ("%d MiB were taken"):format(taken // MIB))
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

  local EXPERTS, ROWS, COLUMNS = 64, 1024, 1030
  local definition = {
    name = "experts",
    op_type = "novel",
    axes = json.object {
      { "e", { type = "const", value = EXPERTS } },
      { "n", { type = "const", value = ROWS } },
      { "k", { type = "const", value = COLUMNS } },
    },
    inputs = json.object { { "weights", { shape = { "e", "n", "k" }, dtype = "bfloat16" } } },
  }

  it("can be windows of one run, which is hardly more than one matrix", function()
    forget_peak()
    local before = peak_kib()
    local weights = assert(inputs.make(definition, { windows = true }))[1].value
    local taken = (peak_kib() - before) * 1024
    assert.same({ EXPERTS, ROWS, COLUMNS }, weights:shape())
    assert.is_true(taken < EXPERTS * ROWS * COLUMNS // 4, ("%d MiB were taken"):format(taken // MIB))
    local first = weights[1]
    for e = 2, EXPERTS, 9 do -- what is equal is so by chance, as among 2^8 often drawn numbers
      assert.is_true(weights[e]:eq(first):to("float32"):mean():item() < 0.02)
      local moved = weights[{ e, { 1, ROWS - 4 } }] -- nor is it the same rows in other places
      for by = 1, 4 do
        local other = first[{ { 1 + by, ROWS - 4 + by } }]
        assert.is_true(moved:eq(other):to("float32"):mean():item() < 0.02)
      end
    end
    assert.has_error(function() weights:zero_() end)
  end)

  it("that wait to be widened leave nothing behind once they were read", function()
    local weights, x = drawn("bfloat16", { 2048, 2050 }), drawn("float64", { 2050 })
    local wide = 2048 * 2050 * 8
    forget_peak()
    local before, mode = peak_kib(), tensor._later "everywhere"
    for _ = 1, 16 do
      assert.equal(2048, weights:to("float64"):matmul(x):numel())
    end
    tensor._later(mode)
    local taken = (peak_kib() - before) * 1024
    assert.is_true(taken < 8 * wide, ("%d MiB were taken"):format(taken // MIB))
  end)
end)
