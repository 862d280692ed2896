--- repos_config.json: which source repositories are here, for the skills that read them.
local fs = require "hone.fs"
local json = require "hone.json"

local repos = {}

repos.FILE = "repos_config.json"

local FIELDS = {
  "name",
  "url",
  "path",
  "branch",
  "commit",
  "date",
  "source",
  "version",
  "archive",
  "sha256",
  "status",
}

function repos.without_secrets(url)
  local scheme, authority, rest = url:match("^(%a[%w+.-]*://)([^/]*)(.*)$")
  local userinfo, host = (authority or ""):match("^(.*)@([^@]*)$")
  if not userinfo then return url end
  if scheme:lower():find("^https?://") then return scheme .. host .. rest end
  return scheme .. userinfo:match("^[^:]*") .. "@" .. host .. rest
end

function repos.redact(text) return (text:gsub("%a[%w+.-]*://[^%s'\"]+", repos.without_secrets)) end

function repos.is_free(path)
  local children = fs.is_dir(path) and fs.list(path)
  return not fs.exists(path) or (children and #children == 0) or false
end

function repos.partial(path)
  local name = (".%s.partial-%08x"):format(fs.basename(path), math.random(0, 0xffffffff))
  local partial = fs.join(fs.dirname(path), name)
  return setmetatable({ path = partial }, { __close = function() fs.remove(partial) end })
end

-- Paths are written absolute, for other readers; when the whole folder was moved they mean where it is now.
local function rebased(config, path, folder)
  local old = config.target_dir
  if type(old) == "string" and path:sub(1, #old + 1) == old .. "/" then
    return fs.join(folder, path:sub(#old + 2))
  end
  return fs.absolute(fs.join(folder, path))
end

function repos.read(path)
  local config, why = json.read(path)
  if not config then return nil, why end
  if type(config) ~= "table" or type(config.repositories) ~= "table" then
    return nil, ("cannot use %s: it has no repositories"):format(path)
  end
  local folder, found = fs.absolute(fs.dirname(path)), {}
  for name, entry in pairs(config.repositories) do
    if type(entry) ~= "table" or type(entry.path) ~= "string" then
      return nil, ("cannot use %s: repository %s has no path"):format(path, name)
    end
    entry.path = rebased(config, entry.path, folder)
    found[name] = entry
  end
  return { path = path, target_dir = folder, repositories = found }
end

local function nearest_file(start)
  local folder = fs.absolute(start)
  while true do
    for _, place in ipairs { repos.FILE, fs.join("repos", repos.FILE) } do
      local path = fs.join(folder, place)
      if fs.is_file(path) then return path end
    end
    local parent = fs.dirname(folder)
    if parent == folder then return nil end
    folder = parent
  end
end

function repos.find(start)
  local path = nearest_file(start or ".")
  if not path then
    return nil, ("no %s here, in ./repos or above; run `hone clone-repos`"):format(repos.FILE), "absent"
  end
  return repos.read(path)
end

function repos.path(name, start)
  local config, why, code = repos.find(start)
  if not config then return nil, why, code end
  local entry = config.repositories[name]
  if entry and fs.is_dir(entry.path) then return entry.path end
  local what = entry and ("expects %s in %s, which is not there"):format(name, entry.path)
    or ("has no repository %s"):format(name)
  return nil, ("%s %s; run `hone clone-repos --repos %s`"):format(config.path, what, name), "absent"
end

function repos.ordered(entry)
  local ordered = json.object()
  for _, field in ipairs(FIELDS) do
    if entry[field] ~= nil then ordered[field] = entry[field] end
  end
  return ordered
end

function repos.record(folder, entries)
  local path, kept = fs.join(folder, repos.FILE), {}
  if fs.exists(path) then
    local config, why = repos.read(path)
    if not config then return nil, why end
    kept = config.repositories
  end
  for _, entry in ipairs(entries) do
    kept[entry.name] = entry
  end
  local names = {}
  for name in pairs(kept) do
    names[#names + 1] = name
  end
  table.sort(names)
  local repositories = json.object()
  for _, name in ipairs(names) do
    local entry = repos.ordered(kept[name])
    entry.status = nil
    repositories[name] = entry
  end
  local ok, why = json.write(
    path,
    json.object { { "target_dir", fs.absolute(folder) }, { "repositories", repositories } },
    { indent = 2, newline = true }
  )
  if not ok then return nil, why end
  return path
end

return repos
