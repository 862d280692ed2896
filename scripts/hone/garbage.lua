--- Collecting garbage later: short work that keeps most of what it makes gains nothing from collecting in between.
local garbage = {}

local LATER = 64 * 1024 -- kilobytes that may be made after a pause before what it left is collected

local SMALL = 16 * 1024 -- kilobytes up to which the collector goes back to generations; it takes one collection

local Pause = {
  __close = function(self)
    if self.mode == "generational" and collectgarbage "count" < SMALL then collectgarbage "generational" end
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
  -- At its end a program that collects by generations goes over all that it made once more.
  return setmetatable({ mode = collectgarbage "incremental" }, Pause)
end

local Rare = {
  __close = function(rare) collectgarbage(rare.before) end,
}

---Collect only when memory has grown to ten times what was left, until the value that this gives is closed: for
---long work that makes much garbage beside much that stays.
---@return table
function garbage.rare() return setmetatable({ before = collectgarbage("incremental", 1000, 400) }, Rare) end

return garbage
