--- What the dataset's records hold: each kind is a function (value, field) -> value as flashinfer-bench reads it |
--- nil, message. Numbers may come as text, as pydantic takes them; unknown keys are dropped.
local json = require "hone.json"

local schema = {}

---A field that is left out where the record does not have it.
schema.absent = {}

local function show(value)
  if value == nil then return "nothing" end
  if value == json.null then return "null" end
  if type(value) == "table" then return json.is_array(value) and "an array" or "an object" end
  if type(value) == "string" then
    return ("%q"):format(#value > 60 and value:sub(1, 57) .. "..." or value):gsub("\\\n", "\\n")
  end
  return tostring(value)
end

local function refuse(field, expected, value)
  return nil, ("%s must be %s, got %s"):format(field, expected, (show(value)))
end

function schema.string(value, field)
  if type(value) ~= "string" then return refuse(field, "a string", value) end
  return value
end

function schema.text(value, field)
  if type(value) ~= "string" or value == "" then return refuse(field, "a string that is not empty", value) end
  return value
end

-- A number written as text: Python's digits with single underscores between them, and spaces around.
local function number_of(text)
  local digits = text:match "^%s*(.-)%s*$"
  if digits:find "^_" or digits:find "_$" or digits:find "__" or digits:find "[xXpP]" then return nil end
  digits = digits:gsub("_", "")
  local sign, word = digits:lower():match "^([+-]?)(%a+)$"
  if word == "inf" or word == "infinity" then return sign == "-" and -math.huge or math.huge end
  if word == "nan" then return 0 / 0 end
  return tonumber((digits:gsub("^%+", "")))
end

-- As text, an integer has no exponent, and nothing but zeros after its point.
local function integer_of(text) return text:find "^%s*[+-]?%d[%d_]*%.?0*%s*$" and number_of(text) or nil end

local function number(value)
  if value == true then return 1 end
  if value == false then return 0 end
  if type(value) == "string" then return number_of(value) end
  if type(value) == "number" then return value end
end

function schema.size(value, field)
  if math.type(value) == "integer" and value >= 0 then return value end
  local n
  if type(value) == "string" then
    n = integer_of(value)
  else
    n = number(value)
  end
  local whole = n and math.tointeger(n)
  if not whole or whole < 0 then return refuse(field, "an integer that is not negative", value) end
  return whole
end

-- Floats that are at least 0; NaN where the record says so.
local function measure(value, field, takes_nan)
  local n = number(value)
  -- Multiplied, not added to: the sign of -0.0 stays.
  if n and (n >= 0 or takes_nan and n ~= n) then return n * 1.0 end
  return refuse(
    field,
    takes_nan and "a number that is not negative, or NaN" or "a number that is not negative",
    value
  )
end

function schema.measure(value, field) return measure(value, field, false) end

function schema.error_measure(value, field) return measure(value, field, true) end

local FLAGS = {
  ["true"] = true,
  t = true,
  yes = true,
  y = true,
  on = true,
  ["1"] = true,
  ["false"] = false,
  f = false,
  no = false,
  n = false,
  off = false,
  ["0"] = false,
} -- stylua: ignore

function schema.flag(value, field)
  if type(value) == "boolean" then return value end
  if value == 1 then return true end
  if value == 0 then return false end
  local flag
  if type(value) == "string" then flag = FLAGS[value:lower()] end
  if flag == nil then return refuse(field, "true or false", value) end
  return flag
end

---An integer, a float or a boolean, each kept as what it is; text as what it says.
function schema.scalar(value, field)
  if type(value) == "number" or type(value) == "boolean" then return value end
  if type(value) == "string" then
    local n = integer_of(value)
    if n then return math.tointeger(n) or n end
    n = number_of(value)
    if n then return n * 1.0 end
    local flag = FLAGS[value:lower()]
    if flag ~= nil then return flag end
  end
  return refuse(field, "an integer, a float, true or false", value)
end

function schema.any(value) return value end

function schema.choice(words)
  local known = {}
  for word in words:gmatch "%S+" do
    known[word] = true
  end
  return function(value, field)
    if type(value) == "string" and known[value] then return value end
    return refuse(field, "one of " .. words:gsub(" ", ", "), value)
  end
end

---A kind, or null.
function schema.nullable(kind)
  return function(value, field)
    if value == nil or value == json.null then return json.null end
    return kind(value, field)
  end
end

function schema.list(kind, least)
  return function(value, field)
    if type(value) ~= "table" or not (#value > 0 or json.is_array(value)) then
      return refuse(field, "an array", value)
    end
    if least and #value < least then return nil, ("%s must hold at least %d"):format(field, least) end
    local list = json.array {}
    for i, item in ipairs(value) do
      local checked, why = kind(item, ("%s[%d]"):format(field, i - 1))
      if checked == nil then return nil, why end
      list[i] = checked
    end
    return list
  end
end

function schema.is_object(value) return type(value) == "table" and #value == 0 and json.is_object(value) end

function schema.map(kind)
  return function(value, field)
    if not schema.is_object(value) then return refuse(field, "an object", value) end
    local map = json.object()
    for key, item in pairs(value) do
      local checked, why = kind(item, field .. "." .. tostring(key))
      if checked == nil then return nil, why end
      map[key] = checked
    end
    return map
  end
end

---An object of `fields`: a list of { name, kind, default }. Without a default a field must be there; a default
---of schema.absent leaves it out, a function makes it. `rule(record, field)` says what is wrong with it as a whole.
function schema.record(fields, rule)
  return function(value, field)
    if not schema.is_object(value) then return refuse(field, "an object", value) end
    local record = json.object()
    for _, entry in ipairs(fields) do
      local name, kind, default = entry[1], entry[2], entry[3]
      local given = value[name]
      if given ~= nil or default == nil then
        local checked, why = kind(given, field .. "." .. name)
        if checked == nil then return nil, why end
        record[name] = checked
      elseif type(default) == "function" then
        record[name] = default()
      elseif default ~= schema.absent then
        record[name] = default
      end
    end
    local wrong = rule and rule(record, field)
    if wrong then return nil, wrong end
    return record
  end
end

return schema
