--- Small models of the standard library's modules: what sources do with them while objects are built.
---
--- Each entry makes the names of one module. Names that a model lacks are unknown, and counted.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local format = require "hone.python.format"
local builtins = require "hone.python.builtins"

local types, None = core.types, core.None
local plain = unknown.plain
local keyword = builtins.keyword
local stdlib = {}

---A table of built-in functions.
local function functions(map, is_raw)
  local names = {}
  for name, fn in pairs(map) do names[name] = core.builtin(name, fn, is_raw) end
  return names
end

local function with(names, more)
  for k, v in pairs(more) do names[k] = v end
  return names
end

---A class written in Lua: `construct(class, args, kw)`.
local function class(name, construct, methods, base)
  local made = core.builtin_class(name, base)
  made.construct = construct
  if methods then core.methods(made, methods, true) end
  return made
end
stdlib.class = class

local function nothing() return None end

-- ---- math, operator -----------------------------------------------------------------------------

local function domain(name, x)
  if x < 0 then core.raise("ValueError", "math domain error") end
  return math[name](x)
end

local function gcd(a, b)
  while b ~= 0 do a, b = b, a % b end
  return math.abs(a)
end

local function traced_rounding(name, fn)
  return core.builtin(name, function(args)
    local v = args[1]
    if unknown.is(v) then return unknown.new("math." .. name .. "()") end
    local x = plain(v)
    local result = math.tointeger(fn(x)) or unknown.report("integer overflow")
    if type(v) == "table" and v.how and math.type(result) then return unknown.traced(result, { call = name, v }) end
    return result
  end, true)
end

stdlib["math"] = function()
  return with(functions {
    sqrt = function(a) return domain("sqrt", a[1]) end,
    log = function(a)
      if a[1] <= 0 then core.raise("ValueError", "math domain error") end
      return a[2] and math.log(a[1]) / math.log(a[2]) or math.log(a[1])
    end,
    log2 = function(a) return math.log(a[1], 2) end,
    log10 = function(a) return math.log(a[1], 10) end,
    log1p = function(a) return math.log(1 + a[1]) end,
    exp = function(a) return math.exp(a[1]) end,
    pow = function(a) return (a[1] * 1.0) ^ a[2] end,
    sin = function(a) return math.sin(a[1]) end,
    cos = function(a) return math.cos(a[1]) end,
    tan = function(a) return math.tan(a[1]) end,
    atan = function(a) return math.atan(a[1]) end,
    atan2 = function(a) return math.atan(a[1], a[2]) end,
    fabs = function(a) return math.abs(a[1]) * 1.0 end,
    isnan = function(a) return a[1] ~= a[1] end,
    isinf = function(a) return a[1] == math.huge or a[1] == -math.huge end,
    isfinite = function(a) return a[1] == a[1] and math.abs(a[1]) ~= math.huge end,
    isclose = function(a, kw)
      local relative = kw and kw.map.rel_tol or 1e-9
      return math.abs(a[1] - a[2]) <= math.max(relative * math.max(math.abs(a[1]), math.abs(a[2])), 0)
    end,
    gcd = function(a)
      local g = 0
      for i = 1, a.n do g = gcd(g, a[i]) end
      return g
    end,
    lcm = function(a)
      local m = 1
      for i = 1, a.n do m = m // gcd(m, a[i]) * a[i] end
      return m
    end,
    isqrt = function(a) return math.floor(math.sqrt(a[1])) end,
    radians = function(a) return math.rad(a[1]) end,
    degrees = function(a) return math.deg(a[1]) end,
  }, {
    prod = core.builtin("prod", function(a, kw)
      local list = items.collect(a[1])
      if not list then return unknown.new("math.prod()") end
      local v = plain(kw and kw.map.start or 1)
      for i = 1, list.n do v = ops.binary("*", v, list[i]) end
      return v
    end, true),
    ceil = traced_rounding("ceil", math.ceil),
    floor = traced_rounding("floor", math.floor),
    trunc = traced_rounding("trunc", function(x) return x < 0 and math.ceil(x) or math.floor(x) end),
    pi = math.pi, e = math.exp(1), inf = math.huge, nan = 0 / 0, tau = 2 * math.pi,
  })
end

local function getter(kind, get)
  return core.builtin(kind, function(args)
    local keys = args
    return core.builtin(kind, function(call)
      local values = {}
      for i = 1, keys.n do values[i] = get(call[1], keys[i]) end
      return keys.n == 1 and values[1] or core.tuple(values, keys.n)
    end, true)
  end, true)
end

stdlib["operator"] = function()
  local names = {
    itemgetter = getter("itemgetter", core.getitem),
    attrgetter = getter("attrgetter", function(v, path)
      for name in plain(path):gmatch("[^.]+") do v = object.getattr(v, name) end
      return v
    end),
    eq = core.builtin("eq", function(a) return ops.bool(ops.equal(a[1], a[2])) end, true),
    getitem = core.builtin("getitem", function(a) return core.getitem(a[1], a[2]) end, true),
  }
  for name, symbol in pairs { add = "+", sub = "-", mul = "*", truediv = "/", floordiv = "//", mod = "%", or_ = "|",
    and_ = "&", xor = "^" } do
    names[name] = core.builtin(name, function(a) return ops.binary(symbol, a[1], a[2]) end, true)
  end
  for name, symbol in pairs { lt = "<", le = "<=", gt = ">", ge = ">=" } do
    names[name] = core.builtin(name, function(a) return ops.order(symbol, a[1], a[2]) end, true)
  end
  return names
end

-- ---- functools ----------------------------------------------------------------------------------

local partial = class("partial", function(made, args, kw)
  local fixed = table.move(args, 2, args.n, 1, { n = args.n - 1 })
  local attrs = { func = args[1], args = core.tuple(table.move(fixed, 1, fixed.n, 1, {}), fixed.n) }
  attrs.keywords = dict.from(kw and kw.map or {}, kw and table.move(kw, 1, #kw, 1, {}))
  return { cls = made, attrs = attrs, names = { "func", "args", "keywords" }, fixed = fixed, kw = kw }
end, {
  __call__ = function(args, kw)
    local self = args[1]
    local all = table.move(self.fixed, 1, self.fixed.n, 1, { n = self.fixed.n + args.n - 1, fuzzy = args.fuzzy })
    table.move(args, 2, args.n, self.fixed.n + 1, all)
    if not self.kw then return core.call(self.attrs.func, all, kw) end
    local both = { map = {} , fuzzy = kw and kw.fuzzy }
    for _, source in ipairs { self.kw, kw or { map = {} } } do
      for _, name in ipairs(source) do
        if both.map[name] == nil then both[#both + 1] = name end
        both.map[name] = source.map[name]
      end
    end
    return core.call(self.attrs.func, all, both)
  end,
})

---A function that copies the name of another onto a wrapper: functools.wraps(f)(wrapper).
local function update_wrapper(wrapper, wrapped)
  if type(wrapper) == "table" and wrapper.cls == types["function"] and type(wrapped) == "table" and not wrapped.unknown then
    wrapper.name, wrapper.local_name = wrapped.name or wrapper.name, wrapped.local_name or wrapper.local_name
    wrapper.qualname = wrapped.qualname or wrapper.qualname
    object.store(wrapper, "__wrapped__", wrapped)
  end
  return wrapper
end

local function call_key(args, kw)
  local list = table.move(args, 1, args.n, 1, { n = args.n })
  for _, name in ipairs(kw or {}) do
    list[#list + 1] = core.tuple { name, kw.map[name] }
  end
  list.n = #list
  list.cls = types.tuple
  local ok, key = core.protected(dict.key_of, list)
  return ok and key or nil
end

---What lru_cache makes of a function; methods bind as usual because it stays a function in kind.
local function cached(fn)
  local cache = {}
  local wrapper = core.builtin(fn.name or "cached", function(args, kw)
    local key = call_key(args, kw)
    local have = key and cache[key]
    if have ~= nil then return have end
    local v = core.call(fn, args, kw)
    if key then core.put(cache, key, v) end
    return v
  end, true)
  wrapper.qualname, wrapper.module, wrapper.local_name = fn.qualname, fn.module, fn.local_name
  wrapper.attrs = {
    cache_clear = core.builtin("cache_clear", function() for k in pairs(cache) do core.put(cache, k, nil) end end),
    cache_info = core.builtin("cache_info", function() return unknown.new("cache_info()") end),
    __wrapped__ = fn,
  }
  wrapper.get = function(self) return self == nil and wrapper or object.bound(wrapper, self) end
  return wrapper
end

local function lru_cache(args)
  local fn = args[1]
  if type(fn) == "table" and (fn.code or fn.func or fn.mro) then return cached(fn) end
  return core.builtin("lru_cache", function(call) return cached(call[1]) end, true)
end

---A property that is evaluated once and then kept on the instance.
local function cached_property(_, args)
  local fn = args[1]
  local p = { cls = types.property, fget = fn, fset = None }
  p.cls = stdlib.cached_property_class
  p.named = function(self, _, name) self.name = name end
  p.get = function(self)
    if self == nil then return p end
    local v = core.call(fn, { self, n = 1 })
    object.store(self, p.name or fn.name, v)
    return v
  end
  return p
end
stdlib.cached_property_class = class("cached_property", cached_property)

local function reduce(args)
  local list = items.collect(args[2])
  if not list then return unknown.new("reduce()") end
  local v, from = args[3], 1
  if v == nil then v, from = list[1], 2 end
  if v == nil then core.raise("TypeError", "reduce() of empty iterable with no initial value") end
  for i = from, list.n do v = core.call(args[1], { v, list[i], n = 2 }) end
  return v
end

stdlib["functools"] = function()
  return with(functions({
    wraps = function(args)
      local wrapped = args[1]
      return core.builtin("wraps", function(call) return update_wrapper(call[1], wrapped) end, true)
    end,
    update_wrapper = function(args) return update_wrapper(args[1], args[2]) end,
    lru_cache = lru_cache, cache = lru_cache, reduce = reduce,
    total_ordering = function(args) return args[1] end,
    singledispatch = function(args) return args[1] end,
    cmp_to_key = function(args)
      local compare = args[1]
      local key = class("K", function(made, call) return { cls = made, value_of = call[1] } end)
      key.builtin = false
      key.dict.__lt__ = core.builtin("__lt__", function(call)
        return ops.order("<", core.call(compare, { call[1].value_of, call[2].value_of, n = 2 }), 0)
      end, true)
      return key
    end,
  }, true), { partial = partial, partialmethod = partial, cached_property = stdlib.cached_property_class })
end

-- ---- itertools ----------------------------------------------------------------------------------

local function itertools_product(args, kw)
  local pools = {}
  for _ = 1, plain(kw and kw.map["repeat"] or 1) do
    for i = 1, args.n do
      local pool = items.collect(args[i])
      if not pool then return unknown.new("product()") end
      pools[#pools + 1] = pool
    end
  end
  local at, done = {}, false
  for i = 1, #pools do
    at[i] = 1
    if pools[i].n == 0 then done = true end
  end
  return items.iterator(function()
    if done then return nil end
    core.charge(1)
    local tuple = {}
    for i = 1, #pools do tuple[i] = pools[i][at[i]] end
    local i = #pools
    while i > 0 do
      at[i] = at[i] + 1
      if at[i] <= pools[i].n then break end
      at[i], i = 1, i - 1
    end
    if i == 0 then done = true end
    return core.tuple(tuple, #pools)
  end)
end

local function chained(sources)
  local current
  return items.iterator(function()
    while true do
      if current then
        local v = current()
        if v ~= nil then return v end
      end
      local source = sources()
      if source == nil then return nil end
      current = core.iterate(source) or function() end
    end
  end)
end

local function combinations(args)
  local pool, r = items.collect(args[1]), plain(args[2])
  local list = {}
  local function choose(from, picked)
    core.charge(1)
    if #picked == r then
      list[#list + 1] = core.tuple(table.move(picked, 1, r, 1, {}), r)
      return
    end
    for i = from, pool.n do
      picked[#picked + 1] = pool[i]
      choose(i + 1, picked)
      picked[#picked] = nil
    end
  end
  choose(1, {})
  return core.list(list)
end

local function groupby(args, kw)
  local key = keyword(args, kw, 2, "key", None)
  local list = items.collect(args[1])
  if not list then return unknown.new("groupby()") end
  local groups = {}
  for i = 1, list.n do
    local k = key == None and list[i] or core.call(key, { list[i], n = 1 })
    local last = groups[#groups]
    if last and ops.equal(last[1], k) then
      last[2].n = last[2].n + 1
      last[2][last[2].n] = list[i]
    else
      groups[#groups + 1] = core.tuple { k, core.list { list[i] } }
    end
  end
  return items.iterator(core.iterate(core.list(groups)))
end

local function islice(args)
  local next_item = core.iterate(args[1])
  if not next_item then return unknown.new("islice()") end
  local start, stop, step = plain(args[2]), plain(args[3] or None), plain(args[4] or 1)
  if args.n == 2 then start, stop = 0, start end
  if start == None then start = 0 end
  local i, want = -1, start
  return items.iterator(function()
    while stop == None or want < stop do
      local v = next_item()
      if v == nil then return nil end
      i = i + 1
      if i == want then
        want = want + step
        return v
      end
    end
  end)
end

stdlib["itertools"] = function()
  local chain = class("chain", function(_, args)
    local i = 0
    return chained(function()
      i = i + 1
      return args[i]
    end)
  end)
  chain.dict.from_iterable = { cls = types.staticmethod, func = core.builtin("from_iterable", function(args)
    return chained(core.iterate(args[1]) or function() end)
  end, true) }
  return with(functions({
    product = itertools_product, combinations = combinations, groupby = groupby, islice = islice,
    count = function(args, kw)
      local v, step = plain(keyword(args, kw, 1, "start", 0)), plain(keyword(args, kw, 2, "step", 1))
      v = v - step
      return items.iterator(function()
        core.charge(1)
        v = v + step
        return v
      end)
    end,
    ["repeat"] = function(args)
      local left = args[2] and plain(args[2]) or math.maxinteger
      return items.iterator(function()
        core.charge(1)
        left = left - 1
        if left >= 0 then return args[1] end
      end)
    end,
    cycle = function(args)
      local list, i = items.collect(args[1]), 0
      if not list then return unknown.new("cycle()") end
      return items.iterator(function()
        core.charge(1)
        if list.n == 0 then return nil end
        i = i % list.n + 1
        return list[i]
      end)
    end,
    accumulate = function(args)
      local next_item, total = core.iterate(args[1]), nil
      if not next_item then return unknown.new("accumulate()") end
      return items.iterator(function()
        local v = next_item()
        if v == nil then return nil end
        if total == nil then total = v
        elseif args[2] then total = core.call(args[2], { total, v, n = 2 })
        else total = ops.binary("+", total, v) end
        return total
      end)
    end,
    zip_longest = function(args, kw)
      local each, fill = {}, kw and kw.map.fillvalue or None
      for i = 1, args.n do
        each[i] = core.iterate(args[i])
        if not each[i] then return unknown.new("zip_longest()") end
      end
      return items.iterator(function()
        local tuple, any = {}, false
        for i, next_item in ipairs(each) do
          local v = next_item()
          any = any or v ~= nil
          tuple[i] = v == nil and fill or v
        end
        if any then return core.tuple(tuple, args.n) end
      end)
    end,
    takewhile = function(args)
      local next_item = core.iterate(args[2])
      if not next_item then return unknown.new("takewhile()") end
      return items.iterator(function()
        local v = next_item()
        if v ~= nil and object.truth(core.call(args[1], { v, n = 1 })) then return v end
      end)
    end,
  }, true), { chain = chain })
end

-- ---- typing, abc and what is there to be subscripted --------------------------------------------

local typing_special = class("_SpecialForm", nothing)
typing_special.show = function(v) return "typing." .. v.name end

local function special_form(name)
  return { cls = typing_special, name = name, subscriptable = true }
end

core.methods(typing_special, {
  __getitem__ = function(args)
    local form = args[1]
    if form.name == "Union" or form.name == "Optional" then
      local key = args[2]
      local parts = type(key) == "table" and key.cls == types.tuple and table.move(key, 1, key.n, 1, {}) or { key }
      if form.name == "Optional" then parts[#parts + 1] = types.NoneType end
      for i, part in ipairs(parts) do
        if part == None then parts[i] = types.NoneType end
      end
      return { cls = typing_special, name = form.name, subscriptable = true, union = core.tuple(parts) }
    end
    return form
  end,
  __or__ = function(args) return args[1] end,
  __ror__ = function(args) return args[1] end,
  __call__ = function(args) return args[2] or None end,
}, true)

---typing.NamedTuple's subclasses get fields from their annotations.
local named_tuple_base = core.builtin_class("NamedTuple")
named_tuple_base.finish = function(made)
  local fields = {}
  for _, entry in ipairs(made.annotations or {}) do
    fields[#fields + 1] = { name = entry.name, default = made.dict[entry.name] }
  end
  stdlib.make_named_tuple(made, fields)
end

stdlib["typing"] = function()
  local names = {}
  for _, name in ipairs { "Any", "Union", "Optional", "Callable", "ClassVar", "Final", "Literal", "Annotated", "Type",
    "Generic", "Protocol", "TypeAlias", "NoReturn", "Never", "Self", "Concatenate", "TypeGuard", "Required",
    "NotRequired", "Unpack", "Iterable", "Iterator", "Generator", "Sequence", "Mapping", "MutableMapping",
    "MutableSequence", "Collection", "Awaitable", "AsyncIterator", "AsyncGenerator", "Coroutine", "Hashable",
    "Sized", "Container", "IO", "TextIO", "BinaryIO", "Text", "Pattern", "Match", "LiteralString", "AnyStr",
    "SupportsInt", "SupportsFloat", "SupportsIndex", "AsyncIterable", "ContextManager" } do
    names[name] = special_form(name)
  end
  for name, of in pairs { List = "list", Dict = "dict", Set = "set", Tuple = "tuple", FrozenSet = "frozenset",
    DefaultDict = "defaultdict", OrderedDict = "OrderedDict" } do
    names[name] = types[of]
  end
  local function form(args) return special_form(plain(args[1])) end
  with(names, functions({
    TypeVar = form, ParamSpec = form, TypeVarTuple = form,
    NewType = function(args) return args[2] end,
    cast = function(args) return args[2] end,
    overload = function(args) return args[1] end,
    final = function(args) return args[1] end,
    runtime_checkable = function(args) return args[1] end,
    no_type_check = function(args) return args[1] end,
    override = function(args) return args[1] end,
    get_type_hints = function(args)
      local v = args[1]
      if not core.is_class(v) then return unknown.new("get_type_hints()") end
      local list = {}
      for i = #v.mro, 1, -1 do
        for _, entry in ipairs(v.mro[i].annotations or {}) do list[#list + 1] = entry end
      end
      return object.annotations(list)
    end,
    get_origin = function() return unknown.new("get_origin()") end,
    get_args = function() return unknown.new("get_args()") end,
    assert_never = nothing,
  }, true))
  return with(names, { TYPE_CHECKING = false, NamedTuple = named_tuple_base, TypedDict = types.dict })
end
stdlib["typing_extensions"] = stdlib["typing"]
stdlib["collections.abc"] = stdlib["typing"]

stdlib["abc"] = function()
  return with(functions({
    abstractmethod = function(args) return args[1] end,
    abstractclassmethod = function(args) return args[1] end,
  }, true), { ABC = core.builtin_class("ABC"), ABCMeta = types.type, abstractproperty = types.property })
end
stdlib["__future__"] = function() return { annotations = None } end

-- ---- small ones ---------------------------------------------------------------------------------

local function shallow_copy(v)
  if type(v) ~= "table" or v.unknown or v.mro then return v end
  local own = core.lookup_own(v.cls, "__copy__")
  if own then return core.call(own, { v, n = 1 }) end
  if v.vals then return dict.copy(v) end
  if v.n and v.cls ~= types.tuple then return table.move(v, 1, v.n, 1, { cls = v.cls, n = v.n, attrs = v.attrs }) end
  if not v.attrs then return v end
  local copy = {}
  for k, x in pairs(v) do copy[k] = x end
  copy.id = nil
  copy.attrs, copy.names = {}, {}
  for _, name in ipairs(v.names or {}) do object.store(copy, name, v.attrs[name]) end
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
    for k, x in dict.each(v) do dict.set(d, k, deep_copy(x, memo)) end
    d.fuzzy, d.factory = v.fuzzy, v.factory
    return d
  end
  if v.n then
    local list = { cls = v.cls, n = v.n }
    memo[v] = list
    for i = 1, v.n do list[i] = deep_copy(v[i], memo) end
    return list
  end
  if not v.attrs or v.cls.builtin and not v.on_missing then return v end
  local copy = shallow_copy(v)
  memo[v] = copy
  for name, x in pairs(copy.attrs) do copy.attrs[name] = deep_copy(x, memo) end
  return copy
end

stdlib["copy"] = function()
  return functions({
    copy = function(args) return shallow_copy(args[1]) end,
    deepcopy = function(args) return deep_copy(args[1], {}) end,
  }, true)
end

local logger = class("Logger", nothing)
for _, name in ipairs { "debug", "info", "warning", "error", "exception", "critical", "log", "setLevel", "addHandler",
  "warning_once", "info_once", "removeHandler", "warn" } do
  logger.dict[name] = core.builtin(name, nothing, true)
end
logger.dict.isEnabledFor = core.builtin("isEnabledFor", function() return false end, true)
local the_logger = { cls = logger, attrs = { name = "log", handlers = core.list {}, level = 20 }, names = {} }

stdlib["logging"] = function()
  local names = functions({ getLogger = function() return the_logger end, basicConfig = nothing }, true)
  for _, name in ipairs { "debug", "info", "warning", "error", "exception", "critical" } do
    names[name] = core.builtin(name, nothing, true)
  end
  return with(names, { DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40, CRITICAL = 50, Logger = logger })
end

stdlib["warnings"] = function()
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
        if args[i]:sub(1, 1) == "/" then path = args[i]
        else path = (path == "" or path:sub(-1) == "/") and path .. args[i] or path .. "/" .. args[i] end
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

local function path_module()
  return { cls = types.object, attrs = path_functions(), names = {} }
end
stdlib["os.path"] = path_functions

stdlib["os"] = function()
  local env = environment()
  return with(functions({
    getenv = function(args)
      local v = dict.get(env, args[1])
      if v ~= nil then return v end
      return args[2] == nil and None or args[2]
    end,
    cpu_count = function() return unknown.new("os.cpu_count()") end,
    getpid = function() return unknown.new("os.getpid()") end,
    makedirs = nothing,
  }, true), { environ = env, path = path_module(), sep = "/", linesep = "\n", name = "posix", pathsep = ":" })
end

stdlib["sys"] = function()
  return {
    version_info = core.tuple { 3, 11, 0, "final", 0 }, maxsize = math.maxinteger, platform = "linux",
    modules = dict.new(), argv = core.list { "" }, path = core.list {}, version = "3.11.0", executable = "python3",
    byteorder = "little",
    _getframe = core.builtin("_getframe", function() return unknown.new("frame") end, true),
    intern = core.builtin("intern", function(args) return args[1] end, true),
    exc_info = core.builtin("exc_info", function() return core.tuple { None, None, None } end, true),
    getrecursionlimit = core.builtin("getrecursionlimit", function() return 1000 end),
    setrecursionlimit = core.builtin("setrecursionlimit", nothing),
    stdout = unknown.new("sys.stdout"), stderr = unknown.new("sys.stderr"),
  }
end

stdlib["types"] = function()
  local namespace = class("SimpleNamespace", function(made, _, kw)
    local made_object = { cls = made, attrs = {}, names = {} }
    for _, name in ipairs(kw or {}) do object.store(made_object, name, kw.map[name]) end
    return made_object
  end)
  namespace.show = function(v, seen)
    local parts = {}
    for _, name in ipairs(v.names) do parts[#parts + 1] = name .. "=" .. format.repr(v.attrs[name], seen) end
    return "namespace(" .. table.concat(parts, ", ") .. ")"
  end
  return with(functions({
    MethodType = function(args) return object.bound(args[1], args[2]) end,
    MappingProxyType = function(args) return args[1] end,
  }, true), { SimpleNamespace = namespace, FunctionType = types["function"], ModuleType = types.module,
    NoneType = types.NoneType, GeneratorType = types.generator, UnionType = class("UnionType", nothing),
    LambdaType = types["function"], BuiltinFunctionType = types.builtin_function_or_method })
end

stdlib["time"] = function()
  local function now() return unknown.new("time") end
  return functions({ time = now, perf_counter = now, monotonic = now, sleep = nothing, time_ns = now }, true)
end

stdlib["weakref"] = function()
  return with(functions({
    ref = function(args)
      local target = args[1]
      return core.builtin("ref", function() return target end, true)
    end,
    proxy = function(args) return args[1] end,
  }, true), { WeakKeyDictionary = types.dict, WeakValueDictionary = types.dict, WeakSet = types.set })
end

stdlib["threading"] = function()
  local lock = class("Lock", function(made) return { cls = made, attrs = {}, names = {} } end, {
    __enter__ = function(args) return args[1] end, __exit__ = nothing, acquire = function() return true end,
    release = nothing, locked = function() return false end,
  })
  local keep = class("local", function(made) return { cls = made, attrs = {}, names = {} } end)
  keep.builtin = false
  return { Lock = lock, RLock = lock, Condition = lock, Semaphore = lock, ["local"] = keep }
end

stdlib["inspect"] = function()
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
      if found == nil or found == false then found = type(v) == "table" and v.attrs and v.attrs[name] or nil end
      if found == nil then found = core.lookup(core.class_of(v), name) end
      if found ~= nil then return found end
      if args[3] == nil then core.raise("AttributeError", "%s", name) end
      return args[3]
    end,
  }, true)
end

stdlib["random"] = function() return {} end
stdlib["platform"] = function()
  return functions({ system = function() return "Linux" end, machine = function() return "x86_64" end })
end

return stdlib
