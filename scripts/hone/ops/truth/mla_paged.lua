--- Ground truth and test inputs of latent attention over a paged cache: keys are both caches side by side, values the
--- compressed one.
local attention = require "hone.ops.truth.attention"

local SHARED = attention.cached .. attention.one_query

local decode = [=[
def truth(q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, ${last}sm_scale):
    batch, heads, dim = q_nope.shape
    output = torch.zeros(batch, heads, dim, dtype=torch.float64, device=q_nope.device)
    lse = torch.full((batch, heads), -math.inf, dtype=torch.float64, device=q_nope.device)
    queries = torch.cat((q_nope, q_pe), dim=-1)
    for b in range(batch):
        ckv = gathered(ckv_cache, kv_indptr, kv_indices, ${lengths}, b)
        keys = torch.cat((ckv, gathered(kpe_cache, kv_indptr, kv_indices, ${lengths}, b)), dim=-1)
        for h in range(heads):
            if keys.shape[0] > 0:
                value, total = attend(queries[b, h], keys, ckv, sm_scale)
                output[b, h] = value
                lse[b, h] = total
    return output, lse
]=]

local prefill = [=[
def truth(q_nope, q_pe, ckv_cache, kpe_cache, qo_indptr, kv_indptr, kv_indices, ${last}sm_scale):
    total_q, heads, dim = q_nope.shape
    output = torch.zeros(total_q, heads, dim, dtype=torch.float64, device=q_nope.device)
    lse = torch.full((total_q, heads), -math.inf, dtype=torch.float64, device=q_nope.device)
    queries = torch.cat((q_nope, q_pe), dim=-1)
    for b in range(qo_indptr.shape[0] - 1):
        first, end = int(qo_indptr[b].item()), int(qo_indptr[b + 1].item())
        ckv = gathered(ckv_cache, kv_indptr, kv_indices, ${lengths}, b)
        keys = torch.cat((ckv, gathered(kpe_cache, kv_indptr, kv_indices, ${lengths}, b)), dim=-1)
        for i in range(first, end):
            seen = keys.shape[0] - (end - 1 - i)
            for h in range(heads):
                if seen > 0:
                    value, total = attend(queries[i, h], keys[:seen], ckv[:seen], sm_scale)
                    output[i, h] = value
                    lse[i, h] = total
    return output, lse
]=]

local make = [=[
CASES = [${cases}]


def make_inputs(case, rng):
    indptr, indices, last, pages = rng.pages(case["kv"], PAGE_SIZE)
    rows = ${rows}
    queries = [rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_CKV), rng.normal(rows, NUM_QO_HEADS, HEAD_DIM_KPE)]
    caches = [rng.normal(pages, PAGE_SIZE, HEAD_DIM_CKV), rng.normal(pages, PAGE_SIZE, HEAD_DIM_KPE)]
    return [*queries, *caches, ${starts}indptr, indices, ${last}192 ** -0.5]
]=]

local flashinfer = [=[
def flashinfer_truth(q_nope, q_pe, ckv_cache, kpe_cache, ${starts}kv_indptr, kv_indices, ${last}sm_scale):
    from flashinfer.mla import BatchMLAPagedAttentionWrapper

    rows = ${rows}
    pages = kv_indptr[1:] - kv_indptr[:-1]
    lengths = ${counts}
    wrapper = BatchMLAPagedAttentionWrapper(workspace())
    wrapper.plan(rows, kv_indptr, kv_indices, lengths, NUM_QO_HEADS, HEAD_DIM_CKV, HEAD_DIM_KPE, PAGE_SIZE, True,
                 sm_scale, q_nope.dtype, ckv_cache.dtype)
    return wrapper.run(q_nope, q_pe, ckv_cache, kpe_cache, return_lse=True)
]=]

local function parts(definition)
  local has, is_prefill = definition.inputs.kv_last_page_len ~= nil, definition.inputs.qo_indptr ~= nil
  local some = "torch.where(pages > 0, (pages - 1) * PAGE_SIZE + kv_last_page_len[: pages.shape[0]], pages)"
  return {
    last = has and "kv_last_page_len, " or "",
    lengths = has and "kv_last_page_len" or "None",
    starts = is_prefill and "qo_indptr, " or "",
    rows = is_prefill and "qo_indptr"
      or "torch.arange(q_nope.shape[0] + 1, dtype=torch.int32, device=q_nope.device)",
    counts = has and some or "pages",
  }
end

local function make_parts(definition)
  local spec, is_prefill = definition.inputs.kv_last_page_len, definition.inputs.qo_indptr ~= nil
  local last = ""
  if spec then last = spec.shape[1] == "len_indptr" and "rng.padded(last), " or "last, " end
  return {
    last = last,
    starts = is_prefill and 'rng.starts(case["qo"]), ' or "",
    rows = is_prefill and 'sum(case["qo"])' or 'len(case["kv"])',
    cases = is_prefill
        and '{"qo": [1], "kv": [1]}, {"qo": [3, 5], "kv": [9, 5]}, {"qo": [2, 7], "kv": [70, 33]}'
      or '{"kv": [1]}, {"kv": [7, 0, 130]}, {"kv": [64, 65, 3]}',
  }
end

return {
  decode = {
    truth = SHARED .. decode,
    make = make,
    flashinfer = flashinfer,
    parts = parts,
    make_parts = make_parts,
  },
  prefill_causal = {
    truth = SHARED .. prefill,
    make = make,
    flashinfer = flashinfer,
    parts = parts,
    make_parts = make_parts,
  },
}
