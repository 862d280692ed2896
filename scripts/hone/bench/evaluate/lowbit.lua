--- As the default, where weights or activations have few bits: 95 % of the elements must match unless settings say
--- otherwise, and the trace says how many did.
local default = require "hone.bench.evaluate.default"

local lowbit = { name = "lowbit", check = default.check }

function lowbit.begin(self) self.default_ratio = 0.95 end

function lowbit.finish(self)
  self.extra = { matched_ratio = self.matched or 1.0 }
  return self:verdict(self.failed and "INCORRECT_NUMERICAL" or "PASSED")
end

return lowbit
