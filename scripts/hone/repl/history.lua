--- The lines typed in earlier sessions: a file that only the user reads.
local M = {}

local KEPT = 1000

local function path()
  local state, home = os.getenv("XDG_STATE_HOME"), os.getenv("HOME")
  if state and state:sub(1, 1) == "/" then return state .. "/hone/history" end
  if home and home ~= "" then return home .. "/.local/state/hone/history" end
end

local function read_lines(name)
  local file = io.open(name, "r")
  if not file then return {} end
  local lines = {}
  for line in file:lines() do
    lines[#lines + 1] = line
  end
  file:close()
  return lines
end

---The newest lines, oldest first. A file that grew to twice their number is cut down to them.
---@return string[]
function M.load()
  local name = path()
  local lines = name and read_lines(name) or {}
  local kept = table.move(lines, math.max(1, #lines - KEPT + 1), #lines, 1, {})
  if #lines > 2 * KEPT then
    local beside, text = name .. ".new", table.concat(kept, "\n") .. "\n"
    if require("hone.core.edit").write(beside, text) then os.rename(beside, name) end
  end
  return kept
end

---Add a line at once, so that it is there however the session ends. A history that cannot be kept is no
---reason to disturb the session.
---@param line string
function M.append(line)
  local name = path()
  if name then require("hone.core.edit").append(name, line .. "\n") end
end

return M
