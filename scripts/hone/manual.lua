--- Manual pages of skills, made from their tables: for a terminal, for docs/ and for agents.
local manual = {}

local params = require "hone.params"
local text = require "hone.text"

local PAGE_COLUMNS = 96

-- The text flows anew, whatever its own line breaks.
local function wrapped(s, columns, indent) return text.wrap((s:gsub("%s+", " ")), columns, indent) end

local function paragraphs(s, columns)
  local done = {}
  for _, block in ipairs(text.split((s:gsub("\n[ \t]*\n+", "\0")), "\0")) do
    if block:find("%S") then done[#done + 1] = wrapped(text.trim(block), columns) end
  end
  return table.concat(done, "\n\n")
end

local function default_text(value)
  if type(value) ~= "table" then return tostring(value) end
  local words = {}
  for i, item in ipairs(value) do
    words[i] = tostring(item)
  end
  return table.concat(words, ",")
end

-- "list of integer, at least 1, default 1,64"
local function facts(param)
  local element = param.type == "list" and params.element(param) or param
  local said = { param.type == "list" and "list of " .. element.type or param.type }
  if element.type == "choice" then said[1] = said[1] .. ": " .. table.concat(element.choices, ", ") end
  if element.min then said[#said + 1] = "at least " .. element.min end
  if element.max then said[#said + 1] = "at most " .. element.max end
  if param.required then said[#said + 1] = "required" end
  if param.default ~= nil then said[#said + 1] = "default " .. default_text(param.default) end
  return table.concat(said, "; ")
end

local function flag_text(param)
  local flag = params.flag(param)
  if param.type == "boolean" then
    flag = param.default == true and "--[no-]" .. flag:sub(3) or flag
  else
    flag = flag .. " " .. params.placeholder(param)
  end
  return param.short and ("-%s, %s"):format(param.short, flag) or flag
end

local function usage_word(param)
  if param.positional then
    local word = param.name:upper() .. (param.type == "list" and "..." or "")
    return param.required and word or "[" .. word .. "]"
  end
  local word = flag_text(param):gsub("^%-%a, ", "")
  return param.required and word or "[" .. word .. "]"
end

function manual.usage(name, loaded)
  local head = "usage: hone " .. name
  local lines, line = {}, head
  local words = {}
  for _, param in ipairs(loaded.params) do
    words[#words + 1] = usage_word(param)
  end
  words[#words + 1] = "[--json] [--help]"
  for _, word in ipairs(words) do
    if #line + 1 + #word > PAGE_COLUMNS then
      lines[#lines + 1] = line
      line = (" "):rep(#head)
    end
    line = line .. " " .. word
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local COMMON = {
  { name = "json", type = "boolean", help = "print the result as JSON on stdout, and nothing else there" },
  { name = "help", type = "boolean", short = "h", help = "print this page" },
}

local function flag_entry(param)
  local head = "  " .. (param.positional and param.name:upper() .. ", " or "") .. flag_text(param)
  local about = param.help:gsub("%.$", "")
  return head .. "\n" .. wrapped(about .. " (" .. facts(param) .. ")", PAGE_COLUMNS, "      ")
end

function manual.page(name, loaded)
  local parts = { ("hone %s - %s"):format(name, loaded.summary), manual.usage(name, loaded) }
  if loaded.description then parts[#parts + 1] = paragraphs(loaded.description, PAGE_COLUMNS) end
  local flags = {}
  for _, param in ipairs(loaded.params) do
    flags[#flags + 1] = flag_entry(param)
  end
  for _, param in ipairs(COMMON) do
    flags[#flags + 1] = flag_entry(param)
  end
  parts[#parts + 1] = "Parameters:\n" .. table.concat(flags, "\n")
  if loaded.outputs then
    local outputs = {}
    for _, output in ipairs(loaded.outputs) do
      outputs[#outputs + 1] = "  " .. output.name .. "\n" .. wrapped(output.help, PAGE_COLUMNS, "      ")
    end
    parts[#parts + 1] = "Outputs:\n" .. table.concat(outputs, "\n")
  end
  if loaded.examples then parts[#parts + 1] = "Examples:\n  " .. table.concat(loaded.examples, "\n  ") end
  return table.concat(parts, "\n\n")
end

local function cell(s) return (s:gsub("|", "\\|"):gsub("\n", " ")) end

local function flag_cell(param)
  if param.positional then
    return ("`%s` (positional or `%s`)"):format(param.name:upper(), params.flag(param))
  end
  return cell("`" .. flag_text(param):gsub("^(%-%a), ", "%1`, `") .. "`")
end

local function markdown_sections(loaded)
  local parts = {}
  local rows = { "| parameter | type | what it is |", "|---|---|---|" }
  for _, list in ipairs { loaded.params, COMMON } do
    for _, param in ipairs(list) do
      rows[#rows + 1] = ("| %s | %s | %s |"):format(flag_cell(param), cell(facts(param)), cell(param.help))
    end
  end
  parts[#parts + 1] = "## Parameters\n\n" .. table.concat(rows, "\n")
  if loaded.outputs then
    local outputs = {}
    for _, output in ipairs(loaded.outputs) do
      outputs[#outputs + 1] = ("- `%s`: %s"):format(output.name, output.help)
    end
    parts[#parts + 1] = "## Outputs\n\n" .. table.concat(outputs, "\n")
  end
  if loaded.examples then
    parts[#parts + 1] = "## Examples\n\n```bash\n" .. table.concat(loaded.examples, "\n") .. "\n```"
  end
  return parts
end

local function lua_call(name, loaded)
  local words = {}
  for _, param in ipairs(loaded.params) do
    if param.required then words[#words + 1] = param.name .. " = ..." end
  end
  local args = #words == 0 and "{}" or "{ " .. table.concat(words, ", ") .. " }"
  return ('local hone = require "hone"\nlocal result, why = hone.skills["%s"]%s'):format(name, args)
end

local function sentence(summary) return (summary:gsub("%.$", ""):gsub("^%l", string.upper)) end

function manual.markdown(name, loaded)
  local parts = { ("# hone %s\n\n%s."):format(name, sentence(loaded.summary)) }
  parts[#parts + 1] = "```\n" .. manual.usage(name, loaded) .. "\n```"
  parts[#parts + 1] = loaded.description and paragraphs(loaded.description, 110)
  table.move(markdown_sections(loaded), 1, 3, #parts + 1, parts)
  parts[#parts + 1] = "## From Lua\n\n```lua\n" .. lua_call(name, loaded) .. "\n```"
  return table.concat(parts, "\n\n") .. "\n"
end

local AGENT_NOTE = [[
With `--json` the result is JSON on stdout; everything else goes to stderr. Exit status: 0 done; 1 it could
not be done, and one line on stderr says why and what to do; 2 the command line was wrong.]]

function manual.agent(name, loaded)
  -- A JSON string is a YAML string too, whatever it holds.
  local about =
    require("hone.json").encode(("%s. Use it by running `hone %s`."):format(sentence(loaded.summary), name))
  local parts = { ("---\nname: %s\ndescription: %s\n---"):format(name, about), "# " .. name }
  parts[#parts + 1] = loaded.description and paragraphs(loaded.description, 110)
  local usage = ("\n" .. manual.usage(name, loaded)):gsub("\n.......", "\n"):sub(2) -- without "usage: "
  parts[#parts + 1] = "## How to run it\n\n```bash\n" .. usage .. "\n```"
  parts[#parts + 1] = AGENT_NOTE
  table.move(markdown_sections(loaded), 1, 3, #parts + 1, parts)
  return table.concat(parts, "\n\n") .. "\n"
end

return manual
