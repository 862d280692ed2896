--- The rules that a definition keeps: what its fields are, and that its reference is Python with a `run`.
local json = require "hone.json"

local definition = {}

---Bytes of an element, by dtype; these are the dtypes that there are.
definition.BYTES = {
  float32 = 4,
  float16 = 2,
  bfloat16 = 2,
  float8_e4m3fn = 1,
  float8_e5m2 = 1,
  float4_e2m1 = 1, -- an axis counts pairs
  int64 = 8,
  int32 = 4,
  int16 = 2,
  int8 = 1,
  bool = 1,
}

-- ---- kinds of values ------------------------------------------------------------------------------

local function is_object(value)
  return type(value) == "table" and #value == 0 and (json.is_object(value) or not json.is_array(value))
end

local function is_list(value)
  return type(value) == "table" and (#value > 0 or json.is_array(value) or next(value) == nil)
end

local function is_text(value) return type(value) == "string" and value ~= "" end

local function show(value)
  if value == nil then return "nothing" end
  if value == json.null then return "null" end
  if type(value) == "table" then return json.is_object(value) and "an object" or "an array" end
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

---The value of a constant axis, nil for a variable one. As flashinfer-bench reads it, 3.0, "3" and true are
---integers too, and an axis with a value but no type is constant.
function definition.axis_value(axis)
  if axis.type == "var" then return nil end
  local value = axis.value
  if value == true then return 1 end
  if value == false then return 0 end
  if type(value) ~= "string" and type(value) ~= "number" then return nil end
  return math.tointeger(tonumber(value))
end

-- ---- one field each -------------------------------------------------------------------------------

local function check_text(report, field, value)
  if not is_text(value) then report(field, "must be a string that is not empty, got %s", show(value)) end
end

local function check_description(report, field, value)
  if value ~= nil and value ~= json.null and type(value) ~= "string" then
    report(field, "must be a string or null, got %s", show(value))
  end
end

local function check_axis(report, field, axis)
  if not is_object(axis) then return report(field, "must be an object, got %s", show(axis)) end
  local kind = axis.type or (axis.value ~= nil and "const" or "var")
  if kind ~= "const" and kind ~= "var" then
    return report(field .. ".type", 'must be "const" or "var", got %s', show(axis.type))
  end
  local value = definition.axis_value(axis)
  if kind == "const" and not (value and value >= 0) then
    report(field .. ".value", "must be an integer that is not negative, got %s", show(axis.value))
  end
  check_description(report, field .. ".description", axis.description)
end

local function check_shape(report, field, shape, axes)
  if not is_list(shape) then
    return report(field, "must be an array of axes, or null for a scalar, got %s", show(shape))
  end
  for i, name in ipairs(shape) do
    if type(name) ~= "string" or not (is_object(axes) and axes[name]) then
      report(("%s[%d]"):format(field, i - 1), "is no axis of this definition: %s", show(name))
    end
  end
end

local function check_tensor(report, field, tensor, axes)
  if not is_object(tensor) then return report(field, "must be an object, got %s", show(tensor)) end
  if tensor.shape ~= json.null then check_shape(report, field .. ".shape", tensor.shape, axes) end
  if not definition.BYTES[tensor.dtype] then
    report(field .. ".dtype", "is no known dtype: %s", show(tensor.dtype))
  end
  check_description(report, field .. ".description", tensor.description)
end

-- Each entry of the object at `field` through `check`; names must not be empty.
local function check_entries(report, def, field, check)
  if not is_object(def[field]) then return report(field, "must be an object, got %s", show(def[field])) end
  for name, entry in pairs(def[field]) do
    if name == "" then report(field, "has an entry without a name") end
    check(report, field .. "." .. name, entry, def.axes)
  end
end

local function check_texts(report, def, field)
  local list = def[field]
  if list == nil then return end
  if not is_list(list) then return report(field, "must be an array of strings, got %s", show(list)) end
  for i, item in ipairs(list) do
    check_text(report, ("%s[%d]"):format(field, i - 1), item)
  end
end

-- ---- Python ---------------------------------------------------------------------------------------

local function defines_run(node)
  if node:type() == "decorated_definition" then node = node:child_by_field("definition") end
  return node:type() == "function_definition"
    and node:children()[1]:type() ~= "async"
    and node:child_by_field("name"):text() == "run"
end

local function check_reference(report, source)
  local tree, why = require("hone.syntax").parse(source, "python")
  if not tree then return report("reference", "cannot be parsed: %s", why) end
  local errors = tree:errors()
  if #errors > 0 then return report("reference", "must be Python: syntax error at line %d", errors[1].row) end
  for _, node in ipairs(tree:root():named_children()) do
    if defines_run(node) then return end
  end
  report("reference", "must define a function 'run' at its top level")
end

local STATEMENTS = { assignment = true, augmented_assignment = true }

local function parses_as_expression(source)
  local tree = require("hone.syntax").parse(source:match("^%s*(.*)$"), "python")
  if not tree or tree:root():has_error() then return false end
  local statements = tree:root():named_children()
  if #statements ~= 1 or statements[1]:type() ~= "expression_statement" then return false end
  return not STATEMENTS[statements[1]:named_children()[1]:type()]
end

-- Definitions of an op type have the same constraints.
local expressions, count = {}, 0

local function is_expression(source)
  if expressions[source] == nil then
    if count == 1000 then
      expressions, count = {}, 0
    end
    expressions[source], count = parses_as_expression(source), count + 1
  end
  return expressions[source]
end

local function check_python(report, def)
  if is_text(def.reference) then check_reference(report, def.reference) end
  for i, constraint in ipairs(is_list(def.constraints) and def.constraints or {}) do
    if is_text(constraint) and not is_expression(constraint) then
      report(("constraints[%d]"):format(i - 1), "must be a Python expression, got %s", show(constraint))
    end
  end
end

---True when `def` is a definition; otherwise nil and a list of messages that name the fields.
function definition.validate(def, options)
  if not is_object(def) then return nil, { ("a definition must be an object, got %s"):format(show(def)) } end
  local messages = {}
  local function report(field, message, ...) messages[#messages + 1] = field .. " " .. message:format(...) end
  check_text(report, "name", def.name)
  check_text(report, "op_type", def.op_type)
  check_description(report, "description", def.description)
  check_texts(report, def, "tags")
  check_entries(report, def, "axes", check_axis)
  check_texts(report, def, "constraints")
  check_entries(report, def, "inputs", check_tensor)
  check_entries(report, def, "outputs", check_tensor)
  for name in pairs(is_object(def.outputs) and def.outputs or {}) do
    if is_object(def.inputs) and def.inputs[name] then
      report("outputs." .. name, "is the name of an input as well")
    end
  end
  check_text(report, "reference", def.reference)
  if not (options and options.python == false) then check_python(report, def) end
  if #messages > 0 then return nil, messages end
  return true
end

return definition
