--- Where a call's tensors lie: a slot of the arena for each call, at new places in each request, between guard zones.
--
-- Every tensor lies there twice. What the solution is given is one of the two; the other is the judge's: a call's
-- inputs come from there when it begins, and its outputs are brought there as soon as it is over. So a call's inputs
-- cannot be seen before its turn, and what is written after it does not count.
local arena = require "hone.bench.arena"

local slots = {}

local GUARD = 256 -- bytes before and after each tensor that nobody may write
local WANDER = 8 -- a tensor begins up to so many alignments later than it could
local GUARD_BYTE = 0xFF -- NaN in every float
local POISON = { int64 = 0x5A5A5A5A5A5A, int32 = 0x5A5A5A5A, int16 = 0x5A5A, int8 = 0x5A }

local function align(bytes) return (bytes + arena.ALIGNMENT - 1) // arena.ALIGNMENT * arena.ALIGNMENT end

local MOST_TWICE = 256 << 20 -- bytes of a call's inputs that are worth a copy for each call

-- The tensors of a slot: of a value, what the solution is given, and the judge's own of it.
local function tensors_of(values)
  local list, inputs = {}, 0
  for _, value in ipairs(values) do
    if value.shape and not value.is_output then inputs = inputs + arena.bytes_of(value.dtype, value.shape) end
  end
  for i, value in ipairs(values) do
    if value.shape then
      local bytes = arena.bytes_of(value.dtype, value.shape)
      list[#list + 1] = { i = i, part = "at", bytes = bytes }
      if value.is_output or inputs <= MOST_TWICE then
        list[#list + 1] = { i = i, part = "own", bytes = bytes }
      end
    end
  end
  return list
end

---Bytes of one slot at the most.
function slots.bytes(values)
  local total = 0
  for _, one in ipairs(tensors_of(values)) do
    total = total + align(one.bytes) + 2 * GUARD + WANDER * arena.ALIGNMENT
  end
  return math.max(total, arena.ALIGNMENT)
end

local function shuffled(n)
  local order = {}
  for i = 1, n do
    local j = math.random(i)
    order[i] = order[j]
    order[j] = i
  end
  return order
end

-- One slot from `at` on, its tensors in an order of its own: { at = offsets by value, own = likewise, and what the
-- worker is told: offsets, sources, seen }, and where it ends.
local function place(values, tensors, at)
  local slot = { at = {}, own = {}, offsets = {}, sources = {}, seen = {} }
  for _, k in ipairs(shuffled(#tensors)) do
    local one = tensors[k]
    at = at + align(GUARD) + math.random(0, WANDER - 1) * arena.ALIGNMENT
    slot[one.part][one.i] = at
    at = at + align(one.bytes) + GUARD
  end
  for i, value in ipairs(values) do
    if value.shape then
      slot.offsets[#slot.offsets + 1] = slot.at[i]
      table.insert(value.is_output and slot.seen or slot.sources, slot.own[i])
    end
  end
  return slot, at
end

local function blank(memory, first, last)
  if last > first then memory.whole:narrow(1, first + 1, last - first):fill_(GUARD_BYTE) end
end

-- Blank the places of slots, and those of the request before: other solutions' outputs were left there, right ones of
-- inputs that come again.
local function make_blank(memory, first, last)
  local used = memory.used
  if used.first < last and first < used.last then
    blank(memory, math.min(first, used.first), math.max(last, used.last))
  else
    blank(memory, used.first, used.last)
    blank(memory, first, last)
  end
  memory.used = { first = first, last = last }
end

---Make `n` slots in an arena, which has room for them, and fill it with what guards and poisons: every output is NaN,
---or a number that no output has.
---@return table[] slots # { offsets, sources, seen, given = the solution's tensors or false, views = the judge's }
function slots.make(memory, values, n)
  local list, tensors = {}, tensors_of(values)
  local at = math.random(0, (memory.bytes - n * slots.bytes(values)) // arena.ALIGNMENT) * arena.ALIGNMENT
  local first = at
  for i = 1, n do
    list[i], at = place(values, tensors, at)
  end
  make_blank(memory, first, math.min(at + GUARD, memory.bytes))
  for _, slot in ipairs(list) do
    slot.views, slot.given = {}, {}
    for i, value in ipairs(values) do
      slot.given[i] = value.shape and memory:tensor(slot.at[i], value.dtype, value.shape) or false
      slot.views[i] = slot.own[i] and memory:tensor(slot.own[i], value.dtype, value.shape) or slot.given[i]
      if value.is_output and POISON[value.dtype] then slot.given[i]:fill_(POISON[value.dtype]) end
    end
  end
  return list
end

local function is_intact(memory, from, bytes)
  from, bytes = math.max(from, 0), math.min(bytes, memory.bytes - math.max(from, 0))
  return bytes <= 0 or memory.whole:narrow(1, from + 1, bytes):eq(GUARD_BYTE):all():item()
end

---The name of a value around which something was written; nil where all guards are as they were.
function slots.broken_guard(memory, values, slot)
  for i, value in ipairs(values) do
    if value.shape then
      local at, bytes = slot.at[i], arena.bytes_of(value.dtype, value.shape)
      if not is_intact(memory, at - GUARD, GUARD) or not is_intact(memory, at + bytes, GUARD) then
        return value.name
      end
    end
  end
end

---Whether two tensors have the same bytes.
function slots.same_bytes(a, b)
  if a:numel() == 0 then return true end
  if a.dtype == "bool" then return a:equal(b) end
  return a:reshape(-1):view("uint8"):equal(b:contiguous():reshape(-1):view "uint8")
end

return slots
