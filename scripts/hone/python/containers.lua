--- Methods of list, tuple, dict, set and their views.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"

local types, None = core.types, core.None
local put = core.put
local containers = {}

-- ---- lists and tuples ---------------------------------------------------------------------------

local function append(list, v)
  local n = list.n + 1
  put(list, n, v)
  put(list, "n", n)
end
containers.append = append

local function position(args)
  local list, wanted = args[1], args[2]
  for i = 1, list.n do
    local equal = ops.equal(list[i], wanted)
    if equal then return i end
    if equal == nil then return nil, true end
  end
end

---Merge sort: stable, and comparisons may run Python code.
local function merge_sort(list, n, less)
  local from, to = list, {}
  local width = 1
  while width < n do
    for left = 1, n, 2 * width do
      local middle, right = math.min(left + width, n + 1), math.min(left + 2 * width, n + 1)
      local i, j = left, middle
      for k = left, right - 1 do
        if i < middle and (j >= right or not less(from[j], from[i])) then
          to[k], i = from[i], i + 1
        else
          to[k], j = from[j], j + 1
        end
      end
    end
    from, to = to, from
    width = 2 * width
  end
  return from
end

---Sort { n =, ... } with Python's key and reverse. @return table? sorted items, nil when unknown
function containers.sorted(list, key, reverse)
  local n = list.n
  core.charge(n * 4)
  local pairs_ = {}
  for i = 1, n do
    local k = list[i]
    if key and key ~= None then k = core.call(key, { k, n = 1 }) end
    if unknown.is(k) then return nil end
    pairs_[i] = { k, list[i] }
  end
  local function less(a, b)
    core.charge(1)
    return object.truth(ops.order("<", a[1], b[1])) == true
  end
  local sorted
  if reverse then
    sorted = merge_sort(pairs_, n, function(a, b) return less(b, a) end)
  else
    sorted = merge_sort(pairs_, n, less)
  end
  local result = { n = n }
  for i = 1, n do
    result[i] = sorted[i][2]
  end
  return result
end

local function pop(args)
  local list, i = args[1], args[2]
  if list.n == 0 then core.raise("IndexError", "pop from empty list") end
  if i == nil then
    local v = list[list.n]
    put(list, list.n, nil)
    put(list, "n", list.n - 1)
    return v
  end
  i = core.index(i)
  if not i then return unknown.new("list.pop()") end
  if i < 0 then i = i + list.n end
  if i < 0 or i >= list.n then core.raise("IndexError", "pop index out of range") end
  return items.remove(list, i + 1)
end

local function index_of(args)
  local at, unclear = position(args)
  if unclear then return unknown.new("index()") end
  if not at then
    core.raise("ValueError", "%s is not in list", require("hone.python.format").repr(args[2]))
  end
  return at - 1
end

local function count_of(args)
  local n = 0
  for i = 1, args[1].n do
    local equal = ops.equal(args[1][i], args[2])
    if equal == nil then return unknown.new("count()") end
    if equal then n = n + 1 end
  end
  return n
end

local function length(args) return args[1].n end

local function extend(args)
  local more = items.collect(args[2])
  if not more then return None end -- how many more is not known
  for i = 1, more.n do
    append(args[1], more[i])
  end
end

core.methods(types.list, {
  append = function(args) append(args[1], args[2]) end,
  extend = extend,
  insert = function(args)
    local list, i = args[1], core.index(args[2])
    if not i then i = list.n end
    if i < 0 then i = math.max(0, i + list.n) end
    items.insert(list, math.min(i, list.n) + 1, args[3])
  end,
  pop = pop,
  remove = function(args)
    local at = position(args)
    if at then
      items.remove(args[1], at)
      return
    end
    if not unknown.is(args[2]) then core.raise("ValueError", "list.remove(x): x not in list") end
  end,
  clear = function(args)
    for i = 1, args[1].n do
      put(args[1], i, nil)
    end
    put(args[1], "n", 0)
  end,
  copy = function(args) return core.list(table.move(args[1], 1, args[1].n, 1, {}), args[1].n) end,
  reverse = function(args)
    local list = args[1]
    for i = 1, list.n // 2 do
      local a, b = list[i], list[list.n + 1 - i]
      put(list, i, b)
      put(list, list.n + 1 - i, a)
    end
  end,
  sort = function(args, kw)
    local list = args[1]
    local reverse = kw and kw.map.reverse and object.truth(kw.map.reverse)
    local sorted = containers.sorted(list, kw and kw.map.key, reverse)
    for i = 1, sorted and list.n or 0 do
      put(list, i, sorted[i])
    end
  end,
  index = index_of,
  count = count_of,
  __len__ = length,
  __getitem__ = function(args)
    return core.getitem(core.list(table.move(args[1], 1, args[1].n, 1, {}), args[1].n), args[2])
  end,
  __init__ = function(args)
    local list = args[1]
    if args[2] ~= nil then
      for i = 1, list.n do
        put(list, i, nil)
      end
      put(list, "n", 0)
      extend(args)
    end
  end,
}, true)

core.methods(types.tuple, { index = index_of, count = count_of, __len__ = length }, true)

-- ---- dicts --------------------------------------------------------------------------------------

local function view(class, d, each) return { cls = class, source = d, each = each } end

local function keys_of(d)
  return function()
    local each = dict.each(d)
    return function() return (each()) end
  end
end

local function values_of(d)
  return function()
    local each = dict.each(d)
    return function()
      local _, v = each()
      return v
    end
  end
end

local function items_of(d)
  return function()
    local each = dict.each(d)
    return function()
      local k, v = each()
      if k ~= nil then return core.tuple({ k, v }, 2) end
    end
  end
end

local function update(args, kw)
  local d, other = args[1], args[2]
  if other ~= nil then
    if unknown.is(other) then
      put(d, "fuzzy", true)
    elseif other.vals and not ops.is_set(other) then
      for k, v in dict.each(other) do
        dict.set(d, k, v)
      end
      if other.fuzzy then put(d, "fuzzy", true) end
    elseif type(other) == "table" and other.attrs and core.lookup(other.cls, "keys") then
      for k in core.iterate(core.call_method(other, "keys")) do
        dict.set(d, k, core.getitem(other, k))
      end
    else
      local next_item = core.iterate(other)
      if not next_item then
        put(d, "fuzzy", true)
      else
        for pair in next_item do
          local two = items.unpack(pair, 2)
          dict.set(d, two[1], two[2])
        end
      end
    end
  end
  for _, name in ipairs(kw or {}) do
    dict.set(d, name, kw.map[name])
  end
end
containers.update = update

local function lookup_default(args, default)
  local d, k = args[1], args[2]
  if unknown.is(k) then
    if k.alts then
      return unknown.map(k, function(alt) return lookup_default({ d, alt, default }, default) end)
    end
    return unknown.new("dict.get()")
  end
  local v = dict.get(d, k)
  if v ~= nil then return v end
  if d.fuzzy then return unknown.join(default, unknown.new("{...}[?]")) end
  return default
end

core.methods(types.dict, {
  get = function(args) return lookup_default(args, args[3] == nil and None or args[3]) end,
  setdefault = function(args)
    local v = dict.get(args[1], args[2])
    if v ~= nil then return v end
    v = args[3] == nil and None or args[3]
    dict.set(args[1], args[2], v)
    return v
  end,
  pop = function(args)
    if unknown.is(args[2]) then return unknown.new("dict.pop()") end
    local v = dict.remove(args[1], args[2])
    if v ~= nil then return v end
    if args[3] ~= nil then return args[3] end
    if args[1].fuzzy then return unknown.new("{...}[?]") end
    error(core.exception(types.KeyError, { args[2] }), 0)
  end,
  popitem = function(args, kw)
    local first = kw and kw.map.last == false or args[2] == false
    local k, v
    if first then
      k, v = dict.each(args[1])()
    else
      k, v = dict.last(args[1])
    end
    if k == nil then error(core.exception(types.KeyError, { "popitem(): dictionary is empty" }), 0) end
    dict.remove(args[1], k)
    return core.tuple({ k, v }, 2)
  end,
  move_to_end = function(args)
    local v = dict.remove(args[1], args[2])
    if v ~= nil then dict.set(args[1], args[2], v) end
  end,
  update = update,
  keys = function(args) return view(types.dict_keys, args[1], keys_of(args[1])) end,
  values = function(args) return view(types.dict_values, args[1], values_of(args[1])) end,
  items = function(args) return view(types.dict_items, args[1], items_of(args[1])) end,
  copy = function(args) return dict.copy(args[1]) end,
  clear = function(args) dict.clear(args[1]) end,
  __len__ = function(args) return args[1].count end,
  __getitem__ = function(args)
    local v = dict.get(args[1], args[2])
    if v == nil then error(core.exception(types.KeyError, { args[2] }), 0) end
    return v
  end,
  __setitem__ = function(args) dict.set(args[1], args[2], args[3]) end,
  __contains__ = function(args) return dict.get(args[1], args[2]) ~= nil end,
  __init__ = function(args, kw)
    if args[2] ~= nil or kw then update(args, kw) end
  end,
}, true)

types.dict.dict.fromkeys = {
  cls = types.classmethod,
  func = core.builtin("fromkeys", function(args)
    local list = items.collect(args[2])
    if not list then return unknown.new("dict.fromkeys()") end
    local d = dict.new()
    for i = 1, list.n do
      dict.set(d, list[i], args[3] == nil and None or args[3])
    end
    return d
  end, true),
}

for _, name in ipairs { "dict_keys", "dict_values", "dict_items" } do
  core.methods(types[name], { __len__ = function(args) return args[1].source.count end }, true)
end

-- ---- sets ---------------------------------------------------------------------------------------

local function as_set(v)
  if ops.is_set(v) then return ops.set_of(v) end
  local list = items.collect(v)
  if not list then return nil end
  local set = dict.new(types.set)
  for i = 1, list.n do
    dict.set(set, list[i], true)
  end
  return set
end
containers.as_set = as_set

local function combined(symbol)
  return function(args)
    local result = args[1]
    for i = 2, args.n do
      local other = as_set(args[i])
      if not other then return unknown.new("set") end
      result = ops.binary(symbol, result, other)
    end
    return result == args[1] and dict.copy(result) or result
  end
end

local function compared(symbol)
  return function(args)
    local other = as_set(args[2])
    if not other then return unknown.new("set") end
    return ops.order(symbol, args[1], other)
  end
end

local function changed(symbol)
  return function(args)
    for i = 2, args.n do
      local other = as_set(args[i])
      if other then ops.inplace(symbol, args[1], other) end
    end
  end
end

local reading = {
  union = combined("|"),
  intersection = combined("&"),
  difference = combined("-"),
  symmetric_difference = combined("^"),
  issubset = compared("<="),
  issuperset = compared(">="),
  isdisjoint = function(args)
    local other = as_set(args[2])
    if not other then return unknown.new("set") end
    return ops.binary("&", ops.set_of(args[1]), other).count == 0
  end,
  copy = function(args) return dict.copy(args[1]) end,
  __len__ = function(args) return args[1].count end,
}
core.methods(types.set, reading, true)
core.methods(types.frozenset, reading, true)
core.methods(types.set, {
  add = function(args) dict.set(args[1], args[2], true) end,
  discard = function(args) dict.remove(args[1], args[2]) end,
  remove = function(args)
    if dict.remove(args[1], args[2]) == nil and not unknown.is(args[2]) then
      error(core.exception(types.KeyError, { args[2] }), 0)
    end
  end,
  pop = function(args)
    local k = dict.each(args[1])()
    if k == nil then error(core.exception(types.KeyError, { "pop from an empty set" }), 0) end
    dict.remove(args[1], k)
    return k
  end,
  clear = function(args) dict.clear(args[1]) end,
  update = changed("|"),
  intersection_update = changed("&"),
  difference_update = changed("-"),
  symmetric_difference_update = changed("^"),
}, true)

return containers
