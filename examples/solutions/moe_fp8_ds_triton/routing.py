import torch

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


def tiles(experts, first_expert, count, rows):
    """Choices sorted by expert and cut into tiles of up to `rows`, of one expert each, without asking the device how
    many there are: (order of the choices, expert of each tile or -1, where it begins and ends in that order)."""
    local = experts.flatten() - first_expert
    local = torch.where((local >= 0) & (local < count), local, count)
    sorted_local, order = local.sort(stable=True)
    ends = torch.searchsorted(sorted_local, torch.arange(count, device=local.device), right=True)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    up_to = ((ends - starts + rows - 1) // rows).cumsum(0)
    most = (local.numel() + rows - 1) // rows + min(count, local.numel())
    tile = torch.arange(most, device=local.device)
    expert = torch.searchsorted(up_to, tile, right=True)
    known = expert.clamp(max=count - 1)
    before = torch.where(known > 0, up_to[(known - 1).clamp(min=0)], 0)
    start = starts[known] + (tile - before) * rows
    return order, torch.where(expert < count, expert, -1), start, ends[known]
