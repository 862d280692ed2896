--- Branches on what is not known: both ways are run, and what they wrote is merged.
---
--- While a way runs, every write notes the old value on a trail (core.put). The first way's writes are
--- collected and undone, the second way runs from the same state, then the two are merged place by
--- place: the same value is kept, different ones become alternatives, a place that only one way filled
--- keeps that filling (a list that one way made longer stays longer).
---
--- Where the ways leave differently (one returns, one goes on) evaluation goes on with the one that stays
--- closest, and the other's return value and writes wait in frame.pending until the loop or function that
--- it left is at its end.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"

local S, note = core.state, core.note
local branch = {}

branch.BREAK, branch.CONTINUE, branch.RETURN = 1, 2, 3
local CLOSENESS = { [branch.CONTINUE] = 1, [branch.BREAK] = 2, [branch.RETURN] = 3 }

local NONE = {}

---The distinct places on a trail: { { t, k, old, new } }, and each by t and k. Most ways write nothing.
local function writes_of(trail)
  if trail.n == 0 then return NONE, NONE end
  local list, seen, n = {}, {}, 0
  for i = 1, trail.n, 3 do
    local t, k = trail[i], trail[i + 1]
    local known = seen[t]
    if not known then
      known = {}
      seen[t] = known
    end
    if not known[k] then
      local entry = { t = t, k = k, old = trail[i + 2], new = t[k] }
      known[k] = entry
      n = n + 1
      list[n] = entry
    end
  end
  return list, seen
end

---Bring places to what was written to them.
local function write_again(writes)
  local trail = S.trail
  for i = 1, #writes do
    local w = writes[i]
    if trail then note(trail, w.t, w.k) end
    w.t[w.k] = w.new
  end
end

local function undo(trail)
  for i = trail.n - 2, 1, -3 do
    trail[i][trail[i + 1]] = trail[i + 2]
  end
  if trail.classes then core.class_changed() end
end

---Join two values of one place. Fields of containers and frames are told from Python's names (which index
---tables of their own) by what else the table holds.
local function merged(t, k, a, b, touched)
  if a == b and k ~= "count" then return a end
  if k == "count" and t.seq then
    touched[t] = true
    return b
  end
  if k == "n" and core.is_class(t.cls) and math.type(a) == "integer" and math.type(b) == "integer" then
    if a ~= b then S.world.report.merges = S.world.report.merges + 1 end
    return math.max(a, b)
  end
  if k == "vals" and t.seq then return b end
  return unknown.join(a, b)
end

---Merge the first way's writes into the state the second way left.
---@param seen_b table places the second way wrote; nil when it is no longer known (pending writes)
local function merge_writes(writes_a, writes_b, seen_a, skip)
  local touched, put = {}, core.put
  for i = 1, #writes_a do
    local w = writes_a[i]
    local t, k = w.t, w.k
    if t ~= skip then put(t, k, merged(t, k, w.new, t[k], touched)) end
  end
  writes_b = writes_b or NONE
  for i = 1, #writes_b do
    local w = writes_b[i]
    local t, k = w.t, w.k
    local also = seen_a[t] and seen_a[t][k]
    if not also then put(t, k, merged(t, k, w.old, t[k], touched)) end
  end
  for t in pairs(touched) do
    dict.recount(t)
  end
end

local function note_all(outer, trail)
  if not outer then return end
  outer.classes = outer.classes or trail.classes
  local n = outer.n
  table.move(trail, 1, trail.n, n + 1, outer)
  outer.n = n + trail.n
end

---Run one way under a trail of its own.
---@param keep boolean? keep what it leaves waiting even when it raises
local function run_way(way, frame, keep)
  local trail = { n = 0 }
  S.trail = trail
  local waiting = frame.pending and #frame.pending or 0
  local ok, signal, value = core.protected(way)
  if not ok and not keep then -- what it left waiting goes with it
    for i = #(frame.pending or {}), waiting + 1, -1 do
      frame.pending[i] = nil
    end
  end
  if ok and signal == branch.RETURN then value = frame.ret end
  return { ok = ok, signal = signal, value = value, trail = trail, error = not ok and signal }
end

---Run `fn` and keep what it writes. @return any value, function to write all of it again
function branch.record(fn)
  local outer, trail = S.trail, { n = 0 }
  S.trail = trail
  local ok, value = core.protected(fn)
  S.trail = outer
  note_all(outer, trail)
  if not ok then error(value, 0) end
  local writes = writes_of(trail)
  return value, function() write_again(writes) end
end

local function redo(a, outer)
  S.trail = outer
  write_again(a.writes)
  return a.signal, a.value
end

---The frame's locals as `way` left them, the frame being in the state that `undone` writes led to.
local function locals_of(frame, way, undone)
  local slots = {}
  for k, v in pairs(frame) do
    if type(k) == "number" then slots[k] = v end
  end
  for _, w in ipairs(undone or {}) do
    if w.t == frame and type(w.k) == "number" then slots[w.k] = w.old end
  end
  for _, w in ipairs(way.writes) do
    if w.t == frame and type(w.k) == "number" then slots[w.k] = w.new end
  end
  return slots
end

---Keep a way for the end of what it leaves. Of a loop's iteration the locals are merged as a whole there.
local function wait(frame, way, undone)
  frame.pending = frame.pending or {}
  table.insert(frame.pending, {
    signal = way.signal,
    value = way.value,
    writes = way.writes,
    slots = way.signal ~= branch.RETURN and locals_of(frame, way, undone) or nil,
  })
end

local function budget_is_spent()
  local limits, report = S.world.limits, S.world.report
  if S.nest >= limits.nested_branches or report.branches >= limits.branches then
    report.unexplored = report.unexplored + 1
    return true
  end
  return false
end

---Count the branch, by where it stands.
local function count()
  local report, f = S.world.report, core.code_frame()
  report.branches = report.branches + 1
  local line = f and f.line or 0
  local lines = f and report.branch_lines[f.code.file]
  if not lines then
    lines = {}
    report.branch_lines[f and f.code.file or "?"] = lines
  end
  lines[line] = (lines[line] or 0) + 1
end

---Run two ways and merge them. Each is a function returning a signal (nil: fell through) and a value.
---@return integer? signal
---@return any value join of the two values
function branch.explore(frame, first, second)
  if budget_is_spent() or S.c_levels >= S.world.limits.c_levels - 5 then return second() end
  count()
  local outer = S.trail
  local ret = frame.ret
  S.nest = S.nest + 1
  local a = run_way(first, frame)
  local seen_a
  a.writes, seen_a = writes_of(a.trail)
  undo(a.trail)
  S.trail = outer
  frame.ret = ret
  if not a.ok then
    S.nest = S.nest - 1
    S.world.report.dropped = S.world.report.dropped + 1
    return second()
  end
  local b = run_way(second, frame)
  S.nest = S.nest - 1
  if not b.ok then
    undo(b.trail)
    frame.ret = ret
    S.world.report.dropped = S.world.report.dropped + 1
    local signal, value = redo(a, outer)
    if signal == branch.RETURN then frame.ret = value end
    return signal, value
  end
  S.trail = outer
  note_all(outer, b.trail)
  if a.trail.classes or b.trail.classes then core.class_changed() end
  local writes_b = writes_of(b.trail)
  if a.signal == b.signal then
    merge_writes(a.writes, writes_b, seen_a)
    local value = unknown.join(a.value, b.value)
    if a.signal == branch.RETURN then frame.ret = value end
    return a.signal, value
  end
  -- They leave differently: go on with the closer one, keep the other for later.
  if (CLOSENESS[b.signal] or 0) <= (CLOSENESS[a.signal] or 0) then
    wait(frame, a, writes_b)
    if b.signal ~= branch.RETURN then frame.ret = ret end
    return b.signal, b.value
  end
  b.writes = writes_b
  undo(b.trail)
  wait(frame, b)
  frame.ret = ret
  return redo(a, outer)
end

---Leave as the waiting ways that stay closest left: what goes on instead has raised.
local function take_pending(frame)
  local closest
  for _, entry in ipairs(frame.pending) do
    if not closest or CLOSENESS[entry.signal] < CLOSENESS[closest] then closest = entry.signal end
  end
  local rest, value, taken = {}, nil, false
  for _, entry in ipairs(frame.pending) do
    if entry.signal ~= closest then
      rest[#rest + 1] = entry
    elseif not taken then
      taken, value = true, entry.value
      write_again(entry.writes)
      for slot, v in pairs(entry.slots or {}) do
        core.put(frame, slot, v)
      end
    else
      value = unknown.join(value, entry.value)
      merge_writes(entry.writes, nil, nil, frame)
    end
  end
  frame.pending = #rest > 0 and rest or nil
  if closest == branch.RETURN then frame.ret = value end
  return closest
end

---End a loop that only ways that wait have left: as they did.
function branch.leave_loop(frame)
  for _, entry in ipairs(frame.pending) do
    if entry.signal == branch.BREAK then return branch.BREAK end
  end
  return take_pending(frame)
end

local MOST_GUARDS = 6 -- in one frame, one inside the other: each is a protected call

---Whether ways wait that no guard knows of yet.
function branch.needs_guard(frame)
  return #frame.pending > (frame.guarded or 0)
    and (frame.guards or 0) < MOST_GUARDS
    and S.c_levels < S.world.limits.c_levels - 10
end

---Run the rest of a block while other ways wait: when it raises, those ways are taken.
function branch.guard(frame, rest)
  local outer, guarded, guards = S.trail, frame.guarded, frame.guards or 0
  frame.guarded, frame.guards = #frame.pending, guards + 1
  local way = run_way(rest, frame, true)
  frame.guarded, frame.guards = guarded, guards
  S.trail = outer
  if way.ok then
    note_all(outer, way.trail)
    return way.signal
  end
  undo(way.trail)
  S.world.report.dropped = S.world.report.dropped + 1
  return take_pending(frame)
end

---Merge what waits for one of the `signals` of a loop that is at its end.
function branch.settle(frame, ...)
  local rest = {}
  for _, entry in ipairs(frame.pending) do
    if entry.signal == (...) or entry.signal == select(2, ...) then
      merge_writes(entry.writes, nil, nil, frame)
      for slot, v in pairs(entry.slots) do
        if frame[slot] ~= v then core.put(frame, slot, unknown.join(v, frame[slot])) end
      end
    else
      rest[#rest + 1] = entry
    end
  end
  frame.pending = #rest > 0 and rest or nil
end

---Merge the returns that wait when a function is at its end. @return any the joined return value
function core.settle_returns(frame, result)
  if result == nil then result = core.None end
  for _, entry in ipairs(frame.pending) do
    merge_writes(entry.writes, nil, nil, frame)
    if entry.signal == branch.RETURN then result = unknown.join(entry.value, result) end
  end
  frame.pending = nil
  return result
end

return branch
