--- What an object is made of, as a text: two objects of the same shape are told apart by nothing but an index
--- (that of a layer in a stack), in the places where that index is kept as it is.
local core = require "hone.python.core"
local dict = require "hone.python.dict"

local types = core.types
local shape = {}

local MOST_PARTS = 50000

local write

-- A number that tells when it is read is left unread; it stands for the index.
local function is_tracked(v) return v.boxed and rawget(v, "value") == nil end

-- One that was calculated from the index is told by what it is.
local function number_text(out, v)
  if not is_tracked(v) then return tostring(v.value) end
  if not rawget(v, "root") then return "#" end
  out.holds_derived = true
  return tostring(v.now)
end

-- Names such as "model.layers.12.mlp" are the same but for the index.
local function text_of(text, index)
  if not text:find(index, 1, true) then return text end
  return (text:gsub("%f[%w]" .. index .. "%f[%W]", "#"))
end

local function write_items(out, v)
  for i = 1, v.n do
    write(out, v[i])
  end
end

local function write_dict(out, v)
  for key, item in dict.each(v) do
    write(out, key)
    write(out, item)
  end
end

local function write_attributes(out, v)
  for _, name in ipairs(v.names) do
    out[#out + 1] = name
    write(out, v.attrs[name])
  end
end

local function write_unknown(out, v)
  out[#out + 1] = v.alts and "one of" or "?"
  for _, alternative in ipairs(v.alts or {}) do
    write(out, alternative)
  end
end

-- A function made inside another: its code and the locals that it sees there.
local function is_closure(v) return v.cls == types["function"] and v.up and v.up.fn and true or false end

local function write_closure(out, v)
  out[#out + 1] = "code" .. core.id(v.code)
  local frame = v.up
  while frame and frame.fn do
    for slot = 1, frame.code.slots or 0 do
      write(out, frame[slot])
    end
    frame = frame.up
  end
end

local function write_table(out, v)
  if is_closure(v) then
    write_closure(out, v)
  elseif v.cls == types.method then
    write(out, v.func)
    write(out, v.self)
  elseif v.vals then
    write_dict(out, v)
  elseif v.n then
    write_items(out, v)
  end
  if v.attrs and v.names then write_attributes(out, v) end
end

local function is_only_itself(v)
  if v.mro or v == core.None or v.cls.singleton then return true end
  if is_closure(v) then return false end
  return not (v.attrs and v.names or v.n or v.vals or v.cls == types.method)
end

function write(out, v)
  local kind = type(v)
  if #out > MOST_PARTS then error(shape, 0) end
  if kind ~= "table" then
    out[#out + 1] = kind == "string" and text_of(v, out.index) or tostring(v)
  elseif v.unknown then
    write_unknown(out, v)
  elseif v.boxed then
    out[#out + 1] = number_text(out, v)
  elseif out.before[v] or is_only_itself(v) then
    out[#out + 1] = "=" .. core.id(v)
  elseif out.seen[v] then
    out[#out + 1] = "@" .. out.seen[v]
  else
    out.seen.n = out.seen.n + 1
    out.seen[v] = out.seen.n
    out[#out + 1] = "{" .. core.id(v.cls)
    write_table(out, v)
    out[#out + 1] = "}"
  end
end

---The shape of an object.
---@param v hone.python.Value
---@param index integer # of the object among those that it is compared with
---@param before table<table, boolean> # what the objects before hold: the same there is the same here; added to
---@return string? shape # nil for an object that holds too much
---@return boolean holds_derived # whether it holds numbers that were calculated from a tracked one
function shape.of(v, index, before)
  local out = { index = tostring(index), before = before, seen = { n = 0 } }
  local ok, why = pcall(write, out, v)
  if not ok and why ~= shape then error(why, 0) end
  for object in pairs(out.seen) do
    if object ~= "n" then before[object] = true end
  end
  return ok and table.concat(out, "\0") or nil, out.holds_derived or not ok
end

return shape
