--- What SGLang's sources ask of the serving process around them, and the answers.
--
-- A model's source reads process-wide state: the parallel groups, the platform, the server's settings. We
-- answer for rank 0 of a CUDA server with the given tensor and expert parallelism and everything else at
-- its default. Names have moved between SGLang's versions, so most answers go by the form of the name.
local python = require "hone.python"

local M = {}

-- ---- parallel groups -----------------------------------------------------------------------------

-- The size behind names such as moe_expert_parallel, attn_tp, tensor_model_parallel, pp: 1 but for tensor and
-- expert parallelism.
local function size_of(name, sizes)
  local last = name:gsub("_parallel$", ""):gsub("_model$", ""):match("[^_]*$")
  if last == "ep" or last == "expert" then return sizes.ep end
  if last == "tp" or last == "tensor" then return name:find("moe", 1, true) and sizes.moe_tp or sizes.tp end
  return 1
end

-- What a collective gives is a tensor as its operand is.
local function operand(args) return args[1] end

local function group(size)
  return python.object {
    name = "GroupCoordinator",
    open = true,
    trace = false,
    methods = { all_reduce = operand, all_gather = operand, reduce_scatter_tensor = operand },
    fields = {
      world_size = size,
      rank = 0,
      rank_in_group = 0,
      local_rank = 0,
      is_first_rank = true,
      is_last_rank = python.number(size) == 1,
    },
  }
end

-- The words that a dimension of parallelism ends in: attn_tp, moe_expert_parallel, world.
local DIMENSIONS =
  { tp = true, dp = true, ep = true, pp = true, cp = true, dcp = true, parallel = true, world = true }

-- "moe_ep" of "moe_ep_size" when the ending is _size; nil for names about something else.
local function dimension(name, ending)
  local what = name:match("^(.*)_" .. ending .. "$")
  return what and DIMENSIONS[what:match("[^_]*$")] and what:gsub("_world$", "") or nil
end

-- A value for a name about parallelism, nil when the name is about something else.
local function parallel_value(name, sizes)
  local what = dimension(name, "size")
  if what then return size_of(what, sizes) end
  if dimension(name, "rank") then return 0 end
  what = dimension(name, "group")
  if not what then return nil end
  sizes.groups = sizes.groups or {}
  sizes.groups[what] = sizes.groups[what] or group(size_of(what, sizes))
  return sizes.groups[what]
end

-- ---- the server's settings -----------------------------------------------------------------------

-- Without CUDA graphs every layer runs by itself.
local function eager()
  local phase = python.object {
    name = "PhaseConfig",
    open = true,
    fields = { backend = "disabled", tc_compiler = "eager" },
  }
  return python.object { name = "CudaGraphConfig", open = true, fields = { prefill = phase, decode = phase } }
end

-- Settings that the server chooses for itself, and our choice; a function makes it.
local CHOSEN = {
  attention_backend = "flashinfer", -- whose kernels the definitions describe
  cuda_graph_config = eager,
  deepep_mode = "auto", -- decided by each batch
  moe_runner_backend = "auto", -- decided where experts are built
  boundary_reduction = "ar", -- sums over ranks are all-reduced where they arise: the same kernels as any other way
}

-- Settings whose None means off. The server may turn a fusion of the norm with the all-reduce on by itself; the
-- norm is the same kernel then.
local OFF = {
  decode_attention_backend = true,
  deepep_config = true,
  enable_lora = true,
  ep_join_mode = true,
  flashinfer_allreduce_fusion_backend = true,
  kt_weight_path = true,
  prefill_attention_backend = true,
  speculative_moe_a2a_backend = true,
  speculative_moe_runner_backend = true,
  speculative_algorithm = true,
  quantization = true,
  lora_paths = true,
  moe_dense_tp_size = true, -- dense layers are split as attention is
  rl_on_policy_target = true,
  moe_waterfill = true,
}

-- Experts that every token runs through are layers of their own: the kernels that definitions describe hold none.
local function shared_experts()
  local fields =
    { fusion_disabled = true, num_fused_shared_experts = 0, num_shared_topk_slots = 0, use_waterfill = false }
  return python.object { name = "SharedExpertsConfig", open = true, trace = false, fields = fields }
end

-- An object whose attributes are the server's settings at their defaults, groups of settings included.
-- A setting that the server may work out for itself when it starts ("auto", None) is not known.
local function settings_object(package, sizes, files, chosen)
  local settings = require "hone.sglang.settings"
  local declared, object
  local shared = shared_experts()
  local function find(name)
    local value
    if not OFF[name] then value = parallel_value(name, sizes) end
    if value ~= nil then return value end
    if name == "shared_experts" then return shared end
    if not declared then
      declared = settings.read(package)
      table.move(declared.files, 1, #declared.files, #files + 1, files)
    end
    if declared.groups[name] then return object end
    value = declared.defaults[name]
    if value == settings.NONE and OFF[name] then return python.none() end
    if value == settings.NONE or value == "auto" then
      local choice = chosen[name] or CHOSEN[name]
      if type(choice) == "function" then return choice() end
      if choice then return choice end
    end
    if value == nil and (name:find("^enable_") or name:find("^disable_") or name:find("_enabled$")) then
      return false
    end
    if value == nil or value == settings.NONE or value == "auto" then
      return python.unknown("settings." .. name)
    end
    return value
  end
  object = python.object { name = "Settings", find = find }
  return object
end

-- ---- overrides -----------------------------------------------------------------------------------

local PLATFORMS = { "cuda", "hip", "npu", "xpu", "cpu", "hpu", "musa", "mps", "tpu" }

local function constant(value)
  return function() return value end
end

---Parts of SGLang that decide nothing about a model's layers: kernels' own sources, remote storage, the
---scheduler, weight loading. They are taken for unknown instead of being read.
M.OPAQUE = {
  "sglang.kernels.jit",
  "sglang.kernels.ops.communication",
  "sglang.kernels.ops.gemm",
  "sglang.kernels.ops.kvcache",
  "sglang.kernels.ops.mamba",
  "sglang.kernels.ops.memory",
  "sglang.kernels.ops.moe",
  "sglang.kernels.ops.quantization",
  "sglang.srt.batch_overlap",
  "sglang.srt.compilation",
  "sglang.srt.connector",
  "sglang.srt.debug_utils",
  "sglang.srt.managers",
  "sglang.srt.mem_cache",
  "sglang.srt.model_loader",
  "sglang.srt.utils.custom_op",
  "sglang.srt.utils.hf_transformers.mistral_utils",
}

-- @triton.jit makes a kernel of what it decorates, with arguments or without: kernel[grid](...) runs on the device.
local function triton_jit(args)
  if not args[1] then return python.fn("jit", triton_jit) end
  local function launch()
    return python.fn("launch", function() return python.none() end)
  end
  return python.instance(python.class("triton.JITFunction", nil, { __getitem__ = launch }, true))
end

-- Tensors that are made with sizes remember them, for models that multiply by weights of their own.
local MAKERS = { "empty", "zeros", "ones", "randn", "rand" }

local function made(args, kwargs)
  local tensor = python.unknown "tensor"
  local first = kwargs.size or args[1]
  tensor.sizes = type(first) == "table" and not first.boxed and first.n and first or args
  return tensor
end

-- Each dtype is one object, so that sources can compare them: torch's names, those that stand for the same together.
local DTYPES = {
  { "float64", "double" },
  { "float32", "float" },
  { "float16", "half" },
  { "bfloat16" },
  { "float8_e4m3fn" },
  { "float8_e4m3fnuz" },
  { "float8_e5m2" },
  { "float8_e8m0fnu" },
  { "uint8" },
  { "int8" },
  { "int16", "short" },
  { "int32", "int" },
  { "int64", "long" },
  { "bool" },
}

local function add_dtypes(externals)
  local class = python.class("torch.dtype", nil, nil, true)
  for _, names in ipairs(DTYPES) do
    local dtype = python.instance(class)
    for _, name in ipairs(names) do
      externals["torch." .. name] = dtype
    end
  end
end

---What torch says of the platform, CUDA 13.0 and a device of compute capability 9.0, of what runs, which is neither
---compiled nor captured; and that nothing is plugged in.
---@param tensors hone.python.Value # the class of the tensors that forward is given
---@return table<string, hone.python.Value> externals
function M.externals(tensors)
  local function answer(name, value)
    return python.fn(name, function() return value end)
  end
  local externals = {
    ["torch.Tensor"] = tensors,
    ["torch.cuda.is_available"] = answer("is_available", true),
    ["torch.cuda.is_initialized"] = answer("is_initialized", true),
    ["torch.cuda.get_device_capability"] = answer("get_device_capability", python.tuple { 9, 0 }),
    ["torch.cuda.get_device_name"] = answer("get_device_name", "NVIDIA H100 80GB HBM3"),
    ["torch.cuda.is_current_stream_capturing"] = answer("is_current_stream_capturing", false),
    ["torch.compiler.is_compiling"] = answer("is_compiling", false),
    ["torch.version.cuda"] = "13.0",
    ["torch.version.hip"] = python.none(),
    ["torch.xpu.is_available"] = answer("is_available", false),
    ["torch.hpu.is_available"] = answer("is_available", false),
    ["triton.jit"] = python.fn("jit", triton_jit),
    ["importlib.metadata.entry_points"] = answer("entry_points", python.tuple {}),
  }
  for _, name in ipairs(MAKERS) do
    externals["torch." .. name] = python.fn(name, made)
  end
  add_dtypes(externals)
  return externals
end

-- What a forward pass finds around it: the backend of attention, which is the one that the settings name.
local function forward_context()
  local fields = {
    prefill_attention_backend_str = python.none(),
    decode_attention_backend_str = python.none(),
  }
  local backend = python.object { name = "AttentionBackend", open = true, fields = fields }
  return python.object { name = "ForwardContext", open = true, fields = { attn_backend = backend } }
end

-- Functions that make weights and scales of others: what they give is not known, and how they do it is long.
local function computes_weights(qualname)
  local name = qualname:match "^sglang%.srt%.layers%.quantization%.[%w_]+_utils%.([%w_]+)$"
  return name and (name:find("quant", 1, true) or name:find("transform_scale", 1, true)) and true or false
end

---Answers by the qualified names of SGLang's functions, for the evaluator.
---@param package string # SGLang's package folder
---@param parallel { tp: integer, ep: integer }
---@param files { path: string, bytes: integer }[] # the sources that are read for it are added here
---@param chosen table<string, any> # settings that M.start chooses by the model
---@return table<string, function> overrides
function M.overrides(package, parallel, files, chosen)
  local tp, ep = python.traced(parallel.tp, "TP"), python.traced(parallel.ep, "EP")
  local moe_tp = math.max(1, parallel.tp // parallel.ep)
  local sizes = { tp = tp, ep = ep, moe_tp = parallel.ep == 1 and tp or moe_tp }
  local settings = constant(settings_object(package, sizes, files, chosen))
  local known = {
    ["sglang.srt.runtime_context.get_parallel"] = settings,
    ["sglang.srt.runtime_context.get_server_args"] = settings,
    ["sglang.srt.runtime_context.RuntimeContext.config_bag"] = settings,
    ["sglang.srt.server_args.get_global_server_args"] = settings,
    ["sglang.srt.layers.dp_attention.is_dp_attention_enabled"] = constant(false),
    ["sglang.srt.model_executor.forward_context.has_forward_context"] = constant(true),
    ["sglang.srt.model_executor.forward_context.get_forward_context"] = constant(forward_context()),
    ["sglang.srt.environ.envs"] = require("hone.sglang.environment").object(package, files),
  }
  for _, module in ipairs { "sglang.srt.utils.", "sglang.srt.utils.common." } do
    known[module .. "is_flashinfer_available"] = constant(true)
    known[module .. "get_device_sm"] = constant(90)
    known[module .. "get_device_capability"] = constant(python.tuple { 9, 0 })
    for _, name in ipairs(PLATFORMS) do
      known[module .. "is_" .. name] = constant(name == "cuda")
    end
  end
  return setmetatable(known, {
    __index = function(_, qualname)
      if computes_weights(qualname) then return constant(python.unknown(qualname)) end
      if qualname:find("^sglang%.srt%.distributed%.communication_op%.[%w_]+_all_reduce") then
        return function(_, args, kwargs) return args[1] or kwargs.input_ end
      end
      if not qualname:find(".get_", 1, true) then return nil end
      local module, name = qualname:match("^(.*)%.get_([%w_]+)$")
      if not module then return nil end
      if not (module:find("sglang.srt.distributed", 1, true) or module:find("dp_attention", 1, true)) then
        return nil
      end
      local value = parallel_value(name, sizes)
      return value ~= nil and constant(value) or nil
    end,
  })
end

-- What the forward pass finds around it; nil in versions that have no such thing.
local function current_context(world)
  local module = world:import("sglang.srt.model_executor.forward_context", true)
  return module and world:call(world:get(module, "get_forward_context"), {})
end

---Give the forward pass another backend of attention than the one that the settings name.
---@param world hone.python.World
---@param backend hone.python.Value
function M.set_backend(world, backend)
  local context = current_context(world)
  if context then world:set(context, "attn_backend", backend) end
end

---Tell the backend of sparse attention which batch is to come: a prompt's tokens may be attended to by multi-head
---attention, one that has just been sampled never is.
---@param world hone.python.World
---@param mode "prefill"|"decode"
function M.prepare_backend(world, mode)
  local context = current_context(world)
  local backend = context and world:get(context, "attn_backend")
  if backend then world:set(backend, "use_mha", mode == "prefill" and python.unknown "use_mha") end
end

-- What the server settles before it loads a model, or on first use: if a model's branch did that, the other way
-- of the branch would find it unsettled.
local AT_START = {
  { "sglang.srt.layers.moe.utils", "initialize_moe_config" },
  { "sglang.srt.eplb.expert_distribution", "get_global_expert_distribution_recorder" },
  { "sglang.kernels.fused_op", "get_fused_op_backend" },
}

-- Models that pick the tokens worth looking at run on a backend of their own.
local function is_sparse(world, config)
  local module = world:import("sglang.srt.configs.model_config", true)
  local test = module and world:get(module, "is_deepseek_dsa")
  return test and world:call(test, { config }) == true
end

---Start the server, as far as models see of it.
---@param world hone.python.World
---@param config hone.python.Value # the model's
---@param chosen table<string, any> # filled with the settings that the server chooses by the model
function M.start(world, config, chosen)
  if is_sparse(world, config) then chosen.attention_backend = "dsa" end
  for _, step in ipairs(AT_START) do
    local module = world:import(step[1], true)
    local fn = module and world:get(module, step[2])
    if fn then world:call(fn, {}) end
  end
end

return M
