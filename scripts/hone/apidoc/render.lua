--- Turn documentation entries into text for a terminal and into Markdown.
local render = {}

-- ---- signatures -------------------------------------------------------------------------------

local function parameter_list(params)
  local names = {}
  for i, param in ipairs(params) do
    names[i] = param.name .. (param.optional and "?" or "")
  end
  return table.concat(names, ", ")
end

local function return_list(returns)
  local names = {}
  for i, item in ipairs(returns) do
    names[i] = item.name or item.type
  end
  return table.concat(names, ", ")
end

-- "json.decode(text, options?) -> value, message"
function render.signature(entry)
  if entry.kind == "value" then return ("%s: %s"):format(entry.name, entry.type) end
  if not entry.params then return entry.name end
  local call = ("%s(%s)"):format(entry.name, parameter_list(entry.params))
  return #entry.returns > 0 and call .. " -> " .. return_list(entry.returns) or call
end

-- ---- text -------------------------------------------------------------------------------------

-- Breaks one paragraph into lines of at most `width` characters; lines after the first get `hang` spaces.
local function fill(text, width, hang)
  local lines, line, used = {}, nil, 0
  for word in text:gmatch("%S+") do
    local length = utf8.len(word) or #word
    if line and used + 1 + length > width then
      table.insert(lines, line)
      line, used = (" "):rep(hang) .. word, hang + length
    else
      line, used = line and line .. " " .. word or word, (line and used + 1 or 0) + length
    end
  end
  if line then table.insert(lines, line) end
  return lines
end

-- Splits prose into { "code"|"item"|"paragraph"|"blank", text }: indented lines are code, kept as they are.
local function blocks(prose)
  local list = {}
  local function last() return list[#list] end
  for line in (prose .. "\n"):gmatch("(.-)\n") do
    if line:find("^%s*$") then
      table.insert(list, { "blank", "" })
    elseif line:find("^    ") and not (last() and last()[1] == "item") then
      table.insert(list, { "code", line })
    elseif line:find("^%s*[-*] ") then
      table.insert(list, { "item", line })
    elseif last() and (last()[1] == "item" or last()[1] == "paragraph") then
      last()[2] = last()[2] .. " " .. line:gsub("^%s+", "")
    else
      table.insert(list, { "paragraph", line })
    end
  end
  return list
end

local function append(lines, more, indent)
  for _, line in ipairs(more) do
    table.insert(lines, line == "" and "" or indent .. line)
  end
end

local function add_prose(lines, prose, width, indent)
  if prose == "" then return end
  for _, block in ipairs(blocks(prose)) do
    local kind, text = block[1], block[2]
    if kind == "blank" or kind == "code" then
      append(lines, { text }, indent)
    else
      append(lines, fill(text, width - #indent, kind == "item" and 2 or 0), indent)
    end
  end
end

-- "name: type, text" rows below a heading.
local function add_items(lines, heading, items, width)
  if #items == 0 then return end
  append(lines, { "", heading }, "")
  for _, item in ipairs(items) do
    local name = item.name and item.name .. (item.optional and "?" or "") .. ": " or ""
    local text = item.text ~= "" and ", " .. item.text or ""
    append(lines, fill(name .. item.type .. text, width - 2, 4), "  ")
  end
end

-- The first sentence of a text, on one line.
function render.summary(text)
  local first = text:match("^(.-)\n%s*\n") or text
  first = first:gsub("%s+", " ")
  return (first:match("^(.-[.:])%s") or first):gsub("[:.]$", "")
end

-- A signature and what it is about, in two lines each, below a heading.
local function add_names(lines, heading, entries, width)
  if #entries == 0 then return end
  append(lines, { "", heading }, "")
  for _, entry in ipairs(entries) do
    append(lines, fill(render.signature(entry), width - 2, 4), "  ")
    append(lines, fill(render.summary(entry.text), width - 6, 0), "      ")
  end
end

function render.text(entry, width)
  width = math.max(width or 80, 20)
  local lines = fill(render.signature(entry), width, 4)
  if entry.text ~= "" then table.insert(lines, "") end
  add_prose(lines, entry.text, width, "")
  if entry.kind == "library" then
    add_names(lines, "values", entry.values, width)
    add_names(lines, "functions", entry.functions, width)
    add_names(lines, "classes", entry.classes, width)
  elseif entry.kind == "class" then
    add_items(lines, "fields", entry.fields, width)
    add_names(lines, "methods", entry.methods, width)
  elseif entry.params then
    add_items(lines, "parameters", entry.params, width)
    add_items(lines, "returns", entry.returns, width)
  end
  return table.concat(lines, "\n")
end

-- ---- Markdown ---------------------------------------------------------------------------------

local function code(text) return "`" .. text .. "`" end

local function bullet(item)
  local name = item.name and code(item.name .. (item.optional and "?" or "")) .. " " or ""
  return ("- %s%s%s"):format(name, code(item.type), item.text ~= "" and " " .. item.text or "")
end

local function add_bullets(lines, heading, items)
  if #items == 0 then return end
  append(lines, { heading, "" }, "")
  for _, item in ipairs(items) do
    table.insert(lines, bullet(item))
  end
  table.insert(lines, "")
end

local function add_text(lines, text)
  if text ~= "" then append(lines, { text, "" }, "") end
end

local function add_function(lines, entry, heading)
  append(lines, { ("%s %s(%s)"):format(heading, entry.name, parameter_list(entry.params)), "" }, "")
  add_text(lines, entry.text)
  add_bullets(lines, "Parameters:", entry.params)
  add_bullets(lines, "Returns:", entry.returns)
end

local function add_class(lines, class)
  append(lines, { "## " .. class.name, "" }, "")
  add_text(lines, class.text)
  add_bullets(lines, "Fields:", class.fields)
  for _, method in ipairs(class.methods) do
    add_function(lines, method, "###")
  end
end

local function add_aliases(lines, aliases)
  if #aliases == 0 then return end
  append(lines, { "## Types", "" }, "")
  for _, alias in ipairs(aliases) do
    table.insert(
      lines,
      ("- %s: %s%s"):format(
        code(alias.name),
        code(alias.type),
        alias.text ~= "" and " " .. alias.text:gsub("%s+", " ") or ""
      )
    )
  end
  table.insert(lines, "")
end

local function add_values(lines, values)
  if #values == 0 then return end
  append(lines, { "## Values", "" }, "")
  for _, value in ipairs(values) do
    append(lines, { ("### %s"):format(value.name), "", "Type: " .. code(value.type), "" }, "")
    add_text(lines, value.text)
  end
end

function render.markdown(library)
  local lines = { "# " .. library.name, "" }
  add_text(lines, library.text)
  append(
    lines,
    { "```lua", ('local %s = require "%s"'):format(library.variable, library.name), "```", "" },
    ""
  )
  add_values(lines, library.values)
  if #library.functions > 0 then append(lines, { "## Functions", "" }, "") end
  for _, entry in ipairs(library.functions) do
    add_function(lines, entry, "###")
  end
  for _, class in ipairs(library.classes) do
    add_class(lines, class)
  end
  add_aliases(lines, library.aliases)
  return (table.concat(lines, "\n"):gsub("\n+$", "") .. "\n")
end

return render
