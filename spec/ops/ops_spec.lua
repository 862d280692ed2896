local fs = require "hone.fs"
local json = require "hone.json"
local ops = require "hone.ops"
local support = require "support.dataset"

local ABOUT = {
  models = { "llama-3.1-8b" },
  display = "Llama 3.1 8B",
  tp = 1,
  module = "model.layers.*.self_attn",
  origins = { num_qo_heads = "num_attention_heads 32 / tp_size 1 = 32" },
}

-- The kernels of Llama 3.1 8B on one GPU, by the names that the dataset gives them.
local LLAMA = {
  { "rmsnorm_h4096", "rmsnorm", "rmsnorm", { hidden_size = 4096, eps = 1e-5 } },
  { "fused_add_rmsnorm_h4096", "rmsnorm", "fused_add_rmsnorm", { hidden_size = 4096, eps = 1e-5 } },
  { "gemm_n6144_k4096", "gemm", "gemm", { N = 6144, K = 4096 } },
  { "gemm_n4096_k4096", "gemm", "gemm", { N = 4096, K = 4096 } },
  { "gemm_n28672_k4096", "gemm", "gemm", { N = 28672, K = 4096 } },
  { "gemm_n4096_k14336", "gemm", "gemm", { N = 4096, K = 14336 } },
  { "top_k_sampling_from_probs_v128256", "sampling", "top_k", { vocab_size = 128256 } },
  { "top_p_sampling_from_probs_v128256", "sampling", "top_p", { vocab_size = 128256 } },
  { "top_k_top_p_sampling_from_probs_v128256", "sampling", "top_k_top_p", { vocab_size = 128256 } },
  {
    "gqa_ragged_prefill_causal_h32_kv8_d128",
    "gqa_ragged",
    "prefill_causal",
    { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128 },
  },
}
for _, page_size in ipairs { 1, 64 } do
  for _, variant in ipairs { "decode", "prefill_causal" } do
    local name = ("gqa_paged_%s_h32_kv8_d128_ps%d"):format(variant, page_size)
    local params = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = page_size }
    LLAMA[#LLAMA + 1] = { name, "gqa_paged", variant, params }
  end
end

local function attention(page_size, variant)
  local params = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = page_size }
  return assert(ops.build("gqa_paged", variant or "decode", params, ABOUT))
end

local function gemm(params, about) return ops.build("gemm", "gemm", params, about) end

local function norm(params) return ops.build("rmsnorm", "rmsnorm", params) end

-- "q[batch_size,num_qo_heads,head_dim]:bfloat16", in order.
local function tensors(list)
  local texts = {}
  for name, tensor in pairs(list) do
    local shape = tensor.shape == json.null and "" or "[" .. table.concat(tensor.shape, ",") .. "]"
    texts[#texts + 1] = name .. shape .. ":" .. tensor.dtype
  end
  return texts
end

-- "batch_size", "num_qo_heads=32", in order.
local function axes(list)
  local texts = {}
  for name, axis in pairs(list) do
    texts[#texts + 1] = axis.type == "const" and ("%s=%d"):format(name, axis.value) or name
  end
  return texts
end

describe("hone.ops", function()
  it("has one op type for each file of its folder", function()
    local files = {}
    for _, file in ipairs(fs.list "scripts/hone/ops") do
      files[#files + 1] = file ~= "init.lua" and file:match("^(.*)%.lua$") or nil
    end
    table.sort(files)
    assert.same(files, ops.list())
    for _, op_type in ipairs(ops.list()) do
      assert.equal(op_type, ops.get(op_type).op_type)
    end
  end)

  it("says which op types there are when asked for another", function()
    local op, why = ops.get("conv2d")
    assert.is_nil(op)
    assert.equal(("no op type 'conv2d' (there are %s)"):format(table.concat(ops.list(), ", ")), why)
  end)

  it("lists the variants of an op type", function()
    assert.same({ "decode", "prefill_causal" }, ops.variants("mla_paged"))
    assert.same({ "top_k", "top_k_top_p", "top_p" }, ops.variants("sampling"))
  end)
end)

describe("names of definitions", function()
  it("are put together from parameters, and read back", function()
    for _, case in ipairs(LLAMA) do
      local name, op_type, variant, params = table.unpack(case)
      assert.equal(name, ops.name(op_type, variant, params))
      local found_type, found_variant, found = ops.parse(name)
      assert.equal(op_type .. " " .. variant, found_type .. " " .. found_variant)
      for key, value in pairs(found) do
        assert.equal(params[key] or "float16", value, name)
      end
    end
  end)

  it("are read in the older style too, and written in it when asked", function()
    local op_type, variant, params = ops.parse("gemm_n_6144_k_4096")
    assert.same({ "gemm", "gemm", { N = 6144, K = 4096, dtype = "float16" } }, { op_type, variant, params })
    assert.equal("gemm_n_6144_k_4096", ops.name(op_type, variant, params, "older"))
    assert.equal("gemm_n6144_k4096", ops.name(op_type, variant, params))
    assert.equal("rmsnorm_h64", ops.name("rmsnorm", "rmsnorm", { hidden_size = 64 }, "older"))
  end)

  it("are read with a version, which is not a vocabulary size", function()
    local _, _, params, version = ops.parse("rmsnorm_h4096_v3")
    assert.same({ { hidden_size = 4096 }, 3 }, { params, version })
    _, _, params, version = ops.parse("top_p_sampling_from_probs_v128256")
    assert.same({ { vocab_size = 128256 } }, { params, version })
  end)

  it("of no known op type are not read", function()
    assert.is_nil(ops.parse("conv2d_h3_w3"))
    assert.is_nil(ops.parse("rmsnorm_h4096x"))
    assert.is_nil(ops.parse("rmsnorm_h99999999999999999999"))
  end)

  it("of GEMMs in another dtype than the dataset's do not collide with those", function()
    assert.equal("gemm_bf16_n64_k32", gemm({ N = 64, K = 32, dtype = "bfloat16" }).name)
    assert.equal("gemm_fp32_n64_k32", gemm({ N = 64, K = 32, dtype = "float32" }).name)
    local _, _, params = ops.parse("gemm_bf16_n64_k32")
    assert.same({ N = 64, K = 32, dtype = "bfloat16" }, params)
    assert.equal("bfloat16", gemm(params).outputs.C.dtype)
  end)
end)

describe("ops.build", function()
  it("makes the definitions of Llama 3.1 8B", function()
    for _, case in ipairs(LLAMA) do
      local definition = assert(ops.build(case[2], case[3], case[4], ABOUT))
      assert.equal(case[1], definition.name)
      assert.equal(case[2], definition.op_type)
    end
  end)

  it("keeps the dataset's order of keys", function()
    assert.same(
      { "name", "description", "op_type", "tags", "axes", "constraints", "inputs", "outputs", "reference" },
      json.keys(attention(64))
    )
    assert.same(
      { "name", "description", "op_type", "tags", "axes", "inputs", "outputs", "reference" },
      json.keys(gemm { N = 4, K = 8 })
    )
  end)

  it("gives paged decode its axes, inputs and outputs", function()
    local definition = attention(1)
    assert.same({
      "batch_size",
      "num_qo_heads=32",
      "num_kv_heads=8",
      "head_dim=128",
      "num_pages",
      "page_size=1",
      "len_indptr",
      "num_kv_indices",
    }, axes(definition.axes))
    assert.same({
      "q[batch_size,num_qo_heads,head_dim]:bfloat16",
      "k_cache[num_pages,page_size,num_kv_heads,head_dim]:bfloat16",
      "v_cache[num_pages,page_size,num_kv_heads,head_dim]:bfloat16",
      "kv_indptr[len_indptr]:int32",
      "kv_indices[num_kv_indices]:int32",
      "sm_scale:float32",
    }, tensors(definition.inputs))
    assert.same(
      { "output[batch_size,num_qo_heads,head_dim]:bfloat16", "lse[batch_size,num_qo_heads]:float32" },
      tensors(definition.outputs)
    )
  end)

  it("gives pages of several tokens a kv_last_page_len with one entry a sequence", function()
    for _, page_size in ipairs { 16, 32, 64 } do
      for _, variant in ipairs { "decode", "prefill_causal" } do
        local definition = attention(page_size, variant)
        assert.same({ "batch_size" }, definition.inputs.kv_last_page_len.shape)
        assert.equal("var", definition.axes.batch_size.type)
        assert.equal("len_indptr == batch_size + 1", definition.constraints[1])
        assert.truthy(definition.reference:find("kv_indices, kv_last_page_len, sm_scale)", 1, true))
      end
    end
  end)

  it("gives pages of one token none", function()
    local definition = attention(1, "prefill_causal")
    assert.is_nil(definition.inputs.kv_last_page_len)
    assert.is_nil(definition.axes.batch_size)
    assert.is_nil(definition.reference:find("kv_last_page_len", 1, true))
    assert.same(
      { "total_q == qo_indptr[-1].item()", "num_kv_indices == kv_indptr[-1].item()" },
      definition.constraints
    )
  end)

  it("describes every axis and every tensor with a sentence", function()
    for _, case in ipairs(LLAMA) do
      local definition = ops.build(case[2], case[3], case[4], ABOUT)
      for _, group in ipairs { definition.axes, definition.inputs, definition.outputs } do
        for name, entry in pairs(group) do
          assert.truthy(entry.description:find("^%u.*[^.]%.$"), case[1] .. "." .. name)
        end
      end
    end
  end)

  it("puts the arithmetic behind a constant into its description", function()
    local list = attention(64).axes
    assert.equal(
      "Number of query heads after tensor parallel split: " .. "num_attention_heads 32 / tp_size 1 = 32.",
      list.num_qo_heads.description
    )
    assert.equal("Dimension of each head.", list.head_dim.description)
  end)

  it("tells which model and modules a kernel is taken from", function()
    assert.equal(
      "Batched grouped query attention for decode with a paged key-value cache, page size 64. "
        .. "Taken from Llama 3.1 8B model.layers.*.self_attn, tensor parallel size 1.",
      attention(64).description
    )
    local about = { display = "Llama 3.1 8B", tp = 1, module = { "attn.qkv_proj", "mlp.up_proj" } }
    assert.equal(
      "General matrix multiply (GEMM) C = A @ B.T in float16, N=4, K=8. "
        .. "Taken from Llama 3.1 8B attn.qkv_proj, mlp.up_proj.",
      gemm({ N = 4, K = 8 }, about).description
    )
  end)

  it("tags the stage, the models, FlashInfer's API and the sizes that a kernel depends on", function()
    assert.same({
      "stage:decode",
      "status:unverified",
      "model:llama-3.1-8b",
      "fi_api:flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper",
      "tp:1",
    }, attention(1).tags)
    assert.same({ "status:unverified", "model:llama-3.1-8b" }, gemm({ N = 4, K = 8 }, ABOUT).tags)
  end)

  it("fixes a norm's epsilon in the reference and says it in the description", function()
    local definition = norm { hidden_size = 4096, eps = 1e-5 }
    assert.truthy(definition.reference:find("\nEPS = 1e-05\n", 1, true))
    assert.equal("Root mean square normalization, hidden_size=4096, epsilon 1e-05.", definition.description)
    assert.truthy(norm({ hidden_size = 8, eps = 0.0015 }).reference:find("\nEPS = 0.0015\n", 1, true))
  end)

  it("works out the constants that follow from others, and marks optional inputs", function()
    local params = { num_q_heads = 4, num_v_heads = 8, head_size = 128 }
    local definition = assert(ops.build("gdn", "decode", params))
    assert.equal(4, definition.axes.num_k_heads.value)
    assert.equal(1, definition.axes.seq_len.value)
    assert.is_true(definition.inputs.state.optional)
    assert.is_nil(definition.inputs.q.optional)
    assert.is_false(pcall(ops.build, "gdn", "decode", { num_q_heads = 4, num_k_heads = 4, num_v_heads = 8 }))
  end)

  it("leaves no placeholder behind", function()
    for _, case in ipairs(LLAMA) do
      local text = json.encode(ops.build(case[2], case[3], case[4], ABOUT))
      assert.is_nil(text:find("${", 1, true), case[1])
    end
  end)

  it(
    "takes whole numbers that are floats, as a config may hold",
    function() assert.equal("gemm_n64_k32", gemm({ N = 64.0, K = 32 }).name) end
  )

  it("does not share tables between definitions", function()
    local first, second = gemm { N = 4, K = 8 }, gemm { N = 4, K = 8 }
    first.inputs.A.shape[1] = "changed"
    first.tags[1] = "changed"
    assert.equal("M", second.inputs.A.shape[1])
    assert.equal("status:unverified", second.tags[1])
    assert.equal("M", gemm({ N = 4, K = 8 }).inputs.A.shape[1])
  end)

  it("refuses heads that cannot be grouped", function()
    for _, op_type in ipairs { "gqa_paged", "gqa_ragged" } do
      local params = { num_qo_heads = 10, num_kv_heads = 4, head_dim = 128 }
      if op_type == "gqa_paged" then params.page_size = 1 end
      local definition, why = ops.build(op_type, "prefill_causal", params)
      assert.is_nil(definition)
      assert.equal("num_qo_heads 10 is no multiple of num_kv_heads 4", why)
    end
  end)

  it("refuses state models and rotations that cannot be", function()
    for _, case in ipairs {
      {
        "gdn",
        "prefill",
        { num_q_heads = 4, num_v_heads = 6, head_size = 8 },
        "num_v_heads 6 is no multiple of",
      },
      {
        "mamba_ssu",
        "decode",
        { nheads = 6, head_dim = 8, dstate = 8, ngroups = 4 },
        "no multiple of ngroups 4",
      },
      { "rope", "neox", { head_size = 64, rotary_dim = 128 }, "rotary_dim 128 is more than head_size 64" },
      { "rope", "gptj", { head_size = 64, rotary_dim = 33 }, "rotary_dim 33 is odd" },
    } do
      local definition, why = ops.build(case[1], case[2], case[3])
      assert.is_nil(definition)
      assert.matches(case[4], why, 1, true)
    end
  end)

  it("refuses a GEMM in a dtype that needs scales", function()
    local expected = "no GEMM without scales is known in float8_e4m3fn (only float16, bfloat16, float32)"
    local params = { N = 4, K = 8, dtype = "float8_e4m3fn" }
    for _, make in ipairs { ops.build, ops.name } do
      local made, why = make("gemm", "gemm", params)
      assert.is_nil(made)
      assert.equal(expected, why)
    end
  end)

  it("knows no kernel with a size that is not positive or not whole", function()
    for value, why in pairs {
      [-1] = "parameter 'N' must be a positive number, got -1",
      [1.5] = "parameter 'N' must be an integer, got 1.5",
    } do
      assert.same({ nil, why }, { ops.build("gemm", "gemm", { N = value, K = 2 }) })
      assert.same({ nil, why }, { ops.name("gemm", "gemm", { N = value, K = 2 }) })
    end
  end)

  it("raises the caller's mistakes", function()
    local function raises(message, ...)
      local ok, why = pcall(ops.build, ...)
      assert.is_false(ok)
      assert.equal(message, why)
    end
    raises("unknown parameter 'n'", "gemm", "gemm", { n = 1, K = 2 })
    raises("parameter 'N' must be a positive number, got nil", "gemm", "gemm", { K = 2 })
    raises("parameter 'eps' must be a positive number, got nil", "rmsnorm", "rmsnorm", { hidden_size = 1 })
    raises(
      "op type 'gemm' has no variant 'fp8' (it has fp8_block_scale, fp8_per_tensor_scale, gemm)",
      "gemm",
      "fp8",
      {}
    )
  end)

  it("blames the caller's line", function()
    local ok, why = pcall(function() return ops.build("gemm", "gemm", { K = 2 }), nil end)
    assert.is_false(ok)
    assert.truthy(why:find("ops_spec.lua:%d+: parameter 'N'"), why)
  end)
end)

describe("ops.signature", function()
  it("does not depend on the name, the description, the tags or the order of axes", function()
    local one, other = attention(64), attention(64)
    other.name, other.description, other.tags = "mine", "My own.", {}
    local reversed, names = json.object(), {}
    for name in pairs(other.axes) do
      table.insert(names, 1, name)
    end
    for _, name in ipairs(names) do
      reversed[name] = other.axes[name]
    end
    other.axes = reversed
    assert.equal(ops.signature(one), (ops.signature(other)))
  end)

  it("depends on constants, roles, dtypes and the order of inputs", function()
    local base = ops.signature(gemm { N = 4, K = 8 })
    assert.not_equal(base, (ops.signature(gemm { N = 4, K = 16 })))
    assert.not_equal(base, (ops.signature(gemm { N = 4, K = 8, dtype = "bfloat16" })))
    local swapped = gemm { N = 4, K = 8 }
    swapped.inputs = json.object { { "B", swapped.inputs.B }, { "A", swapped.inputs.A } }
    assert.not_equal(base, (ops.signature(swapped)))
  end)

  it("takes the two shapes of kv_last_page_len for one kernel, and says so", function()
    local right, wrong = attention(64, "prefill_causal"), attention(64, "prefill_causal")
    wrong.inputs.kv_last_page_len.shape = { "len_indptr" }
    wrong.axes.batch_size = nil
    local signature, details = ops.signature(wrong)
    assert.equal(ops.signature(right), signature)
    assert.same({ "kv_last_page_len has one entry a sequence (batch_size), not len_indptr" }, details.notes)
    assert.same({}, select(2, ops.signature(right)).notes)
  end)

  it("tells Gemma's norms from those that scale by the weight as it is", function()
    local params = { hidden_size = 64, eps = 1e-6 }
    for _, variant in ipairs { "rmsnorm", "fused_add_rmsnorm" } do
      local plain, gemma =
        ops.build("rmsnorm", variant, params), ops.build("rmsnorm", "gemma_" .. variant, params)
      assert.not_equal(ops.signature(plain), (ops.signature(gemma)))
      for _, gain in ipairs { "(weight.float() + 1)", "(1 + self.weight)", "(weight + 1.0)" } do
        plain.reference = plain.reference:gsub("weight%.to%(torch%.float32%)", gain)
        assert.equal(ops.signature(gemma), (ops.signature(plain)), gain)
        plain = ops.build("rmsnorm", variant, params)
      end
    end
  end)

  it("tells the styles of rotary embedding apart", function()
    local params = { head_size = 64, rotary_dim = 64 }
    local neox, gptj = ops.build("rope", "neox", params), ops.build("rope", "gptj", params)
    assert.not_equal(ops.signature(neox), (ops.signature(gptj)))
  end)

  it("tells norms with another epsilon apart, however the reference writes it", function()
    local one = norm { hidden_size = 64, eps = 1e-6 }
    local expected = ops.signature(one)
    for _, source in ipairs {
      "EPS = 1e-6  # not 1e-5\ndef run(): pass",
      "def run(hidden_states, weight, eps: float = 0.000001): pass",
      "variance_epsilon=1E-06\ndef run(): pass",
      "def run(x):\n    return x * torch.rsqrt(x.pow(2).mean(-1) + 1e-06)",
    } do
      one.reference = source
      assert.equal(expected, (ops.signature(one)), source)
    end
    one.reference = "EPS = 1e-5"
    assert.not_equal(expected, (ops.signature(one)))
  end)

  it("says when an epsilon cannot be read", function()
    local one = norm { hidden_size = 64, eps = 1e-6 }
    for _, source in ipairs { "def run(steps=3): pass", "EPS = 1e-6\neps = 1e-5", '"""eps = 1e-6"""' } do
      one.reference = source
      assert.same({ "eps" }, select(2, ops.signature(one)).unknown, source)
    end
  end)

  it("knows definitions of op types that hone has no file for", function()
    local other = gemm { N = 4, K = 8 }
    other.op_type = "conv2d"
    assert.truthy(ops.signature(other):find("^conv2d | K=8 M=var N=4 | "))
  end)
end)

describe("the public dataset", function()
  local root, absent = support.trace()
  if not root then return pending(absent) end

  -- The order of two axes differs in one definition of the dataset from that of all its siblings.
  local OTHER_AXES_ORDER = { gqa_paged_decode_h24_kv8_d128_ps64 = true }

  local function read(path) return assert(json.decode(assert(fs.read(path)))) end

  -- The same kernel as in the dataset, built by us; its epsilon is read from there.
  local function rebuild(theirs)
    local op_type, variant, params = ops.parse(theirs.name)
    for name, value in pairs(select(2, ops.signature(theirs)).hidden) do
      params[name] = tonumber(value)
    end
    -- What the names of experts do not show: how many there are on other ranks.
    if op_type == "moe" and theirs.axes.num_experts then
      params.num_experts = theirs.axes.num_experts.value
    end
    return assert(ops.build(op_type, variant, params))
  end

  local compared = {}
  for _, op_type in ipairs(ops.list()) do
    for _, path in ipairs(fs.glob(fs.join(root, "definitions", op_type, "*.json"))) do
      it("and hone agree on " .. fs.stem(path), function()
        local theirs = read(path)
        local ours = rebuild(theirs)
        local signature, details = ops.signature(theirs)
        assert.equal(theirs.name, ours.name)
        assert.equal(theirs.op_type, ours.op_type)
        assert.equal(signature, (ops.signature(ours)))
        if #details.notes == 0 then
          assert.same(tensors(theirs.inputs), tensors(ours.inputs))
          assert.same(tensors(theirs.outputs), tensors(ours.outputs))
          local expected, got = axes(theirs.axes), axes(ours.axes)
          if OTHER_AXES_ORDER[theirs.name] then
            table.sort(expected)
            table.sort(got)
          end
          assert.same(expected, got)
        end
        for _, tag in ipairs(theirs.tags) do
          local model = tag:match("^model:(.*)$")
          if model then compared[model] = (compared[model] or 0) + 1 end
        end
      end)
    end
  end

  it(
    "has been compared for all kernels of three models",
    function()
      assert.same(
        { 14, 12, 7 },
        { compared["llama-3.1-8b"], compared["llama-3.2-3b"], compared["qwen2.5-7b"] }
      )
    end
  )
end)
