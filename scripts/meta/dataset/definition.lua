---@meta hone.dataset.definition

--- The rules that a definition keeps, as flashinfer-bench has them.
local definition = {}

--- Bytes of an element, by dtype; float4_e2m1 counts pairs. These are the dtypes that there are.
---@type table<string, integer>
definition.BYTES = {}

--- Check a definition. What flashinfer-bench reads is accepted here: `"value": "3"` is an integer, an axis
--- with a value and no type is constant, unknown keys are ignored.
---
---     local ok, messages = definition.validate(def)
---     --> nil, { 'inputs.q.dtype is no known dtype: "float64"' }
---@param def any
---@param options? { python?: boolean } false leaves the reference and the constraints unparsed
---@return true? ok
---@return string[]? messages one for each fault, beginning with the field
function definition.validate(def, options) end

--- The value of a constant axis; nil for a variable axis, and for a value that is no integer.
---@param axis table
---@return integer?
function definition.axis_value(axis) end

return definition
