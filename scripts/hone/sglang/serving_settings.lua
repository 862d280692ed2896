--- How models are served, as data: the parallel sizes that definitions are written for by default.
--
-- A line names a model as its tag does (`hone.dataset.tags`), and lists pairs of tensor and expert parallel
-- size. The longest name that begins a model's name counts, so a line without a size speaks for its family.
-- The pairs are those of SGLang's public serving guides (sgl-cookbook up to v0.5.10, the model cards) and those
-- that the dataset's own tags state. A checkout of sgl-cookbook wins over this table; a model that neither of
-- them has is served on as few GPUs as hold its weights (`gpu` below, and serving.lua).
-- `experts` names formats of the weights of experts (`hone.sglang.experts`) in which there are public checkpoints
-- of the model beside the one that is as it was trained. They are FP8 of Qwen and Meta, FP4 and FP8 of NVIDIA.
return {
  -- For the rule: memory of one GPU in bytes, the share of it that weights may take, GPUs of one node.
  gpu = { bytes = 80e9, weights = 0.8, most = 8 },

  models = {
    { "deepseek-v2", { 8, 1 } },
    { "deepseek-v2-lite", { 1, 1 } },
    { "deepseek-coder-v2-lite", { 1, 1 } },
    { "deepseek-v3", { 8, 1 }, { 8, 8 } },
    { "deepseek-r1", { 8, 1 }, { 8, 8 } },
    { "kimi-k2", { 8, 1 }, { 8, 4 } },

    { "glm-4.5", { 8, 1 }, { 8, 8 } },
    { "glm-4.5-air", { 4, 1 } },
    { "glm-4.6", { 8, 1 }, { 8, 8 } },

    { "gpt-oss-20b", { 1, 1 } },
    { "gpt-oss-120b", { 8, 1 } },

    { "llama-3.1-70b", { 4, 1 } },
    { "llama-3.3-70b", { 4, 1 } },
    { "llama-3.1-405b", { 8, 1 } },
    { "llama-4-scout", { 8, 1 }, experts = { "fp8-per-tensor", "fp4" } },
    { "llama-4-maverick", { 8, 1 }, experts = { "fp8-per-tensor", "fp4" } },

    { "minimax-m2", { 4, 1 }, { 8, 8 } },

    { "mistral-small-24b", { 2, 1 } },
    { "mistral-small-3.1-24b", { 2, 1 } },
    { "mistral-large", { 4, 1 }, { 8, 1 } },
    { "mixtral-8x7b", { 2, 1 } },
    { "mixtral-8x22b", { 2, 1 }, { 8, 1 } },

    { "nemotron-h-8b", { 1, 1 }, { 2, 1 } },
    { "nvidia-nemotron-3-nano-30b", { 1, 1 }, { 2, 1 }, { 4, 1 }, { 8, 1 } },

    { "qwen2.5-72b", { 8, 1 } },
    { "qwen3-14b", { 1, 1 }, { 2, 1 } },
    { "qwen3-32b", { 1, 1 }, { 4, 1 } },
    { "qwen3-30b-a3b", { 1, 1 }, experts = { "fp8-block", "fp8-per-tensor", "fp4" } },
    { "qwen3-235b", { 8, 1 }, { 8, 2 }, experts = { "fp8-block", "fp4" } },
    { "qwen3-next-80b", { 2, 1 }, { 4, 1 }, { 4, 4 }, experts = { "fp8-block", "fp4" } },
    { "qwen3-coder-next", { 2, 1 }, { 4, 1 } },
    { "qwen3-coder-480b", { 8, 1 } },
  },
}
