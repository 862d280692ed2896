--- Indexing, joining and sorting on a GPU, against the same operations on the CPU, which are held to torch.
local cuda = require "hone.cuda"
local tensor = require "hone.tensor"

local GPU = "cuda:0"
local DTYPES = {
  "float64",
  "float32",
  "float16",
  "bfloat16",
  "float8_e4m3fn",
  "float8_e5m2",
  "int64",
  "int32",
  "int16",
  "int8",
  "uint8",
  "bool",
}
local has_device = cuda.available()

local function on_gpu(name, f)
  it(name .. " #gpu", function()
    if not has_device then return pending "no GPU" end
    f()
  end)
end

local function generator(seed) return tensor.generator(seed) end

-- Random elements with many ties, and zeros of both signs, infinities and NaN among them.
local function mixed(dtype, shape, seed)
  local options = { generator = generator(seed) }
  if dtype == "bool" then return tensor.randint(0, 2, shape, options):to "bool" end
  if not dtype:find "float" then
    return tensor.randint(dtype == "uint8" and 0 or -100, 100, shape, options):to(dtype)
  end
  local t = tensor.randn(shape, options):mul(4)
  local pick = tensor.randint(0, 40, shape, options)
  t = t:masked_fill(pick:eq(0), 0):masked_fill(pick:eq(1), 0 / 0):masked_fill(pick:eq(2), 1 / 0)
  t = t:masked_fill(pick:eq(3), -1 / 0):masked_fill(pick:eq(4), -0.0)
  return t:to(dtype)
end

local function assert_same(expected, found, what)
  found = found:to "cpu"
  assert.same(expected:shape(), found:shape(), what)
  assert.equal(expected.dtype, found.dtype, what)
  if expected:contiguous():bytes() == found:contiguous():bytes() then return end
  local bits = { [1] = "uint8", [2] = "int16", [4] = "int32", [8] = "int64" }
  local flat, other = expected:contiguous():reshape(-1), found:contiguous():reshape(-1)
  local kind = bits[#flat:bytes() // flat:numel()]
  local unlike = (flat:view(kind):ne(other:view(kind))):nonzero()
  local first = unlike:tolist()[1][1]
  error(
    ("%s: %d elements differ, the first is number %d: %s, not %s"):format(
      what,
      unlike:size(1),
      first,
      tostring(other:tolist()[first + 1]),
      tostring(flat:tolist()[first + 1])
    ),
    2
  )
end

-- f(t, ...) on the CPU and on the GPU give the same bits; f gets tensors and gives some.
local function both(what, f, ...)
  local here, there = { ... }, {}
  for i = 1, #here do
    there[i] = tensor.is_tensor(here[i]) and here[i]:to(GPU) or here[i]
  end
  local expected, found = table.pack(f(table.unpack(here))), table.pack(f(table.unpack(there)))
  assert.equal(expected.n, found.n)
  for i = 1, expected.n do
    assert.equal("cuda:0", found[i].device, what)
    assert_same(expected[i], found[i], what .. ", result " .. i)
  end
end

describe("on a GPU, sort", function()
  on_gpu("orders rows of every length as the CPU does, in every dtype", function()
    for _, dtype in ipairs(DTYPES) do
      for seed, n in ipairs { 1, 2, 31, 32, 33, 64, 100, 128, 129, 500, 1000, 2049, 4096, 4097, 20000 } do
        local t = mixed(dtype, { n > 4096 and 3 or 9, n }, seed)
        for _, descending in ipairs { false, true } do
          both(("sort %s of %d"):format(dtype, n), function(x) return x:sort(2, descending) end, t)
        end
      end
    end
  end)

  on_gpu("orders along any dimension, and views", function()
    local t = mixed("float32", { 5, 300, 7 }, 1)
    for dim = 1, 3 do
      both("dim " .. dim, function(x) return x:sort(dim) end, t)
    end
    both("transposed", function(x) return x:transpose(1, 3):sort(2) end, t)
    both("0-d", function(x) return x:sort() end, tensor.full({}, 3.5))
    both("empty", function(x) return x:sort() end, tensor.zeros(3, 0))
    both("no rows", function(x) return x:sort() end, tensor.zeros(0, 3))
  end)

  on_gpu("orders one long row", function()
    both("a million", function(x) return x:sort() end, mixed("float32", { 1000003 }, 4))
    both("int64", function(x) return x:sort(1, true) end, mixed("int64", { 200001 }, 4))
    both("equal ones", function(x) return x:sort() end, tensor.zeros(100000))
    local low = tensor.randint(0, 2, { 3, 30000 }, { generator = generator(5) })
    low[2] = low[2] + (low[2] << 20) -- of the rows, one has a digit more
    both("few digits", function(x) return x:sort(2) end, low)
    both("many flags", function(x) return x:nonzero() end, mixed("bool", { 40000000 }, 6))
  end)
end)

describe("on a GPU, topk", function()
  on_gpu("takes what sorting would put first", function()
    for _, dtype in ipairs(DTYPES) do
      for _, case in ipairs {
        { 4, 100, 3 },
        { 4, 3000, 100 },
        { 3, 9000, 1 },
        { 3, 9000, 50 },
        { 2, 30000, 5000 },
        { 2, 9000, 8000 },
        { 1, 200000, 1000 },
      } do
        local rows, n, k = table.unpack(case)
        local t = mixed(dtype, { rows, n }, n)
        for _, largest in ipairs { true, false } do
          both(
            ("top %d of %s [%d, %d]"):format(k, dtype, rows, n),
            function(x) return x:topk(k, 2, largest) end,
            t
          )
        end
      end
    end
    both("of equal ones", function(x) return x:topk(77) end, tensor.ones(3, 50000))
    both("along rows", function(x) return x:topk(3, 1) end, mixed("float32", { 20, 30 }, 1))
  end)
end)

describe("on a GPU, unique and searchsorted", function()
  on_gpu("give what they give on the CPU", function()
    for _, dtype in ipairs(DTYPES) do
      both("unique " .. dtype, function(x) return x:unique() end, mixed(dtype, { 37, 301 }, 5))
      local sorted = mixed(dtype, { 3, 500 }, 6):sort()
      for _, right in ipairs { false, true } do
        both(
          "search " .. dtype,
          function(s, v) return s:searchsorted(v, right) end,
          sorted,
          mixed(dtype, { 3, 77 }, 7)
        )
        both(
          "search one row",
          function(s, v) return s:searchsorted(v, right) end,
          sorted[2]:contiguous(),
          mixed(dtype, { 4, 5 }, 8)
        )
      end
    end
    both("nothing", function(x) return x:unique() end, tensor.zeros(0))
  end)
end)

local function indices(n, high, seed) return tensor.randint(0, high, { n }, { generator = generator(seed) }) end

describe("on a GPU, index tensors", function()
  on_gpu("name elements as on the CPU", function()
    for _, dtype in ipairs(DTYPES) do
      local t, i = mixed(dtype, { 23, 17, 12 }, 1), indices(40, 12, 2)
      for dim = 1, 3 do
        both("index_select", function(x, at) return x:index_select(dim, at) end, t, i)
        both("of a view", function(x, at) return x:transpose(1, 3):index_select(dim, at) end, t, i)
      end
      both("two", function(x, a, b) return x[{ a, b }] end, t, i, indices(40, 17, 3))
      both("two apart", function(x, a, b) return x[{ a, ":", b }] end, t, i, i:view(40, 1))
      both("int32", function(x, a) return x[{ ":", a:to "int32" }] end, t, i)
      local along = tensor.randint(0, 12, { 20, 9, 30 }, { generator = generator(3) })
      both("gather", function(x, at) return x:gather(3, at) end, t, along)
      both("take", function(x, at) return x:take(at) end, t, along)
    end
    both(
      "rows of words",
      function(x, at) return x[at] end,
      mixed("float16", { 50, 64 }, 1),
      indices(99, 50, 1)
    )
  end)

  on_gpu("write and add as on the CPU, to the same bits", function()
    local function written(f)
      return function(x, ...)
        local t = x:clone()
        f(t, ...)
        return t
      end
    end
    for _, dtype in ipairs(DTYPES) do
      local t, i = mixed(dtype, { 23, 17, 12 }, 1), tensor.randperm(12, { generator = generator(2) })
      local source = mixed(dtype, { 23, 17, 12 }, 9)
      local plain = source:to "float64"
      local finite = plain:masked_fill(plain:isnan(), 1):clamp(-3, 3):to(dtype)
      both("put", written(function(x, at, s) x[{ "...", at }] = s end), t, i, source)
      both("index_copy_", written(function(x, at, s) x:index_copy_(3, at, s) end), t, i, source)
      both("scatter_", written(function(x, at, s) x:scatter_(3, at:expand(23, 17, 12), s) end), t, i, source)
      both("a number", written(function(x, at) x:scatter_(3, at:expand(23, 17, 12), 1) end), t, i)
      local many = indices(700, 23, 4)
      local base = t:to "float64"
      local sum = base:masked_fill(base:isnan(), 2):clamp(-3, 3):to(dtype)
      both(
        "index_add_ " .. dtype,
        written(function(x, at, s) x:index_add_(1, at, s[at]) end),
        sum,
        many,
        finite
      )
      both(
        "accumulate",
        written(function(x, at, s) x:index_put_({ at, ":", at:remainder(12) }, s[1][1][1], true) end),
        sum,
        many,
        finite
      )
      local along = tensor.randint(0, 23, { 20, 17, 12 }, { generator = generator(3) })
      both(
        "scatter_add_ " .. dtype,
        written(function(x, at, s) x:scatter_add_(1, at, s) end),
        sum,
        along,
        finite
      )
    end
  end)

  on_gpu("masks name what holds", function()
    for _, dtype in ipairs(DTYPES) do
      local t = mixed(dtype, { 19, 300, 4 }, 1)
      both("nonzero", function(x) return x:nonzero() end, t)
      local mask = mixed("bool", { 19, 300 }, 2)
      both("mask", function(x, m) return x[m] end, t, mask)
      both("masked_select", function(x, m) return x:masked_select(m:unsqueeze(3)) end, t, mask)
      both("assignment", function(x, m)
        local y = x:clone()
        y[m] = 1
        return y
      end, t, mask)
    end
    both("many", function(x) return x:nonzero() end, mixed("bool", { 1000, 333 }, 3))
    both("none", function(x) return x:nonzero() end, tensor.zeros(7, 9))
    both("0-d", function(x) return x:nonzero() end, tensor.ones())
  end)

  on_gpu("may lie on the CPU", function()
    local t = mixed("float32", { 9, 8 }, 1)
    local i, mask = indices(5, 9, 1), mixed("bool", { 9, 8 }, 2)
    assert_same(t[i], t:to(GPU)[i], "index")
    assert_same(t[mask], t:to(GPU)[mask], "mask")
    assert_same(t:gather(1, i:view(5, 1)), t:to(GPU):gather(1, i:view(5, 1)), "gather")
    assert.error_matches(function() return t[i:to(GPU)] end, "another device")
    assert.error_matches(function() return t:to(GPU)[i + 5] end, "out of range for dimension 1 of size 9")
  end)

  on_gpu("out of range are an error of the call or of the next one, once", function()
    local t = tensor.zeros(4, 3):to(GPU)
    local bad = tensor.new({ 1, 7, 2 }):to(GPU)
    local function attempts()
      return {
        index = function() return t[bad] end,
        index_select = function() return t:index_select(1, bad) end,
        gather = function() return t:gather(1, bad:view(3, 1)) end,
        scatter_ = function() return t:scatter_(1, bad:view(3, 1), 5) end,
        scatter_add_ = function() return t:scatter_add_(1, bad:view(3, 1), tensor.ones(3, 1):to(GPU)) end,
        index_add_ = function() return t:index_add_(1, bad, tensor.ones(3, 3):to(GPU)) end,
        index_put_ = function() t[bad] = 5 end,
      }
    end
    for verb, attempt in pairs(attempts()) do
      local done, why = pcall(function()
        attempt()
        assert(cuda.synchronize())
        return t:tolist()
      end)
      assert.is_false(done, verb)
      assert.matches(
        "cannot " .. verb .. " float32 %[4, 3%]: index 7 is out of range for dimension 1 of size 4",
        why
      )
      assert.matches("cuda:0 found out after the call", why)
      assert.equal(12, #t:to("cpu"):reshape(-1):tolist(), verb)
    end
  end)
end)

describe("on a GPU, joining", function()
  on_gpu("gives what it gives on the CPU", function()
    for _, dtype in ipairs(DTYPES) do
      local t = mixed(dtype, { 6, 7, 5 }, 1)
      both("cat", function(x) return tensor.cat({ x, x:flip(2), x }, 2) end, t)
      both("stack", function(x) return tensor.stack({ x, x }, 2) end, t)
      both("tile", function(x) return x:tile(2, 3, 1) end, t)
      both("flip", function(x) return x:transpose(1, 2):flip(1, 3) end, t)
      both("tril", function(x) return x:tril(-1), x:triu(2), x:tril(), x:triu(-20) end, t)
      both("repeat_interleave", function(x) return x:repeat_interleave(3, 2) end, t)
      both("counts", function(x, n) return x:repeat_interleave(n, 1) end, t, tensor.new({ 2, 0, 1, 3, 0, 5 }))
      both("chunks", function(x) return table.unpack(x:chunk(3, 2)) end, t)
    end
  end)
end)
