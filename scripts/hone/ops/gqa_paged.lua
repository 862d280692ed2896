--- Grouped query attention over a paged key-value cache: one query a sequence (decode) or many (prefill).
-- A page of one token is always full, so definitions of page size 1 have no kv_last_page_len.
local grouped_query = require "hone.ops.parts.grouped_query"

local function has_partial_pages(params) return params.page_size > 1 end

-- How the references read the cache, by page size.
local function reference_parts(params)
  if has_partial_pages(params) then
    return {
      last_page_argument = "kv_last_page_len, ",
      last_page_list = "\n    kv_last_page_len = kv_last_page_len.tolist()",
      page_note = "All pages are full but the last.",
      token_count = "(len(pages) - 1) * page_size + kv_last_page_len[b]",
    }
  end
  return {
    last_page_argument = "",
    last_page_list = "",
    page_note = "A page holds one token.",
    token_count = "len(pages)",
  }
end

local num_pages = { "num_pages", "var", "Number of pages allocated in the key-value cache." }
local page_size = { "page_size", "const", "Number of tokens in a page" }
local num_kv_indices = { "num_kv_indices", "var", "Number of pages in use by all sequences." }

local cache_shape = { "num_pages", "page_size", "num_kv_heads", "head_dim" }
local k_cache = { "k_cache", cache_shape, "bfloat16", "Paged keys." }
local v_cache = { "v_cache", cache_shape, "bfloat16", "Paged values." }
local kv_indptr = { "kv_indptr", { "len_indptr" }, "int32", "Where each sequence starts in kv_indices." }
local kv_indices = { "kv_indices", { "num_kv_indices" }, "int32", "Page numbers, sequence after sequence." }
local kv_last_page_len = {
  "kv_last_page_len",
  { "batch_size" },
  "int32",
  "Number of tokens in the last page of each sequence.",
  when = has_partial_pages,
}

local decode = {
  names = {
    { "gqa_paged_decode_h${num_qo_heads}_kv${num_kv_heads}_d${head_dim}_ps${page_size}" },
  },
  description = "Batched grouped query attention for decode with a paged key-value cache, "
    .. "page size ${page_size}.",
  stage = "decode",
  fi_api = "flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper",
  parallel = { "tp" },
  axes = {
    { "batch_size", "var", "Number of sequences, one query token each." },
    grouped_query.num_qo_heads,
    grouped_query.num_kv_heads,
    grouped_query.head_dim,
    num_pages,
    page_size,
    { "len_indptr", "var", "Length of kv_indptr: number of sequences plus one." },
    num_kv_indices,
  },
  constraints = {
    { "len_indptr == batch_size + 1" },
    { "num_kv_indices == kv_indptr[-1].item()" },
  },
  inputs = {
    { "q", { "batch_size", "num_qo_heads", "head_dim" }, "bfloat16", "Query of each sequence." },
    k_cache,
    v_cache,
    kv_indptr,
    kv_indices,
    kv_last_page_len,
    grouped_query.sm_scale,
  },
  outputs = {
    { "output", { "batch_size", "num_qo_heads", "head_dim" }, "bfloat16", "Attention output." },
    {
      "lse",
      { "batch_size", "num_qo_heads" },
      "float32",
      "Base 2 log-sum-exp of the scaled logits; -inf for an empty sequence.",
    },
  },
  reference_parts = reference_parts,
  reference = [=[
import math
import torch


@torch.no_grad()
def run(q, k_cache, v_cache, kv_indptr, kv_indices, ${last_page_argument}sm_scale):
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
    group_size = num_qo_heads // num_kv_heads

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
        values = v_cache[pages].flatten(0, 1)[:num_kv].to(torch.float32)
        query = q[b].reshape(num_kv_heads, group_size, head_dim).to(torch.float32)

        # g kv heads, r query heads of each, m keys
        logits = torch.einsum("grd,mgd->grm", query, keys) * sm_scale
        weights = torch.softmax(logits, dim=-1)
        attended = torch.einsum("grm,mgd->grd", weights, values)
        output[b] = attended.flatten(0, 1).to(torch.bfloat16)
        lse[b] = torch.logsumexp(logits, dim=-1).flatten() / math.log(2.0)

    return output, lse
]=],
}

local prefill_causal = {
  names = {
    { "gqa_paged_prefill_causal_h${num_qo_heads}_kv${num_kv_heads}_d${head_dim}_ps${page_size}" },
  },
  description = "Batched grouped query attention for prefill with a paged key-value cache, "
    .. "page size ${page_size}, causal mask.",
  stage = "prefill",
  fi_api = "flashinfer.prefill.BatchPrefillWithPagedKVCacheWrapper",
  parallel = { "tp" },
  axes = {
    grouped_query.num_qo_heads,
    grouped_query.num_kv_heads,
    grouped_query.head_dim,
    page_size,
    grouped_query.len_indptr,
    grouped_query.total_q,
    num_kv_indices,
    num_pages,
    { "batch_size", "var", "Number of sequences.", when = has_partial_pages },
  },
  constraints = {
    { "len_indptr == batch_size + 1", when = has_partial_pages },
    { "total_q == qo_indptr[-1].item()" },
    { "num_kv_indices == kv_indptr[-1].item()" },
  },
  inputs = {
    grouped_query.queries,
    k_cache,
    v_cache,
    grouped_query.qo_indptr,
    kv_indptr,
    kv_indices,
    kv_last_page_len,
    grouped_query.sm_scale,
  },
  outputs = grouped_query.prefill_outputs,
  reference_parts = reference_parts,
  reference = [=[
import math
import torch

QUERIES_AT_ONCE = 512  # bounds the logits in memory, however long the prefill


@torch.no_grad()
def run(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, ${last_page_argument}sm_scale):
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
    group_size = num_qo_heads // num_kv_heads
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

-- SGLang runs decode, and prefill onto a prefix that is in the cache, over the paged cache.
local function kernels(layer, settings)
  local params, origins = require("hone.sglang.attention").grouped_query(layer)
  if not params then return nil, origins end
  local found = {}
  for _, size in ipairs(settings.page_sizes) do
    for _, kind in ipairs { { "decode", "decode" }, { "prefill_causal", "prefill" } } do
      local calls = layer:calls(function(call) return call.mode == kind[2] end)
      if #calls > 0 then
        local with_page = { page_size = size }
        for name, value in pairs(params) do
          with_page[name] = value
        end
        found[#found + 1] = { variant = kind[1], params = with_page, origins = origins, calls = calls }
      end
    end
  end
  return found
end

return {
  op_type = "gqa_paged",
  layers = { ["sglang.srt.layers.radix_attention.RadixAttention"] = kernels },
  check = grouped_query.check,
  -- Where the dataset contradicts itself: both shapes are the same kernel, hone writes the right one.
  contradictions = {
    {
      input = "kv_last_page_len",
      written = { "len_indptr" },
      right = { "batch_size" },
      note = "kv_last_page_len has one entry a sequence (batch_size), not len_indptr",
    },
  },
  variants = { decode = decode, prefill_causal = prefill_causal },
}
