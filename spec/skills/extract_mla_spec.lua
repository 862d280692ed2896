-- The latent and sparse attention of DeepSeek's models and of Kimi K2, from SGLang's own sources.
local fs = require "hone.fs"
local json = require "hone.json"
local new_sandbox = require("support.sandbox").new
local ops = require "hone.ops"
local dataset = require "support.dataset"
local sglang = require "support.sglang"

local CONFIGS = os.getenv("HONE_CONFIGS") or "../shared/hf-configs"

-- Why a model cannot be read here, nil when it can.
local function missing(config)
  if not sglang.folder() then return "no SGLang sources (HONE_SGLANG names them)" end
  local path = fs.join(CONFIGS, config, "config.json")
  if not fs.exists(path) then return "no config at " .. path end
end

-- `config` is a model's name, or a file.
local function extract(sandbox, model, config, words)
  local line = {
    "extract-kernel-definitions",
    "--model-name",
    model,
    "--config",
    fs.exists(config) and config or fs.absolute(fs.join(CONFIGS, config, "config.json")),
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

-- How many of the model's layers run each definition: by name, then by module path.
local function counts(result)
  local map = {}
  for _, entry in ipairs(result.definitions) do
    map[entry.name] = {}
    for _, module in ipairs(entry.modules) do
      map[entry.name][module.path] = module.count
    end
  end
  return map
end

-- Names of the definitions of some op types, sorted.
local function names_of(result, op_types)
  local list = {}
  for _, entry in ipairs(result.definitions) do
    if op_types[entry.op_type] then list[#list + 1] = entry.name end
  end
  table.sort(list)
  return list
end

local ATTENTION =
  { mla_paged = true, mla_ragged = true, dsa_paged = true, gqa_paged = true, gqa_ragged = true }

local function tagged(root, tag)
  local traceset, tags = require "hone.dataset.traceset", require "hone.dataset.tags"
  local set, found = assert(traceset.open(root)), {}
  for _, entry in ipairs(traceset.definitions(set)) do
    if tags.has(entry.definition, "model:" .. tag) then found[entry.definition.name] = entry.definition end
  end
  return found
end

describe("extract-kernel-definitions on models with latent attention", function()
  local sandbox
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  -- The dataset has these kernels at TP 8 and EP 8, as their tags say.
  local SIZES = { "--tp", "8", "--ep", "8" }
  local TAGGED = {
    { tag = "deepseek-v3", config = "deepseek-ai/DeepSeek-V3", count = 14 },
    { tag = "deepseek-r1", config = "deepseek-ai/DeepSeek-R1", count = 14 },
    { tag = "deepseek-v3.2", config = "deepseek-ai/DeepSeek-V3.2", count = 2 },
  }
  for _, model in ipairs(TAGGED) do
    it(("finds the %d definitions that the dataset tags %s"):format(model.count, model.tag), function()
      local trace, why = dataset.trace()
      why = why or missing(model.config)
      if why then return pending(why) end
      extract(sandbox, "deepseek_v2", model.config, { "--model-tag", model.tag, table.unpack(SIZES) })
      local found, count = tagged(sandbox:at("trace"), model.tag), 0
      for name, theirs in pairs(tagged(trace, model.tag)) do
        count = count + 1
        local ours = assert(found[name], name .. " was not found")
        assert.equal(ops.signature(theirs), (ops.signature(ours)))
      end
      assert.equal(model.count, count)
    end)
  end

  it("takes prefill without a prefix for ragged, and absorbed attention for paged", function()
    local why = missing "deepseek-ai/DeepSeek-V3"
    if why then return pending(why) end
    local result = extract(sandbox, "deepseek_v2", "deepseek-ai/DeepSeek-V3", SIZES)
    assert.same({}, result.warnings)
    assert.same({
      "mla_paged_decode_h16_ckv512_kpe64_ps1",
      "mla_paged_decode_h16_ckv512_kpe64_ps64",
      "mla_paged_prefill_causal_h16_ckv512_kpe64_ps1",
      "mla_paged_prefill_causal_h16_ckv512_kpe64_ps64",
      "mla_ragged_prefill_causal_h16_qk192_vo128",
    }, names_of(result, ATTENTION))
    local map = counts(result)
    local attention = "model.layers.*.self_attn."
    assert.same({ [attention .. "attn_mqa"] = 61 }, map.mla_paged_decode_h16_ckv512_kpe64_ps64)
    assert.same({ [attention .. "attn_mha"] = 61 }, map.mla_ragged_prefill_causal_h16_qk192_vo128)
    assert.same({ [attention .. "q_a_layernorm"] = 61 }, map.rmsnorm_h1536)
    assert.same({ [attention .. "kv_a_layernorm"] = 61 }, map.rmsnorm_h512)
    assert.same({ ["model.layers.*.input_layernorm"] = 1 }, map.rmsnorm_h7168)
    assert.same({
      ["model.layers.*.input_layernorm"] = 60,
      ["model.layers.*.post_attention_layernorm"] = 61,
      ["model.norm"] = 1,
    }, map.fused_add_rmsnorm_h7168)
    assert.same({ ["model.layers.*.mlp.gate"] = 58 }, map.gemm_n256_k7168)
    assert.same({ [attention .. "q_b_proj"] = 61 }, map.gemm_n24576_k1536)
    local written =
      json.read(sandbox:at "trace/definitions/mla_paged/mla_paged_decode_h16_ckv512_kpe64_ps1.json")
    assert.matches("num_attention_heads 128 / TP 8 = 16", written.axes.num_qo_heads.description, 1, true)
  end)

  it("divides the heads by the tensor parallel size", function()
    local why = missing "moonshotai/Kimi-K2-Instruct"
    if why then return pending(why) end
    local result =
      extract(sandbox, "deepseek_v2", "moonshotai/Kimi-K2-Instruct", { "--tp", "4", "16", "--dry-run" })
    assert.same({
      "mla_paged_decode_h16_ckv512_kpe64_ps1",
      "mla_paged_decode_h16_ckv512_kpe64_ps64",
      "mla_paged_decode_h4_ckv512_kpe64_ps1",
      "mla_paged_decode_h4_ckv512_kpe64_ps64",
      "mla_paged_prefill_causal_h16_ckv512_kpe64_ps1",
      "mla_paged_prefill_causal_h16_ckv512_kpe64_ps64",
      "mla_paged_prefill_causal_h4_ckv512_kpe64_ps1",
      "mla_paged_prefill_causal_h4_ckv512_kpe64_ps64",
      "mla_ragged_prefill_causal_h16_qk192_vo128",
      "mla_ragged_prefill_causal_h4_qk192_vo128",
    }, names_of(result, ATTENTION))
  end)

  it("reads the head that drafts for such a model with that model's config", function()
    local why = missing "deepseek-ai/DeepSeek-V3.2"
    if why then return pending(why) end
    local words = { "--tp", "8", "--ep", "8", "--page-size", "1", "--dry-run" }
    local result = extract(sandbox, "deepseek_nextn", "deepseek-ai/DeepSeek-V3.2", words)
    assert.same({}, result.warnings)
    assert.equal("DeepseekV3ForCausalLMNextN", result.class)
    assert.same({
      "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps1",
      "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64",
      "mla_ragged_prefill_causal_h16_qk192_vo128",
    }, names_of(result, ATTENTION))
    assert.same({ ["model.eh_proj"] = 1 }, counts(result).gemm_n7168_k14336)
  end)

  it(
    "finds the indexer and sparse attention of a model that has them, and no dense one over the cache",
    function()
      local why = missing "deepseek-ai/DeepSeek-V3.2"
      if why then return pending(why) end
      local result = extract(sandbox, "deepseek_v2", "deepseek-ai/DeepSeek-V3.2", SIZES)
      assert.same({}, result.warnings)
      assert.same({
        "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps1",
        "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64",
        "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64",
        "mla_ragged_prefill_causal_h16_qk192_vo128", -- short prompts
      }, names_of(result, ATTENTION))
      local map = counts(result)
      assert.same(
        { ["model.layers.*.self_attn.indexer"] = 61 },
        map.dsa_topk_indexer_fp8_h64_d128_topk2048_ps64
      )
      assert.same({ ["model.layers.*.self_attn.indexer.weights_proj"] = 61 }, map.gemm_n64_k7168)
      assert.same({ ["model.layers.*.self_attn.indexer.wq_b"] = 61 }, map.gemm_n8192_k1536)
    end
  )
end)

describe("extract-kernel-definitions on models with other forms of attention", function()
  local sandbox
  before_each(function() sandbox = new_sandbox() end)
  after_each(function() sandbox:close() end)

  local FORMS = {
    {
      what = "alternating windows, soft caps on all layers",
      model = "gemma2",
      config = "google/gemma-2-9b-it",
      layers = {
        gqa_paged_decode_h16_kv8_d256_ps1_softcap50 = 21,
        gqa_paged_decode_h16_kv8_d256_ps1_window4096_softcap50 = 21,
        gqa_ragged_prefill_causal_h16_kv8_d256_window4096_softcap50 = 21,
      },
      count = 6,
    },
    {
      what = "alternating windows, sinks on all layers",
      model = "gpt_oss",
      config = "openai/gpt-oss-20b",
      layers = {
        gqa_paged_decode_h64_kv8_d64_ps1_sink = 12,
        gqa_paged_prefill_causal_h64_kv8_d64_ps1_window128_sink = 12,
      },
      count = 4,
    },
    {
      what = "a config whose window is off",
      model = "phi3",
      config = "microsoft/phi-4",
      layers = { gqa_paged_decode_h40_kv10_d128_ps1 = 40 },
      count = 3,
    },
  }
  for _, case in ipairs(FORMS) do
    it("finds " .. case.what, function()
      local why = missing(case.config)
      if why then return pending(why) end
      local words = { "--tp", "1", "--ep", "1", "--page-size", "1", "--dry-run" }
      local result = extract(sandbox, case.model, case.config, words)
      assert.same({}, result.warnings)
      local map = counts(result)
      for name, layers in pairs(case.layers) do
        assert.same({ ["model.layers.*.self_attn.attn"] = layers }, map[name], name)
      end
      assert.equal(case.count, #names_of(result, ATTENTION))
    end)
  end

  it("takes chunked local attention for the plain kernel that it runs, chunk by chunk", function()
    local config = "meta-llama/Llama-4-Scout-17B-16E-Instruct"
    local why = missing(config)
    if why then return pending(why) end
    -- What this revision of the config leaves to the defaults of its class.
    local data = json.read(fs.join(CONFIGS, config, "config.json"))
    for name, value in pairs { attn_temperature_tuning = true, floor_scale = 8192, attn_scale = 0.1 } do
      if data.text_config[name] == nil then data.text_config[name] = value end
    end
    assert(json.write(sandbox:at "config.json", data))
    local words = { "--tp", "8", "--ep", "1", "--page-size", "64", "--dry-run" }
    local result = extract(sandbox, "mllama4", sandbox:at "config.json", words)
    assert.same({
      "gqa_paged_decode_h5_kv1_d128_ps64",
      "gqa_paged_prefill_causal_h5_kv1_d128_ps64",
      "gqa_ragged_prefill_causal_h5_kv1_d128",
    }, names_of(result, ATTENTION))
  end)

  it("replicates key-value heads where there are fewer of them than ranks", function()
    local config = "meta-llama/Llama-3.1-70B-Instruct"
    local why = missing(config)
    if why then return pending(why) end
    local words = { "--tp", "16", "--page-size", "1", "--dry-run" }
    local result = extract(sandbox, "llama", config, words)
    assert.same({
      "gqa_paged_decode_h4_kv1_d128_ps1",
      "gqa_paged_prefill_causal_h4_kv1_d128_ps1",
      "gqa_ragged_prefill_causal_h4_kv1_d128",
    }, names_of(result, ATTENTION))
    assert.is_truthy(counts(result).gemm_n10240_k8192)
  end)
end)
