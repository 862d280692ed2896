--- A model's architecture, read from its HuggingFace config. Documented in scripts/meta/model/architecture.lua.
local fields_of = require "hone.model.fields"
local json = require "hone.json"

local architecture = {}

-- ---- the part of a config that describes the language model ----------------------------------------------------

-- Where multimodal configs keep it. What has layers of its own is one.
local NESTED = { "text_config", "llm_config", "language_config", "thinker_config", "language_model" }

local function describes_layers(data)
  local fields = fields_of.of(data, "")
  return fields:find("layers") ~= nil and fields:find("hidden_size") ~= nil
end

function architecture.language(data)
  for _, name in ipairs(NESTED) do
    local nested = data[name]
    if json.is_object(nested) then
      local deeper = architecture.language(nested)
      if describes_layers(deeper) then return deeper, name end
    end
  end
  return data
end

-- ---- dimensions ------------------------------------------------------------------------------------------------

local function attention_biases(fields, traits)
  local everywhere = traits.bias or fields:flag("use_bias")
  local attention = fields:flag("attention_bias") or fields:flag("add_qkv_bias") or everywhere
  local output = fields:flag("attention_out_bias", attention and traits.output_bias ~= false)
  return attention or traits.qkv_bias or false, output
end

local function latent(fields, heads)
  return {
    kind = "mla",
    heads = heads,
    kv_heads = heads,
    q_lora_rank = fields:optional("q_lora_rank"),
    kv_lora_rank = fields:need("kv_lora_rank"),
    qk_nope_head_dim = fields:need("qk_nope_head_dim"),
    qk_rope_head_dim = fields:need("qk_rope_head_dim"),
    v_head_dim = fields:need("v_head_dim"),
  }
end

-- The norms of queries and keys that have weights: by what the family does, or what the config says.
local function qk_norm(fields, traits)
  local says = fields:raw("use_qk_norm")
  if says == nil then says = fields:raw("qk_layernorm") end
  if traits.qk_norm == "none" or says == false then return nil end
  return traits.qk_norm or says == true and "head" or nil
end

local function head_dim_of(fields, hidden_size, heads)
  local head_dim = fields:optional("head_dim")
  if head_dim then return head_dim end
  if hidden_size % heads ~= 0 then
    local message =
      "config %s: hidden_size %d is not divided by num_attention_heads %d, and there is no head_dim"
    fields_of.refuse(message:format(fields.path, hidden_size, heads))
  end
  return hidden_size // heads
end

local function attention(fields, traits, hidden_size)
  local heads = fields:need("heads")
  local about
  if fields:optional("kv_lora_rank") then
    about = latent(fields, heads)
  else
    local kv_heads = fields:optional("kv_heads") or (fields:flag("multi_query") and 1) or heads
    if heads % kv_heads ~= 0 then
      local message = "config %s: num_attention_heads %d is not divided by num_key_value_heads %d"
      fields_of.refuse(message:format(fields.path, heads, kv_heads))
    end
    about = {
      kind = kv_heads == heads and "mha" or kv_heads == 1 and "mqa" or "gqa",
      heads = heads,
      kv_heads = kv_heads,
    }
    about.head_dim = head_dim_of(fields, hidden_size, heads)
    about.qk_norm = qk_norm(fields, traits)
    about.output_gate = fields:flag("attn_output_gate", traits.output_gate)
    about.sinks = traits.sinks or false
  end
  about.qkv_bias, about.output_bias = attention_biases(fields, traits)
  return about
end

local function mixture(fields, traits)
  local experts = fields:count("experts")
  if not experts or experts < 2 then return nil end
  local size = fields:optional("expert_size") or fields:need("intermediate_size")
  local shared = fields:optional("shared_expert_size")
  local number = fields:count("shared_experts")
  if not shared and number and number > 0 then shared = number * size end
  if not shared and traits.one_shared_expert then shared = size end
  local corrected = fields:raw("topk_method") == "noaux_tc" or fields:flag("use_routing_bias")
  return {
    experts = experts,
    experts_per_token = fields:need("experts_per_token"),
    expert_size = size,
    shared_size = shared,
    shared_gate = traits.shared_gate and shared ~= nil,
    router_bias = traits.router_bias or corrected,
    expert_bias = traits.expert_bias,
    groups = fields:count("expert_groups"),
    topk_groups = fields:integer("topk_group"),
  }
end

local function gated_delta_net(fields)
  local about = fields:raw("linear_attn_config")
  if json.is_object(about) then
    local inner = fields_of.of(about, fields.path)
    local heads, size = inner:optional("heads"), inner:optional("head_dim")
    local kernel = inner:integer("short_conv_kernel_size")
    if not heads or not size or not kernel then return nil end
    return {
      kind = "kda",
      key_heads = heads,
      value_heads = heads,
      key_dim = size,
      value_dim = size,
      conv_kernel = kernel,
    }
  end
  if not fields:optional("gdn_value_heads") then return nil end
  return {
    kind = "gdn",
    key_heads = fields:need("gdn_key_heads"),
    value_heads = fields:need("gdn_value_heads"),
    key_dim = fields:need("gdn_key_dim"),
    value_dim = fields:need("gdn_value_dim"),
    conv_kernel = fields:optional("gdn_conv") or 4,
  }
end

local function mamba(fields, traits, hidden_size)
  local state = fields:optional("mamba_state")
  if not state then return nil end
  local heads = fields:optional("mamba_heads") or traits.mamba_only and fields:optional("heads") or nil
  local head_dim = fields:optional("mamba_head_dim")
    or traits.mamba_only and fields:optional("head_dim")
    or nil
  local inner = fields:optional("mamba_inner")
    or heads and head_dim and heads * head_dim
    or (fields:optional("mamba_expand") or 2) * hidden_size
  return {
    heads = heads,
    head_dim = head_dim or heads and inner // heads or nil,
    inner_size = inner,
    state_size = state,
    groups = fields:optional("mamba_groups") or 1,
    rank = fields:integer("mamba_dt_rank") or fields:integer("time_step_rank") or (hidden_size + 15) // 16,
    conv_kernel = fields:optional("mamba_conv") or 4,
    conv_bias = fields:flag("use_conv_bias", fields:flag("mamba_conv_bias", true)),
    bias = fields:flag("mamba_proj_bias", fields:flag("use_bias")),
    norm = fields:flag("mamba_rms_norm", heads ~= nil),
  }
end

local function indexer(fields)
  local heads = fields:optional("index_heads")
  if not heads then return nil end
  return { heads = heads, head_dim = fields:need("index_head_dim"), topk = fields:need("index_topk") }
end

local function has(layers, test)
  for _, layer in ipairs(layers) do
    if test(layer) then return true end
  end
  return false
end

local function mixes(layers, ending)
  return has(layers, function(layer)
    for _, mixer in ipairs(layer.mixers) do
      if mixer:find(ending .. "$") then return true end
    end
    return false
  end)
end

-- Families without a gate leave the size out where it is four times the hidden size.
local function intermediate_size(fields, traits)
  local size = fields:integer("intermediate_size_mlp") or fields:optional("intermediate_size")
  if size or traits.gated ~= false then return size or fields:need("intermediate_size") end
  return 4 * fields:need("hidden_size")
end

local function feed_forward(fields, traits, layers)
  local dense = has(layers, function(layer) return layer.feed_forward == "dense" end)
  local size = fields:integer("intermediate_size_mlp") or dense and intermediate_size(fields, traits) or nil
  return { intermediate_size = size, bias = fields:flag("mlp_bias", traits.bias) }
end

local function dimensions(fields, traits, layers)
  local hidden_size = fields:need("hidden_size")
  local windowed = mixes(layers, "sliding_attention") or mixes(layers, "chunked_attention")
  local attends = windowed or mixes(layers, "full_attention")
  return {
    layers = #layers,
    hidden_size = hidden_size,
    vocab_size = fields:need("vocab_size"),
    attention = attends and attention(fields, traits, hidden_size) or nil,
    indexer = indexer(fields),
    window = windowed and fields:optional("sliding_window") or nil,
    feed_forward = feed_forward(fields, traits, layers),
    moe = has(layers, function(layer) return layer.feed_forward == "moe" end) and mixture(fields, traits)
      or nil,
    gdn = mixes(layers, "linear_attention") and gated_delta_net(fields) or nil,
    mamba = mixes(layers, "mamba") and mamba(fields, traits, hidden_size) or nil,
    gated = traits.gated ~= false,
    norms_per_layer = fields:flag("new_decoder_architecture") and 2 or traits.norms or 2,
    positions = traits.positions and fields:integer("n_positions") or 0,
    head_bias = traits.head_bias or false,
    norm_bias = traits.norm_bias or false,
    tied = fields:flag("tie_word_embeddings", traits.tied),
    max_positions = fields:integer("max_position_embeddings"),
    draft_layers = fields:count("draft_layers") or 0,
  }
end

-- ---- what follows from them --------------------------------------------------------------------------------------

-- What kind of architecture it is, the most particular first: { "MLA", "DSA", "MoE" }, or { "Standard" }.
local function patterns(d, layers)
  local list = {}
  local function add(name, present)
    if present then list[#list + 1] = name end
  end
  local recurrent = d.mamba or mixes(layers, "linear_attention")
  add("Hybrid", recurrent and d.attention)
  add(d.gdn and d.gdn.kind:upper() or "Linear attention", mixes(layers, "linear_attention"))
  add("Mamba", d.mamba)
  add("MLA", d.attention and d.attention.kind == "mla")
  add("DSA", d.indexer)
  add("MoE", d.moe)
  if #list == 0 then list[1] = "Standard" end
  return list
end

-- Bytes of one element of the cache, as served unless told otherwise: the model's own dtype.
local BYTES = { float32 = 4, float16 = 2, bfloat16 = 2, float64 = 8 }

local function dtype_of(data, language)
  for _, object in ipairs { data, language } do
    for _, name in ipairs { "torch_dtype", "dtype" } do
      local dtype = object[name]
      if type(dtype) == "string" then return (dtype:gsub("^torch%.", "")) end
    end
  end
end

-- What one token leaves in the cache of one layer of attention, and of the indexer (fp8 with a scale).
local function cached_values(d)
  local a = d.attention
  if not a then return 0 end
  if a.kind == "mla" then return a.kv_lora_rank + a.qk_rope_head_dim end
  return 2 * a.kv_heads * a.head_dim
end

-- What one sequence keeps in a layer without a cache: its state (float32 for GDN) and the convolution's window.
local function state_bytes(d, mixer, bytes)
  if mixer == "linear_attention" and d.gdn then
    local g = d.gdn
    local keys, values = g.key_heads * g.key_dim, g.value_heads * g.value_dim
    return 4 * g.value_heads * g.value_dim * g.key_dim + bytes * (g.conv_kernel - 1) * (2 * keys + values)
  elseif mixer == "mamba" and d.mamba then
    local m = d.mamba
    local convolved = m.inner_size + (m.heads and 2 * m.groups * m.state_size or 0)
    return bytes * (m.inner_size * m.state_size + (m.conv_kernel - 1) * convolved)
  end
  return 0
end

local function cache(d, layers, dtype)
  local bytes = BYTES[dtype] or 2
  local whole, windowed, state = 0, 0, 0
  for _, layer in ipairs(layers) do
    for _, mixer in ipairs(layer.mixers) do
      if mixer == "full_attention" then whole = whole + 1 end
      if mixer == "sliding_attention" or mixer == "chunked_attention" then windowed = windowed + 1 end
      state = state + state_bytes(d, mixer, bytes)
    end
  end
  local each = cached_values(d) * bytes
  local index = d.indexer and (d.indexer.head_dim + 4) or 0
  return {
    dtype = BYTES[dtype] and dtype or "bfloat16",
    layer = each,
    token = (whole + windowed) * each + whole * index,
    windowed = windowed * each,
    index = whole * index,
    state = state,
  }
end

-- ---- as plain data -------------------------------------------------------------------------------------------------

-- An object of what is there, in the given order.
local function object(pairs_)
  local result = json.object()
  for _, pair in ipairs(pairs_) do
    if pair[2] ~= nil then result[pair[1]] = pair[2] end
  end
  return result
end

local function attention_json(d)
  local a = d.attention
  if not a then return nil end
  return object {
    { "type", a.kind:upper() },
    { "num_attention_heads", a.heads },
    { "num_key_value_heads", a.kv_heads },
    { "head_dim", a.head_dim },
    { "q_lora_rank", a.q_lora_rank },
    { "kv_lora_rank", a.kv_lora_rank },
    { "qk_nope_head_dim", a.qk_nope_head_dim },
    { "qk_rope_head_dim", a.qk_rope_head_dim },
    { "v_head_dim", a.v_head_dim },
    { "sliding_window", d.window },
    { "qk_norm", a.qk_norm },
    { "qkv_bias", a.qkv_bias },
    { "output_bias", a.output_bias },
    { "output_gate", a.output_gate or nil },
    { "sinks", a.sinks or nil },
  }
end

local function moe_json(d)
  local m = d.moe
  if not m then return nil end
  return object {
    { "num_experts", m.experts },
    { "num_experts_per_tok", m.experts_per_token },
    { "moe_intermediate_size", m.expert_size },
    { "shared_expert_intermediate_size", m.shared_size },
    { "n_group", m.groups },
    { "topk_group", m.topk_groups },
    { "routing_bias", m.router_bias or nil },
  }
end

local function gdn_json(d)
  local g = d.gdn
  if not g then return nil end
  return object {
    { "type", g.kind:upper() },
    { "num_key_heads", g.key_heads },
    { "num_value_heads", g.value_heads },
    { "key_head_dim", g.key_dim },
    { "value_head_dim", g.value_dim },
    { "conv_kernel", g.conv_kernel },
  }
end

local function mamba_json(d)
  local m = d.mamba
  if not m then return nil end
  return object {
    { "version", m.heads and 2 or 1 },
    { "num_heads", m.heads },
    { "head_dim", m.head_dim },
    { "state_size", m.state_size },
    { "n_groups", m.heads and m.groups or nil },
    { "inner_size", m.inner_size },
    { "conv_kernel", m.conv_kernel },
  }
end

local function indexer_json(d)
  local i = d.indexer
  return i and object { { "num_heads", i.heads }, { "head_dim", i.head_dim }, { "topk", i.topk } }
end

local function layers_json(layers)
  local types, list = require "hone.model.layer_types", json.array {}
  for i, layer in ipairs(layers) do
    list[i] = json.object {
      { "mixer", #layer.mixers > 0 and types.name(layer) or json.null },
      { "feed_forward", layer.feed_forward or json.null },
    }
  end
  return list
end

local function parameters_json(counted)
  local modules = json.object()
  for _, entry in ipairs(counted.modules) do
    modules[entry.module] = entry.parameters
  end
  local result = object {
    { "total", counted.total },
    { "active_per_token", counted.active },
    { "by_module", modules },
  }
  if #counted.uncounted > 0 then result.not_counted = json.array(counted.uncounted) end
  return result
end

local function derived_json(d, layers, dtype)
  local kept, a = cache(d, layers, dtype), d.attention
  return object {
    { "head_dim", a and (a.head_dim or a.qk_nope_head_dim + a.qk_rope_head_dim) },
    { "query_heads_per_kv_head", a and a.kind ~= "mla" and a.heads // a.kv_heads or nil },
    { "kv_cache_dtype", a and kept.dtype or nil },
    { "kv_bytes_per_token_and_layer", a and kept.layer or nil },
    { "kv_bytes_per_token", a and kept.token or nil },
    { "kv_bytes_per_token_in_window", kept.windowed > 0 and kept.windowed or nil },
    { "index_bytes_per_token", kept.index > 0 and kept.index or nil },
    { "state_bytes_per_sequence", kept.state > 0 and kept.state or nil },
  }
end

local function read(config)
  local data, nested = architecture.language(config.data)
  local fields = fields_of.of(data, config.path)
  local model_type = type(data.model_type) == "string" and data.model_type or config.model_type
  local traits = require("hone.model.traits").of(model_type)
  local layers = require("hone.model.layer_types").of(fields, traits)
  local d = dimensions(fields, traits, layers)
  local counted = require("hone.model.parameters").count(d, layers)
  if not counted then
    fields_of.refuse(("config %s: its sizes give more parameters than any model has"):format(config.path))
  end
  local list = patterns(d, layers)
  local dtype = dtype_of(config.data, data)
  local quantization = config.data.quantization_config or data.quantization_config
  return object {
    { "model", config.repo_id },
    { "model_type", config.model_type },
    { "architectures", json.array(config.architectures) },
    { "architecture_pattern", table.concat(list, " + ") },
    { "patterns", json.array(list) },
    { "language_config", nested },
    { "dtype", dtype },
    { "quantization", json.is_object(quantization) and quantization.quant_method or nil },
    {
      "dimensions",
      object {
        { "num_hidden_layers", d.layers },
        { "hidden_size", d.hidden_size },
        { "intermediate_size", d.feed_forward.intermediate_size },
        { "vocab_size", d.vocab_size },
        { "max_position_embeddings", d.max_positions },
        { "tie_word_embeddings", d.tied },
        { "num_nextn_predict_layers", d.draft_layers > 0 and d.draft_layers or nil },
      },
    },
    { "attention", attention_json(d) },
    { "indexer", indexer_json(d) },
    { "moe", moe_json(d) },
    { "linear_attention", gdn_json(d) },
    { "mamba", mamba_json(d) },
    { "derived", derived_json(d, layers, dtype) },
    { "parameters", parameters_json(counted) },
    { "layers", layers_json(layers) },
  }
end

function architecture.of(config) return fields_of.guard(read, config) end

return architecture
