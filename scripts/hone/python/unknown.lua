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

local METHOD = types.method

local function same(a, b)
  if a == b then return true end -- no value has a metamethod for it
  local ta, tb = type(a), type(b)
  if ta == "table" then
    if a.boxed then
      if not a.attrs then
        a, ta = boxed_value(a)
      end
    elseif a.cls ~= METHOD then
      return false -- only the same as itself
    elseif tb == "table" and b.cls == METHOD then
      return a.func == b.func and a.self == b.self
    end
  end
  if tb == "table" and b.boxed and not b.attrs then
    b, tb = boxed_value(b)
  end
  return a ~= nil and ta ~= "table" and ta == tb and a == b and math.type(a) == math.type(b)
end

-- Whether `v` is nothing that a list of alternatives does not have yet. Of values about which nothing is known one
-- is enough.
local function is_among(list, v)
  local n = #list
  for i = 1, n do
    if list[i] == v then return true end
  end
  local is_blank = false
  if type(v) == "table" then
    is_blank = v.unknown
    -- what has no value of its own is only the same as itself
    if not is_blank and not v.boxed and v.cls ~= METHOD then return false end
  end
  for i = 1, n do
    local have = list[i]
    if is_blank then
      if type(have) == "table" and have.unknown then return true end
    elseif same(have, v) then
      return true
    end
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

local tracked_number = {
  __index = function(number, key)
    if key ~= "value" then return nil end
    number.on_read()
    return number.now
  end,
}

---A number that tells when it is read: passing it on and storing it is not reading. With `on_test`, neither is
---calculating with it, which gives another such number, nor what only has to come out the same for another number in
---its place: comparing it, looking an item of a list up by it. Of that, on_test is told.
---@param value integer|number
---@param name string
---@param on_read fun()
---@param on_test? fun(holds: fun(other: number): boolean)
function unknown.tracked(value, name, on_read, on_test)
  local number = { cls = core.class_of(value), boxed = true, how = { name = name, line = false } }
  number.now, number.on_read, number.on_test = value, on_read, on_test
  number.at = on_test and function(other) return other end
  return setmetatable(number, tracked_number)
end

---A number that can be tested without being read.
local function is_tested(v) return type(v) == "table" and rawget(v, "on_test") ~= nil end
unknown.is_tested = is_tested

-- A number as a function of what a tracked one is, and what it is now; nil for other values.
local function function_of(v)
  if is_tested(v) then return v.at, v.now end
  if type(v) == "table" and v.boxed and not v.attrs then v = rawget(v, "value") end
  if math.type(v) then
    return function() return v end, v
  end
end

---Arithmetic with a tested number: another one; nil when the operands are not both numbers.
function unknown.derived(a, b, compute)
  local at_a, now_a = function_of(a)
  local at_b, now_b = function_of(b)
  local now = at_a and at_b and compute(now_a, now_b)
  if not math.type(now) then return nil end
  local base = is_tested(a) and a or b
  local number = unknown.tracked(now, base.how.name, base.on_read, base.on_test)
  number.at = function(other) return compute(at_a(other), at_b(other)) end
  number.root = base.root or base
  number.root.has_derived = true
  return number
end

---What `test` makes of numbers one of which is tested: a boolean; nil when they are not both numbers.
function unknown.tested(a, b, test)
  local at_a, now_a = function_of(a)
  local at_b, now_b = function_of(b)
  if not (at_a and at_b) then return nil end
  local result = test(now_a, now_b)
  local base = is_tested(a) and a or b
  base.on_test(function(other) return test(at_a(other), at_b(other)) == result end)
  return result
end

---What `look_up` finds for a tested number, which has to be the same for another.
function unknown.found(number, look_up)
  local result = look_up(number.now)
  number.on_test(function(other) return same(look_up(number.at(other)), result) end)
  return result
end

---The part of a text that `cut` takes at a tested number: it tells, as the number does, when it is read.
function unknown.cut(number, cut)
  local text = { cls = types.str, boxed = true, how = { name = number.how.name, line = false } }
  text.now, text.on_read, text.base = cut(number.now), number.on_read, number
  text.text_at = function(other) return cut(number.at(other)) end
  text.root = number.root or number
  text.root.has_derived = true
  return setmetatable(text, tracked_number)
end

---Whether a text is such a part of another.
function unknown.is_cut(v) return type(v) == "table" and rawget(v, "text_at") ~= nil end

---A number that tells something of such a part.
function unknown.measured(text, measure)
  local base = text.base
  local number = unknown.tracked(measure(text.now), base.how.name, base.on_read, base.on_test)
  number.at = function(other) return measure(text.text_at(other)) end
  number.root = text.root
  return number
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
