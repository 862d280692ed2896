--- Models of dataclasses and msgspec.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local format = require "hone.python.format"
local base = require "hone.python.stdlib.base"

local types, None = core.types, core.None
local plain = unknown.plain
local models = base.models

local function raw_functions(map) return base.functions(map, true) end

local MISSING = { cls = types.object, attrs = {}, names = {} }
local KW_ONLY = "KW_ONLY"
local field_class = core.builtin_class("Field")

local function make_field(_, kw)
  local map = kw and kw.map or {}
  return {
    cls = field_class,
    attrs = {
      default = map.default == nil and MISSING or map.default,
      default_factory = map.default_factory == nil and MISSING or map.default_factory,
      init = map.init ~= false,
      repr = map.repr ~= false,
      compare = map.compare ~= false,
      kw_only = map.kw_only == true,
      metadata = map.metadata or dict.new(),
    },
    names = {},
  }
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
    for _, entry in ipairs(made.mro[i].own_fields or {}) do
      add(entry)
    end
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
      local entry = {
        name = annotation.name,
        field = field,
        init_only = text:find("^[%w_.]*InitVar") ~= nil,
        kw_only = kw_only or marked or field.attrs.kw_only,
      }
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
  for i, name in ipairs(shape.positional) do
    given[name] = args[i + 1]
  end
  if args.n - 1 > #shape.positional and not args.fuzzy then
    core.raise(
      "TypeError",
      "%s.__init__() takes %d positional arguments but %d were given",
      made.name,
      #shape.positional + 1,
      args.n
    )
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
    local set = (made.frozen or not core.lookup_own(self.cls, "__setattr__")) and object.store
      or object.setattr
    local post = { self, n = 1 }
    for _, entry in ipairs(fields) do
      local v = given[entry.name]
      if v == nil then v = field_default(entry) end
      if v == nil and (args.fuzzy or kw and kw.fuzzy) then v = unknown.new(made.name .. "." .. entry.name) end
      if v == nil and shape.known[entry.name] then
        core.raise(
          "TypeError",
          "%s.__init__() missing 1 required positional argument: '%s'",
          made.name,
          entry.name
        )
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
    made.dict[name] = core.builtin(
      name,
      function(args) return ops.order(symbol, values_of(args[1], fields), values_of(args[2], fields)) end,
      true
    )
  end
end

---Methods written in Lua on a class written in Python must bind like functions.
local function bind_builtins(made)
  for name, v in pairs(made.dict) do
    if type(v) == "table" and v.cls == types.builtin_function_or_method and name:sub(1, 2) == "__" then
      object.bind_like_function(v)
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
  for _, entry in ipairs(fields) do
    names[#names + 1] = entry.name
  end
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
  for _, parent in ipairs(made.mro) do
    if parent.fields then return parent.fields end
  end
end

local function as_dict(v)
  local fields = type(v) == "table" and not v.mro and not v.unknown and fields_of(v)
  if fields then
    local d = dict.new()
    for _, entry in ipairs(fields) do
      dict.set(d, entry.name, as_dict(object.getattr(v, entry.name)))
    end
    return d
  end
  if type(v) == "table" and (v.cls == types.list or v.cls == types.tuple) then
    local list = { cls = v.cls, n = v.n }
    for i = 1, v.n do
      list[i] = as_dict(v[i])
    end
    return list
  end
  if type(v) == "table" and v.cls == types.dict then
    local d = dict.new()
    for k, x in dict.each(v) do
      dict.set(d, k, as_dict(x))
    end
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

models["dataclasses"] = function()
  local names = raw_functions {
    dataclass = function(args, kw)
      local options = kw and kw.map or {}
      if args[1] ~= nil and args[1] ~= None then return dataclass(args[1], options) end
      return core.builtin("dataclass", function(call) return dataclass(call[1], options) end, true)
    end,
    field = make_field,
    fields = function(args)
      if unknown.is(args[1]) then return unknown.new("fields()") end
      local list = {}
      for _, entry in ipairs(fields_of(args[1]) or {}) do
        list[#list + 1] = entry.field
      end
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
      made.dict[name] = make_field(nil, {
        map = {
          default_factory = core.builtin(
            "copy",
            function() return v.cls == types.dict and dict.new() or core.list({}, 0) end,
            true
          ),
        },
      })
    end
  end
  dataclass(made, { frozen = kw.map.frozen, order = kw.map.order, kw_only = kw.map.kw_only })
  made.dict.__struct_fields__ = made.dict.__match_args__
end

---msgspec.defstruct(name, [(field, type, default), ...], namespace={...}).
local function define_struct(args, kw)
  local made = core.make_class(plain(args[1]), { kw and kw.map.bases and kw.map.bases[1] or struct })
  made.annotations = {}
  for k, v in dict.each(kw and kw.map.namespace or dict.new()) do
    core.define(made, plain(k), v)
  end
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
    list[#list + 1] = {
      cls = field_info,
      names = {},
      attrs = {
        name = entry.name,
        encode_name = entry.name,
        type = unknown.new("a field's type"),
        default = attrs.default,
        default_factory = attrs.default_factory,
        required = attrs.default == MISSING and attrs.default_factory == MISSING,
      },
    }
  end
  return core.tuple(list)
end

models["msgspec.structs"] = function()
  return raw_functions {
    replace = replace,
    fields = struct_fields,
    asdict = function(args) return as_dict(args[1]) end,
  }
end

models["msgspec"] = function()
  local names = raw_functions { field = make_field, defstruct = define_struct }
  names.Struct, names.NODEFAULT, names.UNSET = struct, MISSING, { cls = types.object, attrs = {}, names = {} }
  return names
end
