--- What op types over a paged key-value cache have in common.
-- A page of one token is always full, so definitions of page size 1 have no kv_last_page_len.
local M = {}

---Whether the last page of a sequence may be partly full.
function M.has_partial_pages(params) return params.page_size > 1 end

M.page_size = { "page_size", "const", "Number of tokens in a page" }
M.num_pages = { "num_pages", "var", "Number of pages allocated in the key-value cache." }
M.num_kv_indices = { "num_kv_indices", "var", "Number of pages in use by all sequences." }
M.len_indptr = { "len_indptr", "var", "Length of kv_indptr: number of sequences plus one." }

M.kv_indptr = { "kv_indptr", { "len_indptr" }, "int32", "Where each sequence starts in kv_indices." }
M.kv_indices = { "kv_indices", { "num_kv_indices" }, "int32", "Page numbers, sequence after sequence." }
M.kv_last_page_len = {
  "kv_last_page_len",
  { "batch_size" },
  "int32",
  "Number of tokens in the last page of each sequence.",
  when = M.has_partial_pages,
}

-- Where the dataset contradicts itself: both shapes are the same kernel, hone writes the right one.
M.contradictions = {
  {
    input = "kv_last_page_len",
    written = { "len_indptr" },
    right = { "batch_size" },
    note = "kv_last_page_len has one entry a sequence (batch_size), not len_indptr",
  },
}

---How references read the cache, by page size.
function M.reference_parts(params)
  if M.has_partial_pages(params) then
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

local STAGES = { { mode = "decode", variant = "decode" }, { mode = "prefill", variant = "prefill_causal" } }

---The kernels of an attention layer over the cache: for each page size those of the forward passes that call it.
---@param params table<string, integer>
---@param origins table<string, string>
---@param calls hone.sglang.Call[]
---@param page_sizes integer[]
---@param form hone.ops.AttentionForm?
function M.kernels(params, origins, calls, page_sizes, form)
  local found = {}
  for _, size in ipairs(page_sizes) do
    for _, stage in ipairs(STAGES) do
      local of_stage, with_page = {}, { page_size = size }
      for _, call in ipairs(calls) do
        if call.mode == stage.mode then of_stage[#of_stage + 1] = call end
      end
      for name, value in pairs(params) do
        with_page[name] = value
      end
      local variant = stage.variant .. (form and form.variant or "")
      local kernel = { variant = variant, params = with_page, origins = origins, calls = of_stage }
      if #of_stage > 0 then found[#found + 1] = kernel end
    end
  end
  return found
end

return M
