--- What transformers' model classes fix for a family, where a config cannot say it or leaves it out.
-- Sources: the modelling and configuration files of huggingface/transformers, by model_type.
local M = {}

---@class hone.model.Traits
---@field tied boolean? # tie_word_embeddings where the config does not say
---@field qkv_bias boolean? # queries, keys and values have biases
---@field output_bias boolean? # false: attention_bias leaves the output projection out
---@field qk_norm "head"|"whole"|"none"|nil # weights of the norms of queries and keys: one head's, all heads', or none
---@field norms integer? # norms of hidden_size in a layer: 2 unless given
---@field norm_bias boolean? # norms have a bias too
---@field gated boolean? # false: the feed-forward has two matrices instead of three
---@field bias boolean? # every projection has a bias
---@field router_bias boolean? # the router has a bias, or a correction, for each expert
---@field expert_bias boolean? # the experts' projections have biases
---@field sinks boolean? # attention has a sink for each head
---@field output_gate boolean? # attention's queries come with a gate of the same size
---@field shared_gate boolean? # the shared expert has a gate of its own
---@field one_shared_expert boolean? # there is a shared expert, of the size of the others
---@field window "even"|integer|nil # which layers slide: the even ones, or all but each n-th
---@field full_every integer? # every so many layers attention is full, else linear
---@field chunked_but integer? # every so many layers attention is full, else chunked
---@field parallel_mamba boolean? # attention and Mamba side by side in each layer
---@field mamba_only boolean? # no attention at all
---@field positions boolean? # positions are embedded too
---@field head_bias boolean? # the output projection has a bias
---@field mamba_norm boolean? # false: Mamba's output is not normalized

local TRAITS = {
  {
    "qwen2 qwen2_moe qwen2_vl qwen2_vl_text qwen2_5_vl qwen2_5_vl_text qwen2_audio",
    { qkv_bias = true, output_bias = false },
  },
  { "qwen2_moe", { shared_gate = true } },
  { "qwen3 qwen3_moe qwen3_vl_text qwen3_vl_moe_text qwen3_omni_moe_text", { qk_norm = "head" } },
  {
    "qwen3_next qwen3_5_text qwen3_5_moe_text",
    { qk_norm = "head", output_gate = true, shared_gate = true, full_every = 4 },
  },
  { "gemma gemma2 gemma3 gemma3_text cohere cohere2 gpt2 gpt_bigcode bloom opt falcon mpt", { tied = true } },
  { "gemma2", { norms = 4, window = "even" } },
  { "gemma3 gemma3_text", { norms = 4, qk_norm = "head", window = 6 } },
  { "glm glm4", { output_bias = false } },
  { "glm4", { norms = 4 } },
  { "glm4_moe", { output_bias = false, router_bias = true } },
  { "cohere cohere2 gpt_neox phi gptj", { norms = 1 } },
  { "cohere2", { window = 4 } },
  { "olmo2 olmo3", { qk_norm = "whole" } },
  { "minimax_m2", { qk_norm = "whole" } },
  { "gpt2 gpt_bigcode opt phi starcoder2 gpt_neox", { gated = false, norm_bias = true, bias = true } },
  { "gpt2 gpt_bigcode opt", { positions = true } },
  { "phi", { head_bias = true } },
  { "falcon", { gated = false, norm_bias = true, norms = 1 } },
  { "nemotron", { gated = false, norm_bias = true } },
  { "nemotron_h", { gated = false, norms = 1 } },
  { "arcee", { gated = false } },
  { "gpt_oss", { router_bias = true, expert_bias = true, sinks = true } },
  { "llama4 llama4_text", { one_shared_expert = true, chunked_but = 4, qk_norm = "none" } },
  { "falcon_h1", { parallel_mamba = true } },
  { "mamba mamba2 falcon_mamba", { mamba_only = true, norms = 1 } },
}

---What a family fixes.
---@param model_type string?
---@return hone.model.Traits
function M.of(model_type)
  local traits = {}
  for _, entry in ipairs(TRAITS) do
    for name in entry[1]:gmatch("%S+") do
      if name == model_type then
        for trait, value in pairs(entry[2]) do
          traits[trait] = value
        end
      end
    end
  end
  return traits
end

return M
