--- A Python file's top level, told from its text: where its functions and classes start and end.
---
--- Most of a module is functions and classes that nobody asks for. So only what is left of the text
--- without them is parsed at first, and each of them when it is needed. The text is split at lines that
--- start in the first column outside of strings. Where that is not certain there is no outline, and the
--- whole file is parsed; a piece that does not parse on its own makes its file be parsed whole, too.
local outline = {}

local NEWLINE = 10

---Where triple-quoted strings are: a list of { from, to }; nil when that is not certain.
local function long_strings(text)
  local ranges, at = {}, 1
  local double, single = text:find('"""', 1, true), text:find("'''", 1, true)
  while double or single do
    local from = math.min(double or math.huge, single or math.huge)
    local quote = from == double and '"""' or "'''"
    local line = from
    while line > 1 and text:byte(line - 1) ~= NEWLINE do
      line = line - 1
    end
    if text:sub(math.max(line, at), from - 1):find("[#'\"]") then return nil end
    local _, to = text:find(quote, from + 3, true)
    if not to or text:sub(from, to):find("\\", 1, true) and text:sub(from, to):find('\\"', 1, true) then
      return nil
    end
    ranges[#ranges + 1] = { from, to }
    at = to + 1
    if double and double < at then double = text:find('"""', at, true) end
    if single and single < at then single = text:find("'''", at, true) end
  end
  return ranges
end

-- A line whose first character neither goes on with a statement nor says nothing.
local STARTING = "\n()[^ \t\n\r#%])}]"

local function count_lines(text, from, to)
  local _, count = text:sub(from, to):gsub("\n", "")
  return count
end

---The lines that start a statement: { { at, line } }, with one behind the end.
local function statement_starts(text, strings)
  local starts, line, counted, i = {}, 1, 1, 1
  local function add(at)
    line, counted = line + count_lines(text, counted, at - 1), at
    starts[#starts + 1] = { at, line }
  end
  local first = ("\n" .. text:sub(1, 1)):find(STARTING)
  if first then add(1) end
  for at in text:gmatch(STARTING) do
    while strings[i] and strings[i][2] < at do
      i = i + 1
    end
    if not (strings[i] and strings[i][1] < at) then add(at) end
  end
  add(#text + 1)
  return starts
end

local function definition_name(text, at)
  return text:match("^def%s+([%w_]+)", at)
    or text:match("^class%s+([%w_]+)", at)
    or text:match("^async%s+def%s+([%w_]+)", at)
end

---Split a module's text.
---@return { rest: string, definitions: { name: string, line: integer, from: integer, to: integer }[] }?
--- `rest` is the text with an empty line for each line of the definitions
function outline.of(text)
  local strings = long_strings(text)
  if not strings or text:find("\\\n", 1, true) then return nil end
  local starts = statement_starts(text, strings)
  local rest, definitions = {}, {}
  local kept, i = 1, 1
  while i < #starts do
    local from, line = starts[i][1], starts[i][2]
    while text:byte(starts[i][1]) == 64 and starts[i + 1] do
      i = i + 1
    end -- @decorators
    local name = definition_name(text, starts[i][1])
    if name then
      local to, after = starts[i + 1][1] - 1, starts[i + 1][2]
      definitions[#definitions + 1] = { name = name, line = line, from = from, to = to }
      rest[#rest + 1] = text:sub(kept, from - 1)
      rest[#rest + 1] = ("\n"):rep(after - line)
      kept = to + 1
    elseif starts[i][1] ~= from then
      return nil -- a decorator of nothing
    end
    i = i + 1
  end
  rest[#rest + 1] = text:sub(kept)
  return { rest = table.concat(rest), definitions = definitions }
end

return outline
