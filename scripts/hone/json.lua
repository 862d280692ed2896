--- JSON that keeps the order of fields, tells lists from objects, and says where a text is wrong.
local core = require "hone.core.json"

local json = {
  null = core.null,
  decode = core.decode,
  encode = core.encode,
  lines = core.lines,
  picker = core.picker,
  array = core.array,
  keys = core.keys,
  is_array = core.is_array,
  is_object = core.is_object,
}

function json.object(fields)
  local object = core.object()
  for i, field in ipairs(fields or {}) do
    local key, value = field[1], field[2]
    if type(key) ~= "string" then error(("field %d of the object has no string as its key"):format(i), 2) end
    if rawget(object, key) ~= nil then error(("field %d repeats the key %q"):format(i, key), 2) end
    object[key] = value
  end
  return object
end

-- Encode for a function of this library: what cannot be encoded is the mistake of its caller.
local function encode(value, options)
  local done, text = pcall(core.encode, value, options)
  if not done then error(text, 3) end
  return text
end

function json.read(path, options)
  local text, why, code = require("hone.fs").read(path)
  if not text then return nil, why, code end
  local named = { name = path }
  for option, value in pairs(options or {}) do
    named[option] = value
  end
  return core.decode(text, named)
end

function json.write(path, value, options)
  local text = encode(value, options)
  if options and options.newline then text = text .. "\n" end
  return require("hone.fs").write(path, text)
end

function json.append(path, value, options)
  if options and options.indent then error("a line cannot be indented", 2) end
  return require("hone.fs").append_line(path, encode(value, options))
end

local function is_path(path)
  if type(path) ~= "table" then return false end
  for _, step in ipairs(path) do
    if type(step) ~= "string" and math.type(step) ~= "integer" then return false end
  end
  return true
end

function json.insert(text, path, value, key)
  if type(text) ~= "string" then error("bad argument #1 to 'insert' (string expected)", 2) end
  if not is_path(path) then error("bad argument #2 to 'insert' (list of keys and positions expected)", 2) end
  if key ~= nil and type(key) ~= "string" then error("bad argument #4 to 'insert' (string expected)", 2) end
  encode(value) -- refuses what cannot be written before anything is looked for
  return require("hone.json.insert").insert(text, path, value, key)
end

return json
