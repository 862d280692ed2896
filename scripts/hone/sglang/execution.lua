--- What a model runs: its modules as a tree, and the calls of each forward pass in their order.
local json = require "hone.json"
local python = require "hone.python"

local M = {}

local function class_name(layer) return layer.qualname:match("[^.]*$") end

local function place(site) return ("%s:%d"):format(site.file, site.line) end

local function template(path) return (path:gsub("%.%d+%f[.%z]", ".*")) end

-- ---- definitions of a layer ------------------------------------------------------------------------------

-- The definition of each kernel that was collected, where there can be one.
local function definitions_of(collected, setting)
  local ops, by_kernel, refused = require "hone.ops", {}, {}
  for _, kernel in ipairs(collected.kernels) do
    local about = { tp = setting.tp, ep = setting.ep, models = {} }
    local definition, why = ops.build(kernel.op_type, kernel.variant, kernel.params, about)
    by_kernel[kernel] = definition
    if not definition then refused[#refused + 1] = ("a %s kernel: %s"):format(kernel.op_type, why) end
  end
  return by_kernel, refused
end

-- What a layer's kernels are called, in their order. Norms are left out on request: those that begin a stack are
-- plain and the others fused, which makes them no different modules.
local function names_of(layer, by_kernel, without_norms)
  local names = {}
  for _, run in ipairs(layer.kernels or {}) do
    local definition = by_kernel[run.kernel]
    if definition and not (without_norms and definition.op_type == "rmsnorm") then
      names[#names + 1] = definition.name
    end
  end
  return names
end

-- ---- the tree --------------------------------------------------------------------------------------------

-- Lists of layers are no modules of their own: what they hold belongs to what holds them.
local CONTAINERS = { ModuleList = true, ModuleDict = true, Sequential = true }

local function is_container(layer)
  return layer.qualname:find("^torch%.") ~= nil and CONTAINERS[class_name(layer)] or false
end

local function runs(layer) return #layer.called > 0 or #(layer.kernels or {}) > 0 end

-- Arguments that a layer was built with, those that are plain values, by name.
local function plain_arguments(layer)
  local known = {}
  for name, value in pairs(layer.arguments or {}) do
    value = python.value(value)
    local is_plain = type(value) == "number" or type(value) == "boolean" or type(value) == "string"
    if is_plain and type(name) == "string" and name ~= "prefix" then known[#known + 1] = { name, value } end
  end
  table.sort(known, function(a, b) return a[1] < b[1] end)
  return json.object(known)
end

---@class hone.sglang.ModuleNode
---@field base string # the attribute that it is; its class for a member of a stack, and for what holds the stack
---@field parent hone.sglang.ModuleNode?
---@field path string # positions in lists as *
---@field class string
---@field count integer # in the whole model
---@field order integer # of its first call
---@field definitions string[]
---@field source string? # "file:line" where it is built
---@field arguments table # plain values that it is built with
---@field is_block boolean? # others below it run

local Execution = {}
Execution.__index = Execution

-- The nearest layer above a path that is no list.
function Execution:above(path)
  while path ~= "" do
    path = path:match("^(.*)%.[^.]*$") or ""
    local layer = self.by_path[path]
    if layer and not is_container(layer) then return layer end
  end
end

function Execution:new_node(layer, above, key)
  local last = template(layer.path):match("[^.]*$")
  local is_member = last == "*"
  local node = {
    key = key,
    parent = above,
    base = (is_member or last == "") and class_name(layer) or last,
    path = template(layer.path),
    class = class_name(layer),
    count = 0,
    order = math.huge,
    definitions = {},
    source = layer.site and layer.site.file and place(layer.site) or nil,
    arguments = plain_arguments(layer),
  }
  if is_member and above then above.base = above.class end
  self.by_key[key] = node
  self.nodes[#self.nodes + 1] = node
  return node
end

-- The node of a layer: layers of one class at one place below one node are one, unless their kernels differ. What
-- the first walk found, by path, counts for those with other parallel sizes.
function Execution:node(layer, by_kernel)
  local at = layer.path .. ":" .. class_name(layer)
  local node = self.node_at[at]
  if not node then
    local parent = self:above(layer.path)
    local above = parent and self:node(parent, by_kernel)
    local variant = table.concat(names_of(layer, by_kernel, true), " ")
    local key = ("%s/%s:%s|"):format(above and above.key or "", template(layer.path), class_name(layer))
    node = self.by_key[key .. variant] or self:new_node(layer, above, key .. variant)
    self.node_at[at] = node
  end
  return node
end

local function add_once(list, values)
  for _, value in ipairs(values) do
    local known = false
    for _, present in ipairs(list) do
      known = known or present == value
    end
    if not known then list[#list + 1] = value end
  end
end

local function first_order(layer)
  local order = math.huge
  for _, call in ipairs(layer.called) do
    order = math.min(order, call.order)
  end
  return order
end

-- Counts a layer, and those above it, once for the whole model.
function Execution:count(layer, node)
  if self.counted[layer] or not self.first then return end
  self.counted[layer] = true
  node.count = node.count + layer.times
end

function Execution:add_layer(layer, by_kernel)
  if not runs(layer) or is_container(layer) then return end
  local node, order = self:node(layer, by_kernel), first_order(layer)
  add_once(node.definitions, names_of(layer, by_kernel))
  self:count(layer, node)
  node.order = math.min(node.order, order)
  local above = self:above(layer.path)
  while above do
    local outer = self:node(above, by_kernel)
    outer.is_block = true
    outer.order = math.min(outer.order, order)
    self:count(above, outer)
    above = above.path ~= "" and self:above(above.path) or nil
  end
end

-- ---- calls -----------------------------------------------------------------------------------------------

-- Definitions that a call runs in a forward pass: those of another stage are left out.
local function run_by(layer, call, by_kernel)
  local tags, found = require "hone.dataset.tags", {}
  for _, run in ipairs(layer.kernels or {}) do
    local definition, is_its = by_kernel[run.kernel], false
    for _, one in ipairs(run.calls or {}) do
      is_its = is_its or one == call
    end
    if definition and is_its then
      local stage = tags.values(definition, "stage")[1]
      if not ((stage == "decode" or stage == "prefill") and stage ~= call.mode) then
        found[#found + 1] = definition
      end
    end
  end
  return found
end

local function new_call(layer, call, node, found)
  local tags = require "hone.dataset.tags"
  local entry = {
    node = node,
    path = node.path,
    class = class_name(layer),
    count = 0,
    op_types = {},
    definitions = {},
    fi_api = {},
    call = place(call.site),
    caller = call.site["function"],
    built = node.source,
  }
  for _, definition in ipairs(found) do
    add_once(entry.op_types, { definition.op_type })
    add_once(entry.definitions, { definition.name })
    add_once(entry.fi_api, tags.values(definition, "fi_api"))
  end
  return entry
end

-- Every call of the walk by forward pass, in order; calls that only differ in the layer's index are one.
function Execution:add_calls(layers, by_kernel)
  local all = {}
  for _, layer in ipairs(layers) do
    if not is_container(layer) then
      for _, call in ipairs(layer.called) do
        all[#all + 1] = { layer = layer, call = call, index = #all }
      end
    end
  end
  table.sort(all, function(a, b)
    if a.call.order ~= b.call.order then return a.call.order < b.call.order end
    return a.index < b.index
  end)
  local seen = {}
  for _, one in ipairs(all) do
    local mode, found = one.call.mode, run_by(one.layer, one.call, by_kernel)
    local node = self:node(one.layer, by_kernel)
    local entry = new_call(one.layer, one.call, node, found)
    local key = table.concat({ mode, node.key, entry.call, table.concat(entry.definitions, " ") }, "\0")
    local known = seen[key]
    if not known then
      known, seen[key] = entry, entry
      known.layers = {}
      table.insert(self.calls[mode], known)
    end
    if not known.layers[one.layer] then
      known.layers[one.layer] = true
      known.count = known.count + one.layer.times
    end
  end
end

-- ---- the whole -------------------------------------------------------------------------------------------

-- Parents before their children, children in the order in which they first run.
local function ordered(nodes)
  local children, list = {}, {}
  for index, node in ipairs(nodes) do
    node.index = index
    local above = node.parent or false
    children[above] = children[above] or {}
    table.insert(children[above], node)
  end
  local function visit(above)
    local of = children[above] or {}
    table.sort(of, function(a, b)
      if a.order ~= b.order then return a.order < b.order end
      return a.index < b.index
    end)
    for _, node in ipairs(of) do
      list[#list + 1] = node
      visit(node)
    end
  end
  visit(false)
  return list
end

local function add_walk(execution, sources, setting, options)
  local walked, message = require("hone.sglang.walk").walk {
    package = sources.package,
    model = sources.model,
    config = sources.config,
    tp = setting.tp,
    ep = setting.ep,
    modes = options.modes,
  }
  if not walked then return nil, message end
  local collected = require("hone.sglang.kernels").collect(walked, options)
  local by_kernel, refused = definitions_of(collected, setting)
  execution.by_path = {}
  for _, layer in ipairs(walked.layers) do
    execution.by_path[layer.path] = execution.by_path[layer.path] or layer
  end
  for _, layer in ipairs(walked.layers) do
    execution:add_layer(layer, by_kernel)
  end
  if execution.first then
    execution:add_calls(walked.layers, by_kernel)
    execution.review, execution.warnings = collected.review, walked.warnings
    for _, why in ipairs(refused) do
      table.insert(execution.warnings, why)
    end
  end
  execution.first = false
  return true
end

---What a model runs, with the definitions of all serving settings together; calls are those of the first setting.
---@param sources { package: string, model: table, config: hone.ModelConfig }
---@param settings hone.sglang.Setting[] # at least one
---@param options { page_sizes: integer[], gemm_dtype: string, quantization: string?, modes: string[] }
---@return { nodes: hone.sglang.ModuleNode[], calls: table<string, table[]>, review: hone.sglang.Remark[], warnings: string[] }? execution
---@return string? message
function M.of(sources, settings, options)
  local execution = setmetatable({
    nodes = {},
    node_at = {},
    by_key = {},
    counted = {},
    calls = {},
    first = true,
  }, Execution)
  for _, mode in ipairs(options.modes) do
    execution.calls[mode] = {}
  end
  for _, setting in ipairs(settings) do
    local ok, message = add_walk(execution, sources, setting, options)
    if not ok then return nil, message end
  end
  return {
    nodes = ordered(execution.nodes),
    calls = execution.calls,
    review = execution.review,
    warnings = execution.warnings,
  }
end

return M
