--- Put a model's module tree into the web application's models.ts.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "put a model's modules and their definitions into the web application's models.ts",
  description = [[
The modules are those that find-sglang-baseline found to run, in their order (--sglang-impl); without it, those that
models of the config's architecture commonly have. A model that is not in the file yet is added behind the others;
one that is there stays as it is unless --force is given; every other byte of the file is kept. A file that is not
there is made. One that does not parse is left as it is: the entry is saved beside it.

The result is checked by the TypeScript compiler against the web application's type of a model, where node and
npm's typescript are present (in node_modules beside or above the file, or in the folder that HONE_TYPESCRIPT
names), else by its syntax tree.]],
  params = {
    {
      name = "config",
      type = "path",
      required = true,
      help = "model_architecture.json of extract-model-from-hf, or the model's config.json",
    },
    { name = "sglang_impl", type = "path", help = "sglang_implementation.json of find-sglang-baseline" },
    {
      name = "model_name",
      type = "string",
      required = true,
      help = "the model's id: lower case, with hyphens",
    },
    { name = "display_name", type = "string", help = "its name (default: made from the id)" },
    { name = "description", type = "string", help = "one sentence about it (default: made from the config)" },
    {
      name = "output",
      type = "path",
      default = "web/apps/web/data/models.ts",
      help = "the file to add the model to",
    },
    {
      name = "tp",
      type = "integer",
      min = 1,
      default = 1,
      help = "tensor parallel size of the definitions when there is no --sglang-impl",
    },
    { name = "force", type = "boolean", default = false, help = "replace a model of the same id" },
    { name = "dry_run", type = "boolean", default = false, help = "print the entry, and write nothing" },
  },
  outputs = {
    { name = "web/apps/web/data/models.ts", help = "the file, with the model" },
    { name = "models.ts.NAME.new", help = "beside a file that cannot be changed: the entry alone" },
  },
  examples = {
    "hone generate-model-definition --config model_architecture.json --sglang-impl sglang_implementation.json "
      .. "--model-name kimi-k2",
  },
}

-- ---- what is read ------------------------------------------------------------------------------------

-- Whole numbers that each part of a model_architecture.json has to have; MLA has other heads.
local PARTS = {
  dimensions = { "num_hidden_layers", "hidden_size", "vocab_size" },
  parameters = { "total", "active_per_token" },
  attention = { "num_attention_heads", "num_key_value_heads", "head_dim" },
  MLA = { "num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim" },
  indexer = { "topk" },
  moe = { "num_experts", "num_experts_per_tok" },
  linear_attention = { "num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim" },
  mamba = { "version", "state_size", "inner_size" },
}

-- What a model_architecture.json lacks, nil when it is whole.
local function lacks(about)
  for part, names in pairs(PARTS) do
    local kind = part == "attention" and json.is_object(about.attention) and about.attention.type or nil
    local wanted = kind == "MLA" and PARTS.MLA or names
    local object = about[part]
    if object == nil and (part == "dimensions" or part == "parameters") then return part end
    for _, name in ipairs(object ~= nil and wanted or {}) do
      local value = json.is_object(object) and object[name]
      if math.type(value) ~= "integer" or value < 0 then return ("%s.%s"):format(part, name) end
    end
  end
  for _, layer in ipairs(about.layers) do
    if not json.is_object(layer) or layer.mixer == nil or layer.feed_forward == nil then return "layers" end
    if layer.feed_forward == "moe" and not about.moe then return "moe" end
  end
  if not json.is_array(about.architectures) then return "architectures" end
end

-- The architecture: as it was written down, or read from the config | nil, message.
local function read_architecture(path)
  local data, message = json.read(path, { nan = true })
  if data == nil then return nil, message end
  if json.is_object(data) and data.architecture_pattern and json.is_array(data.layers) then
    local missing = lacks(data)
    if missing then
      return nil, ("%s is not what extract-model-from-hf writes: it has no %s"):format(path, missing)
    end
    return data
  end
  local config
  config, message = require("hone.model.config").from_file(path)
  if not config then return nil, message end
  return require("hone.model.architecture").of(config)
end

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

local function are_strings(list)
  if not json.is_array(list) then return false end
  for _, item in ipairs(list) do
    if type(item) ~= "string" then return false end
  end
  return true
end

local function is_module(module)
  return json.is_object(module)
    and math.type(module.count) == "integer"
    and (module.type == "block" or module.type == "layer")
    and (module.parent == nil or type(module.parent) == "string")
    and (module.definitions == nil or are_strings(module.definitions))
end

-- The modules that a model's implementation runs; false when the file has none | nil, message.
local function read_modules(path, about)
  local data, message = json.read(path)
  if data == nil then return nil, message end
  if not json.is_object(data) or type(data.model) ~= "string" then
    return nil, ("%s is not what find-sglang-baseline writes: it names no model"):format(path)
  end
  if #about.architectures > 0 and not contains(about.architectures, data.model) then
    local mismatch = "%s is of %s, and the config of %s: they do not belong together"
    return nil, mismatch:format(path, data.model, table.concat(about.architectures, ", "))
  end
  if not json.is_object(data.modules) then return false end
  for name, module in pairs(data.modules) do
    if not is_module(module) then return nil, ("%s: %s is no module"):format(path, name) end
  end
  return data.modules
end

-- The modules, and whether they are those that the model's source runs | nil, message.
local function find_modules(args, about, ctx)
  if args.sglang_impl then
    local modules, message = read_modules(args.sglang_impl, about)
    if modules == nil then return nil, message end
    if modules then return modules, true end
    ctx.warn(
      "%s has no modules (find-sglang-baseline writes them when it is given the config)",
      args.sglang_impl
    )
  end
  local heads = about.attention and about.attention.num_attention_heads
  if heads and heads % args.tp ~= 0 then
    return nil, ("TP %d does not divide the %d attention heads of %s"):format(args.tp, heads, args.config)
  end
  ctx.say("no implementation: the modules are those that models of this architecture commonly have")
  local nodes = require("hone.model.pattern").nodes(about, { tp = args.tp })
  local named = require "hone.model.modules"
  return named.json(named.named(nodes)), false
end

-- ---- the entry ---------------------------------------------------------------------------------------

-- "GQA with 32 query and 8 key-value heads", "MLA with 128 heads".
local function attention_text(attention)
  if attention.type == "MLA" then return ("MLA with %d heads"):format(attention.num_attention_heads) end
  local text = "%s with %d query and %d key-value heads"
  return text:format(attention.type, attention.num_attention_heads, attention.num_key_value_heads)
end

local function description_of(about)
  local parts = { ("%d layers"):format(about.dimensions.num_hidden_layers) }
  if about.attention then parts[#parts + 1] = attention_text(about.attention) end
  if about.moe then
    parts[#parts + 1] = ("MoE with %d experts, top %d"):format(
      about.moe.num_experts,
      about.moe.num_experts_per_tok
    )
  end
  if about.linear_attention then parts[#parts + 1] = "linear attention" end
  if about.mamba then parts[#parts + 1] = "Mamba" end
  local text = require("hone.model.parameters").text
  local total, active = about.parameters.total, about.parameters.active_per_token
  local size = text(total) .. " parameters"
  if active ~= total then size = ("%s, %s active"):format(size, text(active)) end
  return ("%s (%s)."):format(table.concat(parts, ", "), size)
end

-- Definitions as the file spells them.
local function respelled(names, is_older)
  if not is_older then return names end
  local ops, list = require "hone.ops", {}
  for i, name in ipairs(names) do
    local op_type, variant, params = ops.parse(name)
    list[i] = op_type and ops.name(op_type, variant, params, "older") or name
  end
  return list
end

local function make_entry(args, about, modules, is_older)
  local plain = json.object()
  for name, module in pairs(modules) do
    plain[name] = {
      count = module.count,
      parent = module.parent,
      type = module.type,
      definitions = respelled(module.definitions or {}, is_older),
    }
  end
  return {
    id = args.model_name,
    name = args.display_name or require("hone.dataset.tags").display_name(args.model_name),
    description = args.description or description_of(about),
    modules = plain,
  }
end

-- ---- writing -----------------------------------------------------------------------------------------

-- The file's text with the entry, and what was done | nil, message. What cannot be put in is saved beside it.
local function compose(args, entry_of)
  local models_ts = require "hone.model.models_ts"
  if not fs.exists(args.output) then
    local entry = entry_of(false)
    return { source = models_ts.new(entry), action = "created", entry = entry }
  end
  local source, message = fs.read(args.output)
  if not source then return nil, message end
  local entry = entry_of(models_ts.is_older(source))
  local file
  file, message = models_ts.read(source, args.output)
  if not file then
    local beside = ("%s.%s.new"):format(args.output, args.model_name)
    local saved = not args.dry_run and fs.write(beside, "  " .. models_ts.write(entry) .. ",\n")
    return nil,
      saved and ("%s; the file is left as it is, the entry is in %s"):format(message, beside) or message
  end
  local changed, action = models_ts.put(file, entry, args.force)
  return { source = changed, action = action, entry = entry }
end

-- What checked the text: { by, ok, message }.
local function validate(source, path)
  local models_ts = require "hone.model.models_ts"
  local ok, message = models_ts.compile(source, path)
  if ok ~= nil then return { by = "the TypeScript compiler", ok = ok, message = message } end
  local problem = models_ts.syntax_error(source, path)
  return { by = "its syntax tree", ok = problem == nil, message = problem, because = message }
end

local SAID = {
  created = "made %s with %s",
  added = "added to %s: %s",
  updated = "updated in %s: %s",
  unchanged = "unchanged in %s: %s",
  kept = "%s has %s already, and it differs: --force replaces it",
}

local function counts(modules)
  local total, with = 0, 0
  for _, module in pairs(modules) do
    total = total + 1
    if #module.definitions > 0 then with = with + 1 end
  end
  return total, with
end

local function modules_json(modules)
  local result = json.object()
  for name, module in pairs(modules) do
    local entry = json.object { { "count", module.count } }
    entry.parent, entry.type, entry.definitions = module.parent, module.type, json.array(module.definitions)
    result[name] = entry
  end
  return result
end

local function report(args, composed, checked, problems, is_known, ctx)
  local entry = composed.entry
  local say = composed.action == "kept" and ctx.warn or ctx.say
  if args.dry_run then ctx.say("(a dry run: nothing is written)") end
  say(SAID[composed.action], args.output, entry.id)
  local total, with = counts(entry.modules)
  ctx.say("%d modules, %d with definitions; checked by %s", total, with, checked.by)
  if checked.because then ctx.say("(not by the TypeScript compiler: %s)", checked.because) end
  for _, name in ipairs(problems.definitions) do
    ctx.warn("%s is no name that an op type writes", name)
  end
  return json.object {
    { "id", entry.id },
    { "name", entry.name },
    { "description", entry.description },
    { "output", args.output },
    { "action", composed.action },
    { "from_implementation", is_known },
    { "checked_by", checked.by },
    { "modules", modules_json(entry.modules) },
  }
end

-- Nothing, or why an entry cannot be written.
local function refusal(args, problems)
  for _, kind in ipairs { "parents", "cycles", "counts" } do
    local name = problems[kind][1]
    if name then
      local message = "%s: module %s is wrong (%s)"
      return message:format(args.sglang_impl or args.config, name, kind)
    end
  end
end

-- The text, put where it belongs; one that does not compile is saved beside it | nil, message.
local function write(args, composed, checked)
  if not checked.ok then
    local beside = ("%s.%s.new"):format(args.output, args.model_name)
    local saved = not args.dry_run and fs.write(beside, composed.source)
    local where = saved and ("; the file is left as it is, the result is in %s"):format(beside) or ""
    return nil, ("%s refuses the result: %s%s"):format(checked.by, checked.message, where)
  end
  if args.dry_run or composed.action == "unchanged" or composed.action == "kept" then return true end
  local made, message = fs.mkdir(fs.dirname(args.output))
  if not made then return nil, message end
  return fs.write(args.output, composed.source)
end

function skill.run(args, ctx)
  if not require("hone.model.config").is_model_name(args.model_name) then
    local message =
      "--model-name '%s' is not a model's id (lower case letters, digits, dots and hyphens: kimi-k2)"
    return nil, message:format(args.model_name), "usage"
  end
  local about, message = read_architecture(args.config)
  if not about then return nil, message end
  local modules, is_known = find_modules(args, about, ctx)
  if not modules then return nil, is_known end
  local composed
  composed, message = compose(args, function(is_older) return make_entry(args, about, modules, is_older) end)
  if not composed then return nil, message end

  local models_ts = require "hone.model.models_ts"
  local problems = models_ts.problems(composed.entry)
  local refused = refusal(args, problems)
  if refused then return nil, refused end
  local checked = validate(composed.source, args.output)
  local ok
  ok, message = write(args, composed, checked)
  if not ok then return nil, message end
  if args.dry_run then ctx.say("%s", models_ts.write(composed.entry)) end
  return report(args, composed, checked, problems, is_known, ctx)
end

return skill
