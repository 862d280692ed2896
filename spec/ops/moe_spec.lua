local json = require "hone.json"
local ops = require "hone.ops"
local with = require "support.with"

local SIZES = { hidden_size = 1024, intermediate_size = 512 }

local function params(more) return with({ top_k = 8, num_experts = 64 }, SIZES, more or {}) end

local function grouped(more)
  return with(params { num_experts = 256, num_local_experts = 32, n_group = 8, topk_group = 4 }, more or {})
end

local function build(variant, all) return ops.build("moe", variant, all) end

describe("experts", function()
  it("are named by the routing where the dataset's names show it", function()
    local blocks = params { num_local_experts = 64 }
    blocks.num_experts = nil
    for variant, name in pairs {
      fp8_block_scale_renorm = "moe_fp8_block_scale_renorm_topk8_e64_h1024_i512",
      fp8_block_scale_default = "moe_fp8_block_scale_default_topk8_e64_h1024_i512",
    } do
      assert.equal(name, build(variant, blocks).name)
      local op_type, found, all = ops.parse(name)
      assert.same({ "moe", variant, blocks }, { op_type, found, all })
    end
    assert.equal(
      "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h1024_i512",
      build("fp8_block_scale_ds", grouped()).name
    )
  end)

  it("of one choice are routed as Llama 4 does, unless the name says otherwise", function()
    local one = params { top_k = 1 }
    assert.equal("trtllm_bf16_moe_topk1_e64_h1024_i512", build("bf16_llama4", one).name)
    assert.equal("trtllm_bf16_moe_renorm_topk1_e64_h1024_i512", build("bf16_renorm", one).name)
    assert.equal("bf16_llama4", select(2, ops.parse "trtllm_bf16_moe_topk1_e64_h1024_i512"))
    assert.equal("bf16_renorm", select(2, ops.parse "trtllm_bf16_moe_renorm_topk1_e64_h1024_i512"))
    assert.equal("bf16_renorm", select(2, ops.parse "trtllm_bf16_moe_topk2_e64_h1024_i512"))
  end)

  it("without groups have top_k among their axes, as the dataset writes them", function()
    assert.is_nil(build("fp8_block_scale_ds", grouped()).axes.top_k)
    local ungrouped = build("fp8_block_scale_ds", grouped { n_group = 1, topk_group = 1 })
    assert.equal(8, ungrouped.axes.top_k.value)
    assert.is_nil(ungrouped.reference:find("dropped", 1, true))
  end)

  it("with the same inputs and another routing are another kernel", function()
    local signatures = {}
    for _, way in ipairs { "renorm", "default" } do
      local definition = build("bf16_" .. way, params())
      signatures[way] = ops.signature(definition)
      assert.same({}, select(2, ops.signature(definition)).unknown)
    end
    assert.not_equal(signatures.renorm, signatures.default)
  end)

  it("in other groups are another kernel", function()
    local one, other = build("bf16_ds", grouped()), build("bf16_ds", grouped { topk_group = 2 })
    assert.same(json.keys(one.axes), json.keys(other.axes))
    assert.not_equal(ops.signature(one), (ops.signature(other)))
  end)

  it("take their arguments in the order of the inputs", function()
    for _, variant in ipairs(ops.variants "moe") do
      local all = variant:find "_ds" and grouped() or params { top_k = variant:find "llama4" and 1 or 8 }
      if variant:find "^fp8_block_scale" and not variant:find "_ds" then
        all.num_local_experts, all.num_experts = 64, nil
      end
      assert.same({}, select(2, ops.signature(build(variant, all))).notes, variant)
    end
  end)

  it("whose reference takes them in another order get a remark", function()
    local definition = build("fp4_block_scale_llama4", params { top_k = 1 })
    definition.reference = [[
def run(
    routing_logits: torch.Tensor,
    routing_bias: Dict[str, int],  # here
    hidden_states: torch.Tensor = None,
    gemm1_weights=None, gemm2_weights=None,
):
    softmax topk( TOP_K = 1
]]
    assert.same(
      { "its reference takes routing_bias where inputs list hidden_states, and calls are positional" },
      select(2, ops.signature(definition)).notes
    )
  end)

  it("that no kernel has are refused", function()
    for why, case in pairs {
      ["top_k 65 is more than 64 experts"] = { "bf16_renorm", params { top_k = 65 } },
      ["256 experts cannot be divided into 7 groups"] = { "bf16_ds", grouped { n_group = 7 } },
      ["topk_group 9 is more than n_group 8"] = { "bf16_ds", grouped { topk_group = 9 } },
      ["1 groups of 2 experts do not hold top_k 8"] = {
        "bf16_ds",
        grouped { n_group = 128, topk_group = 1 },
      },
      ["300 local experts are more than 256 experts"] = { "bf16_ds", grouped { num_local_experts = 300 } },
      ["intermediate_size 500 is no multiple of the 128 elements that share a scale"] = {
        "fp8_block_scale_ds",
        grouped { intermediate_size = 500 },
      },
    } do
      assert.same({ nil, why }, { build(case[1], case[2]) })
    end
  end)

  it("describe every axis and tensor with a sentence", function()
    local definition = build("fp8_block_scale_ds", grouped())
    for _, group in ipairs { definition.axes, definition.inputs, definition.outputs } do
      for name, entry in pairs(group) do
        assert.truthy(entry.description:find "^%u.*[^.]%.$", name)
      end
    end
    assert.is_nil(json.encode(definition):find("%$[%[{]"))
  end)
end)
