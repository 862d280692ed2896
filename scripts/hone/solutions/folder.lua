--- A solution as a folder that one can work in: solution.json, which is the solution without its sources, and those.
local fs, json = require "hone.fs", require "hone.json"
local solution = require "hone.dataset.solution"

local folder = {}

local ABOUT = "solution.json"

---Write a solution as a folder, which must not exist: true, or nil, a message and a code.
function folder.write(path, made)
  if fs.exists(path) then return nil, ("cannot write %s: it exists already"):format(path), "EEXIST" end
  local about = json.object()
  for key, value in pairs(made) do
    if key ~= "sources" then about[key] = value end
  end
  for _, source in ipairs(made.sources) do
    local ok, why, code = fs.write(fs.join(path, source.path), source.content)
    if not ok then return nil, why, code end
  end
  return fs.write(fs.join(path, ABOUT), json.encode(about, { indent = 2 }) .. "\n")
end

-- What tools leave in a folder is no source.
local function is_source(name)
  for part in name:gmatch "[^/]+" do
    if part:sub(1, 1) == "." or part == "__pycache__" then return false end
  end
  return name ~= ABOUT and not name:find "%.pyc$"
end

---Read a folder back: the checked solution, or nil, a message and a code.
function folder.read(path)
  local about, why, code = json.read(fs.join(path, ABOUT))
  if about == nil then return nil, why, code end
  if type(about) ~= "table" or json.is_array(about) then
    return nil, ("cannot read %s: not an object"):format(fs.join(path, ABOUT))
  end
  local names = {}
  for found in assert(fs.walk(path, { files_only = true })) do
    local name = fs.relative(found, path)
    if is_source(name) then names[#names + 1] = name end
  end
  table.sort(names)
  about.sources = json.array {}
  for i, name in ipairs(names) do
    local content
    content, why, code = fs.read(fs.join(path, name))
    if not content then return nil, why, code end
    about.sources[i] = json.object { { "path", name }, { "content", content } }
  end
  local checked
  checked, why = solution.check(about)
  if not checked then return nil, ("%s: %s"):format(path, why) end
  return checked
end

return folder
