--- From the layers of a walked model to the kernels it runs.
local M = {}

---@class hone.sglang.Kernel
---@field op_type string
---@field variant string
---@field params table<string, any> # as hone.ops.build takes them
---@field origins table<string, string> # the arithmetic behind constants
---@field modules { path: string, count: integer, file: string, line: integer }[] # layers that run it
---@field calls { file: string, line: integer, modes: table<string, true> }[] # where they are called, each place once
---@field consulted { name: string, value: hone.python.Value }[] # attributes of the layer that its parameters come from

---@class hone.sglang.Remark
---@field path string # module path, positions in lists as *
---@field class string
---@field count integer
---@field file string
---@field line integer
---@field why string

local function template(path) return (path:gsub("%.%d+%f[.%z]", ".*")) end

local function class_name(layer) return layer.qualname:match("[^.]*$") end

-- ---- lists that count equal entries ------------------------------------------------------------------

local function add_module(modules, layer)
  local path = template(layer.path)
  for _, module in ipairs(modules) do
    if module.path == path and module.line == layer.site.line and module.file == layer.site.file then
      module.count = module.count + layer.times
      return
    end
  end
  modules[#modules + 1] = { path = path, count = layer.times, file = layer.site.file, line = layer.site.line }
end

local function add_remark(remarks, layer, why)
  local path = template(layer.path)
  for _, remark in ipairs(remarks) do
    if remark.path == path and remark.why == why then
      remark.count = remark.count + layer.times
      return
    end
  end
  local site = layer.site
  local class = class_name(layer)
  remarks[#remarks + 1] =
    { path = path, class = class, count = layer.times, file = site.file, line = site.line, why = why }
end

local function add_calls(places, calls)
  for _, call in ipairs(calls) do
    local key = call.site.file .. ":" .. call.site.line
    local place = places[key]
    if not place then
      place = { file = call.site.file, line = call.site.line, modes = {} }
      places[key] = place
      places[#places + 1] = place
    end
    if call.mode then place.modes[call.mode] = true end
  end
end

local function identity(op_type, kernel)
  local parts = { op_type, kernel.variant }
  local names = {}
  for name in pairs(kernel.params) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = name .. "=" .. tostring(kernel.params[name])
  end
  return table.concat(parts, " ")
end

local Found = {}
Found.__index = Found

function Found:add_kernel(op_type, kernel, layer)
  local key = identity(op_type, kernel)
  local entry = self.by_identity[key]
  if not entry then
    entry = { op_type = op_type, variant = kernel.variant, params = kernel.params, origins = kernel.origins }
    entry.modules, entry.calls, entry.consulted = {}, {}, layer.consulted
    self.by_identity[key] = entry
    self.kernels[#self.kernels + 1] = entry
  end
  add_module(entry.modules, layer)
  add_calls(entry.calls, kernel.calls)
  table.insert(layer.kernels, { kernel = entry, calls = kernel.calls })
end

-- ---- layers ------------------------------------------------------------------------------------------

-- What a layer counts as when no op type knows it: one that hone knows of, or one to look at.
local function about(layer, known)
  for _, class in ipairs(layer.mro) do
    if known[class] then return known[class] end
  end
end

-- A layer made of others is looked into; so are the classes of model files.
local function is_composite(layer, layers)
  if layer.qualname:find("^sglang%.srt%.models%.") then return true end
  local prefix = layer.path == "" and "" or layer.path .. "."
  for _, other in ipairs(layers) do
    if other ~= layer and other.path:sub(1, #prefix) == prefix then return true end
  end
  return false
end

-- The parts of a model by path in which layers are known, and those in which one has run: { known, awake }.
local function parts_of(layers, known)
  local parts = { known = {}, awake = {} }
  for _, layer in ipairs(layers) do
    if about(layer, known) then
      for last in layer.path:gmatch "()%." do
        local part = layer.path:sub(1, last - 1)
        parts.known[part] = true
        parts.awake[part] = parts.awake[part] or #layer.called > 0
      end
    end
  end
  return parts
end

-- Whether a layer that nobody knows belongs to a part of the model that has not run, as a vision tower does when the
-- batch is text.
local function is_asleep(layer, parts)
  for last in layer.path:gmatch "()%." do
    local part = layer.path:sub(1, last - 1)
    if parts.known[part] and not parts.awake[part] then return true end
  end
  return false
end

-- Layers of torch that compute nothing.
local IDLE = { Identity = true, Dropout = true, ModuleList = true, ModuleDict = true, Sequential = true }

local function is_idle(layer)
  if layer.qualname:find("^torch%.") then return IDLE[class_name(layer)] end
  return class_name(layer) == "PPMissingLayer"
end

local UNUSED = "built, and not run"

function Found:add_layer(layer, settings, known, layers, parts)
  layer.kernels = {}
  local op_types = require("hone.sglang.layers").op_types(layer.mro)
  -- A model's own class that multiplies by a weight of its own, such as a gate.
  if #op_types == 0 and #layer.called > 0 and layer:matrix() then
    op_types = require("hone.sglang.layers").op_types { "torch.nn.functional.linear" }
  end
  local note = about(layer, known)
  if note and #layer.called == 0 and layer:is_reshaped() then
    add_remark(self.noted, layer, "holds the weight of another kernel")
  elseif note and #layer.called == 0 then
    add_remark(self.unused, layer, UNUSED)
  elseif #op_types > 0 then
    for _, op in ipairs(op_types) do
      layer.consulted = {}
      local kernels, why = op.kernels(layer, settings)
      if why then add_remark(self.review, layer, why) end
      for _, kernel in ipairs(kernels or {}) do
        self:add_kernel(op.op_type, kernel, layer)
      end
    end
  elseif note and note.note then
    add_remark(self.noted, layer, note.note)
  elseif note or not is_composite(layer, layers) and not is_idle(layer) then
    local asleep = not note and is_asleep(layer, parts)
    add_remark(
      asleep and self.unused or self.review,
      layer,
      asleep and UNUSED or "no op type knows this layer"
    )
  end
end

---@class hone.sglang.Kernels
---@field kernels hone.sglang.Kernel[] # in the order in which the model's layers first run them
---@field noted hone.sglang.Remark[] # layers that run, and for which no definition is written by choice
---@field review hone.sglang.Remark[] # layers that nobody knows: to be looked at
---@field unused hone.sglang.Remark[] # layers that are built and never run

---The kernels of a walked model.
---@param walked hone.sglang.Walked
---@param settings { page_sizes: integer[], gemm_dtype: string, quantization: string? }
---@return hone.sglang.Kernels
function M.collect(walked, settings)
  local found = { kernels = {}, by_identity = {}, noted = {}, review = {}, unused = {} }
  setmetatable(found, Found)
  local known = require("hone.sglang.layers").known()
  -- After a warning, what has not run may only not have been reached.
  local parts = parts_of(#walked.warnings == 0 and walked.layers or {}, known)
  for _, layer in ipairs(walked.layers) do
    found:add_layer(layer, settings, known, walked.layers, parts)
  end
  return { kernels = found.kernels, noted = found.noted, review = found.review, unused = found.unused }
end

return M
