--- Reductions, softmaxes and running sums on a GPU, against the same on the CPU: every layout that the
-- kernels tell apart, in every dtype.
local cuda = require "hone.cuda"
local tensor = require "hone.tensor"

local GPU = { device = "cuda:0" }
local FLOATS = { "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2" }
local INTEGERS = { "int64", "int32", "int16", "int8", "uint8", "bool" }
-- How far two results may lie apart, over the larger of 1 and the CPU's.
local NEAR = {
  float64 = 1e-11,
  float32 = 2e-6,
  float16 = 2e-3,
  bfloat16 = 1.6e-2,
  float8_e4m3fn = 0.13,
  float8_e5m2 = 0.26,
}

local function on_gpu(name, f)
  it(name .. " #gpu", function()
    if not cuda.available() then return pending "no GPU" end
    f()
  end)
end

-- Views that lie differently in memory; each of few elements, or enough for several blocks to share.
local VIEWS = {
  { "one number", function(t) return t:narrow(1, 8, 1):view() end },
  { "a short vector", function(t) return t:narrow(1, 1, 7) end },
  { "a vector at an odd address", function(t) return t:narrow(1, 4, 100003) end },
  { "rows of 8", function(t) return t:narrow(1, 1, 8 * 1234):view(1234, 8) end },
  { "odd rows", function(t) return t:narrow(1, 2, 77 * 1023):view(77, 1023) end },
  { "long rows", function(t) return t:view(3, 262144 // 2):narrow(1, 1, 2) end },
  { "rows with gaps", function(t) return t:view(96, 4096):narrow(2, 5, 1000) end },
  { "transposed", function(t) return t:view(512, 768):t() end },
  { "every other", function(t) return t:view(384, 512, 2):select(3, 2) end },
  { "three dimensions", function(t) return t:view(16, 192, 128) end },
  { "permuted", function(t) return t:view(64, 96, 64):permute(3, 1, 2) end },
  { "few columns", function(t) return t:view(131072, 3) end },
  { "broadcast", function(t) return t:narrow(1, 1, 300):view(300, 1):expand(300, 50) end },
  { "empty rows", function(t) return t:narrow(1, 1, 0):view(5, 0) end },
  { "no rows", function(t) return t:narrow(1, 1, 0):view(0, 5) end },
}
local COUNT = 393216

local sources = {}

-- Numbers of the dtype with ties, and for floats the strange ones.
local function source(dtype)
  if sources[dtype] then return sources[dtype] end
  local g = tensor.generator(17)
  local is_float = NEAR[dtype] ~= nil
  local t = is_float and tensor.randn(COUNT, { generator = g }):clamp(-3, 3):mul(0.5)
    or tensor.randint(0, 100, { COUNT }, { generator = g })
  t = t:to(dtype)
  sources[dtype] = { t, t:to(GPU) }
  return sources[dtype]
end

local function dims_of(t)
  if t:dim() == 0 then return {} end
  local sets = {}
  for d = 1, t:dim() do
    sets[d] = { d }
  end
  if t:dim() == 3 then
    sets[4], sets[5] = { 1, 3 }, { 2, 3 }
  end
  return sets
end

local function numbers(t) return t:to("cpu"):to "float64" end

local function assert_near(expected, got, tolerance, what)
  assert.same(expected:shape(), got:shape(), what)
  assert.equal(expected.dtype, got.dtype, what)
  if expected:numel() == 0 then return end
  local x, y = numbers(expected), numbers(got)
  assert.is_true(y:allclose(x, { rtol = tolerance, atol = tolerance, equal_nan = true }), what)
end

-- What a call gives on either; both refuse, or neither.
local function assert_alike(dtype, view, method, arguments, tolerance)
  local pair, what = source(dtype), method .. " of " .. dtype .. ", " .. view[1]
  local cpu, gpu = view[2](pair[1]), view[2](pair[2])
  local expected = table.pack(pcall(cpu[method], cpu, table.unpack(arguments)))
  local got = table.pack(pcall(gpu[method], gpu, table.unpack(arguments)))
  assert.equal(expected[1], got[1], what .. ": " .. tostring(expected[2]) .. " / " .. tostring(got[2]))
  if not expected[1] then return end
  for i = 2, expected.n do
    assert_near(expected[i], got[i], tolerance, what)
  end
end

local function each_view(dtype, method, makes, tolerance)
  for _, view in ipairs(VIEWS) do
    local t = view[2](source(dtype)[1])
    for _, arguments in ipairs(makes(t)) do
      assert_alike(dtype, view, method, arguments, tolerance)
    end
  end
end

local function over_dims(t)
  local calls = { {} }
  for _, dims in ipairs(dims_of(t)) do
    calls[#calls + 1] = { dims }
  end
  calls[#calls + 1] = { dims_of(t)[1], true }
  return calls
end

local function over_one(t)
  local calls = {}
  for d = 1, t:dim() do
    calls[d] = { d }
  end
  return calls
end

local function both(t)
  local calls = over_one(t)
  calls[#calls + 1] = {}
  return calls
end

describe("reductions on a GPU", function()
  for _, dtype in ipairs(FLOATS) do
    on_gpu("fold " .. dtype, function()
      for _, method in ipairs { "sum", "mean", "norm", "var", "amax", "amin", "any", "all", "logsumexp" } do
        -- Both add neighbours up in float32 first, not the same ones.
        each_view(dtype, method, over_dims, math.max(NEAR[dtype], dtype == "float32" and 5e-5 or 0))
      end
    end)

    on_gpu("find extremes of " .. dtype, function()
      for _, method in ipairs { "argmax", "argmin" } do
        each_view(dtype, method, both, 0)
      end
      each_view(dtype, "max", over_one, 0)
      each_view(dtype, "min", over_one, 0)
    end)

    on_gpu("take softmaxes and running sums of " .. dtype, function()
      each_view(dtype, "softmax", over_one, NEAR[dtype])
      each_view(dtype, "log_softmax", over_one, NEAR[dtype])
      if dtype ~= "float8_e4m3fn" and dtype ~= "float8_e5m2" then
        each_view(dtype, "cumsum", over_one, NEAR[dtype] * 4)
      end
    end)
  end

  for _, dtype in ipairs(INTEGERS) do
    on_gpu("fold and scan " .. dtype, function()
      for _, method in ipairs { "sum", "prod", "amax", "amin", "any", "all" } do
        each_view(dtype, method, over_dims, 0)
      end
      each_view(dtype, "argmax", both, 0)
      each_view(dtype, "argmin", both, 0)
      each_view(dtype, "cumsum", over_one, 0)
      each_view(dtype, "cumprod", over_one, 0)
    end)
  end

  on_gpu("give another dtype", function()
    local t = source("bfloat16")
    for _, dtype in ipairs { "float32", "float64", "int64" } do
      local how = { 1, dtype = dtype }
      assert_near(t[1]:view(256, 1536):sum(how), t[2]:view(256, 1536):sum(how), 1e-5, dtype)
    end
    local how = { dtype = "float32" }
    local cpu, gpu = t[1]:view(256, 1536), t[2]:view(256, 1536)
    assert_near(cpu:softmax(2, how), gpu:softmax(2, how), 2e-6, "softmax to float32")
  end)

  on_gpu("know NaN, infinities and rows of one number", function()
    local list = { 0 / 0, 1 / 0, -1 / 0, 0.0, -0.0, 3.0, 3.0, -2.5 }
    local rows = tensor.new {
      list,
      { 1, 2, 3, 4, 4, 3, 2, 1 },
      { -1 / 0, -1 / 0, -1 / 0, -1 / 0, -1 / 0, -1 / 0, -1 / 0, -1 / 0 },
      { 1 / 0, 1, 2, 1 / 0, 0, 0, 0, 0 },
      { -1000, -1001, -1000.5, -1002, -1003, -1 / 0, -1000, -1004 },
      { 5, 5, 5, 5, 5, 5, 5, 5 },
    }
    local there = rows:to(GPU)
    for dim = 1, 2 do
      for _, method in ipairs {
        "amax",
        "amin",
        "sum",
        "logsumexp",
        "any",
        "all",
        "argmax",
        "argmin",
        "softmax",
        "log_softmax",
        "cumsum",
        "cumprod",
        "var",
      } do
        assert_near(rows[method](rows, dim), there[method](there, dim), 2e-6, method .. " over " .. dim)
      end
    end
  end)

  on_gpu("give the same bits in every run", function()
    local t = tensor.randn(3, 1000003):to(GPU)
    local first = t:sum(2):tolist()
    for _ = 1, 5 do
      assert.same(first, t:sum(2):tolist())
    end
  end)

  on_gpu("hold rows of any length for a softmax", function()
    for _, n in ipairs { 1, 31, 256, 1000, 4096, 8192, 16384, 32768, 50257, 65536, 129280, 262144, 300000 } do
      for _, dtype in ipairs { "float32", "bfloat16" } do
        local t = tensor.randn(2, n):mul(3):to(dtype)
        local there = t:to(GPU)
        for _, method in ipairs { "softmax", "log_softmax" } do
          local expected, got = t[method](t, 2), there[method](there, 2)
          assert_near(expected, got, NEAR[dtype], method .. " of " .. n)
        end
      end
    end
  end)

  on_gpu("count beyond 2^31", function()
    local n = (1 << 31) + 1001
    local t = tensor.ones(n, { dtype = "int8", device = "cuda:0" })
    t:narrow(1, n - 2, 1):fill_(5)
    assert.equal(n + 4, t:sum():item())
    assert.equal(n - 3, t:argmax():item())
    assert.equal(5, t:amax():item())
    local rows = t:narrow(1, 1, n - 1001):view(-1, 2)
    assert.equal((1 << 30), rows:sum(2):eq(2):sum():item())
    assert.same({ 1 << 30, 1 << 30 }, rows:sum(1):tolist())
    local total = t:cumsum(1)
    assert.equal(n + 4, total:narrow(1, n, 1):item())
    assert.equal(1 << 31, total:narrow(1, 1 << 31, 1):item())
    total:close()
    local u = t:clone()
    u:narrow(1, n, 1):fill_(9)
    assert.is_false(t:equal(u))
    u:random_(0, 100, tensor.generator(1))
    local tail = u:narrow(1, n - 6, 7):to "cpu"
    u:random_(0, 100, tensor.generator(1))
    assert.same(tail:tolist(), u:narrow(1, n - 6, 7):tolist())
  end)
end)
