--- The modules of a model whose implementation is not known: those that models of its architecture commonly have,
--- with the definitions that follow from its dimensions alone.
local json = require "hone.json"

local M = {}

-- ---- definitions -----------------------------------------------------------------------------------------

local Pattern = {}
Pattern.__index = Pattern

-- Adds a definition's name to a list, where an op type has it. Of the parameters, those count that it asks for.
local function define(list, op_type, variant, params)
  local ops = require "hone.ops"
  local op = ops.get(op_type)
  local kind = op and op.variants[variant]
  if not kind then return end
  local asked = {}
  for _, axis in ipairs(kind.axes) do
    if axis[2] == "const" and not axis.value then asked[axis[1]] = params[axis[1]] end
  end
  list[#list + 1] = ops.name(op_type, variant, asked)
end

local function gemm(outputs, inputs)
  local list = {}
  define(list, "gemm", "gemm", { N = outputs, K = inputs })
  return list
end

local function norm(size, ...)
  local list = {}
  for _, variant in ipairs { ... } do
    define(list, "rmsnorm", variant, { hidden_size = size })
  end
  return list
end

-- Heads of one rank: key-value heads are replicated where there are fewer than ranks.
local function per_rank(count, tp) return math.max(1, count // tp) end

function Pattern:grouped_query(window)
  local list, attention = {}, self.about.attention
  local params = {
    num_qo_heads = per_rank(attention.num_attention_heads, self.tp),
    num_kv_heads = per_rank(attention.num_key_value_heads, self.tp),
    head_dim = attention.head_dim,
    window_size = window,
  }
  local ending = window and "_window" or ""
  for _, page_size in ipairs(self.page_sizes) do
    params.page_size = page_size
    define(list, "gqa_paged", "decode" .. ending, params)
    define(list, "gqa_paged", "prefill_causal" .. ending, params)
  end
  define(list, "gqa_ragged", "prefill_causal" .. ending, params)
  return list
end

function Pattern:latent()
  local list, attention = {}, self.about.attention
  local heads = per_rank(attention.num_attention_heads, self.tp)
  local params =
    { num_qo_heads = heads, head_dim_ckv = attention.kv_lora_rank, head_dim_kpe = attention.qk_rope_head_dim }
  for _, page_size in ipairs(self.page_sizes) do
    params.page_size = page_size
    if self.about.indexer then
      params.topk = self.about.indexer.topk
      define(list, "dsa_paged", "sparse_attention", params)
    else
      define(list, "mla_paged", "decode", params)
      define(list, "mla_paged", "prefill_causal", params)
    end
  end
  local ragged = { num_qo_heads = heads, vo_dim = attention.v_head_dim }
  ragged.qk_dim = attention.qk_nope_head_dim + attention.qk_rope_head_dim
  define(list, "mla_ragged", "prefill_causal", ragged)
  return list
end

function Pattern:recurrent()
  local list, linear = {}, self.about.linear_attention
  if not linear or linear.type ~= "GDN" then return list end
  local params = {
    num_q_heads = per_rank(linear.num_key_heads, self.tp),
    num_k_heads = per_rank(linear.num_key_heads, self.tp),
    num_v_heads = per_rank(linear.num_value_heads, self.tp),
    head_size = linear.value_head_dim,
  }
  define(list, "gdn", "prefill", params)
  define(list, "gdn", "decode", params)
  return list
end

function Pattern:state_space()
  local list, mamba = {}, self.about.mamba
  if mamba.version ~= 2 then return list end
  define(list, "mamba_ssu", "decode", {
    nheads = per_rank(mamba.num_heads, self.tp),
    head_dim = mamba.head_dim,
    dstate = mamba.state_size,
    ngroups = per_rank(mamba.n_groups, self.tp),
  })
  return list
end

-- ---- modules ---------------------------------------------------------------------------------------------

function Pattern:add(parent, base, count, definitions, class)
  local node = {
    parent = parent,
    base = base,
    class = class or base,
    path = (parent and parent.path ~= "" and parent.path .. "." or "") .. base,
    count = count,
    order = #self.nodes,
    definitions = definitions or {},
    arguments = json.object(),
  }
  node.key = (parent and parent.key or "") .. "/" .. node.path .. ":" .. node.class
  if parent then parent.is_block = true end
  self.nodes[#self.nodes + 1] = node
  return node
end

function Pattern:attention(layer, count, mixer)
  local about, hidden = self.about.attention, self.about.dimensions.hidden_size
  local block = self:add(layer, "self_attn", count)
  local value_size
  if about.type == "MLA" then
    local compressed = about.kv_lora_rank + about.qk_rope_head_dim
    local query = about.num_attention_heads * (about.qk_nope_head_dim + about.qk_rope_head_dim)
    if about.q_lora_rank then
      self:add(block, "fused_qkv_a_proj_with_mqa", count, gemm(about.q_lora_rank + compressed, hidden))
      self:add(block, "q_a_layernorm", count, norm(about.q_lora_rank, "rmsnorm"))
      self:add(block, "q_b_proj", count, gemm(query, about.q_lora_rank))
    else
      self:add(block, "q_proj", count, gemm(query, hidden))
      self:add(block, "kv_a_proj_with_mqa", count, gemm(compressed, hidden))
    end
    self:add(block, "kv_a_layernorm", count, norm(about.kv_lora_rank, "rmsnorm"))
    local expanded = about.num_attention_heads * (about.qk_nope_head_dim + about.v_head_dim)
    self:add(block, "kv_b_proj", count, gemm(expanded, about.kv_lora_rank))
    self:add(block, "rotary_emb", count)
    self:add(block, "attn_mla", count, self:latent())
    value_size = about.num_attention_heads * about.v_head_dim
  else
    local queries = about.num_attention_heads * (about.output_gate and 2 or 1)
    local heads = queries + 2 * about.num_key_value_heads
    self:add(block, "qkv_proj", count, gemm(heads * about.head_dim, hidden))
    if about.qk_norm then
      local whole = about.qk_norm == "whole"
      local query_size = whole and about.num_attention_heads * about.head_dim or about.head_dim
      local key_size = whole and about.num_key_value_heads * about.head_dim or about.head_dim
      self:add(block, "q_norm", count, norm(query_size, "rmsnorm"))
      self:add(block, "k_norm", count, norm(key_size, "rmsnorm"))
    end
    self:add(block, "rotary_emb", count)
    local window = mixer == "sliding_attention" and about.sliding_window or nil
    local definitions = mixer == "chunked_attention" and {} or self:grouped_query(window)
    self:add(block, "attn", count, definitions)
    value_size = about.num_attention_heads * about.head_dim
  end
  self:add(block, "o_proj", count, gemm(hidden, value_size))
end

function Pattern:linear_attention(layer, count)
  local linear, hidden = self.about.linear_attention, self.about.dimensions.hidden_size
  local block = self:add(layer, "linear_attn", count)
  if not linear or linear.type ~= "GDN" then return end
  local keys = linear.num_key_heads * linear.key_head_dim
  local values = linear.num_value_heads * linear.value_head_dim
  self:add(block, "in_proj_qkvz", count, gemm(2 * keys + 2 * values, hidden))
  self:add(block, "in_proj_ba", count, gemm(2 * linear.num_value_heads, hidden))
  self:add(block, "attn_gdn", count, self:recurrent())
  self:add(block, "out_proj", count, gemm(hidden, values))
end

function Pattern:mamba(layer, count)
  local mamba, hidden = self.about.mamba, self.about.dimensions.hidden_size
  local block = self:add(layer, "mamba", count)
  if not mamba or mamba.version ~= 2 then return end
  local projected = 2 * mamba.inner_size + 2 * mamba.n_groups * mamba.state_size + mamba.num_heads
  self:add(block, "in_proj", count, gemm(projected, hidden))
  self:add(block, "mamba_ssm", count, self:state_space())
  self:add(block, "out_proj", count, gemm(hidden, mamba.inner_size))
end

function Pattern:dense(parent, base, count, intermediate)
  local hidden = self.about.dimensions.hidden_size
  local block = self:add(parent, base, count, nil, base == "mlp" and "MLP" or nil)
  self:add(block, "gate_up_proj", count, gemm(2 * intermediate, hidden))
  self:add(block, "act_fn", count)
  self:add(block, "down_proj", count, gemm(hidden, intermediate))
end

function Pattern:mixture(layer, count)
  local moe, hidden = self.about.moe, self.about.dimensions.hidden_size
  local block = self:add(layer, "mlp", count, nil, "MoE")
  self:add(block, "gate", count, gemm(moe.num_experts, hidden))
  self:add(block, "topk", count)
  self:add(block, "experts", count)
  if moe.shared_expert_intermediate_size then
    self:dense(block, "shared_experts", count, moe.shared_expert_intermediate_size)
  end
end

-- ---- layers ----------------------------------------------------------------------------------------------

-- How many layers mix tokens in each way, and of these how many have which feed-forward, in order of appearance.
local function kinds(layers)
  local list, by_mixer = {}, {}
  for _, layer in ipairs(layers) do
    local mixer = layer.mixer ~= json.null and layer.mixer or ""
    local kind = by_mixer[mixer]
    if not kind then
      kind = { mixer = mixer, count = 0, feed_forwards = {}, counts = {} }
      by_mixer[mixer] = kind
      list[#list + 1] = kind
    end
    kind.count = kind.count + 1
    local feed_forward = layer.feed_forward
    if feed_forward ~= json.null then
      if not kind.counts[feed_forward] then table.insert(kind.feed_forwards, feed_forward) end
      kind.counts[feed_forward] = (kind.counts[feed_forward] or 0) + 1
    end
  end
  return list
end

local CLASSES = {
  full_attention = "Attention",
  sliding_attention = "SlidingAttention",
  chunked_attention = "ChunkedAttention",
  linear_attention = "LinearAttention",
  mamba = "Mamba",
  [""] = "MLP",
}

-- The class of a decoder layer; "FullAttention" where there are layers of another attention.
local function layer_class(stem, kind, found)
  if #found == 1 then return stem .. "DecoderLayer" end
  local class = CLASSES[kind.mixer]
  for _, other in ipairs(found) do
    if kind.mixer == "full_attention" and other.mixer:find("._attention$") and other ~= kind then
      class = "FullAttention"
    end
  end
  if class then return stem .. class .. "DecoderLayer" end
  local name = kind.mixer:gsub("[^_+]+", function(word) return word:sub(1, 1):upper() .. word:sub(2) end)
  return stem .. name:gsub("[_+]", "") .. "DecoderLayer"
end

function Pattern:layer(model, stem, kind, found)
  local about = self.about
  local hidden, count = about.dimensions.hidden_size, kind.count
  local layer = self:add(model, layer_class(stem, kind, found), count)
  layer.path = "model.layers.*"
  self:add(layer, "input_layernorm", count, norm(hidden, "rmsnorm", "fused_add_rmsnorm"))
  for mixer in kind.mixer:gmatch("[^+]+") do
    if mixer == "mamba" then
      self:mamba(layer, count)
    elseif mixer == "linear_attention" then
      self:linear_attention(layer, count)
    elseif mixer:find("attention$") and about.attention then
      self:attention(layer, count, mixer)
    else
      self:add(layer, mixer, count)
    end
  end
  if kind.mixer ~= "" and #kind.feed_forwards > 0 then
    self:add(layer, "post_attention_layernorm", count, norm(hidden, "fused_add_rmsnorm"))
  end
  for _, feed_forward in ipairs(kind.feed_forwards) do
    if feed_forward == "moe" then
      self:mixture(layer, kind.counts.moe)
    else
      self:dense(layer, "mlp", kind.counts.dense, about.dimensions.intermediate_size)
    end
  end
end

function Pattern:sampling()
  local list, params = {}, { vocab_size = self.about.dimensions.vocab_size }
  for _, variant in ipairs { "top_k", "top_p", "top_k_top_p" } do
    define(list, "sampling", variant, params)
  end
  return list
end

---The modules that a model of this architecture commonly has, parents first, in the order in which they run.
---@param about table # what `hone.model.architecture` says of it
---@param options { tp: integer?, page_sizes: integer[]? }?
---@return hone.sglang.ModuleNode[]
function M.nodes(about, options)
  local pattern = setmetatable({
    about = about,
    nodes = {},
    tp = options and options.tp or 1,
    page_sizes = options and options.page_sizes or { 1, 64 },
  }, Pattern)
  local class = about.architectures[1] or "TransformerForCausalLM"
  local stem = class:gsub("For%u.*$", ""):gsub("Model$", "")
  local root = pattern:add(nil, class, 1)
  local model = pattern:add(root, stem .. "Model", 1)
  model.path = "model"
  pattern:add(model, "embed_tokens", 1)
  local found = kinds(about.layers)
  for _, kind in ipairs(found) do
    pattern:layer(model, stem, kind, found)
  end
  pattern:add(model, "norm", 1, norm(about.dimensions.hidden_size, "fused_add_rmsnorm"))
  pattern:add(root, "lm_head", 1)
  pattern:add(root, "logits_processor", 1, pattern:sampling())
  return pattern.nodes
end

return M
