--- Say which definitions the known models need, and which of them a dataset has, with workloads or without.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "write the coverage table: which definitions models need, and which of them a dataset has",
  description = [[
The known models are those of SGLang's folder for which a config is at hand, in --configs and in HuggingFace's
cache, and those that the dataset's tags name. Each model with a config is read as extract-kernel-definitions
reads it, at the sizes that it is served with; its kernels are compared with the dataset's definitions by
signature, whatever they are called. A definition is there with workloads, there without, or missing. Of a model
without a config only what the dataset's tags say is known.

The table is Markdown: a summary, then a section a model with its definitions, the layers that no definition
describes, and the command that writes what is missing. --report writes the same as JSON.]],
  params = {
    {
      name = "local",
      type = "path",
      help = "the dataset (default: FIB_DATASET_PATH, else ./flashinfer-trace)",
    },
    {
      name = "configs",
      type = "list",
      of = "path",
      help = "folders that hold config.json files (default: ./configs, if it is there)",
    },
    {
      name = "model_name",
      type = "list",
      help = "only these models: names in tags, or files of SGLang's folder",
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
      name = "tp",
      type = "list",
      of = "integer",
      min = 1,
      help = "tensor parallel sizes (default: as served)",
    },
    {
      name = "ep",
      type = "list",
      of = "integer",
      min = 1,
      help = "expert parallel sizes (default: as served)",
    },
    { name = "page_size", type = "list", of = "integer", min = 1, default = { 1, 64 }, help = "page sizes" },
    {
      name = "discover",
      type = "boolean",
      default = false,
      help = "list the model files of SGLang's folder that no config is at hand for, too",
    },
    { name = "output", type = "path", help = "the Markdown file to write (default: print it)" },
    { name = "report", type = "path", help = "the JSON file to write" },
  },
  outputs = {
    { name = "the --output file", help = "the coverage table as Markdown" },
    { name = "the --report file", help = "the same as JSON: what --json prints" },
  },
  examples = {
    "hone track-models --configs configs --output docs/model_coverage.md",
    "hone track-models --model-name llama-3.1-8b qwen3-30b-a3b --json",
  },
}

-- ---- what is read ------------------------------------------------------------------------------------

-- Whether a model is among those asked for.
local function is_wanted(args, tag, file)
  if not args.model_name then return true end
  local tags = require "hone.dataset.tags"
  for _, name in ipairs(args.model_name) do
    local as_file = name:lower():gsub("[%-%.]", "_")
    if tags.same_model(tags.model_name(name), tag) or as_file == file then return true end
  end
  return false
end

local function wanted_jobs(args, package)
  local every, tags = require "hone.sglang.every", require "hone.dataset.tags"
  local folders = args.configs or (fs.is_dir("configs") and { "configs" }) or {}
  local jobs, skipped = every.jobs(package, { configs = folders, cache = true })
  if not jobs then return nil, skipped end
  local kept = {}
  for _, job in ipairs(jobs) do
    if is_wanted(args, tags.model_name(job.name), job.model_name) then kept[#kept + 1] = job end
  end
  return kept, skipped, jobs
end

local function read_models(args, package, jobs, ctx)
  if #jobs == 0 then return {} end
  local bar = ctx.progress { label = "models", total = #jobs }
  local done = 0
  local outcomes = require("hone.sglang.every").run(jobs, {
    package = package,
    cookbook = args.cookbook_path or (require("hone.repos").path "sgl-cookbook"),
    tp = args.tp,
    ep = args.ep,
    page_sizes = args.page_size,
    modes = { "prefill", "decode" },
    gemm_dtype = "float16",
    include_quantized = false,
  }, {
    on_done = function(outcome)
      done = done + 1
      bar:update(done, outcome.job.name)
    end,
  })
  bar:done(("%d models"):format(#jobs))
  return outcomes
end

-- ---- models --------------------------------------------------------------------------------------------

-- One entry for each name in tags: several repositories may hold one model.
local function models_of(outcomes)
  local tags = require "hone.dataset.tags"
  local models, by_tag = {}, {}
  for _, outcome in ipairs(outcomes) do
    local tag = tags.model_name(outcome.job.name)
    local model = by_tag[tag]
    if not model then
      model = { tag = tag, name = tags.display_name(outcome.job.name), definitions = {}, repositories = {} }
      by_tag[tag], models[#models + 1] = model, model
    end
    model.repositories[#model.repositories + 1] = outcome.job.name
    model.message = model.message or outcome.message
    local definitions = outcome.report and outcome.report.definitions or {}
    table.move(definitions, 1, #definitions, #model.definitions + 1, model.definitions)
    if outcome.report and not model.report then
      model.report, model.job = outcome.report, outcome.job
    end
  end
  return models
end

-- Models that only the dataset's tags name.
local function tagged_only(index, models, args)
  local tags, list = require "hone.dataset.tags", {}
  for _, tag in ipairs(require("hone.dataset.coverage").models(index)) do
    local known = not is_wanted(args, tag)
    for _, model in ipairs(models) do
      known = known or tags.same_model(model.tag, tag)
    end
    if not known then
      list[#list + 1] = { tag = tag, name = tags.display_name(tag), definitions = {}, repositories = {} }
    end
  end
  return list
end

local function architecture_of(model)
  if not model.job then return nil end
  local config = require("hone.model.config").from_file(model.job.config)
  local about = config and require("hone.model.architecture").of(config)
  return about and about.architecture_pattern
end

local function settings_text(settings) return require("hone.sglang.serving").text(settings) end

-- ---- the result ------------------------------------------------------------------------------------------

-- How far the definitions that a model runs are there; what only tags say of a model is no measure.
local function coverage_label(counts, was_read)
  if not was_read then return "unknown" end
  if counts.missing == 0 then return "full" end
  return counts.missing == counts.total and "none" or "partial"
end

local function definitions_json(entries)
  local list = json.array {}
  for i, entry in ipairs(entries) do
    list[i] = json.object {
      { "name", entry.name },
      { "op_type", entry.op_type },
      { "status", entry.status },
      { "workloads", entry.workloads },
      { "parallel", json.array(entry.parallel) },
      { "found_in_source", entry.found },
      { "namesake", entry.namesake },
    }
  end
  return list
end

local function model_json(model, index)
  local coverage = require "hone.dataset.coverage"
  local entries = coverage.of(index, model.tag, model.definitions)
  local counts, report = coverage.count(entries), model.report
  return json.object {
    { "model", model.tag },
    { "name", model.name },
    { "repositories", json.array(model.repositories) },
    { "config", model.job and model.job.config or json.null },
    { "model_file", model.job and model.job.model_name or json.null },
    { "class", report and report.class or json.null },
    { "architecture", architecture_of(model) or json.null },
    { "settings", report and report.settings or json.array {} },
    { "coverage", coverage_label(counts, report ~= nil) },
    { "with_workloads", counts.workloads },
    { "without_workloads", counts.present },
    { "missing", counts.missing },
    { "definitions", definitions_json(entries) },
    { "unmapped", report and report.review or json.array {} },
    { "problem", model.message or json.null },
  }
end

local function not_tracked(package, jobs)
  local have = {}
  for _, job in ipairs(jobs) do
    have[job.model_name] = true
  end
  local list = json.array {}
  for _, name in ipairs(require("hone.sglang.sources").models(package) or {}) do
    local classes = require("hone.sglang.sources").entry_classes(package, name) or {}
    if not have[name] and #classes > 0 then
      list[#list + 1] = json.object { { "model_file", name }, { "classes", json.array(classes) } }
    end
  end
  return list
end

-- ---- Markdown --------------------------------------------------------------------------------------------

local SYMBOLS = { workloads = "✅", present = "🟡", missing = "❌" }
local LABELS = { full = "✅ full", partial = "🟡 partial", none = "❌ none", unknown = "— not read" }

local LEGEND = [[
- ✅ the definition is there, with workloads
- 🟡 the definition is there, without workloads
- ❌ the definition is missing
- — a layer runs that no definition describes]]

-- A cell's text: a bar would end it.
local function cell(text) return (tostring(text):gsub("|", "\\|"):gsub("\n", " ")) end

local function row(...)
  local cells = { ... }
  for i, text in ipairs(cells) do
    cells[i] = cell(text)
  end
  return "| " .. table.concat(cells, " | ") .. " |"
end

local function value(text, otherwise) return text ~= json.null and text or otherwise end

local function summary_lines(result, lines)
  lines[#lines + 1] = row("Model", "Architecture", "Served with", "✅", "🟡", "❌", "Coverage")
  lines[#lines + 1] = "|---|---|---|---:|---:|---:|---|"
  for _, model in ipairs(result.models) do
    lines[#lines + 1] = row(
      model.name,
      value(model.architecture, "—"),
      settings_text(model.settings),
      model.with_workloads,
      model.without_workloads,
      model.missing,
      LABELS[model.coverage]
    )
  end
end

local function definition_row(entry)
  local op_type = #entry.parallel > 0 and ("%s %s"):format(entry.op_type, table.concat(entry.parallel, " "))
    or entry.op_type
  local remarks = {}
  if entry.workloads > 0 then remarks[1] = ("%d workloads"):format(entry.workloads) end
  if not entry.found_in_source then remarks[#remarks + 1] = "by its tag only" end
  if entry.namesake then remarks[#remarks + 1] = "the dataset's definition of this name is another kernel" end
  return row(("`%s`"):format(entry.name), op_type, SYMBOLS[entry.status], table.concat(remarks, ", "))
end

local function model_lines(model, lines)
  local function add(text, ...) lines[#lines + 1] = select("#", ...) > 0 and text:format(...) or text end
  add("")
  add("## %s", model.name)
  add("")
  if model.class ~= json.null then
    local facts = { ("%s (%s)"):format(model.class, table.concat(model.repositories, ", ")) }
    facts[#facts + 1] = value(model.architecture)
    facts[#facts + 1] = "served with " .. settings_text(model.settings)
    add("%s.", table.concat(facts, ", "))
  elseif model.problem ~= json.null then
    add("The model could not be read: %s", model.problem)
  else
    add("No config is at hand: what follows is what the dataset's tags say.")
  end
  add("")
  add(row("Definition", "Op type", "Status", ""))
  add("|---|---|:---:|---|")
  for _, entry in ipairs(model.definitions) do
    add(definition_row(entry))
  end
  for _, remark in ipairs(model.unmapped) do
    add(row(("%s (%s)"):format(remark.class, remark.path), "", "—", remark.why))
  end
  if model.missing > 0 then
    add("")
    add("What is missing is written by:")
    add("")
    add("    hone extract-kernel-definitions --model-name %s --config %s", model.model_file, model.config)
  end
end

local function markdown(result)
  local lines = {
    "# Model coverage",
    "",
    "Made by `hone track-models` from the dataset's definitions and workloads.",
    "",
  }
  for _, line in ipairs(require("hone.text").lines(LEGEND)) do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = ""
  summary_lines(result, lines)
  for _, model in ipairs(result.models) do
    model_lines(model, lines)
  end
  if #result.not_tracked > 0 then
    table.move(
      { "", "## Not tracked", "", "Model files of SGLang without a config at hand:", "" },
      1,
      5,
      #lines + 1,
      lines
    )
    for _, entry in ipairs(result.not_tracked) do
      lines[#lines + 1] = ("- `%s`: %s"):format(entry.model_file, table.concat(entry.classes, ", "))
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- the skill -------------------------------------------------------------------------------------------

local function write(args, result, text, ctx)
  if args.output then
    local ok, why = fs.write(args.output, text)
    if not ok then return nil, why end
    ctx.say("%d models in %s", #result.models, args.output)
  else
    ctx.say("%s", (text:gsub("\n$", "")))
  end
  if not args.report then return true end
  return json.write(args.report, result, { indent = 2, newline = true })
end

function skill.run(args, ctx)
  local package, message = require("hone.sglang.sources").locate(args.sglang_path)
  if not package then return nil, message end
  local traceset = require "hone.dataset.traceset"
  local set
  set, message = traceset.open(traceset.locate(args["local"]))
  if not set then return nil, message end
  local jobs, skipped, all_jobs = wanted_jobs(args, package)
  if not jobs then return nil, skipped end
  local models = models_of(read_models(args, package, jobs, ctx))
  local index = require("hone.dataset.coverage").index(set)
  local rest = tagged_only(index, models, args)
  table.move(rest, 1, #rest, #models + 1, models)
  if #models == 0 then
    return nil, "no model of that name is known: neither a config at hand nor a tag of the dataset names it"
  end
  table.sort(models, function(a, b) return a.tag < b.tag end)

  local list = json.array {}
  for i, model in ipairs(models) do
    list[i] = model_json(model, index)
    if model.message then ctx.warn("%s: %s", model.tag, model.message) end
    for _, warning in ipairs(model.report and model.report.warnings or {}) do
      ctx.warn("%s: %s", model.tag, warning)
    end
  end
  for _, bad in ipairs(traceset.errors(set)) do
    ctx.warn("%s", bad.message)
  end
  for _, entry in ipairs(args.model_name and {} or skipped) do
    ctx.warn("%s: %s", entry.config, entry.why)
  end
  local result = json.object {
    { "dataset", set.root },
    { "models", list },
    { "not_tracked", args.discover and not_tracked(package, all_jobs) or json.array {} },
  }
  local written
  written, message = write(args, result, markdown(result), ctx)
  if not written then return nil, message end
  return result
end

return skill
