--- Grouped query attention over keys and values that lie together, sequence after sequence, plain or with a sliding
--- window or a soft cap on the logits.
local attention_form = require "hone.ops.parts.attention_form"
local attention_work = require "hone.ops.parts.attention_work"
local logged = require "hone.ops.parts.logged"
local grouped_query = require "hone.ops.parts.grouped_query"

---@param form hone.ops.AttentionForm
local function prefill_causal(form)
  local name = "gqa_ragged_prefill_causal_h${num_qo_heads}_kv${num_kv_heads}_d${head_dim}"
  return {
    names = { { name .. form.suffix } },
    description = "Batched grouped query attention for prefill with ragged (variable length) queries, "
      .. ("keys and values, causal mask%s."):format(form.phrase),
    stage = "prefill",
    fi_api = "flashinfer.prefill.BatchPrefillWithRaggedKVCacheWrapper",
    logged = logged.ragged_prefill,
    parallel = { "tp" },
    axes = attention_form.with_axes(form, {
      grouped_query.num_qo_heads,
      grouped_query.num_kv_heads,
      grouped_query.head_dim,
      grouped_query.len_indptr,
      grouped_query.total_q,
      { "total_kv", "var", "Number of key-value tokens of all sequences." },
    }),
    constraints = { { "total_q == qo_indptr[-1].item()" }, { "total_kv == kv_indptr[-1].item()" } },
    inputs = attention_form.with_inputs(form, {
      grouped_query.queries,
      { "k", { "total_kv", "num_kv_heads", "head_dim" }, "bfloat16", "Keys of all sequences." },
      { "v", { "total_kv", "num_kv_heads", "head_dim" }, "bfloat16", "Values of all sequences." },
      grouped_query.qo_indptr,
      { "kv_indptr", { "len_indptr" }, "int32", "Where each sequence's keys and values start in k and v." },
      grouped_query.sm_scale,
    }),
    outputs = grouped_query.prefill_outputs,
    reference_parts = function() return attention_form.reference_parts(form, grouped_query.PREFILL_INDENT) end,
    reference = [=[
import math
import torch

QUERIES_AT_ONCE = 512  # bounds the logits in memory, however long the prefill${constants}


@torch.no_grad()
def run(q, k, v, qo_indptr, kv_indptr, ${sink_argument}sm_scale):
    total_q, num_qo_heads, head_dim = q.shape
    total_kv, num_kv_heads, _ = k.shape
    assert num_qo_heads == ${num_qo_heads}
    assert num_kv_heads == ${num_kv_heads}
    assert head_dim == ${head_dim}

    qo_indptr = qo_indptr.tolist()
    kv_indptr = kv_indptr.tolist()
    assert total_q == qo_indptr[-1]
    assert total_kv == kv_indptr[-1]

    # Query heads that follow each other share one key-value head: h belongs to h // group_size.
    group_size = num_qo_heads // num_kv_heads${sink_heads}
    q = q.reshape(total_q, num_kv_heads, group_size, head_dim)

    # What stays as it is: queries that see no key.
    output = torch.zeros(total_q, num_qo_heads, head_dim, dtype=torch.bfloat16, device=q.device)
    lse = torch.full((total_q, num_qo_heads), -math.inf, dtype=torch.float32, device=q.device)

    for b in range(len(qo_indptr) - 1):
        q_start, q_end = qo_indptr[b], qo_indptr[b + 1]
        kv_start, kv_end = kv_indptr[b], kv_indptr[b + 1]
        num_q, num_kv = q_end - q_start, kv_end - kv_start

        keys = k[kv_start:kv_end].to(torch.float32)  # [num_kv, num_kv_heads, head_dim]
        values = v[kv_start:kv_end].to(torch.float32)
        kv_position = torch.arange(num_kv, device=q.device)

        # The last query sees every key: query i sees the keys j <= i + offset.
        offset = num_kv - num_q
]=] .. grouped_query.causal_attention,
  }
end

-- Prefill without a prefix runs over the new tokens' own keys and values; with attention sinks it runs over the
-- cache, since FlashInfer's wrapper for sinks reads a cache.
local function kernels(layer)
  local params, origins, form = require("hone.sglang.attention").grouped_query(layer)
  if not params then return nil end -- gqa_paged says why
  if form.has.sink then return {} end
  local calls = layer:calls(function(call) return call.mode == "prefill" end)
  if #calls == 0 then return {} end
  return { { variant = "prefill_causal" .. form.variant, params = params, origins = origins, calls = calls } }
end

local variants = {}
for _, form in ipairs(attention_form.FORMS) do
  if not form.has.sink then variants["prefill_causal" .. form.variant] = prefill_causal(form) end
end

local sequences = require "hone.ops.parts.sequences"

local function make_inputs(definition, axes, make)
  return sequences.make(definition, axes, make, axes.head_dim)
end

-- A pair of a query and a key that it sees: a product of head_dim with the key, one with the value.
local function work(axes, definition, structure)
  return attention_work.work(axes, definition, structure, {
    cache = { "k", "v" },
    row = 1,
    queries = { "q" },
    flops = 4 * axes.num_qo_heads * axes.head_dim,
    also = { "sink" },
  })
end

return {
  op_type = "gqa_ragged",
  work = work,
  usual_axes = sequences.usual_axes,
  make_inputs = make_inputs,
  mistakes = "attention",
  layers = { ["sglang.srt.layers.radix_attention.RadixAttention"] = kernels },
  check = grouped_query.check,
  variants = variants,
}
