---@meta hone.apidoc
--- The documentation of the Lua API: what help() shows and what docs/api holds.
---
--- Every library has an annotated stub in scripts/meta, a Lua file that editors with LuaLS understand and
--- that nothing runs. This library reads the stubs into plain data. A stub's form:
---
---     ---@meta hone.json
---     --- Prose about the library.
---     local json = {}
---
---     --- Prose about the function.
---     ---@param text string what it is
---     ---@param options? { nan?: boolean }
---     ---@return any value
---     ---@return string? message # said when there is none
---     function json.decode(text, options) end
---
---     --- Prose about the value.
---     json.null = nil ---@type userdata
---
---     --- Prose about the class.
---     ---@class hone.json.Reader
---     ---@field path string what it reads
---     local Reader = {}
---
---     --- Prose about the method.
---     function Reader:close() end
---
---     return json
---
--- Prose is Markdown: empty lines part paragraphs, four spaces begin code, "- " begins an item.
local apidoc = {}

--- What is known about one name. Which fields there are depends on `kind`.
---@class hone.apidoc.Entry
---@field kind "library"|"function"|"value"|"class"|"method"
---@field name string as it is written: "json.decode", "Tree:root"; the full name of a library or class
---@field key? string a function's, value's or method's name in its table
---@field library? string the library's full name, "hone.json"
---@field class? string a method's class
---@field text string the prose
---@field type? string a value's type
---@field params? { name: string, type: string, optional: boolean, text: string }[] in the order of the call
---@field returns? { name?: string, type: string, text: string }[]
---@field fields? { name: string, type: string, optional: boolean, text: string }[] of a class
---@field methods? hone.apidoc.Entry[] of a class
---@field functions? hone.apidoc.Entry[] of a library
---@field values? hone.apidoc.Entry[] of a library
---@field classes? hone.apidoc.Entry[] of a library
---@field aliases? { name: string, type: string, text: string }[] of a library: names for types
---@field variable? string a library's usual local name
---@field path? string a library's stub

--- All documented libraries, by name. Read on first use. Refused when the stubs cannot be found, or
--- one of them is not of the form above.
---@return hone.apidoc.Entry[]? libraries
---@return string? message
function apidoc.libraries() end

--- Read the text of one stub.
---@param text string
---@param path? string how messages call it
---@return hone.apidoc.Entry? library
---@return string? message with the line
function apidoc.read(text, path) end

--- What a name may mean, best first: a full name ("hone.json.decode", "hone.syntax.Tree:root"), a name
--- as it is written ("json.decode", "Tree:root", "Tree.root"), or a last part ("decode", "json").
---@param name string
---@return hone.apidoc.Entry[]? found empty where nothing has that name
---@return string? message
function apidoc.find(name) end

--- The documentation of a value at hand: a library, a function or method of one, a documented table,
--- an object of a documented class. Looks only into libraries that are loaded. Numbers, strings and
--- booleans belong to nobody.
---@param value any
---@return hone.apidoc.Entry? entry
---@return string? message only where the stubs cannot be read
function apidoc.describe(value) end

--- How a function is called, on one line: "json.decode(text, options?) -> value, message".
---@param entry hone.apidoc.Entry
---@return string
function apidoc.signature(entry) end

--- An entry as plain text for a terminal, without a newline at its end.
---@param entry hone.apidoc.Entry
---@param width? integer columns, 80 unless given; only code and long words are wider
---@return string
function apidoc.render_text(entry, width) end

--- The Markdown page of a library.
---@param library hone.apidoc.Entry
---@return string
function apidoc.render_markdown(library) end

--- All pages of the API as they would be in a folder: README.md and a page for each library.
---@param folder string
---@return { path: string, text: string }[]? pages
---@return string? message
function apidoc.pages(folder) end

--- Write all pages of the API into a folder, which is made if need be. Pages that are right already are
--- left alone.
---@param folder string
---@return string[]? written paths of the pages that changed
---@return string? message
---@return string? code
function apidoc.write(folder) end

return apidoc
