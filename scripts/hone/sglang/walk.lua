--- Walk a model: construct it from SGLang's own source with a real config, then run its forward for prefill
--- and for decode, and note every layer that is built and every layer that runs.
local inputs = require "hone.sglang.inputs"
local python = require "hone.python"

local M = {}

-- ---- layers, and what is noted of them ---------------------------------------------------------------

---@class hone.sglang.Call
---@field mode "prefill"|"decode"
---@field residual "given"|"none"|"unknown" # whether a norm is given a residual to add
---@field order integer # its place among all calls of the walk
---@field given table<string, hone.python.Value>? # keyword arguments that are not None
---@field indexer hone.sglang.Layer? # the last that ran before it: sparse attention looks at what that picked
---@field site hone.python.Site

---@class hone.sglang.Layer
---@field qualname string # of its class
---@field mro string[] # qualified names of its class and its bases
---@field path string # module path in the model, "model.layers.0.mlp.down_proj"
---@field times integer # how many layers of the model it stands for
---@field site hone.python.Site # where it is constructed
---@field kernels { kernel: hone.sglang.Kernel, calls: hone.sglang.Call[] }[]? # what it runs, once they are collected
---@field consulted { name: string, value: hone.python.Value }[]? # attributes that were asked for, where somebody listens
local Layer = {}
Layer.__index = Layer

-- The value behind a dotted name: an attribute, or else what the constructor was given under that name.
local function value_of(layer, name)
  local value = layer
  for part in name:gmatch("[^.]+") do
    if value == layer then
      value = layer.world:attribute(layer.instance, part)
      if value == nil then value = layer.arguments[part] end
    else
      value = layer.world:attribute(value, part)
    end
    if value == nil then return nil end
  end
  if layer.consulted then table.insert(layer.consulted, { name = name, value = value }) end
  return value
end

---A number among the layer's attributes or constructor arguments, nil when there is none or it is not known.
---@param name string # dotted for an attribute of an attribute
---@return number?
function Layer:number(name)
  local value = value_of(self, name)
  return value ~= nil and python.number(value) or nil
end

---The same for a count: nil for a number with a fraction too.
---@param name string
---@return integer?
function Layer:integer(name)
  local value = self:number(name)
  return value and math.tointeger(value)
end

---A string among them; of an enumeration's member the value.
---@param name string
---@return string?
function Layer:text(name)
  local value = value_of(self, name)
  local text = value ~= nil and python.to_lua(value)
  return type(text) == "string" and text or nil
end

---Whether an attribute or constructor argument is there and not None.
---@param name string
---@return boolean
function Layer:given(name)
  local value = value_of(self, name)
  return value ~= nil and not python.is_none(value)
end

---How that number came about, "num_attention_heads 32 / TP 8 = 4".
---@param name string
---@return string?
function Layer:origin(name)
  local value = value_of(self, name)
  return value ~= nil and python.explain(value) or nil
end

---The value itself, when it is a plain one: a number, a string, a boolean.
---@param name string
---@return number|string|boolean|nil
function Layer:value(name)
  local value = value_of(self, name)
  if value == nil or python.is_unknown(value) then return nil end
  value = python.value(value)
  if type(value) == "table" then return nil end
  return value
end

---Whether an attribute or constructor argument is true.
---@param name string
---@return boolean
function Layer:flag(name) return self:value(name) == true end

---The qualified name of a method, which shows the class that has it from its base or has one of its own.
---@param name string
---@return string?
function Layer:method(name)
  local class = self.instance.cls
  if not self.world:has(class, name) then return nil end
  return self.world:qualname(self.world:get(class, name))
end

---The class of what the model's config says under a name, such as the parameters of its states' cache; nil when it
---says nothing there.
---@param name string
---@return string?
function Layer:configured(name)
  local config = self.config and self.world:call_method(self.config, "get_text_config")
  local value = config and self.world:has(config, name) and self.world:get(config, name)
  if not value or python.is_none(value) or python.is_unknown(value) then return nil end
  return self.world:class_name(value)
end

---Whether the model has given the layer's weight another form: then it is the weight of some other kernel, such as
---a convolution.
function Layer:is_reshaped()
  local weight = self.weight
  return weight ~= nil and weight.attrs ~= nil and weight.attrs.data ~= self.data
end

---The sizes of a weight that a model's own class keeps as a parameter, when it is a matrix: what such a class
---multiplies by is a linear layer.
---@return hone.python.Value? rows
---@return hone.python.Value? columns
function Layer:matrix()
  local sizes = self.data and self.data.sizes
  if not sizes or sizes.n and sizes.n ~= 2 or #sizes ~= 2 then return nil end
  if self.consulted then
    for i, name in ipairs { "weight's rows", "weight's columns" } do
      table.insert(self.consulted, { name = name, value = sizes[i] })
    end
  end
  return sizes[1], sizes[2]
end

---The layer's calls in forward, those that `wanted` accepts.
---@param wanted (fun(call: hone.sglang.Call): boolean)?
---@return hone.sglang.Call[]
function Layer:calls(wanted)
  local kept = {}
  for _, call in ipairs(self.called) do
    if not wanted or wanted(call) then kept[#kept + 1] = call end
  end
  return kept
end

-- ---- the walk ----------------------------------------------------------------------------------------

local Walk = {}
Walk.__index = Walk

-- A norm or a linear layer that is not called itself, but whose weight something reads, runs inside another kernel.
function Walk:watch_weight(layer)
  local attributes = layer.instance.attrs
  local weight = attributes.weight
  if weight == nil then return end
  layer.weight, layer.data = weight, weight.attrs and weight.attrs.data
  attributes.weight = nil
  setmetatable(attributes, {
    __index = function(_, name)
      if name ~= "weight" then return nil end
      if self.mode then
        self.calls = self.calls + 1
        local site = self.world:stack()[1]
        layer.read[#layer.read + 1] = { mode = self.mode, residual = "none", order = self.calls, site = site }
      end
      return weight
    end,
  })
end

local HAS_WEIGHT = { norm = true, linear = true, product = true }

local function has_weight(mro)
  local known = require("hone.sglang.layers").known()
  for _, class in ipairs(mro) do
    if known[class] then return HAS_WEIGHT[known[class].returns] end
  end
  return false
end

function Walk:note_construction(instance, arguments, site)
  local layer = setmetatable({
    world = self.world,
    config = self.config,
    instance = instance,
    arguments = arguments,
    site = site,
    qualname = self.world:qualname(instance),
    mro = self.world:mro(instance),
    called = {},
    read = {},
  }, Layer)
  self.layers[instance] = layer
  if has_weight(layer.mro) or layer.qualname:find "^sglang%.srt%.models%." then self:watch_weight(layer) end
end

local function residual_of(args, kwargs)
  local residual = kwargs.residual
  if residual == nil then residual = args[2] end
  if residual == nil or python.is_none(residual) then return "none" end
  if not python.is_unknown(residual) then return "given" end
  local alternatives = python.alternatives(residual)
  for _, value in ipairs(alternatives) do
    if python.is_none(value) then return "unknown" end
  end
  return #alternatives > 0 and "given" or "unknown"
end

-- Keyword arguments that are not None; nil when there are none.
local function given_in(kwargs)
  local given
  for name, value in pairs(kwargs) do
    if not python.is_none(value) then
      given = given or {}
      given[name] = value
    end
  end
  return given
end

-- What calling a layer gives; enough of it that the source after the call can be followed.
function Walk:result(returns, residual)
  if returns == "routing" then return python.unknown("topk_output") end
  if returns == "selection" or returns == "product" then return self.tensor end
  if returns == "tensor" or returns == "experts" or returns == "norm" and residual == "none" then
    return self.tensor
  end
  if returns == "linear" then return python.tuple { self.tensor, python.none() } end
  if returns == "norm" and residual == "unknown" then return python.unknown("norm()") end
  return python.tuple { self.tensor, self.tensor }
end

function Walk:note(value, call)
  local layer = type(value) == "table" and self.layers[value]
  if not layer then return end
  self.calls = self.calls + 1
  call.order = call.order or self.calls
  layer.called[#layer.called + 1] = call
end

-- An indexer has layers of its own, which run as well.
function Walk:look_into(instance, args, kwargs)
  self.indexer = self.layers[instance]
  self.inside = instance
  self.world:call_method(instance, "forward", args, kwargs)
  self.inside = nil
end

function Walk:note_call(returns, instance, args, kwargs, site)
  local residual = returns == "norm" and residual_of(args, kwargs) or nil
  if self.mode then
    local call = { mode = self.mode, residual = residual, given = given_in(kwargs), site = site }
    call.indexer = self.indexer
    self:note(instance, call)
    -- A layer that another is given runs there: the output projection in the logits processor.
    for _, argument in ipairs(args) do
      self:note(argument, call)
    end
  end
  if returns == "selection" then self:look_into(instance, args, kwargs) end
  return self:result(returns, residual)
end

-- A layer that stands for others is not run again and again.
function Walk:run_repeated(instance, args, kwargs)
  if not self.repeats or not self.mode then return nil end
  return self.repeats:run(
    instance,
    self.mode,
    args,
    kwargs,
    function(...) return (self.world:call_method(instance, "forward", ...)) end
  )
end

function Walk:hook()
  local hooks = self.world.hooks
  hooks.construct["torch.nn.Module"] = function(instance, arguments, site)
    self:note_construction(instance, arguments, site)
  end
  hooks.call["torch.nn.Module"] = function(instance, args, kwargs)
    return self:run_repeated(instance, args, kwargs)
  end
  for class, about in pairs(require("hone.sglang.layers").known()) do
    hooks.call[class] = function(instance, args, kwargs, site)
      if self.inside == instance then return nil end
      return self:note_call(about.returns, instance, args, kwargs, site)
    end
  end
end

-- Other ways in which a layer runs than its forward, and what it then returns: a norm fused with a communication or
-- a quantization, experts whose sum is left to a later kernel, routing of an empty batch. By a text in their names:
-- most functions are none of them, and texts are found faster than patterns.
local OTHER_FORWARDS = {
  [".forward_"] = {
    { "^sglang%.srt%.layers%.layernorm%.[%w_]+%.forward_with_", "norm" },
    { "^sglang%.srt%.layers%.moe%.[%w_.]+MoE%.forward_[%w_]+$", "experts" },
    { "^sglang%.srt%.layers%.moe%.[%w_.]+TopK%.forward_[%w_]+$", "routing" },
  },
  [".run_moe_core"] = { { "^sglang%.srt%.layers%.moe%.[%w_.]+MoE%.run_moe_core$", "experts" } },
  [".empty_topk_output"] = { { "^sglang%.srt%.layers%.moe%.[%w_.]+TopK%.empty_topk_output$", "routing" } },
}

local LAYERS = "sglang.srt.layers."

local function other_forward(qualname)
  if qualname:sub(1, #LAYERS) ~= LAYERS then return nil end
  for name, others in pairs(OTHER_FORWARDS) do
    for _, other in ipairs(qualname:find(name, 1, true) and others or {}) do
      if qualname:find(other[1]) then return other[2] end
    end
  end
end

-- Where a stage of a layer hands on what it computed. That is a tensor; SGLang asks whether it is one of its
-- promises of a sum.
local HANDED_ON = {
  ["sglang.srt.layers.layer_boundary.stage.StageBoundary.finish"] = true,
  ["sglang.srt.layers.layer_boundary.stage.StageBoundary.complete_now"] = true,
  ["sglang.srt.layers.layer_boundary.exit.MixerExit.finish"] = true,
  ["sglang.srt.layers.layer_boundary.exit.FfnExit.finish"] = true,
}

function Walk:hand_on()
  return function(_, args)
    if python.is_unknown(args[2]) then args[2] = self.tensor end
    return nil
  end
end

-- The class of a wrapper's language model, which SGLang looks up by transformers' names: SGLang's own class for that
-- type of model. For pictures and sound nothing is built.
function Walk:language_model_class()
  return function(_, args)
    local sources = require "hone.sglang.sources"
    local model_type = python.value(self.world:get(args[2], "model_type"))
    local module, name = sources.causal_model(self.package, model_type)
    return module and self.world:get(assert(self.world:import(module)), name) or python.unknown "media model"
  end
end

-- Layers that the backend of attention runs by their forward.
local RUN_BY_BACKEND = ".MambaMixer2.forward"

local LANGUAGE_MODEL = "._get_sgl_model_cls"

local function ends_in(text, ending) return text:sub(-#ending) == ending end

-- Notes the call and lets it run.
function Walk:watch_forward()
  return function(_, args, _, site)
    if self.mode then self:note(args[1], { mode = self.mode, site = site }) end
    return nil
  end
end

-- What stands for a function of SGLang's, nil where it is evaluated.
function Walk:override(qualname, base, builders)
  if builders[qualname] and self.repeats then return self.repeats:override() end
  if HANDED_ON[qualname] then return self:hand_on() end
  if ends_in(qualname, LANGUAGE_MODEL) then return self:language_model_class() end
  if ends_in(qualname, RUN_BY_BACKEND) then return self:watch_forward() end
  local returns = other_forward(qualname)
  if not returns then return base[qualname] end
  return function(_, args, kwargs, site)
    local rest = table.move(args, 2, #args, 1, {})
    return self:note_call(returns, args[1], rest, kwargs, site)
  end
end

-- Names are asked for again and again, and each is compared with many patterns: what was found is kept.
function Walk:overrides()
  local runtime = require "hone.sglang.runtime"
  local base = runtime.overrides(self.package, self.parallel, self.files, self.chosen)
  local builders = require("hone.sglang.repeats").BUILDERS
  local NONE, known = {}, {}
  return setmetatable({}, {
    __index = function(_, qualname)
      local found = known[qualname]
      if found == nil then
        found = self:override(qualname, base, builders)
        known[qualname] = found == nil and NONE or found
      end
      if found ~= NONE then return found end
    end,
  })
end

-- Experts are one layer, whatever modules they keep to run.
local function is_whole(mro)
  local known = require("hone.sglang.layers").known()
  for _, class in ipairs(mro) do
    if known[class] and known[class].returns == "experts" then return true end
  end
  return false
end

-- The items of a list of layers, each once, with the number of times that it stands there.
local function counted(items)
  local once, times = {}, {}
  for i, item in ipairs(items) do
    if not times[item] then once[#once + 1] = { item = item, index = i - 1 } end
    times[item] = (times[item] or 0) + 1
  end
  return once, times
end

-- Call `found(layer, path, times)` for every layer of a model, once: the attributes that lead to it, list positions
-- included, and how many layers it stands for.
function Walk:each_layer(model, found)
  local visited = {}
  local visit
  -- A layer that may be one of several, by a branch that could not be decided, is each kind of them.
  local function visit_any(value, path, times)
    if type(value) ~= "table" then return end
    local seen = {}
    for _, alternative in ipairs(python.alternatives(value)) do
      local layer = self.layers[alternative]
      if layer and not seen[layer.qualname] then
        seen[layer.qualname] = true
        visit(alternative, path, times)
      end
    end
  end
  function visit(value, path, times)
    local layer = self.layers[value]
    if not layer or visited[layer] then return end
    visited[layer] = true
    found(layer, path, times)
    if is_whole(layer.mro) then return end
    local prefix = path == "" and "" or path .. "."
    local items, counts = counted(self.world:list_items(value))
    for _, entry in ipairs(items) do
      visit_any(entry.item, prefix .. entry.index, times * counts[entry.item])
    end
    for _, attribute in ipairs(self.world:attributes(value)) do
      visit_any(attribute.value, prefix .. attribute.name, times)
    end
  end
  visit(model, "", 1)
end

-- Give every layer its path in the model.
function Walk:name_layers(model)
  local ordered = {}
  self:each_layer(model, function(layer, path, times)
    layer.path, layer.times = path, times
    ordered[#ordered + 1] = layer
  end)
  return ordered
end

local AFTER_LOADING = "post_load_weights"

-- The names of the weights of a model, those of layers that others stand for left out.
function Walk:weight_names(model)
  local names = require("hone.json").array {}
  self:each_layer(model, function(layer, path)
    if layer.weight then names[#names + 1] = path .. ".weight" end
  end)
  return python.from_lua(names)
end

-- Some models make tensors of others once the weights are there: MLA's absorbed projections. They may be told of which
-- weights: a layer that stands for others is then worked on once.
function Walk:finish_loading(model)
  local world = self.world
  if not world:has(model, AFTER_LOADING) then return end
  local has_names = self.repeats and world:takes(world:get(model, AFTER_LOADING), "weight_names")
  local done = has_names
    and world:call_method(model, AFTER_LOADING, {}, { weight_names = self:weight_names(model) })
  if not done then world:call_method(model, AFTER_LOADING) end
end

-- What loading does besides putting weights where they belong, when a model's forward cannot do without: MLA's
-- absorbed projections again. Whether this is the first time that there is something to do.
function Walk:load(model)
  if self.loaded or not self.world:has(model, "load_weights") then return false end
  self.loaded = true
  self.world:call_method(model, "load_weights", { python.from_lua(require("hone.json").array {}) })
  return true
end

function Walk:run_forward(model, mode)
  self.mode = mode
  local batch = inputs.forward_batch(self.world, mode, self.tensor, self.drafts)
  local backend = require("hone.sglang.hybrid").backend(self.world, self.ordered, mode)
  local runtime = require "hone.sglang.runtime"
  if backend then runtime.set_backend(self.world, backend) end
  if self.chosen.attention_backend == "dsa" then runtime.prepare_backend(self.world, mode) end
  local _, message = self.world:call_method(model, "forward", { self.tensor, self.tensor, batch })
  self.mode = nil
  return message
end

-- The condition of an assertion that says nothing else: what a user can act on.
local function failed_assertion(place)
  local source = place and require("hone.fs").read(place.file)
  if not source then return nil end
  local number = 0
  for line in (source .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    if number == place.line then return line:match("^%s*assert%s+(.-),?%s*$") end
  end
end

-- What may help when the config lacks a field: the class that works it out.
local WITHOUT_TRANSFORMERS = "; transformers' config class may fill it in "
  .. "(hone clone-repos --repos transformers, or HONE_TRANSFORMERS)"

-- Why the model could not be constructed, in one line.
local function refusal(message, exception, transformers)
  local condition = message:find("^AssertionError at ") and failed_assertion(exception and exception.stack[1])
  if condition then
    return message:gsub("^AssertionError", ("its source asserts %s"):format(condition:gsub("%%", "%%%%")), 1)
  end
  local missing = message:match("^AttributeError: (config .*)$")
  if missing then return missing .. (transformers and "" or WITHOUT_TRANSFORMERS) end
  return message
end

---@class hone.sglang.Walked
---@field layers hone.sglang.Layer[] # in the order of the model's attributes
---@field warnings string[] # what could not be followed
---@field unknown { kind: string, what: string?, count: integer, first: string }[] # constructs met and not known
---@field files { path: string, bytes: integer }[] # sources read
---@field steps integer # evaluated

-- The world in which a model's source is evaluated, and the folder of transformers' sources in it.
local function open_world(walk, options)
  local classes, runtime = require "hone.sglang.config_classes", require "hone.sglang.runtime"
  local transformers, message = classes.transformers(options.transformers)
  if message then return nil, message end
  local packages, opaque = classes.packages(transformers)
  packages.sglang = options.package
  table.move(runtime.OPAQUE, 1, #runtime.OPAQUE, #opaque + 1, opaque)
  local tensors
  walk.tensor, tensors = inputs.tensor()
  local world = python.abstract {
    packages = packages,
    opaque = opaque,
    externals = runtime.externals(tensors),
    overrides = walk:overrides(),
  }
  for name, value in pairs(inputs.externals(world, walk.tensor)) do
    world.externals[name] = value
  end
  return world, transformers
end

-- The model's class.
local function class_of(world, model)
  local module, message = world:import(model.module)
  local class = module and world:get(module, model.class)
  if class then return class end
  return nil, message or ("no class %s in %s"):format(model.class, model.module)
end

-- A head that drafts tokens for a model to verify, by SGLang's names for them.
local function is_draft_head(class)
  return (class:find "NextN$" or class:find "MTP$" or class:find "Eagle%d*$" or class:find "^Eagle") ~= nil
end

-- One walk; with `repeats`, layers that do not differ are one object.
local function attempt(options, repeats)
  local walk = setmetatable({
    package = options.package,
    parallel = { tp = options.tp, ep = options.ep },
    repeats = repeats,
    chosen = {},
    layers = {},
    calls = 0,
    files = {},
  }, Walk)
  local world, transformers = open_world(walk, options)
  if not world then return nil, transformers end
  walk.world = world
  walk:hook()

  -- The config's class first: it sets up what the model's source imports from transformers.
  local model
  local config, message, exception =
    inputs.config(world, options.config, { package = options.package, transformers = transformers })
  local class, why = class_of(world, options.model)
  if not class then return nil, why end
  if config then
    walk.drafts = is_draft_head(options.model.class)
    walk.config = not options.config.open and config or nil
    require("hone.sglang.runtime").start(world, config, walk.chosen)
    local quantized
    local quantization = require "hone.sglang.quantization"
    quantized, walk.unquantized = quantization.object(world, options.package, options.config.data, class)
    model, message, exception = world:call(class, {}, { config = config, quant_config = quantized })
  end
  if not model then
    local parallel = options.tp > 1 and (" with TP %d"):format(options.tp) or ""
    return nil,
      ("cannot construct %s%s: %s"):format(
        options.model.class,
        parallel,
        refusal(message, exception, transformers)
      )
  end

  if repeats then repeats:settle(world, walk.layers) end
  if repeats and repeats.spoilt then return nil end

  walk:finish_loading(model)
  local warnings = { walk.unquantized }
  local layers = walk:name_layers(model)
  require("hone.sglang.experts").pair(layers, require("hone.sglang.serving").expert_formats(options.config))
  walk.ordered = layers
  for _, mode in ipairs(options.modes) do
    message = walk:run_forward(model, mode)
    if message and walk:load(model) then message = walk:run_forward(model, mode) end
    if message then
      warnings[#warnings + 1] = ("forward for %s could not be followed: %s"):format(mode, message)
    end
  end
  for _, layer in ipairs(layers) do
    if #layer.called == 0 and not layer:is_reshaped() then layer.called = layer.read end
  end
  return {
    layers = layers,
    warnings = warnings,
    unknown = world:unknown_constructs(),
    files = table.move(world.report.files, 1, #world.report.files, #walk.files + 1, walk.files),
    steps = world.report.steps,
  }
end

---Walk a model.
---@param options { package: string, model: { module: string, class: string }, config: hone.ModelConfig, tp: integer, ep: integer, modes: string[] }
---@return hone.sglang.Walked? walked
---@return string? message
function M.walk(options)
  local paused <close> = require("hone.garbage").pause() -- luacheck: ignore 211
  local named_layers = require("hone.sglang.quantization").named_layers(options.config.data)
  local repeats = require("hone.sglang.repeats").new(named_layers)
  local walked, message = attempt(options, repeats)
  if repeats.spoilt then return attempt(options, nil) end
  return walked, message
end

return M
