--- What the op types of grouped query attention have in common, wherever their keys and values lie.
local M = {}

M.num_qo_heads = { "num_qo_heads", "const", "Number of query heads after tensor parallel split" }
M.num_kv_heads = { "num_kv_heads", "const", "Number of key-value heads after tensor parallel split" }
M.head_dim = { "head_dim", "const", "Dimension of each head" }

M.sm_scale = { "sm_scale", nil, "float32", "Factor of the logits, usually 1/sqrt(head_dim)." }

-- ---- prefill -------------------------------------------------------------------------------------

M.len_indptr = { "len_indptr", "var", "Length of qo_indptr and of kv_indptr: number of sequences plus one." }
M.total_q = { "total_q", "var", "Number of query tokens of all sequences." }

M.queries = { "q", { "total_q", "num_qo_heads", "head_dim" }, "bfloat16", "Queries of all sequences." }
M.qo_indptr = { "qo_indptr", { "len_indptr" }, "int32", "Where each sequence's queries start in q." }

-- Indentation of the line of `causal_attention` that computes the logits.
M.PREFILL_INDENT = (" "):rep(12)

M.prefill_outputs = {
  { "output", { "total_q", "num_qo_heads", "head_dim" }, "bfloat16", "Attention output." },
  {
    "lse",
    { "total_q", "num_qo_heads" },
    "float32",
    "Base 2 log-sum-exp of the scaled logits; -inf for a query that sees no key.",
  },
}

-- How a reference ends: attention of one sequence's queries to its keys and values under a causal mask, inside the
-- loop over the sequences.
M.causal_attention = [=[
        for first in range(max(0, -offset), num_q, QUERIES_AT_ONCE):
            last = min(first + QUERIES_AT_ONCE, num_q)
            rows = slice(q_start + first, q_start + last)
            queries = q[rows].to(torch.float32)

            # n queries, g kv heads, r query heads of each, m keys
            logits = torch.einsum("ngrd,mgd->ngrm", queries, keys) * sm_scale${capped}
            q_position = torch.arange(first, last, device=q.device)
            unseen = kv_position[None, :] > q_position[:, None] + offset${too_old}
            logits = logits.masked_fill(unseen[:, None, None, :], -math.inf)

            total = ${total}
            weights = ${weights}
            attended = torch.einsum("ngrm,mgd->ngrd", weights, values)
            output[rows] = attended.flatten(1, 2).to(torch.bfloat16)
            lse[rows] = total.flatten(1, 2) / math.log(2.0)

    return output, lse
]=]

---True, or nil and why no such attention has these heads.
function M.check(params)
  local queries, keys = params.num_qo_heads, params.num_kv_heads
  if queries % keys == 0 then return true end
  return nil, ("num_qo_heads %d is no multiple of num_kv_heads %d"):format(queries, keys)
end

return M
