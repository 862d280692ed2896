--- The definitions of a model: its source and config read, walked for each serving setting, every kernel built.
local json = require "hone.json"

local M = {}

-- ---- what is read ------------------------------------------------------------------------------------

---@class hone.sglang.Sources
---@field package string # SGLang's package folder
---@field model { name: string, file: string, module: string, class: string }
---@field config hone.ModelConfig
---@field tag string # the model's name in tags
---@field display string # and in sentences
---@field warnings string[] # what is odd about source and config together

local function stem(name) return (name:lower():gsub("for%a+$", ""):gsub("[^%w]", "")) end

local function akin(a, b) return a:sub(1, #b) == b or b:sub(1, #a) == a end

-- A config whose model_type is another model's: a word of warning, since the architectures decide.
local function odd_model_type(package, model, config)
  local model_type = config.model_type
  if not model_type then return nil end
  if akin(stem(model_type), stem(model.class)) or akin(stem(model_type), stem(model.name)) then return nil end
  if #config.architectures == 0 then
    local message =
      "%s names no architectures, and its model_type '%s' is not that of %s: they may not belong together"
    return message:format(config.path, model_type, model.class)
  end
  -- Many models run on another's class (Yi on Llama's, Kimi K2 on DeepSeek V3's). One with a file of its own is odd.
  local fs = require "hone.fs"
  if not fs.exists(fs.join(package, "srt/models", model_type .. ".py")) then return nil end
  local message =
    "%s has model_type '%s' and architectures %s, which are of different models: the architectures decide"
  return message:format(config.path, model_type, table.concat(config.architectures, ", "))
end

---Find a model's source for its config.
---@param options { package: string, model_name: string, config: hone.ModelConfig, model_tag: string? }
---@return hone.sglang.Sources? sources
---@return string? message
function M.sources(options)
  local tags = require "hone.dataset.tags"
  local config = options.config
  local sizes, absurd = require("hone.sglang.serving").sizes(config)
  if not sizes then return nil, absurd end
  local aliases = { config.model_type }
  if config.repo_id then aliases[#aliases + 1] = config.repo_id:match("[^/]*$") end
  local find = require("hone.sglang.sources").find
  local model, message = find(options.package, options.model_name, config.architectures, aliases)
  if not model then return nil, message end
  local name = config.repo_id or options.model_name
  return {
    package = options.package,
    model = model,
    config = config,
    tag = options.model_tag or tags.model_name(name),
    display = tags.display_name(name),
    warnings = { odd_model_type(options.package, model, config) },
  }
end

local TORCH_DTYPES = { float16 = true, bfloat16 = true, float32 = true }

---The dtype of GEMMs: "float16", or with "model" the one that the config names.
---@param config hone.ModelConfig
---@param wanted "float16"|"model"
---@return string? dtype
---@return string? message
function M.gemm_dtype(config, wanted)
  if wanted ~= "model" then return wanted end
  local dtype = config.data.torch_dtype or config.data.dtype
  if TORCH_DTYPES[dtype] then return dtype end
  return nil,
    ("%s names no dtype for --gemm-dtype model (torch_dtype is %s)"):format(config.path, tostring(dtype))
end

---The config's quantization method, nil for a model that is not quantized.
---@param config hone.ModelConfig
---@return string?
function M.quantization(config)
  local about = config.data.quantization_config
  if not json.is_object(about) then return nil end
  return type(about.quant_method) == "string" and about.quant_method or "unknown method"
end

-- ---- definitions of one walk ---------------------------------------------------------------------------

local function module_names(kernel)
  local names = {}
  for i, module in ipairs(kernel.modules) do
    names[i] = module.path:gsub("^model%.", ""):gsub("layers%.%*%.", "")
  end
  return names
end

local function build(kernel, sources, setting)
  return require("hone.ops").build(kernel.op_type, kernel.variant, kernel.params, {
    models = { sources.tag },
    display = sources.display,
    tp = setting.tp,
    ep = setting.ep,
    module = module_names(kernel),
    origins = kernel.origins,
  })
end

local PARALLEL = { "tp", "ep" }

-- A kernel that was found with other sizes too carries the tags of all of them.
local function add_parallel_tags(known, definition)
  local tags = require "hone.dataset.tags"
  for _, prefix in ipairs(PARALLEL) do
    for _, value in ipairs(tags.values(definition, prefix)) do
      tags.add(known, ("%s:%s"):format(prefix, value))
    end
  end
end

---@class hone.sglang.Found
---@field definitions table[] # in the order in which the model first runs them
---@field kernels hone.sglang.Kernel[] # one for each definition
---@field settings hone.sglang.Setting[] # that were walked
---@field noted hone.sglang.Remark[] # layers without a definition by choice
---@field review hone.sglang.Remark[] # layers that somebody should look at
---@field unused hone.sglang.Remark[] # layers that are built and never run
---@field warnings string[]
---@field unknown table[] # constructs that the evaluator met and does not know
---@field files { path: string, bytes: integer }[] # sources read in the first walk
---@field explanation hone.sglang.Explanation? # of the definition that was asked for

local REMARKS = { "noted", "review", "unused" }

-- Remarks of later walks that the earlier ones do not have. A layer that runs with some sizes is not unused.
local function add_remarks(found, collected, seen)
  for _, kind in ipairs(REMARKS) do
    for _, remark in ipairs(collected[kind]) do
      local key = kind .. "\0" .. remark.path .. "\0" .. remark.class .. "\0" .. remark.why
      if not seen[key] then
        seen[key] = true
        table.insert(found[kind], remark)
      end
    end
  end
end

-- What one walk found: a definition for each kernel, and what is said beside them.
---@class hone.sglang.WalkOutcome
---@field definitions table[]
---@field kernels hone.sglang.Kernel[]
---@field noted hone.sglang.Remark[]
---@field review hone.sglang.Remark[]
---@field unused hone.sglang.Remark[]
---@field files { path: string, bytes: integer }[]
---@field warnings string[]
---@field unknown table[]

---The definitions of a model for one serving setting.
---@param sources hone.sglang.Sources
---@param setting hone.sglang.Setting
---@param options table # as M.find takes them
---@return hone.sglang.WalkOutcome? outcome
---@return string? message
function M.walk(sources, setting, options)
  local walked, message = require("hone.sglang.walk").walk {
    package = sources.package,
    model = sources.model,
    config = sources.config,
    tp = setting.tp,
    ep = setting.ep,
    modes = options.modes,
  }
  if not walked then return nil, message end
  local collected = require("hone.sglang.kernels").collect(walked, options)
  local definitions = {}
  for i, kernel in ipairs(collected.kernels) do
    local definition, why = build(kernel, sources, setting)
    if not definition then return nil, ("cannot define a %s kernel: %s"):format(kernel.op_type, why) end
    definitions[i] = definition
  end
  collected.definitions = definitions
  collected.files, collected.warnings, collected.unknown = walked.files, walked.warnings, walked.unknown
  return collected
end

local function add_definitions(found, outcome, sources, setting, options)
  for i, kernel in ipairs(outcome.kernels) do
    local definition = outcome.definitions[i]
    local known = found.by_name[definition.name]
    if known then
      add_parallel_tags(known, definition)
    else
      found.by_name[definition.name] = definition
      found.definitions[#found.definitions + 1] = definition
      found.kernels[#found.kernels + 1] = kernel
      if options.explain and options.explain(definition) then
        found.explanation =
          require("hone.sglang.explanation").of(definition, kernel, { sources = sources, setting = setting })
      end
    end
  end
end

local function add_outcome(found, outcome, sources, setting, options)
  add_definitions(found, outcome, sources, setting, options)
  add_remarks(found, outcome, found.seen)
  if not found.files then
    found.files, found.warnings, found.unknown = outcome.files, outcome.warnings, outcome.unknown
  end
  found.settings[#found.settings + 1] = setting
end

-- A setting that the model's source refuses, where others are walked: a word of warning.
local function note_refused(found, refused)
  for _, message in ipairs(refused) do
    found.warnings[#found.warnings + 1] = message .. " (this setting is left out)"
  end
end

---The definitions of a model, for all serving settings together.
---@param sources hone.sglang.Sources
---@param settings hone.sglang.Setting[] # at least one
---@param options { page_sizes: integer[], gemm_dtype: string, quantization: string?, modes: string[], expert_formats: string[]?, usual: boolean?, apart: boolean?, explain: (fun(definition: table): boolean)? } # usual: nobody asked for these settings; those that the source refuses are left out, but for the last. apart: walk several settings at once, in processes of their own
---@return hone.sglang.Found? found
---@return string? message
function M.find(sources, settings, options)
  local paused <close> = require("hone.garbage").pause() -- luacheck: ignore 211
  local found = { definitions = {}, kernels = {}, settings = {}, by_name = {}, seen = {} }
  for _, kind in ipairs(REMARKS) do
    found[kind] = {}
  end
  local refused = {}
  local apart <close> = options.apart and require("hone.sglang.apart").start(sources, settings, options)
    or nil
  for i, setting in ipairs(settings) do
    local outcome, message
    if apart then
      outcome, message = apart:outcome(i)
    else
      outcome, message = M.walk(sources, setting, options)
    end
    if outcome then
      add_outcome(found, outcome, sources, setting, options)
    elseif options.usual then
      refused[#refused + 1] = message
    else
      return nil, message
    end
  end
  if #found.settings == 0 then return nil, refused[1] end
  note_refused(found, refused)
  found.by_name, found.seen = nil, nil
  return found
end

return M
