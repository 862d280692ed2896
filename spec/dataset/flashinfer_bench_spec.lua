-- What hone writes, read by flashinfer-bench itself. The release on PyPI has no `validate`: that part runs
-- where HONE_FLASHINFER_BENCH names a checkout of flashinfer-bench that has it.
local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local process, traceset = require "hone.process", require "hone.dataset.traceset"
local support = require "support.dataset"

local SOURCE = os.getenv("HONE_FLASHINFER_BENCH")

local DEFINITIONS = {}
local function add(...) table.insert(DEFINITIONS, (assert(ops.build(...)))) end

for _, page_size in ipairs { 1, 16, 64 } do
  for _, variant in ipairs { "decode", "prefill_causal" } do
    add("gqa_paged", variant, { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = page_size })
  end
end
add("gqa_ragged", "prefill_causal", { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128 })
for _, dtype in ipairs { "float16", "bfloat16", "float32" } do
  add("gemm", "gemm", { N = 6144, K = 4096, dtype = dtype })
end
for _, variant in ipairs(ops.variants("rmsnorm")) do
  add("rmsnorm", variant, { hidden_size = 4096, eps = 1e-5 })
end
for _, variant in ipairs(ops.variants("sampling")) do
  add("sampling", variant, { vocab_size = 128256 })
end
for _, variant in ipairs(ops.variants("gdn")) do
  add("gdn", variant, { num_q_heads = 4, num_v_heads = 8, head_size = 128 })
end
add("mamba_ssu", "decode", { nheads = 64, head_dim = 64, dstate = 128, ngroups = 4 })
for _, scales in ipairs { "block", "per_tensor" } do
  add("gemm", ("fp8_%s_scale"):format(scales), { N = 2112, K = 7168 })
end
for _, variant in ipairs(ops.variants("moe")) do
  local is_global = variant:find("_ds", 1, true) ~= nil
  local has_blocks = variant:find("fp8_block", 1, true) ~= nil
  add("moe", variant, {
    num_experts = (is_global or not has_blocks) and 128 or nil,
    num_local_experts = (is_global or has_blocks) and 32 or nil,
    hidden_size = 2048,
    intermediate_size = 768,
    top_k = variant:find("llama4", 1, true) and 1 or 8,
    n_group = is_global and 4 or nil,
    topk_group = is_global and 2 or nil,
  })
end
for _, variant in ipairs(ops.variants("rope")) do
  add("rope", variant, { head_size = 128, rotary_dim = 64 })
end
for _, op_type in ipairs { "gqa_paged", "gqa_ragged" } do
  for _, variant in ipairs(ops.variants(op_type)) do
    local params = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64 }
    params.page_size = op_type == "gqa_paged" and 64 or nil
    params.window_size = variant:find "window" and 128 or nil
    params.logits_soft_cap = variant:find "softcap" and 50 or nil
    add(op_type, variant, params)
  end
end
for _, page_size in ipairs { 1, 64 } do
  local latent = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = page_size }
  add("mla_paged", "decode", latent)
  add("mla_paged", "prefill_causal", latent)
  latent.topk = 2048
  add("dsa_paged", "sparse_attention", latent)
end
add("mla_ragged", "prefill_causal", { num_qo_heads = 16, qk_dim = 192, vo_dim = 128 })
local indexer = { num_index_heads = 64, index_head_dim = 128, topk = 2048, page_size = 64 }
add("dsa_paged", "topk_indexer", indexer)

describe("flashinfer-bench", function()
  local python, absent = support.python()
  if not python then return pending(absent) end

  local dataset, report

  setup(function()
    dataset = assert(fs.tempdir())
    assert(traceset.apply(traceset.plan(assert(traceset.open(dataset.path)), DEFINITIONS)))
    local command = { python, "spec/support/validate_dataset.py", dataset.path, SOURCE, timeout = 120 }
    local done = assert(process.run(command))
    assert(done.status == 0, done.stderr)
    report = assert(json.decode(done.stdout:match("([^\n]*)\n$")))
  end)

  teardown(function() dataset:remove() end)

  it("loads every definition that hone writes", function()
    local names = {}
    for i, definition in ipairs(DEFINITIONS) do
      names[i] = definition.name
    end
    table.sort(names)
    assert.same(names, report.definitions)
  end)

  it("finds no fault with their layout, fields and descriptions", function()
    if report.validated == json.null then
      return pending("flashinfer-bench has no validate (HONE_FLASHINFER_BENCH may name a checkout that has)")
    end
    for name, checks in pairs(report.validated) do
      for check, result in pairs(checks) do
        if type(result) == "table" then assert.not_equal("error", result.status, name .. " " .. check) end
      end
      assert.equal("ok", checks.layout.status, name)
      assert.equal("ok", checks.definition.status, name)
    end
  end)
end)
