--- How FlashInfer's wrappers are called, as its logs show it: the parameters of plan() and run() under which an input
--- of a definition is passed, where they are not of the input's own name.
--
--   plan, run      { [input] = parameter }; a parameter { name, item = i } is an item of a tuple
--   stacked        { [input] = i }: the i-th (from 1) of a tensor that holds several in its second dimension
--   scalars        { [input] = function(axes) }: what FlashInfer takes for a number that was not passed
--   values         { [input] = true }: floats whose values matter, so that they are kept and not made at random
--   axes           { [axis] = { parameter, dimension } }: sizes that no input of the call shows as the definition has it
--   requires       { parameter = value } of plan(): calls planned otherwise are of another kernel
--   derived        { [input] = function(dump, plan, axes) }: a tensor that is passed in another form
--   only(axes)     whether a call of these sizes is meant: one wrapper may serve two kinds
local logged = {}

local function softmax_scale(axes) return 1 / math.sqrt(axes.head_dim) end

local PAGED_CACHE = { k_cache = { "paged_kv_cache", item = 0 }, v_cache = { "paged_kv_cache", item = 1 } }
local STACKED = { k_cache = 1, v_cache = 2 }

---BatchDecodeWithPagedKVCacheWrapper
logged.paged_decode = {
  plan = { kv_indptr = "indptr", kv_indices = "indices", kv_last_page_len = "last_page_len" },
  run = PAGED_CACHE,
  stacked = STACKED,
  scalars = { sm_scale = softmax_scale },
}

---BatchPrefillWithPagedKVCacheWrapper
logged.paged_prefill = {
  plan = {
    kv_indptr = "paged_kv_indptr",
    kv_indices = "paged_kv_indices",
    kv_last_page_len = "paged_kv_last_page_len",
  },
  run = PAGED_CACHE,
  stacked = STACKED,
  scalars = { sm_scale = softmax_scale },
  requires = { causal = true },
}

---BatchPrefillWithRaggedKVCacheWrapper
logged.ragged_prefill = {
  scalars = { sm_scale = function(axes) return 1 / math.sqrt(axes.head_dim or axes.qk_dim) end },
  requires = { causal = true },
}

local function is_decode(axes) return axes.batch_size == axes.len_indptr - 1 end

-- How many tokens the last page of each sequence holds; MLA's wrapper is told how many the sequence has.
local function last_page_lengths(_, plan, axes)
  local info = plan and plan:tensor_info "kv_len_arr"
  local lengths = info and plan:tensor(info)
  if not lengths then return nil end
  local last = (lengths - 1):remainder(axes.page_size) + 1
  return last:masked_fill(lengths:le(0), 0)
end

---BatchMLAPagedAttentionWrapper: it decodes where each sequence has one query.
logged.latent_decode = { derived = { kv_last_page_len = last_page_lengths }, only = is_decode }
logged.latent_prefill = {
  derived = { kv_last_page_len = last_page_lengths },
  only = function(axes) return axes.total_q ~= axes.len_indptr - 1 end,
}

return logged
