--- What a page about a dataset shows, as plain data: rankings, how often authors win, latencies by workload, and how
--- much each workload has to do.
local fs, json = require "hone.fs", require "hone.json"
local ops = require "hone.ops"
local axes_text = require("hone.dataset.workload").axes_text
local axis_value = require("hone.dataset.definition").axis_value

local M = {}

local MOST_ELEMENTS = 1 << 22 -- of a structural input that is read
local CURVE_POINTS = 400

-- ---- ceilings --------------------------------------------------------------------------------------

-- What vendors publish: bytes a second, and operations a second of dense products by what is multiplied.
local DEVICES = {
  {
    "B200",
    bytes = 8.0e12,
    flops = { float4 = 9.0e15, float8 = 4.5e15, bfloat16 = 2.25e15, float32 = 7.5e13 },
  },
  { "H200", bytes = 4.8e12, flops = { float8 = 1.979e15, bfloat16 = 9.895e14, float32 = 6.69e13 } },
  { "GH200", bytes = 4.0e12, flops = { float8 = 1.979e15, bfloat16 = 9.895e14, float32 = 6.69e13 } },
  { "H100 PCIe", bytes = 2.0e12, flops = { float8 = 1.513e15, bfloat16 = 7.565e14, float32 = 5.12e13 } },
  { "H100 NVL", bytes = 3.9e12, flops = { float8 = 1.671e15, bfloat16 = 8.355e14, float32 = 6.0e13 } },
  { "H100", bytes = 3.35e12, flops = { float8 = 1.979e15, bfloat16 = 9.895e14, float32 = 6.69e13 } },
  { "A100.*40GB", bytes = 1.555e12, flops = { bfloat16 = 3.12e14, float32 = 1.95e13 } },
  { "A100", bytes = 2.039e12, flops = { bfloat16 = 3.12e14, float32 = 1.95e13 } },
  { "L40S", bytes = 8.64e11, flops = { float8 = 7.33e14, bfloat16 = 3.62e14, float32 = 9.16e13 } },
} -- stylua: ignore

---Published ceilings of a device by its name in traces, nil where there are none.
---@return { bytes: number, flops: table<string, number> }?
function M.ceilings(hardware)
  for _, device in ipairs(DEVICES) do
    if hardware:find("%f[%w]" .. device[1]) then
      local flops = json.object()
      for _, name in ipairs { "float4", "float8", "bfloat16", "float32" } do
        flops[name] = device.flops[name]
      end
      return { bytes = device.bytes, flops = flops }
    end
  end
end

-- ---- numbering ---------------------------------------------------------------------------------------

-- Things that many rows name, each once: rows hold its place, counted from 0 as the page's script does.
local function new_index()
  local index = { list = json.array {}, places = {} }
  function index.place(key, make)
    local place = index.places[key]
    if not place then
      place = #index.list
      index.places[key] = place
      index.list[place + 1] = make and make() or key
    end
    return place
  end
  return index
end

-- ---- workloads ---------------------------------------------------------------------------------------

-- The workloads of a definition by uuid; those that are only in traces too.
local function workloads_of(set, name, uuids)
  local found = {}
  for _, line in ipairs(set:workloads(name)) do
    found[line.workload.uuid] = line.workload
  end
  for uuid in pairs(uuids) do
    if not found[uuid] then
      for _, t in ipairs(set:traces(name)) do
        found[t.workload.uuid] = found[t.workload.uuid] or t.workload
      end
      break
    end
  end
  return found
end

local function small_enough(info)
  local elements = 1
  for _, size in ipairs(info.shape) do
    elements = elements * size
  end
  return elements <= MOST_ELEMENTS
end

-- One input that decides how much there is to do, read from its file; nil where that cannot be.
local function read_input(root, input)
  local path = input.path:sub(1, 1) == "/" and input.path or fs.join(root, input.path)
  if not fs.is_file(path) then return nil end
  local file <close> = require("hone.safetensors").open(path)
  local info = file and file:info(input.tensor_key)
  if not info or not small_enough(info) then return nil end
  local tensor = file:tensor(input.tensor_key)
  return tensor and tensor:tolist()
end

-- What a workload's files say about its structure: integers, and what samples are chosen by.
local function structure_of(set, definition, workload)
  local structure = {}
  for name, input in pairs(workload.inputs) do
    local spec = definition.inputs[name]
    local tells = spec and (spec.dtype:find "^int" or name == "top_p")
    if tells and input.type == "safetensors" then structure[name] = read_input(set.root, input) end
  end
  return structure
end

-- How much a workload has to do: { bytes, flops, dtype, exact }, null where nobody knows.
local function work_of(set, definition, workload)
  local op = ops.get(definition.op_type)
  if not op or not op.work then return json.null end
  local done, work = pcall(ops.work, definition, workload.axes, structure_of(set, definition, workload))
  if not done and work == "interrupted" then error(work, 0) end
  if not done or not work then return json.null end
  local counted = work.usual or work
  if counted.bytes <= 0 or counted.flops <= 0 then return json.null end
  return json.array { counted.bytes, counted.flops, work.dtype or "", work.exact }
end

-- ---- results -----------------------------------------------------------------------------------------

-- The better of what is known of a solution on a workload and one more result: a pass beats a failure, a lower
-- latency a higher.
local function better(known, status, latency)
  local passed = status == "PASSED" and latency > 0 and latency < math.huge
  if not passed then
    return known or { status = status == "PASSED" and "PASSED without a latency" or status }
  end
  if known and known.latency and known.latency <= latency then return known end
  return { status = status, latency = latency }
end

-- Results of a definition by workload and device, in the order in which they first come.
local function collect(set, name, page)
  local order, by_key, counts = {}, {}, page.counts
  for columns, row in set:results(name) do
    local solution, status = columns.solution[row], columns.status[row]
    if solution and status and page.is_wanted(solution) then
      counts.total = counts.total + 1
      if status == "PASSED" then counts.passed = counts.passed + 1 end
      local uuid, hardware = columns.uuid[row], columns.hardware[row]
      local key = uuid .. "\0" .. hardware
      local cell = by_key[key]
      if not cell then
        cell = { uuid = uuid, hardware = hardware, results = {}, order = {} }
        by_key[key], order[#order + 1] = cell, cell
      end
      if not cell.results[solution] then table.insert(cell.order, solution) end
      cell.results[solution] = better(cell.results[solution], status, columns.latency[row])
    end
  end
  return order
end

-- ---- wins ----------------------------------------------------------------------------------------------

-- The ratio of the baseline's latency to each author's on a workload, 0 where the author failed.
local function add_ratios(ratios, cell, author_of, baseline)
  local best = {}
  for solution, result in pairs(cell.results) do
    local author = author_of(solution)
    local latency = result.latency or math.huge
    if author and (not best[author] or latency < best[author]) then best[author] = latency end
  end
  local base = best[baseline]
  if not base or base == math.huge then return end
  for author, latency in pairs(best) do
    if author ~= baseline then
      ratios[author] = ratios[author] or {}
      table.insert(ratios[author], latency == math.huge and 0.0 or base / latency)
    end
  end
end

-- fast_p: the share of ratios that are at least p, at no more than CURVE_POINTS of them.
local function curve_of(sorted)
  local points, n = json.array {}, #sorted
  local step = math.max(1, n // CURVE_POINTS)
  for i = 1, n do
    local is_last_of_equals = sorted[i] ~= sorted[i + 1]
    if is_last_of_equals and sorted[i] > 0 and (i % step == 0 or i == n or #points == 0) then
      local first = i
      while sorted[first - 1] == sorted[i] do
        first = first - 1
      end
      points[#points + 1] = json.array { sorted[i], (n - first + 1) / n }
    end
  end
  return points
end

-- One author's wins, ties within the band, losses and failures, and the curve.
local function wins_of(author, list, band)
  table.sort(list)
  local entry = json.object { { "author", author }, { "total", #list } }
  local count = { wins = 0, ties = 0, losses = 0, failed = 0 }
  for _, ratio in ipairs(list) do
    local word = ratio == 0 and "failed"
      or ratio > 1 + band and "wins"
      or ratio * (1 + band) < 1 and "losses"
      or "ties"
    count[word] = count[word] + 1
  end
  for _, word in ipairs { "wins", "ties", "losses", "failed" } do
    entry[word] = count[word]
  end
  entry.median = list[(#list + 1) // 2]
  entry.points = curve_of(list)
  return entry
end

-- ---- the whole -------------------------------------------------------------------------------------------

local function set_of(list)
  if not list or #list == 0 then return nil end
  local members = {}
  for _, item in ipairs(list) do
    members[item] = true
  end
  return members
end

-- The definitions that are asked for: by op type and by name, both where both are given.
local function chosen_definitions(set, options)
  local names, wanted = {}, set_of(options.definitions)
  for name in pairs(wanted or {}) do
    if not set:definition(name) then
      return nil, ("there is no definition '%s' in %s"):format(name, set.root), "ENOENT"
    end
  end
  for _, name in ipairs(set:definitions()) do
    local definition = set:definition(name)
    local of_type = not options.op_type or definition.op_type == options.op_type
    if of_type and (not wanted or wanted[name]) then names[#names + 1] = definition end
  end
  return names
end

local function plain_rankings(set, chosen, options)
  local names = {}
  for i, definition in ipairs(chosen) do
    names[i] = definition.name
  end
  local scores, notes = set:rank_authors { baseline_author = options.baseline_author, definitions = names }
  local wanted, rankings = set_of(options.authors), json.array {}
  for _, score in ipairs(scores) do
    if not wanted or wanted[score.author] then
      local row = json.object { { "author", score.author } }
      for _, field in ipairs { "avg_speedup", "win_rate", "success_rate", "definitions", "workloads" } do
        row[field] = score[field]
      end
      rankings[#rankings + 1] = row
    end
  end
  return rankings, notes
end

-- The sizes of a definition that are always the same, as text.
local function constants_text(definition)
  local parts = {}
  for name, axis in pairs(definition.axes) do
    local value = axis_value(axis)
    if value then parts[#parts + 1] = ("%s=%d"):format(name, value) end
  end
  return table.concat(parts, " ")
end

local function add_definition(page, set, definition)
  local cells = collect(set, definition.name, page)
  if #cells == 0 then return end
  local uuids = {}
  for _, cell in ipairs(cells) do
    uuids[cell.uuid] = true
  end
  local workloads, work = workloads_of(set, definition.name, uuids), {}
  local at = page.definitions.place(
    definition.name,
    function() return json.array { definition.name, definition.op_type, constants_text(definition) } end
  )
  for _, cell in ipairs(cells) do
    add_ratios(page.ratios, cell, page.author_of, page.baseline)
    local workload = workloads[cell.uuid]
    if work[cell.uuid] == nil then work[cell.uuid] = work_of(set, definition, workload) end
    local results = json.array {}
    for _, solution in ipairs(cell.order) do
      local result = cell.results[solution]
      local place = page.solutions.place(
        solution,
        function() return json.array { solution, page.authors.place(page.author_of(solution) or "?") } end
      )
      results[#results + 1] =
        json.array { place, result.latency or json.null, page.statuses.place(result.status) }
    end
    page.rows[#page.rows + 1] = json.array {
      at,
      cell.uuid,
      axes_text(workload.axes),
      page.hardware.place(cell.hardware),
      work[cell.uuid],
      results,
    }
  end
end

local function counts_of(page)
  local workloads = {}
  for _, row in ipairs(page.rows) do
    workloads[row[1] .. "\0" .. row[2]] = true
  end
  local distinct = 0
  for _ in pairs(workloads) do
    distinct = distinct + 1
  end
  return json.object {
    { "traces", page.counts.total },
    { "passed", page.counts.passed },
    { "definitions", #page.definitions.list },
    { "workloads", distinct },
    { "solutions", #page.solutions.list },
  }
end

local function filters_of(options)
  local function list(names) return names and #names > 0 and json.array(names) or nil end
  return json.object {
    { "op_type", options.op_type },
    { "definitions", list(options.definitions) },
    { "authors", list(options.authors) },
  }
end

---What the page of an open dataset shows. options: baseline_author, op_type, definitions, authors, band (how far from
---the baseline's latency is a tie, 0.05 for 5 %). nil, a message and a code where a definition is not there.
function M.collect(set, options)
  local paused <close> = require("hone.garbage").pause() -- luacheck: ignore 211
  local baseline = options.baseline_author or "baseline"
  local chosen, why, code = chosen_definitions(set, options)
  if not chosen then return nil, why, code end
  local rankings, notes = plain_rankings(set, chosen, options)
  local wanted = set_of(options.authors)
  local function author_of(solution)
    local known = set:author(solution)
    return known and known.author
  end
  local page = {
    baseline = baseline,
    author_of = author_of,
    is_wanted = function(solution)
      local author = author_of(solution)
      return not wanted or author ~= nil and (wanted[author] or author == baseline)
    end,
    definitions = new_index(),
    solutions = new_index(),
    authors = new_index(),
    hardware = new_index(),
    statuses = new_index(),
    rows = json.array {},
    ratios = {},
    counts = { total = 0, passed = 0 },
  }
  page.authors.place(baseline)
  for _, row in ipairs(rankings) do
    page.authors.place(row.author)
  end
  page.statuses.place "PASSED"
  for _, definition in ipairs(chosen) do
    add_definition(page, set, definition)
  end
  local curves = json.array {}
  for _, author in ipairs(page.authors.list) do
    local list = page.ratios[author]
    if list then curves[#curves + 1] = wins_of(author, list, options.band or 0.05) end
  end
  local ceilings = json.array {}
  for i, hardware in ipairs(page.hardware.list) do
    ceilings[i] = M.ceilings(hardware) or json.null
  end
  return json.object {
    { "dataset", fs.basename(fs.absolute(set.root)) },
    { "baseline", baseline },
    { "band", options.band or 0.05 },
    { "filters", filters_of(options) },
    { "counts", counts_of(page) },
    { "rankings", rankings },
    { "notes", json.array(notes) },
    { "curves", curves },
    { "authors", page.authors.list },
    { "hardware", page.hardware.list },
    { "ceilings", ceilings },
    { "statuses", page.statuses.list },
    { "definitions", page.definitions.list },
    { "solutions", page.solutions.list },
    { "rows", page.rows },
  }
end

return M
