---@meta hone.bench.worker

--- A process that runs somebody's kernels: it holds neither expected outputs nor seeds nor verdicts, and what it says
--- is believed only where it is sealed with its key.
---
---     local one <close> = assert(worker.start { kind = artefact.worker, device = "cpu" })
---     assert(one:load(artefact))
---     assert(one:map(memory))
---     local reply, why, code = one:calls { values = values, inputs = 1, slots = list, timeout = 60 }
---
--- What fails is told as nil, a message and a code: "COMPILE_ERROR" (it cannot be loaded), "RUNTIME_ERROR",
--- "OUT_OF_MEMORY", "TIMEOUT" (it was ended), "CRASH" (its process ended, or something else wrote in its name).
local worker = {}

--- How to start one.
---@class hone.bench.WorkerOptions
---@field kind "native"|"python"|"lua"
---@field device? string # "cpu" by default
---@field imports? string # a module that a worker in Python imports before it is asked anything
---@field python? string # the program; HONE_PYTHON or python3 by default
---@field environment? table<string, string> # beside ours, of which it gets no tokens, secrets and passwords
---@field memory_limit? integer # bytes of address space
---@field file_limit? integer # bytes of a file that it writes

--- Calls to be made.
---@class hone.bench.Calls
---@field values { dtype: string, shape: integer[]?, value: any }[] # what all calls have in common: tensors and numbers, inputs first
---@field inputs integer # how many of them are inputs
---@field slots { offsets: integer[], sources: integer[]?, seen: integer[]? }[] # one a call: where its tensors lie, where its inputs are copied from before it, where its outputs are copied to after it
---@field warmup? integer # calls that are not timed, 1 by default
---@field cold? boolean # with empty caches (default)
---@field clock? "events" # in the place of CUPTI
---@field timeout? number # seconds, 300 by default

--- What came of them.
---@class hone.bench.CallsReply
---@field seconds number[] # of each timed call
---@field host number[] # of each call, until it returned
---@field clock string
---@field returned table[][] # of each call, what it returned: output, of, type, dtype, shape, device, in_arena

--- A running one.
---@class hone.bench.Worker
---@field kind string
---@field device string
---@field dead boolean? # of no use any more
local Worker = {}

--- Whether its program has come so far that it can begin; true, too, where it never will.
---@return boolean
function Worker:is_here() end

--- Have it open its device, without waiting for the end of that.
---@param seconds? number
---@return true? ok
---@return string? message
---@return string? code
function Worker:begin(seconds) end

--- Wait until it is up. Every request does so.
---@param seconds? number
---@return true? ok
---@return string? message
---@return string? code
function Worker:ready(seconds) end

--- Let it see an arena, in the place of the one that it saw before.
---@param arena hone.bench.Arena
---@return true? ok
---@return string? message
---@return string? code
function Worker:map(arena) end

--- Let go of the arena that it sees.
---@return true? ok
---@return string? message
---@return string? code
function Worker:unmap() end

--- Begin to load what was built; nothing else may be asked before `loaded` was.
---@param artefact hone.bench.Artefact
---@return true? ok
---@return string? message
---@return string? code
function Worker:begin_load(artefact) end

--- Wait until it is loaded.
---@param seconds number
---@return true? ok
---@return string? message
---@return string? code
function Worker:loaded(seconds) end

--- Load what was built.
---@param artefact hone.bench.Artefact
---@param options? { timeout: number? } # seconds, 300 by default
---@return true? ok
---@return string? message
---@return string? code
function Worker:load(artefact, options) end

--- Make calls, one for each slot.
---@param request hone.bench.Calls
---@return hone.bench.CallsReply? reply
---@return string? message
---@return string? code
function Worker:calls(request) end

--- What it printed since it was last asked: at most 5 MiB, in UTF-8.
---@return string
function Worker:log() end

--- Whether its process is there.
---@return boolean
function Worker:alive() end

--- End it at once, with what it started.
function Worker:kill() end

--- Have it end, and wait for that.
function Worker:stop() end

--- Start a process, which comes up beside us: several can start at once.
---@param options hone.bench.WorkerOptions
---@return hone.bench.Worker? worker
---@return string? message
function worker.start(options) end

return worker
