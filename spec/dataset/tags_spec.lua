local tags = require "hone.dataset.tags"

describe("hone.dataset.tags", function()
  it("lists the values of a prefix", function()
    local definition = { tags = { "stage:decode", "model:a", "fused", "model:b", "models:c" } }
    assert.same({ "a", "b" }, tags.models(definition))
    assert.same({ "decode" }, tags.values(definition, "stage"))
    assert.same({}, tags.models {})
  end)

  it("adds a tag once, after the others of its prefix", function()
    local definition = { tags = { "status:verified", "model:a", "tp:1" } }
    assert.is_true(tags.add(definition, "model:b"))
    assert.is_false(tags.add(definition, "model:b"))
    assert.is_true(tags.add(definition, "fused"))
    assert.same({ "status:verified", "model:a", "model:b", "tp:1", "fused" }, definition.tags)
    assert.is_true(tags.has(definition, "model:b"))
    assert.is_false(tags.has(definition, "model:c"))
  end)

  it("adds the first tag of a definition without any", function()
    local definition = {}
    assert.is_true(tags.add(definition, "model:a"))
    assert.same({ "model:a" }, definition.tags)
  end)
end)

-- Where the dataset has a tag for the model, it is this one.
local NAMES = {
  { "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", "Llama 3.1 8B" },
  { "meta-llama/Meta-Llama-3.1-8B", "llama-3.1-8b", "Llama 3.1 8B" },
  { "meta-llama/Llama-3.2-3B", "llama-3.2-3b", "Llama 3.2 3B" },
  { "meta-llama/Llama-2-7b-chat-hf", "llama-2-7b", "Llama 2 7B" },
  { "meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout-17b-16e", "Llama 4 Scout 17B 16E" },
  { "Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b", "Qwen2.5 7B" },
  { "Qwen/Qwen2.5-14B-Instruct-1M", "qwen2.5-14b", "Qwen2.5 14B" },
  { "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b", "Qwen3 30B A3B" },
  { "Qwen/Qwen3-Next-80B-A3B-Thinking", "qwen3-next-80b-a3b", "Qwen3 Next 80B A3B" },
  { "deepseek-ai/DeepSeek-V3", "deepseek-v3", "DeepSeek V3" },
  { "deepseek-ai/DeepSeek-V3-0324", "deepseek-v3", "DeepSeek V3" },
  { "deepseek-ai/DeepSeek-V3.1", "deepseek-v3.1", "DeepSeek V3.1" },
  { "deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2", "DeepSeek V3.2" },
  { "mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b", "Mistral 7B" },
  { "mistralai/Mixtral-8x22B-v0.1", "mixtral-8x22b", "Mixtral 8x22B" },
  { "moonshotai/Kimi-K2-Instruct", "kimi-k2", "Kimi K2" },
  { "google/gemma-3-27b-it", "gemma-3-27b", "Gemma 3 27B" },
  { "nvidia/Nemotron-H-8B-Base-8K", "nemotron-h-8b", "Nemotron H 8B" },
  { "MiniMaxAI/MiniMax-M2", "minimax-m2", "MiniMax M2" },
  { "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "llama-3.1-8b", "Llama 3.1 8B" },
  { "Llama-3.1-8B-Instruct", "llama-3.1-8b", "Llama 3.1 8B" },
  { "llama-3.1-8b", "llama-3.1-8b", "Llama 3.1 8B" },
  { "deepseek_v3", "deepseek-v3", "Deepseek V3" },
  { "qwen3-30b-a3b", "qwen3-30b-a3b", "Qwen3 30B A3B" },
  { "models/llama/", "llama", "Llama" },
  { "base", "base", "Base" },
}

describe("names of models", function()
  it("drop who published a checkpoint, how it was tuned and how it is stored", function()
    for _, case in ipairs(NAMES) do
      assert.equal(case[2], tags.model_name(case[1]))
    end
  end)

  it("keep their case in sentences", function()
    for _, case in ipairs(NAMES) do
      assert.equal(case[3], tags.display_name(case[1]))
    end
  end)

  it("are not changed by being named again", function()
    for _, case in ipairs(NAMES) do
      assert.equal(case[2], tags.model_name(case[2]))
    end
  end)
end)

describe("tags.same_model", function()
  it("lets one name tell the model's size and the other not", function()
    assert.is_true(tags.same_model("qwen3-next", "qwen3-next-80b-a3b"))
    assert.is_true(tags.same_model("llama-4-scout-17b-16e", "llama-4-scout"))
    assert.is_true(tags.same_model("phi-4", "phi-4"))
  end)

  it("keeps models apart that one family has", function()
    assert.is_false(tags.same_model("glm-4.5", "glm-4.5-air"))
    assert.is_false(tags.same_model("deepseek-v3", "deepseek-v3.2"))
    assert.is_false(tags.same_model("qwen3-8b", "qwen3-80b"))
    assert.is_false(tags.same_model("llama-3.1-8b", "llama-3.1-70b"))
  end)
end)
