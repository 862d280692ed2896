--- Literals: numbers, strings and f-strings. Adds to the kinds of expressions.lua.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local format = require "hone.python.format"
local compile = require "hone.python.expressions"
local literal_text = require "hone.python.literal_text"

local types, None = core.types, core.None
local kinds, constant, not_understood = compile.kinds, compile.constant, compile.not_understood
local expression = compile.expression

kinds["true"] = function() return constant(true) end
kinds["false"] = function() return constant(false) end
kinds.none = function() return constant(None) end
kinds.ellipsis = function() return constant(core.Ellipsis) end

function kinds.integer(node)
  if node.text:find "[jJ]" then return not_understood(node) end
  local value = literal_text.integer(node.text)
  if not value then
    return function() return unknown.report("integer overflow") end
  end
  return constant(value)
end

function kinds.float(node)
  local text = node.text:gsub("_", "")
  if text:find("[jJ]") then return not_understood(node) end
  return constant(tonumber(text) * 1.0)
end

local function conversion_and_spec(node, scope)
  local conversion, spec
  for _, child in ipairs(node) do
    if child.type == "type_conversion" then conversion = child.text:sub(2) end
    if child.type == "format_specifier" then spec = child end
  end
  if not spec then return conversion end
  local parts, at = {}, spec.text and spec.text:sub(2) or ""
  if #spec == 0 then return conversion, constant(at) end
  -- The text between nested replacement fields is not a node: take it from the whole text.
  local rest = at
  for _, child in ipairs(spec) do
    local value = (child.type == "interpolation" or child.type == "format_expression")
      and compile.interpolation(child, scope)
    local from, to = rest:find(child.text or "", 1, true)
    if from and child.text then
      parts[#parts + 1] = constant(rest:sub(1, from - 1))
      rest = rest:sub(to + 1)
    end
    if value then parts[#parts + 1] = value end
  end
  parts[#parts + 1] = constant(rest)
  return conversion,
    function(f)
      local out = {}
      for i, part in ipairs(parts) do
        out[i] = part(f)
      end
      return table.concat(out)
    end
end

---The text before the value in f"{x = }", nil without the "=".
local function debug_text(node)
  local body = node.text:sub(2, -2)
  for i = #node, 2, -1 do
    local child = node[i]
    if child.type == "type_conversion" or child.type == "format_specifier" then
      body = body:sub(1, -#child.text - 1)
    end
  end
  return body:match("^.*[^=!<>]=%s*$")
end

---One {field} of an f-string: function(frame) -> Lua string.
function compile.interpolation(node, scope)
  local value = expression(node.expression or node[1], scope)
  local conversion, spec = conversion_and_spec(node, scope)
  local equals = debug_text(node)
  if equals and not conversion and not spec then conversion = "r" end
  return function(f)
    local v = value(f)
    if conversion then v = format.convert(v, conversion) end
    local text = format.format(v, spec and spec(f) or "")
    return equals and equals .. text or text
  end
end

---A string node: its constant text, or the parts of an f-string.
local function string_parts(node, scope, parts)
  local prefix = node[1].text:lower()
  local raw, is_f = prefix:find("r", 1, true), prefix:find("f", 1, true)
  for _, child in ipairs(node) do
    if child.type == "string_content" then
      local text = child.text
      if not raw then text = literal_text.unescape(text) end
      if is_f then text = text:gsub("{{", "{"):gsub("}}", "}") end
      parts[#parts + 1] = text
    elseif child.type == "interpolation" then
      parts[#parts + 1] = compile.interpolation(child, scope)
    end
  end
  return prefix:find("b", 1, true) ~= nil
end

local function string_of(parts)
  local fixed = true
  for _, part in ipairs(parts) do
    if type(part) ~= "string" then fixed = false end
  end
  if fixed then return constant(table.concat(parts)) end
  return function(f)
    local out = {}
    for i, part in ipairs(parts) do
      out[i] = type(part) == "string" and part or part(f)
    end
    return table.concat(out)
  end
end

function kinds.string(node, scope)
  local parts = {}
  if string_parts(node, scope, parts) then
    return constant { cls = types.bytes, data = table.concat(parts) }
  end
  return string_of(parts)
end

function kinds.concatenated_string(node, scope)
  local parts = {}
  for _, child in ipairs(node) do
    string_parts(child, scope, parts)
  end
  return string_of(parts)
end
