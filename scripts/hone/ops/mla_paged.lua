--- Multi-head latent attention over a paged cache of compressed keys and values, absorbed: one query a sequence
--- (decode) or many (prefill).
local attention_work = require "hone.ops.parts.attention_work"
local latent = require "hone.ops.parts.latent"
local logged = require "hone.ops.parts.logged"
local paged = require "hone.ops.parts.paged"

-- The rows of the sequence that a reference is at: for all heads the same keys, of which a part are the values.
local GATHER = [=[
        pages = kv_indices[kv_indptr[b] : kv_indptr[b + 1]].to(torch.int64)
        if len(pages) == 0:
            continue

        # ${page_note} Gathered for this sequence only: [num_kv, head_dim_ckv], [num_kv, head_dim_kpe].
        num_kv = ${token_count}
        ckv = ckv_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
        kpe = kpe_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
]=]

local decode_q_nope, decode_q_pe = latent.queries "batch_size"
local decode = {
  names = {
    {
      "mla_paged_decode_h${num_qo_heads}_ckv${head_dim_ckv}_kpe${head_dim_kpe}_ps${page_size}",
    },
  },
  description = "Batched multi-head latent attention for decode with a paged cache of compressed keys and values, "
    .. "page size ${page_size}.",
  stage = "decode",
  fi_api = "flashinfer.mla.BatchMLAPagedAttentionWrapper",
  logged = logged.latent_decode,
  parallel = { "tp" },
  axes = {
    { "batch_size", "var", "Number of sequences, one query token each." },
    latent.num_qo_heads,
    latent.head_dim_ckv,
    latent.head_dim_kpe,
    paged.page_size,
    paged.num_pages,
    paged.len_indptr,
    paged.num_kv_indices,
  },
  constraints = {
    { "len_indptr == batch_size + 1" },
    { "num_kv_indices == kv_indptr[-1].item()" },
  },
  inputs = {
    decode_q_nope,
    decode_q_pe,
    latent.ckv_cache,
    latent.kpe_cache,
    paged.kv_indptr,
    paged.kv_indices,
    paged.kv_last_page_len,
    latent.sm_scale,
  },
  outputs = latent.outputs("batch_size", "an empty sequence"),
  reference_parts = paged.reference_parts,
  reference = [=[
import math
import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, ${last_page_argument}sm_scale):
    batch_size, num_qo_heads, head_dim_ckv = q_nope.shape
    _, page_size, head_dim_kpe = kpe_cache.shape
    assert num_qo_heads == ${num_qo_heads}
    assert head_dim_ckv == ${head_dim_ckv}
    assert head_dim_kpe == ${head_dim_kpe}
    assert page_size == ${page_size}

    kv_indptr = kv_indptr.tolist()${last_page_list}
    assert len(kv_indptr) == batch_size + 1
    assert len(kv_indices) == kv_indptr[-1]

    # What stays as it is: sequences without pages.
    output = torch.zeros_like(q_nope)
    lse = torch.full((batch_size, num_qo_heads), -math.inf, dtype=torch.float32, device=q_nope.device)

    for b in range(batch_size):
]=] .. GATHER .. [=[

        # All heads share the keys: [num_qo_heads, num_kv].
        logits = q_nope[b].to(torch.float32) @ ckv.T + q_pe[b].to(torch.float32) @ kpe.T
        logits = logits * sm_scale

        # The compressed keys are the values.
        output[b] = (torch.softmax(logits, dim=-1) @ ckv).to(torch.bfloat16)
        lse[b] = torch.logsumexp(logits, dim=-1) / math.log(2.0)

    return output, lse
]=],
}

local prefill_q_nope, prefill_q_pe = latent.queries "total_q"
local prefill_causal = {
  names = {
    {
      "mla_paged_prefill_causal_h${num_qo_heads}_ckv${head_dim_ckv}_kpe${head_dim_kpe}_ps${page_size}",
    },
  },
  description = "Batched multi-head latent attention for prefill with a paged cache of compressed keys and values, "
    .. "page size ${page_size}, causal mask.",
  stage = "prefill",
  fi_api = "flashinfer.mla.BatchMLAPagedAttentionWrapper",
  logged = logged.latent_prefill,
  parallel = { "tp" },
  axes = {
    latent.num_qo_heads,
    latent.head_dim_ckv,
    latent.head_dim_kpe,
    paged.page_size,
    { "total_q", "var", "Number of query tokens of all sequences." },
    paged.num_pages,
    { "len_indptr", "var", "Length of qo_indptr and of kv_indptr: number of sequences plus one." },
    paged.num_kv_indices,
    { "batch_size", "var", "Number of sequences.", when = paged.has_partial_pages },
  },
  constraints = {
    { "len_indptr == batch_size + 1", when = paged.has_partial_pages },
    { "total_q == qo_indptr[-1].item()" },
    { "num_kv_indices == kv_indptr[-1].item()" },
  },
  inputs = {
    prefill_q_nope,
    prefill_q_pe,
    latent.ckv_cache,
    latent.kpe_cache,
    { "qo_indptr", { "len_indptr" }, "int32", "Where each sequence's queries start in q_nope and q_pe." },
    paged.kv_indptr,
    paged.kv_indices,
    paged.kv_last_page_len,
    latent.sm_scale,
  },
  outputs = latent.outputs("total_q", "a query that sees no key"),
  reference_parts = paged.reference_parts,
  reference = [=[
import math
import torch

QUERIES_AT_ONCE = 512  # bounds the logits in memory, however long the prefill


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, qo_indptr, kv_indptr, kv_indices, ${last_page_argument}sm_scale):
    total_q, num_qo_heads, head_dim_ckv = q_nope.shape
    _, page_size, head_dim_kpe = kpe_cache.shape
    assert num_qo_heads == ${num_qo_heads}
    assert head_dim_ckv == ${head_dim_ckv}
    assert head_dim_kpe == ${head_dim_kpe}
    assert page_size == ${page_size}

    qo_indptr = qo_indptr.tolist()
    kv_indptr = kv_indptr.tolist()${last_page_list}
    assert total_q == qo_indptr[-1]
    assert len(kv_indices) == kv_indptr[-1]

    # What stays as it is: queries that see no key.
    output = torch.zeros_like(q_nope)
    lse = torch.full((total_q, num_qo_heads), -math.inf, dtype=torch.float32, device=q_nope.device)

    for b in range(len(qo_indptr) - 1):
]=]
    .. GATHER
    .. [=[
        kv_position = torch.arange(num_kv, device=q_nope.device)

        # The last query sees every key: query i sees the keys j <= i + offset.
        q_start, q_end = qo_indptr[b], qo_indptr[b + 1]
        num_q = q_end - q_start
        offset = num_kv - num_q
        for first in range(max(0, -offset), num_q, QUERIES_AT_ONCE):
            last = min(first + QUERIES_AT_ONCE, num_q)
            rows = slice(q_start + first, q_start + last)

            # All heads share the keys: [queries, num_qo_heads, num_kv].
            logits = q_nope[rows].to(torch.float32) @ ckv.T + q_pe[rows].to(torch.float32) @ kpe.T
            q_position = torch.arange(first, last, device=q_nope.device)
            unseen = kv_position[None, :] > q_position[:, None] + offset
            logits = (logits * sm_scale).masked_fill(unseen[:, None, :], -math.inf)

            # The compressed keys are the values.
            output[rows] = (torch.softmax(logits, dim=-1) @ ckv).to(torch.bfloat16)
            lse[rows] = torch.logsumexp(logits, dim=-1) / math.log(2.0)

    return output, lse
]=],
}

-- Absorbed attention runs in decode, and in prefill onto a prefix that is in the cache. Attention that is told which
-- tokens to look at is sparse attention.
local function kernels(layer, settings)
  local attention = require "hone.sglang.attention"
  local params, origins = attention.latent(layer)
  if not params then return nil end
  local calls = layer:calls(function(call) return not attention.is_sparse(call) end)
  return paged.kernels(params, origins, calls, settings.page_sizes)
end

local sequences = require "hone.ops.parts.sequences"

local UNABSORBED_DIM = 128 -- of a head's keys without their rotary part, in DeepSeek's models

local function make_inputs(definition, axes, make)
  return sequences.make(definition, axes, make, UNABSORBED_DIM + axes.head_dim_kpe)
end

-- All heads share the keys, and their compressed part is the value too: it is read once.
local function work(axes, definition, structure)
  return attention_work.work(axes, definition, structure, {
    cache = { "ckv_cache", "kpe_cache" },
    row = 2,
    queries = { "q_nope", "q_pe" },
    flops = latent.flops_of_pair(axes),
  })
end

return {
  op_type = "mla_paged",
  work = work,
  usual_axes = sequences.usual_axes,
  make_inputs = make_inputs,
  mistakes = "attention",
  layers = { ["sglang.srt.layers.radix_attention.RadixAttention"] = kernels },
  contradictions = paged.contradictions,
  variants = { decode = decode, prefill_causal = prefill_causal },
}
