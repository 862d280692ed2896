---@meta hone.json

--- JSON that keeps the order of fields, tells lists from objects, and says where a text is wrong.
---
--- An object is a table whose fields are read and assigned as usual and whose `pairs` runs in the order of
--- the text, or of assignment. A field set to nil is gone, and keeps its place should it come back. The order
--- is that of assignment through the table: `rawset` goes around it. Lists are sequences; an empty one is
--- told from an empty object by its metatable. Integers stay integers and floats stay floats. Text is UTF-8.
---
--- A value nests at most 512 levels deep, or `max_depth`, which is at most 4096.
local json = {}

--- Where in a text a mistake is.
---@class hone.json.Position
---@field offset integer # byte of the text or file, from 1
---@field line integer # from 1
---@field column integer # in characters, from 1

--- What reading takes beyond plain JSON.
---@class hone.json.DecodeOptions
---@field name? string # what messages call the text; by default "json", or the path of the file
---@field nan? boolean # take NaN and Infinity, and 1e999 for infinity; they are refused by default
---@field big? "error"|"float" # an integer past 64 bits is refused ("error", the default) or becomes a float
---@field max_depth? integer # deepest nesting taken

--- How a text is laid out, and what becomes of floats that JSON has no words for.
---@class hone.json.EncodeOptions
---@field indent? integer # spaces a level, laid out as Python's `json.dumps` does; all on one line by default
---@field spaced? boolean # on one line, a space after each `,` and `:`
---@field nan? "error"|"allow"|"null"|"string" # NaN and infinities raise (default), are bare, null, or quoted
---@field max_depth? integer # deepest nesting taken
---@field newline? boolean # json.write: end the file with a newline

--- JSON's null, the same value as cjson's.
json.null = nil ---@type userdata

--- Read a JSON text. Refused are, with their position: what RFC 8259 does not allow, a repeated key, strings
--- that are not UTF-8, and numbers that do not fit.
---@param text string
---@param options? hone.json.DecodeOptions
---@return any value # nil when the text is refused; JSON's null is `json.null`
---@return string? message # `name:line:column: reason (byte offset)`
---@return hone.json.Position? position
function json.decode(text, options) end

--- Write a value as JSON. Objects keep their order; a plain table is a list when it holds items 1 to n (at
--- least one), and else an object with its keys sorted; a plain empty table is an object. Floats are printed
--- with the fewest digits that read back the same, as pydantic prints them: `1.0`, `1e-6`, `1e+16`.
--- Raises for what JSON cannot hold, with the way there: `cannot encode a function at .spec.sources[2]`.
---@param value any
---@param options? hone.json.EncodeOptions
---@return string text
function json.encode(value, options) end

--- Make an object that keeps the order in which its fields are assigned.
---@param fields? any[][] # its first fields: { {"name", "x"}, {"axes", axes} }
---@return table object
function json.object(fields) end

--- Whether `encode` would write the value as an object: one of ours, or a plain table without list items.
---@param value any
---@return boolean
function json.is_object(value) end

--- The keys of an object in their order; those of a plain table sorted.
---@param object table
---@return string[] keys # a new list
function json.keys(object) end

--- Mark a list as such, which an empty one needs to be written `[]`.
---@param list? table # a new list by default
---@return table list # the same table
function json.array(list) end

--- Whether `encode` would write the value as a list.
---@param value any
---@return boolean
function json.is_array(value) end

--- Read a file that holds one JSON value.
---@param path string
---@param options? hone.json.DecodeOptions
---@return any value # nil when the file cannot be read or its text is refused
---@return string? message
---@return string|hone.json.Position? code # the system's name of the error, or where the text is wrong
function json.read(path, options) end

--- Write a value to a file, which is replaced at once or not at all. The text ends without a newline unless
--- `newline` is set.
---@param path string
---@param value any
---@param options? hone.json.EncodeOptions
---@return true? done
---@return string? message
---@return string? code
function json.write(path, value, options) end

--- Walk a file of one JSON value a line, in constant memory however long the file; blank lines are skipped.
--- For a line that is refused the loop gets its number, nil, the message and the position, and goes on with
--- the next line unless it is left: `for number, value, why in assert(json.lines(path)) do ... end`. A file
--- that can be read no further ends the loop in the same way. An open file is read from where it stands and
--- not closed.
---@param file string|file*
---@param options? hone.json.DecodeOptions
---@return (fun(): integer?, any, string?, hone.json.Position?)? iterator # nil when the file cannot be opened
---@return string? message
---@return string? code
function json.lines(file, options) end

--- What texts look like, and which parts of them are wanted: { kind, ..., pick = column }. Kinds are `text` (not
--- empty), `string`, `path` (relative, without `..`), `choice` (followed by its words), `null`, `boolean`, `size`
--- (an integer from 0), `measure` (a number from 0), `number`, `any`, `object` (followed by its fields, each
--- { name, form, optional = true }; there may be no others), `map` and `list` (followed by the form of what is in
--- them; `least` items, and `only` picks one field of each), `either` (followed by forms, of which the first that
--- fits counts).
---@alias hone.json.Form table

--- Reads many texts of one form without making tables of what nobody wants.
---@class hone.json.Picker
local Picker = {}

--- The wanted parts of a file with a value a line, as lists: those of column 1, of column 2, and so on; false where
--- a line does not have one. Where a line is not of the form nothing is returned but why; code is then "FORM".
---@param path string
---@return any[][]? columns
---@return integer|string count # of lines that are not blank; else the message
---@return string? code
function Picker:lines(path) end

--- The wanted parts of a file that holds one value.
---@param path string
---@return any ... # false where there is none; nil, a message and a code when it is not of the form
function Picker:value(path) end

--- Make a picker. What it takes is JSON that `decode` takes too; what it refuses may still be good.
---
---     local picker = json.picker { "object", { "name", { "text", pick = 1 } } }
---@param form hone.json.Form
---@return hone.json.Picker
function json.picker(form) end

--- Append a value to a file as one whole line; a last line that lacks its newline is ended first.
---@param path string
---@param value any
---@param options? hone.json.EncodeOptions # without `indent`
---@return true? done
---@return string? message
---@return string? code
function json.append(path, value, options) end

--- Add one value to a JSON text and leave every other byte as it was: at the end of the list at `path`, or as
--- the field `key` at the end of the object there. It is laid out as its neighbours are.
---@param text string
---@param path (string|integer)[] # keys and positions from the root: {"tags"}; {} is the root itself
---@param value any
---@param key? string # for an object
---@return string? text
---@return string? message
function json.insert(text, path, value, key) end

return json
