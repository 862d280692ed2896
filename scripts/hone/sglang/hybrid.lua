--- The backend of attention that a model with Mamba2 layers runs on.
--
-- Such a layer hands itself to the backend, which runs it with its cache of states and with what it knows of the
-- batch. Both are SGLang's own classes; what the server would have filled in is given here.
local python = require "hone.python"

local M = {}

local BACKENDS = "sglang.srt.layers.attention.hybrid_linear_attn_backend"
local METADATA = "sglang.srt.layers.attention.mamba.mamba2_metadata"
local MIXER = "%.MambaMixer2$"

-- A batch of one sequence: in prefill its tokens are a prompt's, in decode one that has just been sampled.
local COUNTS = {
  prefill = { num_prefills = 1, num_prefill_tokens = 1, num_decodes = 0 },
  decode = { num_prefills = 0, num_prefill_tokens = 0, num_decodes = 1 },
}

-- An instance of a class of SGLang's, made without its constructor.
local function instance(world, module, name, fields)
  local loaded = world:import(module, true)
  local class = loaded and world:has(loaded, name) and world:get(loaded, name)
  return class and world:is_class(class) and python.instance(class, fields) or nil
end

-- What the backend knows of the batch.
local function metadata(world, mode)
  local fields = {
    mixed_metadata = mode == "prefill" and python.object { name = "MixedMetadata", open = true }
      or python.none(),
    is_target_verify = false,
    has_mamba_track_mask = false,
    track_conv_indices = python.none(),
    track_ssm_seq_idx = python.none(),
    track_ssm_end_locs = python.none(),
  }
  for _, name in ipairs { "mamba_cache_indices", "query_start_loc" } do
    fields[name] = python.unknown(name)
  end
  for name, count in pairs(COUNTS[mode]) do
    fields[name] = count
  end
  return instance(world, METADATA, "Mamba2Metadata", fields)
end

---The backend for a forward pass; nil when none of the layers is one that runs on it.
---@param world hone.python.World
---@param layers hone.sglang.Layer[]
---@param mode "prefill"|"decode"
---@return hone.python.Value?
function M.backend(world, layers, mode)
  for _, layer in ipairs(layers) do
    if layer.qualname:find(MIXER) then
      local linear = instance(world, BACKENDS, "Mamba2AttnBackend", {
        forward_metadata = metadata(world, mode),
        req_to_token_pool = python.unknown "req_to_token_pool",
        enable_unified_memory = false,
      })
      return linear and instance(world, BACKENDS, "HybridLinearAttnBackend", { linear_attn_backend = linear })
    end
  end
end

return M
