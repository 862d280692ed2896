--- References of real definitions at their workloads' sizes on a GPU, against the same source in eager torch: how long
--- they take, and whether they agree. HONE_TRACE names the dataset; files of workloads that are not there are made.
local cuda = require "hone.cuda"
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local now = require("hone.core.process").now
local reference = require "hone.reference"
local tensor = require "hone.tensor"

local TIMES = 20 -- the best of so many
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
    list[#list + 1] = { definition, options or { axes = {} } }
  end
  return list
end

local function copy(value) return tensor.is_tensor(value) and value:clone() or value end

-- As often as torch runs it, on copies: some references write into their inputs.
local function run_ours(definition, list)
  local run, values = assert(reference(definition)), {}
  for i, entry in ipairs(list) do
    values[i] = copy(entry.value)
  end
  local best, outputs = math.huge, nil
  for _ = 1, TIMES do
    assert(cuda.synchronize())
    local start = now()
    outputs = assert(run(table.unpack(values, 1, #list)))
    assert(cuda.synchronize())
    best = math.min(best, now() - start)
  end
  return best, outputs
end

-- ---- agreement -------------------------------------------------------------------------------------

-- Where outputs are not the same bits: half types within a hundredth, float32 within the rounding of long sums.
local TOLERANCES = { bfloat16 = 1e-2, float16 = 1e-2, float32 = 1e-4 }

local function is_equal(a, b) return a:eq(b):all():item() end

-- "equal", "rounding" or "other"; the largest difference.
local function compare_floats(a, b)
  if is_equal(a, b) then return "equal", 0 end
  local x, y = a:to "float32", b:to "float32"
  local same = x:eq(y):logical_or(x:isnan():logical_and(y:isnan())) -- a row without keys is NaN to some references
  local difference = (x - y):abs():masked_fill(same, 0)
  local largest = difference:max():item()
  local finite = y:abs():masked_fill(y:isfinite():logical_not(), 0)
  local tolerance = TOLERANCES[a.dtype]
  local bound = finite * tolerance + tolerance * math.max(finite:max():item(), 1e-30)
  return difference:le(bound):logical_or(same):all():item() and "rounding" or "other", largest
end

-- Indices that are chosen, in any order: of equal scores either may be.
local function compare_chosen(a, b)
  local same = a:sort(-1):eq(b:sort(-1)):to("float32"):mean():item()
  return same == 1 and "equal" or same > 0.999 and "rounding" or "other", 1 - same
end

-- Tokens are drawn: that each of both has a chance by the formula of the op type is what can be said of one draw.
local function compare_drawn(definition, list, a, b)
  local source = assert(require("hone.ops.truth").formula(definition))
  local formula = assert(require("hone.python.concrete").load(source, { name = definition.name }))
  local values = {}
  for i, entry in ipairs(list) do
    values[i] = tensor.is_tensor(entry.value) and entry.value:cpu() or entry.value
  end
  local chance = assert(formula:call("truth", table.unpack(values, 1, #list)))
  for _, drawn in ipairs { a, b } do
    local rows = chance:gather(2, drawn:cpu():view(-1, 1))
    if not rows:gt(0):all():item() then return "other", 1 end
  end
  return "drawn", 0
end

local ORDER = { equal = 1, drawn = 2, rounding = 3, other = 4 }

local function compare_output(definition, list, a, b)
  if definition.op_type == "sampling" then return compare_drawn(definition, list, a, b) end
  if TOLERANCES[a.dtype] then return compare_floats(a, b) end
  return compare_chosen(a, b)
end

local function compare(definition, list, ours, theirs)
  local worst, largest = "equal", 0
  for i, a in ipairs(ours) do
    local found, difference = compare_output(definition, list, a, theirs[i])
    if ORDER[found] > ORDER[worst] then worst = found end
    largest = math.max(largest, difference)
  end
  return worst, largest
end

-- What all references of an op type take together.
local function add_time(totals, op_type, ours, theirs)
  local total = totals[op_type]
  if not total then
    total = { ours = 0.0, theirs = 0.0, count = 0 }
    totals[op_type], totals[#totals + 1] = total, op_type
  end
  total.ours, total.theirs, total.count = total.ours + ours, total.theirs + theirs, total.count + 1
end

local function report_totals(report, totals)
  for _, op_type in ipairs(totals) do
    local total = totals[op_type]
    local text = "hone %.3f ms, torch %.3f ms, %d definitions"
    report(
      "all of " .. op_type,
      total.ours / total.theirs,
      text:format(total.ours * 1e3, total.theirs * 1e3, total.count)
    )
  end
end

local function run(report)
  local ok, why = cuda.available()
  local root = os.getenv "HONE_TRACE"
  if not ok or not root then return report("no GPU, or no HONE_TRACE: " .. (why or "a dataset"), nil) end
  local totals = {}
  local counts, only = { equal = 0, drawn = 0, rounding = 0, other = 0, none = 0 }, os.getenv "HONE_ONLY"
  for _, case in ipairs(cases(root)) do
    local definition, options = table.unpack(case)
    if not only or definition.name:find(only) then
      options.device, options.root = DEVICE, root
      local list = assert(inputs.make(definition, options))
      local ours, results = run_ours(definition, list)
      local outputs, theirs = require("hone.reference.torch").run(definition, list, DEVICE, TIMES)
      local kind, largest = "none", 0
      if outputs then
        kind, largest = compare(definition, list, results, outputs)
        add_time(totals, definition.op_type, ours, theirs)
      end
      counts[kind] = counts[kind] + 1
      local detail = ("hone %.3f ms, torch %s; %s, at most %.1e apart"):format(
        ours * 1e3,
        outputs and ("%.3f ms"):format(theirs * 1e3) or tostring(theirs),
        kind,
        largest
      )
      report(definition.name, outputs and ours / theirs, detail)
      list, outputs, results = nil, nil, nil -- luacheck: ignore 311
      collectgarbage()
    end
  end
  report_totals(report, totals)
  local text =
    "%d bit for bit, %d within rounding, %d by what may be drawn; %d differ, %d did not run in torch"
  local summary = text:format(counts.equal, counts.rounding, counts.drawn, counts.other, counts.none)
  report("agreement with torch", nil, summary)
end

return { name = "references on a GPU", run = run }
