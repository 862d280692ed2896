--- What a run spends its time on.
local now = require("hone.core.process").now

local clock = {}

---Seconds on a clock that only goes forward.
function clock.now() return now() end

---A stopwatch of named shares: `watch:lap "inputs"` counts what went by since the last lap for "inputs".
function clock.watch()
  local watch = { started = now(), last = now(), shares = {} }
  function watch.lap(self, name)
    local time = now()
    self.shares[name] = (self.shares[name] or 0) + time - self.last
    self.last = time
  end
  return watch
end

return clock
