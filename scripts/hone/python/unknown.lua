--- Values that evaluation cannot know, values that may be one of several, and numbers that remember how
--- they came about.
local core = require "hone.python.core"

local types = core.types
local S = core.state
local unknown = {}

local MOST_ALTERNATIVES = 8

---A value about which nothing is known.
---@param origin string dotted name or short description: "torch.float16", "x.shape"
---@param reason string? why it is not known
function unknown.new(origin, reason)
  return { cls = types.unknown, unknown = true, origin = origin or "?", reason = reason }
end

---Count what was met and not known, with the first place it was met at. Returns an unknown.
function unknown.report(kind, what)
  local report = S.world.report.unknown
  local key = what and (kind .. " " .. what) or kind
  local entry = report[key]
  if entry then
    entry.count = entry.count + 1
  else
    report[key] = { kind = kind, what = what, count = 1, first = (core.place()) }
  end
  return unknown.new(what or kind, kind)
end

function unknown.is(v) return type(v) == "table" and v.unknown == true end

-- ---- one of several -----------------------------------------------------------------------------

-- The number or string in a box; nil for a number that tells when it is read, which only equals itself.
local function boxed_value(v)
  local value = rawget(v, "value")
  return value, type(value)
end

local function same(a, b)
  if rawequal(a, b) then return true end
  local ta, tb = type(a), type(b)
  if ta == "table" and a.boxed and not a.attrs then
    a, ta = boxed_value(a)
  end
  if tb == "table" and b.boxed and not b.attrs then
    b, tb = boxed_value(b)
  end
  return a ~= nil and ta ~= "table" and ta == tb and a == b and math.type(a) == math.type(b)
end

-- Whether `v` is nothing that a list of alternatives does not have yet. Of values about which nothing is known one
-- is enough.
local function is_among(list, v)
  local is_blank = type(v) == "table" and v.unknown
  for i = 1, #list do
    local have = list[i]
    if same(have, v) or is_blank and type(have) == "table" and have.unknown then return true end
  end
  return false
end

local function covers(list, v)
  if list.more then return true end -- it takes no more
  local others = type(v) == "table" and v.alts
  if not others then return is_among(list, v) end
  for i = 1, #others do
    if not is_among(list, others[i]) then return false end
  end
  return true
end

local function add_alternatives(list, v)
  for _, alt in ipairs(type(v) == "table" and v.alts or { v }) do
    if not is_among(list, alt) then
      if #list >= MOST_ALTERNATIVES then
        list.more = true
        return
      end
      list[#list + 1] = alt
    end
  end
end

---What a variable holds after two branches left `a` and `b` in it.
function unknown.join(a, b)
  if same(a, b) then return a end
  if a == nil then return b end
  if b == nil then return a end
  if
    type(a) == "table"
    and type(b) == "table"
    and a.cls == types.tuple
    and b.cls == types.tuple
    and a.n == b.n
  then
    local items = {}
    for i = 1, a.n do
      items[i] = unknown.join(a[i], b[i])
    end
    return core.tuple(items, a.n)
  end
  if type(a) == "table" and a.alts and covers(a.alts, b) then return a end
  if type(b) == "table" and b.alts and covers(b.alts, a) then return b end
  local alts = {}
  add_alternatives(alts, a)
  add_alternatives(alts, b)
  if #alts == 1 then return alts[1] end
  return { cls = types.unknown, unknown = true, origin = "one of several", alts = alts }
end

---The values `v` may have: { v } when it is known, {} when nothing is known.
function unknown.alternatives(v)
  if not unknown.is(v) then return { v } end
  local list = {}
  for _, alt in ipairs(v.alts or {}) do
    if not unknown.is(alt) then list[#list + 1] = alt end
  end
  return list
end

---Apply `fn` to every alternative and join the results. Alternatives that raise are dropped, unless all do.
function unknown.map(v, fn)
  local result, failure
  for _, alt in ipairs(v.alts) do
    local ok, r = core.protected(fn, alt)
    if not ok then
      failure = failure or r
    elseif result == nil then
      result = r
    else
      result = unknown.join(result, r)
    end
  end
  if result == nil then error(failure, 0) end
  return result
end

-- ---- traced numbers -----------------------------------------------------------------------------

---A number that remembers where it came from.
---@param value integer|number
---@param how table { name =, note = } for a source, { op =, a, b } for a step
function unknown.traced(value, how)
  how.line = how.line or (S.frame and core.place()) or nil
  return { cls = core.class_of(value), boxed = true, value = value, how = how }
end

---A number that tells when it is read: passing it on and storing it is not reading.
---@param value integer|number
---@param name string
---@param on_read fun()
function unknown.tracked(value, name, on_read)
  local number = { cls = core.class_of(value), boxed = true, how = { name = name, line = false } }
  return setmetatable(number, {
    __index = function(_, key)
      if key ~= "value" then return nil end
      on_read()
      return value
    end,
  })
end

---The plain Lua value of a number or string, traced or of a subclass.
function unknown.plain(v)
  if type(v) == "table" and v.boxed then return v.value end
  return v
end

local SYMBOL = { ["//"] = "/" }
local RANK = { ["+"] = 1, ["-"] = 1, ["*"] = 2, ["//"] = 2, ["/"] = 2, ["%"] = 2, ["**"] = 3 }

local function show_number(n)
  if math.type(n) == "float" and n == math.floor(n) and math.abs(n) < 1e15 then return ("%.1f"):format(n) end
  return tostring(n)
end

---The arithmetic as text: "num_attention_heads 128 / tp_size 8", and how tightly it binds.
local function formula(v, depth)
  if not (type(v) == "table" and v.how) then return show_number(unknown.plain(v)), 9 end
  local how = v.how
  if how.name then return ("%s %s"):format(how.name, show_number(v.value)), 9 end
  if depth > 6 then return show_number(v.value), 9 end
  if how.call then
    local parts = {}
    for i, arg in ipairs(how) do
      parts[i] = formula(arg, depth + 1)
    end
    return ("%s(%s)"):format(how.call, table.concat(parts, ", ")), 9
  end
  local rank = RANK[how.op] or 0
  local left, lrank = formula(how[1], depth + 1)
  if how[2] == nil then return how.op .. (lrank < 9 and "(" .. left .. ")" or left), 8 end
  local right, rrank = formula(how[2], depth + 1)
  if lrank < rank then left = "(" .. left .. ")" end
  if rrank <= rank then right = "(" .. right .. ")" end
  return ("%s %s %s"):format(left, SYMBOL[how.op] or how.op, right), rank
end

---A short account of a number: "num_attention_heads 128 / tp_size 8 = 16"; nil for one that has no history.
function unknown.explain(v)
  if not (type(v) == "table" and v.how) then return nil end
  local text = formula(v, 0)
  if v.how.name then return text end
  return ("%s = %s"):format(text, show_number(v.value))
end

---The steps behind a number, sources first: { value =, name =|op =, from = { values }, line = "file:line" }.
function unknown.chain(v)
  local steps, seen = {}, {}
  local function visit(x, depth)
    if not (type(x) == "table" and x.how) or seen[x] or depth > 40 then return end
    seen[x] = true
    local how, from = x.how, {}
    for i, part in ipairs(how) do
      visit(part, depth + 1)
      from[i] = unknown.plain(part)
    end
    steps[#steps + 1] =
      { value = x.value, name = how.name, op = how.op or how.call, from = from, line = how.line }
  end
  visit(v, 0)
  return steps
end

return unknown
