--- From dumps to workloads: pairing, sizes, structure, refusals.
local collect = require "hone.workloads.collect"
local fs = require "hone.fs"
local json = require "hone.json"
local dump_box = require "support.dump_box"
local ops = require "hone.ops"
local process = require "hone.process"
local safetensors = require "hone.safetensors"

local DECODE = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }

-- Definitions of ours, one for each { op type, variant, parameters }.
local function definitions(...)
  local list = {}
  for i, entry in ipairs { ... } do
    list[i] = assert(ops.build(entry[1], entry[2], entry[3], { models = { "m" } }))
  end
  return list
end

describe("workloads from dumps", function()
  local box, dumps, root

  before_each(function()
    box = dump_box.new()
    dumps, root = box.dumps, box.root
  end)
  after_each(function() box:close() end)

  local function log(lines) box:log(lines) end

  local function run(list, options) return box:collect(list, options) end

  local function workloads(definition) return box:workloads(definition) end

  local function tensor_of(workload, name)
    local spec = workload.inputs[name]
    assert.equal("safetensors", spec.type)
    local tensors = assert(safetensors.read(fs.join(root, spec.path)))
    return tensors[spec.tensor_key]
  end

  local function only_reason(result)
    local reasons = json.keys(result.refused)
    assert.equal(1, #reasons)
    return reasons[1]
  end

  it("keeps structure, trims the pages that no sequence has, and counts the pages that are used", function()
    log "log.decode([3, 5], sm_scale=0.25)"
    local list = definitions { "gqa_paged", "decode", DECODE }
    run(list)
    local workload = workloads(list[1])[1]
    assert.same({ "batch_size", "num_pages", "len_indptr", "num_kv_indices" }, json.keys(workload.axes))
    assert.same(
      { 2, 3, 8 },
      { workload.axes.batch_size, workload.axes.len_indptr, workload.axes.num_kv_indices }
    )
    assert.same({ 0, 3, 8 }, tensor_of(workload, "kv_indptr"):tolist())
    local indices = tensor_of(workload, "kv_indices")
    assert.equal("int32", indices.dtype)
    assert.equal(8, indices:numel())
    assert.equal(indices:max():item() + 1, workload.axes.num_pages)
    assert.same({ type = "random" }, workload.inputs.q)
    assert.same({ type = "scalar", value = 0.25 }, workload.inputs.sm_scale)
  end)

  it("takes FlashInfer's default for a scale that was not passed", function()
    log "log.decode([3])"
    local list = definitions { "gqa_paged", "decode", DECODE }
    run(list)
    assert.equal(1 / math.sqrt(128), workloads(list[1])[1].inputs.sm_scale.value)
  end)

  it("pairs a run with the latest plan of its own object, and of its own process", function()
    log [[
log.decode([1, 2], self_id=1)
log.decode([7], self_id=2)
other = Log(log.folder, pid=99, start=log.time)
other.decode([4, 4, 4], self_id=1)
q = Tensor("bfloat16", [2, 32, 128])
cache = Tensor("bfloat16", [20, 1, 8, 128])
log.time = other.time
log.call(DECODE + ".run", q, (cache, cache), self_id=1)
]]
    local list = definitions { "gqa_paged", "decode", DECODE }
    local result = run(list).definitions[1]
    assert.equal(4, result.calls)
    assert.equal(1, result.duplicates)
    local starts = {}
    for _, workload in ipairs(workloads(list[1])) do
      starts[#starts + 1] = table.concat(tensor_of(workload, "kv_indptr"):tolist(), " ")
    end
    table.sort(starts)
    assert.same({ "0 1 3", "0 4 8 12", "0 7" }, starts)
  end)

  it("refuses a run without a plan, another TP, and a wrapper that was planned for other heads", function()
    local list = definitions { "gqa_paged", "decode", DECODE }
    log "log.decode([3], plan=False)"
    assert.matches("no plan%(%)", only_reason(run(list).definitions[1]))
    fs.remove(dumps)
    log "log.decode([3], heads=(16, 4, 128))"
    assert.equal("num_qo_heads is 16 in plan(), not 32", only_reason(run(list).definitions[1]))
    fs.remove(dumps)
    log "log.decode([3], page_size=16)"
    assert.equal("page_size is 16 in plan(), not 1", only_reason(run(list).definitions[1]))
    assert.is_false(fs.exists(fs.join(root, "workloads")))
  end)

  it("does not take an older plan for one that cannot be read, whoever's it was", function()
    log [[
log.decode([1, 2], self_id=1)
log.decode([3, 4], self_id=2)
torn = log.decode([5, 6], self_id=1, runs=0)
open(torn + "/metadata.jsonl", "w").write("{")
q, cache = Tensor("bfloat16", [2, 32, 128]), Tensor("bfloat16", [20, 1, 8, 128])
log.call(DECODE + ".run", q, (cache, cache), self_id=1)
log.call(DECODE + ".run", q, (cache, cache), self_id=2)
log.decode([7, 8], self_id=2)
]]
    local result = run(definitions { "gqa_paged", "decode", DECODE }).definitions[1]
    assert.equal(3, #result.kept)
    assert.equal("no plan() that can be read comes before it in its process", only_reason(result))
    assert.equal(2, result.refused[only_reason(result)].count)
  end)

  it("reads caches with heads first and caches in one tensor, and the lengths of last pages", function()
    log [[
log.decode([70, 3], page_size=64, layout="HND")
log.decode([64], page_size=64, stacked=True)
]]
    local paged = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 64 }
    local list = definitions { "gqa_paged", "decode", paged }
    local result = run(list).definitions[1]
    assert.same({}, result.refused)
    local found = {}
    for _, workload in ipairs(workloads(list[1])) do
      found[workload.axes.batch_size] = tensor_of(workload, "kv_last_page_len"):tolist()
    end
    assert.same({ { 64 }, { 6, 3 } }, found)
  end)

  it("tells decode from prefill where one wrapper serves both", function()
    log [[
def step(queries, lengths, object):
    starts, rows = [0], [0]
    for n, m in zip(lengths, queries):
        starts.append(starts[-1] + n)
        rows.append(rows[-1] + m)
    pages = ints(list(range(starts[-1])))
    sizes = (16, 512, 64, 1, True, 0.135)
    log.call(MLA + ".plan", ints(rows), ints(starts), pages, ints(lengths), *sizes, self_id=object)
    queries = Tensor("bfloat16", [rows[-1], 16, 512]), Tensor("bfloat16", [rows[-1], 16, 64])
    caches = Tensor("bfloat16", [40, 1, 512]), Tensor("bfloat16", [40, 1, 64])
    log.call(MLA + ".run", *queries, *caches, self_id=object)
step([1, 1], [4, 6], 1)
step([3, 2], [5, 9], 2)
]]
    local sizes = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = 1 }
    local list = definitions({ "mla_paged", "decode", sizes }, { "mla_paged", "prefill_causal", sizes })
    local report = run(list)
    assert.same({ 1, 1 }, { #report.definitions[1].kept, #report.definitions[2].kept })
    assert.equal(2, workloads(list[1])[1].axes.batch_size)
    assert.equal(5, workloads(list[2])[1].axes.total_q)
    assert.equal(0.135, workloads(list[2])[1].inputs.sm_scale.value)
    assert.matches("another kind of call", only_reason(report.definitions[2]))
  end)

  it("leaves out ragged prefill that was planned without a causal mask", function()
    log [[
for causal in (True, False):
    log.call(RAGGED + ".plan", ints([0, 2, 5]), ints([0, 4, 9]), 32, 8, 128, causal=causal, self_id=3)
    k = Tensor("bfloat16", [9, 8, 128])
    log.call(RAGGED + ".run", Tensor("bfloat16", [5, 32, 128]), k, k, self_id=3)
]]
    local sizes = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128 }
    local result = run(definitions { "gqa_ragged", "prefill_causal", sizes }).definitions[1]
    assert.equal(1, #result.kept)
    assert.equal("it was planned with causal=false", only_reason(result))
  end)

  it("reads plain functions by their parameters' places, and keeps probabilities of nuclei", function()
    log [[
log.call("rmsnorm", Tensor("bfloat16", [7, 4096]), Tensor("bfloat16", [4096]), 1e-5)
log.call("top_p_sampling_from_probs", Tensor("float32", [3, 128256]), Tensor("float32", [3], [0.5, 0.75, 0.875]))
log.call("top_p_sampling_from_probs", Tensor("float32", [2, 128256]), 0.75)
]]
    local norm = { "rmsnorm", "rmsnorm", { hidden_size = 4096, eps = 1e-5 } }
    local list = definitions(norm, { "sampling", "top_p", { vocab_size = 128256 } })
    run(list)
    assert.same({ batch_size = 7 }, { batch_size = workloads(list[1])[1].axes.batch_size })
    assert.is_nil(workloads(list[1])[1].inputs.hidden_states.path)
    local sampled = workloads(list[2])
    assert.same({ 0.5, 0.75, 0.875 }, tensor_of(sampled[1], "top_p"):tolist())
    assert.same({ 0.75, 0.75 }, tensor_of(sampled[2], "top_p"):tolist())
  end)

  it("refuses structure that contradicts itself, and says how often", function()
    log [[
def step(starts, indices, rows):
    log.call(DECODE + ".plan", ints(starts), ints(indices), ints([1] * (len(starts) - 1)), 32, 8, 128, 1, self_id=1)
    cache = Tensor("bfloat16", [20, 1, 8, 128])
    log.call(DECODE + ".run", Tensor("bfloat16", [rows, 32, 128]), (cache, cache), self_id=1)
step([0, 5, 3], [0, 1, 2, 3, 4], 2)
step([1, 2, 3], [0, 1, 2], 2)
step([0, 2, 9], [0, 1, 2], 2)
step([0, 1, 2], [0, -4], 2)
step([0, 1, 2], [0, 1], 3)
]]
    local result = run(definitions { "gqa_paged", "decode", DECODE }).definitions[1]
    assert.same({
      "kv_indptr goes down",
      "kv_indptr does not begin at 0",
      "kv_indptr ends at 9, and there are 3 kv_indices",
      "kv_indices has a negative page",
    }, table.move(json.keys(result.refused), 1, 4, 1, {}))
    assert.matches("batch_size", json.keys(result.refused)[5])
    assert.equal(0, #result.kept)
  end)

  it("goes on past dumps that are cut short, and names them", function()
    log [[
log.decode([3])
bad = log.decode([4])
data = open(bad + "/inputs.safetensors", "rb").read()
open(bad + "/inputs.safetensors", "wb").write(data[: len(data) // 2])
worse = log.decode([5, 6])
open(worse + "/metadata.jsonl", "w").write('{"function_name": "' + DECODE)
log.call("rmsnorm", Tensor("bfloat16", [7, 4096]), Tensor("bfloat16", [4096]), torn=True)
]]
    local norm = { "rmsnorm", "rmsnorm", { hidden_size = 4096, eps = 1e-5 } }
    local report = run(definitions({ "gqa_paged", "decode", DECODE }, norm))
    assert.equal(2, #report.definitions[1].kept) -- of a run only the plan's tensors are read
    assert.equal(1, #report.definitions[2].kept)
    assert.equal(1, #report.broken)
    assert.matches("run_call0003: its metadata.jsonl holds no whole record", report.broken[1], 1, true)
  end)

  it("keeps few of the same sizes, prefers different ones, and finds again what is there", function()
    log [[
for i in range(6):
    log.decode([5, 5], seed=i, extra=0)
for i in range(1, 30):
    log.decode([i] * (1 + i % 4), seed=i)
]]
    local list = definitions { "gqa_paged", "decode", DECODE }
    local first = run(list, { max_workloads = 6 }).definitions[1]
    assert.equal(6, #first.kept)
    local batches = {}
    for _, workload in ipairs(workloads(list[1])) do
      batches[workload.axes.batch_size] = true
    end
    assert.same({ true, true, true, true }, batches)
    local again = run(list, { max_workloads = 40 }).definitions[1]
    assert.equal(6, again.known)
    local all = run(list, { max_workloads = 40 }).definitions[1]
    assert.equal(0, #all.kept)
    local uuids = {}
    for _, workload in ipairs(workloads(list[1])) do
      assert.is_nil(uuids[workload.uuid])
      uuids[workload.uuid] = true
    end
  end)

  it("writes nothing in a dry run, and takes the place of what was there when asked to", function()
    log "log.decode([3])"
    local list = definitions { "gqa_paged", "decode", DECODE }
    assert.equal(1, #run(list, { dry_run = true }).definitions[1].kept)
    assert.same({}, fs.list(root))
    run(list)
    fs.remove(dumps)
    log "log.decode([4])"
    run(list, { replace = true })
    assert.equal(1, #workloads(list[1]))
    assert.equal(1, #fs.list(fs.join(root, "blob/workloads/gqa_paged", list[1].name)))
  end)

  it("reads the replays of a CUDA graph", function()
    log [[
import shutil
log.call(DECODE + ".plan", ints([0, 2]), ints([0, 1]), ints([1]), 32, 8, 128, 1, self_id=1)
cache = Tensor("bfloat16", [20, 1, 8, 128])
run = log.call(DECODE + ".run", Tensor("bfloat16", [1, 32, 128]), (cache, cache), self_id=1)
record = json.loads(open(run + "/metadata.jsonl").readlines()[-1])
record["tensor_details"] = {}  # as for a graph: the file has them
for i in range(2):
    flush = run + "/graph_flushes/flush_%04d" % i
    os.makedirs(flush)
    shutil.copy(run + "/inputs.safetensors", flush)
    open(flush + "/metadata.jsonl", "w").write(json.dumps(record) + "\n")
]]
    local result = run(definitions { "gqa_paged", "decode", DECODE }).definitions[1]
    assert.same({ 3, 1, 2 }, { result.calls, #result.kept, result.duplicates })
  end)

  it("reads tensors in PyTorch's format by Python, and says so where there is none", function()
    if process.run({ "python3", "-c", "import torch" }).status ~= 0 then return pending "no torch" end
    log [[
import torch
log.decode([3, 5], extra=0)
for name in os.listdir(log.folder):
    path = os.path.join(log.folder, name)
    os.remove(path + "/inputs.safetensors")
    plan = {"arg_1": torch.tensor([0, 3, 8], dtype=torch.int32), "arg_2": torch.arange(8, dtype=torch.int32),
            "arg_3": torch.ones(2, dtype=torch.int32)}
    torch.save(plan if ".plan_" in name else {"arg_1": torch.zeros(2, 32, 128)}, path + "/inputs.pt")
]]
    local list = definitions { "gqa_paged", "decode", DECODE }
    assert.equal(1, #run(list).definitions[1].kept)
    assert.same({ 0, 3, 8 }, tensor_of(workloads(list[1])[1], "kv_indptr"):tolist())
    local evil = [[
import os, pickle, sys
class Evil:
    def __reduce__(self): return (open, (sys.argv[1] + "/ran", "w"))
for name in os.listdir(sys.argv[1]):
    pickle.dump(Evil(), open(os.path.join(sys.argv[1], name, "inputs.pt"), "wb"))
]]
    assert(process.run { "python3", "-c", evil, dumps, check = true })
    local report = run(list, { replace = true })
    assert.is_false(fs.exists(fs.join(dumps, "ran")))
    assert.matches("inputs.pt cannot be read", report.warnings[1])
    local kept = fs.list(fs.join(root, "blob/workloads/gqa_paged", list[1].name))
    assert.equal(1, #kept) -- nothing came in its place
  end)

  it("says which definitions are never logged", function()
    log "log.decode([3])"
    local report = run(definitions { "gemm", "gemm", { N = 6144, K = 4096 } })
    assert.same({ "gemm_n6144_k4096 has no fi_api tag: nothing is logged for it" }, { report.skipped[1] })
  end)

  it("makes workloads that hone's own reference accepts", function()
    log "log.decode([3, 0, 5])"
    local list = definitions { "gqa_paged", "decode", DECODE }
    run(list)
    local workload = workloads(list[1])[1]
    local inputs = assert(require("hone.dataset.inputs").make(list[1], { workload = workload, root = root }))
    local values = {}
    for i, entry in ipairs(inputs) do
      values[i] = entry.value
    end
    local outputs = assert(assert(require("hone.reference")(list[1]))(table.unpack(values, 1, #inputs)))
    assert.equal(-math.huge, outputs[2][{ 2, 1 }]:item())
  end)
end)

-- Calls of flashinfer 0.6.18 on an H200 (spec/gpu/flashinfer_dumps.py), of larger tensors only what they look like. Those
-- of experts and draws were made without a GPU: FlashInfer dumps what it is given before it refuses to run.
describe("dumps of FlashInfer's own", function()
  local REAL = "spec/support/dumps"
  local attention = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128 }
  local paged = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 1 }
  local partial = { num_qo_heads = 32, num_kv_heads = 8, head_dim = 128, page_size = 64 }
  local latent = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = 1 }
  local norm = { hidden_size = 4096, eps = 1e-5 }
  local words = { vocab_size = 128256 }
  local experts = {
    hidden_size = 7168,
    intermediate_size = 2048,
    num_experts = 256,
    num_local_experts = 32,
    top_k = 8,
    n_group = 8,
    topk_group = 4,
  }

  -- { op type, variant, parameters, sizes of the workloads that come out }
  for _, case in ipairs {
    { "gqa_paged", "decode", paged, { "batch_size=3 len_indptr=4 num_kv_indices=21" } },
    { "gqa_paged", "decode", partial, { "batch_size=3 len_indptr=4 num_kv_indices=3" } },
    {
      "gqa_paged",
      "prefill_causal",
      paged,
      {
        "len_indptr=3 total_q=6 num_kv_indices=11",
        "len_indptr=2 total_q=7 num_kv_indices=7",
      },
    },
    {
      "gqa_ragged",
      "prefill_causal",
      attention,
      { "len_indptr=3 total_q=8 total_kv=13", "len_indptr=3 total_q=7 total_kv=10" },
    },
    { "mla_paged", "decode", latent, { "batch_size=3 len_indptr=4 num_kv_indices=26" } },
    { "mla_paged", "prefill_causal", latent, { "total_q=5 len_indptr=3 num_kv_indices=10" } },
    { "rmsnorm", "rmsnorm", norm, { "batch_size=5" } },
    { "rmsnorm", "fused_add_rmsnorm", norm, { "batch_size=5" } },
    { "sampling", "top_k", words, { "batch_size=4" } },
    { "sampling", "top_p", words, { "batch_size=4" } },
    { "sampling", "top_k_top_p", words, { "batch_size=4" } },
    { "moe", "fp8_block_scale_ds", experts, { "seq_len=7", "seq_len=16" } },
  } do
    it(
      ("become workloads of %s %s, page size %s"):format(case[1], case[2], case[3].page_size or "none"),
      function()
        local dir <close> = assert(fs.tempdir())
        local list = definitions { case[1], case[2], case[3] }
        local report =
          assert(collect.from_dumps(REAL, list, { root = dir.path, max_workloads = 20, max_per_axes = 2 }))
        local found = {}
        for i, kept in ipairs(report.definitions[1].kept) do
          local sizes = {}
          for _, name in ipairs(json.keys(kept.axes)) do
            -- pages are shuffled: how many there are at most depends on the draw
            if name ~= "num_pages" then sizes[#sizes + 1] = ("%s=%d"):format(name, kept.axes[name]) end
            assert.is_true(kept.axes[name] > 0)
          end
          found[i] = table.concat(sizes, " ")
        end
        local expected = {}
        for i, text in ipairs(case[4]) do
          expected[i] = text:gsub("num_pages=%d+ ?", ""):gsub(" $", "")
        end
        assert.same(expected, found)
      end
    )
  end

  it("keep the logits by which experts were chosen, and the numbers that draws were bound by", function()
    local box = dump_box.new()
    finally(function() box:close() end)
    box.dumps = REAL
    local list = definitions({ "moe", "fp8_block_scale_ds", experts }, { "sampling", "top_k_top_p", words })
    box:collect(list)
    local function read(input)
      assert.equal("safetensors", input.type)
      return assert(safetensors.read(fs.join(box.root, input.path)))[input.tensor_key]
    end
    local inputs = box:workloads(list[1])[1].inputs
    local logits, bias = read(inputs.routing_logits), read(inputs.routing_bias)
    assert.same({ 7, 256 }, logits:shape())
    assert.is_true(logits:std():item() > 0.9 and logits:std():item() < 1.1)
    assert.same({ "bfloat16", 256 }, { bias.dtype, bias:numel() })
    assert.equal("random", inputs.gemm1_weights.type)
    assert.equal(32, inputs.local_expert_offset.value)
    assert.equal(2.5, inputs.routed_scaling_factor.value)
    inputs = box:workloads(list[2])[1].inputs
    assert.same({ 1, 5, 50, 400 }, read(inputs.top_k):tolist())
    assert.is_true(math.abs(read(inputs.top_p):sum():item() - 2.49) < 1e-6)
  end)
end)
