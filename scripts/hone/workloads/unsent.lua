--- What was collected and is in no pull request yet: the next one has it, whatever kept it from the last.
local fs, json = require "hone.fs", require "hone.json"

local unsent = {}

local function path_of(root) return fs.join(root, "reports", "unsent-workloads.json") end

---@param root string # the dataset
---@return string[] paths # of files that are there, relative to it
function unsent.read(root)
  local path = path_of(root)
  local listed = fs.is_file(path) and json.read(path)
  local paths = {}
  for _, name in ipairs(type(listed) == "table" and listed or {}) do
    -- a dataset may be somebody else's: what it names elsewhere is not to be sent
    if fs.is_inside(name) and fs.is_file(fs.join(root, name)) then paths[#paths + 1] = name end
  end
  return paths
end

---Those and further ones, each once.
---@param root string
---@param paths string[]
---@return string[]
function unsent.with(root, paths)
  local all, seen = {}, {}
  for _, list in ipairs { unsent.read(root), paths } do
    for _, name in ipairs(list) do
      if not seen[name] then all[#all + 1] = name end
      seen[name] = true
    end
  end
  return all
end

---Remember what is not sent; nothing when all is.
---@param root string
---@param paths string[]
---@return true? ok
---@return string? why
function unsent.write(root, paths)
  if #paths > 0 then return json.write(path_of(root), json.array(paths), { indent = 2 }) end
  if fs.exists(path_of(root)) then return fs.remove(path_of(root)) end
  return true
end

return unsent
