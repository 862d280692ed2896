---@meta hone.bench.evaluate

--- Whether what a solution gave is right: one evaluator a kind of definition, chosen as flashinfer-bench chooses.
---
---     local evaluator = assert(evaluate.new(definition, settings.resolve(s, definition)))
---     local calls, times = evaluator:calls(axes)
---     for _ = 1, calls do
---       verdict = evaluator:check(outputs, expected, inputs)
---       if verdict then break end
---     end
---     verdict = verdict or evaluator:finish()
---
--- `default` compares element by element within tolerances; `lowbit` asks of 95 % of the elements that they match;
--- `dsa_sparse_attention` lets a solution leave out the LSE; `dsa_topk_indexer` compares the scores of the tokens that
--- were chosen; `sampling` counts what is drawn. Where the verdict is not flashinfer-bench's, the log says so. Tensors
--- may lie on the CPU or on a GPU, outputs and what they are compared with on the same device.
local evaluate = {}

--- What a judgement comes to.
---@class hone.bench.Verdict
---@field status "PASSED"|"INCORRECT_SHAPE"|"INCORRECT_NUMERICAL"|"INCORRECT_DTYPE"|"RUNTIME_ERROR"
---@field correctness? { max_relative_error: number, max_absolute_error: number, extra: table? } # where the status has one
---@field log string[] # one line each
---@field upstream? string # the status that flashinfer-bench would give, where it is another

--- The judge of one solution on one workload.
---@class hone.bench.Evaluator
---@field name string # which of the evaluators it is
---@field same_inputs boolean # whether all calls are to have the same contents
---@field definition table
---@field settings hone.bench.Resolved
local Evaluator = {}

--- How many calls it takes, and how many times over each of them is to hold the workload's rows (1 for all but
--- sampling: its inputs are those of the workload, repeated as a whole along the first dimension).
---@param axes table<string, integer> # the workload's sizes
---@return integer calls
---@return integer times
function Evaluator:calls(axes) end

--- Judge one call: nil, or a verdict that ends it. All three lists are in the definition's order.
---@param outputs hone.Tensor[]
---@param expected hone.Tensor[] # the reference's outputs; nil for sampling
---@param inputs any[] # those of this call
---@return hone.bench.Verdict?
function Evaluator:check(outputs, expected, inputs) end

--- The verdict after all calls.
---@return hone.bench.Verdict
function Evaluator:finish() end

--- The name of the evaluator that judges a definition; nil where two would.
---@param definition table
---@return string? name
---@return string? message
function evaluate.choose(definition) end

--- An evaluator for the calls of one solution on one workload. `settings.secret`, an integer, seeds the cells that
--- sampling is tested by.
---@param definition table
---@param settings hone.bench.Resolved
---@return hone.bench.Evaluator? evaluator
---@return string? message
function evaluate.new(definition, settings) end

return evaluate
