--- Values as text for people: tables by their contents, short on one line, long ones cut.
local inspect = {}

local DEFAULTS = { width = 80, depth = 6, items = 50, entries = 400, text = 400, colours = false }
local COLOURS =
  { string = 32, number = 36, boolean = 33, ["nil"] = 33, userdata = 35, ["function"] = 35, key = 34 }
local KEYS_SORTED = 10000 -- a table with more keys is shown in the order in which they come

local KEYWORDS = {}
for word in
  ([[and break do else elseif end false for function goto if in local nil not or repeat return then
  true until while]]):gmatch("%a+")
do
  KEYWORDS[word] = true
end

-- ---- strings and other leaves --------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(byte) return ESCAPES[byte] or ("\\x%02x"):format(byte:byte()) end

-- Bytes that are no UTF-8 would end up as garbage on the terminal.
local function escape_invalid(text)
  local pieces, position = {}, 1
  while position <= #text do
    local _, bad = utf8.len(text, position)
    pieces[#pieces + 1] = text:sub(position, (bad or #text + 1) - 1)
    if not bad then break end
    pieces[#pieces + 1] = escape(text:sub(bad, bad))
    position = bad + 1
  end
  return table.concat(pieces)
end

local function quote(text) return '"' .. escape_invalid((text:gsub('[%c"\\]', escape))) .. '"' end

-- The longest prefix of at most `limit` bytes that does not cut a character.
local function prefix(text, limit)
  local last = limit
  while last > limit - 3 and last > 0 and (text:byte(last + 1) or 0) & 0xC0 == 0x80 do
    last = last - 1
  end
  return text:sub(1, last)
end

local function show_string(text, limit)
  if #text <= limit then return quote(text) end
  return ("%s... (%d bytes)"):format(quote(prefix(text, limit)), #text)
end

local function show_function(value)
  local info = debug.getinfo(value, "S")
  if info.what == "C" then return "<C function>" end
  return ("<function %s:%d>"):format(info.short_src, info.linedefined)
end

local function show_number(value)
  if value ~= value then return "nan" end
  return tostring(value)
end

-- JSON's null; whoever holds one has loaded one of the libraries.
local function is_null(value)
  local library = package.loaded["hone.json"] or package.loaded.cjson
  return library and value == library.null
end

local function describes_itself(value)
  local metatable = debug.getmetatable(value)
  return type(metatable) == "table" and rawget(metatable, "__tostring") ~= nil
end

local function show_object(value)
  local ok, text = pcall(tostring, value)
  return ok and text or ("<%s whose __tostring fails>"):format(type(value))
end

local function show_leaf(state, value)
  local kind = type(value)
  if kind == "string" then return show_string(value, state.text) end
  if kind == "number" then return show_number(value) end
  if kind == "function" and not describes_itself(value) then return show_function(value) end
  if is_null(value) then return "null" end
  return show_object(value)
end

-- ---- tables --------------------------------------------------------------------------------------

local function is_open(value) return type(value) == "table" and not describes_itself(value) end

local TYPE_ORDER = { number = 1, string = 2, boolean = 3 }

local function key_before(a, b)
  local type_a, type_b = type(a), type(b)
  if type_a ~= type_b then return (TYPE_ORDER[type_a] or 4) < (TYPE_ORDER[type_b] or 4) end
  if TYPE_ORDER[type_a] and type_a ~= "boolean" then return a < b end
  return tostring(a) < tostring(b)
end

local function has_own_order(value)
  local metatable = getmetatable(value)
  return type(metatable) == "table" and metatable.__pairs ~= nil
end

-- Keys outside 1..n: as the table's own pairs gives them, or sorted.
local function named_keys(value, n)
  local keys = {}
  local own_order = has_own_order(value)
  local function collect()
    local iterate, subject, first = next, value, nil
    if own_order then
      iterate, subject, first = pairs(value)
    end
    for key in iterate, subject, first do
      if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
    end
  end
  if not own_order then
    collect()
  elseif not pcall(collect) then
    keys = {}
  end
  if not own_order and #keys <= KEYS_SORTED then table.sort(keys, key_before) end
  return keys
end

-- What is shown of a table: a list of {key, value, is_item}, and how many entries are left out.
local function entries_of(value, limit)
  local n, entries = rawlen(value), {}
  for i = 1, math.min(n, limit) do
    entries[i] = { i, rawget(value, i), true }
  end
  local keys = named_keys(value, n)
  for i = 1, math.min(#keys, limit - #entries) do
    local ok, item = pcall(function() return value[keys[i]] end)
    entries[#entries + 1] = { keys[i], ok and item or nil, false }
  end
  return entries, n + #keys - #entries
end

local function width_of(text) return utf8.len(text) or #text end

local function paint(state, kind, text)
  local colour = state.colours and COLOURS[kind]
  return colour and ("\27[%dm%s\27[0m"):format(colour, text) or text
end

local function show_key(state, key)
  if is_open(key) then return "[<table>] = " end
  if type(key) ~= "string" then return "[" .. show_leaf(state, key) .. "] = " end
  if key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then return key .. " = " end
  return "[" .. show_string(key, state.text) .. "] = "
end

-- What stands for a table whose contents are not shown here; nil when they are.
local function placeholder(state, value, depth)
  if state.path[value] then return "<cycle>" end
  if next(value) == nil and not has_own_order(value) then return "{}" end
  if depth > state.depth then return "{...}" end
end

local flat

local function flat_table(state, value, room, depth)
  local entries, missing = entries_of(value, state.items)
  if missing > 0 then return nil end
  if #entries == 0 then return "{}", 2 end
  local pieces, used = {}, 2 -- the braces and one space
  for i, entry in ipairs(entries) do
    local key = entry[3] and "" or show_key(state, entry[1])
    local text, n = flat(state, entry[2], room - used - 2 - width_of(key), depth + 1)
    if not text then return nil end
    pieces[i] = (key == "" and "" or paint(state, "key", key:sub(1, -4)) .. " = ") .. text
    used = used + 2 + width_of(key) + n
  end
  return "{ " .. table.concat(pieces, ", ") .. " }", used
end

-- The value on one line of at most `room` columns, and how many it takes; nil when it does not fit.
function flat(state, value, room, depth)
  if room < 1 then return nil end
  local text = is_open(value) and placeholder(state, value, depth)
  if is_open(value) and not text then
    state.path[value] = true
    local line, n = flat_table(state, value, room, depth)
    state.path[value] = nil
    if not line or n > room then return nil end
    return line, n
  end
  text = text or show_leaf(state, value)
  local n = width_of(text)
  if n > room or text:find("\n", 1, true) then return nil end
  return paint(state, type(value), text), n
end

local show

local function block(state, value, depth, indent)
  local entries, missing = entries_of(value, state.items)
  local inner = indent .. "  "
  local lines = { "{" }
  for i, entry in ipairs(entries) do
    if state.left <= 0 then
      missing = missing + #entries - i + 1
      break
    end
    state.left = state.left - 1
    local key = entry[3] and "" or show_key(state, entry[1])
    local painted = key == "" and "" or paint(state, "key", key:sub(1, -4)) .. " = "
    lines[#lines + 1] = inner .. painted .. show(state, entry[2], depth + 1, inner, width_of(key)) .. ","
  end
  if missing > 0 then lines[#lines + 1] = ("%s... (%d more)"):format(inner, missing) end
  lines[#lines + 1] = indent .. "}"
  return table.concat(lines, "\n")
end

function show(state, value, depth, indent, taken)
  local line = flat(state, value, state.width - #indent - taken - 1, depth)
  if line then return line end
  if not is_open(value) then
    return paint(state, type(value), (show_leaf(state, value):gsub("\n", "\n" .. indent)))
  end
  local instead = placeholder(state, value, depth)
  if instead then return instead end
  state.path[value] = true
  local text = block(state, value, depth, indent)
  state.path[value] = nil
  return text
end

function inspect.render(value, options)
  local state = { path = {} }
  for name, default in pairs(DEFAULTS) do
    state[name] = options and options[name]
    if state[name] == nil then state[name] = default end
  end
  state.left = state.entries
  return show(state, value, 1, "", 0)
end

inspect.quote = quote

return inspect
