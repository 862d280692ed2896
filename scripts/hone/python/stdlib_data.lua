--- Models of the standard library's modules that make classes and containers: dataclasses, enum,
--- collections, contextlib, re.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local format = require "hone.python.format"
local stdlib = require "hone.python.stdlib"
local containers = require "hone.python.containers"

local types, None = core.types, core.None
local S = core.state
local plain = unknown.plain
local class = stdlib.class

local function functions(map)
  local names = {}
  for name, fn in pairs(map) do names[name] = core.builtin(name, fn, true) end
  return names
end

-- ---- dataclasses --------------------------------------------------------------------------------

local MISSING = { cls = types.object, attrs = {}, names = {} }
local KW_ONLY = "KW_ONLY"
local field_class = core.builtin_class("Field")

local function make_field(_, kw)
  local map = kw and kw.map or {}
  return { cls = field_class, attrs = { default = map.default == nil and MISSING or map.default,
    default_factory = map.default_factory == nil and MISSING or map.default_factory, init = map.init ~= false,
    repr = map.repr ~= false, compare = map.compare ~= false, kw_only = map.kw_only == true,
    metadata = map.metadata or dict.new() }, names = {} }
end

---The fields of a class, its bases' first: { name, field, kw_only }.
local function gather_fields(made, kw_only)
  local list, at = {}, {}
  local function add(entry)
    if at[entry.name] then
      list[at[entry.name]] = entry
    else
      list[#list + 1] = entry
      at[entry.name] = #list
    end
  end
  for i = #made.mro, 2, -1 do
    for _, entry in ipairs(made.mro[i].own_fields or {}) do add(entry) end
  end
  local own, marked = {}, false
  for _, annotation in ipairs(made.annotations or {}) do
    local text = annotation.text
    if text:find(KW_ONLY, 1, true) then
      marked = true
    elseif not text:find("^[%w_.]*ClassVar") then
      local value = made.dict[annotation.name]
      local field = type(value) == "table" and value.cls == field_class and value
        or make_field(nil, { map = { default = value } })
      local entry = { name = annotation.name, field = field, init_only = text:find("^[%w_.]*InitVar") ~= nil,
        kw_only = kw_only or marked or field.attrs.kw_only }
      own[#own + 1] = entry
      add(entry)
      if value == field then
        made.dict[annotation.name] = field.attrs.default ~= MISSING and field.attrs.default or nil
      end
    end
  end
  made.own_fields = own
  return list
end

local function field_default(entry)
  local attrs = entry.field.attrs
  if attrs.default ~= MISSING then return attrs.default end
  if attrs.default_factory ~= MISSING then return core.call(attrs.default_factory, { n = 0 }) end
end

---What a call gives for each field, by name.
local function given_values(made, shape, args, kw)
  local given = {}
  for i, name in ipairs(shape.positional) do given[name] = args[i + 1] end
  if args.n - 1 > #shape.positional and not args.fuzzy then
    core.raise("TypeError", "%s.__init__() takes %d positional arguments but %d were given", made.name,
      #shape.positional + 1, args.n)
  end
  for _, name in ipairs(kw or {}) do
    if not shape.known[name] then
      core.raise("TypeError", "%s.__init__() got an unexpected keyword argument '%s'", made.name, name)
    end
    given[name] = kw.map[name]
  end
  return given
end

local function initialise(made, fields)
  local shape = { positional = {}, known = {} }
  for _, entry in ipairs(fields) do
    if entry.field.attrs.init then
      shape.known[entry.name] = true
      if not entry.kw_only then table.insert(shape.positional, entry.name) end
    end
  end
  return core.builtin("__init__", function(args, kw)
    local self = args[1]
    local given = given_values(made, shape, args, kw)
    local set = (made.frozen or not core.lookup_own(self.cls, "__setattr__")) and object.store or object.setattr
    local post = { self, n = 1 }
    for _, entry in ipairs(fields) do
      local v = given[entry.name]
      if v == nil then v = field_default(entry) end
      if v == nil and (args.fuzzy or kw and kw.fuzzy) then v = unknown.new(made.name .. "." .. entry.name) end
      if v == nil and shape.known[entry.name] then
        core.raise("TypeError", "%s.__init__() missing 1 required positional argument: '%s'", made.name, entry.name)
      end
      if entry.init_only then
        post.n = post.n + 1
        post[post.n] = v
      elseif v ~= nil then
        set(self, entry.name, v)
      end
    end
    local hook = core.lookup_own(self.cls, "__post_init__")
    if hook then core.call(hook, post) end
  end, true)
end

local function show_fields(made, fields)
  return core.builtin("__repr__", function(args)
    local parts = {}
    for _, entry in ipairs(fields) do
      if entry.field.attrs.repr and not entry.init_only then
        parts[#parts + 1] = entry.name .. "=" .. format.repr(object.getattr(args[1], entry.name))
      end
    end
    return (args[1].cls.local_name or made.name) .. "(" .. table.concat(parts, ", ") .. ")"
  end, true)
end

local function values_of(obj, fields)
  local list = { cls = types.tuple, n = 0 }
  for _, entry in ipairs(fields) do
    if entry.field.attrs.compare and not entry.init_only then
      list.n = list.n + 1
      list[list.n] = object.getattr(obj, entry.name)
    end
  end
  return list
end

local function add_comparison(made, fields, order)
  if not made.dict.__eq__ then
    made.dict.__eq__ = core.builtin("__eq__", function(args)
      if core.class_of(args[1]) ~= core.class_of(args[2]) then return core.NotImplemented end
      return ops.bool(ops.equal(values_of(args[1], fields), values_of(args[2], fields)))
    end, true)
  end
  if not order then return end
  for symbol, name in pairs { ["<"] = "__lt__", ["<="] = "__le__", [">"] = "__gt__", [">="] = "__ge__" } do
    made.dict[name] = core.builtin(name, function(args)
      return ops.order(symbol, values_of(args[1], fields), values_of(args[2], fields))
    end, true)
  end
end

---Methods written in Lua on a class written in Python must bind like functions.
local function bind_builtins(made)
  for name, v in pairs(made.dict) do
    if type(v) == "table" and v.cls == types.builtin_function_or_method and name:sub(1, 2) == "__" then
      v.get = function(self) return self == nil and v or object.bound(v, self) end
    end
  end
end

local function dataclass(made, options)
  if not core.is_class(made) then return made end
  local fields = gather_fields(made, options.kw_only == true)
  made.fields, made.frozen = fields, options.frozen == true or made.frozen
  -- Keyword-only fields come last in the order of parameters, which only matters for the others.
  if options.init ~= false and not made.dict.__init__ then made.dict.__init__ = initialise(made, fields) end
  if options.repr ~= false and not made.dict.__repr__ then made.dict.__repr__ = show_fields(made, fields) end
  if options.eq ~= false then add_comparison(made, fields, options.order) end
  if options.eq ~= false and (options.frozen or options.unsafe_hash) then
    made.hash_key = function(obj) return "\1d" .. core.id(made) .. dict.key_of(values_of(obj, fields)) end
  end
  local names = {}
  for _, entry in ipairs(fields) do names[#names + 1] = entry.name end
  made.dict.__match_args__ = core.tuple(names)
  made.dict.__dataclass_fields__ = dict.new()
  for _, entry in ipairs(fields) do
    entry.field.attrs.name = entry.name
    entry.field.attrs.type = unknown.new("a field's type")
    dict.set(made.dict.__dataclass_fields__, entry.name, entry.field)
  end
  bind_builtins(made)
  core.class_changed()
  return made
end

local function fields_of(v)
  local made = core.is_class(v) and v or core.class_of(v)
  for _, base in ipairs(made.mro) do
    if base.fields then return base.fields end
  end
end

local function as_dict(v)
  local fields = type(v) == "table" and not v.mro and not v.unknown and fields_of(v)
  if fields then
    local d = dict.new()
    for _, entry in ipairs(fields) do dict.set(d, entry.name, as_dict(object.getattr(v, entry.name))) end
    return d
  end
  if type(v) == "table" and (v.cls == types.list or v.cls == types.tuple) then
    local list = { cls = v.cls, n = v.n }
    for i = 1, v.n do list[i] = as_dict(v[i]) end
    return list
  end
  if type(v) == "table" and v.cls == types.dict then
    local d = dict.new()
    for k, x in dict.each(v) do dict.set(d, k, as_dict(x)) end
    return d
  end
  return v
end

local function replace(args, kw)
  local obj = args[1]
  if unknown.is(obj) then return unknown.new("replace()") end
  local full = { map = {} }
  for _, entry in ipairs(fields_of(obj) or {}) do
    if entry.field.attrs.init then
      full[#full + 1] = entry.name
      local v = kw and kw.map[entry.name]
      if v == nil then v = object.getattr(obj, entry.name) end
      full.map[entry.name] = v
    end
  end
  for _, name in ipairs(kw or {}) do
    if full.map[name] == nil then
      full[#full + 1] = name
      full.map[name] = kw.map[name]
    end
  end
  return core.call(obj.cls, { n = 0 }, full)
end

types.FrozenInstanceError = core.builtin_class("FrozenInstanceError", types.AttributeError)
types.FrozenInstanceError.module = "dataclasses"

stdlib["dataclasses"] = function()
  local names = functions {
    dataclass = function(args, kw)
      local options = kw and kw.map or {}
      if args[1] ~= nil and args[1] ~= None then return dataclass(args[1], options) end
      return core.builtin("dataclass", function(call) return dataclass(call[1], options) end, true)
    end,
    field = make_field,
    fields = function(args)
      if unknown.is(args[1]) then return unknown.new("fields()") end
      local list = {}
      for _, entry in ipairs(fields_of(args[1]) or {}) do list[#list + 1] = entry.field end
      return core.tuple(list)
    end,
    is_dataclass = function(args)
      if unknown.is(args[1]) then return unknown.new("is_dataclass()") end
      return type(args[1]) == "table" and fields_of(args[1]) ~= nil
    end,
    asdict = function(args) return as_dict(args[1]) end,
    astuple = function(args) return values_of(args[1], fields_of(args[1]) or {}) end,
    replace = replace,
  }
  names.MISSING, names.KW_ONLY = MISSING, unknown.new(KW_ONLY)
  names.InitVar = types.object
  names.Field, names.FrozenInstanceError = field_class, types.FrozenInstanceError
  return names
end

-- msgspec.Struct: a dataclass by inheritance; its class keywords are the options.
local struct = core.builtin_class("Struct")
struct.finish = function(made, kw)
  for _, name in ipairs(made.keys) do -- an empty list or dict as default is made anew for each
    local v = made.dict[name]
    if type(v) == "table" and (v.cls == types.list or v.cls == types.dict) then
      made.dict[name] = make_field(nil, { map = { default_factory = core.builtin("copy", function()
        return v.cls == types.dict and dict.new() or core.list({}, 0)
      end, true) } })
    end
  end
  dataclass(made, { frozen = kw.map.frozen, order = kw.map.order, kw_only = kw.map.kw_only })
  made.dict.__struct_fields__ = made.dict.__match_args__
end

---msgspec.defstruct(name, [(field, type, default), ...], namespace={...}).
local function define_struct(args, kw)
  local made = core.make_class(plain(args[1]), { kw and kw.map.bases and kw.map.bases[1] or struct })
  made.annotations = {}
  for k, v in dict.each(kw and kw.map.namespace or dict.new()) do core.define(made, plain(k), v) end
  local list = items.collect(args[2]) or { n = 0 }
  for i = 1, list.n do
    local field = type(list[i]) == "table" and list[i] or { list[i] }
    table.insert(made.annotations, { name = plain(field[1]), text = "" })
    if field[3] ~= nil then core.define(made, plain(field[1]), field[3]) end
  end
  made.module = kw and kw.map.module and plain(kw.map.module) or "?"
  struct.finish(made, kw or { map = {} })
  return made
end

local field_info = core.builtin_class("FieldInfo")

local function struct_fields(args)
  if unknown.is(args[1]) then return unknown.new("fields()") end
  local list = {}
  for _, entry in ipairs(fields_of(args[1]) or {}) do
    local attrs = entry.field.attrs
    list[#list + 1] = { cls = field_info, names = {}, attrs = { name = entry.name, encode_name = entry.name,
      type = unknown.new("a field's type"), default = attrs.default, default_factory = attrs.default_factory,
      required = attrs.default == MISSING and attrs.default_factory == MISSING } }
  end
  return core.tuple(list)
end

stdlib["msgspec.structs"] = function()
  return functions {
    replace = replace, fields = struct_fields,
    asdict = function(args) return as_dict(args[1]) end,
  }
end

stdlib["msgspec"] = function()
  local names = functions { field = make_field, defstruct = define_struct }
  names.Struct, names.NODEFAULT, names.UNSET = struct, MISSING, { cls = types.object, attrs = {}, names = {} }
  return names
end

-- ---- enum ---------------------------------------------------------------------------------------

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
      if one.attrs.value ~= 0 and one.attrs.value & bits == one.attrs.value then names[#names + 1] = one.attrs.name end
    end
    member = { cls = made, attrs = { name = table.concat(names, "|"), value = bits, _value_ = bits },
      names = { "name", "value" } }
    if core.is_subclass(made, types.int) then member.boxed, member.value = true, bits end
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
enum_type.dict.__members__ = { cls = types.property, fget = core.builtin("__members__", function(args)
  local d = dict.new()
  for _, name in ipairs(args[1].keys) do -- aliases too
    local member = args[1].dict[name]
    if type(member) == "table" and member.cls == args[1] then dict.set(d, name, member) end
  end
  return d
end, true) }

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
  if v.cls == types["function"] or v.cls == types.property or v.cls == types.classmethod or v.get
    or v.cls == types.staticmethod or v.mro or v.cls == types.builtin_function_or_method then
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
  for _, base in ipairs(bases) do
    if core.is_subclass(base, class_wanted) then return true end
  end
  return false
end

function next_value(frame, name, last)
  local own = frame.ns._generate_next_value_
  for _, base in ipairs(frame.bases) do own = own or core.lookup_own(base, "_generate_next_value_") end
  if own then
    if own.cls == types.staticmethod then own = own.func end
    return core.call(own, { name, 1, 0, core.list {}, n = 4 })
  end
  if inherits(frame.bases, str_enum) then return name:lower() end
  if inherits(frame.bases, flag) then
    local bit = 1
    while bit <= last do bit = bit << 1 end
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
  elseif core.is_subclass(made, types.int) or core.is_subclass(made, types.str) or core.is_subclass(made, types.float) then
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
      return ("<%s.%s: %s>"):format(made.name, v.attrs.name, format.repr(v.attrs.value))
    end
  end
  if core.lookup_own(made, "__str__") then return end
  local by_value = core.is_subclass(made, int_enum) or core.is_subclass(made, str_enum) or core.is_subclass(made, int_flag)
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
    for _, member in ipairs(members_of(made)) do result = result and unknown.join(result, member) or member end
    return result or unknown.new(made.name .. "()")
  end
  if type(v) == "table" and v.cls == made then return v end
  local member = find_member(made, v)
  if member then return member end
  if core.is_subclass(made, flag) and math.type(plain(v)) == "integer" then return flag_value(made, plain(v)) end
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
  __str__ = function(args)
    return ("%s.%s"):format(args[1].cls.name, args[1].attrs.name)
  end,
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
  __or__ = flag_operation("|"), __and__ = flag_operation("&"), __xor__ = flag_operation("^"),
  __invert__ = function(args)
    local all = 0
    for _, member in ipairs(members_of(args[1].cls)) do all = all | member.attrs.value end
    return flag_value(args[1].cls, all & ~args[1].attrs.value)
  end,
  __contains__ = function(args) return args[1].attrs.value & args[2].attrs.value == args[2].attrs.value end,
  __bool__ = function(args) return args[1].attrs.value ~= 0 end,
}, true)

stdlib["enum"] = function()
  local names = functions { unique = function(args) return args[1] end }
  names.Enum, names.IntEnum, names.StrEnum, names.Flag, names.IntFlag = enum_class, int_enum, str_enum, flag, int_flag
  names.auto, names.EnumMeta, names.EnumType = auto_class, enum_type, enum_type
  return names
end

-- ---- collections --------------------------------------------------------------------------------

types.defaultdict.construct = function(made, args, kw)
  local d = dict.new(made)
  d.factory = args[1] == nil and None or args[1]
  containers.update({ d, args[2], n = 2 }, kw)
  return d
end

local counter = core.builtin_class("Counter", types.dict)
counter.construct = function(made, args)
  local d = dict.new(made)
  d.factory = core.builtin("zero", function() return 0 end, true)
  local list = args[1] ~= nil and items.collect(args[1])
  for i = 1, list and list.n or 0 do dict.set(d, list[i], (plain(dict.get(d, list[i])) or 0) + 1) end
  return d
end
core.methods(counter, {
  most_common = function(args)
    local list = {}
    for k, v in dict.each(args[1]) do list[#list + 1] = core.tuple { k, v } end
    local sorted = containers.sorted({ n = #list, table.unpack(list) }, core.builtin("by", function(a) return a[1][2] end, true), true)
    local n = args[2] and args[2] ~= None and math.min(plain(args[2]), sorted.n) or sorted.n
    return core.list(table.move(sorted, 1, n, 1, {}), n)
  end,
}, true)

local deque = core.builtin_class("deque", types.list)
deque.construct = function(made, args, kw)
  local list = args[1] ~= nil and items.collect(args[1]) or { n = 0 }
  if args[1] ~= nil and not list then return unknown.new("deque()") end
  list.cls = made
  list.maxlen = args[2] or kw and kw.map.maxlen
  return list
end
deque.show = function(v, seen)
  local copy = core.list(table.move(v, 1, v.n, 1, {}), v.n)
  return "deque(" .. format.repr(copy, seen) .. ")"
end
core.methods(deque, {
  popleft = function(args)
    if args[1].n == 0 then core.raise("IndexError", "pop from an empty deque") end
    return items.remove(args[1], 1)
  end,
  appendleft = function(args) items.insert(args[1], 1, args[2]) end,
  append = function(args)
    containers.append(args[1], args[2])
    local most = plain(args[1].maxlen or None)
    if most ~= None and args[1].n > most then items.remove(args[1], 1) end
  end,
}, true)

---Give a class the constructor, fields and text of a named tuple.
function stdlib.make_named_tuple(made, fields)
  core.class_changed()
  made.tuple_like, made.named_fields = true, fields
  table.insert(made.mro, #made.mro, types.tuple)
  for i, entry in ipairs(fields) do
    made.dict[entry.name] = { cls = types.property, fget = core.builtin(entry.name, function(args)
      return args[1][i]
    end, true) }
  end
  local names = {}
  for i, entry in ipairs(fields) do names[i] = entry.name end
  made.dict._fields = core.tuple(names)
  made.dict._replace = core.builtin("_replace", function(args, kw)
    local copy = table.move(args[1], 1, args[1].n, 1, { cls = args[1].cls, n = args[1].n })
    for i, entry in ipairs(fields) do
      if kw and kw.map[entry.name] ~= nil then copy[i] = kw.map[entry.name] end
    end
    return copy
  end, true)
  made.dict._asdict = core.builtin("_asdict", function(args)
    local d = dict.new()
    for i, entry in ipairs(fields) do dict.set(d, entry.name, args[1][i]) end
    return d
  end, true)
  for _, name in ipairs { "_replace", "_asdict" } do
    local fn = made.dict[name]
    fn.get = function(self) return self == nil and fn or object.bound(fn, self) end
  end
  made.construct = function(actual, args, kw)
    local v = { cls = actual, n = #fields }
    for i, entry in ipairs(fields) do
      local given = args[i]
      if given == nil and kw then given = kw.map[entry.name] end
      if given == nil then given = entry.default end
      if given == nil and (args.fuzzy or kw and kw.fuzzy) then given = unknown.new(entry.name) end
      if given == nil then
        core.raise("TypeError", "%s.__new__() missing 1 required positional argument: '%s'", made.name, entry.name)
      end
      v[i] = given
    end
    return v
  end
  made.show = function(v, seen)
    local parts = {}
    for i, entry in ipairs(fields) do parts[i] = entry.name .. "=" .. format.repr(v[i], seen) end
    return v.cls.name .. "(" .. table.concat(parts, ", ") .. ")"
  end
end

local function namedtuple(args, kw)
  local names = args[2]
  local fields = {}
  if type(names) == "string" then
    for name in names:gmatch("[%w_]+") do fields[#fields + 1] = { name = name } end
  else
    for i = 1, names.n do fields[i] = { name = plain(names[i]) } end
  end
  local defaults = kw and kw.map.defaults and items.collect(kw.map.defaults)
  for i = 1, defaults and defaults.n or 0 do fields[#fields - defaults.n + i].default = defaults[i] end
  local made = core.make_class(plain(args[1]), { types.object })
  stdlib.make_named_tuple(made, fields)
  return made
end

stdlib["collections"] = function()
  local names = functions { namedtuple = namedtuple }
  names.OrderedDict, names.defaultdict, names.Counter, names.deque = types.OrderedDict, types.defaultdict, counter, deque
  names.UserDict, names.ChainMap = types.dict, types.dict
  return names
end

-- ---- contextlib ---------------------------------------------------------------------------------

local managed = class("_GeneratorContextManager", nil, {
  __enter__ = function(args)
    local v = core.resume(args[1].generator)
    if v == nil then core.raise("RuntimeError", "generator didn't yield") end
    return v
  end,
  __exit__ = function(args)
    local generator, e = args[1].generator, args[3]
    if e == None then
      core.resume(generator)
      return false
    end
    local ok, v = core.protected(core.resume, generator, nil, e)
    if not ok then
      if v == e then return false end
      error(v, 0)
    end
    return v == nil
  end,
  __call__ = function(args) return args[2] end,
})

local suppress = class("suppress", function(made, args) return { cls = made, kinds = args, attrs = {} } end, {
  __enter__ = function() return None end,
  __exit__ = function(args)
    if args[3] == None then return false end
    for i = 1, args[1].kinds.n do
      if object.isinstance(args[3], args[1].kinds[i]) then return true end
    end
    return false
  end,
})

local nullcontext = class("nullcontext", function(made, args)
  return { cls = made, inner = args[1] == nil and None or args[1], attrs = {} }
end, { __enter__ = function(args) return args[1].inner end, __exit__ = function() return false end })

local exit_stack = class("ExitStack", function(made) return { cls = made, entered = core.list({}, 0), attrs = {} } end, {
  __enter__ = function(args) return args[1] end,
  __exit__ = function(args)
    local list = args[1].entered
    for i = list.n, 1, -1 do core.call_method(list[i], "__exit__", None, None, None) end
    return false
  end,
  enter_context = function(args)
    if unknown.is(args[2]) then return args[2] end
    containers.append(args[1].entered, args[2])
    return core.call_method(args[2], "__enter__")
  end,
  callback = function() return None end,
  close = function() return None end,
})

stdlib["contextlib"] = function()
  local names = functions {
    contextmanager = function(args)
      local fn = args[1]
      local wrapper = core.builtin(fn.name or "contextmanager", function(call, kw)
        local generator = core.call(fn, call, kw)
        if unknown.is(generator) then return generator end
        if generator.cls ~= types.generator then return generator end -- an override
        return { cls = managed, generator = generator, attrs = {} }
      end, true)
      wrapper.qualname, wrapper.module = fn.qualname, fn.module
      wrapper.get = function(self) return self == nil and wrapper or object.bound(wrapper, self) end
      return wrapper
    end,
    closing = function(args) return { cls = nullcontext, inner = args[1], attrs = {} } end,
    redirect_stdout = function() return { cls = nullcontext, inner = None, attrs = {} } end,
  }
  names.suppress, names.nullcontext, names.ExitStack = suppress, nullcontext, exit_stack
  names.AbstractContextManager, names.ContextDecorator = core.builtin_class("AbstractContextManager"),
    core.builtin_class("ContextDecorator")
  names.asynccontextmanager = names.contextmanager
  return names
end

-- ---- re -----------------------------------------------------------------------------------------

---Regular expressions of the simplest kind become Lua patterns; others are unknown.
local function to_pattern(text)
  if text:find("[|{}?*]") and text:find("[(|]") and (text:find("|", 1, true) or text:find("%)[*+?{]")) then return nil end
  if text:find("{", 1, true) or text:find("(?", 1, true) or text:find("[*+?]%?") then return nil end
  local out, i = {}, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == "\\" then
      local e = text:sub(i + 1, i + 1)
      if e:match("[bBAZ1-9]") then return nil end
      out[#out + 1] = e:match("[dws]") and (e == "w" and "[%w_]" or "%" .. e) or e:match("[DS]") and "%" .. e or e == "W" and "[^%w_]" or "%" .. e
      i = i + 2
    elseif c == "[" then
      local set = text:match("^%[%^?%]?[^%]]*%]", i)
      if not set then return nil end
      out[#out + 1] = set:gsub("%%", "%%%%"):gsub("\\w", "%%w_"):gsub("\\([dsDS])", "%%%1"):gsub("\\(.)", "%%%1")
      i = i + #set
    else
      out[#out + 1] = (c == "%" or c == "-") and "%" .. c or c
      i = i + 1
    end
  end
  return table.concat(out)
end

local match_class = core.builtin_class("Match")
local function group(m, i)
  i = i == nil and 0 or plain(i)
  if type(i) ~= "number" then return unknown.report("re", "named group") end
  if i == 0 then return m.whole end
  local v = m.captures[i]
  if v == nil then core.raise("IndexError", "no such group") end
  return v
end
core.methods(match_class, {
  group = function(args)
    if args.n <= 2 then return group(args[1], args[2]) end
    local list = {}
    for i = 2, args.n do list[i - 1] = group(args[1], args[i]) end
    return core.tuple(list)
  end,
  groups = function(args) return core.tuple(table.move(args[1].captures, 1, #args[1].captures, 1, {})) end,
  start = function(args) return args[1].from - 1 end,
  ["end"] = function(args) return args[1].to end,
  span = function(args) return core.tuple { args[1].from - 1, args[1].to } end,
  __getitem__ = function(args) return group(args[1], args[2]) end,
}, true)

local function find_match(pattern, s, from, anchored)
  local lua = to_pattern(pattern)
  if not lua then return unknown.report("re", pattern) end
  if anchored and lua:sub(1, 1) ~= "^" then lua = "^" .. lua end
  local found = { s:find(lua, from) }
  if not found[1] then return None end
  return { cls = match_class, whole = s:sub(found[1], found[2]), from = found[1], to = found[2],
    captures = table.move(found, 3, #found, 1, {}) }
end

local function all_matches(pattern, s)
  local list, from = {}, 1
  while from <= #s + 1 do
    local m = find_match(pattern, s, from)
    if unknown.is(m) then return nil end
    if m == None then break end
    list[#list + 1] = m
    from = math.max(m.to + 1, m.from + 1)
  end
  return list
end

local regex = {
  match = function(a) return find_match(a[1], a[2], 1, true) end,
  search = function(a) return find_match(a[1], a[2], 1) end,
  fullmatch = function(a) return find_match(a[1]:gsub("%$$", "") .. "$", a[2], 1, true) end,
  findall = function(a)
    local list = all_matches(a[1], a[2])
    if not list then return unknown.new("re.findall()") end
    for i, m in ipairs(list) do
      list[i] = #m.captures == 0 and m.whole or #m.captures == 1 and m.captures[1] or core.tuple(m.captures)
    end
    return core.list(list)
  end,
  sub = function(a)
    local list = all_matches(a[1], a[3])
    if not list or type(a[2]) ~= "string" then return unknown.new("re.sub()") end
    local out, at = {}, 1
    for _, m in ipairs(list) do
      out[#out + 1] = a[3]:sub(at, m.from - 1)
      out[#out + 1] = a[2]:gsub("\\(%d)", function(i) return m.captures[tonumber(i)] end)
      at = m.to + 1
    end
    out[#out + 1] = a[3]:sub(at)
    return table.concat(out)
  end,
  split = function(a)
    local list = all_matches(a[1], a[2])
    if not list then return unknown.new("re.split()") end
    local out, at = {}, 1
    for _, m in ipairs(list) do
      out[#out + 1] = a[2]:sub(at, m.from - 1)
      at = m.to + 1
    end
    out[#out + 1] = a[2]:sub(at)
    return core.list(out)
  end,
}

stdlib["re"] = function()
  local pattern_class = core.builtin_class("Pattern")
  local names = {}
  for name, fn in pairs(regex) do
    names[name] = core.builtin(name, fn)
    pattern_class.dict[name] = core.builtin(name, function(args)
      args[1] = args[1].pattern
      for i = 2, args.n do args[i] = plain(args[i]) end
      return fn(args)
    end)
  end
  names.compile = core.builtin("compile", function(args)
    return { cls = pattern_class, pattern = args[1], attrs = { pattern = args[1] } }
  end)
  names.escape = core.builtin("escape", function(args) return (args[1]:gsub("[^%w_]", "\\%0")) end)
  names.Pattern, names.Match, names.IGNORECASE, names.DOTALL, names.MULTILINE = pattern_class, match_class, 2, 16, 8
  return names
end

stdlib.state = S
return stdlib
