--- Calls of FlashInfer's functions (no wrappers) as workloads: linear attention, states, experts, sparse attention.
local fs, json = require "hone.fs", require "hone.json"
local dump_box = require "support.dump_box"
local ops = require "hone.ops"
local safetensors = require "hone.safetensors"

describe("calls of functions", function()
  local box
  before_each(function() box = dump_box.new() end)
  after_each(function() box:close() end)

  -- The workloads of lines of Python over the log of one process, and why others are refused.
  local function collected(lines, op_type, variant, params)
    local definition = assert(ops.build(op_type, variant, params, { models = { "m" } }))
    box:log("T = Tensor\n" .. lines)
    local report = box:collect { definition }
    local path = fs.join(box.root, "workloads", op_type, definition.name .. ".jsonl")
    local list = fs.is_file(path) and box:workloads(definition) or {}
    return list, json.keys(report.definitions[1].refused)
  end

  local function tensor_of(workload, name)
    local entry = workload.inputs[name]
    local file <close> = assert(safetensors.open(fs.join(box.root, entry.path)))
    return assert(file:tensor(entry.tensor_key))
  end

  local DELTA = { num_q_heads = 4, num_v_heads = 8, head_size = 128 }
  local GATES = [[
def gates(rows, seq):
    q, v, a = T("bfloat16", [rows, seq, 4, 128]), T("bfloat16", [rows, seq, 8, 128]), T("bfloat16", [rows, seq, 8])
    return (q, q, v), (T("float32", [8]), a, T("float32", [8]), a)
]]

  it("reads decode of gated delta nets, under both of its names", function()
    local list, refused = collected(GATES .. [[
qkv, rest = gates(3, 1)
log.call("gated_delta_rule_decode", *qkv, T("float32", [3, 8, 128, 128]), *rest)
qkv, rest = gates(5, 1)
log.call("gated_delta_rule_decode_pretranspose", *qkv, None, *rest, scale=0.5)
qkv, rest = gates(2, 4)
log.call("gated_delta_rule_decode", *qkv, T("float32", [2, 8, 128, 128]), *rest)
]], "gdn", "decode", DELTA)
    assert.equal(2, #list)
    table.sort(list, function(x, y) return x.axes.batch_size < y.axes.batch_size end)
    assert.equal(3, list[1].axes.batch_size)
    assert.equal(5, list[2].axes.batch_size)
    assert.is_true(math.abs(list[1].inputs.scale.value - 128 ^ -0.5) < 1e-9)
    assert.equal(0.5, list[2].inputs.scale.value)
    assert.equal("random", list[1].inputs.state.type)
    assert.same({ "seq_len is 4 in q, not 1" }, refused)
  end)

  it("reads prefill of gated delta nets, which is given gates and not what they are made of", function()
    local list, refused = collected(
      [[
def prefill(starts, **more):
    n = starts[-1]
    q, v, g = T("bfloat16", [n, 4, 128]), T("bfloat16", [n, 8, 128]), T("float32", [n, 8])
    log.call("chunk_gated_delta_rule", q, q, v, g, g, None, cu_seqlens=ints(starts), **more)
prefill([0, 5, 12], initial_state=T("float32", [2, 8, 128, 128]))
prefill([0, 3], initial_state=T("float32", [9, 8, 128, 128]), state_indices=ints([4]))
]],
      "gdn",
      "prefill",
      DELTA
    )
    assert.equal(1, #list)
    assert.equal(12, list[1].axes.total_seq_len)
    assert.equal(2, list[1].axes.num_seqs)
    local starts = tensor_of(list[1], "cu_seqlens")
    assert.equal("int64", starts.dtype)
    assert.same({ 0, 5, 12 }, starts:tolist())
    assert.same({ "its states lie in a pool (state_indices)" }, refused)
  end)

  it("reads updates of states, with the slots that were passed or those of the sequences", function()
    local list, refused = collected(
      [[
def update(rows, **more):
    x, bc = T("bfloat16", [rows, 8, 64]), T("bfloat16", [rows, 2, 128])
    more.setdefault("dt_softplus", True)
    log.call("selective_state_update", T("bfloat16", [9, 8, 64, 128]), x, x, T("float32", [8, 64, 128]), bc, bc,
             T("bfloat16", [8, 64]), dt_bias=T("bfloat16", [8, 64]), **more)
update(3, state_batch_indices=ints([7, -1, 2]))
update(2)
update(4, z=T("bfloat16", [4, 8, 64]))
update(4, dt_softplus=False)
]],
      "mamba_ssu",
      "decode",
      { nheads = 8, head_dim = 64, dstate = 128, ngroups = 2 }
    )
    assert.equal(2, #list)
    table.sort(list, function(x, y) return x.axes.batch_size < y.axes.batch_size end)
    assert.same({ 0, 1 }, tensor_of(list[1], "state_batch_indices"):tolist())
    assert.same({ 7, -1, 2 }, tensor_of(list[2], "state_batch_indices"):tolist())
    assert.equal(9, list[1].axes.state_cache_size)
    assert.same({ "it was called with z", "it was called with dt_softplus=false" }, refused)
  end)

  it("tells ways of choosing experts apart by the call's numbers", function()
    local list, refused = collected(
      [[
def experts(rows, method=2, offset=8, factor=2.5, top_k=3, n_group=4, bias=True, **more):
    log.call("trtllm_fp8_block_scale_moe", T("float32", [rows, 16]), T("bfloat16", [16]) if bias else None,
             T("float8_e4m3fn", [rows, 256]), T("float32", [2, rows]),
             T("float8_e4m3fn", [8, 256, 256]), T("float32", [8, 2, 2]),
             T("float8_e4m3fn", [8, 256, 128]), T("float32", [8, 2, 1]),
             16, top_k, n_group, 2, 128, offset, 8, factor, method, **more)
experts(5)
experts(6, method=1)
experts(6, top_k=4)
experts(6, n_group=8)
experts(6, activation_type=4)
experts(7, factor=None)
experts(8, bias=False)
]],
      "moe",
      "fp8_block_scale_ds",
      {
        hidden_size = 256,
        intermediate_size = 128,
        num_experts = 16,
        num_local_experts = 8,
        top_k = 3,
        n_group = 4,
        topk_group = 2,
      }
    )
    assert.equal(3, #list)
    table.sort(list, function(x, y) return x.axes.seq_len < y.axes.seq_len end)
    assert.equal(5, list[1].axes.seq_len)
    for _, workload in ipairs(list) do
      assert.equal("safetensors", workload.inputs.routing_bias.type) -- of zeros, where it was passed none
    end
    assert.equal(8, list[1].inputs.local_expert_offset.value)
    assert.equal(2.5, list[1].inputs.routed_scaling_factor.value)
    assert.equal(1.0, list[2].inputs.routed_scaling_factor.value)
    assert.same({
      "it was called with routing_method_type=1",
      "it was called with top_k=4",
      "it was called with n_group=8",
      "it was called with activation_type=4",
    }, refused)
  end)

  it("reads weights of experts in blocks, and with two numbers in a byte", function()
    local list, refused = collected(
      [[
def experts(rows, w13, w2, alpha=None):
    log.call("trtllm_fp4_block_scale_moe", T("bfloat16", [rows, 16]), None, T("bfloat16", [rows, 256]), None,
             w13, T("uint8", [16, 256, 8]), None, alpha, None, None,
             w2, T("uint8", [16, 256, 4]), None, None, None, None, 16, 3, None, None, 128, 0, 16, None, 1)
experts(4, T("uint8", [16, 256, 128]), T("uint8", [16, 256, 64]))
experts(5, T("uint8", [16, 1, 256, 128]), T("uint8", [16, 1, 256, 64]))
experts(6, T("uint8", [16, 256, 256]), T("uint8", [16, 256, 64]))
experts(7, T("uint8", [16, 256, 128]), T("uint8", [16, 256, 64]), T("float32", [16]))
]],
      "moe",
      "fp4_block_scale_renorm",
      { hidden_size = 256, intermediate_size = 128, num_experts = 16, top_k = 3 }
    )
    assert.equal(2, #list)
    assert.equal(9, list[1].axes.seq_len + list[2].axes.seq_len)
    assert.same(
      { "hidden_size is 512 in gemm1_weights, not 256", "its activation is another one (gemm1_alpha)" },
      refused
    )
  end)

  it("reads sparse attention from the tokens that were picked, and leaves dense calls alone", function()
    local list, refused = collected(
      [[
def attend(rows, heads=16, top_k=4, page=1, scale=0.25):
    tables = T("int32", [rows, 1, 4], list(range(4 * rows))) if top_k else T("int32", [rows, 9], [0] * 9 * rows)
    log.call("trtllm_batch_decode_with_kv_cache_mla", T("bfloat16", [rows, 1, heads, 576]),
             T("bfloat16", [40, page, 576]), T("uint8", [8]), 128, 512, 64, tables, ints([20] * rows), 20, top_k,
             bmm1_scale=scale)
attend(3)
attend(2, heads=8)
attend(2, top_k=0)
attend(2, page=64)
]],
      "dsa_paged",
      "sparse_attention",
      { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, topk = 4, page_size = 1 }
    )
    assert.equal(1, #list)
    assert.equal(3, list[1].axes.num_tokens)
    assert.equal(40, list[1].axes.num_pages)
    assert.equal(0.25, list[1].inputs.sm_scale.value)
    assert.same(
      { { 0, 1, 2, 3 }, { 4, 5, 6, 7 }, { 8, 9, 10, 11 } },
      tensor_of(list[1], "sparse_indices"):tolist()
    )
    assert.same(
      { "its queries have 8 heads", "it was called with sparse_mla_top_k=0", "its pages hold 64 tokens" },
      refused
    )
  end)
end)
