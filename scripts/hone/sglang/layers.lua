--- SGLang's layers: which op type knows them, what calling one gives, and which run no kernel that a
--- definition is written for.
local M = {}

-- Layers that are looked at as a whole, what calling them returns, and why they get no definition when no
-- op type knows them. The class named is the base: subclasses count too.
local LAYERS = {
  { "sglang.srt.layers.layernorm.RMSNorm", "norm" },
  { "sglang.srt.layers.layernorm.GemmaRMSNorm", "norm" },
  { "sglang.srt.layers.layernorm.Gemma3RMSNorm", "norm" },
  { "sglang.srt.layers.layernorm.LayerNorm", "norm" },
  { "sglang.srt.layers.linear.LinearBase", "linear" },
  { "torch.nn.Linear", "product" },
  { "sglang.srt.layers.radix_attention.RadixAttention", "tensor" },
  { "sglang.srt.layers.attention.dsa.dsa_indexer.Indexer", "selection" },
  { "sglang.srt.layers.logits_processor.LogitsProcessor", "tensor" },
  {
    "sglang.srt.layers.vocab_parallel_embedding.ParallelLMHead",
    "tensor",
    "output projection, not in the dataset",
  },
  {
    "sglang.srt.layers.vocab_parallel_embedding.VocabParallelEmbedding",
    "tensor",
    "embedding, not in the dataset",
  },
  { "sglang.srt.layers.radix_linear_attention.RadixLinearAttention", "tensor" },
  { "sglang.srt.layers.rotary_embedding.RotaryEmbedding", "pair" },
  { "sglang.srt.layers.rotary_embedding.base.RotaryEmbedding", "pair" },
  { "sglang.srt.layers.moe.fused_moe_triton.layer.FusedMoE", "experts" },
  { "sglang.srt.layers.moe.topk.TopK", "routing", "routing, part of the kernel of the experts" },
  { "sglang.srt.layers.moe.hash_topk.HashTopK", "routing", "routing, part of the kernel of the experts" },
  { "sglang.srt.layers.activation.SiluAndMul", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.activation.GeluAndMul", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.activation.ReLU2", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.activation.NewGELU", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.activation.QuickGELU", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.activation.XIELU", "tensor", "activation, not in the dataset" },
  { "sglang.srt.layers.pooler.Pooler", "tensor", "pooling, not in the dataset" },
}

local by_class
---Base classes that are looked at as a whole: qualified name to { returns, note }.
---@return table<string, { returns: "norm"|"linear"|"product"|"tensor"|"pair"|"routing"|"experts"|"selection", note: string? }>
function M.known()
  if not by_class then
    by_class = {}
    for _, layer in ipairs(LAYERS) do
      by_class[layer[1]] = { returns = layer[2], note = layer[3] }
    end
  end
  return by_class
end

---The op types that know a layer: those whose `layers` name one of its classes.
---@param mro string[] # qualified names of a layer's class and its bases
---@return { op_type: string, kernels: function }[]
function M.op_types(mro)
  local ops, found = require "hone.ops", {}
  for _, op_type in ipairs(ops.list()) do
    local layers = ops.get(op_type).layers or {}
    for _, class in ipairs(mro) do
      if layers[class] then
        found[#found + 1] = { op_type = op_type, kernels = layers[class] }
        break
      end
    end
  end
  return found
end

return M
