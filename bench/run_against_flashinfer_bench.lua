--- `hone run` against `flashinfer-bench run`: the same dataset, solutions, workloads and settings on the same GPU, one
--- after the other. Says how their wall times compare, how the latencies do, and whose statuses differ.
-- Settings, by environment variables:
--   HONE_TRACE             the dataset with the definitions and workloads; files of workloads that are not there are made
--   HONE_PYTHON            a Python with torch, triton, apache-tvm-ffi and flashinfer-bench
--   HONE_RUN_DEFINITIONS   names, by commas; by default those that examples/solutions has solutions for
--   HONE_RUN_WORKLOADS     how many of each definition, spread over the sizes; 4
--   HONE_RUN_SETTINGS      flags that both programs get: "--iterations 20 --num-trials 2"
--   HONE_RUN_PASSES        2: the second finds what the first has built
--   HONE_RUN_OTHER         another program, in the place of flashinfer-bench in HONE_PYTHON
--   HONE_RUN_SAVE          a folder where both datasets, with their traces, and both logs are left
local fs = require "hone.fs"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local now = require("hone.core.process").now
local paths = require "hone.paths"
local process = require "hone.process"
local safetensors = require "hone.safetensors"
local statistics = require "hone.bench.statistics"
local axes_text = require("hone.dataset.workload").axes_text

local SOLUTIONS = "examples/solutions"
local PACK = "examples/pack_solution.lua"
local TIMEOUT = 3600
local TIE = 0.02 -- latencies that differ by less are the same

local function setting(name, default) return os.getenv("HONE_RUN_" .. name) or default end

local function words(text)
  local list = {}
  for word in text:gmatch "[^%s,]+" do
    list[#list + 1] = word
  end
  return list
end

-- ---- the dataset -----------------------------------------------------------------------------------

-- Folders of solutions by the definition that they are for; solutions for the CPU are none of the other program's.
local function folders_by_definition()
  local by_name = {}
  for _, folder in ipairs(fs.glob(SOLUTIONS .. "/*")) do
    local it = assert(json.read(fs.join(folder, "solution.json")))
    if it.spec.target_hardware[1] ~= "cpu" or setting "OTHER" then
      by_name[it.definition] = by_name[it.definition] or {}
      table.insert(by_name[it.definition], folder)
    end
  end
  return by_name
end

local function size_of(workload)
  local size = 1
  for _, value in pairs(workload.axes) do
    size = size * math.max(value, 1)
  end
  return size
end

-- `count` of a definition's workload lines, from the smallest to the largest.
local function choose_workloads(path, count)
  local list = {}
  for _, line in json.lines(path) do
    list[#list + 1] = line
  end
  table.sort(list, function(a, b) return size_of(a.workload) < size_of(b.workload) end)
  if #list <= count then return list end
  local chosen = {}
  for i = 1, count do
    chosen[i] = list[1 + (i - 1) * (#list - 1) // math.max(count - 1, 1)]
  end
  return chosen
end

-- The definition with those inputs alone that a workload has in files.
local function in_files(definition, workload)
  local part = setmetatable({ inputs = json.object() }, { __index = definition })
  for _, name in ipairs(json.keys(definition.inputs)) do
    local spec = workload.inputs[name]
    if spec and spec.path then part.inputs[name] = definition.inputs[name] end
  end
  return part
end

-- Write the files that a workload names and that are not there, with what the op type's rules give.
local function complete(root, definition, workload)
  local files = {}
  local options = { workload = workload, root = root, seed = 1 }
  for _, entry in ipairs(assert(inputs.make(in_files(definition, workload), options))) do
    local spec = workload.inputs[entry.name]
    if entry.from:find "^made: " then
      files[spec.path] = files[spec.path] or {}
      files[spec.path][spec.tensor_key] = entry.value
    end
  end
  for path, tensors in pairs(files) do
    assert(fs.mkdir(fs.dirname(fs.join(root, path))))
    assert(safetensors.write(fs.join(root, path), tensors))
  end
end

local function copy_definition(from, root, name, count)
  local path = fs.glob(fs.join(from, "definitions/*", name .. ".json"))[1]
  if not path then return nil, ("%s has no definition %s"):format(from, name) end
  local definition = assert(json.read(path))
  local part = fs.join(definition.op_type, name)
  assert(fs.write(fs.join(root, "definitions", part .. ".json"), assert(fs.read(path))))
  local lines = {}
  for i, line in ipairs(choose_workloads(fs.join(from, "workloads", part .. ".jsonl"), count)) do
    lines[i] = json.encode(line) .. "\n"
    for _, spec in pairs(line.workload.inputs) do
      local blob = spec.path and fs.join(from, spec.path)
      if blob and fs.is_file(blob) then assert(fs.write(fs.join(root, spec.path), assert(fs.read(blob)))) end
    end
    complete(root, definition, line.workload)
  end
  assert(fs.write(fs.join(root, "workloads", part .. ".jsonl"), table.concat(lines)))
  return true
end

local function make_dataset(from, root, names, folders)
  for _, name in ipairs(names) do
    local ok, why = copy_definition(from, root, name, math.tointeger(tonumber(setting("WORKLOADS", 4))))
    if not ok then return nil, why end
    local packed = assert(process.run { paths.exe, PACK, root, table.unpack(folders[name] or {}) })
    if packed.status ~= 0 then return nil, packed.stderr end
  end
  return true
end

-- ---- running ---------------------------------------------------------------------------------------

local function read_traces(root)
  local by_key, order = {}, {}
  for path in fs.walk(fs.join(root, "traces")) do
    if fs.extension(path) == ".jsonl" then
      for _, trace in json.lines(path) do
        local key = ("%s %s"):format(trace.solution, trace.workload.uuid)
        if not by_key[key] then order[#order + 1] = key end
        by_key[key] = trace
      end
    end
  end
  return by_key, order
end

-- One program on a copy of the dataset: { seconds, traces, order, log }.
local function run(command, root, environment)
  local list = { table.unpack(command) }
  for _, word in ipairs { "run", "--local", root, table.unpack(words(setting("SETTINGS", ""))) } do
    list[#list + 1] = word
  end
  fs.remove(fs.join(root, "traces"))
  list.env, list.timeout = environment, TIMEOUT
  local started = now()
  local result = assert(process.run(list))
  local seconds = now() - started
  local log = (result.stdout or "") .. (result.stderr or "")
  fs.write(root .. ".log", log)
  if result.status ~= 0 then return nil, log:match "([^\n]+)%s*$" or "no word" end
  if not fs.is_dir(fs.join(root, "traces")) then return nil, "it left no traces; see " .. root .. ".log" end
  local traces, order = read_traces(root)
  return { seconds = seconds, traces = traces, order = order }
end

-- ---- comparing -------------------------------------------------------------------------------------

local function latency(trace)
  local performance = trace.evaluation.performance
  return performance and performance ~= json.null and performance.latency_ms or nil
end

local function compare_one(ours, theirs, report, sums)
  local label = ("  %s %s"):format(ours.solution, axes_text(ours.workload.axes))
  if not theirs then
    sums.missing = sums.missing + 1
    return report(label, nil, ours.evaluation.status .. ", and no trace of the other's")
  end
  local a, b = ours.evaluation.status, theirs.evaluation.status
  if a ~= b then
    sums.differ = sums.differ + 1
    return report(label, nil, ("STATUS %s, the other says %s"):format(a, b))
  end
  sums.same = sums.same + 1
  local x, y = latency(ours), latency(theirs)
  if not x or not y then return end
  local ratio = x / y
  local is_tie = math.abs(ratio - 1) <= TIE
  sums.within = sums.within + (is_tie and 1 or 0)
  table.insert(sums.ratios, ratio)
  report(
    label,
    ratio,
    ("%.2f us and %.2f us%s"):format(x * 1e3, y * 1e3, is_tie and "" or ", more than 2 % apart")
  )
end

local function compare(ours, theirs, report)
  local sums = { same = 0, differ = 0, missing = 0, within = 0, ratios = {} }
  for _, key in ipairs(ours.order) do
    compare_one(ours.traces[key], theirs.traces[key], report, sums)
  end
  report(
    "latency, middle of all",
    statistics.median(sums.ratios),
    ("%d of %d within 2 %%"):format(sums.within, #sums.ratios)
  )
  report(
    "statuses",
    nil,
    ("%d the same, %d differ, %d without the other's trace"):format(sums.same, sums.differ, sums.missing)
  )
end

local function other_command()
  local named = setting "OTHER"
  if named then return words(named) end
  local python = os.getenv "HONE_PYTHON"
  if not python then return nil, "set HONE_PYTHON to a Python that has flashinfer-bench" end
  return { python, "-c", "from flashinfer_bench.cli.main import cli; cli()" }
end

local function pass(number, folder, command, report)
  local cache = fs.join(folder, "cache")
  local environment = { XDG_CACHE_HOME = fs.join(cache, "hone"), FIB_CACHE_PATH = fs.join(cache, "other") }
  environment.TRITON_CACHE_DIR = fs.join(cache, "triton-hone")
  local ours, why = run({ paths.exe }, fs.join(folder, "ours"), environment)
  if not ours then return report("hone run", nil, why) end
  environment.TRITON_CACHE_DIR = fs.join(cache, "triton-other")
  local theirs
  theirs, why = run(command, fs.join(folder, "theirs"), environment)
  if not theirs then return report("the other", nil, why) end
  report(
    number == 1 and "wall time, nothing built" or "wall time, all built",
    ours.seconds / theirs.seconds,
    ("%.1f s and %.1f s for %d evaluations"):format(ours.seconds, theirs.seconds, #ours.order)
  )
  compare(ours, theirs, report)
end

local function run_all(report)
  local from = os.getenv "HONE_TRACE"
  if not from then return report("hone run", nil, "set HONE_TRACE to the dataset") end
  local command, why = other_command()
  if not command then return report("hone run", nil, why) end
  local folders = folders_by_definition()
  local names = words(setting("DEFINITIONS", ""))
  if #names == 0 then
    for name in pairs(folders) do
      if #fs.glob(fs.join(from, "definitions/*", name .. ".json")) == 1 then names[#names + 1] = name end
    end
    table.sort(names)
  end
  local scratch <close> = fs.tempdir()
  local folder = setting("SAVE", scratch.path)
  for _, copy in ipairs { "ours", "theirs" } do
    local ok
    ok, why = make_dataset(from, fs.join(folder, copy), names, folders)
    if not ok then return report("hone run", nil, why) end
  end
  for number = 1, math.tointeger(tonumber(setting("PASSES", 1))) do
    pass(number, folder, command, report)
  end
end

return { name = "hone run against flashinfer-bench run", run = run_all }
