local architecture = require "hone.model.architecture"
local config = require "hone.model.config"
local fs = require "hone.fs"
local json = require "hone.json"

local CONFIGS = os.getenv("HONE_CONFIGS") or "../shared/hf-configs"

-- A config with Llama's fields, changed by `fields`; a field that is json.null is left out.
local function make(fields)
  local data = json.object {
    { "model_type", "llama" },
    { "hidden_size", 64 },
    { "num_hidden_layers", 4 },
    { "num_attention_heads", 8 },
    { "num_key_value_heads", 2 },
    { "intermediate_size", 96 },
    { "vocab_size", 100 },
  }
  for name, value in pairs(fields or {}) do
    if value == json.null then value = nil end
    data[name] = value
  end
  return { path = "config.json", data = data, architectures = {}, model_type = data.model_type }
end

local function of(fields) return assert(architecture.of(make(fields))) end

local function mixers(about)
  local list = {}
  for i, layer in ipairs(about.layers) do
    list[i] = layer.mixer
  end
  return list
end

local function feed_forwards(about)
  local list = {}
  for i, layer in ipairs(about.layers) do
    list[i] = layer.feed_forward
  end
  return list
end

describe("hone.model.architecture", function()
  -- Totals as published: the number of elements in the checkpoints' safetensors, draft layers and vision left out.
  local PUBLISHED = {
    ["meta-llama/Llama-3.1-8B-Instruct"] = { "Standard", 8030261248 },
    ["meta-llama/Llama-3.1-70B-Instruct"] = { "Standard", 70553706496 },
    ["meta-llama/Llama-3.1-405B"] = { "Standard", 405853388800 },
    ["meta-llama/Llama-3.2-3B-Instruct"] = { "Standard", 3212749824 },
    ["Qwen/Qwen2.5-7B-Instruct"] = { "Standard", 7615616512 },
    ["Qwen/Qwen2.5-72B-Instruct"] = { "Standard", 72706203648 },
    ["Qwen/Qwen3-8B"] = { "Standard", 8190735360 },
    ["Qwen/Qwen3-32B"] = { "Standard", 32762123264 },
    ["Qwen/Qwen3-30B-A3B"] = { "MoE", 30532122624 },
    ["Qwen/Qwen3-235B-A22B"] = { "MoE", 235093634560 },
    ["mistralai/Mistral-7B-Instruct-v0.3"] = { "Standard", 7248023552 },
    ["mistralai/Mixtral-8x7B-Instruct-v0.1"] = { "MoE", 46702792704 },
    ["microsoft/phi-4"] = { "Standard", 14659507200 },
    ["google/gemma-2-9b-it"] = { "Standard", 9241705984 },
    ["openai/gpt-oss-20b"] = { "MoE", 20914757184 },
    ["openai/gpt-oss-120b"] = { "MoE", 116829156672 },
    ["deepseek-ai/DeepSeek-V3"] = { "MLA + MoE", 671026419200 },
  }
  for repo, expected in pairs(PUBLISHED) do
    it("counts " .. repo .. "'s parameters as published", function()
      local path = fs.join(CONFIGS, repo, "config.json")
      if not fs.exists(path) then pending("no " .. path) end
      local about = assert(architecture.of(assert(config.from_file(path))))
      assert.equal(expected[1], about.architecture_pattern)
      assert.equal(expected[2], about.parameters.total)
    end)
  end

  -- Where only a rounded total is published: within half a percent of it.
  local ROUNDED = {
    ["moonshotai/Kimi-K2-Instruct"] = { "MLA + MoE", 1.026e12, 32e9 },
    ["deepseek-ai/DeepSeek-V3.2"] = { "MLA + DSA + MoE", 671.9e9, 38e9 },
    ["Qwen/Qwen3-Next-80B-A3B-Instruct"] = { "Hybrid + GDN + MoE", 79.67e9, 3.9e9 },
    ["nvidia/Nemotron-H-56B-Base-8K"] = { "Hybrid + Mamba", 56.3e9, 56.3e9 },
    ["meta-llama/Llama-4-Scout-17B-16E-Instruct"] = { "MoE", 107.8e9, 17.2e9 },
    ["Qwen/Qwen2-57B-A14B"] = { "MoE", 57.4e9, 14.2e9 },
  }
  for repo, expected in pairs(ROUNDED) do
    it("counts " .. repo .. "'s parameters, all and active", function()
      local path = fs.join(CONFIGS, repo, "config.json")
      if not fs.exists(path) then pending("no " .. path) end
      local about = assert(architecture.of(assert(config.from_file(path))))
      assert.equal(expected[1], about.architecture_pattern)
      assert.near(1, about.parameters.total / expected[2], 0.005)
      assert.near(1, about.parameters.active_per_token / expected[3], 0.04)
    end)
  end

  -- Configs of families of which no file is at hand, shortened, and the published totals of their checkpoints.
  local SHORTENED = {
    gpt2 = { 124439808, { n_embd = 768, n_layer = 12, n_head = 12, vocab_size = 50257, n_positions = 1024 } },
    phi = {
      2779683840,
      {
        hidden_size = 2560,
        intermediate_size = 10240,
        num_hidden_layers = 32,
        num_attention_heads = 32,
        vocab_size = 51200,
      },
    },
    mamba = {
      129135360,
      {
        hidden_size = 768,
        num_hidden_layers = 24,
        vocab_size = 50280,
        state_size = 16,
        time_step_rank = 48,
        tie_word_embeddings = true,
      },
    },
    qwen2_moe = {
      14315784192,
      {
        hidden_size = 2048,
        num_attention_heads = 16,
        num_hidden_layers = 24,
        moe_intermediate_size = 1408,
        shared_expert_intermediate_size = 5632,
        num_experts = 60,
        num_experts_per_tok = 4,
        decoder_sparse_step = 1,
        vocab_size = 151936,
      },
    },
    deepseek_v2 = {
      15706484224,
      {
        hidden_size = 2048,
        num_attention_heads = 16,
        num_hidden_layers = 27,
        intermediate_size = 10944,
        moe_intermediate_size = 1408,
        n_routed_experts = 64,
        n_shared_experts = 2,
        num_experts_per_tok = 6,
        first_k_dense_replace = 1,
        moe_layer_freq = 1,
        kv_lora_rank = 512,
        qk_nope_head_dim = 128,
        qk_rope_head_dim = 64,
        v_head_dim = 128,
        vocab_size = 102400,
      },
    },
    gemma3_text = {
      27009346304,
      {
        hidden_size = 5376,
        num_attention_heads = 32,
        num_key_value_heads = 16,
        head_dim = 128,
        num_hidden_layers = 62,
        intermediate_size = 21504,
        vocab_size = 262208,
        sliding_window = 1024,
      },
    },
    falcon_h1 = {
      521411104,
      {
        hidden_size = 1024,
        num_attention_heads = 8,
        num_key_value_heads = 2,
        head_dim = 64,
        num_hidden_layers = 36,
        intermediate_size = 2048,
        vocab_size = 32784,
        mamba_d_ssm = 1536,
        mamba_n_heads = 24,
        mamba_d_head = 64,
        mamba_d_state = 128,
        mamba_n_groups = 1,
        mamba_d_conv = 4,
        mamba_rms_norm = false,
      },
    },
  }
  for name, case in pairs(SHORTENED) do
    it(("counts %s's parameters from its own names for sizes"):format(name), function()
      local data = json.object()
      for field, value in pairs(case[2]) do
        data[field] = value
      end
      data.model_type = data.model_type or name
      local one = { path = "config.json", data = data, architectures = {}, model_type = data.model_type }
      assert.equal(case[1], assert(architecture.of(one)).parameters.total)
    end)
  end

  it("sums by module to the total", function()
    local about = of { num_local_experts = 4, num_experts_per_tok = 2, num_nextn_predict_layers = 1 }
    local sum = 0
    for _, count in pairs(about.parameters.by_module) do
      sum = sum + count
    end
    assert.equal(about.parameters.total, sum)
    assert.equal(1, about.dimensions.num_nextn_predict_layers)
  end)

  it("counts one embedding where the head is tied to it", function()
    local apart, tied = of {}, of { tie_word_embeddings = true }
    assert.equal(apart.parameters.total - 100 * 64, tied.parameters.total)
  end)

  it("gives the bytes that a token leaves in the cache", function()
    -- keys and values, 2 heads of 8, two bytes each, four layers
    assert.equal(2 * 2 * 8 * 2 * 4, of({ torch_dtype = "bfloat16" }).derived.kv_bytes_per_token)
    assert.equal(2 * 2 * 8 * 4 * 4, of({ torch_dtype = "float32" }).derived.kv_bytes_per_token)
    local latent = of {
      kv_lora_rank = 16,
      qk_nope_head_dim = 8,
      qk_rope_head_dim = 4,
      v_head_dim = 8,
      q_lora_rank = json.null,
    }
    assert.equal((16 + 4) * 2 * 4, latent.derived.kv_bytes_per_token)
    assert.equal("MLA", latent.architecture_pattern)
  end)

  it("tells which part of the cache only a window keeps", function()
    local about = of {
      layer_types = json.array { "sliding_attention", "full_attention", "sliding_attention", "full_attention" },
      sliding_window = 16,
    }
    assert.equal(about.derived.kv_bytes_per_token // 2, about.derived.kv_bytes_per_token_in_window)
    assert.equal(16, about.attention.sliding_window)
  end)

  it("reads a multimodal config's language part, and says where it is", function()
    local inner = make().data
    local data =
      json.object { { "model_type", "seeing" }, { "vision_config", json.object() }, { "text_config", inner } }
    local about =
      assert(architecture.of { path = "c", data = data, architectures = {}, model_type = "seeing" })
    assert.equal("text_config", about.language_config)
    assert.equal(of({}).parameters.total, about.parameters.total)
  end)

  describe("tells each layer's type", function()
    it("from a list, an interval, or a pattern", function()
      local mixed = { "linear_attention", "linear_attention", "linear_attention", "full_attention" }
      local gdn = {
        linear_num_key_heads = 2,
        linear_num_value_heads = 4,
        linear_key_head_dim = 8,
        linear_value_head_dim = 8,
        full_attention_interval = 4,
      }
      assert.same(mixed, mixers(of(gdn)))
      gdn.full_attention_interval, gdn.layer_types = nil, json.array(mixed)
      assert.same(mixed, mixers(of(gdn)))
      local letters =
        of { hybrid_override_pattern = "M-*-", ssm_state_size = 16, mamba_num_heads = 4, mamba_head_dim = 8 }
      assert.same({ "mamba", json.null, "full_attention", json.null }, mixers(letters))
      assert.same({ json.null, "dense", json.null, "dense" }, feed_forwards(letters))
      assert.equal("Hybrid + Mamba", letters.architecture_pattern)
    end)

    it("from the rules for experts, all of which must agree", function()
      local experts = { n_routed_experts = 8, num_experts_per_tok = 2, first_k_dense_replace = 1 }
      assert.same({ "dense", "moe", "moe", "moe" }, feed_forwards(of(experts)))
      experts.first_k_dense_replace, experts.decoder_sparse_step = nil, 2
      assert.same({ "dense", "moe", "dense", "moe" }, feed_forwards(of(experts)))
      experts.mlp_only_layers = json.array { 3 }
      assert.same({ "dense", "moe", "dense", "dense" }, feed_forwards(of(experts)))
    end)

    it("from a sliding window, unless it is switched off", function()
      assert.same("sliding_attention", mixers(of { sliding_window = 16 })[1])
      assert.same("full_attention", mixers(of { sliding_window = 16, use_sliding_window = false })[1])
      local two = of { sliding_window = 16, model_type = "gemma2", tie_word_embeddings = true }
      assert.same(
        { "sliding_attention", "full_attention", "sliding_attention", "full_attention" },
        mixers(two)
      )
    end)
  end)

  it("says which kinds of layers it cannot count", function()
    local about = of { layer_types = json.array { "full_attention", "conv", "conv", "full_attention" } }
    assert.same({ "conv" }, about.parameters.not_counted)
  end)

  describe("refuses in one line", function()
    local function refused(fields, pattern)
      local about, message, missing = architecture.of(make(fields))
      assert.is_nil(about)
      assert.matches(pattern, message, 1, true)
      assert.is_nil(message:find("\n"))
      return missing
    end

    it("a missing field, naming it", function()
      assert.equal("hidden_size", refused({ hidden_size = json.null }, "no field 'hidden_size'"))
      assert.equal(
        "num_hidden_layers",
        refused({ num_hidden_layers = json.null }, "no field 'num_hidden_layers'")
      )
      assert.equal("vocab_size", refused({ vocab_size = json.null }, "no field 'vocab_size'"))
    end)

    it("sizes that no model has", function()
      refused({ num_hidden_layers = -3 }, "num_hidden_layers is -3")
      refused({ num_hidden_layers = 0 }, "num_hidden_layers is 0")
      refused({ hidden_size = "64" }, 'hidden_size is "64"')
      refused({ hidden_size = 64.5 }, "hidden_size is 64.5")
      assert.is_truthy(architecture.of(make { shared_expert_intermediate_size = 0 }))
      refused({ hidden_size = 1 / 0 }, "hidden_size is Infinity")
      refused({ vocab_size = 9000000000000000000 }, "more than any model has")
      refused(
        { num_hidden_layers = 10000, hidden_size = 10000000, head_dim = 8, intermediate_size = 9000000 },
        "more parameters than any model has"
      )
    end)

    it("heads that do not divide", function()
      refused({ num_key_value_heads = 3 }, "num_attention_heads 8 is not divided by num_key_value_heads 3")
      refused({ hidden_size = 65 }, "hidden_size 65 is not divided by num_attention_heads 8")
    end)

    it("lists that do not fit the number of layers", function()
      refused(
        { layer_types = json.array { "full_attention" } },
        "layer_types has 1 entries, and there are 4 layers"
      )
      refused({ hybrid_override_pattern = "M-" }, "has 2 letters, and there are 4 layers")
      refused({ hybrid_override_pattern = "M-X-" }, "hybrid_override_pattern has 'X'")
    end)
  end)
end)
