--- What FusedMoE and TopK, SGLang's layers of a mixture of experts, say of the kernel that they run together.
local python = require "hone.python"

local M = {}

local EXPERTS = "sglang.srt.layers.moe.fused_moe_triton.layer.FusedMoE"
local ROUTING =
  { ["sglang.srt.layers.moe.topk.TopK"] = true, ["sglang.srt.layers.moe.hash_topk.HashTopK"] = true }

-- ---- which routing belongs to which experts ----------------------------------------------------------

local function is_one_of(layer, classes)
  for _, class in ipairs(layer.mro) do
    if classes[class] then return true end
  end
  return false
end

-- The module that holds a layer, by its path.
local function holder(path) return path:match("^(.*)%.[^.]+$") or "" end

---Give experts their routing: the one that is held by the same module, or by a part of it.
---@param layers hone.sglang.Layer[] # of a model, named
---@param checkpoints string[]? # formats of other checkpoints of the model
function M.pair(layers, checkpoints)
  local by_holder = {}
  for _, layer in ipairs(layers) do
    local path = is_one_of(layer, ROUTING) and holder(layer.path)
    while path and path ~= "" do
      local known = by_holder[path]
      if not known or #known.path > #layer.path then by_holder[path] = layer end
      path = path:find("%.%d+$") and "" or holder(path)
    end
  end
  for _, layer in ipairs(layers) do
    if is_one_of(layer, { [EXPERTS] = true }) then
      layer.routing, layer.checkpoints = by_holder[holder(layer.path)], checkpoints
    end
  end
end

-- ---- routing -----------------------------------------------------------------------------------------

-- Routing of DeepSeek V3: a sigmoid, a bias for the choice, groups by their two best. One group is no grouping.
local function by_sigmoid(topk, groups, kept)
  if not (groups and kept) then return nil, "the groups of its experts are not known" end
  if not topk:flag "renormalize" then
    return nil, "it does not renormalise the sigmoids of the chosen experts"
  end
  return "ds", { n_group = groups, topk_group = kept }
end

local function by_softmax(topk)
  if topk:given "correction_bias" then
    return nil, "a bias is added to its softmax, which no kernel of FlashInfer does"
  end
  return topk:flag "renormalize" and "renorm" or "default", {}
end

-- How the scores of experts are made, and what follows from it.
local function by_scores(topk)
  local scoring = topk:text "scoring_func"
  if scoring == "sigmoid" then return by_sigmoid(topk, 1, 1) end
  if scoring == "softmax" then return by_softmax(topk) end
  local why = "its experts are scored by %s, which no kernel of FlashInfer does"
  return nil, why:format(scoring or "an unknown function")
end

---How experts are chosen: the name of a routing in `hone.ops.moe`, and its parameters. With groups and a bias TopK
---takes sigmoids, whatever it is told to; with groups alone, it chooses them by their best expert.
---@param experts hone.sglang.Layer
---@return "renorm"|"default"|"ds"|"llama4"|nil way
---@return table|string params # or why it is none of these
function M.routing(experts)
  local topk = experts.routing
  if not topk then return nil, "its routing was not found" end
  if topk.qualname:find("HashTopK$") then return nil, "its experts are chosen by a hash of the token" end
  local top_k = topk:integer "top_k"
  if not top_k then return nil, "how many experts it chooses is not known" end
  if topk:given "custom_routing_function" then
    if top_k == 1 and experts:flag "apply_router_weight_on_input" then return "llama4", {} end
    return nil, "its routing is a function of the model's own"
  end
  if not topk:flag "use_grouped_topk" then return by_scores(topk) end
  local groups = topk:integer "num_expert_group"
  if topk:given "correction_bias" then return by_sigmoid(topk, groups, topk:integer "topk_group") end
  if groups == 1 then return by_scores(topk) end
  return nil, "its groups of experts are chosen by the best of each, which no kernel of FlashInfer does"
end

-- ---- formats of the weights --------------------------------------------------------------------------

---Formats by the names that users write: formats of `hone.ops.moe`.
M.FORMATS = {
  bf16 = { "bf16" },
  ["fp8-block"] = { "fp8_block_scale" },
  ["fp8-per-tensor"] = { "fp8_per_tensor_scale" },
  fp4 = { "fp4_block_scale", "fp4_block_scale_routed" },
}

-- The same for the activation of gpt-oss.
local OA_FORMATS = { fp4 = { "fp4_block_scale_oa", "fp4_block_scale_oa_routed" } }

-- SGLang's methods by name: { pattern, format }. The first that matches counts.
local METHODS = {
  { "^UnquantizedFusedMoEMethod$", "bf16" },
  { "[Ff][Pp]4", "fp4" },
  { "^ModelOptFp8", "fp8-per-tensor" },
}

local function is_block(value)
  local size = python.to_lua(value)
  return type(size) == "table" and size[1] == 128 and size[2] == 128
end

-- FP8 is one method for several kinds of scales.
local function fp8_format(method, world)
  local function attribute(name) return world:attribute(method, name) end
  if attribute "use_mxfp8" == true then
    return nil, "its experts are in MXFP8, which no definition describes yet"
  end
  if attribute "is_fp4_expert" == true then return "fp4" end
  if attribute "block_quant" ~= true then return "fp8-per-tensor" end
  local config = attribute "quant_config"
  local size = config and world:attribute(config, "weight_block_size")
  if size and is_block(size) then return "fp8-block" end
  return nil, "its scales are not of blocks of 128 x 128"
end

-- A layer's method. Where patterns of names decide whether a layer is left out of the quantization it may be one of
-- two: experts are what a checkpoint is quantized for.
local function method_of(world, value)
  local methods = {}
  for _, method in ipairs(value ~= nil and python.alternatives(value) or {}) do
    local is_plain = python.is_none(method) or world:class_name(method):find "^Unquantized"
    if not (is_plain and python.is_unknown(value)) then methods[#methods + 1] = method end
  end
  return #methods == 1 and methods[1] or nil
end

-- The format of the checkpoint whose config was read; nil and why it is none that a kernel takes.
local function own_format(experts)
  local world = experts.world
  local method = method_of(world, world:attribute(experts.instance, "quant_method"))
  if not method then return nil, "how its weights are quantized is not known" end
  local scheme = world:attribute(experts.instance, "scheme")
  local name = world:class_name(scheme and not python.is_none(scheme) and scheme or method)
  if name == "Fp8MoEMethod" then return fp8_format(method, world) end
  for _, known in ipairs(METHODS) do
    if name:find(known[1]) then return known[2] end
  end
  return nil, ("no definition describes experts whose weights are quantized by %s yet"):format(name)
end

---The formats in which experts are given to a kernel: those that are asked for, else that of the config and those of
---other checkpoints of the model.
---@param experts hone.sglang.Layer
---@param activation "swiglu"|"oa" # of `M.activation`
---@param asked string[]? # names of `FORMATS`
---@return string[]? formats # of `hone.ops.moe`
---@return string? why # there is none
function M.formats(experts, activation, asked)
  local names = asked
  if not names then
    local own, why = own_format(experts)
    if not own then return nil, why end
    names = table.move(experts.checkpoints or {}, 1, #(experts.checkpoints or {}), 2, { own })
  end
  local formats = {}
  for _, name in ipairs(names) do
    local list = activation == "oa" and OA_FORMATS[name] or activation == "swiglu" and M.FORMATS[name]
    if not list then
      return nil,
        ("its experts have biases and a clamped SwiGLU, which no definition describes in %s"):format(name)
    end
    table.move(list, 1, #list, #formats + 1, formats)
  end
  return formats
end

-- ---- activation --------------------------------------------------------------------------------------

---How the experts are activated: by a plain SwiGLU, or by that of gpt-oss with its biases.
---@param experts hone.sglang.Layer
---@return "swiglu"|"oa"|nil activation
---@return string? why # it is neither
function M.activation(experts)
  local activation = experts:text "activation"
  if experts:value "is_gated" == false then
    return nil, ("its experts have no gate (%s), which no definition describes yet"):format(activation or "?")
  end
  if activation and activation ~= "silu" then
    return nil, ("its experts are activated by %s, which no definition describes yet"):format(activation)
  end
  local biases, alpha = experts:flag "with_bias", experts:number "gemm1_alpha"
  local limit = experts:number "gemm1_clamp_limit" or experts:number "swiglu_limit"
  if biases and alpha and limit then return "oa" end
  if alpha or limit then
    local message =
      "its activation is a clamped SwiGLU (%s %g) without biases, which no definition describes yet"
    return nil, message:format(alpha and "alpha" or "limit", alpha or limit)
  end
  if biases then return nil, "its experts have biases, which no definition describes yet" end
  return "swiglu"
end

return M
