--- DeepSeek's sparse attention over a paged cache: an indexer that picks the tokens worth looking at, and absorbed
--- multi-head latent attention that looks at those.
local latent = require "hone.ops.parts.latent"

-- What the indexer's kernel (DeepGEMM's) is made for: pages of 64 tokens with one key head each, whose float32
-- scales follow the keys of the page.
local INDEXER_PAGE_SIZE = 64
local SCALE_BYTES = 4

local q_nope, q_pe = latent.queries "num_tokens"
local sparse_attention = {
  names = {
    {
      "dsa_sparse_attention_h${num_qo_heads}_ckv${head_dim_ckv}_kpe${head_dim_kpe}_topk${topk}_ps${page_size}",
    },
  },
  description = "Sparse multi-head latent attention over the ${topk} cached tokens that an indexer picked for each "
    .. "query, page size ${page_size}. For decode and for prefill.",
  flags = { "sparse:topk" },
  fi_api = "flashinfer.decode.trtllm_batch_decode_with_kv_cache_mla",
  logged = require("hone.ops.parts.logged").sparse_latent,
  parallel = { "tp" },
  axes = {
    { "num_tokens", "var", "Number of query tokens: one a sequence in decode, all of them in prefill." },
    latent.num_qo_heads,
    latent.head_dim_ckv,
    latent.head_dim_kpe,
    { "page_size", "const", "Number of tokens in a page" },
    { "topk", "const", "Number of cached tokens picked for each query" },
    { "num_pages", "var", "Number of pages allocated in the key-value cache." },
  },
  constraints = {
    { "sparse_indices.shape[0] == num_tokens" },
    { "sparse_indices.shape[-1] == topk" },
    { "ckv_cache.shape[1] == page_size" },
  },
  inputs = {
    q_nope,
    q_pe,
    latent.ckv_cache,
    latent.kpe_cache,
    {
      "sparse_indices",
      { "num_tokens", "topk" },
      "int32",
      "Cached tokens picked for each query, as page * page_size + place in the page; -1 where there is none.",
    },
    latent.sm_scale,
  },
  outputs = latent.outputs("num_tokens", "a query for which no token is picked"),
  reference = [=[
import math
import torch


@torch.no_grad()
def run(q_nope, q_pe, ckv_cache, kpe_cache, sparse_indices, sm_scale):
    num_tokens, num_qo_heads, head_dim_ckv = q_nope.shape
    _, page_size, head_dim_kpe = kpe_cache.shape
    assert num_qo_heads == ${num_qo_heads}
    assert head_dim_ckv == ${head_dim_ckv}
    assert head_dim_kpe == ${head_dim_kpe}
    assert page_size == ${page_size}
    assert list(sparse_indices.shape) == [num_tokens, ${topk}]

    # Token after token, whatever the page: [num_pages * page_size, dim].
    ckv_tokens = ckv_cache.flatten(0, 1)
    kpe_tokens = kpe_cache.flatten(0, 1)

    # What stays as it is: queries for which no token is picked.
    output = torch.zeros_like(q_nope)
    lse = torch.full((num_tokens, num_qo_heads), -math.inf, dtype=torch.float32, device=q_nope.device)

    for t in range(num_tokens):
        picked = sparse_indices[t].to(torch.int64)
        picked = picked[picked != -1]
        if len(picked) == 0:
            continue
        ckv = ckv_tokens[picked].to(torch.float32)
        kpe = kpe_tokens[picked].to(torch.float32)

        # All heads share the keys: [num_qo_heads, len(picked)].
        logits = q_nope[t].to(torch.float32) @ ckv.T + q_pe[t].to(torch.float32) @ kpe.T
        logits = logits * sm_scale

        # The compressed keys are the values.
        output[t] = (torch.softmax(logits, dim=-1) @ ckv).to(torch.bfloat16)
        lse[t] = torch.logsumexp(logits, dim=-1) / math.log(2.0)

    return output, lse
]=],
}

local topk_indexer = {
  names = {
    { "dsa_topk_indexer_fp8_h${num_index_heads}_d${index_head_dim}_topk${topk}_ps${page_size}" },
  },
  description = "Top-k indexer of sparse attention: scores every cached token by the sum over the heads of "
    .. "relu(query . key) times the head's weight, and picks the ${topk} best. Queries and keys in float8_e4m3fn.",
  stage = "indexer",
  flags = { "sparse:topk", "quant:fp8" },
  axes = {
    { "batch_size", "var", "Number of sequences, one query token each." },
    { "num_index_heads", "const", "Number of the indexer's query heads" },
    { "index_head_dim", "const", "Dimension of each of the indexer's heads" },
    { "page_size", "const", "Number of tokens in a page" },
    { "topk", "const", "Number of cached tokens to pick" },
    { "max_num_pages", "var", "Number of pages that a row of block_table has room for." },
    { "num_pages", "var", "Number of pages allocated in the cache of index keys." },
    { "kv_cache_num_heads", "const", "Number of key heads: all query heads share one", value = 1 },
    {
      "head_dim_with_scale",
      "const",
      "Bytes of a token in the cache: its key in float8_e4m3fn and a float32 scale",
      value = function(params) return params.index_head_dim + SCALE_BYTES end,
    },
  },
  constraints = { { "topk <= max_num_pages * page_size" } },
  inputs = {
    {
      "q_index_fp8",
      { "batch_size", "num_index_heads", "index_head_dim" },
      "float8_e4m3fn",
      "Query of each sequence.",
    },
    {
      "k_index_cache_fp8",
      { "num_pages", "page_size", "kv_cache_num_heads", "head_dim_with_scale" },
      "int8",
      "Paged keys as bytes: in each page first the float8_e4m3fn keys of all its tokens, then their float32 scales.",
    },
    {
      "weights",
      { "batch_size", "num_index_heads" },
      "float32",
      "Weight of each head, scales of the queries included.",
    },
    { "seq_lens", { "batch_size" }, "int32", "Number of cached tokens of each sequence." },
    { "block_table", { "batch_size", "max_num_pages" }, "int32", "Page numbers of each sequence." },
  },
  outputs = {
    {
      "topk_indices",
      { "batch_size", "topk" },
      "int32",
      "Tokens picked, as page * page_size + place in the page, best first; -1 where there are no more.",
    },
  },
  reference = [=[
import torch


@torch.no_grad()
def run(q_index_fp8, k_index_cache_fp8, weights, seq_lens, block_table):
    batch_size, num_index_heads, index_head_dim = q_index_fp8.shape
    _, page_size, _, _ = k_index_cache_fp8.shape
    topk = ${topk}
    assert num_index_heads == ${num_index_heads}
    assert index_head_dim == ${index_head_dim}
    assert page_size == ${page_size}

    seq_lens = seq_lens.tolist()
    topk_indices = torch.full((batch_size, topk), -1, dtype=torch.int32, device=q_index_fp8.device)

    for b in range(batch_size):
        num_kv = seq_lens[b]
        if num_kv == 0:
            continue
        pages = block_table[b, : (num_kv + page_size - 1) // page_size].to(torch.int64)

        # A page's bytes: the keys of all its tokens, then their scales. Only the pages of this sequence are read.
        bytes_of_pages = k_index_cache_fp8[pages].flatten(1).view(torch.uint8)
        keys, scales = bytes_of_pages.split([page_size * index_head_dim, page_size * 4], dim=1)
        keys = keys.contiguous().view(torch.float8_e4m3fn).to(torch.float32).reshape(-1, index_head_dim)
        scales = scales.contiguous().view(torch.float32).reshape(-1, 1)
        keys = (keys * scales)[:num_kv]

        # Heads that point away from a key do not count against it.
        scores = torch.relu(q_index_fp8[b].to(torch.float32) @ keys.T)  # [num_index_heads, num_kv]
        scores = (scores * weights[b][:, None]).sum(dim=0)
        best = torch.topk(scores, min(topk, num_kv)).indices

        tokens = pages[best // page_size] * page_size + best % page_size
        topk_indices[b, : len(tokens)] = tokens.to(torch.int32)

    return topk_indices
]=],
}

local function sparse_kernels(layer, settings)
  local attention = require "hone.sglang.attention"
  local params, origins = attention.latent(layer)
  if not params then return nil end
  local calls = layer:calls(attention.is_sparse)
  if #calls == 0 then return {} end
  params.topk, origins.topk = attention.topk(calls)
  if not params.topk then return nil, "how many tokens its indexer picks is not known" end
  local found = {}
  for _, size in ipairs(settings.page_sizes) do
    local with_page = { page_size = size }
    for name, value in pairs(params) do
      with_page[name] = value
    end
    found[#found + 1] = { variant = "sparse_attention", params = with_page, origins = origins, calls = calls }
  end
  return found
end

local INDEXER = { num_index_heads = "n_heads", index_head_dim = "head_dim", topk = "index_topk" }

local function indexer_kernels(layer)
  local params, origins = { page_size = INDEXER_PAGE_SIZE }, {}
  for name, attribute in pairs(INDEXER) do
    params[name] = layer:integer(attribute)
    origins[name] = layer:origin(attribute)
    if not params[name] then return nil, ("its %s is not known"):format(attribute) end
  end
  local calls = layer:calls()
  if #calls == 0 then return {} end
  return { { variant = "topk_indexer", params = params, origins = origins, calls = calls } }
end

-- ---- inputs ----------------------------------------------------------------------------------------

-- Each token picks among all tokens of the cache; where there are too few, the rest is padding.
local function sparse_inputs(axes, make)
  local tensor = require "hone.tensor"
  local tokens = axes.num_pages * axes.page_size
  local picked = math.min(axes.topk, tokens)
  local rows = {}
  for i = 1, axes.num_tokens do
    local padding = tensor.full({ axes.topk - picked }, -1, "int64")
    rows[i] = tensor.cat({ make:places(picked, tokens), padding }, 1)
  end
  local indices = #rows > 0 and tensor.stack(rows, 1) or tensor.zeros(0, axes.topk, "int64")
  return { sparse_indices = indices, sm_scale = 1 / math.sqrt(128 + axes.head_dim_kpe) }
end

-- Normal keys in float8, each token's with the scale that makes its largest element float8's largest, as bytes of a
-- page: all keys first, then all scales.
local function key_pages(axes, make)
  local keys, largest = axes.page_size * axes.index_head_dim, 448.0
  local drawn = make:normal(axes.num_pages, axes.page_size, axes.index_head_dim):to("bfloat16"):to "float32"
  local scales = drawn:abs():amax(3, true):clamp(1e-4) / largest
  local values = (drawn * scales:reciprocal()):to("float8_e4m3fn"):view("int8"):reshape(axes.num_pages, keys)
  local factors = scales:reshape(axes.num_pages, axes.page_size):view "int8"
  local bytes = require("hone.tensor").cat({ values, factors }, 2)
  return bytes:view(axes.num_pages, axes.page_size, axes.kv_cache_num_heads, axes.head_dim_with_scale)
end

local function indexer_inputs(axes, make)
  local tensor = require "hone.tensor"
  local rows = {}
  for i = 1, axes.batch_size do
    rows[i] = make:places(axes.max_num_pages, axes.num_pages)
  end
  local lengths = make:integers(1, axes.max_num_pages * axes.page_size, axes.batch_size)
  return {
    k_index_cache_fp8 = key_pages(axes, make),
    seq_lens = tensor.new(lengths, "int64"),
    block_table = #rows > 0 and tensor.stack(rows, 1) or tensor.zeros(0, axes.max_num_pages, "int64"),
  }
end

local function make_inputs(definition, axes, make)
  if definition.inputs.sparse_indices then return sparse_inputs(axes, make) end
  return indexer_inputs(axes, make)
end

-- ---- work ------------------------------------------------------------------------------------------

-- Each token that some query picks is read once, and each pick is one pair. All picks may be padding, or one token.
local function sparse_work(axes, definition, structure)
  local count = require "hone.ops.parts.work"
  local inputs = definition.inputs
  local query = count.bytes(inputs.q_nope, axes, 1) + count.bytes(inputs.q_pe, axes, 1)
  local row = count.bytes(inputs.ckv_cache, axes, 2) + count.bytes(inputs.kpe_cache, axes, 2)
  local function with(picks, tokens, rows)
    return {
      read = count.bytes(inputs.sparse_indices, axes) + rows * query + tokens * row,
      written = count.outputs(definition, axes),
      flops = picks * latent.flops_of_pair(axes),
      dtype = inputs.ckv_cache.dtype,
    }
  end
  local picked = count.list(structure, "sparse_indices")
  if not picked then
    local result, cached = with(0, 0, 0), axes.num_pages * axes.page_size
    local each = math.min(axes.topk, cached)
    local picks = axes.num_tokens * each
    result.usual = with(picks, math.min(picks, cached), each > 0 and axes.num_tokens or 0)
    return result
  end
  local rows = 0
  for i = 0, axes.num_tokens - 1 do
    for j = 1, axes.topk do
      if (picked[i * axes.topk + j] or -1) >= 0 then
        rows = rows + 1
        break
      end
    end
  end
  return with(count.count(picked), count.distinct(picked), rows)
end

-- A sequence that has no more tokens than are picked needs no scores: all of them are. Each other has a product with
-- every key in each head, and the weighted sum over the heads.
local function indexer_work(axes, definition, structure)
  local count = require "hone.ops.parts.work"
  local inputs = definition.inputs
  local query = count.bytes(inputs.q_index_fp8, axes, 1) + count.bytes(inputs.weights, axes, 1)
  local row = count.bytes(inputs.k_index_cache_fp8, axes, 2)
  local function with(sequences, scored, keys, pages)
    return {
      read = count.bytes(inputs.seq_lens, axes) + 4 * pages + sequences * query + keys * row,
      written = count.outputs(definition, axes),
      flops = scored * axes.num_index_heads * (2 * axes.index_head_dim + 2),
      dtype = inputs.q_index_fp8.dtype,
    }
  end
  local lengths = count.list(structure, "seq_lens")
  if not lengths then
    local most = axes.max_num_pages * axes.page_size
    local result, all = with(0, 0, 0, 0), axes.batch_size * most
    local keys = math.min(all, axes.num_pages * axes.page_size)
    result.usual = most > axes.topk and with(axes.batch_size, all, keys, axes.batch_size * axes.max_num_pages)
      or with(0, 0, 0, axes.batch_size * axes.max_num_pages)
    return result
  end
  local sequences, scored, pages, longest = 0, 0, 0, 0
  for _, length in ipairs(lengths) do
    pages = pages + (math.max(0, length) + axes.page_size - 1) // axes.page_size
    if length > axes.topk then
      sequences, scored, longest = sequences + 1, scored + length, math.max(longest, length)
    end
  end
  local result = with(sequences, scored, math.min(longest, axes.page_size), pages) -- its pages may be one page
  result.usual = with(sequences, scored, math.min(scored, axes.num_pages * axes.page_size), pages)
  return result
end

local function work(axes, definition, structure)
  if definition.inputs.sparse_indices then return sparse_work(axes, definition, structure) end
  return indexer_work(axes, definition, structure)
end

return {
  op_type = "dsa_paged",
  work = work,
  usual_axes = { num_tokens = 4, batch_size = 2, num_pages = 96, max_num_pages = 40 },
  make_inputs = make_inputs,
  mistakes = function(definition)
    return definition.outputs.topk_indices and "dsa_topk_indexer" or "attention"
  end,
  layers = {
    ["sglang.srt.layers.radix_attention.RadixAttention"] = sparse_kernels,
    ["sglang.srt.layers.attention.dsa.dsa_indexer.Indexer"] = indexer_kernels,
  },
  variants = { sparse_attention = sparse_attention, topk_indexer = topk_indexer },
}
