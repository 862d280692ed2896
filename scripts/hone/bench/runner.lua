--- A run: which solutions are evaluated on which workloads, on which devices, and where the traces go.
local clock = require "hone.bench.clock"
local trace = require "hone.dataset.trace"
local traceset = require "hone.dataset.traceset"

local runner = {}

-- ---- planning --------------------------------------------------------------------------------------

local function set_of(list)
  if not list then return nil end
  local members = {}
  for _, name in ipairs(list) do
    members[name] = true
  end
  return members
end

-- What has been evaluated: uuid and solution.
local function evaluated(set, name)
  local done = {}
  for _, t in ipairs(set:traces(name)) do
    if t.solution and t.evaluation then done[t.workload.uuid .. "\0" .. t.solution] = true end
  end
  return done
end

-- The chosen solutions of a definition, by the kind of device that they run on.
local function solutions_of(set, name, chosen)
  local on = { cpu = {}, cuda = {} }
  for _, solution in ipairs(set:solutions(name)) do
    if not chosen or chosen[solution.name] then
      table.insert(require("hone.dataset.solution").needs_gpu(solution) and on.cuda or on.cpu, solution)
    end
  end
  return on
end

local function add_item(plan, set, definition, workload, kind, solutions, done)
  local remaining = {}
  for _, solution in ipairs(solutions) do
    if done[workload.uuid .. "\0" .. solution.name] then
      plan.skipped = plan.skipped + 1
    else
      remaining[#remaining + 1] = solution
    end
  end
  if #remaining == 0 then return end
  plan.items[#plan.items + 1] =
    { root = set.root, definition = definition, workload = workload, solutions = remaining, kind = kind }
  plan.evaluations = plan.evaluations + #remaining
end

local function add_items(plan, set, definition, options, chosen)
  local on = solutions_of(set, definition.name, chosen)
  local done = options.resume and evaluated(set, definition.name) or {}
  for _, kind in ipairs { "cuda", "cpu" } do
    if #on[kind] > 0 and kind == "cuda" and not options.cuda then
      plan.left_out = plan.left_out + #on[kind]
    elseif #on[kind] > 0 then
      for _, line in ipairs(set:workloads(definition.name)) do
        add_item(plan, set, definition, line.workload, kind, on[kind], done)
      end
    end
  end
end

local function unknown(names, is_known, what, plan)
  for _, name in ipairs(names or {}) do
    if not is_known(name) then plan.notes[#plan.notes + 1] = ("no %s is called '%s'"):format(what, name) end
  end
end

---What there is to do: { items = { root, definition, workload, solutions, kind = "cuda" or "cpu" }, evaluations,
---skipped (they have a trace), left_out (solutions that need a GPU, where `options.cuda` says there is none), notes }.
function runner.plan(sets, options)
  local plan = { items = {}, evaluations = 0, skipped = 0, left_out = 0, notes = {} }
  local definitions, solutions = set_of(options.definitions), set_of(options.solutions)
  for _, set in ipairs(sets) do
    for _, entry in ipairs(traceset.definitions(set)) do
      local definition = entry.definition
      if not definitions or definitions[definition.name] then
        add_items(plan, set, definition, options, solutions)
      end
    end
  end
  local function in_some(question)
    return function(name)
      for _, set in ipairs(sets) do
        if set[question](set, name) then return true end
      end
    end
  end
  unknown(options.definitions, in_some "definition", "definition", plan)
  unknown(options.solutions, in_some "solution", "solution", plan)
  return plan
end

-- ---- running ---------------------------------------------------------------------------------------

local DEFINITIONS_AHEAD = 8

-- Items that follow one another and are of one definition.
local function groups_of(items)
  local groups = {}
  for _, item in ipairs(items) do
    local last = groups[#groups]
    if not last or last[1].definition ~= item.definition then
      last = {}
      groups[#groups + 1] = last
    end
    last[#last + 1] = item
  end
  return groups
end

-- The solutions of items of one definition, each once.
local function solutions_in(items)
  local list, seen = {}, {}
  for _, item in ipairs(items) do
    for _, solution in ipairs(item.solutions) do
      if not seen[solution.name] then
        seen[solution.name] = true
        list[#list + 1] = solution
      end
    end
  end
  return list
end

local function add_solutions(expected, group)
  for _, solution in ipairs(solutions_in(group)) do
    expected[#expected + 1] = { definition = group[1].definition, solution = solution }
  end
end

-- Build, and have workers come up for, what the next definitions need: { definition, solution } each.
local function look_ahead(station, groups, coming)
  local expected, list = {}, table.move(groups, 1, #groups, 1, {})
  table.move(coming, 1, #coming, #list + 1, list)
  for i = 1, math.min(DEFINITIONS_AHEAD, #list) do
    add_solutions(expected, list[i])
  end
  station:expect(expected) -- first: compilers are looked for while they come up
  for _, pair in ipairs(expected) do
    station:prepare(pair.definition, { pair.solution })
  end
  return expected
end

---An item as another one is, with other solutions.
function runner.with_solutions(item, solutions)
  local copy = {}
  for name, value in pairs(item) do
    copy[name] = value
  end
  copy.solutions = solutions
  return copy
end

-- A group's items with the solutions that are ready, and those with the others. A solution is on one side for all of
-- the group's workloads.
local function split(station, group)
  local ready, others, is_ready = {}, {}, {}
  for _, item in ipairs(group) do
    local now, later = {}, {}
    for _, solution in ipairs(item.solutions) do
      if is_ready[solution] == nil then is_ready[solution] = station:is_ready(item.definition, solution) end
      table.insert(is_ready[solution] and now or later, solution)
    end
    if #now > 0 then ready[#ready + 1] = runner.with_solutions(item, now) end
    if #later > 0 then others[#others + 1] = runner.with_solutions(item, later) end
  end
  return ready, others
end

local MOST_PATIENCE, TURN = 60, 20 -- seconds to wait for anything to be ready; milliseconds

-- While nothing can be evaluated: make one of the next definitions ready, or let the workers come up.
local function pass_time(station, groups)
  for i = 1, math.min(DEFINITIONS_AHEAD, #groups) do
    if station:warm(groups[i][1]) then return end
  end
  require("hone.core.process").step(TURN)
end

-- What to do next on a GPU: of the next definitions the first one's solutions that are built and whose workers have come
-- up. What is left of its group stays in the list. Where nothing is ready for a long time, a whole group.
local function next_items(station, groups)
  local until_time = clock.now() + MOST_PATIENCE
  repeat
    for i = 1, math.min(DEFINITIONS_AHEAD, #groups) do
      local ready, others = split(station, groups[i])
      if #ready > 0 then
        if #others > 0 then
          groups[i] = others
        else
          table.remove(groups, i)
        end
        return ready
      end
    end
    pass_time(station, groups)
  until clock.now() > until_time
  return table.remove(groups, 1)
end

---Evaluate items on a station, a definition after the other: `report(trace, solution, item)`, `skip(item, why, solution?)`.
---Workers are let go once their solutions have been on all workloads of the definition, unless
---they are to be kept. `options`: keep, coming (groups of items that may be asked for after these).
function runner.run_items(station, items, report, skip, options)
  local groups, keep = groups_of(items), options and options.keep
  local coming = options and options.coming or {}
  while #groups > 0 do
    local expected, now = {}
    if station.device == "cpu" then -- where what comes up beside a call would take its time
      now = table.remove(groups, 1)
    else
      expected = look_ahead(station, groups, coming)
      now = next_items(station, groups)
    end
    for _, item in ipairs(now) do
      station:prepare(item.definition, item.solutions)
      station:preload(expected)
      local ok, why = station:run(item, report, skip)
      if not ok then skip(item, why) end
    end
    if not keep then station:leave(solutions_in(now)) end
  end
end

local PIECES = 4 -- for each device, so that they end at about the same time

local function of_kind(items, kind)
  local list = {}
  for _, item in ipairs(items) do
    if item.kind == kind then list[#list + 1] = item end
  end
  return list
end

-- Groups so small that each of n devices has work: few definitions with many workloads are cut into pieces.
local function shared_out(groups, n)
  local total = 0
  for _, group in ipairs(groups) do
    total = total + #group
  end
  local most, pieces = math.max(1, total // (PIECES * n)), {}
  for _, group in ipairs(groups) do
    for first = 1, #group, most do
      pieces[#pieces + 1] = table.move(group, first, math.min(first + most - 1, #group), 1, {})
    end
  end
  return pieces
end

local function add_shares(result, shares)
  for name, seconds in pairs(shares) do
    result.shares[name] = (result.shares[name] or 0) + seconds
  end
end

local MOST_WAIT = 600 -- seconds for a GPU that another benchmark uses

-- The GPUs' locks, where the plan needs any.
local function lock_devices(on_gpus, options)
  if #on_gpus == 0 then return setmetatable({}, { __close = function() end }) end
  local wait, on_wait = options.wait or MOST_WAIT, options.on_wait
  return require("hone.bench.lock").devices(options.devices, { wait = wait, on_wait = on_wait })
end

---Run a plan. `options`: settings, devices (GPUs; none: the CPU alone), isolated, reference, save (traces are appended
---to the dataset), cache, wait (seconds for GPUs that another benchmark uses); `on_trace(trace, item)`, `on_skip(item,
---why, solution?)` and `on_wait(device, holder)` are told of what comes of it. Returns what the run was: { counts by
---status, evaluations, left_out, seconds, shares }; nil and why a trace cannot be kept or a GPU not be had.
function runner.run(plan, options)
  local on_gpus, on_cpu = of_kind(plan.items, "cuda"), of_kind(plan.items, "cpu")
  local held <close>, busy = lock_devices(on_gpus, options) -- luacheck: ignore held
  if not held then return nil, busy end
  local result = { counts = {}, evaluations = 0, left_out = {}, shares = {} }
  local started = clock.now()
  local function report(t, solution, item)
    local status = t.evaluation.status
    result.counts[status] = (result.counts[status] or 0) + 1
    result.evaluations = result.evaluations + 1
    if options.save then
      local path, why = trace.append(item.root, t, solution, item.definition)
      if not path then error({ unsaved = why }, 0) end
    end
    options.on_trace(t, item)
  end
  local told = {}
  local function skip(item, why, solution)
    if solution and told[solution.name] then return end -- once is enough
    if solution then told[solution.name] = true end
    result.left_out[#result.left_out + 1] = { definition = item.definition.name, why = why }
    options.on_skip(item, why, solution)
  end
  local function on_one(device, items)
    local station <close> = require("hone.bench.station").new {
      device = device,
      settings = options.settings,
      isolated = options.isolated,
      reference = options.reference,
      cache = options.cache,
    }
    runner.run_items(station, items, report, skip)
    add_shares(result, station:shares())
  end
  local ok, why = pcall(function()
    if #on_gpus > 0 and #options.devices > 1 then
      local plain = {
        settings = options.settings.given_to_load,
        isolated = options.isolated,
        reference = options.reference,
        cache = options.cache,
      }
      local groups = shared_out(groups_of(on_gpus), #options.devices)
      local crew = require "hone.bench.crew"
      add_shares(result, crew.run(groups, { devices = options.devices, plain = plain }, report, skip))
    elseif #on_gpus > 0 then
      on_one(options.devices[1], on_gpus)
    end
    if #on_cpu > 0 then on_one("cpu", on_cpu) end
  end)
  if not ok then
    if type(why) == "table" and why.unsaved then return nil, why.unsaved end
    error(why, 0)
  end
  result.seconds = clock.now() - started
  return result
end

return runner
