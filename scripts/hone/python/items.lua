--- Iteration and subscripts: what for-loops, unpacking, indexing and slicing do with each kind of value.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"

local types, None = core.types, core.None
local class_of, lookup = core.class_of, core.lookup
local plain = unknown.plain
local items = {}

-- ---- iteration ----------------------------------------------------------------------------------

local function iterate_sequence(v)
  local i = 0
  return function()
    i = i + 1
    if i <= v.n then return v[i] end
  end
end

local function iterate_range(r)
  local value, step, stop = r.start, r.step, r.stop
  return function()
    if step > 0 and value >= stop or step < 0 and value <= stop then return nil end
    local this = value
    value = value + step
    return this
  end
end

local function iterate_string(s)
  local position = 1
  return function()
    if position > #s then return nil end
    local c = s:match("^" .. utf8.charpattern, position)
    position = position + #c
    return c
  end
end

local function iterate_dict(d)
  local each = dict.each(d)
  return function() return (each()) end
end

local function iterate_iterator(it)
  local fn = lookup(it.cls, "__next__")
  if not fn then core.raise("TypeError", "iter() returned non-iterator of type '%s'", it.cls.name) end
  return function()
    local ok, v = core.protected(core.call, fn, { it, n = 1 })
    if ok then return v end
    if core.is_subclass(v.cls, types.StopIteration) then
      it.result = v.attrs.args[1]
      return nil
    end
    error(v, 0)
  end
end

local function iterate_by_index(v)
  local i = -1
  return function()
    i = i + 1
    local ok, item = core.protected(core.getitem, v, i)
    if ok then return item end
    if core.is_subclass(item.cls, types.IndexError) then return nil end
    error(item, 0)
  end
end

local function iterate_object(v)
  local class = v.cls
  local iter = lookup(class, "__iter__")
  if iter ~= nil and not (type(iter) == "table" and iter.unknown) then
    local it = core.call(iter, { v, n = 1 })
    if unknown.is(it) then return nil end
    if it.cls ~= class or it.next then return core.iterate(it) end
    return iterate_iterator(it)
  end
  if v.vals then return iterate_dict(v) end
  if v.n then return iterate_sequence(v) end
  if v.boxed then return core.iterate(v.value) end
  if class.dict.__next__ or lookup(class, "__next__") then return iterate_iterator(v) end
  if class.open then return nil end
  if lookup(class, "__getitem__") then return iterate_by_index(v) end
  core.raise("TypeError", "'%s' object is not iterable", class.name)
end

---A function that returns the next item, nil at the end; nil itself when the items are unknown.
function core.iterate(v)
  if type(v) == "string" then return iterate_string(v) end
  if type(v) ~= "table" then core.raise("TypeError", "'%s' object is not iterable", class_of(v).name) end
  if v.unknown then return nil end
  if v.next then return v.next end
  local class = v.cls
  if v.mro then
    local iter = lookup(class, "__iter__")
    if iter ~= nil then return core.iterate(core.call(iter, { v, n = 1 })) end
    core.raise("TypeError", "'%s' object is not iterable", class.name)
  end
  if class == types.list or class == types.tuple then return iterate_sequence(v) end
  if class == types.range then return iterate_range(v) end
  if class == types.generator then
    return function() return core.resume(v) end
  end
  if v.source then return v.each() end
  if class.builtin then
    if v.vals then return iterate_dict(v) end
    if v.n then return iterate_sequence(v) end
    if v.data then
      local i = 0
      return function()
        i = i + 1
        return v.data:byte(i)
      end
    end
  end
  return iterate_object(v)
end

---All items of an iterable as { n =, ... }, nil when unknown.
function items.collect(v)
  if type(v) == "table" and (v.cls == types.list or v.cls == types.tuple) then
    core.charge(v.n)
    return table.move(v, 1, v.n, 1, { n = v.n })
  end
  local next_item = core.iterate(v)
  if not next_item then return nil end
  local list, n = {}, 0
  for item in next_item do
    core.charge(1)
    n = n + 1
    list[n] = item
  end
  list.n = n
  return list
end

---Unpack into exactly `count` values (or, with `star`, at least: the star-th gets the rest as a list).
function items.unpack(v, count, star)
  if unknown.is(v) and v.alts then
    local ok, tuple = core.protected(
      unknown.map,
      v,
      function(alt) return core.tuple(items.unpack(alt, count, star), count) end
    )
    if ok and tuple.cls == types.tuple then return tuple end
  end
  local list = items.collect(v)
  if not list then
    list = {}
    for i = 1, count do
      list[i] = unknown.new(("%s[%d]"):format(v.origin or "?", i - 1))
    end
    if star then list[star] = unknown.new("*" .. (v.origin or "?")) end
    return list
  end
  if not star then
    if list.n < count then
      core.raise("ValueError", "not enough values to unpack (expected %d, got %d)", count, list.n)
    elseif list.n > count then
      core.raise("ValueError", "too many values to unpack (expected %d)", count)
    end
    return list
  end
  if list.n < count - 1 then
    core.raise("ValueError", "not enough values to unpack (expected at least %d, got %d)", count - 1, list.n)
  end
  local rest = list.n - (count - 1)
  local result = table.move(list, 1, star - 1, 1, {})
  result[star] = core.list(table.move(list, star, star + rest - 1, 1, {}), rest)
  return table.move(list, star + rest, list.n, star + 1, result)
end

---An iterator object out of a Lua function that returns the next item.
function items.iterator(next_item) return { cls = types.iterator, next = next_item } end

-- ---- subscripts ---------------------------------------------------------------------------------

---A slice's bounds on a sequence of `n`: first (from 0), count, step; nil when unknown.
local function slice_bounds(slice, n)
  local start, stop, step = plain(slice.start), plain(slice.stop), plain(slice.step)
  if unknown.is(start) or unknown.is(stop) or unknown.is(step) then return nil end
  step = step == None and 1 or step
  if step == 0 then core.raise("ValueError", "slice step cannot be zero") end
  local low, high = step > 0 and 0 or -1, step > 0 and n or n - 1
  local function clamp(i, default)
    if i == None then return default end
    if type(i) ~= "number" then i = core.index(i) end
    if i < 0 then i = i + n end
    return math.max(low, math.min(high, i))
  end
  start = clamp(start, step > 0 and 0 or n - 1)
  stop = clamp(stop, step > 0 and n or -1)
  local span = step > 0 and stop - start or start - stop
  local by = math.abs(step)
  return start, span <= 0 and 0 or (span + by - 1) // by, step
end
items.slice_bounds = slice_bounds

---The integer behind an index: int, bool, or an object with __index__; nil when unknown.
function core.index(v)
  v = plain(v)
  if math.type(v) == "integer" then return v end
  if type(v) == "boolean" then return v and 1 or 0 end
  if unknown.is(v) then return nil end
  local own = type(v) == "table" and lookup(v.cls, "__index__")
  if own then return core.index(core.call(own, { v, n = 1 })) end
  core.raise("TypeError", "'%s' object cannot be interpreted as an integer", class_of(v).name)
end

local function some_item(v)
  if v.n == 0 or v.n > 8 then return unknown.new("[?]") end
  local result = v[1]
  for i = 2, v.n do
    result = unknown.join(result, v[i])
  end
  return result
end

local function sequence_item(v, key, kind)
  if type(key) == "table" and key.cls == types.slice then
    local first, count, step = slice_bounds(key, v.n)
    if not first then return unknown.new("[:]") end
    core.charge(count)
    local result = { cls = kind == "list" and types.list or types.tuple, n = count }
    for i = 0, count - 1 do
      result[i + 1] = v[first + i * step + 1]
    end
    return result
  end
  if
    type(plain(key)) ~= "number"
      and not unknown.is(key)
      and type(key) ~= "boolean"
      and not (type(key) == "table" and lookup(key.cls, "__index__"))
    or math.type(plain(key)) == "float"
  then
    core.raise("TypeError", "%s indices must be integers or slices, not %s", kind, class_of(key).name)
  end
  local i = core.index(key)
  if not i then return some_item(v) end
  if i < 0 then i = i + v.n end
  local item = v[i + 1]
  if i < 0 or item == nil then core.raise("IndexError", "%s index out of range", kind) end
  return item
end

local function key_to(stop) return { cls = types.slice, start = None, stop = stop, step = None } end

local function string_item(s, key)
  local ascii = not s:find("[\128-\255]")
  local n = ascii and #s or utf8.len(s) or #s
  local function at(i)
    if ascii then return s:sub(i + 1, i + 1) end
    local from = utf8.offset(s, i + 1)
    return s:sub(from, utf8.offset(s, 2, from) - 1)
  end
  if type(key) == "table" and key.cls == types.slice then
    if unknown.is_tested(key.stop) and key.start == None and key.step == None then
      return unknown.cut(key.stop, function(stop) return core.getitem(s, key_to(stop)) end)
    end
    local first, count, step = slice_bounds(key, n)
    if not first then return unknown.new("[:]") end
    if step == 1 and ascii then return s:sub(first + 1, first + count) end
    local parts = {}
    for i = 0, count - 1 do
      parts[i + 1] = at(first + i * step)
    end
    return table.concat(parts)
  end
  if type(key) == "string" then core.raise("TypeError", "string indices must be integers, not 'str'") end
  local i = core.index(key)
  if not i then return unknown.new("str[?]") end
  if i < 0 then i = i + n end
  if i < 0 or i >= n then core.raise("IndexError", "string index out of range") end
  return at(i)
end

-- Classes whose items are looked up by their place.
local IN_ORDER = { [types.str] = true, [types.list] = true, [types.tuple] = true }

local function dict_item(d, key)
  if unknown.is(key) then
    if key.alts then
      return unknown.map(key, function(alt) return core.getitem(d, alt) end)
    end
    local found = d.vals[key]
    if found ~= nil then return found end
    return unknown.new("{...}[?]")
  end
  local v = dict.get(d, key)
  if v ~= nil then return v end
  if d.factory and d.factory ~= None then
    v = core.call(d.factory, { n = 0 })
    dict.set(d, key, v)
    return v
  end
  local missing = not d.cls.builtin and lookup(d.cls, "__missing__")
  if missing then return core.call(missing, { d, key, n = 2 }) end
  if d.fuzzy then return unknown.new("{...}[?]") end
  error(core.exception(types.KeyError, { key }), 0)
end

local function range_item(r, key)
  local n = object.range_length(r)
  if type(key) == "table" and key.cls == types.slice then
    local first, count, step = slice_bounds(key, n)
    if not first then return unknown.new("range[:]") end
    local start = r.start + first * r.step
    return { cls = types.range, start = start, stop = start + count * step * r.step, step = step * r.step }
  end
  local i = core.index(key)
  if not i then return unknown.new("range[?]") end
  if i < 0 then i = i + n end
  if i < 0 or i >= n then core.raise("IndexError", "range object index out of range") end
  return r.start + i * r.step
end

local function unknown_item(v, key)
  if v.alts then
    return unknown.map(v, function(alt) return core.getitem(alt, key) end)
  end
  if v.items then
    local found = dict.get(v.items, key)
    if found ~= nil then return found end
  end
  if v.element ~= nil and not (type(key) == "table" and key.cls == types.slice) then return v.element end
  return unknown.new(v.origin .. "[]")
end

local function class_item(class, key)
  local meta, owner = lookup(class.cls, "__getitem__")
  if meta and not (owner.builtin and owner == types.type) then
    return core.call(meta, { class, key, n = 2 })
  end
  local own = lookup(class, "__class_getitem__")
  if own ~= nil then return core.call(object.bind(own, class, nil, class), { key, n = 1 }) end
  return class -- list[int], Generic[T]: the class itself
end

---v[key]
function core.getitem(v, key)
  if unknown.is_tested(key) and IN_ORDER[core.class_of(v)] then
    return unknown.found(key, function(number) return core.getitem(v, number) end)
  end
  if type(v) == "string" then return string_item(v, key) end
  if type(v) == "table" then
    local class = v.cls
    if class == types.list then return sequence_item(v, key, "list") end
    if class == types.tuple then return sequence_item(v, key, "tuple") end
    if class == types.dict or class == types.defaultdict then return dict_item(v, key) end
    if v.unknown then return unknown_item(v, key) end
    if v.mro then return class_item(v, key) end
    local own, owner = lookup(class, "__getitem__")
    if own and not owner.builtin then return core.call(own, { v, key, n = 2 }) end
    if v.vals and not core.is_subclass(class, types.set) then return dict_item(v, key) end
    if v.n then return sequence_item(v, key, core.is_subclass(class, types.list) and "list" or "tuple") end
    if class == types.range then return range_item(v, key) end
    if own then return core.call(own, { v, key, n = 2 }) end
    if v.boxed and type(v.value) == "string" then return string_item(v.value, key) end
    if v.data then return v.data:byte((core.index(key) or 0) + 1) end
    if v.subscriptable then return v end
    if class.open then return unknown.new(class.name .. "[]") end
  end
  core.raise("TypeError", "'%s' object is not subscriptable", class_of(v).name)
end

local function set_slice(list, slice, value)
  local first, count, step = slice_bounds(slice, list.n)
  local new = items.collect(value)
  if not first or not new then return end
  if step ~= 1 then
    if new.n ~= count then
      core.raise(
        "ValueError",
        "attempt to assign sequence of size %d to extended slice of size %d",
        new.n,
        count
      )
    end
    for i = 1, count do
      core.put(list, first + (i - 1) * step + 1, new[i])
    end
    return
  end
  local tail = table.move(list, first + count + 1, list.n, 1, {})
  local n = first
  local total = first + new.n + #tail
  for _, part in ipairs { new, tail } do
    for i = 1, part.n or #part do
      n = n + 1
      core.put(list, n, part[i])
    end
  end
  for i = total + 1, list.n do
    core.put(list, i, nil)
  end
  core.put(list, "n", total)
end

local function set_list_item(list, key, value)
  if type(key) == "table" and key.cls == types.slice then return set_slice(list, key, value) end
  local i = core.index(key)
  if not i then -- somewhere: any item may have changed
    for j = 1, math.min(list.n, 64) do
      core.put(list, j, unknown.join(list[j], value))
    end
    return
  end
  if i < 0 then i = i + list.n end
  if i < 0 or i >= list.n then core.raise("IndexError", "list assignment index out of range") end
  core.put(list, i + 1, value)
end

---v[key] = value
function core.setitem(v, key, value)
  if type(v) == "table" then
    local class = v.cls
    if class == types.dict then return dict.set(v, key, value) end
    if class == types.list then return set_list_item(v, key, value) end
    if v.unknown then
      if v.alts then
        for _, alt in ipairs(v.alts) do
          if type(alt) == "table" and not alt.unknown then core.setitem(alt, key, value) end
        end
        return
      end
      if not v.items then v.items = dict.new() end
      return dict.set(v.items, key, value)
    end
    local own, owner = lookup(class, "__setitem__")
    if own and not owner.builtin then
      core.call(own, { v, key, value, n = 3 })
      return
    end
    if v.vals and not core.is_subclass(class, types.set) then return dict.set(v, key, value) end
    if v.n and core.is_subclass(class, types.list) then return set_list_item(v, key, value) end
    if own then
      core.call(own, { v, key, value, n = 3 })
      return
    end
    if class.open then return end
  end
  core.raise("TypeError", "'%s' object does not support item assignment", class_of(v).name)
end

local function delete_list_item(list, key)
  if type(key) == "table" and key.cls == types.slice then
    local first, count, step = slice_bounds(key, list.n)
    if not first then return end
    local gone = {}
    for i = 0, count - 1 do
      gone[first + i * step + 1] = true
    end
    local n = 0
    for i = 1, list.n do
      if not gone[i] then
        n = n + 1
        core.put(list, n, list[i])
      end
    end
    for i = n + 1, list.n do
      core.put(list, i, nil)
    end
    core.put(list, "n", n)
    return
  end
  local i = core.index(key)
  if not i then return end
  if i < 0 then i = i + list.n end
  if i < 0 or i >= list.n then core.raise("IndexError", "list assignment index out of range") end
  items.remove(list, i + 1)
end

---Take the item at Lua position `i` out of a list.
function items.remove(list, i)
  local v = list[i]
  core.charge((list.n - i) // 8)
  for j = i, list.n - 1 do
    core.put(list, j, list[j + 1])
  end
  core.put(list, list.n, nil)
  core.put(list, "n", list.n - 1)
  return v
end

---Put a value before Lua position `i` of a list.
function items.insert(list, i, v)
  core.charge((list.n - i) // 8)
  for j = list.n, i, -1 do
    core.put(list, j + 1, list[j])
  end
  core.put(list, i, v)
  core.put(list, "n", list.n + 1)
end

---del v[key]
function core.delitem(v, key)
  if type(v) == "table" then
    if v.unknown then return end
    local own, owner = lookup(v.cls, "__delitem__")
    if own and not owner.builtin then
      core.call(own, { v, key, n = 2 })
      return
    end
    if v.vals then
      if unknown.is(key) then return end
      if dict.remove(v, key) == nil and not v.fuzzy then error(core.exception(types.KeyError, { key }), 0) end
      return
    end
    if v.n and core.is_subclass(v.cls, types.list) then return delete_list_item(v, key) end
    if v.cls.open then return end
  end
  core.raise("TypeError", "'%s' object doesn't support item deletion", class_of(v).name)
end

return items
