--- Add a model to the web application: its config, its implementation, its modules, and a report on all of it.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "add a model to the web application, from its HuggingFace config and SGLang's implementation",
  description = [[
Runs extract-model-from-hf, find-sglang-baseline and generate-model-definition, checks what they made, and writes a
report. Several models are added at once as NAME:ORG/REPO, each with a folder of its own.

A config that cannot be downloaded is taken from HuggingFace's cache, or from the folder of an earlier run. Without
an implementation in SGLang the modules are those that models of the config's architecture commonly have. A field
that the config lacks is worked out from the others, asked for on a terminal, or given with --set.]],
  params = {
    { name = "models", type = "list", positional = true, help = "NAME:ORG/REPO, for several models at once" },
    { name = "model_name", type = "string", help = "the model's id: lower case, with hyphens (kimi-k2)" },
    { name = "hf_repo_id", type = "string", help = "ORG/NAME on HuggingFace" },
    {
      name = "display_name",
      type = "string",
      help = "its name in the web application (default: from the id)",
    },
    { name = "description", type = "string", help = "one sentence about it (default: from the config)" },
    {
      name = "sglang_path",
      type = "path",
      help = "SGLang's sources (default: the clone that repos_config.json names, else ./sglang)",
    },
    {
      name = "output_dir",
      type = "path",
      help = "folder for the files in between (default: ./model_analysis_NAME; of several models, what holds those)",
    },
    { name = "skip_sglang", type = "boolean", default = false, help = "use the config only" },
    {
      name = "clone",
      type = "boolean",
      default = true,
      help = "clone SGLang into ./repos where its sources are not at hand",
    },
    { name = "config", type = "path", help = "a config.json to read instead of asking HuggingFace" },
    { name = "revision", type = "string", default = "main", help = "revision of the HuggingFace repository" },
    { name = "offline", type = "boolean", default = false, help = "ask nobody: use HuggingFace's cache" },
    {
      name = "retries",
      type = "integer",
      min = 0,
      max = 10,
      default = 3,
      help = "how often to try again after a failure of the network",
    },
    { name = "set", type = "list", help = "NAME=VALUE: fields that the config lacks" },
    {
      name = "tp",
      type = "list",
      of = "integer",
      min = 1,
      help = "tensor parallel sizes of the definitions",
    },
    {
      name = "ep",
      type = "list",
      of = "integer",
      min = 1,
      help = "expert parallel sizes of the definitions",
    },
    {
      name = "output",
      type = "path",
      default = "web/apps/web/data/models.ts",
      help = "the web application's models",
    },
    {
      name = "local",
      type = "path",
      help = "dataset to look the definitions up in (default: FIB_DATASET_PATH, else ./flashinfer-trace)",
    },
    { name = "force", type = "boolean", default = false, help = "replace a model of the same id" },
  },
  outputs = {
    { name = "web/apps/web/data/models.ts", help = "the models, with this one" },
    { name = "model_config.json", help = "the config, byte for byte" },
    { name = "model_architecture.json", help = "what it says of the model" },
    { name = "sglang_implementation.json", help = "classes, layers and modules of the implementation" },
    { name = "kernel_calls.json", help = "calls of each forward pass" },
    {
      name = "module_mapping.json",
      help = "the definitions of each module, and whether the dataset has them",
    },
    { name = "model_addition_summary.md", help = "the report" },
  },
  examples = {
    "hone add-new-model --model-name kimi-k2 --hf-repo-id moonshotai/Kimi-K2-Instruct",
    "hone add-new-model qwen3-8b:Qwen/Qwen3-8B llama-3.1-8b:meta-llama/Llama-3.1-8B-Instruct",
  },
}

-- ---- which models ------------------------------------------------------------------------------------

local function name_mistake(name, repo_id)
  local config = require "hone.model.config"
  if not config.is_model_name(name) then
    local message = "'%s' is not a model's id (lower case letters, digits, dots and hyphens: kimi-k2)"
    return message:format(name)
  elseif repo_id and not config.is_repo_id(repo_id) then
    return ("'%s' is not a repository on HuggingFace (ORG/NAME: moonshotai/Kimi-K2-Instruct)"):format(repo_id)
  end
end

-- The models to add: { name, repo_id, folder } | nil, message, "usage".
local function requested(args)
  local list, seen = {}, {}
  for _, pair in ipairs(args.models or {}) do
    local name, repo_id = pair:match("^([^:]*):(.*)$")
    if not name then return nil, ("'%s' is not of the form NAME:ORG/REPO"):format(pair), "usage" end
    list[#list + 1] = { name = name, repo_id = repo_id }
  end
  if args.model_name then list[#list + 1] = { name = args.model_name, repo_id = args.hf_repo_id } end
  if #list == 0 then
    return nil, "a model is needed: --model-name NAME --hf-repo-id ORG/NAME, or NAME:ORG/NAME", "usage"
  end
  for _, model in ipairs(list) do
    local mistake = name_mistake(model.name, model.repo_id)
    if not mistake and not model.repo_id and not args.config then
      mistake = ("--hf-repo-id ORG/NAME or --config FILE is needed for %s"):format(model.name)
    end
    if not mistake and seen[model.name] then mistake = ("'%s' is given twice"):format(model.name) end
    if mistake then return nil, mistake, "usage" end
    seen[model.name] = true
    local folder = "model_analysis_" .. model.name
    model.folder = #list == 1 and args.output_dir or fs.join(args.output_dir or ".", folder)
  end
  for _, flag in ipairs { "display_name", "description", "config", "set" } do
    if #list > 1 and args[flag] then
      return nil, ("--%s is for one model, and there are %d"):format(flag:gsub("_", "-"), #list), "usage"
    end
  end
  return list
end

-- ---- phase 1: the config -----------------------------------------------------------------------------

-- Whether somebody is there to be asked.
local function on_terminal(ctx)
  local ok, terminal = pcall(require, "hone.core.terminal")
  return ok and not ctx.json and terminal.isatty(0) and terminal.isatty(2)
end

local function ask(field, suggestion)
  local hint = suggestion and (" [%d]"):format(suggestion) or ""
  io.stderr:write(("the config has no %s; its value%s: "):format(field, hint))
  local answer = (io.read("l") or ""):match("^%s*(.-)%s*$")
  return answer ~= "" and answer or suggestion
end

-- A value for a field that the config lacks | nil, message.
local function supply(job, details, message, ctx)
  local configs, field = require "hone.model.config", details.missing
  local config, why = configs.from_file(details.config, job.repo_id)
  if not config then return nil, why end
  local _, set_message = configs.set(config, job.set)
  if set_message then return nil, set_message end
  local infer = require("hone.model.inference").infer
  local value, reason, is_guess = infer(config, field, (job.repo_id or "") .. "-" .. job.name)
  if value and not is_guess then
    job.notes[#job.notes + 1] = ("%s is not in the config; it is taken to be %d: %s"):format(
      field,
      value,
      reason
    )
    return value
  end
  if on_terminal(ctx) then
    local answer = ask(field, value)
    if answer then
      job.notes[#job.notes + 1] = ("%s is not in the config; it was given as %s"):format(field, answer)
      return answer
    end
  end
  if value then message = ("%s; %d is likely (%s)"):format(message, value, reason) end
  return nil, message
end

local MOST_SUPPLIED = 10

local UNREACHABLE = { HTTP404 = false, usage = false, missing = false }

-- The copy of an earlier run, when the hub refuses or does not answer.
local function earlier_copy(job, code)
  local path = fs.join(job.folder, "model_config.json")
  if code and UNREACHABLE[code] == nil and fs.is_file(path) then return path end
end

local function extract(job, args, ctx)
  local config = args.config
  for _ = 1, MOST_SUPPLIED do
    local result, message, code, details = ctx.skill("extract-model-from-hf", {
      model_id = job.repo_id,
      config = config,
      output = job.folder,
      revision = args.revision,
      offline = args.offline,
      retries = args.retries,
      set = #job.set > 0 and job.set or nil,
    })
    if result then return result end
    local copy = not config and earlier_copy(job, code)
    if copy then
      config = copy
      job.notes[#job.notes + 1] = ("the config is the one of an earlier run, and may be out of date: %s"):format(
        message
      )
      ctx.warn("%s", job.notes[#job.notes])
    elseif code == "missing" then
      local value, why = supply(job, details, message, ctx)
      if not value then return nil, why end
      job.set[#job.set + 1] = ("%s=%s"):format(details.missing, value)
    else
      return nil, message
    end
  end
  return nil, ("%s lacks too many fields"):format(config or job.repo_id)
end

-- ---- phase 2: the implementation ---------------------------------------------------------------------

-- SGLang's sources: as given, as cloned before, or cloned now | nil, message.
local function find_sglang(args, ctx)
  if args.sglang_path then return args.sglang_path end
  local path, message = require("hone.repos").path("sglang")
  if path then return path end
  if fs.is_dir("sglang") then return "sglang" end
  if not args.clone or args.offline then return nil, message end
  ctx.say("no SGLang sources at hand: cloning them into ./repos")
  local cloned, why =
    ctx.skill("clone-repos", { target_dir = "./repos", repos = { "sglang" }, depth = 1, retries = 1 })
  if not cloned then return nil, why end
  return fs.join("repos", "sglang")
end

-- What find-sglang-baseline wrote; false and why there is none; nil, message when config and source disagree.
local function implementation(job, args, ctx, sglang)
  if args.skip_sglang then return false, "it was skipped (--skip-sglang)" end
  if not sglang.path then return false, sglang.why end
  local result, message, code = ctx.skill("find-sglang-baseline", {
    model_name = job.name,
    sglang_path = sglang.path,
    output = job.folder,
    config = fs.join(job.folder, "model_config.json"),
    hf_repo_id = job.repo_id,
    set = #job.set > 0 and job.set or nil,
    tp = args.tp,
    ep = args.ep,
  })
  if code == "mismatch" or code == "settings" then return nil, message end
  if not result then return false, message end
  if result.problem ~= json.null then return result, result.problem end
  return result
end

-- ---- phase 3: the modules ----------------------------------------------------------------------------

local function generate(job, args, ctx, found)
  return ctx.skill("generate-model-definition", {
    config = fs.join(job.folder, "model_architecture.json"),
    sglang_impl = found and found.sglang_implementation or nil,
    model_name = job.name,
    display_name = args.display_name,
    description = args.description,
    output = args.output,
    tp = args.tp and args.tp[1] or nil,
    force = args.force,
  })
end

-- ---- phase 4: checks and the report ------------------------------------------------------------------

local function open_dataset(args)
  local traceset = require "hone.dataset.traceset"
  local root = traceset.locate(args["local"])
  if not fs.is_dir(fs.join(root, "definitions")) then return nil, root end
  return traceset.open(root), root
end

-- A definition in the newer spelling, which is how the dataset names files.
local function canonical(name)
  local ops = require "hone.ops"
  local op_type, variant, params = ops.parse(name)
  if not op_type then return name end
  local ok, written = pcall(ops.name, op_type, variant, params)
  return ok and written or name, op_type
end

local function definition_json(name, set)
  local spelled, op_type = canonical(name)
  local present = json.null
  if set then
    local traceset = require "hone.dataset.traceset"
    present = (traceset.definition(set, name) or traceset.definition(set, spelled)) ~= nil
  end
  return json.object { { "name", name }, { "op_type", op_type or json.null }, { "in_dataset", present } }
end

-- Each module with its definitions, those that the dataset lacks, and the layers that have none.
local function map_modules(generated, set, root)
  local modules, missing, seen, without = json.object(), json.array {}, {}, json.array {}
  for name, module in pairs(generated.modules) do
    local definitions = json.array {}
    for i, definition in ipairs(module.definitions) do
      definitions[i] = definition_json(definition, set)
      if definitions[i].in_dataset == false and not seen[definition] then
        seen[definition] = true
        missing[#missing + 1] = definition
      end
    end
    if module.type == "layer" and #definitions == 0 then without[#without + 1] = name end
    local entry = json.object { { "count", module.count } }
    entry.parent, entry.type, entry.definitions = module.parent, module.type, definitions
    modules[name] = entry
  end
  return json.object {
    { "model", generated.id },
    { "dataset", set and root or json.null },
    { "modules", modules },
    { "missing_in_dataset", missing },
    { "layers_without_definition", without },
  }
end

-- The checks, each a line: { ok, what }.
local function check(generated)
  local problems = require("hone.model.models_ts").problems { modules = generated.modules }
  local function line(list, good, bad)
    return { ok = #list == 0, text = #list == 0 and good or ("%s: %s"):format(bad, table.concat(list, ", ")) }
  end
  return {
    { ok = true, text = ("TypeScript is valid (checked by %s)"):format(generated.checked_by) },
    line(problems.parents, "All parents exist", "Parents that do not exist"),
    line(problems.cycles, "No circular dependencies", "Circular dependencies"),
    line(
      problems.definitions,
      "Definitions are named as the dataset names them",
      "Names that no op type writes"
    ),
  }
end

local function write_json(path, value) return fs.write(path, json.encode(value, { indent = 2 }) .. "\n") end

local function finish(job, args, about)
  local set, root = open_dataset(args)
  if about.generated then
    about.mapping = map_modules(about.generated, set, root)
    about.checks = check(about.generated)
    local written, message = write_json(fs.join(job.folder, "module_mapping.json"), about.mapping)
    if not written then return nil, message end
  end
  about.dataset, about.has_dataset = root, set ~= nil
  local report = require("hone.model.summary").write(job, about)
  return fs.write(fs.join(job.folder, "model_addition_summary.md"), report)
end

-- ---- one model ---------------------------------------------------------------------------------------

local function add(job, args, ctx, sglang)
  local bar = ctx.progress { label = job.name, total = 4, unit = "phases" }
  local function phase(number, what)
    ctx.say("[%d/4] %s: %s", number, job.name, what)
    bar:update(number - 1, what)
  end
  job.set, job.notes = table.move(args.set or {}, 1, #(args.set or {}), 1, {}), {}
  local function fail(message)
    bar:done("failed")
    return nil, message
  end

  phase(1, "model configuration")
  local extracted, message = extract(job, args, ctx)
  if not extracted then return fail(message) end

  phase(2, "implementation in SGLang")
  local found, why = implementation(job, args, ctx, sglang)
  if found == nil then return fail(why) end
  if why then
    local without = found and "its kernel calls are not known: %s" or "no implementation in SGLang: %s"
    job.notes[#job.notes + 1] = without:format(why)
      .. "; the modules are those that such models commonly have"
    if not args.skip_sglang then ctx.warn("%s", job.notes[#job.notes]) end
  end

  phase(3, "modules")
  local generated, problem = generate(job, args, ctx, found)

  phase(4, "checks and summary")
  local about = {
    architecture = extracted.architecture,
    implementation = found or nil,
    generated = generated,
    problem = problem,
    models_ts = args.output,
    display_name = args.display_name,
  }
  local written
  written, message = finish(job, args, about)
  if not written then return fail(message) end
  bar:done(generated and generated.action or "failed")
  if not generated then return nil, problem end
  ctx.say("%s: %s", job.name, fs.join(job.folder, "model_addition_summary.md"))
  return json.object {
    { "model", job.name },
    { "folder", job.folder },
    { "summary", fs.join(job.folder, "model_addition_summary.md") },
    { "models_ts", args.output },
    { "action", generated.action },
    { "from_implementation", generated.from_implementation },
    { "missing_in_dataset", about.mapping.missing_in_dataset },
    { "notes", json.array(job.notes) },
  }
end

function skill.run(args, ctx)
  local jobs, message, code = requested(args)
  if not jobs then return nil, message, code end
  local sglang = {}
  if not args.skip_sglang then
    sglang.path, sglang.why = find_sglang(args, ctx)
  end
  local added, failures = json.array {}, {}
  for _, job in ipairs(jobs) do
    local result, why = add(job, args, ctx, sglang)
    if result then
      added[#added + 1] = result
    else
      failures[#failures + 1] = #jobs > 1 and ("%s: %s"):format(job.name, why) or why
    end
  end
  local result = json.object { { "models", added } }
  if #failures == 0 then return result end
  local reason = table.concat(failures, "; ")
  if #jobs > 1 then reason = ("%d of %d models were not added: %s"):format(#failures, #jobs, reason) end
  return nil, reason, "incomplete", result
end

return skill
