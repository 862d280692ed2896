--- Read a model's SGLang source and its config, and write the Definitions of the kernels that it runs.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "write the Definitions of the kernels that a model runs, from SGLang's source and its config",
  description = [[
The model is constructed from SGLang's own source with its real config, by an evaluator that runs no Python,
and its forward is followed for prefill and for decode. Every layer that runs becomes a Definition, with a
reference in plain PyTorch and the arithmetic behind each constant. Kernels that the dataset already has,
under whatever name, only gain the model's tag. Layers that no op type knows are listed for review.

Tensor and expert parallel sizes are those that the model is served with: as a checkout of sgl-cookbook says
(`hone clone-repos --repos sgl-cookbook`), else hone's own table (scripts/hone/sglang/serving_settings.lua),
else as few GPUs as hold its weights. --tp and --ep say otherwise; several sizes give the union of their
kernels. TP must divide the attention heads; where there are fewer key-value heads than ranks they are
replicated, as SGLang does it. EP must divide TP.

--explain prints how every constant of a definition came about: from the fields of the config through the
lines of source to the value, with the lines that construct the layer and those that run it.

--all reads every model of SGLang's folder for which a config is at hand, in --configs and in HuggingFace's
cache, each in a process of its own, and writes them all. A model that fails leaves the others alone.]],
  params = {
    {
      name = "model_name",
      type = "string",
      help = "model file in SGLang's srt/models (llama, qwen2), or the model's name (llama-3.1-8b)",
    },
    { name = "config", type = "path", help = "the model's config.json" },
    { name = "hf_repo_id", type = "string", help = "ORG/NAME on HuggingFace, whose config.json is used" },
    { name = "revision", type = "string", default = "main", help = "revision of the HuggingFace repository" },
    { name = "all", type = "boolean", default = false, help = "every model with a config at hand" },
    {
      name = "configs",
      type = "list",
      of = "path",
      help = "with --all: folders that hold config.json files (default: ./configs, if it is there)",
    },
    {
      name = "sglang_path",
      type = "path",
      help = "SGLang's sources (default: the clone that repos_config.json names)",
    },
    {
      name = "cookbook_path",
      type = "path",
      help = "a checkout of sgl-cookbook (default: the clone that repos_config.json names, if any)",
    },
    {
      name = "local",
      type = "path",
      help = "dataset to write to (default: FIB_DATASET_PATH, else ./flashinfer-trace)",
    },
    {
      name = "tp",
      type = "list",
      of = "integer",
      min = 1,
      help = "tensor parallel sizes; several give the union of their kernels (default: as the model is served)",
    },
    {
      name = "ep",
      type = "list",
      of = "integer",
      min = 1,
      help = "expert parallel sizes (default: as the model is served)",
    },
    {
      name = "page_size",
      type = "list",
      of = "integer",
      min = 1,
      default = { 1, 64 },
      help = "KV cache page sizes",
    },
    {
      name = "execution_modes",
      type = "list",
      of = "choice",
      choices = { "prefill", "decode" },
      default = { "prefill", "decode" },
      help = "which forward passes to follow",
    },
    {
      name = "gemm_dtype",
      type = "choice",
      choices = { "float16", "model" },
      default = "float16",
      help = "dtype of GEMMs: the dataset's float16, or the model's own",
    },
    {
      name = "include_quantized",
      type = "boolean",
      default = false,
      help = "write linear layers of FP8 checkpoints as GEMMs with scales, not as the dataset's plain ones",
    },
    {
      name = "expert_formats",
      type = "list",
      of = "choice",
      choices = { "bf16", "fp8-block", "fp8-per-tensor", "fp4" },
      help = "formats of experts' weights (default: the config's, and those of the model's public checkpoints)",
    },
    {
      name = "model_tag",
      type = "string",
      help = "name in the model: tag (default: from the repository's name)",
    },
    {
      name = "deduplicate",
      type = "boolean",
      default = true,
      help = "leave kernels out that the dataset has",
    },
    {
      name = "explain",
      type = "string",
      help = "print how a definition's constants came about; write nothing",
    },
    { name = "report", type = "path", help = "write the result there, as JSON" },
    {
      name = "processes",
      type = "integer",
      min = 1,
      max = 256,
      help = "with --all: how many models at once (default: the number of processors)",
    },
    { name = "dry_run", type = "boolean", default = false, help = "report, and write nothing" },
  },
  outputs = {
    { name = "definitions/<op_type>/<name>.json", help = "one Definition a kernel, in the dataset" },
    { name = "the --report file", help = "what was found, as JSON: the same as --json prints" },
  },
  examples = {
    "hone extract-kernel-definitions --model-name llama --hf-repo-id meta-llama/Llama-3.1-8B-Instruct",
    "hone extract-kernel-definitions --model-name qwen2 --config config.json --tp 1 4 --dry-run",
    "hone extract-kernel-definitions --model-name llama --config config.json --explain gemm_n6144_k4096",
    "hone extract-kernel-definitions --all --configs configs --report all.json",
  },
}

-- ---- what is read ------------------------------------------------------------------------------------

local function read_config(args, ctx)
  local config = require "hone.model.config"
  if args.config and args.hf_repo_id then return config.from_file(args.config, args.hf_repo_id) end
  if args.config then return config.from_file(args.config) end
  if args.hf_repo_id then
    local options = { revision = args.revision, on_warning = ctx.warn }
    return config.from_hub(args.hf_repo_id, options)
  end
  local missing = "a config is needed for the sizes of %s's kernels: --config FILE or --hf-repo-id ORG/NAME"
  return nil, missing:format(args.model_name), "usage"
end

-- The checkout of sgl-cookbook, nil when there is none; one that was named has to be there.
local function cookbook(args)
  if not args.cookbook_path then return (require("hone.repos").path "sgl-cookbook") end
  if fs.is_dir(fs.join(args.cookbook_path, "data/models")) then return args.cookbook_path end
  return nil, ("cannot read sgl-cookbook in %s: it has no data/models folder"):format(args.cookbook_path)
end

-- What many models are read with, and one as well.
local function common_options(args)
  local package, message = require("hone.sglang.sources").locate(args.sglang_path)
  if not package then return nil, message end
  local book
  book, message = cookbook(args)
  if not book and message and args.cookbook_path then return nil, message end
  return {
    package = package,
    cookbook = book,
    tp = args.tp,
    ep = args.ep,
    page_sizes = args.page_size,
    modes = args.execution_modes,
    gemm_dtype = args.gemm_dtype,
    include_quantized = args.include_quantized,
    expert_formats = args.expert_formats,
  }
end

-- ---- the result --------------------------------------------------------------------------------------

-- Other models that the dataset says run this kernel.
local function shared_with(definition, tag)
  local others = json.array {}
  for _, model in ipairs(require("hone.dataset.tags").models(definition)) do
    if model ~= tag then others[#others + 1] = model end
  end
  return others
end

local function definition_json(decision, kernel, existing, tag)
  local entry = json.object {
    { "name", decision.name },
    { "action", decision.action },
    { "path", decision.path },
    { "op_type", kernel.op_type },
    { "tags", json.array((existing or decision.definition).tags or {}) },
    { "modules", kernel.modules },
    { "calls", kernel.calls },
  }
  if existing then entry.shared_with = shared_with(existing, tag) end
  if decision.reason then entry.reason = decision.reason end
  if #decision.notes > 0 then entry.notes = json.array(decision.notes) end
  return entry
end

-- The report of a model with what the dataset makes of each definition in place of the definitions.
local function result_of(report, decisions, set, dry_run, seconds)
  local traceset = require "hone.dataset.traceset"
  local entries = json.array {}
  for i, decision in ipairs(decisions) do
    local is_there = decision.action == "existing" or decision.action == "unchanged"
    local existing = is_there and not decision.planned and traceset.definition(set, decision.name) or nil
    entries[i] = definition_json(decision, report.kernels[i], existing, report.model)
  end
  local result = json.object {
    { "model", report.model },
    { "class", report.class },
    { "source", report.source },
    { "config", report.config },
    { "settings", report.settings },
    { "settings_source", report.settings_source },
    { "dataset", set.root },
    { "dry_run", dry_run },
    { "definitions", entries },
  }
  local same =
    { "not_written", "review", "unused", "warnings", "unknown_constructs", "files_read", "bytes_read" }
  for _, name in ipairs(same) do
    result[name] = report[name]
  end
  result.milliseconds = seconds * 1000
  return result
end

local function write_report(args, result)
  if not args.report then return true end
  return json.write(args.report, result, { indent = 2, newline = true, nan = "allow" })
end

-- ---- what people are shown -----------------------------------------------------------------------------

local ACTIONS = { "new", "existing", "unchanged", "conflict" }
local LABELS =
  { new = "new", existing = "existing, tag added", unchanged = "existing", conflict = "CONFLICT" }

local function counts_of(entries)
  local counts = {}
  for _, entry in ipairs(entries) do
    counts[entry.action] = (counts[entry.action] or 0) + 1
  end
  return counts
end

local function counts_text(counts)
  local parts = {}
  for _, action in ipairs(ACTIONS) do
    if counts[action] then parts[#parts + 1] = ("%d %s"):format(counts[action], LABELS[action]) end
  end
  return table.concat(parts, ", ")
end

local function show_definitions(result, ctx)
  local rows = {}
  for i, entry in ipairs(result.definitions) do
    local module = entry.modules[1]
    local more = #entry.modules > 1 and (" and %d more"):format(#entry.modules - 1) or ""
    local where = ("%d x %s%s"):format(module.count, module.path, more)
    local shared = entry.shared_with and #entry.shared_with > 0
    local with = shared and (", shared with %s"):format(table.concat(entry.shared_with, ", ")) or ""
    rows[i] = { entry.name, LABELS[entry.action] .. with, where, module.source }
  end
  if #rows > 0 then ctx.say("%s", require("hone.table").format(rows)) end
  local what = result.dry_run and "would go to" or "in"
  ctx.say("")
  ctx.say(
    "%d definitions (%s) %s %s",
    #rows,
    counts_text(counts_of(result.definitions)),
    what,
    result.dataset
  )
end

local function show_remarks(title, remarks, ctx)
  if #remarks == 0 then return end
  ctx.say("")
  ctx.say("%s", title)
  local rows = {}
  for i, remark in ipairs(remarks) do
    rows[i] = { "", ("%d x %s"):format(remark.count, remark.path), remark.class, remark.why, remark.source }
  end
  ctx.say("%s", require("hone.table").format(rows))
end

local function show_notes(result, ctx)
  for _, entry in ipairs(result.definitions) do
    if entry.reason then ctx.warn("%s: %s", entry.name, entry.reason) end
    for _, note in ipairs(entry.notes or {}) do
      ctx.say("note: %s: %s", entry.name, note)
    end
  end
end

local function settings_text(settings) return require("hone.sglang.serving").text(settings) end

local function show(result, ctx)
  show_definitions(result, ctx)
  show_notes(result, ctx)
  show_remarks("Layers without a definition:", result.not_written, ctx)
  show_remarks("For review, nothing is written for these:", result.review, ctx)
  show_remarks("Built and never run:", result.unused, ctx)
  local unknown = #result.unknown_constructs
  ctx.say("")
  ctx.say("Parallel sizes: %s (%s)", settings_text(result.settings), result.settings_source)
  ctx.say(
    "%s: %d source files read (%s), %d %s met and not known, %.0f ms",
    result.class,
    result.files_read,
    require("hone.text").bytes(result.bytes_read),
    unknown,
    unknown == 1 and "construct" or "constructs",
    result.milliseconds
  )
  for _, warning in ipairs(result.warnings) do
    ctx.warn("%s", warning)
  end
end

-- ---- one model ---------------------------------------------------------------------------------------

-- Everything that finding a model's kernels takes: { sources, settings, origin, find } | nil, message, code.
local function prepare(args, ctx)
  local extraction = require "hone.sglang.extraction"
  local config, message, code = read_config(args, ctx)
  if not config then return nil, message, code end
  local options
  options, message = common_options(args)
  if not options then return nil, message end
  local sources
  sources, message = extraction.sources {
    package = options.package,
    model_name = args.model_name,
    config = config,
    model_tag = args.model_tag,
  }
  if not sources then return nil, message end
  local settings, origin = require("hone.sglang.serving").settings(config, { tp = args.tp, ep = args.ep }, {
    cookbook = options.cookbook,
    on_warning = ctx.warn,
  })
  if not settings then return nil, ("cannot read %s: %s"):format(sources.model.class, origin) end
  local dtype
  dtype, message = extraction.gemm_dtype(config, args.gemm_dtype)
  if not dtype then return nil, message end
  return {
    sources = sources,
    settings = settings,
    origin = origin,
    find = {
      page_sizes = args.page_size,
      gemm_dtype = dtype,
      quantization = args.include_quantized and extraction.quantization(config) or nil,
      modes = args.execution_modes,
      expert_formats = args.expert_formats,
      usual = not (args.tp or args.ep),
      apart = true,
    },
  }
end

local function report_errors(set, ctx)
  for _, bad in ipairs(require("hone.dataset.traceset").errors(set)) do
    ctx.warn("%s", bad.message)
  end
end

local function extract_one(args, ctx)
  local now = require("hone.core.process").now
  local started = now()
  local job, message, code = prepare(args, ctx)
  if not job then return nil, message, code end
  local traceset = require "hone.dataset.traceset"
  local set
  set, message = traceset.open(traceset.locate(args["local"]), { create = true })
  if not set then return nil, message end
  local found
  found, message = require("hone.sglang.extraction").find(job.sources, job.settings, job.find)
  if not found then return nil, message end
  local plan = traceset.plan(set, found.definitions, { deduplicate = args.deduplicate })
  if not args.dry_run then
    local ok
    ok, message = traceset.apply(plan)
    if not ok then return nil, message end
  end
  report_errors(set, ctx)
  local report = require("hone.sglang.report").of(found, job.sources, job.origin)
  local result = result_of(report, plan.decisions, set, args.dry_run, now() - started)
  local written
  written, message = write_report(args, result)
  if not written then return nil, message end
  show(result, ctx)
  return result
end

-- ---- --explain -----------------------------------------------------------------------------------------

-- A name as hone writes it: definitions may be asked for in the older style.
local function canonical(name)
  local ops = require "hone.ops"
  local op_type, variant, params = ops.parse(name)
  local known, written = pcall(ops.name, op_type, variant, params)
  return op_type and known and written or name
end

local function explain(args, ctx)
  local job, message, code = prepare(args, ctx)
  if not job then return nil, message, code end
  local wanted, names = canonical(args.explain), {}
  job.find.explain = function(definition)
    names[#names + 1] = definition.name
    return definition.name == wanted or definition.name == args.explain
  end
  local found
  found, message = require("hone.sglang.extraction").find(job.sources, job.settings, job.find)
  if not found then return nil, message end
  if not found.explanation then
    local close = require("hone.params").nearest(args.explain, names)
    local hint = close and ("; did you mean %s?"):format(close) or ""
    local none = "%s at %s has no definition %s%s (it has: %s)"
    local at = settings_text(job.settings)
    return nil, none:format(job.sources.model.class, at, args.explain, hint, table.concat(names, ", "))
  end
  local explanation = require "hone.sglang.explanation"
  for _, line in ipairs(explanation.lines(found.explanation)) do
    ctx.say("%s", line)
  end
  local result = explanation.json(found.explanation)
  local written
  written, message = write_report(args, result)
  if not written then return nil, message end
  return result
end

-- ---- --all ---------------------------------------------------------------------------------------------

local function config_folders(args)
  if args.configs then return args.configs end
  return fs.is_dir("configs") and { "configs" } or {}
end

-- The decisions of one plan for all models, those of each model with its outcome.
local function plan_all(outcomes, set, deduplicate)
  local all = {}
  for _, outcome in ipairs(outcomes) do
    local definitions = outcome.report and outcome.report.definitions or {}
    table.move(definitions, 1, #definitions, #all + 1, all)
  end
  local plan = require("hone.dataset.traceset").plan(set, all, { deduplicate = deduplicate })
  local first = 1
  for _, outcome in ipairs(outcomes) do
    local count = outcome.report and #outcome.report.definitions or 0
    outcome.decisions = table.move(plan.decisions, first, first + count - 1, 1, {})
    first = first + count
  end
  return plan
end

local function summary_row(outcome)
  if not outcome.report then
    return { outcome.job.name, "failed", "", "", "", ("%.2f s"):format(outcome.seconds) }
  end
  local result = outcome.result
  return {
    outcome.job.name,
    #result.definitions,
    counts_of(result.definitions).new or 0,
    #result.review,
    settings_text(result.settings),
    ("%.2f s"):format(outcome.seconds),
    result.class,
  }
end

-- ", at most 300 MB each" where the system tells how much memory the processes had.
local function memory_text(outcomes)
  local most = 0
  for _, outcome in ipairs(outcomes) do
    most = math.max(most, outcome.peak_bytes or 0)
  end
  return most > 0 and (", at most %s each"):format(require("hone.text").bytes(most)) or ""
end

local function show_all(outcomes, skipped, plan, ctx, seconds)
  local headers = { "model", "definitions", "new", "review", "served with", "time", "" }
  local rows, names = {}, {}
  for i, outcome in ipairs(outcomes) do
    rows[i] = summary_row(outcome)
  end
  ctx.say("%s", require("hone.table").format(rows, { headers = headers }))
  for _, decision in ipairs(plan.decisions) do
    names[decision.name] = true
    if decision.reason then ctx.warn("%s: %s", decision.name, decision.reason) end
  end
  local different = 0
  for _ in pairs(names) do
    different = different + 1
  end
  ctx.say("")
  local text = "%d models, %d different definitions, %.1f s%s"
  ctx.say(text, #outcomes, different, seconds, memory_text(outcomes))
  for _, outcome in ipairs(outcomes) do
    if outcome.message then ctx.warn("%s: %s", outcome.job.name, outcome.message) end
    for _, warning in ipairs(outcome.report and outcome.report.warnings or {}) do
      ctx.warn("%s: %s", outcome.job.name, warning)
    end
  end
  for _, entry in ipairs(skipped) do
    ctx.warn("%s: %s", entry.config, entry.why)
  end
end

local function failure_json(outcome)
  return json.object {
    { "model", outcome.job.name },
    { "config", outcome.job.config },
    { "message", outcome.message },
  }
end

-- The result of all models; the outcomes get their own.
local function all_result(outcomes, skipped, set, args, seconds)
  local models, failed, left_out = json.array {}, json.array {}, json.array {}
  for _, outcome in ipairs(outcomes) do
    if outcome.report then
      outcome.result = result_of(outcome.report, outcome.decisions, set, args.dry_run, outcome.seconds)
      outcome.result.peak_bytes = outcome.peak_bytes
      models[#models + 1] = outcome.result
    else
      failed[#failed + 1] = failure_json(outcome)
    end
  end
  for i, entry in ipairs(skipped) do
    left_out[i] = json.object { { "config", entry.config }, { "why", entry.why } }
  end
  return json.object {
    { "dataset", set.root },
    { "dry_run", args.dry_run },
    { "models", models },
    { "failed", failed },
    { "skipped", left_out },
    { "seconds", seconds },
  }
end

local function run_all(jobs, options, args, ctx)
  local bar = ctx.progress { label = "models", total = #jobs }
  local done = 0
  local outcomes, seconds = require("hone.sglang.every").run(jobs, options, {
    processes = args.processes,
    on_done = function(outcome)
      done = done + 1
      bar:update(done, outcome.job.name)
    end,
  })
  bar:done(("%d models"):format(#jobs))
  return outcomes, seconds
end

local function extract_all(args, ctx)
  local options, message = common_options(args)
  if not options then return nil, message end
  local traceset = require "hone.dataset.traceset"
  local set
  set, message = traceset.open(traceset.locate(args["local"]), { create = true })
  if not set then return nil, message end
  local folders = config_folders(args)
  local jobs, skipped =
    require("hone.sglang.every").jobs(options.package, { configs = folders, cache = true })
  if not jobs then return nil, skipped end
  if #jobs == 0 then
    local where = #folders > 0 and table.concat(folders, ", ") .. " and HuggingFace's cache"
      or "HuggingFace's cache"
    return nil, ("no config of a model that SGLang has in %s (--configs names folders of them)"):format(where)
  end
  local outcomes, seconds = run_all(jobs, options, args, ctx)
  local plan = plan_all(outcomes, set, args.deduplicate)
  if not args.dry_run then
    local ok
    ok, message = traceset.apply(plan)
    if not ok then return nil, message end
  end
  report_errors(set, ctx)
  local result = all_result(outcomes, skipped, set, args, seconds)
  local written
  written, message = write_report(args, result)
  if not written then return nil, message end
  show_all(outcomes, skipped, plan, ctx, seconds)
  if #result.failed == 0 then return result end
  local names = {}
  for i, failure in ipairs(result.failed) do
    names[i] = failure.model
  end
  local failed = ("%d of %d models could not be read: %s"):format(
    #names,
    #outcomes,
    table.concat(names, ", ")
  )
  return nil, failed, "incomplete", result
end

-- ---- the skill ---------------------------------------------------------------------------------------

local function mistake(args)
  if args.all then
    for _, name in ipairs { "model_name", "config", "hf_repo_id", "explain", "model_tag" } do
      if args[name] then return ("--all takes no --%s"):format((name:gsub("_", "-"))) end
    end
  elseif not args.model_name then
    return "--model-name is missing (or --all for every model with a config at hand)"
  elseif args.configs or args.processes then
    return "--configs and --processes go with --all"
  end
end

function skill.run(args, ctx)
  local wrong = mistake(args)
  if wrong then return nil, wrong, "usage" end
  if args.all then return extract_all(args, ctx) end
  if args.explain then return explain(args, ctx) end
  return extract_one(args, ctx)
end

return skill
