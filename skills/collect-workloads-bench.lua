--- Collect workloads batch size by batch size, with the server settings of the model.
local skill = {
  summary = "collect workloads for one batch size after the other, with the model's own server settings",
  description = [[
Runs collect-workloads once for each batch size: a server with that many requests at once, whose dumps become at
most --max-workloads workloads of each definition and are then removed. So no disk is filled, every batch size has its
share, and a run that was cut short goes on with the batch size at which it stopped.

What the server needs for the model comes from a table (scripts/hone/workloads/server_settings.lua), by GPU and
model; --settings names a JSON file of the same form, whose lines win.]],
  params = {
    { name = "model_name", type = "string", required = true, help = "the model's name, as in the tags" },
    { name = "model_path", type = "string", help = "its weights: a folder or ORG/NAME (default: the name)" },
    { name = "definition_names", type = "list", help = "definitions to collect for" },
    { name = "op_type", type = "string", help = "all definitions of an op type" },
    { name = "all", type = "boolean", help = "all definitions, as collect-workloads takes them" },
    {
      name = "batch_sizes",
      type = "list",
      of = "integer",
      min = 1,
      default = { 1, 8, 32, 64, 128 },
      help = "requests at once",
    },
    { name = "rounds", type = "integer", min = 1, default = 4, help = "how often each batch size is asked" },
    { name = "dataset", type = "string", default = "random", help = "prompts: a ShareGPT file, or 'random'" },
    { name = "input_len", type = "integer", min = 1, default = 512, help = "words of a random prompt" },
    { name = "output_len", type = "integer", min = 1, help = "tokens of an answer" },
    { name = "gpu", type = "string", help = "kind of GPU, such as h200 (default: the one at hand)" },
    { name = "settings", type = "path", help = "server flags by GPU and model, as JSON" },
    {
      name = "server_command",
      type = "string",
      help = "start this instead of SGLang; {port} and {model} are put in",
    },
    { name = "server_args", type = "string", help = "more arguments for SGLang's server" },
    { name = "port", type = "integer", min = 1, default = 30000, help = "port of the server" },
    { name = "timeout", type = "number", default = 1800, help = "seconds until the server must be healthy" },
    { name = "max_workloads", type = "integer", min = 1, default = 4, help = "new workloads a batch size" },
    { name = "eval_baseline", type = "boolean", default = true, help = "run the baselines on what was kept" },
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    { name = "restart", type = "boolean", help = "collect for batch sizes that are done already, too" },
    { name = "dry_run", type = "boolean", help = "say what would be started, write nothing" },
  },
  outputs = {
    { name = "flags", help = "the model's server flags" },
    { name = "batch_sizes", help = "for each: workloads kept, how the baselines did, or what went wrong" },
  },
  examples = { "hone collect-workloads-bench --model-name llama-3.1-8b --all --batch-sizes 1,16,64" },
}

-- ---- settings ------------------------------------------------------------------------------------------

local function longest(models, name)
  local best
  for prefix in pairs(models or {}) do
    if name:sub(1, #prefix) == prefix and (not best or #prefix > #best) then best = prefix end
  end
  return best and models[best]
end

local function gpu_at_hand()
  local cuda = require "hone.cuda"
  if not cuda.available() then return nil end
  return cuda.devices()[1].name:lower():match "[abh]%d%d%d"
end

local function flags_of(args)
  local json = require "hone.json"
  local given = {}
  if args.settings then
    local why
    given, why = json.read(args.settings)
    if not given then return nil, why end
    if not json.is_object(given) then return nil, ("%s is not an object of GPUs"):format(args.settings) end
  end
  local own = require "hone.workloads.server_settings"
  local gpu = args.gpu and args.gpu:lower() or gpu_at_hand()
  for _, models in ipairs { given[gpu or ""] or false, given.any or false, own[gpu or ""] or false, own.any } do
    local found = models and longest(models, args.model_name)
    if found then return found end
  end
  return {}
end

-- ---- what is done --------------------------------------------------------------------------------------

local function manifest_path(root, args)
  return require("hone.fs").join(root, "reports", ("collect-workloads-bench-%s.json"):format(args.model_name))
end

local function read_manifest(path)
  local fs, json = require "hone.fs", require "hone.json"
  local manifest = fs.is_file(path) and json.read(path)
  return json.is_object(manifest) and manifest or json.object()
end

local function words(...)
  local list = {}
  for _, part in ipairs { ... } do
    list[#list + 1] = part ~= "" and part or nil
  end
  return table.concat(list, " ")
end

local function collect(size, flags, args, ctx)
  return ctx.skill("collect-workloads", {
    model_name = args.model_name,
    model_path = args.model_path,
    definition_names = args.definition_names,
    op_type = args.op_type,
    all = args.all,
    dataset = args.dataset,
    input_len = args.input_len,
    output_len = args.output_len,
    num_samples = size * args.rounds,
    concurrency = { size },
    server_command = args.server_command,
    server_args = words(table.concat(flags, " "), args.server_args or ""),
    port = args.port,
    timeout = args.timeout,
    max_workloads = args.max_workloads,
    ["local"] = args["local"],
    eval_baseline = args.eval_baseline,
    submit_pr = false,
    dry_run = args.dry_run,
  })
end

local function count_kept(result)
  local kept = 0
  for _, one in ipairs(result.definitions) do
    kept = kept + #one.kept
  end
  return kept
end

local function question_of(args)
  local definitions = args.definition_names and table.concat(args.definition_names, ",")
  return words(
    definitions or "",
    args.op_type or "",
    args.all and "all" or "",
    args.dataset,
    tostring(args.input_len)
  )
end

function skill.run(args, ctx)
  local fs, json = require "hone.fs", require "hone.json"
  local flags, why = flags_of(args)
  if not flags then return nil, why end
  local path = manifest_path(require("hone.dataset.traceset").locate(args["local"]), args)
  local manifest, question = read_manifest(path), question_of(args)
  local outcome = json.object { { "flags", json.array(flags) }, { "batch_sizes", json.array {} } }
  for _, size in ipairs(args.batch_sizes) do
    local key = ("%s: %d"):format(question, size)
    local entry = json.object { { "batch_size", size } }
    table.insert(outcome.batch_sizes, entry)
    if manifest[key] and not args.restart then
      entry.kept, entry.done_before = manifest[key], true
      ctx.say("batch size %d: done before, %d workloads", size, manifest[key])
    else
      ctx.say("batch size %d", size)
      local result, problem, code = collect(size, flags, args, ctx)
      if not result then return nil, ("batch size %d: %s"):format(size, problem), code, outcome end
      entry.kept = count_kept(result)
      entry.baseline = result.baseline
      if not args.dry_run then
        manifest[key] = entry.kept
        local ok
        ok, why = fs.mkdir(fs.dirname(path))
        if ok then
          ok, why = json.write(path, manifest, { indent = 2 })
        end
        if not ok then return nil, why, nil, outcome end
      end
    end
  end
  return outcome
end

return skill
