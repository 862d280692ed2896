--- Mistakes of mixtures of experts' kernels. See parts/mistakes.lua.
local tensor = require "hone.tensor"
local mistakes = require "hone.ops.parts.mistakes"

local changed, filled, number = mistakes.changed, mistakes.filled, mistakes.number

-- ---- experts -----------------------------------------------------------------------------------------

-- What belongs to the first GEMM's rows: up in the first half, gate in the second.
local ROWS = { "gemm1_weights", "gemm1_weights_scale", "gemm1_bias" }

local function halves_swapped(input)
  local inputs = {}
  for _, name in ipairs(ROWS) do
    if input[name] then inputs[name] = mistakes.swap_halves(input[name], 2) end
  end
  if input.output1_scales_scalar then
    inputs.output1_scales_scalar, inputs.output1_scales_gate_scalar =
      input.output1_scales_gate_scalar, input.output1_scales_scalar
  end
  return inputs
end

-- Rows of up and gate in turn, instead of one half after the other.
local function in_turn(t)
  local half = t:size(2) // 2
  local order = {}
  for i = 0, half - 1 do
    order[i + 1], order[half + i + 1] = 2 * i, 2 * i + 1
  end
  return t:index_select(2, mistakes.index(order, t.device))
end

local SCALES = {
  "hidden_states_scale",
  "gemm1_weights_scale",
  "gemm2_weights_scale",
  "output1_scales_scalar",
  "output1_scales_gate_scalar",
  "output2_scales_scalar",
}

local function all_ones(input)
  local inputs = {}
  for _, name in ipairs(SCALES) do
    if input[name] then inputs[name] = tensor.ones_like(input[name]) end
  end
  return next(inputs) and inputs
end

local experts = {
  changed(
    "gate and up are exchanged",
    "the first half of the first GEMM's rows is up, the second is gate",
    halves_swapped
  ),
  changed(
    "gate and up are read in turn, row by row",
    "the first half of the rows is up, the second is gate",
    function(input)
      local inputs = {}
      for _, name in ipairs { "gemm1_weights", "gemm1_bias" } do
        if input[name] then inputs[name] = in_turn(input[name]) end
      end
      return inputs
    end
  ),
  changed("no scale is applied: FP8 values are taken as they are", "multiply by the scales", all_ones),
  changed(
    "the activations' scales are read as [tokens, blocks], they are [blocks, tokens]",
    "hidden_states_scale is transposed",
    function(input)
      local t = input.hidden_states_scale
      return t and { hidden_states_scale = t:reshape(t:size(2), t:size(1)):t():contiguous() }
    end
  ),
}

for _, name in ipairs(SCALES) do
  experts[#experts + 1] = filled(name, 1, name .. " is not applied", "multiply by it")
end

-- ---- routing -----------------------------------------------------------------------------------------

local function logit(p) return (p / (1 - p)):log() end

local routing = {
  filled("routing_bias", 0, "the routing bias is missing", "experts are chosen by their score plus the bias"),
  changed(
    "the routing bias is part of the weights",
    "it is for the choice alone: weights are the scores",
    function(input)
      local bias = input.routing_bias
      if not bias or not input.routed_scaling_factor then return nil end
      local biased = input.routing_logits:to("float32"):sigmoid() + bias:to "float32"
      local dtype = input.routing_logits.dtype
      return {
        routing_logits = logit(biased:clamp(1e-6, 1 - 1e-6)):to(dtype),
        routing_bias = tensor.zeros_like(bias),
      }
    end
  ),
  number(
    "routed_scaling_factor",
    function() return 1.0 end,
    "routed_scaling_factor is missing",
    "multiply the weights by it"
  ),
  number(
    "local_expert_offset",
    function() return 0 end,
    "local_expert_offset is not used",
    "the first of this rank's experts has this number"
  ),
}

-- The sum of the chosen experts' scores of each token, from how the reference chooses.
local function chosen_sum(case, scores, choice)
  local top_k = case.axes.top_k or tonumber(case.definition.reference:match "TOP_K%s*=%s*(%d+)")
  if not top_k then return nil end
  local _, details = require("hone.ops").signature(case.definition)
  local groups = math.tointeger(tonumber(details.hidden.n_group))
  local kept = math.tointeger(tonumber(details.hidden.topk_group))
  if groups and kept and groups > 1 then
    local grouped = choice:reshape(choice:size(1), groups, -1)
    local best = grouped:topk(math.min(2, grouped:size(3)), 3):sum(3)
    local _, which = best:topk(kept, 2)
    local open = tensor.zeros_like(best):scatter_(2, which, tensor.ones_like(which):to(best.dtype)):gt(0)
    choice = tensor.where(open:unsqueeze(3), grouped, -math.huge):reshape(choice:size(1), -1)
  end
  local _, chosen = choice:topk(top_k, 2)
  return scores:gather(2, chosen):sum(2, true)
end

local weights = {
  {
    what = "the softmax over the chosen experts is not divided by its sum",
    hint = "divide by the sum of the exponentials",
    outputs = function(case)
      local logits = case.input.routing_logits
      if not logits or case.input.routed_scaling_factor then return nil end
      logits = logits:to "float32"
      local total = chosen_sum(case, (logits - logits:amax(2, true)):exp(), logits)
      return total and { output = (case.expected.output:to "float32" * total):to(case.expected.output.dtype) }
    end,
  },
  {
    what = "the weights of the chosen experts are not divided by their sum",
    hint = "renormalise them over the experts that were chosen",
    outputs = function(case)
      local logits = case.input.routing_logits
      if not logits then return nil end
      logits = logits:to "float32"
      local scores, choice
      if case.input.routed_scaling_factor then
        scores = logits:sigmoid()
        choice = scores + (case.input.routing_bias and case.input.routing_bias:to "float32" or 0.0)
      else
        scores, choice = logits:softmax(2), logits
      end
      local total = chosen_sum(case, scores, choice)
      return total and { output = (case.expected.output:to "float32" * total):to(case.expected.output.dtype) }
    end,
  },
  {
    what = "the weights of the chosen experts are divided by their sum, they should stay as they are",
    hint = "the softmax is over all experts",
    outputs = function(case)
      local logits = case.input.routing_logits
      if not logits or case.input.routed_scaling_factor then return nil end
      logits = logits:to "float32"
      local total = chosen_sum(case, logits:softmax(2), logits)
      return total and { output = (case.expected.output:to "float32" / total):to(case.expected.output.dtype) }
    end,
  },
}

local SILU = "torch.nn.functional.silu(gate)"
local activation = {
  mistakes.edited(
    "the gate goes through GELU",
    "it goes through SiLU",
    SILU,
    "torch.nn.functional.gelu(gate)"
  ),
  mistakes.edited(
    "the gate goes through a sigmoid alone",
    "silu(x) = x * sigmoid(x)",
    SILU,
    "torch.sigmoid(gate)"
  ),
  mistakes.edited("the gate goes through no activation", "it goes through SiLU", SILU, "gate"),
}

local groups = {
  {
    what = "experts are chosen among all groups",
    hint = "only those of the best groups may be chosen",
    runs = true,
    outputs = function(case)
      local _, details = require("hone.ops").signature(case.definition)
      local all, kept = details.hidden.n_group, details.hidden.topk_group
      if not all or not kept or all == kept then return nil end
      return case:edited(("TOPK_GROUP = %s"):format(kept), ("TOPK_GROUP = %s"):format(all))
    end,
  },
}

-- One expert fewer or more than top_k.
local function other_count(by, what)
  return {
    what = what,
    hint = "check the bounds of the loop over the chosen experts",
    runs = true,
    outputs = function(case)
      local top_k = tonumber(case.definition.reference:match "TOP_K%s*=%s*(%d+)")
      if not top_k or top_k + by < 1 then return nil end
      return case:edited(("TOP_K = %d"):format(top_k), ("TOP_K = %d"):format(top_k + by))
    end,
  }
end

local counts = {
  other_count(-1, "one expert too few is chosen"),
  other_count(1, "one expert too many is chosen"),
}

return mistakes.join(weights, experts, routing, groups, counts, activation)
