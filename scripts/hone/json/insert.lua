--- Add one value to a JSON text and leave every other byte as it was.
-- All scanning is done on a text that the decoder has accepted, so nothing is checked twice.
local core = require "hone.core.json"

local M = {}

local OPENING = { ["["] = true, ["{"] = true }
local CLOSING = { ["]"] = true, ["}"] = true }

local function skip_space(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

-- Position after the string that opens at `at`.
local function string_end(text, at)
  local i = at + 1
  while true do
    i = text:find('["\\]', i)
    if text:sub(i, i) == '"' then return i + 1 end
    i = i + 2
  end
end

local function container_end(text, at)
  local depth = 0
  repeat
    at = text:find('[%[%]{}"]', at)
    local c = text:sub(at, at)
    if c == '"' then
      at = string_end(text, at)
    else
      depth = depth + (OPENING[c] and 1 or -1)
      at = at + 1
    end
  until depth == 0
  return at
end

-- Position after the value that begins at `at`.
local function value_end(text, at)
  local c = text:sub(at, at)
  if c == '"' then return string_end(text, at) end
  if OPENING[c] then return container_end(text, at) end
  return text:find("[%s,%]}]", at) or #text + 1
end

-- The items of the list or object that opens at `open`, and the position of its closing bracket.
-- Of an item: `first` and `last` byte, `value` where its value begins, and of a field also its `key`
-- and `colon`, the bytes between key and value.
local function items_of(text, open)
  local items, at = {}, skip_space(text, open + 1)
  local named = text:sub(open, open) == "{"
  while not CLOSING[text:sub(at, at)] do
    local item = { first = at, value = at }
    if named then
      local after = string_end(text, at)
      item.key = core.decode(text:sub(at, after - 1))
      item.value = skip_space(text, skip_space(text, after) + 1)
      item.colon = text:sub(after, item.value - 1)
    end
    at = value_end(text, item.value)
    item.last = at - 1
    items[#items + 1] = item
    at = skip_space(text, at)
    if text:sub(at, at) == "," then at = skip_space(text, at + 1) end
  end
  return items, at
end

local function describe(path)
  local parts = {}
  for i, step in ipairs(path) do
    if math.type(step) == "integer" then
      parts[i] = ("[%d]"):format(step)
    else
      parts[i] = step:find("^[%a_][%w_]*$") and "." .. step or ('["%s"]'):format(step)
    end
  end
  return #parts > 0 and table.concat(parts) or "the root"
end

local function item_at(text, open, step)
  if not OPENING[text:sub(open, open)] then return nil end
  local items = items_of(text, open)
  if math.type(step) == "integer" and text:sub(open, open) == "[" then
    return items[step < 0 and #items + 1 + step or step]
  end
  for _, item in ipairs(items) do
    if item.key == step then return item end
  end
  return nil
end

-- Follow the path; the result has the form of an item.
local function locate(text, path)
  local start = skip_space(text, 1)
  local item = { first = start, value = start }
  for _, step in ipairs(path) do
    item = item_at(text, item.value, step)
    if not item then return nil end
  end
  return item
end

-- How the text is laid out: its line break, one level of indentation, and whether a space follows
-- `:` and `,`. A guess from the first place that shows it: only the looks depend on it.
local function style_of(text)
  local colon = text:match('"[ \t]*:([ \t]?)')
  return {
    line_break = text:find("\r\n", 1, true) and "\r\n" or "\n",
    unit = text:match("\n([ \t]+)%S") or "  ",
    spaced = (colon or text:match(",([ \t]?)") or "") ~= "",
  }
end

local function encode_one_line(value, style) return core.encode(value, { spaced = style.spaced }) end

-- `indent` is what the line that the value begins on is indented by.
local function encode_lines(value, style, indent)
  local tabs = style.unit:sub(1, 1) == "\t"
  local text = core.encode(value, { indent = tabs and 1 or math.min(#style.unit, 16) })
  return (
    text:gsub(
      "\n( *)",
      function(spaces) return style.line_break .. indent .. (tabs and ("\t"):rep(#spaces) or spaces) end
    )
  )
end

-- White space that precedes byte `at`.
local function space_before(text, at)
  local first = at
  while first > 1 and text:find("^[ \t\r\n]", first - 1) do
    first = first - 1
  end
  return text:sub(first, at - 1)
end

local function after_last(text, items, value, name, style)
  local last = items[#items]
  local space = space_before(text, last.first)
  local lines = space:find("\n", 1, true)
  if #items == 1 and not lines then space = style.spaced and " " or "" end
  local sibling = text:sub(last.value, last.last)
  local sibling_in_one_line = sibling:find("^[%[{]..") and not sibling:find("\n", 1, true)
  local encoded
  if lines and not sibling_in_one_line then
    encoded = encode_lines(value, style, space:match("[^\n]*$"))
  else
    encoded = encode_one_line(value, style)
  end
  if name then encoded = name .. last.colon .. encoded end
  return text:sub(1, last.last) .. "," .. space .. encoded .. text:sub(last.last + 1)
end

local function into_empty(text, item, close, value, name, style)
  local open = item.value
  local before = space_before(text, item.first)
  local lines = before:find("\n", 1, true) or text:sub(open, close):find("\n", 1, true)
  local indent = before:match("[^\n]*$")
  local prefix = name and name .. (style.spaced and ": " or ":") or ""
  local inside
  if lines then
    local deeper = indent .. style.unit
    inside = style.line_break
      .. deeper
      .. prefix
      .. encode_lines(value, style, deeper)
      .. style.line_break
      .. indent
  else
    inside = prefix .. encode_one_line(value, style)
  end
  return text:sub(1, open) .. inside .. text:sub(close)
end

local function check_container(bracket, items, key)
  if bracket ~= "[" and bracket ~= "{" then return nil, "it is neither a list nor an object" end
  if bracket == "[" and key ~= nil then return nil, "it is a list, which has no keys" end
  if bracket == "{" and key == nil then return nil, "it is an object, which needs a key" end
  for _, item in ipairs(items) do
    if key ~= nil and item.key == key then return nil, ("it has the key %q already"):format(key) end
  end
  return true
end

function M.insert(text, path, value, key)
  local _, why, position = core.decode(text)
  if position then return nil, why end
  local item = locate(text, path)
  if not item then return nil, ("cannot insert at %s: there is no such value"):format(describe(path)) end
  local bracket, items, close = text:sub(item.value, item.value), {}, nil
  if OPENING[bracket] then
    items, close = items_of(text, item.value)
  end
  local fits
  fits, why = check_container(bracket, items, key)
  if not fits then return nil, ("cannot insert at %s: %s"):format(describe(path), why) end
  local name, style = key and core.encode(key), style_of(text)
  if #items == 0 then return into_empty(text, item, close, value, name, style) end
  return after_last(text, items, value, name, style)
end

return M
