--- Take a model through everything that brings it into FlashInfer-Bench, and remember how far it came.
local fs = require "hone.fs"
local json = require "hone.json"
local onboarding = require "hone.model.onboarding"

local skill = {
  summary = "onboard a model: sources, definitions, tests, workloads, web entry, checklist",
  description = [[
The steps, in their order: clone (SGLang, FlashInfer and the dataset), extract (the model's definitions into the
dataset), tests (a reference test for each), workloads (collected where the model runs), web (the entry in
models.ts), submit (what is new goes to the dataset's repository) and checklist.

A manifest remembers how far it came. Run again, the skill goes on from there: steps that are done and whose
outputs are still there are passed over, the others are looked at again. --restart forgets the manifest.

A step that needs what this machine lacks, a GPU, the network, a hub token, or a skill that hone does not have
here, waits: the report and the checklist say which command to run, and where. That is no failure; a step that
should have worked and did not is one, and what depends on it is held back.]],
  params = {
    {
      name = "model_name",
      type = "string",
      required = true,
      help = "the model's name: lower case, words joined by hyphens (qwen3-30b-a3b)",
    },
    { name = "hf_repo_id", type = "string", required = true, help = "ORG/NAME on HuggingFace" },
    { name = "config", type = "path", help = "the model's config.json (default: from HuggingFace)" },
    { name = "revision", type = "string", default = "main", help = "revision of the HuggingFace repository" },
    { name = "display_name", type = "string", help = "the model's name in the web entry" },
    { name = "description", type = "string", help = "the model's description in the web entry" },
    {
      name = "sglang_path",
      type = "path",
      help = "SGLang's sources (default: the clone that repos_config.json names)",
    },
    {
      name = "local",
      type = "path",
      help = "the dataset (default: FIB_DATASET_PATH, else the clone, else ./flashinfer-trace)",
    },
    { name = "target_dir", type = "path", default = "./repos", help = "where repositories are cloned to" },
    { name = "models_ts", type = "path", default = "web/apps/web/data/models.ts", help = "the web entries" },
    {
      name = "output_dir",
      type = "path",
      help = "folder of the manifest, the checklist and the analysis (default: ./model_analysis_MODEL)",
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
      name = "steps",
      type = "list",
      choices = { "clone", "extract", "tests", "workloads", "web", "submit", "checklist" },
      help = "only these steps",
    },
    { name = "restart", type = "boolean", default = false, help = "begin anew, whatever the manifest says" },
    {
      name = "dry_run",
      type = "boolean",
      default = false,
      help = "say what would be done, and write nothing",
    },
  },
  outputs = {
    {
      name = "OUTPUT_DIR/onboard_MODEL.json",
      help = "the manifest: steps, kernels, what waits and for what",
    },
    { name = "OUTPUT_DIR/onboarding_checklist.md", help = "the same for people" },
    { name = "definitions, tests, workloads", help = "in the dataset, as the steps write them" },
  },
  examples = {
    "hone onboard-model --model-name qwen3-30b-a3b --hf-repo-id Qwen/Qwen3-30B-A3B",
    "hone onboard-model --model-name qwen3-8b --hf-repo-id Qwen/Qwen3-8B --config config.json --dry-run",
    "hone onboard-model --model-name qwen3-8b --hf-repo-id Qwen/Qwen3-8B --steps extract checklist",
  },
}

-- ---- what a step gives -----------------------------------------------------------------------------------

local function done(note, ...) return { status = "done", note = note:format(...) } end

-- What has to be run elsewhere: { where, line } of each command.
local function waiting(note, commands) return { status = "waiting", note = note, commands = commands } end

local function failed(note, commands) return { status = "failed", note = note, commands = commands } end

local function planned(note, commands) return { status = "planned", note = note, commands = commands } end

local function command(where, words) return { where = where, line = onboarding.line(words) } end

-- Run another skill with those of the arguments that it takes -> result | nil, message, code. The code is
-- "absent" where hone has no such skill.
local function run_skill(job, name, args)
  local skills = require "hone.skill"
  local entry = skills.find(name)
  if not entry or entry.name ~= name then return nil, ("hone has no skill %s here"):format(name), "absent" end
  local loaded, message = skills.load(entry)
  if not loaded then return nil, message end
  local given = {}
  for _, param in ipairs(loaded.params) do
    given[param.name] = args[param.name]
  end
  return job.ctx.skill(name, given)
end

local function plural(count, one) return require("hone.text").plural(count, one) end

-- ---- clone -----------------------------------------------------------------------------------------------

local NETWORK = "on a machine that reaches github.com and huggingface.co"

-- Where each source is, as far as it is here.
local function sources_here(job)
  local repos, here = require "hone.repos", {}
  local target = repos.FILE and fs.join(job.args.target_dir, repos.FILE)
  local config = fs.exists(target) and repos.read(target) or repos.find()
  for name, entry in pairs(config and config.repositories or {}) do
    if fs.is_dir(entry.path) then here[name] = entry end
  end
  if job.args.sglang_path then here.sglang = { path = job.args.sglang_path } end
  if job.given_dataset then here["flashinfer-trace"] = { path = job.given_dataset } end
  return here
end

local function note_sources(job, here)
  job.sglang = here.sglang and here.sglang.path
  job.dataset = job.given_dataset
    or here["flashinfer-trace"] and here["flashinfer-trace"].path
    or "./flashinfer-trace"
  job.manifest.dataset = job.dataset
  local names = {}
  for name, entry in pairs(here) do
    names[#names + 1] = name
    local version = entry.commit or entry.version
    if version then job.manifest.repo_shas[name] = version end
  end
  table.sort(names)
  return names
end

local NEEDED = { "sglang", "flashinfer", "flashinfer-trace" }

local function missing_sources(here)
  local missing = {}
  for _, name in ipairs(NEEDED) do
    if not here[name] then missing[#missing + 1] = name end
  end
  return missing
end

local function clone(job)
  local here = sources_here(job)
  local missing = missing_sources(here)
  local words = { "hone", "clone-repos", "--target-dir", job.args.target_dir, "--repos" }
  table.move(missing, 1, #missing, #words + 1, words)
  if #missing > 0 and job.dry_run then
    note_sources(job, here)
    return planned("would bring " .. table.concat(missing, ", "), { command("here", words) })
  end
  local why
  if #missing > 0 then
    local result
    result, why = run_skill(job, "clone-repos", { target_dir = job.args.target_dir, repos = missing })
    here = sources_here(job)
    missing = result and {} or missing_sources(here)
  end
  local names = note_sources(job, here)
  if #missing == 0 then return done("%s here", table.concat(names, ", ")) end
  local note = ("%s could not be brought: %s"):format(table.concat(missing, ", "), why)
  local commands = { command(NETWORK, words) }
  -- Without SGLang nothing can be read; without the others much can be done.
  return here.sglang and waiting(note, commands) or failed(note, commands)
end

-- ---- extract ---------------------------------------------------------------------------------------------

local function extract_args(job)
  local args = job.args
  return {
    model_name = args.model_name,
    config = args.config,
    hf_repo_id = args.hf_repo_id,
    revision = args.revision,
    sglang_path = job.sglang,
    ["local"] = job.dataset,
    tp = args.tp,
    ep = args.ep,
    page_size = args.page_size,
    dry_run = job.dry_run,
  }
end

local function extract_words(job)
  local args = job.args
  local words = { "hone", "extract-kernel-definitions", "--model-name", args.model_name }
  local function append(flag, values)
    words[#words + 1] = flag
    table.move(values, 1, #values, #words + 1, words)
  end
  append("--hf-repo-id", { args.hf_repo_id })
  if args.config then append("--config", { args.config }) end
  if args.sglang_path then append("--sglang-path", { args.sglang_path }) end
  append("--local", { job.dataset })
  if args.tp then append("--tp", args.tp) end
  if args.ep then append("--ep", args.ep) end
  return words
end

-- What was found, into the manifest. A kernel that was new in an earlier run stays new.
local function note_kernels(job, result)
  local was_new = {}
  for _, kernel in ipairs(job.manifest.kernels) do
    was_new[kernel.definition_name] = kernel.phase1_status == "new"
  end
  local kernels = json.array {}
  for i, entry in ipairs(result.definitions) do
    local is_new = entry.action == "new" or entry.action == "conflict" or was_new[entry.name]
    kernels[i] = json.object {
      { "definition_name", entry.name },
      { "op_type", entry.op_type },
      { "path", entry.path },
      { "phase1_status", is_new and "new" or "existing" },
      { "phase2_status", job.dry_run and "planned" or "done" },
      { "test", "missing" },
      { "workload_entries", 0 },
      { "tags", entry.tags },
    }
  end
  job.manifest.kernels, job.manifest.review = kernels, result.review
end

local function count_new(kernels)
  local count = 0
  for _, kernel in ipairs(kernels) do
    if kernel.phase1_status == "new" then count = count + 1 end
  end
  return count
end

local function extract(job)
  local result, message = run_skill(job, "extract-kernel-definitions", extract_args(job))
  if not result then
    local where = "where the config can be read (HF_TOKEN for a gated repository), or with --config FILE"
    return failed(message, { command(where, extract_words(job)) })
  end
  note_kernels(job, result)
  local kernels = job.manifest.kernels
  local note = ("%s, %d of them new, %s for review"):format(
    plural(#kernels, "definition"),
    count_new(kernels),
    plural(#result.review, "layer")
  )
  if job.dry_run then return planned("would write " .. note, { command("here", extract_words(job)) }) end
  return done(note)
end

-- Whether the definitions of the last run are still there, for the same question.
local function extract_is_done(job)
  for _, kernel in ipairs(job.manifest.kernels) do
    if not fs.exists(kernel.path) then return false end
  end
  return #job.manifest.kernels > 0 and job.manifest.steps.extract.question == job.question
end

-- ---- tests -----------------------------------------------------------------------------------------------

local GPU = "on a machine with a CUDA GPU, PyTorch and flashinfer-python"

local function untested(job)
  local names = {}
  for _, kernel in ipairs(job.manifest.kernels) do
    local there = fs.exists(onboarding.test_path(job.dataset, kernel.definition_name))
    kernel.test = there and "written" or "missing"
    if not there then names[#names + 1] = kernel.definition_name end
  end
  return names
end

local function pytest_command(job)
  local words = { "python3", "-m", "pytest" }
  for _, kernel in ipairs(job.manifest.kernels) do
    if kernel.test == "written" then
      words[#words + 1] = onboarding.test_path(fs.absolute(job.dataset), kernel.definition_name)
    end
  end
  return #words > 3 and command(GPU, words) or nil
end

local function tests(job)
  local names = untested(job)
  local words = { "hone", "add-reference-tests", "--local", job.dataset, "--definition-name" }
  table.move(names, 1, #names, #words + 1, words)
  if #names > 0 and not job.dry_run then
    local result, message, code = run_skill(job, "add-reference-tests", {
      ["local"] = job.dataset,
      definition_name = names,
    })
    names = untested(job)
    if not result and code ~= "absent" then return failed(message, { command("here", words) }) end
  end
  local commands = { pytest_command(job) }
  if #names == 0 then
    return waiting("every definition has a reference test, to be run on a GPU", commands)
  end
  table.insert(commands, 1, command("where hone has the skill add-reference-tests", words))
  local note = ("%s without a reference test (tests/references in the dataset)"):format(
    plural(#names, "definition")
  )
  return job.dry_run and planned(note, commands) or waiting(note, commands)
end

-- ---- workloads -------------------------------------------------------------------------------------------

-- Kernels without workloads: those that FlashInfer logs, and the others.
local function without_workloads(job)
  local count = require("hone.dataset.coverage").workloads
  local logged, others = {}, {}
  for _, kernel in ipairs(job.manifest.kernels) do
    kernel.workload_entries = count(job.dataset, { op_type = kernel.op_type, name = kernel.definition_name })
    if kernel.workload_entries == 0 then
      local list = onboarding.is_logged(kernel) and logged or others
      list[#list + 1] = kernel
    end
  end
  return logged, others
end

local function names_of(kernels)
  local names = {}
  for i, kernel in ipairs(kernels) do
    names[i] = kernel.definition_name
  end
  return names
end

-- What workloads are missing, in words, and the commands that collect them.
local function missing_workloads(job, logged, others)
  local commands = {}
  local args = job.args
  local servers =
    onboarding.collect_commands(logged, args.model_name, args.hf_repo_id, fs.absolute(job.dataset))
  for i, server in ipairs(servers) do
    local where = "on a machine with %s, SGLang and the model's weights"
    commands[i] = command(where:format(plural(server.gpus, "GPU")), server.words)
  end
  local note = ("%s without workloads"):format(plural(#logged + #others, "definition"))
  if #others > 0 then
    local unlogged = "%s; FlashInfer logs no calls of %s: their workloads are made by hand"
    note = unlogged:format(note, table.concat(names_of(others), ", "))
  end
  return note, commands
end

-- Collected here, where this machine has a GPU and hone the skill -> true | nil, message, code.
local function collect(job, logged)
  if #logged == 0 or not require("hone.cuda").available() then return nil, nil, "absent" end
  return run_skill(job, "collect-workloads", {
    definition_names = names_of(logged),
    model_name = job.args.model_name,
    model_path = job.args.hf_repo_id,
    ["local"] = job.dataset,
    submit_pr = false,
  })
end

local function workloads(job)
  local logged, others = without_workloads(job)
  local collected, why, code
  if not job.dry_run then
    collected, why, code = collect(job, logged)
  end
  if collected then
    logged, others = without_workloads(job)
  end
  if #logged + #others == 0 then return done("every definition has workloads") end
  local note, commands = missing_workloads(job, logged, others)
  if job.dry_run then return planned(note, commands) end
  if not collected and code ~= "absent" then return failed(why, commands) end
  return waiting(note, commands)
end

-- ---- web -------------------------------------------------------------------------------------------------

local function web_words(job)
  local args = job.args
  local words = { "hone", "add-new-model", "--model-name", args.model_name, "--hf-repo-id", args.hf_repo_id }
  if job.sglang then table.move({ "--sglang-path", job.sglang }, 1, 2, #words + 1, words) end
  table.move({ "--output", args.models_ts }, 1, 2, #words + 1, words)
  return words
end

local function web(job)
  local here = { command("where hone has the skill add-new-model", web_words(job)) }
  if job.dry_run then return planned("would add the entry to " .. job.args.models_ts, here) end
  local args = job.args
  local result, message, code = run_skill(job, "add-new-model", {
    model_name = args.model_name,
    hf_repo_id = args.hf_repo_id,
    config = args.config,
    revision = args.revision,
    display_name = args.display_name,
    description = args.description,
    sglang_path = job.sglang,
    ["local"] = job.dataset,
    output_dir = job.folder,
    output = args.models_ts,
    tp = args.tp,
    ep = args.ep,
    clone = false,
  })
  if result then return done("%s has the entry", args.models_ts) end
  if code == "absent" then return waiting(message, here) end
  return failed(message, { command("here", web_words(job)) })
end

local function web_is_done(job)
  local text = fs.read(job.args.models_ts)
  return text ~= nil and text:find(json.encode(job.args.model_name), 1, true) ~= nil
end

-- ---- submit ----------------------------------------------------------------------------------------------

local HUB = "on a machine that reaches huggingface.co, with a hub token (HF_TOKEN)"

local function submit(job)
  local words = { "hf", "upload", "flashinfer-ai/flashinfer-trace", fs.absolute(job.dataset), "." }
  table.move({ "--repo-type", "dataset", "--create-pr", "--include" }, 1, 4, #words + 1, words)
  local first = #words + 1
  for _, kernel in ipairs(job.manifest.kernels) do
    if kernel.phase1_status == "new" then
      local name, op_type = kernel.definition_name, kernel.op_type
      words[#words + 1] = ("definitions/%s/%s.json"):format(op_type, name)
      if kernel.test == "written" then words[#words + 1] = ("tests/references/test_%s.py"):format(name) end
      if kernel.workload_entries > 0 then words[#words + 1] = ("*workloads/%s/%s*"):format(op_type, name) end
    end
  end
  if #words < first then return done("the dataset has everything already") end
  local note = ("%s to submit"):format(plural(count_new(job.manifest.kernels), "new definition"))
  local commands = { command(HUB, words) }
  return job.dry_run and planned(note, commands) or waiting(note, commands)
end

-- ---- the pipeline ----------------------------------------------------------------------------------------

-- `needs`: the step whose failure holds this one back; `is_done`: whether what a step made is still there.
local STEPS = {
  { name = "clone", title = "Sources", run = clone },
  { name = "extract", title = "Definitions", run = extract, needs = "clone", is_done = extract_is_done },
  { name = "tests", title = "Reference tests", run = tests, needs = "extract" },
  { name = "workloads", title = "Workloads", run = workloads, needs = "extract" },
  { name = "web", title = "Web entry", run = web, is_done = web_is_done },
  { name = "submit", title = "Submission", run = submit, needs = "extract" },
}

local function is_asked_for(args, name)
  if not args.steps then return true end
  for _, step in ipairs(args.steps) do
    if step == name then return true end
  end
  return false
end

local function is_held_back(job, step)
  local before = step.needs and job.manifest.steps[step.needs]
  if not step.needs or before and before.status ~= "failed" and before.status ~= "blocked" then
    return false
  end
  -- A step that was never run, because others were asked for, has left nothing to go on from.
  return before ~= nil or step.needs == "extract"
end

-- What is asked of extract: another question makes the step run again.
local function question_of(args)
  local function text(list) return list and table.concat(list, " ") or "as served" end
  local parts =
    { args.config or args.hf_repo_id, args.revision, text(args.tp), text(args.ep), text(args.page_size) }
  return table.concat(parts, "; ")
end

local function run_step(job, step)
  local before = job.manifest.steps[step.name]
  if before and before.status == "done" and not job.dry_run and step.is_done and step.is_done(job) then
    return before, true
  end
  if is_held_back(job, step) then
    return { status = "blocked", note = ("held back: %s has not been done"):format(step.needs) }
  end
  local outcome = step.run(job)
  if step.name == "extract" then outcome.question = job.question end
  return outcome
end

local LABELS =
  { done = "done", waiting = "WAITS", failed = "FAILED", blocked = "held back", planned = "planned" }

local function show_step(job, step, outcome, again)
  local label = again and "done before" or LABELS[outcome.status]
  job.ctx.say("%-10s %-11s %s", step.name, label, outcome.note)
  for _, each in ipairs(outcome.commands or {}) do
    job.ctx.say("           %s:", each.where)
    job.ctx.say("             %s", each.line)
  end
end

local function step_json(outcome)
  local entry = json.object { { "status", outcome.status }, { "note", outcome.note } }
  if outcome.question then entry.question = outcome.question end
  if outcome.commands and #outcome.commands > 0 then
    local list = json.array {}
    for i, each in ipairs(outcome.commands) do
      list[i] = json.object { { "where", each.where }, { "line", each.line } }
    end
    entry.commands = list
  end
  return entry
end

local function save(job)
  if job.dry_run then return true end
  return onboarding.write(job.manifest_path, job.manifest)
end

local function write_checklist(job)
  local path = fs.join(job.folder, "onboarding_checklist.md")
  local ok, why = fs.write(path, onboarding.checklist(job.manifest, STEPS))
  if not ok then return nil, why end
  job.ctx.say("%-10s %-11s %s", "checklist", "done", path)
  return true
end

-- ---- the skill -------------------------------------------------------------------------------------------

local function mistake(args)
  if not args.model_name:find "^[a-z0-9][a-z0-9.-]*$" then
    local name = require("hone.dataset.tags").model_name(args.model_name)
    return ("--model-name must be lower case with hyphens, got '%s' (%s?)"):format(args.model_name, name)
  end
  if not require("hone.model.config").is_repo_id(args.hf_repo_id) then
    return ("--hf-repo-id must be ORG/NAME, got '%s'"):format(args.hf_repo_id)
  end
end

local function open_job(args, ctx)
  local folder = args.output_dir or "./model_analysis_" .. args.model_name
  local dataset = args["local"] or os.getenv "FIB_DATASET_PATH"
  if dataset == "" then dataset = nil end
  local job = {
    args = args,
    ctx = ctx,
    dry_run = args.dry_run,
    folder = folder,
    manifest_path = fs.join(folder, ("onboard_%s.json"):format(args.model_name)),
    given_dataset = dataset and fs.expand(dataset),
    question = question_of(args),
  }
  local why
  if not args.restart then
    job.manifest, why = onboarding.read(job.manifest_path, args.model_name, args.hf_repo_id)
    if why then return nil, why end
  end
  job.manifest = job.manifest or onboarding.new(args.model_name, args.hf_repo_id, job.given_dataset or "")
  note_sources(job, sources_here(job))
  return job
end

local function run_steps(job)
  local failures = {}
  for _, step in ipairs(STEPS) do
    if is_asked_for(job.args, step.name) then
      local outcome, again = run_step(job, step)
      job.manifest.steps[step.name] = again and outcome or step_json(outcome)
      show_step(job, step, outcome, again)
      if outcome.status == "failed" then
        failures[#failures + 1] = ("%s: %s"):format(step.name, outcome.note)
      end
      local ok, why = save(job)
      if not ok then return nil, why end
    end
  end
  return failures
end

function skill.run(args, ctx)
  local wrong = mistake(args)
  if wrong then return nil, wrong, "usage" end
  local job, message = open_job(args, ctx)
  if not job then return nil, message end
  local failures
  failures, message = run_steps(job)
  if not failures then return nil, message end
  if not job.dry_run and is_asked_for(args, "checklist") then
    local ok
    ok, message = write_checklist(job)
    if not ok then return nil, message end
  end
  local result = json.object {
    { "model", args.model_name },
    { "manifest", job.manifest_path },
    { "dry_run", args.dry_run },
    { "steps", job.manifest.steps },
    { "kernels", job.manifest.kernels },
    { "review", job.manifest.review },
  }
  if #failures > 0 then return nil, table.concat(failures, "; "), "incomplete", result end
  return result
end

return skill
