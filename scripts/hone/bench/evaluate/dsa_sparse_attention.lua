--- Sparse attention of DSA: as the default, and a solution may leave out the LSE.
local default = require "hone.bench.evaluate.default"

local sparse = { name = "dsa_sparse_attention" }

function sparse.check(self, outputs, expected)
  if #expected ~= 2 then
    self:note "DSA sparse attention's reference must return 2 outputs"
    return self:verdict "RUNTIME_ERROR"
  end
  if #outputs ~= 1 and #outputs ~= 2 then
    self:note("the solution gives %d outputs, it should be 1 or 2", #outputs)
    return self:verdict "INCORRECT_SHAPE"
  end
  for i, output in ipairs(outputs) do
    local verdict = default.compare(self, i, output, expected[i])
    if verdict then return verdict end
  end
end

return sparse
