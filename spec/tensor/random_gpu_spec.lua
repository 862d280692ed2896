--- Random numbers on a GPU have the bits of those on the CPU; comparisons count alike.
local cuda = require "hone.cuda"
local tensor = require "hone.tensor"

local GPU = { device = "cuda:0" }
local FLOATS = { "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2" }
local ALL =
  { "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool" }
local COUNTS = { 0, 1, 3, 4, 17, 1000003 }

local function on_gpu(name, f)
  it(name .. " #gpu", function()
    if not cuda.available() then return pending "no GPU" end
    f()
  end)
end

local function assert_same_bits(expected, got, what)
  local there = got:to "cpu"
  assert.same(expected:shape(), there:shape(), what)
  assert.equal(expected.dtype, there.dtype, what)
  assert.is_true(expected:bytes() == there:bytes(), what)
end

-- The same draw into tensors on either, and into one whose elements lie apart.
local function assert_draws_alike(dtype, what, draw)
  for _, n in ipairs(COUNTS) do
    local options = { dtype = dtype, device = "cpu" }
    local cpu = tensor.zeros(n, options)
    local gpu = tensor.zeros(n, { dtype = dtype, device = "cuda:0" })
    local g, h = tensor.generator(-7), tensor.generator(-7)
    g:set_offset(1 << 33)
    h:set_offset(1 << 33)
    draw(cpu, g)
    draw(gpu, h)
    assert_same_bits(cpu, gpu, ("%s %s of %d"):format(dtype, what, n))
    assert.equal(g:offset(), h:offset())
  end
  local cpu, gpu = tensor.zeros(64, 50):to(dtype), tensor.zeros(64, 50):to(dtype):to(GPU)
  draw(cpu:t(), tensor.generator(3))
  draw(gpu:t(), tensor.generator(3))
  assert_same_bits(cpu, gpu, dtype .. " " .. what .. ", transposed")
  draw(cpu:view(-1):narrow(1, 2, 999), tensor.generator(4))
  draw(gpu:view(-1):narrow(1, 2, 999), tensor.generator(4))
  assert_same_bits(cpu, gpu, dtype .. " " .. what .. ", at an odd address")
end

describe("random numbers on a GPU", function()
  on_gpu("are the CPU's floats", function()
    for _, dtype in ipairs(FLOATS) do
      assert_draws_alike(dtype, "uniform", function(t, g) t:uniform_(-2, 3.5, g) end)
      assert_draws_alike(dtype, "normal", function(t, g) t:normal_(1, 2, g) end)
      assert_draws_alike(dtype, "exponential", function(t, g) t:exponential_(0.7, g) end)
    end
  end)

  on_gpu("are the CPU's as inputs of every float type", function()
    local inputs = require "hone.dataset.inputs"
    for _, dtype in ipairs(FLOATS) do
      local cpu = inputs.random({ dtype = dtype }, { 1003, 37 }, tensor.generator(5))
      local gpu = inputs.random({ dtype = dtype }, { 1003, 37 }, tensor.generator(5), "cuda:0")
      assert_same_bits(cpu, gpu, dtype)
    end
  end)

  on_gpu("are the CPU's integers and coins", function()
    for _, dtype in ipairs(ALL) do
      local high = dtype == "bool" and 2 or 100
      assert_draws_alike(dtype, "integers", function(t, g) t:random_(0, high, g) end)
      assert_draws_alike(dtype, "coins", function(t, g) t:bernoulli_(0.3, g) end)
    end
    assert_draws_alike("int64", "wide integers", function(t, g) t:random_(-(1 << 62), 1 << 62, g) end)
  end)

  on_gpu("are the CPU's coins with a probability each", function()
    for _, dtype in ipairs { "float64", "float32", "float16", "bfloat16" } do
      local p = tensor.rand(1003, { generator = tensor.generator(5) }):to(dtype)
      local there = p:to(GPU)
      assert_same_bits(p:bernoulli(tensor.generator(1)), there:bernoulli(tensor.generator(1)), dtype)
    end
    assert.has_error(
      function() tensor.full({ 3 }, 1.5, GPU):bernoulli() end,
      "1.5 is not a probability from 0 to 1"
    )
  end)

  on_gpu("permute as the CPU does", function()
    for _, n in ipairs { 0, 1, 2, 1000, 300001 } do
      local expected = tensor.randperm(n, { generator = tensor.generator(n) })
      local got = tensor.randperm(n, { generator = tensor.generator(n), device = "cuda:0" })
      assert_same_bits(expected, got, "randperm " .. n)
    end
  end)

  on_gpu("choose as the CPU does", function()
    local g = tensor.generator(8)
    for _, shape in ipairs { { 5 }, { 3, 1000 }, { 7, 50257 } } do
      for _, dtype in ipairs { "float32", "bfloat16", "float64" } do
        local w = tensor.rand(table.unpack(shape)):sub(0.2):clamp(0, 1):to(dtype)
        w = w:add(tensor.zeros(1):to(dtype))
        local there = w:to(GPU)
        for _, n in ipairs { 1, 3, 700 } do
          for _, replacement in ipairs { true, false } do
            if replacement or n < shape[#shape] // 2 then
              local seed = g:offset() + n
              local expected = w:multinomial(n, replacement, tensor.generator(seed))
              local got = there:multinomial(n, replacement, tensor.generator(seed))
              local what = ("%s %d of %d, %s"):format(dtype, n, shape[#shape], replacement)
              assert_same_bits(expected, got, what)
            end
          end
        end
      end
    end
  end)

  on_gpu("refuse bad weights as the CPU does", function()
    local lists = {
      { 1, -1, 2 },
      { 1, 0 / 0, 2 },
      { 1, 1 / 0, 2 },
      { 0, 0, 0 },
      { { 1, 2, 3 }, { 0, 0, 0 }, { 1, -2, 3 } },
      { { 1, 2, 3 }, { 0, 1, 0 } },
    }
    for _, list in ipairs(lists) do
      local w = tensor.new(list):to "float32"
      local _, expected = pcall(w.multinomial, w, 2, false)
      local there = w:to(GPU)
      local done, got = pcall(there.multinomial, there, 2, false)
      assert.is_false(done)
      assert.equal(expected, got)
    end
  end)
end)

describe("comparisons on a GPU", function()
  on_gpu("count as on the CPU", function()
    local a = tensor.randn(1000, 777, { generator = tensor.generator(1) })
    local b = a + 0.01
    b[300] = 7
    for _, view in ipairs {
      function(t) return t end,
      function(t) return t:t() end,
      function(t) return t:narrow(2, 2, 700) end,
      function(t) return t:narrow(1, 1, 0) end,
      function(t) return t:narrow(1, 300, 1) end,
    } do
      for _, pair in ipairs {
        { "float32", "float32" },
        { "bfloat16", "float32" },
        { "float16", "float16" },
        { "float64", "float32" },
        { "int32", "int8" },
      } do
        local x, y = view(a):to(pair[1]), view(b):to(pair[2])
        local there = y:to(GPU)
        for _, rtol in ipairs { 0, 0.1 } do
          local tolerances = { rtol = rtol, atol = rtol / 50 }
          assert.same(tensor.compare(x, y, tolerances), tensor.compare(x:to(GPU), there, tolerances))
        end
        assert.equal(
          x:allclose(y, { rtol = 0, atol = 20 }),
          x:to(GPU):allclose(there, { rtol = 0, atol = 20 })
        )
        assert.equal(x:equal(y), x:to(GPU):equal(there))
        assert.is_true(there:equal(y:to(GPU)))
      end
    end
  end)

  on_gpu("know NaN and infinities", function()
    local a = tensor.new { 1, 0 / 0, 1 / 0, -1 / 0, 1 / 0, 0 / 0, 5 }
    local b = tensor.new { 1, 0 / 0, 1 / 0, 1 / 0, 2, 3, 5 }
    local tolerances = { rtol = 0, atol = 0 }
    assert.same(tensor.compare(a, b, tolerances), tensor.compare(a:to(GPU), b:to(GPU), tolerances))
    assert.is_false(a:to(GPU):equal(a:to(GPU)))
    assert.is_true(a:to(GPU):allclose(a:to(GPU), { equal_nan = true }))
  end)
end)
