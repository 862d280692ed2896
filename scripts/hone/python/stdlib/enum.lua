--- A model of enum.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local format = require "hone.python.format"
local base = require "hone.python.stdlib.base"

local types, None = core.types, core.None
local plain = unknown.plain
local class = base.class
local models = base.models

local function raw_functions(map) return base.functions(map, true) end

local auto_class = class("auto", function(made) return { cls = made } end)
local next_value

---The metaclass of enums: iteration, length, lookup by name and by value.
local enum_type = core.make_class("EnumType", { types.type })
enum_type.builtin = true

local function members_of(made) return made.members or { n = 0 } end

local function find_member(made, value)
  for _, member in ipairs(members_of(made)) do
    if ops.equal(member.attrs.value, value) then return member end
  end
end

local function flag_value(made, bits)
  made.combined = made.combined or {}
  local member = find_member(made, bits) or made.combined[bits]
  if not member then
    local names = {}
    for _, one in ipairs(members_of(made)) do
      if one.attrs.value ~= 0 and one.attrs.value & bits == one.attrs.value then
        names[#names + 1] = one.attrs.name
      end
    end
    member = {
      cls = made,
      attrs = { name = table.concat(names, "|"), value = bits, _value_ = bits },
      names = { "name", "value" },
    }
    if core.is_subclass(made, types.int) then
      member.boxed, member.value = true, bits
    end
    made.combined[bits] = member
  end
  return member
end

core.methods(enum_type, {
  __iter__ = function(args)
    local made = args[1]
    return core.list(table.move(members_of(made), 1, #members_of(made), 1, {}))
  end,
  __len__ = function(args) return #members_of(args[1]) end,
  __contains__ = function(args)
    local v = args[2]
    if unknown.is(v) then return v end
    return type(v) == "table" and v.cls == args[1] or find_member(args[1], v) ~= nil
  end,
  __getitem__ = function(args)
    for _, member in ipairs(members_of(args[1])) do
      if member.attrs.name == plain(args[2]) then return member end
    end
    if unknown.is(args[2]) then return unknown.new(args[1].name .. "[?]") end
    error(core.exception(types.KeyError, { args[2] }), 0)
  end,
}, true)
enum_type.dict.__members__ = {
  cls = types.property,
  fget = core.builtin("__members__", function(args)
    local d = dict.new()
    for _, name in ipairs(args[1].keys) do -- aliases too
      local member = args[1].dict[name]
      if type(member) == "table" and member.cls == args[1] then dict.set(d, name, member) end
    end
    return d
  end, true),
}

local enum_class = core.make_class("Enum", { types.object }, nil, enum_type)
enum_class.builtin = true
local function enum_base(name, ...)
  local made = core.make_class(name, { ... }, nil, enum_type)
  made.builtin = true
  return made
end
local int_enum = enum_base("IntEnum", types.int, enum_class)
local str_enum = enum_base("StrEnum", types.str, enum_class)
local flag = enum_base("Flag", enum_class)
local int_flag = enum_base("IntFlag", types.int, flag)
flag.is_flag, int_flag.is_flag = true, true

local function is_member_value(name, v)
  if name:match("^__.*__$") or name:match("^_%w+_$") then return false end
  if type(v) ~= "table" then return type(v) ~= "function" end
  if
    v.cls == types["function"]
    or v.cls == types.property
    or v.cls == types.classmethod
    or v.get
    or v.cls == types.staticmethod
    or v.mro
    or v.cls == types.builtin_function_or_method
  then
    return false
  end
  return true
end

---What auto() stands for as it is bound to a name in the class body.
auto_class.on_bind = function(frame, name)
  local last = 0
  for _, v in pairs(frame.ns) do
    if math.type(plain(v)) == "integer" then last = math.max(last, plain(v)) end
  end
  return next_value(frame, name, last)
end

local function inherits(bases, class_wanted)
  for _, parent in ipairs(bases) do
    if core.is_subclass(parent, class_wanted) then return true end
  end
  return false
end

function next_value(frame, name, last)
  local own = frame.ns._generate_next_value_
  for _, parent in ipairs(frame.bases) do
    own = own or core.lookup_own(parent, "_generate_next_value_")
  end
  if own then
    if own.cls == types.staticmethod then own = own.func end
    return core.call(own, { name, 1, 0, core.list {}, n = 4 })
  end
  if inherits(frame.bases, str_enum) then return name:lower() end
  if inherits(frame.bases, flag) then
    local bit = 1
    while bit <= last do
      bit = bit << 1
    end
    return bit
  end
  return last + 1
end

local function make_member(made, name, value)
  local member = { cls = made, attrs = {}, names = {} }
  local init = core.lookup_own(made, "__init__")
  local new = core.lookup_own(made, "__new__")
  local args = type(value) == "table" and value.cls == types.tuple and value or core.tuple { value }
  if new then
    if new.cls == types.staticmethod then new = new.func end
    member = core.call(new, table.move(args, 1, args.n, 2, { made, n = args.n + 1 }))
    value = member.attrs and member.attrs._value_ or value
  elseif
    core.is_subclass(made, types.int)
    or core.is_subclass(made, types.str)
    or core.is_subclass(made, types.float)
  then
    member.boxed, member.value = true, plain(value)
  end
  object.store(member, "name", name)
  object.store(member, "value", value)
  member.attrs._value_, member.attrs._name_ = value, name
  if init then core.call(init, table.move(args, 1, args.n, 2, { member, n = args.n + 1 })) end
  return member
end

enum_class.finish = function(made)
  local members = {}
  made.members = members
  for _, name in ipairs(made.keys) do
    local v = made.dict[name]
    if v ~= nil and is_member_value(name, v) then
      local same = find_member(made, v)
      local member = same or make_member(made, name, v)
      if not same then members[#members + 1] = member end
      made.dict[name] = member
    end
  end
  core.class_changed()
  made.singleton = true -- copies are the members themselves
  if not core.lookup_own(made, "__repr__") then
    made.show = function(v)
      local value = format.repr(v.attrs.value)
      return ("<%s.%s: %s>"):format(made.name, v.attrs.name, value)
    end
  end
  if core.lookup_own(made, "__str__") then return end
  local by_value = core.is_subclass(made, int_enum)
    or core.is_subclass(made, str_enum)
    or core.is_subclass(made, int_flag)
  made.text = function(v)
    if by_value then return format.str(v.attrs.value) end
    return ("%s.%s"):format(made.name, v.attrs.name)
  end
end

---Color(2): the member with that value.
enum_class.abstract_call = function(made, args)
  local v = args[1]
  if unknown.is(v) then
    local result
    for _, member in ipairs(members_of(made)) do
      result = result and unknown.join(result, member) or member
    end
    return result or unknown.new(made.name .. "()")
  end
  if type(v) == "table" and v.cls == made then return v end
  local member = find_member(made, v)
  if member then return member end
  if core.is_subclass(made, flag) and math.type(plain(v)) == "integer" then
    return flag_value(made, plain(v))
  end
  local missing = core.lookup_own(made, "_missing_")
  if missing then
    member = core.call(missing.func or missing, { made, v, n = 2 })
    if member ~= None then return member end
  end
  core.raise("ValueError", "%s is not a valid %s", format.repr(v), made.name)
end
for _, made in ipairs { enum_class, int_enum, str_enum, flag, int_flag } do
  made.finish, made.abstract_call = enum_class.finish, enum_class.abstract_call
end

core.methods(enum_class, {
  __repr__ = function(args)
    local member = args[1]
    return ("<%s.%s: %s>"):format(member.cls.name, member.attrs.name, format.repr(member.attrs.value))
  end,
  __str__ = function(args) return ("%s.%s"):format(args[1].cls.name, args[1].attrs.name) end,
  __eq__ = function(args) return rawequal(args[1], args[2]) end,
  __hash__ = function(args) return core.id(args[1]) end,
}, true)

local function flag_operation(symbol)
  return function(args)
    local made = args[1].cls
    local a, b = args[1].attrs.value, args[2]
    b = type(b) == "table" and b.attrs and b.attrs.value or plain(b)
    if not math.type(b) then return core.NotImplemented end
    return flag_value(made, ops.binary(symbol, a, b))
  end
end
core.methods(flag, {
  __or__ = flag_operation("|"),
  __and__ = flag_operation("&"),
  __xor__ = flag_operation("^"),
  __invert__ = function(args)
    local all = 0
    for _, member in ipairs(members_of(args[1].cls)) do
      all = all | member.attrs.value
    end
    return flag_value(args[1].cls, all & ~args[1].attrs.value)
  end,
  __contains__ = function(args) return args[1].attrs.value & args[2].attrs.value == args[2].attrs.value end,
  __bool__ = function(args) return args[1].attrs.value ~= 0 end,
}, true)

models["enum"] = function()
  local names = raw_functions { unique = function(args) return args[1] end }
  names.Enum, names.IntEnum, names.StrEnum, names.Flag, names.IntFlag =
    enum_class, int_enum, str_enum, flag, int_flag
  names.auto, names.EnumMeta, names.EnumType = auto_class, enum_type, enum_type
  return names
end
