--- How objects behave: attributes, descriptors, truth, and what isinstance and super see.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"

local types, None = core.types, core.None
local lookup, class_of = core.lookup, core.class_of
local S = core.state
local object = {}

local is_unknown = unknown.is
local FUNCTION, BUILTIN, METHOD = types["function"], types.builtin_function_or_method, types.method

-- ---- attributes ---------------------------------------------------------------------------------

---An attribute of an unknown: an external by its dotted name, or another unknown (always the same one).
local function unknown_attribute(v, name)
  if v.alts then
    return unknown.map(v, function(alt) return object.getattr(alt, name) end)
  end
  local cache = v.attrs
  if not cache then
    cache = {}
    v.attrs = cache
  end
  local found = cache[name]
  if found ~= nil then return found end
  local origin = v.origin .. "." .. name
  found = S.world.externals[origin]
  if found == nil then found = unknown.new(origin) end
  cache[name] = found
  return found
end

local function bound(func, self) return { cls = METHOD, func = func, self = self } end

---What a property gives. An object with a `memo` keeps it until one of its attributes is written; not while a branch
---is explored, whose writes may be taken back.
local function property_value(p, self)
  if p.fget == None then core.raise("AttributeError", "unreadable attribute") end
  local memo = type(self) == "table" and self.memo
  if not memo or S.trail then return core.call(p.fget, { self, n = 1 }) end
  if memo[p] == nil then memo[p] = core.call(p.fget, { self, n = 1 }) end
  return memo[p]
end

---Bind what a class holds to the instance it was asked through (`self` nil: asked through the class).
local function bind(v, owner, self, class)
  if type(v) ~= "table" then return v end
  local kind = v.cls
  if v.get then return v.get(self, class, v) end
  if kind == FUNCTION then return self ~= nil and bound(v, self) or v end
  if kind == BUILTIN then return self ~= nil and owner.builtin and bound(v, self) or v end
  if kind == types.classmethod then return bound(v.func, class) end
  if kind == types.staticmethod then return v.func end
  if kind == types.property then
    if self == nil then return v end
    return property_value(v, self)
  end
  if not kind.builtin and not v.mro and not v.unknown then
    local get = lookup(kind, "__get__")
    if get then return core.call(get, { v, self == nil and None or self, class, n = 3 }) end
  end
  return v
end

local function is_data_descriptor(v)
  if type(v) ~= "table" or v.cls == FUNCTION then return false end
  return v.cls == types.property
    or v.data_descriptor
    or (v.cls and not v.cls.builtin and not v.mro and not v.unknown and lookup(v.cls, "__set__") ~= nil)
end

local function names_dict(attrs, names)
  local d = dict.new()
  for _, name in ipairs(names) do
    if attrs[name] ~= nil then dict.set(d, name, attrs[name]) end
  end
  return d
end

---vars(obj): a dict of the instance's attributes, in order. It is a copy.
function object.vars(obj)
  if obj.mro then return names_dict(obj.dict, obj.keys) end
  if obj.cls == types.module then return obj.module:vars() end
  return names_dict(obj.attrs or {}, obj.names or {})
end

local CLASS_ATTRIBUTES = {
  __name__ = function(c) return c.name end,
  __qualname__ = function(c) return c.local_name or c.name end,
  __module__ = function(c) return c.module end,
  __mro__ = function(c) return core.tuple(table.move(c.mro, 1, #c.mro, 1, {})) end,
  __bases__ = function(c) return core.tuple(table.move(c.bases, 1, #c.bases, 1, {})) end,
  __dict__ = object.vars,
  __doc__ = function(c) return c.dict.__doc__ or None end,
  __class__ = function(c) return c.cls end,
  __annotations__ = function(c) return c.annotations and object.annotations(c.annotations) or dict.new() end,
  __subclasses__ = function(c)
    return core.builtin("__subclasses__", function()
      local list = {}
      for i, sub in ipairs(c.subclasses or {}) do
        list[i] = sub
      end
      return core.list(list)
    end, true)
  end,
}

---A dict of annotations: names to unknowns that show the annotation's text.
function object.annotations(list)
  local d = dict.new()
  for _, entry in ipairs(list) do
    dict.set(d, entry.name, unknown.new(entry.text))
  end
  return d
end

local function class_attribute(class, name)
  local v, owner = lookup(class, name)
  if v ~= nil then
    local meta = lookup(class.cls, name)
    if meta ~= nil and is_data_descriptor(meta) then return bind(meta, class.cls, class, class.cls) end
    return bind(v, owner, nil, class)
  end
  local special = CLASS_ATTRIBUTES[name]
  if special then return special(class) end
  v, owner = lookup(class.cls, name)
  if v ~= nil then return bind(v, owner, class, class.cls) end
  local getattr = lookup(class.cls, "__getattr__")
  if getattr then return core.call(getattr, { class, name, n = 2 }) end
  if class.open then
    class.ghosts = class.ghosts or {}
    if not class.ghosts[name] then class.ghosts[name] = unknown.new(class.qualname .. "." .. name) end
    return class.ghosts[name]
  end
end

local function function_attribute(f, name)
  if f.attrs and f.attrs[name] ~= nil then return f.attrs[name] end
  if name == "__name__" then return f.name end
  if name == "__qualname__" then return f.local_name or f.name end
  if name == "__module__" then return f.module or "builtins" end
  if name == "__doc__" then return f.doc or None end
  if name == "__dict__" then return names_dict(f.attrs or {}, f.names or {}) end
  if name == "__wrapped__" then return nil end
  if name == "__call__" then return f end
  if
    name == "__code__"
    or name == "__globals__"
    or name == "__annotations__"
    or name == "__defaults__"
    or name == "__kwdefaults__"
    or name == "__closure__"
  then
    return unknown.new(f.name .. "." .. name)
  end
  if name == "__get__" then
    return core.builtin("__get__", function(args) return bound(f, args[1]) end, true)
  end
end

local function method_attribute(m, name)
  if name == "__self__" then return m.self end
  if name == "__func__" then return m.func end
  return object.find(m.func, name)
end

local function property_attribute(p, name)
  if name == "fget" or name == "fset" or name == "fdel" then return p[name] or None end
  local slot = name == "setter" and "fset" or name == "getter" and "fget" or name == "deleter" and "fdel"
  if not slot then return nil end
  return core.builtin(name, function(args)
    local copy = { cls = types.property, fget = p.fget, fset = p.fset, fdel = p.fdel }
    copy[slot] = args[1]
    return copy
  end, true)
end

local function super_attribute(s, name)
  local mro = s.self.mro and core.is_subclass(s.self, s.class) and s.self.mro or class_of(s.self).mro
  local through_class = mro == s.self.mro
  local from
  for i = 1, #mro do
    if mro[i] == s.class then from = i end
  end
  for i = (from or 0) + 1, #mro do
    local v = mro[i].dict[name]
    if v ~= nil then
      local self = not through_class and s.self or nil
      return bind(v, mro[i], self, through_class and s.self or class_of(s.self))
    end
    if mro[i].unknown_base then return unknown.new(mro[i].qualname .. "." .. name) end
  end
  if name == "__class__" then return types.super end
  local v, owner = lookup(types.object, name)
  if v ~= nil then return bind(v, owner, not through_class and s.self or nil, class_of(s.self)) end
end

local function instance_attribute(obj, name)
  local class = obj.cls
  local v, owner = lookup(class, name)
  if v ~= nil and is_data_descriptor(v) then return bind(v, owner, obj, class) end
  local attrs = obj.attrs
  if attrs then
    local own = attrs[name]
    if own ~= nil then return own end
  end
  if v ~= nil then return bind(v, owner, obj, class) end
  if name == "__class__" then return class end
  if name == "__dict__" then return object.vars(obj) end
  if name == "__module__" then return class.module end
  if name == "__doc__" then return None end
  local getattr = not class.builtin and lookup(class, "__getattr__")
  if getattr then return core.call(getattr, { obj, name, n = 2 }) end
  if class.open and name:sub(1, 2) ~= "__" then
    local ghosts = obj.ghosts
    if not ghosts then
      ghosts = {}
      obj.ghosts = ghosts
    end
    if not ghosts[name] then ghosts[name] = unknown.new(class.name .. "." .. name) end
    return ghosts[name]
  end
end

local function wrapped_function(v, name)
  if name == "__func__" or name == "__wrapped__" then return v.func end
end

local BY_CLASS = {
  [types.staticmethod] = wrapped_function,
  [types.classmethod] = wrapped_function,
  [FUNCTION] = function_attribute,
  [BUILTIN] = function_attribute,
  [METHOD] = method_attribute,
  [types.property] = property_attribute,
  [types.super] = super_attribute,
  [types.unknown] = unknown_attribute,
  [types.module] = function(m, name) return m.module:attribute(name) end,
}

---An attribute, or nil when there is none (an AttributeError raised on the way passes through).
function object.find(obj, name)
  if type(obj) == "table" then
    local special = BY_CLASS[obj.cls]
    if special then
      local v = special(obj, name)
      if v ~= nil then return v end
      if obj.cls == types.module then return nil end
      return instance_attribute(obj, name)
    end
    if obj.mro then return class_attribute(obj, name) end
    if obj.how and (name == "numerator" or name == "real") then return obj end
    return instance_attribute(obj, name)
  end
  local class = class_of(obj)
  local v, owner = lookup(class, name)
  if v ~= nil then return bind(v, owner, obj, class) end
  if name == "__class__" then return class end
  if name == "__doc__" then return None end
end

local function describe(obj)
  if obj and type(obj) == "table" then
    if obj.mro then return ("type object '%s'"):format(obj.name) end
    if obj.cls == types.module then return ("module '%s'"):format(obj.module.name) end
  end
  return ("'%s' object"):format(class_of(obj).name)
end

function object.getattr(obj, name)
  local v = object.find(obj, name)
  if v ~= nil then return v end
  local explain = type(obj) == "table" and obj.on_missing
  local message = explain and explain(name, obj)
  core.raise("AttributeError", "%s", message or ("%s has no attribute '%s'"):format(describe(obj), name))
end

---The function behind obj.name and the self to pass it first (nil: none). Saves a bound method per call.
function object.method(obj, name)
  if type(obj) ~= "table" then
    local class = class_of(obj)
    local v = class.dict[name]
    if v == nil then v = lookup(class, name) end
    if v ~= nil and v.cls == BUILTIN then return v, obj end
    return object.getattr(obj, name)
  end
  if BY_CLASS[obj.cls] or obj.mro then return object.getattr(obj, name) end
  local v, owner = lookup(obj.cls, name)
  if
    type(v) == "table"
    and not (obj.attrs and obj.attrs[name] ~= nil)
    and (v.cls == FUNCTION or (v.cls == BUILTIN and owner.builtin))
  then
    return v, obj
  end
  return object.getattr(obj, name)
end

---Set an attribute past any __setattr__ and descriptor.
local function store(obj, name, v)
  if obj.memo then obj.memo = {} end
  local attrs = obj.attrs
  if not attrs then
    attrs = {}
    obj.attrs = attrs
  end
  local names = obj.names
  if not names then
    names = {}
    obj.names = names
  end
  if not names[name] then
    names[#names + 1] = name
    names[name] = true
  end
  core.put(attrs, name, v)
end
object.store = store

function object.setattr_plain(obj, name, v)
  local descriptor = lookup(obj.cls, name)
  if descriptor ~= nil and is_data_descriptor(descriptor) then
    if descriptor.set then return descriptor.set(obj, v) end
    if descriptor.cls == types.property then
      if not descriptor.fset or descriptor.fset == None then
        core.raise("AttributeError", "property '%s' of '%s' object has no setter", name, obj.cls.name)
      end
      core.call(descriptor.fset, { obj, v, n = 2 })
      return
    end
    core.call(lookup(descriptor.cls, "__set__"), { descriptor, obj, v, n = 3 })
    return
  end
  if name == "__class__" and core.is_class(v) then return core.put(obj, "cls", v) end
  store(obj, name, v)
end

function object.setattr(obj, name, v)
  if type(obj) ~= "table" then
    core.raise("AttributeError", "'%s' object has no attribute '%s'", class_of(obj).name, name)
  end
  if obj.unknown then
    if obj.alts then
      for _, alt in ipairs(obj.alts) do
        if type(alt) == "table" and alt ~= None then object.setattr(alt, name, v) end
      end
      return
    end
    if not obj.attrs then obj.attrs = {} end
    return core.put(obj.attrs, name, v)
  end
  if obj.mro then
    if not obj.builtin then core.define(obj, name, v) end
    return
  end
  if obj.cls == types.module then return obj.module:set(name, v) end
  local class = obj.cls
  if not class.builtin then
    local custom, owner = lookup(class, "__setattr__")
    if custom and not owner.builtin then
      core.call(custom, { obj, name, v, n = 3 })
      return
    end
    if class.frozen and not S.initialising then
      core.raise(types.FrozenInstanceError or types.AttributeError, "cannot assign to field '%s'", name)
    end
    return object.setattr_plain(obj, name, v)
  end
  if class == METHOD or class == types.list or class == types.dict or class == types.tuple then
    core.raise("AttributeError", "'%s' object has no attribute '%s'", class.name, name)
  end
  store(obj, name, v)
end

function object.delattr(obj, name)
  if type(obj) ~= "table" or obj.unknown then return end
  local map = obj.mro and obj.dict or obj.attrs
  if obj.cls == types.module then return obj.module:set(name, nil) end
  local custom, owner = lookup(obj.cls, "__delattr__")
  if custom and not owner.builtin then
    core.call(custom, { obj, name, n = 2 })
    return
  end
  local descriptor = not obj.mro and lookup(obj.cls, name)
  if descriptor and type(descriptor) == "table" and descriptor.cls == types.property and descriptor.fdel then
    core.call(descriptor.fdel, { obj, n = 1 })
    return
  end
  if not map or map[name] == nil then
    if obj.cls.open then return end
    core.raise("AttributeError", "%s has no attribute '%s'", describe(obj), name)
  end
  core.put(map, name, nil)
  if obj.names then
    obj.names[name] = nil
    for i, n in ipairs(obj.names) do
      if n == name then
        table.remove(obj.names, i)
        break
      end
    end
  end
end

---An attribute that is found without running any Python, nil when it takes more to tell.
local function plain_attribute(obj, name)
  if type(obj) ~= "table" or obj.unknown or obj.mro or BY_CLASS[obj.cls] then return nil end
  local v = lookup(obj.cls, name)
  if v == nil then return obj.attrs and obj.attrs[name] end
  if type(v) ~= "table" then return (not obj.attrs or obj.attrs[name] == nil) and v or nil end
end

---getattr with a default: nil when the attribute is missing, an AttributeError counts as missing.
function object.try_getattr(obj, name)
  local found = plain_attribute(obj, name)
  if found ~= nil then return found end
  local ok, v = core.protected(object.find, obj, name)
  if ok then return v end
  if core.is_subclass(v.cls, types.AttributeError) then return nil end
  error(v, 0)
end

-- ---- truth --------------------------------------------------------------------------------------

---true, false, or nil when it is not known.
local function truth(v)
  local t = type(v)
  if t == "boolean" then return v end
  if t == "number" then return v ~= 0 end
  if t == "string" then return v ~= "" end
  if t ~= "table" then return true end
  if v == None then return false end
  if v.unknown then
    if v.truth ~= nil then return v.truth end
    if not v.alts or v.alts.more then return nil end
    local first = truth(v.alts[1])
    for i = 2, #v.alts do
      if truth(v.alts[i]) ~= first then return nil end
    end
    return first
  end
  if unknown.is_tested(v) then
    return unknown.tested(v, 0, function(a, b) return a ~= b end)
  end
  local class = v.cls
  if v.boxed and not (v.attrs and lookup(class, "__bool__")) then return truth(v.value) end
  if class.builtin then
    if v.vals then return v.count > 0 end
    if class == types.list or class == types.tuple then return v.n > 0 end
    if class == types.range then return object.range_length(v) > 0 end
    if v.data then return #v.data > 0 end
    if v.source then return truth(v.source) end
    local len = class.dict.__len__
    if len then return truth(core.call(len, { v, n = 1 })) end
    return true
  end
  if v.mro or v.func then return true end
  local bool = lookup(class, "__bool__")
  if bool then return truth(core.call(bool, { v, n = 1 })) end
  local len = lookup(class, "__len__")
  if len then return truth(core.call(len, { v, n = 1 })) end
  return true
end
object.truth = truth

function object.range_length(r)
  local span = r.step > 0 and r.stop - r.start or r.start - r.stop
  local step = math.abs(r.step)
  return span <= 0 and 0 or (span + step - 1) // step
end

-- ---- classes ------------------------------------------------------------------------------------

---isinstance: true, false, or nil when not known.
function object.isinstance(v, class)
  if is_unknown(class) then return nil end
  if class.cls == types.tuple then
    local any = false
    for i = 1, class.n do
      local one = object.isinstance(v, class[i])
      if one then return true end
      if one == nil then any = nil end
    end
    return any
  end
  if is_unknown(v) then
    if not v.alts then return nil end
    local first = object.isinstance(v.alts[1], class)
    for i = 2, #v.alts do
      if object.isinstance(v.alts[i], class) ~= first then return nil end
    end
    return first
  end
  if class.union then return object.isinstance(v, class.union) end
  if class == None then class = types.NoneType end
  if class.alias_of then return object.isinstance(v, class.alias_of) end
  if not class.mro then return nil end
  if class.instance_check then return class.instance_check(v) end
  local check = not class.cls.builtin and lookup(class.cls, "__instancecheck__")
  if check then return truth(core.call(check, { class, v, n = 2 })) end
  local own = class_of(v)
  if core.is_subclass(own, class) then return true end
  -- A class with a base we cannot see may well be a subclass of an external one.
  if own.open and class.unknown_base then return nil end
  return false
end

function object.issubclass(sub, class)
  if is_unknown(sub) or is_unknown(class) then return nil end
  if class.cls == types.tuple then
    for i = 1, class.n do
      if object.issubclass(sub, class[i]) then return true end
    end
    return false
  end
  if not sub.mro then core.raise("TypeError", "issubclass() arg 1 must be a class") end
  return core.is_subclass(sub, class.alias_of or class)
end

---The class that stands for an unknown base ("torch.autograd.Function"): its instances are plain objects
---whose missing attributes are unknown.
function object.unknown_class(v)
  local class = v.as_class
  if not class then
    class = core.make_class(v.origin:match("[^.]*$"), { types.object })
    class.qualname, class.module = v.origin, v.origin:match("^(.*)%.") or "?"
    class.unknown_base, class.open = true, true
    v.as_class = class
  end
  return class
end

object.bind = bind
object.bound = bound

---Let a callable made in Lua bind like a Python function when an instance gives it.
function object.bind_like_function(fn)
  fn.get = function(self) return self == nil and fn or bound(fn, self) end
  return fn
end
return object
