--- Models of collections and contextlib.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local items = require "hone.python.items"
local format = require "hone.python.format"
local containers = require "hone.python.containers"
local base = require "hone.python.stdlib.base"
local named_tuple = require "hone.python.stdlib.named_tuple"

local types, None = core.types, core.None
local plain = unknown.plain
local class = base.class
local models = base.models

local function raw_functions(map) return base.functions(map, true) end

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
  for i = 1, list and list.n or 0 do
    dict.set(d, list[i], (plain(dict.get(d, list[i])) or 0) + 1)
  end
  return d
end
core.methods(counter, {
  most_common = function(args)
    local list = {}
    for k, v in dict.each(args[1]) do
      list[#list + 1] = core.tuple { k, v }
    end
    local sorted = containers.sorted(
      { n = #list, table.unpack(list) },
      core.builtin("by", function(a) return a[1][2] end, true),
      true
    )
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

local function namedtuple(args, kw)
  local names = args[2]
  local fields = {}
  if type(names) == "string" then
    for name in names:gmatch("[%w_]+") do
      fields[#fields + 1] = { name = name }
    end
  else
    for i = 1, names.n do
      fields[i] = { name = plain(names[i]) }
    end
  end
  local defaults = kw and kw.map.defaults and items.collect(kw.map.defaults)
  for i = 1, defaults and defaults.n or 0 do
    fields[#fields - defaults.n + i].default = defaults[i]
  end
  local made = core.make_class(plain(args[1]), { types.object })
  named_tuple.make(made, fields)
  return made
end

models["collections"] = function()
  local names = raw_functions { namedtuple = namedtuple }
  names.OrderedDict, names.defaultdict, names.Counter, names.deque =
    types.OrderedDict, types.defaultdict, counter, deque
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

local nullcontext = class(
  "nullcontext",
  function(made, args) return { cls = made, inner = args[1] == nil and None or args[1], attrs = {} } end,
  { __enter__ = function(args) return args[1].inner end, __exit__ = function() return false end }
)

local exit_stack = class(
  "ExitStack",
  function(made) return { cls = made, entered = core.list({}, 0), attrs = {} } end,
  {
    __enter__ = function(args) return args[1] end,
    __exit__ = function(args)
      local list = args[1].entered
      for i = list.n, 1, -1 do
        core.call_method(list[i], "__exit__", None, None, None)
      end
      return false
    end,
    enter_context = function(args)
      if unknown.is(args[2]) then return args[2] end
      containers.append(args[1].entered, args[2])
      return core.call_method(args[2], "__enter__")
    end,
    callback = function() return None end,
    close = function() return None end,
  }
)

models["contextlib"] = function()
  local names = raw_functions {
    contextmanager = function(args)
      local fn = args[1]
      local wrapper = core.builtin(fn.name or "contextmanager", function(call, kw)
        local generator = core.call(fn, call, kw)
        if unknown.is(generator) then return generator end
        if generator.cls ~= types.generator then return generator end -- an override
        return { cls = managed, generator = generator, attrs = {} }
      end, true)
      wrapper.qualname, wrapper.module = fn.qualname, fn.module
      return object.bind_like_function(wrapper)
    end,
    closing = function(args) return { cls = nullcontext, inner = args[1], attrs = {} } end,
    redirect_stdout = function() return { cls = nullcontext, inner = None, attrs = {} } end,
  }
  names.suppress, names.nullcontext, names.ExitStack = suppress, nullcontext, exit_stack
  names.AbstractContextManager, names.ContextDecorator =
    core.builtin_class("AbstractContextManager"), core.builtin_class("ContextDecorator")
  names.asynccontextmanager = names.contextmanager
  return names
end
