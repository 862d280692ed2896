--- Attention in float64, one query and one head at a time: the truth for what references do in float32 and at once.
-- Shared by the op types of attention; `sequence(...)` is written for one query row.
local M = {}

M.cached = [=[
import math
import torch


def gathered(cache, kv_indptr, kv_indices, lengths, b):
    pages = kv_indices[int(kv_indptr[b].item()):int(kv_indptr[b + 1].item())].to(torch.int64)
    tokens = cache[pages].reshape(-1, *cache.shape[2:])
    return tokens[:length_of(cache, pages, lengths, b)]


def length_of(cache, pages, lengths, b):
    count = pages.shape[0]
    if count == 0:
        return 0
    if lengths is None:
        return count * cache.shape[1]
    return (count - 1) * cache.shape[1] + int(lengths[b].item())


]=]

M.one_query = [=[
def attend(query, keys, values, scale):
    """One query over its keys: the attended value and the base 2 logarithm of the sum of weights."""
    logits = (keys.to(torch.float64) * query.to(torch.float64)).sum(dim=-1) * scale
    top = logits.max()
    weights = torch.exp(logits - top)
    total = weights.sum()
    value = (values.to(torch.float64) * (weights / total).unsqueeze(-1)).sum(dim=0)
    return value, (top + torch.log(total)) / math.log(2.0)


]=]

return M
