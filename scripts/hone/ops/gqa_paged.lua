--- Grouped query attention over a paged key-value cache: one query a sequence (decode) or many (prefill), plain or
--- with a sliding window, a soft cap on the logits or attention sinks.
local attention_form = require "hone.ops.parts.attention_form"
local attention_work = require "hone.ops.parts.attention_work"
local logged = require "hone.ops.parts.logged"
local grouped_query = require "hone.ops.parts.grouped_query"
local paged = require "hone.ops.parts.paged"

local cache_shape = { "num_pages", "page_size", "num_kv_heads", "head_dim" }
local k_cache = { "k_cache", cache_shape, "bfloat16", "Paged keys." }
local v_cache = { "v_cache", cache_shape, "bfloat16", "Paged values." }

local DECODE_INDENT = (" "):rep(8)

-- How the references read the cache, by page size, and what the form adds.
local function reference_parts(form, indent)
  return function(params)
    local parts = attention_form.reference_parts(form, indent)
    for name, text in pairs(paged.reference_parts(params)) do
      parts[name] = text
    end
    return parts
  end
end

---@param form hone.ops.AttentionForm
local function decode(form)
  local name = "gqa_paged_decode_h${num_qo_heads}_kv${num_kv_heads}_d${head_dim}_ps${page_size}"
  return {
    names = { { name .. form.suffix } },
    description = "Batched grouped query attention for decode with a paged key-value cache, "
      .. ("page size ${page_size}%s."):format(form.phrase),
    stage = "decode",
    fi_api = form.fi_api or "flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper",
    logged = logged.paged_decode,
    parallel = { "tp" },
    axes = attention_form.with_axes(form, {
      { "batch_size", "var", "Number of sequences, one query token each." },
      grouped_query.num_qo_heads,
      grouped_query.num_kv_heads,
      grouped_query.head_dim,
      paged.num_pages,
      paged.page_size,
      paged.len_indptr,
      paged.num_kv_indices,
    }),
    constraints = {
      { "len_indptr == batch_size + 1" },
      { "num_kv_indices == kv_indptr[-1].item()" },
    },
    inputs = attention_form.with_inputs(form, {
      { "q", { "batch_size", "num_qo_heads", "head_dim" }, "bfloat16", "Query of each sequence." },
      k_cache,
      v_cache,
      paged.kv_indptr,
      paged.kv_indices,
      paged.kv_last_page_len,
      grouped_query.sm_scale,
    }),
    outputs = attention_form.with_outputs(form, {
      { "output", { "batch_size", "num_qo_heads", "head_dim" }, "bfloat16", "Attention output." },
      {
        "lse",
        { "batch_size", "num_qo_heads" },
        "float32",
        "Base 2 log-sum-exp of the scaled logits; -inf for an empty sequence.",
      },
    }),
    reference_parts = reference_parts(form, DECODE_INDENT),
    reference = [=[
import math
import torch
${constants}

@torch.no_grad()
def run(q, k_cache, v_cache, kv_indptr, kv_indices, ${last_page_argument}${sink_argument}sm_scale):
    batch_size, num_qo_heads, head_dim = q.shape
    _, page_size, num_kv_heads, _ = k_cache.shape
    assert num_qo_heads == ${num_qo_heads}
    assert num_kv_heads == ${num_kv_heads}
    assert head_dim == ${head_dim}
    assert page_size == ${page_size}

    kv_indptr = kv_indptr.tolist()${last_page_list}
    assert len(kv_indptr) == batch_size + 1
    assert len(kv_indices) == kv_indptr[-1]

    # Query heads that follow each other share one key-value head: h belongs to h // group_size.
    group_size = num_qo_heads // num_kv_heads${sink_heads}

    # What stays as it is: sequences without pages.
    output = torch.zeros(batch_size, num_qo_heads, head_dim, dtype=torch.bfloat16, device=q.device)
    lse = torch.full((batch_size, num_qo_heads), -math.inf, dtype=torch.float32, device=q.device)

    for b in range(batch_size):
        pages = kv_indices[kv_indptr[b] : kv_indptr[b + 1]].to(torch.int64)
        if len(pages) == 0:
            continue

        # ${page_note} Gathered for this sequence only: [num_kv, num_kv_heads, head_dim].
        num_kv = ${token_count}
        keys = k_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
        values = v_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)${newest}
        query = q[b].reshape(num_kv_heads, group_size, head_dim).to(torch.float32)

        # g kv heads, r query heads of each, m keys
        logits = torch.einsum("grd,mgd->grm", query, keys) * sm_scale${capped}
        total = ${total}
        weights = ${weights}
        attended = torch.einsum("grm,mgd->grd", weights, values)
        output[b] = attended.flatten(0, 1).to(torch.bfloat16)
        lse[b] = total.flatten() / math.log(2.0)

    return output, lse
]=],
  }
end

---@param form hone.ops.AttentionForm
local function prefill_causal(form)
  local name = "gqa_paged_prefill_causal_h${num_qo_heads}_kv${num_kv_heads}_d${head_dim}_ps${page_size}"
  return {
    names = { { name .. form.suffix } },
    description = "Batched grouped query attention for prefill with a paged key-value cache, "
      .. ("page size ${page_size}, causal mask%s."):format(form.phrase),
    stage = "prefill",
    fi_api = form.fi_api or "flashinfer.prefill.BatchPrefillWithPagedKVCacheWrapper",
    logged = logged.paged_prefill,
    parallel = { "tp" },
    axes = attention_form.with_axes(form, {
      grouped_query.num_qo_heads,
      grouped_query.num_kv_heads,
      grouped_query.head_dim,
      paged.page_size,
      grouped_query.len_indptr,
      grouped_query.total_q,
      paged.num_kv_indices,
      paged.num_pages,
      { "batch_size", "var", "Number of sequences.", when = paged.has_partial_pages },
    }),
    constraints = {
      { "len_indptr == batch_size + 1", when = paged.has_partial_pages },
      { "total_q == qo_indptr[-1].item()" },
      { "num_kv_indices == kv_indptr[-1].item()" },
    },
    inputs = attention_form.with_inputs(form, {
      grouped_query.queries,
      k_cache,
      v_cache,
      grouped_query.qo_indptr,
      paged.kv_indptr,
      paged.kv_indices,
      paged.kv_last_page_len,
      grouped_query.sm_scale,
    }),
    outputs = attention_form.with_outputs(form, grouped_query.prefill_outputs),
    reference_parts = reference_parts(form, grouped_query.PREFILL_INDENT),
    reference = [=[
import math
import torch

QUERIES_AT_ONCE = 512  # bounds the logits in memory, however long the prefill${constants}


@torch.no_grad()
def run(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, ${last_page_argument}${sink_argument}sm_scale):
    total_q, num_qo_heads, head_dim = q.shape
    _, page_size, num_kv_heads, _ = k_cache.shape
    assert num_qo_heads == ${num_qo_heads}
    assert num_kv_heads == ${num_kv_heads}
    assert head_dim == ${head_dim}
    assert page_size == ${page_size}

    qo_indptr = qo_indptr.tolist()
    kv_indptr = kv_indptr.tolist()${last_page_list}
    assert total_q == qo_indptr[-1]
    assert len(kv_indices) == kv_indptr[-1]

    # Query heads that follow each other share one key-value head: h belongs to h // group_size.
    group_size = num_qo_heads // num_kv_heads${sink_heads}
    q = q.reshape(total_q, num_kv_heads, group_size, head_dim)

    # What stays as it is: queries that see no key.
    output = torch.zeros(total_q, num_qo_heads, head_dim, dtype=torch.bfloat16, device=q.device)
    lse = torch.full((total_q, num_qo_heads), -math.inf, dtype=torch.float32, device=q.device)

    for b in range(len(qo_indptr) - 1):
        pages = kv_indices[kv_indptr[b] : kv_indptr[b + 1]].to(torch.int64)
        if len(pages) == 0:
            continue

        # ${page_note} Gathered for this sequence only: [num_kv, num_kv_heads, head_dim].
        num_kv = ${token_count}
        keys = k_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
        values = v_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
        kv_position = torch.arange(num_kv, device=q.device)

        # The last query sees every key: query i sees the keys j <= i + offset.
        q_start, q_end = qo_indptr[b], qo_indptr[b + 1]
        num_q = q_end - q_start
        offset = num_kv - num_q
]=] .. grouped_query.causal_attention,
  }
end

-- SGLang runs decode, and prefill onto a prefix that is in the cache, over the paged cache.
local function kernels(layer, settings)
  local attention = require "hone.sglang.attention"
  local params, origins, form = attention.grouped_query(layer)
  if not params then return nil, origins end
  return paged.kernels(params, origins, layer:calls(), settings.page_sizes, form)
end

local variants = {}
for _, form in ipairs(attention_form.FORMS) do
  variants["decode" .. form.variant] = decode(form)
  variants["prefill_causal" .. form.variant] = prefill_causal(form)
end

local sequences = require "hone.ops.parts.sequences"

local function make_inputs(definition, axes, make)
  return sequences.make(definition, axes, make, axes.head_dim)
end

-- A pair of a query and a key that it sees: a product of head_dim with the key, one with the value.
local function work(axes, definition, structure)
  return attention_work.work(axes, definition, structure, {
    cache = { "k_cache", "v_cache" },
    row = 2,
    queries = { "q" },
    flops = 4 * axes.num_qo_heads * axes.head_dim,
    also = { "sink" },
  })
end

return {
  op_type = "gqa_paged",
  work = work,
  usual_axes = sequences.usual_axes,
  make_inputs = make_inputs,
  mistakes = "attention",
  layers = { ["sglang.srt.layers.radix_attention.RadixAttention"] = kernels },
  check = grouped_query.check,
  contradictions = paged.contradictions,
  variants = variants,
}
