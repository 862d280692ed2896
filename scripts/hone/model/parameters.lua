--- How many parameters a model has, module by module, from its dimensions.
local M = {}

-- ---- what is counted -------------------------------------------------------------------------------------

-- A list of modules in the order of a layer. Amounts are floats, which hold whole numbers exactly up to 2^53.
local Tally = {}
Tally.__index = Tally

-- `active` is how much of it one token uses, when that is not all.
function Tally:add(module, amount, active)
  if amount == 0 then return end
  local entry = self.by_name[module]
  if not entry then
    entry = { module = module, parameters = 0.0, active = 0.0 }
    self.by_name[module] = entry
    self.modules[#self.modules + 1] = entry
  end
  entry.parameters = entry.parameters + self.times * amount
  entry.active = entry.active + self.times * (active or amount)
end

-- A projection's weight and, where it has one, its bias.
function Tally:linear(module, inputs, outputs, bias)
  self:add(module, 1.0 * inputs * outputs + (bias and outputs or 0))
end

-- ---- attention -------------------------------------------------------------------------------------------

local function grouped_query(tally, d)
  local a = d.attention
  local queries, keys = a.heads * a.head_dim, a.kv_heads * a.head_dim
  tally:linear("layers.*.self_attn.q_proj", d.hidden_size, queries * (a.output_gate and 2 or 1), a.qkv_bias)
  tally:linear("layers.*.self_attn.k_proj", d.hidden_size, keys, a.qkv_bias)
  tally:linear("layers.*.self_attn.v_proj", d.hidden_size, keys, a.qkv_bias)
  if a.qk_norm then
    tally:add("layers.*.self_attn.q_norm", a.qk_norm == "whole" and queries or a.head_dim)
    tally:add("layers.*.self_attn.k_norm", a.qk_norm == "whole" and keys or a.head_dim)
  end
  if a.sinks then tally:add("layers.*.self_attn.sinks", a.heads) end
  tally:linear("layers.*.self_attn.o_proj", queries, d.hidden_size, a.output_bias)
end

local function latent(tally, d)
  local a = d.attention
  local query = a.heads * (a.qk_nope_head_dim + a.qk_rope_head_dim)
  if a.q_lora_rank then
    tally:linear("layers.*.self_attn.q_a_proj", d.hidden_size, a.q_lora_rank, a.qkv_bias)
    tally:add("layers.*.self_attn.q_a_layernorm", a.q_lora_rank)
    tally:linear("layers.*.self_attn.q_b_proj", a.q_lora_rank, query)
  else
    tally:linear("layers.*.self_attn.q_proj", d.hidden_size, query)
  end
  local compressed = a.kv_lora_rank + a.qk_rope_head_dim
  tally:linear("layers.*.self_attn.kv_a_proj_with_mqa", d.hidden_size, compressed, a.qkv_bias)
  tally:add("layers.*.self_attn.kv_a_layernorm", a.kv_lora_rank)
  local expanded = a.heads * (a.qk_nope_head_dim + a.v_head_dim)
  tally:linear("layers.*.self_attn.kv_b_proj", a.kv_lora_rank, expanded)
  tally:linear("layers.*.self_attn.o_proj", a.heads * a.v_head_dim, d.hidden_size, a.output_bias)
end

-- DeepSeek's sparse attention chooses its tokens with an indexer of its own; its norm has a bias.
local function indexer(tally, d)
  local index = d.indexer
  local input = d.attention.q_lora_rank or d.hidden_size
  tally:linear("layers.*.self_attn.indexer.wq_b", input, index.heads * index.head_dim)
  tally:linear("layers.*.self_attn.indexer.wk", d.hidden_size, index.head_dim)
  tally:add("layers.*.self_attn.indexer.k_norm", 2 * index.head_dim)
  tally:linear("layers.*.self_attn.indexer.weights_proj", d.hidden_size, index.heads)
end

local function attention(tally, d)
  local mixer = d.attention.kind == "mla" and latent or grouped_query
  mixer(tally, d)
  if d.indexer then indexer(tally, d) end
end

-- ---- linear attention and state spaces -----------------------------------------------------------------------

local function gated_delta_net(tally, d)
  local g = d.gdn
  local keys, values = g.key_heads * g.key_dim, g.value_heads * g.value_dim
  tally:linear("layers.*.linear_attn.in_proj_qkvz", d.hidden_size, 2 * keys + 2 * values)
  tally:linear("layers.*.linear_attn.in_proj_ba", d.hidden_size, 2 * g.value_heads)
  tally:linear("layers.*.linear_attn.conv1d", g.conv_kernel, 2 * keys + values)
  tally:add("layers.*.linear_attn.A_log", g.value_heads)
  tally:add("layers.*.linear_attn.dt_bias", g.value_heads)
  tally:add("layers.*.linear_attn.norm", g.value_dim)
  tally:linear("layers.*.linear_attn.out_proj", values, d.hidden_size)
end

-- Kimi's delta attention: a decay for each channel, from a projection of low rank; so is the output's gate.
local function kimi_delta_attention(tally, d)
  local g = d.gdn
  local size = g.value_heads * g.value_dim
  for _, name in ipairs { "q", "k", "v" } do
    tally:linear("layers.*.self_attn." .. name .. "_proj", d.hidden_size, size)
    tally:linear("layers.*.self_attn." .. name .. "_conv1d", g.conv_kernel, size)
  end
  for _, name in ipairs { "f", "g" } do
    tally:linear("layers.*.self_attn." .. name .. "_a_proj", d.hidden_size, g.value_dim)
    tally:linear("layers.*.self_attn." .. name .. "_b_proj", g.value_dim, size)
  end
  tally:linear("layers.*.self_attn.b_proj", d.hidden_size, g.value_heads)
  tally:add("layers.*.self_attn.A_log", g.value_heads)
  tally:add("layers.*.self_attn.dt_bias", size)
  tally:add("layers.*.self_attn.o_norm", g.value_dim)
  tally:linear("layers.*.self_attn.o_proj", size, d.hidden_size)
end

local function mamba2(tally, d)
  local m = d.mamba
  local inner, states = m.inner_size, m.groups * m.state_size
  tally:linear("layers.*.mamba.in_proj", d.hidden_size, 2 * inner + 2 * states + m.heads, m.bias)
  tally:linear("layers.*.mamba.conv1d", m.conv_kernel, inner + 2 * states, m.conv_bias)
  tally:add("layers.*.mamba.A_log", m.heads)
  tally:add("layers.*.mamba.D", m.heads)
  tally:add("layers.*.mamba.dt_bias", m.heads)
  if m.norm then tally:add("layers.*.mamba.norm", inner) end
  tally:linear("layers.*.mamba.out_proj", inner, d.hidden_size, m.bias)
end

local function mamba1(tally, d)
  local m = d.mamba
  tally:linear("layers.*.mamba.in_proj", d.hidden_size, 2 * m.inner_size, m.bias)
  tally:linear("layers.*.mamba.conv1d", m.conv_kernel, m.inner_size, m.conv_bias)
  tally:linear("layers.*.mamba.x_proj", m.inner_size, m.rank + 2 * m.state_size)
  tally:linear("layers.*.mamba.dt_proj", m.rank, m.inner_size, true)
  tally:linear("layers.*.mamba.A_log", m.inner_size, m.state_size)
  tally:add("layers.*.mamba.D", m.inner_size)
  if m.norm then tally:add("layers.*.mamba.norms", m.rank + 2 * m.state_size) end
  tally:linear("layers.*.mamba.out_proj", m.inner_size, d.hidden_size, m.bias)
end

local function mamba(tally, d)
  local version = d.mamba.heads and mamba2 or mamba1
  version(tally, d)
end

local function linear_attention(tally, d)
  local kind = d.gdn.kind == "kda" and kimi_delta_attention or gated_delta_net
  kind(tally, d)
end

local MIXERS = {
  full_attention = { "attention", attention },
  sliding_attention = { "attention", attention },
  chunked_attention = { "attention", attention },
  linear_attention = { "gdn", linear_attention },
  mamba = { "mamba", mamba },
}

-- ---- feed-forward ----------------------------------------------------------------------------------------------

-- The size of one feed-forward, and of its biases.
local function feed_forward_size(d, intermediate, bias)
  local matrices = d.gated and 3 or 2
  local biases = bias and ((matrices - 1) * intermediate + d.hidden_size) or 0
  return 1.0 * matrices * d.hidden_size * intermediate + biases
end

local function dense(tally, d)
  local size = d.feed_forward.intermediate_size
  local bias = d.feed_forward.bias
  if d.gated then tally:linear("layers.*.mlp.gate_proj", d.hidden_size, size, bias) end
  tally:linear("layers.*.mlp.up_proj", d.hidden_size, size, bias)
  tally:linear("layers.*.mlp.down_proj", size, d.hidden_size, bias)
end

local function mixture(tally, d)
  local m = d.moe
  tally:add("layers.*.mlp.router", 1.0 * d.hidden_size * m.experts + (m.router_bias and m.experts or 0))
  local expert = feed_forward_size(d, m.expert_size, m.expert_bias)
  tally:add("layers.*.mlp.experts", m.experts * expert, math.min(m.experts, m.experts_per_token) * expert)
  if m.shared_size then tally:add("layers.*.mlp.shared_expert", feed_forward_size(d, m.shared_size)) end
  if m.shared_gate then tally:add("layers.*.mlp.shared_expert_gate", d.hidden_size) end
end

-- ---- the whole model ---------------------------------------------------------------------------------------------

local function layer(tally, d, kind, uncounted)
  for _, name in ipairs(kind.mixers) do
    local mixer = MIXERS[name]
    if mixer and d[mixer[1]] then
      mixer[2](tally, d)
    else
      uncounted[name] = true
    end
  end
  if kind.feed_forward == "moe" then mixture(tally, d) end
  if kind.feed_forward == "dense" then dense(tally, d) end
  tally:add("layers.*.norms", d.norms_per_layer * d.hidden_size * (d.norm_bias and 2 or 1))
end

---A number of parameters as people say it: "8.0B", "671.0B", "1.03T".
---@param count integer
---@return string
function M.text(count)
  if count >= 1e12 then return ("%.2fT"):format(count / 1e12) end
  if count >= 1e9 then return ("%.1fB"):format(count / 1e9) end
  return count >= 1e6 and ("%.1fM"):format(count / 1e6) or tostring(count)
end

---@class hone.model.Parameters
---@field total integer # of the language model, without draft layers
---@field active integer # of these, what one token uses
---@field modules { module: string, parameters: integer, active: integer }[]
---@field uncounted string[] # kinds of layers whose sizes are not known

---Count a model's parameters.
---@param d hone.model.Dimensions
---@param layers hone.model.LayerType[]
---@return hone.model.Parameters? parameters # nil when there are more than can be
function M.count(d, layers)
  local tally = setmetatable({ modules = {}, by_name = {}, times = 1 }, Tally)
  local uncounted = {}
  tally:add("embed_tokens", 1.0 * d.vocab_size * d.hidden_size)
  tally:add("embed_positions", 1.0 * d.positions * d.hidden_size)
  -- Layers that are alike are counted together.
  local kinds, times = {}, {}
  for _, kind in ipairs(layers) do
    local key = table.concat(kind.mixers, "+") .. "/" .. (kind.feed_forward or "")
    if not times[key] then kinds[#kinds + 1] = { key = key, kind = kind } end
    times[key] = (times[key] or 0) + 1
  end
  for _, entry in ipairs(kinds) do
    tally.times = times[entry.key]
    layer(tally, d, entry.kind, uncounted)
  end
  tally.times = 1
  tally:add("norm", d.hidden_size * (d.norm_bias and 2 or 1))
  if not d.tied then tally:linear("lm_head", d.hidden_size, d.vocab_size, d.head_bias) end

  local total, active = 0.0, 0.0
  for _, entry in ipairs(tally.modules) do
    total, active = total + entry.parameters, active + entry.active
  end
  if total > 2 ^ 53 then return nil end
  for _, entry in ipairs(tally.modules) do
    entry.parameters, entry.active = math.tointeger(entry.parameters), math.tointeger(entry.active)
  end
  local names = {}
  for name in pairs(uncounted) do
    names[#names + 1] = name
  end
  table.sort(names)
  return {
    total = math.tointeger(total),
    active = math.tointeger(active),
    modules = tally.modules,
    uncounted = names,
  }
end

return M
