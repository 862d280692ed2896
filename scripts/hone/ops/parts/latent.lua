--- What the op types of multi-head latent attention have in common after absorption: queries are multiplied into
--- the latent space, where one vector of a token is the key and the value of all heads.
local M = {}

M.num_qo_heads = { "num_qo_heads", "const", "Number of query heads after tensor parallel split" }
M.head_dim_ckv = { "head_dim_ckv", "const", "Dimension of the compressed keys and values" }
M.head_dim_kpe = { "head_dim_kpe", "const", "Dimension of the rotary part of the keys" }

M.ckv_cache = {
  "ckv_cache",
  { "num_pages", "page_size", "head_dim_ckv" },
  "bfloat16",
  "Paged compressed keys, which are the values too.",
}
M.kpe_cache =
  { "kpe_cache", { "num_pages", "page_size", "head_dim_kpe" }, "bfloat16", "Paged rotary part of the keys." }
M.sm_scale = {
  "sm_scale",
  nil,
  "float32",
  "Factor of the logits, usually 1/sqrt of the head dimension before absorption (128 + 64).",
}

---Operations of a query with one key: the products with both parts of the key, and with the value, in every head.
---@param axes table<string, integer>
function M.flops_of_pair(axes) return 2 * axes.num_qo_heads * (2 * axes.head_dim_ckv + axes.head_dim_kpe) end

---The two parts of the queries, one a row of `rows`.
function M.queries(rows)
  return {
    "q_nope",
    { rows, "num_qo_heads", "head_dim_ckv" },
    "bfloat16",
    "Queries multiplied into the latent space.",
  }, { "q_pe", { rows, "num_qo_heads", "head_dim_kpe" }, "bfloat16", "Rotary part of the queries." }
end

---The outputs, `empty` being what an lse of -inf says.
function M.outputs(rows, empty)
  return {
    {
      "output",
      { rows, "num_qo_heads", "head_dim_ckv" },
      "bfloat16",
      "Attention output in the latent space.",
    },
    {
      "lse",
      { rows, "num_qo_heads" },
      "float32",
      ("Base 2 log-sum-exp of the scaled logits; -inf for %s."):format(empty),
    },
  }
end

return M
