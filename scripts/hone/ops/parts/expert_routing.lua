--- How a mixture of experts chooses experts for each token: what a kernel is given for it, and the part of a
--- reference that computes `experts` and `weights`, both [tokens, top_k].
--
-- A routing holds
--   title         for descriptions
--   inputs        { name, shape, dtype, description } before the activations; `${experts}` is the axis of experts
--   last_inputs   the same, after the weights
--   logits_dtype  { [format] = dtype } where it is not bfloat16
--   is_global     whether the kernel knows all experts, and its own from local_expert_offset on
--   parameters    what its reference fixes beside top_k
--   constants     lines at the top of a reference
--   reference     lines that compute experts and weights, a comment first
--   scales_input  whether the weight is a factor of what the expert is given, instead of what it gives
local M = {}

local logits =
  { "routing_logits", { "seq_len", "${experts}" }, "bfloat16", "Router logits, one row per token." }
local float_logits =
  { "routing_logits", { "seq_len", "${experts}" }, "float32", "Router logits, one row per token." }

-- Top-k, then a softmax over what was chosen. A softmax over all experts that is divided by the sum of the chosen
-- ones comes to the same.
M.renorm = {
  title = "top-k, then softmax over the chosen experts",
  inputs = { logits },
  reference = [=[
    # The largest logits, and a softmax over these alone.
    logits, experts = torch.topk(routing_logits.to(torch.float32), TOP_K, dim=-1)
    weights = torch.softmax(logits, dim=-1)
]=],
}

M.default = {
  title = "softmax, then top-k",
  inputs = { logits },
  reference = [=[
    # A softmax over all experts, of which the largest stay as they are.
    scores = torch.softmax(routing_logits.to(torch.float32), dim=-1)
    weights, experts = torch.topk(scores, TOP_K, dim=-1)
]=],
}

-- DeepSeek's routing without an auxiliary loss. One group is no grouping at all.
M.ds = {
  title = "sigmoid, a bias for the choice, groups of experts",
  is_global = true,
  parameters = { "n_group", "topk_group" },
  inputs = {
    float_logits,
    {
      "routing_bias",
      { "${experts}" },
      "bfloat16",
      "Added to the scores for the choice alone; zeros for no bias.",
    },
  },
  last_inputs = {
    {
      "local_expert_offset",
      nil,
      "int32",
      "Number of the first of this rank's experts among all experts.",
    },
    { "routed_scaling_factor", nil, "float32", "Factor of the weights of the chosen experts." },
  },
  constants = "N_GROUP = ${n_group}\nTOPK_GROUP = ${topk_group}\n",
  reference = [=[
    # Experts are chosen by their score plus a bias, in the groups whose two best come to the most.
    scores = torch.sigmoid(routing_logits.to(torch.float32))
    choice = scores + routing_bias.to(torch.float32)
${choose_groups}    experts = torch.topk(choice, TOP_K, dim=-1).indices

    # They are weighted by the score alone.
    weights = scores.gather(1, experts)
    weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20) * routed_scaling_factor
]=],
  groups = [=[
    grouped = choice.reshape(num_tokens, N_GROUP, num_experts // N_GROUP)
    best = torch.topk(grouped, min(2, num_experts // N_GROUP), dim=-1).values.sum(dim=-1)
    kept = torch.topk(best, TOPK_GROUP, dim=-1).indices
    dropped = torch.ones_like(best, dtype=torch.bool).scatter(1, kept, False)
    choice = grouped.masked_fill(dropped.unsqueeze(-1), -torch.inf).reshape(num_tokens, num_experts)
]=],
}

M.llama4 = {
  title = "top-1, then sigmoid; the weight is a factor of the expert's input",
  scales_input = true,
  inputs = { logits },
  last_inputs = {
    {
      "routing_bias",
      { "${experts}" },
      "bfloat16",
      "In the kernel's signature; this routing does not look at it.",
    },
  },
  reference = [=[
    # The largest logit through a sigmoid. The bias belongs to other ways of routing.
    logits, experts = torch.topk(routing_logits.to(torch.float32), TOP_K, dim=-1)
    weights = torch.sigmoid(logits)
]=],
}

M.packed = {
  title = "chosen before, expert and weight packed into one number",
  inputs = {
    {
      "topk_ids",
      { "seq_len", "top_k" },
      "int32",
      "Chosen experts: number in the high 16 bits, bfloat16 weight in the low 16.",
    },
  },
  reference = [=[
    # The high half of each number is the expert, the low half the bits of a bfloat16: the upper ones of a float32.
    experts = (topk_ids >> 16).to(torch.int64)
    weights = (topk_ids << 16).view(torch.float32)
]=],
}

return M
