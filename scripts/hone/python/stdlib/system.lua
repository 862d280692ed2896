--- Models of copy, logging, os, sys and other modules of which little is needed.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local format = require "hone.python.format"
local base = require "hone.python.stdlib.base"

local types, None = core.types, core.None
local plain = unknown.plain
local class, with, nothing, functions = base.class, base.with, base.nothing, base.functions
local models = base.models

local function shallow_copy(v)
  if type(v) ~= "table" or v.unknown or v.mro then return v end
  local own = core.lookup_own(v.cls, "__copy__")
  if own then return core.call(own, { v, n = 1 }) end
  if v.vals then return dict.copy(v) end
  if v.n and v.cls ~= types.tuple then
    return table.move(v, 1, v.n, 1, { cls = v.cls, n = v.n, attrs = v.attrs })
  end
  if not v.attrs then return v end
  local copy = {}
  for k, x in pairs(v) do
    copy[k] = x
  end
  copy.id = nil
  copy.attrs, copy.names = {}, {}
  for _, name in ipairs(v.names or {}) do
    object.store(copy, name, v.attrs[name])
  end
  return copy
end

local function deep_copy(v, memo)
  if type(v) ~= "table" or v.unknown or v.mro or v.code or v.fn or v.module then return v end
  if memo[v] then return memo[v] end
  if v.cls.singleton then return v end
  local own = core.lookup_own(v.cls, "__deepcopy__")
  if own then return core.call(own, { v, dict.new(), n = 2 }) end
  core.charge(1)
  if v.vals then
    local d = dict.new(v.cls)
    memo[v] = d
    for k, x in dict.each(v) do
      dict.set(d, k, deep_copy(x, memo))
    end
    d.fuzzy, d.factory = v.fuzzy, v.factory
    return d
  end
  if v.n then
    local list = { cls = v.cls, n = v.n }
    memo[v] = list
    for i = 1, v.n do
      list[i] = deep_copy(v[i], memo)
    end
    return list
  end
  if not v.attrs or v.cls.builtin and not v.on_missing then return v end
  local copy = shallow_copy(v)
  memo[v] = copy
  for name, x in pairs(copy.attrs) do
    copy.attrs[name] = deep_copy(x, memo)
  end
  return copy
end

models["copy"] = function()
  return functions({
    copy = function(args) return shallow_copy(args[1]) end,
    deepcopy = function(args) return deep_copy(args[1], {}) end,
  }, true)
end

local logger = class("Logger", nothing)
for _, name in ipairs {
  "debug",
  "info",
  "warning",
  "error",
  "exception",
  "critical",
  "log",
  "setLevel",
  "addHandler",
  "warning_once",
  "info_once",
  "removeHandler",
  "warn",
} do
  logger.dict[name] = core.builtin(name, nothing, true)
end
logger.dict.isEnabledFor = core.builtin("isEnabledFor", function() return false end, true)
local the_logger = { cls = logger, attrs = { name = "log", handlers = core.list {}, level = 20 }, names = {} }

models["logging"] = function()
  local names = functions({ getLogger = function() return the_logger end, basicConfig = nothing }, true)
  for _, name in ipairs { "debug", "info", "warning", "error", "exception", "critical" } do
    names[name] = core.builtin(name, nothing, true)
  end
  return with(names, { DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40, CRITICAL = 50, Logger = logger })
end

models["warnings"] = function()
  return functions({ warn = nothing, filterwarnings = nothing, simplefilter = nothing }, true)
end

---The environment is empty: what is read does not depend on this machine.
local function environment()
  local env = dict.new()
  return env
end

local function path_functions()
  return functions {
    join = function(args)
      local path = args[1]
      for i = 2, args.n do
        if args[i]:sub(1, 1) == "/" then
          path = args[i]
        else
          path = (path == "" or path:sub(-1) == "/") and path .. args[i] or path .. "/" .. args[i]
        end
      end
      return path
    end,
    basename = function(args) return args[1]:match("[^/]*$") end,
    dirname = function(args) return (args[1]:match("^(.*)/") or "") end,
    splitext = function(args)
      local stem, extension = args[1]:match("^(.*[^/.][^/]*)(%.[^./]*)$")
      return core.tuple { stem or args[1], extension or "" }
    end,
    expanduser = function(args) return args[1] end,
    abspath = function(args) return args[1] end,
    realpath = function(args) return args[1] end,
    exists = function() return unknown.new("os.path.exists()") end,
    isfile = function() return unknown.new("os.path.isfile()") end,
    isdir = function() return unknown.new("os.path.isdir()") end,
  }
end

local function path_module() return { cls = types.object, attrs = path_functions(), names = {} } end
models["os.path"] = path_functions

models["os"] = function()
  local env = environment()
  return with(
    functions({
      getenv = function(args)
        local v = dict.get(env, args[1])
        if v ~= nil then return v end
        return args[2] == nil and None or args[2]
      end,
      cpu_count = function() return unknown.new("os.cpu_count()") end,
      getpid = function() return unknown.new("os.getpid()") end,
      makedirs = nothing,
    }, true),
    { environ = env, path = path_module(), sep = "/", linesep = "\n", name = "posix", pathsep = ":" }
  )
end

models["sys"] = function()
  return {
    version_info = core.tuple { 3, 11, 0, "final", 0 },
    maxsize = math.maxinteger,
    platform = "linux",
    modules = dict.new(),
    argv = core.list { "" },
    path = core.list {},
    version = "3.11.0",
    executable = "python3",
    byteorder = "little",
    _getframe = core.builtin("_getframe", function() return unknown.new("frame") end, true),
    intern = core.builtin("intern", function(args) return args[1] end, true),
    exc_info = core.builtin("exc_info", function() return core.tuple { None, None, None } end, true),
    getrecursionlimit = core.builtin("getrecursionlimit", function() return 1000 end),
    setrecursionlimit = core.builtin("setrecursionlimit", nothing),
    stdout = unknown.new("sys.stdout"),
    stderr = unknown.new("sys.stderr"),
  }
end

models["types"] = function()
  local namespace = class("SimpleNamespace", function(made, _, kw)
    local made_object = { cls = made, attrs = {}, names = {} }
    for _, name in ipairs(kw or {}) do
      object.store(made_object, name, kw.map[name])
    end
    return made_object
  end)
  namespace.show = function(v, seen)
    local parts = {}
    for _, name in ipairs(v.names) do
      parts[#parts + 1] = name .. "=" .. format.repr(v.attrs[name], seen)
    end
    return "namespace(" .. table.concat(parts, ", ") .. ")"
  end
  return with(
    functions({
      MethodType = function(args) return object.bound(args[1], args[2]) end,
      MappingProxyType = function(args) return args[1] end,
    }, true),
    {
      SimpleNamespace = namespace,
      FunctionType = types["function"],
      ModuleType = types.module,
      NoneType = types.NoneType,
      GeneratorType = types.generator,
      UnionType = class("UnionType", nothing),
      LambdaType = types["function"],
      BuiltinFunctionType = types.builtin_function_or_method,
    }
  )
end

models["time"] = function()
  local function now() return unknown.new("time") end
  return functions({ time = now, perf_counter = now, monotonic = now, sleep = nothing, time_ns = now }, true)
end

models["weakref"] = function()
  return with(
    functions({
      ref = function(args)
        local target = args[1]
        return core.builtin("ref", function() return target end, true)
      end,
      proxy = function(args) return args[1] end,
    }, true),
    { WeakKeyDictionary = types.dict, WeakValueDictionary = types.dict, WeakSet = types.set }
  )
end

models["threading"] = function()
  local lock = class("Lock", function(made) return { cls = made, attrs = {}, names = {} } end, {
    __enter__ = function(args) return args[1] end,
    __exit__ = nothing,
    acquire = function() return true end,
    release = nothing,
    locked = function() return false end,
  })
  local keep = class("local", function(made) return { cls = made, attrs = {}, names = {} } end)
  keep.builtin = false
  return { Lock = lock, RLock = lock, Condition = lock, Semaphore = lock, ["local"] = keep }
end

models["inspect"] = function()
  return functions({
    isclass = function(args)
      if unknown.is(args[1]) then return unknown.new("isclass()") end
      return core.is_class(args[1])
    end,
    isfunction = function(args) return type(args[1]) == "table" and args[1].code ~= nil end,
    ismethod = function(args) return type(args[1]) == "table" and args[1].cls == types.method end,
    iscoroutinefunction = function() return false end,
    getattr_static = function(args)
      local v, name = args[1], plain(args[2])
      if unknown.is(v) then return unknown.new("getattr_static()") end
      local found = core.is_class(v) and core.lookup(v, name)
      if found == nil or found == false then
        found = type(v) == "table" and v.attrs and v.attrs[name] or nil
      end
      if found == nil then found = core.lookup(core.class_of(v), name) end
      if found ~= nil then return found end
      if args[3] == nil then core.raise("AttributeError", "%s", name) end
      return args[3]
    end,
  }, true)
end

models["random"] = function() return {} end
models["platform"] = function()
  return functions({ system = function() return "Linux" end, machine = function() return "x86_64" end })
end
