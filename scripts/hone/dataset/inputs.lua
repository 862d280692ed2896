--- Inputs of a definition: a workload's, or made for any sizes of its axes. What has structure (where sequences
--- start, which pages are theirs, how tokens are routed) is made by the op type's own rules; the rest is random.
local json = require "hone.json"
local tensor = require "hone.tensor"
local concrete = require "hone.python.concrete"
local axis_value = require("hone.dataset.definition").axis_value

local inputs = {}

local DEFAULT_SIZE = 16 -- of an axis that nobody names, and no op type
local SMALL_FLOATS = { float8_e4m3fn = true, float8_e5m2 = true }
local RANGES = { -- of random integers, as flashinfer-bench draws them
  int8 = { -128, 128 },
  int16 = { -1024, 1024 },
  int32 = { -1024, 1024 },
  int64 = { -1024, 1024 },
  bool = { 0, 2 },
}

-- ---- axes ------------------------------------------------------------------------------------------

-- `len_indptr == batch_size + 1`: the value of the left side, once all that stands right of it is known.
local function solve(constraint, axes)
  local name, right = constraint:match "^%s*([%a_][%w_]*)%s*==%s*(.+)$"
  if not name or axes[name] or right:find "[%[%]]" then return end
  local names, values = {}, {}
  for axis, value in pairs(axes) do
    names[#names + 1], values[#values + 1] = axis, value
  end
  local source = ("def value(%s):\n    return %s\n"):format(table.concat(names, ", "), right)
  local compiled = concrete.load(source, { name = "constraint" })
  local value = compiled and compiled:call("value", table.unpack(values))
  if math.type(value) == "integer" and value >= 0 then axes[name] = value end
end

local function solve_all(definition, axes)
  for _ = 1, 3 do -- one may need what another gives
    for _, constraint in ipairs(definition.constraints or {}) do
      solve(constraint, axes)
    end
  end
end

-- The other way round: `len_indptr == batch_size + 1` gives batch_size.
local function solve_backwards(definition, axes)
  for _, constraint in ipairs(definition.constraints or {}) do
    local left, right, plus = constraint:match "^%s*([%a_][%w_]*)%s*==%s*([%a_][%w_]*)%s*%+%s*(%d+)%s*$"
    if left and axes[left] and not axes[right] then axes[right] = axes[left] - math.tointeger(plus) end
  end
end

---Add to `axes` what the definition's constraints give of those that are missing.
function inputs.solve(definition, axes)
  solve_backwards(definition, axes)
  solve_all(definition, axes)
end

local function op_of(definition)
  local ops = require "hone.ops"
  return ops.get(definition.op_type)
end

---The sizes of all axes: constants, those given, what constraints make of them, then what is usual for the op type.
---@return table<string, integer>? axes
---@return string? message
function inputs.axes(definition, given)
  local axes = {}
  for _, name in ipairs(json.keys(definition.axes)) do
    axes[name] = axis_value(definition.axes[name])
  end
  for name, value in pairs(given or {}) do
    if not definition.axes[name] then
      local known = table.concat(json.keys(definition.axes), ", ")
      return nil, ("%s has no axis '%s' (it has %s)"):format(definition.name, name, known)
    end
    if axes[name] and axes[name] ~= value then
      return nil, ("%s: the axis %s is %d, not %d"):format(definition.name, name, axes[name], value)
    end
    axes[name] = value
  end
  inputs.solve(definition, axes)
  local op = op_of(definition)
  local usual = op and op.usual_axes or {}
  for _, name in ipairs(json.keys(definition.axes)) do
    if not axes[name] then
      axes[name] = usual[name] or DEFAULT_SIZE
      inputs.solve(definition, axes)
    end
  end
  return axes
end

-- ---- random values ---------------------------------------------------------------------------------

---Values as a benchmark draws them: normal floats, float8 within 2, integers in a fixed range.
local function random(spec, sizes, generator, device)
  local dtype = spec.dtype
  local options = { generator = generator, device = device }
  if RANGES[dtype] then
    local low, high = table.unpack(RANGES[dtype])
    return tensor.randint(low, high, sizes, options):to(dtype)
  end
  local drawn = tensor.randn(sizes, options)
  if SMALL_FLOATS[dtype] then return drawn:clamp(-2, 2):to(dtype) end
  if dtype == "float4_e2m1" then
    sizes[#sizes] = sizes[#sizes] * 2
    return tensor.randn(sizes, options):clamp(-2, 2):pack_float4()
  end
  return drawn:to(dtype)
end

local function sizes_of(spec, axes)
  local sizes = {}
  for i, axis in ipairs(spec.shape) do
    sizes[i] = axes[axis]
  end
  return sizes
end

-- ---- blobs -----------------------------------------------------------------------------------------

-- The tensor that a workload names, nil and why it is not there.
local function blob(root, spec, wanted)
  local fs, safetensors = require "hone.fs", require "hone.safetensors"
  local path = spec.path:sub(1, 1) == "/" and spec.path or fs.join(root or ".", spec.path)
  if not fs.is_file(path) then return nil, "its file is not there" end
  local file <close>, why = safetensors.open(path)
  if not file then return nil, why end
  local t
  t, why = file:tensor(spec.tensor_key)
  if not t then return nil, why end
  local shape, expected = table.concat(t:shape(), ", "), table.concat(wanted.sizes, ", ")
  if shape ~= expected or t.dtype ~= wanted.dtype then
    return nil, ("it is %s [%s], not %s [%s]"):format(t.dtype, shape, wanted.dtype, expected)
  end
  return t:clone()
end

-- ---- all inputs ------------------------------------------------------------------------------------

local function kind_of(spec)
  return spec and (spec.type or spec.path and "safetensors" or spec.value ~= nil and "scalar") or "random"
end

-- A number where the definition has no tensor.
local function scalar(name, structure, dtype)
  local value = structure[name]
  if value ~= nil then return value end
  return dtype:find "float" and 1.0 or 1
end

---All inputs in the definition's order, and where each comes from: "workload", "blob", "made by the op type's
---rules", "random".
---@param definition table
---@param options? { axes: table<string, integer>?, workload: table?, root: string?, seed: integer?, device: string? }
---@return { name: string, value: any, from: string }[]? list
---@return table<string, integer>|string axes # or the message
function inputs.make(definition, options)
  options = options or {}
  local workload = options.workload
  local axes, why = inputs.axes(definition, workload and workload.axes or options.axes)
  if not axes then return nil, why end
  local generator = tensor.generator(options.seed or 0)
  local op = op_of(definition)
  local making = require "hone.ops.parts.making"
  local structure = op and op.make_inputs and op.make_inputs(definition, axes, making.new(generator)) or {}
  local list = {}
  for i, name in ipairs(json.keys(definition.inputs)) do
    local spec, entry = definition.inputs[name], { name = name }
    local named = workload and workload.inputs[name]
    local kind = kind_of(named)
    local is_scalar = spec.shape == nil or spec.shape == json.null
    if kind == "scalar" then
      entry.value, entry.from = named.value, "workload"
    elseif is_scalar then
      entry.value, entry.from = scalar(name, structure, spec.dtype), "made"
    else
      local sizes = sizes_of(spec, axes)
      local missing
      if kind == "safetensors" then
        entry.value, missing = blob(options.root, named, { sizes = sizes, dtype = spec.dtype })
        entry.from = entry.value and "blob" or ("made: " .. missing)
      end
      if not entry.value and structure[name] then
        entry.value, entry.from = structure[name]:to(spec.dtype), entry.from or "made"
      elseif not entry.value then
        entry.value, entry.from = random(spec, sizes, generator, options.device), entry.from or "random"
      end
      if options.device then entry.value = entry.value:to(options.device) end
    end
    list[i] = entry
  end
  return list, axes
end

return inputs
