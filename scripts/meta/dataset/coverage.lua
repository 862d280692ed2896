---@meta hone.dataset.coverage

--- How much of what models run a dataset has: which definitions are there, with workloads or without, and
--- which are missing. Kernels are compared by `hone.ops.signature`, whatever they are called.
---
---     local index = coverage.index(assert(traceset.open("flashinfer-trace")))
---     for _, entry in ipairs(coverage.of(index, "llama-3.1-8b", definitions)) do
---       print(entry.status, entry.name)
---     end
local coverage = {}

--- A dataset's definitions by signature.
---@class hone.dataset.CoverageIndex
---@field root string
---@field definitions table[] in the order of their paths
---@field by_name table<string, table>
---@field by_signature table<string, table>
---@field counted table<string, integer> lines of workload files, by definition, as far as they were counted

--- One definition that a model needs.
---@class hone.dataset.CoverageEntry
---@field name string as the dataset calls it, else as hone does
---@field op_type string
---@field parallel string[] the sizes it was written for: `{ "tp:4" }`
---@field status "workloads"|"present"|"missing" there with workloads, there without, not there
---@field workloads integer
---@field definition? table the dataset's
---@field namesake boolean missing, and the dataset's definition of that name is another kernel
---@field found boolean false: only the dataset's tag says that the model needs it

--- Read a dataset's definitions.
---@param set hone.dataset.TraceSet
---@return hone.dataset.CoverageIndex
function coverage.index(set) end

--- How many workloads a dataset has for a definition: the lines of `workloads/<op_type>/<name>.jsonl`.
---@param root string the dataset
---@param definition table
---@return integer
function coverage.workloads(root, definition) end

--- The dataset's definition of the same kernel, or nil.
---@param index hone.dataset.CoverageIndex
---@param definition table
---@return table?
function coverage.find(index, definition) end

--- The dataset's definitions that are tagged with a model, by `hone.dataset.tags.same_model`.
---@param index hone.dataset.CoverageIndex
---@param model string its name in tags
---@return table[]
function coverage.tagged(index, model) end

--- The models that the dataset's tags name, sorted.
---@param index hone.dataset.CoverageIndex
---@return string[]
function coverage.models(index) end

--- A model against the dataset: every definition that it runs, in their order, then those that only a tag of
--- the dataset gives it.
---@param index hone.dataset.CoverageIndex
---@param model string its name in tags
---@param definitions table[] that it runs
---@return hone.dataset.CoverageEntry[]
function coverage.of(index, model, definitions) end

--- How many entries there are of each status, and in all.
---@param entries hone.dataset.CoverageEntry[]
---@return { workloads: integer, present: integer, missing: integer, total: integer }
function coverage.count(entries) end

return coverage
