--- A file system of a few hundred kilobytes for the time of a shell script, in a mount namespace of its own: nothing is
--- left behind, and where the system allows it no root is needed.
local process = require "hone.process"

local small_disk = {}

---Run a script to which `small SIZE` makes, or resizes, the file system at $DISK.
---@param folder string # where $DISK lies, and what the script may write beside it
---@param script string
---@param ... string # its arguments
---@return table? result # nil where no file system can be mounted
function small_disk.run(folder, script, ...)
  local head = [[
DISK=$1/disk; shift
mkdir "$DISK"; mount -t tmpfs -o size=64k none "$DISK" || exit 77
small() { mount -o "remount,size=$1" "$DISK"; }
]]
  local result =
    process.run { "unshare", "--map-root-user", "--mount", "sh", "-c", head .. script, "sh", folder, ... }
  if not result or result.status == 77 or result.stderr:find "^unshare: " then return nil end
  return result
end

return small_disk
