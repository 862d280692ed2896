--- One gate for a dataset: its files, and its references.
local skill = {
  summary = "check a dataset's files and hold its references against ground truth: one gate, one report",
  description = [[
Joins `hone validate` and the tests of references. First all that can be said of definitions, workloads, solutions and
traces by reading them; then the references: against independent formulas on hone's own tensors (--tests native, the
default), by the pytest files of tests/references where Python with torch and pytest is installed (--tests pytest), both
or none. Definitions without a formula are listed, and are no error. The exit status is 1 when anything is wrong.

The report is written to reports/validate-dataset-<time>.json and .md.]],
  params = {
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    { name = "op_types", type = "list", help = "only definitions of these op types" },
    { name = "definitions", type = "list", help = "only these definitions" },
    { name = "checks", type = "list", help = "of hone validate (default: all that need no GPU)" },
    {
      name = "tests",
      type = "choice",
      choices = { "native", "pytest", "both", "none" },
      default = "native",
      help = "how references are tested",
    },
    { name = "python", type = "string", default = "python3", help = "the Python that runs pytest" },
    { name = "no_report", type = "boolean", help = "write no report" },
  },
  outputs = {
    { name = "files", help = "what hone validate found" },
    { name = "references", help = "for each definition whether its reference agrees" },
    { name = "pytest", help = "how many tests passed, failed and were skipped" },
    { name = "report", help = "path of the report, without its ending" },
  },
  examples = {
    "hone validate-dataset --local flashinfer-trace",
    "hone validate-dataset --op-types gqa_paged,mla_paged --tests both",
  },
}

-- ---- references ----------------------------------------------------------------------------------------

local function set_of(list)
  if not list then return nil end
  local members = {}
  for _, item in ipairs(list) do
    members[item] = true
  end
  return members
end

local function chosen(set, args)
  local op_types, names = set_of(args.op_types), set_of(args.definitions)
  local list = {}
  for _, entry in ipairs(require("hone.dataset.traceset").definitions(set)) do
    local definition = entry.definition
    local everything = not op_types and not names
    if everything or op_types and op_types[definition.op_type] or names and names[definition.name] then
      list[#list + 1] = definition
    end
  end
  return list
end

local function check_references(definitions, ctx)
  local json, native = require "hone.json", require "hone.reference_tests.native"
  local outcomes, wrong = json.array {}, 0
  local bar = ctx.progress { label = "references", total = #definitions }
  for i, definition in ipairs(definitions) do
    local outcome, why, code = native.check(definition)
    collectgarbage() -- weights of experts are gigabytes, and small to the collector
    local entry = json.object { { "definition", definition.name } }
    entry.status = outcome and "agrees" or code == "unknown" and "no formula" or "disagrees"
    if outcome then entry.largest_error = outcome.worst end
    if not outcome then entry.why = why end
    if entry.status == "disagrees" then wrong = wrong + 1 end
    outcomes[i] = entry
    bar:update(i, definition.name)
  end
  bar:done()
  return outcomes, wrong
end

-- ---- pytest --------------------------------------------------------------------------------------------

local function test_files(folder, definitions)
  local fs = require "hone.fs"
  local files = {}
  for _, definition in ipairs(definitions) do
    local path = fs.join(folder, "test_" .. definition.name .. ".py")
    if fs.is_file(path) then files[#files + 1] = path end
  end
  return files
end

local function count(output, word) return math.tointeger(tonumber(output:match("(%d+) " .. word) or 0)) end

local function run_pytest(root, definitions, args)
  local fs, json = require "hone.fs", require "hone.json"
  local files = test_files(fs.join(root, "tests/references"), definitions)
  if #files == 0 then
    return nil, "there are no tests in tests/references: hone add-reference-tests --all writes them"
  end
  local command = { args.python, "-m", "pytest", "-q", "-p", "no:cacheprovider" }
  table.move(files, 1, #files, #command + 1, command)
  local result, why = require("hone.process").run(command)
  if not result then return nil, why end
  -- 0 all passed, 1 some failed; anything else, or no count at the end: pytest itself did not run
  local has_counts = result.stdout:find "%d+ passed"
    or result.stdout:find "%d+ failed"
    or result.stdout:find "%d+ skipped"
  if not has_counts or result.status ~= 0 and result.status ~= 1 then
    local said = (result.stderr .. result.stdout):match "([^\n]+)%s*$"
    return nil, ("pytest does not run (%s): %s"):format(args.python, said or "no word")
  end
  local failures = json.array {}
  for line in result.stdout:gmatch "FAILED ([^\n]+)" do
    failures[#failures + 1] = line
  end
  return json.object {
    { "passed", count(result.stdout, "passed") },
    { "failed", count(result.stdout, "failed") },
    { "skipped", count(result.stdout, "skipped") },
    { "failures", failures },
  }
end

-- ---- the report ----------------------------------------------------------------------------------------

local function add_files(lines, files)
  local json = require "hone.json"
  local counts = { ok = 0, warning = 0, error = 0 }
  for _, name in ipairs(json.keys(files.definitions)) do
    local status = files.definitions[name].status
    counts[status] = (counts[status] or 0) + 1
  end
  lines[#lines + 1] = ("Files: %d definitions ok, %d with warnings, %d with errors."):format(
    counts.ok,
    counts.warning,
    counts.error
  )
end

local function add_references(lines, references)
  local counts = { agrees = 0, disagrees = 0, ["no formula"] = 0 }
  for _, entry in ipairs(references) do
    counts[entry.status] = counts[entry.status] + 1
  end
  lines[#lines + 1] = ("References: %d agree with their formula, %d disagree, %d have no formula."):format(
    counts.agrees,
    counts.disagrees,
    counts["no formula"]
  )
  for _, entry in ipairs(references) do
    if entry.status == "disagrees" then
      lines[#lines + 1] = ("- %s: %s"):format(entry.definition, entry.why)
    end
  end
end

local function markdown(result)
  local lines = { "# Validation of " .. result.dataset, "" }
  if result.files then add_files(lines, result.files) end
  if result.references then add_references(lines, result.references) end
  local pytest = result.pytest
  if pytest then
    local text = "pytest: %d passed, %d failed, %d skipped."
    lines[#lines + 1] = text:format(pytest.passed, pytest.failed, pytest.skipped)
    for _, failure in ipairs(pytest.failures) do
      lines[#lines + 1] = "- " .. failure
    end
  end
  for _, problem in ipairs(result.problems) do
    lines[#lines + 1] = "- " .. problem
  end
  return table.concat(lines, "\n") .. "\n"
end

local function write_report(root, result)
  local fs, json = require "hone.fs", require "hone.json"
  local base = fs.join(root, "reports", "validate-dataset-" .. os.date "%Y%m%d-%H%M%S")
  local ok, why = fs.mkdir(fs.dirname(base))
  if ok then
    ok, why = json.write(base .. ".json", result, { indent = 2, nan = "string" })
  end
  if ok then
    ok, why = fs.write(base .. ".md", markdown(result))
  end
  return ok and base or nil, why
end

-- ---- all of it -----------------------------------------------------------------------------------------

-- What hone validate says, and what it found even where that is wrong.
local function check_files(root, args, ctx, result)
  local all = require("hone.dataset.validator").CHECKS -- the last runs solutions
  local report, why, code, partial = ctx.skill("validate", {
    dataset = root,
    checks = args.checks or table.move(all, 1, #all - 1, 1, {}),
    op_types = args.op_types,
    definitions = args.definitions,
  })
  result.files = report or partial
  if report or code == "INVALID" then
    if why then table.insert(result.problems, why) end
    return true
  end
  return nil, why, code
end

function skill.run(args, ctx)
  local json, traceset = require "hone.json", require "hone.dataset.traceset"
  local root = traceset.locate(args["local"])
  local set, why = traceset.open(root)
  if not set then return nil, why end
  local result = json.object { { "dataset", root }, { "problems", json.array {} } }
  local ok, code
  ok, why, code = check_files(root, args, ctx, result)
  if not ok then return nil, why, code end
  local definitions = chosen(set, args)
  if args.tests == "native" or args.tests == "both" then
    local wrong
    result.references, wrong = check_references(definitions, ctx)
    if wrong > 0 then
      table.insert(result.problems, ("%d references disagree with their formula"):format(wrong))
    end
  end
  if args.tests == "pytest" or args.tests == "both" then
    result.pytest, why = run_pytest(root, definitions, args)
    if why then table.insert(result.problems, why) end
    local failed = result.pytest and result.pytest.failed or 0
    if failed > 0 then table.insert(result.problems, ("%d tests of references fail"):format(failed)) end
  end
  ctx.say("%s", markdown(result))
  if not args.no_report then
    result.report, why = write_report(root, result)
    if not result.report then return nil, why, nil, result end
    ctx.say("report: %s.md", result.report)
  end
  if #result.problems == 0 then return result end
  return nil, table.concat(result.problems, "; "), nil, result
end

return skill
