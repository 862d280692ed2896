--- Ground truth and test inputs of sparse latent attention.
local attention = require "hone.ops.truth.attention"

local truth = [=[
import math
import torch


]=] .. attention.one_query .. [=[
def truth(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    tokens, heads, dim = q_nope.shape
    output = torch.zeros(tokens, heads, dim, dtype=torch.float64, device=q_nope.device)
    lse = torch.full((tokens, heads), -math.inf, dtype=torch.float64, device=q_nope.device)
    values = ckv_cache.reshape(-1, dim)
    keys = torch.cat((values, kpe_cache.reshape(-1, kpe_cache.shape[-1])), dim=-1)
    queries = torch.cat((q_nope, q_pe), dim=-1)
    for t in range(tokens):
        picked = sparse_indices[t]
        picked = picked[picked >= 0].to(torch.int64)
        for h in range(heads):
            if picked.shape[0] > 0:
                value, total = attend(queries[t, h], keys[picked], values[picked], sm_scale)
                output[t, h] = value
                lse[t, h] = total
    return output, lse
]=]

local make = [=[
CASES = [{"seen": [1]}, {"seen": [70, 0, TOPK]}]


def make_inputs(case, rng):
    rows, pages = len(case["seen"]), -(-2 * TOPK // PAGE_SIZE)
    indices = torch.full((rows, TOPK), -1, dtype=torch.int32)
    for t, count in enumerate(case["seen"]):
        indices[t, :count] = rng.permutation(pages * PAGE_SIZE)[:count]
    queries = [rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_CKV), rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_KPE)]
    caches = [rng.normal(pages, PAGE_SIZE, HEAD_DIM_CKV), rng.normal(pages, PAGE_SIZE, HEAD_DIM_KPE)]
    return [*queries, *caches, indices.to(queries[0].device), 192 ** -0.5]
]=]

return { sparse_attention = { truth = truth, make = make } }
