--- What records look like as flashinfer-bench and hone write them, for `json.picker`: lines of this form need no
--- further check. Anything else (numbers as text, unknown keys, what is wrong) is read in full by the record's rules.
local json = require "hone.json"

local forms = {}

local TEXT, STRING, NULL, MEASURE = { "text" }, { "string" }, { "null" }, { "measure" }

local function copy(form, slot)
  local picked = table.move(form, 1, #form, 1, {})
  picked.pick = slot
  return picked
end

local INPUT = {
  "either",
  { "object", { "type", { "choice", "random" } } },
  { "object", { "type", { "choice", "safetensors" } }, { "path", TEXT }, { "tensor_key", TEXT } },
  {
    "object",
    { "type", { "choice", "scalar" } },
    { "value", { "either", { "number" }, { "boolean" } } },
  },
}

local function workload(axes, inputs, uuid)
  return {
    "object",
    { "axes", { "map", { "size" }, pick = axes } },
    { "inputs", { "map", INPUT, pick = inputs } },
    { "uuid", copy(TEXT, uuid) },
  }
end

local function evaluation(statuses, has_correctness, performance, slots)
  local no_correctness = { "correctness", NULL, optional = true }
  local errors = { "either", MEASURE, { "choice", "NaN", "Infinity" } }
  local correctness = {
    "correctness",
    {
      "object",
      { "max_relative_error", errors, optional = true },
      { "max_absolute_error", errors, optional = true },
      { "extra", { "either", NULL, { "map", { "any" } } }, optional = true },
    },
  }
  local status = copy(statuses, slots.status)
  return {
    "object",
    { "status", status },
    {
      "environment",
      {
        "object",
        { "hardware", copy(TEXT, slots.hardware) },
        { "libs", { "map", STRING }, optional = true },
      },
    },
    { "timestamp", TEXT },
    { "log", STRING, optional = true },
    has_correctness and correctness or no_correctness,
    performance,
  }
end

-- What each status comes with is part of the form.
local function evaluations(slots)
  local no_performance = { "performance", NULL, optional = true }
  local performance = {
    "performance",
    {
      "object",
      { "latency_ms", copy(MEASURE, slots.latency), optional = true },
      { "reference_latency_ms", MEASURE, optional = true },
      { "speedup_factor", MEASURE, optional = true },
    },
  }
  local failed =
    { "choice", "INCORRECT_SHAPE", "INCORRECT_DTYPE", "RUNTIME_ERROR", "COMPILE_ERROR", "TIMEOUT" }
  return {
    "either",
    evaluation({ "choice", "PASSED" }, true, performance, slots),
    NULL,
    evaluation({ "choice", "INCORRECT_NUMERICAL" }, true, no_performance, slots),
    evaluation(failed, false, no_performance, slots),
  }
end

local function trace(slots)
  return {
    "object",
    { "definition", copy(TEXT, slots.definition) },
    { "workload", workload(slots.axes, slots.inputs, slots.uuid) },
    { "solution", { "either", STRING, NULL, pick = slots.solution }, optional = true },
    { "evaluation", evaluations(slots), optional = true },
  }
end

local function solution_form()
  return {
    "object",
    { "name", { "text", pick = 1 } },
    { "definition", { "text", pick = 2 } },
    { "author", { "text", pick = 3 } },
    {
      "spec",
      {
        "object",
        { "language", { "choice", "python", "triton", "cpp", "cuda", "tilelang" } },
        { "target_hardware", { "list", STRING, least = 1 } },
        { "entry_point", { "text", pick = 4 } },
        { "dependencies", { "list", TEXT }, optional = true },
        { "destination_passing_style", { "boolean" }, optional = true },
        { "binding", { "either", NULL, { "choice", "tvm-ffi", "torch" } }, optional = true },
      },
    },
    {
      "sources",
      {
        "list",
        { "object", { "path", { "path" } }, { "content", TEXT } },
        least = 1,
        pick = 5,
        only = "path",
      },
    },
    { "description", { "either", NULL, STRING }, optional = true },
  }
end

-- Made when first used, one each.
local pickers = {}

local function picker(name, make_form, ...)
  pickers[name] = pickers[name] or json.picker(make_form(...))
  return pickers[name]
end

local RESULT = { definition = 1, solution = 2, uuid = 3, status = 4, latency = 5, hardware = 6 }

-- The columns of a file by their names; nil when it is not all of the form. What is not there is false, and so is a
-- solution that is null.
local function read_columns(name, slots, path)
  local columns, count = picker(name, trace, slots):lines(path)
  if not columns then return nil end
  local named = { count = count }
  for column, slot in pairs(slots) do
    named[column] = columns[slot]
  end
  local solution = named.solution
  for i = 1, count do
    if solution[i] == json.null then solution[i] = false end
  end
  return named
end

---What came of solutions, of a whole file of traces: a list for each of definition, solution, uuid, status, latency
---and hardware, with `count` rows; solution and status are false where there is none. nil when it is not all of the
---form.
function forms.results(path)
  local results = read_columns("results", RESULT, path)
  if not results then return nil end
  local latency, status = results.latency, results.status
  for i = 1, results.count do
    latency[i] = status[i] == "PASSED" and (latency[i] or 0) * 1.0
  end
  return results
end

local OUTCOME = { definition = 1, solution = 2, uuid = 3, status = 4 }

---The same without latencies and hardware.
function forms.outcomes(path) return read_columns("outcomes", OUTCOME, path) end

local LINE = { definition = 1, solution = 2, uuid = 3, status = 4, axes = 5, inputs = 6 }

---The same of a file of workloads, with lists of axes and inputs.
function forms.workloads(path) return read_columns("workloads", LINE, path) end

---The same columns from traces that were read in full.
function forms.columns_of(traces)
  local columns = { count = #traces }
  for _, slots in ipairs { RESULT, LINE } do
    for name in pairs(slots) do
      columns[name] = {}
    end
  end
  for i, t in ipairs(traces) do
    local result = t.evaluation ~= json.null and t.evaluation
    columns.definition[i], columns.uuid[i] = t.definition, t.workload.uuid
    columns.axes[i], columns.inputs[i] = t.workload.axes, t.workload.inputs
    columns.solution[i] = t.solution ~= json.null and t.solution
    columns.status[i] = result and result.status
    columns.hardware[i] = result and result.environment.hardware
    columns.latency[i] = result and result.status == "PASSED" and result.performance.latency_ms
  end
  return columns
end

-- The rules of a solution that are between its fields.
local function has_entry(entry_point, paths)
  local entry, symbol = entry_point:match "^(.-)::(.*)$"
  if not entry or symbol:find("::", 1, true) then return false end
  local seen = {}
  for _, path in ipairs(paths) do
    if seen[path] then return false end
    seen[path] = true
  end
  return seen[entry] ~= nil
end

---Name, definition and author of the solution in a file; nil when it is not of the form.
function forms.solution(path)
  local name, definition, author, entry_point, paths = picker("solution", solution_form):value(path)
  if name and has_entry(entry_point, paths) then
    return { name = name, definition = definition, author = author }
  end
end

return forms
