--- Inputs of a definition: a workload's, or made for any sizes of its axes. What has structure (where sequences
--- start, which pages are theirs, how tokens are routed) is made by the op type's own rules; the rest is random.
local json = require "hone.json"
local tensor = require "hone.tensor"
local concrete = require "hone.python.concrete"
local axis_value = require("hone.dataset.definition").axis_value

local inputs = {}

local DEFAULT_SIZE = 16 -- of an axis that nobody names, and no op type
local SMALL_FLOATS = { float8_e4m3fn = true, float8_e5m2 = true }
local DRAWN = { float16 = true, bfloat16 = true, float8_e4m3fn = true, float8_e5m2 = true, float32 = true }
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
function inputs.random(spec, sizes, generator, device)
  local dtype = spec.dtype
  local options = { generator = generator, device = device }
  if RANGES[dtype] then
    local low, high = table.unpack(RANGES[dtype])
    return tensor.randint(low, high, sizes, options):to(dtype)
  end
  if dtype == "float4_e2m1" then
    sizes[#sizes] = sizes[#sizes] * 2
    return tensor.randn(sizes, options):clamp(-2, 2):pack_float4()
  end
  -- What is drawn into a smaller type is what float32 numbers are rounded to; 2 is a number of every type.
  options.dtype = DRAWN[dtype] and dtype
  local drawn = tensor.randn(sizes, options)
  if SMALL_FLOATS[dtype] then drawn:clamp_(-2, 2) end
  return drawn:to(dtype)
end

---Elements from which on a reference writes into no input.
inputs.LARGE = 1 << 26

-- Elements between the first of one window and the first of the next: a prime, so that no row of a matrix lies where
-- a row of the next one does.
local STEP = 4099

local function fits_windows(spec, sizes)
  local count = 1
  for _, size in ipairs(sizes) do
    count = count * size
  end
  return #sizes > 2 and count >= inputs.LARGE and sizes[1] * STEP < count and DRAWN[spec.dtype]
end

-- The same for a tensor of many matrices, each a window of one run of random values that begins a little after the
-- one before: all of them differ everywhere, in hardly more memory than one of them has. Nobody can write into it.
local function random_windows(spec, sizes, generator, device)
  local strides, count = {}, 1
  for d = #sizes, 2, -1 do
    strides[d], count = count, count * sizes[d]
  end
  strides[1] = STEP
  local run = inputs.random(spec, { count + STEP * (sizes[1] - 1) }, generator, device)
  return run:as_strided(sizes, strides, 0)
end

---The sizes of a tensor's dimensions.
function inputs.sizes(spec, axes)
  local sizes = {}
  for i, axis in ipairs(spec.shape) do
    sizes[i] = axes[axis]
  end
  return sizes
end

-- ---- blobs -----------------------------------------------------------------------------------------

local function blob_path(root, spec)
  return spec.path:sub(1, 1) == "/" and spec.path or require("hone.fs").join(root or ".", spec.path)
end

-- Why a workload's file is not here: it was left out, or git has a pointer to it. Nil where it is.
local function absence(root, spec)
  local fs, path = require "hone.fs", blob_path(root, spec)
  if not fs.is_file(path) then return "its file is not there" end
  local file <close> = io.open(path, "rb")
  return require("hone.lfs_pointer").message(path, file and file:read(200) or "")
end

-- The tensor that a workload names, nil and what is wrong with it.
local function blob(root, spec, wanted)
  local file <close>, why = require("hone.safetensors").open(blob_path(root, spec))
  if not file then return nil, why end
  local t
  t, why = file:tensor(spec.tensor_key)
  if not t then return nil, why end
  local shape, expected = table.concat(t:shape(), ", "), table.concat(wanted.sizes, ", ")
  if shape ~= expected or t.dtype ~= wanted.dtype then
    local text = "%s in %s is %s [%s], not %s [%s]"
    return nil, text:format(spec.tensor_key, spec.path, t.dtype, shape, wanted.dtype, expected)
  end
  return t:clone()
end

local function kind_of(spec)
  return spec and (spec.type or spec.path and "safetensors" or spec.value ~= nil and "scalar") or "random"
end

---The inputs of a workload whose files are not here, so that they will be made: { name, why } each.
function inputs.absent(workload, root)
  local list = {}
  for _, name in ipairs(json.keys(workload.inputs)) do
    local named = workload.inputs[name]
    local why = kind_of(named) == "safetensors" and absence(root, named)
    if why then list[#list + 1] = { name = name, why = why } end
  end
  return list
end

-- ---- all inputs ------------------------------------------------------------------------------------

-- A number where the definition has no tensor.
local function scalar(name, structure, dtype)
  local value = structure[name]
  if value ~= nil then return value end
  return dtype:find "float" and 1.0 or 1
end

-- A tensor and where it comes from: a workload's file, the op type's rules, or chance.
local function make_tensor(making, name, spec, named)
  local options, from = making.options, nil
  local sizes = inputs.sizes(spec, making.axes)
  if kind_of(named) == "safetensors" then
    local missing = absence(options.root, named)
    if not missing then
      local value, why = blob(options.root, named, { sizes = sizes, dtype = spec.dtype })
      if not value then error(why, 0) end
      return value, "blob"
    end
    from = "made: " .. missing
  end
  local structured = making.structure[name]
  if structured then return structured:to(spec.dtype), from or "made" end
  if options.without_random then return { shape = sizes }, from or "random" end
  local draw = options.windows and fits_windows(spec, sizes) and random_windows or inputs.random
  return draw(spec, sizes, making.generator, options.device), from or "random"
end

local function make_input(making, name)
  local spec, workload = making.definition.inputs[name], making.options.workload
  local named = workload and workload.inputs[name]
  if kind_of(named) == "scalar" then return named.value, "workload" end
  if spec.shape == nil or spec.shape == json.null then
    return scalar(name, making.structure, spec.dtype), "made"
  end
  local value, from = make_tensor(making, name, spec, named)
  local is_there = making.options.device and tensor.is_tensor(value)
  return is_there and value:to(making.options.device) or value, from
end

-- A device that is not there, and too little memory, are raised where a tensor is made.
local function make_all(definition, options, axes)
  local generator, op = tensor.generator(options.seed or 0), op_of(definition)
  local helper = require("hone.ops.parts.making").new(generator)
  local structure = op and op.make_inputs and op.make_inputs(definition, axes, helper) or {}
  local making =
    { definition = definition, options = options, axes = axes, generator = generator, structure = structure }
  local list = {}
  for i, name in ipairs(json.keys(definition.inputs)) do
    local value, from = make_input(making, name)
    list[i] = { name = name, value = value, from = from }
  end
  return list
end

---All inputs in the definition's order, and where each comes from: "workload", "blob", "made by the op type's
---rules", "random".
---@param definition table
---@param options? { axes: table<string, integer>?, workload: table?, root: string?, seed: integer?, device: string?, windows: boolean? }
---@return { name: string, value: any, from: string }[]? list
---@return table<string, integer>|string axes # or the message
function inputs.make(definition, options)
  options = options or {}
  local workload = options.workload
  local axes, why = inputs.axes(definition, workload and workload.axes or options.axes)
  if not axes then return nil, why end
  local made, result = pcall(make_all, definition, options, axes)
  if made then return result, axes end
  if type(result) ~= "string" or result:find "interrupted" then error(result, 0) end
  return nil,
    ("cannot make the inputs of %s: %s"):format(definition.name, (result:gsub("^[^%s:]+:%d+: ", "")))
end

return inputs
