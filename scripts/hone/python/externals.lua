--- Models of the few classes outside the packages that model sources build on: torch.nn's containers and
--- layers. Everything else of torch is unknown.
---
--- A model here is only as deep as constructing needs: a module keeps its attributes, calling it runs
--- forward, parameters are unknown tensors.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local items = require "hone.python.items"

local types, None = core.types, core.None
local plain = unknown.plain
local externals = {}

local function module_class(name, bases)
  local class = core.make_class(name, bases)
  class.qualname, class.module, class.builtin = "torch.nn." .. name, "torch.nn", true
  class.is_external = true -- hooks are told of its instances too
  return class
end

local function instance(class) return { cls = class, attrs = {}, names = {} } end

-- ---- torch.nn.Module ----------------------------------------------------------------------------

local function is_module(v, base)
  return type(v) == "table" and not v.unknown and not v.mro and v.cls and core.is_subclass(v.cls, base)
end

---The children of a module, in order: { name, module }.
local function children(self, base)
  local list = {}
  if self.vals then
    for k, v in dict.each(self) do
      if is_module(v, base) then list[#list + 1] = { k, v } end
    end
  end
  for i = 1, self.n or 0 do
    if is_module(self[i], base) then list[#list + 1] = { tostring(i - 1), self[i] } end
  end
  for _, name in ipairs(self.names or {}) do
    local v = self.attrs[name]
    if is_module(v, base) then list[#list + 1] = { name, v } end
  end
  return list
end

local function walk(self, base, prefix, list, seen)
  if seen[self] then return list end
  seen[self] = true
  list[#list + 1] = core.tuple { prefix, self }
  core.charge(1)
  for _, child in ipairs(children(self, base)) do
    walk(child[2], base, prefix == "" and child[1] or prefix .. "." .. child[1], list, seen)
  end
  return list
end

local function itself(args) return args[1] end

local UNKNOWN_METHODS = {
  "parameters",
  "named_parameters",
  "buffers",
  "named_buffers",
  "state_dict",
  "load_state_dict",
  "register_forward_hook",
  "register_forward_pre_hook",
  "register_full_backward_hook",
}

---module(...): runs forward, whose hooks the call sees.
local function call_forward(args, kw)
  local self = args[1]
  local forward, owner = core.lookup(self.cls, "forward")
  local own = self.attrs and self.attrs.forward
  if own ~= nil then
    table.remove(args, 1)
    args.n = args.n - 1
    return core.call(own, args, kw)
  end
  if forward == nil then return unknown.new(self.cls.name .. "()") end
  if owner.builtin then
    local v = core.forward_hook(args, kw)
    if v ~= nil then return v end
    return core.call(forward, args, kw)
  end
  if type(forward) == "table" and forward.code then return core.call(forward, args, kw) end
  table.remove(args, 1)
  args.n = args.n - 1
  return core.call(object.bind(forward, owner, self, self.cls), args, kw)
end

local Module = module_class("Module", { types.object })
core.methods(Module, {
  __init__ = function() return None end,
  __call__ = call_forward,
  register_buffer = function(args, kw)
    object.store(args[1], plain(args[2] or kw.map.name), args[3] or kw and kw.map.tensor or None)
  end,
  register_parameter = function(args, kw)
    object.store(args[1], plain(args[2] or kw.map.name), args[3] or kw and kw.map.param or None)
  end,
  add_module = function(args) object.store(args[1], plain(args[2]), args[3]) end,
  register_module = function(args) object.store(args[1], plain(args[2]), args[3]) end,
  children = function(args)
    local list = {}
    for i, child in ipairs(children(args[1], Module)) do
      list[i] = child[2]
    end
    return core.list(list)
  end,
  named_children = function(args)
    local list = {}
    for i, child in ipairs(children(args[1], Module)) do
      list[i] = core.tuple { child[1], child[2] }
    end
    return core.list(list)
  end,
  named_modules = function(args) return core.list(walk(args[1], Module, "", {}, {})) end,
  modules = function(args)
    local list = walk(args[1], Module, "", {}, {})
    for i, pair in ipairs(list) do
      list[i] = pair[2]
    end
    return core.list(list)
  end,
  apply = function(args) return args[1] end,
  get_submodule = function(args)
    local v = args[1]
    for name in plain(args[2]):gmatch("[^.]+") do
      v = object.getattr(v, name)
    end
    return v
  end,
  extra_repr = function() return "" end,
  _get_name = function(args) return args[1].cls.name end,
}, true)
for _, name in ipairs {
  "to",
  "eval",
  "train",
  "cuda",
  "cpu",
  "half",
  "float",
  "bfloat16",
  "requires_grad_",
  "type",
} do
  Module.dict[name] = core.builtin(name, itself, true)
end
for _, name in ipairs(UNKNOWN_METHODS) do
  Module.dict[name] = core.builtin(name, function() return unknown.new(name .. "()") end, true)
end
Module.dict.training = false

-- ---- containers ---------------------------------------------------------------------------------

local function make_module_list()
  local ModuleList = module_class("ModuleList", { Module, types.list })
  ModuleList.construct = function(class, args, kw)
    local given = args[1] or kw and kw.map.modules
    local list = given and given ~= None and items.collect(given) or { n = 0 }
    list.cls, list.attrs, list.names = class, {}, {}
    -- How many layers there are is not known: keep the one that was tried.
    if given and list.n == 0 and unknown.is(given) and given.element then
      list[1], list.n = given.element, 1
    end
    return list
  end
  ModuleList.dict.__init__ = core.builtin("__init__", function(args)
    local list = args[2] and args[2] ~= None and items.collect(args[2])
    for i = 1, list and list.n or 0 do
      core.call_method(args[1], "append", list[i])
    end
  end, true)
  return ModuleList
end

local function make_sequential()
  local Sequential = module_class("Sequential", { Module, types.list })
  Sequential.construct = function(class, args)
    local list = { cls = class, n = args.n, attrs = {}, names = {} }
    table.move(args, 1, args.n, 1, list)
    if args.n == 1 and type(args[1]) == "table" and args[1].vals then
      list.n = 0
      for _, v in dict.each(args[1]) do
        list.n = list.n + 1
        list[list.n] = v
      end
    end
    return list
  end
  Sequential.dict.forward = core.builtin("forward", function(args)
    local x = args[2]
    for i = 1, args[1].n do
      x = core.call(args[1][i], { x, n = 1 })
    end
    return x
  end, true)
  return Sequential
end

local function make_module_dict()
  local ModuleDict = module_class("ModuleDict", { Module, types.dict })
  ModuleDict.construct = function(class, args)
    local d = dict.new(class)
    d.attrs, d.names = {}, {}
    if type(args[1]) == "table" and args[1].vals then
      for k, v in dict.each(args[1]) do
        dict.set(d, k, v)
      end
    end
    return d
  end
  return ModuleDict
end

-- ---- layers -------------------------------------------------------------------------------------

---A layer that keeps its arguments as attributes; what else is asked of it is unknown.
local function layer(Parameter, name, parameters, has_weight)
  local class = module_class(name, { Module })
  class.open = true
  local function keep(self, args, kw, from)
    for i, parameter in ipairs(parameters) do
      local v = args[i + from - 1]
      if v == nil and kw then v = kw.map[parameter] end
      if v ~= nil then object.store(self, parameter, v) end
    end
    if has_weight then object.store(self, "weight", { cls = Parameter, attrs = {}, names = {} }) end
  end
  class.construct = function(actual, args, kw)
    local self = instance(actual)
    local init = core.lookup_own(actual, "__init__")
    if not init then keep(self, args, kw, 1) end
    return self
  end
  class.dict.__init__ = core.builtin("__init__", function(args, kw) keep(args[1], args, kw, 2) end, true)
  class.dict.forward = core.builtin("forward", function() return unknown.new(name .. "()") end, true)
  return class
end

local LAYERS = {
  { "Linear", { "in_features", "out_features", "bias" }, true },
  { "Embedding", { "num_embeddings", "embedding_dim" }, true },
  { "LayerNorm", { "normalized_shape", "eps" }, true },
  { "RMSNorm", { "normalized_shape", "eps" }, true },
  { "GroupNorm", { "num_groups", "num_channels", "eps" }, true },
  { "Conv1d", { "in_channels", "out_channels", "kernel_size", "stride" }, true },
  { "Conv2d", { "in_channels", "out_channels", "kernel_size", "stride" }, true },
  { "Conv3d", { "in_channels", "out_channels", "kernel_size", "stride" }, true },
  { "ConvTranspose1d", { "in_channels", "out_channels", "kernel_size", "stride" }, true },
  { "ConvTranspose2d", { "in_channels", "out_channels", "kernel_size", "stride" }, true },
  { "BatchNorm1d", { "num_features" }, true },
  { "BatchNorm2d", { "num_features" }, true },
  { "Dropout", { "p" } },
  { "SiLU", {} },
  { "GELU", {} },
  { "ReLU", {} },
  { "Tanh", {} },
  { "Sigmoid", {} },
  { "Softmax", { "dim" } },
  { "Softplus", {} },
  { "AvgPool1d", { "kernel_size" } },
  { "AvgPool2d", { "kernel_size" } },
  { "AdaptiveAvgPool1d", {} },
  { "AdaptiveAvgPool2d", {} },
  { "MultiheadAttention", { "embed_dim", "num_heads" }, true },
  { "Upsample", {} },
  { "Flatten", {} },
  { "PixelShuffle", {} },
  { "PixelUnshuffle", {} },
  { "LeakyReLU", {} },
  { "ELU", {} },
  { "Hardtanh", {} },
  { "GLU", {} },
  { "CrossEntropyLoss", {} },
  { "MaxPool2d", {} },
}

local function make_identity()
  local Identity = module_class("Identity", { Module })
  Identity.dict.__init__ = core.builtin("__init__", function() return None end, true)
  Identity.construct = function(class) return instance(class) end
  Identity.dict.forward = core.builtin("forward", function(args) return args[2] or None end, true)
  return Identity
end

local function make_all()
  local Parameter = module_class("Parameter", { types.object })
  Parameter.open, Parameter.opens_heirs = true, true -- what its subclasses lack is unknown too
  Parameter.construct = function(class, args, kw)
    local self = instance(class)
    object.store(self, "data", args[1] or kw and kw.map.data or unknown.new("data"))
    return self
  end
  local known = {
    ["torch.nn.Module"] = Module,
    ["torch.nn.modules.module.Module"] = Module,
    ["torch.nn.modules.Module"] = Module,
    ["torch.nn.Parameter"] = Parameter,
    ["torch.nn.parameter.Parameter"] = Parameter,
    ["torch.nn.ModuleList"] = make_module_list(),
    ["torch.nn.Sequential"] = make_sequential(),
    ["torch.nn.ModuleDict"] = make_module_dict(),
    ["torch.nn.Identity"] = make_identity(),
  }
  known["torch.nn.modules.container.ModuleList"] = known["torch.nn.ModuleList"]
  for _, entry in ipairs(LAYERS) do
    known["torch.nn." .. entry[1]] = layer(Parameter, entry[1], entry[2], entry[3])
  end
  return known
end

local shared

---What is known of torch: dotted names to values. The classes are the same in every world.
function externals.torch()
  shared = shared or make_all()
  local known = {}
  for name, v in pairs(shared) do
    known[name] = v
  end
  return known
end

return externals
