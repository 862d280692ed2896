--- Mistakes that any kernel can make: what they do to one output, whatever it means.
--
-- Each is a function of (got, expected, case, its name) that gives a list of { what, hint, rank, predicted }: what `got`
-- would be if it were so. `rank` orders what explains equally well: 1 is seen in the values, 4 a guess with numbers of
-- its own. `is_fact`: it is so, even where it is not all that is wrong.
local tensor = require "hone.tensor"
local places = require "hone.bench.diagnose.places"

local M = {}

local FACT, LIKELY, GUESS = 1, 3, 4

-- ---- not written -------------------------------------------------------------------------------------

local WORDS = { [1] = "int8", [2] = "int16", [4] = "int32", [8] = "int64" }

local SIX_BYTES = (1 << 48) - 1

-- Which elements consist of this byte alone.
local function made_of(t, byte)
  local size = t:element_size()
  if t.dtype == "bool" or t.dtype == "float4_e2m1" then return nil end
  local pattern = string.rep(string.char(byte), size)
  local value = string.unpack("<i" .. size, pattern)
  local words = t:contiguous():view(WORDS[size])
  if size < 8 then return words:eq(value) end
  return words:eq(value) | words:eq(value & SIX_BYTES) -- a number that floats hold, too
end

local DEFAULT_POISON = { 0xFF, 0x5A }

local function unwritten(got, expected, case)
  local list = {}
  for _, byte in ipairs(case.options.poison or DEFAULT_POISON) do
    local mask = made_of(got, byte)
    if mask then mask = mask & ~got:eq(expected) end
    if mask and mask:any():item() then
      local where = places.describe(mask)
      list[#list + 1] = {
        what = where == "all elements" and "nothing was written" or ("never written: " .. where),
        hint = "check the grid's size, the last partial tile, early returns; or it only adds to its output",
        rank = FACT,
        is_fact = true,
        predicted = tensor.where(mask, got, expected),
      }
    end
  end
  return list
end

local function zeros(got, expected)
  local mask = got:eq(0) & expected:ne(0)
  if not mask:any():item() then return {} end
  local where = places.describe(mask)
  if where:find(" of ", 1, true) then return {} end -- scattered zeros tell nothing
  return {
    {
      what = where == "all elements" and "it is all zeros" or ("zero where it should not be: " .. where),
      hint = "check that every block stores its tile, and that nothing is masked that should not be",
      rank = FACT,
      predicted = tensor.where(mask, tensor.zeros_like(expected), expected),
    },
  }
end

-- ---- not computed ------------------------------------------------------------------------------------

local function constant(got, expected)
  if got:numel() < 2 then return {} end
  local first = got:reshape(-1):narrow(1, 1, 1)
  if not got:eq(first):all():item() or first:eq(0):item() then return {} end
  local value = first:item()
  return {
    {
      what = ("every element is %s"):format(tostring(value)),
      hint = "the output does not depend on the inputs",
      rank = FACT,
      predicted = tensor.full(expected:shape(), value, { dtype = expected.dtype, device = expected.device }),
    },
  }
end

local function same_shape(a, b) return table.concat(a:shape(), ",") == table.concat(b:shape(), ",") end

local function copies(_, expected, case)
  local list = {}
  for _, name in ipairs(case.input_names) do
    local input = case.input[name]
    if tensor.is_tensor(input) and same_shape(input, expected) and input:numel() > 1 then
      list[#list + 1] = {
        what = ("it is a copy of the input %s"):format(name),
        hint = "the result was not stored, or was stored elsewhere",
        rank = FACT,
        predicted = input:to(expected.dtype),
      }
    end
  end
  return list
end

local function other_outputs(_, expected, case, own)
  local list = {}
  for _, name in ipairs(case.output_names) do
    local other = case.expected[name]
    if name ~= own and other and same_shape(other, expected) and other.dtype == expected.dtype then
      list[#list + 1] = {
        what = ("it holds what belongs to %s"):format(name),
        hint = "the outputs' pointers are exchanged",
        rank = FACT,
        predicted = other,
      }
    end
  end
  return list
end

-- ---- order -------------------------------------------------------------------------------------------

-- Slices along a dimension as numbers that tell them apart: their products with a fixed random vector.
local function fingerprints(t, dim)
  local slices = t:to("float64"):transpose(1, dim):reshape(t:size(dim), -1)
  slices = tensor.where(slices:isfinite(), slices, 0.0)
  local generator = tensor.generator(20240229)
  local key = tensor.randn(
    { slices:size(2) },
    { generator = generator, device = t.device, dtype = "float64" }
  )
  return (slices * key):sum(2)
end

local NAMES = { "rows", "slices of dimension 1", "slices of dimension 2", "slices of dimension 3" } -- counted from 0

-- "shifted by 3", "reversed", "rows 2 and 5 exchanged".
local function order_text(order)
  local n, moved = #order, {}
  for i, from in ipairs(order) do
    if from ~= i - 1 then moved[#moved + 1] = i end
  end
  local shift = order[1]
  local is_shift, is_reverse = true, true
  for i, from in ipairs(order) do
    is_shift = is_shift and from == (i - 1 + shift) % n
    is_reverse = is_reverse and from == n - i
  end
  if is_shift then return ("rotated by %d"):format(shift) end
  if is_reverse then return "reversed" end
  if #moved == 2 then return ("%d and %d exchanged"):format(moved[1] - 1, moved[2] - 1) end
  local first = {}
  for i = 1, math.min(n, 8) do
    first[i] = order[i]
  end
  return ("in the order %s%s"):format(table.concat(first, ", "), n > 8 and ", …" or "")
end

local MOST_SLICES = 65536

-- The same slices in another order: paired by their fingerprints' ranks.
local function permuted(got, expected)
  local list = {}
  for dim = 1, math.min(expected:dim(), 4) do
    local n = expected:size(dim)
    if n > 1 and n <= MOST_SLICES and expected:numel() // n > 1 then
      local by_got = fingerprints(got, dim):argsort(1)
      local by_expected = fingerprints(expected, dim):argsort(1)
      local order = tensor.zeros_like(by_got):scatter_(1, by_got, by_expected)
      list[#list + 1] = {
        what = ("%s are permuted: %s"):format(NAMES[dim], order_text(order:tolist())),
        hint = "check how blocks and threads map to this dimension",
        rank = LIKELY,
        predicted = expected:index_select(dim, order),
      }
    end
  end
  return list
end

-- All slices like the first: an index that is never added.
local function repeated(_, expected)
  local list = {}
  for dim = 1, math.min(expected:dim(), 3) do
    if expected:size(dim) > 1 then
      list[#list + 1] = {
        what = ("all %s are like the first"):format(NAMES[dim]),
        hint = "its index does not enter the address that is read",
        rank = LIKELY,
        predicted = expected:narrow(dim, 1, 1):expand_as(expected),
      }
    end
  end
  return list
end

-- One slice early or late: what falls off the end is left out of the comparison.
local function shifted(got, expected)
  local list = {}
  for dim = 1, math.min(expected:dim(), 3) do
    local n = expected:size(dim)
    for _, by in ipairs { 1, -1 } do
      if n > 3 then
        list[#list + 1] = {
          what = ("%s are off by one: element i holds what belongs to i %s 1"):format(
            NAMES[dim],
            by > 0 and "+" or "-"
          ),
          hint = "check where this dimension's index starts",
          rank = LIKELY,
          got = got:narrow(dim, by > 0 and 1 or 2, n - 1),
          predicted = expected:narrow(dim, by > 0 and 2 or 1, n - 1),
          expected = expected:narrow(dim, by > 0 and 1 or 2, n - 1),
        }
      end
    end
  end
  return list
end

-- ---- layout ------------------------------------------------------------------------------------------

local function swapped(n, a, b)
  local order = {}
  for i = 1, n do
    order[i] = i
  end
  order[a], order[b] = b, a
  return order
end

-- Written as if two dimensions were in the other order.
local function layouts(_, expected, case, own)
  local list, n = {}, expected:dim()
  local names = case.definition.outputs[own].shape
  for a = 1, n - 1 do
    for b = a + 1, n do
      if expected:size(a) > 1 and expected:size(b) > 1 then
        local order, axes = swapped(n, a, b), {}
        for i, d in ipairs(order) do
          axes[i] = type(names) == "table" and names[d] or tostring(d)
        end
        list[#list + 1] = {
          what = ("it lies in memory as [%s]"):format(table.concat(axes, ", ")),
          hint = ("dimensions %d and %d are exchanged: check the strides of the store"):format(a - 1, b - 1),
          rank = LIKELY,
          predicted = expected
            :permute(table.unpack(order))
            :contiguous()
            :reshape(table.unpack(expected:shape())),
        }
      end
    end
  end
  return list
end

-- ---- numbers -----------------------------------------------------------------------------------------

-- What a factor may stand for, given the sizes at hand.
local function known_factors(case, own)
  local list = {
    { -1, "the sign is turned round" },
    { 2, "it is twice what it should be" },
    { 0.5, "it is half of what it should be" },
    { math.log(2), "a factor ln 2 = 0.6931 is there that should not be" },
    { 1 / math.log(2), "a factor log2(e) = 1.4427 is there that should not be" },
  }
  for _, name in ipairs(case.input_names) do
    local value = case.input[name]
    if type(value) == "number" and value ~= 0 and value ~= 1 then
      list[#list + 1] = { 1 / value, ("the factor %s = %g is missing"):format(name, value) }
      list[#list + 1] =
        { value, ("the factor %s = %g is there twice, or should not be there"):format(name, value) }
    end
  end
  for axis, size in pairs(case.axes or {}) do
    if size > 2 then
      list[#list + 1] = { size, ("it is %s = %d times too large"):format(axis, size), own }
      list[#list + 1] = { 1 / size, ("it is %s = %d times too small"):format(axis, size) }
      list[#list + 1] =
        { math.sqrt(size), ("it is sqrt(%s) = %.4g times too large"):format(axis, math.sqrt(size)) }
      list[#list + 1] =
        { 1 / math.sqrt(size), ("it is sqrt(%s) = %.4g times too small"):format(axis, math.sqrt(size)) }
    end
  end
  return list
end

local NEAR = 3e-3

local function name_of_factor(factor, case, own)
  local best, distance
  for _, known in ipairs(known_factors(case, own)) do
    local off = math.abs(factor / known[1] - 1)
    if off < (distance or NEAR) then
      best, distance = known, off
    end
  end
  return best
end

-- Sums of products in double precision, where both are finite; over all, or along all dimensions but the first `keep`.
local function products(a, b, keep)
  local product = a * b
  product = tensor.where(product:isfinite(), product, 0.0)
  if not keep then return product:sum():item() end
  return product:reshape(product:size(1), -1):sum(2)
end

local function factor(got, expected, case, own)
  if not expected:is_floating_point() then return {} end
  local x, y = got:to "float64", expected:to "float64"
  local below = products(y, y)
  local by = below > 0 and products(x, y) / below or 0
  if by == 0 or by ~= by or math.abs(by - 1) < 1e-3 then return {} end
  local known = name_of_factor(by, case, own)
  return {
    {
      what = known and known[2] or ("it is %.5g times what it should be"):format(by),
      hint = "compare the factors of the kernel with those of the reference",
      rank = known and LIKELY or GUESS,
      predicted = (y * (known and known[1] or by)):to(expected.dtype),
    },
  }
end

local FEWEST = 16 -- elements of a row, or a factor of its own explains too much

local function factor_of_rows(got, expected)
  if not expected:is_floating_point() or expected:dim() < 2 then return {} end
  local rows = expected:size(1)
  if rows < 2 or expected:numel() // rows < FEWEST then return {} end
  local x, y = got:to "float64", expected:to "float64"
  local by = products(x, y, true) / products(y, y, true):clamp(1e-300)
  local shape = { rows }
  for d = 2, expected:dim() do
    shape[d] = 1
  end
  local low, high = by:min():item(), by:max():item()
  if high - low < 0.01 * math.abs(high) then return {} end -- one factor for all
  return {
    {
      what = ("each row is off by a factor of its own, from %.4g to %.4g"):format(low, high),
      hint = "something that belongs to a row is missing: a normalisation, a scale, a weight",
      rank = GUESS,
      predicted = (y * by:reshape(table.unpack(shape))):to(expected.dtype),
    },
  }
end

local function offset(got, expected)
  if not expected:is_floating_point() then return {} end
  local difference = got:to "float64" - expected:to "float64"
  local finite = difference:isfinite()
  local n = finite:to("int64"):sum():item()
  if n < FEWEST then return {} end
  local by = tensor.where(finite, difference, 0.0):sum():item() / n
  return {
    {
      what = ("%.5g is added to every element"):format(by),
      hint = "a term is missing or counted twice",
      rank = GUESS,
      predicted = (expected:to "float64" + by):to(expected.dtype),
    },
  }
end

local ROUNDINGS = { "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2" }
local MOST = { float16 = 65504, float8_e4m3fn = 448, float8_e5m2 = 57344 }

-- Rounded to fewer bits, and what was too large for them cut off or infinite.
local function rounded(_, expected)
  if not expected:is_floating_point() or expected.dtype:find "float8" then return {} end
  local list = {}
  for _, dtype in ipairs(ROUNDINGS) do
    if dtype ~= expected.dtype then
      local most = MOST[dtype]
      local wide = expected:to "float32"
      local cut = most and wide:clamp(-most, most) or wide
      list[#list + 1] = {
        what = ("precision is lost: it is the right result rounded to %s"):format(dtype),
        hint = "a buffer or a cast on the way has too few bits",
        rank = LIKELY,
        predicted = cut:to(dtype):to(expected.dtype),
      }
      if most and wide:isfinite():logical_and(wide:abs():gt(most)):any():item() then
        list[#list + 1] = {
          what = ("what is beyond %g became infinite: it was %s on the way"):format(most, dtype),
          hint = "accumulate in float32, or scale",
          rank = LIKELY,
          predicted = tensor.where(wide:abs():gt(most), wide:sign() * math.huge, wide):to(expected.dtype),
        }
      end
    end
  end
  return list
end

local function magnitudes(_, expected)
  if not expected:is_floating_point() then return {} end
  return {
    {
      what = "the signs are lost: it is the absolute value",
      hint = "an unsigned type, or an abs that should not be there",
      rank = LIKELY,
      predicted = expected:abs(),
    },
  }
end

---Cheap ones first.
M.mistakes = {
  unwritten,
  zeros,
  constant,
  copies,
  other_outputs,
  factor,
  offset,
  magnitudes,
  factor_of_rows,
  rounded,
  repeated,
  shifted,
  layouts,
  permuted,
}

return M
