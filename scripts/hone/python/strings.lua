--- Methods of str and bytes.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local items = require "hone.python.items"
local format = require "hone.python.format"

local types, None = core.types, core.None
local plain = unknown.plain

local WHITE = " \t\n\r\f\v"

local function class_set(chars)
  if chars == None or chars == nil then chars = WHITE end
  return "[" .. chars:gsub("[%^%]%-%%]", "%%%0") .. "]"
end

local function strip_left(s, chars)
  if chars == "" then return s end
  return (s:gsub("^" .. class_set(chars) .. "+", ""))
end

local function strip_right(s, chars)
  if chars == "" then return s end
  local set, n = class_set(chars), #s
  while n > 0 and s:find("^" .. set, n) do
    n = n - 1
  end
  return s:sub(1, n)
end

local function split_white(s, most)
  local parts, at = {}, 1
  while true do
    at = s:find("%S", at)
    if not at then break end
    if most >= 0 and #parts == most then
      parts[#parts + 1] = strip_right(s:sub(at))
      break
    end
    local stop = s:find("%s", at) or #s + 1
    parts[#parts + 1] = s:sub(at, stop - 1)
    at = stop
  end
  return parts
end

local function split(s, separator, most)
  if separator == None or separator == nil then return split_white(s, most) end
  if separator == "" then core.raise("ValueError", "empty separator") end
  local parts, at = {}, 1
  while true do
    local from, to = s:find(separator, at, true)
    if not from or (most >= 0 and #parts == most) then break end
    parts[#parts + 1] = s:sub(at, from - 1)
    at = to + 1
  end
  parts[#parts + 1] = s:sub(at)
  return parts
end

local function find_last(s, sub, from, to)
  local last
  local at = from
  while true do
    local found = s:find(sub, at, true)
    if not found or found + #sub - 1 > to then return last end
    last, at = found, found + 1
  end
end

local function rsplit(s, separator, most)
  if separator == None or separator == nil or most < 0 then
    if most < 0 then return split(s, separator, most) end
    local words = split_white(s, -1)
    if #words <= most + 1 then return words end
    local tail = table.move(words, #words - most + 1, #words, 2, {})
    local head = s
    for i = #words, #words - most + 1, -1 do
      head = strip_right(head):sub(1, -#words[i] - 1)
    end
    tail[1] = strip_left(strip_right(head))
    return tail
  end
  local parts = {}
  while #parts < most do
    local at = find_last(s, separator, 1, #s)
    if not at then break end
    table.insert(parts, 1, s:sub(at + #separator))
    s = s:sub(1, at - 1)
  end
  table.insert(parts, 1, s)
  return parts
end

---Bounds given as Python's start and end arguments, as Lua positions.
local function window(s, first, last)
  local start, count = items.slice_bounds({ start = first or None, stop = last or None, step = None }, #s)
  return start + 1, start + count
end

local function any_affix(s, affix, test)
  if type(affix) == "table" then
    for i = 1, affix.n do
      local one = plain(affix[i])
      if unknown.is(one) then return unknown.new("startswith()") end
      if test(s, one) then return true end
    end
    return false
  end
  if type(affix) ~= "string" then
    core.raise("TypeError", "first arg must be str or a tuple of str, not %s", core.class_of(affix).name)
  end
  return test(s, affix)
end

local function starts(s, affix) return s:sub(1, #affix) == affix end
local function ends(s, affix) return affix == "" or s:sub(-#affix) == affix end

local function find(args, last)
  local s, sub = args[1], args[2]
  local from, to = window(s, args[3], args[4])
  if last then return (find_last(s, sub, from, to) or 0) - 1 end
  local at = s:find(sub, from, true)
  return at and at + #sub - 1 <= to and at - 1 or -1
end

local function replace(s, old, new, most)
  most = most or -1
  if old == "" then return unknown.report("str.replace of an empty string") end
  local parts, at, done = {}, 1, 0
  while done ~= most do
    local from, to = s:find(old, at, true)
    if not from then break end
    parts[#parts + 1] = s:sub(at, from - 1)
    at, done = to + 1, done + 1
  end
  parts[#parts + 1] = s:sub(at)
  return table.concat(parts, new)
end

local function justify(args, align)
  local fill = args[3] or " "
  return format.format(args[1], fill .. align .. args[2])
end

local function all_match(pattern)
  return function(args) return args[1]:find("^" .. pattern .. "+$") ~= nil end
end

local function keyword(args, kw, place, name, default)
  local v = args[place]
  if v == nil and kw then v = kw.map[name] end
  if v == nil then return default end
  return v
end

local methods = {
  upper = function(a) return a[1]:upper() end,
  lower = function(a) return a[1]:lower() end,
  casefold = function(a) return a[1]:lower() end,
  capitalize = function(a) return a[1]:sub(1, 1):upper() .. a[1]:sub(2):lower() end,
  title = function(a)
    return (a[1]:gsub("(%a)(%a*)", function(first, rest) return first:upper() .. rest:lower() end))
  end,
  swapcase = function(a)
    return (a[1]:gsub("%a", function(c) return c == c:upper() and c:lower() or c:upper() end))
  end,
  strip = function(a) return strip_right(strip_left(a[1], a[2]), a[2]) end,
  lstrip = function(a) return strip_left(a[1], a[2]) end,
  rstrip = function(a) return strip_right(a[1], a[2]) end,
  split = function(a, kw)
    return core.list(split(a[1], keyword(a, kw, 2, "sep"), keyword(a, kw, 3, "maxsplit", -1)))
  end,
  rsplit = function(a, kw)
    return core.list(rsplit(a[1], keyword(a, kw, 2, "sep"), keyword(a, kw, 3, "maxsplit", -1)))
  end,
  splitlines = function(a, kw)
    local keep = keyword(a, kw, 2, "keepends", false)
    local list = {}
    for line, ending in a[1]:gmatch("([^\r\n]*)(\r?\n?)") do
      if line ~= "" or ending ~= "" then list[#list + 1] = keep and line .. ending or line end
    end
    return core.list(list)
  end,
  partition = function(a)
    local from, to = a[1]:find(a[2], 1, true)
    if not from then return core.tuple { a[1], "", "" } end
    return core.tuple { a[1]:sub(1, from - 1), a[2], a[1]:sub(to + 1) }
  end,
  rpartition = function(a)
    local at = find_last(a[1], a[2], 1, #a[1])
    if not at then return core.tuple { "", "", a[1] } end
    return core.tuple { a[1]:sub(1, at - 1), a[2], a[1]:sub(at + #a[2]) }
  end,
  startswith = function(a)
    local from, to = window(a[1], a[3], a[4])
    return any_affix(a[1]:sub(from, to), a[2], starts)
  end,
  endswith = function(a)
    local from, to = window(a[1], a[3], a[4])
    return any_affix(a[1]:sub(from, to), a[2], ends)
  end,
  removeprefix = function(a) return starts(a[1], a[2]) and a[1]:sub(#a[2] + 1) or a[1] end,
  removesuffix = function(a) return a[2] ~= "" and ends(a[1], a[2]) and a[1]:sub(1, -#a[2] - 1) or a[1] end,
  find = function(a) return find(a) end,
  rfind = function(a) return find(a, true) end,
  index = function(a)
    local at = find(a)
    if at < 0 then core.raise("ValueError", "substring not found") end
    return at
  end,
  rindex = function(a)
    local at = find(a, true)
    if at < 0 then core.raise("ValueError", "substring not found") end
    return at
  end,
  count = function(a)
    local n, at = 0, 1
    if a[2] == "" then return #a[1] + 1 end
    while true do
      local from, to = a[1]:find(a[2], at, true)
      if not from then return n end
      n, at = n + 1, to + 1
    end
  end,
  replace = function(a, kw) return replace(a[1], a[2], a[3], keyword(a, kw, 4, "count")) end,
  ljust = function(a) return justify(a, "<") end,
  rjust = function(a) return justify(a, ">") end,
  center = function(a) -- Python puts the odd space of an even width on the left
    local n = a[2] - #a[1]
    if n <= 0 then return a[1] end
    local left = n // 2 + (n & a[2] & 1)
    local fill = a[3] or " "
    return fill:rep(left) .. a[1] .. fill:rep(n - left)
  end,
  zfill = function(a)
    local sign, rest = a[1]:match("^([-+]?)(.*)$")
    return sign .. ("0"):rep(a[2] - #a[1]) .. rest
  end,
  expandtabs = function(a) return (a[1]:gsub("\t", (" "):rep(a[2] or 8))) end,
  isdigit = all_match("%d"),
  isdecimal = all_match("%d"),
  isnumeric = all_match("%d"),
  isalpha = all_match("%a"),
  isalnum = all_match("%w"),
  isspace = all_match("%s"),
  isupper = function(a) return a[1]:find("%u") ~= nil and not a[1]:find("%l") end,
  islower = function(a) return a[1]:find("%l") ~= nil and not a[1]:find("%u") end,
  isidentifier = function(a) return a[1]:find("^[%a_][%w_]*$") ~= nil end,
  encode = function(a) return { cls = types.bytes, data = a[1] } end,
  format = format.template,
  __len__ = function(a) return utf8.len(a[1]) or #a[1] end,
}

for name, fn in pairs(methods) do
  local inner = fn
  types.str.dict[name] = core.builtin(name, function(args, kw)
    for i = 1, args.n do
      args[i] = plain(args[i])
    end
    return inner(args, kw)
  end, name == "format")
end

types.str.dict.join = core.builtin("join", function(args)
  local list = items.collect(args[2])
  if not list then return unknown.new("str.join()") end
  for i = 1, list.n do
    local v = plain(list[i])
    if unknown.is(v) then return unknown.new("str.join()") end
    if type(v) ~= "string" then
      core.raise(
        "TypeError",
        "sequence item %d: expected str instance, %s found",
        i - 1,
        core.class_of(v).name
      )
    end
    list[i] = v
  end
  core.charge(list.n)
  return table.concat(list, plain(args[1]))
end, true)

-- Counting in a part of a text that is taken up to a tested number is testing that number.
local count = types.str.dict.count
types.str.dict.count = core.builtin("count", function(args, kw)
  local text, wanted = args[1], args[2]
  if unknown.is_cut(text) and type(wanted) == "string" and args.n == 2 then
    return unknown.measured(text, function(part) return count.fn { part, wanted, n = 2 } end)
  end
  return core.call(count, args, kw)
end, true)

core.methods(types.bytes, {
  decode = function(a) return a[1].data end,
  hex = function(a)
    return (a[1].data:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end,
  __len__ = function(a) return #a[1].data end,
})

return methods
