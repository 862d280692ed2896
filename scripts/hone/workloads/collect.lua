--- From a folder of dumps to workloads in a dataset, and a report of what was kept and what was not, and why.
--
-- Two passes: the first reads every call and remembers its sizes and where it lies; the second reads the chosen ones
-- again and writes them. So memory does not grow with what the calls hold. A workload's uuid is made of its content:
-- what is there already is found again, and a run that was cut short goes on where it stopped.
local fs, json = require "hone.fs", require "hone.json"
local safetensors = require "hone.safetensors"
local axis_value = require("hone.dataset.definition").axis_value
local calls, convert = require "hone.workloads.calls", require "hone.workloads.convert"
local dump = require "hone.workloads.dump"

local collect = {}

local CANDIDATES_PER_WORKLOAD = 50 -- looked at for each that is wanted
local MOST_REASONS = 40 -- listed for a definition
local SAMPLE = 65536 -- elements of a float tensor that its statistics are taken of

-- ---- what is there already -----------------------------------------------------------------------------

-- A version 8 uuid of the first bytes of a digest.
local function uuid_of(digest)
  local variant = ("89ab"):sub(tonumber(digest:sub(17, 17), 16) % 4 + 1)
  return ("%s-%s-8%s-%s%s-%s"):format(
    digest:sub(1, 8),
    digest:sub(9, 12),
    digest:sub(14, 16),
    variant:sub(1, 1),
    digest:sub(18, 20),
    digest:sub(21, 32)
  )
end

local function workloads_path(root, definition)
  return fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl")
end

-- The sizes of a workload as one word.
local function axes_key(axes, names)
  local pieces = {}
  for i, name in ipairs(names) do
    pieces[i] = tostring(axes[name])
  end
  return table.concat(pieces, " ")
end

-- The workloads of a definition in the dataset: uuids, and how many there are of each sizes.
local function read_existing(root, definition, names)
  local existing = { uuids = {}, by_axes = {}, count = 0, bad = {} }
  local path = workloads_path(root, definition)
  local text = fs.is_file(path) and fs.read(path) or ""
  for line in text:gmatch "[^\n]+" do
    local trace = line:find "%S" and json.decode(line)
    local workload = type(trace) == "table" and trace.workload
    if type(workload) == "table" and type(workload.axes) == "table" then
      local key = axes_key(workload.axes, names)
      existing.uuids[tostring(workload.uuid)] = true
      existing.by_axes[key] = (existing.by_axes[key] or 0) + 1
      existing.count = existing.count + 1
    elseif line:find "%S" then
      existing.bad[#existing.bad + 1] = line:sub(1, 40)
    end
  end
  return existing
end

-- ---- the first pass ------------------------------------------------------------------------------------

local function variable_names(definition)
  local names = {}
  for _, name in ipairs(json.keys(definition.axes)) do
    if axis_value(definition.axes[name]) == nil then names[#names + 1] = name end
  end
  return names
end

local function new_tally(target, options)
  local names = variable_names(target.definition)
  local existing = { uuids = {}, by_axes = {}, count = 0, bad = {} }
  if not options.replace then existing = read_existing(options.root, target.definition, names) end
  return {
    target = target,
    names = names,
    existing = existing,
    by_axes = existing.by_axes,
    candidates = {},
    seen = {},
    calls = 0,
    refused = json.object(),
    reasons = 0,
    duplicates = 0,
    known = 0,
    found_again = {},
  }
end

local function refuse(tally, why, where)
  local entry = tally.refused[why]
  if not entry and tally.reasons >= MOST_REASONS then
    why = "other reasons"
    entry = tally.refused[why]
  end
  if not entry then
    entry = json.object { { "count", 0 }, { "first", where } }
    tally.refused[why] = entry
    tally.reasons = tally.reasons + 1
  end
  entry.count = entry.count + 1
end

local function is_wanted(tally, candidate, uuid, options)
  if tally.existing.uuids[uuid] then
    tally.known = tally.known + 1
    if not tally.found_again[uuid] then
      tally.found_again[uuid] = true
      table.insert(tally.found_again, uuid)
    end
    return false
  end
  local key = axes_key(candidate.axes, tally.names)
  if tally.seen[uuid] or (tally.by_axes[key] or 0) >= options.max_per_axes then
    tally.duplicates = tally.duplicates + 1
    return false
  end
  tally.seen[uuid] = true
  tally.by_axes[key] = (tally.by_axes[key] or 0) + 1
  return true
end

local function consider(tally, run, plan, options)
  tally.calls = tally.calls + 1
  if tally.target.api.is_wrapper and not plan and next(tally.target.mapping.plan or {}) then
    return refuse(tally, "no plan() of its process comes before it", run.folder)
  end
  local candidate, why = convert.read(tally.target, run, plan)
  if not candidate then return refuse(tally, why, run.folder) end
  local uuid = uuid_of(candidate.digest)
  if not is_wanted(tally, candidate, uuid, options) then return end
  table.insert(tally.candidates, {
    axes = candidate.axes,
    uuid = uuid,
    run = run.path,
    plan = plan and plan.path,
    run_copy = run.converted,
    plan_copy = plan and plan.converted,
    folder = run.folder,
  })
end

-- ---- statistics ----------------------------------------------------------------------------------------

-- Mean, deviation and largest magnitude of a tensor's first elements.
local function statistics(values)
  local count = values:numel()
  if count == 0 then return nil end
  local x = values:contiguous():view(-1):narrow(1, 1, math.min(count, SAMPLE)):to "float64"
  local mean = x:mean():item()
  local deviation = ((x - mean) * (x - mean)):mean():sqrt():item()
  return json.object { { "mean", mean }, { "std", deviation }, { "abs_max", x:abs():max():item() } }
end

local function describe_floats(definition, candidate)
  local about = json.object()
  for _, name in ipairs(json.keys(definition.inputs)) do
    local found = candidate.floats[name]
    if found and not candidate.structure[name] then
      local values = found.dump:tensor(found.info)
      about[name] = values and statistics(values)
    end
  end
  return about
end

-- ---- the second pass -----------------------------------------------------------------------------------

local function reopen(path, converted)
  if not path then return nil end
  local opened, why = dump.open(path)
  if opened then opened.converted = converted end
  return opened, why
end

local function input_entries(definition, candidate, blob)
  local entries = json.object()
  for _, name in ipairs(json.keys(definition.inputs)) do
    if candidate.structure[name] then
      entries[name] = json.object { { "type", "safetensors" }, { "path", blob }, { "tensor_key", name } }
    elseif candidate.scalars[name] ~= nil then
      entries[name] = json.object { { "type", "scalar" }, { "value", candidate.scalars[name] } }
    else
      entries[name] = json.object { { "type", "random" } }
    end
  end
  return entries
end

local function trace_of(definition, uuid, candidate, blob)
  return json.object {
    { "definition", definition.name },
    { "solution", json.null },
    {
      "workload",
      json.object {
        { "uuid", uuid },
        { "axes", candidate.axes },
        { "inputs", input_entries(definition, candidate, blob) },
      },
    },
    { "evaluation", json.null },
  }
end

-- Write the kept tensors; the path that the workload names, nil where nothing is kept.
local function write_blob(root, definition, uuid, structure)
  if next(structure) == nil then return nil end
  local relative = ("blob/workloads/%s/%s/%s_%s.safetensors"):format(
    definition.op_type,
    definition.name,
    definition.name,
    uuid
  )
  local path = fs.join(root, relative)
  local ok, why = fs.mkdir(fs.dirname(path))
  if not ok then return nil, why end
  ok, why = safetensors.write(path, structure)
  if not ok then return nil, why end
  return "./" .. relative
end

-- One chosen call, read again and made a trace; nil and why where it is gone or the disk is full.
local function make(tally, chosen, options)
  local run, why = reopen(chosen.run, chosen.run_copy)
  if not run then return nil, why end
  local plan
  plan, why = reopen(chosen.plan, chosen.plan_copy)
  if chosen.plan and not plan then return nil, why end
  local candidate
  candidate, why = convert.read(tally.target, run, plan)
  if not candidate then return nil, why end
  local about = describe_floats(tally.target.definition, candidate)
  local blob
  if not options.dry_run then
    blob, why = write_blob(options.root, tally.target.definition, chosen.uuid, candidate.structure)
    if why then return nil, why end
  end
  run:close()
  if plan then plan:close() end
  return trace_of(tally.target.definition, chosen.uuid, candidate, blob or "./"), about, candidate.notes
end

local function remove_orphans(root, definition, kept)
  local folder = fs.join(root, "blob/workloads", definition.op_type, definition.name)
  for _, name in ipairs(fs.is_dir(folder) and fs.list(folder) or {}) do
    local uuid = name:match "_([%x-]+)%.safetensors$"
    if uuid and not kept[uuid] then fs.remove(fs.join(folder, name)) end
  end
end

local function write_lines(root, definition, lines, replace)
  local path = workloads_path(root, definition)
  if replace or not fs.is_file(path) then return fs.write(path, table.concat(lines, "\n") .. "\n") end
  for _, line in ipairs(lines) do
    local ok, why = fs.append_line(path, line)
    if not ok then return nil, why end
  end
  return true
end

-- Choose among a definition's candidates and write them.
local function settle(tally, options)
  local definition = tally.target.definition
  local chosen =
    require("hone.workloads.select").diverse(tally.candidates, tally.names, options.max_workloads)
  local lines, kept, uuids = {}, json.array {}, {}
  for _, one in ipairs(chosen) do
    local trace, about, notes = make(tally, one, options)
    if not trace then return nil, ("cannot write the workload of %s: %s"):format(one.folder, about) end
    lines[#lines + 1] = json.encode(trace)
    uuids[one.uuid] = true
    kept[#kept + 1] = json.object {
      { "uuid", one.uuid },
      { "axes", one.axes },
      { "from", one.folder },
      { "floats", about },
      { "notes", json.array(notes) },
    }
  end
  if #lines > 0 and not options.dry_run then
    local ok, why = write_lines(options.root, definition, lines, options.replace)
    if not ok then return nil, why end
    if options.replace then remove_orphans(options.root, definition, uuids) end
  end
  return json.object {
    { "definition", definition.name },
    { "path", workloads_path(options.root, definition) },
    { "calls", tally.calls },
    { "known", tally.known },
    { "found_again", json.array(table.move(tally.found_again, 1, #tally.found_again, 1, {})) },
    { "duplicates", tally.duplicates },
    { "candidates", #tally.candidates },
    { "kept", kept },
    { "refused", tally.refused },
    { "bad_lines", json.array(tally.existing.bad) },
  }
end

-- ---- all of it -----------------------------------------------------------------------------------------

---@class hone.workloads.Options
---@field root string # the dataset
---@field max_workloads integer # new ones for each definition
---@field max_per_axes integer # of equal sizes
---@field replace boolean? # instead of what the dataset has
---@field dry_run boolean? # write nothing
---@field seen (fun(done: integer, all: integer))? # progress

---Make workloads of a folder's dumps.
---@param folder string
---@param definitions table[]
---@param options hone.workloads.Options
---@return table? report # { dumps, definitions = [{ definition, calls, kept, refused, … }], broken, skipped }
---@return string? why
function collect.from_dumps(folder, definitions, options)
  local tallies, targets, skipped = {}, {}, json.array {}
  for _, definition in ipairs(definitions) do
    local target, why = convert.target(definition)
    if target then
      targets[#targets + 1] = target
      tallies[target] = new_tally(target, options)
    else
      skipped[#skipped + 1] = why
    end
  end
  local names, why = dump.list(folder)
  if not names then return nil, why end
  local copies <close> = require("hone.workloads.pt").convert(folder, names, targets)
  local broken, left_out = json.array {}, 0
  calls.each(folder, names, targets, {
    call = function(target, run, plan) consider(tallies[target], run, plan, options) end,
    wants = function(target)
      return #tallies[target].candidates < options.max_workloads * CANDIDATES_PER_WORKLOAD
    end,
    left_out = function() left_out = left_out + 1 end,
    broken = function(name, problem)
      if #broken < MOST_REASONS then broken[#broken + 1] = ("%s: %s"):format(name, problem) end
    end,
    seen = options.seen,
  }, copies.paths)
  local results = json.array {}
  for _, target in ipairs(targets) do
    local result
    result, why = settle(tallies[target], options)
    if not result then return nil, why end
    results[#results + 1] = result
  end
  return json.object {
    { "dumps", #names },
    { "left_out", left_out },
    { "definitions", results },
    { "broken", broken },
    { "skipped", skipped },
    { "warnings", json.array(copies.warnings) },
  }
end

return collect
