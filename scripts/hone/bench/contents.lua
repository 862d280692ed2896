--- What a workload's calls are made with. Structure (where sequences start, whose pages are whose) is the workload's
--- and stays; every other value is drawn anew for each call, from a seed that the judge alone knows. The same seed
--- gives the same values, so that inputs need not be kept to be compared with.
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local tensor = require "hone.tensor"

local contents = {}

local Contents = {}
Contents.__index = Contents

local NORMAL = { float32 = true, float16 = true, bfloat16 = true } -- drawn in place
local IS_FLOAT = { float32 = true, float16 = true, bfloat16 = true, float8_e4m3fn = true, float8_e5m2 = true }
local FEW = 1024 -- elements: fewer are parameters, which belong to the structure

-- ---- how each input comes about --------------------------------------------------------------------

-- "fixed": the same in all calls; "random": drawn; "made": by the op type's rules, anew.
local function way_of(entry, spec)
  if not tensor.is_tensor(entry.value) then return "fixed" end
  if entry.from == "random" then return "random" end
  local is_made = entry.from:find "^made" ~= nil and (IS_FLOAT[spec.dtype] or spec.dtype == "int8")
  return is_made and entry.value:numel() >= FEW and "made" or "fixed"
end

-- Whole rows of a batch, so many times over.
local function repeated(value, spec, times)
  local along = spec.shape ~= json.null and spec.shape and spec.shape[1]
  if times == 1 or not tensor.is_tensor(value) or along ~= "batch_size" then return value end
  local copies = {}
  for i = 1, times do
    copies[i] = value
  end
  return tensor.cat(copies, 1)
end

local function sizes_of(spec, axes)
  local sizes = {}
  for i, axis in ipairs(spec.shape) do
    sizes[i] = axes[axis]
  end
  return sizes
end

local function is_number(spec) return spec.shape == nil or spec.shape == json.null end

-- What the worker is told of the values, in the definition's order.
local function describe(self)
  local list = {}
  for i, name in ipairs(self.inputs) do
    local spec, value = self.definition.inputs[name], self.base[i]
    list[i] = { name = name, dtype = spec.dtype }
    if tensor.is_tensor(value) then
      list[i].shape = value:shape()
    else
      list[i].value = value
    end
  end
  for _, name in ipairs(self.outputs) do
    local spec = self.definition.outputs[name]
    local sizes = is_number(spec) and {} or sizes_of(spec, self.axes)
    list[#list + 1] = { name = name, dtype = spec.dtype, shape = sizes, is_output = true }
  end
  return list
end

-- ---- making ----------------------------------------------------------------------------------------

---What calls of a definition on a workload are made with.
---@param options { root: string, device: string, seed: integer, times: integer? }
---@return table? contents # { values, inputs, outputs, axes, definition, … }
---@return string? message
function contents.new(definition, workload, options)
  local made, axes = inputs.make(definition, {
    workload = workload,
    root = options.root,
    seed = options.seed,
    device = options.device,
  })
  if not made then return nil, axes end
  local times = options.times or 1
  local self = setmetatable({
    definition = definition,
    workload = workload,
    options = options,
    times = times,
    axes = {},
    inputs = json.keys(definition.inputs),
    outputs = json.keys(definition.outputs),
    base = {},
    ways = {},
    notes = {},
  }, Contents)
  for name, size in pairs(axes) do
    self.axes[name] = name == "batch_size" and size * times or size
  end
  for i, entry in ipairs(made) do
    local spec = definition.inputs[entry.name]
    self.base[i] = repeated(entry.value, spec, times)
    self.ways[i] = way_of(entry, spec)
    self.redraws = self.redraws or self.ways[i] == "made"
    local missing = entry.from:match "^made: (.*)$"
    if missing then self.notes[#self.notes + 1] = ("input %s was made: %s"):format(entry.name, missing) end
  end
  self.values = describe(self)
  return self
end

-- What the op type's rules make of a seed; nothing where no input needs it.
local function remade(self, seed)
  if not self.redraws then return {} end
  local o = self.options
  local list = assert(inputs.make(self.definition, {
    workload = self.workload,
    root = o.root,
    seed = seed,
    device = o.device,
  }))
  return list
end

---The values of the inputs for a seed, in the definition's order.
function Contents:make(seed)
  local generator, made, list = tensor.generator(seed), remade(self, seed), {}
  for i, name in ipairs(self.inputs) do
    local spec = self.definition.inputs[name]
    list[i] = self.base[i]
    if self.ways[i] == "random" then
      list[i] = inputs.random(spec, self.base[i]:shape(), generator, self.options.device)
    elseif self.ways[i] == "made" then
      list[i] = repeated(made[i].value, spec, self.times)
    end
  end
  return list
end

---Fill the tensors of a slot with values that nobody needs to know again.
function Contents:fill(views, seed)
  local generator, made = tensor.generator(seed), remade(self, seed)
  for i, name in ipairs(self.inputs) do
    local view, spec = views[i], self.definition.inputs[name]
    if not view then
      goto continue
    elseif self.ways[i] == "random" and NORMAL[spec.dtype] then
      view:normal_(0, 1, generator)
    elseif self.ways[i] == "random" then
      view:copy_(inputs.random(spec, view:shape(), generator, self.options.device))
    elseif self.ways[i] == "made" then
      view:copy_(repeated(made[i].value, spec, self.times))
    else
      view:copy_(self.base[i])
    end
    ::continue::
  end
end

return contents
