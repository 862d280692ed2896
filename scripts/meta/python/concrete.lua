---@meta hone.python.concrete

--- Python that runs: sources in the language of references, translated to Lua, with torch mapped onto hone's tensors.
---
--- Nothing is given to a Python interpreter, and a source has no file, network or process in its reach. What is not
--- known (a construct, a module, a function of torch, a method) is refused when it is loaded, with its line.
--- Integers have 64 bits: beyond them is an OverflowError.
local concrete = {}

--- Python's None.
concrete.None = nil ---@type table

--- A source that was loaded.
---@class hone.python.concrete.Source
---@field name string
---@field steps integer # how often loops may go round in a call
local Source = {}

--- Call a function of the source. Lua's numbers, booleans and strings are Python's, tensors are tensors.
---@param name string
---@param ... any
---@return any result # nil when it failed
---@return string? message # one line: the source's name and line, and the exception
function Source:call(name, ...) end

--- The names of its functions, sorted.
---@return string[]
function Source:functions() end

--- The names of a function's parameters, in order.
---@param name string
---@return string[]
function Source:parameters(name) end

--- Translate a source and run its top level.
---@param text string
---@param options? { name: string?, steps: integer? }
---@return hone.python.concrete.Source? source
---@return string? message
function concrete.load(text, options) end

--- The Lua that a source becomes, for those who want to see it.
---@param text string
---@param name? string
---@return string? lua
---@return string? message
function concrete.lua_text(text, name) end

--- What is known of torch and of Python: names by where they are found ("torch", "torch.nn.functional", "Tensor",
--- "builtins", "math").
---@return table<string, string[]>
function concrete.known() end

--- Is a value a tuple of Python's? Its length is in `n`.
---@param v any
---@return boolean
function concrete.is_tuple(v) end

--- The values of a dict by its keys; nil for anything else.
---@param v any
---@return table?
function concrete.dict_values(v) end

return concrete
