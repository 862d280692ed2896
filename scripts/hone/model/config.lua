--- A model's HuggingFace config: read from a file or a repository, with the model's names.
local fs = require "hone.fs"
local json = require "hone.json"

local M = {}

-- Real configs hold a bare Infinity now and then (Nemotron-H's time_step_limit).
local JSON_OPTIONS = { nan = true }

local function check(data, path)
  if not json.is_object(data) then
    return nil, ("cannot use %s as a model config: it is not a JSON object"):format(path)
  end
  local architectures = data.architectures
  if architectures ~= nil and architectures ~= json.null and not json.is_array(architectures) then
    return nil, ("cannot use %s as a model config: architectures is not a list"):format(path)
  end
  return data
end

-- "meta-llama/Llama-3.1-8B-Instruct" of ".../meta-llama/Llama-3.1-8B-Instruct/config.json".
local function repo_of_path(path)
  local folder = fs.dirname(fs.absolute(path))
  local name, organisation = fs.basename(folder), fs.basename(fs.dirname(folder))
  if name == "" or name == "/" then return nil end
  return organisation ~= "" and organisation ~= "/" and (organisation .. "/" .. name) or name
end

---@class hone.ModelConfig
---@field path string # where the config was read from
---@field data table # the config, in the file's order
---@field repo_id string? # ORG/NAME as given, or as the file's folders suggest
---@field architectures string[] # class names, possibly none
---@field model_type string?
---@field open boolean? # what it lacks is unknown, instead of an error

---Read a model's config from a file.
---@param path string
---@param repo_id string? # of the model, when known
---@return hone.ModelConfig? config
---@return string? message
function M.from_file(path, repo_id)
  local data, message = json.read(path, JSON_OPTIONS)
  if data == nil then return nil, message end
  data, message = check(data, path)
  if not data then return nil, message end
  local architectures = {}
  if json.is_array(data.architectures) then
    for _, name in ipairs(data.architectures) do
      if type(name) == "string" then architectures[#architectures + 1] = name end
    end
  end
  return {
    path = path,
    data = data,
    repo_id = repo_id or repo_of_path(path),
    architectures = architectures,
    model_type = type(data.model_type) == "string" and data.model_type or nil,
  }
end

---Read a model's config from its HuggingFace repository (or the local HuggingFace cache).
---@param repo_id string # ORG/NAME
---@param options hone.model.hub.Options?
---@return hone.ModelConfig? config
---@return string? message
---@return string? code # of hone.model.hub
function M.from_hub(repo_id, options)
  local checked = { json = true }
  for name, value in pairs(options or {}) do
    checked[name] = value
  end
  local path, message, code = require("hone.model.hub").file(repo_id, "config.json", checked)
  if not path then return nil, message, code end
  return M.from_file(path, repo_id)
end

---Whether a text is the name of a repository on HuggingFace with its organisation: ORG/NAME.
---@param text string
---@return boolean
function M.is_repo_id(text)
  local organisation, name = text:match("^([%w][%w._-]*)/([%w][%w._-]*)$")
  return organisation ~= nil and not (organisation .. name):find("..", 1, true)
end

---Whether a text can be a model's id: lower case letters and digits, with dots and hyphens between them.
---@param text string
---@return boolean
function M.is_model_name(text)
  return text:find("^%l[%l%d.-]*$") ~= nil and not text:find("[.-]$") and not text:find("[.-][.-]")
end

---Give a config fields that it lacks, or other values.
---@param config hone.ModelConfig # changed in place
---@param assignments string[] # "NAME=VALUE"; the value as JSON, else as text
---@return hone.ModelConfig? config
---@return string? message
function M.set(config, assignments)
  local language = require("hone.model.architecture").language(config.data)
  for _, assignment in ipairs(assignments) do
    local name, word = assignment:match("^([%a_][%w_]*)=(.+)$")
    if not name then return nil, ("'%s' is not of the form NAME=VALUE"):format(assignment), "usage" end
    local value = json.decode(word, JSON_OPTIONS)
    if value == nil then value = word end
    if name == "architectures" then
      local list = json.is_array(value) and value or json.array { tostring(value) }
      config.data.architectures, config.architectures = list, list
    elseif name == "model_type" then
      config.data.model_type, config.model_type = word, word
    else
      language[name] = value
    end
  end
  return config
end

return M
