-- State space models, linear attention, rotary embeddings, and the configs that classes of SGLang's and of
-- transformers' fill in, from SGLang's own sources.
local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local ops = require "hone.ops"
local dataset = require "support.dataset"
local sglang = require "support.sglang"

local SHARED = os.getenv "HONE_CONFIGS" or "../shared/hf-configs"
local OURS = "spec/support/configs" -- of models that the shared folder lacks, as their public config.json has them

local function config_of(model)
  for _, folder in ipairs { SHARED, OURS } do
    local path = fs.join(folder, model, "config.json")
    if fs.exists(path) then return fs.absolute(path) end
  end
end

local sandbox

-- Run the skill; its result, or nil and why it cannot be run here.
local function extract(file, model, words, env)
  if not sglang.folder() then return nil, "no SGLang sources (HONE_SGLANG names them)" end
  local config = config_of(model)
  if not config then return nil, "no config of " .. model end
  local line = { "extract-kernel-definitions", "--model-name", file, "--config", config, "--local", "trace" }
  for _, word in ipairs { "--sglang-path", fs.absolute(sglang.folder()), "--json" } do
    line[#line + 1] = word
  end
  local result = sandbox:hone(table.move(words or {}, 1, #(words or {}), #line + 1, line), env)
  assert.equal(0, result.status, result.stderr)
  return json.decode(result.stdout)
end

-- How many layers run each definition.
local function counts(result)
  local map = {}
  for _, entry in ipairs(result.definitions) do
    for _, module in ipairs(entry.modules) do
      map[entry.name] = (map[entry.name] or 0) + module.count
    end
  end
  return map
end

local function remark(list, path)
  for _, entry in ipairs(list) do
    if entry.path == path then return entry end
  end
end

local function written(entry)
  return assert(json.read(sandbox:at("trace/definitions", entry.op_type, entry.name .. ".json")))
end

-- Definitions of the dataset with a tag, those of some op types, and the parallel size that they state.
local function tagged(root, tag)
  local traceset, tags = require "hone.dataset.traceset", require "hone.dataset.tags"
  local found = {}
  for _, entry in ipairs(traceset.definitions(assert(traceset.open(root)))) do
    if tags.has(entry.definition, "model:" .. tag) then found[#found + 1] = entry.definition end
  end
  return found
end

local STATE = { gdn = true, mamba_ssu = true, rope = true, gqa_ragged = true }

describe("extract-kernel-definitions finds the dataset's kernels of", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  for _, case in ipairs {
    {
      tag = "qwen3-next",
      file = "qwen3_next",
      model = "Qwen/Qwen3-Next-80B-A3B-Instruct",
      tp = 4,
      count = 3,
    },
    {
      tag = "qwen3-next-80b-a3b",
      file = "qwen3_next",
      model = "Qwen/Qwen3-Next-80B-A3B-Instruct",
      tp = 2,
      count = 1,
    },
    { tag = "nemotron-h-8b", file = "nemotron_h", model = "nvidia/Nemotron-H-8B-Base-8K", tp = 2, count = 1 },
    { tag = "minimax-m2", file = "minimax_m2", model = "MiniMaxAI/MiniMax-M2", tp = 1, count = 1 },
  } do
    it(("%s with TP %d"):format(case.tag, case.tp), function()
      local root, why = dataset.trace()
      if not root then return pending(why) end
      local words = { "--tp", tostring(case.tp), "--model-tag", case.tag }
      local result, absent = extract(case.file, case.model, words)
      if not result then return pending(absent) end
      assert.same({}, result.warnings)
      local ours = {}
      for _, entry in ipairs(result.definitions) do
        ours[entry.name] = entry
      end
      local found = 0
      for _, theirs in ipairs(tagged(root, case.tag)) do
        if STATE[theirs.op_type] then
          found = found + 1
          local entry = assert(ours[theirs.name], theirs.name .. " was not found")
          assert.equal(ops.signature(theirs), (ops.signature(written(entry))))
        end
      end
      assert.equal(case.count, found)
    end)
  end
end)

describe("extract-kernel-definitions on hybrid models", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  it("runs each kind of layer where the config's class puts it", function()
    local result, absent = extract("qwen3_next", "Qwen/Qwen3-Next-80B-A3B-Instruct", { "--tp", "1" })
    if not result then return pending(absent) end
    local map = counts(result)
    assert.equal(36, map.gdn_decode_qk16_v32_d128_k_last)
    assert.equal(36, map.gdn_mtp_qk16_v32_d128_k_last)
    assert.equal(36, map.gdn_prefill_qk16_v32_d128_k_last)
    assert.equal(12, map.gqa_paged_decode_h16_kv2_d256_ps1)
    assert.equal(12, map.rope_with_cos_sin_cache_neox_style_d256_rd64)
    assert.equal(48, map.gemm_n2048_k4096) -- out_proj of 36 layers and o_proj of 12
    assert.equal(1, map.gemma_rmsnorm_h2048) -- which scales by its weight plus one
    assert.matches(
      "weight of another kernel",
      remark(result.not_written, "model.layers.*.linear_attn.conv1d").why
    )
  end)

  it("says of each constant which fields it comes from", function()
    local words = { "--tp", "4", "--model-tag", "qwen3-next" }
    local result, absent = extract("qwen3_next", "Qwen/Qwen3-Next-80B-A3B-Instruct", words)
    if not result then return pending(absent) end
    local axes = written({ op_type = "gdn", name = "gdn_decode_qk4_v8_d128_k_last" }).axes
    assert.matches("linear_num_key_heads 16 / TP 4 = 4", axes.num_q_heads.description, 1, true)
    assert.matches("linear_num_value_heads 32 / TP 4 = 8", axes.num_v_heads.description, 1, true)
    axes = written({ op_type = "rope", name = "rope_with_cos_sin_cache_neox_style_d256_rd64" }).axes
    assert.matches("head_dim 256 * partial_rotary_factor 0.25", axes.rotary_dim.description, 1, true)
  end)

  it("follows Mamba2 layers through the backend that runs them, each layer once", function()
    local result, absent = extract("nemotron_h", "nvidia/Nemotron-H-8B-Base-8K", { "--tp", "1" })
    if not result then return pending(absent) end
    local map = counts(result)
    assert.equal(24, map.mamba_ssu_decode_h128_d64_s128_ng8)
    assert.equal(24, map.gemm_n18560_k4096) -- in_proj: gate, x, B, C and dt
    assert.equal(1, map.rmsnorm_h4096)
    assert.equal(52, map.fused_add_rmsnorm_h4096) -- 51 layers and the last norm
    assert.equal(4, map.gqa_paged_decode_h32_kv8_d128_ps1)
    assert.matches("scan over a prompt", remark(result.review, "model.layers.*.mixer").why, 1, true)
  end)

  it("divides a mixer's heads by TP, and copies a group that cannot be divided", function()
    local result, absent = extract("falcon_h1", "tiiuae/Falcon-H1-7B-Instruct", { "--tp", "2" })
    if not result then return pending(absent) end
    local map = counts(result)
    assert.equal(44, map.mamba_ssu_decode_h12_d128_s256_ng1)
    assert.equal(44, map.gqa_paged_decode_h6_kv1_d128_ps64)
    assert.equal(1, map.rmsnorm_h3072) -- though the embeddings are scaled first
    assert.equal(88, map.fused_add_rmsnorm_h3072)
  end)

  it("reads which layers are Mamba2 from a list in the config", function()
    local result, absent = extract("granitemoehybrid", "ibm-granite/granite-4.0-h-small", { "--tp", "1" })
    if not result then return pending(absent) end
    local layers = json.read(config_of "ibm-granite/granite-4.0-h-small").layer_types
    local mamba = 0
    for _, kind in ipairs(layers) do
      mamba = mamba + (kind == "mamba" and 1 or 0)
    end
    assert.equal(mamba, counts(result).mamba_ssu_decode_h128_d64_s128_ng1)
  end)

  it("does not take another linear attention for a Gated Delta Net", function()
    local result, absent = extract("kimi_linear", "moonshotai/Kimi-Linear-48B-A3B-Instruct", { "--tp", "2" })
    if not result then return pending(absent) end
    for name in pairs(counts(result)) do
      assert.is_nil(name:find "^gdn_")
    end
    local attention = remark(result.review, "model.layers.*.self_attn.attn")
    assert.equal(20, attention.count)
    assert.matches("KimiLinearCacheParams", attention.why, 1, true)
    assert.equal(7, counts(result).mla_paged_decode_h16_ckv512_kpe64_ps1)
  end)

  it("follows the head that drafts for a model", function()
    local words = { "--tp", "1", "--dry-run" }
    local result, absent = extract("qwen3_next_mtp", "Qwen/Qwen3-Next-80B-A3B-Instruct", words)
    if not result then return pending(absent) end
    assert.same({}, result.warnings)
    assert.equal("Qwen3NextForCausalLMMTP", result.class)
    assert.equal(1, counts(result).gqa_paged_decode_h16_kv2_d256_ps1)
  end)
end)

describe("extract-kernel-definitions on rotary embeddings", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  for _, case in ipairs {
    { "llama", "meta-llama/Llama-3.1-8B-Instruct", "rope_with_cos_sin_cache_neox_style_d128_rd128", 32 },
    { "minimax_m2", "MiniMaxAI/MiniMax-M2", "rope_with_cos_sin_cache_neox_style_d128_rd64", 62 },
    { "deepseek_v2", "deepseek-ai/DeepSeek-V3", "rope_with_cos_sin_cache_gptj_style_d64_rd64", 61 },
    { "gpt_oss", "openai/gpt-oss-20b", "rope_with_cos_sin_cache_neox_style_d64_rd64", 24 },
  } do
    local file, model, name, count = table.unpack(case)
    it(("finds %s in %s"):format(name, model), function()
      local result, absent = extract(file, model, { "--tp", "1", "--dry-run" })
      if not result then return pending(absent) end
      assert.equal(count, counts(result)[name])
    end)
  end
end)

describe("extract-kernel-definitions on models whose config transformers fills in", function()
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  local TRANSFORMERS = os.getenv "HONE_TRANSFORMERS"

  for _, case in ipairs {
    {
      file = "mllama4",
      model = "meta-llama/Llama-4-Scout-17B-16E-Instruct",
      expected = { gqa_paged_decode_h5_kv1_d128_ps64 = 48, rmsnorm_h128 = 36 },
      tp = 8,
    },
    {
      file = "gemma3_mm",
      model = "google/gemma-3-27b-it",
      expected = { gqa_paged_decode_h32_kv16_d128_ps1 = 10, gemm_n43008_k5376 = 62 },
      tp = 1,
    },
  } do
    it("reads the language part of " .. case.model, function()
      if not TRANSFORMERS then return pending "no transformers sources (HONE_TRANSFORMERS names them)" end
      local env = { HONE_TRANSFORMERS = fs.absolute(TRANSFORMERS) }
      local words = { "--tp", tostring(case.tp), "--dry-run" }
      local result, absent = extract(case.file, case.model, words, env)
      if not result then return pending(absent) end
      assert.same({}, result.warnings)
      local map = counts(result)
      for name, count in pairs(case.expected) do
        assert.equal(count, map[name], name)
      end
    end)
  end

  it("reads a wrapper's language model by its own type", function()
    local model = "mistralai/Mistral-Small-3.1-24B-Instruct-2503"
    local result, absent = extract("mistral", model, { "--tp", "1", "--dry-run" })
    if not result then return pending(absent) end
    assert.equal(40, counts(result).gqa_paged_decode_h32_kv8_d128_ps1)
    assert.is_nil(remark(result.review, "vision_tower"))
  end)

  it("says what may help when a field is missing", function()
    if not sglang.folder() then return pending "no SGLang sources (HONE_SGLANG names them)" end
    local result = sandbox:hone({
      "extract-kernel-definitions",
      "--model-name",
      "gemma3_mm",
      "--config",
      config_of "google/gemma-3-27b-it",
      "--sglang-path",
      fs.absolute(sglang.folder()),
      "--dry-run",
    }, { HONE_TRANSFORMERS = "" })
    assert.equal(1, result.status)
    local line = result.stderr:match "^[^\n]*"
    assert.matches("has no field 'vocab_size', which Gemma3ForConditionalGeneration asks for", line, 1, true)
    assert.matches("hone clone-repos --repos transformers", line, 1, true)
  end)
end)
