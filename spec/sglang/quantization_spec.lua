local json = require "hone.json"

describe("hone.sglang.quantization", function()
  local quantization = require "hone.sglang.quantization"

  it("tells the method from the config, ModelOpt's by its algorithm", function()
    for expected, about in pairs {
      fp8 = { quantization_config = { quant_method = "fp8" } },
      modelopt_fp4 = { quantization_config = { quant_method = "modelopt", quant_algo = "NVFP4" } },
      modelopt_fp8 = { quantization_config = { quant_algo = "FP8" } },
      mxfp4 = { text_config = { quantization_config = { quant_method = "mxfp4" } } },
      ["compressed-tensors"] = { compression_config = { quant_method = "compressed-tensors" } },
    } do
      local config = assert(json.decode(json.encode(about)))
      assert.equal(expected, (quantization.method(config)))
    end
    assert.is_nil(quantization.method(json.object()))
  end)

  it("knows the layers that a config names", function()
    local function named(text) return quantization.named_layers(assert(json.decode(text))) end
    assert.same({}, named '{"quantization_config": {"ignore": ["lm_head", "model.layers.*.mlp.gate"]}}')
    assert.same(
      { [0] = true, [125] = true },
      named '{"quantization_config": {"ignore": ["model.layers.0.mlp.gate_proj", "model.layers.125.mlp"]}}'
    )
    assert.is_true(named('{"quantization_config": {"ignore": ["re:.*layers.[0-3].*"]}}')[77])
  end)
end)
