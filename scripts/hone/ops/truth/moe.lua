--- Ground truth and test inputs of mixtures of experts with FP8 block scales: token by token, expert by expert.
local shared = [=[
import torch


def product(values, scales, x, block=128):
    """A matrix by x, row of blocks by row of blocks: a block's scale goes to the part of x that it meets."""
    columns = torch.arange(values.shape[1], device=values.device) // block
    parts = []
    for i in range(scales.shape[0]):
        rows = values[i * block:(i + 1) * block].to(torch.float64)
        parts.append((x * scales[i].to(torch.float64)[columns]) @ rows.T)
    return torch.cat(parts)


def expert(x, up_gate, up_gate_scale, down, down_scale):
    both = product(up_gate, up_gate_scale, x)
    half = both.shape[0] // 2
    gate = both[half:]
    return product(down, down_scale, both[:half] * gate / (1 + torch.exp(-gate)))


def token(hidden_states, hidden_states_scale, t):
    columns = torch.arange(hidden_states.shape[1], device=hidden_states.device) // 128
    return hidden_states[t].to(torch.float64) * hidden_states_scale[columns, t].to(torch.float64)


]=]

local chosen = [=[
def chosen(biased):
    """The experts of one token: the best of the best groups."""
    groups = biased.reshape(${groups}, -1)
    if ${groups} > 1:
        best = torch.sort(groups, dim=1, descending=True)[0][:, :2].sum(dim=1)
        kept = torch.sort(best, descending=True)[1][:${kept}]
        allowed = torch.zeros(${groups}, dtype=torch.bool, device=biased.device)
        allowed[kept] = True
        groups = torch.where(allowed.unsqueeze(1), groups, torch.full_like(groups, -float("inf")))
    return torch.sort(groups.reshape(-1), descending=True)[1][:${top_k}]


]=]

local WEIGHTS = [=[
    local_experts = ${experts}
    up_gate = rng.fp8(local_experts, 2 * INTERMEDIATE_SIZE, HIDDEN_SIZE)
    up_gate_scale = rng.scales(local_experts, 2 * INTERMEDIATE_SIZE // 128, HIDDEN_SIZE // 128)
    down = rng.fp8(local_experts, HIDDEN_SIZE, INTERMEDIATE_SIZE)
    down_scale = rng.scales(local_experts, HIDDEN_SIZE // 128, INTERMEDIATE_SIZE // 128)
    hidden, hidden_scale = rng.fp8(rows, HIDDEN_SIZE), rng.scales(HIDDEN_SIZE // 128, rows)
    weights = [hidden, hidden_scale, up_gate, up_gate_scale, down, down_scale]
]=]

-- ---- weights that are taken as they are, or with a factor for each expert --------------------------------

-- The experts of one token: (number, weight of the output, weight of the input).
local ROUTES = {
  renorm = [=[
def routes(routing_logits, t):
    logits, experts = torch.sort(routing_logits[t].to(torch.float64), descending=True)
    weights = torch.exp(logits[:${top_k}] - logits[0])
    total = weights.sum()
    return [(int(experts[i].item()), float((weights[i] / total).item()), 1.0) for i in range(${top_k})]
]=],
  default = [=[
def routes(routing_logits, t):
    logits, experts = torch.sort(routing_logits[t].to(torch.float64), descending=True)
    shares = torch.exp(logits - logits[0])
    total = shares.sum()
    return [(int(experts[i].item()), float((shares[i] / total).item()), 1.0) for i in range(${top_k})]
]=],
  ds = chosen .. [=[
def routes(routing_logits, routing_bias, local_expert_offset, count, routed_scaling_factor, t):
    scores = 1 / (1 + torch.exp(-routing_logits[t].to(torch.float64)))
    experts = chosen(scores + routing_bias.to(torch.float64))
    total = scores[experts].sum() + 1e-20
    found = []
    for i in range(experts.shape[0]):
        e = int(experts[i].item())
        if 0 <= e - local_expert_offset < count:
            weight = float((scores[e] / total).item()) * routed_scaling_factor
            found.append((e - local_expert_offset, weight, 1.0))
    return found
]=],
  llama4 = [=[
def routes(routing_logits, t):
    scores = 1 / (1 + torch.exp(-routing_logits[t].to(torch.float64)))
    best = int(scores.argmax().item())
    return [(best, 1.0, float(scores[best].item()))]
]=],
  routed = [=[
def routes(topk_ids, t):
    found = []
    for i in range(topk_ids.shape[1]):
        packed = topk_ids[t, i]
        weight = float(((packed & 65535) << 16).to(torch.int32).view(torch.float32).item())
        found.append((int(packed.item()) >> 16, ${routed}))
    return found
]=],
}

local DIRECT = [=[
import torch


${routes}

def truth(${arguments}):
    output = torch.zeros(hidden_states.shape, dtype=torch.float64, device=hidden_states.device)
    for t in range(hidden_states.shape[0]):
        for e, weight, factor in routes(${routing}, t):
            both = (hidden_states[t].to(torch.float64) * factor) @ gemm1_weights[e].to(torch.float64).T${bias1}
            half = both.shape[0] // 2
            up, gate = both[:half]${up}, both[half:]${gate}
            made = (${activated}) @ gemm2_weights[e].to(torch.float64).T
            output[t] = output[t] + (made${out}${bias2}) * weight
    return output
]=]

-- The same over weights with a scale for each block.
local BLOCKS = shared
  .. [=[
${routes}

def truth(${arguments}):
    output = torch.zeros(hidden_states.shape, dtype=torch.float64, device=hidden_states.device)
    for t in range(hidden_states.shape[0]):
        x = token(hidden_states, hidden_states_scale, t)
        for e, weight, factor in routes(${routing}, t):
            made = expert(x * factor, gemm1_weights[e], gemm1_weights_scale[e], gemm2_weights[e],
                          gemm2_weights_scale[e])
            output[t] = output[t] + made * weight
    return output
]=]

-- CUTLASS's experts under the formula's routing: it is the experts that FlashInfer computes here. A choice of another
-- rank's expert counts nothing.
local CUTLASS = [=[
def flashinfer_truth(${arguments}):
    from flashinfer.fused_moe import cutlass_fused_moe

    rows, device = hidden_states.shape[0], hidden_states.device
    experts = torch.zeros(rows, ${top_k}, dtype=torch.int32, device=device)
    weights = torch.zeros(rows, ${top_k}, dtype=torch.float32, device=device)
    routes = load(TRUTH, "routes")
    for t in range(rows):
        for i, (e, weight, _) in enumerate(routes(${routing}, t)):
            experts[t, i], weights[t, i] = e, weight
    x = ${widened}
    output = torch.empty(rows, HIDDEN_SIZE, dtype=torch.bfloat16, device=device)
    cutlass_fused_moe(x, experts, weights, gemm1_weights, gemm2_weights, torch.bfloat16, output=output, ${scales})
    return output
]=]

local MAKE_DIRECT = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
    routing_logits, routing_bias = rng.normal(rows, NUM_EXPERTS${logits_dtype}), rng.normal(NUM_EXPERTS) * 0.1
    local_expert_offset, routed_scaling_factor = 0, 2.5
    topk_ids = rng.routes(rows, ${top_k}, NUM_EXPERTS)
    hidden_states = rng.${activations}(rows, HIDDEN_SIZE)
    gemm1_weights = rng.${weights}(${experts}, 2 * INTERMEDIATE_SIZE, HIDDEN_SIZE)
    gemm2_weights = rng.${weights}(${experts}, HIDDEN_SIZE, INTERMEDIATE_SIZE)
    output1_scales_scalar, output1_scales_gate_scalar, output2_scales_scalar = (
        rng.uniform(${experts}) * 0.02 + 0.01 for _ in range(3))
    gemm1_bias, gemm2_bias = rng.uniform(${experts}, 2 * INTERMEDIATE_SIZE) - 0.5, rng.uniform(${experts}, HIDDEN_SIZE)
    gemm1_alpha, gemm1_beta = rng.uniform(${experts}) + 1.2, rng.uniform(${experts}) + 0.5
    gemm1_clamp_limit = rng.uniform(${experts}) + 1.0
    made = locals()
    return [made[name] for name in INPUTS]
]=]

local SCALED = {
  up = " * output1_scales_scalar[e].to(torch.float64)",
  gate = " * output1_scales_gate_scalar[e].to(torch.float64)",
  out = " * output2_scales_scalar[e].to(torch.float64)",
}

local SILU = "up * gate / (1 + torch.exp(-gate))"

-- Clamped, with a slope of the sigmoid and an offset of the other half, as gpt-oss has it.
local CLAMPED = "clamped(up, gate, gemm1_clamp_limit[e], gemm1_alpha[e], gemm1_beta[e])"
local CLAMP = [=[
def clamped(up, gate, limit, slope, offset):
    limit = float(limit.item())
    gate = torch.where(gate > limit, torch.full_like(gate, limit), gate)
    up = torch.where(up > limit, torch.full_like(up, limit), up)
    up = torch.where(up < -limit, torch.full_like(up, -limit), up)
    return gate / (1 + torch.exp(-slope.to(torch.float64) * gate)) * (up + offset.to(torch.float64))


]=]

local ROUTING = {
  routed = "topk_ids",
  ds = "routing_logits, routing_bias, local_expert_offset, gemm1_weights.shape[0], routed_scaling_factor",
}

local function fill(text, values)
  return (text:gsub("%${([%w_]+)}", function(name) return values[name] end))
end

-- What a definition's name and inputs say of its routing, and of FlashInfer's call.
local function routing_parts(definition, routing, more)
  local values = {
    top_k = definition.name:match "_topk(%d+)" or "1",
    groups = definition.name:match "_ng(%d+)" or "1",
    kept = definition.name:match "_kg(%d+)" or "1",
    arguments = table.concat(require("hone.json").keys(definition.inputs), ", "),
    routing = ROUTING[routing] or "routing_logits",
    experts = definition.axes.num_local_experts and "NUM_LOCAL_EXPERTS" or "NUM_EXPERTS",
  }
  for name, value in pairs(more) do
    values[name] = value
  end
  values.routes = fill(ROUTES[routing], values)
  return values
end

-- Inputs in which biases change what is chosen and what comes out, and the weights of one choice alone are not 1.
local function telling(input, make)
  local list = {}
  local bias, out_bias, routes = input.routing_bias, input.gemm2_bias, input.topk_ids
  if bias then list.routing_bias = make:uniform(-0.5, 0.5, bias:size(1)):to(bias.dtype) end
  if out_bias then
    local size = input.gemm2_weights:size(3)
    list.gemm2_bias = make:uniform(-size, size, table.unpack(out_bias:shape())):to(out_bias.dtype)
  end
  if routes then
    local weights = make:uniform(0.2, 1, table.unpack(routes:shape())):to "bfloat16"
    list.topk_ids = (routes >> 16 << 16) + weights:view("int16"):to "int32"
  end
  return list
end

-- FP8 weights: a share of the outputs may be off, as flashinfer-bench judges them. Kernels round what lies between the
-- two products to FP8, each block by a scale of its own.
local TOLERANCE = { atol = 0.1, rtol = 0.2, ratio = 0.95, library_distance = 0.06 }

local BLACKWELL =
  "FlashInfer's kernels for these weights and this routing are for Blackwell, in forms of their own"

-- CUTLASS's kernels weigh what comes out of experts, not what goes in.
local function is_cutlass(routing) return routing == "ds" or routing == "renorm" or routing == "default" end

-- A form of weights ("fp4", "bf16" or "fp8" with factors) under a way of routing.
local function direct(form, routing, routed)
  local has_factors, is_clamped = form == "fp8", form == "fp4_oa"
  local function parts(definition)
    local values = routing_parts(definition, routing, {
      routed = routed,
      logits_dtype = routing == "ds" and ", dtype=torch.float32" or "",
      bias1 = is_clamped and " + gemm1_bias[e].to(torch.float64)" or "",
      bias2 = is_clamped and " + gemm2_bias[e].to(torch.float64)" or "",
      activated = is_clamped and CLAMPED or SILU,
      activations = has_factors and "fp8" or "normal",
      weights = has_factors and "fp8" or form:find "^fp4" and "weights" or "bfloat16_weights",
      up = has_factors and SCALED.up or "",
      gate = has_factors and SCALED.gate or "",
      out = has_factors and SCALED.out or "",
      widened = "hidden_states",
      scales = "quant_scales=None",
    })
    if is_clamped then values.routes = CLAMP .. values.routes end
    return values
  end
  return {
    truth = DIRECT,
    make = MAKE_DIRECT,
    parts = parts,
    tolerance = TOLERANCE,
    telling = telling,
    flashinfer = form == "bf16" and is_cutlass(routing) and CUTLASS or nil,
    flashinfer_needs = { "flashinfer.fused_moe" },
    flashinfer_routes = false, -- the formula does, token by token
    without_flashinfer = BLACKWELL,
  }
end

-- Weights with a scale for each block, under a way of routing.
local MAKE_BLOCKS = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
]=] .. WEIGHTS .. [=[
    return [${logits}, *weights${more}]
]=]

local BLOCK_INPUTS = {
  ds = {
    logits = "rng.normal(rows, NUM_EXPERTS, dtype=torch.float32), rng.normal(NUM_EXPERTS) * 0.1",
    more = ", 0, 2.5",
  },
  others = { logits = "rng.normal(rows, local_experts)", more = "" },
}

local function blocks(routing)
  local function parts(definition)
    local given = BLOCK_INPUTS[routing] or BLOCK_INPUTS.others
    local has_unused_bias = routing ~= "ds" and definition.inputs.routing_bias
    return routing_parts(definition, routing, {
      logits = given.logits,
      more = given.more .. (has_unused_bias and ", rng.normal(local_experts)" or ""),
      widened = "(hidden_states.float() * hidden_states_scale.t().repeat_interleave(128, dim=1)).to(torch.bfloat16)",
      scales = "use_deepseek_fp8_block_scale=True,\n"
        .. "                      quant_scales=[gemm1_weights_scale, gemm2_weights_scale]",
    })
  end
  return {
    truth = BLOCKS,
    make = MAKE_BLOCKS,
    parts = parts,
    tolerance = TOLERANCE,
    telling = telling,
    flashinfer = is_cutlass(routing) and CUTLASS or nil,
    flashinfer_needs = { "flashinfer.fused_moe" },
    flashinfer_routes = false, -- the formula does, token by token
    without_flashinfer = BLACKWELL,
  }
end

return {
  fp8_block_scale_default = blocks "default",
  fp8_block_scale_llama4 = blocks "llama4",
  fp4_block_scale_default = direct("fp4", "default"),
  fp4_block_scale_ds = direct("fp4", "ds"),
  fp4_block_scale_oa_renorm = direct("fp4_oa", "renorm"),
  fp4_block_scale_oa_routed = direct("fp4_oa", "routed", "weight, 1.0"),
  fp8_per_tensor_scale_default = direct("fp8", "default"),
  fp8_per_tensor_scale_ds = direct("fp8", "ds"),
  bf16_default = direct("bf16", "default"),
  bf16_ds = direct("bf16", "ds"),
  fp8_block_scale_ds = blocks "ds",
  fp8_block_scale_renorm = blocks "renorm",
  fp4_block_scale_renorm = direct("fp4", "renorm"),
  fp4_block_scale_llama4 = direct("fp4", "llama4"),
  fp4_block_scale_routed = direct("fp4", "routed", "weight, 1.0"),
  fp4_block_scale_routed_llama4 = direct("fp4", "routed", "1.0, weight"),
  fp8_per_tensor_scale_renorm = direct("fp8", "renorm"),
  fp8_per_tensor_scale_llama4 = direct("fp8", "llama4"),
  bf16_renorm = direct("bf16", "renorm"),
  bf16_llama4 = direct("bf16", "llama4"),
}
