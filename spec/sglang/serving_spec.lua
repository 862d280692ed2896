local json = require "hone.json"
local serving = require "hone.sglang.serving"

-- A config as hone.model.config reads it.
local function config(repo_id, fields)
  local data = {
    num_hidden_layers = 4,
    hidden_size = 64,
    num_attention_heads = 8,
    num_key_value_heads = 2,
    intermediate_size = 128,
    vocab_size = 100,
  }
  for name, value in pairs(fields or {}) do
    data[name] = value
  end
  return { path = "config.json", data = json.decode(json.encode(data)), repo_id = repo_id, architectures = {} }
end

local function text(settings)
  local parts = {}
  for i, setting in ipairs(settings) do
    parts[i] = setting.tp .. ":" .. setting.ep
  end
  return table.concat(parts, " ")
end

local LARGE =
  { num_hidden_layers = 80, hidden_size = 8192, intermediate_size = 28672, num_attention_heads = 64 }

describe("serving.defaults", function()
  it("takes the longest name of hone's table that begins the model's", function()
    local deepseek =
      config("deepseek-ai/DeepSeek-V3.1", { num_attention_heads = 128, n_routed_experts = 256 })
    local settings, source = serving.defaults(deepseek)
    assert.equal("8:1 8:8", text(settings))
    assert.matches("deepseek%-v3", source)
    assert.equal("4:1", text(serving.defaults(config("zai-org/GLM-4.5-Air", { num_attention_heads = 96 }))))
    assert.equal("8:1 8:8", text(serving.defaults(config("zai-org/GLM-4.5", { num_attention_heads = 96 }))))
  end)

  it("leaves out a setting that the config cannot have", function()
    local settings, source = serving.defaults(config("org/Qwen3-32B", { num_attention_heads = 6 }))
    assert.equal("1:1", text(settings))
    assert.matches("qwen3%-32b", source)
  end)

  it("serves a model that nobody named on as few GPUs as hold its weights", function()
    local settings, source = serving.defaults(config "org/unheard-of")
    assert.equal("1:1", text(settings))
    assert.matches("GB of weights", source)
    assert.equal("4:1", text(serving.defaults(config("org/unheard-of", LARGE))))
  end)

  it("counts a quantized weight as fewer bytes, and keeps to a TP that divides the heads", function()
    local quantized = { quantization_config = { quant_method = "fp8" } }
    local odd = { head_dim = 128 }
    for name, value in pairs(LARGE) do
      quantized[name], odd[name] = value, value
    end
    odd.num_attention_heads, odd.num_key_value_heads = 50, 2
    assert.equal("2:1", text(serving.defaults(config("org/unheard-of", quantized))))
    assert.equal("2:1", text(serving.defaults(config("org/unheard-of", odd))))
  end)
end)

describe("serving.settings", function()
  it("gives every pair of the sizes that were asked for and that go together", function()
    local experts = config("org/a", { num_experts = 16 })
    assert.equal("1:1 4:1 4:4", text(serving.settings(experts, { tp = { 1, 4 }, ep = { 1, 4 } })))
    assert.equal("4:1 1:1", text(serving.settings(experts, { tp = { 4, 1, 4 }, ep = { 1, 1 } })))
    assert.equal("2:1", text(serving.settings(experts, { tp = { 2, 2 } })))
  end)

  it("goes with the default EP where only TP was asked for, and the other way round", function()
    local deepseek = config("deepseek-ai/DeepSeek-V3", { num_attention_heads = 128, n_routed_experts = 256 })
    assert.equal("8:1 8:8 2:1", text(serving.settings(deepseek, { tp = { 8, 2 } })))
    assert.equal("8:8", text(serving.settings(deepseek, { ep = { 8 } })))
    assert.equal("EP as asked for", select(2, serving.settings(deepseek, { ep = { 8 } })))
    assert.equal("16:16", text(serving.settings(deepseek, { ep = { 16 } })))
  end)

  it(
    "takes more ranks than key-value heads: they are replicated",
    function() assert.equal("8:1", text(serving.settings(config "org/a", { tp = { 8 } }))) end
  )

  it("refuses a size that does not fit, with those that do", function()
    local settings, why = serving.settings(config "org/a", { tp = { 1, 3 } })
    assert.is_nil(settings)
    assert.equal("TP 3 does not divide the 8 attention heads of config.json; these do: 1, 2, 4, 8", why)
    settings, why = serving.settings(config("org/a", { num_experts = 6 }), { tp = { 4 }, ep = { 4 } })
    assert.is_nil(settings)
    assert.equal("EP 4 does not divide the 6 experts of config.json; these do: 1, 2, 3, 6", why)
    settings, why = serving.settings(config "org/a", { tp = { 2 }, ep = { 8 } })
    assert.is_nil(settings)
    assert.matches("EP 8 does not divide TP 2", why)
  end)

  it("reads the language part of a multimodal config", function()
    local nested = config("org/a", { num_attention_heads = json.null })
    nested.data.text_config = config("org/a", { num_attention_heads = 6 }).data
    local _, why = serving.settings(nested, { tp = { 4 } })
    assert.matches("the 6 attention heads", why)
  end)
end)

describe("serving.sizes", function()
  for field, value in pairs {
    num_hidden_layers = 100000000,
    hidden_size = -64,
    num_attention_heads = 0,
    vocab_size = "many",
    num_key_value_heads = 2.5,
  } do
    it(("refuses %s %s in one line that names it"):format(field, tostring(value)), function()
      local sizes, why = serving.sizes(config("org/a", { [field] = value }))
      assert.is_nil(sizes)
      assert.matches("config config.json: " .. field .. " is ", why, 1, true)
    end)
  end

  it("says nothing of a list: some models give one number for each kind of layer", function()
    local sizes =
      assert(serving.sizes(config("org/a", { num_experts = { 64, 64 }, num_key_value_heads = { 2, 4 } })))
    assert.is_nil(sizes.experts)
    assert.equal("1:1", text(serving.settings(config("org/a", { num_experts = { 64, 64 } }), { tp = { 1 } })))
  end)

  it(
    "says nothing against what a model has",
    function() assert.same(8, assert(serving.sizes(config "org/a")).heads) end
  )
end)

describe("the table of serving settings", function()
  it("has pairs of sizes that go together, and names as tags have them", function()
    local tags = require "hone.dataset.tags"
    local seen = {}
    for _, line in ipairs(require("hone.sglang.serving_settings").models) do
      assert.equal(tags.model_name(line[1]), line[1])
      assert.is_nil(seen[line[1]], line[1])
      seen[line[1]] = true
      assert.is_true(#line > 1, line[1])
      for i = 2, #line do
        assert.equal(0, line[i][1] % line[i][2], line[1])
      end
    end
  end)
end)
