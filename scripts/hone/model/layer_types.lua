--- What each layer of a model is made of, told from its config: how it mixes tokens, and its feed-forward.
local fields_of = require "hone.model.fields"

local M = {}

-- Names that configs have for the same way of mixing tokens.
local MIXERS = {
  attention = "full_attention",
  full_attention = "full_attention",
  global = "full_attention",
  sliding_attention = "sliding_attention",
  sliding_window_attention = "sliding_attention",
  ["local"] = "sliding_attention",
  chunked_attention = "chunked_attention",
  linear_attention = "linear_attention",
  mamba = "mamba",
  mamba2 = "mamba",
}

-- The letters of hybrid_override_pattern: each is a layer that does one thing.
local LETTERS = {
  ["M"] = { mixers = { "mamba" } },
  ["*"] = { mixers = { "full_attention" } },
  ["-"] = { mixers = {}, feed_forward = "dense" },
  ["E"] = { mixers = {}, feed_forward = "moe" },
}

-- ---- mixing tokens -------------------------------------------------------------------------------------

local function from_words(fields, name, words, layers)
  if #words ~= layers then
    local message = "config %s: %s has %d entries, and there are %d layers"
    fields_of.refuse(message:format(fields.path, name, #words, layers))
  end
  return function(i) return MIXERS[words[i + 1]] or words[i + 1] end
end

local function every(period, offset, this, other)
  return function(i) return i % period == offset and this or other end
end

local function positive(fields, name)
  local value = fields:integer(name)
  return value and value > 0 and value or nil
end

-- Kimi Linear counts its layers from 1.
local function from_linear_config(fields)
  local about = fields:raw("linear_attn_config")
  if type(about) ~= "table" then return nil end
  local full = fields_of.of(about, fields.path):indexes("full_attn_layers")
  return full and function(i) return full[i + 1] and "full_attention" or "linear_attention" end
end

-- MiniMax: 1 for softmax attention, 0 for linear attention.
local function from_type_list(fields, layers)
  local list = fields:raw("attn_type_list")
  if type(list) ~= "table" or #list < layers then return nil end
  return function(i) return list[i + 1] == 0 and "linear_attention" or "full_attention" end
end

-- Layers that see a window only; nil when none does.
local function windowed(fields, traits)
  if fields:raw("attention_chunk_size") and traits.chunked_but then
    local rotary = fields:raw("no_rope_layers")
    if type(rotary) == "table" and #rotary > 0 then
      return function(i) return rotary[i + 1] == 1 and "chunked_attention" or "full_attention" end
    end
    local period = positive(fields, "no_rope_layer_interval") or traits.chunked_but
    return every(period, period - 1, "full_attention", "chunked_attention")
  end
  if not fields:count("sliding_window") or fields:raw("use_sliding_window") == false then return nil end
  local period = positive(fields, "sliding_window_pattern") or traits.window
  if period == "even" then return every(2, 0, "sliding_attention", "full_attention") end
  if period then return every(period, period - 1, "full_attention", "sliding_attention") end
  local first = fields:integer("max_window_layers") or 0
  return function(i) return i >= first and "sliding_attention" or "full_attention" end
end

-- A function from a layer's index to how it mixes tokens.
local function mixer_of(fields, traits, layers)
  for _, name in ipairs { "layer_types", "layers_block_type" } do
    local words = fields:words(name)
    if words then return from_words(fields, name, words, layers) end
  end
  local attention = fields:indexes("attn_layer_indices")
  if attention then
    return function(i) return attention[i] and "full_attention" or "mamba" end
  end
  local period = positive(fields, "attn_layer_period")
  if period then return every(period, fields:integer("attn_layer_offset") or 0, "full_attention", "mamba") end
  if traits.mamba_only then
    return function() return "mamba" end
  end
  local listed = from_linear_config(fields) or from_type_list(fields, layers)
  if listed then return listed end
  period = positive(fields, "full_attention_interval")
    or fields:optional("gdn_value_heads") and traits.full_every
  if period then return every(period, period - 1, "full_attention", "linear_attention") end
  return windowed(fields, traits) or function() return "full_attention" end
end

-- ---- feed-forward --------------------------------------------------------------------------------------

-- Whether a layer's feed-forward is a mixture of experts: every rule that the config has must agree.
local function moe_rules(fields)
  local rules = {}
  local function rule(test) rules[#rules + 1] = test end
  local function steps(name)
    local step = positive(fields, name)
    if step then rule(function(i) return (i + 1) % step == 0 end) end
  end
  local first = fields:count("dense_first")
  if first then rule(function(i) return i >= first end) end
  local dense = fields:indexes("mlp_only_layers")
  if dense then rule(function(i) return not dense[i] end) end
  local listed = fields:indexes("moe_layers")
  if listed and next(listed) then rule(function(i) return listed[i] end) end
  local frequency = fields:raw("moe_layer_freq")
  if type(frequency) == "table" then
    rule(function(i) return frequency[i + 1] == 1 end)
  elseif positive(fields, "moe_layer_freq") then
    rule(function(i) return i % frequency == 0 end)
  end
  local period = positive(fields, "expert_layer_period")
  if period then rule(every(period, fields:integer("expert_layer_offset") or 0, true, false)) end
  local from, to = fields:integer("moe_layer_start_index"), fields:integer("moe_layer_end_index")
  if from then rule(function(i) return i >= from and (not to or to < 0 or i <= to) end) end
  steps("decoder_sparse_step")
  steps("moe_layer_interval")
  if not listed then steps("interleave_moe_layer_step") end
  return rules
end

local function feed_forward_of(fields)
  local experts = fields:count("experts")
  if not experts or experts < 2 then
    return function() return "dense" end
  end
  local rules = moe_rules(fields)
  return function(i)
    for _, agrees in ipairs(rules) do
      if not agrees(i) then return "dense" end
    end
    return "moe"
  end
end

-- ---- both ----------------------------------------------------------------------------------------------

local function from_letters(fields, pattern, layers)
  local list = {}
  for letter in pattern:gmatch("[^|]") do
    local kind = LETTERS[letter]
    if not kind then
      local message = "config %s: hybrid_override_pattern has '%s' (M, *, - and E are known)"
      fields_of.refuse(message:format(fields.path, letter))
    end
    list[#list + 1] = kind
  end
  if #list ~= layers then
    local message = "config %s: hybrid_override_pattern has %d letters, and there are %d layers"
    fields_of.refuse(message:format(fields.path, #list, layers))
  end
  return list
end

---@class hone.model.LayerType
---@field mixers string[] # full_attention, sliding_attention, chunked_attention, linear_attention, mamba; or none
---@field feed_forward "dense"|"moe"|nil

---What each layer is made of, in order. Refuses (see `fields.guard`) lists that do not fit the number of layers.
---@param fields hone.model.Fields
---@param traits hone.model.Traits
---@return hone.model.LayerType[]
function M.of(fields, traits)
  local layers = fields:need("layers")
  local pattern = fields:raw("hybrid_override_pattern")
  if type(pattern) == "string" then return from_letters(fields, pattern, layers) end
  local mixer, feed_forward = mixer_of(fields, traits, layers), feed_forward_of(fields)
  local list = {}
  for i = 0, layers - 1 do
    local name = mixer(i)
    local mixers = traits.parallel_mamba and { "mamba", name } or { name }
    list[i + 1] = { mixers = mixers, feed_forward = not traits.mamba_only and feed_forward(i) or nil }
  end
  return list
end

---A layer's type in one word: "full_attention", "mamba+full_attention", "moe" where nothing mixes tokens.
---@param layer hone.model.LayerType
---@return string
function M.name(layer)
  if #layer.mixers == 0 then return layer.feed_forward or "none" end
  return table.concat(layer.mixers, "+")
end

return M
