--- Wrong kernels, made by editing references: what was done to each, and what a diagnosis is to say of it. The edits
--- are written here line by line, apart from how the diagnosis finds out.
local M = {}

local A = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 1 }
local B = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 16 }
local R = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64 }
local W = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = 16, window_size = 9 }
local L1 = { num_qo_heads = 4, head_dim_ckv = 128, head_dim_kpe = 64, page_size = 1 }
local L16 = { num_qo_heads = 4, head_dim_ckv = 128, head_dim_kpe = 64, page_size = 16 }
local MR = { num_qo_heads = 4, qk_dim = 192, vo_dim = 128 }
local SPARSE = { num_qo_heads = 4, head_dim_ckv = 128, head_dim_kpe = 64, topk = 64, page_size = 1 }
local INDEXER = { num_index_heads = 4, index_head_dim = 32, page_size = 8, topk = 16 }
local PAGES = { batch_size = 3, max_num_pages = 6, num_pages = 24 }
local D = { num_q_heads = 2, num_v_heads = 4, head_size = 32 }
local S = { nheads = 8, head_dim = 16, dstate = 32, ngroups = 2 }
local NORM = { hidden_size = 96, eps = 1e-5 }

local LN2 = " / math.log(2.0)"
local MASK = "kv_position[None, :] > q_position[:, None] + offset"
local SHARED_HEADS = "query heads share key-value heads by h % num_kv_heads"

-- { op type, variant, parameters, what a diagnosis says first, { from, to }…, axes = }
M.edits = {
  -- grouped query attention, decode
  { "gqa_paged", "decode", A, "the LSE is in base e", { LN2, "" } },
  { "gqa_paged", "decode", B, "the LSE was divided by ln 2 twice", { LN2, LN2 .. LN2 } },
  { "gqa_paged", "decode", A, "sm_scale is missing", { " * sm_scale", "" } },
  { "gqa_paged", "decode", B, "sm_scale is applied twice", { " * sm_scale", " * sm_scale * sm_scale" } },
  { "gqa_paged", "decode", B, "exp2 is taken", { " * sm_scale", " * sm_scale * math.log(2.0)" } },
  { "gqa_paged", "decode", B, "exp is taken", { " * sm_scale", " * sm_scale * 1.4426950408889634" } },
  {
    "gqa_paged",
    "decode",
    B,
    SHARED_HEADS,
    {
      "q[b].reshape(num_kv_heads, group_size, head_dim)",
      "q[b].reshape(group_size, num_kv_heads, head_dim).transpose(0, 1)",
    },
    { "attended.flatten(0, 1)", "attended.transpose(0, 1).flatten(0, 1)" },
    { "total.flatten()", "total.transpose(0, 1).flatten()" },
  },
  {
    "gqa_paged",
    "decode",
    A,
    "all query heads use key-value head 0",
    {
      "\n        query = q[b]",
      "\n        keys = keys[:, :1].expand(-1, num_kv_heads, -1)"
        .. "\n        values = values[:, :1].expand(-1, num_kv_heads, -1)\n        query = q[b]",
    },
  },
  {
    "gqa_paged",
    "decode",
    A,
    "keys and values are exchanged",
    { "k_cache[pages]", "K[pages]" },
    { "v_cache[pages]", "k_cache[pages]" },
    { "K[pages]", "v_cache[pages]" },
  },
  {
    "gqa_paged",
    "decode",
    B,
    "the last page of each sequence is taken as full",
    { "(len(pages) - 1) * page_size + kv_last_page_len[b]", "len(pages) * page_size" },
  },
  {
    "gqa_paged",
    "decode",
    B,
    "the last page of each sequence is left out",
    {
      "(len(pages) - 1) * page_size + kv_last_page_len[b]",
      "(len(pages) - 1) * page_size if len(pages) > 1 else page_size",
    },
  },
  {
    "gqa_paged",
    "decode",
    B,
    "the newest key is left out",
    { "kv_last_page_len[b]\n", "kv_last_page_len[b] - 1\n" },
  },
  {
    "gqa_paged",
    "decode",
    A,
    "kv_indices is not used",
    { "kv_indices[kv_indptr[b] : kv_indptr[b + 1]]", "torch.arange(kv_indptr[b], kv_indptr[b + 1])" },
  },
  {
    "gqa_paged",
    "decode",
    B,
    "the cache is read as [num_pages, heads, page_size, dim]",
    {
      "    kv_indptr = kv_indptr.tolist()",
      "    k_cache = k_cache.reshape(-1, num_kv_heads, page_size, head_dim).transpose(1, 2)\n"
        .. "    v_cache = v_cache.reshape(-1, num_kv_heads, page_size, head_dim).transpose(1, 2)\n"
        .. "    kv_indptr = kv_indptr.tolist()",
    },
  },
  {
    "gqa_paged",
    "decode_window",
    W,
    "the window is one key too small",
    { "keys[-WINDOW_SIZE:], values[-WINDOW_SIZE:]", "keys[-8:], values[-8:]" },
  },
  {
    "gqa_paged",
    "decode_window",
    W,
    "the window is missing",
    { "keys[-WINDOW_SIZE:], values[-WINDOW_SIZE:]", "keys, values" },
  },
  {
    "gqa_paged",
    "decode",
    B,
    "sm_scale is missing; and the LSE is in base e",
    { " * sm_scale", "" },
    { LN2, "" },
  },
  -- prefill
  {
    "gqa_paged",
    "prefill_causal",
    B,
    "the causal mask is missing",
    { MASK, "kv_position[None, :] > q_position[:, None] + 100000" },
  },
  {
    "gqa_paged",
    "prefill_causal",
    A,
    "the causal mask is off by one: a query does not see its own key",
    { MASK, MASK:gsub(">", ">=") .. "" },
  },
  {
    "gqa_ragged",
    "prefill_causal",
    R,
    "the causal mask is off by one: a query sees the key after its own",
    { MASK, MASK .. " + 1" },
  },
  {
    "gqa_ragged",
    "prefill_causal",
    R,
    "the causal mask starts at the first key",
    { MASK, "kv_position[None, :] > q_position[:, None]" },
  },
  { "gqa_ragged", "prefill_causal", R, "the LSE is in base e", { LN2, "" } },
  { "gqa_ragged", "prefill_causal", R, "sm_scale is missing", { " * sm_scale", "" } },
  {
    "mla_ragged",
    "prefill_causal",
    MR,
    "the causal mask is missing",
    { "> q_position[:, None] + offset", "> q_position[:, None] + 100000" },
  },
  -- latent attention
  { "mla_paged", "decode", L1, "sm_scale is missing", { " * sm_scale", "" } },
  {
    "mla_paged",
    "decode",
    L16,
    "1/sqrt of the queries' size is applied",
    { " * sm_scale", " * (1.0 / math.sqrt(128.0))" },
  },
  { "mla_paged", "prefill_causal", L16, "the LSE is in base e", { LN2, "" } },
  { "dsa_paged", "sparse_attention", SPARSE, "the LSE is in base e", { LN2, "" } },
  {
    "dsa_paged",
    "sparse_attention",
    SPARSE,
    "the rotary part (q_pe, kpe_cache) is left out",
    { " + q_pe[t].to(torch.float32) @ kpe.T", "" },
  },
  {
    "dsa_paged",
    "sparse_attention",
    SPARSE,
    "padding (-1) is attended to",
    { "picked = picked[picked != -1]", "picked = picked.clamp(min=0)" },
    axes = { num_pages = 40, num_tokens = 3 },
  },
  -- the indexer of sparse attention
  {
    "dsa_paged",
    "topk_indexer",
    INDEXER,
    "the heads' weights are not applied",
    { "(scores * weights[b][:, None])", "scores" },
    axes = PAGES,
  },
  {
    "dsa_paged",
    "topk_indexer",
    INDEXER,
    "the keys' scales are not applied",
    { "(keys * scales)", "(keys)" },
    axes = PAGES,
    subtle = true,
  },
  {
    "dsa_paged",
    "topk_indexer",
    INDEXER,
    "places in the sequence are given",
    { "pages[best // page_size] * page_size + best % page_size", "best" },
    axes = PAGES,
  },
  -- gated delta nets
  {
    "gdn",
    "decode",
    D,
    "the state is stored and read as [K, V]",
    {
      "new_state = state.to(torch.float32, copy=True)",
      "new_state = state.to(torch.float32, copy=True).transpose(-1, -2).contiguous()",
    },
    { "return output, new_state", "return output, new_state.transpose(-1, -2).contiguous()" },
  },
  {
    "gdn",
    "decode",
    D,
    "the state is stored as [K, V]",
    { "return output, new_state", "return output, new_state.transpose(-1, -2).contiguous()" },
  },
  {
    "gdn",
    "prefill",
    D,
    "the state is read as [K, V]",
    { "state[i].to(torch.float32)", "state[i].transpose(-1, -2).to(torch.float32)" },
  },
  { "gdn", "prefill", D, "the state that is given is not read", { "if state is not None:", "if False:" } },
  {
    "gdn",
    "decode",
    D,
    "the state does not decay; and the state is stored as [K, V]",
    { "state = state * keep[:, None, None]", "state = state * 1.0" },
    { "return output, new_state", "return output, new_state.transpose(-1, -2).contiguous()" },
  },
  { "gdn", "decode", D, "scale is missing", { "(scale * read)", "(read)" } },
  { "gdn", "decode", D, "dt_bias is missing", { " + dt_bias.to(torch.float32)", "" } },
  {
    "gdn",
    "prefill",
    D,
    "the state does not decay",
    { "state = state * keep[:, None, None]", "state = state * 1.0" },
  },
  {
    "gdn",
    "decode",
    D,
    "the update is not scaled by sigmoid(b)",
    { "take[:, None] * (v - expected)", "(v - expected)" },
  },
  {
    "gdn",
    "prefill",
    D,
    "A_log is taken as the rate itself",
    { "torch.exp(A_log.to(torch.float32))", "A_log.to(torch.float32)" },
  },
  {
    "gdn",
    "decode",
    D,
    "value heads share query and key heads by h % num_k_heads",
    {
      "q.to(torch.float32).repeat_interleave(group_size, dim=-2)",
      "q.to(torch.float32).repeat(1, 1, group_size, 1)",
    },
    {
      "k.to(torch.float32).repeat_interleave(group_size, dim=-2)",
      "k.to(torch.float32).repeat(1, 1, group_size, 1)",
    },
  },
  -- state space models
  { "mamba_ssu", "decode", S, "D is missing", { "(read + token * D.to(torch.float32))", "read" } },
  { "mamba_ssu", "decode", S, "dt_bias is missing", { " + dt_bias.to(torch.float32)", "" } },
  {
    "mamba_ssu",
    "decode",
    S,
    "A is taken as its logarithm",
    { "torch.exp(A.to(torch.float32) * ", "torch.exp(-torch.exp(A.to(torch.float32)) * " },
  },
  {
    "mamba_ssu",
    "decode",
    S,
    "heads share B and C by h % ngroups",
    {
      "B[i].to(torch.float32).repeat_interleave(heads_per_group, dim=0)",
      "B[i].to(torch.float32).repeat(heads_per_group, 1)",
    },
    {
      "C[i].to(torch.float32).repeat_interleave(heads_per_group, dim=0)",
      "C[i].to(torch.float32).repeat(heads_per_group, 1)",
    },
  },
  -- rotary embeddings
  {
    "rope",
    "neox",
    { head_size = 64, rotary_dim = 32 },
    "neighbours are rotated as pairs (GPT-J style)",
    {
      "x[..., : ROTARY_DIM // 2], x[..., ROTARY_DIM // 2 : ROTARY_DIM]",
      "x[..., 0:ROTARY_DIM:2], x[..., 1:ROTARY_DIM:2]",
    },
    { "torch.cat(rotated, dim=-1)", "torch.stack(rotated, dim=-1).flatten(-2)" },
  },
  {
    "rope",
    "gptj",
    { head_size = 64, rotary_dim = 64 },
    "the two halves are rotated as pairs (NeoX style)",
    {
      "x[..., 0:ROTARY_DIM:2], x[..., 1:ROTARY_DIM:2]",
      "x[..., : ROTARY_DIM // 2], x[..., ROTARY_DIM // 2 : ROTARY_DIM]",
    },
    { "torch.stack(rotated, dim=-1).flatten(-2)", "torch.cat(rotated, dim=-1)" },
  },
  {
    "rope",
    "neox",
    { head_size = 64, rotary_dim = 64 },
    "it is rotated the other way",
    {
      "first * cos - second * sin, second * cos + first * sin",
      "first * cos + second * sin, second * cos - first * sin",
    },
  },
  {
    "rope",
    "neox",
    { head_size = 64, rotary_dim = 64 },
    "positions is not used",
    { "cos_sin_cache[positions]", "cos_sin_cache[: q.shape[0]]" },
  },
  -- norms
  { "rmsnorm", "rmsnorm", NORM, "epsilon is missing", { "mean_square + EPS", "mean_square" }, small = true },
  {
    "rmsnorm",
    "fused_add_rmsnorm",
    NORM,
    "epsilon is 1e-06",
    { "mean_square + EPS", "mean_square + 1e-6" },
    small = true,
  },
  {
    "rmsnorm",
    "rmsnorm",
    NORM,
    "the weight plus one is applied",
    { "weight.to(torch.float32)", "(1.0 + weight.to(torch.float32))" },
  },
  {
    "rmsnorm",
    "gemma_rmsnorm",
    NORM,
    "the weight is applied without plus one",
    { "(1.0 + weight.to(torch.float32))", "weight.to(torch.float32)" },
  },
  {
    "rmsnorm",
    "rmsnorm",
    NORM,
    "the weight is missing",
    { "normalized * weight.to(torch.float32)", "normalized" },
  },
  { "rmsnorm", "rmsnorm", NORM, "rows are not normalised", { " * torch.rsqrt(mean_square + EPS)", "" } },
  {
    "rmsnorm",
    "rmsnorm",
    NORM,
    "the mean is subtracted",
    { "mean_square = ", "x = x - x.mean(dim=-1, keepdim=True)\n    mean_square = " },
    axes = { batch_size = 64 },
  },
  {
    "rmsnorm",
    "fused_add_rmsnorm",
    NORM,
    "the residual is not added",
    { " + residual.to(torch.float32)", "" },
  },
  -- matrix products
  { "gemm", "gemm", { N = 64, K = 64 }, "B is not transposed", { "B.transpose(0, 1)", "B" } },
  { "gemm", "gemm", { N = 96, K = 64 }, "B is read as [K, N]", { "B.transpose(0, 1)", "B.reshape(64, 96)" } },
}

for _, edit in ipairs {
  { "gemm", "fp8_block_scale", { N = 256, K = 384 }, "A's scale is missing", { " * a_scale", "" } },
  {
    "gemm",
    "fp8_block_scale",
    { N = 256, K = 384 },
    "both scales are missing",
    { " * a_scale", "" },
    { " * b_scale", "" },
  },
  {
    "gemm",
    "fp8_block_scale",
    { N = 256, K = 384 },
    "A's scales are read as if they were transposed",
    { "    # Each", "    A_scale = A_scale.reshape(A_scale.shape[1], -1).t()\n    # Each" },
  },
} do
  M.edits[#M.edits + 1] = edit
end

local EXPERTS = {
  top_k = 3,
  hidden_size = 256,
  intermediate_size = 128,
  num_experts = 16,
  num_local_experts = 16,
  n_group = 4,
  topk_group = 2,
}
local RENORM = { top_k = 3, hidden_size = 256, intermediate_size = 128, num_local_experts = 16 }
local BF16 = { top_k = 3, hidden_size = 256, intermediate_size = 128, num_experts = 16 }
local FP8, DS = "fp8_block_scale_renorm", "fp8_block_scale_ds"

for _, edit in ipairs {
  {
    "moe",
    FP8,
    RENORM,
    "gate and up are exchanged",
    { "up = projected[:, :intermediate_size]", "GATE = projected[:, :intermediate_size]" },
    { "gate = projected[:, intermediate_size:]", "up = projected[:, intermediate_size:]" },
    { "GATE = ", "gate = " },
  },
  {
    "moe",
    "bf16_renorm",
    BF16,
    "gate and up are read in turn",
    { "up = projected[:, :intermediate_size]", "up = projected[:, 0::2]" },
    { "gate = projected[:, intermediate_size:]", "gate = projected[:, 1::2]" },
  },
  {
    "moe",
    FP8,
    RENORM,
    "no scale is applied",
    { "weight.to(torch.float32) * scale", "weight.to(torch.float32)" },
    { "hidden_states.to(torch.float32) * scale", "hidden_states.to(torch.float32)" },
  },
  {
    "moe",
    FP8,
    RENORM,
    "hidden_states_scale is not applied",
    { "hidden_states.to(torch.float32) * scale", "hidden_states.to(torch.float32)" },
  },
  {
    "moe",
    FP8,
    RENORM,
    "gemm2_weights_scale is not applied",
    { "dequantize(gemm2_weights[e], gemm2_weights_scale[e])", "gemm2_weights[e].to(torch.float32)" },
  },
  {
    "moe",
    DS,
    EXPERTS,
    "the routing bias is missing",
    { "choice = scores + routing_bias.to(torch.float32)", "choice = scores" },
    axes = { seq_len = 64 },
  },
  {
    "moe",
    DS,
    EXPERTS,
    "the routing bias is part of the weights",
    {
      "weights = scores.gather(1, experts)",
      "weights = (scores + routing_bias.to(torch.float32)).gather(1, experts)",
    },
    axes = { seq_len = 64 },
    tolerance = 1e-4,
  },
  { "moe", DS, EXPERTS, "routed_scaling_factor is missing", { " * routed_scaling_factor", "" } },
  {
    "moe",
    DS,
    EXPERTS,
    "the weights of the chosen experts are not divided by their sum",
    { " / (weights.sum(dim=-1, keepdim=True) + 1e-20)", "" },
  },
  {
    "moe",
    FP8,
    RENORM,
    "the weights of the chosen experts are not divided by their sum",
    {
      "logits, experts = torch.topk(routing_logits.to(torch.float32), TOP_K, dim=-1)",
      "logits, experts = torch.topk(torch.softmax(routing_logits.to(torch.float32), dim=-1), TOP_K, dim=-1)",
    },
    { "torch.softmax(logits, dim=-1)", "logits" },
  },
  {
    "moe",
    "bf16_default",
    BF16,
    "the weights of the chosen experts are divided by their sum",
    {
      "weights, experts = torch.topk(scores, TOP_K, dim=-1)",
      "weights, experts = torch.topk(scores, TOP_K, dim=-1)\n    weights = weights / weights.sum(dim=-1, keepdim=True)",
    },
  },
  {
    "moe",
    FP8,
    RENORM,
    "one expert too few is chosen",
    {
      "torch.topk(routing_logits.to(torch.float32), TOP_K, dim=-1)",
      "torch.topk(routing_logits.to(torch.float32), 2, dim=-1)",
    },
  },
} do
  M.edits[#M.edits + 1] = edit
end

-- Wrong kernels in double precision, made from the formulas that references are tested with: another text than the
-- references', so that nothing is found by being the same.
local INTERLEAVED = { "h // group", "h % k_cache.shape[2]" }
local SEEN = "keys.shape[0] - (end - 1 - i)"

M.formulas = {
  { "gqa_paged", "decode", B, "the LSE is in base e", { " / math.log(2.0)", "" } },
  { "gqa_paged", "decode", B, "sm_scale is missing", { " * scale", "" } },
  { "gqa_paged", "decode", A, "sm_scale is applied twice", { " * scale", " * scale * scale" } },
  { "gqa_paged", "decode", A, SHARED_HEADS, INTERLEAVED, INTERLEAVED },
  {
    "gqa_paged",
    "decode",
    B,
    "the last page of each sequence is taken as full",
    { "(count - 1) * cache.shape[1] + int(lengths[b].item())", "count * cache.shape[1]" },
  },
  { "gqa_paged", "prefill_causal", A, SHARED_HEADS, INTERLEAVED, INTERLEAVED },
  {
    "gqa_paged",
    "prefill_causal",
    A,
    "the causal mask is off by one: a query does not see",
    { SEEN, SEEN .. " - 1" },
  },
  {
    "gqa_paged",
    "prefill_causal",
    B,
    "the causal mask is off by one: a query sees the key after",
    { SEEN, "min(keys.shape[0], keys.shape[0] - (end - 1 - i) + 1)" },
  },
  { "gqa_paged", "prefill_causal", B, "the causal mask is missing", { SEEN, "keys.shape[0]" } },
  { "gqa_paged", "prefill_causal", B, "the causal mask starts at the first key", { SEEN, "i - first + 1" } },
  { "gqa_ragged", "prefill_causal", R, "the causal mask is missing", { "stop - (end - 1 - i)", "stop" } },
  {
    "mla_ragged",
    "prefill_causal",
    MR,
    "the causal mask is off by one",
    { "(end - 1 - i)", "(end - 1 - i) - 1" },
  },
  { "mla_paged", "decode", L16, "sm_scale is missing", { " * scale", "" } },
  { "mla_paged", "decode", L1, "the rotary part", { "(q_nope, q_pe)", "(q_nope, q_pe * 0)" } },
  { "mla_paged", "prefill_causal", L1, "the causal mask is missing", { SEEN, "keys.shape[0]" } },
  {
    "dsa_paged",
    "sparse_attention",
    SPARSE,
    "padding (-1) is attended to",
    { "picked[picked >= 0].to(torch.int64)", "picked.clamp(min=0).to(torch.int64)" },
    axes = { num_pages = 40, num_tokens = 3 },
  },
  {
    "gdn",
    "decode",
    D,
    "value heads share",
    { "h // group", "h % key_heads" },
    { "h // group", "h % key_heads" },
  },
  { "gdn", "decode", D, "the update is not scaled by sigmoid(b)", { "rate * wrong", "wrong" } },
  {
    "gdn",
    "prefill",
    D,
    "values are added to the state as they are",
    { "v - (state * k.unsqueeze(0)).sum(dim=1)", "v" },
  },
  { "gdn", "prefill", D, "the state does not decay", { "state * torch.exp(log_decay)", "state" } },
  { "gdn", "mtp", D, "scale is missing", { "scale * (", "(" } },
  {
    "gdn",
    "decode",
    D,
    "the state is stored as [K, V]",
    { "return output, new_state", "return output, new_state.transpose(-1, -2)" },
  },
  { "mamba_ssu", "decode", S, "D is missing", { " + value * D[h].to(torch.float64)", "" } },
  {
    "mamba_ssu",
    "decode",
    S,
    "softplus is missing",
    { "torch.where(raw > 30, raw, torch.log(1 + torch.exp(raw)))", "raw" },
  },
  { "mamba_ssu", "decode", S, "heads share B and C", { "h // group", "h % 2" }, { "h // group", "h % 2" } },
  {
    "rope",
    "neox",
    { head_size = 64, rotary_dim = 32 },
    "neighbours are rotated as pairs",
    { "i, i + half", "2 * i, 2 * i + 1" },
  },
  {
    "rmsnorm",
    "fused_add_rmsnorm",
    NORM,
    "the residual is not added",
    { " + residual.to(torch.float64)", "" },
  },
  { "rmsnorm", "rmsnorm", NORM, "it is sqrt(hidden_size) = 9.798 times too small", { " / x.shape[-1]", "" } },
  {
    "moe",
    FP8,
    RENORM,
    "the softmax over the chosen experts is not divided",
    { "weights[i] / total", "weights[i]" },
  },
  {
    "moe",
    DS,
    EXPERTS,
    "the weights of the chosen experts are not divided",
    { "scores[e] / total", "scores[e]" },
  },
}

---A source with the edits of a case.
function M.edited(source, edit)
  for i = 5, #edit do
    local from, to = edit[i][1], edit[i][2]
    local first, last = source:find(from, 1, true)
    assert(first, "not in the reference: " .. from)
    source = source:sub(1, first - 1) .. to .. source:sub(last + 1)
  end
  return source
end

return M
