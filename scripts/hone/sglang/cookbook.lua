--- A checkout of sgl-cookbook: the serving settings that SGLang's own guides give for a model.
--
-- It keeps one folder a version, data/models/generated/v0.5.8, with a YAML file a vendor: families, their
-- models, and for every kind of GPU named configurations with an `engine` (or `prefill` and `decode`) that has
-- tp, ep, dp. Older checkouts have the files without a version's folder, or versions inside a model. What a
-- newer version says of a model replaces what an older one does.
local fs = require "hone.fs"

local M = {}

local FOLDER = "data/models/generated"

-- ---- versions ----------------------------------------------------------------------------------------

-- The numbers of "v0.5.10"; none for a name that is no version.
local function version_numbers(name)
  if not name:find("^v?%d+[%d.]*$") then return nil end
  local numbers = {}
  for digits in name:gmatch("%d+") do
    numbers[#numbers + 1] = tonumber(digits)
  end
  return numbers
end

local function is_newer(a, b)
  for i = 1, math.max(#a, #b) do
    if (a[i] or 0) ~= (b[i] or 0) then return (a[i] or 0) > (b[i] or 0) end
  end
  return false
end

-- The folders that hold models' files: versions, the newest first, then the folder itself.
local function version_folders(root)
  local folder = fs.join(root, FOLDER)
  local versions = {}
  for _, name in ipairs(fs.list(folder) or {}) do
    local numbers = version_numbers(name)
    if numbers and fs.is_dir(fs.join(folder, name)) then
      versions[#versions + 1] = { name = name, numbers = numbers, path = fs.join(folder, name) }
    end
  end
  table.sort(versions, function(a, b) return is_newer(a.numbers, b.numbers) end)
  versions[#versions + 1] = { name = "unversioned", path = folder }
  return versions
end

-- ---- one file ----------------------------------------------------------------------------------------

local function is_map(value) return type(value) == "table" and #value == 0 end

local function each(value, visit)
  if type(value) ~= "table" then return end
  for _, item in ipairs(value) do
    if type(item) == "table" then visit(item) end
  end
end

local function size_of(value)
  local size = math.tointeger(tonumber(value))
  return size and size >= 1 and size or nil
end

-- Every table below `value` that sets a tensor parallel size: engines, wherever a version keeps them.
local function engines(value, found)
  if type(value) ~= "table" then return found end
  if is_map(value) and size_of(value.tp) then
    found[#found + 1] = value
    return found
  end
  -- The order of a map is nobody's: names are sorted, so that the same file gives the same list.
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    engines(value[key], found)
  end
  return found
end

-- Attention that is data parallel does not split its heads by TP: such a configuration says nothing of them.
local function splits_attention(engine)
  return not (engine.enable_dp_attention == true and (size_of(engine.dp) or 1) > 1)
end

-- The pairs of sizes that a model's entry sets, each once.
local function settings_of(model)
  local list, seen = {}, {}
  for _, engine in ipairs(engines(model.hardware, {})) do
    local tp, ep = size_of(engine.tp), size_of(engine.ep) or 1
    local key = tp .. " " .. ep
    if splits_attention(engine) and not seen[key] then
      seen[key] = true
      list[#list + 1] = { tp = tp, ep = ep }
    end
  end
  table.sort(list, function(a, b)
    if a.tp ~= b.tp then return a.tp < b.tp end
    return a.ep < b.ep
  end)
  return list
end

-- All models of a file that speaks of `word` at all | nil, message.
local function models_of(path, word)
  local text, why = fs.read(path)
  if not text then return nil, why end
  if not text:lower():find(word, 1, true) then return {} end -- most files: parsing is what takes time
  local ok, data = pcall(require("lyaml").load, text)
  if not ok then
    if data == "interrupted" then error(data, 0) end
    return nil, ("cannot read %s: %s"):format(path, tostring(data):gsub("^.-:%d+: ", ""):match("^[^\n]*"))
  end
  local models = {}
  each(is_map(data) and data.families, function(family)
    each(family.models, function(model) models[#models + 1] = model end)
  end)
  return models
end

-- ---- looking a model up ------------------------------------------------------------------------------

-- How well an entry names the model: 3 its repository, 2 its name, 1 the model behind both; 0 not at all.
local function likeness(model, repo_id)
  local tags = require "hone.dataset.tags"
  local path = type(model.model_path) == "string" and model.model_path or ""
  local name = type(model.name) == "string" and model.name or path
  if path:lower() == repo_id:lower() then return 3 end
  local wanted = repo_id:match("[^/]*$")
  if name:lower() == wanted:lower() then return 2 end
  return name ~= "" and tags.model_name(name) == tags.model_name(wanted) and 1 or 0
end

-- The entry of a version that names the model best.
local function best_entry(folder, repo_id, warn)
  local best, best_likeness = nil, 0
  local family = require("hone.dataset.tags").model_name(repo_id):match("^[^-]*")
  for _, file in ipairs(fs.list(folder) or {}) do
    if file:find("%.ya?ml$") then
      local models, why = models_of(fs.join(folder, file), family)
      if not models then warn(why) end
      for _, model in ipairs(models or {}) do
        local score = likeness(model, repo_id)
        if score > best_likeness then
          best, best_likeness = model, score
        end
      end
    end
  end
  return best
end

---The serving settings of a model.
---@param root string # the checkout
---@param repo_id string # ORG/NAME of the model, or its name
---@param warn (fun(message: string))? # called for a file that cannot be read
---@return { tp: integer, ep: integer }[]? settings # nil when no version has the model
---@return string? version # "v0.5.10"
function M.settings(root, repo_id, warn)
  for _, version in ipairs(version_folders(root)) do
    local model = best_entry(version.path, repo_id, warn or function() end)
    local settings = model and settings_of(model) or {}
    if #settings > 0 then return settings, version.name end
  end
end

return M
