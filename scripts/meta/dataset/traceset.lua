---@meta hone.dataset.traceset

--- The definitions of a dataset: reading them, finding out which kernels are new to it, writing those.
---
---     local set = assert(traceset.open("flashinfer-trace"))
---     local plan = traceset.plan(set, definitions)
---     for _, decision in ipairs(plan.decisions) do print(decision.action, decision.name) end
---     assert(traceset.apply(plan))
local traceset = {}

--- An open dataset.
---@class hone.dataset.TraceSet
---@field root string
---@field files string[] paths of the files below `definitions/`, sorted
---@field problems { path: string, message: string }[] files and lines that could not be read so far; the rest is kept
---@field definition fun(self, name: string): table?, string?
---@field definitions fun(self): string[] # names
---@field solutions fun(self, name: string): table[] # of a definition
---@field solution fun(self, name: string): table?, string? # and its path
---@field authors fun(self, name: string): { name: string, author: string, path: string }[] # of a definition, without their sources
---@field author fun(self, name: string): table? # the same of one solution
---@field results fun(self, name: string): fun(): table?, integer? # of a definition's traces: columns definition, solution, uuid, status, latency, hardware, and a row in them
---@field each_result fun(self): fun(): table?, string? # such columns, file by file
---@field workloads fun(self, name: string): table[] # of a definition: traces without solution
---@field traces fun(self, name: string): table[]
---@field each fun(self, folder: "workloads"|"traces"): fun(): table?, string? # every line, file by file
---@field filter_traces fun(self, name: string, atol?: number, rtol?: number): table[]
---@field best_trace fun(self, name: string, options?: { axes?: table, atol?: number, rtol?: number }): table?
---@field solution_score fun(self, name: string, baseline_author?: string): table?, string?
---@field author_score fun(self, author: string, options?: table): table?, string?
---@field rank_authors fun(self, options?: { baseline_author?: string, op_type?: string, definition?: string }): table[]?
---@field summary fun(self, options?: table): table?, string?

--- The folder of the dataset: `chosen`, else what FIB_DATASET_PATH says, else `./flashinfer-trace`.
---@param chosen? string
---@return string root
function traceset.locate(chosen) end

--- Open the dataset in folder `root`. Files are read when they are needed, and once.
---@param root string
---@param options? { create?: boolean } take a folder that is not there for an empty dataset
---@return hone.dataset.TraceSet? set
---@return string? message
function traceset.open(root, options) end

--- Open several datasets, or, where none is named, the one that `locate` finds.
---@param roots? string[]
---@return hone.dataset.TraceSet[]? sets
---@return string? message
function traceset.open_all(roots) end

--- All definitions that can be read, in the order of their paths.
---@param set hone.dataset.TraceSet
---@return { path: string, definition: table }[]
function traceset.definitions(set) end

--- The files that could not be read: no JSON, no definition (references are not parsed here), or the second
--- of a name. The message is one line with the path; JSON that is none has a line and a column.
---@param set hone.dataset.TraceSet
---@return { path: string, message: string, line?: integer, column?: integer }[]
function traceset.errors(set) end

--- The definition of a name and its path. `<name>.json` is looked at first, so that this reads one file as
--- a rule.
---@param set hone.dataset.TraceSet
---@param name string
---@return table? definition
---@return string? path
function traceset.definition(set, name) end

--- The definitions of one kernel, whatever they are called.
---@param set hone.dataset.TraceSet
---@param signature string from `hone.ops.signature`
---@return { path: string, definition: table }[]
function traceset.by_signature(set, signature) end

--- What a dataset needs for one kernel.
---@class hone.dataset.Decision
---@field action "new"|"existing"|"unchanged"|"conflict"
---@field name string its name in the dataset
---@field path string its file
---@field definition table as it is written; for a kernel that exists, as it was given
---@field tags? string[] what the existing file gains
---@field planned? true the kernel that exists is one that this plan makes
---@field reason? string why a conflict is one
---@field notes string[] another name, a known contradiction of the dataset

--- What a dataset needs for a list of kernels.
---@class hone.dataset.Plan
---@field root string
---@field decisions hone.dataset.Decision[] one for each definition, in their order

--- Decide for each definition what the dataset needs; nothing is written, and nothing given is changed.
---
--- - "new": no such kernel; written under its name.
--- - "existing": the kernel is there, under whatever name; it gains the tags of this definition's models.
--- - "unchanged": it is there with those tags.
--- - "conflict": its name stands for another kernel, or a kernel of its shape has another epsilon, or one
---   that cannot be read. Written under its name if that is free, else under the next of `<name>_v2`,
---   `<name>_v3`; somebody should look at it.
---
--- A kernel that is new twice is written once, with the tags of both.
---@param set hone.dataset.TraceSet
---@param definitions table[]
---@param options? { deduplicate?: boolean } false: do not look for equal kernels; nothing existing is touched
---@return hone.dataset.Plan
function traceset.plan(set, definitions, options) end

--- Write what a plan decided. The content of every file is made before the first is written, each file is
--- whole or not there, and of an existing file only the list of tags changes.
---@param plan hone.dataset.Plan
---@return { created: string[], tagged: string[] }? paths
---@return string? message
---@return string? code
function traceset.apply(plan) end

return traceset
