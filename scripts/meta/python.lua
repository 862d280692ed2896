---@meta hone.python
--- Reading Python without running it: an evaluator over syntax trees.
---
--- A world evaluates the sources of some packages; what is outside them is unknown. It constructs the
--- objects that the sources construct, follows imports inside the packages, explores branches on unknown
--- values both ways and merges them, and lets integers remember how they came about. Modules are parsed
--- when something in them is needed, and their top-level statements run when a name they bind is read.
--- No Python runs, so reading a stranger's source is safe; steps, depth, memory and time are bounded.
---
---     local python = require "hone.python"
---     local world = python.abstract { packages = { sglang = "/repos/sglang/python/sglang" } }
---     local llama = assert(world:import("sglang.srt.models.llama"))
---     local class = assert(world:get(llama, "LlamaForCausalLM"))
---     local model, message = world:call(class, { config })
---
--- Python values in Lua: str and bool are strings and booleans, int and float are numbers or, when they
--- remember their history, traced numbers (take the plain one with `python.number`). Everything else is an
--- opaque value to be given back to the world's functions.
local python = {}

---@alias hone.python.Value any a Python value
---@alias hone.python.Site { file: string, path: string, line: integer, function: string, class?: string }

--- The bounds of an evaluation: beyond them it ends with one line that names the place.
---@class hone.python.Limits
---@field steps? integer statements, calls and iterations: 5000000 unless given
---@field seconds? number 30 unless given
---@field kilobytes? integer of memory: 2 GiB unless given
---@field depth? integer of nested calls, beyond which RecursionError is raised: 900 unless given
---@field branches? integer unknown branches run both ways: 20000 unless given
---@field nested_branches? integer of these, one inside the other: 8 unless given
---@field c_levels? integer nested protected calls and generators: 130 unless given

--- Overrides are functions (world, args, kwargs, site) that replace Python functions and classes (where
--- one returns nil the Python runs after all), or values that replace module variables.
---@class hone.python.Options
---@field packages table<string, string> top-level package names to their folders
---@field externals? table<string, hone.python.Value> values for dotted names outside: ["torch.float16"] = ...
---@field overrides? table<string, any> replacements by qualified name, see above
---@field opaque? string[] modules and packages inside `packages` that are not read: taken for ones from outside
---@field missing? string[] packages and modules whose import raises ModuleNotFoundError
---@field limits? hone.python.Limits
---@field print? fun(text: string) receives what print() writes; it is dropped unless given

--- Make a world. Overrides and hooks may be added until they are needed: both tables stay live, but a
--- function's override is looked up when its `def` runs.
---@param options hone.python.Options
---@return hone.python.World world
function python.abstract(options) end

--- Parse a Python file.
---@param path string
---@return table? module the syntax tree as `hone.syntax`'s tables
---@return string? message "file:line:column: syntax error: ..."
---@return table? tree { root = module, expand = function(lazy node) }
function python.parse(path) end

--- The plain Lua number behind an int or float, nil for anything else.
---@param v hone.python.Value
---@return number?
function python.number(v) end

--- The plain Lua value behind a number, string or bool (traced, or of a subclass); others as they are.
---@param v hone.python.Value
---@return any
function python.value(v) end

--- Whether a value is not known for certain: unknown, or one of several.
---@param v hone.python.Value
---@return boolean
function python.is_unknown(v) end

--- Whether a value is None.
---@param v hone.python.Value
---@return boolean
function python.is_none(v) end

--- The values that `v` may have: itself when it is known, none when nothing is known.
---@param v hone.python.Value
---@return hone.python.Value[]
function python.alternatives(v) end

--- How a number came about, short: "num_attention_heads 128 / tp_size 8 = 16". Nil for a number without
--- history, such as a literal.
---@param v hone.python.Value
---@return string?
function python.explain(v) end

--- The steps behind a number, sources first.
---@param v hone.python.Value
---@return { value: number, name?: string, op?: string, from: any[], line: string|false }[]
function python.chain(v) end

--- A number that remembers its name.
---@param value number
---@param name string
---@return hone.python.Value
function python.traced(value, name) end

--- A traced number that tells when evaluation reads it: compares it, calculates with it, looks something up by
--- it, prints it. Passing it on and storing it is not reading. With `on_test`, evaluation may also calculate with it,
--- compare it and look items of lists up by it without reading it: on_test is given a function that says whether the
--- same comes out for another number in its place.
---@param value integer|number
---@param name string
---@param on_read fun()
---@param on_test? fun(holds: fun(other: number): boolean)
---@return hone.python.Value
function python.tracked(value, name, on_read, on_test) end

--- A value about which nothing is known.
---@param origin string what to call it
---@param reason? string
---@return hone.python.Value
function python.unknown(origin, reason) end

--- What `python.object` is made of.
---@class hone.python.ObjectOptions
---@field name string of its class
---@field fields table<string, any>
---@field on_missing? fun(name: string): string
---@field open? boolean
---@field find? fun(name: string): hone.python.Value?
---@field trace? boolean
---@field methods? table<string, function>

--- An object with fields, such as a config. `getattr` and `hasattr` go by what is there; numbers are
--- traced under their fields' names unless `trace` is false; nested tables become dicts and lists.
--- `on_missing(name)` gives the text of the AttributeError for a field that is not there; with `open`, such
--- a field is unknown instead; `find(name)` may supply it (nil: it is missing). `methods` are functions
--- (args, kw) without self.
---@param options hone.python.ObjectOptions
---@return hone.python.Value
function python.object(options) end

--- A Python function written in Lua.
---@param name string
---@param fn fun(args: table, kwargs: table): hone.python.Value args is a list with `n`
---@return hone.python.Value
function python.fn(name, fn) end

--- A class written in Lua, to be an external: models inherit from it and call its methods.
---@param name string dotted name
---@param base? hone.python.Value class, object unless given
---@param methods? table<string, fun(args: table, kwargs: table): hone.python.Value> args[1] is self
---@param open? boolean what its instances lack is unknown, instead of an AttributeError
---@return hone.python.Value
function python.class(name, base, methods, open) end

--- Let an instance keep what its properties give until one of its attributes is written.
---@param instance hone.python.Value
function python.remember_properties(instance) end

--- An instance of a class, made without its constructor.
---@param class hone.python.Value
---@param fields? table<string, hone.python.Value> its attributes
---@return hone.python.Value
function python.instance(class, fields) end

--- A tuple.
---@param list hone.python.Value[] taken over
---@return hone.python.Value
function python.tuple(list) end

--- Convert decoded JSON to Python: objects to dicts, arrays to lists, null to None.
---@param v any
---@param trace? string trace numbers under this name ("" for the keys alone)
---@return hone.python.Value
function python.from_lua(v, trace) end

--- Convert to plain Lua, as `hone.json` writes it: dicts, lists, None (json.null), plain numbers. Unknowns
--- and other objects become nil.
---@param v hone.python.Value
---@return any
function python.to_lua(v) end

--- None.
---@return hone.python.Value
function python.none() end

--- What was met. Files that were read count once each.
---@class hone.python.Report
---@field unknown table<string, { kind: string, what?: string, count: integer, first: string }>
---@field files { path: string, bytes: integer }[]
---@field steps integer
---@field branches integer unknown branches run both ways
---@field branch_lines table<string, table<integer, integer>> these by file and line
---@field dropped integer ways dropped because they raised
---@field merges integer lists whose length differed between two ways
---@field unexplored integer branches beyond the bounds, of which one way was run

--- Hooks go by qualified class name and count for subclasses too. `construct` hooks are called after
--- __init__, under "*" for every class: (instance, arguments by name, site, names in order). `call` hooks
--- are called in place of forward: (instance, args, kwargs, site); where one returns nil forward runs.
---@class hone.python.Hooks
---@field construct table<string, function>
---@field call table<string, function>

--- A world: modules, hooks and the report of one evaluation.
---@class hone.python.World
---@field report hone.python.Report
---@field hooks hone.python.Hooks
---@field externals table<string, hone.python.Value>
---@field overrides table<string, any>
---@field limits table<string, number>
local World = {}

--- Import a module. Errors of its own statements are counted in the report, not raised.
---@param name string "sglang.srt.models.llama"
---@param lazily? boolean parse only what is needed of its file: a syntax error elsewhere in it goes unnoticed
---@return hone.python.Value? module
---@return string? message one line
---@return hone.python.Value? exception
function World:import(name, lazily) end

--- Run a program's text, all statements in order.
---@param text string
---@param name? string for messages
---@return hone.python.Value? module
---@return string? message
---@return hone.python.Value? exception
function World:run(text, name) end

--- An attribute: getattr(value, name).
---@param value hone.python.Value
---@param name string
---@return hone.python.Value?
---@return string? message
function World:get(value, name) end

--- Whether an attribute is there.
---@param value hone.python.Value
---@param name string
---@return boolean
function World:has(value, name) end

--- Whether a function or method written in Python has a parameter of that name.
---@param fn hone.python.Value
---@param name string
---@return boolean
function World:takes(fn, name) end

--- Set an attribute.
---@param value hone.python.Value
---@param name string
---@param v hone.python.Value
---@return boolean?
---@return string? message
function World:set(value, name, v) end

--- An attribute that the instance itself holds, without properties and classes; nil when there is none.
---@param v hone.python.Value
---@param name string
---@return hone.python.Value?
function World:attribute(v, name) end

--- value[key]
---@param value hone.python.Value
---@param key hone.python.Value
---@return hone.python.Value?
---@return string? message
function World:item(value, key) end

--- Let `int(text)` give a number where the text is none: for a part of a name that stands for it.
---@param text string
---@param value hone.python.Value? nil: not any more
function World:reads_as(text, value) end

--- All items of an iterable; nil when they are not known.
---@param value hone.python.Value
---@return hone.python.Value[]?
---@return string? message
function World:items(value) end

--- Call a function, class or object.
---@param fn hone.python.Value
---@param args? hone.python.Value[]
---@param kwargs? table<string, hone.python.Value>
---@return hone.python.Value? result
---@return string? message one line: what was raised, and where
---@return hone.python.Value? exception its `stack` lists { file, line, name }, innermost first
function World:call(fn, args, kwargs) end

--- Call a method by name.
---@param value hone.python.Value
---@param name string
---@param args? hone.python.Value[]
---@param kwargs? table<string, hone.python.Value>
---@return hone.python.Value? result
---@return string? message
---@return hone.python.Value? exception
function World:call_method(value, name, args, kwargs) end

--- Run a Lua function inside the world: Python exceptions raised in it come back as nil and a message.
---@param fn function
---@param ... any
---@return any
---@return string? message
function World:try(fn, ...) end

--- Raise a Python exception, from an override or a hook.
---@param class string "ValueError"
---@param message string
function World:raise(class, message) end

--- repr(value)
---@param value hone.python.Value
---@return string?
---@return string? message
function World:repr(value) end

--- The Python calls that are running, innermost first.
---@return { file: string, path: string, line: integer, name: string, function: string }[]
function World:stack() end

--- The name of a value's class, or of the class or function itself.
---@param v hone.python.Value
---@return string
function World:class_name(v) end

--- The qualified name: "sglang.srt.layers.layernorm.RMSNorm".
---@param v hone.python.Value
---@return string
function World:qualname(v) end

--- Qualified names along the method resolution order.
---@param v hone.python.Value
---@return string[]
function World:mro(v) end

--- Whether a value is a class.
---@param v hone.python.Value
---@return boolean
function World:is_class(v) end

--- Whether a value is an instance of the class with this qualified name, or one that ends in it.
---@param v hone.python.Value
---@param name string "RMSNorm", "layernorm.RMSNorm"
---@return boolean
function World:is_instance(v, name) end

--- The attributes that an instance holds, in the order of their first assignment.
---@param v hone.python.Value
---@return { name: string, value: hone.python.Value }[]
function World:attributes(v) end

--- The items that a list or tuple holds, or an instance that is one, such as a ModuleList.
---@param v hone.python.Value
---@return hone.python.Value[] none for other values
function World:list_items(v) end

--- Put other items into a list or tuple, or an instance that is one, in the places of some that it holds.
---@param v hone.python.Value other values are left alone
---@param replacements table<hone.python.Value, hone.python.Value> items to what takes their places
function World:replace_items(v, replacements) end

--- Run a function and keep what it writes to Python's objects.
---@param fn fun(): hone.python.Value
---@return hone.python.Value value
---@return fun() write_again writes all of it once more, in place of running the function
function World:record(fn) end

--- What an object is made of, as a text: two layers of a stack have the same shape when nothing but their index
--- tells them apart, where it is kept as it is and in names such as "layers.12". Nothing is read of a number
--- made by `python.tracked`.
---@param v hone.python.Value
---@param index integer of the object among those that it is compared with
---@param before table<table, boolean> what the objects before hold, which is the same only as itself; added to
---@return string? shape nil for an object that holds too much
---@return boolean holds_derived whether it holds numbers that were calculated from a tracked one
function World:shape(v, index, before) end

--- What was met and is not known, most frequent first.
---@return { kind: string, what?: string, count: integer, first: string }[]
function World:unknown_constructs() end

return python
