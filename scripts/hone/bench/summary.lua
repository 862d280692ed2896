--- Traces in short: one row for each definition and solution.
local summary = {}

summary.HEADERS = { "definition", "solution", "passed", "latency", "speedup", "else" }

---A latency for people.
function summary.microseconds(ms) return ("%.2f us"):format(ms * 1000) end

local function group(traces)
  local order, by_key = {}, {}
  for _, t in ipairs(traces) do
    local key = t.definition .. "\0" .. t.solution
    local row = by_key[key]
    if not row then
      row = { definition = t.definition, solution = t.solution, total = 0, latencies = {}, speedups = {} }
      by_key[key], order[#order + 1] = row, row
    end
    row.total = row.total + 1
    if t.evaluation.status == "PASSED" then
      table.insert(row.latencies, t.evaluation.performance.latency_ms)
      table.insert(row.speedups, t.evaluation.performance.speedup_factor)
    else
      row.status = row.status or t.evaluation.status
    end
  end
  return order
end

---Rows of texts: how many passed, the middle latency and speed-up, and the first status that is none.
---@param traces table[]
---@return string[][]
function summary.rows(traces)
  local statistics = require "hone.bench.statistics"
  local rows = {}
  for i, row in ipairs(group(traces)) do
    local latency, speedup = statistics.median(row.latencies), statistics.median(row.speedups)
    rows[i] = {
      row.definition,
      row.solution,
      ("%d/%d"):format(#row.latencies, row.total),
      latency and summary.microseconds(latency) or "",
      speedup and ("%.2fx"):format(speedup) or "",
      row.status or "",
    }
  end
  return rows
end

return summary
