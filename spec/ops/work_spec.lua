local json = require "hone.json"
local ops = require "hone.ops"
local tensor = require "hone.tensor"

local function work(op_type, variant, params, axes, structure)
  local definition = assert(ops.build(op_type, variant, params))
  return assert(ops.work(definition, axes, structure))
end

-- What was counted, as { read, written, flops }.
local function counted(result) return { result.read, result.written, result.flops } end

describe("the work of a GEMM", function()
  it("is both matrices, the product, and two operations for each of its terms", function()
    -- A 3 x 16, B 8 x 16, C 3 x 8 in float16
    local result = work("gemm", "gemm", { N = 8, K = 16 }, { M = 3 })
    assert.same({ 2 * (48 + 128), 2 * 24, 2 * 3 * 8 * 16 }, counted(result))
    assert.same({ 400, "float16", true }, { result.bytes, result.dtype, result.exact })
  end)

  it("counts the scales of blocks, of which the last may be short", function()
    -- N = 130 is two blocks, K = 256 too; scales: A 5 x 2, B 2 x 2
    local result = work("gemm", "fp8_block_scale", { N = 130, K = 256 }, { M = 5 })
    local read = 5 * 256 + 130 * 256 + 4 * (5 * 2 + 2 * 2)
    assert.same({ read, 2 * 5 * 130, 2 * 5 * 130 * 256 }, counted(result))
    assert.equal("float8_e4m3fn", result.dtype)
  end)

  it(
    "is nothing without rows",
    function() assert.same({ 0, 0, 0 }, counted(work("gemm", "gemm", { N = 8, K = 16 }, { M = 0 }))) end
  )
end)

describe("the work of a norm", function()
  it("is its rows, its weight and its result", function()
    local result = work("rmsnorm", "rmsnorm", { hidden_size = 10, eps = 1e-6 }, { batch_size = 7 })
    assert.same({ 2 * (70 + 10), 2 * 70, 4 * 70 }, counted(result))
  end)

  it("has the residual and its addition where it is fused", function()
    local result = work("rmsnorm", "fused_add_rmsnorm", { hidden_size = 10, eps = 1e-6 }, { batch_size = 7 })
    assert.same({ 2 * (70 + 70 + 10), 2 * 70, 5 * 70 }, counted(result))
  end)
end)

local HEADS = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8 }
local PAGED = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8, page_size = 1 }
local PAGED_4 = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8, page_size = 4 }
local ROW = 2 * (2 * 8) * 2 -- keys and values of a token, two heads of 8 in bfloat16
local QUERY = 4 * 8 * 2 -- a query of four heads
local PAIR = 4 * (2 * 8 + 2 * 8) -- four heads, a product with the key and one with the value
local RESULT = QUERY + 4 * 4 -- output and lse of a query

describe("the work of paged decode", function()
  local axes = { batch_size = 3, num_pages = 20, len_indptr = 4, num_kv_indices = 6 }

  it("reads each page that sequences share once", function()
    -- Sequences of 4, 0 and 2 tokens; pages 5 and 6 are both sequences' beginning.
    local result = work("gqa_paged", "decode", PAGED, axes, {
      kv_indptr = { 0, 4, 4, 6 },
      kv_indices = { 5, 6, 7, 9, 5, 6 },
    })
    local read = 4 * 4 + 6 * 4 + 2 * QUERY + 4 * ROW
    assert.same({ read, 3 * RESULT, 6 * PAIR }, counted(result))
    assert.is_true(result.exact)
  end)

  it("takes structure from tensors too", function()
    local lists = { kv_indptr = { 0, 4, 4, 6 }, kv_indices = { 5, 6, 7, 9, 5, 6 } }
    local tensors = {
      kv_indptr = tensor.new(lists.kv_indptr, "int32"),
      kv_indices = tensor.new(lists.kv_indices, "int32"),
    }
    assert.same(
      work("gqa_paged", "decode", PAGED, axes, lists),
      work("gqa_paged", "decode", PAGED, axes, tensors)
    )
  end)

  it("takes the least without structure: all in one sequence, and one page for all", function()
    local result = work("gqa_paged", "decode", PAGED, axes)
    assert.same({ 4 * 4 + 6 * 4 + QUERY + ROW, 3 * RESULT, 6 * PAIR }, counted(result))
    assert.is_false(result.exact)
    local spread = result.usual
    assert.same({ 4 * 4 + 6 * 4 + 3 * QUERY + 6 * ROW, 6 * PAIR }, { spread.read, spread.flops })
  end)

  it("counts the tokens that last pages hold", function()
    -- 2 pages with 3 tokens in the last, none, 1 page with 2: 7 tokens and 2.
    local sizes = { batch_size = 3, num_pages = 20, len_indptr = 4, num_kv_indices = 3 }
    local result = work("gqa_paged", "decode", PAGED_4, sizes, {
      kv_indptr = { 0, 2, 2, 3 },
      kv_indices = { 1, 2, 2 },
      kv_last_page_len = { 3, 0, 2 },
    })
    -- Of page 2 one sequence reads 3 tokens, the other 2 of the same.
    local read = 4 * 4 + 3 * 4 + 3 * 4 + 2 * QUERY + 7 * ROW
    assert.same({ read, 3 * RESULT, 9 * PAIR }, counted(result))
  end)

  it("has at least one token in each last page", function()
    local sizes = { batch_size = 2, num_pages = 20, len_indptr = 3, num_kv_indices = 5 }
    local result = work("gqa_paged", "decode", PAGED_4, sizes)
    assert.equal((5 * 4 - 2 * 3) * PAIR, result.flops)
  end)

  it("looks no further back than its window", function()
    local params = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8, page_size = 1, window_size = 3 }
    local structure = { kv_indptr = { 0, 4, 4, 6 }, kv_indices = { 5, 6, 7, 9, 5, 6 } }
    local result = work("gqa_paged", "decode_window", params, axes, structure)
    -- Three of the first sequence (6, 7, 9), both of the last (5, 6).
    assert.same({ 4 * 4 + 5 * 4 + 2 * QUERY + 4 * ROW, 3 * RESULT, 5 * PAIR }, counted(result))
  end)
end)

describe("the work of prefill", function()
  local axes = { total_q = 5, total_kv = 9, len_indptr = 3 }

  it("has a pair for each key that a query sees under the causal mask", function()
    -- Two queries over four keys see 3 + 4; three over five see 3 + 4 + 5.
    local structure = { qo_indptr = { 0, 2, 5 }, kv_indptr = { 0, 4, 9 } }
    local result = work("gqa_ragged", "prefill_causal", HEADS, axes, structure)
    assert.same({ 2 * 3 * 4 + 5 * QUERY + 9 * ROW, 5 * RESULT, 19 * PAIR }, counted(result))
  end)

  it("leaves out keys that no query sees, and queries that see no key", function()
    -- Three queries over one key: the last sees it. Keys of a sequence without queries are not read.
    local structure = { qo_indptr = { 0, 3, 3 }, kv_indptr = { 0, 1, 9 } }
    local result = work("gqa_ragged", "prefill_causal", HEADS, axes, structure)
    assert.same({ 2 * 3 * 4 + QUERY + ROW, PAIR }, { result.read, result.flops })
  end)

  it("may be nothing but empty results when nobody says where sequences start", function()
    local result = work("gqa_ragged", "prefill_causal", HEADS, axes)
    assert.same({ 2 * 3 * 4, 5 * RESULT, 0 }, counted(result))
    -- Spread evenly: two and three queries over four and five keys.
    assert.equal(19 * PAIR, result.usual.flops)
  end)

  it("is known when there is one sequence", function()
    local result = work("gqa_ragged", "prefill_causal", HEADS, { total_q = 2, total_kv = 4, len_indptr = 2 })
    assert.same({ 7 * PAIR, true }, { result.flops, result.exact })
  end)

  it("cuts each query's keys at the window", function()
    local params = { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8, window_size = 2 }
    local structure = { qo_indptr = { 0, 2, 5 }, kv_indptr = { 0, 4, 9 } }
    local result = work("gqa_ragged", "prefill_causal_window", params, axes, structure)
    -- Keys 2 to 4 of the first sequence, 2 to 5 of the second; two for each query.
    assert.same({ 2 * 3 * 4 + 5 * QUERY + 7 * ROW, 10 * PAIR }, { result.read, result.flops })
  end)

  it("of latent attention reads one vector for all heads", function()
    local params = { num_qo_heads = 2, head_dim_ckv = 8, head_dim_kpe = 4, page_size = 1 }
    local sizes = { total_q = 2, num_pages = 9, len_indptr = 2, num_kv_indices = 3 }
    local result =
      work("mla_paged", "prefill_causal", params, sizes, { kv_indices = { 4, 5, 6 }, kv_indptr = { 0, 3 } })
    local read = 2 * 2 * 4 + 3 * 4 + 2 * (2 * 12 * 2) + 3 * (12 * 2)
    assert.same({ read, 2 * (2 * 8 * 2 + 2 * 4), 5 * 2 * (2 * 12 + 2 * 8) }, counted(result))
  end)

  it("of unabsorbed latent attention has keys and values of different sizes", function()
    local params = { num_qo_heads = 2, qk_dim = 12, vo_dim = 8 }
    local structure = { qo_indptr = { 0, 2 }, kv_indptr = { 0, 3 } }
    local sizes = { total_q = 2, total_kv = 3, len_indptr = 2 }
    local result = work("mla_ragged", "prefill_causal", params, sizes, structure)
    local read = 2 * 2 * 4 + 2 * (2 * 12 * 2) + 3 * (2 * 20 * 2)
    assert.same({ read, 2 * (2 * 8 * 2 + 2 * 4), 5 * 2 * (2 * 12 + 2 * 8) }, counted(result))
  end)
end)

describe("the work of sparse attention", function()
  local params = { num_qo_heads = 2, head_dim_ckv = 8, head_dim_kpe = 4, topk = 3, page_size = 2 }
  local axes = { num_tokens = 2, num_pages = 5 }

  it("reads a token that several queries pick once", function()
    local structure = { sparse_indices = { { 1, 7, -1 }, { 7, -1, -1 } } }
    local result = work("dsa_paged", "sparse_attention", params, axes, structure)
    local read = 2 * 3 * 4 + 2 * (2 * 12 * 2) + 2 * (12 * 2)
    assert.same({ read, 2 * (2 * 8 * 2 + 2 * 4), 3 * 2 * (2 * 12 + 2 * 8) }, counted(result))
  end)

  it("may be nothing but padding", function()
    local result = work("dsa_paged", "sparse_attention", params, axes)
    assert.same({ 2 * 3 * 4, 0, false }, { result.read, result.flops, result.exact })
    assert.equal(6 * 2 * (2 * 12 + 2 * 8), result.usual.flops)
  end)

  it("scores only sequences that have more tokens than are picked", function()
    local indexer = { num_index_heads = 2, index_head_dim = 16, topk = 4, page_size = 2 }
    local sizes = { batch_size = 3, max_num_pages = 4, num_pages = 9 }
    local result = work("dsa_paged", "topk_indexer", indexer, sizes, { seq_lens = { 4, 7, 0 } })
    -- Two pages and four; 7 tokens scored, on two different tokens at the least.
    local query = 2 * 16 + 2 * 4
    assert.same({ 3 * 4 + 6 * 4 + query + 2 * 20, 3 * 4 * 4, 7 * 2 * (2 * 16 + 2) }, counted(result))
  end)
end)

describe("the work of a Gated Delta Net", function()
  local params = { num_q_heads = 1, num_v_heads = 2, head_size = 4 }
  local TOKEN = 2 * (4 + 4 + 8 + 2 + 2) -- q, k, v, a and b
  local STATE = 2 * 4 * 4 * 4
  local GATES = 2 * 4 * 2

  it("reads and writes every state in decode", function()
    local result = work("gdn", "decode", params, { batch_size = 3 })
    assert.same({ 3 * (TOKEN + STATE) + GATES, 3 * (2 * 8 + STATE), 7 * 3 * 32 }, counted(result))
  end)

  it("copies the whole pool for a draft, and leaves out padding", function()
    local axes = { batch_size = 3, seq_len = 2, pool_size = 5 }
    local result = work("gdn", "mtp", params, axes, { initial_state_indices = { 1, -1, 3 } })
    local read = 5 * STATE + 3 * 4 + 2 * 2 * TOKEN + GATES
    assert.same({ read, 3 * 2 * 2 * 8 + 5 * STATE, 4 * 4 * 32 }, counted(result))
  end)

  it("reads the states of sequences that are not empty", function()
    local axes = { total_seq_len = 6, num_seqs = 3, len_cu_seqlens = 4 }
    local result = work("gdn", "prefill", params, axes, { cu_seqlens = { 0, 2, 2, 6 } })
    local read = 6 * TOKEN + 2 * STATE + 4 * 8 + GATES
    assert.same({ read, 6 * 2 * 8 + 3 * STATE, 2 * 6 * 32 }, counted(result))
    assert.equal(6 * TOKEN + STATE + 4 * 8 + GATES, work("gdn", "prefill", params, axes).read)
  end)
end)

describe("the work of a state update", function()
  local params = { nheads = 2, head_dim = 4, dstate = 8, ngroups = 1 }
  local axes = { batch_size = 3, state_cache_size = 5 }
  local CACHE = 5 * 2 * 4 * 8 * 2
  local TOKEN = 2 * (8 + 8 + 8 + 8) -- x, dt, B and C
  local WEIGHTS = 4 * 64 + 2 * 8 + 2 * 8

  it("leaves out padded sequences", function()
    local result = work("mamba_ssu", "decode", params, axes, { state_batch_indices = { 4, -1, 0 } })
    assert.same({ CACHE + 3 * 4 + WEIGHTS + 2 * TOKEN, 3 * 8 * 2 + CACHE, 6 * 2 * 64 }, counted(result))
  end)

  it("may be padding alone", function()
    local result = work("mamba_ssu", "decode", params, axes)
    assert.same({ CACHE + 3 * 4, 0 }, { result.read, result.flops })
    assert.equal(6 * 3 * 64, result.usual.flops)
  end)
end)

describe("the work of a mixture of experts", function()
  local H, I = 256, 128
  local EXPERT = 2 * I * H + 4 * 2 * 2 + H * I + 4 * 2 * 1 -- FP8 and the scales of its blocks
  local TOKEN = H + 4 * 2
  local CHOICE = 2 * (2 * I) * H + 2 * H * I

  it("has two GEMMs for each choice, and the weights of as many experts as one token chooses", function()
    local params = { num_local_experts = 8, hidden_size = H, intermediate_size = I, top_k = 2 }
    local result = work("moe", "fp8_block_scale_renorm", params, { seq_len = 5 })
    local read = 5 * 8 * 2 + 2 * EXPERT + 5 * TOKEN
    assert.same({ read, 5 * H * 2, 5 * 2 * CHOICE }, counted(result))
    assert.is_false(result.exact)
  end)

  it("may have nothing to do on a rank whose experts nobody chooses", function()
    local params = {
      num_experts = 16,
      num_local_experts = 4,
      hidden_size = H,
      intermediate_size = I,
      top_k = 2,
      n_group = 4,
      topk_group = 2,
    }
    local result = work("moe", "fp8_block_scale_ds", params, { seq_len = 5 })
    assert.same({ 5 * 16 * 4 + 16 * 2, 5 * H * 2, 0 }, counted(result))
    assert.equal(5 * CHOICE // 2, result.usual.flops) -- 5 tokens, 2 choices each, a quarter of them here
  end)

  it("counts the experts of packed routes", function()
    local params = { num_experts = 8, hidden_size = H, intermediate_size = I, top_k = 2 }
    local routes = { { 3 << 16 | 0x3f00, 5 << 16 }, { 3 << 16, 3 << 16 } }
    local result = work("moe", "fp4_block_scale_routed", params, { seq_len = 2 }, { topk_ids = routes })
    local expert = 4 * (2 * I * H + H * I)
    assert.same({ 2 * 2 * 4 + 2 * expert + 2 * H * 2, 2 * H * 2, 4 * CHOICE }, counted(result))
    assert.is_true(result.exact)
  end)

  it("does not count a bias that its routing does not look at", function()
    local params = { num_experts = 8, hidden_size = H, intermediate_size = I, top_k = 1 }
    local result = work("moe", "bf16_llama4", params, { seq_len = 1 })
    assert.equal(8 * 2 + 2 * (2 * I * H + H * I) + H * 2, result.read)
  end)
end)

describe("the work of rotary embedding", function()
  local axes = { num_tokens = 3, num_qo_heads = 2, num_kv_heads = 1, max_seq_len = 100 }

  it("reads the cache's rows for the positions there are", function()
    local params = { head_size = 8, rotary_dim = 4 }
    local result = work("rope", "neox", params, axes, { positions = { 7, 7, 9 } })
    local heads = 3 * 3 * 8 * 2
    assert.same({ heads + 3 * 8 + 2 * 4 * 4, heads, 3 * 3 * 2 * 6 }, counted(result))
    assert.equal(heads + 3 * 8 + 4 * 4, work("rope", "neox", params, axes).read)
  end)
end)

describe("the work of sampling", function()
  it("is whole rows where tokens are filtered", function()
    local structure = { top_k = { 5, 0, 10 }, top_p = { 1.0, 1.0, 0.9 } }
    local result = work("sampling", "top_k_top_p", { vocab_size = 10 }, { batch_size = 3 }, structure)
    assert.same({ 4 * 21 + 3 * 4 + 3 * 4, 3 * 8, 21 }, counted(result))
    assert.equal(30, result.usual.flops)
  end)
end)

-- One of each kind, small.
local KINDS = {
  { "gqa_paged", "decode", PAGED_4 },
  { "gqa_paged", "prefill_causal", PAGED },
  { "gqa_paged", "prefill_causal", PAGED_4 },
  {
    "gqa_paged",
    "decode_window",
    { num_qo_heads = 4, num_kv_heads = 2, head_dim = 8, page_size = 4, window_size = 6 },
  },
  { "gqa_ragged", "prefill_causal", HEADS },
  { "mla_paged", "decode", { num_qo_heads = 2, head_dim_ckv = 8, head_dim_kpe = 4, page_size = 4 } },
  { "mla_ragged", "prefill_causal", { num_qo_heads = 2, qk_dim = 12, vo_dim = 8 } },
  {
    "dsa_paged",
    "sparse_attention",
    { num_qo_heads = 2, head_dim_ckv = 8, head_dim_kpe = 4, topk = 3, page_size = 2 },
  },
  { "dsa_paged", "topk_indexer", { num_index_heads = 2, index_head_dim = 16, topk = 4, page_size = 2 } },
  { "gdn", "mtp", { num_q_heads = 1, num_v_heads = 2, head_size = 4 } },
  { "gdn", "prefill", { num_q_heads = 1, num_v_heads = 2, head_size = 4 } },
  { "mamba_ssu", "decode", { nheads = 2, head_dim = 4, dstate = 8, ngroups = 1 } },
  {
    "moe",
    "fp4_block_scale_routed",
    { num_experts = 8, hidden_size = 16, intermediate_size = 8, top_k = 2 },
  },
  { "rope", "neox", { head_size = 8, rotary_dim = 4 } },
  { "sampling", "top_k_top_p", { vocab_size = 10 } },
}

describe("ops.work", function()
  it("is never more without structure than with any, and never more than all there is", function()
    local inputs, count = require "hone.dataset.inputs", require "hone.ops.parts.work"
    for _, kind in ipairs(KINDS) do
      local definition = assert(ops.build(kind[1], kind[2], kind[3]))
      for seed = 1, 8 do
        local list, axes = inputs.make(definition, { seed = seed })
        assert(list, axes)
        local structure = {}
        for _, input in ipairs(list) do
          structure[input.name] = input.value
        end
        local exact = assert(ops.work(definition, axes, structure))
        local least = assert(ops.work(definition, axes))
        for _, field in ipairs { "read", "written", "flops" } do
          assert.is_true(least[field] <= exact[field], definition.name .. ": " .. field)
        end
        local all = count.inputs(definition, axes) + count.outputs(definition, axes)
        assert.is_true(exact.bytes <= all, definition.name)
        assert.is_true(exact.flops > 0 or kind[2] == "topk_indexer", definition.name)
      end
    end
  end)

  it("refuses definitions that are no kernels of their op type", function()
    local definition = assert(ops.build("gemm", "gemm", { N = 8, K = 16 }))
    definition.inputs.bias = json.decode [[{"shape": ["N"], "dtype": "float16"}]]
    local result, why = ops.work(definition, { M = 1 })
    assert.is_nil(result)
    assert.equal("gemm_n8_k16 is no kernel of op type 'gemm' that hone knows", why)
  end)

  it("asks for the sizes of all axes", function()
    local definition = assert(ops.build("gemm", "gemm", { N = 8, K = 16 }))
    assert.same({ nil, "gemm_n8_k16: the axis M has no size" }, { ops.work(definition, {}) })
  end)

  it("knows every op type", function()
    for _, op_type in ipairs(ops.list()) do
      assert.is_function(ops.get(op_type).work, op_type)
    end
  end)

  it("bears structure that makes no sense", function()
    local axes = { batch_size = 3, num_pages = 20, len_indptr = 4, num_kv_indices = 3 }
    local structure = { kv_indptr = { 5, -2, 900 }, kv_indices = {}, kv_last_page_len = { 99, -5 } }
    local result = work("gqa_paged", "decode", PAGED_4, axes, structure)
    assert.is_true(result.read >= 0 and result.flops >= 0)
  end)
end)
