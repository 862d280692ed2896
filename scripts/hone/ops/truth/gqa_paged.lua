--- Ground truth and test inputs of grouped query attention over a paged cache.
local attention = require "hone.ops.truth.attention"

local SHARED = attention.cached .. attention.one_query_of_form

local decode = [=[
def truth(q, k_cache, v_cache, kv_indptr, kv_indices, ${last}${sink_argument}sm_scale):
    batch, heads, dim = q.shape
    group = heads // k_cache.shape[2]
    output = torch.zeros(batch, heads, dim, dtype=torch.float64, device=q.device)
    lse = torch.full((batch, heads), -math.inf, dtype=torch.float64, device=q.device)
    for b in range(batch):
        keys = gathered(k_cache, kv_indptr, kv_indices, ${lengths}, b)
        values = gathered(v_cache, kv_indptr, kv_indices, ${lengths}, b)
        first = outside(keys.shape[0])
        for h in range(heads):
            if keys.shape[0] > 0:
                value, total = attend(q[b, h], keys[first:, h // group], values[first:, h // group],
                                      sm_scale${sink_of_head})
                output[b, h] = value
                lse[b, h] = total
    return output, lse
]=]

local prefill = [=[
def truth(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, ${last}${sink_argument}sm_scale):
    total_q, heads, dim = q.shape
    group = heads // k_cache.shape[2]
    output = torch.zeros(total_q, heads, dim, dtype=torch.float64, device=q.device)
    lse = torch.full((total_q, heads), -math.inf, dtype=torch.float64, device=q.device)
    for b in range(qo_indptr.shape[0] - 1):
        first, end = int(qo_indptr[b].item()), int(qo_indptr[b + 1].item())
        keys = gathered(k_cache, kv_indptr, kv_indices, ${lengths}, b)
        values = gathered(v_cache, kv_indptr, kv_indices, ${lengths}, b)
        for i in range(first, end):
            seen = keys.shape[0] - (end - 1 - i)
            oldest = outside(seen)
            for h in range(heads):
                if seen > 0:
                    value, total = attend(q[i, h], keys[oldest:seen, h // group], values[oldest:seen, h // group],
                                          sm_scale${sink_of_head})
                    output[i, h] = value
                    lse[i, h] = total
    return output, lse
]=]

local make_decode = [=[
CASES = [{"kv": [1]}, {"kv": [7, 0, 130]}, {"kv": [64, 65, 3, 129, 1]}]


def make_inputs(case, rng):
    indptr, indices, last, pages = rng.pages(case["kv"], PAGE_SIZE)
    cache = (pages, PAGE_SIZE, NUM_KV_HEADS, HEAD_DIM)
    q = rng.normal(len(case["kv"]), NUM_QO_HEADS, HEAD_DIM)
    return [q, rng.normal(*cache), rng.normal(*cache), indptr, indices, ${last}${make_sink}HEAD_DIM ** -0.5]
]=]

local make_prefill = [=[
CASES = [{"qo": [1], "kv": [1]}, {"qo": [3, 5], "kv": [9, 5]}, {"qo": [1, 0, 17], "kv": [130, 4, 33]}]


def make_inputs(case, rng):
    indptr, indices, last, pages = rng.pages(case["kv"], PAGE_SIZE)
    cache = (pages, PAGE_SIZE, NUM_KV_HEADS, HEAD_DIM)
    q = rng.normal(sum(case["qo"]), NUM_QO_HEADS, HEAD_DIM)
    starts = rng.starts(case["qo"])
    return [q, rng.normal(*cache), rng.normal(*cache), starts, indptr, indices, ${last}${make_sink}HEAD_DIM ** -0.5]
]=]

local flashinfer_decode = [=[
def flashinfer_truth(q, k_cache, v_cache, kv_indptr, kv_indices, ${last}${sink_argument}sm_scale):
    from flashinfer import BatchDecodeWithPagedKVCacheWrapper

    full = torch.full((q.shape[0],), PAGE_SIZE, dtype=torch.int32, device=q.device)
    wrapper = BatchDecodeWithPagedKVCacheWrapper(workspace(), "NHD")
    wrapper.plan(kv_indptr, kv_indices, ${last_or_full}, NUM_QO_HEADS, NUM_KV_HEADS, HEAD_DIM, PAGE_SIZE,
                 q_data_type=q.dtype, kv_data_type=k_cache.dtype, sm_scale=sm_scale${plan_more})
    output, lse = wrapper.run(q, (k_cache, v_cache), return_lse=True)
    return output, lse.masked_fill(lse < -4e4, -math.inf)  # FlashInfer's number for an empty sequence
]=]

local flashinfer_prefill = [=[
def flashinfer_truth(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, ${last}${sink_argument}sm_scale):
    from flashinfer import BatchPrefillWithPagedKVCacheWrapper

    full = torch.full((qo_indptr.shape[0] - 1,), PAGE_SIZE, dtype=torch.int32, device=q.device)
    wrapper = BatchPrefillWithPagedKVCacheWrapper(workspace(), "NHD")
    wrapper.plan(qo_indptr, kv_indptr, kv_indices, ${last_or_full}, NUM_QO_HEADS, NUM_KV_HEADS, HEAD_DIM, PAGE_SIZE,
                 causal=True, q_data_type=q.dtype, kv_data_type=k_cache.dtype, sm_scale=sm_scale${plan_more})
    return wrapper.run(q, (k_cache, v_cache), return_lse=True)
]=]

-- Attention with sinks: the wrapper gives no logarithm of the sum that counts the sink, so that outputs are compared.
local flashinfer_sink = [=[
def flashinfer_truth(q, k_cache, v_cache, ${starts}kv_indptr, kv_indices, ${last}sink, sm_scale):
    from flashinfer import BatchAttentionWithAttentionSinkWrapper

    rows = ${rows}
    full = torch.full((rows.shape[0] - 1,), PAGE_SIZE, dtype=torch.int32, device=q.device)
    types = {"q_data_type": q.dtype, "kv_data_type": k_cache.dtype, "window_left": ${window_left}}
    wrapper = BatchAttentionWithAttentionSinkWrapper(workspace(), "NHD", head_dim_qk=HEAD_DIM, head_dim_vo=HEAD_DIM,
                                                     **types)
    wrapper.plan(rows, kv_indptr, kv_indices, ${last_or_full}, NUM_QO_HEADS, NUM_KV_HEADS, HEAD_DIM, PAGE_SIZE,
                 causal=True, **types)
    return wrapper.run(q, (k_cache, v_cache), sink, sm_scale)
]=]

-- A definition has lengths of last pages, or pages of one token that are always full.
local function parts(definition)
  local has = definition.inputs.kv_last_page_len ~= nil
  local values = attention.form_parts(definition)
  values.last = has and "kv_last_page_len, " or ""
  values.lengths = has and "kv_last_page_len" or "None"
  local is_prefill = definition.inputs.qo_indptr ~= nil
  values.starts = is_prefill and "qo_indptr, " or ""
  values.rows = is_prefill and "qo_indptr"
    or "torch.arange(q.shape[0] + 1, dtype=torch.int32, device=q.device)"
  values.last_or_full = has and "kv_last_page_len[: full.shape[0]]" or "full"
  return values
end

-- What the tests' inputs name the lengths: `last`, one entry more where the definition wants len_indptr of them.
local function make_parts(definition)
  local spec = definition.inputs.kv_last_page_len
  local values = attention.form_parts(definition)
  values.last = spec and (spec.shape[1] == "len_indptr" and "rng.padded(last), " or "last, ") or ""
  return values
end

return attention.with_forms({
  decode = {
    truth = SHARED .. decode,
    make = make_decode,
    flashinfer = flashinfer_decode,
    flashinfer_sink = flashinfer_sink,
    parts = parts,
    make_parts = make_parts,
  },
  prefill_causal = {
    truth = SHARED .. prefill,
    make = make_prefill,
    flashinfer = flashinfer_prefill,
    flashinfer_sink = flashinfer_sink,
    parts = parts,
    make_parts = make_parts,
  },
}, true)
