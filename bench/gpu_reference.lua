--- References of real definitions at their workloads' sizes on a GPU, against the same source in eager torch.
-- HONE_TRACE names the dataset; files of workloads that are not there are made.
local cuda = require "hone.cuda"
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local now = require("hone.core.process").now
local reference = require "hone.reference"

local TIMES = 4
local DEVICE = "cuda:0"

-- The workload in the middle, by the product of its axes.
local function middle_workload(path)
  local list = {}
  for _, trace in json.lines(path) do
    local size = 1
    for _, value in pairs(trace.workload.axes) do
      size = size * math.max(value, 1)
    end
    list[#list + 1] = { size, trace.workload }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list[(#list + 1) // 2][2]
end

-- Sizes for definitions without workloads: those of a server under some load.
local AXES = {
  gdn_decode = { batch_size = 32 },
  gdn_mtp = { batch_size = 8, seq_len = 4, pool_size = 16 },
  gdn_prefill = { total_seq_len = 512, num_seqs = 4 },
  mamba_ssu = { batch_size = 32, state_cache_size = 64 },
  top_ = { batch_size = 32 },
  trtllm_fp4_block_scale_moe_topk8 = { seq_len = 64 },
  dsa_sparse = { num_tokens = 16, num_pages = 4096 },
}

local function cases(root)
  local list = {}
  for _, path in ipairs(fs.glob(fs.join(root, "definitions/*/*.json"))) do
    local definition = assert(json.read(path))
    local workloads = fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl")
    local options
    if fs.is_file(workloads) then options = { workload = middle_workload(workloads) } end
    for prefix, axes in pairs(AXES) do
      if definition.name:sub(1, #prefix) == prefix then options = options or { axes = axes } end
    end
    if options then list[#list + 1] = { definition, options } end
  end
  return list
end

local function our_seconds(definition, list)
  local run, values = assert(reference(definition)), {}
  for i, entry in ipairs(list) do
    values[i] = entry.value
  end
  local best = math.huge
  for _ = 1, TIMES do
    assert(cuda.synchronize())
    local start = now()
    assert(run(table.unpack(values, 1, #list)))
    assert(cuda.synchronize())
    best = math.min(best, now() - start)
  end
  return best
end

local function run(report)
  local ok, why = cuda.available()
  local root = os.getenv "HONE_TRACE"
  if not ok or not root then return report("no GPU, or no HONE_TRACE: " .. (why or "a dataset"), nil) end
  for _, case in ipairs(cases(root)) do
    local definition, options = table.unpack(case)
    options.device, options.root = DEVICE, root
    local list = assert(inputs.make(definition, options))
    local ours = our_seconds(definition, list)
    local outputs, theirs = require("hone.reference.torch").run(definition, list, DEVICE, TIMES)
    local detail = ("hone %.2f ms, torch %s"):format(
      ours * 1e3,
      outputs and ("%.2f ms"):format(theirs * 1e3) or tostring(theirs)
    )
    report(definition.name, outputs and ours / theirs, detail)
    list, outputs = nil, nil -- luacheck: ignore 311
    collectgarbage()
  end
end

return { name = "references on a GPU", run = run }
