--- Collecting garbage later: short work that keeps most of what it makes gains nothing from collecting in between.
local garbage = {}

local LATER = 64 * 1024 -- kilobytes that may be made after a pause before what it left is collected

local Pause = {
  __close = function()
    collectgarbage "restart"
    -- a step of less than nothing puts the next collection off, which may come after the program's end
    collectgarbage("step", -LATER)
  end,
}

---Stop collecting until the value that this gives is closed; nil where nothing is collected now.
---@return table?
function garbage.pause()
  if not collectgarbage "isrunning" then return nil end
  collectgarbage "stop"
  return setmetatable({}, Pause)
end

return garbage
