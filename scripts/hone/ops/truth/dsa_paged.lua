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
CASES = [{"seen": [1]}, {"seen": [min(70, TOPK), 0, TOPK]}]


def make_inputs(case, rng):
    rows, pages = len(case["seen"]), -(-2 * TOPK // PAGE_SIZE)
    indices = torch.full((rows, TOPK), -1, dtype=torch.int32)
    for t, count in enumerate(case["seen"]):
        indices[t, :count] = rng.permutation(pages * PAGE_SIZE)[:count]
    queries = [rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_CKV), rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_KPE)]
    caches = [rng.normal(pages, PAGE_SIZE, HEAD_DIM_CKV), rng.normal(pages, PAGE_SIZE, HEAD_DIM_KPE)]
    return [*queries, *caches, indices.to(queries[0].device), 192 ** -0.5]
]=]

-- What is picked are pages of one token, in whatever order: the wrapper of plain latent attention takes them.
local flashinfer = [=[
def flashinfer_truth(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    from flashinfer.mla import BatchMLAPagedAttentionWrapper

    picked = sparse_indices >= 0
    counts = picked.sum(dim=1).to(torch.int32)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0).to(torch.int32)))
    rows = torch.arange(counts.shape[0] + 1, dtype=torch.int32, device=counts.device)
    wrapper = BatchMLAPagedAttentionWrapper(workspace())
    wrapper.plan(rows, starts, sparse_indices[picked], counts, NUM_QO_HEADS, HEAD_DIM_CKV, HEAD_DIM_KPE, 1, False,
                 sm_scale, q_nope.dtype, ckv_cache.dtype)
    tokens = ckv_cache.reshape(-1, 1, HEAD_DIM_CKV), kpe_cache.reshape(-1, 1, HEAD_DIM_KPE)
    return wrapper.run(q_nope, q_pe, *tokens, return_lse=True)
]=]

local indexer_truth = [=[
import torch


def page_scores(page, query, weights, page_size, dim):
    """The score of each token of a page, whose bytes are all its keys, then all their scales."""
    flat = page.reshape(-1)
    keys = flat[:page_size * dim].clone().view(torch.float8_e4m3fn).reshape(page_size, dim).to(torch.float64)
    scales = flat[page_size * dim:].clone().view(torch.float32).to(torch.float64)
    products = keys @ query.to(torch.float64).t() * scales.unsqueeze(1)
    positive = torch.where(products > 0, products, torch.zeros_like(products))
    return (positive * weights.to(torch.float64)).sum(dim=1)


def truth(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table):
    page_size, dim = k_index_cache_fp8.shape[1], q_index_fp8.shape[2]
    picked = torch.full((q_index_fp8.shape[0], ${topk}), -1, dtype=torch.int64, device=weights.device)
    for b in range(q_index_fp8.shape[0]):
        count = int(seq_lens[b].item())
        scores, tokens = [], []
        for i in range((count + page_size - 1) // page_size):
            page = int(block_table[b, i].item())
            scores.append(page_scores(k_index_cache_fp8[page], q_index_fp8[b], weights[b], page_size, dim))
            tokens.append(torch.arange(page_size, device=weights.device) + page * page_size)
        if count > 0:
            order = torch.sort(torch.cat(scores)[:count], descending=True)[1][:${topk}]
            picked[b, :order.shape[0]] = torch.cat(tokens)[:count][order]
    return picked
]=]

local make_indexer = [=[
CASES = [{"seen": [1]}, {"seen": [70, 0, TOPK + 150]}]


def make_inputs(case, rng):
    rows, width = len(case["seen"]), -(-max(TOPK, *case["seen"], 1) // PAGE_SIZE)
    pages = width + 3
    keys = rng.fp8(pages, PAGE_SIZE * INDEX_HEAD_DIM).view(torch.int8)
    scales = rng.scales(pages, PAGE_SIZE).view(torch.int8)
    cache = torch.cat((keys, scales), dim=1).reshape(pages, PAGE_SIZE, 1, INDEX_HEAD_DIM + 4)
    table = torch.stack([rng.permutation(pages)[:width] for _ in range(rows)]).to(cache.device)
    queries, weights = rng.fp8(rows, NUM_INDEX_HEADS, INDEX_HEAD_DIM), rng.uniform(rows, NUM_INDEX_HEADS)
    return [queries, cache, weights, rng.tensor(case["seen"]), table]
]=]

local function indexer_parts(definition) return { topk = definition.name:match "_topk(%d+)" } end

-- Two tokens whose scores float32 cannot tell apart may change places.
local topk_indexer = {
  truth = indexer_truth,
  make = make_indexer,
  parts = indexer_parts,
  tolerance = { atol = 0, rtol = 0, ratio = 0.97 },
  without_flashinfer = "FlashInfer has no indexer over such a cache for Hopper",
}

-- Some tokens pick fewer than there is room for, and the first none.
local function telling(input, making)
  local indices = input.sparse_indices:clone()
  local rows, most = table.unpack(indices:shape())
  for i, count in ipairs(making:integers(0, most, rows)) do
    if i == 1 then count = 0 end
    indices[{ i, { count + 1, most } }] = -1
  end
  return { sparse_indices = indices }
end

return {
  topk_indexer = topk_indexer,
  sparse_attention = { truth = truth, make = make, telling = telling, flashinfer = flashinfer },
}
