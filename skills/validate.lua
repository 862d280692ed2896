--- Is a dataset what the formats say?
local skill = {
  summary = "check a dataset's layout, definitions, workloads, solutions and traces",
  description = [[
Runs the checks of `flashinfer-bench validate`, with the same categories and report. The exit status is 1 when
a definition has an error. References are built on hone's own tensors, baseline solutions are built and run with
the reference on every workload; what a machine lacks for that (a GPU, a compiler, torch) is a warning.
`--disable-gpu` leaves out all that builds or runs. The report is written only where `--outputs` says json or
text.

`--fix` mends what can be mended without a choice, before the checks: see docs/validating.md.]],
  params = {
    { name = "dataset", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    {
      name = "checks",
      type = "list",
      help = "layout, definition, workload, solution, trace, baseline, benchmark; by default all of them",
    },
    { name = "disable_gpu", type = "boolean", default = false, help = "build and run nothing" },
    { name = "op_types", type = "list", help = "only definitions of these op types, or of --definitions" },
    { name = "definitions", type = "list", help = "only these definitions, or those of --op-types" },
    { name = "output_folder", type = "path", help = "where reports are written, by default DATASET/reports" },
    { name = "outputs", type = "list", help = "stdout, json, text; by default stdout" },
    { name = "fix", type = "boolean", help = "mend what can be mended without a choice, then check" },
    { name = "dry_run", type = "boolean", help = "with --fix: only say what would be mended" },
  },
  outputs = {
    { name = "config, definitions", help = "the report, as flashinfer-bench writes it" },
    { name = "changes", help = "of --fix: what was mended, each with its sign, path and text" },
  },
  examples = {
    "hone validate --dataset flashinfer-trace --disable-gpu",
    "hone validate --checks layout,workload --op-types rmsnorm",
    "hone validate --dataset flashinfer-trace --fix --dry-run",
  },
}

local OUTPUTS = { stdout = true, json = true, text = true }

-- Items of a list that may itself be given with commas.
local function items(list)
  local found = {}
  for _, text in ipairs(list or {}) do
    for item in text:gmatch "[^,%s]+" do
      found[#found + 1] = item
    end
  end
  return found
end

local function chosen_checks(asked, disable_gpu)
  local validator = require "hone.dataset.validator"
  local known, checks = {}, items(asked)
  for _, check in ipairs(validator.CHECKS) do
    known[check] = true
  end
  for _, check in ipairs(checks) do
    if not known[check] then
      return nil,
        ("there is no check '%s'; there are %s"):format(check, table.concat(validator.CHECKS, ", ")),
        "usage"
    end
  end
  if #checks == 0 then checks = validator.CHECKS end
  local chosen = {}
  for _, check in ipairs(checks) do
    if not (disable_gpu and check == "benchmark") then chosen[#chosen + 1] = check end
  end
  return chosen
end

-- Reports that are there already are not overwritten.
local function write_report(path, text)
  local fs = require "hone.fs"
  if fs.exists(path) then return nil, ("cannot write %s: it exists already"):format(path), "EEXIST" end
  return fs.write(path, text)
end

local function write_outputs(report, args, root, ctx)
  local fs, json, validator = require "hone.fs", require "hone.json", require "hone.dataset.validator"
  local folder = args.output_folder or fs.join(root, "reports")
  local stem = fs.join(folder, os.date "report-%Y%m%d-%H%M%S")
  local outputs = #items(args.outputs) > 0 and items(args.outputs) or { "stdout" }
  for _, output in ipairs(outputs) do
    if not OUTPUTS[output] then
      return nil, ("--outputs takes stdout, json, text, not '%s'"):format(output), "usage"
    end
  end
  for _, output in ipairs(outputs) do
    if output == "stdout" then
      ctx.say("%s", validator.text(report))
    else
      local is_json = output == "json"
      local text = is_json and json.encode(report, { indent = 2 }) or validator.text(report)
      local ok, why, code = write_report(stem .. (is_json and ".json" or ".txt"), text)
      if not ok then return nil, why, code end
    end
  end
  return true
end

-- Mend the dataset, or say how: the changes.
local function mend(root, args, ctx)
  local fix, json = require "hone.dataset.fix", require "hone.json"
  if #items(args.op_types) > 0 or #items(args.definitions) > 0 then
    return nil, "--fix mends the whole dataset: it takes no --op-types or --definitions", "usage"
  end
  local plan, why, code = fix.plan(root)
  if not plan then return nil, why, code end
  for _, line in ipairs(fix.lines(plan)) do
    ctx.say("%s", line)
  end
  if args.dry_run then
    ctx.say("%d changes; nothing was written", #plan.changes)
    return json.array(plan.changes)
  end
  local done
  done, why, code = fix.apply(plan)
  if not done then return nil, why, code end
  ctx.say("%d files written, %d removed", done.written, done.removed)
  return json.array(plan.changes)
end

function skill.run(args, ctx)
  local validator = require "hone.dataset.validator"
  if args.dry_run and not args.fix then return nil, "--dry-run belongs to --fix", "usage" end
  local checks, why, code = chosen_checks(args.checks, args.disable_gpu)
  if not checks then return nil, why, code end
  local root = require("hone.dataset.traceset").locate(args.dataset)
  local changes
  if args.fix then
    changes, why, code = mend(root, args, ctx)
    if not changes then return nil, why, code end
    if args.dry_run then return { changes = changes } end
  end
  local report
  report, why, code = validator.run(root, {
    checks = checks,
    disable_gpu = args.disable_gpu,
    op_types = items(args.op_types),
    definitions = items(args.definitions),
  })
  if not report then return nil, why, code end
  report.changes = changes
  local ok
  ok, why, code = write_outputs(report, args, root, ctx)
  if not ok then return nil, why, code end
  local counts = validator.count(report)
  if counts.error == 0 then return report end
  return nil, ("%d definitions of %s have errors"):format(counts.error, root), "INVALID", report
end

return skill
