--- What a workload's calls are made with. Structure (where sequences start, whose pages are whose) is the workload's
--- and stays; every other value is new for each call, from a seed that the judge alone knows. The same seed gives the
--- same values, so that inputs need not be kept to be compared with.
--
-- Drawing gigabytes anew for each call would take longer than all else. Random values come from pools, drawn once: a
-- call's input begins at a secret place of its pool, a multiple of 256 bytes, of which there are up to 65,536. So no
-- two calls see the same values, no output of one is any use for another, and a call costs one copy.
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local tensor = require "hone.tensor"
local BYTES = require("hone.dataset.definition").BYTES

local contents = {}

local Contents = {}
Contents.__index = Contents

local IS_FLOAT = { float32 = true, float16 = true, bfloat16 = true, float8_e4m3fn = true, float8_e5m2 = true }
local FEW = 1024 -- elements: fewer are parameters, which belong to the structure

-- ---- pools -----------------------------------------------------------------------------------------

local STEP = 256 -- bytes from one place of a pool to the next
local PLACES, FEW_PLACES = 1 << 16, 1 << 13 -- that an input can begin at, at the most and at the least

local function step_of(spec) return STEP // BYTES[spec.dtype] end

-- Elements beyond an input's own: as many again, and for a small one so many that its values hardly come twice.
local function slack_of(spec, count)
  return math.min(math.max(count, FEW_PLACES * step_of(spec)), PLACES * step_of(spec))
end

-- The pool of the i-th input, of at least so many elements: kept over the workloads of a definition.
local function pool_of(self, i, spec, count)
  local pools, wanted = self.options.pools, count + slack_of(spec, count)
  local key = ("%d %s"):format(i, spec.dtype)
  if not pools[key] or pools[key]:numel() < wanted then
    local generator = tensor.generator(self.options.secret())
    pools[key] = inputs.random(spec, { wanted }, generator, self.options.device)
  end
  return pools[key]
end

local function count_of(sizes)
  local count = 1
  for _, size in ipairs(sizes) do
    count = count * size
  end
  return count
end

-- A number that a seed gives for an input, as good as drawn (the finalizer of splitmix64).
local function mixed(seed, i)
  local x = seed + i * 0x9E3779B97F4A7C15
  x = (x ~ x >> 30) * 0xBF58476D1CE4E5B9
  x = (x ~ x >> 27) * 0x94D049BB133111EB
  return (x ~ x >> 31) & math.maxinteger
end

-- The values of an input that begin at a place of its pool, which the seed says: a view.
local function from_pool(self, i, spec, sizes, seed)
  local count = count_of(sizes)
  local pool, step = self.pools[i], step_of(spec)
  local place = mixed(seed, i) % (slack_of(spec, count) // step)
  return pool:narrow(1, place * step + 1, count):view(sizes)
end

-- ---- how each input comes about --------------------------------------------------------------------

-- "fixed": the same in all calls; "random": drawn; "made": by the op type's rules, anew.
local function way_of(entry, spec)
  if type(entry.value) == "table" then return "random" end
  if not tensor.is_tensor(entry.value) then return "fixed" end
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

local function is_number(spec) return spec.shape == nil or spec.shape == json.null end

-- What the worker is told of the values, in the definition's order.
local function describe(self)
  local list = {}
  for i, name in ipairs(self.inputs) do
    local spec, value = self.definition.inputs[name], self.base[i]
    list[i] = { name = name, dtype = spec.dtype }
    if self.ways[i] == "random" then
      list[i].shape = value.shape
    elseif tensor.is_tensor(value) then
      list[i].shape = value:shape()
    else
      list[i].value = value
    end
  end
  for _, name in ipairs(self.outputs) do
    local spec = self.definition.outputs[name]
    local sizes = is_number(spec) and {} or inputs.sizes(spec, self.axes)
    list[#list + 1] = { name = name, dtype = spec.dtype, shape = sizes, is_output = true }
  end
  return list
end

-- ---- making ----------------------------------------------------------------------------------------

---What calls of a definition on a workload are made with.
---@param options { root: string, device: string, seed: integer, secret: fun(): integer, pools: table, times: integer? }
---@return table? contents # { values, inputs, outputs, axes, definition, … }
---@return string? message
function contents.new(definition, workload, options)
  local made, axes = inputs.make(definition, {
    workload = workload,
    root = options.root,
    seed = options.seed,
    device = options.device,
    without_random = true,
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
    pools = {},
    variants = {},
    notes = {},
  }, Contents)
  for name, size in pairs(axes) do
    self.axes[name] = name == "batch_size" and size * times or size
  end
  for i, entry in ipairs(made) do
    local spec = definition.inputs[entry.name]
    self.ways[i] = way_of(entry, spec)
    self.redraws = self.redraws or self.ways[i] == "made"
    if self.ways[i] == "random" then
      self.base[i] = { shape = inputs.sizes(spec, self.axes) }
      self.pools[i] = pool_of(self, i, spec, count_of(self.base[i].shape))
    else
      self.base[i] = repeated(entry.value, spec, times)
    end
    local missing = entry.from:match "^made: (.*)$"
    if missing then self.notes[#self.notes + 1] = ("input %s was made: %s"):format(entry.name, missing) end
  end
  self.values = describe(self)
  return self
end

local function make_anew(self, seed)
  local o = self.options
  return assert(inputs.make(self.definition, {
    workload = self.workload,
    root = o.root,
    seed = seed,
    device = o.device,
    without_random = true,
  }))
end

local VARIANTS = 8 -- of what the op type's rules make, where other inputs are new in each call

-- What the op type's rules make of a seed; nothing where no input needs it.
local function remade(self, seed)
  if not self.redraws then return {} end
  if not next(self.pools) then return make_anew(self, seed) end
  local which = seed % VARIANTS
  self.variants[which] = self.variants[which] or make_anew(self, seed)
  return self.variants[which]
end

---The values of the inputs for a seed, in the definition's order. They are only to be read.
function Contents:make(seed)
  local made, list = remade(self, seed), {}
  for i, name in ipairs(self.inputs) do
    local spec = self.definition.inputs[name]
    if self.ways[i] == "random" then
      list[i] = from_pool(self, i, spec, self.base[i].shape, seed)
    elseif self.ways[i] == "made" then
      list[i] = repeated(made[i].value, spec, self.times)
    else
      list[i] = self.base[i]
    end
  end
  return list
end

---Fill the input tensors of a slot with the values of a seed, which are returned.
function Contents:fill(views, seed)
  local list = self:make(seed)
  for i, value in ipairs(list) do
    if views[i] then views[i]:copy_(value) end
  end
  return list
end

---The inputs that are the same in all calls, by name.
function Contents:structure()
  local structure = {}
  for i, name in ipairs(self.inputs) do
    if self.ways[i] == "fixed" then structure[name] = self.base[i] end
  end
  return structure
end

return contents
