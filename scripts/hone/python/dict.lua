--- Python's dict and set: insertion-ordered, any hashable key.
---
--- A dict is { vals = key -> value, keys = key -> the Python key, seq = keys in order, pos = key -> place
--- in seq, count }; a set is the same with `true` values. "key" is a Lua value that equals exactly when the
--- Python keys do. `vals` and `count` are undone with a branch; `seq`, `pos` and `keys` only grow, so two
--- branches that insert at the same place do not get in each other's way: an entry of `seq` counts when
--- `vals` has it and `pos` points back.
local core = require "hone.python.core"

local types = core.types
local note = core.note
local S = core.state
local dict = {}

local NAN = {} -- NaN cannot index a Lua table

local function tuple_key(v, id_of)
  local parts = {}
  for i = 1, v.n do
    local k = id_of(v[i])
    local t = type(k)
    if t == "string" then
      parts[i] = ("s%d:%s"):format(#k, k)
    elseif t == "number" then
      parts[i] = ("n%.17g"):format(k)
    else
      parts[i] = ("o%d"):format(core.id(k))
    end
  end
  return "\1(" .. table.concat(parts, ",") .. ")"
end

local function set_key(v)
  local parts = {}
  for k in pairs(v.vals) do
    parts[#parts + 1] = tuple_key({ k, n = 1 }, function(x) return x end)
  end
  table.sort(parts)
  return "\1{" .. table.concat(parts, ",") .. "}"
end

---The Lua value that stands for a Python key.
local function key_of(v)
  local t = type(v)
  if t == "string" then return v end
  if t == "number" then return v == v and v or NAN end
  if t == "boolean" then return v and 1 or 0 end
  if t ~= "table" then return v end
  if v.boxed then return key_of(v.value) end
  local class = v.cls
  if class == types.tuple or class.tuple_like then return tuple_key(v, key_of) end
  if class == types.frozenset then return set_key(v) end
  if v.vals or class == types.list then core.raise("TypeError", "unhashable type: '%s'", class.name) end
  if class.hash_key then return class.hash_key(v) end
  if not class.builtin and v.attrs and not v.mro then
    local hash = core.lookup_own(class, "__hash__")
    if hash and hash ~= core.None then
      local h = core.call(hash, { v, n = 1 })
      if type(h) == "table" and h.unknown then return v end
      return ("\1h%d:%s"):format(core.id(class), tostring(h))
    end
  end
  return v
end
dict.key_of = key_of

---@return table an empty dict (or another class with a dict's storage)
function dict.new(class)
  return { cls = class or types.dict, vals = {}, keys = {}, seq = {}, pos = {}, count = 0 }
end

function dict.get(d, k) return d.vals[key_of(k)] end

function dict.set(d, k, v)
  local key = key_of(k)
  local vals = d.vals
  local trail = S.trail
  if type(k) == "table" and k.unknown then d.fuzzy = true end
  if vals[key] == nil then
    if trail then note(trail, d, "count") end
    d.count = d.count + 1
    local seq = d.seq
    local n = #seq + 1
    seq[n] = key
    d.pos[key] = n
    d.keys[key] = k
  end
  if trail then note(trail, vals, key) end
  vals[key] = v
end

---Remove a key. @return any the value it had, nil if it was not there
function dict.remove(d, k)
  local key = key_of(k)
  local old = d.vals[key]
  if old == nil then return nil end
  core.put(d.vals, key, nil)
  core.put(d, "count", d.count - 1)
  return old
end

function dict.clear(d)
  core.put(d, "vals", {})
  core.put(d, "count", 0)
end

---Walk the entries in order: for key, value in dict.each(d).
function dict.each(d)
  local i = 0
  local seq, pos, keys = d.seq, d.pos, d.keys
  return function()
    while true do
      i = i + 1
      local key = seq[i]
      if key == nil then return nil end
      local v = d.vals[key]
      if v ~= nil and pos[key] == i then return keys[key], v end
    end
  end
end

---The last entry: key, value.
function dict.last(d)
  local seq = d.seq
  for i = #seq, 1, -1 do
    local key = seq[i]
    if d.vals[key] ~= nil and d.pos[key] == i then return d.keys[key], d.vals[key] end
  end
end

function dict.copy(d, class)
  local result = dict.new(class or d.cls)
  for k, v in dict.each(d) do
    dict.set(result, k, v)
  end
  result.fuzzy, result.factory = d.fuzzy, d.factory
  return result
end

---A dict from a Lua map with string keys, in the order given by `names` (or sorted).
function dict.from(map, names)
  local d = dict.new()
  if not names then
    names = {}
    for k in pairs(map) do
      names[#names + 1] = k
    end
    table.sort(names)
  end
  for _, k in ipairs(names) do
    dict.set(d, k, map[k])
  end
  return d
end

---After branches were merged by key, count again.
function dict.recount(d)
  local n = 0
  for _ in pairs(d.vals) do
    n = n + 1
  end
  d.count = n
end

return dict
