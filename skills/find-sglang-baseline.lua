--- Find a model's implementation in SGLang, and write down its classes, its layers and the kernels that it calls.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "find a model's implementation in SGLang: its classes, its layers and the kernels that it calls",
  description = [[
The model may be named by its file in SGLang's srt/models, by a class, or by a part of either. Its classes, what
they inherit from across files, the layers that they build and the lines of their key functions are written to
sglang_implementation.json.

The calls of each forward pass, prefill and decode, are written in their order to kernel_calls.json, each with the
layer, the FlashInfer API where there is one, and the source lines. With the model's config (--config or
--hf-repo-id) they are those that the model makes, with the names of their definitions, and the module tree
is written too. Without one, branches that depend on the config are followed both ways, and no sizes are known.]],
  params = {
    {
      name = "model_name",
      type = "string",
      required = true,
      help = "file (deepseek_v2), class (DeepseekV3ForCausalLM) or keyword (kimi); need not be exact",
    },
    {
      name = "sglang_path",
      type = "path",
      help = "SGLang's sources (default: the clone that repos_config.json names)",
    },
    { name = "output", type = "path", default = ".", help = "folder to write to" },
    { name = "config", type = "path", help = "the model's config.json" },
    { name = "hf_repo_id", type = "string", help = "ORG/NAME on HuggingFace, whose config.json is used" },
    { name = "revision", type = "string", default = "main", help = "revision of the HuggingFace repository" },
    { name = "set", type = "list", help = "NAME=VALUE: fields that the config lacks" },
    {
      name = "tp",
      type = "list",
      of = "integer",
      min = 1,
      help = "tensor parallel sizes (default: how the model is served)",
    },
    {
      name = "ep",
      type = "list",
      of = "integer",
      min = 1,
      help = "expert parallel sizes (default: how the model is served)",
    },
    {
      name = "page_size",
      type = "list",
      of = "integer",
      min = 1,
      default = { 1, 64 },
      help = "KV cache page sizes",
    },
  },
  outputs = {
    {
      name = "sglang_implementation.json",
      help = "files, classes with their bases and layers, EntryClass, key functions, modules",
    },
    { name = "kernel_calls.json", help = "calls of each forward pass in their order" },
  },
  examples = {
    "hone find-sglang-baseline --model-name kimi",
    "hone find-sglang-baseline --model-name deepseek_v3 --config model_config.json --tp 8",
  },
}

local MODES = { "prefill", "decode" }

-- ---- what is read ------------------------------------------------------------------------------------

-- The model's config; false when there is none | nil, message, code.
local function read_config(args, ctx)
  local configs = require "hone.model.config"
  local config, message, code = false, nil, nil
  if args.config then
    config, message = configs.from_file(args.config, args.hf_repo_id)
  elseif args.hf_repo_id then
    config, message, code =
      configs.from_hub(args.hf_repo_id, { revision = args.revision, on_warning = ctx.warn })
  end
  if config and args.set then
    local ok
    ok, message, code = configs.set(config, args.set)
    if not ok then config = nil end
  end
  return config, message, code
end

-- The file and class that a config's architectures ask for, else those that answer to the name.
local function find_model(args, package, config, ctx)
  local sources = require "hone.sglang.sources"
  if config then
    local aliases = { config.model_type, config.repo_id and config.repo_id:match("[^/]*$") }
    local found, message = sources.find(package, args.model_name, config.architectures, aliases)
    if found then return found, { how = "the config's architectures", also = {} } end
    local is_file = fs.is_file(fs.join(package, "srt/models", args.model_name:gsub("[-.]", "_") .. ".py"))
    if is_file then return nil, message, "mismatch" end -- the config is another model's
    for _, architecture in ipairs(config.architectures) do
      local name = sources.implementing(package, architecture)[1]
      if name then
        ctx.warn(
          "no model file is called '%s'; the config's %s is in %s.py",
          args.model_name,
          architecture,
          name
        )
        return sources.find(package, name, { architecture }, {}),
          { how = "the config's architectures", also = {} }
      end
    end
    if #config.architectures > 0 then return nil, message end
  end
  local match, message = require("hone.sglang.search").find(package, args.model_name)
  if not match then return nil, message end
  return sources.find(package, match.name, { match.class }, {}), match
end

-- ---- what is run -------------------------------------------------------------------------------------

-- A config that stands in for one that is not known: what it does not say is unknown, and both ways are followed.
local function stand_in(class)
  local data = json.object {
    { "architectures", json.array { class } },
    { "hidden_size", 4096 },
    { "num_hidden_layers", 4 },
    { "num_attention_heads", 32 },
    { "num_key_value_heads", 8 },
    { "intermediate_size", 14336 },
    { "vocab_size", 128256 },
    { "max_position_embeddings", 131072 },
    { "rms_norm_eps", 1e-05 },
    { "hidden_act", "silu" },
    { "rope_theta", 500000.0 },
    { "tie_word_embeddings", false },
  }
  return { path = "(no config)", data = data, architectures = { class }, open = true }
end

local function settings_of(args, config, ctx)
  if not config then return { { tp = 1, ep = 1 } }, "no config" end
  local asked = { tp = args.tp, ep = args.ep }
  return require("hone.sglang.serving").settings(config, asked, { on_warning = ctx.warn })
end

-- What the model runs, and the settings it was followed with | nil, message.
local function execute(args, package, model, config, ctx)
  local settings, origin = settings_of(args, config, ctx)
  if not settings then return nil, ("cannot follow %s: %s"):format(model.class, origin), "settings" end
  local extraction = require "hone.sglang.extraction"
  local execution, message = require("hone.sglang.execution").of(
    { package = package, model = model, config = config or stand_in(model.class) },
    settings,
    {
      page_sizes = args.page_size,
      gemm_dtype = "float16",
      quantization = config and extraction.quantization(config) or nil,
      modes = MODES,
    }
  )
  if not execution then return nil, message end
  execution.settings, execution.settings_source = settings, origin
  return execution
end

-- ---- as data -----------------------------------------------------------------------------------------

-- An object of the fields that are there.
local function object(fields)
  local result = json.object()
  for _, field in ipairs(fields) do
    if field[2] ~= nil then result[field[1]] = field[2] end
  end
  return result
end

local function layers_json(class)
  local list = json.array {}
  for i, layer in ipairs(class.layers) do
    list[i] = object {
      { "attribute", layer.attribute },
      { "class", layer.class },
      { "defined", layer.defined or layer.module },
      { "arguments", json.array(layer.arguments) },
      { "line", layer.line },
    }
  end
  return list
end

local function snippets_json(class)
  local list = json.array {}
  for i, snippet in ipairs(class.snippets) do
    list[i] = object {
      { "function", snippet.name },
      { "from", snippet.from },
      { "to", snippet.to },
      { "shortened", snippet.shortened or nil },
      { "text", snippet.text },
    }
  end
  return list
end

local function bases_json(class)
  local list = json.array {}
  for i, base in ipairs(class.bases) do
    list[i] = base.module .. "." .. base.name
  end
  return list
end

local function classes_json(implementation)
  local list = json.array {}
  for i, class in ipairs(implementation.classes) do
    list[i] = object {
      { "name", class.name },
      { "file", class.file },
      { "from", class.from },
      { "to", class.to },
      { "bases", bases_json(class) },
      { "inherits", json.array(class.lineage) },
      { "layers", layers_json(class) },
      { "functions", snippets_json(class) },
    }
  end
  return list
end

local function files_json(implementation)
  local list = json.array {}
  for i, file in ipairs(implementation.files) do
    list[i] = json.object { { "path", file.path }, { "module", file.module }, { "lines", file.lines } }
  end
  return list
end

-- The modules that run, as the web application names them, each with where it is in the model and in the source.
local function modules_json(execution)
  local modules = require "hone.model.modules"
  return modules.json(modules.named(execution.nodes), function(module)
    local node = module.node
    local more = { { "path", node.path }, { "class", node.class } }
    if node.source then more[#more + 1] = { "source", node.source } end
    if next(node.arguments) then more[#more + 1] = { "arguments", node.arguments } end
    return more
  end)
end

local function implementation_json(args, package, model, match, implementation, execution, config)
  local result = object {
    { "model", model.class },
    { "file", fs.relative(model.file, package) },
    { "module", model.module },
    { "entry_classes", json.array(require("hone.sglang.sources").entry_classes(package, model.name)) },
    { "package", package },
    { "asked_for", args.model_name },
    { "found_by", match.how },
    { "also_answering", json.array(match.also) },
    { "config", config and config.path or nil },
    { "files", files_json(implementation) },
    { "classes", classes_json(implementation) },
  }
  if config and execution then
    result.settings = require("hone.sglang.report").settings(execution.settings)
    result.settings_source = execution.settings_source
    result.modules = modules_json(execution)
    result.review = require("hone.sglang.report").remarks(execution.review)
    result.warnings = json.array(execution.warnings)
  end
  return result
end

-- A call without the sizes that a stand-in has made up.
local function call_json(order, call, is_known)
  return object {
    { "order", order },
    { "module", call.path },
    { "class", call.class },
    { "count", is_known and call.count or nil },
    { "op_types", json.array(call.op_types) },
    { "definitions", is_known and json.array(call.definitions) or nil },
    { "flashinfer", json.array(call.fi_api) },
    { "called", call.call },
    { "caller", call.caller },
    { "built", call.built },
  }
end

-- With a stand-in, layers that stand for others in a list repeat each other's calls.
local function once(calls)
  local list, seen = {}, {}
  for _, call in ipairs(calls) do
    local key = call.path .. "\0" .. call.class .. "\0" .. call.call
    if not seen[key] then list[#list + 1] = call end
    seen[key] = true
  end
  return list
end

local function calls_json(model, execution, problem, config)
  local is_known = config and true or false
  local modes = json.object()
  for _, mode in ipairs(MODES) do
    local list = json.array {}
    local calls = execution and execution.calls[mode] or {}
    for i, call in ipairs(is_known and calls or once(calls)) do
      list[i] = call_json(i, call, is_known)
    end
    modes[mode] = list
  end
  return object {
    { "model", model.class },
    { "config", config and config.path or nil },
    { "sizes_known", is_known },
    {
      "settings",
      is_known and execution and require("hone.sglang.report").settings { execution.settings[1] } or nil,
    },
    { "problem", problem },
    { "modes", modes },
  }
end

-- ---- the skill ---------------------------------------------------------------------------------------

-- Whether any call is one of a layer in a stack.
local function reaches_layers(calls)
  for _, call in ipairs(calls.modes.prefill) do
    if call.module:find("*", 1, true) then return true end
  end
  return #calls.modes.prefill == 0
end

local function show(model, package, match, implementation, calls, ctx)
  ctx.say("%s in %s, found by %s", model.class, fs.relative(model.file, package), match.how)
  if #match.also > 0 then ctx.say("also answering to the name: %s", table.concat(match.also, ", ")) end
  local rows = {}
  for i, class in ipairs(implementation.classes) do
    local from = #class.lineage > 0 and "from " .. class.lineage[1]:match("[^.]*$") or ""
    rows[i] =
      { class.name, ("%s:%d"):format(class.file, class.from), from, ("%d layers"):format(#class.layers) }
  end
  ctx.say("%s", require("hone.table").format(rows))
  for _, mode in ipairs(MODES) do
    ctx.say("%s: %d calls", mode, #calls.modes[mode])
  end
  if not calls.sizes_known and not reaches_layers(calls) then
    ctx.warn("how many layers there are follows from the config, and so do their calls: --config gives it")
  end
end

local function write(args, files)
  local made, message = fs.mkdir(args.output)
  if not made then return nil, message end
  for _, file in ipairs(files) do
    file[2] = json.encode(file[2], { indent = 2 }) .. "\n"
  end
  for _, file in ipairs(files) do
    local written, why = fs.write(file[1], file[2])
    if not written then return nil, why end
  end
  return true
end

function skill.run(args, ctx)
  local package, message, code = require("hone.sglang.sources").locate(args.sglang_path)
  if not package then return nil, message, code end
  local config
  config, message, code = read_config(args, ctx)
  if config == nil then return nil, message, code end
  local model, match
  model, match, code = find_model(args, package, config, ctx)
  if not model then return nil, match, code end
  local implementation
  implementation, message = require("hone.sglang.implementation").of(package, model)
  if not implementation then return nil, message end
  local execution, problem
  execution, problem, code = execute(args, package, model, config, ctx)
  if code == "settings" then return nil, problem, code end
  if problem then ctx.warn("no kernel calls: %s", problem) end

  local implemented = implementation_json(args, package, model, match, implementation, execution, config)
  local calls = calls_json(model, execution, problem, config)
  local paths =
    { fs.join(args.output, "sglang_implementation.json"), fs.join(args.output, "kernel_calls.json") }
  local ok, why = write(args, { { paths[1], implemented }, { paths[2], calls } })
  if not ok then return nil, why end
  show(model, package, match, implementation, calls, ctx)
  for _, warning in ipairs(execution and execution.warnings or {}) do
    ctx.warn("%s", warning)
  end
  ctx.say("written: %s", table.concat(paths, ", "))
  return json.object {
    { "model", model.class },
    { "sglang_implementation", paths[1] },
    { "kernel_calls", paths[2] },
    { "problem", problem or json.null },
    { "calls", json.object { { "prefill", #calls.modes.prefill }, { "decode", #calls.modes.decode } } },
  }
end

return skill
