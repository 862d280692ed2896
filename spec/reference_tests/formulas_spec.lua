--- The independent formulas: there is one for every kernel that hone knows, and references agree with them.
local fs, json = require "hone.fs", require "hone.json"
local generate = require "hone.reference_tests.generate"
local kernels = require "support.kernels"
local native = require "hone.reference_tests.native"
local ops = require "hone.ops"
local process = require "hone.process"
local with = require "support.with"

local ATTENTION = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 32, window_size = 9, logits_soft_cap = 2 }
local EXPERTS = { hidden_size = 256, intermediate_size = 128, num_experts = 16, num_local_experts = 16 }
local LATENT = { num_qo_heads = 4, head_dim_ckv = 64, head_dim_kpe = 32, page_size = 4, topk = 16 }

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

local function build(op_type, variant) return kernels.build(op_type, variant, params_of(op_type, variant)) end

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

  -- How references go wrong, by op type: each of these is done to every reference that has the words.
  local ATTENTION_MISTAKES = {
    { " * sm_scale", "" },
    { " / math.log(2.0)", "" },
    { "logsumexp(logits, dim=-1)", "amax(logits, dim=-1)" },
    { "> q_position[:, None] + offset", ">= q_position[:, None] + offset + 2" },
    { "> q_position[:, None] + offset", "> q_position[:, None]" },
    { " + kv_last_page_len[b]", " + page_size" },
    { "q_pe[b].to(torch.float32) @ kpe.T", "0" },
    { "q_pe[rows].to(torch.float32) @ kpe.T", "0" },
    { "q_pe[t].to(torch.float32) @ kpe.T", "0" },
    { "picked = picked[picked != -1]", "picked = picked.clamp(min=0)" },
    { "keys[-WINDOW_SIZE:]", "keys[:WINDOW_SIZE]" },
    { "offset - WINDOW_SIZE", "offset - WINDOW_SIZE - 1" },
    { "offset - WINDOW_SIZE", "offset - WINDOW_SIZE + 1" },
    { "logits = LOGITS_SOFT_CAP * torch.tanh(logits / LOGITS_SOFT_CAP)", "" },
    { "torch.exp(logits - total[..., None])", "torch.softmax(logits, dim=-1)" },
  }
  local STATE_MISTAKES = {
    { "state = state * keep[:, None, None]", "" },
    { "(v - expected)", "v" },
    { "take[:, None] * ", "" },
    { "(scale * read)", "read" },
    { "F.softplus(a.to(torch.float32) + dt_bias.to(torch.float32))", "F.softplus(a.to(torch.float32))" },
    { "repeat_interleave(group_size, dim=-2)", "flip(-2).repeat_interleave(group_size, dim=-2)" },
    { '"hvk,hk->hv", state, q', '"hkv,hk->hv", state, q' },
  }
  local MISTAKES = {
    dsa_paged = {
      { "torch.relu(", "(" },
      { "(keys * scales)", "keys" },
      { "weights[b][:, None]", "1.0" },
      { "pages[best // page_size] * page_size + best % page_size", "best" },
    },
    gdn = STATE_MISTAKES,
    gemm = {
      { "dim=0)[:N].rep", "dim=0)[:N].flip(0).rep" },
      { " * a_scale", "" },
      { " * b_scale", "" },
      { "(A_scale * B_scale)", "A_scale" },
      { "matmul(A, B.transpose", "matmul(A, B.flip(0).transpose" },
    },
    gqa_paged = {},
    gqa_ragged = {},
    mamba_ssu = {
      {
        "F.softplus(dt[i].to(torch.float32) + dt_bias.to(torch.float32))",
        "F.softplus(dt[i].to(torch.float32))",
      },
      { " * decay", "" },
      { " + token * D.to(torch.float32)", "" },
      { "enters[:, None, :]", "reads[:, None, :]" },
      { "new_state[slot] = updated.to(state.dtype)", "" },
      { "repeat_interleave(heads_per_group, dim=0)", "repeat(heads_per_group, 1)" },
    },
    mla_paged = {},
    mla_ragged = {},
    moe = {
      { "hidden = torch.nn.functional.silu(gate) * up", "hidden = torch.nn.functional.silu(up) * gate" },
      { "hidden = torch.nn.functional.silu(gate) * up", "hidden = torch.sigmoid(gate) * up" },
      { "hidden = torch.nn.functional.silu(gate) * up", "hidden = torch.nn.functional.gelu(gate) * up" },
      {
        "gate * torch.sigmoid(gemm1_alpha[e] * gate) * (up + gemm1_beta[e])",
        "up * torch.sigmoid(gemm1_alpha[e] * up) * (gate + gemm1_beta[e])",
      },
      { "gemm1_alpha[e] * gate", "gate" },
      { "(up + gemm1_beta[e])", "up" },
      { "min=-gemm1_clamp_limit[e], ", "" },
      { " + gemm1_bias[e]", "" },
      { " + gemm2_bias[e]", "" },
      { "* output1_scales_scalar[e]", "" },
      { "* output1_scales_gate_scalar[e]", "* output1_scales_scalar[e]" },
      { "* output2_scales_scalar[e]", "" },
      {
        "activations = hidden_states.to(torch.float32) * scale",
        "activations = hidden_states.to(torch.float32)",
      },
      { "dequantize(gemm1_weights[e], gemm1_weights_scale[e])", "gemm1_weights[e].to(torch.float32)" },
      {
        "dequantize(gemm2_weights[e], gemm2_weights_scale[e])",
        "dequantize(gemm2_weights[e], gemm2_weights_scale[0])",
      },
      { "torch.matmul(x, gemm1_weights[e]", "torch.matmul(x, gemm1_weights[e - 1]" },
      { "torch.matmul(hidden, gemm2_weights[e]", "torch.matmul(hidden, gemm2_weights[e - 1]" },
      { "out * weight", "out" },
      { "x = activations[tokens] * weight", "x = activations[tokens]" },
      { "choice = grouped.masked_fill(dropped.unsqueeze(-1), -torch.inf)", "choice = grouped" },
      { "scores + routing_bias.to(torch.float32)", "scores" },
      { "weights = scores.gather(1, experts)", "weights = choice.gather(1, experts)" },
      { " * routed_scaling_factor", " * 1.1" },
      {
        "weights = torch.softmax(logits, dim=-1)",
        "weights = torch.softmax(routing_logits.to(torch.float32), dim=-1).gather(1, experts)",
      },
      {
        "torch.softmax(routing_logits.to(torch.float32), dim=-1)",
        "torch.sigmoid(routing_logits.to(torch.float32))",
      },
      { "weights = torch.sigmoid(logits)", "weights = torch.ones_like(logits)" },
      { "(topk_ids >> 16)", "((topk_ids >> 16) ^ 1)" },
      { "(topk_ids << 16).view(torch.float32)", "torch.full_like(topk_ids, 1 / 3, dtype=torch.float32)" },
    },
    rmsnorm = {
      { " + residual.to(torch.float32)", "" },
      { "(1.0 + weight.to(torch.float32))", "weight.to(torch.float32)" },
      { "normalized * weight.to(torch.float32)", "normalized" },
      { ".mean(dim=-1, keepdim=True)", ".sum(dim=-1, keepdim=True)" },
      {
        "x * torch.rsqrt(mean_square + EPS)",
        "(x - x.mean(dim=-1, keepdim=True)) * torch.rsqrt(mean_square)",
      },
    },
    rope = {
      { "first * cos - second * sin", "first * cos + second * sin" },
      { "second * cos + first * sin", "second * cos" },
      { "cos_sin_cache[positions]", "cos_sin_cache[: len(positions)]" },
    },
    sampling = {
      { "descending=True)[:k]", "descending=True)[: 2 * k]" },
      { "mass_before <= p", "mass_before <= p + 0.2" },
    },
  }
  for _, op_type in ipairs { "dsa_paged", "gqa_paged", "gqa_ragged", "mla_paged", "mla_ragged" } do
    table.move(ATTENTION_MISTAKES, 1, #ATTENTION_MISTAKES, #MISTAKES[op_type] + 1, MISTAKES[op_type])
  end

  -- The source with all places of some words changed; nil where it has none.
  local function changed(source, right, wrong)
    local pieces, from = {}, 1
    local at, last = source:find(right, from, true)
    if not at then return nil end
    while at do
      pieces[#pieces + 1], pieces[#pieces + 2] = source:sub(from, at - 1), wrong
      from = last + 1
      at, last = source:find(right, from, true)
    end
    return table.concat(pieces) .. source:sub(from)
  end

  each_kernel(function(op_type, variant, definition)
    it(("refuses wrong references of %s, %s"):format(op_type, variant), function()
      local source, tried = definition.reference, 0
      for _, mistake in ipairs(MISTAKES[op_type]) do
        definition.reference = changed(source, mistake[1], mistake[2])
        if definition.reference then
          tried = tried + 1
          local outcome, why, code = native.check(definition)
          local what = ("%q instead of %q: "):format(mistake[2], mistake[1])
          assert.is_nil(outcome, what .. (outcome and ("agrees, distance %g"):format(outcome.distance) or ""))
          assert.is_nil(code, what .. tostring(why))
          assert.is_truthy(why:find "the formula gives" or why:find "has no chance", what .. why)
        end
      end
      assert.is_true(tried >= 1, "no known mistake fits its words")
    end)
  end)

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
