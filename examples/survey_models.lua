#!/usr/bin/env hone
--- How much of SGLang's models folder can be read: hone examples/survey_models.lua SGLANG CONFIGS
-- Every model file is read and every class that it offers is constructed, with a config of its architecture
-- below the folder CONFIGS where there is one, else with Llama 3.1 8B's, whose missing fields are unknown.
local fs = require "hone.fs"
local config = require "hone.model.config"
local python = require "hone.python"
local sources = require "hone.sglang.sources"
local walk = require "hone.sglang.walk"

local STAND_IN = "examples/configs/meta-llama/Llama-3.1-8B-Instruct/config.json"

local package = assert(sources.package(assert(arg[1], "usage: survey_models.lua SGLANG CONFIGS")))

local function configs_by_architecture(folder)
  local found = {}
  for _, path in ipairs(assert(fs.glob(fs.join(folder, "**/config.json")))) do
    local one = config.from_file(path)
    for _, architecture in ipairs(one and one.architectures or {}) do
      found[architecture] = found[architecture] or one
    end
  end
  return found
end

-- Whether the file's module can be imported, and why not.
local function imports(name)
  local world = python.abstract { packages = { sglang = package } }
  local module, message = world:import("sglang.srt.models." .. name)
  return module ~= nil, message
end

local function constructs(name, class, one)
  local model = { module = "sglang.srt.models." .. name, class = class }
  local walked, message =
    walk.walk { package = package, model = model, config = one, tp = 1, ep = 1, modes = {} }
  return walked ~= nil, message
end

local matching, stand_in = configs_by_architecture(assert(arg[2])), assert(config.from_file(STAND_IN))
stand_in.open = true
local files, imported, classes, whole, own, own_whole = 0, 0, 0, 0, 0, 0
for _, name in ipairs(assert(sources.models(package))) do
  files = files + 1
  local ok, message = imports(name)
  imported = imported + (ok and 1 or 0)
  if not ok then print(("%s: %s"):format(name, message)) end
  for _, class in ipairs(sources.entry_classes(package, name) or {}) do
    local has_own = matching[class] ~= nil
    ok, message = constructs(name, class, matching[class] or stand_in)
    classes, whole = classes + 1, whole + (ok and 1 or 0)
    own, own_whole = own + (has_own and 1 or 0), own_whole + (has_own and ok and 1 or 0)
    if not ok and has_own then print(("%s.%s: %s"):format(name, class, message)) end
  end
end
print(("%d model files, %d imported"):format(files, imported))
print(
  ("%d classes, %d constructed; with a config of their own %d, constructed %d"):format(
    classes,
    whole,
    own,
    own_whole
  )
)
