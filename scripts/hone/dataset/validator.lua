--- Is a dataset what the formats say? The checks of flashinfer-bench's validator, with its categories, levels and
--- messages; reasons why a file cannot be read are hone's own, one line each.
local fs, json = require "hone.fs", require "hone.json"
local definition_rules, solution = require "hone.dataset.definition", require "hone.dataset.solution"
local forms, trace = require "hone.dataset.forms", require "hone.dataset.trace"

local validator = {
  CHECKS = { "layout", "definition", "workload", "solution", "trace", "baseline", "benchmark" },
}

-- ---- scanning: files at the depth that the layout gives them ----------------------------------------

-- The parts of a path below a folder, as many as files there have.
local PARTS = { "^([^/]+)$" }
for depth = 2, 4 do
  PARTS[depth] = PARTS[depth - 1]:sub(1, -2) .. "/([^/]+)$"
end

local function files_at(root, folder, depth, extension)
  local found, top = {}, fs.join(root, folder)
  if not fs.is_dir(top) then return found end
  for path in assert(fs.walk(top, { files_only = true })) do
    if path:sub(-#extension) == extension then
      local parts = { path:match(PARTS[depth], #top + 2) }
      local name = parts[depth]
      if name and name ~= extension then -- a hidden file's name is no extension
        parts[depth] = name:sub(1, -#extension - 1)
        found[#found + 1] = { path = path, parts = parts }
      end
    end
  end
  table.sort(found, function(a, b) return a.path < b.path end)
  return found
end

local function read_definition(path)
  local value, why = json.read(path)
  if value == nil then return nil, why end
  local ok, messages = definition_rules.validate(value)
  if ok then return value end
  return nil, ("%s: %s"):format(path, table.concat(messages, "; "))
end

local function read_solution(path)
  local known = forms.solution(path)
  if known then return known end
  local value, why = json.read(path)
  if value ~= nil then
    value, why = solution.check(value)
    if not value then why = ("%s: %s"):format(path, why) end
  end
  return value, why
end

-- A file's lines as `forms` gives them, a list for each field: quickly where all are of the usual form, else each by
-- the rules of traces.
local function read_lines(path, read_form)
  local columns = read_form(path)
  if columns then return columns end
  local traces = {}
  local lines, why = json.lines(path, { nan = true, big = "float" })
  if not lines then return nil, why end
  for number, value, message in lines do
    if value == nil then return nil, message end
    local t, wrong = trace.check(value)
    if not t then return nil, ("%s:%d: %s"):format(path, number, wrong) end
    traces[#traces + 1] = t
  end
  return forms.columns_of(traces)
end

-- A workload's line, and whether it is nothing else.
local function workload_at(lines, i)
  return {
    uuid = lines.uuid[i],
    axes = lines.axes[i],
    inputs = lines.inputs[i],
    is_workload = not lines.solution[i] and not lines.status[i],
  }
end

local function push(map, key, value)
  map[key] = map[key] or {}
  table.insert(map[key], value)
end

-- Which file is whose, by the definitions' names. Nothing is read: a file without a definition is nobody's to check.
local function scan(root, options)
  local index = { definitions = {}, workloads = {}, solutions = {}, traces = {} }
  for _, file in ipairs(files_at(root, "definitions", 2, ".json")) do
    local op_type, name = table.unpack(file.parts)
    local known = index.definitions[name]
    local entry = { op_type = op_type, path = file.path }
    entry.duplicate = known and ("duplicate definition name: %s and %s"):format(known.path, file.path)
    entry.wanted = validator.is_wanted(name, op_type, options)
    index.definitions[name] = entry
  end
  local function wanted(name) return index.definitions[name] and index.definitions[name].wanted end
  for _, file in ipairs(files_at(root, "workloads", 2, ".jsonl")) do
    local op_type, name = table.unpack(file.parts)
    if wanted(name) then index.workloads[name] = { op_type = op_type, path = file.path } end
  end
  for _, file in ipairs(files_at(root, "solutions", 4, ".json")) do
    local author, op_type, definition, name = table.unpack(file.parts)
    local entry = { author = author, op_type = op_type, name = name, path = file.path }
    if wanted(definition) then push(index.solutions, definition, entry) end
  end
  for _, file in ipairs(files_at(root, "traces", 3, ".jsonl")) do
    local author, op_type, name = table.unpack(file.parts)
    if wanted(name) then
      push(index.traces, name, { author = author, op_type = op_type, path = file.path })
    end
  end
  return index
end

local function contains(list, item)
  for _, each in ipairs(list or {}) do
    if each == item then return true end
  end
  return false
end

---Whether the options ask for a definition: none asks for all, else its op type or its name does.
function validator.is_wanted(name, op_type, options)
  if #(options.op_types or {}) == 0 and #(options.definitions or {}) == 0 then return true end
  return contains(options.op_types, op_type) or contains(options.definitions, name)
end

-- ---- results --------------------------------------------------------------------------------------

local Result = {}
Result.__index = Result

local function new_result() return setmetatable({ messages = {} }, Result) end

function Result:add(level, text, ...)
  local message = json.object { { "level", level }, { "message", text:format(...) } }
  self.messages[#self.messages + 1] = message
  return message
end

local function worst(levels)
  local found = "ok"
  for _, level in ipairs(levels) do
    if level == "error" then return "error" end
    if level == "warning" then found = "warning" end
  end
  return found
end

function Result:plain()
  local levels = {}
  for i, message in ipairs(self.messages) do
    levels[i] = message.level
  end
  return json.object { { "status", worst(levels) }, { "messages", json.array(self.messages) } }
end

-- ---- layout ---------------------------------------------------------------------------------------

local function first_other(lines, name)
  for i = 1, lines and lines.count or 0 do
    if lines.definition[i] ~= name then return lines.definition[i] end
  end
end

local function layout_of_solutions(result, case)
  for _, entry in ipairs(case.solutions) do
    local found = entry.solution
    local function differs(what, in_path, in_json)
      if in_path == in_json then return end
      result:add(
        "error",
        "solution '%s' %s mismatch: path '%s', JSON '%s'",
        entry.name,
        what,
        in_path,
        in_json
      )
    end
    if found then
      differs("author", entry.author, found.author)
      differs("definition", case.name, found.definition)
      if found.name ~= entry.name then
        result:add("error", "solution name mismatch: path '%s', JSON '%s'", entry.name, found.name)
      end
      if entry.op_type ~= case.op_type then
        local text = "solution '%s' op_type mismatch: expected '%s', got '%s'"
        result:add("error", text, entry.name, case.op_type, entry.op_type)
      end
    end
  end
end

local function layout_of_traces(result, case)
  for _, entry in ipairs(case.traces) do
    if entry.op_type ~= case.op_type then
      local text = "trace file op_type mismatch for author '%s': expected '%s', got '%s'"
      result:add("error", text, entry.author, case.op_type, entry.op_type)
    end
    local other = first_other(entry.traces, case.name)
    if other then
      local text = "trace definition mismatch for author '%s': expected '%s', got '%s'"
      result:add("error", text, entry.author, case.name, other)
    end
  end
end

-- The inputs of a workload are often in one file: whether it is there is asked once.
local function blob_exists(case, path)
  local known = case.blob_exists[path]
  if known == nil then
    known = fs.exists(fs.join(case.root, path))
    case.blob_exists[path] = known
  end
  return known
end

local function layout_of_blobs(result, case)
  local lines = case.workload and case.workload.traces
  for i = 1, lines and lines.count or 0 do
    for _, input in pairs(lines.inputs[i]) do
      if input.type == "safetensors" and not blob_exists(case, input.path) then
        result:add("error", "workload %s: blob missing at %s", lines.uuid[i], input.path)
      end
    end
  end
end

local checks = {}

function checks.layout(result, case)
  if case.entry.duplicate then return result:add("error", "%s", case.entry.error) end
  local def = case.definition
  local text = "definition %s mismatch: path says '%s', JSON says '%s'"
  if def and def.name ~= case.name then result:add("error", text, "name", case.name, def.name) end
  if def and def.op_type ~= case.op_type then
    result:add("error", text, "op_type", case.op_type, def.op_type)
  end
  if case.workload then
    local op_type = case.workload.op_type
    if op_type ~= case.op_type then
      result:add("error", "workload op_type mismatch: expected '%s', got '%s'", case.op_type, op_type)
    end
    local other = first_other(case.workload.traces, case.name)
    if other then
      result:add("error", "workload trace definition mismatch: expected '%s', got '%s'", case.name, other)
    end
  end
  layout_of_solutions(result, case)
  layout_of_traces(result, case)
  if def then layout_of_blobs(result, case) end
end

-- ---- definition -----------------------------------------------------------------------------------

local function is_described(t) return type(t.description) == "string" and t.description ~= "" end

function checks.definition(result, case, options)
  if case.entry.error then return result:add("error", "parse error: %s", case.entry.error) end
  local def = case.definition
  if not is_described(def) then result:add("warning", "missing description") end
  for _, part in ipairs { "axes", "inputs", "outputs" } do
    for name, entry in pairs(def[part]) do
      if not is_described(entry) then result:add("warning", "missing description: %s.%s", part, name) end
    end
  end
  if options.disable_gpu then return end
  -- Built on hone's own tensors: this needs no GPU either.
  local built, why = require("hone.reference").new(def)
  if built then
    result:add("info", "reference build: ok")
  else
    result:add("error", "reference build failed: %s", why)
  end
end

-- ---- workload -------------------------------------------------------------------------------------

-- Sorted, as Python shows a list of strings.
local function shown(names)
  table.sort(names)
  for i, name in ipairs(names) do
    names[i] = "'" .. name .. "'"
  end
  return "[" .. table.concat(names, ", ") .. "]"
end

local function missing_from(wanted, given)
  local missing = {}
  for name in pairs(wanted) do
    if given[name] == nil then missing[#missing + 1] = name end
  end
  return missing
end

-- Names that are missing or too many: how many complaints.
local function check_names(result, uuid, what, wanted, given)
  local missing, extra = missing_from(wanted, given), missing_from(given, wanted)
  if #missing > 0 then result:add("error", "%s: missing %s %s", uuid, what, shown(missing)) end
  if #extra > 0 then result:add("error", "%s: extra %s %s", uuid, what, shown(extra)) end
  return #missing + #extra
end

local function check_form(result, case, t)
  local faults = 0
  if not t.is_workload then
    result:add("error", "%s: workload entry should not have solution or evaluation", t.uuid)
    faults = 1
  end
  faults = faults + check_names(result, t.uuid, "axes", case.var_axes, t.axes)
  for name, size in pairs(t.axes) do
    if size <= 0 then
      result:add("error", "%s: axis %s has non-positive value %d", t.uuid, name, size)
      faults = faults + 1
    end
  end
  return faults + check_names(result, t.uuid, "inputs", case.definition.inputs, t.inputs) == 0
end

local function shape_of(case, t, spec)
  local shape = {}
  for i, axis in ipairs(spec.shape) do
    shape[i] = definition_rules.axis_value(case.definition.axes[axis]) or t.axes[axis]
  end
  return shape
end

-- As Python shows a tuple.
local function tuple(shape) return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")") end

-- The file of a blob, open until another is asked for.
local function open_blob(case, path)
  local last = case.last_blob
  if last and last.path == path then return last.file, last.why end
  if last and last.file then last.file:close() end
  local file, why = require("hone.safetensors").open(fs.join(case.root, path))
  case.last_blob = { path = path, file = file, why = why }
  return file, why
end

-- What is wrong with a blob, or nil.
local function blob_fault(case, t, name, input, spec)
  if not blob_exists(case, input.path) then return ("blob missing at %s"):format(input.path) end
  local file, why = open_blob(case, input.path)
  if not file then return ("blob load failed: %s"):format(why) end
  local info = file:info(input.tensor_key)
  if not info then return ("tensor key '%s' not found in %s"):format(input.tensor_key, input.path) end
  local expected, actual = tuple(shape_of(case, t, spec)), tuple(info.shape)
  if expected ~= actual then
    return ("%s shape mismatch: expected %s, got %s"):format(name, expected, actual)
  end
end

local function input_fault(case, t, name, spec)
  local input = t.inputs[name]
  local is_scalar = spec.shape == json.null
  if input.type == "scalar" then
    return not is_scalar and name .. " is scalar but definition expects tensor"
  end
  if is_scalar then return ("%s is %s but definition expects scalar"):format(name, input.type) end
  return input.type == "safetensors" and blob_fault(case, t, name, input, spec)
end

local function check_inputs(result, case, t)
  local valid = true
  for name, spec in pairs(case.definition.inputs) do
    local fault = input_fault(case, t, name, spec)
    if fault then
      result:add("error", "%s: %s", t.uuid, fault)
      valid = false
    end
  end
  return valid
end

function checks.workload(result, case)
  local workload = case.workload
  if not workload then return result:add("warning", "no workload file found") end
  if workload.error then return result:add("error", "parse error: %s", workload.error) end
  if not case.definition then
    return result:add("error", "cannot validate workloads: definition failed to load")
  end
  local valid, total = 0, workload.traces.count
  for i = 1, total do
    local t = workload_at(workload.traces, i)
    if check_form(result, case, t) and check_inputs(result, case, t) then valid = valid + 1 end
  end
  local count = valid == total and ("%d valid"):format(valid) or ("%d/%d valid"):format(valid, total)
  table.insert(result.messages, 1, json.object { { "level", "info" }, { "message", count } })
end

-- ---- solution, trace, baseline --------------------------------------------------------------------

function checks.solution(result, case)
  if #case.solutions == 0 then return result:add("info", "no solutions") end
  local valid = 0
  for _, entry in ipairs(case.solutions) do
    local found = entry.solution
    if not found then
      result:add("error", "%s: parse error: %s", entry.name, entry.error)
    else
      valid = valid + 1
      if found.definition ~= case.name then
        result:add("error", "%s: definition field '%s' != '%s'", entry.name, found.definition, case.name)
      end
      for _, field in ipairs { "author", "name" } do
        if found[field] ~= entry[field] then
          result:add("error", "%s: %s field '%s' != path '%s'", entry.name, field, found[field], entry[field])
        end
      end
    end
  end
  local count = ("%d solutions"):format(valid)
  table.insert(result.messages, 1, json.object { { "level", "info" }, { "message", count } })
end

-- How many workloads have a trace, and how many of the known ones have none.
local function covered(case, traces)
  local seen, count, missing = {}, 0, 0
  for i = 1, traces.count do
    local uuid = traces.uuid[i]
    if not seen[uuid] then count = count + 1 end
    seen[uuid] = true
  end
  for uuid in pairs(case.uuids) do
    if not seen[uuid] then missing = missing + 1 end
  end
  return count, missing
end

local function check_trace_lines(result, case, entry)
  local definitions, solutions, statuses = entry.traces.definition, entry.traces.solution, entry.traces.status
  for i = 1, entry.traces.count do
    if definitions[i] ~= case.name then
      local text = "%s: trace definition '%s' != '%s'"
      return result:add("error", text, entry.author, definitions[i], case.name)
    end
    if not solutions[i] or not statuses[i] then
      local text = "%s: trace entry %s missing solution or evaluation"
      result:add("error", text, entry.author, entry.traces.uuid[i])
    elseif not case.solution_names[solutions[i]] then
      result:add("error", "%s: trace references unknown solution '%s'", entry.author, solutions[i])
    end
  end
end

function checks.trace(result, case)
  if #case.traces == 0 then return result:add("info", "no trace files") end
  for _, entry in ipairs(case.traces) do
    if entry.error then
      result:add("error", "%s: parse error: %s", entry.author, entry.error)
    else
      check_trace_lines(result, case, entry)
      local _, missing = covered(case, entry.traces)
      if entry.traces.count > 0 and missing > 0 then
        result:add("warning", "%s missing %d/%d workloads", entry.author, missing, case.uuid_count)
      end
    end
  end
end

-- Baseline solutions that can be read, in full.
local function read_baselines(case)
  local list = {}
  for _, entry in ipairs(case.solutions) do
    local value = entry.author == "baseline" and entry.solution and json.read(entry.path)
    list[#list + 1] = value and solution.check(value) or nil
  end
  return list
end

local function check_baseline_trace(result, case, own, names)
  local solutions, statuses = own.traces.solution, own.traces.status
  for i = 1, own.traces.count do
    if solutions[i] and not names[solutions[i]] then
      result:add("error", "trace references non-baseline solution '%s'", solutions[i])
      break
    end
  end
  local failed = 0
  for i = 1, own.traces.count do
    if statuses[i] and statuses[i] ~= "PASSED" then failed = failed + 1 end
  end
  if failed > 0 then
    result:add("warning", "trace has %d non-passing entries", failed)
  else
    result:add("info", "trace: all passed")
  end
  if case.uuid_count == 0 then return end
  local count, missing = covered(case, own.traces)
  local level, text = "info", "trace: %d/%d workloads"
  if missing > 0 then
    level, text = "warning", "trace covers %d/%d workloads"
  end
  result:add(level, text, count, case.uuid_count)
end

function checks.baseline(result, case, options)
  local names, list, own = {}, {}, nil
  for _, entry in ipairs(case.solutions) do
    if entry.author == "baseline" then
      names[entry.name] = true
      list[#list + 1] = entry.name
    end
  end
  for _, entry in ipairs(case.traces) do
    if entry.author == "baseline" then own = own or entry end
  end
  if #list == 0 then
    result:add("warning", "no baseline solution")
  else
    result:add("info", "solution: %s", table.concat(list, ", "))
    if not options.disable_gpu and case.definition then
      local function add(...) result:add(...) end
      require("hone.bench.check").build(case.definition, read_baselines(case), add)
    end
  end
  if not own then
    if #list > 0 then result:add("warning", "trace missing") end
  elseif own.error then
    result:add("error", "trace parse error: %s", own.error)
  else
    check_baseline_trace(result, case, own, names)
  end
end

-- Workloads that are nothing else, as the benchmark takes them.
local function read_workloads(case)
  local list, lines = {}, case.workload and case.workload.traces
  for i = 1, lines and lines.count or 0 do
    local t = workload_at(lines, i)
    if t.is_workload then
      list[#list + 1] = json.object { { "axes", t.axes }, { "inputs", t.inputs }, { "uuid", t.uuid } }
    end
  end
  return list
end

local function check_benchmark(case)
  local result = new_result()
  local function add(...) result:add(...) end
  if case.definition then
    local run = require("hone.bench.check").benchmark
    run(case.root, case.definition, read_workloads(case), read_baselines(case), add)
  else
    add("error", "cannot benchmark: definition failed to load")
  end
  return result:plain()
end

-- ---- the report -----------------------------------------------------------------------------------

-- Everything about one definition, read now and let go when its checks are done.
local function case_of(root, index, name)
  local entry = index.definitions[name]
  entry.definition, entry.error = read_definition(entry.path)
  if entry.duplicate then entry.error = entry.duplicate end
  local workload = index.workloads[name]
  if workload then
    workload.traces, workload.error = read_lines(workload.path, forms.workloads)
  end
  for _, each in ipairs(index.solutions[name] or {}) do
    each.solution, each.error = read_solution(each.path)
  end
  for _, each in ipairs(index.traces[name] or {}) do
    each.traces, each.error = read_lines(each.path, forms.outcomes)
  end
  local case = {
    root = root,
    name = name,
    entry = entry,
    op_type = entry.op_type,
    definition = entry.definition,
    workload = workload,
    solutions = index.solutions[name] or {},
    traces = index.traces[name] or {},
    var_axes = {},
    blob_exists = {},
    uuids = {},
    uuid_count = 0,
    solution_names = {},
  }
  for axis, spec in pairs(entry.definition and entry.definition.axes or {}) do
    if not definition_rules.axis_value(spec) then case.var_axes[axis] = true end
  end
  local lines = workload and workload.traces
  for i = 1, lines and lines.count or 0 do
    local uuid = lines.uuid[i]
    if not case.uuids[uuid] then case.uuid_count = case.uuid_count + 1 end
    case.uuids[uuid] = true
  end
  for _, found in ipairs(case.solutions) do
    case.solution_names[found.name] = true
  end
  return case
end

local function report_of(case, options)
  local results, levels = {}, {}
  for _, check in ipairs(options.checks) do
    if checks[check] then
      local result = new_result()
      checks[check](result, case, options)
      results[check] = result:plain()
      levels[#levels + 1] = results[check].status
    end
  end
  local report = json.object { { "status", worst(levels) } }
  for _, check in ipairs(validator.CHECKS) do
    report[check] = results[check] or json.null
  end
  return report
end

-- ---- several processes ----------------------------------------------------------------------------

local FEWEST = 100 -- definitions of which it pays to start another process

local CHILD = [[
local json = require "hone.json"
local task = assert(json.decode(io.read "a"))
io.write(json.encode(require("hone.dataset.validator").part(task.root, task.index, task.options)))
]]

-- Reports of the definitions in an index: each is read, checked and let go.
function validator.part(root, index, options)
  local rare <close> = require("hone.garbage").rare() -- luacheck: ignore 211
  local names, reports = {}, json.object()
  for name in pairs(index.definitions) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local case = case_of(root, index, name)
    reports[name] = report_of(case, options)
    if case.last_blob and case.last_blob.file then case.last_blob.file:close() end
    index.definitions[name], index.workloads[name] = nil, nil
    index.solutions[name], index.traces[name] = nil, nil
  end
  return reports
end

-- The index of every count-th name, from the first-th on.
local function share_of(index, names, first, count)
  local share = {}
  for kind, entries in pairs(index) do
    share[kind] = json.object()
    for i = first, #names, count do
      share[kind][names[i]] = entries[names[i]]
    end
  end
  return share
end

-- The commands that do a part each; nil where what they have to be told is no text.
local function commands_of(root, index, names, options, count)
  local commands = {}
  for i = 1, count do
    local task = { root = root, index = share_of(index, names, i, count), options = options }
    local is_text, input = pcall(json.encode, task)
    if not is_text then return nil end
    commands[i] = { require("hone.paths").exe, "-e", CHILD, input = input }
  end
  return commands
end

-- The same as `validator.part`, by as many processes as there are processors. Where one of them fails, all is done
-- here, so that what is wrong comes to light.
local function part_in_parallel(root, index, names, options)
  local count = math.min(require("hone.core.process").parallelism(), #names // FEWEST)
  local commands = require("hone.paths").exe and count > 1 and commands_of(root, index, names, options, count)
  if not commands then return validator.part(root, index, options) end
  local all = json.object()
  for _, result in ipairs(require("hone.process").run_all(commands)) do
    local reports = result.status == 0 and json.decode(result.stdout)
    if not reports then return validator.part(root, index, options) end
    for name, report in pairs(reports) do
      all[name] = report
    end
  end
  return all
end

-- One after the other, here: a device is not shared.
local function add_benchmarks(root, options, names, reports)
  local index = scan(root, options)
  for _, name in ipairs(names) do
    local report = reports[name]
    report.benchmark = check_benchmark(case_of(root, index, name))
    report.status = worst { report.status, report.benchmark.status }
  end
end

---Validate the dataset at `root`: a report in flashinfer-bench's form. options: checks, disable_gpu, op_types,
---definitions.
function validator.run(root, options)
  if not fs.is_dir(root) then return nil, ("cannot validate %s: no such directory"):format(root), "ENOENT" end
  local index = scan(root, options)
  local names = {}
  for name, entry in pairs(index.definitions) do
    if entry.wanted then
      names[#names + 1] = name
    else
      index.definitions[name] = nil
    end
  end
  table.sort(names)
  local reports = part_in_parallel(root, index, names, options)
  if contains(options.checks, "benchmark") then add_benchmarks(root, options, names, reports) end
  local definitions = json.object()
  for _, name in ipairs(names) do
    definitions[name] = reports[name]
  end
  local config = json.object {
    { "dataset", root },
    { "checks", json.array(options.checks) },
    { "disable_gpu", options.disable_gpu == true },
    { "op_types", json.array(options.op_types or {}) },
    { "definitions", json.array(options.definitions or {}) },
  }
  return json.object { { "config", config }, { "definitions", definitions } }
end

---How many definitions are ok, have warnings, have errors.
function validator.count(report)
  local counts = { ok = 0, warning = 0, error = 0 }
  for _, each in pairs(report.definitions) do
    counts[each.status] = counts[each.status] + 1
  end
  return counts, counts.ok + counts.warning + counts.error
end

---The report as text.
function validator.text(report)
  local config, lines = report.config, {}
  local function add(text, ...) lines[#lines + 1] = text:format(...) end
  local function all(list) return #list > 0 and table.concat(list, ", ") or "(all)" end
  add "=== Dataset Validation Report ==="
  add("dataset:       %s", config.dataset)
  add("checks:        %s", table.concat(config.checks, ", "))
  add("disable_gpu:   %s", config.disable_gpu and "True" or "False")
  add("op_types:      %s", all(config.op_types))
  add("definitions:   %s", all(config.definitions))
  add ""
  local counts, total = validator.count(report)
  add("%d definitions: %d ok, %d warning, %d error", total, counts.ok, counts.warning, counts.error)
  add ""
  for name, each in pairs(report.definitions) do
    add("--- %s [%s] ---", name, each.status:upper())
    for _, check in ipairs(validator.CHECKS) do
      local result = each[check]
      if result == json.null then
        add("  %-12s None (skipped)", check .. ":")
      else
        add("  %-12s %s", check .. ":", result.status)
        for _, message in ipairs(result.messages) do
          add("    - %s", message.message)
        end
      end
    end
    add ""
  end
  return table.concat(lines, "\n")
end

return validator
