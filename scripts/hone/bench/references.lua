--- Where expected outputs come from: the definition's reference on hone's own tensors, or by Python with torch.
local references = {}

local makers = {}

-- Its kernels run on the tensors' device; a run's time is that of the call and of the device after it.
function makers.native(definition)
  local run, why = require("hone.reference")(definition)
  if not run then return nil, why end
  return run
end

function makers.torch(definition, device)
  local torch = require "hone.reference.torch"
  local json = require "hone.json"
  return function(...)
    local list, names = {}, json.keys(definition.inputs)
    for i, name in ipairs(names) do
      list[i] = { name = name, value = select(i, ...) }
    end
    local outputs, seconds = torch.run(definition, list, device)
    if not outputs then return nil, seconds end
    return outputs, nil, seconds
  end
end

-- What hone's evaluator does not know runs in torch.
function makers.auto(definition, device) return makers.native(definition) or makers.torch(definition, device) end

---A function that gives the reference of a definition: reference(inputs...) -> outputs | nil, why[, seconds].
---@param kind? "native"|"torch"|"auto"
function references.maker(kind, device)
  local make = makers[kind or "native"]
  return function(definition) return make(definition, device) end
end

return references
