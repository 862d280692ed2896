--- Compiled kernels on disk, by the content of all that went into them.
-- A file is HEADER, then the checksum of the rest, then a list of strings. Processes may meet: files are
-- written beside and renamed, and what does not check out is compiled again.
local fs = require "hone.fs"

local cache = {}

local HEADER = "hone kernel 1\n"

-- Length before each part: no two lists of parts give the same text.
local function join(parts)
  local packed = {}
  for i, part in ipairs(parts) do
    packed[i] = string.pack("<s8", part)
  end
  return table.concat(packed)
end

--- The key of a compilation: parts are strings.
function cache.key(parts) return fs.sha256(join(parts)) end

local function path_of(key)
  local folder, why = fs.cache_dir()
  if not folder then return nil, why end
  return fs.join(folder, "kernels", key:sub(1, 2), key)
end

local function split(data)
  local parts, position = {}, 1
  while position <= #data do
    parts[#parts + 1], position = string.unpack("<s8", data, position)
  end
  return parts
end

--- The strings kept under a key; nil when there are none, or none that can be trusted.
function cache.get(key)
  local path = path_of(key)
  local data = path and fs.is_file(path) and fs.read(path)
  if not data or data:sub(1, #HEADER) ~= HEADER then return nil end
  local checksum, body = data:sub(#HEADER + 1, #HEADER + 64), data:sub(#HEADER + 65)
  if fs.sha256(body) ~= checksum then return nil end
  return split(body)
end

--- Keep strings under a key. Returns true, or nil and why: a cache that cannot be written costs time,
--- nothing else.
function cache.put(key, parts)
  local path, why = path_of(key)
  if not path then return nil, why end
  local made
  made, why = fs.mkdir(fs.dirname(path))
  if not made then return nil, why end
  local body = join(parts)
  return fs.write(path, HEADER .. fs.sha256(body) .. body)
end

return cache
