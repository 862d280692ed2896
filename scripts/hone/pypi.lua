--- Bringing the sources of published Python packages, through pip: a folder appears whole or not at all.
-- A job is { name, package, version, path, inside, before, await, progress, warn }, as in hone.git; `inside`
-- is where in the folder the archive's content goes, `before` the entry recorded for it the last time.
local fs = require "hone.fs"
local json = require "hone.json"
local repos = require "hone.repos"

local pypi = {}

-- Only the sources are wanted: a wheel built for another Python or machine than this one serves as well.
local ANY_PLATFORM = {
  "--implementation",
  "cp",
  "--python-version",
  "3.12",
  "--platform",
  "any",
  "--platform",
  "manylinux2014_x86_64",
  "--platform",
  "manylinux_2_28_x86_64",
  "--platform",
  "manylinux_2_34_x86_64",
}

local function refused(job, why)
  return nil, ("cannot bring %s (the package %s): %s"):format(job.name, job.package, why)
end

local function explain(stderr)
  if stderr:find("No module named pip", 1, true) then
    return "python3 has no pip (on Debian and Ubuntu: apt install python3-pip)"
  end
  if stderr:find("WARNING: Retrying", 1, true) then return "the package index cannot be reached" end
  local last
  for line in stderr:gmatch("ERROR: ([^\n]+)") do
    last = line
  end
  return repos.redact(last or stderr:match("([^\n]+)\n*$") or "python3 failed without a word")
end

local function appended(list, more) return table.move(more, 1, #more, #list + 1, list) end

-- Runs python3 with the words given -> its stdout | nil, why
local function python(job, words)
  local env = { PIP_DISABLE_PIP_VERSION_CHECK = "1", PIP_NO_INPUT = "1", LC_ALL = "C.UTF-8" }
  local result, why = job.await(appended({ "python3", env = env }, words))
  if not result then return nil, why end
  if result.status ~= 0 then return nil, explain(result.stderr) end
  return result.stdout
end

local function pip(job, words) return python(job, appended({ "-m", "pip" }, words)) end

-- The version that pip would bring now, without bringing it.
local function newest(job)
  job.progress(0, "asking for the newest version")
  local report, why = pip(job, {
    "install",
    "--dry-run",
    "--quiet",
    "--ignore-installed",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--ignore-requires-python",
    "--report",
    "-",
    job.package,
  })
  if not report then return nil, why end
  local told = json.decode(report)
  local first = told and told.install and told.install[1]
  return first and first.metadata.version, "pip did not say which version is the newest"
end

local function first_named(folder, pattern)
  for _, name in ipairs(fs.list(folder) or {}) do
    if name:find(pattern) then return fs.join(folder, name) end
  end
end

local function download(job, folder)
  local words = {
    "download",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--ignore-requires-python",
    "--progress-bar",
    "off",
    "--dest",
    folder,
    job.version and job.package .. "==" .. job.version or job.package,
  }
  local ok, why = pip(job, words)
  if not ok and why:find("No matching distribution", 1, true) then
    ok = pip(job, appended(words, ANY_PLATFORM))
  end
  if not ok then return nil, why end
  local archive = first_named(folder, "%.whl$")
  if not archive then return nil, "pip brought no wheel" end
  return archive
end

-- ---- what is there ---------------------------------------------------------------------------------------

local function base64url(hex)
  local bytes = hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  local text = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local group = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 0, c and 3 or b and 2 or 1 do
      local at = (group >> (18 - 6 * k) & 63) + 1
      text[#text + 1] = alphabet:sub(at, at)
    end
  end
  return table.concat(text)
end

-- A wheel lists its files with their checksums: the first that was changed or taken away since | nil
local function changed_file(folder)
  local about = first_named(folder, "%.dist%-info$")
  local listing = about and fs.read(fs.join(about, "RECORD"))
  if not listing then return "its list of files is gone" end
  for path, digest in listing:gmatch("([^\n]-),sha256=([^,\n]+),%d*\r?\n") do
    path = path:gsub('^"(.*)"$', "%1")
    local found = fs.sha256_file(fs.join(folder, path))
    if not found or base64url(found) ~= digest then return path end
  end
end

local function came_from_here(job) return job.before and job.before.source == "pypi" and fs.is_dir(job.path) end

-- May what is at the path be replaced? Only what came from here, and was left as it came.
local function check_replaceable(job)
  if not came_from_here(job) then
    return nil,
      ("%s is there and came from elsewhere; move it away or choose another --target-dir"):format(job.path)
  end
  local changed = changed_file(fs.join(job.path, job.inside))
  if changed then
    return nil, ("%s was changed (%s) and is not replaced; move it away"):format(job.path, changed)
  end
  return true
end

-- The version at the path if it serves: the one asked for, or the newest.
local function present_version(job)
  local before = job.before
  if not came_from_here(job) then return nil end
  local wanted, why = job.version, nil
  if not wanted then
    wanted, why = newest(job)
  end
  if not wanted then
    job.warn(("cannot ask for the newest %s (%s); kept %s"):format(job.package, why, before.version))
    return before.version
  end
  return before.version == wanted and wanted or nil
end

-- ---- bringing --------------------------------------------------------------------------------------------

-- Whatever happens between the two renames, one of the trees ends up in place.
local function put_in_place(job, tree, old)
  if not fs.exists(job.path) then return os.rename(tree, job.path) end
  local _ <close> = setmetatable({}, {
    __close = function()
      if not fs.exists(job.path) then os.rename(old, job.path) end
    end,
  })
  local ok, why = os.rename(job.path, old)
  if not ok then return nil, why end
  return os.rename(tree, job.path)
end

local function unpack_wheel(job, archive, tree)
  local folder = fs.join(tree, job.inside)
  local ok, why = fs.mkdir(folder)
  if not ok then return nil, why end
  job.progress(0, "unpacking")
  return python(job, { "-m", "zipfile", "-e", archive, folder })
end

local function bring_archive(job)
  local partial <close> = repos.partial(job.path)
  local tree = fs.join(partial.path, "tree")
  job.progress(0, "downloading")
  local archive, why = download(job, partial.path)
  if not archive then return nil, why end
  local sum, ok
  sum, why = fs.sha256_file(archive)
  if not sum then return nil, why end
  ok, why = unpack_wheel(job, archive, tree)
  if ok then
    ok, why = put_in_place(job, tree, fs.join(partial.path, "old"))
  end
  if not ok then return nil, why end
  local name = fs.basename(archive)
  return { archive = name, sha256 = sum, version = name:match("^[^-]+%-([^-]+)%-") }
end

function pypi.bring(job)
  if present_version(job) then
    local kept = {}
    for field, value in pairs(job.before) do
      kept[field] = value
    end
    kept.status = "unchanged"
    return kept
  end
  local replaced = not repos.is_free(job.path)
  local ok, why = true, nil
  if replaced then
    ok, why = check_replaceable(job)
  end
  if not ok then return refused(job, why) end
  local brought
  brought, why = bring_archive(job)
  if not brought then return refused(job, why) end
  return {
    name = job.name,
    url = ("pkg:pypi/%s@%s"):format(job.package, brought.version),
    path = fs.absolute(job.path),
    date = os.date("!%Y-%m-%dT%H:%M:%SZ"),
    source = "pypi",
    version = brought.version,
    archive = brought.archive,
    sha256 = brought.sha256,
    status = replaced and "updated" or "downloaded",
  }
end

return pypi
