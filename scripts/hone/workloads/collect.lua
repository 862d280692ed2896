--- From a folder of dumps to workloads in a dataset, and a report of what was kept and what was not, and why.
--
-- Two passes: the first reads every call and remembers its sizes and where it lies; the second reads the chosen ones
-- again and writes them. So memory does not grow with what the calls hold. A workload's uuid is made of its content:
-- what is there already is found again, and a run that was cut short goes on where it stopped.
local fs, json = require "hone.fs", require "hone.json"
local safetensors = require "hone.safetensors"
local axis_value = require("hone.dataset.definition").axis_value
local calls, convert = require "hone.workloads.calls", require "hone.workloads.convert"
local dump, readers = require "hone.workloads.dump", require "hone.workloads.readers"

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
  local text, why = "", nil
  if fs.exists(path) then
    text, why = fs.read(path)
  end
  if not text then return nil, why end
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
  local existing, why = { uuids = {}, by_axes = {}, count = 0, bad = {} }, nil
  if not options.replace then
    existing, why = read_existing(options.root, target.definition, names)
  end
  if not existing then return nil, why end
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

local function consider(tally, finding, reading, options)
  tally.calls = tally.calls + 1
  if not reading.digest then return refuse(tally, reading.why, finding.name) end
  local uuid = uuid_of(reading.digest)
  if not is_wanted(tally, reading, uuid, options) then return end
  table.insert(
    tally.candidates,
    { axes = reading.axes, uuid = uuid, run = finding.name, plan = finding.plan }
  )
end

-- How many more candidates are looked at for a definition.
local function missing(tally, options)
  return options.max_workloads * CANDIDATES_PER_WORKLOAD - #tally.candidates
end

local function wants(tally, options) return missing(tally, options) > 0 end

local function any_wants(self, targets)
  for _, target in ipairs(targets or {}) do
    if wants(self.tallies[target], self.options) then return true end
  end
  return false
end

local function take(self, finding)
  if finding.open then finding = calls.read_open(self.job, finding.name, self.known, self.lazy) end
  if finding.problem and #self.broken < MOST_REASONS then
    table.insert(self.broken, ("%s: %s"):format(finding.name, finding.problem))
  end
  for _, reading in ipairs(finding.readings or {}) do
    local tally = self.tallies[self.job.targets[reading.target]]
    if wants(tally, self.options) then consider(tally, finding, reading, self.options) end
  end
end

-- What was found in a portion, in the order of its names: what is kept does not depend on who read it, and when.
local function take_portion(self, names, findings)
  local at = 1
  for _, name in ipairs(names) do
    local called = dump.parse_name(name).name
    local targets = self.job.by_name[called]
    local is_wanted_still = any_wants(self, targets)
    if targets and not is_wanted_still and not calls.is_plan(called) then
      self.left_out = self.left_out + 1
    end
    while findings[at] and findings[at].name:match "^[^/]*" == name do
      if is_wanted_still then take(self, findings[at]) end
      calls.note_plan(self.known, findings[at])
      at = at + 1
    end
  end
end

local function most_missing(self)
  local most = 0
  for _, tally in pairs(self.tallies) do
    most = math.max(most, missing(tally, self.options))
  end
  return most
end

local function read_all(self, names)
  local copies, options = self.copies, self.options
  -- a plan for each run: more dumps than that are not read in most cases
  local count = options.processes or readers.count(math.min(#names, 2 * most_missing(self)))
  local reading <close> = readers.start(self.job, names, count, {
    copies = function(some) return copies:of(some) end,
    needed = function() return most_missing(self) end,
  })
  local done = 0
  for portion, findings, copied in reading:portions() do
    take_portion(self, portion, findings)
    require("hone.workloads.pt").drop(copied)
    done = done + #portion
    if options.seen then options.seen(done, #names) end
    if not any_wants(self, self.job.targets) then break end
  end
  for i = done + 1, #names do -- nobody looked at these
    take_portion(self, { names[i] }, {})
  end
  table.insert(self.warnings, reading.problem)
end

-- ---- statistics ----------------------------------------------------------------------------------------

-- Mean, deviation and largest magnitude of a tensor's first elements, as far as they are finite, and how many are not.
local function statistics(values)
  local sample = math.min(values:numel(), SAMPLE)
  local x = values:contiguous():view(-1):narrow(1, 1, sample):to "float64"
  x = x:masked_select(x:isfinite())
  if x:numel() == 0 then return nil end
  local scale = math.max(x:abs():max():item(), 1) -- so that squares stay finite
  local y = x / scale
  local mean = y:mean():item()
  local deviation = ((y - mean) * (y - mean)):mean():sqrt():item()
  local about = json.object { { "mean", mean * scale }, { "std", deviation * scale } }
  about.abs_max = x:abs():max():item()
  if x:numel() < sample then about.not_finite = sample - x:numel() end
  return about
end

local function describe_floats(definition, candidate)
  local about = json.object()
  for _, name in ipairs(json.keys(definition.inputs)) do
    local found = candidate.floats[name]
    if found and not candidate.structure[name] then
      local values, why = found.dump:tensor(found.info)
      about[name] = values and statistics(values)
      if not values then table.insert(candidate.notes, ("%s: %s"):format(name, why)) end
    end
  end
  return about
end

-- ---- the second pass -----------------------------------------------------------------------------------

local function reopen(self, name)
  if not name then return nil end
  local opened, why = dump.open(fs.join(self.job.folder, name))
  if opened then opened.converted = self.lazy[name] end
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

local function blob_path(definition, uuid)
  local name = definition.name
  return ("blob/workloads/%s/%s/%s_%s.safetensors"):format(definition.op_type, name, name, uuid)
end

-- Write the kept tensors; the path that the workload names, "" where nothing is kept.
local function write_blob(root, definition, uuid, structure)
  if next(structure) == nil then return "" end
  local path = blob_path(definition, uuid)
  local ok, why = safetensors.write(fs.join(root, path), structure)
  if not ok then return nil, why end
  return "./" .. path
end

-- A chosen call, read again; nil and why where it is gone.
local function read_again(self, tally, chosen)
  local run <close>, why = reopen(self, chosen.run)
  if not run then return nil, why end
  local plan <close>, lost = reopen(self, chosen.plan)
  if chosen.plan and not plan then return nil, lost end
  local candidate
  candidate, why = convert.read(tally.target, run, plan)
  if not candidate then return nil, why end
  candidate.statistics = describe_floats(tally.target.definition, candidate)
  return candidate
end

local function remove_orphans(root, definition, kept)
  local folder = fs.join(root, "blob/workloads", definition.op_type, definition.name)
  for _, name in ipairs(fs.is_dir(folder) and fs.list(folder) or {}) do
    local uuid = name:match "_([%x-]+)%.safetensors$"
    if uuid and not kept[uuid] then fs.remove(fs.join(folder, name)) end
  end
end

-- A definition's new workloads. Each is added as soon as its tensors are there, so whatever happens, what the file names
-- is whole; in place of others they are put all at once, at the end.
local Writing = {}
Writing.__index = Writing

local function new_writing(tally, options)
  local definition = tally.target.definition
  local path = workloads_path(options.root, definition)
  return setmetatable(
    { definition = definition, path = path, options = options, lines = {}, uuids = {} },
    Writing
  )
end

local function append(path, line)
  if fs.is_file(path) then return fs.append_line(path, line) end
  return fs.write(path, line .. "\n")
end

function Writing:add(uuid, candidate)
  if self.options.dry_run then return true end
  local blob, why = write_blob(self.options.root, self.definition, uuid, candidate.structure)
  if not blob then return nil, why end
  self.uuids[uuid] = true
  local line = json.encode(trace_of(self.definition, uuid, candidate, blob))
  if self.options.replace then
    self.lines[#self.lines + 1] = line
    return true
  end
  local ok
  ok, why = append(self.path, line)
  if not ok and blob ~= "" then fs.remove(fs.join(self.options.root, blob)) end
  return ok, why
end

-- Put what was added in the place of what was there. Where not all could be written, that stays.
function Writing:replace(problem)
  if self.options.dry_run or not self.options.replace or next(self.uuids) == nil then
    return not problem, problem
  end
  local ok, why = not problem, problem
  if ok then
    ok, why = fs.write(self.path, table.concat(self.lines, "\n") .. "\n")
  end
  local kept = ok and self.uuids
  if not ok then
    local before = read_existing(self.options.root, self.definition, {})
    kept = before and before.uuids
  end
  if kept then remove_orphans(self.options.root, self.definition, kept) end
  return ok, why
end

local function entry_of(chosen, candidate)
  return json.object {
    { "uuid", chosen.uuid },
    { "axes", chosen.axes },
    { "from", chosen.run },
    { "floats", candidate.statistics },
    { "notes", json.array(candidate.notes) },
  }
end

-- Choose among a definition's candidates and write them; what was written, and why it is not all.
local function write_chosen(self, tally)
  local options = self.options
  local chosen =
    require("hone.workloads.select").diverse(tally.candidates, tally.names, options.max_workloads)
  local kept, writing = json.array {}, new_writing(tally, options)
  local ok, why = true, nil
  for _, one in ipairs(chosen) do
    local candidate, gone = read_again(self, tally, one)
    if candidate then
      ok, why = writing:add(one.uuid, candidate)
      if not ok then break end
      kept[#kept + 1] = entry_of(one, candidate)
    else
      refuse(tally, gone, one.run)
    end
  end
  ok, why = writing:replace(not ok and why or nil)
  if not ok and options.replace then kept = json.array {} end
  return kept, why
end

local function settle(self, tally)
  local definition, kept, why = tally.target.definition, json.array {}, nil
  if not self.problem then
    kept, why = write_chosen(self, tally)
  end
  if why then self.problem = ("cannot write the workloads of %s: %s"):format(definition.name, why) end
  return json.object {
    { "definition", definition.name },
    { "path", workloads_path(self.options.root, definition) },
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
---@field processes integer? # that read the dumps; 0: this one does (default: what is worth it)
---@field seen (fun(done: integer, all: integer))? # progress

-- The definitions that can be collected for, what is in the dataset of each, and why others are left out.
local function prepare(definitions, options)
  local targets, tallies, skipped = {}, {}, json.array {}
  for _, definition in ipairs(definitions) do
    local target, why = convert.target(definition)
    if target then
      local tally, unreadable = new_tally(target, options)
      if not tally then return nil, unreadable end
      targets[#targets + 1], tallies[target] = target, tally
    else
      skipped[#skipped + 1] = why
    end
  end
  return targets, tallies, skipped
end

---Make workloads of a folder's dumps. Where they cannot all be written, those that were are whole, and the report has
---a `problem`; the same again then writes the others.
---@param folder string
---@param definitions table[]
---@param options hone.workloads.Options
---@return table? report # { dumps, definitions = [{ definition, calls, kept, refused, … }], broken, skipped, problem }
---@return string? why
function collect.from_dumps(folder, definitions, options)
  local targets, tallies, skipped = prepare(definitions, options)
  if not targets then return nil, tallies end
  local names, why = dump.list(folder)
  if not names then return nil, why end
  local job = calls.job(folder, targets)
  local copies <close> = require("hone.workloads.pt").copies(job)
  local self = {
    job = job,
    options = options,
    tallies = tallies,
    copies = copies,
    lazy = copies:lazy(),
    known = {},
    broken = json.array {},
    left_out = 0,
    warnings = json.array {},
  }
  read_all(self, names)
  local results = json.array {}
  for i, target in ipairs(targets) do
    results[i] = settle(self, tallies[target])
  end
  table.move(copies.warnings, 1, #copies.warnings, #self.warnings + 1, self.warnings)
  return json.object {
    { "dumps", #names },
    { "left_out", self.left_out },
    { "definitions", results },
    { "broken", self.broken },
    { "skipped", skipped },
    { "warnings", self.warnings },
    { "problem", self.problem },
  }
end

return collect
