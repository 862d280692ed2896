--- A model of re, for the simplest expressions.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local base = require "hone.python.stdlib.base"

local None = core.None
local plain = unknown.plain
local models = base.models

---Regular expressions of the simplest kind become Lua patterns; others are unknown.
local function to_pattern(text)
  if text:find("[|{}?*]") and text:find("[(|]") and (text:find("|", 1, true) or text:find("%)[*+?{]")) then
    return nil
  end
  if text:find("{", 1, true) or text:find("(?", 1, true) or text:find("[*+?]%?") then return nil end
  local out, i = {}, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == "\\" then
      local e = text:sub(i + 1, i + 1)
      if e:match("[bBAZ1-9]") then return nil end
      out[#out + 1] = e:match("[dws]") and (e == "w" and "[%w_]" or "%" .. e)
        or e:match("[DS]") and "%" .. e
        or e == "W" and "[^%w_]"
        or "%" .. e
      i = i + 2
    elseif c == "[" then
      local set = text:match("^%[%^?%]?[^%]]*%]", i)
      if not set then return nil end
      out[#out + 1] =
        set:gsub("%%", "%%%%"):gsub("\\w", "%%w_"):gsub("\\([dsDS])", "%%%1"):gsub("\\(.)", "%%%1")
      i = i + #set
    else
      out[#out + 1] = (c == "%" or c == "-") and "%" .. c or c
      i = i + 1
    end
  end
  return table.concat(out)
end

local match_class = core.builtin_class("Match")
local function group(m, i)
  i = i == nil and 0 or plain(i)
  if type(i) ~= "number" then return unknown.report("re", "named group") end
  if i == 0 then return m.whole end
  local v = m.captures[i]
  if v == nil then core.raise("IndexError", "no such group") end
  return v
end
core.methods(match_class, {
  group = function(args)
    if args.n <= 2 then return group(args[1], args[2]) end
    local list = {}
    for i = 2, args.n do
      list[i - 1] = group(args[1], args[i])
    end
    return core.tuple(list)
  end,
  groups = function(args) return core.tuple(table.move(args[1].captures, 1, #args[1].captures, 1, {})) end,
  start = function(args) return args[1].from - 1 end,
  ["end"] = function(args) return args[1].to end,
  span = function(args) return core.tuple { args[1].from - 1, args[1].to } end,
  __getitem__ = function(args) return group(args[1], args[2]) end,
}, true)

local function find_match(pattern, s, from, anchored)
  local lua = to_pattern(pattern)
  if not lua then return unknown.report("re", pattern) end
  if anchored and lua:sub(1, 1) ~= "^" then lua = "^" .. lua end
  local found = { s:find(lua, from) }
  if not found[1] then return None end
  return {
    cls = match_class,
    whole = s:sub(found[1], found[2]),
    from = found[1],
    to = found[2],
    captures = table.move(found, 3, #found, 1, {}),
  }
end

local function all_matches(pattern, s)
  local list, from = {}, 1
  while from <= #s + 1 do
    local m = find_match(pattern, s, from)
    if unknown.is(m) then return nil end
    if m == None then break end
    list[#list + 1] = m
    from = math.max(m.to + 1, m.from + 1)
  end
  return list
end

local regex = {
  match = function(a) return find_match(a[1], a[2], 1, true) end,
  search = function(a) return find_match(a[1], a[2], 1) end,
  fullmatch = function(a) return find_match(a[1]:gsub("%$$", "") .. "$", a[2], 1, true) end,
  findall = function(a)
    local list = all_matches(a[1], a[2])
    if not list then return unknown.new("re.findall()") end
    for i, m in ipairs(list) do
      list[i] = #m.captures == 0 and m.whole or #m.captures == 1 and m.captures[1] or core.tuple(m.captures)
    end
    return core.list(list)
  end,
  sub = function(a)
    local list = all_matches(a[1], a[3])
    if not list or type(a[2]) ~= "string" then return unknown.new("re.sub()") end
    local out, at = {}, 1
    for _, m in ipairs(list) do
      out[#out + 1] = a[3]:sub(at, m.from - 1)
      out[#out + 1] = a[2]:gsub("\\(%d)", function(i) return m.captures[tonumber(i)] end)
      at = m.to + 1
    end
    out[#out + 1] = a[3]:sub(at)
    return table.concat(out)
  end,
  split = function(a)
    local list = all_matches(a[1], a[2])
    if not list then return unknown.new("re.split()") end
    local out, at = {}, 1
    for _, m in ipairs(list) do
      out[#out + 1] = a[2]:sub(at, m.from - 1)
      at = m.to + 1
    end
    out[#out + 1] = a[2]:sub(at)
    return core.list(out)
  end,
}

models["re"] = function()
  local pattern_class = core.builtin_class("Pattern")
  local names = {}
  for name, fn in pairs(regex) do
    names[name] = core.builtin(name, fn)
    pattern_class.dict[name] = core.builtin(name, function(args)
      args[1] = args[1].pattern
      for i = 2, args.n do
        args[i] = plain(args[i])
      end
      return fn(args)
    end)
  end
  names.compile = core.builtin(
    "compile",
    function(args) return { cls = pattern_class, pattern = args[1], attrs = { pattern = args[1] } } end
  )
  names.escape = core.builtin("escape", function(args) return (args[1]:gsub("[^%w_]", "\\%0")) end)
  names.Pattern, names.Match, names.IGNORECASE, names.DOTALL, names.MULTILINE =
    pattern_class, match_class, 2, 16, 8
  return names
end
