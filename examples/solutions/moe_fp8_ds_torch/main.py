import torch

BLOCK = 128  # elements that share a scale
GROUPS, KEPT_GROUPS, CHOSEN = 8, 4, 8


def route(logits, bias, factor):
    """The experts of each token, and what each counts: [tokens, 8] twice."""
    scores = torch.sigmoid(logits.float())
    biased = scores + bias.float()
    grouped = biased.unflatten(1, (GROUPS, -1))
    group_scores = grouped.topk(2, dim=2).values.sum(dim=2)
    kept = torch.zeros_like(group_scores, dtype=torch.bool)
    kept.scatter_(1, group_scores.topk(KEPT_GROUPS, dim=1).indices, True)
    lowest = torch.finfo(torch.float32).min
    experts = grouped.masked_fill(~kept[:, :, None], lowest).flatten(1).topk(CHOSEN, dim=1).indices
    weights = scores.gather(1, experts)
    return experts, weights / (weights.sum(dim=1, keepdim=True) + 1e-20) * factor


def widened(weights, scales):
    """[rows, columns] with a scale for each block of 128 by 128."""
    rows, columns = scales.shape
    blocks = weights.float().view(rows, BLOCK, columns, BLOCK)
    return (blocks * scales[:, None, :, None]).view(weights.shape)


def run(routing_logits, routing_bias, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
        gemm2_weights, gemm2_weights_scale, local_expert_offset, routed_scaling_factor):
    tokens, size = hidden_states.shape
    experts, weights = route(routing_logits, routing_bias, routed_scaling_factor)
    scales = hidden_states_scale.t()
    x = (hidden_states.float().unflatten(1, (-1, BLOCK)) * scales[:, :, None]).flatten(1)
    output = torch.zeros((tokens, size), dtype=torch.float32, device=x.device)
    for local in range(gemm1_weights.shape[0]):
        token, place = (experts == local_expert_offset + local).nonzero(as_tuple=True)
        if token.numel() == 0:
            continue
        both = x[token] @ widened(gemm1_weights[local], gemm1_weights_scale[local]).t()
        up, gate = both.chunk(2, dim=1)
        down = (torch.nn.functional.silu(gate) * up) @ widened(gemm2_weights[local], gemm2_weights_scale[local]).t()
        output.index_add_(0, token, down * weights[token, place, None])
    return output.to(torch.bfloat16)
