--- Files and folders: reading, atomic writing, walking, globbing, hashing, paths.
local lfs = require "lfs"
local core = require "hone.core.fs"

local fs = {}

-- ---- refusals and arguments -----------------------------------------------------------------------

-- nil, "cannot WHAT PATH: REASON", CODE from the errno number that io, os and lfs return.
local function refuse(what, path, number)
  local reason, code = core.errno(number)
  return nil, ("cannot %s %s: %s"):format(what, path, reason), code
end

-- A path is a string without zero bytes, which C would take for its end. Level 3 blames the caller.
local function check_path(path, position, name)
  if type(path) ~= "string" then
    error(("bad argument #%d to '%s' (path expected, got %s)"):format(position, name, type(path)), 3)
  elseif path:find("\0", 1, true) then
    error(("bad argument #%d to '%s' (path contains a zero byte)"):format(position, name), 3)
  end
end

-- ---- paths as text --------------------------------------------------------------------------------

function fs.join(...)
  local joined = ""
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    check_path(part, i, "join")
    if part:sub(1, 1) == "/" or joined == "" then
      joined = part
    elseif part ~= "" then
      joined = joined .. (joined:sub(-1) == "/" and "" or "/") .. part
    end
  end
  return joined
end

-- "a/b//" -> "a/b", "//" -> "/": a slash at the end says nothing about the name.
local function without_end_slashes(path) return path:match("^(.*[^/])/*$") or path:sub(1, 1) end

function fs.dirname(path)
  check_path(path, 1, "dirname")
  local folder = without_end_slashes(path):match("^(.*)/[^/]+$")
  if folder then return folder == "" and "/" or without_end_slashes(folder) end
  return path:sub(1, 1) == "/" and "/" or "."
end

function fs.basename(path)
  check_path(path, 1, "basename")
  return without_end_slashes(path):match("[^/]*$")
end

function fs.extension(path)
  check_path(path, 1, "extension")
  return fs.basename(path):match("^.+(%.[^.]+)$") or ""
end

function fs.stem(path)
  check_path(path, 1, "stem")
  local name = fs.basename(path)
  return name:sub(1, #name - #fs.extension(name))
end

function fs.is_inside(path)
  if type(path) ~= "string" or path == "" or path:find("^/") or path:find("[%c\\]") then return false end
  for part in (path .. "/"):gmatch("([^/]*)/") do
    if part == "" or part == "." or part == ".." then return false end
  end
  return true
end

function fs.normalize(path)
  check_path(path, 1, "normalize")
  local root = path:sub(1, 1) == "/" and "/" or ""
  local parts = {}
  for part in path:gmatch("[^/]+") do
    local can_climb = #parts > 0 and parts[#parts] ~= ".."
    if part == ".." and can_climb then
      parts[#parts] = nil
    elseif part ~= "." and not (part == ".." and root == "/") then
      parts[#parts + 1] = part
    end
  end
  local normal = root .. table.concat(parts, "/")
  return normal == "" and "." or normal
end

function fs.cwd() return assert(lfs.currentdir()) end

function fs.absolute(path)
  check_path(path, 1, "absolute")
  return fs.normalize(fs.join(fs.cwd(), path))
end

function fs.relative(path, base)
  check_path(path, 1, "relative")
  if base ~= nil then check_path(base, 2, "relative") end
  local target, from = {}, {}
  for part in fs.absolute(path):gmatch("[^/]+") do
    target[#target + 1] = part
  end
  for part in fs.absolute(base or "."):gmatch("[^/]+") do
    from[#from + 1] = part
  end
  local common = 0
  while common < #from and from[common + 1] == target[common + 1] do
    common = common + 1
  end
  local parts = {}
  for _ = common + 1, #from do
    parts[#parts + 1] = ".."
  end
  table.move(target, common + 1, #target, #parts + 1, parts)
  return #parts == 0 and "." or table.concat(parts, "/")
end

function fs.realpath(path)
  check_path(path, 1, "realpath")
  return core.realpath(path)
end

-- ---- well-known folders ---------------------------------------------------------------------------

local function environment(name)
  local value = os.getenv(name)
  if value ~= "" then return value end
end

function fs.home()
  local home = environment("HOME") or core.home()
  if home then return home end
  return nil, "cannot find the home directory: HOME is not set, nor is one in the user database", "ENOENT"
end

function fs.expand(path)
  check_path(path, 1, "expand")
  if path ~= "~" and path:sub(1, 2) ~= "~/" then return path end
  local home, why, code = fs.home()
  if not home then return nil, why, code end
  return path == "~" and home or fs.join(home, (path:gsub("^~/+", "")))
end

-- The XDG rules: a variable that is unset, empty or relative counts as unset.
local function xdg_dir(variable, fallback)
  local root = environment(variable)
  if root and root:sub(1, 1) == "/" then return fs.join(root, "hone") end
  local home, why, code = fs.home()
  if not home then return nil, why, code end
  return fs.join(home, fallback, "hone")
end

function fs.cache_dir() return xdg_dir("XDG_CACHE_HOME", ".cache") end

function fs.config_dir() return xdg_dir("XDG_CONFIG_HOME", ".config") end

-- ---- questions ------------------------------------------------------------------------------------

function fs.exists(path)
  check_path(path, 1, "exists")
  return lfs.attributes(path, "mode") ~= nil
end

function fs.is_file(path)
  check_path(path, 1, "is_file")
  return lfs.attributes(path, "mode") == "file"
end

function fs.is_dir(path)
  check_path(path, 1, "is_dir")
  return lfs.attributes(path, "mode") == "directory"
end

function fs.is_link(path)
  check_path(path, 1, "is_link")
  return lfs.symlinkattributes(path, "mode") == "link"
end

local function attribute(path, name)
  local value, _, number = lfs.attributes(path, name)
  if value then return value end
  return refuse("look at", path, number)
end

function fs.size(path)
  check_path(path, 1, "size")
  return attribute(path, "size")
end

function fs.mtime(path)
  check_path(path, 1, "mtime")
  return attribute(path, "modification")
end

function fs.free_space(path)
  check_path(path, 1, "free_space")
  return core.free_space(path)
end

-- ---- contents -------------------------------------------------------------------------------------

function fs.read(path)
  check_path(path, 1, "read")
  local file <close>, _, number = io.open(path, "rb")
  if not file then return refuse("read", path, number) end
  local data, _, why = file:read("a")
  if not data then return refuse("read", path, why) end
  return data
end

function fs.chunks(path, size)
  check_path(path, 1, "chunks")
  size = size or 1024 * 1024
  if math.type(size) ~= "integer" or size < 1 then
    error("bad argument #2 to 'chunks' (positive integer expected)", 2)
  end
  local file, _, number = io.open(path, "rb")
  if not file then return refuse("read", path, number) end
  file:setvbuf("no")
  local first, _, why = file:read(0)
  if not first and why then -- a folder opens, and refuses only to be read
    file:close()
    return refuse("read", path, why)
  end
  local function next_chunk()
    local data, _, failed = file:read(size)
    if failed then error(("cannot read %s: %s"):format(path, (core.errno(failed))), 0) end
    return data
  end
  return next_chunk, nil, nil, file
end

-- Make the folders above a file that is about to be written.
local function mkdir_above(path, what)
  local folder = fs.dirname(path)
  if lfs.attributes(folder, "mode") == "directory" then return true end
  local ok, why, code = fs.mkdir(folder)
  if ok then return true end
  return nil, ("cannot %s %s: %s"):format(what, path, why), code
end

function fs.writer(path)
  check_path(path, 1, "writer")
  local ok, why, code = mkdir_above(path, "write")
  if not ok then return nil, why, code end
  return core.writer(path)
end

function fs.write(path, data, options)
  check_path(path, 1, "write")
  if type(data) ~= "string" then
    error(("bad argument #2 to 'write' (string expected, got %s)"):format(type(data)), 2)
  end
  local writer <close>, why, code = fs.writer(path)
  if not writer then return nil, why, code end
  local ok
  ok, why, code = writer:write(data)
  if not ok then return nil, why, code end
  return writer:commit(not options or options.sync ~= false)
end

local LOCK_POLL = 100 -- milliseconds between looks at a lock that is held

function fs.lock(path, options)
  check_path(path, 1, "lock")
  options = options or {}
  local ok, why, code = mkdir_above(path, "lock")
  if not ok then return nil, why, code end
  local process = require "hone.core.process"
  local until_time, told = process.now() + (options.wait or 0), false
  while true do
    local lock, holder, errno = core.try_lock(path, options.note)
    if lock == nil then return nil, holder, errno end
    if lock then return lock end
    if process.now() >= until_time then
      local by = holder ~= "" and " by " .. holder or ""
      return nil, ("cannot lock %s: it is held%s"):format(path, by), "EWOULDBLOCK"
    end
    if options.on_wait and not told then options.on_wait(holder) end
    told = true
    process.step(LOCK_POLL)
  end
end

function fs.append_line(path, line)
  check_path(path, 1, "append_line")
  if type(line) ~= "string" or line:find("\n", 1, true) then
    error("bad argument #2 to 'append_line' (a string without newlines expected)", 2)
  end
  local ok, why, code = mkdir_above(path, "append to")
  if not ok then return nil, why, code end
  return core.append_line(path, line)
end

function fs.sha256(data)
  if type(data) ~= "string" then
    error(("bad argument #1 to 'sha256' (string expected, got %s)"):format(type(data)), 2)
  end
  return core.sha256(data)
end

function fs.sha256_file(path)
  check_path(path, 1, "sha256_file")
  return core.sha256_file(path)
end

-- ---- folders --------------------------------------------------------------------------------------

function fs.mkdir(path)
  check_path(path, 1, "mkdir")
  local ok, _, number = lfs.mkdir(path)
  if ok then return true end
  local _, code = core.errno(number)
  if lfs.attributes(path, "mode") == "directory" then return true end -- there already, or a moment ago
  local above = fs.dirname(path)
  if code ~= "ENOENT" or above == path or path == "" then
    return refuse("make the directory", path, number)
  end
  local made, why, why_code = fs.mkdir(above)
  if not made then return nil, why, why_code end
  ok, _, number = lfs.mkdir(path)
  if ok or lfs.attributes(path, "mode") == "directory" then return true end
  return refuse("make the directory", path, number)
end

function fs.list(path)
  check_path(path, 1, "list")
  local names, why, code = core.list(path)
  if not names then return nil, why, code end
  table.sort(names)
  return names
end

function fs.remove(path)
  check_path(path, 1, "remove")
  return core.remove(path)
end

-- Removing is done in C, so an interrupt cannot stop it half-way.
local TemporaryDirectory = { __name = "hone.fs.TemporaryDirectory" }
TemporaryDirectory.__index = TemporaryDirectory

function TemporaryDirectory:remove()
  if self.removed then return true end
  self.removed = true
  return core.remove(self.path)
end

function TemporaryDirectory:__tostring() return self.path end

TemporaryDirectory.__close = TemporaryDirectory.remove
TemporaryDirectory.__gc = TemporaryDirectory.remove

function fs.tempdir(prefix)
  prefix = prefix or "hone-"
  check_path(prefix, 1, "tempdir")
  if prefix:find("/", 1, true) then
    error("bad argument #1 to 'tempdir' (a name without slashes expected)", 2)
  end
  local root = environment("TMPDIR") or "/tmp"
  local path, why, code = core.mkdtemp(fs.absolute(fs.join(root, prefix)))
  if not path then return nil, why, code end
  return setmetatable({ path = path, removed = false }, TemporaryDirectory)
end

-- ---- walking --------------------------------------------------------------------------------------

-- One string per file on the machine: what tells a folder that contains itself through a link.
local function identity(path)
  local info = lfs.attributes(path)
  return info and ("%d:%d"):format(info.dev, info.ino)
end

-- A folder that the walk is in. It is listed when the walk gets there, not when it is found: the
-- caller may change it in between.
local function list_frame(frame)
  local names, kinds, links = core.list(frame.path)
  if names then
    table.sort(names)
    frame.names, frame.kinds, frame.links = names, kinds, links
  elseif links == "ENOENT" then
    frame.names = {} -- gone since its parent was listed
  else
    error(kinds, 0)
  end
end

local function is_above(stack, id)
  for _, frame in ipairs(stack) do
    if frame.id == id then return true end
  end
  return false
end

-- Enter a folder next, unless it is reached by a link that is not followed or that leads back up.
local function descend(stack, path, is_link, follow)
  if is_link and not follow then return end
  local id = follow and identity(path) or nil
  if id and is_above(stack, id) then return end
  stack[#stack + 1] = { path = path, prefix = path .. "/", id = id, at = 0 }
end

function fs.walk(dir, options)
  check_path(dir, 1, "walk")
  options = options or {}
  local top = { path = dir, prefix = dir:sub(-1) == "/" and dir or dir .. "/", at = 0 }
  top.id = options.follow and identity(dir) or nil
  local names, why, code = core.list(dir)
  if not names then return nil, why, code end
  local stack = { top }
  -- No coroutine: coroutine.wrap would put a position before every error that passes through it.
  return function()
    while #stack > 0 do
      local frame = stack[#stack]
      if not frame.names then list_frame(frame) end
      frame.at = frame.at + 1
      local name = frame.names[frame.at]
      if not name then
        stack[#stack] = nil
      else
        local path, kind = frame.prefix .. name, frame.kinds[name]
        if not options.filter or options.filter(path, kind) then
          if kind == "directory" then descend(stack, path, frame.links[name], options.follow) end
          if kind == "file" or not options.files_only then return path, kind end
        end
      end
    end
  end
end

-- ---- globbing -------------------------------------------------------------------------------------

local MAGIC = "[*?%[]"

-- [abc], [a-z], [!abc] as a Lua set; the position after it. nil where nothing closes the bracket.
local function glob_set(segment, start)
  local negated, first = segment:match("^%[([!^]?)()", start)
  local close = segment:find("]", first + 1, true) -- a "]" right after the bracket is a member
  if not close then return nil end
  local members = segment:sub(first, close - 1):gsub("[%%%]^]", "%%%0")
  return "[" .. (negated ~= "" and "^" or "") .. members .. "]", close + 1
end

-- One part of a glob between slashes as an anchored Lua pattern.
local function segment_pattern(segment)
  local out, at = {}, 1
  while at <= #segment do
    local char = segment:sub(at, at)
    local set, after
    if char == "[" then
      set, after = glob_set(segment, at)
    end
    if set then
      out[#out + 1] = set
    elseif char == "*" then
      out[#out + 1] = ".*"
    elseif char == "?" then
      out[#out + 1] = "."
    else
      out[#out + 1] = char:gsub("%W", "%%%0")
    end
    at = after or at + 1
  end
  return "^" .. table.concat(out) .. "$"
end

-- As in a shell: a name that begins with a dot is found only by a pattern that begins with one.
local function is_shown(name, segment) return name:sub(1, 1) ~= "." or segment:sub(1, 1) == "." end

-- A search in progress: the segments of its pattern, the set of paths found, and the folders listed so
-- far, since "**" and the part after it look at the same ones.
local Search = {}
Search.__index = Search

function Search:list(prefix)
  local listing = self.listings[prefix]
  if not listing then
    local names, kinds, links = core.list(prefix == "" and "." or prefix)
    listing = names and { names = names, kinds = kinds, links = links } or { names = {} }
    self.listings[prefix] = listing
  end
  return listing
end

-- "**": this folder and every folder below it; as the last part, everything below.
function Search:match_deep(prefix, at)
  local is_last = at == #self.segments
  if not is_last then self:match(prefix, at + 1) end
  local listing = self:list(prefix)
  for _, name in ipairs(listing.names) do
    if is_shown(name, "**") then
      if is_last then self.found[prefix .. name] = true end
      if listing.kinds[name] == "directory" and not listing.links[name] then
        self:match_deep(prefix .. name .. "/", at)
      end
    end
  end
end

function Search:match_pattern(prefix, at)
  local segment = self.segments[at]
  local pattern, is_last = segment_pattern(segment), at == #self.segments
  local listing = self:list(prefix)
  for _, name in ipairs(listing.names) do
    if is_shown(name, segment) and name:find(pattern) then
      if is_last then
        self.found[prefix .. name] = true
      elseif listing.kinds[name] == "directory" then
        self:match(prefix .. name .. "/", at + 1)
      end
    end
  end
end

-- Find what the segments from `at` on match under a folder, given as the text that its names go after.
function Search:match(prefix, at)
  local segment = self.segments[at]
  if segment == "**" then
    self:match_deep(prefix, at)
  elseif segment:find(MAGIC) then
    self:match_pattern(prefix, at)
  elseif at < #self.segments then
    self:match(prefix .. segment .. "/", at + 1)
  elseif lfs.symlinkattributes(prefix .. segment, "mode") then
    self.found[prefix .. segment] = true
  end
end

function fs.glob(pattern)
  check_path(pattern, 1, "glob")
  local search = setmetatable({ segments = {}, found = {}, listings = {} }, Search)
  for segment in pattern:gmatch("[^/]+") do
    search.segments[#search.segments + 1] = segment
  end
  local root = pattern:sub(1, 1) == "/" and "/" or ""
  if #search.segments == 0 then return { root ~= "" and root or nil } end
  search:match(root, 1)
  local sorted = {}
  for path in pairs(search.found) do
    sorted[#sorted + 1] = path
  end
  table.sort(sorted)
  return sorted
end

-- ---- copying and renaming -------------------------------------------------------------------------

local function copy_file(from, to)
  local writer <close>, why, code = fs.writer(to)
  if not writer then return nil, why, code end
  local ok
  ok, why, code = writer:copy(from)
  if not ok then return nil, why, code end
  return writer:commit(false)
end

-- A link is copied as a link, over a link or file that is there.
local function copy_link(from, to)
  os.remove(to)
  local ok, _, number = lfs.link(lfs.symlinkattributes(from, "target"), to, true)
  if not ok then return refuse("make the link", to, number) end
  return true
end

local function copy_tree(from, to)
  local names, kinds, links = core.list(from)
  if not names then return nil, kinds, links end
  local ok, why, code = fs.mkdir(to)
  for _, name in ipairs(names) do
    if not ok then break end
    local copy = links[name] and copy_link or kinds[name] == "directory" and copy_tree or copy_file
    ok, why, code = copy(fs.join(from, name), fs.join(to, name))
  end
  if not ok then return nil, why, code end
  return true
end

function fs.copy(from, to)
  check_path(from, 1, "copy")
  check_path(to, 2, "copy")
  local mode, _, number = lfs.attributes(from, "mode")
  if not mode then return refuse("read", from, number) end
  if mode ~= "directory" then return copy_file(from, to) end
  local inside = fs.absolute(to) .. "/"
  if inside:sub(1, #fs.absolute(from) + 1) == fs.absolute(from) .. "/" then
    return nil, ("cannot copy %s: %s is inside it"):format(from, to), "EINVAL"
  end
  return copy_tree(from, to)
end

function fs.rename(from, to)
  check_path(from, 1, "rename")
  check_path(to, 2, "rename")
  local exists, _, missing = lfs.symlinkattributes(from, "mode")
  if not exists then return refuse("rename", from, missing) end
  local ok, why, code = mkdir_above(to, "rename to")
  if not ok then return nil, why, code end
  local renamed, _, number = os.rename(from, to)
  if renamed then return true end
  if select(2, core.errno(number)) ~= "EXDEV" then return refuse("rename " .. from .. " to", to, number) end
  ok, why, code = fs.copy(from, to)
  if not ok then return nil, why, code end
  return fs.remove(from)
end

return fs
