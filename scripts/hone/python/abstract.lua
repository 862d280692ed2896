--- The abstract world: model sources are evaluated with what is outside their packages unknown.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local format = require "hone.python.format"
require "hone.python.items"
require "hone.python.call"
require "hone.python.branch"
require "hone.python.functions"
require "hone.python.patterns"
local builtins = require "hone.python.builtins"
local stdlib = require "hone.python.stdlib"
local modules = require "hone.python.modules"
local externals = require "hone.python.externals"

local types, None = core.types, core.None
local S = core.state
local abstract = {}

local LIMITS = {
  steps = 5000000, -- statements, calls, iterations
  seconds = 30,
  kilobytes = 2 * 1024 * 1024, -- of Lua memory on top of what there was
  depth = 900, -- nested Python calls; deeper raises RecursionError, as Python does
  c_levels = 130, -- nested protected calls; Lua allows 200 and our host uses some
  branches = 20000, -- unknown branches explored both ways
  nested_branches = 8, -- ... one inside the other; deeper, only the second way is run
}

local World = {}
World.__index = World

local function copy_of(map)
  local copy = {}
  for k, v in pairs(map or {}) do
    copy[k] = v
  end
  return copy
end

local function missing_set(list)
  local set = {}
  for k, v in pairs(list or {}) do
    if type(k) == "number" then
      set[v] = true
    else
      set[k] = v
    end
  end
  return set
end

function abstract.new(options)
  local known = externals.torch()
  for name, v in pairs(options.externals or {}) do
    known[name] = v
  end
  local inner = {
    packages = copy_of(options.packages),
    externals = known,
    overrides = options.overrides or {},
    missing = missing_set(options.missing),
    opaque = options.opaque or {},
    limits = setmetatable(copy_of(options.limits), { __index = LIMITS }),
    modules = {},
    integers = {},
    unknown_roots = {},
    stdlib = stdlib,
    roots = {},
    short_files = {},
    print = options.print,
    hooks = { construct = {}, call = {} },
    report = {
      unknown = {},
      files = {},
      branch_lines = {},
      steps = 0,
      branches = 0,
      merges = 0,
      dropped = 0,
      unexplored = 0,
    },
  }
  for _, path in pairs(inner.packages) do
    inner.roots[#inner.roots + 1] = path
  end
  table.sort(inner.roots, function(a, b) return #a > #b end)
  local world = setmetatable({
    inner = inner,
    report = inner.report,
    hooks = inner.hooks,
    externals = known,
    overrides = inner.overrides,
    limits = inner.limits,
  }, World)
  inner.public = world
  return world
end

-- ---- entering and leaving -----------------------------------------------------------------------

local function message_of(e)
  if type(e) == "table" and e.abort then return e.abort end
  if not core.is_exception(e) then return nil end
  local text = core.exception_message(e)
  e.stack = core.stack(e.trace)
  local place = e.stack[1]
  local message = text == "" and e.cls.name or e.cls.name .. ": " .. text
  if not place then return message end
  return ("%s at %s:%d"):format(message, core.short_file(place.file), place.line or 0)
end

---Run `fn` in the world. Nested entries (from a hook) go on with the evaluation they are part of.
local function enter(world, fn, ...)
  if S.world == world.inner then return true, fn(...) end
  local saved = {}
  for k, v in pairs(S) do
    saved[k] = v
  end
  local inner = world.inner
  if not inner.builtins then inner.builtins = builtins.table() end
  S.world, S.frame, S.trail, S.nest, S.c_levels = inner, nil, nil, 0, 0
  S.most_depth = inner.limits.depth
  S.steps, S.check_at, S.started, S.kilobytes = inner.report.steps, 0, os.clock(), collectgarbage("count")
  -- An evaluation is short and keeps most of what it makes: collecting in between only costs time.
  -- core.check_bounds turns collecting on again when much is used.
  local collecting = collectgarbage("isrunning")
  collectgarbage("stop")
  local function restore(ok, v, ...)
    inner.report.steps = S.steps
    if type(v) == "string" and not ok and v ~= "interrupted" then v = core.from_lua_error(v) end
    local message = not ok and message_of(v)
    for k in pairs(S) do
      S[k] = nil
    end
    for k, old in pairs(saved) do
      S[k] = old
    end
    if collecting then collectgarbage("restart") end
    if ok then return true, v, ... end
    if not message then error(v, 0) end -- interrupted
    return false, message, core.is_exception(v) and v or nil
  end
  return restore(pcall(fn, ...))
end

local function result(ok, v, ...)
  if ok then return v, ... end
  return nil, v, ...
end

---Make plain Lua arguments and keywords ready for a call.
local function arguments(args, kwargs)
  args = table.move(args or {}, 1, #(args or {}), 1, { n = #(args or {}) })
  local names = {}
  for name in pairs(kwargs or {}) do
    names[#names + 1] = name
  end
  if #names == 0 then return args, nil end
  table.sort(names)
  names.map = copy_of(kwargs)
  return args, names
end

-- ---- what a world can be asked ------------------------------------------------------------------

function World:import(name, lazily)
  return result(enter(self, function() return modules.load(name, false, not lazily) end))
end

function World:run(text, name)
  return result(enter(self, function()
    local module = modules.from_text(text, name or "<text>")
    return module:run_all()
  end))
end

function World:get(value, name)
  return result(enter(self, function() return object.getattr(value, name) end))
end

function World:has(value, name)
  return (result(enter(self, function() return object.try_getattr(value, name) ~= nil end)))
end

function World:call(fn, args, kwargs)
  return result(enter(self, function() return core.call(fn, arguments(args, kwargs)) end))
end

function World:call_method(value, name, args, kwargs)
  return result(
    enter(self, function() return core.call(object.getattr(value, name), arguments(args, kwargs)) end)
  )
end

---Whether a function or method has a parameter of that name.
function World.takes(_, fn, name)
  local code = type(fn) == "table" and (fn.code or fn.func and fn.func.code)
  return code and code.params and code.params.slots[name] ~= nil or false
end

function World:set(value, name, v)
  return result(enter(self, function()
    object.setattr(value, name, v)
    return true
  end))
end

function World:item(value, key)
  return result(enter(self, function() return core.getitem(value, key) end))
end

function World:reads_as(text, value) self.inner.integers[text] = value end

---All items of an iterable as a Lua list.
function World:items(value)
  return result(enter(self, function()
    local list = require("hone.python.items").collect(value)
    if not list then return nil end
    list.n = nil
    return list
  end))
end

function World:repr(value)
  return result(enter(self, function() return format.repr(value) end))
end

---Run `fn` inside the world; its Python exceptions come back as nil and a message.
function World:try(fn, ...) return result(enter(self, fn, ...)) end

function World.raise(_, class, message) core.raise(class, "%s", message) end

function World.stack(_)
  local list = {}
  for i, place in ipairs(core.stack(core.trace(100))) do
    place.path = place.file
    place.file = core.short_file(place.file)
    list[i] = place
  end
  return list
end

local function class_behind(v)
  if core.is_class(v) then return v end
  if type(v) == "table" and v.cls == types["function"] then return v end
  return core.class_of(v)
end

function World.class_name(_, v) return class_behind(v).name end
function World.qualname(_, v) return class_behind(v).qualname or class_behind(v).name end

function World.mro(_, v)
  local list = {}
  for i, class in ipairs((core.is_class(v) and v or core.class_of(v)).mro) do
    list[i] = class.qualname
  end
  return list
end

function World.is_class(_, v) return core.is_class(v) end

---Whether `v` is an instance of a class with that qualified name, or one that ends in it.
function World.is_instance(_, v, name)
  if unknown.is(v) or core.is_class(v) then return false end
  for _, class in ipairs(core.class_of(v).mro) do
    if class.qualname == name or class.qualname:sub(-#name - 1) == "." .. name then return true end
  end
  return false
end

---The attributes of an instance, in the order of their first assignment: { { name, value } }.
function World.attributes(_, v)
  local list = {}
  if type(v) ~= "table" then return list end
  for _, name in ipairs(v.names or {}) do
    local value = v.attrs[name]
    if value ~= nil then list[#list + 1] = { name = name, value = value } end
  end
  return list
end

---The items of a list or tuple (or of an instance that is one, such as a ModuleList); none for other values.
function World.list_items(_, v)
  return type(v) == "table" and not v.vals and v.n and table.move(v, 1, v.n, 1, {}) or {}
end

---Put other items into a list or tuple, or an instance that is one, in the places of those that are replaced.
function World.replace_items(_, v, replacements)
  for i = 1, type(v) == "table" and not v.vals and v.n or 0 do
    v[i] = replacements[v[i]] or v[i]
  end
end

function World:record(fn)
  return result(enter(self, function() return require("hone.python.branch").record(fn) end))
end

function World.shape(_, v, index, before) return require("hone.python.shape").of(v, index, before) end

---What was met and is not known, most frequent first: { { kind, what, count, first } }.
function World:unknown_constructs()
  local list = {}
  for _, entry in pairs(self.report.unknown) do
    list[#list + 1] = entry
  end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.first < b.first
  end)
  return list
end

function World.attribute(_, v, name) return type(v) == "table" and v.attrs and v.attrs[name] or nil end

-- ---- values in and out --------------------------------------------------------------------------

local MISSING_NUMBERS = { boolean = true, string = true }

---The keys of a table: in their own order when it keeps one (hone.json's objects), else sorted.
local function ordered_names(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  if not getmetatable(map) then table.sort(names) end
  return names
end

---A Lua value (as decoded from JSON) as a Python one. `trace` labels numbers with their names.
function abstract.from_lua(v, trace)
  local t = type(v)
  if v == nil or t == "userdata" then return None end
  if MISSING_NUMBERS[t] then return v end
  if t == "number" then return trace and unknown.traced(v, { name = trace, line = false }) or v end
  if t ~= "table" then return v end
  if v.cls then return v end
  local json = require "hone.json"
  if json.is_array(v) or #v > 0 then
    local list = {}
    for i, item in ipairs(v) do
      list[i] = abstract.from_lua(item, trace and ("%s[%d]"):format(trace, i - 1))
    end
    return core.list(list)
  end
  local d = dict.new()
  for _, k in ipairs(ordered_names(v)) do
    dict.set(d, k, abstract.from_lua(v[k], trace and (trace ~= "" and trace .. "." .. k or k)))
  end
  return d
end

---A Python value as plain Lua: dicts and lists become tables, None becomes json.null, unknowns nil.
function abstract.to_lua(v)
  if unknown.is(v) then return nil end
  v = unknown.plain(v)
  if type(v) ~= "table" then return v end
  local json = require "hone.json"
  if v == None then return json.null end
  if v.vals then
    local map = json.object()
    for k, item in dict.each(v) do
      map[tostring(unknown.plain(k))] = item == true and true or abstract.to_lua(item)
    end
    return map
  end
  if v.n then
    local list = {}
    for i = 1, v.n do
      list[i] = abstract.to_lua(v[i])
    end
    return json.array(list)
  end
  if v.attrs and v.attrs.value ~= nil and v.cls.singleton then return abstract.to_lua(v.attrs.value) end
  return nil
end

---An object with the given fields, such as a config: getattr and hasattr go by what is there.
---@param options table see the stub
function abstract.object(options)
  local class = core.make_class(options.name or "Object", { types.object })
  class.module, class.qualname, class.open = "?", options.name or "Object", options.open
  local self = { cls = class, attrs = {}, names = {}, on_missing = options.on_missing }
  for _, name in ipairs(ordered_names(options.fields or {})) do
    object.store(self, name, abstract.from_lua(options.fields[name], options.trace ~= false and name or nil))
  end
  for name, fn in pairs(options.methods or {}) do
    object.store(self, name, core.builtin(name, fn, true))
  end
  if options.find then
    class.dict.__getattr__ = core.builtin("__getattr__", function(args)
      local found = options.find(unknown.plain(args[2]))
      if found == nil then core.raise("AttributeError", "%s has no attribute '%s'", class.name, args[2]) end
      return found
    end, true)
  end
  return self
end

---A function of the world written in Lua: fn(args, kwargs) -> value, args being a list.
function abstract.fn(name, fn)
  return core.builtin(name, function(args, kw) return fn(args, kw and kw.map or {}) end, true)
end

---An instance of a class, made without calling it, with these attributes.
function abstract.instance(class, fields)
  local self = { cls = class, attrs = {}, names = {} }
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    object.store(self, name, fields[name])
  end
  return self
end

---A class written in Lua. `methods`: names to fn(args, kwargs), args[1] being self. The missing attributes of
---an open class's instances are unknown.
function abstract.class(name, base, methods, open)
  local class = core.make_class(name:match("[^.]*$"), { base or types.object })
  class.qualname, class.module = name, name:match("^(.*)%.") or "?"
  class.builtin, class.open = true, open
  for method, fn in pairs(methods or {}) do
    class.dict[method] = abstract.fn(method, fn)
  end
  return class
end

return abstract
