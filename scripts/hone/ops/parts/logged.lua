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
--   reshaped       { [input] = function(shape, dtype) }: its shape as the definition has it; nil where it is as it was passed
--   calls          names of further functions that run the same kernel
--   refuses(run, definition)  why a call is not of the definition's kernel, by its numbers; nil where it may be
--   only(axes)     whether a call of these sizes is meant: one wrapper may serve two kinds
local tensor = require "hone.tensor"

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

-- ---- functions -----------------------------------------------------------------------------------------

-- Numbers that a call must have: { parameter, value }, and what it means where it was not passed.
local function differs(run, wanted)
  for _, entry in ipairs(wanted) do
    local parameter, value, default = entry[1], entry[2], entry[3]
    local passed = run:scalar(parameter)
    if passed == nil or type(passed) == "userdata" then passed = default end
    if value ~= nil and passed ~= nil and passed ~= value then
      return ("it was called with %s=%s"):format(parameter, tostring(passed))
    end
  end
end

local function constant(definition, name)
  local axis = definition.axes[name]
  return axis and require("hone.dataset.definition").axis_value(axis)
end

local function delta_scale(axes) return 1 / math.sqrt(axes.head_size) end

---gated_delta_rule_decode, and the form of it whose states lie k last.
logged.delta_decode = {
  calls = { "gated_delta_rule_decode_pretranspose" },
  scalars = { scale = delta_scale },
}
---gated_delta_rule_mtp
logged.delta_draft = { scalars = { scale = delta_scale } }

---chunk_gated_delta_rule: it is given what the gates come to, and not what they are made of.
logged.delta_prefill = {
  run = { state = "initial_state" },
  scalars = { scale = delta_scale },
  refuses = function(run)
    if run:tensor_info "state_indices" then return "its states lie in a pool (state_indices)" end
  end,
}

---selective_state_update: without indices the states lie in the order of the sequences.
logged.state_update = {
  derived = {
    state_batch_indices = function(_, _, axes)
      return axes.batch_size and require("hone.tensor").arange(axes.batch_size)
    end,
  },
  refuses = function(run)
    for _, name in ipairs { "z", "state_scale", "cu_seqlens", "num_accepted_tokens" } do
      if run:tensor_info(name) then return ("it was called with %s"):format(name) end
    end
    return differs(run, { { "dt_softplus", true, false } })
  end,
}

-- FlashInfer's RoutingMethodType. A softmax before the choice that is divided by its sum is the one after it.
local ROUTINGS = {
  default = { [0] = true },
  renorm = { [1] = true, [4] = true },
  ds = { [2] = true },
  llama4 = { [3] = true },
}

local SWIGLU = 3 -- of FlashInfer's ActivationType

-- Weights may lie in blocks along what is summed over: [experts, K / block, M, block].
local function matrix(shape)
  if #shape == 4 then return { shape[1], shape[3], shape[2] * shape[4] } end
end

-- Two numbers of four bits lie in a byte.
local function packed_matrix(shape, dtype)
  local whole = matrix(shape) or shape
  if dtype ~= "uint8" or #whole ~= 3 then return whole end
  return { whole[1], whole[2], 2 * whole[3] }
end

-- What a call without a bias adds to its scores.
local function no_bias(run)
  local logits = run:tensor_info "routing_logits"
  return logits and tensor.zeros(logits.shape[#logits.shape])
end

---The trtllm_*_moe functions. `way` is how experts are chosen, "packed" where the call is told them.
function logged.experts(way, is_packed_in_bytes)
  local weights = is_packed_in_bytes and packed_matrix or matrix
  local function refuses(run, definition)
    local method = run:scalar "routing_method_type" or 0
    if ROUTINGS[way] and not ROUTINGS[way][method] then
      return ("it was called with routing_method_type=%s"):format(tostring(method))
    end
    if (run:tensor_info "gemm1_alpha" ~= nil) ~= (definition.inputs.gemm1_alpha ~= nil) then
      return "its activation is another one (gemm1_alpha)"
    end
    local name = definition.name
    local is_global = constant(definition, "num_local_experts") and constant(definition, "num_experts")
    local here = constant(definition, "num_local_experts") or constant(definition, "num_experts")
    return differs(run, {
      { "activation_type", not definition.inputs.gemm1_alpha and SWIGLU or nil, SWIGLU },
      { "top_k", math.tointeger(tonumber(name:match "_topk(%d+)")) },
      { "n_group", math.tointeger(tonumber(name:match "_ng(%d+)")) },
      { "topk_group", math.tointeger(tonumber(name:match "_kg(%d+)")) },
      { "num_experts", is_global or nil },
      { "local_num_experts", here },
      { "intermediate_size", constant(definition, "intermediate_size") },
    })
  end
  return {
    -- Which experts are chosen, and so how much each has to do, is what one workload differs by from another.
    values = { routing_logits = true, routing_bias = true },
    derived = { routing_bias = no_bias },
    reshaped = { gemm1_weights = weights, gemm2_weights = weights },
    scalars = {
      local_expert_offset = function() return 0 end,
      routed_scaling_factor = function() return 1.0 end,
    },
    refuses = refuses,
  }
end

---trtllm_batch_decode_with_kv_cache_mla with tokens that an indexer picked: [sequences, queries, topk] of them.
logged.sparse_latent = {
  run = { sparse_indices = "block_tables", sm_scale = "bmm1_scale" },
  axes = { num_pages = { "kv_cache", 1 } },
  reshaped = {
    sparse_indices = function(shape)
      if #shape == 3 then return { shape[1] * shape[2], shape[3] } end
    end,
  },
  refuses = function(run, definition)
    local why = differs(run, {
      { "sparse_mla_top_k", constant(definition, "topk"), 0 },
      { "kv_lora_rank", constant(definition, "head_dim_ckv") },
      { "qk_rope_head_dim", constant(definition, "head_dim_kpe") },
    })
    if why then return why end
    local query, cache = run:tensor_info "query", run:tensor_info "kv_cache"
    local heads = query and query.shape[#query.shape - 1]
    if heads ~= constant(definition, "num_qo_heads") then
      return ("its queries have %s heads"):format(heads)
    end
    local page = cache and cache.shape[#cache.shape - 1]
    if page ~= constant(definition, "page_size") then return ("its pages hold %s tokens"):format(page) end
  end,
}

return logged
