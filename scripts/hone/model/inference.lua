--- A field that a model's config lacks: what follows from its other fields, or what the model's name suggests.
local json = require "hone.json"

local M = {}

-- ---- what a name says ------------------------------------------------------------------------------------

---Sizes that a model's name tells: "qwen3-30b-a3b" has 30e9 parameters, 3e9 of them active.
---@param name string
---@return { total: number?, active: number? }
function M.sizes_in(name)
  local sizes = {}
  for word in name:lower():gmatch("[^-_/%s]+") do
    local active, total = word:match("^a(%d+%.?%d*)b$"), word:match("^(%d+%.?%d*)b$")
    if active then sizes.active = tonumber(active) * 1e9 end
    if total then sizes.total = tonumber(total) * 1e9 end
  end
  return sizes
end

-- ---- trying values ---------------------------------------------------------------------------------------

-- The parameters with a value for the field: all, and those of one token; nil when the config still says too little.
local function parameters(config, field, value)
  local copy = {}
  for name, one in pairs(config) do
    copy[name] = one
  end
  copy.data = json.decode(json.encode(config.data, { nan = "allow" }), { nan = true })
  require("hone.model.config").set(copy, { ("%s=%d"):format(field, value) })
  local about = require("hone.model.architecture").of(copy)
  if about then return about.parameters.total, about.parameters.active_per_token end
end

-- Where parameters grow evenly with a field: the value that gives as many as the name says, in steps of `step`.
local function solve(config, field, wanted, step)
  local at_one, at_two = parameters(config, field, step), parameters(config, field, 2 * step)
  if not at_one or not at_two or at_two <= at_one then return nil end
  local value = step * math.floor((wanted - at_one) / (at_two - at_one) + 1.5)
  if value < step then return nil end
  local total = parameters(config, field, value)
  -- Names are rounded; a value that misses by more is no better than none.
  if not total or math.abs(total - wanted) > 0.1 * wanted then return nil end
  return value
end

local function says(count, what)
  return ("with it there are about %gB %s, as the name says"):format(count / 1e9, what)
end

-- The number of experts for a token that comes closest to the active parameters that the name says.
local function solve_active(config, field, wanted)
  local best, distance
  for value = 1, 32 do
    local _, active = parameters(config, field, value)
    if not active then return nil end
    if not best or math.abs(active - wanted) < distance then
      best, distance = value, math.abs(active - wanted)
    end
  end
  return best
end

-- ---- rules -----------------------------------------------------------------------------------------------

local function integer(data, name)
  return math.type(data[name]) == "integer" and data[name] > 0 and data[name] or nil
end

local RULES = {}

function RULES.num_hidden_layers(config, data, sizes)
  for _, name in ipairs { "layer_types", "layers_block_type" } do
    if json.is_array(data[name]) then return #data[name], ("%s has as many entries"):format(name) end
  end
  local letters = data.hybrid_override_pattern
  if type(letters) == "string" then
    return #letters:gsub("|", ""), "hybrid_override_pattern has as many letters"
  end
  local value = sizes.total and solve(config, "num_hidden_layers", sizes.total, 1)
  if value then return value, says(sizes.total, "parameters"), true end
end

function RULES.hidden_size(_, data)
  local heads, head_dim = integer(data, "num_attention_heads"), integer(data, "head_dim")
  if heads and head_dim then return heads * head_dim, ("%d heads of %d"):format(heads, head_dim), true end
end

function RULES.num_attention_heads(_, data)
  local hidden_size, head_dim = integer(data, "hidden_size"), integer(data, "head_dim") or 128
  if hidden_size and hidden_size % head_dim == 0 then
    return hidden_size // head_dim, ("hidden_size %d in heads of %d"):format(hidden_size, head_dim), true
  end
end

function RULES.intermediate_size(config, _, sizes)
  local value = sizes.total and solve(config, "intermediate_size", sizes.total, 256)
  if value then return value, says(sizes.total, "parameters"), true end
end

function RULES.num_experts_per_tok(config, _, sizes)
  local value = sizes.active and solve_active(config, "num_experts_per_tok", sizes.active)
  if value then return value, says(sizes.active, "active parameters"), true end
end

---A field that a config lacks. What other fields or the name suggest is a guess: heads need not fill the hidden size,
---and a name's numbers are rounded.
---@param config hone.ModelConfig
---@param field string # that it lacks
---@param name string # of the model
---@return integer? value
---@return string? reason
---@return boolean? is_guess # likely, and no more
function M.infer(config, field, name)
  local rule = RULES[field]
  if not rule then return nil end
  local data = require("hone.model.architecture").language(config.data)
  return rule(config, data, M.sizes_in(name))
end

return M
