--- Reading a config's fields: one meaning, the names that model families give it, and what it may be.
local json = require "hone.json"

local M = {}

-- Every name that a family uses for one thing, the most common first.
local NAMES = {
  layers = "num_hidden_layers n_layer num_layers n_layers",
  hidden_size = "hidden_size n_embd d_model dim",
  heads = "num_attention_heads n_head num_heads n_heads",
  kv_heads = "num_key_value_heads num_kv_heads n_head_kv multi_query_group_num",
  head_dim = "head_dim attention_head_dim kv_channels",
  vocab_size = "vocab_size padded_vocab_size",
  intermediate_size = "intermediate_size ffn_hidden_size n_inner ffn_dim d_ff",
  experts = "n_routed_experts num_experts num_local_experts moe_num_experts num_routed_experts",
  experts_per_token = "num_experts_per_tok num_experts_per_token experts_per_token moe_top_k moe_topk moe_k",
  expert_size = "moe_intermediate_size expert_ffn_hidden_size moe_ffn_hidden_size",
  shared_experts = "n_shared_experts num_shared_experts num_shared_expert moe_num_shared_experts",
  shared_expert_size = "shared_expert_intermediate_size moe_shared_expert_intermediate_size shared_intermediate_size",
  expert_groups = "n_group num_expert_group",
  dense_first = "first_k_dense_replace",
  draft_layers = "num_nextn_predict_layers num_mtp_modules mtp_num_hidden_layers",
  q_lora_rank = "q_lora_rank",
  kv_lora_rank = "kv_lora_rank",
  qk_nope_head_dim = "qk_nope_head_dim",
  qk_rope_head_dim = "qk_rope_head_dim",
  v_head_dim = "v_head_dim",
  index_heads = "index_n_heads",
  index_head_dim = "index_head_dim",
  index_topk = "index_topk",
  sliding_window = "sliding_window sliding_window_size attention_chunk_size",
  mamba_heads = "mamba_num_heads mamba_n_heads",
  mamba_head_dim = "mamba_head_dim mamba_d_head",
  mamba_state = "ssm_state_size mamba_d_state state_size",
  mamba_groups = "n_groups mamba_n_groups",
  mamba_conv = "conv_kernel mamba_d_conv",
  mamba_inner = "mamba_d_ssm",
  mamba_rank = "mamba_dt_rank",
  mamba_expand = "expand mamba_expand",
  gdn_key_heads = "linear_num_key_heads",
  gdn_value_heads = "linear_num_value_heads",
  gdn_key_dim = "linear_key_head_dim",
  gdn_value_dim = "linear_value_head_dim",
  gdn_conv = "linear_conv_kernel_dim",
}

-- Larger ones are mistakes; bounded like this, their products stay far from overflow.
local LARGEST = { layers = 10000, heads = 100000, kv_heads = 100000, experts = 100000 }
local LARGEST_OTHER = 10000000

local names_of = {}
for meaning, names in pairs(NAMES) do
  names_of[meaning] = {}
  for name in names:gmatch("%S+") do
    table.insert(names_of[meaning], name)
  end
end

---The name that a config most commonly has for a meaning: `num_hidden_layers` for `layers`.
---@param meaning string
---@return string
function M.name(meaning) return names_of[meaning][1] end

-- Raised by `refuse`, caught by `guard`: it is a config's mistake, not the caller's.
local Refusal = {}

---Stop reading: `guard` returns nil and this message.
---@param message string
---@param missing string? # the field that is missing
function M.refuse(message, missing) error(setmetatable({ message = message, missing = missing }, Refusal), 0) end

---Call a function that reads fields.
---@return any? result
---@return string? message
---@return string? missing # the field whose absence it is about
function M.guard(reader, ...)
  local ok, result = pcall(reader, ...)
  if ok then return result end
  if getmetatable(result) ~= Refusal then error(result, 0) end
  return nil, result.message, result.missing
end

---@class hone.model.Fields
---@field data table # the config's object that describes the language model
---@field path string # of the config, for messages
local Fields = {}
Fields.__index = Fields

---Fields of a config's object.
---@param data table
---@param path string
---@return hone.model.Fields
function M.of(data, path) return setmetatable({ data = data, path = path }, Fields) end

---The value of a field, nil for one that is absent or null.
function Fields:raw(name)
  local value = self.data[name]
  if value == json.null then return nil end
  return value
end

---A field that is true or false; other values and absence are `default`.
function Fields:flag(name, default)
  local value = self:raw(name)
  if type(value) == "boolean" then return value end
  return default or false
end

-- The value of the first name that the config has, and that name.
function Fields:find(meaning)
  for _, name in ipairs(names_of[meaning]) do
    local value = self:raw(name)
    if value ~= nil then return value, name end
  end
end

---A count that may be absent or zero.
---@param meaning string
---@return integer?
function Fields:count(meaning)
  local value, name = self:find(meaning)
  if value == nil or value == false then return nil end
  local integer = type(value) == "number" and math.tointeger(value)
  if not integer or integer < 0 then
    M.refuse(
      ("config %s: %s is %s, a count expected"):format(self.path, name, json.encode(value, { nan = "allow" }))
    )
  end
  local largest = LARGEST[meaning] or LARGEST_OTHER
  if integer > largest then
    M.refuse(("config %s: %s is %d, more than any model has (%d)"):format(self.path, name, integer, largest))
  end
  return integer
end

---A size that is at least 1, nil when it is absent.
---@param meaning string
---@return integer?
function Fields:size(meaning)
  local value = self:count(meaning)
  if value == 0 then
    local _, name = self:find(meaning)
    M.refuse(("config %s: %s is 0, a positive integer expected"):format(self.path, name))
  end
  return value
end

---A size of something that a model need not have: some configs write 0 where it has none.
---@param meaning string
---@return integer?
function Fields:optional(meaning)
  local value = self:count(meaning)
  return value ~= 0 and value or nil
end

---A size without which nothing can be said.
---@param meaning string
---@return integer
function Fields:need(meaning)
  local value = self:size(meaning)
  if value then return value end
  local name = names_of[meaning][1]
  M.refuse(("config %s has no field '%s'"):format(self.path, name), name)
end

---A list of strings, nil when the field is no such list.
function Fields:words(name)
  local value = self:raw(name)
  if not json.is_array(value) then return nil end
  for _, word in ipairs(value) do
    if type(word) ~= "string" then return nil end
  end
  return #value > 0 and value or nil
end

---A list of whole numbers as a set, nil when the field is no list.
function Fields:indexes(name)
  local value = self:raw(name)
  if not json.is_array(value) then return nil end
  local set = {}
  for _, index in ipairs(value) do
    if math.type(index) == "integer" then set[index] = true end
  end
  return set
end

---A whole number under exactly this name, nil when it is absent or something else.
function Fields:integer(name)
  local value = self:raw(name)
  return type(value) == "number" and math.tointeger(value) or nil
end

return M
