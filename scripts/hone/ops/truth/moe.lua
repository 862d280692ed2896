--- Ground truth and test inputs of mixtures of experts with FP8 block scales: token by token, expert by expert.
local shared = [=[
import torch


def scaled(values, scales, block=128):
    """Rows and columns times the scales of their blocks."""
    rows = torch.arange(values.shape[0], device=values.device) // block
    columns = torch.arange(values.shape[1], device=values.device) // block
    return values.to(torch.float64) * scales.to(torch.float64)[rows][:, columns]


def expert(x, up_gate, up_gate_scale, down, down_scale):
    both = scaled(up_gate, up_gate_scale) @ x
    half = both.shape[0] // 2
    gate = both[half:]
    return scaled(down, down_scale) @ (both[:half] * gate / (1 + torch.exp(-gate)))


def token(hidden_states, hidden_states_scale, t):
    columns = torch.arange(hidden_states.shape[1], device=hidden_states.device) // 128
    return hidden_states[t].to(torch.float64) * hidden_states_scale[columns, t].to(torch.float64)


]=]

local ds = shared
  .. [=[
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


def truth(routing_logits, routing_bias, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
          gemm2_weights, gemm2_weights_scale, local_expert_offset, routed_scaling_factor):
    output = torch.zeros(hidden_states.shape, dtype=torch.float64, device=hidden_states.device)
    for t in range(hidden_states.shape[0]):
        scores = 1 / (1 + torch.exp(-routing_logits[t].to(torch.float64)))
        experts = chosen(scores + routing_bias.to(torch.float64))
        total = scores[experts].sum() + 1e-20
        x = token(hidden_states, hidden_states_scale, t)
        for i in range(experts.shape[0]):
            e = int(experts[i].item())
            local = e - local_expert_offset
            if 0 <= local < gemm1_weights.shape[0]:
                made = expert(x, gemm1_weights[local], gemm1_weights_scale[local], gemm2_weights[local],
                              gemm2_weights_scale[local])
                output[t] = output[t] + made * (scores[e] / total * routed_scaling_factor)
    return output
]=]

local renorm = shared
  .. [=[
def truth(routing_logits, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, gemm2_weights,
          gemm2_weights_scale):
    output = torch.zeros(hidden_states.shape, dtype=torch.float64, device=hidden_states.device)
    for t in range(hidden_states.shape[0]):
        logits, experts = torch.sort(routing_logits[t].to(torch.float64), descending=True)
        weights = torch.exp(logits[:${top_k}] - logits[0])
        x = token(hidden_states, hidden_states_scale, t)
        for i in range(${top_k}):
            e = int(experts[i].item())
            made = expert(x, gemm1_weights[e], gemm1_weights_scale[e], gemm2_weights[e], gemm2_weights_scale[e])
            output[t] = output[t] + made * (weights[i] / weights.sum())
    return output
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

local make_ds = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
]=] .. WEIGHTS .. [=[
    logits, bias = rng.normal(rows, NUM_EXPERTS, dtype=torch.float32), rng.normal(NUM_EXPERTS) * 0.1
    return [logits, bias, *weights, 0, 2.5]
]=]

local make_renorm = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
]=] .. WEIGHTS .. [=[
    return [rng.normal(rows, local_experts), *weights]
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
            both = gemm1_weights[e].to(torch.float64) @ (hidden_states[t].to(torch.float64) * factor)
            half = both.shape[0] // 2
            up, gate = both[:half]${up}, both[half:]${gate}
            made = gemm2_weights[e].to(torch.float64) @ (up * gate / (1 + torch.exp(-gate)))
            output[t] = output[t] + made${out} * weight
    return output
]=]

local MAKE_DIRECT = [=[
CASES = [{"rows": 1}, {"rows": 5}]


def make_inputs(case, rng):
    rows = case["rows"]
    routing_logits, routing_bias = rng.normal(rows, NUM_EXPERTS), rng.normal(NUM_EXPERTS)
    topk_ids = rng.routes(rows, ${top_k}, NUM_EXPERTS)
    hidden_states = rng.${activations}(rows, HIDDEN_SIZE)
    gemm1_weights = rng.${weights}(NUM_EXPERTS, 2 * INTERMEDIATE_SIZE, HIDDEN_SIZE)
    gemm2_weights = rng.${weights}(NUM_EXPERTS, HIDDEN_SIZE, INTERMEDIATE_SIZE)
    output1_scales_scalar, output1_scales_gate_scalar, output2_scales_scalar = (
        rng.uniform(NUM_EXPERTS) * 0.02 + 0.01 for _ in range(3))
    made = locals()
    return [made[name] for name in INPUTS]
]=]

local SCALED = {
  up = " * output1_scales_scalar[e].to(torch.float64)",
  gate = " * output1_scales_gate_scalar[e].to(torch.float64)",
  out = " * output2_scales_scalar[e].to(torch.float64)",
}

local function fill(text, values)
  return (text:gsub("%${([%w_]+)}", function(name) return values[name] end))
end

local function numbers(definition)
  local name = definition.name
  return {
    top_k = name:match "_topk(%d+)",
    groups = name:match "_ng(%d+)" or "1",
    kept = name:match "_kg(%d+)" or "1",
  }
end

local function make_parts(definition)
  return { experts = definition.axes.num_local_experts and "NUM_LOCAL_EXPERTS" or "NUM_EXPERTS" }
end

-- FP8 weights: a share of the outputs may be off, as flashinfer-bench judges them.
local TOLERANCE = { atol = 0.1, rtol = 0.2, ratio = 0.95 }

local function variant(truth, make)
  return { truth = truth, make = make, parts = numbers, make_parts = make_parts, tolerance = TOLERANCE }
end

-- A form of weights ("fp4", "bf16" or "fp8" with factors) under a way of routing.
local function direct(form, routing, routed)
  local function parts(definition)
    local has_factors = form == "fp8"
    local values = {
      top_k = definition.name:match "_topk(%d+)",
      routed = routed,
      arguments = table.concat(require("hone.json").keys(definition.inputs), ", "),
      routing = routing == "routed" and "topk_ids" or "routing_logits",
      activations = has_factors and "fp8" or "normal",
      weights = has_factors and "fp8" or form == "fp4" and "weights" or "bfloat16_weights",
      up = has_factors and SCALED.up or "",
      gate = has_factors and SCALED.gate or "",
      out = has_factors and SCALED.out or "",
    }
    values.routes = fill(ROUTES[routing], values)
    return values
  end
  return { truth = DIRECT, make = MAKE_DIRECT, parts = parts, tolerance = TOLERANCE }
end

return {
  fp8_block_scale_ds = variant(ds, make_ds),
  fp8_block_scale_renorm = variant(renorm, make_renorm),
  fp4_block_scale_renorm = direct("fp4", "renorm"),
  fp4_block_scale_llama4 = direct("fp4", "llama4"),
  fp4_block_scale_routed = direct("fp4", "routed", "weight, 1.0"),
  fp4_block_scale_routed_llama4 = direct("fp4", "routed", "1.0, weight"),
  fp8_per_tensor_scale_renorm = direct("fp8", "renorm"),
  fp8_per_tensor_scale_llama4 = direct("fp8", "llama4"),
  bf16_renorm = direct("bf16", "renorm"),
  bf16_llama4 = direct("bf16", "llama4"),
}
