--- What hone knows about each op type: one file of this folder each, found by being here.
--
-- A file returns a table of data and small functions:
--   op_type            the dataset's name for it
--   variants           { [variant] = kind }, the forms it comes in
--   check(params, kind)  true, or nil and why no kernel has these parameters
--   hidden_constants   { { name, read(source, definition), of(kind) } }: fixed by a reference, shown nowhere else in
--                      a definition; `read` gives false where there is no such constant, and `of` says whether it
--                      is a parameter of a variant (of all unless there is an `of`)
--   mistakes           the file of the folder `mistakes` that holds what wrong kernels are known to do; or what gives
--                      its name for a definition
--   may_change         { [input] = true }: inputs that a kernel writes into
--   contradictions     { { input, written, right, note } }: two shapes that the dataset uses for one kernel
-- and a kind holds
--   names              { { template, with, style, when } }: the first whose `with` agrees is written, all are read
--   defaults           parameters that may be left out
--   axes               { { name, "var" | "const", description, when, value } } in the dataset's order; a constant
--                      axis is a parameter unless `value` (a number, or value(params)) follows from the others
--   inputs, outputs    { { name, shape (nil for a scalar), dtype, description, when, optional } } in calling order
--   constraints        { { expression, when } }
--   logged             how FlashInfer's logged calls map onto the inputs: see parts/logged.lua
--   description, stage, flags, fi_api, parallel ("tp", "ep": the sizes that it depends on)
--   reference          Python source; reference_parts(params) gives the pieces that depend on a parameter
-- An op type's file may also hold
--   work(axes, definition, structure)  bytes and operations that a call cannot do without: see `ops.work`
-- `${name}` stands for a parameter; `when(params)` says whether an entry is there at all. Descriptions of
-- constant axes have no full stop, since the arithmetic behind the value follows them.
-- What several op types share lies in the folder `parts`.
local _, this_file = ...
local ops = {}

-- ---- finding the files ---------------------------------------------------------------------------

local names

---Names of all op types, sorted.
function ops.list()
  if not names then
    names = {}
    for file in require("lfs").dir(this_file:match("^(.*)[/\\]")) do
      local name = file:match("^([%w_]+)%.lua$")
      if name and name ~= "init" then names[#names + 1] = name end
    end
    table.sort(names)
  end
  return table.move(names, 1, #names, 1, {})
end

---The table of one op type, or nil and a message.
function ops.get(op_type)
  for _, name in ipairs(ops.list()) do
    if name == op_type then return require("hone.ops." .. name) end
  end
  return nil, ("no op type '%s' (there are %s)"):format(tostring(op_type), table.concat(ops.list(), ", "))
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

---Names of the variants of an op type, sorted.
function ops.variants(op_type)
  local op, why = ops.get(op_type)
  if not op then error(why, 2) end
  return sorted_keys(op.variants)
end

-- ---- parameters and templates --------------------------------------------------------------------

-- As Python prints it: the shortest digits that read back as the same number.
local function number_text(value)
  if math.type(value) == "integer" then return tostring(value) end
  for digits = 1, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
end

local function fill(template, values)
  return (
    template:gsub("%${([%w_]+)}", function(name)
      local value = values[name]
      return type(value) == "number" and number_text(value) or value
    end)
  )
end

-- What is wrong with a parameter, nil when nothing is.
local function mistake(name, value, wants)
  local positive = type(value) == "number" and 0 < value and value < math.huge
  local expected
  if wants == "string" and type(value) ~= "string" then
    expected = "a string"
  elseif wants ~= "string" and not positive then
    expected = "a positive number"
  elseif wants == "integer" and not math.tointeger(value) then
    expected = "an integer"
  end
  return expected and ("parameter '%s' must be %s, got %s"):format(name, expected, tostring(value))
end

-- What each parameter of a variant has to be: { [name] = "integer" | "number" | "string" }.
local function parameters(op, kind)
  local wanted = {}
  for _, axis in ipairs(kind.axes) do
    if axis[2] == "const" and not axis.value then wanted[axis[1]] = "integer" end
  end
  for _, constant in ipairs(op.hidden_constants or {}) do
    if not constant.of or constant.of(kind) then wanted[constant.name] = "number" end
  end
  for name in pairs(kind.defaults or {}) do
    wanted[name] = "string"
  end
  return wanted
end

-- A checked copy of `params` with the defaults filled in, or nil and why no kernel has such a value. Those in the
-- set `optional` may be missing; an unknown or missing one is the caller's mistake and raised at `level`.
local function complete(op, kind, params, level, optional)
  local wanted, result = parameters(op, kind), {}
  for name in pairs(params) do
    if not wanted[name] then error(("unknown parameter '%s'"):format(tostring(name)), level + 1) end
  end
  for name, wants in pairs(wanted) do
    local value = params[name]
    if value == nil then value = kind.defaults and kind.defaults[name] end
    if value ~= nil or not (optional and optional[name]) then
      local wrong = mistake(name, value, wants)
      if wrong and value == nil then error(wrong, level + 1) end
      if wrong then return nil, wrong end
      result[name] = wants == "integer" and math.tointeger(value) or value
    end
  end
  return result
end

-- True, or nil and why there is no kernel with these parameters.
local function check(op, params, kind)
  if op.check then return op.check(params, kind) end
  return true
end

-- An op type and one of its variants; names that there are not are raised at `level`.
local function find_kind(op_type, variant, level)
  local op, why = ops.get(op_type)
  if not op then error(why, level + 1) end
  local kind = op.variants[variant]
  if not kind then
    local known = table.concat(sorted_keys(op.variants), ", ")
    local message = "op type '%s' has no variant '%s' (it has %s)"
    error(message:format(op_type, tostring(variant), known), level + 1)
  end
  return op, kind
end

-- ---- names ---------------------------------------------------------------------------------------

local function agrees(naming, params)
  for name, value in pairs(naming.with or {}) do
    if params[name] ~= value then return false end
  end
  return not naming.when or naming.when(params)
end

-- In the style asked for, or in any that these parameters have.
local function write_name(kind, params, style)
  local fallback
  for _, naming in ipairs(kind.names) do
    if agrees(naming, params) then
      if naming.style == style then return fill(naming[1], params) end
      fallback = fallback or naming
    end
  end
  return fill(fallback[1], params)
end

---The name of a definition; style "older" where an older spelling exists.
function ops.name(op_type, variant, params, style)
  local op, kind = find_kind(op_type, variant, 2)
  local hidden = {}
  for _, constant in ipairs(op.hidden_constants or {}) do
    hidden[constant.name] = true
  end
  local why
  params, why = complete(op, kind, params, 2, hidden)
  if not params then return nil, why end
  local ok
  ok, why = check(op, params, kind)
  if not ok then return nil, why end
  return write_name(kind, params, style)
end

-- A Lua pattern that matches what a name template writes, and the names of its captures.
local function name_pattern(template)
  local captures = {}
  local pattern = template:gsub("%${([%w_]+)}", function(name)
    captures[#captures + 1] = name
    return "(%d+)"
  end)
  return "^" .. pattern .. "$", captures
end

local function read_name(naming, name)
  local pattern, captures = name_pattern(naming[1])
  local values = table.pack(name:match(pattern))
  if not values[1] then return nil end
  local params = {}
  for key, value in pairs(naming.with or {}) do
    params[key] = value
  end
  for i, key in ipairs(captures) do
    params[key] = math.tointeger(tonumber(values[i]))
    if not params[key] then return nil end -- more digits than an integer has
  end
  return agrees(naming, params) and params or nil
end

local function parse_exactly(name)
  for _, op_type in ipairs(ops.list()) do
    for variant, kind in pairs(ops.get(op_type).variants) do
      for _, naming in ipairs(kind.names) do
        local params = read_name(naming, name)
        if params then return op_type, variant, params end
      end
    end
  end
end

---Read a definition's name back: op type, variant, parameters, and the version of a name such as
---`rmsnorm_h4096_v2`. Nil when no op type writes such names.
function ops.parse(name)
  local op_type, variant, params = parse_exactly(name)
  if op_type then return op_type, variant, params end
  local plain, version = name:match("^(.+)_v(%d+)$")
  if not plain then return nil end
  op_type, variant, params = parse_exactly(plain)
  if op_type then return op_type, variant, params, math.tointeger(tonumber(version)) end
end

-- ---- building a definition -----------------------------------------------------------------------

-- The entries of a list that are there with these parameters.
local function present(entries, params)
  local kept = {}
  for _, entry in ipairs(entries or {}) do
    if not entry.when or entry.when(params) then kept[#kept + 1] = entry end
  end
  return kept
end

local function describe(kind, params, about)
  local text = fill(kind.description, params)
  local modules = type(about.module) == "table" and table.concat(about.module, ", ") or about.module
  local origin = {}
  if about.display then origin[#origin + 1] = about.display end
  if modules and modules ~= "" then origin[#origin + 1] = modules end
  if #origin == 0 then return text end
  text = text .. " Taken from " .. table.concat(origin, " ")
  local full = { tp = "tensor", ep = "expert" }
  for _, which in ipairs(kind.parallel or {}) do
    if about[which] then text = ("%s, %s parallel size %d"):format(text, full[which], about[which]) end
  end
  return text .. "."
end

local function tags_of(kind, about)
  local tags = {}
  local function add(tag) tags[#tags + 1] = tag end
  if kind.stage then add("stage:" .. kind.stage) end
  add("status:unverified")
  for _, model in ipairs(about.models or {}) do
    add("model:" .. model)
  end
  for _, flag in ipairs(kind.flags or {}) do
    add(flag)
  end
  if kind.fi_api then add("fi_api:" .. kind.fi_api) end
  for _, which in ipairs(kind.parallel or {}) do
    if about[which] then add(("%s:%d"):format(which, about[which])) end
  end
  return tags
end

local function constant_of(entry, params)
  local value = entry.value
  if type(value) == "function" then return value(params) end
  return value or params[entry[1]]
end

local function build_axes(kind, params, origins)
  local json = require("hone.json")
  local axes = json.object()
  for _, entry in ipairs(present(kind.axes, params)) do
    local name, type, description = entry[1], entry[2], entry[3]
    local axis = json.object()
    axis.type = type
    if type == "const" then
      axis.value = constant_of(entry, params)
      description = description .. (origins[name] and ": " .. origins[name] or "") .. "."
    end
    axis.description = description
    axes[name] = axis
  end
  return axes
end

local function build_tensors(entries, params)
  local json = require("hone.json")
  local tensors = json.object()
  for _, entry in ipairs(present(entries, params)) do
    local shape = entry[2]
    local tensor = json.object()
    tensor.shape = shape and table.move(shape, 1, #shape, 1, {}) or json.null
    tensor.dtype = fill(entry[3], params)
    tensor.description = entry[4]
    if entry.optional then tensor.optional = true end
    tensors[entry[1]] = tensor
  end
  return tensors
end

local function build_reference(kind, params)
  local source = kind.reference
  if kind.reference_parts then source = fill(source, kind.reference_parts(params)) end
  return fill(source, params)
end

---Make the definition of a kernel; nil and a message when there is no such kernel.
function ops.build(op_type, variant, params, about)
  about = about or {}
  local op, kind = find_kind(op_type, variant, 2)
  local ok, why
  params, why = complete(op, kind, params, 2)
  if not params then return nil, why end
  ok, why = check(op, params, kind)
  if not ok then return nil, why end

  local definition = require("hone.json").object()
  definition.name = write_name(kind, params, about.style)
  definition.description = describe(kind, params, about)
  definition.op_type = op_type
  definition.tags = tags_of(kind, about)
  definition.axes = build_axes(kind, params, about.origins or {})
  local constraints = {}
  for i, entry in ipairs(present(kind.constraints, params)) do
    constraints[i] = entry[1]
  end
  if #constraints > 0 then definition.constraints = constraints end
  definition.inputs = build_tensors(kind.inputs, params)
  definition.outputs = build_tensors(kind.outputs, params)
  definition.reference = build_reference(kind, params)
  return definition
end

-- ---- what kernels write ---------------------------------------------------------------------------

---Whether a kernel may write into an input: where its op type or the input's description says so.
function ops.may_change(definition, name)
  local op = ops.get(definition.op_type)
  if op and op.may_change and op.may_change[name] then return true end
  local description = definition.inputs[name].description
  return type(description) == "string" and description:lower():find "in[%s-]?place" ~= nil
end

-- ---- signatures ----------------------------------------------------------------------------------

local function same_list(a, b) return type(a) == "table" and table.concat(a, "\0") == table.concat(b, "\0") end

-- Where the dataset contradicts itself, the shapes that inputs should have had: { [input] = shape }, notes.
local function corrections(op, definition)
  local shapes, notes = {}, {}
  for _, entry in ipairs(op and op.contradictions or {}) do
    local input = definition.inputs[entry.input]
    if input and same_list(input.shape, entry.written) then
      shapes[entry.input] = entry.right
      notes[#notes + 1] = entry.note
    end
  end
  return shapes, notes
end

-- The names of a reference's arguments, in its order.
local function argument_names(source)
  local list = ("\n" .. source):match "\ndef run%s*(%b())"
  if not list then return {} end
  list = list:sub(2, -2):gsub("%b[]", ""):gsub("%b()", "")
  local arguments = {}
  for argument in list:gmatch "[^,]+" do
    arguments[#arguments + 1] = argument:match "^%s*([%w_]+)"
  end
  return arguments
end

-- A remark on a reference that takes its arguments in another order than the inputs are listed in: calls are
-- positional.
local function order_note(definition, source)
  local arguments, i = argument_names(source), 0
  for name in pairs(definition.inputs) do
    i = i + 1
    local argument = arguments[i]
    if not argument then return nil end
    if argument ~= name and definition.inputs[argument] then
      return ("its reference takes %s where inputs list %s, and calls are positional"):format(argument, name)
    end
  end
end

local function axes_text(definition, corrected)
  local axis_value = require("hone.dataset.definition").axis_value
  local texts = {}
  for name, axis in pairs(definition.axes) do
    texts[name] = tostring(axis_value(axis) or "var")
  end
  for _, shape in pairs(corrected) do
    for _, name in ipairs(shape) do
      texts[name] = texts[name] or "var"
    end
  end
  local parts = {}
  for i, name in ipairs(sorted_keys(texts)) do
    parts[i] = name .. "=" .. texts[name]
  end
  return table.concat(parts, " ")
end

local function tensors_text(tensors, corrected)
  local parts = {}
  for name, tensor in pairs(tensors) do
    local shape = corrected[name] or tensor.shape
    local text = type(shape) == "table" and "[" .. table.concat(shape, ",") .. "]" or ""
    parts[#parts + 1] = name .. text .. ":" .. tensor.dtype
  end
  return table.concat(parts, " ")
end

-- Comments and docstrings do not compute anything, but may mention a constant.
local function without_comments(source)
  return (source:gsub('"""(.-)"""', ""):gsub("'''(.-)'''", ""):gsub("#[^\n]*", ""))
end

---What makes a definition the kernel that it is, as one line: two definitions with equal signatures are
---the same kernel, whatever they are called. The second result holds its parts.
function ops.signature(definition)
  local op = ops.get(definition.op_type)
  local corrected, notes = corrections(op, definition)
  local parts = {
    axes = axes_text(definition, corrected),
    inputs = tensors_text(definition.inputs, corrected),
    outputs = tensors_text(definition.outputs, {}),
  }
  local shape = table.concat({ definition.op_type, parts.axes, parts.inputs, parts.outputs }, " | ")
  local signature, hidden, unknown = shape, {}, {}
  local source = without_comments(definition.reference)
  notes[#notes + 1] = order_note(definition, source)
  for _, constant in ipairs(op and op.hidden_constants or {}) do
    local value = constant.read(source, definition)
    if value ~= false then
      if not value then unknown[#unknown + 1] = constant.name end
      if type(value) == "number" then value = number_text(value) end
      hidden[constant.name] = value or "unknown"
      signature = ("%s | %s=%s"):format(signature, constant.name, hidden[constant.name])
    end
  end
  return signature, { shape = shape, parts = parts, hidden = hidden, unknown = unknown, notes = notes }
end

-- ---- work ----------------------------------------------------------------------------------------

-- Whether a list of a definition has what a kind's has, whatever the order: all but what may be left out.
local function has_entries(object, entries)
  local known = {}
  for _, entry in ipairs(entries) do
    known[entry[1]] = true
    if object[entry[1]] == nil and not entry.when and not entry.optional then return false end
  end
  for name in pairs(object) do
    if not known[name] then return false end
  end
  return true
end

-- Whether a definition is of one of an op type's variants, as far as its inputs, outputs and axes show.
local function is_known(op, definition)
  for _, kind in pairs(op.variants) do
    if
      has_entries(definition.inputs, kind.inputs)
      and has_entries(definition.outputs, kind.outputs)
      and has_entries(definition.axes, kind.axes)
    then
      return true
    end
  end
  return false
end

-- The sizes of all axes; nil and a message where one is not given.
local function all_axes(definition, given)
  local axis_value = require("hone.dataset.definition").axis_value
  local axes = {}
  for name, axis in pairs(definition.axes) do
    local size = axis_value(axis) or math.tointeger(given[name])
    if not size or size < 0 then return nil, ("the axis %s has no size"):format(name) end
    axes[name] = size
  end
  return axes
end

---What a call of a kernel has to do at the least.
function ops.work(definition, axes, structure)
  local op, why = ops.get(definition.op_type)
  if not op then return nil, why end
  if not op.work then return nil, ("nothing is known about the work of op type '%s'"):format(op.op_type) end
  if not is_known(op, definition) then
    return nil, ("%s is no kernel of op type '%s' that hone knows"):format(definition.name, op.op_type)
  end
  local sizes
  sizes, why = all_axes(definition, axes)
  if not sizes then return nil, ("%s: %s"):format(definition.name, why) end
  local work
  work, why = op.work(sizes, definition, structure)
  if not work then return nil, ("%s: %s"):format(definition.name, why) end
  work.bytes = work.read + work.written
  work.exact = work.usual == nil
  if work.usual then work.usual.bytes = work.usual.read + work.usual.written end
  return work
end

return ops
