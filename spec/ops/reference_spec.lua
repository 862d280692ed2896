-- PyTorch judges the references: against the dataset's, and, where it has none, against the same thing
-- computed in another way. The inputs are in support/compare_references.py.
local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local process = require "hone.process"
local support = require "support.dataset"

-- The dataset's tolerance is 1e-2. Here no more may differ than what the order of a float32 sum changes,
-- which may round a bfloat16 between 1 and 2 to the value beside it.
local TOLERANCE = { bfloat16 = 2 ^ -7, float16 = 0, float32 = 1e-4, int32 = 0, int64 = 0 }
local SECONDS = 600

-- What the dataset has no definition of: other page sizes, other dtypes.
local OURS_ONLY = {}
for _, page_size in ipairs { 16, 32 } do
  for _, variant in ipairs { "decode", "prefill_causal" } do
    local params = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = page_size }
    table.insert(OURS_ONLY, { "gqa_paged", variant, params })
  end
end
table.insert(OURS_ONLY, { "gemm", "gemm", { N = 96, K = 64, dtype = "bfloat16" } })
table.insert(OURS_ONLY, { "gemm", "gemm", { N = 96, K = 64, dtype = "float32" } })
for _, scales in ipairs { "block", "per_tensor" } do
  table.insert(OURS_ONLY, { "gemm", ("fp8_%s_scale"):format(scales), { N = 200, K = 384 } })
end

for _, style in ipairs { "neox", "gptj" } do
  table.insert(OURS_ONLY, { "rope", style, { head_size = 64, rotary_dim = 64 } })
end
table.insert(OURS_ONLY, { "rope", "gptj", { head_size = 128, rotary_dim = 32 } })

table.insert(OURS_ONLY, { "rmsnorm", "gemma_rmsnorm", { hidden_size = 256, eps = 1e-6 } })
table.insert(OURS_ONLY, { "rmsnorm", "gemma_fused_add_rmsnorm", { hidden_size = 256, eps = 1e-6 } })

-- Windows, soft caps and sinks; windows shorter and longer than the sequences.
local function with_form(op_type, variant, page_size, more)
  local params = { num_qo_heads = 8, num_kv_heads = 2, head_dim = 64, page_size = page_size }
  for name, value in pairs(more) do
    params[name] = value
  end
  table.insert(OURS_ONLY, { op_type, variant, params })
end
for _, page_size in ipairs { 1, 64 } do
  for _, stage in ipairs { "decode", "prefill_causal" } do
    with_form("gqa_paged", stage .. "_window", page_size, { window_size = 50 })
    with_form("gqa_paged", stage .. "_softcap", page_size, { logits_soft_cap = 1 })
    with_form("gqa_paged", stage .. "_sink", page_size, {})
    with_form("gqa_paged", stage .. "_window_softcap", page_size, { window_size = 1, logits_soft_cap = 2 })
    with_form("gqa_paged", stage .. "_window_sink", page_size, { window_size = 128 })
  end
end
with_form("gqa_paged", "decode_window_softcap_sink", 16, { window_size = 33, logits_soft_cap = 3 })
with_form("gqa_ragged", "prefill_causal_window", nil, { window_size = 64 })
with_form("gqa_ragged", "prefill_causal_softcap", nil, { logits_soft_cap = 1 })
with_form("gqa_ragged", "prefill_causal_window_softcap", nil, { window_size = 7, logits_soft_cap = 2 })

local latent = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = 16 }
table.insert(OURS_ONLY, { "mla_paged", "decode", latent })
table.insert(OURS_ONLY, { "mla_paged", "prefill_causal", latent })
local sparse = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, topk = 2048, page_size = 64 }
table.insert(OURS_ONLY, { "dsa_paged", "sparse_attention", sparse })

for _, format in ipairs { "fp8_block_scale", "fp4_block_scale", "fp8_per_tensor_scale", "bf16" } do
  local sizes = { hidden_size = 1024, intermediate_size = 640 }
  for _, way in ipairs { "renorm", "default", "ds", "llama4" } do
    local params = { top_k = way == "llama4" and 1 or 3, n_group = way == "ds" and 4 or nil }
    params.topk_group = params.n_group and 2
    params.num_experts = (way == "ds" or format ~= "fp8_block_scale") and 16 or nil
    params.num_local_experts = (way == "ds" or format == "fp8_block_scale") and 8 or nil
    for name, size in pairs(sizes) do
      params[name] = size
    end
    table.insert(OURS_ONLY, { "moe", format .. "_" .. way, params })
  end
end

for _, variant in ipairs { "fp4_block_scale_oa_renorm", "fp4_block_scale_oa_routed" } do
  local params = { num_experts = 8, top_k = 3, hidden_size = 1024, intermediate_size = 640 }
  table.insert(OURS_ONLY, { "moe", variant, params })
end

-- Our definition of the same kernel as a file of the dataset.
local function rebuild(path)
  local theirs = assert(json.read(path))
  local op_type, variant, params = ops.parse(theirs.name)
  for name, value in pairs(select(2, ops.signature(theirs)).hidden) do
    params[name] = tonumber(value)
  end
  if op_type == "moe" and theirs.axes.num_experts then params.num_experts = theirs.axes.num_experts.value end
  return (assert(ops.build(op_type, variant, params)))
end

local function our_definitions(theirs)
  local list = {}
  for _, op_type in ipairs(ops.list()) do
    local paths = fs.glob(fs.join(theirs, op_type, "*.json"))
    for _, path in ipairs(paths) do
      table.insert(list, (rebuild(path)))
    end
  end
  for _, case in ipairs(OURS_ONLY) do
    table.insert(list, (assert(ops.build(table.unpack(case)))))
  end
  return list
end

describe("references under PyTorch", function()
  local root, no_dataset = support.trace()
  local python, no_python = support.python()
  if not root or not python then return pending(no_dataset or no_python) end

  local definitions = our_definitions(fs.join(root, "definitions"))
  local results

  setup(function()
    local ours <close> = assert(fs.tempdir())
    for _, definition in ipairs(definitions) do
      local path = fs.join(ours.path, definition.op_type, definition.name .. ".json")
      assert(json.write(path, definition, { indent = 2 }))
    end
    local script, theirs = "spec/support/compare_references.py", fs.join(root, "definitions")
    local done = assert(process.run { python, script, ours.path, theirs, timeout = SECONDS })
    assert(done.status == 0, done.stderr)
    results = assert(json.decode(done.stdout, { nan = true }))
  end)

  for _, definition in ipairs(definitions) do
    it("agree for " .. definition.name, function()
      local result = results[definition.name]
      assert.same({}, result.failures)
      assert.is_true(result.cases > 0)
      for name, output in pairs(definition.outputs) do
        local worst = result.outputs[name].absolute
        assert.is_true(worst <= TOLERANCE[output.dtype], ("%s differs by %g"):format(name, worst))
      end
    end)
  end
end)
