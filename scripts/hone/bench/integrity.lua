--- Whether the code that runs around a solution, in the solution's own process, is what it was when the process began.
--- A page of a program or a library that somebody wrote into is a copy of the process's own, and no page of the file
--- any more: the kernel tells which is which.
local integrity = {}

local PAGE = 4096
local FILE_PAGE, PRESENT, SWAPPED = 1 << 61, 1 << 63, 1 << 62 -- of an entry of /proc/PID/pagemap

-- What keeps the time and brings results home: the loop of the worker, libc, CUPTI.
local NAMES =
  { "^worker$", "^libhone_worker%.so", "^serve%.so", "^libc%.so", "^libc%-", "^ld%-", "^libcupti%.so" }

local function is_ours(path)
  local name = path:match "[^/]*$"
  for _, pattern in ipairs(NAMES) do
    if name:find(pattern) then return true end
  end
end

-- Whether one of the pages from an address on is the process's own.
local function has_own_page(pagemap, from, count)
  if not pagemap:seek("set", from // PAGE * 8) then return false end
  local entries = pagemap:read(count * 8) or ""
  for at = 1, #entries - 7, 8 do
    local entry = string.unpack("<I8", entries, at)
    if entry & SWAPPED ~= 0 or entry & PRESENT ~= 0 and entry & FILE_PAGE == 0 then return true end
  end
end

---The name of a file whose code in a process is not the file's any more; nil where all is as it was, or cannot be seen.
---@param pid integer
---@return string?
function integrity.changed(pid)
  local maps, pagemap =
    io.open(("/proc/%d/maps"):format(pid)), io.open(("/proc/%d/pagemap"):format(pid), "rb")
  local changed
  for line in maps and pagemap and maps:lines() or function() end do
    local from, to, path = line:match "^(%x+)%-(%x+) [r-][w-]x. %x+ %S+ %d+%s+(/.*)$"
    if from and is_ours(path) then
      local first = tonumber(from, 16)
      if has_own_page(pagemap, first, (tonumber(to, 16) - first) // PAGE) then
        changed = path:match "[^/]*$"
      end
    end
  end
  if maps then maps:close() end
  if pagemap then pagemap:close() end
  return changed
end

return integrity
