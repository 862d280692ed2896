--- Read a model's config from HuggingFace, and write it down together with the architecture that it describes.
local fs = require "hone.fs"
local json = require "hone.json"

local skill = {
  summary = "write a model's HuggingFace config, and the architecture that it describes",
  description = [[
The config.json of a repository is copied byte for byte to model_config.json. What it says of the model is
written to model_architecture.json: the architecture's pattern (Standard, MoE, MLA, DSA, GDN, Mamba, Hybrid, or
several of these), its dimensions, what each layer is made of, and what follows from them: the head dimension,
the bytes that a token takes in the KV cache, the parameters in all, of one token, and module by module.

A request that fails is tried again, each time after a longer pause. Without network the copy in HuggingFace's
cache is used (HF_HOME), and --config reads a file. A gated repository needs HF_TOKEN.]],
  params = {
    { name = "model_id", type = "string", positional = true, help = "ORG/NAME on HuggingFace" },
    { name = "config", type = "path", help = "a config.json to read instead of asking HuggingFace" },
    {
      name = "output",
      type = "path",
      default = ".",
      help = "folder to write to, or the path of the config's copy when it ends in .json",
    },
    {
      name = "revision",
      type = "string",
      default = "main",
      help = "branch, tag or commit of the repository",
    },
    {
      name = "offline",
      type = "boolean",
      default = false,
      help = "ask nobody: use HuggingFace's cache (HF_HUB_OFFLINE=1 does the same)",
    },
    {
      name = "retries",
      type = "integer",
      min = 0,
      max = 10,
      default = 3,
      help = "how often to try again after a failure of the network",
    },
    {
      name = "set",
      type = "list",
      help = "NAME=VALUE: fields that the config lacks, for the architecture only",
    },
  },
  outputs = {
    { name = "model_config.json", help = "the config, byte for byte" },
    {
      name = "model_architecture.json",
      help = "pattern, dimensions, layers, derived quantities and parameter counts",
    },
  },
  examples = {
    "hone extract-model-from-hf --model-id deepseek-ai/DeepSeek-V3 --output analysis",
    "hone extract-model-from-hf --config config.json --model-id org/name",
  },
}

-- ---- reading -----------------------------------------------------------------------------------------

-- The hub did not answer, or not with what was asked for: a copy may be at hand elsewhere.
local function with_advice(message, code)
  local advice = "download config.json elsewhere and give it with --config FILE"
  if code == "HTTP404" then advice = "check the name on the hub, or give a file with --config FILE" end
  if code == "HTTP401" or code == "HTTP403" then advice = "or give a file with --config FILE" end
  return ("%s; %s"):format(message, advice)
end

local function read_config(args, ctx)
  local config = require "hone.model.config"
  if args.model_id and not config.is_repo_id(args.model_id) then
    return nil, ("--model-id '%s' is not ORG/NAME"):format(args.model_id), "usage"
  end
  if args.config then return config.from_file(args.config, args.model_id) end
  if not args.model_id then return nil, "a model is needed: --model-id ORG/NAME or --config FILE", "usage" end
  local read, message, code = config.from_hub(args.model_id, {
    revision = args.revision,
    offline = args.offline or nil,
    retries = args.retries,
    on_warning = ctx.warn,
    on_retry = function(reason, seconds) ctx.say("%s; trying again in %.1f s", reason, seconds) end,
  })
  if read then return read end
  return nil, code and with_advice(message, code) or message, code
end

-- ---- writing -----------------------------------------------------------------------------------------

local function places(output)
  if output:find("%.json$") then return output, fs.join(fs.dirname(output), "model_architecture.json") end
  return fs.join(output, "model_config.json"), fs.join(output, "model_architecture.json")
end

local function write(config, about, output)
  local config_path, architecture_path = places(output)
  local bytes, message = fs.read(config.path)
  if not bytes then return nil, message end
  local made
  made, message = fs.mkdir(fs.dirname(config_path))
  if not made then return nil, message end
  for _, file in ipairs {
    { config_path, bytes },
    { architecture_path, json.encode(about, { indent = 2 }) .. "\n" },
  } do
    local written, why = fs.write(file[1], file[2])
    if not written then return nil, why end
  end
  return config_path, architecture_path
end

-- ---- the report --------------------------------------------------------------------------------------

local function parameters_text(parameters)
  local text = require("hone.model.parameters").text
  local total, active = parameters.total, parameters.active_per_token
  if total == active then return text(total) end
  return ("%s, %s of them for each token"):format(text(total), text(active))
end

local function heads_text(attention)
  local text = ("%s, %d heads"):format(attention.type, attention.num_attention_heads)
  if attention.type ~= "MLA" then text = ("%s over %d"):format(text, attention.num_key_value_heads) end
  return text
end

-- "36 x linear_attention, 12 x full_attention"
local function mixers_text(layers)
  local names, counts = {}, {}
  for _, layer in ipairs(layers) do
    local name = layer.mixer ~= json.null and layer.mixer or layer.feed_forward
    if not counts[name] then names[#names + 1] = name end
    counts[name] = (counts[name] or 0) + 1
  end
  for i, name in ipairs(names) do
    names[i] = ("%d x %s"):format(counts[name], name)
  end
  return table.concat(names, ", ")
end

local function show(about, paths, ctx)
  local rows = {
    { "pattern", about.architecture_pattern },
    { "layers", mixers_text(about.layers) },
    { "hidden size", tostring(about.dimensions.hidden_size) },
  }
  if about.attention then rows[#rows + 1] = { "attention", heads_text(about.attention) } end
  local moe = about.moe
  if moe then
    rows[#rows + 1] =
      { "experts", ("%d, %d for each token"):format(moe.num_experts, moe.num_experts_per_tok) }
  end
  rows[#rows + 1] = { "parameters", parameters_text(about.parameters) }
  local bytes = about.derived.kv_bytes_per_token
  if bytes then rows[#rows + 1] = { "KV cache", ("%d bytes a token"):format(bytes) } end
  ctx.say("%s", require("hone.table").format(rows))
  if about.parameters.not_counted then
    ctx.warn("layers of unknown sizes are not counted: %s", table.concat(about.parameters.not_counted, ", "))
  end
  ctx.say("written: %s", table.concat(paths, ", "))
end

function skill.run(args, ctx)
  local config, message, code = read_config(args, ctx)
  if not config then return nil, message, code end
  if args.set then
    local ok
    ok, message, code = require("hone.model.config").set(config, args.set)
    if not ok then return nil, message, code end
  end
  local about, why, missing = require("hone.model.architecture").of(config)
  if not about then
    if not missing then return nil, why end
    local details = json.object { { "missing", missing }, { "config", config.path } }
    return nil, ("%s (--set %s=VALUE gives it)"):format(why, missing), "missing", details
  end
  if args.set then about.set = json.array(args.set) end
  local config_path, architecture_path = write(config, about, args.output)
  if not config_path then return nil, architecture_path end
  show(about, { config_path, architecture_path }, ctx)
  return json.object {
    { "model_config", config_path },
    { "model_architecture", architecture_path },
    { "source", config.path },
    { "architecture", about },
  }
end

return skill
