--- Files that Git LFS keeps elsewhere: what it leaves in their place, and how to get them.
local pointer = {}

local SIGNATURE = "version https://git-lfs.github.com/spec/v"

-- The path as `git lfs pull --include` takes it: from the repository's root.
local function path_in_repository(path)
  local fs = require "hone.fs"
  local absolute = fs.absolute(path)
  local folder = fs.dirname(absolute)
  while not fs.exists(fs.join(folder, ".git")) do
    if folder == "/" then return fs.basename(path) end
    folder = fs.dirname(folder)
  end
  return fs.relative(absolute, folder)
end

---What to tell the user when a file is a pointer; nil when it is not.
---@param path string
---@param bytes string # the file's first 200 bytes or more
function pointer.message(path, bytes)
  if bytes:sub(1, #SIGNATURE) ~= SIGNATURE then return nil end
  local include = path_in_repository(path)
  if include:find("[^%w%./_-]") then include = "'" .. include:gsub("'", "'\\''") .. "'" end
  return ("cannot read %s: it is a Git LFS pointer; run git lfs pull --include %s"):format(path, include)
end

return pointer
