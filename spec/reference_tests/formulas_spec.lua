--- The independent formulas: there is one for every kernel that hone knows, and references agree with them.
local fs, json = require "hone.fs", require "hone.json"
local generate = require "hone.reference_tests.generate"
local native = require "hone.reference_tests.native"
local ops = require "hone.ops"
local process = require "hone.process"

local ATTENTION = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 32, window_size = 9, logits_soft_cap = 2 }
local EXPERTS = { hidden_size = 256, intermediate_size = 128, num_experts = 16, num_local_experts = 16 }
local LATENT = { num_qo_heads = 4, head_dim_ckv = 64, head_dim_kpe = 32, page_size = 4, topk = 16 }

local function with(params, more)
  local all = {}
  for _, list in ipairs { params, more } do
    for name, value in pairs(list) do
      all[name] = value
    end
  end
  return all
end

local PARAMS = {
  dsa_paged = with(LATENT, { num_index_heads = 4, index_head_dim = 64 }),
  gdn = { num_q_heads = 2, num_v_heads = 4, head_size = 32 },
  gemm = { N = 200, K = 320 },
  gqa_paged = with(ATTENTION, { page_size = 4 }),
  gqa_ragged = ATTENTION,
  mamba_ssu = { nheads = 8, head_dim = 16, dstate = 32, ngroups = 2 },
  mla_paged = LATENT,
  mla_ragged = { num_qo_heads = 2, qk_dim = 48, vo_dim = 32 },
  rmsnorm = { hidden_size = 96, eps = 1e-5 },
  rope = { head_size = 64, rotary_dim = 32 },
  sampling = { vocab_size = 500 },
}

local function params_of(op_type, variant)
  if op_type ~= "moe" then return PARAMS[op_type] end
  local top_k = variant:find "llama4" and 1 or 3
  local params = with(EXPERTS, { top_k = top_k })
  if variant:find "_ds$" then
    params = with(params, { n_group = 4, topk_group = 2, num_local_experts = 8 })
  end
  return params
end

-- A kernel, told of those sizes alone that it has.
local function build(op_type, variant)
  local params, known = params_of(op_type, variant), {}
  local op = ops.get(op_type)
  local kind = op.variants[variant]
  for _, axis in ipairs(kind.axes) do
    if axis[2] == "const" and not axis.value then known[axis[1]] = params[axis[1]] end
  end
  for _, constant in ipairs(op.hidden_constants or {}) do
    if not constant.of or constant.of(kind) then known[constant.name] = params[constant.name] end
  end
  return assert(ops.build(op_type, variant, known))
end

local function each_kernel(visit)
  for _, op_type in ipairs(ops.list()) do
    for _, variant in ipairs(ops.variants(op_type)) do
      visit(op_type, variant, build(op_type, variant))
    end
  end
end

describe("independent formulas", function()
  each_kernel(function(op_type, variant, definition)
    it(("agrees with the reference of %s, %s"):format(op_type, variant), function()
      local outcome, why = native.check(definition)
      assert.is_truthy(outcome, why)
      assert.is_true(outcome.matched >= 0.95)
    end)
  end)

  -- What a wrong reference leaves out, by what it is a part of.
  local MISTAKES = {
    { "gqa_paged", "decode_window", "keys[-WINDOW_SIZE:]", "keys[:WINDOW_SIZE]" },
    { "gqa_paged", "prefill_causal_window", "offset - WINDOW_SIZE", "offset - WINDOW_SIZE - 1" },
    { "gqa_paged", "decode_softcap", "logits = LOGITS_SOFT_CAP * torch.tanh(logits / LOGITS_SOFT_CAP)", "" },
    {
      "gqa_paged",
      "prefill_causal_sink",
      "torch.exp(logits - total[..., None])",
      "torch.softmax(logits, dim=-1)",
    },
    { "gqa_ragged", "prefill_causal_window", "offset - WINDOW_SIZE", "offset - WINDOW_SIZE + 1" },
    { "dsa_paged", "topk_indexer", "torch.relu(", "(" },
    { "gemm", "fp8_block_scale", "dim=0)[:N].rep", "dim=0)[:N].flip(0).rep" },
    {
      "moe",
      "bf16_ds",
      "choice = grouped.masked_fill(dropped.unsqueeze(-1), -torch.inf)",
      "choice = grouped",
    },
    { "moe", "bf16_default", "torch.softmax(routing_logits", "torch.sigmoid(routing_logits" },
    {
      "moe",
      "fp8_block_scale_llama4",
      "weights = torch.sigmoid(logits)",
      "weights = 1 - torch.sigmoid(logits)",
    },
    { "moe", "fp4_block_scale_oa_renorm", "(up + gemm1_beta[e])", "up" },
    { "moe", "fp4_block_scale_oa_renorm", "min=-gemm1_clamp_limit[e], ", "" },
  }
  for _, mistake in ipairs(MISTAKES) do
    local op_type, variant, right, wrong = table.unpack(mistake)
    it(
      ("disagrees with a reference of %s, %s, that has %q instead of %q"):format(
        op_type,
        variant,
        wrong,
        right
      ),
      function()
        local definition = build(op_type, variant)
        local at, last = definition.reference:find(right, 1, true)
        assert.is_truthy(at, definition.reference)
        definition.reference = definition.reference:sub(1, at - 1)
          .. wrong
          .. definition.reference:sub(last + 1)
        local outcome, why, code = native.check(definition)
        assert.is_nil(outcome)
        assert.is_nil(code, why)
      end
    )
  end

  it("comes with tests that pass under torch, for every kernel", function()
    if process.run({ "python3", "-c", "import torch, pytest" }).status ~= 0 then
      return pending "no torch with pytest"
    end
    local dir <close> = assert(fs.tempdir())
    assert(fs.write(fs.join(dir.path, "conftest.py"), require "hone.reference_tests.conftest"))
    local count = 0
    each_kernel(function(_, _, definition)
      local text = assert(generate.test(definition))
      assert(fs.write(fs.join(dir.path, ("test_%s.py"):format(definition.name)), text))
      count = count + 1
    end)
    local command = { "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", dir.path }
    local result = assert(process.run(command))
    assert.equal(0, result.status, result.stdout)
    assert.is_true(tonumber(result.stdout:match "(%d+) passed") >= 3 * count)
  end)

  it("is missing for what hone does not know, which is said", function()
    local text, why = generate.test(json.object { { "name", "novel_h8" }, { "op_type", "novel" } })
    assert.is_nil(text)
    assert.equal("no independent formula is known for novel_h8 of op type novel", why)
  end)
end)
