--- The constructors of Python's built-in types: int(), list(), type(), super() and the like.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local items = require "hone.python.items"
local format = require "hone.python.format"
local containers = require "hone.python.containers"

local types, None = core.types, core.None
local S = core.state
local plain, is_unknown = unknown.plain, unknown.is
local class_of, lookup = core.class_of, core.lookup
local constructors = {}

---An argument by place or by name.
function constructors.keyword(args, kw, place, name, default)
  local v = args[place]
  if v == nil and kw then v = kw.map[name] end
  if v == nil then return default end
  return v
end
local keyword = constructors.keyword

---An int or str of a subclass carries its class along.
local function boxed(class, base, value)
  if class == base or is_unknown(value) then return value end
  return { cls = class, boxed = true, value = plain(value), attrs = {}, names = {} }
end

local function parse_integer(text, base)
  local digits = text:match("^%s*(.-)%s*$"):gsub("_", "")
  local sign, rest = digits:match("^([-+]?)(.*)$")
  if base == 0 or base == 16 or base == 2 or base == 8 then
    local prefix = rest:sub(1, 2):lower()
    local implied = prefix == "0x" and 16 or prefix == "0b" and 2 or prefix == "0o" and 8
    if implied and (base == 0 or base == implied) then
      rest, base = rest:sub(3), implied
    end
    if base == 0 then base = 10 end
  end
  local value = rest:match("^%w+$") and tonumber(rest, base)
  if not value then
    core.raise("ValueError", "invalid literal for int() with base %d: %s", base, format.repr(text))
  end
  if #rest > 18 and base == 10 and ("%d"):format(value) ~= rest:gsub("^0+", "") then
    return unknown.report("integer overflow")
  end
  return sign == "-" and -value or value
end

function constructors.truncate(x)
  if x ~= x then core.raise("ValueError", "cannot convert float NaN to integer") end
  if x == math.huge or x == -math.huge then
    core.raise("OverflowError", "cannot convert float infinity to integer")
  end
  return math.tointeger(x < 0 and math.ceil(x) or math.floor(x)) or unknown.report("integer overflow")
end

---Convert through one dunder or another; the result of `convert` on plain values keeps its history.
function constructors.converted(name, v, convert)
  if is_unknown(v) then
    if v.alts then
      return unknown.map(v, function(alt) return constructors.converted(name, alt, convert) end)
    end
    return unknown.new(name .. "()")
  end
  local result = convert(plain(v))
  if type(v) == "table" and v.how and math.type(result) then
    if result == v.value and math.type(result) == math.type(v.value) then return v end
    return unknown.traced(result, { call = name, v })
  end
  return result
end

local function to_number(name, dunders, from_plain)
  return function(v)
    if type(v) == "table" and not v.boxed and not v.unknown then
      for _, dunder in ipairs(dunders) do
        local own = lookup(v.cls, dunder)
        if own then return core.call(own, { v, n = 1 }) end
      end
      if v.cls.open then return unknown.new(name .. "()") end
    end
    return constructors.converted(name, v, from_plain)
  end
end

local function not_a_number(name, v)
  core.raise("TypeError", "%s() argument must be a string or a real number, not '%s'", name, class_of(v).name)
end

local to_int = to_number("int", { "__int__", "__index__", "__trunc__" }, function(v)
  if math.type(v) == "integer" then return v end
  if math.type(v) == "float" then return constructors.truncate(v) end
  if type(v) == "boolean" then return v and 1 or 0 end
  if type(v) == "string" then return parse_integer(v, 10) end
  not_a_number("int", v)
end)

local SPECIAL_FLOATS = { inf = math.huge, infinity = math.huge, nan = 0 / 0 }

local to_float = to_number("float", { "__float__", "__index__" }, function(v)
  if math.type(v) then return v * 1.0 end
  if type(v) == "boolean" then return v and 1.0 or 0.0 end
  if type(v) == "string" then
    local text = v:match("^%s*(.-)%s*$"):gsub("_", "")
    local sign, word = text:match("^([-+]?)(%a+)$")
    local special = word and SPECIAL_FLOATS[word:lower()]
    if special then return sign == "-" and -special or special end
    local value = not text:lower():find("x", 1, true) and tonumber(text)
    if not value then core.raise("ValueError", "could not convert string to float: %s", format.repr(v)) end
    return value * 1.0
  end
  not_a_number("float", v)
end)

function types.int.construct(class, args, kw)
  local v, base = keyword(args, kw, 1, "x", 0), keyword(args, kw, 2, "base")
  if base ~= nil and not is_unknown(v) then
    return boxed(class, types.int, parse_integer(plain(v), plain(base)))
  end
  local meant = class == types.int and type(v) == "string" and S.world.integers[v]
  return meant or boxed(class, types.int, to_int(v))
end

function types.float.construct(class, args) return boxed(class, types.float, to_float(args[1] or 0.0)) end

function types.str.construct(class, args)
  local v = args[1]
  if v == nil then return boxed(class, types.str, "") end
  if is_unknown(v) then
    if v.alts then
      return unknown.map(v, function(alt) return types.str.construct(class, { alt, n = 1 }) end)
    end
    return unknown.new("str(" .. v.origin .. ")")
  end
  return boxed(class, types.str, format.str(v))
end

function types.bool.construct(_, args)
  if args[1] == nil then return false end
  local t = object.truth(args[1])
  if t == nil then return unknown.new("bool()") end
  return t
end

local function sequence_constructor(base)
  return function(class, args)
    if lookup(class, "__init__") and not core.lookup(class, "__init__").fn and base == types.list then
      return { cls = class, n = 0, attrs = {}, names = {} } -- its __init__ will fill it
    end
    if args[1] == nil then return { cls = class, n = 0 } end
    local list = items.collect(args[1])
    if not list then
      local lost = unknown.new(base.name .. " of unknown length")
      lost.element = args[1].element
      return lost
    end
    list.cls = class
    return list
  end
end
types.list.construct = sequence_constructor(types.list)
types.tuple.construct = sequence_constructor(types.tuple)

function types.dict.construct(class, args, kw)
  local d = dict.new(class)
  if class ~= types.dict then
    local init = lookup(class, "__init__")
    if init and not init.fn then return d end
  end
  containers.update({ d, args[1], n = args.n + 1 }, kw)
  return d
end

local function set_constructor(class, args)
  if args[1] == nil then return dict.new(class) end
  local set = containers.as_set(args[1])
  if not set then return unknown.new("a set of unknown size") end
  set = dict.copy(set, class)
  set.cls = class
  return set
end
types.set.construct = set_constructor
types.frozenset.construct = set_constructor

function types.range.construct(_, args)
  local bounds = {}
  for i = 1, args.n do
    bounds[i] = core.index(args[i])
    if bounds[i] == nil then
      local lost = unknown.new("range(" .. args[i].origin .. ")")
      lost.element = unknown.new("an index below " .. args[i].origin)
      return lost
    end
  end
  local start, stop, step = bounds[1], bounds[2], bounds[3] or 1
  if not stop then
    start, stop = 0, start
  end
  if step == 0 then core.raise("ValueError", "range() arg 3 must not be zero") end
  return { cls = types.range, start = start, stop = stop, step = step }
end
core.methods(types.range, { __len__ = function(args) return object.range_length(args[1]) end })

function types.slice.construct(_, args)
  local start, stop, step = args[1], args[2], args[3]
  if stop == nil then
    start, stop = None, start
  end
  return { cls = types.slice, start = start, stop = stop, step = step or None }
end

function types.property.construct(_, args, kw)
  return {
    cls = types.property,
    fget = keyword(args, kw, 1, "fget", None),
    fset = keyword(args, kw, 2, "fset", None),
  }
end
types.staticmethod.construct = function(class, args) return { cls = class, func = args[1] } end
types.classmethod.construct = types.staticmethod.construct

function types.object.construct(class) return { cls = class, attrs = {}, names = {} } end

function types.bytes.construct(_, args)
  local v = args[1]
  return { cls = types.bytes, data = type(v) == "table" and v.data or type(v) == "string" and v or "" }
end

function types.BaseException.construct(class, args)
  local copy = table.move(args, 1, args.n, 1, {})
  local e =
    { cls = class, attrs = { args = core.tuple(copy, args.n) }, names = { "args", args = true }, trace = {} }
  if core.is_subclass(class, types.StopIteration) then e.attrs.value = args[1] or None end
  return e
end
core.methods(types.BaseException, {
  __init__ = function(args)
    local copy = table.move(args, 2, args.n, 1, {})
    core.put(args[1].attrs, "args", core.tuple(copy, args.n - 1))
  end,
  with_traceback = function(args) return args[1] end,
  add_note = function() end,
}, true)

---type(v), or type(name, bases, namespace).
function types.type.abstract_call(class, args, kw)
  if args.n == 1 and class == types.type then
    if is_unknown(args[1]) then
      if args[1].alts then return unknown.map(args[1], class_of) end
      return unknown.new("type(" .. args[1].origin .. ")")
    end
    return class_of(args[1])
  end
  local name, bases, ns = args[1], args[2], args[3]
  local list, map = {}, {}
  for i = 1, bases.n do
    list[i] = is_unknown(bases[i]) and object.unknown_class(bases[i]) or bases[i]
  end
  if #list == 0 then list[1] = types.object end
  local made = core.make_class(plain(name), list, map, class)
  for k, v in dict.each(ns) do
    core.define(made, plain(k), v)
  end
  made.module, made.qualname = "?", made.name
  if made.finish then made.finish(made, kw or { map = {} }) end
  return made
end

core.methods(types.type, {
  mro = function(args) return core.list(table.move(args[1].mro, 1, #args[1].mro, 1, {})) end,
  __new__ = function(args, kw)
    table.remove(args, 1)
    args.n = args.n - 1
    return types.type.abstract_call(types.type, args, kw)
  end,
  __call__ = function(args, kw)
    local class = table.remove(args, 1)
    args.n = args.n - 1
    local construct = class.cls
    class.cls = types.type
    local v = core.call(class, args, kw)
    class.cls = construct
    return v
  end,
}, true)

-- ---- super --------------------------------------------------------------------------------------

function types.super.construct(_, args)
  if args[1] ~= nil then return { cls = types.super, class = args[1], self = args[2] } end
  local f = S.frame
  while f do
    local fn = f.fn
    if fn and fn.cell and fn.cell.class and fn.code.params and fn.code.params.count > 0 then
      return { cls = types.super, class = fn.cell.class, self = f[1] }
    end
    f = f.up
  end
  core.raise("RuntimeError", "super(): no arguments")
end

return constructors
