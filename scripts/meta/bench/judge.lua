---@meta hone.bench.judge

--- The judge of a device: it owns the memory that solutions are given, makes their inputs, knows what should come out,
--- and says what came of a solution on a workload.
---
---     local of <close> = judge.new { device = "cpu", root = "flashinfer-trace", reference = references.maker "native" }
---     local work = assert(of:workload(definition, workload, settings.resolve(chosen, definition)))
---     local verdict = assert(of:evaluate(work, { worker = one, artefact = artefact, deadline = clock.now() + 300 }))
---     print(verdict.status, verdict.performance and verdict.performance.latency_ms)
local judge = {}

--- What came of a solution.
---@class hone.bench.Verdict
---@field status string # as in traces
---@field log string[] # lines
---@field correctness? table # max_relative_error, max_absolute_error, extra
---@field performance? table # latency_ms, reference_latency_ms, speedup_factor; of what PASSED

--- The judge of one device.
---@class hone.bench.Judge
---@field device string
---@field watch table # what the time was spent on, see hone.bench.clock
local Judge = {}

--- The status of an evaluation that a worker's code ended.
---@param code string
---@return "COMPILE_ERROR"|"TIMEOUT"|"RUNTIME_ERROR" status
function judge.status_of(code) end

--- Get ready for judging solutions of a definition on a workload; nil and why that cannot be done: its data is not
--- what it says, or the reference fails.
---@param definition table
---@param workload table
---@param resolved hone.bench.Resolved
---@return table? work
---@return string? message
function Judge:workload(definition, workload, resolved) end

--- The i-th set of values of a workload whose outputs are known.
---@param work table
---@param i integer
---@return { seed: integer, expected: hone.Tensor[]? }? content
---@return string? message
function Judge:known_content(work, i) end

--- Say what came of a solution that a worker has loaded.
---@param work table
---@param run { worker: hone.bench.Worker, artefact: hone.bench.Artefact, deadline: number, clock: string? }
---@return hone.bench.Verdict? verdict
---@return string? message # the reference failed
function Judge:evaluate(work, run) end

--- Free its memory, of which workers let go first.
function Judge:close() end

--- A judge, which has no memory before it needs some.
---@param options { device: string, root: string, reference: fun(definition: table): function?, string? }
---@return hone.bench.Judge
function judge.new(options) end

return judge
