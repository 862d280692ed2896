--- Operators: arithmetic with Python's rules, comparison, membership.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"

local types, None = core.types, core.None
local class_of, lookup, lookup_own = core.class_of, core.lookup, core.lookup_own
local mtype, floor = math.type, math.floor
local plain = unknown.plain
local ops = {}

-- ---- numbers ------------------------------------------------------------------------------------

local function overflow() return unknown.report("integer overflow") end

local function divide_by_zero(what) core.raise("ZeroDivisionError", what) end

local function power(a, b)
  if mtype(a) == "integer" and mtype(b) == "integer" and b >= 0 then
    if a == 2 then return b < 63 and 1 << b or overflow() end
    local result, base = 1, a
    if math.abs(a * 1.0) ^ b >= 2.0 ^ 63 then return overflow() end
    while b > 0 do
      if b & 1 == 1 then result = result * base end
      b = b >> 1
      if b > 0 then base = base * base end
    end
    return result
  end
  if a == 0 and b < 0 then divide_by_zero("0.0 cannot be raised to a negative power") end
  if a < 0 and b ~= floor(b) then return unknown.report("complex number") end
  return (a * 1.0) ^ b
end

local function shift_left(a, b)
  if b < 0 then core.raise("ValueError", "negative shift count") end
  if a == 0 then return 0 end
  if b > 62 or (a << b) >> b ~= a or (a << b) < 0 ~= (a < 0) then return overflow() end
  return a << b
end

local function integers(a, b, symbol)
  if mtype(a) ~= "integer" or mtype(b) ~= "integer" then
    core.raise(
      "TypeError",
      "unsupported operand type(s) for %s: '%s' and '%s'",
      symbol,
      class_of(a).name,
      class_of(b).name
    )
  end
end

---Arithmetic on plain Lua numbers.
local numeric = {
  ["+"] = function(a, b)
    local sum = a + b
    if mtype(sum) == "integer" and ((a ~ sum) & (b ~ sum)) < 0 then return overflow() end
    return sum
  end,
  ["-"] = function(a, b)
    local difference = a - b
    if mtype(difference) == "integer" and ((a ~ b) & (a ~ difference)) < 0 then return overflow() end
    return difference
  end,
  ["*"] = function(a, b)
    local product = a * b
    if mtype(product) == "integer" and math.abs((a * 1.0) * b) >= 2.0 ^ 63 then return overflow() end
    return product
  end,
  ["/"] = function(a, b)
    if b == 0 then
      divide_by_zero(
        mtype(a) == "integer" and mtype(b) == "integer" and "division by zero" or "float division by zero"
      )
    end
    return a / b
  end,
  ["//"] = function(a, b)
    if b == 0 then
      divide_by_zero(
        mtype(a) == "integer" and mtype(b) == "integer" and "integer division or modulo by zero"
          or "float floor division by zero"
      )
    end
    return a // b
  end,
  ["%"] = function(a, b)
    if b == 0 then
      divide_by_zero(
        mtype(a) == "integer" and mtype(b) == "integer" and "integer modulo by zero" or "float modulo"
      )
    end
    return a % b
  end,
  ["**"] = power,
  ["<<"] = function(a, b)
    integers(a, b, "<<")
    return shift_left(a, b)
  end,
  [">>"] = function(a, b)
    integers(a, b, ">>")
    if b > 63 then return a < 0 and -1 or 0 end
    return a // (1 << math.min(b, 62)) // (b == 63 and 2 or 1)
  end,
  ["&"] = function(a, b)
    integers(a, b, "&")
    return a & b
  end,
  ["|"] = function(a, b)
    integers(a, b, "|")
    return a | b
  end,
  ["^"] = function(a, b)
    integers(a, b, "^")
    return a ~ b
  end,
}

-- ---- sequences and sets -------------------------------------------------------------------------

local function concatenate(a, b, class)
  core.charge(a.n + b.n)
  local items = table.move(a, 1, a.n, 1, {})
  table.move(b, 1, b.n, a.n + 1, items)
  items.cls, items.n = class, a.n + b.n
  return items
end

local function repeated(seq, count)
  if type(seq) == "string" then
    core.charge(#seq * math.max(count, 0) // 16)
    return seq:rep(count)
  end
  local n = seq.n
  core.charge(n * math.max(count, 0))
  local items =
    { cls = core.is_subclass(seq.cls, types.list) and types.list or types.tuple, n = n * math.max(count, 0) }
  for i = 0, count - 1 do
    table.move(seq, 1, n, i * n + 1, items)
  end
  return items
end

local function set_operation(a, b, symbol)
  local result = dict.new(a.cls == types.dict_keys and types.set or a.cls)
  local va, vb = a, b
  if a.source then va = ops.set_of(a) end
  if b.source then vb = ops.set_of(b) end
  if symbol == "|" or symbol == "^" or symbol == "-" or symbol == "&" then
    for k in dict.each(va) do
      local inside = vb.vals[dict.key_of(k)] ~= nil
      if symbol == "|" or (symbol == "&") == inside and symbol ~= "^" or symbol == "^" and not inside then
        dict.set(result, k, true)
      end
    end
  end
  if symbol == "|" or symbol == "^" then
    for k in dict.each(vb) do
      if symbol == "|" or va.vals[dict.key_of(k)] == nil then dict.set(result, k, true) end
    end
  end
  return result
end

local function is_set(v)
  return type(v) == "table"
    and (
      v.cls == types.dict_keys
      or v.vals ~= nil and (core.is_subclass(v.cls, types.set) or core.is_subclass(v.cls, types.frozenset))
    )
end
ops.is_set = is_set

---X | Y of types, as annotations write it; nil for other values.
function ops.union(a, b)
  local parts = {}
  for i, side in ipairs { a, b } do
    if side == None then
      parts[i] = types.NoneType
    elseif core.is_class(side) or type(side) == "table" and (side.subscriptable or side.union) then
      parts[i] = side
    else
      return nil
    end
  end
  return { cls = types.object, union = core.tuple(parts), subscriptable = true }
end

---What the built-in types do with an operator; nil when they do nothing.
local function builtin_operation(symbol, a, b)
  local ta, tb = type(a), type(b)
  if symbol == "+" then
    if ta == "string" and tb == "string" then
      core.charge((#a + #b) // 64)
      return a .. b
    end
    if ta == "table" and tb == "table" and a.n and b.n then
      if core.is_subclass(a.cls, types.list) and core.is_subclass(b.cls, types.list) then
        return concatenate(a, b, types.list)
      end
      if core.is_subclass(a.cls, types.tuple) and core.is_subclass(b.cls, types.tuple) then
        return concatenate(a, b, types.tuple)
      end
    end
  elseif symbol == "*" then
    if mtype(b) == "integer" and (ta == "string" or ta == "table" and a.n) then return repeated(a, b) end
    if mtype(a) == "integer" and (tb == "string" or tb == "table" and b.n) then return repeated(b, a) end
  elseif symbol == "%" and ta == "string" then
    return require("hone.python.format").percent(a, b)
  elseif is_set(a) and is_set(b) then
    return set_operation(a, b, symbol)
  elseif symbol == "|" and ta == "table" and tb == "table" then
    if a.vals and b.vals then
      local result = dict.copy(a)
      for k, v in dict.each(b) do
        dict.set(result, k, v)
      end
      return result
    end
  end
  if symbol == "|" then return ops.union(a, b) end
end

local DUNDER = {
  ["+"] = "add",
  ["-"] = "sub",
  ["*"] = "mul",
  ["/"] = "truediv",
  ["//"] = "floordiv",
  ["%"] = "mod",
  ["**"] = "pow",
  ["<<"] = "lshift",
  [">>"] = "rshift",
  ["&"] = "and",
  ["|"] = "or",
  ["^"] = "xor",
  ["@"] = "matmul",
}

local function user_operation(symbol, a, b)
  local name = DUNDER[symbol]
  local ca, cb = class_of(a), class_of(b)
  local left = not ca.builtin and lookup(ca, "__" .. name .. "__")
  local right = not cb.builtin and lookup(cb, "__r" .. name .. "__")
  if right and ca ~= cb and core.is_subclass(cb, ca) then
    local v = core.call(right, { b, a, n = 2 })
    if v ~= core.NotImplemented then return v end
    right = nil
  end
  if left then
    local v = core.call(left, { a, b, n = 2 })
    if v ~= core.NotImplemented then return v end
  end
  if right then
    local v = core.call(right, { b, a, n = 2 })
    if v ~= core.NotImplemented then return v end
  end
end

-- What an open class written in Lua says of an operation, whatever the other operand is: a tensor stays one.
local function open_operation(symbol, a, b)
  local ca, cb = class_of(a), class_of(b)
  local own = ca.open and ca.builtin and ca.dict["__" .. DUNDER[symbol] .. "__"]
  if own then return core.call(own, { a, b, n = 2 }) end
  own = cb.open and cb.builtin and cb.dict["__r" .. DUNDER[symbol] .. "__"]
  if own then return core.call(own, { b, a, n = 2 }) end
end

local function unknown_operation(symbol, a, b)
  if a and unknown.is(a) and a.alts then
    return unknown.map(a, function(alt) return ops.binary(symbol, alt, b) end)
  end
  if unknown.is(b) and b.alts then
    return unknown.map(b, function(alt) return ops.binary(symbol, a, alt) end)
  end
  return unknown.new("(" .. symbol .. ")")
end

local function number_of(v)
  if type(v) == "boolean" then return v and 1 or 0 end
  if mtype(v) then return v end
end

---Any other pair of operands than two plain numbers.
local function general(symbol, a, b)
  if (unknown.is_tested(a) or unknown.is_tested(b)) and numeric[symbol] then
    local number = unknown.derived(a, b, numeric[symbol])
    if number then return number end
  end
  local v = open_operation(symbol, a, b)
  if v ~= nil then return v end
  if unknown.is(a) or unknown.is(b) then return unknown_operation(symbol, a, b) end
  v = user_operation(symbol, a, b)
  if v ~= nil then return v end
  local pa, pb = plain(a), plain(b)
  if
    type(pa) == "boolean"
    and type(pb) == "boolean"
    and (symbol == "&" or symbol == "|" or symbol == "^")
  then
    if symbol == "&" then return pa and pb end
    if symbol == "|" then return pa or pb end
    return pa ~= pb
  end
  local na, nb = number_of(pa), number_of(pb)
  if na and nb and numeric[symbol] then
    v = numeric[symbol](na, nb)
    local traced = type(a) == "table" and a.how or type(b) == "table" and b.how
    if traced and mtype(v) then return unknown.traced(v, { op = symbol, a, b }) end
    return v
  end
  v = builtin_operation(symbol, pa, pb)
  if v ~= nil then return v end
  if class_of(a).open or class_of(b).open then return unknown.new("(" .. symbol .. ")") end
  if symbol == "+" and type(pa) == "table" and pa.n then
    core.raise(
      "TypeError",
      'can only concatenate %s (not "%s") to %s',
      pa.cls.name,
      class_of(b).name,
      pa.cls.name
    )
  elseif symbol == "+" and type(pa) == "string" then
    core.raise("TypeError", 'can only concatenate str (not "%s") to str', class_of(b).name)
  end
  core.raise(
    "TypeError",
    "unsupported operand type(s) for %s: '%s' and '%s'",
    symbol == "**" and "** or pow()" or symbol,
    class_of(a).name,
    class_of(b).name
  )
end

---a <symbol> b for any two values.
function ops.binary(symbol, a, b)
  if mtype(a) and mtype(b) and numeric[symbol] then return numeric[symbol](a, b) end
  return general(symbol, a, b)
end

---a <symbol>= b: lists, dicts and sets change in place.
function ops.inplace(symbol, a, b)
  if mtype(a) and mtype(b) and numeric[symbol] then return numeric[symbol](a, b) end
  if type(a) == "table" and not a.unknown then
    local class = a.cls
    local own, owner = lookup(class, "__i" .. DUNDER[symbol] .. "__")
    if own and not owner.builtin then
      local v = core.call(own, { a, b, n = 2 })
      if v ~= core.NotImplemented then return v end
    end
    if symbol == "+" and a.n and core.is_subclass(class, types.list) then
      core.call_method(a, "extend", b)
      return a
    end
    if symbol == "|" and a.vals and not unknown.is(b) and class ~= types.frozenset then
      core.call_method(a, "update", b)
      return a
    end
    if is_set(a) and is_set(b) and class ~= types.frozenset then
      local result = set_operation(a, b, symbol)
      dict.clear(a)
      for k in dict.each(result) do
        dict.set(a, k, true)
      end
      return a
    end
  end
  return general(symbol, a, b)
end

local function negate(v)
  if v == math.mininteger and mtype(v) == "integer" then return overflow() end
  return -v
end

local UNARY = {
  ["-"] = { "__neg__", negate },
  ["+"] = { "__pos__", function(v) return v end },
  ["~"] = {
    "__invert__",
    function(v)
      integers(v, 0, "~")
      return ~v
    end,
  },
}

function ops.unary(symbol, v)
  local name, fn = UNARY[symbol][1], UNARY[symbol][2]
  if mtype(v) then return fn(v) end
  if unknown.is(v) then
    if v.alts then
      return unknown.map(v, function(alt) return ops.unary(symbol, alt) end)
    end
    return unknown.new("(" .. symbol .. ")")
  end
  local class = class_of(v)
  local own = (class.open or not class.builtin) and lookup(class, name)
  if own then return core.call(own, { v, n = 1 }) end
  local n = number_of(plain(v))
  if n then
    local result = fn(n)
    if type(v) == "table" and v.how and mtype(result) then
      return unknown.traced(result, { op = symbol, v })
    end
    return result
  end
  if class.open then return unknown.new("(" .. symbol .. ")") end
  core.raise("TypeError", "bad operand type for unary %s: '%s'", symbol, class.name)
end

-- ---- comparison ---------------------------------------------------------------------------------

local function all_of(result, one)
  if one == false or result == false then return false end
  if one == nil or result == nil then return nil end
  return true
end

local function sequences_equal(a, b)
  if a.n ~= b.n then return false end
  local result = true
  for i = 1, a.n do
    result = all_of(result, ops.equal(a[i], b[i]))
    if result == false then return false end
  end
  return result
end

local function dicts_equal(a, b)
  if a.count ~= b.count then return false end
  local result = true
  for k, v in dict.each(a) do
    local other = dict.get(b, k)
    if other == nil then return false end
    result = all_of(result, v == true and other == true or ops.equal(v, other))
    if result == false then return false end
  end
  return result
end

local function unknown_equal(a, b)
  if rawequal(a, b) then return true end
  if unknown.is(a) and a.alts or unknown.is(b) and b.alts then
    local choice, other = a, b
    if not (unknown.is(a) and a.alts) then
      choice, other = b, a
    end
    local first = ops.equal(choice.alts[1], other)
    for i = 2, #choice.alts do
      if ops.equal(choice.alts[i], other) ~= first then return nil end
    end
    return first
  end
  return nil
end

-- A method by which a class compares its instances; those of classes written in Lua count when they are open.
local function comparison(class, name)
  if not class.builtin then return lookup_own(class, name) end
  return class.open and class.dict[name] or nil
end

---a == b: true, false, or nil when not known.
function ops.equal(a, b)
  if rawequal(a, b) then return a == a end
  local ta, tb = type(a), type(b)
  if ta ~= "table" and tb ~= "table" then
    if ta == "boolean" then
      a, ta = a and 1 or 0, "number"
    end
    if tb == "boolean" then
      b, tb = b and 1 or 0, "number"
    end
    return ta == tb and a == b
  end
  if unknown.is(a) or unknown.is(b) then return unknown_equal(a, b) end
  if unknown.is_tested(a) or unknown.is_tested(b) then
    local equal = unknown.tested(a, b, function(x, y) return x == y end)
    if equal ~= nil then return equal end
  end
  local ca, cb = class_of(a), class_of(b)
  for _, side in ipairs { { ca, a, b }, { cb, b, a } } do
    local own = comparison(side[1], "__eq__")
    if own then
      local v = core.call(own, { side[2], side[3], n = 2 })
      if v ~= core.NotImplemented then return object.truth(v) end
    end
  end
  if ta == "table" and a.boxed then a = a.value end
  if tb == "table" and b.boxed then b = b.value end
  if type(a) ~= "table" and type(b) ~= "table" then return ops.equal(a, b) end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  if a.n and b.n and a.cls.name then
    local lists = core.is_subclass(ca, types.list) and core.is_subclass(cb, types.list)
    local tuples = core.is_subclass(ca, types.tuple) and core.is_subclass(cb, types.tuple)
    return (lists or tuples) and sequences_equal(a, b)
  end
  if is_set(a) and is_set(b) then return dicts_equal(ops.set_of(a), ops.set_of(b)) end
  if a.vals and b.vals then return is_set(a) == is_set(b) and dicts_equal(a, b) end
  if ca == types.range and cb == types.range then
    return a.start == b.start and a.stop == b.stop and a.step == b.step
  end
  if ca == types.bytes and cb == types.bytes then return a.data == b.data end
  if ca == types.method and cb == types.method then return a.func == b.func and a.self == b.self end
  return false
end

local ORDER = { ["<"] = "__lt__", ["<="] = "__le__", [">"] = "__gt__", [">="] = "__ge__" }
local SWAPPED = { ["<"] = "__gt__", ["<="] = "__ge__", [">"] = "__lt__", [">="] = "__le__" }
local compare_plain = {
  ["<"] = function(a, b) return a < b end,
  ["<="] = function(a, b) return a <= b end,
  [">"] = function(a, b) return a > b end,
  [">="] = function(a, b) return a >= b end,
}

local function order_sequences(symbol, a, b)
  for i = 1, math.min(a.n, b.n) do
    local equal = ops.equal(a[i], b[i])
    if equal == nil then return nil end
    if not equal then return object.truth(ops.order(symbol, a[i], b[i])) end
  end
  return compare_plain[symbol](a.n, b.n)
end

local function subset(a, b)
  for k in dict.each(a) do
    if b.vals[dict.key_of(k)] == nil then return false end
  end
  return true
end

local function order_sets(symbol, a, b)
  if symbol == "<=" then return subset(a, b) end
  if symbol == "<" then return a.count < b.count and subset(a, b) end
  if symbol == ">=" then return subset(b, a) end
  return b.count < a.count and subset(b, a)
end

---a < b and the like: a bool or an unknown.
function ops.order(symbol, a, b)
  local ta, tb = type(a), type(b)
  if ta == "number" and tb == "number" or ta == "string" and tb == "string" then
    return compare_plain[symbol](a, b)
  end
  if unknown.is(a) or unknown.is(b) then
    if unknown.is(a) and a.alts then
      return unknown.map(a, function(alt) return ops.order(symbol, alt, b) end)
    elseif unknown.is(b) and b.alts then
      return unknown.map(b, function(alt) return ops.order(symbol, a, alt) end)
    end
    return unknown.new("(" .. symbol .. ")")
  end
  if unknown.is_tested(a) or unknown.is_tested(b) then
    local ordered = unknown.tested(a, b, compare_plain[symbol])
    if ordered ~= nil then return ordered end
  end
  local ca, cb = class_of(a), class_of(b)
  local own = comparison(ca, ORDER[symbol])
  if own then
    local v = core.call(own, { a, b, n = 2 })
    if v ~= core.NotImplemented then return v end
  end
  own = comparison(cb, SWAPPED[symbol])
  if own then
    local v = core.call(own, { b, a, n = 2 })
    if v ~= core.NotImplemented then return v end
  end
  a, b = plain(a), plain(b)
  local na, nb = number_of(a), number_of(b)
  if na and nb then return compare_plain[symbol](na, nb) end
  if type(a) == "string" and type(b) == "string" then return compare_plain[symbol](a, b) end
  if is_set(a) and is_set(b) then return order_sets(symbol, ops.set_of(a), ops.set_of(b)) end
  if type(a) == "table" and type(b) == "table" and a.n and b.n then
    local v = order_sequences(symbol, a, b)
    if v == nil then return unknown.new("(" .. symbol .. ")") end
    return v
  end
  if ca.open or cb.open then return unknown.new("(" .. symbol .. ")") end
  core.raise("TypeError", "'%s' not supported between instances of '%s' and '%s'", symbol, ca.name, cb.name)
end

---needle in haystack: true, false, or nil when not known.
function ops.contains(haystack, needle)
  haystack = plain(haystack)
  if unknown.is(haystack) then
    if not haystack.alts then return nil end
    local first = ops.contains(haystack.alts[1], needle)
    for i = 2, #haystack.alts do
      if ops.contains(haystack.alts[i], needle) ~= first then return nil end
    end
    return first
  end
  if unknown.is_tested(needle) and type(haystack) == "table" and haystack.cls.builtin then
    return unknown.found(needle, function(number) return ops.contains(haystack, number) end)
  end
  if type(haystack) == "string" then
    if unknown.is(needle) then return nil end
    needle = plain(needle)
    if type(needle) ~= "string" then
      core.raise("TypeError", "'in <string>' requires string as left operand, not %s", class_of(needle).name)
    end
    return haystack:find(needle, 1, true) ~= nil
  end
  local class = class_of(haystack)
  local own = class.dict.__contains__
    or not class.builtin
      and (lookup_own(class, "__contains__") or not (type(haystack) == "table" and haystack.vals) and lookup(
        class,
        "__contains__"
      ))
  if own then return object.truth(core.call(own, { haystack, needle, n = 2 })) end
  if haystack.source and class == types.dict_keys then haystack = haystack.source end
  if type(haystack) == "table" and haystack.vals then
    if unknown.is(needle) then
      if haystack.count == 0 then return false end
      if not needle.alts then return nil end
      local first = ops.contains(haystack, needle.alts[1])
      for i = 2, #needle.alts do
        if ops.contains(haystack, needle.alts[i]) ~= first then return nil end
      end
      return first
    end
    if dict.get(haystack, needle) ~= nil then return true end
    if haystack.fuzzy then return nil end
    return false
  end
  local next_item = core.iterate(haystack)
  if not next_item then return nil end
  local result = false
  for item in next_item do
    core.charge(1)
    local equal = ops.equal(item, needle)
    if equal then return true end
    if equal == nil then result = nil end
  end
  return result
end

---A set's storage for a set or a dict's keys.
function ops.set_of(v)
  if v.vals then return v end
  local set = dict.new(types.set)
  for k in dict.each(v.source) do
    dict.set(set, k, true)
  end
  return set
end

function ops.identical(a, b)
  if rawequal(a, b) then return true end
  if unknown.is(a) or unknown.is(b) then
    if unknown.is(a) and a.alts or unknown.is(b) and b.alts then
      local choice, other = a, b
      if not (unknown.is(a) and a.alts) then
        choice, other = b, a
      end
      local first = ops.identical(choice.alts[1], other)
      for i = 2, #choice.alts do
        if ops.identical(choice.alts[i], other) ~= first then return nil end
      end
      return first
    end
    return nil
  end
  if type(a) == "table" and a.how and type(b) ~= "table" then return a.value == b end
  if type(b) == "table" and b.how and type(a) ~= "table" then return b.value == a end
  return false
end

---A truth value that may be unknown, as a Python value.
function ops.bool(v, origin)
  if v == nil then return unknown.new(origin or "comparison") end
  return v
end

return ops
