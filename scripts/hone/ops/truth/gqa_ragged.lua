--- Ground truth and test inputs of grouped query attention over ragged keys and values; of latent attention too, whose
--- heads of keys and of values differ in size.
local attention = require "hone.ops.truth.attention"

local truth = [=[
import math
import torch


]=] .. attention.one_query_of_form .. [=[
def truth(q, k, v, qo_indptr, kv_indptr, sm_scale):
    total_q, heads, _ = q.shape
    group = heads // k.shape[1]
    output = torch.zeros(total_q, heads, v.shape[2], dtype=torch.float64, device=q.device)
    lse = torch.full((total_q, heads), -math.inf, dtype=torch.float64, device=q.device)
    for b in range(qo_indptr.shape[0] - 1):
        first, end = int(qo_indptr[b].item()), int(qo_indptr[b + 1].item())
        start, stop = int(kv_indptr[b].item()), int(kv_indptr[b + 1].item())
        for i in range(first, end):
            last = stop - (end - 1 - i)
            oldest = start + outside(last - start)
            for h in range(heads):
                if last > start:
                    value, total = attend(q[i, h], k[oldest:last, h // group], v[oldest:last, h // group], sm_scale)
                    output[i, h] = value
                    lse[i, h] = total
    return output, lse
]=]

local make = [=[
CASES = [{"qo": [1], "kv": [1]}, {"qo": [3, 5], "kv": [9, 5]}, {"qo": [4, 0, 17], "kv": [40, 3, 17]}]


def make_inputs(case, rng):
    q = rng.normal(sum(case["qo"]), NUM_QO_HEADS, ${qk})
    k, v = rng.normal(sum(case["kv"]), NUM_KV_HEADS, ${qk}), rng.normal(sum(case["kv"]), NUM_KV_HEADS, ${vo})
    return [q, k, v, rng.starts(case["qo"]), rng.starts(case["kv"]), ${qk} ** -0.5]
]=]

local flashinfer = [=[
def flashinfer_truth(q, k, v, qo_indptr, kv_indptr, sm_scale):
    from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

    wrapper = BatchPrefillWithRaggedKVCacheWrapper(workspace(), "NHD")
    wrapper.plan(qo_indptr, kv_indptr, NUM_QO_HEADS, NUM_KV_HEADS, ${qk}, head_dim_vo=${vo}, causal=True,
                 q_data_type=q.dtype, kv_data_type=k.dtype, sm_scale=sm_scale${plan_more})
    return wrapper.run(q, k, v, return_lse=True)
]=]

local function parts(definition)
  local is_latent = definition.axes.qk_dim ~= nil
  local values = attention.form_parts(definition)
  values.qk, values.vo = is_latent and "QK_DIM" or "HEAD_DIM", is_latent and "VO_DIM" or "HEAD_DIM"
  return values
end

return attention.with_forms({
  prefill_causal = { truth = truth, make = make, flashinfer = flashinfer, parts = parts, make_parts = parts },
}, false)
