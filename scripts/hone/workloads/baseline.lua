--- The quick benchmark of what was collected: the baselines of the definitions on the workloads that were kept.
--
-- Solutions of the author "baseline" are run. What has a trace already is left out, so that a run that was cut short
-- goes on with what is missing.
local fs, json = require "hone.fs", require "hone.json"

local baseline = {}

local AUTHOR = "baseline"
local OVERRIDES = { warmup_runs = 3, iterations = 20 } -- a first look; hone run measures longer

-- The baselines of definitions, and the definitions that have none.
local function solutions_of(set, definitions)
  local names, without = {}, {}
  for _, name in ipairs(definitions) do
    local before = #names
    for _, solution in ipairs(set:solutions(name)) do
      if solution.author == AUTHOR then names[#names + 1] = solution.name end
    end
    if #names == before then without[#without + 1] = name end
  end
  return names, without
end

-- Workloads of this run, by definition: those written, and those that were found again.
local function collected(report)
  local definitions, uuids = {}, {}
  for _, one in ipairs(report.definitions) do
    local found = {}
    for _, kept in ipairs(one.kept) do
      found[kept.uuid] = true
    end
    for _, uuid in ipairs(one.found_again) do
      found[uuid] = true
    end
    if next(found) then
      definitions[#definitions + 1] = one.definition
      uuids[one.definition] = found
    end
  end
  return definitions, uuids
end

-- The part of a plan that is about these workloads.
local function narrow(plan, uuids)
  local items, evaluations = {}, 0
  for _, item in ipairs(plan.items) do
    if uuids[item.definition.name][item.workload.uuid] then
      items[#items + 1] = item
      evaluations = evaluations + #item.solutions
    end
  end
  plan.items, plan.evaluations = items, evaluations
end

local function command(root, definitions, names)
  return ("hone run --local %s --definitions %s --solutions %s --resume"):format(
    root,
    table.concat(definitions, ","),
    table.concat(names, ",")
  )
end

local function run(plan, list, about, ctx)
  local bar = ctx.progress { label = "baselines", total = plan.evaluations }
  local traces, paths = {}, {}
  local result, why = require("hone.bench.runner").run(plan, {
    settings = assert(require("hone.bench.settings").load { overrides = OVERRIDES }),
    devices = list,
    save = true,
    on_wait = function(device, holder) ctx.warn("%s is used by another benchmark (%s)", device, holder) end,
    on_trace = function(t, item)
      traces[#traces + 1] = t
      local path = require("hone.dataset.trace").path(item.root, { author = AUTHOR }, item.definition)
      paths[fs.relative(path, item.root)] = true
      bar:update(#traces, t.solution)
    end,
    on_skip = function(item, reason, solution)
      table.insert(about.notes, ("%s: %s"):format(solution and solution.name or item.definition.name, reason))
    end,
  })
  bar:done()
  for path in pairs(paths) do
    table.insert(about.paths, path)
  end
  table.sort(about.paths)
  about.rows = json.array(require("hone.bench.summary").rows(traces))
  about.evaluations = #traces
  if not result then return nil, why end
  return true
end

---Run the baselines on what was collected, and keep their traces in the dataset. Nothing of this makes a collection
---fail: what went wrong is a note.
---@param root string # the dataset
---@param report table # as hone.workloads.collect gives it
---@param ctx table # the skill's
---@return table? about # { evaluations, rows (as hone.bench.summary has them), paths (of traces, in the dataset), notes }; nil where nothing was collected
function baseline.run(root, report, ctx)
  local definitions, uuids = collected(report)
  if #definitions == 0 then return nil end
  local about = json.object {
    { "evaluations", 0 },
    { "rows", json.array {} },
    { "paths", json.array {} },
    { "notes", json.array {} },
  }
  local set, why = require("hone.dataset.traceset").open(root)
  if not set then
    table.insert(about.notes, why)
    return about
  end
  local names, without = solutions_of(set, definitions)
  if #without > 0 then
    table.insert(about.notes, ("no baseline is there for %s"):format(table.concat(without, ", ")))
  end
  if #names == 0 then return about end
  local list = { require("hone.bench.device").gpus()[1] }
  local options = { definitions = definitions, solutions = names, resume = true, cuda = #list > 0 }
  local plan = require("hone.bench.runner").plan({ set }, options)
  narrow(plan, uuids)
  if plan.left_out > 0 then
    local text = "%d baselines need a GPU, and there is none: where there is one, run %s"
    table.insert(about.notes, text:format(plan.left_out, command(root, definitions, names)))
  end
  if plan.evaluations == 0 then return about end
  local ok
  ok, why = run(plan, list, about, ctx)
  if not ok then table.insert(about.notes, ("the baselines were not run to the end: %s"):format(why)) end
  return about
end

return baseline
