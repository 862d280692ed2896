--- Read a model's SGLang source and its config, and write the Definitions of the kernels that it runs.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "write the Definitions of the kernels that a model runs, from SGLang's source and its config",
  description = [[
The model is constructed from SGLang's own source with its real config, by an evaluator that runs no Python,
and its forward is followed for prefill and for decode. Every layer that runs becomes a Definition, with a
reference in plain PyTorch and the arithmetic behind each constant. Kernels that the dataset already has,
under whatever name, only gain the model's tag. Layers that no op type knows are listed for review.]],
  params = {
    {
      name = "model_name",
      type = "string",
      required = true,
      help = "model file in SGLang's srt/models (llama, qwen2), or the model's name (llama-3.1-8b)",
    },
    { name = "config", type = "path", help = "the model's config.json" },
    { name = "hf_repo_id", type = "string", help = "ORG/NAME on HuggingFace, whose config.json is used" },
    { name = "revision", type = "string", default = "main", help = "revision of the HuggingFace repository" },
    {
      name = "sglang_path",
      type = "path",
      help = "SGLang's sources (default: the clone that repos_config.json names)",
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
      default = { 1 },
      help = "tensor parallel sizes; several give the union of their kernels",
    },
    { name = "ep", type = "list", of = "integer", min = 1, default = { 1 }, help = "expert parallel sizes" },
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
      default = true,
      help = "list linear layers whose weights the config quantizes for review",
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
    { name = "dry_run", type = "boolean", default = false, help = "report, and write nothing" },
  },
  outputs = {
    { name = "definitions/<op_type>/<name>.json", help = "one Definition a kernel, in the dataset" },
  },
  examples = {
    "hone extract-kernel-definitions --model-name llama --hf-repo-id meta-llama/Llama-3.1-8B-Instruct",
    "hone extract-kernel-definitions --model-name qwen2 --config config.json --tp 1 4 --dry-run",
  },
}

-- ---- what is read ------------------------------------------------------------------------------------

local function sglang_package(args)
  local path, why = args.sglang_path, nil
  if not path then
    path, why = require("hone.repos").path("sglang")
  end
  if not path then return nil, ("no SGLang sources (--sglang-path names them): %s"):format(why) end
  return require("hone.sglang.sources").package(path)
end

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

local function find_model(args, package, config)
  local aliases = { config.model_type }
  if config.repo_id then aliases[#aliases + 1] = config.repo_id:match("[^/]*$") end
  return require("hone.sglang.sources").find(package, args.model_name, config.architectures, aliases)
end

local TORCH_DTYPES = { float16 = true, bfloat16 = true, float32 = true }

local function gemm_dtype(args, config)
  if args.gemm_dtype ~= "model" then return args.gemm_dtype end
  local dtype = config.data.torch_dtype or config.data.dtype
  if TORCH_DTYPES[dtype] then return dtype end
  return nil,
    ("%s names no dtype for --gemm-dtype model (torch_dtype is %s)"):format(config.path, tostring(dtype))
end

-- The config's quantization method, when quantized layers are to be listed.
local function quantization(args, config)
  local about = config.data.quantization_config
  if not args.include_quantized or not json.is_object(about) then return nil end
  return type(about.quant_method) == "string" and about.quant_method or "unknown method"
end

local function dataset_root(args)
  local root = args["local"] or os.getenv("FIB_DATASET_PATH")
  if root == nil or root == "" then root = "./flashinfer-trace" end
  return fs.expand(root)
end

-- ---- what is found -----------------------------------------------------------------------------------

local function module_names(kernel)
  local names = {}
  for i, module in ipairs(kernel.modules) do
    names[i] = module.path:gsub("^model%.", ""):gsub("layers%.%*%.", "")
  end
  return names
end

-- One walk for a pair of parallel sizes: its kernels built as definitions, added to `found`.
local function walk_once(found, sources, parallel, settings)
  local walked, message = require("hone.sglang.walk").walk {
    package = sources.package,
    model = sources.model,
    config = sources.config,
    tp = parallel.tp,
    ep = parallel.ep,
    modes = settings.modes,
  }
  if not walked then return nil, message end
  local collected = require("hone.sglang.kernels").collect(walked, settings)
  for _, kernel in ipairs(collected.kernels) do
    local definition, why = require("hone.ops").build(kernel.op_type, kernel.variant, kernel.params, {
      models = { sources.tag },
      display = sources.display,
      tp = parallel.tp,
      ep = parallel.ep,
      module = module_names(kernel),
      origins = kernel.origins,
    })
    if not definition then return nil, ("cannot define a %s kernel: %s"):format(kernel.op_type, why) end
    if not found.seen[definition.name] then
      found.seen[definition.name] = true
      found.definitions[#found.definitions + 1] = definition
      found.kernels[#found.kernels + 1] = kernel
    end
  end
  found.walked, found.remarks = found.walked or walked, found.remarks or collected
  return true
end

local function find_kernels(args, sources, settings)
  local found = { definitions = {}, kernels = {}, seen = {} }
  for _, tp in ipairs(args.tp) do
    for _, ep in ipairs(args.ep) do
      local ok, message = walk_once(found, sources, { tp = tp, ep = ep }, settings)
      if not ok then return nil, message end
    end
  end
  return found
end

-- ---- the report --------------------------------------------------------------------------------------

local function place(remark) return ("%s:%d"):format(remark.file, remark.line) end

local function modules_json(modules)
  local list = json.array {}
  for i, module in ipairs(modules) do
    list[i] = json.object { { "path", module.path }, { "count", module.count }, { "source", place(module) } }
  end
  return list
end

local function places_json(calls)
  local list = json.array {}
  for i, call in ipairs(calls) do
    list[i] = place(call)
  end
  return list
end

-- Other models that the dataset says run this kernel.
local function shared_with(definition, tag)
  local others = json.array {}
  for _, model in ipairs(require("hone.dataset.tags").models(definition)) do
    if model ~= tag then others[#others + 1] = model end
  end
  return others
end

local function kernel_json(decision, kernel, existing, tag)
  local entry = json.object {
    { "name", decision.name },
    { "action", decision.action },
    { "path", decision.path },
    { "op_type", kernel.op_type },
    { "modules", modules_json(kernel.modules) },
    { "calls", places_json(kernel.calls) },
  }
  if existing then entry.shared_with = shared_with(existing, tag) end
  if decision.reason then entry.reason = decision.reason end
  if #decision.notes > 0 then entry.notes = json.array(decision.notes) end
  return entry
end

local function remarks_json(remarks)
  local list = json.array {}
  for i, remark in ipairs(remarks) do
    list[i] = json.object {
      { "path", remark.path },
      { "class", remark.class },
      { "count", remark.count },
      { "source", place(remark) },
      { "why", remark.why },
    }
  end
  return list
end

local function unknown_json(unknown)
  local list = json.array {}
  for i, construct in ipairs(unknown) do
    list[i] = json.object {
      { "kind", construct.kind },
      { "what", construct.what or json.null },
      { "count", construct.count },
      { "first", construct.first },
    }
  end
  return list
end

local function bytes_of(files)
  local bytes = 0
  for _, file in ipairs(files) do
    bytes = bytes + file.bytes
  end
  return bytes
end

local function result_of(sources, found, plan, set, dry_run, milliseconds)
  local traceset = require "hone.dataset.traceset"
  local kernels = json.array {}
  for i, decision in ipairs(plan.decisions) do
    local is_there = decision.action == "existing" or decision.action == "unchanged"
    local existing = is_there and not decision.planned and traceset.definition(set, decision.name) or nil
    kernels[i] = kernel_json(decision, found.kernels[i], existing, sources.tag)
  end
  return json.object {
    { "model", sources.tag },
    { "class", sources.model.class },
    { "source", sources.model.file },
    { "config", sources.config.path },
    { "dataset", set.root },
    { "dry_run", dry_run },
    { "definitions", kernels },
    { "not_written", remarks_json(found.remarks.noted) },
    { "review", remarks_json(found.remarks.review) },
    { "unused", remarks_json(found.remarks.unused) },
    { "warnings", json.array(found.walked.warnings) },
    { "unknown_constructs", unknown_json(found.walked.unknown) },
    { "files_read", #found.walked.files },
    { "bytes_read", bytes_of(found.walked.files) },
    { "milliseconds", milliseconds },
  }
end

local ACTIONS = { "new", "existing", "unchanged", "conflict" }
local LABELS =
  { new = "new", existing = "existing, tag added", unchanged = "existing", conflict = "CONFLICT" }

local function show_definitions(result, ctx)
  local rows, counts = {}, {}
  for i, entry in ipairs(result.definitions) do
    local module = entry.modules[1]
    local more = #entry.modules > 1 and (" and %d more"):format(#entry.modules - 1) or ""
    local where = ("%d x %s%s"):format(module.count, module.path, more)
    local shared = entry.shared_with and #entry.shared_with > 0
    local with = shared and (", shared with %s"):format(table.concat(entry.shared_with, ", ")) or ""
    rows[i] = { entry.name, LABELS[entry.action] .. with, where, module.source }
    counts[entry.action] = (counts[entry.action] or 0) + 1
  end
  if #rows > 0 then ctx.say("%s", require("hone.table").format(rows)) end
  local parts = {}
  for _, action in ipairs(ACTIONS) do
    if counts[action] then parts[#parts + 1] = ("%d %s"):format(counts[action], LABELS[action]) end
  end
  local what = result.dry_run and "would go to" or "in"
  ctx.say("")
  ctx.say("%d definitions (%s) %s %s", #rows, table.concat(parts, ", "), what, result.dataset)
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

local function show(result, ctx)
  show_definitions(result, ctx)
  show_notes(result, ctx)
  show_remarks("Layers without a definition:", result.not_written, ctx)
  show_remarks("For review, nothing is written for these:", result.review, ctx)
  show_remarks("Built and never run:", result.unused, ctx)
  local unknown = #result.unknown_constructs
  ctx.say("")
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

-- ---- the skill ---------------------------------------------------------------------------------------

local function read_sources(args, ctx)
  local config, message, code = read_config(args, ctx)
  if not config then return nil, message, code end
  local package
  package, message = sglang_package(args)
  if not package then return nil, message end
  local model
  model, message = find_model(args, package, config)
  if not model then return nil, message end
  local tags = require "hone.dataset.tags"
  local name = config.repo_id or args.model_name
  return {
    config = config,
    package = package,
    model = model,
    tag = args.model_tag or tags.model_name(name),
    display = tags.display_name(name),
  }
end

function skill.run(args, ctx)
  local started = os.clock()
  local sources, message, code = read_sources(args, ctx)
  if not sources then return nil, message, code end
  local dtype
  dtype, message = gemm_dtype(args, sources.config)
  if not dtype then return nil, message end

  local traceset = require "hone.dataset.traceset"
  local set
  set, message = traceset.open(dataset_root(args), { create = true })
  if not set then return nil, message end
  local settings = {
    page_sizes = args.page_size,
    gemm_dtype = dtype,
    quantization = quantization(args, sources.config),
    modes = args.execution_modes,
  }
  local found
  found, message = find_kernels(args, sources, settings)
  if not found then return nil, message end
  local plan = traceset.plan(set, found.definitions, { deduplicate = args.deduplicate })
  if not args.dry_run then
    local ok
    ok, message = traceset.apply(plan)
    if not ok then return nil, message end
  end
  for _, bad in ipairs(traceset.errors(set)) do
    ctx.warn("%s", bad.message)
  end
  local result = result_of(sources, found, plan, set, args.dry_run, (os.clock() - started) * 1000)
  show(result, ctx)
  return result
end

return skill
