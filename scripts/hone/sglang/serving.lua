--- The parallel sizes that a model is served with: from sgl-cookbook, from hone's own table, or by a rule.
local json = require "hone.json"

local M = {}

---@class hone.sglang.Setting
---@field tp integer # tensor parallel size: the ranks of a server
---@field ep integer # expert parallel size: a part of these ranks, each with experts of its own

-- ---- what the config says ------------------------------------------------------------------------------

-- A count may be 0, a size not.
local READ = {
  { "layers", "size" },
  { "hidden_size", "size" },
  { "heads", "size" },
  { "vocab_size", "size" },
  { "kv_heads", "count" },
  { "experts", "count" },
}

---What a config says of the sizes of its language model; none of it that is absurd. A few models give a list, one
---number for each layer or each kind of layer: nothing is said of those.
---@param config hone.ModelConfig
---@return { layers: integer?, hidden_size: integer?, heads: integer?, vocab_size: integer?, kv_heads: integer?, experts: integer? }? sizes
---@return string? problem
function M.sizes(config)
  local fields = require "hone.model.fields"
  return fields.guard(function()
    local of = fields.of(require("hone.model.architecture").language(config.data), config.path)
    local sizes = {}
    for _, entry in ipairs(READ) do
      local meaning, kind = entry[1], entry[2]
      local value = of:find(meaning)
      if type(value) ~= "table" then sizes[meaning] = of[kind](of, meaning) end
    end
    return sizes
  end)
end

-- Bytes that one weight takes, by the method that quantized it.
local QUANTIZED_BYTES =
  { fp8 = 1, modelopt = 1, mxfp4 = 0.6, nvfp4 = 0.6, modelopt_fp4 = 0.6, awq = 0.6, gptq = 0.6 }

local function bytes_of_weight(data)
  local quantization = data.quantization_config
  if json.is_object(quantization) then return QUANTIZED_BYTES[quantization.quant_method] or 1 end
  return (data.torch_dtype or data.dtype) == "float32" and 4 or 2
end

-- Bytes of all weights, nil when the config does not say enough.
local function weight_bytes(config)
  local about = require("hone.model.architecture").of(config)
  local total = about and about.parameters and about.parameters.total
  return type(total) == "number" and total * bytes_of_weight(config.data) or nil
end

-- ---- where settings come from --------------------------------------------------------------------------

-- Whether `name` begins `model`, up to where a word ends: "deepseek-v3" begins "deepseek-v3.1".
local function begins(model, name) return model:sub(1, #name) == name and not model:sub(#name + 1):find("^%w") end

-- The line of the table that speaks for a model.
local function line_for(config)
  local model = require("hone.dataset.tags").model_name(config.repo_id or "")
  local best
  for _, line in ipairs(require("hone.sglang.serving_settings").models) do
    if begins(model, line[1]) and (not best or #line[1] > #best[1]) then best = line end
  end
  return best
end

---The formats of the weights of experts in which there are checkpoints of a model, for a config of the model as it was
---trained; nil when only the config's own is known, or when it is quantized itself.
---@param config hone.ModelConfig
---@return string[]? formats # as `hone.sglang.experts` names them
function M.expert_formats(config)
  local line = line_for(config)
  if not (line and line.experts) or require("hone.sglang.quantization").method(config.data) then
    return nil
  end
  return line.experts
end

local function from_table(config)
  local best = line_for(config)
  if not best then return nil end
  local settings = {}
  for i = 2, #best do
    settings[i - 1] = { tp = best[i][1], ep = best[i][2] }
  end
  return settings, ("hone's serving settings for %s"):format(best[1])
end

local function from_cookbook(config, options)
  if not (options.cookbook and config.repo_id) then return nil end
  local settings, version =
    require("hone.sglang.cookbook").settings(options.cookbook, config.repo_id, options.on_warning)
  return settings, settings and ("sgl-cookbook %s"):format(version)
end

-- As few GPUs as hold the weights, a number of them that divides the heads.
local function by_rule(config)
  local gpu, sizes = require("hone.sglang.serving_settings").gpu, M.sizes(config)
  local bytes = weight_bytes(config)
  if not (sizes and bytes) then return { { tp = 1, ep = 1 } }, "no other setting is known" end
  local tp = 1
  while bytes > tp * gpu.bytes * gpu.weights and tp * 2 <= gpu.most do
    if sizes.heads and sizes.heads % (tp * 2) ~= 0 then break end
    tp = tp * 2
  end
  local source = "for %.0f GB of weights on GPUs of %.0f GB"
  return { { tp = tp, ep = 1 } }, source:format(bytes / 1e9, gpu.bytes / 1e9)
end

-- ---- what fits a model ---------------------------------------------------------------------------------

local function divisors(n, most)
  local list = {}
  for i = 1, math.min(n, most) do
    if n % i == 0 then list[#list + 1] = tostring(i) end
  end
  return table.concat(list, ", ")
end

---Why a model cannot be served with these sizes, nil when it can as far as its config tells.
---Key-value heads need not be divided: SGLang replicates them where there are more ranks.
---@param config hone.ModelConfig
---@param setting hone.sglang.Setting
---@return string? problem
function M.problem(config, setting)
  local sizes, absurd = M.sizes(config)
  if not sizes then return absurd end
  local tp, ep = setting.tp, setting.ep
  if sizes.heads and sizes.heads % tp ~= 0 then
    local message = "TP %d does not divide the %d attention heads of %s; these do: %s"
    return message:format(tp, sizes.heads, config.path, divisors(sizes.heads, 64))
  elseif tp % ep ~= 0 then
    return ("EP %d does not divide TP %d: experts are spread over the ranks of TP"):format(ep, tp)
  elseif ep > 1 and sizes.experts and sizes.experts % ep ~= 0 then
    local message = "EP %d does not divide the %d experts of %s; these do: %s"
    return message:format(ep, sizes.experts, config.path, divisors(sizes.experts, 64))
  end
end

---The settings that a model is served with by default.
---@param config hone.ModelConfig
---@param options { cookbook: string?, on_warning: fun(message: string)? }? # cookbook: a checkout of sgl-cookbook
---@return hone.sglang.Setting[] settings # at least one
---@return string source # where they come from, in words
function M.defaults(config, options)
  local settings, source = from_cookbook(config, options or {})
  if not settings then
    settings, source = from_table(config)
  end
  local kept = {}
  for _, setting in ipairs(settings or {}) do
    if not M.problem(config, setting) then kept[#kept + 1] = setting end
  end
  if #kept > 0 then return kept, source end
  return by_rule(config)
end

local function sizes(settings, which)
  local list, seen = {}, {}
  for _, setting in ipairs(settings) do
    if not seen[setting[which]] then
      seen[setting[which]] = true
      list[#list + 1] = setting[which]
    end
  end
  return list
end

-- The EP sizes to go with a TP that was asked for: the default ones that divide it.
local function default_ep(config, defaults, tp)
  local list = {}
  for _, ep in ipairs(sizes(defaults, "ep")) do
    if not M.problem(config, { tp = tp, ep = ep }) then list[#list + 1] = ep end
  end
  return #list > 0 and list or { 1 }
end

-- The TP sizes to go with an EP that was asked for: the default ones that it divides, else as many ranks.
local function default_tp(config, defaults, ep)
  local list = {}
  for _, tp in ipairs(sizes(defaults, "tp")) do
    if not M.problem(config, { tp = tp, ep = ep }) then list[#list + 1] = tp end
  end
  return #list > 0 and list or { ep }
end

local function once(list)
  local kept, seen = {}, {}
  for _, item in ipairs(list) do
    if not seen[item] then
      seen[item] = true
      kept[#kept + 1] = item
    end
  end
  return kept
end

-- Every pair of the given sizes that the model can be served with; a size that fits into none is refused.
local function pairs_of(config, tps, eps)
  local settings, problem, fits = {}, nil, { tp = {}, ep = {} }
  for _, tp in ipairs(tps) do
    for _, ep in ipairs(eps) do
      local why = M.problem(config, { tp = tp, ep = ep })
      problem = problem or why
      if not why then
        settings[#settings + 1] = { tp = tp, ep = ep }
        fits.tp[tp], fits.ep[ep] = true, true
      end
    end
  end
  for which, list in pairs { tp = tps, ep = eps } do
    for _, size in ipairs(list) do
      if not fits[which][size] then return nil, problem end
    end
  end
  return settings
end

---Settings in words: "TP 8, TP 8 EP 8".
---@param settings hone.sglang.Setting[]
---@return string
function M.text(settings)
  local parts = {}
  for i, setting in ipairs(settings) do
    parts[i] = setting.ep > 1 and ("TP %d EP %d"):format(setting.tp, setting.ep)
      or ("TP %d"):format(setting.tp)
  end
  return table.concat(parts, ", ")
end

---The settings to write definitions for: those asked for, with the defaults for what was not.
---@param config hone.ModelConfig
---@param asked { tp: integer[]?, ep: integer[]? }
---@param options { cookbook: string?, on_warning: fun(message: string)? }?
---@return hone.sglang.Setting[]? settings # each once; nil when a size that was asked for does not fit the model
---@return string source # where they come from; or why a size does not fit
function M.settings(config, asked, options)
  if asked.tp and asked.ep then
    local settings, problem = pairs_of(config, once(asked.tp), once(asked.ep))
    return settings, problem or "as asked for"
  end
  local defaults, source = M.defaults(config, options)
  if not (asked.tp or asked.ep) then return defaults, source end
  local settings = {}
  for _, size in ipairs(once(asked.tp or asked.ep)) do
    local some, problem
    if asked.tp then
      some, problem = pairs_of(config, { size }, default_ep(config, defaults, size))
    else
      some, problem = pairs_of(config, default_tp(config, defaults, size), { size })
    end
    if not some then return nil, problem end
    table.move(some, 1, #some, #settings + 1, settings)
  end
  return settings, asked.tp and "TP as asked for" or "EP as asked for"
end

return M
