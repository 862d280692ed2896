--- Two runs of the same solutions on the same workloads: what became faster or slower, by more than noise.
local json, records = require "hone.json", require "hone.dataset.records"

local compare = {}

local function collect(set)
  local found, order = {}, {}
  for columns in records.each_result(set) do
    for row = 1, columns.count do
      local solution, status, latency = columns.solution[row], columns.status[row], columns.latency[row]
      if solution and status then
        local id = { columns.definition[row], solution, columns.uuid[row], columns.hardware[row] }
        local key = table.concat(id, "\0")
        local entry = found[key]
        if not entry then
          entry = { id = id, latencies = {}, failures = {} }
          found[key], order[#order + 1] = entry, key
        end
        if status ~= "PASSED" then
          table.insert(entry.failures, status)
        elseif latency > 0 and latency < math.huge then
          table.insert(entry.latencies, latency)
        end
      end
    end
  end
  return found, order
end

local function log_moments(values)
  local mean, spread = 0.0, 0.0
  for _, value in ipairs(values) do
    mean = mean + math.log(value) / #values
  end
  for _, value in ipairs(values) do
    spread = spread + (math.log(value) - mean) ^ 2
  end
  return mean, #values > 1 and spread / (#values - 1) / #values or nil
end

-- Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom; past those 2.23 errs towards undecided.
local STUDENT = { 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23 }

-- Half the width of the 95 % interval of the difference of the means of logarithms (Welch); nil for single traces.
local function half_width(va, na, vb, nb)
  if not va or not vb then return nil end
  local v = va + vb
  if v == 0 then return 0 end
  local freedom = v * v / (va * va / (na - 1) + vb * vb / (nb - 1))
  return STUDENT[math.max(1, math.min(10, math.floor(freedom)))] * math.sqrt(v)
end

local function verdict(before, after, threshold)
  local mean_a, va = log_moments(before)
  local mean_b, vb = log_moments(after)
  local change, limit = mean_b - mean_a, math.log(1 + threshold)
  -- A trace alone does not say how it scatters: twice the threshold is asked of it.
  local known = half_width(va, #before, vb, #after)
  local half = known or (math.abs(change) > limit and limit or 0)
  local word = "undecided"
  if change - half > limit then
    word = "slower"
  elseif change + half < -limit then
    word = "faster"
  elseif math.abs(change) + half <= limit then
    word = "same"
  end
  return word, math.exp(change), known
end

local function judge(before, after, threshold)
  if #before.failures > 0 or #after.failures > 0 then
    if #before.failures == 0 then return "broken" end
    if #after.failures == 0 then return "fixed" end
    return "failing"
  end
  if #before.latencies == 0 or #after.latencies == 0 then return "undecided" end
  return verdict(before.latencies, after.latencies, threshold)
end

local function row_of(before, after, threshold)
  local definition, solution, uuid, hardware = table.unpack(before.id)
  local word, ratio, half = judge(before, after, threshold)
  return json.object {
    { "definition", definition },
    { "solution", solution },
    { "workload", uuid },
    { "hardware", hardware },
    { "verdict", word },
    { "ratio", ratio },
    { "interval", half and json.array { ratio * math.exp(-half), ratio * math.exp(half) } or nil },
    { "traces", json.array { #before.latencies, #after.latencies } },
    { "status", after.failures[1] or "PASSED" },
  }
end

---Compare the traces of two sets: { rows, counts, only_before, only_after }. A ratio is latency after / before; a row is
---faster, slower or same when the 95 % interval of its ratio lies beyond, or within, 1 ± threshold; broken and fixed
---are changes of status.
function compare.sets(before, after, threshold)
  local old, order = collect(before)
  local new, new_order = collect(after)
  local result = { rows = json.array {}, counts = json.object(), only_before = 0, only_after = 0 }
  for _, word in ipairs { "faster", "slower", "same", "undecided", "broken", "fixed", "failing" } do
    result.counts[word] = 0
  end
  for _, key in ipairs(order) do
    if new[key] then
      local row = row_of(old[key], new[key], threshold)
      table.insert(result.rows, row)
      result.counts[row.verdict] = result.counts[row.verdict] + 1
    else
      result.only_before = result.only_before + 1
    end
  end
  for _, key in ipairs(new_order) do
    if not old[key] then result.only_after = result.only_after + 1 end
  end
  return result
end

return compare
