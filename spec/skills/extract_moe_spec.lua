-- Mixtures of experts, from SGLang's own sources: routing, formats of the weights, sizes, and what is not described.
local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local ops = require "hone.ops"
local dataset = require "support.dataset"
local sglang = require "support.sglang"

local CONFIGS = os.getenv("HONE_CONFIGS") or "../shared/hf-configs"

local FP8 =
  { quant_method = "fp8", activation_scheme = "dynamic", weight_block_size = json.array { 128, 128 } }

-- Public models whose configs are not among the shared ones: the fields that SGLang reads.
local COMMON = {
  hidden_act = "silu",
  max_position_embeddings = 32768,
  rms_norm_eps = 1e-6,
  rope_theta = 1e6,
  tie_word_embeddings = false,
  torch_dtype = "bfloat16",
  vocab_size = 151936,
}
local OTHERS = {
  ["mistralai/Mixtral-8x22B-Instruct-v0.1"] = {
    architectures = json.array { "MixtralForCausalLM" },
    model_type = "mixtral",
    hidden_size = 6144,
    intermediate_size = 16384,
    num_attention_heads = 48,
    num_key_value_heads = 8,
    num_hidden_layers = 56,
    num_local_experts = 8,
    num_experts_per_tok = 2,
    rms_norm_eps = 1e-5,
    vocab_size = 32768,
  },
  ["Qwen/Qwen1.5-MoE-A2.7B"] = {
    architectures = json.array { "Qwen2MoeForCausalLM" },
    model_type = "qwen2_moe",
    hidden_size = 2048,
    intermediate_size = 5632,
    moe_intermediate_size = 1408,
    shared_expert_intermediate_size = 5632,
    num_experts = 60,
    num_experts_per_tok = 4,
    norm_topk_prob = false,
    decoder_sparse_step = 1,
    num_attention_heads = 16,
    num_key_value_heads = 16,
    num_hidden_layers = 24,
  },
  ["deepseek-ai/DeepSeek-V2"] = {
    architectures = json.array { "DeepseekV2ForCausalLM" },
    model_type = "deepseek_v2",
    hidden_size = 5120,
    intermediate_size = 12288,
    moe_intermediate_size = 1536,
    n_routed_experts = 160,
    n_shared_experts = 2,
    num_experts_per_tok = 6,
    n_group = 8,
    topk_group = 3,
    topk_method = "group_limited_greedy",
    scoring_func = "softmax",
    norm_topk_prob = false,
    routed_scaling_factor = 16.0,
    first_k_dense_replace = 1,
    moe_layer_freq = 1,
    num_hidden_layers = 60,
    num_attention_heads = 128,
    num_key_value_heads = 128,
    kv_lora_rank = 512,
    q_lora_rank = 1536,
    qk_nope_head_dim = 128,
    qk_rope_head_dim = 64,
    v_head_dim = 128,
    vocab_size = 102400,
    rope_scaling = {
      type = "yarn",
      factor = 40,
      beta_fast = 32,
      beta_slow = 1,
      mscale = 0.707,
      mscale_all_dim = 0.707,
      original_max_position_embeddings = 4096,
    },
  },
  ["zai-org/GLM-4.5"] = {
    architectures = json.array { "Glm4MoeForCausalLM" },
    model_type = "glm4_moe",
    hidden_size = 5120,
    intermediate_size = 12288,
    moe_intermediate_size = 1536,
    n_routed_experts = 160,
    n_shared_experts = 1,
    num_experts_per_tok = 8,
    n_group = 1,
    topk_group = 1,
    norm_topk_prob = true,
    routed_scaling_factor = 2.5,
    first_k_dense_replace = 3,
    num_hidden_layers = 92,
    num_attention_heads = 96,
    num_key_value_heads = 8,
    head_dim = 128,
    partial_rotary_factor = 0.5,
    use_qk_norm = true,
    attention_bias = true,
    rms_norm_eps = 1e-5,
    vocab_size = 151552,
  },
  ["MiniMaxAI/MiniMax-M2"] = {
    architectures = json.array { "MiniMaxM2ForCausalLM" },
    model_type = "minimax_m2",
    hidden_size = 3072,
    intermediate_size = 1536,
    num_local_experts = 256,
    num_experts_per_tok = 8,
    num_hidden_layers = 62,
    num_attention_heads = 48,
    num_key_value_heads = 8,
    head_dim = 128,
    rotary_dim = 64,
    scoring_func = "sigmoid",
    use_routing_bias = true,
    use_qk_norm = true,
    qk_norm_type = "per_layer",
    vocab_size = 200064,
    quantization_config = FP8,
  },
}

local sandbox

-- The config's path: a shared one, or one of those above written down; nil and why there is none.
local function config_of(repo, more)
  local shared = fs.join(CONFIGS, repo, "config.json")
  local fields = OTHERS[repo] and COMMON or nil
  if not OTHERS[repo] and not fs.exists(shared) then return nil, "no config at " .. shared end
  if not OTHERS[repo] and not more then return fs.absolute(shared) end
  local config = OTHERS[repo] and {} or assert(json.read(shared))
  for _, list in ipairs { fields or {}, OTHERS[repo] or {}, more or {} } do
    for name, value in pairs(list) do
      config[name] = value
    end
  end
  local path = sandbox:at("configs", repo, "config.json")
  assert(json.write(path, config))
  return path
end

local function extract(model, repo, words, more)
  if not sglang.folder() then return nil, "no SGLang sources (HONE_SGLANG names them)" end
  local config, why = config_of(repo, more)
  if not config then return nil, why end
  local line = {
    "extract-kernel-definitions",
    "--model-name",
    model,
    "--config",
    config,
    "--hf-repo-id",
    repo,
    "--sglang-path",
    fs.absolute(sglang.folder()),
    "--local",
    "trace",
    "--json",
  }
  local result = sandbox:hone(table.move(words, 1, #words, #line + 1, line))
  assert.equal(0, result.status, result.stderr)
  return json.decode(result.stdout)
end

-- Definitions of an op type by name, with the number of layers that run each.
local function counts(result, op_type)
  local map = {}
  for _, entry in ipairs(result.definitions) do
    if entry.op_type == op_type then
      map[entry.name] = 0
      for _, module in ipairs(entry.modules) do
        map[entry.name] = map[entry.name] + module.count
      end
    end
  end
  return map
end

-- Why experts are listed for review.
local function reviewed(result)
  for _, remark in ipairs(result.review) do
    if remark.class == "FusedMoE" then return remark.why end
  end
end

describe("extract-kernel-definitions on mixtures of experts", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  local MODELS = {
    {
      "mixtral",
      "mistralai/Mixtral-8x7B-Instruct-v0.1",
      { "--tp", "2", "--ep", "1" },
      { trtllm_bf16_moe_topk2_e8_h4096_i14336 = 32 },
      gates = { gemm_n8_k4096 = 32 },
    },
    {
      "mixtral",
      "mistralai/Mixtral-8x22B-Instruct-v0.1",
      { "--tp", "8", "--ep", "4" },
      { trtllm_bf16_moe_topk2_e2_h6144_i16384 = 56 },
      gates = { gemm_n8_k6144 = 56 },
    },
    {
      "qwen2_moe",
      "Qwen/Qwen1.5-MoE-A2.7B",
      { "--tp", "1", "--ep", "1" },
      { trtllm_bf16_moe_default_topk4_e60_h2048_i1408 = 24 },
      gates = { gemm_n60_k2048 = 24, gemm_n11264_k2048 = 24, gemm_n2048_k5632 = 24 },
    },
    {
      "qwen2_moe",
      "Qwen/Qwen2-57B-A14B",
      { "--tp", "1", "--ep", "1" },
      { trtllm_bf16_moe_default_topk8_e64_h3584_i2560 = 28 },
      gates = { gemm_n64_k3584 = 28 },
    },
    {
      "qwen3_moe",
      "Qwen/Qwen3-30B-A3B",
      { "--tp", "1", "--ep", "1", "--expert-formats", "bf16" },
      { trtllm_bf16_moe_topk8_e128_h2048_i768 = 48 },
      gates = { gemm_n128_k2048 = 48 },
    },
    {
      "deepseek_v2",
      "deepseek-ai/DeepSeek-V3",
      { "--tp", "8", "--ep", "8" },
      { moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048 = 58 },
      gates = { gemm_n256_k7168 = 58, gemm_n4096_k7168 = 58, gemm_n7168_k2048 = 58 },
    },
    {
      "deepseek_v2",
      "moonshotai/Kimi-K2-Instruct",
      { "--tp", "8", "--ep", "1", "8" },
      {
        moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e384_h7168_i2048 = 60,
        moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e48_h7168_i2048 = 60,
      },
      gates = { gemm_n384_k7168 = 60 },
    },
    {
      "minimax_m2",
      "MiniMaxAI/MiniMax-M2",
      { "--tp", "4", "--ep", "1" },
      { moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e256_h3072_i1536 = 62 },
      gates = { gemm_n256_k3072 = 62, gemm_n8192_k3072 = 62, gemm_n3072_k6144 = 62 },
    },
    {
      "gpt_oss",
      "openai/gpt-oss-20b",
      { "--tp", "1", "--ep", "1" },
      {
        trtllm_fp4_block_scale_moe_swiglu_oa_topk4_e32_h2880_i2880 = 24,
        trtllm_fp4_block_scale_routed_moe_swiglu_oa_topk4_e32_h2880_i2880 = 24,
      },
      gates = { gemm_n32_k2880 = 24 },
    },
    {
      "glm4_moe",
      "zai-org/GLM-4.5",
      { "--tp", "8", "--ep", "8" },
      { trtllm_bf16_moe_ds_routing_topk8_ng1_kg1_e20_h5120_i1536 = 89 },
      gates = { gemm_n160_k5120 = 89, gemm_n3072_k5120 = 89 },
    },
  }
  for _, model in ipairs(MODELS) do
    local name, repo, words, wanted = table.unpack(model)
    it("finds the experts of " .. repo, function()
      local result, why = extract(name, repo, words)
      if not result then return pending(why) end
      assert.same({}, result.warnings)
      assert.same(wanted, counts(result, "moe"))
      local gemms = counts(result, "gemm")
      for gate, count in pairs(model.gates) do
        assert.equal(count, gemms[gate], gate)
      end
      assert.is_nil(reviewed(result))
    end)
  end

  it("lists experts that no kernel runs for review, with the reason", function()
    for repo, case in pairs {
      ["deepseek-ai/DeepSeek-V2"] = {
        "deepseek_v2",
        "fp8-block",
        "its groups of experts are chosen by the best of each",
      },
      ["openai/gpt-oss-20b"] = {
        "gpt_oss",
        "bf16",
        "its experts have biases and a clamped SwiGLU, which no definition describes in bf16",
      },
    } do
      local model, format, expected = table.unpack(case)
      local result, why = extract(model, repo, { "--tp", "1", "--expert-formats", format })
      if not result then return pending(why) end
      assert.same({}, counts(result, "moe"))
      assert.matches(expected, reviewed(result), 1, true)
    end
  end)

  it("takes the format of the weights from the config", function()
    for name, about in pairs {
      moe_fp8_block_scale_renorm_topk8_e128_h2048_i768 = FP8,
      trtllm_fp8_per_tensor_scale_moe_topk8_e128_h2048_i768 = {
        quant_method = "fp8",
        activation_scheme = "static",
      },
    } do
      local result, why = extract(
        "qwen3_moe",
        "Qwen/Qwen3-30B-A3B",
        { "--tp", "1", "--ep", "1" },
        { quantization_config = about }
      )
      if not result then return pending(why) end
      assert.same({ [name] = 48 }, counts(result, "moe"))
    end
  end)

  it("takes experts in FP4 for what the kernel quantizes and for what was routed before", function()
    local about =
      { quant_method = "modelopt", quant_algo = "NVFP4", group_size = 16, ignore = json.array { "lm_head" } }
    local result, why = extract(
      "qwen3_moe",
      "Qwen/Qwen3-30B-A3B",
      { "--tp", "4", "--ep", "2" },
      { quantization_config = about }
    )
    if not result then return pending(why) end
    assert.same({
      trtllm_fp4_block_scale_moe_topk8_e64_h2048_i768 = 48,
      trtllm_fp4_block_scale_routed_moe_topk8_e64_h2048_i768 = 48,
    }, counts(result, "moe"))
  end)

  it("says of experts that cannot be in a format that was asked for why not", function()
    local result, why = extract(
      "qwen3_moe",
      "Qwen/Qwen3-30B-A3B",
      { "--tp", "1", "--ep", "1", "--expert-formats", "fp8-block", "bf16" },
      { moe_intermediate_size = 800 }
    )
    if not result then return pending(why) end
    assert.same({ trtllm_bf16_moe_topk8_e128_h2048_i800 = 48 }, counts(result, "moe"))
    assert.matches(
      "intermediate_size 800 is no multiple of the 128 elements that share a scale",
      reviewed(result),
      1,
      true
    )
  end)

  it("tells how the sizes of experts came about", function()
    local result, why = extract("deepseek_v2", "deepseek-ai/DeepSeek-V3", { "--tp", "8", "--ep", "8" })
    if not result then return pending(why) end
    local name = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
    local written = assert(json.read(sandbox:at("trace/definitions/moe", name .. ".json")))
    assert.matches("n_routed_experts 256", written.axes.num_experts.description, 1, true)
    assert.matches("n_routed_experts 256", written.axes.num_local_experts.description, 1, true)
    assert.matches("/ EP 8 = 32", written.axes.num_local_experts.description, 1, true)
    assert.matches("moe_intermediate_size 2048", written.axes.intermediate_size.description, 1, true)
  end)

  it(
    "writes linear layers of FP8 as GEMMs with scales on request, and leaves those alone that are not",
    function()
      local result, why =
        extract("deepseek_v2", "deepseek-ai/DeepSeek-V3", { "--tp", "8", "--ep", "8", "--include-quantized" })
      if not result then return pending(why) end
      local gemms = counts(result, "gemm")
      assert.equal(58, gemms.gemm_n256_k7168)
      assert.equal(61, gemms.gemm_fp8_block_scale_n24576_k1536)
      assert.equal(58, gemms.gemm_fp8_block_scale_n7168_k2048)
      for name in pairs(gemms) do
        assert.truthy(name == "gemm_n256_k7168" or name:find "^gemm_fp8_block_scale_", name)
      end
    end
  )
end)

describe("the dataset's experts", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  local MODELS = {
    { "qwen3_moe", "Qwen/Qwen3-30B-A3B", "qwen3-30b-a3b", { "--tp", "1", "--ep", "1" }, 4 },
    {
      "qwen3_next",
      "Qwen/Qwen3-Next-80B-A3B-Instruct",
      "qwen3-next-80b-a3b",
      { "--tp", "4", "--ep", "4" },
      3,
    },
    { "deepseek_v2", "deepseek-ai/DeepSeek-V3", "deepseek-v3", { "--tp", "8", "--ep", "8" }, 1 },
    { "deepseek_v2", "deepseek-ai/DeepSeek-R1", "deepseek-r1", { "--tp", "8", "--ep", "8" }, 1 },
    {
      "mllama4",
      "meta-llama/Llama-4-Scout-17B-16E-Instruct",
      "llama-4-scout",
      { "--tp", "8", "--ep", "1" },
      3,
    },
  }

  -- One tag is wrong: Qwen3-Next has 512 experts, of which a rank holds 128 at EP 4, as the tags of its other
  -- formats say. The definition states EP 1.
  local function tagged(root, tag)
    local tags, found, count = require "hone.dataset.tags", {}, 0
    for _, path in ipairs(fs.glob(fs.join(root, "definitions/moe/*.json"))) do
      local definition = assert(json.read(path))
      if tags.has(definition, "model:" .. tag) then
        found[definition.name], count = definition, count + 1
      end
    end
    return found, count
  end

  for _, model in ipairs(MODELS) do
    local name, repo, tag, words, expected = table.unpack(model)
    it(("of %s are found with equal signatures"):format(tag), function()
      local trace, why = dataset.trace()
      if not trace then return pending(why) end
      -- What transformers' class of its config would fill in.
      local defaults
      if name == "mllama4" then
        local shared = json.read(fs.join(CONFIGS, repo, "config.json"))
        if not shared then return pending("no config of " .. repo) end
        defaults = { text_config = shared.text_config }
        defaults.text_config.attn_temperature_tuning = true
        defaults.text_config.floor_scale = 8192
        defaults.text_config.attn_scale = 0.1
      end
      local result
      result, why = extract(name, repo, words, defaults)
      if not result then return pending(why) end
      local theirs, count = tagged(trace, tag)
      assert.equal(expected, count)
      for definition_name, definition in pairs(theirs) do
        local path = sandbox:at("trace/definitions/moe", definition_name .. ".json")
        local ours = assert(json.read(path), definition_name .. " was not found")
        assert.equal(ops.signature(definition), (ops.signature(ours)))
      end
    end)
  end
end)
