--- Queries and scores over the traces of a set. Names and rules are flashinfer-bench's; where it raises because a
--- definition has no baseline, `summary` says so in a note and ranks by the others.
local json = require "hone.json"

local scores = {}

local function evaluation_of(t) return t.evaluation ~= json.null and t.evaluation or nil end

local function is_within(t, atol, rtol)
  local evaluation = evaluation_of(t)
  if not evaluation or evaluation.status ~= "PASSED" then return false end
  local correctness = evaluation.correctness
  return correctness.max_absolute_error <= atol and correctness.max_relative_error <= rtol
end

---The passed traces of a definition whose errors are within the tolerances.
function scores.filter_traces(set, name, atol, rtol)
  local found = {}
  for _, t in ipairs(set:traces(name)) do
    if is_within(t, atol or 1e-2, rtol or 1e-2) then found[#found + 1] = t end
  end
  return found
end

local function has_axes(t, axes)
  for axis, size in pairs(axes) do
    if t.workload.axes[axis] ~= size then return false end
  end
  return true
end

---The trace with the greatest speedup; options: axes, atol, rtol. The first of equals.
function scores.best_trace(set, name, options)
  options = options or {}
  local best
  for _, t in ipairs(scores.filter_traces(set, name, options.atol, options.rtol)) do
    local speedup = t.evaluation.performance.speedup_factor
    if
      has_axes(t, options.axes or {}) and (not best or speedup > best.evaluation.performance.speedup_factor)
    then
      best = t
    end
  end
  return best
end

-- One row of results into what is known of its solution.
local function add_result(found, results, row)
  local uuid, latency = results.uuid[row], results.latency[row]
  found.tried[uuid] = true
  if results.status[row] ~= "PASSED" then
    found.failed = true
  elseif latency <= 0 then
    local message = "a passed trace of %s on workload %s has the latency %s"
    found.wrong = found.wrong or message:format(results.solution[row], uuid, latency)
  else
    if not found.best[uuid] then table.insert(found.order, uuid) end
    if not found.best[uuid] or latency < found.best[uuid] then found.best[uuid] = latency end
  end
end

local function nothing() return { best = {}, order = {}, tried = {}, failed = false } end

-- Of each solution: the lowest latency of each workload that passed, which workloads were tried, and whether one
-- failed; `wrong` where the traces cannot be right.
local function latencies(set, definition)
  local by_solution = {}
  for results, row in set:results(definition) do
    local name = results.solution[row]
    if name and results.status[row] then
      by_solution[name] = by_solution[name] or nothing()
      add_result(by_solution[name], results, row)
    end
  end
  return by_solution
end

local function baseline_of(set, definition, author)
  local found = {}
  for _, solution in ipairs(set:authors(definition)) do
    if solution.author == author then found[#found + 1] = solution end
  end
  if #found == 1 then return found[1] end
  return nil,
    ("%s has %s solution of author '%s', the baseline"):format(
      definition,
      #found == 0 and "no" or "more than one",
      author
    )
end

local function mean_ratio(common, base, own)
  local total, wins = 0.0, 0
  for _, uuid in ipairs(common) do
    local ratio = base.best[uuid] / own.best[uuid]
    total = total + ratio
    if ratio > 1 then wins = wins + 1 end
  end
  return total / #common, wins / #common
end

local function compare(own, base)
  local common = {}
  for _, uuid in ipairs(base.order) do
    if own.tried[uuid] then common[#common + 1] = uuid end
  end
  if #common == 0 then return nil end
  local score =
    { avg_speedup = 0.0, definitions = 1, workloads = #common, success_rate = 0.0, win_rate = 0.0 }
  if not own.failed then
    score.avg_speedup, score.win_rate = mean_ratio(common, base, own)
    score.success_rate = 1.0
  end
  return score
end

local function score_in(set, solution, found, baseline_author)
  local baseline, why = baseline_of(set, solution.definition, baseline_author)
  if not baseline then return nil, why end
  if baseline.name == solution.name then return nil end
  local own, base = found[solution.name] or nothing(), found[baseline.name] or nothing()
  if own.wrong or base.wrong then return nil, own.wrong or base.wrong end
  return compare(own, base)
end

---How a solution does against the baseline: { avg_speedup, definitions, workloads, success_rate, win_rate }. nil for
---the baseline, an unknown name and one without common workloads; nil and why where there is no single baseline.
function scores.solution_score(set, name, baseline_author)
  local solution = set:author(name)
  if not solution then return nil end
  return score_in(set, solution, latencies(set, solution.definition), baseline_author or "baseline")
end

local function scope_of(set, options)
  if options.definitions then return options.definitions end
  if options.op_type and options.definition then
    return nil, "cannot score by op type and by definition at once: give one"
  end
  if options.definition then
    if set:definition(options.definition) then return { options.definition } end
    return nil, ("there is no definition '%s' in %s"):format(options.definition, set.root), "ENOENT"
  end
  local names = {}
  for _, name in ipairs(set:definitions()) do
    if not options.op_type or set:definition(name).op_type == options.op_type then
      names[#names + 1] = name
    end
  end
  return names
end

-- Every author's best score of one definition: { author = { score, solution } }. Why there is none is noted, once.
local function best_of_definition(set, name, baseline_author, notes)
  local best, solutions = {}, set:authors(name)
  if #solutions == 0 then return best end
  local found, last = latencies(set, name), nil
  for _, solution in ipairs(solutions) do
    local score, why = score_in(set, solution, found, baseline_author)
    if why and why ~= last then
      notes[#notes + 1], last = why, why
    end
    local known = best[solution.author]
    if score and (not known or score.avg_speedup > known.score.avg_speedup) then
      best[solution.author] = { score = score, solution = solution.name }
    end
  end
  return best
end

local function add(total, definition, entry)
  local score = entry.score
  total.definitions = total.definitions + 1
  total.workloads = total.workloads + score.workloads
  for _, field in ipairs { "avg_speedup", "success_rate", "win_rate" } do
    total[field] = total[field] + score[field]
  end
  total.best_solutions[definition] = entry.solution
end

local function empty_total()
  return {
    avg_speedup = 0.0,
    definitions = 0,
    workloads = 0,
    success_rate = 0.0,
    win_rate = 0.0,
    best_solutions = json.object(),
  }
end

local function by_speedup(a, b)
  if a.avg_speedup ~= b.avg_speedup then return a.avg_speedup > b.avg_speedup end
  return a.author < b.author
end

---All authors by their mean speedup: a list of scores with `author` and `best_solutions`, and a list of notes on the
---definitions that could not be scored. options: baseline_author, op_type, definition, definitions (a list of names).
function scores.rank_authors(set, options)
  options = options or {}
  local names, why, code = scope_of(set, options)
  if not names then return nil, why, code end
  local totals, notes = {}, {}
  for _, name in ipairs(names) do
    for author, entry in pairs(best_of_definition(set, name, options.baseline_author or "baseline", notes)) do
      totals[author] = totals[author] or empty_total()
      add(totals[author], name, entry)
    end
  end
  local ranking = {}
  for author, total in pairs(totals) do
    for _, field in ipairs { "avg_speedup", "success_rate", "win_rate" } do
      total[field] = total[field] / total.definitions
    end
    total.author = author
    ranking[#ranking + 1] = total
  end
  table.sort(ranking, by_speedup)
  return ranking, notes
end

---One author's score, or nil.
function scores.author_score(set, author, options)
  local ranking, why, code = scores.rank_authors(set, options)
  if not ranking then return nil, why, code end
  for _, score in ipairs(ranking) do
    if score.author == author then return score end
  end
end

---{ total, passed, failed, rankings, notes }. The counts are of all traces, the rankings of what options choose.
function scores.summary(set, options)
  local paused <close> = require("hone.garbage").pause() -- luacheck: ignore 211
  local total, passed = 0, 0
  for results in set:each_result() do
    total = total + results.count
    for row = 1, results.count do
      if results.status[row] == "PASSED" then passed = passed + 1 end
    end
  end
  local rankings, notes, code = scores.rank_authors(set, options)
  if not rankings then return nil, notes, code end
  return { total = total, passed = passed, failed = total - passed, rankings = rankings, notes = notes }
end

return scores
