import math

import torch


def run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale):
    starts = kv_indptr[:-1].long()
    lengths = kv_indptr[1:].long() - starts
    longest = int(lengths.max()) if lengths.numel() else 0
    kv_heads = k_cache.shape[2]
    if longest == 0:
        return torch.zeros_like(q), torch.full(q.shape[:2], -math.inf, device=q.device)

    places = torch.arange(longest, device=q.device)
    valid = places < lengths[:, None]
    at = (starts[:, None] + places).clamp(max=kv_indices.numel() - 1)
    pages = kv_indices[at].long()

    # [batch, places, kv heads, size]; a group of query heads shares each kv head
    keys = k_cache[pages].squeeze(2).float()
    values = v_cache[pages].squeeze(2).float()
    queries = q.float().unflatten(1, (kv_heads, -1))
    logits = torch.einsum("bkgd,btkd->bkgt", queries, keys) * sm_scale
    logits = logits.masked_fill(~valid[:, None, None], -math.inf)
    lse = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - lse[..., None]).nan_to_num(0.0)  # an empty sequence: -inf less -inf
    output = torch.einsum("bkgt,btkd->bkgd", weights, values)
    return output.flatten(1, 2).to(q.dtype), lse.flatten(1, 2) / math.log(2.0)
