--- Definitions of every op type, small enough to run in a moment.
local ops = require "hone.ops"
local with = require "support.with"

local M = {}

local attention = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64 }
local latent = { num_qo_heads = 4, head_dim_ckv = 128, head_dim_kpe = 64 }

local function list_cases()
  local list = {
    { "rmsnorm", "rmsnorm", { hidden_size = 96, eps = 1e-5 } },
    { "rmsnorm", "fused_add_rmsnorm", { hidden_size = 96, eps = 1e-6 } },
    { "gemm", "gemm", { N = 96, K = 64 } },
    { "gqa_ragged", "prefill_causal", attention },
    { "mla_ragged", "prefill_causal", { num_qo_heads = 4, qk_dim = 192, vo_dim = 128 } },
    { "sampling", "top_k", { vocab_size = 1000 } },
    { "sampling", "top_p", { vocab_size = 1000 } },
    { "sampling", "top_k_top_p", { vocab_size = 1000 } },
    { "gdn", "decode", { num_q_heads = 2, num_v_heads = 4, head_size = 32 } },
    { "gdn", "mtp", { num_q_heads = 2, num_v_heads = 4, head_size = 32 } },
    { "gdn", "prefill", { num_q_heads = 2, num_v_heads = 4, head_size = 32 } },
    { "mamba_ssu", "decode", { nheads = 8, head_dim = 16, dstate = 32, ngroups = 2 } },
    { "rope", "neox", { head_size = 64, rotary_dim = 32 } },
    { "rope", "gptj", { head_size = 64, rotary_dim = 64 } },
    { "dsa_paged", "sparse_attention", with(latent, { topk = 64, page_size = 1 }) },
  }
  for _, page_size in ipairs { 1, 16 } do
    for _, variant in ipairs { "decode", "prefill_causal" } do
      table.insert(list, { "gqa_paged", variant, with(attention, { page_size = page_size }) })
      table.insert(list, { "mla_paged", variant, with(latent, { page_size = page_size }) })
    end
    table.insert(
      list,
      { "gqa_paged", "decode_window", with(attention, { page_size = page_size, window_size = 9 }) }
    )
    table.insert(list, { "gqa_paged", "prefill_causal_sink", with(attention, { page_size = page_size }) })
  end
  for _, format in ipairs { "fp8_block_scale", "fp4_block_scale", "fp8_per_tensor_scale", "bf16" } do
    for _, way in ipairs { "renorm", "ds" } do
      local params = { top_k = 3, hidden_size = 1024, intermediate_size = 640 }
      if way == "ds" then
        params.n_group, params.topk_group = 4, 2
      end
      params.num_experts = (way == "ds" or format ~= "fp8_block_scale") and 16 or nil
      params.num_local_experts = (way == "ds" or format == "fp8_block_scale") and 8 or nil
      table.insert(list, { "moe", format .. "_" .. way, params })
    end
  end
  return list
end

---All of them, built.
function M.definitions()
  local list = {}
  for i, case in ipairs(list_cases()) do
    list[i] = assert(ops.build(table.unpack(case)))
  end
  return list
end

return M
