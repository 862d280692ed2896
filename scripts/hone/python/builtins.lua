--- Python's built-in functions and the constructors of its built-in types.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local format = require "hone.python.format"
local containers = require "hone.python.containers"
local constructors = require "hone.python.constructors"
require "hone.python.strings"

local types, None = core.types, core.None
local S = core.state
local plain, is_unknown = unknown.plain, unknown.is
local class_of, lookup = core.class_of, core.lookup
local builtins = {}

local keyword, converted, truncate = constructors.keyword, constructors.converted, constructors.truncate
builtins.keyword = keyword

-- ---- functions ----------------------------------------------------------------------------------

local raw, checked = {}, {}

function raw.print(args, kw)
  local parts = {}
  for i = 1, args.n do
    parts[i] = format.str(args[i])
  end
  local separator = plain(kw and kw.map.sep or " ")
  local ending = plain(kw and kw.map["end"] or "\n")
  if separator == None then separator = " " end
  if S.world.print then
    S.world.print(table.concat(parts, separator) .. (ending == None and "\n" or ending))
  end
end

function raw.isinstance(args)
  local v = object.isinstance(args[1], args[2])
  if v == nil then return unknown.new("isinstance()") end
  return v
end

function raw.issubclass(args)
  local v = object.issubclass(args[1], args[2])
  if v == nil then return unknown.new("issubclass()") end
  return v
end

function raw.getattr(args)
  local name = plain(args[2])
  if is_unknown(name) then return unknown.new("getattr()") end
  if args[3] == nil then return object.getattr(args[1], name) end
  local v = object.try_getattr(args[1], name)
  if v == nil then return args[3] end
  -- An attribute of something that we cannot see may be missing.
  if is_unknown(v) and is_unknown(args[1]) and not args[1].alts then return unknown.join(v, args[3]) end
  return v
end

function raw.hasattr(args)
  local obj, name = args[1], plain(args[2])
  if is_unknown(name) then return unknown.new("hasattr()") end
  if is_unknown(obj) then
    if obj.alts then
      return unknown.map(obj, function(alt) return raw.hasattr { alt, name, n = 2 } end)
    end
    return unknown.new("hasattr()")
  end
  local v = object.try_getattr(obj, name)
  if is_unknown(v) and type(obj) == "table" and obj.ghosts and obj.ghosts[name] == v then
    return unknown.new("hasattr()")
  end
  return v ~= nil
end

function raw.setattr(args) object.setattr(args[1], plain(args[2]), args[3]) end
function raw.delattr(args) object.delattr(args[1], plain(args[2])) end

function raw.callable(args)
  local v = args[1]
  if is_unknown(v) then return unknown.new("callable()") end
  if type(v) == "function" then return true end
  if type(v) ~= "table" then return false end
  return v.mro ~= nil or v.func ~= nil or v.code ~= nil or v.fn ~= nil or lookup(v.cls, "__call__") ~= nil
end

function raw.len(args)
  local v = args[1]
  if type(v) == "string" then return utf8.len(v) or #v end
  if type(v) == "table" then
    if v.unknown then
      if v.alts then
        return unknown.map(v, function(alt) return raw.len { alt, n = 1 } end)
      end
      return unknown.new("len(" .. v.origin .. ")")
    end
    local own = lookup(v.cls, "__len__")
    if own then return core.call(own, { v, n = 1 }) end
    if v.cls.open then return unknown.new("len()") end
  end
  core.raise("TypeError", "object of type '%s' has no len()", class_of(v).name)
end

local function extreme(symbol, name)
  return function(args, kw)
    local key = kw and kw.map.key
    local list = args
    if args.n == 1 then
      list = items.collect(args[1])
      if not list then return unknown.new(name .. "()") end
      if list.n == 0 then
        if kw and kw.map.default ~= nil then return kw.map.default end
        core.raise("ValueError", "%s() iterable argument is empty", name)
      end
    end
    local best, best_key, traced
    for i = 1, list.n do
      local v = list[i]
      if is_unknown(v) then
        if v.alts and list.n <= 4 and not key then
          return unknown.map(v, function(alt)
            local copy = table.move(list, 1, list.n, 1, { n = list.n })
            copy[i] = alt
            return raw[name]({ core.list(copy, list.n), n = 1 }, kw)
          end)
        end
        return unknown.new(name .. "()")
      end
      traced = traced or type(v) == "table" and v.how
      local k = key and key ~= None and core.call(key, { v, n = 1 }) or v
      local better = best == nil or object.truth(ops.order(symbol, k, best_key))
      if better == nil then return unknown.new(name .. "()") end
      if better then
        best, best_key = v, k
      end
    end
    if traced and math.type(best) then
      return unknown.traced(best, { call = name, table.unpack(list, 1, math.min(list.n, 4)) })
    end
    return best
  end
end
raw.min = extreme("<", "min")
raw.max = extreme(">", "max")

function raw.sum(args, kw)
  local list = items.collect(args[1])
  if not list then return unknown.new("sum()") end
  local total = keyword(args, kw, 2, "start", 0)
  for i = 1, list.n do
    total = ops.binary("+", total, list[i])
  end
  return total
end

local function quantifier(stops_at, name)
  return function(args)
    local next_item = core.iterate(args[1])
    if not next_item then return unknown.new(name .. "()") end
    local result = not stops_at
    for v in next_item do
      core.charge(1)
      local t = object.truth(v)
      if t == stops_at then return stops_at end
      if t == nil then result = nil end
    end
    if result == nil then return unknown.new(name .. "()") end
    return result
  end
end
raw.any = quantifier(true, "any")
raw.all = quantifier(false, "all")

function raw.abs(args)
  local v = args[1]
  local own = type(v) == "table" and not v.unknown and not v.boxed and lookup(v.cls, "__abs__")
  if own then return core.call(own, { v, n = 1 }) end
  return converted("abs", v, function(x)
    if type(x) == "boolean" then return x and 1 or 0 end
    if not math.type(x) then core.raise("TypeError", "bad operand type for abs(): '%s'", class_of(x).name) end
    return math.abs(x)
  end)
end

local function round_half_even(x)
  local low = math.floor(x)
  local rest = x - low
  if rest > 0.5 or rest == 0.5 and low % 2 == 1 then low = low + 1 end
  return low
end

function raw.round(args)
  local digits = args[2]
  return converted("round", args[1], function(x)
    if type(x) == "boolean" then x = x and 1 or 0 end
    if not math.type(x) then
      core.raise("TypeError", "type %s doesn't define __round__ method", class_of(x).name)
    end
    if digits == nil or digits == None then
      return math.type(x) == "integer" and x or truncate(round_half_even(x) * 1.0)
    end
    if math.type(x) == "integer" then
      if plain(digits) >= 0 then return x end
      local unit = 10 ^ -plain(digits)
      return math.tointeger(round_half_even(x / unit) * unit)
    end
    local places = plain(digits)
    if places < 0 then return round_half_even(x / 10 ^ -places) * 10 ^ -places * 1.0 end
    return tonumber(("%." .. places .. "f"):format(x)) * 1.0
  end)
end

function raw.divmod(args)
  return core.tuple { ops.binary("//", args[1], args[2]), ops.binary("%", args[1], args[2]) }
end

function raw.pow(args)
  local v = ops.binary("**", args[1], args[2])
  return args[3] and ops.binary("%", v, args[3]) or v
end

function raw.iter(args)
  local v = args[1]
  if args[2] ~= nil then
    local stop = args[2]
    return items.iterator(function()
      local value = core.call(v, { n = 0 })
      if ops.equal(value, stop) == false then return value end
    end)
  end
  if is_unknown(v) then return v end
  if type(v) == "table" and (v.cls == types.generator or v.next or lookup(v.cls, "__next__")) then
    return v
  end
  local own = type(v) == "table" and not v.cls.builtin and not v.mro and lookup(v.cls, "__iter__")
  if own then return core.call(own, { v, n = 1 }) end
  local next_item = core.iterate(v)
  return next_item and items.iterator(next_item) or unknown.new("iter()")
end

function raw.next(args)
  local it = args[1]
  if is_unknown(it) then return it.element or unknown.new("next()") end
  local v
  if it.next then
    v = it.next()
  elseif it.cls == types.generator then
    v = core.resume(it)
  else
    local own = lookup(it.cls, "__next__")
    if not own then core.raise("TypeError", "'%s' object is not an iterator", it.cls.name) end
    if args[2] == nil then return core.call(own, { it, n = 1 }) end
    local ok, value = core.protected(core.call, own, { it, n = 1 })
    if ok then return value end
    if not core.is_subclass(value.cls, types.StopIteration) then error(value, 0) end
  end
  if v ~= nil then return v end
  if args[2] ~= nil then return args[2] end
  error(core.exception(types.StopIteration, { it.result }), 0)
end

local function lazily(name, make)
  raw[name] = function(args, kw)
    local sources = {}
    for i = 1, args.n do
      sources[i] = args[i]
    end
    return make(sources, kw, args.n)
  end
end

lazily("enumerate", function(sources, kw)
  local next_item = core.iterate(sources[1])
  if not next_item then
    local lost = unknown.new("enumerate()")
    lost.element = core.tuple { unknown.new("an index"), sources[1].element or unknown.new("an item") }
    return lost
  end
  local i = plain(sources[2] or kw and kw.map.start or 0) - 1
  return items.iterator(function()
    local v = next_item()
    if v == nil then return nil end
    i = i + 1
    return core.tuple({ i, v }, 2)
  end)
end)

lazily("zip", function(sources, kw, n)
  local each = {}
  for i = 1, n do
    each[i] = core.iterate(sources[i])
    if not each[i] then
      local lost = unknown.new("zip()")
      local parts = {}
      for j = 1, n do
        parts[j] = unknown.new("an item")
      end
      lost.element = core.tuple(parts)
      return lost
    end
  end
  local strict = kw and kw.map.strict == true
  return items.iterator(function()
    if n == 0 then return nil end
    local list = {}
    for i = 1, n do
      local v = each[i]()
      if v == nil then
        if strict and i > 1 then
          core.raise("ValueError", "zip() argument %d is shorter than argument 1", i)
        end
        return nil
      end
      list[i] = v
    end
    return core.tuple(list, n)
  end)
end)

lazily("map", function(sources, _, n)
  local fn, each = sources[1], {}
  for i = 2, n do
    each[i - 1] = core.iterate(sources[i])
    if not each[i - 1] then
      local lost = unknown.new("map()")
      lost.element = core.call(fn, { sources[i].element or unknown.new("an item"), n = 1 })
      return lost
    end
  end
  return items.iterator(function()
    local args = { n = #each }
    for i, next_item in ipairs(each) do
      args[i] = next_item()
      if args[i] == nil then return nil end
    end
    return core.call(fn, args)
  end)
end)

lazily("filter", function(sources)
  local fn, next_item = sources[1], core.iterate(sources[2])
  if not next_item then return unknown.new("filter()") end
  return items.iterator(function()
    for v in next_item do
      local t = object.truth(fn == None and v or core.call(fn, { v, n = 1 }))
      if t ~= false then return v end
    end
  end)
end)

function raw.reversed(args)
  local v = args[1]
  local own = type(v) == "table" and not v.unknown and not v.cls.builtin and lookup(v.cls, "__reversed__")
  if own then return core.call(own, { v, n = 1 }) end
  local list = items.collect(v)
  if not list then return unknown.new("reversed()") end
  local i = list.n + 1
  return items.iterator(function()
    i = i - 1
    if i > 0 then return list[i] end
  end)
end

function raw.sorted(args, kw)
  local list = items.collect(args[1])
  local sorted = list
    and containers.sorted(list, kw and kw.map.key, kw and kw.map.reverse and object.truth(kw.map.reverse))
  if not sorted then
    local lost = unknown.new("sorted()")
    lost.element = type(args[1]) == "table" and args[1].element or nil
    return lost
  end
  return core.list(sorted, sorted.n)
end

function raw.vars(args)
  if args[1] == nil then return dict.new() end
  if is_unknown(args[1]) then return unknown.new("vars()") end
  return object.vars(args[1])
end

function raw.dir(args)
  local seen, list = {}, {}
  local v = args[1]
  if v == nil or is_unknown(v) then return unknown.new("dir()") end
  local function add(names)
    for _, name in ipairs(names) do
      if not seen[name] then
        seen[name] = true
        list[#list + 1] = name
      end
    end
  end
  if type(v) == "table" and v.cls == types.module then
    for k in dict.each(v.module:vars()) do
      add { k }
    end
  else
    add(type(v) == "table" and v.names or {})
    for _, class in ipairs((core.is_class(v) and v or class_of(v)).mro) do
      add(class.keys)
    end
  end
  table.sort(list)
  return core.list(list)
end

function raw.id(args) return core.id(args[1]) end

function raw.hash(args)
  if is_unknown(args[1]) then return unknown.new("hash()") end
  local key = dict.key_of(args[1])
  if math.type(key) == "integer" then return key end
  local h = 5381
  for c in (type(key) == "table" and tostring(core.id(key)) or tostring(key)):gmatch(".") do
    h = (h * 33 + c:byte()) & 0x7fffffffffff
  end
  return h
end

function raw.repr(args) return format.repr(args[1]) end
raw.ascii = raw.repr
function raw.format(args) return format.format(args[1], plain(args[2] or "")) end

---globals(): the names of the module, each evaluated when it is asked for.
local globals_class = core.builtin_class("globals")
core.methods(globals_class, {
  __getitem__ = function(args)
    local v = args[1].of:find(plain(args[2]))
    if v == nil then error(core.exception(types.KeyError, { args[2] }), 0) end
    return v
  end,
  __setitem__ = function(args)
    if is_unknown(args[2]) then return unknown.report("assignment to", "globals()[?]") end
    args[1].of:set(plain(args[2]), args[3])
  end,
  __contains__ = function(args)
    for _, name in ipairs(args[1].of:names()) do
      if name == plain(args[2]) then return true end
    end
    return false
  end,
  __iter__ = function(args) return core.list(args[1].of:names()) end,
  get = function(args)
    if is_unknown(args[2]) then return unknown.new("globals()[?]") end
    local v = args[1].of:find(plain(args[2]))
    if v ~= nil then return v end
    return args[3] == nil and None or args[3]
  end,
  keys = function(args) return core.list(args[1].of:names()) end,
  items = function(args) return core.call_method(args[1].of:vars(), "items") end,
  update = function(args)
    for k, v in dict.each(args[2]) do
      args[1].of:set(plain(k), v)
    end
  end,
}, true)

function raw.globals()
  local f = S.frame
  while f and not (f.code and f.code.module) do
    f = f.back
  end
  return { cls = globals_class, of = f.code.module }
end
function raw.locals() return unknown.report("built-in", "locals()") end

function checked.chr(args) return utf8.char(args[1]) end
function checked.ord(args) return utf8.codepoint(args[1]) end
function checked.bin(args) return (args[1] < 0 and "-" or "") .. format.format(math.abs(args[1]), "#b") end
function checked.hex(args) return (args[1] < 0 and "-" or "") .. format.format(math.abs(args[1]), "#x") end
function checked.oct(args) return (args[1] < 0 and "-" or "") .. format.format(math.abs(args[1]), "#o") end

for _, name in ipairs {
  "open",
  "input",
  "exec",
  "eval",
  "compile",
  "__import__",
  "memoryview",
  "bytearray",
  "breakpoint",
  "help",
} do
  raw[name] = function() return unknown.report("built-in", name .. "()") end
end

-- ---- methods every object has -------------------------------------------------------------------

core.methods(types.object, {
  __setattr__ = function(args) object.setattr_plain(args[1], plain(args[2]), args[3]) end,
  __delattr__ = function(args)
    if args[1].attrs then core.put(args[1].attrs, plain(args[2]), nil) end
  end,
  __getattribute__ = function(args) return object.getattr(args[1], plain(args[2])) end,
  __eq__ = function(args) return rawequal(args[1], args[2]) or core.NotImplemented end,
  __ne__ = function(args) return not rawequal(args[1], args[2]) end,
  __hash__ = function(args) return core.id(args[1]) end,
  __repr__ = function(args) return ("<%s object>"):format(args[1].cls.name) end,
  __str__ = function(args) return format.repr(args[1]) end,
  __init_subclass__ = function() end,
  __init__ = function() end,
  __new__ = function(args)
    local class = args[1]
    return { cls = class, attrs = {}, names = {} }
  end,
  __reduce__ = function() return unknown.new("__reduce__()") end,
}, true)

core.methods(types.generator, {
  send = function(args)
    local v = core.resume(args[1], args[2])
    if v == nil then error(core.exception(types.StopIteration, { args[1].result }), 0) end
    return v
  end,
  __next__ = function(args) return raw.next(args) end,
  __iter__ = function(args) return args[1] end,
  throw = function(args)
    local e = args[1 + 1]
    if core.is_class(e) then e = core.call(e, { n = 0 }) end
    if not args[1].started then
      args[1].done = true
      error(e, 0)
    end
    local v = core.resume(args[1], nil, e)
    if v == nil then error(core.exception(types.StopIteration, { args[1].result }), 0) end
    return v
  end,
  close = function(args) args[1].done = true end,
}, true)
core.methods(types.iterator, {
  __next__ = function(args) return raw.next(args) end,
  __iter__ = function(args) return args[1] end,
}, true)

core.methods(types.int, {
  bit_length = function(args)
    local n, v = 0, math.abs(args[1])
    while v > 0 do
      n, v = n + 1, v >> 1
    end
    return n
  end,
  conjugate = function(args) return args[1] end,
})
core.methods(types.float, {
  is_integer = function(args) return args[1] == math.floor(args[1]) end,
})

for _, class in ipairs { types.int, types.float } do
  for name, value in pairs { real = function(v) return v end, imag = function() return 0 end } do
    class.dict[name] =
      { cls = types.property, fget = core.builtin(name, function(args) return value(args[1]) end) }
  end
end
types.int.dict.numerator = types.int.dict.real

---The table of built-in names.
function builtins.table()
  local names = {
    None = None,
    True = true,
    False = false,
    NotImplemented = core.NotImplemented,
    Ellipsis = core.Ellipsis,
    __debug__ = true,
    __name__ = nil,
  }
  for name, class in pairs(types) do
    if class.name == name and not name:find("_") then names[name] = class end
  end
  for _, name in ipairs {
    "unknown",
    "module",
    "method",
    "iterator",
    "generator",
    "ellipsis",
    "function",
    "mappingproxy",
    "NoneType",
    "defaultdict",
    "OrderedDict",
    "NotImplementedType",
  } do
    names[name] = nil
  end
  names.IOError, names.EnvironmentError = types.OSError, types.OSError
  for name, fn in pairs(raw) do
    names[name] = core.builtin(name, fn, true)
  end
  for name, fn in pairs(checked) do
    names[name] = core.builtin(name, fn)
  end
  return names
end

return builtins
