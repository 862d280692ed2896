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
---@param options { revision: string?, offline: boolean?, on_warning: fun(message: string)? }?
---@return hone.ModelConfig? config
---@return string? message
function M.from_hub(repo_id, options)
  local hub = require "hone.model.hub"
  local path, message = hub.file(repo_id, "config.json", options)
  if not path then return nil, message end
  return M.from_file(path, repo_id)
end

return M
