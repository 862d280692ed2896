--- What a dataset's traces say: counts and rankings, best traces; merge datasets, compare two runs, draw a page.
local skill = {
  summary = "summarise, merge, compare and draw what a dataset's traces say",
  description = [[
`summary` counts the traces and ranks the authors against the baseline author; a definition that has no single
baseline solution is named in a note and left out of the ranking. `best` shows the fastest trace of each
definition within the tolerances. `merge` writes several datasets into a new one, keeping all it can; what two
of them say differently is reported, and the first one's is kept. `compare` takes two datasets, before and
after, and says of each solution and workload whether it became faster or slower by more than the threshold:
where traces are repeated, by the 95 % interval of the ratio of their latencies; a single trace does not tell
its own scatter, so twice the threshold is asked of it. Where neither is certain it says undecided. The exit
status of `compare` is 1 when something became slower or no longer passes. `visualize` writes one HTML file
that needs nothing else: leaderboard, wins at p with a band of ties, latencies of every workload, roofline.

Lines and files that cannot be read are named, and the rest counts.]],
  params = {
    {
      name = "action",
      type = "choice",
      positional = true,
      required = true,
      choices = { "summary", "best", "merge", "compare", "visualize" },
      help = "what to do",
    },
    {
      name = "local",
      type = "list",
      help = "datasets, by default FIB_DATASET_PATH or ./flashinfer-trace; for compare: before and after",
    },
    {
      name = "output",
      type = "path",
      help = "merge: the folder of the new dataset, which must not exist; visualize: the file (default report.html)",
    },
    {
      name = "baseline_author",
      type = "string",
      default = "baseline",
      help = "whose solutions are the baseline",
    },
    { name = "op_type", type = "string", help = "only definitions of this op type" },
    { name = "definitions", type = "list", help = "best, visualize: only these; summary: only this one" },
    { name = "author", type = "list", help = "visualize: only these authors, beside the baseline" },
    { name = "axes", type = "list", help = "best: only workloads of these sizes, NAME=SIZE each" },
    { name = "atol", type = "number", default = 0.01, min = 0, help = "best: greatest absolute error" },
    { name = "rtol", type = "number", default = 0.01, min = 0, help = "best: greatest relative error" },
    {
      name = "threshold",
      type = "number",
      default = 0.05,
      min = 0,
      help = "change that counts, 0.05 is 5 %: compare's, and visualize's ties",
    },
  },
  outputs = {
    { name = "summary", help = "for each dataset: total, passed, failed, rankings, notes, problems" },
    { name = "best", help = "for each dataset: definition to its best trace" },
    { name = "merge", help = "counts of what was written, and conflicts" },
    { name = "compare", help = "rows with their verdicts, and counts of verdicts" },
    { name = "visualize", help = "path of the page, how many workloads and solutions are on it" },
  },
  examples = {
    "hone report summary --local flashinfer-trace",
    "hone report best --local flashinfer-trace --op-type rmsnorm",
    "hone report merge --local mine --local theirs --output both",
    "hone report compare --local before --local after --threshold 0.03",
    "hone report visualize --local flashinfer-trace --op-type gqa_paged --output gqa.html",
  },
}

local function warn_of_problems(set, ctx)
  local json = require "hone.json"
  local messages = json.array {}
  for _, list in ipairs { require("hone.dataset.traceset").errors(set), set.problems } do
    for _, problem in ipairs(list) do
      messages[#messages + 1] = problem.message
      ctx.warn("%s", problem.message)
    end
  end
  return messages
end

-- ---- summary --------------------------------------------------------------------------------------

local function say_ranking(summary, ctx)
  local rows = {}
  for i, score in ipairs(summary.rankings) do
    rows[i] = {
      i,
      score.author,
      ("%.3fx"):format(score.avg_speedup),
      ("%.1f %%"):format(100 * score.win_rate),
      ("%.1f %%"):format(100 * score.success_rate),
      score.definitions,
      score.workloads,
    }
  end
  if #rows == 0 then return ctx.say "no author can be ranked" end
  local headers = { "", "author", "speedup", "wins", "success", "definitions", "workloads" }
  ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
end

local function plain_summary(set, summary, problems)
  local json = require "hone.json"
  local rankings, notes = json.array {}, json.array {}
  for i, score in ipairs(summary.rankings) do
    rankings[i] = json.object { { "author", score.author } }
    for _, field in ipairs {
      "avg_speedup",
      "definitions",
      "workloads",
      "success_rate",
      "win_rate",
      "best_solutions",
    } do
      rankings[i][field] = score[field]
    end
  end
  for i, note in ipairs(summary.notes) do
    notes[i] = note
  end
  return json.object {
    { "dataset", set.root },
    { "total", summary.total },
    { "passed", summary.passed },
    { "failed", summary.failed },
    { "rankings", rankings },
    { "notes", notes },
    { "problems", problems },
  }
end

local function summarise(args, ctx)
  local sets, why = require("hone.dataset.traceset").open_all(args["local"])
  if not sets then return nil, why end
  local names = args.definitions or {}
  if #names > 1 then return nil, "report summary takes one definition, or none", "usage" end
  local results = require("hone.json").array {}
  for i, set in ipairs(sets) do
    local options = { baseline_author = args.baseline_author, op_type = args.op_type, definition = names[1] }
    local summary, message, code = set:summary(options)
    if not summary then return nil, message, code end
    ctx.say("%s: %d traces, %d passed, %d failed", set.root, summary.total, summary.passed, summary.failed)
    say_ranking(summary, ctx)
    for _, note in ipairs(summary.notes) do
      ctx.warn("not ranked: %s", note)
    end
    results[i] = plain_summary(set, summary, warn_of_problems(set, ctx))
  end
  return results
end

-- ---- best -----------------------------------------------------------------------------------------

local function parse_axes(list)
  local axes = {}
  for _, text in ipairs(list or {}) do
    local name, size = text:match "^([^=]+)=(%d+)$"
    if not name then return nil, ("'%s' is not NAME=SIZE, such as batch_size=4"):format(text), "usage" end
    axes[name] = math.tointeger(tonumber(size))
  end
  return axes
end

local function chosen(set, args)
  if not args.definitions then return set:definitions() end
  for _, name in ipairs(args.definitions) do
    if not set:definition(name) then
      return nil, ("there is no definition '%s' in %s"):format(name, set.root)
    end
  end
  return args.definitions
end

local function best_of(set, names, args, axes)
  local found, rows = require("hone.json").object(), {}
  for _, name in ipairs(names) do
    local is_wanted = not args.op_type or set:definition(name).op_type == args.op_type
    local best = is_wanted and set:best_trace(name, { axes = axes, atol = args.atol, rtol = args.rtol })
    if best then
      local performance = best.evaluation.performance
      found[name] = best
      rows[#rows + 1] = {
        name,
        best.solution,
        ("%.4g ms"):format(performance.latency_ms),
        ("%.3gx"):format(performance.speedup_factor),
        best.workload.uuid,
      }
    end
  end
  return found, rows
end

local function best(args, ctx)
  local axes, why, code = parse_axes(args.axes)
  if not axes then return nil, why, code end
  local sets
  sets, why = require("hone.dataset.traceset").open_all(args["local"])
  if not sets then return nil, why end
  local results = require("hone.json").array {}
  for i, set in ipairs(sets) do
    local names
    names, why = chosen(set, args)
    if not names then return nil, why, "ENOENT" end
    local rows
    results[i], rows = best_of(set, names, args, axes)
    local headers = { "definition", "solution", "latency", "speedup", "workload" }
    if #rows == 0 then
      ctx.say("%s: no trace passed within the tolerances", set.root)
    else
      ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
    end
    warn_of_problems(set, ctx)
  end
  return results
end

-- ---- merge and compare ----------------------------------------------------------------------------

local function merge(args, ctx)
  local json = require "hone.json"
  local roots = args["local"] or {}
  if not args.output or #roots == 0 then
    return nil, "report merge needs --local, once or more, and --output", "usage"
  end
  local done, why, code = require("hone.dataset.merge").into(args.output, roots)
  if not done then return nil, why, code end
  for _, message in ipairs(done.conflicts) do
    ctx.warn("%s", message)
  end
  local words = {}
  for what, count in pairs(done.counts) do
    words[#words + 1] = ("%d %s"):format(count, what)
  end
  ctx.say("%s: %s, %d conflicts", args.output, table.concat(words, ", "), #done.conflicts)
  return json.object { { "counts", done.counts }, { "conflicts", json.array(done.conflicts) } }
end

local function say_comparison(result, ctx)
  local rows = {}
  for _, row in ipairs(result.rows) do
    if row.verdict ~= "same" then
      local interval = row.interval and ("%.3f .. %.3f"):format(row.interval[1], row.interval[2])
        or row.ratio and "one trace"
        or row.status
      local ratio = row.ratio and ("%.3f"):format(row.ratio) or ""
      rows[#rows + 1] = { row.verdict, ratio, interval, row.definition, row.solution, row.workload }
    end
  end
  if #rows > 0 then
    local headers = { "", "after/before", "interval", "definition", "solution", "workload" }
    ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
  end
  local words = {}
  for word, count in pairs(result.counts) do
    if count > 0 then words[#words + 1] = ("%d %s"):format(count, word) end
  end
  ctx.say(
    "%s; %d only before, %d only after",
    table.concat(words, ", "),
    result.only_before,
    result.only_after
  )
end

local function compare(args, ctx)
  local json = require "hone.json"
  if #(args["local"] or {}) ~= 2 then
    return nil, "report compare needs --local twice: before and after", "usage"
  end
  local sets, why = require("hone.dataset.traceset").open_all(args["local"])
  if not sets then return nil, why end
  local result = require("hone.dataset.compare").sets(sets[1], sets[2], args.threshold)
  for _, set in ipairs(sets) do
    warn_of_problems(set, ctx)
  end
  if #result.rows == 0 then
    return nil, "cannot compare: the datasets share no solution on a workload and device"
  end
  say_comparison(result, ctx)
  local data = json.object()
  for _, field in ipairs { "counts", "only_before", "only_after", "rows" } do
    data[field] = result[field]
  end
  local worse = result.counts.slower + result.counts.broken
  if worse == 0 then return data end
  local message = ("%d slower and %d broken after, of %d"):format(
    result.counts.slower,
    result.counts.broken,
    #result.rows
  )
  return nil, message, "REGRESSION", data
end

-- ---- visualize ------------------------------------------------------------------------------------

local function visualize(args, ctx)
  local json = require "hone.json"
  if #(args["local"] or {}) > 1 then
    return nil, "report visualize takes one dataset: merge several with report merge", "usage"
  end
  local sets, why = require("hone.dataset.traceset").open_all(args["local"])
  if not sets then return nil, why end
  local set = sets[1]
  local data, code
  data, why, code = require("hone.report.data").collect(set, {
    baseline_author = args.baseline_author,
    op_type = args.op_type,
    definitions = args.definitions,
    authors = args.author,
    band = args.threshold,
  })
  if not data then return nil, why, code end
  local problems = warn_of_problems(set, ctx)
  local html
  html, why = require("hone.report.page").render(data)
  if not html then return nil, why end
  local path, ok = args.output or "report.html"
  ok, why, code = require("hone.fs").write(path, html)
  if not ok then return nil, why, code end
  ctx.say("%s: %d solutions on %d workloads", path, data.counts.solutions, data.counts.workloads)
  return json.object {
    { "path", path },
    { "counts", data.counts },
    { "notes", data.notes },
    { "problems", problems },
  }
end

local ACTIONS = { summary = summarise, best = best, merge = merge, compare = compare, visualize = visualize }

function skill.run(args, ctx) return ACTIONS[args.action](args, ctx) end

return skill
