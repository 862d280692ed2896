--- A large dataset: opening and summarising it against flashinfer_bench's TraceSet, validating it against its
--- validator. HONE_BENCH_DATASET names a folder where the dataset is kept between runs, HONE_BENCH_TRACES how many
--- traces it has (200,000 by default), HONE_FLASHINFER_BENCH a checkout of flashinfer-bench, whose release has no
--- `validate`.
local fs = require "hone.fs"
local json = require "hone.json"
local ops = require "hone.ops"
local process = require "hone.process"

local TRACES = tonumber(os.getenv "HONE_BENCH_TRACES" or 200000)
local DEFINITIONS, WORKLOADS = TRACES // 100, 10
local AUTHORS = { "baseline", "claude-opus", "gpt-5", "gemini-pro", "kernel-guild" }
local HARDWARE = { "NVIDIA H200", "NVIDIA B200" }

-- ---- what the dataset holds ------------------------------------------------------------------------

local function gemm(i) return ops.build("gemm", "gemm", { N = 256 * (1 + i % 40), K = 128 * (1 + i // 40) }) end

local function norm(i)
  local variant = i % 2 == 0 and "rmsnorm" or "fused_add_rmsnorm"
  return ops.build("rmsnorm", variant, { hidden_size = 128 * (1 + i // 2), eps = 1e-6 })
end

local function decode(i)
  local heads = 4 * (1 + i // 8)
  local params =
    { num_qo_heads = heads, num_kv_heads = ({ 1, 2, 4 })[i % 3 + 1], head_dim = 128, page_size = 1 << i % 8 }
  return ops.build("gqa_paged", "decode", params)
end

local function experts(i)
  local params = {
    num_local_experts = 8 * (1 + i % 16),
    hidden_size = 128 * (1 + i // 16),
    intermediate_size = 2048,
    top_k = 8,
  }
  return ops.build("moe", "fp8_block_scale_renorm", params)
end

local FAMILIES = { { gemm, 0.5 }, { norm, 0.2 }, { decode, 0.15 }, { experts, 0.15 } }

local function definitions()
  local list = {}
  for _, family in ipairs(FAMILIES) do
    for i = 0, math.floor(DEFINITIONS * family[2]) - 1 do
      list[#list + 1] = assert(family[1](i))
    end
  end
  return list
end

local function uuid(n)
  local random = math.random
  return ("%08x-%04x-4%03x-a%03x-%012x"):format(
    n,
    random(0, 65535),
    random(0, 4095),
    random(0, 4095),
    random(0, 1 << 47)
  )
end

-- Sizes of the variable axes of the n-th workload.
local function sizes_of(definition, n)
  local sizes, base = json.object(), ({ 1, 2, 8, 16, 64, 128, 333, 1024, 4096, 9000 })[n]
  for name, axis in pairs(definition.axes) do
    if axis.type == "var" then sizes[name] = base end
  end
  if sizes.len_indptr then
    sizes.batch_size = math.min(base, 64)
    sizes.len_indptr = sizes.batch_size + 1
  end
  return sizes
end

-- Which page is whose: the structural inputs of a decode, in a file as collected workloads have them.
local function write_blob(root, definition, sizes, id)
  local tensor = require "hone.tensor"
  local path = ("blob/workloads/%s/%s/%s_%s.safetensors"):format(
    definition.op_type,
    definition.name,
    definition.name,
    id
  )
  local starts = {}
  for i = 0, sizes.batch_size do
    starts[i + 1] = sizes.num_kv_indices * i // sizes.batch_size
  end
  local tensors = {
    kv_indptr = tensor.new(starts, "int32"),
    kv_indices = tensor.arange(sizes.num_kv_indices, "int32"),
  }
  if definition.inputs.kv_last_page_len then
    tensors.kv_last_page_len = tensor.full({ sizes.batch_size }, 1, "int32")
  end
  assert(fs.mkdir(fs.join(root, fs.dirname(path))))
  assert(require("hone.safetensors").write(fs.join(root, path), tensors))
  return "./" .. path, tensors
end

local function workloads_of(root, definition)
  local list = {}
  for n = 1, WORKLOADS do
    local id, sizes, inputs = uuid(n), sizes_of(definition, n), json.object()
    local path, kept
    if definition.inputs.kv_indices then
      path, kept = write_blob(root, definition, sizes, id)
    end
    for name, spec in pairs(definition.inputs) do
      if spec.shape == json.null then
        inputs[name] = json.object { { "type", "scalar" }, { "value", 0.08838834764831843 } }
      elseif kept and kept[name] then
        inputs[name] = json.object { { "type", "safetensors" }, { "path", path }, { "tensor_key", name } }
      else
        inputs[name] = json.object { { "type", "random" } }
      end
    end
    list[n] = json.object { { "axes", sizes }, { "inputs", inputs }, { "uuid", id } }
  end
  return list
end

local function solution_of(definition, author)
  local kernel = [[
import triton
import triton.language as tl


@triton.jit
def kernel(source, target, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(source + offsets, mask=offsets < n)
    tl.store(target + offsets, values, mask=offsets < n)
]]
  return json.object {
    { "name", ("%s_%s"):format(author, definition.name) },
    { "definition", definition.name },
    { "author", author },
    {
      "spec",
      json.object {
        { "language", "triton" },
        { "target_hardware", { "NVIDIA H200" } },
        { "entry_point", "main.py::run" },
        { "dependencies", json.array() },
      },
    },
    {
      "sources",
      {
        json.object { { "path", "main.py" }, { "content", definition.reference } },
        json.object { { "path", "kernel.py" }, { "content", kernel:rep(3, "\n\n") } },
      },
    },
  }
end

-- One in fifty does not pass; those carry a log.
local function evaluation_of(latency, hardware)
  local failed = math.random() < 0.02
  local log = failed and ('Traceback (most recent call last):\n  File "main.py", line 42, in run\n'):rep(6)
    or ""
  return json.object {
    { "status", failed and "RUNTIME_ERROR" or "PASSED" },
    {
      "environment",
      json.object {
        { "hardware", hardware },
        { "libs", json.object { { "torch", "2.9.0+cu130" }, { "triton", "3.5.0" }, { "cuda", "13.0" } } },
      },
    },
    { "timestamp", "2026-03-14T15:09:26.535897" },
    { "log", log },
    {
      "correctness",
      failed and json.null or json.object {
        { "max_relative_error", math.random() * 1e-2 },
        { "max_absolute_error", math.random() * 1e-3 },
        { "extra", json.null },
      },
    },
    {
      "performance",
      failed and json.null or json.object {
        { "latency_ms", latency },
        { "reference_latency_ms", latency * 7 },
        { "speedup_factor", 7.0 },
      },
    },
  }
end

local function write_lines(path, lines)
  assert(fs.mkdir(fs.dirname(path)))
  assert(fs.write(path, table.concat(lines, "\n") .. "\n"))
end

local function line(definition, workload, solution, evaluation)
  return json.encode(json.object {
    { "definition", definition.name },
    { "workload", workload },
    { "solution", solution or json.null },
    { "evaluation", evaluation or json.null },
  })
end

local function write_definition(root, definition)
  local op_type, name = definition.op_type, definition.name
  local folder = fs.join(root, "definitions", op_type)
  assert(fs.mkdir(folder))
  assert(json.write(fs.join(folder, name .. ".json"), definition, { indent = 2 }))
  local workloads, lines = workloads_of(root, definition), {}
  for i, workload in ipairs(workloads) do
    lines[i] = line(definition, workload)
  end
  write_lines(fs.join(root, "workloads", op_type, name .. ".jsonl"), lines)
  for rank, author in ipairs(AUTHORS) do
    local solution = solution_of(definition, author)
    local home = fs.join(root, "solutions", author, op_type, name)
    assert(fs.mkdir(home))
    assert(json.write(fs.join(home, solution.name .. ".json"), solution, { indent = 2 }))
    lines = {}
    for _, hardware in ipairs(HARDWARE) do
      for i, workload in ipairs(workloads) do
        local latency = (0.01 + i / 50) * (0.7 + 0.1 * rank + 0.3 * math.random())
        lines[#lines + 1] = line(definition, workload, solution.name, evaluation_of(latency, hardware))
      end
    end
    write_lines(fs.join(root, "traces", author, op_type, name .. ".jsonl"), lines)
  end
end

local DONE = "complete.txt"

-- The same dataset every time, at `root`.
local function generate(root)
  if fs.exists(fs.join(root, DONE)) then return end
  math.randomseed(20260314)
  for _, definition in ipairs(definitions()) do
    write_definition(root, definition)
  end
  assert(fs.write(fs.join(root, DONE), ("%d traces\n"):format(TRACES)))
end

-- ---- figures ---------------------------------------------------------------------------------------

-- Seconds and MB of a command; its output too.
local function measure(command)
  local result = assert(process.run { "/usr/bin/time", "-f", "%e %M", table.unpack(command) })
  local seconds, kilobytes = result.stderr:match "([%d.]+) (%d+)%s*$"
  assert(seconds, result.stderr)
  return tonumber(seconds), tonumber(kilobytes) / 1e3, result
end

-- The least of several times: files that nobody has read yet count for neither side.
local function best_of(times, command)
  local best, peak = math.huge, 0
  for _ = 1, times do
    local seconds, megabytes = measure(command)
    best, peak = math.min(best, seconds), math.max(peak, megabytes)
  end
  return best, peak
end

-- Only what their library does is timed, not the import of it and of torch.
local THEIRS = [[
import sys, time, types
if len(sys.argv) > 3:
    sys.path.insert(0, sys.argv[3])
    testing = types.ModuleType("flashinfer.testing")
    testing.bench_gpu_time_with_cupti = None
    sys.modules["flashinfer"] = types.ModuleType("flashinfer")
    sys.modules["flashinfer.testing"] = testing
import logging
logging.disable(logging.CRITICAL)
from flashinfer_bench.data import TraceSet
start = time.perf_counter()
if sys.argv[1] == "open":
    TraceSet.from_path(sys.argv[2])
elif sys.argv[1] == "summary":
    TraceSet.from_path(sys.argv[2]).summary()
else:
    from flashinfer_bench.data.validate import validate_dataset
    import tempfile
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as reports:
        validate_dataset(dataset=sys.argv[2], disable_gpu=True, output_folder=reports, outputs=["json"])
print(time.perf_counter() - start)
]]

local function theirs(what, root)
  local _, megabytes, result =
    measure { "python3", "-c", THEIRS, what, root, os.getenv "HONE_FLASHINFER_BENCH" }
  local seconds = tonumber(result.stdout:match "([%d.]+)%s*$")
  return seconds, megabytes, result.stderr
end

local function compare(report, label, what, root, command)
  local ours, our_peak = best_of(3, command)
  local seconds, peak, why = theirs(what, root)
  local detail = ("hone %.2f s, %.0f MB"):format(ours, our_peak)
  if not seconds then
    local reason = why:match "([^\n]*)\n[^\n]*\n*$" or why
    return report(label, nil, ("%s; flashinfer_bench: %s"):format(detail, reason))
  end
  report(label, ours / seconds, ("%s; flashinfer_bench %.2f s, %.0f MB"):format(detail, seconds, peak))
end

local OPEN = [[
local set = assert(require("hone.dataset.traceset").open(arg[1]))
assert(#set:definitions() > 0)
]]

local function run(report)
  local kept = os.getenv "HONE_BENCH_DATASET"
  local dir <close> = assert(fs.tempdir "hone-bench-")
  local root = kept or fs.join(dir.path, "dataset")
  generate(root)
  local hone = require("hone.paths").exe
  local script = fs.join(dir.path, "open.lua")
  assert(fs.write(script, OPEN))
  local size = ("%d definitions, %d traces"):format(DEFINITIONS, TRACES)
  compare(report, "open " .. size, "open", root, { hone, script, root })
  compare(
    report,
    "open and summarise",
    "summary",
    root,
    { hone, "report", "summary", "--local", root, "--json" }
  )
  local validate = { hone, "validate", "--dataset", root, "--disable-gpu", "--outputs", "stdout" }
  compare(report, "validate without a GPU", "validate", root, validate)
end

return { name = "dataset", run = run }
