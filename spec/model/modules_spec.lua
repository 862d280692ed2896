local architecture = require "hone.model.architecture"
local json = require "hone.json"
local modules = require "hone.model.modules"
local pattern = require "hone.model.pattern"

-- Nodes from rows of { key of the parent, key, base, class, definitions... }.
local function nodes_of(rows)
  local list, by_key = {}, {}
  for i, row in ipairs(rows) do
    local parent = by_key[row[1]]
    list[i] = {
      key = row[2],
      parent = parent,
      base = row[3],
      class = row[4],
      path = row.path or row[3],
      count = 1,
      definitions = { table.unpack(row, 5) },
    }
    by_key[row[2]] = list[i]
    if parent then parent.is_block = true end
  end
  return list
end

local function names(rows)
  local list = {}
  for i, module in ipairs(modules.named(nodes_of(rows))) do
    list[i] = module.name
  end
  return list
end

describe("hone.model.modules", function()
  it("keeps names that are unique, and tells blocks from layers", function()
    local named = modules.named(
      nodes_of { { "", "r", "Root", "Root" }, { "r", "a", "attn", "Attention", "rmsnorm_h64" } }
    )
    assert.same({ "Root", "attn" }, { named[1].name, named[2].name })
    assert.same({ "block", "layer" }, { named[1].type, named[2].type })
    assert.equal("Root", named[2].parent)
    assert.same({ "rmsnorm_h64" }, json.array(modules.json(named).attn.definitions))
  end)

  it(
    "tells what is below variants apart by what is their classes' own",
    function()
      assert.same(
        { "Root", "NetMambaLayer", "norm_mamba", "NetMLPLayer", "norm_mlp" },
        names {
          { "", "r", "Root", "Root" },
          { "r", "m", "NetMambaLayer", "NetMambaLayer", path = "layers.*" },
          { "m", "mn", "norm", "RMSNorm" },
          { "r", "p", "NetMLPLayer", "NetMLPLayer", path = "layers.*" },
          { "p", "pn", "norm", "RMSNorm" },
        }
      )
    end
  )

  it(
    "tells siblings of one class apart by their kernels",
    function()
      assert.same(
        { "Root", "attn_window", "attn" },
        names {
          { "", "r", "Root", "Root" },
          { "r", "w", "attn", "Attention", "gqa_paged_decode_h8_kv2_d8_ps1_window64" },
          { "r", "f", "attn", "Attention", "gqa_paged_decode_h8_kv2_d8_ps1" },
        }
      )
    end
  )

  it(
    "gives later ones below parents of other names their parent's name",
    function()
      assert.same(
        { "Root", "mlp", "up", "shared", "up_shared" },
        names {
          { "", "r", "Root", "Root" },
          { "r", "m", "mlp", "MLP" },
          { "m", "mu", "up", "Linear" },
          { "r", "s", "shared", "MLP" },
          { "s", "su", "up", "Linear" },
        }
      )
    end
  )

  it("numbers what nothing tells apart", function()
    local rows = { { "", "r", "Root", "Root" }, { "r", "a", "x", "X" }, { "r", "b", "x", "X" } }
    assert.same({ "Root", "x", "x_2" }, names(rows))
  end)
end)

describe("hone.model.pattern", function()
  local function tree(fields)
    local data = json.object {
      { "hidden_size", 64 },
      { "num_hidden_layers", 4 },
      { "num_attention_heads", 8 },
      { "num_key_value_heads", 2 },
      { "intermediate_size", 96 },
      { "vocab_size", 100 },
    }
    for name, value in pairs(fields or {}) do
      data[name] = value
    end
    local config = { path = "c", data = data, architectures = { "NewForCausalLM" } }
    return modules.json(modules.named(pattern.nodes(assert(architecture.of(config)))))
  end

  it("has the modules of a dense transformer in the order in which they run", function()
    local found, list = tree(), {}
    for name in pairs(found) do
      list[#list + 1] = name
    end
    local wanted = "NewForCausalLM NewModel embed_tokens NewDecoderLayer input_layernorm self_attn qkv_proj "
      .. "rotary_emb attn o_proj post_attention_layernorm mlp gate_up_proj act_fn down_proj norm lm_head "
      .. "logits_processor"
    assert.equal(wanted, table.concat(list, " "))
    assert.same({ "gemm_n96_k64" }, found.qkv_proj.definitions)
    assert.equal("gqa_paged_decode_h8_kv2_d8_ps1", found.attn.definitions[1])
    assert.equal(4, found.mlp.count)
  end)

  it("tells dense layers from those with experts", function()
    local found = tree { n_routed_experts = 8, num_experts_per_tok = 2, first_k_dense_replace = 1 }
    assert.equal(1, found.mlp.count)
    assert.equal(3, found.mlp_moe.count)
    assert.equal("mlp_moe", found.experts.parent)
    assert.same({ "gemm_n8_k64" }, found.gate.definitions)
  end)

  it("has a decoder layer for each way of mixing tokens", function()
    local found = tree {
      hybrid_override_pattern = "M-*-",
      mamba_num_heads = 4,
      mamba_head_dim = 8,
      ssm_state_size = 16,
    }
    assert.equal(1, found.NewMambaDecoderLayer.count)
    assert.equal(1, found.NewAttentionDecoderLayer.count)
    assert.equal(2, found.NewMLPDecoderLayer.count)
    assert.same({ "mamba_ssu_decode_h4_d8_s16_ng1" }, found.mamba_ssm.definitions)
  end)
end)
