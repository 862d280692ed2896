--- What translated Python calls: operators, truth, indexing, iteration, calls and attributes, with Python's
--- meaning for Python's values and torch's for tensors. Errors are raised without a position: the frame that
--- they come from has the line.
local tensor = require "hone.tensor"
local values = require "hone.python.concrete.values"

local M = {}

local None, Tuple, List, Dict = values.None, values.Tuple, values.List, values.Dict
local type_name = values.type_name
local math_type, type, getmetatable, setmetatable = math.type, type, getmetatable, setmetatable

-- Nothing else here is a userdata.
local function is_tensor(v) return type(v) == "userdata" end

local function fail(kind, format, ...) error(kind .. ": " .. format:format(...), 0) end
M.fail = fail

-- ---- numbers ---------------------------------------------------------------------------------------

local function overflow() fail("OverflowError", "the integer does not fit 64 bits") end

-- A bool counts as a number, and nothing else does.
local function number_of(v)
  if type(v) == "number" then return v end
  if v == true then return 1 end
  if v == false then return 0 end
end

local function unsupported(symbol, a, b)
  fail("TypeError", "unsupported operand types for %s: '%s' and '%s'", symbol, type_name(a), type_name(b))
end

local function add_integers(a, b)
  local sum = a + b
  if (a ~ sum) & (b ~ sum) < 0 then overflow() end
  return sum
end

local function multiply_integers(a, b)
  local product = a * b
  local estimate = (a + 0.0) * b
  if math.abs(estimate) > 0x1p53 and (estimate >= 0x1p63 or estimate < -0x1p63 or product // b ~= a) then
    overflow()
  end
  return product
end

local function power(a, b)
  if math_type(a) == "integer" and math_type(b) == "integer" and b >= 0 then
    if a == -1 then return b % 2 == 0 and 1 or -1 end
    local result = 1
    for _ = 1, b do
      result = multiply_integers(result, a)
      if result == 0 or result == 1 and a == 1 then break end
    end
    return result
  end
  return (a + 0.0) ^ b
end

local function both_integers(a, b) return math_type(a) == "integer" and math_type(b) == "integer" end

local function no_zero(b)
  if b == 0 then fail("ZeroDivisionError", "division by zero") end
end

local NUMBERS = {
  ["+"] = function(a, b) return both_integers(a, b) and add_integers(a, b) or a + b end,
  ["-"] = function(a, b)
    if both_integers(a, b) then return b == math.mininteger and overflow() or add_integers(a, -b) end
    return a - b
  end,
  ["*"] = function(a, b) return both_integers(a, b) and multiply_integers(a, b) or a * b end,
  ["/"] = function(a, b)
    no_zero(b)
    return a / b
  end,
  ["//"] = function(a, b)
    no_zero(b)
    return a // b
  end,
  ["%"] = function(a, b)
    no_zero(b)
    return a % b
  end,
  ["**"] = power,
}

local INTEGERS = {
  ["&"] = function(a, b) return a & b end,
  ["|"] = function(a, b) return a | b end,
  ["^"] = function(a, b) return a ~ b end,
  ["<<"] = function(a, b) return multiply_integers(a, power(2, b)) end,
  [">>"] = function(a, b) return a // power(2, b) end,
}

local TENSORS = {
  ["+"] = function(a, b) return a + b end,
  ["-"] = function(a, b) return a - b end,
  ["*"] = function(a, b) return a * b end,
  ["/"] = function(a, b) return a / b end,
  ["//"] = function(a, b) return a // b end,
  ["%"] = function(a, b) return a % b end,
  ["**"] = function(a, b) return a ^ b end,
  ["&"] = function(a, b) return a & b end,
  ["|"] = function(a, b) return a | b end,
  ["^"] = function(a, b) return a ~ b end,
  ["<<"] = function(a, b) return a << b end,
  [">>"] = function(a, b) return a >> b end,
  ["@"] = function(a, b) return a:matmul(b) end,
}

-- ---- sequences under operators ---------------------------------------------------------------------

local function concatenate(a, b)
  local joined = table.move(a, 1, a.n, 1, {})
  table.move(b, 1, b.n, a.n + 1, joined)
  joined.n = a.n + b.n
  return setmetatable(joined, getmetatable(a))
end

local MOST_ITEMS = 1 << 24 -- of a list or a string that is made by repetition

local function check_length(length, times)
  if times > 0 and length > MOST_ITEMS // times then fail("MemoryError", "the sequence would be too long") end
end

local function repeated(list, times)
  check_length(list.n, times)
  local made = { n = 0 }
  for _ = 1, times do
    table.move(list, 1, list.n, made.n + 1, made)
    made.n = made.n + list.n
  end
  return setmetatable(made, getmetatable(list))
end

-- Operators on what is no number and no tensor; nil where there is none.
local function on_objects(symbol, a, b)
  if symbol == "+" and values.is_sequence(a) and getmetatable(a) == getmetatable(b) then
    return concatenate(a, b)
  end
  if symbol == "+" and type(a) == "string" and type(b) == "string" then return a .. b end
  if symbol == "*" and math_type(b) == "integer" then
    if values.is_sequence(a) then return repeated(a, b) end
    if type(a) == "string" then
      check_length(#a, b)
      return a:rep(b)
    end
  end
  if symbol == "*" and math_type(a) == "integer" and (type(b) == "string" or values.is_sequence(b)) then
    return on_objects(symbol, b, a)
  end
end

---a <symbol> b
local function operate(symbol, a, b)
  if is_tensor(a) or is_tensor(b) then
    if type(a) == "table" or type(b) == "table" or a == nil or b == nil or type(a) == "string" then
      unsupported(symbol, a, b)
    end
    return TENSORS[symbol](a, b)
  end
  local x, y = number_of(a), number_of(b)
  if x and y and NUMBERS[symbol] then return NUMBERS[symbol](x, y) end
  if x and y and both_integers(x, y) and INTEGERS[symbol] then
    local result = INTEGERS[symbol](x, y)
    if type(a) == "boolean" and type(b) == "boolean" and symbol ~= "<<" and symbol ~= ">>" then
      return result ~= 0
    end
    return result
  end
  local result = on_objects(symbol, a, b)
  if result == nil then unsupported(symbol, a, b) end
  return result
end
M.operate = operate

-- ---- the common operators, without a detour for tensors and numbers ---------------------------------

local NUMBER_OR_TENSOR = { number = true, userdata = true }

-- Is this a tensor with a tensor or a number?
local function is_tensors(a, b)
  local x, y = type(a), type(b)
  return x == "userdata" and NUMBER_OR_TENSOR[y] or y == "userdata" and x == "number"
end

function M.add(a, b)
  if is_tensors(a, b) then return a + b end
  if math_type(a) == "integer" and math_type(b) == "integer" then return add_integers(a, b) end
  return operate("+", a, b)
end

function M.subtract(a, b)
  if is_tensors(a, b) then return a - b end
  return operate("-", a, b)
end

function M.multiply(a, b)
  if is_tensors(a, b) then return a * b end
  return operate("*", a, b)
end

function M.divide(a, b)
  if is_tensors(a, b) then return a / b end
  return operate("/", a, b)
end

function M.matrix_multiply(a, b)
  if type(a) == "userdata" and type(b) == "userdata" then return a:matmul(b) end
  return operate("@", a, b)
end

local IN_PLACE = {
  ["+"] = "add_",
  ["-"] = "sub_",
  ["*"] = "mul_",
  ["/"] = "div_",
  ["//"] = "floor_divide_",
  ["%"] = "remainder_",
  ["**"] = "pow_",
  ["&"] = "bitwise_and_",
  ["|"] = "bitwise_or_",
  ["^"] = "bitwise_xor_",
  ["<<"] = "bitwise_left_shift_",
  [">>"] = "bitwise_right_shift_",
}

---a <symbol>= b: a tensor is written into, a list is extended.
function M.augment(symbol, a, b)
  local method = is_tensor(a) and IN_PLACE[symbol]
  if method then return a[method](a, b) end
  if symbol == "+" and getmetatable(a) == List then
    for _, item in M.iterate(b) do
      a.n = a.n + 1
      a[a.n] = item
    end
    return a
  end
  return operate(symbol, a, b)
end

function M.negate(v)
  if is_tensor(v) then return -v end
  local x = number_of(v)
  if not x then fail("TypeError", "bad operand type for unary -: '%s'", type_name(v)) end
  if x == math.mininteger then overflow() end
  return -x
end

function M.positive(v)
  if is_tensor(v) or number_of(v) then return v end
  fail("TypeError", "bad operand type for unary +: '%s'", type_name(v))
end

function M.invert(v)
  if is_tensor(v) or math_type(v) == "integer" then return ~v end
  if type(v) == "boolean" then return v and -2 or -1 end
  fail("TypeError", "bad operand type for unary ~: '%s'", type_name(v))
end

-- ---- truth and comparison --------------------------------------------------------------------------

local function truth(v)
  if v == true or v == false then return v end
  if v == None then return false end
  if type(v) == "number" then return v ~= 0 end
  if type(v) == "string" then return v ~= "" end
  if is_tensor(v) then
    if v:numel() ~= 1 then
      fail(
        "RuntimeError",
        "Boolean value of Tensor with %s values is ambiguous",
        v:numel() == 0 and "no" or "more than one"
      )
    end
    return truth(v:item())
  end
  if v == nil then fail("UnboundLocalError", "a variable has no value yet") end
  if values.is_sequence(v) then return v.n > 0 end
  if getmetatable(v) == Dict then return #v.keys > 0 end
  return true
end
M.truth = truth

local function same_items(a, b)
  if a.n ~= b.n then return false end
  for i = 1, a.n do
    if not truth(M.equal(a[i], b[i])) then return false end
  end
  return true
end

local function same_entries(a, b)
  if #a.keys ~= #b.keys then return false end
  for key, value in pairs(a.at) do
    if b.at[key] == nil or not truth(M.equal(value, b.at[key])) then return false end
  end
  return true
end

local function same_objects(a, b)
  local mt = getmetatable(a)
  if mt ~= getmetatable(b) then return false end
  if mt == values.Device then return a.name == b.name end
  if mt == Dict then return same_entries(a, b) end
  return values.is_sequence(a) and same_items(a, b)
end

---a == b
function M.equal(a, b)
  if type(a) == "number" and type(b) == "number" then return a == b end
  if is_tensor(a) then
    if b == None then return false end
    return a:eq(b)
  end
  if is_tensor(b) then return a ~= None and b:eq(a) end
  if type(a) == "table" and type(b) == "table" and a ~= b then return same_objects(a, b) end
  local x, y = number_of(a), number_of(b)
  if x and y then return x == y end
  if getmetatable(a) == values.Device and type(b) == "string" then return a.name == b end
  return a == b
end

function M.not_equal(a, b)
  if is_tensor(a) and b ~= None then return a:ne(b) end
  if is_tensor(b) and a ~= None then return b:ne(a) end
  return not truth(M.equal(a, b))
end

local function less(a, b)
  local x, y = number_of(a), number_of(b)
  if x and y then return x < y end
  if type(a) == "string" and type(b) == "string" then return a < b end
  if values.is_sequence(a) and getmetatable(a) == getmetatable(b) then
    for i = 1, math.min(a.n, b.n) do
      if not truth(M.equal(a[i], b[i])) then return less(a[i], b[i]) end
    end
    return a.n < b.n
  end
  fail("TypeError", "'<' not supported between instances of '%s' and '%s'", type_name(a), type_name(b))
end

local function tensor_comparison(method, mirrored, otherwise)
  return function(a, b)
    if math_type(a) and math_type(b) then return otherwise(a, b) end
    if is_tensor(a) then return a[method](a, b) end
    if is_tensor(b) then return b[mirrored](b, a) end
    return otherwise(a, b)
  end
end

M.less = tensor_comparison("lt", "gt", less)
M.greater = tensor_comparison("gt", "lt", function(a, b) return less(b, a) end)
M.less_equal = tensor_comparison("le", "ge", function(a, b)
  local x, y = number_of(a), number_of(b)
  if x and y then return x <= y end
  return not less(b, a)
end)
M.greater_equal = tensor_comparison("ge", "le", function(a, b)
  local x, y = number_of(a), number_of(b)
  if x and y then return x >= y end
  return not less(a, b)
end)

---a in b
function M.contains(b, a)
  if type(b) == "string" then
    if type(a) ~= "string" then fail("TypeError", "'in <string>' requires string as left operand") end
    return b:find(a, 1, true) ~= nil
  end
  if getmetatable(b) == Dict then return b.at[M.key(a)] ~= nil end
  for _, item in M.iterate(b) do
    if rawequal(item, a) or truth(M.equal(item, a)) then return true end
  end
  return false
end

-- ---- iteration -------------------------------------------------------------------------------------

local function integer_of(v)
  if math_type(v) == "integer" then return v end
  if type(v) == "boolean" then return v and 1 or 0 end
  if is_tensor(v) and v:numel() == 1 and not v:is_floating_point() then return integer_of(v:item()) end
  fail("TypeError", "'%s' object cannot be interpreted as an integer", type_name(v))
end
M.integer = integer_of

---The bounds of `range(...)` for Lua's numeric for: first, last, step.
function M.bounds(a, b, c)
  local start, stop, step = 0, integer_of(a), 1
  if b ~= nil then
    start, stop = stop, integer_of(b)
  end
  if c ~= nil then step = integer_of(c) end
  if step == 0 then fail("ValueError", "range() arg 3 must not be zero") end
  return start, step > 0 and stop - 1 or stop + 1, step
end

local function next_item(list, i)
  i = i + 1
  if i <= list.n then return i, list[i] end
end

local function next_row(t, i)
  i = i + 1
  if i <= #t then return i, t[i] end
end

local function next_number(range, i)
  local value = range.start + i * range.step
  if range.step > 0 and value < range.stop or range.step < 0 and value > range.stop then
    return i + 1, value
  end
end

---For Lua's generic for: a number, and the item.
function M.iterate(v)
  local mt = getmetatable(v)
  if mt == List or mt == Tuple then return next_item, v, 0 end
  if mt == values.Range then return next_number, v, 0 end
  if is_tensor(v) then
    if v:dim() == 0 then fail("TypeError", "iteration over a 0-d tensor") end
    return next_row, v, 0
  end
  if mt == Dict then return next_item, { n = #v.keys, table.unpack(v.keys) }, 0 end
  if type(v) == "string" then return next_item, M.characters(v), 0 end
  fail("TypeError", "'%s' object is not iterable", type_name(v))
end

---A list of what a value iterates over.
function M.collect(v)
  local list = { n = 0 }
  for i, item in M.iterate(v) do
    M.step()
    list.n = i
    list[i] = item
  end
  return setmetatable(list, List)
end

---As many values as there are targets.
function M.unpack(v, n)
  local list = values.is_sequence(v) and v or M.collect(v)
  if list.n ~= n then
    fail(
      "ValueError",
      list.n > n and "too many values to unpack (expected %d)"
        or "not enough values to unpack (expected %d, got %d)",
      n,
      list.n
    )
  end
  return table.unpack(list, 1, n)
end

---The same with a starred target after `before` others: what it takes is a list.
function M.unpack_starred(v, before, after)
  local list = M.collect(v)
  local most = list.n - before - after
  if most < 0 then
    fail("ValueError", "not enough values to unpack (expected at least %d)", before + after)
  end
  local out = table.move(list, 1, before, 1, {})
  out[before + 1] = values.list(table.move(list, before + 1, before + most, 1, {}), most)
  table.move(list, before + most + 1, list.n, before + 2, out)
  return table.unpack(out, 1, before + after + 1)
end

-- ---- indexing --------------------------------------------------------------------------------------

---A dict's key for a value: tuples by what they hold.
function M.key(v)
  if getmetatable(v) ~= Tuple then return v end
  return "tuple " .. values.repr(v)
end

local function position(v)
  local i = integer_of(v)
  return i >= 0 and i + 1 or i
end

-- hone's range of a slice: both ends are in it, and count from 1.
local function range_of(slice)
  local start, stop, step = slice.start, slice.stop, slice.step
  start = start == nil and 1 or position(start)
  if stop == nil then
    stop = -1
  else
    stop = integer_of(stop)
    if stop < 0 then stop = stop - 1 end
  end
  if step ~= nil then
    step = integer_of(step)
    if step <= 0 then fail("ValueError", "step must be greater than zero") end
  end
  return { start, stop, step }
end

local function is_whole(slice) return slice.start == nil and slice.stop == nil and slice.step == nil end

-- A list of integers or bools in a key stands for a tensor.
local function tensor_of_list(list)
  local plain = {}
  for i = 1, list.n do
    plain[i] = values.is_sequence(list[i]) and tensor_of_list(list[i]):tolist() or list[i]
  end
  return tensor.new(plain)
end

local function key_item(v)
  if math_type(v) == "integer" then return v >= 0 and v + 1 or v end
  if is_tensor(v) then
    if v:dim() == 0 and v.dtype ~= "bool" then return position(v) end
    return v
  end
  if v == None then return tensor.newaxis end
  if v == values.Ellipsis then return tensor.ellipsis end
  local mt = getmetatable(v)
  if mt == values.Slice then return is_whole(v) and tensor.all or range_of(v) end
  if mt == List then return tensor_of_list(v) end
  if type(v) == "boolean" then return tensor.new(v) end
  fail(
    "IndexError",
    "only integers, slices, ellipsis, None and tensors index a tensor, not '%s'",
    type_name(v)
  )
end

---A tensor's key, as hone takes it.
local function tensor_key(key)
  local kind = type(key)
  if kind == "number" then return position(key) end
  local known = kind == "table" and key.tensor_key -- of a key that stands in the source
  if known then return known end
  if getmetatable(key) == Tuple then
    local items = {}
    for i = 1, key.n do
      items[i] = key_item(key[i])
    end
    return items
  end
  local item = key_item(key)
  return type(item) == "number" and item or { item }
end

---A key that is the same each time: what a tensor takes for it is worked out once.
function M.constant_key(key)
  local is_plain = getmetatable(key) == Tuple or getmetatable(key) == values.Slice
  local ok, known = pcall(tensor_key, key) -- a list's slice may be none of a tensor's
  if is_plain and ok then key.tensor_key = known end
  return key
end

function M.slice(start, stop, step)
  local function part(v)
    if v ~= None then return v end
  end
  return setmetatable({ start = part(start), stop = part(stop), step = part(step) }, values.Slice)
end

local function slice_sequence(list, slice, n, get)
  local step = slice.step and integer_of(slice.step) or 1
  if step == 0 then fail("ValueError", "slice step cannot be zero") end
  local function bound(v, otherwise)
    if v == nil then return otherwise end
    v = integer_of(v)
    if v < 0 then v = v + n end
    local least, most = step > 0 and 0 or -1, step > 0 and n or n - 1
    return math.max(least, math.min(most, v))
  end
  local first = bound(slice.start, step > 0 and 0 or n - 1)
  local last = bound(slice.stop, step > 0 and n or -1)
  local out = { n = 0 }
  for i = first, step > 0 and last - 1 or last + 1, step do
    out.n = out.n + 1
    out[out.n] = get(list, i + 1)
  end
  return out
end

local function sequence_place(list, key, name)
  local i = integer_of(key)
  if i < 0 then i = i + list.n end
  if i < 0 or i >= list.n then fail("IndexError", "%s index out of range", name) end
  return i + 1
end

-- A string's characters, as a list.
local function characters(text)
  local list = { n = 0 }
  for _, code in utf8.codes(text, true) do
    list.n = list.n + 1
    list[list.n] = utf8.char(code)
  end
  return list
end

M.characters = characters

local function index_text(text, key)
  local list = characters(text)
  if getmetatable(key) ~= values.Slice then return list[sequence_place(list, key, "string")] end
  return table.concat(slice_sequence(list, key, list.n, function(from, i) return from[i] end))
end

local function index_dict(dict, key)
  local value = dict.at[M.key(key)]
  if value == nil then fail("KeyError", "%s", values.repr(key)) end
  return value
end

---v[key]
function M.index(v, key)
  if is_tensor(v) then return v[tensor_key(key)] end
  local mt = getmetatable(v)
  if mt == Tuple or mt == List then
    if getmetatable(key) == values.Slice then
      return setmetatable(slice_sequence(v, key, v.n, function(list, i) return list[i] end), mt)
    end
    return v[sequence_place(v, key, mt.__name)]
  end
  if mt == Dict then return index_dict(v, key) end
  if type(v) == "string" then return index_text(v, key) end
  if mt == values.Range then return M.index(M.collect(v), key) end
  if mt == values.Type then return v end -- list[int], of an annotation
  fail("TypeError", "'%s' object is not subscriptable", type_name(v))
end

function M.set_dict(dict, key, value)
  local known = M.key(key)
  if dict.at[known] == nil then dict.keys[#dict.keys + 1] = key end
  dict.at[known] = value
end

---v[key] = value
function M.set_index(v, key, value)
  if is_tensor(v) then
    if values.is_sequence(value) then value = tensor_of_list(value) end
    v[tensor_key(key)] = value
    return
  end
  local mt = getmetatable(v)
  if mt == List and getmetatable(key) ~= values.Slice then
    v[sequence_place(v, key, "list")] = value
  elseif mt == Dict then
    M.set_dict(v, key, value)
  else
    fail("TypeError", "'%s' object does not support item assignment", type_name(v))
  end
end

---v[key] <symbol>= value: a tensor's part is written into where it lies.
function M.augment_index(symbol, v, key, value)
  if is_tensor(v) then
    local items = tensor_key(key)
    v[items] = operate(symbol, v[items], value)
  else
    M.set_index(v, key, M.augment(symbol, M.index(v, key), value))
  end
end

-- ---- calls and attributes --------------------------------------------------------------------------

-- A Python function in Lua: function(keywords or nil, positional arguments...).

---Arguments of a function by its signature: { name, names, required, keyword_only, defaults, rest, keywords }.
function M.bind(signature, keywords, ...)
  local names, given = signature.names, table.pack(...)
  local bound, n = table.move(given, 1, #names, 1, {}), #names + signature.keyword_only
  if given.n > #names and not signature.rest then
    fail("TypeError", "%s() takes %d positional arguments but %d were given", signature.name, #names, given.n)
  end
  local more = {}
  for name, value in pairs(keywords or {}) do
    local at = signature.at[name]
    if at then
      if bound[at] ~= nil then
        fail("TypeError", "%s() got multiple values for argument '%s'", signature.name, name)
      end
      bound[at] = value
    elseif signature.keywords then
      more[name] = value
    else
      fail("TypeError", "%s() got an unexpected keyword argument '%s'", signature.name, name)
    end
  end
  for i = 1, n do
    if bound[i] == nil then bound[i] = signature.defaults[i] end
    if bound[i] == nil then
      fail("TypeError", "%s() missing a required argument: '%s'", signature.name, signature.all[i])
    end
  end
  if signature.rest then
    n = n + 1
    local extra = math.max(given.n - #names, 0)
    bound[n] = values.tuple(table.move(given, #names + 1, given.n, 1, {}), extra)
  end
  if signature.keywords then
    n = n + 1
    bound[n] = M.dict_of(more)
  end
  return table.unpack(bound, 1, n)
end

---A dict of Lua's string keys, sorted, for a table has no order of its own.
function M.dict_of(map)
  local dict = setmetatable({ keys = {}, at = map }, Dict)
  for key in pairs(map) do
    dict.keys[#dict.keys + 1] = key
  end
  table.sort(dict.keys)
  return dict
end

---f(...)
function M.call(f, keywords, ...)
  if type(f) == "function" then return f(keywords, ...) end
  local mt = getmetatable(f)
  if mt == values.Type and f.call then return f.call(keywords, ...) end
  fail("TypeError", "'%s' object is not callable", type_name(f))
end

---Positional arguments with starred ones: parts are { value } or { starred = value }.
function M.spread(parts)
  local list = { n = 0 }
  for _, part in ipairs(parts) do
    if part.starred then
      for _, item in M.iterate(part.starred) do
        list.n = list.n + 1
        list[list.n] = item
      end
    else
      list.n = list.n + 1
      list[list.n] = part[1]
    end
  end
  return table.unpack(list, 1, list.n)
end

---Keywords with those of a dict.
function M.merge_keywords(keywords, dict)
  for _, key in ipairs(dict.keys) do
    keywords[key] = dict.at[key]
  end
  return keywords
end

M.tensor_methods, M.tensor_attributes = {}, {} -- filled in by torch.lua
M.parameters = {} -- by function: { [name] = place }, of those whose arguments may be put in place beforehand
M.object_methods = {} -- by metatable: { [name] = function(keywords, self, ...) }

local function no_attribute(v, name)
  fail("AttributeError", "'%s' object has no attribute '%s'", type_name(v), name)
end

local function method_of(v, name)
  if is_tensor(v) then
    local method = M.tensor_methods[name]
    if not method then fail("NotImplementedError", "hone knows no tensor method '%s'", name) end
    return method
  end
  local kind = type(v) == "string" and "str" or getmetatable(v)
  local methods = M.object_methods[kind]
  return methods and methods[name]
end

---v.name(...)
function M.call_method(v, name, keywords, ...)
  local method = method_of(v, name)
  if method then return method(keywords, v, ...) end
  return M.call(M.attribute(v, name), keywords, ...)
end

---v.name
function M.attribute(v, name)
  if is_tensor(v) then
    local get = M.tensor_attributes[name]
    if get then return get(v) end
    local method = method_of(v, name)
    return function(keywords, ...) return method(keywords, v, ...) end
  end
  local mt = getmetatable(v)
  if mt == values.Module or mt == values.Record then
    local value = (v.members or v.fields)[name]
    if value ~= nil then return value end
    no_attribute(v, name)
  end
  if mt == Tuple and v[name] ~= nil and name ~= "n" then return v[name] end -- torch.max(x, 0).values
  if mt == values.Device and (name == "type" or name == "index") then return v[name] end
  if mt == values.DType then
    if name == "itemsize" then return tensor.empty(0, v.name):element_size() end
    if name == "is_floating_point" then return tensor.empty(0, v.name):is_floating_point() end
  end
  local method = type(v) ~= "nil" and method_of(v, name)
  if not method then no_attribute(v, name) end
  return function(keywords, ...) return method(keywords, v, ...) end
end

-- ---- control ---------------------------------------------------------------------------------------

function M.raise(v, detail)
  if type(v) == "table" and v.exception then
    error(v.exception .. (v.message ~= "" and ": " .. v.message or ""), 0)
  end
  if getmetatable(v) == values.Type then error(v.name, 0) end
  fail("TypeError", "exceptions must derive from BaseException%s", detail or "")
end

function M.assertion(message)
  error(message == nil and "AssertionError" or "AssertionError: " .. values.str(message), 0)
end

---A value as an f-string shows it.
function M.format(v, conversion, spec)
  if conversion == "r" then v = values.repr(v) end
  if not spec then return values.str(v) end
  if is_tensor(v) and v:numel() == 1 then v = v:item() end
  if type(v) == "table" then v = values.str(v) end
  return require("hone.python.format").format(v, spec)
end

---a and b, a or b: `b` is a function, called where it counts.
function M.both(a, b)
  if truth(a) then return b() end
  return a
end

function M.either(a, b)
  if truth(a) then return a end
  return b()
end

function M.ignore() end

-- ---- making ----------------------------------------------------------------------------------------

function M.pack(class, ...)
  local list = table.pack(...)
  return setmetatable(list, class)
end

function M.make_dict(entries)
  local dict = setmetatable({ keys = {}, at = {} }, Dict)
  for _, entry in ipairs(entries) do
    M.set_dict(dict, entry[1], entry[2])
  end
  return dict
end

local signatures = setmetatable({}, { __mode = "k" })

---The names of a Python function's parameters; nil for any other function.
function M.parameter_names(f)
  local signature = signatures[f]
  return signature and signature.all
end

---A function of Python: `make(signature)` gives it, with the defaults as they are where it is defined.
function M.with_defaults(signature, defaults, make)
  local own = { defaults = defaults }
  for key, value in pairs(signature) do
    own[key] = value
  end
  local f = make(own)
  signatures[f] = own
  return f
end

-- ---- bounds ----------------------------------------------------------------------------------------

local left = math.huge -- of the iterations that a run may take

function M.set_steps(steps) left = steps or math.huge end

---Called once in each iteration of a loop.
function M.step()
  left = left - 1
  if left < 0 then
    fail("RuntimeError", "the loops have gone round too often: an endless loop? (raise the bound with steps)")
  end
end

M.setmetatable, M.rawequal, M.select, M.math_type = setmetatable, rawequal, select, math_type

return M
