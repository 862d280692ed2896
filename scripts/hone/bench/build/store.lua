--- Builds on disk, by the content of all that went into them.
-- A build is a folder <root>/solutions/<ab>/<key>, written beside and renamed; `build.json` in it lists every file
-- with its checksum, and what does not check out is built again. One process builds, the others wait for it.
local command = require "hone.bench.build.command"
local fs = require "hone.fs"
local json = require "hone.json"

local store = {}

local SEAL = "build.json"
local POLL = 50 -- milliseconds between looks at another's lock

-- Length before each part: no two lists of parts give the same text.
---The key of a build: all strings that decide what comes of it.
function store.key(parts)
  local packed = {}
  for i, part in ipairs(parts) do
    packed[i] = string.pack("<s8", part)
  end
  return fs.sha256(table.concat(packed))
end

---Where a build is kept; nil and why.
function store.path(root, key)
  local folder, why, code = root, nil, nil
  if not folder then
    folder, why, code = fs.cache_dir()
  end
  if not folder then return nil, why, code end
  return fs.join(fs.absolute(folder), "solutions", key:sub(1, 2), key)
end

-- ---- what is there --------------------------------------------------------------------------------

local function files_in(folder)
  local list = {}
  for path, kind in assert(fs.walk(folder)) do
    if kind ~= "directory" then list[#list + 1] = path:sub(#folder + 2) end
  end
  table.sort(list)
  return list
end

-- What Python leaves beside sources that it imported is nobody's build.
local function is_sealed(name) return name ~= SEAL and not name:find "__pycache__/" end

local function same(folder, files)
  for name, digest in pairs(files) do
    local path = fs.join(folder, name)
    if fs.is_link(path) or fs.sha256_file(path) ~= digest then return false end
  end
  for _, name in ipairs(files_in(folder)) do
    if is_sealed(name) and not files[name] then return false end
  end
  return true
end

---What was kept of a build; nil when there is none, or none that can be trusted.
function store.read(folder)
  if fs.is_link(folder) then return nil end
  local seal = fs.join(folder, SEAL)
  local record = fs.is_file(seal) and not fs.is_link(seal) and json.read(seal)
  if type(record) ~= "table" or type(record.files) ~= "table" or type(record.made) ~= "table" then
    return nil
  end
  local ok, whole = pcall(same, folder, record.files)
  return ok and whole and record or nil
end

local function seal(folder, made, log)
  local files = json.object()
  for _, name in ipairs(files_in(folder)) do
    local path = fs.join(folder, name)
    local digest, why, code = fs.sha256_file(path)
    if not digest then return nil, why, code end
    if is_sealed(name) then files[name] = digest end
  end
  local record = json.object()
  record.made, record.log, record.files = made, log, files
  return fs.write(fs.join(folder, SEAL), json.encode(record), { sync = false })
end

-- ---- one at a time --------------------------------------------------------------------------------

---Wait for a lock between processes, which closing gives back: a file, or nil, message, code.
function store.lock(path, deadline)
  local file, why, number = io.open(path, "a+")
  if not file then return nil, ("cannot write %s"):format(why), number == 30 and "EROFS" or "EACCES" end
  local lfs, core = require "lfs", require "hone.core.process"
  while not lfs.lock(file, "w") do
    if command.now() > deadline then
      file:close()
      return nil,
        ("another process has been building it for too long (it holds %s)"):format(path),
        "ETIMEDOUT"
    end
    core.step(POLL)
  end
  return file -- closing it unlocks
end

local function put_in_place(from, to)
  if fs.is_link(to) or fs.exists(to) then
    local ok, why, code = fs.remove(to) -- it did not check out
    if not ok then return nil, why, code end
  end
  local ok, why = os.rename(from, to)
  if not ok then return nil, "cannot put the build in place: " .. why, "EIO" end
  return true
end

-- A folder that is removed when the variable goes out of scope; nil and why.
local function work_folder(path)
  if fs.is_link(path) or fs.exists(path) then fs.remove(path) end -- of a build that was killed
  local ok, why, code = fs.mkdir(path)
  if not ok then return nil, why, code end
  return setmetatable({ path = path }, {
    __close = function()
      if fs.exists(path) then fs.remove(path) end
    end,
  })
end

---The record of a build and whether it was there: made by `make(folder)` -> made, log | nil, message, code, log, where
---it is not.
---@return table? record
---@return string|boolean message # or whether it was cached
---@return string? code
---@return string? log
function store.get(folder, deadline, make)
  local record = store.read(folder)
  if record then return record, true end
  local ok, why, code = fs.mkdir(fs.dirname(folder))
  if not ok then return nil, why, code end
  local held <close>, refused, kind = store.lock(folder .. ".lock", deadline)
  if not held then return nil, refused, kind end
  record = store.read(folder)
  if record then return record, true end
  local work <close>, unmade, errno = work_folder(folder .. ".new")
  if not work then return nil, unmade, errno end
  local made, message, reason, log = make(work.path)
  if not made then return nil, message, reason, log end
  ok, why, code = seal(work.path, made, message)
  if ok then
    ok, why, code = put_in_place(work.path, folder)
  end
  if not ok then return nil, why, code end
  return json.read(fs.join(folder, SEAL)), false
end

---Write sources below a folder that nobody else writes to. A path that would leave it, or that another source
---stands in the way of, is refused.
function store.write_sources(folder, sources)
  local _, why, code = fs.mkdir(folder)
  for _, source in ipairs(sources) do
    local refused = why or store.path_mistake(source.path)
    if refused then return nil, refused, code or "COMPILE_ERROR" end
    local path = fs.join(folder, fs.normalize(source.path))
    if fs.exists(path) then
      return nil, ("two sources are the file %q"):format(fs.normalize(source.path)), "COMPILE_ERROR"
    end
    local ok
    ok, why, code = fs.write(path, source.content, { sync = false })
    if not ok then return nil, why, code end
  end
  return true
end

---What is wrong with a source's path, nil when nothing is.
function store.path_mistake(path)
  if type(path) ~= "string" or path == "" or path:find "%z" then return "a source has no usable path" end
  if path:sub(1, 1) == "/" then
    return ("source %q is not a path below the solution's folder"):format(path)
  end
  for part in path:gmatch "[^/]+" do
    if part == ".." then return ("source %q leaves the solution's folder"):format(path) end
  end
  if fs.normalize(path) == "." or path:sub(-1) == "/" then return ("source %q names no file"):format(path) end
end

---What is wrong with the path of a source that is compiled: nvcc hands its arguments to a shell, gcc takes "@x" for a
---file of options, and what either takes for more than a name would run outside of any sandbox.
function store.name_mistake(path)
  local character = path:match "[^%w%._/+ %-\128-\255]"
  if character then
    return ("source %q has %q in its name, which no compiled source may have"):format(path, character)
  end
end

return store
