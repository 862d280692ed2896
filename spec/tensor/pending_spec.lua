--- Results that wait: whatever is done with them, they are to the bit what they are when none waits.
local tensor = require "hone.tensor"

local PROGRAMS = tonumber(os.getenv "HONE_PROGRAMS") or 300
local STEPS = 40

local function pick(list) return list[math.random(#list)] end

-- Run f while results wait on `mode`.
local function waiting(mode, f, ...)
  local before = tensor._later(mode)
  local results = table.pack(pcall(f, ...))
  tensor._later(before)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- ---- programs of random steps ----------------------------------------------------------------------

local DTYPES =
  { "float32", "float32", "float32", "bfloat16", "float16", "float64", "int64", "int32", "uint8", "bool" }
local SHAPES =
  { {}, { 1 }, { 4 }, { 3, 4 }, { 1, 4 }, { 3, 1 }, { 2, 3, 4 }, { 2, 1, 4 }, { 600 }, { 5, 130 }, { 0, 4 } }
local BINARY = { "add", "sub", "mul", "div", "maximum", "minimum", "eq", "lt", "ge", "logical_or", "pow" }
local UNARY =
  { "neg", "abs", "exp", "sqrt", "sigmoid", "silu", "square", "floor", "logical_not", "isnan", "rsqrt" }
local NUMBERS = { 0, 1, 2, -1, 0.5, 3.25, true }

local function make(device)
  local shape = pick(SHAPES)
  local t = tensor.randint(-4, 5, shape, { device = device })
  if math.random(2) == 1 then t = t * 0.375 end
  return t:to(pick(DTYPES))
end

local VIEWS = {
  function(t) return t:unsqueeze(math.random(t:dim() + 1)) end,
  function(t) return t:squeeze() end,
  function(t) return t:transpose(1, -1) end,
  function(t) return t:narrow(1, 1, t:size(1) // 2) end,
  function(t) return t:narrow(-1, 2, t:size(-1) - 1) end,
  function(t) return t:select(1, t:size(1)) end,
  function(t) return t:reshape(-1) end,
  function(t) return t:view(1, t:numel()) end,
  function(t) return t:flatten() end,
  function(t) return t:unflatten(-1, { 2, t:size(-1) // 2 }) end,
  function(t) return t[{ ":", { 1, -1, 2 } }] end,
  function(t) return t:expand(pick { { 2, -1 }, { 3, 4 }, { 2, 3, 4 } }) end,
  function(t) return t:permute(pick { { 2, 1 }, { 3, 1, 2 } }) end,
  function(t) return t:diagonal() end,
}

-- Places in the first dimension, from what the tensor holds.
local function places_of(t) return t:reshape(-1):narrow(1, 1, 3):to "int64" % t:size(1) end

-- Each takes the pool's tensors and gives a new one, or nothing.
local STEPS_KNOWN = {
  function(t, u) return t[pick(BINARY)](t, u) end,
  function(t, u) return t[pick(BINARY)](t, u) end,
  function(t) return t[pick(BINARY)](t, pick(NUMBERS)) end,
  function(t) return pick(NUMBERS) * t end,
  function(t) return t[pick(UNARY)](t) end,
  function(t) return t[pick(UNARY)](t) end,
  function(t) return t:to(pick(DTYPES)) end,
  function(t) return pick(VIEWS)(t) end,
  function(t) return pick(VIEWS)(t) end,
  function(t) return pick(VIEWS)(t) end,
  function(t, u, v) return tensor.where(v:to "bool", t, u) end,
  function(t) return t:clamp(-1, 2) end,
  function(t) return t:masked_fill(t:gt(0), 7) end,
  function(t) return t:clone() end,
  function(t) return t:contiguous() end,
  function(t) return t:repeat_interleave(math.random(3), math.random(t:dim())) end,
  function(t, u) return tensor.cat({ t, u }, 1) end,
  function(t) return t:sum(-1) end,
  function(t)
    local x = t:to("float32"):floor():clamp(-8, 8) -- the sums are exact, in whatever order
    return x:matmul(x:t())
  end,
  function(t)
    local x = t:to("float32"):floor():clamp(-8, 8):unsqueeze(1)
    return x:matmul(x:transpose(-1, -2) * 2)
  end,
  function(t, u) return t:to("float32"):reshape(-1, 1):matmul(u:to("float32"):reshape(1, -1)) end,
  function(t)
    return tensor.einsum("hkl,hlv->hkv", t:to("float32"):unsqueeze(-1), t:to("float32"):unsqueeze(2))
  end,
  function(t)
    return tensor.einsum("ab,cb->ac", t:to("float32"):reshape(-1, 1), t:to("float32"):reshape(-1, 1))
  end,
  function(t) return t:index_select(1, places_of(t)) end,
  function(t) t[pick { "add_", "mul_", "sub_" }](t, pick(NUMBERS)) end,
  function(t, u) t[pick { "add_", "mul_", "maximum_" }](t, u) end,
  function(t) t:masked_fill_(t:lt(1), 2) end,
  function(t, u) t:copy_(u) end,
  function(t, u) t[1] = u end,
  function(t, u) t[{ { 1, -2 } }] = u end,
  function(t) t[{ { 2, -1 } }] = t[{ { 1, -2 } }]:clone() end,
  function(t) t[{ { 2, -1 } }] = t[{ { 1, -2 } }] + 1 end,
  function(t, u) t[t:gt(1)] = u end,
  function(t) return t[t:gt(1)] end,
  function(t) t:zero_() end,
  function() -- rows one after the other, of which some are written
    local t = tensor.randint(0, 50, { 6, 300 }):to(pick { "float32", "int32" })
    local sums = tensor.zeros(6, 300, { dtype = "float64" })
    for i = 1, 6 do
      local values, places = t[i]:sort(-1, math.random(2) == 1)
      if math.random(3) == 1 then values:add_(1) end
      if math.random(6) == 1 then t[math.random(6)]:mul_(2) end
      local sum = values:cumsum(1)
      if math.random(4) == 1 then sum = t[i]:cumsum(1) end
      sums[i] = sum + places
    end
    return sums
  end,
}

-- NaN is NaN, whatever its bits.
local function bytes_of(t)
  if t:is_floating_point() then t = t:masked_fill(t:isnan(), 12345) end
  return t:contiguous():cpu():bytes()
end

-- All that a program made, as bytes; what it refused, as messages.
local function run_program(seed, device)
  math.randomseed(seed)
  tensor.manual_seed(seed)
  local pool, told = {}, {}
  for i = 1, 4 do
    pool[i] = make(device)
  end
  for i = 1, STEPS do
    local a, b, c, step = pick(pool), pick(pool), pick(pool), pick(STEPS_KNOWN)
    local state = math.random(1 << 40)
    local ok, made = pcall(step, a, b, c)
    if ok and made and made:numel() < 20000 then pool[#pool + 1] = made end
    told[i] = ok or made
    math.randomseed(state) -- a step that is refused may draw less
  end
  for i, t in ipairs(pool) do
    pool[i] = { t.dtype, table.concat(t:shape(), " "), bytes_of(t) }
  end
  return pool, told
end

local function check_programs(first, last, device, mode)
  for seed = first, last do
    local expected, refused = run_program(seed, device)
    local pool, told = waiting(mode, run_program, seed, device)
    for i = 1, STEPS do
      assert.equal(refused[i], told[i], ("program %d, step %d"):format(seed, i))
    end
    for i, t in ipairs(expected) do
      for k = 1, 3 do
        if t[k] ~= pool[i][k] then
          error(("program %d: tensor %d of %d, %s [%s] differs"):format(seed, i, #expected, t[1], t[2]))
        end
      end
    end
  end
end

describe("results that wait", function()
  for part = 0, 3 do
    it(("are what they are when none waits, in random programs (%d)"):format(part), function()
      local n = PROGRAMS // 4
      check_programs(part * n + 1, part * n + n, "cpu", "everywhere")
    end)
  end
end)

-- ---- what waits, and how long ----------------------------------------------------------------------

describe("a result that waits", function()
  local function check(name, f)
    it(name, function() waiting("everywhere", f) end)
  end

  check("has its shape and dtype, and no elements before they are asked for", function()
    local t = (tensor.arange(6) + 1):view(2, 3) * 0.5
    assert.is_true(tensor._waits(t))
    assert.same({ { 2, 3 }, "float32" }, { t:shape(), t.dtype })
    assert.is_true(tensor._waits(t))
    assert.same({ { 0.5, 1, 1.5 }, { 2, 2.5, 3 } }, t:tolist())
    assert.is_false(tensor._waits(t))
  end)

  check("has what its operands held when it was asked for", function()
    local x = tensor.ones(3)
    local t, u = x + 1, (x * 2)[{ { 2, 3 } }]
    x:zero_()
    x[2] = 9
    assert.same({ { 2, 2, 2 }, { 2, 2 }, { 0, 9, 0 } }, { t:tolist(), u:tolist(), x:tolist() })
  end)

  check("is written through its views, and they are read through it", function()
    local t = tensor.ones(2, 3) * 2
    local row = t[1]
    t:add_(1)
    row[1] = 7
    assert.same({ { 7, 3, 3 }, { 3, 3, 3 } }, t:tolist())
    local u = tensor.ones(4) * 3
    local part = u[{ { 1, 2 } }]
    part:mul_(2)
    assert.same({ 6, 6, 3, 3 }, u:tolist())
  end)

  check("changes in place while others keep what it was", function()
    local t = tensor.arange(3) * 2
    local before = t + 0
    t:add_(t)
    assert.same({ { 0, 4, 8 }, { 0, 2, 4 } }, { t:tolist(), before:tolist() })
  end)

  check("is rounded as often as it would be by one operation after the other", function()
    local x = tensor.new({ 1 + 2 ^ -9, 3.1415926 }, "float32")
    local function f() return ((x:to "bfloat16" * 1.7):to "float16" + 2 ^ -11):to "float64" * 3 end
    local waited = f()
    local at_once = waiting("never", f)
    assert.same(at_once:tolist(), waited:tolist())
  end)

  check("is read in part where little of it is wanted", function()
    local x = tensor.arange(5 << 20):view(4, 1024, 1280) % 8
    local wide = x:to "float32" * x[{ ":", { 1, 1 }, ":" }]
    local expected = waiting("never", function() return (x[3]:to "float32" * x[3][1]):t():sum(1) end)
    assert.same(expected:tolist(), wide[3]:t():sum(1):tolist())
    assert.is_true(tensor._waits(wide))
    for _ = 1, 12 do
      wide[2]:sum()
      wide[3]:sum()
    end
    assert.is_false(tensor._waits(wide))
  end)

  check("gives elements before it is cast, where that is less work", function()
    local x = tensor._settle(tensor.arange(1 << 23):view(-1, 8):to "float16")
    local cast = x:to "float32"
    local taken = cast[tensor.new { 5, 0, 5 }]
    assert.is_true(tensor._waits(cast) and tensor._waits(taken))
    assert.same({ 40, 0, 40 }, taken:select(2, 1):tolist())
  end)

  check("does not keep those waiting that cannot: an error names what was tried", function()
    local t = tensor.arange(4) + 1
    assert.error_matches(function() return t + tensor.ones(3) end, "cannot add")
    assert.error_matches(function() return t // (tensor.arange(4) * 1) end, "division by zero")
    assert.error_matches(function() return t[9] end, "out of range")
  end)
end)

describe("results that wait on a GPU #gpu", function()
  local function check(name, f)
    it(name, function()
      if not require("hone.cuda").available() then return pending "no GPU here" end
      f()
    end)
  end

  check(
    "are what they are when none waits, in random programs",
    function() check_programs(1, tonumber(os.getenv "HONE_PROGRAMS") or 16, "cuda:0", "devices") end
  )

  local function check_waiting(name, f)
    check(name, function() waiting("devices", f) end)
  end

  check_waiting("are found on the CPU where it knows what they are made of", function()
    local x = tensor.arange(10, { device = "cuda:0" }):to "int32"
    assert.equal(3, x[4]:item())
    local mask = (x + 1):eq(4)
    assert.is_true(mask:any():item())
    assert.is_false(mask:all():item())
    assert.is_true(tensor._waits(mask))
    local places = mask:nonzero():squeeze(2)
    assert.equal("cuda:0", places.device)
    assert.is_true(tensor._waits(places))
    assert.same({ 3 }, places:tolist())
    assert.same({ 3 }, (places + 0):to("float32"):tolist())
    assert.same({ 30 }, (x * 10)[places]:tolist())
    assert.is_false(tensor._waits(places))
  end)

  check_waiting("are found anew once what they are made of was written", function()
    local x = tensor.zeros(8, { device = "cuda:0", dtype = "int32" })
    local twice = x * 2
    assert.equal(0, x[3]:item())
    x[3] = 5
    assert.same({ 5, 0 }, { x[3]:item(), twice[3]:item() })
    x:add_(1)
    assert.equal(6, x[3]:item())
    x:index_add_(1, tensor.new({ 2 }, { device = "cuda:0" }), tensor.new({ 4 }, "int32"):to "cuda:0")
    assert.equal(10, x[3]:item())
    x:scatter_(1, tensor.new({ 2 }, { device = "cuda:0" }), 3)
    assert.equal(3, x[3]:item())
    x[x:eq(3)] = 8
    assert.equal(8, x[3]:item())
    x:copy_(tensor.arange(8, { device = "cuda:0" }))
    assert.equal(2, x[3]:item())
  end)

  check("are multiplied on the way, where few rows are", function()
    local function near(expected, got)
      local far = (expected - got):abs():max():item()
      return far <= 1e-5 * math.max(expected:abs():max():item(), 1)
    end
    for _, sizes in ipairs {
      { 1, 1, 128, 128 },
      { 3, 2, 96, 50 },
      { 2, 5, 1000, 64 },
      { 1, 8, 4096, 36 },
      { 7, 1, 33, 7 },
    } do
      local batch, m, k, n = table.unpack(sizes)
      local a = tensor.randn(batch, m, k, { device = "cuda:0" })
      local codes = tensor.randn(batch, n, k, { device = "cuda:0" }):to "float8_e4m3fn"
      local halves = tensor.randn(batch, k, n, { device = "cuda:0" }):to "bfloat16"
      local by = tensor.randn(batch, 1, 1, { device = "cuda:0" })
      local function products()
        local list = {
          a:matmul((codes:to "float32" * by):transpose(2, 3)),
          a:matmul(halves:to "float32" * by),
          (a * 2):bmm(halves:to "float32"),
          a[1]:matmul(halves[1]:to "float32"),
          a[1][1]:matmul(halves[1]:to "float32" - 1),
        }
        if k % 8 == 0 then
          local scale = by:expand(batch, n, k // 8):contiguous():repeat_interleave(8, 3)
          list[#list + 1] = a:matmul((codes:to "float32" * scale):transpose(2, 3))
        end
        return list
      end
      local expected, got = products(), waiting("devices", products)
      for i, product in ipairs(expected) do
        assert.same(product:shape(), got[i]:shape())
        assert.is_true(near(product, got[i]), ("product %d of %s"):format(i, table.concat(sizes, " ")))
      end
    end
  end)

  check_waiting("are refused together where weights cannot be chosen by", function()
    local good = tensor.ones(3, { device = "cuda:0" })
    for _ = 1, 70 do
      good:multinomial(1, true)
    end
    tensor._check()
    assert.equal("int64", tensor.zeros(3, { device = "cuda:0" }):multinomial(1, true).dtype)
    good:multinomial(1, true)
    assert.error_matches(tensor._check, "cannot choose")
    tensor._check()
  end)

  check_waiting("are seen by kernels that are given them, and see what those write", function()
    local m = assert(require("hone.cuda").compile [[
      extern "C" __global__ void add_one(float *x) { x[threadIdx.x] += 1; }
    ]])
    local x = tensor.ones(4, { device = "cuda:0" }) * 2
    assert.equal(2, x[1]:item())
    local later = x * 10
    m:kernel("add_one"):launch { grid = 1, block = 4, x }
    assert.same({ { 3, 3, 3, 3 }, { 20, 20, 20, 20 } }, { x:tolist(), later:tolist() })
  end)
end)
