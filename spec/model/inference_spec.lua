local config = require "hone.model.config"
local inference = require "hone.model.inference"
local json = require "hone.json"

local function make(fields)
  local data = json.object {
    { "hidden_size", 4096 },
    { "num_hidden_layers", 32 },
    { "num_attention_heads", 32 },
    { "num_key_value_heads", 8 },
    { "head_dim", 128 },
    { "intermediate_size", 14336 },
    { "vocab_size", 128256 },
  }
  for name, value in pairs(fields) do
    if value == json.null then value = nil end
    data[name] = value
  end
  return { path = "config.json", data = data, architectures = {} }
end

describe("hone.model.inference", function()
  it("reads the sizes that a name tells", function()
    assert.same({ total = 30e9, active = 3e9 }, inference.sizes_in "Qwen/Qwen3-30B-A3B-Instruct")
    assert.same({ total = 0.5e9 }, inference.sizes_in "qwen2.5-0.5b")
    assert.same({}, inference.sizes_in "kimi-k2")
  end)

  it("is sure of a number of layers that the config has in another form", function()
    local value, reason, is_guess = inference.infer(
      make { num_hidden_layers = json.null, hybrid_override_pattern = "M-*-" },
      "num_hidden_layers",
      "x"
    )
    assert.equal(4, value)
    assert.matches("hybrid_override_pattern", reason, 1, true)
    assert.is_nil(is_guess)
  end)

  it("guesses what the name's parameters suggest, and says that it is a guess", function()
    local value, reason, is_guess =
      inference.infer(make { num_hidden_layers = json.null }, "num_hidden_layers", "new-8b")
    assert.near(32, value, 1)
    assert.matches("about 8B parameters", reason, 1, true)
    assert.is_true(is_guess)
    value, reason, is_guess =
      inference.infer(make { num_attention_heads = json.null }, "num_attention_heads", "x")
    assert.matches("heads of 128", reason, 1, true)
    assert.equal(32, value)
    assert.is_true(is_guess)
  end)

  it("leaves the config as it is", function()
    local one = make { num_hidden_layers = json.null }
    inference.infer(one, "num_hidden_layers", "new-8b")
    assert.is_nil(one.data.num_hidden_layers)
  end)

  it("does not guess what nothing suggests", function()
    assert.is_nil(inference.infer(make { num_hidden_layers = json.null }, "num_hidden_layers", "new"))
    assert.is_nil(inference.infer(make { num_hidden_layers = json.null }, "num_hidden_layers", "new-0.001b"))
    assert.is_nil(inference.infer(make { vocab_size = json.null }, "vocab_size", "new-8b"))
    local poor = make { num_hidden_layers = json.null, vocab_size = json.null }
    assert.is_nil(inference.infer(poor, "num_hidden_layers", "new-8b"))
  end)
end)

describe("hone.model.config", function()
  it("tells repositories and ids from other words", function()
    assert.is_true(config.is_repo_id "meta-llama/Llama-3.1-8B")
    for _, word in ipairs { "llama", "a/b/c", "/b", "a/", "../b", "a/b..c", "a b/c" } do
      assert.is_false(config.is_repo_id(word), word)
    end
    assert.is_true(config.is_model_name "qwen2.5-7b")
    for _, word in ipairs { "Qwen", "a_b", "-a", "a-", "a--b", "a b", "", "3b" } do
      assert.is_false(config.is_model_name(word), word)
    end
  end)

  it("gives a config fields, those of the language model where they belong", function()
    local one = make {}
    assert(config.set(one, { "num_experts=8", "hidden_act=silu", "architectures=NewForCausalLM" }))
    assert.equal(8, one.data.num_experts)
    assert.equal("silu", one.data.hidden_act)
    assert.same({ "NewForCausalLM" }, { table.unpack(one.architectures) })
    local outer = { path = "c", data = json.object { { "text_config", make({}).data } }, architectures = {} }
    assert(config.set(outer, { "vocab_size=7" }))
    assert.equal(7, outer.data.text_config.vocab_size)
    local refused, message, code = config.set(one, { "nonsense" })
    assert.is_nil(refused)
    assert.matches("NAME=VALUE", message, 1, true)
    assert.equal("usage", code)
  end)
end)
