--- What was collected, as Markdown for people.
local json = require "hone.json"

local report = {}

local function axes_text(axes)
  local parts = {}
  for _, name in ipairs(json.keys(axes)) do
    parts[#parts + 1] = ("%s=%d"):format(name, axes[name])
  end
  return table.concat(parts, ", ")
end

local function floats_text(floats)
  local parts = {}
  for _, name in ipairs(json.keys(floats)) do
    local f = floats[name]
    local rest = f.not_finite and (" (%d not finite)"):format(f.not_finite) or ""
    parts[#parts + 1] = ("%s mean %.3g std %.3g max %.3g%s"):format(name, f.mean, f.std, f.abs_max, rest)
  end
  return table.concat(parts, "; ")
end

local function add_definition(lines, result)
  local function add(...) lines[#lines + 1] = select("#", ...) > 1 and (...):format(select(2, ...)) or ... end
  add ""
  add("## %s", result.definition)
  add ""
  local text = "%d calls read, %d kept; %d were in the dataset, %d like others."
  add(text, result.calls, #result.kept, result.known, result.duplicates)
  if #result.kept > 0 then
    add ""
    add "| uuid | axes | floats | notes |"
    add "|---|---|---|---|"
  end
  for _, kept in ipairs(result.kept) do
    local notes = table.concat(kept.notes, "; ")
    add("| %s | %s | %s | %s |", kept.uuid, axes_text(kept.axes), floats_text(kept.floats), notes)
  end
  local reasons = json.keys(result.refused)
  if #reasons > 0 then
    add ""
    add "Not workloads of it:"
    add ""
  end
  for _, why in ipairs(reasons) do
    add("- %d x %s (first: %s)", result.refused[why].count, why, result.refused[why].first)
  end
end

local function add_list(lines, title, list)
  if #list == 0 then return end
  table.move({ "", "## " .. title, "" }, 1, 3, #lines + 1, lines)
  for _, entry in ipairs(list) do
    lines[#lines + 1] = "- " .. entry
  end
end

local function add_baseline(lines, about)
  if not about then return end
  table.move({ "", "## Baselines on these workloads", "" }, 1, 3, #lines + 1, lines)
  if #about.rows > 0 then
    local headers = require("hone.bench.summary").HEADERS
    lines[#lines + 1] = "| " .. table.concat(headers, " | ") .. " |"
    lines[#lines + 1] = ("|---"):rep(#headers) .. "|"
  end
  for _, row in ipairs(about.rows) do
    lines[#lines + 1] = "| " .. table.concat(row, " | ") .. " |"
  end
  if #about.rows > 0 and #about.notes > 0 then lines[#lines + 1] = "" end
  for _, note in ipairs(about.notes) do
    lines[#lines + 1] = "- " .. note
  end
end

-- What servers were asked, and what went wrong.
local function server_lines(servers)
  local lines = {}
  for _, server in ipairs(servers or {}) do
    local answered = server.answered
      and ("%d requests answered, %d failed"):format(server.answered, server.failed)
    lines[#lines + 1] = ("`%s`: %s"):format(server.command, answered or "no requests")
    lines[#lines + 1] = server.problem
    lines[#lines + 1] = server.limit and "not every call was dumped: " .. server.limit
  end
  return lines
end

local function bad_lines(definitions)
  local lines = {}
  for _, one in ipairs(definitions) do
    for _, start in ipairs(one.bad_lines) do
      lines[#lines + 1] = ("%s: `%s`"):format(one.definition, start)
    end
  end
  return lines
end

---@param collected table # as hone.workloads.collect gives it; `baseline` as hone.workloads.baseline does
---@return string
function report.markdown(collected)
  local lines = { "# Workloads collected", "", ("%d dumps."):format(collected.dumps) }
  for _, result in ipairs(collected.definitions) do
    add_definition(lines, result)
  end
  add_baseline(lines, collected.baseline)
  add_list(lines, "Not all was written", { collected.problem })
  add_list(lines, "Servers", server_lines(collected.servers))
  add_list(lines, "Lines of the dataset that hold no workload", bad_lines(collected.definitions))
  add_list(lines, "Dumps that could not be read", collected.broken)
  add_list(lines, "Definitions left out", collected.skipped)
  add_list(lines, "Warnings", collected.warnings)
  return table.concat(lines, "\n") .. "\n"
end

return report
