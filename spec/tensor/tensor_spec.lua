--- hone.tensor as scripts see it: making, indexing, operators, errors, memory.
local process = require "hone.process"
local tensor = require "hone.tensor"

local function refuses(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok, "it was done")
  assert.matches(pattern, message)
  assert.is_nil(message:find("\n", 1, true), "more than one line")
end

describe("tensor.new", function()
  it("takes the dtype of what it is given", function()
    assert.equal("int64", tensor.new({ 1, 2 }).dtype)
    assert.equal("float32", tensor.new({ 1, 2.5 }).dtype)
    assert.equal("bool", tensor.new({ true, false }).dtype)
    assert.equal("float32", tensor.new({}).dtype)
    assert.equal("int8", tensor.new({ 1, 2 }, { dtype = "int8" }).dtype)
    assert.equal("float16", tensor.new({ 1, 2 }, "float16").dtype)
  end)

  it("takes nested tables, numbers and booleans, and gives them back", function()
    local values = { { { 1, 2, 3 }, { 4, 5, 6 } }, { { { true } }, { { false } } }, 7, 2.5, { {}, {} } }
    for _, value in ipairs(values) do
      assert.same(value, tensor.new(value):tolist())
    end
    assert.same({ 2, 0 }, tensor.new({ {}, {} }):shape())
    assert.equal(math.mininteger, tensor.new(math.mininteger):item())
  end)

  it("refuses tables that are not even, and what is no number", function()
    refuses("not all of length 2", tensor.new, { { 1, 2 }, { 3 } })
    refuses("not all of length 2", tensor.new, { { 1, 2 }, 3 })
    refuses("a table: numbers or booleans expected", tensor.new, { 1, { 2 } })
    refuses("a string: numbers or booleans expected", tensor.new, { 1, "x" })
    refuses("at most 8 dimensions", tensor.new, { { { { { { { { { 1 } } } } } } } } })
  end)
end)

describe("sizes", function()
  it("are numbers, or a table that may hold the options too", function()
    assert.same({ 2, 3 }, tensor.zeros(2, 3):shape())
    assert.same({ 2, 3 }, tensor.zeros({ 2, 3 }, { dtype = "int32" }):shape())
    local t = tensor.ones { 2, 3, dtype = "bfloat16" }
    assert.equal("bfloat16", t.dtype)
    assert.same({ { 1, 1, 1 }, { 1, 1, 1 } }, t:tolist())
    assert.same({}, tensor.zeros({}):shape())
    assert.equal(0, tensor.zeros(3, 0):numel())
  end)

  it("that are negative, too many, or overflow are refused", function()
    refuses("size %-1 of dimension 2 is negative", tensor.zeros, 3, -1)
    refuses("has too many elements", tensor.zeros, 1 << 40, 1 << 40)
    refuses("has too many elements", tensor.empty, { math.maxinteger })
    refuses("at most 8 dimensions", tensor.zeros, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    refuses("a size is not an integer", tensor.zeros, 2.5)
    refuses("there is no dtype 'float'", tensor.zeros, 2, { dtype = "float" })
    refuses("there is no device 'gpu'", tensor.zeros, 2, { device = "gpu" })
  end)

  it("that no memory can hold are an error with the bytes in it", function()
    local expected = "cannot allocate %d+ bytes: out of memory %(float32 %[1099511627776, 1024%]%)"
    refuses(expected, tensor.empty, 1 << 40, 1024)
  end)
end)

describe("positions", function()
  local t
  before_each(function() t = tensor.arange(24):view(2, 3, 4) end)

  it("count from 1, negative ones from the end", function()
    assert.same({ 0, 1, 2, 3 }, t[1][1]:tolist())
    assert.same(23, t[-1][-1][-1]:item())
    assert.same(6, t[{ 1, 2, 3 }]:item())
    assert.equal(2, #t)
    refuses("position 3 is out of range for a dimension of size 2", function() return t[3] end)
    refuses("position 0 is out of range", function() return t[0] end)
    refuses("position %-3 is out of range", function() return t[-3] end)
    refuses("more items than dimensions", function() return t[{ 1, 1, 1, 1 }] end)
  end)

  it("may be ranges with both ends, all, a new axis, an ellipsis", function()
    assert.same({ 1, 2 }, t[{ 1, 1, { 2, 3 } }]:tolist())
    assert.same({ 0, 2 }, t[{ 1, 1, { 1, -1, 2 } }]:tolist())
    assert.same({ 3 }, t[{ 1, 1, { -1 } }]:tolist())
    assert.same({ 2, 3, 1 }, t[{ tensor.ellipsis, 4, tensor.newaxis }]:shape())
    assert.same({ 2, 4 }, t[{ tensor.all, 2 }]:shape())
    assert.same({ 1, 2, 3, 4 }, t[{ tensor.newaxis, tensor.ellipsis }]:shape())
    refuses("steps of 0", function() return t[{ { 1, 2, 0 } }] end)
    refuses("cannot index by a boolean", function() return t[true] end)
  end)

  it("may be index tensors, which hold positions from 0, and masks", function()
    assert.same({ { 4, 5, 6, 7 }, { 0, 1, 2, 3 } }, t[{ 1, tensor.new { 1, 0 } }]:tolist())
    assert.same({ 20, 21, 22, 23 }, t[t:ge(20)]:tolist())
    refuses("index 2 is out of range for dimension 1 of size 2", function() return t[tensor.new { 0, 2 }] end)
    refuses(
      "by the mask bool %[3%]: the shapes do not fit",
      function() return t[tensor.new { true, false, true }] end
    )
    refuses("indices are int64", function() return t[tensor.new { 0.5 }] end)
  end)

  it("can be written: numbers, tensors, casts, masks", function()
    t[1] = 0
    t[{ 2, { 1, 2 }, -1 }] = tensor.new { 7.9, 8.1 }
    assert.same({ { 12, 13, 14, 7 }, { 16, 17, 18, 8 }, { 20, 21, 22, 23 } }, t[2]:tolist())
    t[t:gt(10)] = -1
    assert.same({ -1, -1, -1, 7 }, t[2][1]:tolist())
    refuses("the shapes do not fit", function() t[1] = tensor.zeros(5) end)
    refuses("a tensor has no field 'name'", function() t.name = 1 end)
  end)
end)

describe("operators", function()
  it("take tensors and numbers on either side", function()
    local t = tensor.new { 1, 2, 3 }
    assert.same({ 3, 4, 5 }, (2 + t):tolist())
    assert.same({ 9, 8, 7 }, (10 - t):tolist())
    assert.same({ 0.5, 1, 1.5 }, (t / 2):tolist())
    assert.same({ 0, 1, 1 }, (t // 2):tolist())
    assert.same({ 2, 1, 0 }, (-t % 3):tolist())
    assert.same({ 1, 4, 9 }, (t ^ 2):tolist())
    assert.same({ true, false, true }, (t:eq(2) ~ true):tolist())
    assert.is_false(t == tensor.new { 1, 2, 3 })
    assert.is_true(t == t)
  end)

  it("say in one line what does not fit", function()
    refuses(
      "cannot add float32 %[3, 4%] and float32 %[3, 5%]: dimension 2 differs %(4 and 5%)",
      function() return tensor.zeros(3, 4) + tensor.zeros(3, 5) end
    )
    refuses(
      "cannot add float8_e4m3fn %[2%] and float32 %[2%]: these dtypes do not mix",
      function() return tensor.zeros(2, "float8_e4m3fn") + tensor.zeros(2) end
    )
    refuses("division by zero", function() return tensor.new { 1 } // 0 end)
    refuses("integers have no negative powers", function() return tensor.new { 2 } ^ -1 end)
    refuses(
      "cannot bitwise_and float32 %[2%] and float32 %[2%]: it is not defined for float32",
      function() return tensor.zeros(2) & tensor.zeros(2) end
    )
    refuses("tensor or number expected, got nil", function() return tensor.zeros(2) + nil end)
  end)
end)

describe("writing in place", function()
  it("gives the tensor itself", function()
    local t = tensor.zeros(3)
    assert.is_true(t:add_(1) == t)
    assert.is_true(t:fill_(2):mul_(t) == t)
    assert.same({ 4, 4, 4 }, t:tolist())
  end)

  it("refuses a result that does not fit, in dtype or shape", function()
    refuses("the result is float32, which int64 cannot hold", function() tensor.new({ 1 }):add_(0.5) end)
    refuses(
      "in place, the result has shape %[2, 3%]",
      function() tensor.zeros(3):add_(tensor.zeros(2, 3)) end
    )
  end)

  it("refuses memory that several elements share", function()
    local row = tensor.zeros(3):expand(2, 3)
    refuses("share their memory", row.add_, row, 1)
    refuses("share their memory", row.fill_, row, 1)
    local t = tensor.arange(10)
    refuses("overlap", t[{ { 2, 10 } }].add_, t[{ { 2, 10 } }], t[{ { 1, 9 } }])
    assert.same(
      { 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 },
      (function()
        t[{ { 2, 10 } }]:copy_(t[{ { 1, 9 } }])
        return t
      end)():tolist()
    )
  end)
end)

describe("interleaved elements of one memory", function()
  it("are read before they are written", function()
    local t = tensor.arange(8):view(4, 2)
    t[{ tensor.all, 1 }]:add_(t[{ tensor.all, 2 }])
    assert.same({ { 1, 1 }, { 5, 3 }, { 9, 5 }, { 13, 7 } }, t:tolist())
    local u = tensor.arange(12)
    u[{ { 3, 12, 2 } }]:mul_(u[{ { 2, 10, 2 } }])
    assert.same({ 0, 1, 2, 3, 12, 5, 30, 7, 56, 9, 90, 11 }, u:tolist())
  end)

  it("cannot make an index that was checked another", function()
    local t = tensor.zeros(4, "int64")
    t:scatter_(1, t, tensor.full({ 4 }, 1 << 40))
    assert.same({ 1 << 40, 0, 0, 0 }, t:tolist())
    t = tensor.zeros(4, "int64")
    t:index_copy_(1, t, tensor.full({ 4 }, 1 << 40))
    assert.same({ 1 << 40, 0, 0, 0 }, t:tolist())
  end)
end)

describe("views", function()
  it("share memory", function()
    local t = tensor.zeros(2, 3)
    t:t()[1] = 5
    t:view(6)[2] = 7
    assert.same({ { 5, 7, 0 }, { 5, 0, 0 } }, t:tolist())
  end)

  it("that are impossible are refused", function()
    local t = tensor.zeros(4, 6)
    local expected =
      "cannot view float32 %[6, 4%] as %[24%]: its elements do not lie in that order; use reshape"
    refuses(expected, function() t:t():view(24) end)
    refuses("the element counts differ", t.view, t, 5, 5)
    refuses("only one size can be %-1", t.view, t, -1, -1)
    refuses("its last size does not divide", function() tensor.zeros(3, "int8"):view("int16") end)
    refuses("dimension 3, where there are 2", t.transpose, t, 1, 3)
    refuses("dimension 1 is named twice", t.permute, t, 1, 1)
    refuses("it leaves the storage", t.as_strided, t, { 5 }, { 6 }, 0)
    refuses("it leaves the storage", t.as_strided, t, { 5 }, { -1 }, 10)
    refuses("it leaves the storage", t.as_strided, t, { 2 }, { math.maxinteger }, 10)
  end)
end)

describe("index tensors out of range", function()
  it("are an error in every method, and nothing is written", function()
    local t = tensor.zeros(3, 4)
    local bad, negative = tensor.new { 0, 3 }, tensor.new { 0, -1 }
    local rows, grid = tensor.ones(2, 4), tensor.new { { 0, 1 }, { 4, 0 } }
    refuses("index 3 is out of range", t.index_select, t, 1, bad)
    refuses("index %-1 is out of range", t.index_select, t, 1, negative)
    refuses("index 3 is out of range", t.index_add_, t, 1, bad, rows)
    refuses("index 3 is out of range", t.index_copy_, t, 1, bad, rows)
    refuses("index 4 is out of range", t.gather, t, 2, grid)
    refuses("index 4 is out of range", t.scatter_, t, 2, grid, 1)
    refuses("index 4 is out of range", t.scatter_add_, t, 2, grid, tensor.ones(2, 2))
    refuses("index 12 is out of range", t.take, t, tensor.new { 12 })
    assert.equal(0, t:abs():sum():item())
  end)
end)

describe("reductions", function()
  it("name what they cannot do", function()
    refuses(
      "cannot take the max of float32 %[0%]: there are no elements",
      function() return tensor.zeros(0):max() end
    )
    refuses("name a float dtype", function() return tensor.new({ 1, 2 }):mean() end)
    refuses("a dimension is named twice", function() return tensor.zeros(2, 2):sum { 1, -2 } end)
    assert.equal(1.5, tensor.new({ 1, 2 }):mean({ dtype = "float32" }):item())
  end)

  it("of many small numbers lose nothing", function()
    local n = 1 << 22
    local sum = tensor.full({ n }, 0.1):sum():item()
    assert.is_true(math.abs(sum / (n * 0.1) - 1) < 1e-6, tostring(sum))
  end)

  it("do not depend on the number of threads", function()
    local before = tensor.threads()
    local t = tensor.linspace(-1, 1, 1000003):exp()
    local seen = {}
    for _, n in ipairs { 1, 2, 3 } do
      tensor.set_threads(n)
      seen[t:sum():bytes() .. t:exp():sum():bytes() .. t:softmax(1):bytes()] = true
    end
    tensor.set_threads(before)
    local first = next(seen)
    assert.is_nil(next(seen, first))
  end)
end)

describe("tensor.compare", function()
  it("finds the largest errors, the mismatches and the first of them in one pass", function()
    local a = tensor.new { { 1, 2, 3 }, { 4, 5, 6.0 } }
    local b = tensor.new { { 1, 2.5, 3 }, { 4, 5, 8.0 } }
    local found = tensor.compare(a, b, { rtol = 0.01, atol = 0.01 })
    assert.equal(2, found.max_absolute_error)
    assert.equal(0.25, found.max_relative_error)
    assert.equal(2, found.mismatches)
    assert.is_true(math.abs(found.matched_ratio - 4 / 6) < 1e-12)
    assert.same({ 1, 2 }, found.first_bad)
    assert.equal(0, found.nonfinite_mismatches)
  end)

  it("counts an element as bad only beyond both tolerances", function()
    local a, b = tensor.new { 1000.5, 0.001 }, tensor.new { 1000.0, 0.002 }
    assert.equal(1, tensor.compare(a, b, { rtol = 0.01, atol = 0.01 }).matched_ratio)
  end)

  it("matches the same infinity and NaN, and no other", function()
    local inf, nan = math.huge, 0 / 0
    local a, b = tensor.new { inf, nan, -inf, 1.0, nan }, tensor.new { inf, nan, inf, nan, 2.0 }
    local found = tensor.compare(a, b)
    assert.equal(3, found.nonfinite_mismatches)
    assert.same({ 3 }, found.first_bad)
    assert.equal(inf, found.max_absolute_error)
  end)

  it("refuses other shapes", function()
    local expected = "cannot compare float32 %[2%] and float32 %[3%]: the shapes differ"
    refuses(expected, tensor.compare, tensor.zeros(2), tensor.zeros(3))
  end)
end)

describe("allclose and equal", function()
  it("are torch's", function()
    local a = tensor.new { 1, 2, 0 / 0 }
    assert.is_false(a:allclose(a))
    assert.is_true(a:allclose(a, { equal_nan = true }))
    assert.is_true(tensor.new({ 100.0 }):allclose(tensor.new { 100.0005 }))
    assert.is_false(tensor.new({ 100.0 }):allclose(tensor.new { 100.1 }))
    assert.is_true(tensor.new({ 1, 2 }):equal(tensor.new { 1, 2 }))
    assert.is_false(tensor.new({ 1, 2 }):equal(tensor.new { { 1, 2 } }))
    assert.is_false(tensor.new({ (1 << 53) + 1 }):equal(tensor.new { 1 << 53 }))
  end)
end)

describe("float4_e2m1", function()
  it("packs pairs, the first in the low nibble, and unpacks them", function()
    local exact = { 0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -6 }
    local packed =
      tensor.cat({ tensor.new(exact), tensor.new { 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 100 } }):pack_float4()
    assert.equal("float4_e2m1", packed.dtype)
    assert.same({ 9 }, packed:shape())
    assert.equal("\x10\x32\x54\x76\xf9\x20\x42\x64\x76", packed:bytes())
    assert.same(exact, packed:unpack_float4()[{ { 1, 10 } }]:tolist())
    assert.same({ 0, 1, 1, 2, 2, 4, 4, 6 }, packed:unpack_float4()[{ { 11, 18 } }]:tolist())
  end)

  it("is nothing to compute with", function()
    local t = tensor.from_bytes("ab", "float4_e2m1")
    refuses("it is not defined for float4_e2m1", t.add, t, t)
    refuses("float4_e2m1 holds pairs", t.to, t, "float32")
    refuses("float4_e2m1 holds pairs", t.sum, t)
  end)
end)

describe("memory", function()
  it("is let go of at the end of the block, and by close, once", function()
    local kept
    do
      local t <close> = tensor.zeros(3)
      kept = t
    end
    refuses("tensor was closed", kept.sum, kept)
    kept:close()
  end)

  it("stays while a view needs it", function()
    local view
    do
      local t <close> = tensor.arange(6)
      view = t:view(2, 3)
    end
    collectgarbage()
    assert.same({ { 0, 1, 2 }, { 3, 4, 5 } }, view:tolist())
  end)

  it("is collected while a loop makes large tensors", function()
    if os.getenv("ASAN_OPTIONS") then return pending("the sanitizer keeps freed memory") end
    local function resident()
      local file <close> = assert(io.open("/proc/self/statm"))
      return tonumber(file:read("a"):match("^%d+ (%d+)")) * 4096
    end
    local before, most = resident(), 0 -- other specs left something
    for _ = 1, 40 do
      tensor.empty(8 << 20):fill_(1)
      most = math.max(most, resident() - before)
    end
    assert.is_true(most < 900 << 20, ("%d MiB in use"):format(most >> 20))
  end)

  it("that is short is collected once before it is an error", function()
    if os.getenv("ASAN_OPTIONS") then
      return pending("the sanitizer needs more address space than this allows")
    end
    local script = [[
      local tensor = require "hone.tensor"
      collectgarbage("stop")
      for _ = 1, 20 do tensor.empty(64 << 20):fill_(1) end
      io.write(select(2, pcall(tensor.empty, 1 << 30)))
    ]]
    local shell = 'ulimit -v 1500000; exec "$0" -e "$1"'
    local hone = package.loaded["hone.paths"].exe
    local result = assert(process.run { "sh", "-c", shell, hone, script })
    assert.equal(0, result.status, result.stderr)
    assert.matches("cannot allocate 4294967296 bytes: out of memory", result.stdout)
  end)

  it("crosses into Lua as bytes", function()
    local t = tensor.new({ { 1, 2 }, { 3, 4 } }, "int16"):t()
    assert.equal("\1\0\3\0\2\0\4\0", t:bytes())
    assert.same({ { 1, 3 }, { 2, 4 } }, tensor.from_bytes(t:bytes(), "int16", 2, 2):tolist())
    refuses("that takes 8 bytes, not 6", tensor.from_bytes, "abcdef", "int16", 2, 2)
    refuses("that takes 2 bytes, not 3", tensor.from_bytes, "abc", "int16")
  end)
end)

describe("a large tensor", function()
  it("may have more than 2^31 elements", function()
    local t <close> = tensor.zeros((1 << 31) + 3, "int8")
    t[-1] = 5
    t[1] = 2
    assert.equal((1 << 31) + 3, t:numel())
    assert.equal(7, t:sum():item())
    assert.equal((1 << 31) + 2, t:argmax():item())
    assert.same({ { 0 }, { (1 << 31) + 2 } }, t:nonzero():tolist())
  end)
end)
