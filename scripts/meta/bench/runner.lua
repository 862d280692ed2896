---@meta hone.bench.runner

--- A benchmark of datasets: what there is to do, and doing it. `hone run` is made of this.
---
---     local set = assert(traceset.open "flashinfer-trace")
---     local plan = runner.plan({ set }, { definitions = { "rmsnorm_h4096" }, cuda = true })
---     local result = assert(runner.run(plan, {
---       settings = assert(settings.load()),
---       devices = { "cuda:0" },
---       save = true,
---       on_trace = function(trace) print(trace.solution, trace.evaluation.status) end,
---       on_skip = function(item, why) print(item.workload.uuid, why) end,
---     }))
local runner = {}

--- A workload and the solutions that are to be evaluated on it.
---@class hone.bench.Item
---@field root string # the dataset's folder
---@field definition table
---@field workload table
---@field solutions table[]
---@field kind "cuda"|"cpu"

--- What there is to do.
---@class hone.bench.Plan
---@field items hone.bench.Item[]
---@field evaluations integer
---@field skipped integer # they have a trace
---@field left_out integer # solutions that need a GPU, where there is none
---@field notes string[] # names that nobody has

--- What a run was.
---@class hone.bench.RunResult
---@field counts table<string, integer> # evaluations by status
---@field evaluations integer
---@field left_out { definition: string, why: string }[]
---@field seconds number
---@field shares table<string, number> # seconds by what they were spent on

--- What there is to do: every solution on every workload of its definition. With `resume`, what has a trace is left
--- out; without `cuda`, what needs a GPU.
---@param sets hone.dataset.TraceSet[]
---@param options { definitions: string[]?, solutions: string[]?, resume: boolean?, cuda: boolean? }
---@return hone.bench.Plan
function runner.plan(sets, options) end

--- An item as another one is, with other solutions.
---@param item hone.bench.Item
---@param solutions table[]
---@return hone.bench.Item
function runner.with_solutions(item, solutions) end

--- Evaluate items on a station, a definition after the other.
---@param station table # see hone.bench.station
---@param items hone.bench.Item[]
---@param report fun(trace: table, solution: table, item: hone.bench.Item)
---@param skip fun(item: hone.bench.Item, why: string, solution: table?)
---@param options? { keep: boolean?, coming: hone.bench.Item[][]? } # keep: workers stay, although their solutions have no more to do; coming: groups that may be asked for next
function runner.run_items(station, items, report, skip, options) end

--- Do it. The GPUs are locked against other benchmarks meanwhile. Traces are appended to the datasets as they are made;
--- the run ends where one cannot be kept.
---@param plan hone.bench.Plan
---@param options { settings: hone.bench.Settings, devices: string[], isolated: boolean?, reference: string?, save: boolean?, cache: string?, wait: number?, on_trace: function, on_skip: function, on_wait: function? } # wait: seconds for a GPU that another benchmark uses, by default 600
---@return hone.bench.RunResult? result
---@return string? message
function runner.run(plan, options) end

return runner
