--- Calling: functions and their arguments, classes and their instances, generators, overrides and hooks.
---
--- Arguments travel as `args` = { n =, [1..n] } and `kw` = nil or { names in order, map = name -> value }.
--- The callee owns both. `fuzzy` on either says that an unknown was spread into the call (f(*unknown)):
--- what is missing then is unknown instead of an error.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"

local types, None = core.types, core.None
local lookup = core.lookup
local S = core.state
local call = {}

local FUNCTION, BUILTIN, METHOD = types["function"], types.builtin_function_or_method, types.method

-- ---- binding arguments --------------------------------------------------------------------------

local function quoted(names)
  for i, name in ipairs(names) do
    names[i] = "'" .. name .. "'"
  end
  if #names == 1 then return names[1] end
  local last = table.remove(names)
  return table.concat(names, ", ") .. (#names > 1 and "," or "") .. " and " .. last
end

local function missing_arguments(fn, params, frame)
  local names = {}
  for i = 1, params.count do
    if frame[i] == nil and fn.defaults[i] == nil then names[#names + 1] = params.names[i] end
  end
  local kind = "positional"
  if #names == 0 then
    kind = "keyword-only"
    for i = params.count + 1, params.count + params.kwonly do
      if frame[i] == nil and fn.defaults[i] == nil then names[#names + 1] = params.names[i] end
    end
  end
  local plural = #names > 1 and "s" or ""
  core.raise(
    "TypeError",
    "%s() missing %d required %s argument%s: %s",
    fn.local_name or fn.name,
    #names,
    kind,
    plural,
    quoted(names)
  )
end

local function too_many(fn, params, given, kw)
  local takes = tostring(params.count)
  local defaults, keyword_only = 0, 0
  for slot in pairs(fn.defaults) do
    if slot <= params.count then defaults = defaults + 1 end
  end
  for _, name in ipairs(kw or {}) do
    if (params.slots[name] or 0) > params.count then keyword_only = keyword_only + 1 end
  end
  if defaults > 0 then takes = ("from %d to %d"):format(params.count - defaults, params.count) end
  local what = tostring(given)
  if keyword_only > 0 then
    what = ("%d positional argument%s (and %d keyword-only argument%s)"):format(
      given,
      given == 1 and "" or "s",
      keyword_only,
      keyword_only == 1 and "" or "s"
    )
  end
  core.raise(
    "TypeError",
    "%s() takes %s positional argument%s but %s %s given",
    fn.local_name or fn.name,
    takes,
    params.count == 1 and defaults == 0 and "" or "s",
    what,
    given == 1 and keyword_only == 0 and "was" or "were"
  )
end

local function bind_keywords(fn, params, frame, kw)
  local rest = params.kwarg and dict.new()
  for _, name in ipairs(kw) do
    local slot = params.slots[name]
    if slot and slot > params.posonly then
      if frame[slot] ~= nil then
        core.raise("TypeError", "%s() got multiple values for argument '%s'", fn.local_name or fn.name, name)
      end
      frame[slot] = kw.map[name]
    elseif rest then
      dict.set(rest, name, kw.map[name])
    elseif not kw.fuzzy then
      core.raise("TypeError", "%s() got an unexpected keyword argument '%s'", fn.local_name or fn.name, name)
    end
  end
  if rest then
    rest.fuzzy = kw.fuzzy
    frame[params.kwarg] = rest
  end
end

---Turn arguments into the frame of a call. Slots 1..count are the positional parameters, then the
---keyword-only ones, then *args and **kwargs.
local function bind(fn, args, kw)
  local params = fn.code.params
  local count, given = params.count, args.n
  local frame = args
  local extra
  if given > count then
    if not params.vararg then
      if not args.fuzzy then too_many(fn, params, given, kw) end
    else
      extra = table.move(args, count + 1, given, 1, {})
    end
    for i = count + 1, given do
      args[i] = nil
    end
  end
  if params.vararg then
    if args.fuzzy then
      frame[params.vararg] = unknown.new("*" .. params.names[params.vararg])
    else
      frame[params.vararg] = core.tuple(extra or {}, extra and given - count or 0)
    end
  end
  if kw then
    bind_keywords(fn, params, frame, kw)
  elseif params.kwarg then
    frame[params.kwarg] = dict.new()
  end
  local defaults = fn.defaults
  for i = 1, count + params.kwonly do
    if frame[i] == nil then
      local v = defaults[i]
      if v == nil then
        if not (args.fuzzy or kw and kw.fuzzy) then missing_arguments(fn, params, frame) end
        v = unknown.new(params.names[i])
      end
      frame[i] = v
    end
  end
  return frame
end

---The arguments of a call by parameter name, self left out: what hooks are given.
---@return table<string, any> values, string[] names in the order of the parameters
function call.bound_arguments(fn, args, kw)
  local copy = table.move(args, 1, args.n, 1, { n = args.n, fuzzy = args.fuzzy })
  if fn.cls ~= FUNCTION then
    local map = {}
    for k, v in pairs(kw and kw.map or {}) do
      map[k] = v
    end
    for i = 2, args.n do
      map[i - 1] = args[i]
    end
    return map, {}
  end
  local params = fn.code.params
  local frame = bind(fn, copy, kw)
  local map, names = {}, {}
  for i = 2, #params.names do
    map[params.names[i]] = frame[i]
    names[#names + 1] = params.names[i]
  end
  return map, names
end

-- ---- functions ----------------------------------------------------------------------------------

---Where the call being made stands in the source.
function call.site()
  local f = core.code_frame()
  if not f then return { file = "?", line = 0 } end
  local owner = f.fn and f.fn.cell and f.fn.cell.class
  return {
    file = core.short_file(f.code.file),
    path = f.code.file,
    line = f.line,
    ["function"] = f.code.name,
    class = owner and owner.qualname,
  }
end

---Run a bound frame to its end: the value returned.
local function run(fn, code, frame)
  local back = S.frame
  frame.up, frame.fn, frame.code, frame.back, frame.line = fn.up, fn, code, back, code.line
  local depth = (back and back.depth or 0) + 1
  frame.depth = depth
  if depth > S.most_depth then core.raise("RecursionError", "maximum recursion depth exceeded") end
  S.steps = S.steps + 1
  if S.steps > S.check_at then core.check_bounds() end
  S.frame = frame
  local body = code.body or code.compile(code)
  body(frame)
  S.frame = back
  local result = frame.ret
  if frame.pending then result = core.settle_returns(frame, result) end
  if result == nil then return None end
  return result
end

---What a hook on a module's forward gives, nil to run it.
local function forward_hook(args, kw)
  local self = args[1]
  local hooks = S.world.hooks.call
  if type(self) ~= "table" or not self.cls or self.mro then return nil end
  for _, class in ipairs(self.cls.mro) do
    local hook = hooks[class.qualname]
    if hook then
      local rest = table.move(args, 2, args.n, 1, { n = args.n - 1 })
      return hook(self, rest, kw and kw.map or {}, call.site())
    end
  end
end

core.forward_hook = forward_hook

local function call_function(fn, args, kw)
  if fn.override then
    local v = fn.override(S.world.public, args, kw and kw.map or {}, call.site())
    if v ~= nil then return v end
  end
  if fn.name == "forward" and args.n > 0 and next(S.world.hooks.call) then
    local v = forward_hook(args, kw)
    if v ~= nil then return v end
  end
  local code = fn.code
  if code.generator == nil then code.compile(code) end
  local frame = bind(fn, args, kw)
  if code.generator then return core.make_generator(fn, code, frame) end
  return run(fn, code, frame)
end

-- ---- built-in functions -------------------------------------------------------------------------

local call_builtin

local function map_argument(fn, args, kw, place)
  return unknown.map(args[place], function(alt)
    local copy = table.move(args, 1, args.n, 1, { n = args.n })
    copy[place] = alt
    return call_builtin(fn, copy, kw)
  end)
end

function call_builtin(fn, args, kw)
  if not fn.raw then
    for i = 1, args.n do
      local v = args[i]
      if type(v) == "table" then
        if v.unknown then
          if v.alts and #v.alts <= 4 then return map_argument(fn, args, kw, i) end
          return unknown.new(fn.name .. "()")
        elseif v.how then
          args[i] = v.value
        end
      end
    end
    if args.fuzzy or kw and kw.fuzzy then return unknown.new(fn.name .. "()") end
  end
  local v = fn.fn(args, kw)
  if v == nil then return None end
  return v
end

-- ---- classes ------------------------------------------------------------------------------------

local function run_construct_hooks(instance, class, init, args, kw)
  local hooks = S.world.hooks.construct
  local bound, names
  for _, base in ipairs(class.mro) do
    local hook = hooks[base.qualname]
    if hook then
      if not bound then
        bound, names = call.bound_arguments(init, args, kw)
      end
      hook(instance, bound, call.site(), names)
    end
  end
  if hooks["*"] then
    if not bound then
      bound, names = call.bound_arguments(init, args, kw)
    end
    hooks["*"](instance, bound, call.site(), names)
  end
end

local function wants_hooks(class)
  local hooks = S.world.hooks.construct
  if next(hooks) == nil then return false end
  if hooks["*"] then return true end
  for _, base in ipairs(class.mro) do
    if hooks[base.qualname] then return true end
  end
  return false
end

---@return function? constructor of the nearest built-in class that makes its instances itself
local function native_constructor(class)
  for _, base in ipairs(class.mro) do
    if base.construct then return base.construct end
  end
end

local function make_instance(class, args, kw)
  local new, owner = lookup(class, "__new__")
  if new and not owner.builtin then
    if new.cls == types.staticmethod then new = new.func end
    local copy = table.move(args, 1, args.n, 2, { class, n = args.n + 1, fuzzy = args.fuzzy })
    return core.call(new, copy, kw)
  end
  local construct = native_constructor(class)
  if construct then return construct(class, args, kw) end
  return { cls = class, attrs = {}, names = {} }
end

local function initialise(instance, class, args, kw)
  local init, owner = lookup(class, "__init__")
  local full = core.new_frame(init.code or {})
  full[1], full.n, full.fuzzy = instance, args.n + 1, args.fuzzy
  table.move(args, 1, args.n, 2, full)
  local hooked = wants_hooks(class)
  local kept = hooked and table.move(full, 1, full.n, 1, { n = full.n, fuzzy = full.fuzzy })
  if not owner.builtin then
    core.call(init, full, kw)
  elseif
    owner == types.object
    and (args.n > 0 or kw)
    and native_constructor(class) == types.object.construct
    and not core.lookup_own(class, "__new__")
    and not class.open
  then
    core.raise("TypeError", "%s() takes no arguments", class.name)
  end
  if hooked then run_construct_hooks(instance, class, init, kept, kw) end
end

local function call_class(class, args, kw)
  if class.override then
    local v = class.override(S.world.public, args, kw and kw.map or {}, call.site())
    if v ~= nil then return v end
  end
  if not class.cls.builtin then
    local own, owner = lookup(class.cls, "__call__")
    if own and not owner.builtin then
      return core.call(own, table.move(args, 1, args.n, 2, { class, n = args.n + 1 }), kw)
    end
  end
  if class.abstract_call then return class.abstract_call(class, args, kw) end
  local instance = make_instance(class, args, kw)
  if
    type(instance) ~= "table"
    or instance.unknown
    or instance.mro
    or not instance.cls
    or not core.is_subclass(instance.cls, class)
  then
    return instance
  end
  if not class.builtin then
    initialise(instance, instance.cls, args, kw)
  elseif class.is_external and wants_hooks(class) then -- a layer of torch itself
    local full = table.move(args, 1, args.n, 2, { instance, n = args.n + 1, fuzzy = args.fuzzy })
    run_construct_hooks(instance, class, lookup(class, "__init__"), full, kw)
  end
  return instance
end

-- ---- any callable -------------------------------------------------------------------------------

local function call_unknown(fn, args, kw)
  if fn.alts then
    return unknown.map(fn, function(alt)
      if alt == None then core.raise("TypeError", "'NoneType' object is not callable") end
      return core.call(alt, table.move(args, 1, args.n, 1, { n = args.n, fuzzy = args.fuzzy }), kw)
    end)
  end
  -- A decorator that we cannot see is taken to leave what it decorates as it is.
  if S.decorating and args.n == 1 and not kw then return args[1] end
  return unknown.new(fn.origin .. "()")
end

---Call any value.
function core.call(fn, args, kw)
  if type(fn) == "table" and fn.cls == FUNCTION then return call_function(fn, args, kw) end
  if type(fn) == "function" then
    local v = fn(args, kw)
    return v == nil and None or v
  end
  local class = core.class_of(fn)
  if class == BUILTIN then return call_builtin(fn, args, kw) end
  if class == METHOD then
    table.move(args, 1, args.n, 2)
    args[1], args.n = fn.self, args.n + 1
    return core.call(fn.func, args, kw)
  end
  if type(fn) == "table" then
    if fn.mro then return call_class(fn, args, kw) end
    if fn.unknown then return call_unknown(fn, args, kw) end
    if class == types.staticmethod or class == types.classmethod then return core.call(fn.func, args, kw) end
    local own = lookup(class, "__call__")
    if own ~= nil then
      table.move(args, 1, args.n, 2)
      args[1], args.n = fn, args.n + 1
      return core.call(own, args, kw)
    end
    if class.open then
      local forward = lookup(class, "forward")
      if forward then
        table.move(args, 1, args.n, 2)
        args[1], args.n = fn, args.n + 1
        return core.call(forward, args, kw)
      end
      return unknown.new(class.name .. "()")
    end
  end
  core.raise("TypeError", "'%s' object is not callable", class.name)
end

---obj.name(...)
function core.call_method(obj, name, ...)
  local fn, self = object.method(obj, name)
  if self ~= nil then return core.call(fn, { self, n = 1 + select("#", ...), ... }) end
  return core.call(fn, { n = select("#", ...), ... })
end

-- ---- generators ---------------------------------------------------------------------------------

---A generator: its body runs in a coroutine, from one yield to the next.
function core.make_generator(fn, code, frame)
  local generator = { cls = types.generator, name = fn.name }
  generator.co = coroutine.create(function() return run(fn, code, frame) end)
  generator.frame = frame
  return generator
end

---Go on with a generator, `sent` being the value of the yield it waits at.
---@return any? value the next value, nil when it has ended (generator.result is then what it returned)
function core.resume(generator, sent, thrown)
  if generator.done then return nil end
  if generator.running then core.raise("ValueError", "generator already executing") end
  local levels = S.c_levels
  if levels >= S.world.limits.c_levels then
    core.raise("RecursionError", "maximum recursion depth exceeded")
  end
  local frame, trail, nest = S.frame, S.trail, S.nest
  if generator.started then
    generator.frame.back = frame
    S.frame = generator.at
  end
  S.c_levels = levels + 1
  generator.running = true
  local ok, v = coroutine.resume(generator.co, sent, thrown)
  generator.running = false
  generator.started = true
  generator.at = S.frame
  S.c_levels, S.frame, S.nest, S.trail = levels, frame, nest, trail
  if not ok then
    generator.done = true
    if core.is_exception(v) and v.cls == types.StopIteration then
      v = core.exception(types.RuntimeError, { "generator raised StopIteration" })
    end
    error(v, 0)
  end
  if coroutine.status(generator.co) == "dead" then
    generator.done, generator.result = true, v
    return nil
  end
  return v
end

---yield: hand a value to whoever resumed us, and wait for what it sends.
function core.yield(v)
  if not coroutine.isyieldable() then return unknown.report("yield outside a generator") end
  local trail, nest = S.trail, S.nest
  local sent, thrown = coroutine.yield(v)
  if trail then
    S.trail, S.nest = trail, nest
  end
  if thrown then error(thrown, 0) end
  if sent == nil then return None end
  return sent
end

return call
