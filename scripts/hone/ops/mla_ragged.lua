--- Multi-head latent attention before absorption, over keys and values that lie together, sequence after sequence:
--- every head has keys and values of its own, of different dimensions.
local function kernels(layer)
  local params, origins = require("hone.sglang.attention").multi_head_latent(layer)
  if not params then return nil end
  local calls = layer:calls(function(call) return call.mode == "prefill" end)
  if #calls == 0 then return {} end
  return { { variant = "prefill_causal", params = params, origins = origins, calls = calls } }
end

local sequences = require "hone.ops.parts.sequences"
local logged = require "hone.ops.parts.logged"

local function make_inputs(definition, axes, make) return sequences.make(definition, axes, make, axes.qk_dim) end

local function work(axes, definition, structure)
  return require("hone.ops.parts.attention_work").work(axes, definition, structure, {
    cache = { "k", "v" },
    row = 1,
    queries = { "q" },
    flops = 2 * axes.num_qo_heads * (axes.qk_dim + axes.vo_dim),
  })
end

return {
  op_type = "mla_ragged",
  work = work,
  usual_axes = sequences.usual_axes,
  make_inputs = make_inputs,
  mistakes = "attention",
  layers = { ["sglang.srt.layers.radix_attention.RadixAttention"] = kernels },
  variants = {
    prefill_causal = {
      names = { { "mla_ragged_prefill_causal_h${num_qo_heads}_qk${qk_dim}_vo${vo_dim}" } },
      description = "Batched multi-head latent attention for prefill without a cached prefix, with ragged (variable "
        .. "length) queries, keys and values, causal mask.",
      stage = "prefill",
      fi_api = "flashinfer.prefill.BatchPrefillWithRaggedKVCacheWrapper",
      logged = logged.ragged_prefill,
      parallel = { "tp" },
      axes = {
        { "num_qo_heads", "const", "Number of query heads after tensor parallel split" },
        {
          "num_kv_heads",
          "const",
          "Number of key-value heads, one for each query head",
          value = function(params) return params.num_qo_heads end,
        },
        { "qk_dim", "const", "Dimension of each head's queries and keys, rotary part included" },
        { "vo_dim", "const", "Dimension of each head's values and output" },
        { "total_q", "var", "Number of query tokens of all sequences." },
        { "total_kv", "var", "Number of key-value tokens of all sequences." },
        { "len_indptr", "var", "Length of qo_indptr and of kv_indptr: number of sequences plus one." },
      },
      constraints = { { "total_q == qo_indptr[-1].item()" }, { "total_kv == kv_indptr[-1].item()" } },
      inputs = {
        { "q", { "total_q", "num_qo_heads", "qk_dim" }, "bfloat16", "Queries of all sequences." },
        { "k", { "total_kv", "num_kv_heads", "qk_dim" }, "bfloat16", "Keys of all sequences." },
        { "v", { "total_kv", "num_kv_heads", "vo_dim" }, "bfloat16", "Values of all sequences." },
        { "qo_indptr", { "len_indptr" }, "int32", "Where each sequence's queries start in q." },
        { "kv_indptr", { "len_indptr" }, "int32", "Where each sequence's keys and values start in k and v." },
        { "sm_scale", nil, "float32", "Factor of the logits, usually 1/sqrt(qk_dim)." },
      },
      outputs = {
        { "output", { "total_q", "num_qo_heads", "vo_dim" }, "bfloat16", "Attention output." },
        {
          "lse",
          { "total_q", "num_qo_heads" },
          "float32",
          "Base 2 log-sum-exp of the scaled logits; -inf for a query that sees no key.",
        },
      },
      reference = [=[
import math
import torch

QUERIES_AT_ONCE = 512  # bounds the logits in memory, however long the prefill


@torch.no_grad()
def run(q, k, v, qo_indptr, kv_indptr, sm_scale):
    total_q, num_qo_heads, qk_dim = q.shape
    total_kv, num_kv_heads, vo_dim = v.shape
    assert num_qo_heads == num_kv_heads == ${num_qo_heads}
    assert qk_dim == ${qk_dim}
    assert vo_dim == ${vo_dim}

    qo_indptr = qo_indptr.tolist()
    kv_indptr = kv_indptr.tolist()
    assert total_q == qo_indptr[-1]
    assert total_kv == kv_indptr[-1]

    # What stays as it is: queries that see no key.
    output = torch.zeros(total_q, num_qo_heads, vo_dim, dtype=torch.bfloat16, device=q.device)
    lse = torch.full((total_q, num_qo_heads), -math.inf, dtype=torch.float32, device=q.device)

    for b in range(len(qo_indptr) - 1):
        q_start, q_end = qo_indptr[b], qo_indptr[b + 1]
        kv_start, kv_end = kv_indptr[b], kv_indptr[b + 1]
        num_q, num_kv = q_end - q_start, kv_end - kv_start

        keys = k[kv_start:kv_end].to(torch.float32)  # [num_kv, num_kv_heads, qk_dim]
        values = v[kv_start:kv_end].to(torch.float32)  # [num_kv, num_kv_heads, vo_dim]
        kv_position = torch.arange(num_kv, device=q.device)

        # The last query sees every key: query i sees the keys j <= i + offset.
        offset = num_kv - num_q
        for first in range(max(0, -offset), num_q, QUERIES_AT_ONCE):
            last = min(first + QUERIES_AT_ONCE, num_q)
            rows = slice(q_start + first, q_start + last)

            # n queries, h heads, m keys
            logits = torch.einsum("nhd,mhd->nhm", q[rows].to(torch.float32), keys) * sm_scale
            q_position = torch.arange(first, last, device=q.device)
            unseen = kv_position[None, :] > q_position[:, None] + offset
            logits = logits.masked_fill(unseen[:, None, :], -math.inf)

            weights = torch.softmax(logits, dim=-1)
            output[rows] = torch.einsum("nhm,mhd->nhd", weights, values).to(torch.bfloat16)
            lse[rows] = torch.logsumexp(logits, dim=-1) / math.log(2.0)

    return output, lse
]=],
    },
  },
}
