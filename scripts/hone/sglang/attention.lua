--- What RadixAttention, SGLang's one attention layer, says of the kernel it runs.
local M = {}

local SIZES = {
  query_heads = "tp_q_head_num",
  kv_heads = "tp_k_head_num",
  head_dim = "head_dim",
  value_dim = "v_head_dim",
}

-- The layer's sizes, nil when one is not known.
local function sizes_of(layer)
  local sizes = {}
  for name, attribute in pairs(SIZES) do
    sizes[name] = layer:integer(attribute)
    if not sizes[name] then return nil end
  end
  return sizes
end

-- ---- what is not plain attention --------------------------------------------------------------------------

-- What no definition describes, by the attribute that shows it.
local OTHERS = {
  {
    "attn_type",
    function(value) return value ~= "decoder" end,
    "its mask is not causal",
  },
  {
    "pos_encoding_mode",
    function(value) return value ~= "NONE" end,
    "it encodes positions itself",
  },
  { "xai_temperature_len", function(value) return value > 0 end, "it scales logits by position" },
}

-- Why no definition describes the layer, nil when one may.
local function other_form(layer)
  for _, other in ipairs(OTHERS) do
    local value = layer:text(other[1]) or layer:number(other[1])
    if value and other[2](value) then
      return ("%s (%s %s), which no definition describes"):format(other[3], other[1], value)
    end
  end
  if layer:flag "is_cross_attention" then
    return "it attends to another sequence, which no definition describes"
  end
end

-- What the layer adds to plain attention: names, and the parameters that come with them; nil and why not.
local function additions(layer)
  local added, params, origins = {}, {}, {}
  local window = layer:integer "sliding_window_size"
  if window and window >= 0 then
    -- SGLang counts the keys before the query's own, as FlashInfer's window_left does.
    added.window, params.window_size = true, window + 1
    origins.window_size = ("sliding_window_size %d and the query's own key"):format(window)
  end
  local cap = layer:number "logit_cap"
  if cap and cap > 0 then
    local method = layer:text "logit_capping_method"
    if method and method ~= "tanh" then
      return nil, ("its logits are capped by %s, which no definition describes"):format(method)
    end
    if not math.tointeger(cap) then
      return nil, ("its logits are capped at %s; definitions have whole numbers"):format(cap)
    end
    added.softcap, params.logits_soft_cap = true, math.tointeger(cap)
    origins.logits_soft_cap = layer:origin "logit_cap"
  end
  local with_sinks = layer:calls(function(call) return call.given ~= nil and call.given.sinks ~= nil end)
  added.sink = #with_sinks > 0 or nil
  return added, params, origins
end

-- Whether the layer is attention with a causal mask and nothing else.
local function is_plain(layer)
  local added = additions(layer)
  return added ~= nil and next(added) == nil and not other_form(layer)
end

-- ---- multi-head latent attention -------------------------------------------------------------------

-- Absorbed, one head of keys serves all heads of queries, and a part of each key is the value. With a single head of
-- queries only the call shows it: the rotary part of the keys comes apart from the rest.
local function is_absorbed(layer, sizes)
  if sizes.kv_heads ~= 1 or sizes.value_dim >= sizes.head_dim then return false end
  if sizes.query_heads > 1 then return true end
  local apart = layer:calls(function(call) return call.given and call.given.k_rope ~= nil end)
  return #apart > 0
end

---Parameters of absorbed multi-head latent attention; nil for other attention.
---@param layer hone.sglang.Layer # a RadixAttention
---@return { num_qo_heads: integer, head_dim_ckv: integer, head_dim_kpe: integer }? params
---@return table<string, string> origins # by parameter
function M.latent(layer)
  local sizes = sizes_of(layer)
  if not sizes or not is_absorbed(layer, sizes) or not is_plain(layer) then return nil, {} end
  local rotary = sizes.head_dim - sizes.value_dim
  local params = { num_qo_heads = sizes.query_heads, head_dim_ckv = sizes.value_dim, head_dim_kpe = rotary }
  local whole = layer:origin(SIZES.head_dim)
  local origins = {
    num_qo_heads = layer:origin(SIZES.query_heads),
    head_dim_ckv = layer:origin(SIZES.value_dim),
    head_dim_kpe = whole and ("%s, less %d compressed = %d"):format(whole, sizes.value_dim, rotary),
  }
  return params, origins
end

---Parameters of multi-head latent attention that is not absorbed: as many heads of keys as of queries, and values
---of another dimension. Nil for other attention.
---@param layer hone.sglang.Layer # a RadixAttention
---@return { num_qo_heads: integer, qk_dim: integer, vo_dim: integer }? params
---@return table<string, string> origins # by parameter
function M.multi_head_latent(layer)
  local sizes = sizes_of(layer)
  if not sizes or sizes.value_dim >= sizes.head_dim or sizes.kv_heads ~= sizes.query_heads then
    return nil, {}
  end
  if is_absorbed(layer, sizes) or not is_plain(layer) then return nil, {} end
  local params = { num_qo_heads = sizes.query_heads, qk_dim = sizes.head_dim, vo_dim = sizes.value_dim }
  local origins = {
    num_qo_heads = layer:origin(SIZES.query_heads),
    qk_dim = layer:origin(SIZES.head_dim),
    vo_dim = layer:origin(SIZES.value_dim),
  }
  return params, origins
end

---Whether a call is told which cached tokens to look at.
---@param call hone.sglang.Call
function M.is_sparse(call) return call.given ~= nil and call.given.topk_indices ~= nil end

---How many tokens the indexer picks that ran before such calls.
---@param calls hone.sglang.Call[]
---@return integer? topk
---@return string? origin
function M.topk(calls)
  for _, call in ipairs(calls) do
    local indexer = call.indexer
    local topk = indexer and indexer:integer "index_topk"
    if topk then return topk, indexer:origin "index_topk" end
  end
end

-- ---- grouped query attention ------------------------------------------------------------------------

local function form_with(added)
  for _, form in ipairs(require("hone.ops.parts.attention_form").FORMS) do
    local same = true
    for _, name in ipairs { "window", "softcap", "sink" } do
      same = same and (form.has[name] or false) == (added[name] or false)
    end
    if same then return form end
  end
end

---Parameters of grouped query attention, and its form.
---@param layer hone.sglang.Layer # a RadixAttention
---@return { num_qo_heads: integer, num_kv_heads: integer, head_dim: integer }? params
---@return table<string, string>|string|nil origins # by parameter; or why no definition describes the layer
---@return hone.ops.AttentionForm? form
function M.grouped_query(layer)
  local sizes = sizes_of(layer)
  if not sizes then return nil, "its numbers of heads are not known" end
  if M.latent(layer) or M.multi_head_latent(layer) then return nil end
  local why = other_form(layer)
  if why then return nil, why end
  local added, params, origins = additions(layer)
  if not added then return nil, params end
  if sizes.value_dim ~= sizes.head_dim then
    why = next(added) and "keys have %d elements and values %d, and %s: no definition describes both"
      or "keys have %d elements and values %d: not grouped query attention"
    return nil, why:format(sizes.head_dim, sizes.value_dim, "there is a window, a soft cap or a sink")
  end
  params.num_qo_heads, origins.num_qo_heads = sizes.query_heads, layer:origin(SIZES.query_heads)
  params.num_kv_heads, origins.num_kv_heads = sizes.kv_heads, layer:origin(SIZES.kv_heads)
  params.head_dim, origins.head_dim = sizes.head_dim, layer:origin(SIZES.head_dim)
  return params, origins, form_with(added)
end

return M
