---@meta hone.dataset.solution

--- Solutions: somebody's code for a definition. Tables in the dataset's own field names.
---
---     local checked = assert(solution.check(assert(json.read "mine.json")))
---     assert(solution.write("flashinfer-trace", solution.with_unique_name(checked)))
local solution = {}

--- The solution as flashinfer-bench would read it: its fields in their order, numbers and flags as such, without
--- keys that the format does not know. Fields that were not given stay out.
---
--- A solution in hone's own Lua has `"language": "lua"` and `"extension": "hone"` in its spec, and is read only with
--- `extensions`; `validate` refuses it.
---@param t table
---@param options? { extensions: boolean? }
---@return table? solution
---@return string? message
function solution.check(t, options) end

--- What building needs, with the format's defaults filled in; cuda and cpp bind by "tvm-ffi".
---@param t table # checked
---@return { language: string, binding?: string, dps: boolean, entry: string, symbol: string, dependencies: string[] }
function solution.build_of(t) end

--- Whether a solution runs on a GPU: some of its targets is none of the CPU.
---@param t table # checked
---@return boolean
function solution.needs_gpu(t) end

--- SHA-1 over definition, language, entry point, binding, dependencies and sources. The name is not in it, as in
--- flashinfer-bench's sources; its release 0.1.2 still hashes the name too.
---@param t table # checked
---@return string hex
function solution.hash(t) end

--- A copy with `_` and the first eight digits of its hash after its name.
---@param t table # checked
---@return table
function solution.with_unique_name(t) end

--- Where the file belongs in a dataset. A name with a slash, or `..`, is refused.
---@param root string
---@param t table
---@param op_type string
---@return string? path
---@return string? message
function solution.path(root, t, op_type) end

--- The file's text, as flashinfer-bench writes it: indented by 2, no newline at the end.
---@param t table # checked
---@return string
function solution.encode(t) end

--- Check a solution and write its file in one step.
---@param root string
---@param t table
---@param op_type? string # by default that of its definition in the dataset
---@return string? path
---@return string? message
---@return string? code
function solution.write(root, t, op_type) end

return solution
