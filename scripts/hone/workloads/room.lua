--- Room for dumps: how much a server's processes may write, and what FlashInfer says it did not dump.
local fs = require "hone.fs"

local room = {}

local GIB = 1024 ^ 3
local SHARE = 0.9 -- of what is free: metadata and outputs come on top of what FlashInfer counts
local LEAST = 16 * 1024 * 1024 -- bytes that must be free for dumps to be begun
local FULL = 1024 * 1024 -- bytes below which a file system is full

-- What FlashInfer logs of calls that it does not dump: at its own limits, and where writing fails.
local LIMIT, FAILED = "imit reached (", "Failed to dump"

---The GiB that each of a server's processes may dump: what is asked for, as far as there is room.
---@param folder string # of the dumps
---@param processes integer
---@param most number # GiB
---@return number? gib
---@return string? why
function room.share(folder, processes, most)
  local free, why = fs.free_space(folder)
  if not free then return nil, why end
  if free >= LEAST then return math.min(most, SHARE * free / processes / GIB) end
  return nil,
    ("there is no room for dumps in %s (%d MB are free): make some, or name another folder with --dump-dir"):format(
      folder,
      free // 1000000
    )
end

---FlashInfer's logs in a folder of dumps.
---@return table<string, true>
function room.logs(folder)
  local found = {}
  for _, name in ipairs(fs.list(folder) or {}) do
    if name:find "^flashinfer_.*%.log$" then found[name] = true end
  end
  return found
end

-- The first line of a log that holds one of the marks; logs are long, and read piece by piece.
local function find_lines(path, marks)
  local found, rest = {}, ""
  for chunk in fs.chunks(path) do
    local text = rest .. chunk
    for mark in pairs(marks) do
      local at = not found[mark] and text:find(mark, 1, true)
      local line_end = at and (text:find("\n", at, true) or #text)
      if at then found[mark] = text:sub(1, line_end):match "([^\n]*)\n?$" end
    end
    rest = text:sub(-256)
  end
  return found
end

---What a server did not dump, by what FlashInfer logged since `before`.
---@param folder string
---@param before table<string, true> # the logs that are not its
---@return { limit: string?, failure: string? } # the first line about a limit, and about what could not be written
function room.said(folder, before)
  local said = {}
  for name in pairs(room.logs(folder)) do
    if not before[name] then
      local lines = find_lines(fs.join(folder, name), { [LIMIT] = true, [FAILED] = true })
      said.limit, said.failure = said.limit or lines[LIMIT], said.failure or lines[FAILED]
    end
  end
  local free = fs.free_space(folder)
  if not said.failure and free and free < FULL then
    said.failure = ("the disk of %s is full"):format(folder)
  end
  return said
end

return room
