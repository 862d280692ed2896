---@meta hone.dataset.inputs

--- Inputs of a definition: those of a workload, or made for any sizes of its axes. What has structure (where
--- sequences start, which pages are theirs, how tokens are routed) is made by the op type's own rules; the rest is
--- random, as benchmarks draw it: normal floats, float8 within 2, integers in a fixed range.
local inputs = {}

--- From so many elements on a reference is not expected to write into an input.
---@type integer
inputs.LARGE = 1 << 26

--- One input.
---@class hone.dataset.Input
---@field name string
---@field value hone.Tensor|number|boolean
---@field from string # "random", "made", "workload", "blob", or "made: " and why a file was not taken

--- The sizes of all axes: constants, those given, what the constraints make of them, and what is usual.
---@param definition table
---@param given? table<string, integer>
---@return table<string, integer>? axes
---@return string? message
function inputs.axes(definition, given) end

--- Add to `axes` what the definition's constraints give of those that are missing.
---@param definition table
---@param axes table<string, integer>
function inputs.solve(definition, axes) end

--- A tensor of random values, for an input as the definition describes it.
---@param spec { dtype: string }
---@param sizes integer[]
---@param generator hone.Generator
---@param device? string
---@return hone.Tensor
function inputs.random(spec, sizes, generator, device) end

--- The inputs of a workload whose files are not here, so that `make` will make them by rules: nobody put the file
--- there, or git has a pointer to it. A file that is there and holds something else is an error of `make`.
---@param workload table
---@param root? string # of the dataset
---@return { name: string, why: string }[]
function inputs.absent(workload, root) end

--- The sizes of a tensor's dimensions.
---@param spec table # an input or output of a definition that is a tensor
---@param axes table<string, integer> # all of them, constant ones too
---@return integer[]
function inputs.sizes(spec, axes) end

--- All inputs in the definition's order. A seed gives the same ones on every machine and device. With
--- `without_random`, { shape } stands for each tensor that would be drawn. With `windows`, the matrices of a drawn
--- tensor of `LARGE` elements and more are windows of one run of random values, each a little further on: they differ
--- everywhere and take the memory of one. Such a tensor cannot be written.
---@param definition table
---@param options? { axes: table<string, integer>?, workload: table?, root: string?, seed: integer?, device: string?, without_random: boolean?, windows: boolean? }
---@return hone.dataset.Input[]? list
---@return table<string, integer>|string axes # or the message
function inputs.make(definition, options) end

return inputs
