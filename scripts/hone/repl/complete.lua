--- Completion of what is typed at the prompt: names, fields, methods, modules, files.
local M = {}

local SHOWN = 120 -- candidates listed at most

local KEYWORDS = {
  "and",
  "break",
  "do",
  "else",
  "elseif",
  "end",
  "false",
  "for",
  "function",
  "goto",
  "if",
  "in",
  "local",
  "nil",
  "not",
  "or",
  "repeat",
  "return",
  "then",
  "true",
  "until",
  "while",
}

-- ---- candidates ----------------------------------------------------------------------------------

local function starts_with(text, prefix) return text:sub(1, #prefix) == prefix end

-- Names in a folder, directories with a slash; none when it cannot be read.
local function names_in(folder)
  local ok, lfs = pcall(require, "lfs")
  if not ok or lfs.attributes(folder, "mode") ~= "directory" then return {} end
  local names = {}
  local read, iterate, state = pcall(lfs.dir, folder)
  if not read then return {} end
  for name in iterate, state do
    if name ~= "." and name ~= ".." then
      local is_folder = lfs.attributes(folder .. "/" .. name, "mode") == "directory"
      names[#names + 1] = is_folder and name .. "/" or name
    end
  end
  return names
end

local function file_candidates(typed)
  local folder, start = typed:match("^(.*/)([^/]*)$")
  local found = {}
  for _, name in ipairs(names_in(folder or ".")) do
    local is_hidden = name:sub(1, 1) == "."
    if not is_hidden or starts_with(start or typed, ".") then found[#found + 1] = (folder or "") .. name end
  end
  return found
end

-- Modules below one template of a search path, as "dir/?.lua" gives them for "hone.js".
local function modules_at(template, parent, found)
  local before, after = template:match("^([^?]*)%?([^?]*)$")
  if not before then return end
  for _, name in ipairs(names_in(before .. parent:gsub("%.", "/"))) do
    local module = name:sub(-#after) == after and name:sub(1, -#after - 1) or name:match("^(.*)/$")
    if module and module:find("^[%w_%-]+$") then found[parent .. module] = true end
  end
end

local function module_candidates(typed)
  local parent, found = typed:match("^(.*%.)[^.]*$") or "", {}
  for _, loaded in ipairs { package.loaded, package.preload } do
    for name in pairs(loaded) do
      found[name] = true
    end
  end
  for template in (package.path .. ";" .. package.cpath):gmatch("[^;]+") do
    modules_at(template, parent, found)
  end
  local names = {}
  for name in pairs(found) do
    names[#names + 1] = name
  end
  return names
end

local function index_of(value)
  local metatable = debug.getmetatable(value)
  return type(metatable) == "table" and rawget(metatable, "__index") or nil
end

-- Names of the fields of a value and of what it inherits from; with `only` just the functions.
local function field_names(value, only_functions)
  local found, depth = {}, 0
  while value ~= nil and depth < 10 do
    if type(value) == "table" then
      for key, field in next, value do
        local is_name = type(key) == "string" and key:find("^[%a_][%w_]*$")
        if is_name and (not only_functions or type(field) == "function") then found[key] = true end
      end
    end
    value, depth = index_of(value), depth + 1
  end
  return found
end

-- The libraries that the table `hone` loads on first use.
local function add_libraries(found)
  for _, name in ipairs(module_candidates("hone.")) do
    local library = name:match("^hone%.([%a_][%w_]*)$")
    if library and library ~= "init" then found[library] = true end
  end
end

-- The value of "a.b.c" below the globals; nil when there is none.
local function value_of(path, globals)
  local value = globals
  for name in path:gmatch("[^.:]+") do
    local ok, field = pcall(function() return value[name] end)
    if not ok then return nil end
    value = field
  end
  return value
end

local function name_candidates(typed, globals)
  local path, separator = typed:match("^(.*)([.:])[^.:]*$")
  local value = path and value_of(path, globals) or nil
  local found = field_names(path and value or globals, separator == ":")
  if path and value == nil then return {} end
  if value ~= nil and value == package.loaded.hone then add_libraries(found) end
  local names = {}
  for name in pairs(found) do
    names[#names + 1] = path and path .. separator .. name or name
  end
  if not path then table.move(KEYWORDS, 1, #KEYWORDS, #names + 1, names) end
  return names
end

-- ---- the line ------------------------------------------------------------------------------------

-- The text of the string that is open at the end of the line, and what stands before it.
local function open_string(line)
  local position = 1
  while true do
    local start, _, mark = line:find("([\"'])", position)
    if not start then return nil end
    local stop = start + 1
    while stop <= #line and line:sub(stop, stop) ~= mark do
      stop = stop + (line:sub(stop, stop) == "\\" and 2 or 1)
    end
    if stop > #line then return line:sub(start + 1), line:sub(1, start - 1) end
    position = stop + 1
  end
end

local function candidates(line, globals)
  local text, before = open_string(line)
  if text and before:find("require%s*%(?%s*$") then return text, module_candidates(text) end
  if text then return text, file_candidates(text) end
  local earlier, typed = line:match("^(.-)([%a_][%w_.:]*)$")
  if not typed or earlier:find("[%)%]\"'][.:]$") then return nil end -- the value before it is not known
  typed = typed:match("%.%.([^.].*)$") or typed -- a name behind the operator ..
  return typed, name_candidates(typed, globals)
end

local function common_prefix(names)
  local common = names[1]
  for _, name in ipairs(names) do
    while not starts_with(name, common) do
      common = common:sub(1, -2)
    end
  end
  return common
end

-- The last part of each name, in columns.
local function listing(names, width)
  local shown, widest = {}, 0
  for i = 1, math.min(#names, SHOWN) do
    shown[i] = names[i]:match("([^./:]+/?)$") or names[i]
    widest = math.max(widest, #shown[i] + 2)
  end
  local per_line, lines = math.max(1, width // widest), {}
  for i = 1, #shown, per_line do
    local row = {}
    for j = i, math.min(i + per_line - 1, #shown) do
      row[#row + 1] = shown[j] .. (" "):rep(widest - #shown[j])
    end
    lines[#lines + 1] = (table.concat(row):gsub("%s+$", ""))
  end
  if #names > SHOWN then lines[#lines + 1] = ("... (%d more)"):format(#names - SHOWN) end
  return table.concat(lines, "\n")
end

---What the Tab key does at the end of `line`.
---@param line string
---@param globals table
---@param width integer columns of the terminal
---@return string? insert
---@return string? show lines to print below
function M.complete(line, globals, width)
  if line:find("^%s*$") then return "  " end
  local typed, all = candidates(line, globals)
  local names = {}
  for _, name in ipairs(all or {}) do
    if starts_with(name, typed) then names[#names + 1] = name end
  end
  if #names == 0 then return nil end
  local common = common_prefix(names)
  if #names == 1 or #common > #typed then return common:sub(#typed + 1) end
  table.sort(names)
  return nil, listing(names, width)
end

return M
