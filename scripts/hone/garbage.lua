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

local Rare = {
  __close = function(rare) collectgarbage(rare.before) end,
}

---Collect only when memory has grown to four times what was left, until the value that this gives is closed: for
---long work that makes much garbage beside much that stays.
---@return table
function garbage.rare() return setmetatable({ before = collectgarbage("incremental", 400, 400) }, Rare) end

return garbage
