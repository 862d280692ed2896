--- What a skill takes: one table, read from the command line and from Lua alike.
local params = {}

local RESERVED = { json = true, help = true }

local FIELDS = {
  "name",
  "type",
  "default",
  "required",
  "help",
  "choices",
  "positional",
  "short",
  "of",
  "min",
  "max",
}

local function in_range(param, n)
  if param.min and n < param.min then return nil, ("must be at least %s, got %s"):format(param.min, n) end
  if param.max and n > param.max then return nil, ("must be at most %s, got %s"):format(param.max, n) end
  return n
end

local function did_you_mean(word, candidates)
  local close = params.nearest(word, candidates)
  return close and ("; did you mean %s?"):format(close) or ""
end

-- read: a word of the command line -> value; check: a value -> the value to use. Both | nil, "must be ...".
local types = {}

types.string = {
  shown = "TEXT",
  read = function(_, word) return word end,
  check = function(_, value)
    if type(value) ~= "string" then return nil, "must be a string, got " .. type(value) end
    return value
  end,
}

types.integer = {
  shown = "N",
  read = function(_, word)
    if not word:find("^[+-]?%d+$") then return nil, ("must be an integer, got '%s'"):format(word) end
    local n = math.tointeger(tonumber((word:gsub("^%+", ""))))
    if not n then return nil, ("must be an integer of 64 bits, got '%s'"):format(word) end
    return n
  end,
  check = function(param, value)
    local n = math.type(value) and math.tointeger(value)
    if not n then
      return nil, ("must be an integer, got %s"):format(math.type(value) and tostring(value) or type(value))
    end
    return in_range(param, n)
  end,
}

types.number = {
  shown = "X",
  read = function(_, word)
    local n = tonumber(word)
    if not n then return nil, ("must be a number, got '%s'"):format(word) end
    return n
  end,
  check = function(param, value)
    if type(value) ~= "number" then return nil, "must be a number, got " .. type(value) end
    return in_range(param, value)
  end,
}

types.boolean = {
  shown = "true|false",
  read = function(_, word)
    if word ~= "true" and word ~= "false" then
      return nil, ("must be true or false, got '%s'"):format(word)
    end
    return word == "true"
  end,
  check = function(_, value)
    if type(value) ~= "boolean" then return nil, "must be true or false, got " .. tostring(value) end
    return value
  end,
}

types.choice = {
  shown = function(param) return table.concat(param.choices, "|") end,
  read = function(_, word) return word end,
  check = function(param, value)
    for _, choice in ipairs(param.choices) do
      if value == choice then return value end
    end
    return nil,
      ("must be one of %s, got '%s'%s"):format(
        table.concat(param.choices, ", "),
        tostring(value),
        did_you_mean(tostring(value), param.choices)
      )
  end,
}

types.path = {
  shown = "PATH",
  read = function(_, word) return word end,
  check = function(_, value)
    if type(value) ~= "string" then return nil, "must be a path, got " .. type(value) end
    if value == "" then return nil, "must not be empty" end
    return require("hone.fs").expand(value)
  end,
}

types.list = {
  shown = function(param) return params.placeholder(params.element(param)) .. ",..." end,
  read = function(param, word)
    local element, list = params.element(param), {}
    for piece in word:gmatch("[^,]+") do
      local value, why = types[element.type].read(element, piece)
      if value == nil then return nil, why end
      list[#list + 1] = value
    end
    return list
  end,
  check = function(param, value)
    if type(value) ~= "table" then return nil, "must be a list, got " .. type(value) end
    local element, list = params.element(param), {}
    for i, item in ipairs(value) do
      local checked, why = types[element.type].check(element, item)
      if checked == nil then return nil, why end
      list[i] = checked
    end
    return list
  end,
}

function params.nearest(word, candidates)
  local begun
  for _, candidate in ipairs(candidates) do
    if #word > 2 and candidate:sub(1, #word) == word then
      if begun then return require("hone.text").nearest(word, candidates) end
      begun = candidate
    end
  end
  return begun or require("hone.text").nearest(word, candidates)
end

function params.element(param)
  local kind = param.of or (param.choices and "choice") or "string"
  return { name = param.name, type = kind, choices = param.choices, min = param.min, max = param.max }
end

function params.placeholder(param)
  local shown = types[param.type].shown
  return type(shown) == "function" and shown(param) or shown
end

function params.flag(param) return "--" .. param.name:gsub("_", "-") end

-- ---- is the description itself right? -------------------------------------------------------------

local function type_problem(param)
  if not types[param.type] then
    local names = {}
    for name in pairs(types) do
      names[#names + 1] = name
    end
    table.sort(names)
    return ("is of an unknown type '%s'%s (there are: %s)"):format(
      tostring(param.type),
      did_you_mean(tostring(param.type), names),
      table.concat(names, ", ")
    )
  end
  if param.of and (param.type ~= "list" or not types[param.of] or param.of == "list") then
    return ("cannot be a %s of '%s'"):format(param.type, tostring(param.of))
  end
  local element = param.type == "list" and params.element(param) or param
  if element.type == "choice" and (type(param.choices) ~= "table" or #param.choices == 0) then
    return "needs choices"
  end
end

local function field_problem(param)
  for field in pairs(param) do
    local known = false
    for _, name in ipairs(FIELDS) do
      known = known or name == field
    end
    if not known then
      return ("has an unknown field '%s'%s"):format(tostring(field), did_you_mean(tostring(field), FIELDS))
    end
  end
  if param.required and param.default ~= nil then return "is required and has a default: one of the two" end
  if type(param.help) ~= "string" then return "needs a help text" end
  if param.short and not tostring(param.short):find("^%a$") then
    return "has a short name that is no letter"
  end
end

local function param_problem(param, seen)
  if type(param) ~= "table" then return "is not a table" end
  if type(param.name) ~= "string" or not param.name:find("^[a-z][a-z0-9_]*$") then
    return "needs a name of lower-case letters, digits and underscores"
  end
  if RESERVED[param.name] then return "has a name that every skill already has" end
  if seen[param.name] or param.short and seen[param.short] then return "is there twice" end
  seen[param.name] = true
  if param.short then seen[param.short] = true end
  local problem = type_problem(param) or field_problem(param)
  if problem then return problem end
  if param.default ~= nil then
    local ok, why = types[param.type].check(param, param.default)
    if ok == nil then return "has a wrong default: it " .. why end
  end
end

function params.problem(list)
  if type(list) ~= "table" then return "params must be a list" end
  local seen, open_ended = {}, nil
  for i, param in ipairs(list) do
    local problem = param_problem(param, seen)
    local name = type(param) == "table" and type(param.name) == "string" and param.name or ("#" .. i)
    if problem then return ("parameter %s %s"):format(name, problem) end
    if param.positional and open_ended then
      return ("parameter %s comes after %s, which takes every word"):format(name, open_ended)
    end
    open_ended = open_ended or (param.positional and param.type == "list" and name or nil)
  end
end

-- ---- values ----------------------------------------------------------------------------------------

-- Checks the given values and fills in the defaults; `name_of` says how a message names a parameter.
local function complete(list, given, name_of)
  local values = {}
  for _, param in ipairs(list) do
    local value = given[param.name]
    if value == nil then value = param.default end
    if value ~= nil then
      local checked, why = types[param.type].check(param, value)
      if checked == nil then return nil, ("%s %s"):format(name_of(param), why) end
      value = checked
    end
    local empty = value == nil or param.type == "list" and #value == 0
    if param.required and empty then return nil, ("%s is required"):format(name_of(param)) end
    values[param.name] = value
  end
  return values
end

local function positionals(list)
  local found = {}
  for _, param in ipairs(list) do
    if param.positional then found[#found + 1] = param end
  end
  return found
end

function params.from_table(list, given)
  local named, names = {}, {}
  for _, param in ipairs(list) do
    names[#names + 1] = param.name
  end
  local order = positionals(list)
  for key, value in pairs(given) do
    local position = math.type(key) == "integer" and order[key]
    local name = position and position.name or tostring(key):gsub("%-", "_")
    local known = false
    for _, candidate in ipairs(names) do
      known = known or candidate == name
    end
    if not known then return nil, ("no parameter '%s'%s"):format(tostring(key), did_you_mean(name, names)) end
    named[name] = value
  end
  return complete(list, named, function(param) return param.name end)
end

local function flag_table(list)
  local shown = {}
  local flags = { json = { name = "json", type = "boolean" }, help = { name = "help", type = "boolean" } }
  for _, param in ipairs(list) do
    flags[params.flag(param):sub(3)] = param
    shown[#shown + 1] = params.flag(param)
  end
  shown[#shown + 1], shown[#shown + 2] = "--json", "--help"
  return flags, shown
end

local function looks_like_flag(word) return word:find("^%-.") and not tonumber(word) end

-- The parameter that a flag means, and true when it is the --no- form of a boolean.
local function find_flag(list, written)
  if written == "-h" then return { name = "help", type = "boolean" } end
  local letter = written:match("^%-(%a)$")
  for _, param in ipairs(letter and list or {}) do
    if param.short == letter then return param end
  end
  local flags, shown = flag_table(list)
  local key = written:match("^%-%-(.+)$")
  key = key and key:gsub("_", "-")
  if flags[key] then return flags[key] end
  local positive = key and flags[key:match("^no%-(.+)$")]
  if positive and positive.type == "boolean" then return positive, true end
  return nil, ("unknown flag %s%s"):format(written, did_you_mean(key and "--" .. key or written, shown))
end

local function read_value(values, param, written, word)
  local value, why = types[param.type].read(param, word)
  if value == nil then return nil, ("%s %s"):format(written, why) end
  if param.type == "list" then
    local list = values[param.name] or {}
    table.move(value, 1, #value, #list + 1, list)
    value = list
  end
  values[param.name] = value
  return true
end

-- Reads the flag at words[i] with what belongs to it; returns the index of the next word | nil, message.
local function read_flag(list, words, i, values)
  local written, attached = words[i]:match("^(%-%-?[^=]+)=(.*)$")
  written = written or words[i]
  local param, negated = find_flag(list, written)
  if not param then return nil, negated end
  if negated then
    if attached then return nil, ("%s takes no value"):format(written) end
    values[param.name] = false
    return i + 1
  end
  if attached then
    local ok, why = read_value(values, param, written, attached)
    return ok and i + 1, why
  end
  local following = words[i + 1]
  if param.type == "boolean" then
    local explicit = following == "true" or following == "false"
    values[param.name] = following ~= "false"
    return i + (explicit and 2 or 1)
  end
  if not following or looks_like_flag(following) then
    return nil, ("%s needs a value (%s)"):format(written, params.placeholder(param))
  end
  local next_index = i + 1
  repeat
    local ok, why = read_value(values, param, written, words[next_index])
    if not ok then return nil, why end
    next_index = next_index + 1
  until param.type ~= "list" or not words[next_index] or looks_like_flag(words[next_index])
  return next_index
end

local function place_loose(list, loose, values)
  local used = 0
  for _, param in ipairs(positionals(list)) do
    if values[param.name] == nil then
      local last = param.type == "list" and #loose or math.min(used + 1, #loose)
      for i = used + 1, last do
        local ok, why = read_value(values, param, param.name, loose[i])
        if not ok then return nil, why end
      end
      used = last
    end
  end
  if loose[used + 1] then return nil, ("unexpected argument '%s'"):format(loose[used + 1]) end
  return true
end

function params.from_words(list, words)
  local given, loose, i = {}, {}, 1
  while i <= #words do
    local word = words[i]
    if word == "--" then
      table.move(words, i + 1, #words, #loose + 1, loose)
      break
    elseif looks_like_flag(word) then
      local following, why = read_flag(list, words, i, given)
      if not following then return nil, why, given end
      i = following
    else
      loose[#loose + 1] = word
      i = i + 1
    end
  end
  if given.help then return nil, nil, given end
  local ok, why = place_loose(list, loose, given)
  if not ok then return nil, why, given end
  local values
  values, why = complete(list, given, params.flag)
  return values, why, given
end

return params
