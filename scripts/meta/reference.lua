---@meta hone.reference

--- The reference of a definition as a function on hone's tensors: no Python, no PyTorch, the CPU or a GPU.
---
---     local hone = require "hone"
---     local definition = assert(hone.json.read "definitions/rmsnorm/rmsnorm_h4096.json")
---     local run = assert(hone.reference(definition))
---     local outputs, why = run(hidden_states, weight)
---
--- The source is translated to Lua (see hone.python.concrete) and reaches nothing but numbers and tensors. Inputs
--- and outputs are held to the definition: shapes, dtypes, one value for each axis, and the definition's
--- constraints, which are evaluated on the inputs. Where the tensors lie, there it computes.
local reference = {}

--- A reference. Call it with the inputs in the definition's order, numbers where the definition has no shape; nil
--- leaves an optional one out. It gives its outputs as a list in the definition's order, or nil and one line: what
--- does not fit, or the line of the reference and what torch's users would be told.
---@class hone.reference.Reference
---@field name string
---@field note? string # what was odd about it, such as arguments in another order than the inputs
---@overload fun(...: hone.Tensor|number|boolean|nil): hone.Tensor[]?, string?
local Reference = {}

--- The sizes of all axes that these inputs have; nil where they do not fit.
---@param ... hone.Tensor|number|boolean|nil
---@return table<string, integer>?
function Reference:axes(...) end

--- A definition's reference, as `hone.reference(definition)` gives it.
---@param definition table
---@param options? { steps: integer?, later: "devices"|"everywhere"|nil } # how often loops may go round in a call (50 million by default); where elementwise results wait until they are needed (on devices by default; everywhere, what nobody needs takes no memory on the CPU either)
---@return hone.reference.Reference? reference # nil for Python that hone does not know
---@return string? message # file, line, and what is not known
function reference.new(definition, options) end

--- What checks a definition's constraints, without its reference being run.
---@param definition table
---@return (fun(axes: table<string, integer>, inputs: table<string, any>): string?)? check # gives nil, or the first constraint that is broken; one about an input that is left out holds
---@return string? message # a constraint cannot be read
function reference.constraints(definition) end

return reference
