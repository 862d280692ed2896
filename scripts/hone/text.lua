--- Text for people: trimming, splitting, wrapping, aligning, counting, guessing what was meant.
local text = {}

local function check_string(value, position, name)
  if type(value) == "string" then return end
  error(("bad argument #%d to '%s' (string expected, got %s)"):format(position, name, type(value)), 3)
end

function text.trim(s)
  check_string(s, 1, "trim")
  return s:match("^%s*$") and "" or s:match("^%s*(.*%S)")
end

function text.split(s, separator, limit)
  check_string(s, 1, "split")
  check_string(separator, 2, "split")
  if separator == "" then error("bad argument #2 to 'split' (empty separator)", 2) end
  local pieces, start = {}, 1
  while not limit or #pieces + 1 < limit do
    local first, last = s:find(separator, start, true)
    if not first then break end
    pieces[#pieces + 1] = s:sub(start, first - 1)
    start = last + 1
  end
  pieces[#pieces + 1] = s:sub(start)
  return pieces
end

function text.lines(s)
  check_string(s, 1, "lines")
  local lines = {}
  for line, ending in s:gmatch("([^\n]*)(\n?)") do
    if line ~= "" or ending ~= "" then lines[#lines + 1] = line:gsub("\r$", "") end
  end
  return lines
end

-- Columns a text takes on a terminal, taking every character as one column wide.
local function width_of(s) return utf8.len(s) or #s end

local function wrap_paragraph(paragraph, width, indent, out)
  local line = nil
  for word in paragraph:gmatch("%S+") do
    if not line then
      line = indent .. word
    elseif width_of(line) + 1 + width_of(word) <= width then
      line = line .. " " .. word
    else
      out[#out + 1] = line
      line = indent .. word
    end
  end
  out[#out + 1] = line or ""
end

function text.wrap(s, width, indent)
  check_string(s, 1, "wrap")
  width = width or 80
  if type(width) ~= "number" or width < 1 then
    error("bad argument #2 to 'wrap' (width must be positive)", 2)
  end
  local out = {}
  for _, paragraph in ipairs(text.lines(s)) do
    wrap_paragraph(paragraph, width, indent or "", out)
  end
  return table.concat(out, "\n")
end

function text.pad(s, width, side)
  check_string(s, 1, "pad")
  local missing = math.max(0, width - width_of(s))
  if side == "left" then return (" "):rep(missing) .. s end
  if side == "center" then return (" "):rep(missing // 2) .. s .. (" "):rep(missing - missing // 2) end
  return s .. (" "):rep(missing)
end

function text.plural(count, one, many)
  return ("%s %s"):format(count, count == 1 and one or many or one .. "s")
end

local UNITS = { "B", "kB", "MB", "GB", "TB", "PB" }

function text.bytes(count)
  if type(count) ~= "number" then
    error(("bad argument #1 to 'bytes' (number expected, got %s)"):format(type(count)), 2)
  end
  if math.abs(count) < 1000 then return ("%d B"):format(count // 1) end
  local unit = 1
  while math.abs(count) >= 999.95 and unit < #UNITS do -- what would be printed as 1000.0
    count = count / 1000
    unit = unit + 1
  end
  return ("%.1f %s"):format(count, UNITS[unit])
end

-- Edits that turn a into b: letters inserted, deleted, replaced, or two neighbours swapped.
local function distance(a, b)
  local before_last, last = {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      local swapped = i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
      if swapped then row[j] = math.min(row[j], before_last[j - 2] + 1) end
    end
    before_last, last = last, row
  end
  return last[#b]
end

local function plain(word) return (word:lower():gsub("_", "-")) end

function text.nearest(word, candidates, most)
  check_string(word, 1, "nearest")
  local typed = plain(word)
  local best, least = nil, (most or math.max(1, #typed // 3)) + 1 -- more edits than that is another word
  for _, candidate in ipairs(candidates) do
    local edits = distance(typed, plain(candidate))
    if edits < least and edits < #typed then
      best, least = candidate, edits
    end
  end
  return best
end

--- What stands between blanks, as a list.
function text.words(s)
  local list = {}
  for word in s:gmatch "%S+" do
    list[#list + 1] = word
  end
  return list
end

--- The text with every byte that is no UTF-8 replaced by U+FFFD.
function text.to_utf8(s)
  local bad = select(2, utf8.len(s))
  if not bad then return s end
  local parts, from = {}, 1
  while bad do
    parts[#parts + 1] = s:sub(from, bad - 1) .. "\u{FFFD}"
    from = bad + 1
    bad = select(2, utf8.len(s, from))
  end
  parts[#parts + 1] = s:sub(from)
  return table.concat(parts)
end

return text
