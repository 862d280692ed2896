--- Mixture of experts: routing, two grouped GEMMs with a SwiGLU between them, and the weighted sum, as one kernel.
-- FlashInfer has one kernel for each format of the weights, and each routes in several ways: a variant is a format
-- with a routing. The first half of the first GEMM's rows is "up", the second half is "gate".
--
-- Expert parallelism divides experts over ranks. The intermediate size is that of a whole expert: like GEMMs, the
-- dataset's experts are not divided by tensor parallelism.
local logged = require "hone.ops.parts.logged"
local routing = require "hone.ops.parts.expert_routing"

local BLOCK = 128 -- elements that share a scale, in each direction

-- ---- formats ---------------------------------------------------------------------------------------

local function blocks_of(size)
  return function(params)
    local elements = size == "gemm1_out_size" and 2 * params.intermediate_size or params[size]
    return elements // BLOCK
  end
end

local axis = {
  seq_len = { "seq_len", "var", "Number of tokens." },
  hidden_size = { "hidden_size", "const", "Elements of a token's hidden state" },
  intermediate_size = { "intermediate_size", "const", "Intermediate elements of an expert" },
  gemm1_out_size = {
    "gemm1_out_size",
    "const",
    "Rows of the first GEMM, up and gate: twice intermediate_size",
    value = function(params) return 2 * params.intermediate_size end,
  },
  num_hidden_blocks = {
    "num_hidden_blocks",
    "const",
    "Scales along hidden_size, one for 128 elements",
    value = blocks_of "hidden_size",
  },
  num_intermediate_blocks = {
    "num_intermediate_blocks",
    "const",
    "Scales along intermediate_size, one for 128 elements",
    value = blocks_of "intermediate_size",
  },
  num_gemm1_out_blocks = {
    "num_gemm1_out_blocks",
    "const",
    "Scales along gemm1_out_size, one for 128 elements",
    value = blocks_of "gemm1_out_size",
  },
}

local w13, w2 =
  { "${local}", "gemm1_out_size", "hidden_size" }, { "${local}", "hidden_size", "intermediate_size" }

-- A format: what a kernel is given for activations and weights, and how a reference reads them. In the
-- references `tokens` are those of one expert, `x` what they are given, `up` and `gate` what the first GEMM gives.
local FORMATS = {
  fp8_block_scale = {
    names = "moe_fp8_block_scale",
    title = "FP8 with a scale for each block of 128 elements",
    fi_api = "flashinfer.fused_moe.trtllm_fp8_block_scale_moe",
    flags = { "quantization:float8_e4m3fn" },
    has_blocks = true,
    local_axis = "num_local_experts",
    inputs = {
      { "hidden_states", { "seq_len", "hidden_size" }, "float8_e4m3fn", "Hidden states in FP8." },
      {
        "hidden_states_scale",
        { "num_hidden_blocks", "seq_len" },
        "float32",
        "Scales of hidden_states, one for 128 elements of a token; transposed.",
      },
      { "gemm1_weights", w13, "float8_e4m3fn", "Up and gate projection of each expert in FP8." },
      {
        "gemm1_weights_scale",
        { "${local}", "num_gemm1_out_blocks", "num_hidden_blocks" },
        "float32",
        "Scales of gemm1_weights, one for 128 x 128 elements.",
      },
      { "gemm2_weights", w2, "float8_e4m3fn", "Down projection of each expert in FP8." },
      {
        "gemm2_weights_scale",
        { "${local}", "num_hidden_blocks", "num_intermediate_blocks" },
        "float32",
        "Scales of gemm2_weights, one for 128 x 128 elements.",
      },
    },
    constants = "BLOCK = 128  # elements that share a scale\n",
    helper = [=[


def dequantize(weight, scale):
    """A matrix in float32: each scale belongs to BLOCK x BLOCK elements."""
    scale = scale.to(torch.float32).repeat_interleave(BLOCK, dim=0).repeat_interleave(BLOCK, dim=1)
    return weight.to(torch.float32) * scale
]=],
    activations = [=[
    scale = hidden_states_scale.to(torch.float32).transpose(0, 1).repeat_interleave(BLOCK, dim=1)
    activations = hidden_states.to(torch.float32) * scale
]=],
    gemm1 = "dequantize(gemm1_weights[e], gemm1_weights_scale[e])",
    gemm2 = "dequantize(gemm2_weights[e], gemm2_weights_scale[e])",
  },
  fp4_block_scale = {
    names = "trtllm_fp4_block_scale_moe",
    has_bytes = true, -- as the kernel reads them
    title = "MXFP4 weights (here as float32 values), bfloat16 activations",
    fi_api = "flashinfer.fused_moe.trtllm_fp4_block_scale_moe",
    flags = { "quantization:float4_e2m1fn_mxfp4", "gpu:sm100" },
    inputs = {
      { "hidden_states", { "seq_len", "hidden_size" }, "bfloat16", "Hidden states." },
      {
        "gemm1_weights",
        w13,
        "float32",
        "Up and gate projection of each expert, as values; the kernel reads them in MXFP4.",
      },
      {
        "gemm2_weights",
        w2,
        "float32",
        "Down projection of each expert, as values; the kernel reads them in MXFP4.",
      },
    },
  },
  fp8_per_tensor_scale = {
    names = "trtllm_fp8_per_tensor_scale_moe",
    title = "FP8 with one scale for each expert's matrix",
    fi_api = "flashinfer.fused_moe.trtllm_fp8_per_tensor_scale_moe",
    flags = { "quantization:float8_e4m3fn" },
    inputs = {
      { "hidden_states", { "seq_len", "hidden_size" }, "float8_e4m3fn", "Hidden states in FP8." },
      { "gemm1_weights", w13, "float8_e4m3fn", "Up and gate projection of each expert in FP8." },
      { "output1_scales_scalar", { "${local}" }, "float32", "Factor of each expert's up projection." },
      { "output1_scales_gate_scalar", { "${local}" }, "float32", "Factor of each expert's gate projection." },
      { "gemm2_weights", w2, "float8_e4m3fn", "Down projection of each expert in FP8." },
      { "output2_scales_scalar", { "${local}" }, "float32", "Factor of each expert's output." },
    },
    up = " * output1_scales_scalar[e]",
    gate = " * output1_scales_gate_scalar[e]",
    out = " * output2_scales_scalar[e]",
  },
  bf16 = {
    names = "trtllm_bf16_moe",
    title = "bfloat16",
    fi_api = "flashinfer.fused_moe.trtllm_bf16_moe",
    inputs = {
      { "hidden_states", { "seq_len", "hidden_size" }, "bfloat16", "Hidden states." },
      { "gemm1_weights", w13, "bfloat16", "Up and gate projection of each expert." },
      { "gemm2_weights", w2, "bfloat16", "Down projection of each expert." },
    },
  },
}

-- The same weights for a kernel that is told which experts were chosen.
FORMATS.fp4_block_scale_routed = setmetatable({
  names = "trtllm_fp4_block_scale_routed_moe",
  fi_api = "flashinfer.fused_moe.trtllm_fp4_block_scale_routed_moe",
  flags = { "quantization:float4_e2m1fn_mxfp4", "gpu:sm100", "routing:pre-computed" },
}, { __index = FORMATS.fp4_block_scale })

-- The experts of gpt-oss: biases, and a SwiGLU that is clamped, with a slope of its sigmoid and an offset. FlashInfer
-- calls it SwiGLU OA.
local per_expert = { "${local}" }
FORMATS.fp4_block_scale_oa = setmetatable({
  names = "trtllm_fp4_block_scale_moe_swiglu_oa",
  title = FORMATS.fp4_block_scale.title .. ", biases and a clamped SwiGLU",
  ways = { "renorm" },
  inputs = {
    FORMATS.fp4_block_scale.inputs[1],
    FORMATS.fp4_block_scale.inputs[2],
    {
      "gemm1_bias",
      { "${local}", "gemm1_out_size" },
      "float32",
      "Bias of each expert's up and gate projection.",
    },
    { "gemm1_alpha", per_expert, "float32", "Slope of each expert's sigmoid." },
    { "gemm1_beta", per_expert, "float32", "Added to each expert's up projection." },
    { "gemm1_clamp_limit", per_expert, "float32", "Where each expert's up and gate are clamped." },
    FORMATS.fp4_block_scale.inputs[3],
    { "gemm2_bias", { "${local}", "hidden_size" }, "float32", "Bias of each expert's down projection." },
  },
  bias1 = " + gemm1_bias[e]",
  bias2 = " + gemm2_bias[e]",
  activation = [=[
        # The gate is clamped from above alone.
        gate = gate.clamp(max=gemm1_clamp_limit[e])
        up = up.clamp(min=-gemm1_clamp_limit[e], max=gemm1_clamp_limit[e])
        hidden = gate * torch.sigmoid(gemm1_alpha[e] * gate) * (up + gemm1_beta[e])
]=],
}, { __index = FORMATS.fp4_block_scale })

FORMATS.fp4_block_scale_oa_routed = setmetatable({
  names = "trtllm_fp4_block_scale_routed_moe_swiglu_oa",
  fi_api = FORMATS.fp4_block_scale_routed.fi_api,
  flags = FORMATS.fp4_block_scale_routed.flags,
}, { __index = FORMATS.fp4_block_scale_oa })

-- ---- names -----------------------------------------------------------------------------------------

local SIZES = "_e${%s}_h${hidden_size}_i${intermediate_size}"
local DS = "_ds_routing_topk${top_k}_ng${n_group}_kg${topk_group}"

local function several(params) return params.top_k > 1 end

-- The dataset's trtllm names do not show the routing: one expert is chosen as Llama 4 does, several by renormalising.
local function names_of(format, way, local_axis)
  local sizes, known = SIZES:format(local_axis), format.has_blocks
  local function name(middle, rest)
    rest = rest or {}
    rest[1] = format.names .. middle .. sizes
    return rest
  end
  local top_k = "_topk${top_k}"
  if way == "ds" then return { name(DS) } end
  if way == "default" then return { name("_default" .. top_k) } end
  if way == "llama4" and known then return { name("_llama4" .. top_k) } end
  if way == "llama4" then return { name("_topk1", { with = { top_k = 1 } }) } end
  if known then return { name("_renorm" .. top_k) } end
  return { name(top_k, { when = several }), name("_renorm" .. top_k) }
end

-- ---- definitions -----------------------------------------------------------------------------------

local function append(list, more)
  for _, item in ipairs(more or {}) do
    list[#list + 1] = item
  end
  return list
end

-- Tensors with the axes of experts filled in.
local function tensors(list, axes)
  local filled = {}
  for i, tensor in ipairs(list) do
    local shape = tensor[2] and {}
    for k, name in ipairs(tensor[2] or {}) do
      shape[k] = axes[name] or name
    end
    filled[i] = { tensor[1], shape or nil, tensor[3], tensor[4] }
  end
  return filled
end

local function no_groups(params) return params.n_group == 1 end

local function axes_of(format, way, rule)
  local list = { axis.seq_len }
  if rule.is_global then
    append(list, {
      { "num_experts", "const", "Number of all experts" },
      { "num_local_experts", "const", "Number of experts of this rank after expert parallel split" },
    })
  else
    local name = format.local_axis or "num_experts"
    append(list, { { name, "const", "Number of experts of this rank after expert parallel split" } })
  end
  append(list, { axis.hidden_size, axis.intermediate_size, axis.gemm1_out_size })
  local when = way == "ds" and format.has_blocks and no_groups or nil
  append(list, { { "top_k", "const", "Number of experts chosen for each token", when = when } })
  if format.has_blocks then
    append(list, { axis.num_hidden_blocks, axis.num_intermediate_blocks, axis.num_gemm1_out_blocks })
  end
  return list
end

local CONSTRAINTS = {
  "gemm1_weights.shape[1] == 2 * intermediate_size",
  "gemm2_weights.shape[1] == hidden_size",
  "gemm2_weights.shape[2] == intermediate_size",
}

-- Those of the dataset's grouped definition are in its axes alone.
local function constraints_of(way)
  local list = {}
  for i, text in ipairs(CONSTRAINTS) do
    list[i] = { text, when = way == "ds" and no_groups or nil }
  end
  return list
end

-- ---- references ------------------------------------------------------------------------------------

local REFERENCE = [=[
import torch

TOP_K = ${top_k}
$[constants]$[helper]

@torch.no_grad()
def run($[arguments]):
    num_tokens, hidden_size = hidden_states.shape
    num_local_experts, _, intermediate_size = gemm2_weights.shape
    assert hidden_size == ${hidden_size}
    assert intermediate_size == ${intermediate_size}
    assert num_local_experts == ${$[local]}
    assert gemm1_weights.shape[1] == 2 * intermediate_size
$[routed_over]
$[routing]
    # What the experts are given: [num_tokens, hidden_size] in float32.
$[activations]
    output = torch.zeros(num_tokens, hidden_size, dtype=torch.float32, device=hidden_states.device)
    for e in range(num_local_experts):
        # Tokens that chose this expert, and as which of their choices.
        tokens, slots = torch.where(experts == $[expert])
        if len(tokens) == 0:
            continue
        weight = weights[tokens, slots].unsqueeze(-1)

        x = activations[tokens]$[factor_in]
        projected = torch.matmul(x, $[gemm1].transpose(0, 1))$[bias1]
        up = projected[:, :intermediate_size]$[up]
        gate = projected[:, intermediate_size:]$[gate]
$[activation]
        out = torch.matmul(hidden, $[gemm2].transpose(0, 1))$[out]$[bias2]
        output.index_add_(0, tokens, out$[factor_out])

    return output.to(torch.bfloat16)
]=]

local function piece(template, pieces)
  return (template:gsub("%$%[([%w_]+)%]", function(name) return pieces[name] or "" end))
end

local function arguments_of(inputs)
  local names = {}
  for i, input in ipairs(inputs) do
    names[i] = input[1]
  end
  local line = table.concat(names, ", ")
  if #line <= 90 then return line end
  return "\n    " .. table.concat(names, ",\n    ") .. ",\n"
end

local function reference_of(format, rule, inputs, local_axis)
  local over = rule.is_global
    and "    num_experts = routing_logits.shape[1]\n    assert num_experts == ${num_experts}\n"
  return piece(REFERENCE, {
    constants = (rule.constants or "") .. (format.constants or ""),
    helper = format.helper,
    arguments = arguments_of(inputs),
    ["local"] = local_axis,
    routed_over = over,
    routing = rule.reference,
    activations = format.activations or "    activations = hidden_states.to(torch.float32)\n",
    expert = rule.is_global and "local_expert_offset + e" or "e",
    gemm1 = format.gemm1 or "gemm1_weights[e].to(torch.float32)",
    gemm2 = format.gemm2 or "gemm2_weights[e].to(torch.float32)",
    bias1 = format.bias1,
    bias2 = format.bias2,
    activation = format.activation or "        hidden = torch.nn.functional.silu(gate) * up\n",
    up = format.up,
    gate = format.gate,
    out = format.out,
    factor_in = rule.scales_input and " * weight" or "",
    factor_out = rule.scales_input and "" or " * weight",
  })
end

-- Without groups there is nothing to choose among.
local function reference_parts(params)
  return { choose_groups = params.n_group and params.n_group > 1 and routing.ds.groups or "" }
end

-- ---- variants --------------------------------------------------------------------------------------

local function kind_of(format, way, rule)
  local local_axis = rule.is_global and "num_local_experts" or format.local_axis or "num_experts"
  local experts = rule.is_global and "num_experts" or local_axis
  local inputs = append(append(append({}, rule.inputs), format.inputs), rule.last_inputs)
  inputs = tensors(inputs, { ["${experts}"] = experts, ["${local}"] = local_axis })
  return {
    names = names_of(format, way, local_axis),
    description = ("Mixture of experts in %s: SwiGLU experts, top ${top_k} of %s experts; routing: %s."):format(
      format.title,
      rule.is_global and "${num_experts} (${num_local_experts} of them here)" or ("${%s}"):format(local_axis),
      rule.title
    ),
    flags = format.flags,
    fi_api = format.fi_api,
    logged = logged.experts(rule.inputs[1][1] == "topk_ids" and "packed" or way, format.has_bytes),
    parallel = { "ep", "tp" },
    has_blocks = format.has_blocks,
    has_groups = way == "ds",
    axes = axes_of(format, way, rule),
    inputs = inputs,
    outputs = {
      { "output", { "seq_len", "hidden_size" }, "bfloat16", "Weighted sum of the chosen experts." },
    },
    constraints = constraints_of(way),
    reference_parts = reference_parts,
    reference = reference_of(format, rule, inputs, local_axis),
  }
end

local WAYS = { "renorm", "default", "ds", "llama4" }

local function variants_of()
  local all = {}
  for name, format in pairs(FORMATS) do
    if not name:find "_routed$" then
      for _, way in ipairs(format.ways or WAYS) do
        all[name .. "_" .. way] = kind_of(format, way, routing[way])
      end
    end
  end
  local packed_llama4 = setmetatable({ scales_input = true }, { __index = routing.packed })
  local routed = FORMATS.fp4_block_scale_routed
  all.fp4_block_scale_routed = kind_of(routed, "packed", routing.packed)
  all.fp4_block_scale_routed_llama4 = kind_of(routed, "llama4", packed_llama4)
  all.fp4_block_scale_oa_routed = kind_of(FORMATS.fp4_block_scale_oa_routed, "packed", routing.packed)
  return all
end

-- ---- what there is a kernel for ------------------------------------------------------------------

local function wrong_groups(params)
  local experts, groups, kept = params.num_experts, params.n_group, params.topk_group
  if not groups or not kept or not experts then return nil end
  if experts % groups ~= 0 then
    return ("%d experts cannot be divided into %d groups"):format(experts, groups)
  end
  if kept > groups then return ("topk_group %d is more than n_group %d"):format(kept, groups) end
  if params.top_k and params.top_k > experts // groups * kept then
    return ("%d groups of %d experts do not hold top_k %d"):format(kept, experts // groups, params.top_k)
  end
end

local function check(params, kind)
  local all = params.num_experts or params.num_local_experts
  if params.top_k and params.top_k > all then
    return nil, ("top_k %d is more than %d experts"):format(params.top_k, all)
  end
  if params.num_local_experts and params.num_local_experts > all then
    return nil, ("%d local experts are more than %d experts"):format(params.num_local_experts, all)
  end
  for _, size in ipairs(kind.has_blocks and { "hidden_size", "intermediate_size" } or {}) do
    if params[size] % BLOCK ~= 0 then
      return nil,
        ("%s %d is no multiple of the %d elements that share a scale"):format(size, params[size], BLOCK)
    end
  end
  local wrong = wrong_groups(params)
  if wrong then return nil, wrong end
  return true
end

local variants = variants_of()

-- ---- layers ----------------------------------------------------------------------------------------

-- The sizes of a layer's experts; how many of them depends on expert parallelism alone.
local function sizes_of(layer)
  local origins = {}
  local function size(axis_name, ...)
    for _, name in ipairs { ... } do
      local value = layer:integer(name)
      if value then
        origins[axis_name] = layer:origin(name)
        return value
      end
    end
  end
  return {
    all = size("num_experts", "_num_global_routed", "num_experts"),
    here = size("num_local_experts", "_num_local_routed", "num_local_experts"),
    hidden_size = size("hidden_size", "hidden_size_unpadded", "hidden_size"),
    intermediate_size = size("intermediate_size", "intermediate_size"),
  },
    origins
end

local function variant_of(format, way)
  if not format:find "_routed$" then return format .. "_" .. way end
  return way == "llama4" and format .. "_llama4" or format
end

local function kernel_of(variant, sizes, way_params, origins)
  local params = { hidden_size = sizes.hidden_size, intermediate_size = sizes.intermediate_size }
  for name, value in pairs(way_params) do
    params[name] = value
  end
  local from = {}
  for name, origin in pairs(origins) do
    from[name] = origin
  end
  for _, entry in ipairs(variant.axes) do
    if entry[1] == "num_local_experts" then params.num_local_experts = sizes.here end
    if entry[1] == "num_experts" then
      params.num_experts = variant.has_groups and sizes.all or sizes.here
      if not variant.has_groups then from.num_experts = origins.num_local_experts end
    end
  end
  if not variant.has_groups then
    params.n_group, params.topk_group = nil, nil
  end
  return params, from
end

local NO_VARIANT = "no definition describes the routing %s of experts in the form %s yet"

-- The kernels of a layer of experts: one for each format in which its weights may be.
local function kernels(layer, settings)
  local experts = require "hone.sglang.experts"
  local activation, why = experts.activation(layer)
  if not activation then return nil, why end
  local way, way_params = experts.routing(layer)
  if not way then return nil, way_params end
  local formats
  formats, why = experts.formats(layer, activation, settings.expert_formats)
  if not formats then return nil, why end
  local sizes, origins = sizes_of(layer)
  if not (sizes.all and sizes.here and sizes.hidden_size and sizes.intermediate_size) then
    return nil, "the sizes of its experts are not known"
  end
  local topk = layer.routing
  topk.consulted = layer.consulted -- what the routing is asked for is behind this kernel too
  way_params.top_k, origins.top_k = topk:integer "top_k", topk:origin "top_k"
  origins.n_group, origins.topk_group = topk:origin "num_expert_group", topk:origin "topk_group"
  local found = {}
  for _, format in ipairs(formats) do
    local variant = variant_of(format, way)
    if not variants[variant] then return nil, NO_VARIANT:format(way, format) end
    local params, from = kernel_of(variants[variant], sizes, way_params, origins)
    local ok, wrong = check(params, variants[variant])
    why = why or wrong
    if ok then
      found[#found + 1] = { variant = variant, params = params, origins = from, calls = layer:calls() }
    end
  end
  return found, why
end

-- ---- what a definition does not show --------------------------------------------------------------

-- Grouped routing is told from its inputs.
local function group_constant(name)
  return function(source, definition)
    if not definition.inputs.local_expert_offset then return false end
    return tonumber(source:match("%f[%w_]" .. name .. "%s*=%s*(%d+)")) or 1
  end
end

local function read_top_k(source, definition)
  if definition.axes.top_k then return false end
  return tonumber(source:match "%f[%w_]TOP_K%s*=%s*(%d+)")
end

-- In which order a reference takes a softmax and the largest values: the same inputs can be routed either way.
local function read_routing(source, definition)
  if not definition.inputs.routing_logits then return false end
  local softmax, top = source:find("softmax", 1, true), source:find("topk(", 1, true)
  if not softmax then return "sigmoid" end
  if not top then return nil end
  local renormalises = top < softmax or source:find "%.sum%("
  return renormalises and "renormalize" or "softmax"
end

local function has_groups(kind) return kind.has_groups or false end

local function never() return false end

-- ---- inputs ----------------------------------------------------------------------------------------

-- An expert's number in the upper half of 32 bits, its weight as bfloat16 in the lower.
local function packed_routes(axes, make)
  local tensor = require "hone.tensor"
  local rows = {}
  for i = 1, axes.seq_len do
    local weights = make:uniform(0, 1, axes.top_k)
    local bits = (weights / weights:sum()):to("bfloat16"):view("int16"):to "int32"
    rows[i] = make:places(axes.top_k, axes.num_experts):to "int32" * 65536 + bits
  end
  return #rows > 0 and tensor.stack(rows, 1) or tensor.zeros(0, axes.top_k, "int32")
end

-- Scales are positive, and of a size that keeps the products of two layers near one.
local function scales(definition, axes, make)
  local list = {}
  for name, spec in pairs(definition.inputs) do
    if name:find "scale" and spec.dtype == "float32" and type(spec.shape) == "table" then
      local sizes = {}
      for i, name_of_axis in ipairs(spec.shape) do
        sizes[i] = axes[name_of_axis]
      end
      local least = name:find "weights" and 0.5 / math.sqrt(axes.hidden_size) or 0.5
      list[name] = make:uniform(least, 2 * least, table.unpack(sizes))
    end
  end
  return list
end

local function make_inputs(definition, axes, make)
  local list = scales(definition, axes, make)
  local bias = definition.inputs.routing_bias -- small, or all tokens would choose the experts that it favours
  if bias then list.routing_bias = make:uniform(-0.1, 0.1, axes[bias.shape[1]]):to(bias.dtype) end
  list.local_expert_offset = 0
  list.routed_scaling_factor = 2.5
  if definition.inputs.gemm1_clamp_limit then
    list.gemm1_clamp_limit = make:uniform(5, 9, axes.num_experts)
  end
  if definition.inputs.topk_ids then list.topk_ids = packed_routes(axes, make) end
  return list
end

-- ---- work ------------------------------------------------------------------------------------------

-- What the routing is told by, read whole. A bias that a routing does not look at need not be read.
local function bytes_of_routing(definition, axes)
  local looks_at_bias = definition.inputs.local_expert_offset ~= nil
  local names = { "routing_logits", "topk_ids", looks_at_bias and "routing_bias" or nil }
  return require("hone.ops.parts.work").inputs(definition, axes, names)
end

-- Bytes of the weights, scales and factors of one expert, and of what is known about one token.
local function bytes_of_parts(definition, axes, local_axis)
  local count = require "hone.ops.parts.work"
  local expert, token = 0, 0
  for name, spec in pairs(definition.inputs) do
    if name == "hidden_states" then
      token = token + count.bytes(spec, axes, 1)
    elseif name == "hidden_states_scale" then -- transposed
      token = token + 4 * axes[spec.shape[1]]
    elseif name ~= "routing_bias" and type(spec.shape) == "table" and spec.shape[1] == local_axis then
      expert = expert + count.bytes(spec, axes, 1)
    end
  end
  return expert, token
end

-- Experts in the upper halves of packed routes: how many choices fall on this rank's, on how many of them, and by
-- how many tokens.
local function count_routes(routes, top_k, experts)
  local choices, used, tokens, seen, last = 0, 0, 0, {}, nil
  for i, route in ipairs(routes) do
    local expert = route >> 16 & 0xffff
    if expert < experts then
      choices = choices + 1
      if not seen[expert] then
        seen[expert], used = true, used + 1
      end
      local token = (i - 1) // top_k
      if token ~= last then
        tokens, last = tokens + 1, token
      end
    end
  end
  return choices, used, tokens
end

-- Each choice of an expert of this rank is two GEMMs of a row, the weights of each chosen expert are read once. How
-- many choices fall on other ranks, and how often the same expert is chosen, is in the values.
local function work(axes, definition, structure)
  local count = require "hone.ops.parts.work"
  local top_k = axes.top_k or read_top_k(definition.reference, definition)
  if not top_k then return nil, "how many experts its reference chooses cannot be read" end
  local local_axis = axes.num_local_experts and "num_local_experts" or "num_experts"
  local here, all = axes[local_axis], axes.num_experts or axes[local_axis]
  local expert, token = bytes_of_parts(definition, axes, local_axis)
  local routing_bytes = bytes_of_routing(definition, axes)
  local function with(choices, used, tokens)
    return {
      read = math.floor(routing_bytes + used * expert + tokens * token),
      written = count.outputs(definition, axes),
      flops = math.floor(6 * choices * axes.hidden_size * axes.intermediate_size),
      dtype = definition.inputs.hidden_states.dtype,
    }
  end
  local routes = count.list(structure, "topk_ids")
  if routes then return with(count_routes(routes, top_k, here)) end
  local tokens = axes.seq_len
  local forced = math.max(0, top_k - (all - here)) -- choices of a token that cannot fall on other ranks
  local result = with(tokens * forced, tokens > 0 and forced or 0, forced > 0 and tokens or 0)
  local elsewhere = (1 - top_k / all) ^ tokens
  local with_choice = 1 - (1 - here / all) ^ top_k
  result.usual = with(tokens * top_k * here / all, here * (1 - elsewhere), tokens * with_choice)
  return result
end

return {
  op_type = "moe",
  work = work,
  usual_axes = { seq_len = 7 },
  make_inputs = make_inputs,
  mistakes = "moe",
  layers = { ["sglang.srt.layers.moe.fused_moe_triton.layer.FusedMoE"] = kernels },
  check = check,
  hidden_constants = {
    { name = "routing", read = read_routing, of = never },
    { name = "top_k", read = read_top_k, of = never }, -- an axis, but for grouped routing
    { name = "n_group", read = group_constant "N_GROUP", of = has_groups },
    { name = "topk_group", read = group_constant "TOPK_GROUP", of = has_groups },
  },
  variants = variants,
}
