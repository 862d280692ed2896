--- Models of functools and itertools.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local builtins = require "hone.python.builtins"
local base = require "hone.python.stdlib.base"

local types, None = core.types, core.None
local plain = unknown.plain
local keyword = builtins.keyword
local class, with, functions = base.class, base.with, base.functions
local models = base.models

local partial = class("partial", function(made, args, kw)
  local fixed = table.move(args, 2, args.n, 1, { n = args.n - 1 })
  local attrs = { func = args[1], args = core.tuple(table.move(fixed, 1, fixed.n, 1, {}), fixed.n) }
  attrs.keywords = dict.from(kw and kw.map or {}, kw and table.move(kw, 1, #kw, 1, {}))
  return { cls = made, attrs = attrs, names = { "func", "args", "keywords" }, fixed = fixed, kw = kw }
end, {
  __call__ = function(args, kw)
    local self = args[1]
    local all =
      table.move(self.fixed, 1, self.fixed.n, 1, { n = self.fixed.n + args.n - 1, fuzzy = args.fuzzy })
    table.move(args, 2, args.n, self.fixed.n + 1, all)
    if not self.kw then return core.call(self.attrs.func, all, kw) end
    local both = { map = {}, fuzzy = kw and kw.fuzzy }
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
  if
    type(wrapper) == "table"
    and wrapper.cls == types["function"]
    and type(wrapped) == "table"
    and not wrapped.unknown
  then
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
    cache_clear = core.builtin("cache_clear", function()
      for k in pairs(cache) do
        core.put(cache, k, nil)
      end
    end),
    cache_info = core.builtin("cache_info", function() return unknown.new("cache_info()") end),
    __wrapped__ = fn,
  }
  return object.bind_like_function(wrapper)
end

local function lru_cache(args)
  local fn = args[1]
  if type(fn) == "table" and (fn.code or fn.func or fn.mro) then return cached(fn) end
  return core.builtin("lru_cache", function(call) return cached(call[1]) end, true)
end

local cached_property_class

---A property that is evaluated once and then kept on the instance.
local function cached_property(_, args)
  local fn = args[1]
  local p = { cls = types.property, fget = fn, fset = None }
  p.cls = cached_property_class
  p.named = function(self, _, name) self.name = name end
  p.get = function(self)
    if self == nil then return p end
    local v = core.call(fn, { self, n = 1 })
    object.store(self, p.name or fn.name, v)
    return v
  end
  return p
end
cached_property_class = class("cached_property", cached_property)

local function reduce(args)
  local list = items.collect(args[2])
  if not list then return unknown.new("reduce()") end
  local v, from = args[3], 1
  if v == nil then
    v, from = list[1], 2
  end
  if v == nil then core.raise("TypeError", "reduce() of empty iterable with no initial value") end
  for i = from, list.n do
    v = core.call(args[1], { v, list[i], n = 2 })
  end
  return v
end

models["functools"] = function()
  return with(
    functions({
      wraps = function(args)
        local wrapped = args[1]
        return core.builtin("wraps", function(call) return update_wrapper(call[1], wrapped) end, true)
      end,
      update_wrapper = function(args) return update_wrapper(args[1], args[2]) end,
      lru_cache = lru_cache,
      cache = lru_cache,
      reduce = reduce,
      total_ordering = function(args) return args[1] end,
      singledispatch = function(args) return args[1] end,
      cmp_to_key = function(args)
        local compare = args[1]
        local key = class("K", function(made, call) return { cls = made, value_of = call[1] } end)
        key.builtin = false
        key.dict.__lt__ = core.builtin(
          "__lt__",
          function(call)
            return ops.order("<", core.call(compare, { call[1].value_of, call[2].value_of, n = 2 }), 0)
          end,
          true
        )
        return key
      end,
    }, true),
    { partial = partial, partialmethod = partial, cached_property = cached_property_class }
  )
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
    for i = 1, #pools do
      tuple[i] = pools[i][at[i]]
    end
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
  if args.n == 2 then
    start, stop = 0, start
  end
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

models["itertools"] = function()
  local chain = class("chain", function(_, args)
    local i = 0
    return chained(function()
      i = i + 1
      return args[i]
    end)
  end)
  chain.dict.from_iterable = {
    cls = types.staticmethod,
    func = core.builtin("from_iterable", function(args)
      return chained(core.iterate(args[1]) or function() end)
    end, true),
  }
  return with(
    functions({
      product = itertools_product,
      combinations = combinations,
      groupby = groupby,
      islice = islice,
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
          if total == nil then
            total = v
          elseif args[2] then
            total = core.call(args[2], { total, v, n = 2 })
          else
            total = ops.binary("+", total, v)
          end
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
    }, true),
    { chain = chain }
  )
end
