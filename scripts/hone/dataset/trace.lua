--- Traces: what came of a solution on a workload; a trace with neither solution nor evaluation is a workload's line.
local fs, json, schema = require "hone.fs", require "hone.json", require "hone.dataset.schema"
local workload = require "hone.dataset.workload"

local trace = {}

local CORRECTNESS = schema.record {
  { "max_relative_error", schema.error_measure, 0.0 },
  { "max_absolute_error", schema.error_measure, 0.0 },
  { "extra", schema.nullable(schema.map(schema.any)), json.null },
}

local PERFORMANCE = schema.record {
  { "latency_ms", schema.measure, 0.0 },
  { "reference_latency_ms", schema.measure, 0.0 },
  { "speedup_factor", schema.measure, 0.0 },
}

local ENVIRONMENT = schema.record {
  { "hardware", schema.text },
  { "libs", schema.map(schema.string), json.object },
}

local STATUSES =
  "PASSED INCORRECT_SHAPE INCORRECT_NUMERICAL INCORRECT_DTYPE RUNTIME_ERROR COMPILE_ERROR TIMEOUT"

-- What a status must come with, and must not.
local function check_parts(evaluation, field)
  local status = evaluation.status
  local has_correctness = evaluation.correctness ~= json.null
  local has_performance = evaluation.performance ~= json.null
  local wants_correctness = status == "PASSED" or status == "INCORRECT_NUMERICAL"
  if has_correctness ~= wants_correctness then
    return ("%s.correctness must %sbe there when the status is %s"):format(
      field,
      wants_correctness and "" or "not ",
      status
    )
  end
  if has_performance ~= (status == "PASSED") then
    return ("%s.performance must %sbe there when the status is %s"):format(
      field,
      status == "PASSED" and "" or "not ",
      status
    )
  end
end

local EVALUATION = schema.record({
  { "status", schema.choice(STATUSES) },
  { "environment", ENVIRONMENT },
  { "timestamp", schema.text },
  { "log", schema.string, "" },
  { "correctness", schema.nullable(CORRECTNESS), json.null },
  { "performance", schema.nullable(PERFORMANCE), json.null },
}, check_parts)

local CHECK = schema.record {
  { "definition", schema.text },
  { "workload", workload.check },
  { "solution", schema.nullable(schema.string), json.null },
  { "evaluation", schema.nullable(EVALUATION), json.null },
}

---The trace as flashinfer-bench would read it, with all its fields, or nil and what is wrong with it.
function trace.check(t) return CHECK(t, "trace") end

---Whether it is a workload's line.
function trace.is_workload(t)
  return (t.solution == nil or t.solution == json.null) and (t.evaluation == nil or t.evaluation == json.null)
end

-- JSON has no word for what is not finite: the formats quote it. flashinfer-bench writes null for an infinite
-- latency or scalar, which it does not read again; it reads the quoted one.
local function quoted(record)
  local copy = json.object()
  for key, value in pairs(record) do
    if math.type(value) == "float" and (value ~= value or math.abs(value) == math.huge) then
      value = value ~= value and "NaN" or value > 0 and "Infinity" or "-Infinity"
    end
    copy[key] = value
  end
  return copy
end

local function prepared(evaluation)
  if evaluation == json.null then return evaluation end
  local copy = json.object()
  for key, value in pairs(evaluation) do
    local is_part = (key == "correctness" or key == "performance") and value ~= json.null
    copy[key] = is_part and quoted(value) or value
  end
  return copy
end

---The trace as one line without its newline, byte for byte as flashinfer-bench writes it, or nil and what is wrong.
function trace.line(t)
  local checked, why = trace.check(t)
  if not checked then return nil, why end
  checked.evaluation = prepared(checked.evaluation)
  for name, input in pairs(checked.workload.inputs) do
    if input.type == "scalar" then checked.workload.inputs[name] = quoted(input) end
  end
  return json.encode(checked, { nan = "null" })
end

---Read one line: the trace, or nil and why not.
function trace.read(line, name)
  local value, why = json.decode(line, { nan = true, name = name, big = "float" })
  if value == nil then return nil, why end
  return trace.check(value)
end

local function is_file_name(name)
  return type(name) == "string" and name ~= "" and name ~= "." and name ~= ".." and not name:find "[/%z]"
end

---The file that a solution's traces are in.
function trace.path(root, solution, definition)
  for _, name in ipairs { solution.author, definition.op_type, definition.name } do
    if not is_file_name(name) then
      return nil, ("cannot write a trace: %q cannot name a file"):format(tostring(name))
    end
  end
  return fs.join(root, "traces", solution.author, definition.op_type, definition.name .. ".jsonl")
end

---Append a trace to the dataset at `root`, as one whole line however many processes append: its file, or nil and
---why not.
function trace.append(root, t, solution, definition)
  if t.definition ~= definition.name or t.solution ~= solution.name then
    return nil,
      ("cannot append a trace of %s by %s: it says %s by %s"):format(
        definition.name,
        solution.name,
        tostring(t.definition),
        tostring(t.solution)
      )
  end
  local line, why = trace.line(t)
  if not line then return nil, ("cannot append a trace of %s: %s"):format(definition.name, why) end
  local path
  path, why = trace.path(root, solution, definition)
  if not path then return nil, why end
  local ok, message, code = fs.append_line(path, line)
  if not ok then return nil, message, code end
  return path
end

return trace
