--- What a model's source is given: its config as a Python object, tensors, and the batch that forward runs on.
local python = require "hone.python"

local M = {}

-- What HuggingFace's base config class gives every config that does not say otherwise.
local CONFIG_DEFAULTS = {
  { "pad_token_id", nil },
  { "bos_token_id", nil },
  { "eos_token_id", nil },
  { "is_encoder_decoder", false },
  { "is_decoder", false },
  { "add_cross_attention", false },
  { "tie_word_embeddings", true },
  { "chunk_size_feed_forward", 0 },
  { "torch_dtype", nil },
  { "dtype", nil },
  { "architectures", nil },
}

-- ---- the model's config as a Python object ---------------------------------------------------------

local function class_that_asked(place)
  local owner = place.name:match("^(.*)%.[^.]+$")
  return owner and owner:match("[^.]*$") or place.name
end

-- transformers 5 gathers what configs say of rotary embeddings under one name.
local function rope_parameters(data)
  local json = require "hone.json"
  if data.rope_theta == nil or data.rope_parameters ~= nil then return nil end
  local gathered = json.object { { "rope_theta", data.rope_theta }, { "rope_type", "default" } }
  if json.is_object(data.rope_scaling) then
    for name, value in pairs(data.rope_scaling) do
      gathered[name == "type" and "rope_type" or name] = value
    end
  end
  return gathered
end

-- Nested configs (text_config, vision_config) are objects of their own; other objects stay dicts.
local function config_object(data, open)
  local json = require "hone.json"
  local fields = json.object()
  for name, value in pairs(data) do
    local nested = name:find("_config$") and name ~= "quantization_config" and json.is_object(value)
    fields[name] = nested and config_object(value, open) or value
  end
  fields.rope_parameters = fields.rope_parameters or rope_parameters(data)
  for _, default in ipairs(CONFIG_DEFAULTS) do
    if fields[default[1]] == nil then fields[default[1]] = default[2] == nil and json.null or default[2] end
  end
  return python.object { name = "PretrainedConfig", fields = fields, open = open }
end

-- What to say of a field that the config does not have.
local function on_missing(world, path)
  return function(name)
    local place = world:stack()[1]
    local asked = place and (", which %s asks for"):format(class_that_asked(place)) or ""
    return ("config %s has no field '%s'%s"):format(path, name, asked)
  end
end

---A model's config as SGLang's sources see it: made by the class that SGLang or transformers has for its type, or
---by the base of these classes. What an open config lacks is unknown instead.
---@param world hone.python.World
---@param config hone.ModelConfig
---@param options { package: string, transformers: string? } # the package folders of SGLang and transformers
---@return hone.python.Value? config
---@return string? message
function M.config(world, config, options)
  if config.open then return config_object(config.data, true) end
  local classes, message = require("hone.sglang.config_classes").new(world, {
    package = options.package,
    transformers = options.transformers,
    on_missing = on_missing(world, config.path),
  })
  if not classes then return nil, message end
  return classes:config(config.data)
end

-- ---- values that forward is given ------------------------------------------------------------------

-- What makes a dimension of a tensor that forward is given: how large is not known, but that it is not empty. No two
-- are known to be as large.
local function dimension()
  local function against_zero(answer)
    return function(args)
      if python.number(args[2]) == 0 then return answer end
      return python.unknown("dimension")
    end
  end
  local class = python.class("Dimension", nil, {
    __bool__ = function() return true end,
    __eq__ = against_zero(false),
    __ne__ = against_zero(true),
    __lt__ = against_zero(false),
    __le__ = against_zero(false),
    __gt__ = against_zero(true),
    __ge__ = against_zero(true),
  }, true)
  return function() return python.instance(class) end
end

-- What gives a tensor again: arithmetic, and looking at the same elements in another form.
local GIVES_TENSOR = {
  "__add__",
  "__radd__",
  "__sub__",
  "__rsub__",
  "__mul__",
  "__rmul__",
  "__truediv__",
  "__neg__",
  "add_",
  "mul_",
  "clone",
  "contiguous",
  "flatten",
  "float",
  "reshape",
  "squeeze",
  "to",
  "type_as",
  "unsqueeze",
  "view",
}

-- The class of tensors and a tensor: nothing is known of it, but that it is one, not None and not empty.
---@return hone.python.Value tensor
---@return hone.python.Value class
function M.tensor()
  local size = dimension()
  local shape = python.instance(python.class("torch.Size", nil, { __getitem__ = size }, true))
  local tensor
  local methods = {
    __bool__ = function() return python.unknown("bool(tensor)") end,
    size = function(args) return args[2] and size() or shape end,
  }
  for _, name in ipairs(GIVES_TENSOR) do
    methods[name] = function() return tensor end
  end
  local class = python.class("torch.Tensor", nil, methods, true)
  tensor = python.instance(class, { shape = shape })
  return tensor, class
end

-- What SGLang's routine for several media takes for itself; the rest it hands on to the language model.
local OWN = {
  "input_ids",
  "forward_batch",
  "language_model",
  "multimodal_model",
  "data_embedding_funcs",
  "placeholder_tokens",
  "use_deepstack",
  "feature_dtypes",
}

-- What models for several media run their language model by, for a batch that is text only: the tokens' embeddings,
-- then the language model.
local function language_part(world, tensor)
  local function run(args, kwargs)
    local batch, model = args[2] or kwargs.forward_batch, args[3] or kwargs.language_model
    for _, name in ipairs(OWN) do
      kwargs[name] = nil
    end
    world:call(world:call_method(model, "get_input_embeddings"), { tensor })
    kwargs.input_ids, kwargs.forward_batch, kwargs.input_embeds = python.none(), batch, tensor
    return world:call(model, {}, kwargs)
  end
  return python.fn("general_mm_embed_routine", run)
end

-- The base of models that SGLang takes over from transformers: a torch.nn.Module that keeps its config.
local function pretrained_model(world)
  local function keep_config(args, kwargs)
    world:set(args[1], "config", args[2] or kwargs.config or python.none())
    return python.none()
  end
  local function nothing() return python.none() end
  local methods = { __init__ = keep_config, post_init = nothing }
  return python.class("transformers.PreTrainedModel", world.externals["torch.nn.Module"], methods, true)
end

---What a model's source takes from outside of what is read, and what matters of it.
---@param world hone.python.World
---@param tensor hone.python.Value
---@return table<string, hone.python.Value> externals # by dotted name
function M.externals(world, tensor)
  local base = pretrained_model(world)
  return {
    ["sglang.srt.managers.mm_utils.general_mm_embed_routine"] = language_part(world, tensor),
    ["transformers.PreTrainedModel"] = base,
    ["transformers.modeling_utils.PreTrainedModel"] = base,
  }
end

local FORWARD_MODES = { prefill = "EXTEND", decode = "DECODE" }
local BATCH_MODULE = "sglang.srt.model_executor.forward_batch_info"

-- What a batch carries for features that are off: speculative decoding, overlap of two halves of a batch,
-- context parallelism, pictures and sound.
local OFF = {
  can_run_tbo = false,
  reuse_dsa_topk_indices = false,
  attn_cp_metadata = python.none(),
  mm_input_embeds = python.none(),
  mm_inputs = python.none(),
  mamba_track_mask = python.none(),
  residual_stream = python.none(),
  spec_info = python.none(),
  tbo_split_seq_index = python.none(),
}

---The batch of a forward pass: its mode is known, of the rest little.
---@param world hone.python.World
---@param mode "prefill"|"decode"
---@param input_ids hone.python.Value
---@param drafts boolean? # for a head that drafts tokens: it is given the hidden states of the model it drafts for
function M.forward_batch(world, mode, input_ids, drafts)
  local module = world:import(BATCH_MODULE, true)
  local modes = module and world:get(module, "ForwardMode")
  local forward_mode = modes and world:get(modes, FORWARD_MODES[mode]) or python.unknown("forward_mode")
  local fields = { forward_mode = forward_mode, input_ids = input_ids }
  for name, value in pairs(OFF) do
    fields[name] = value
  end
  if drafts then
    local hidden_states = { hidden_states = input_ids }
    fields.spec_info = python.object { name = "SpecInput", open = true, fields = hidden_states }
  end
  return python.object { name = "ForwardBatch", open = true, fields = fields }
end

return M
