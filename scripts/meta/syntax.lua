---@meta hone.syntax
--- Syntax trees of Python and TypeScript sources, by tree-sitter. Reading a source never runs it.
---
--- Rows, columns and byte offsets count from 1, columns in bytes; a range is its first and its last
--- byte, so that `source:sub(node:range())` is the node's text. A tree keeps its source alive, a node
--- keeps its tree alive. Any bytes can be parsed: what is not the language becomes ERROR nodes.
---
--- For a program that walks a whole source, convert the tree to plain tables with `tree:to_table`.
local syntax = {}

---@alias hone.syntax.Language "python"|"typescript"|"tsx"

--- How `tree:to_table` and `tree:expand` convert.
---@class hone.syntax.Options
---@field lazy? string[] types of nodes that are not descended into
---@field tokens? string[] types whose unnamed children are kept
---@field text? string[] types that have their text although they have children
---@field offsets? boolean whether each table has `from` and `to`
---@field line? integer number of the source's first line, 1 unless given: for a piece of a larger source
---@field max_depth? integer levels of nesting that are taken, 5000 unless given, 200000 at most

--- The languages that can be parsed: "python", "typescript" and "tsx".
syntax.languages = nil ---@type hone.syntax.Language[]

--- Parse a source text. A source with mistakes in it is parsed too: see `tree:errors()` and
--- `node:has_error()`. Grammars are shared objects, hone/grammar/<language>.so beside the C libraries,
--- opened when first used. Refusals: "no_grammar", "timeout" and "too_large" (more than 2 GiB).
---@param source string any bytes; UTF-8 is expected in identifiers and text
---@param language hone.syntax.Language
---@param options? { timeout?: number } timeout in seconds, 10 unless given
---@return hone.syntax.Tree? tree
---@return string? message
---@return string? code
function syntax.parse(source, language, options) end

--- A parsed source.
---@class hone.syntax.Tree
local Tree = {}

--- The node that spans the whole source.
---@return hone.syntax.Node
function Tree:root() end

--- The text that was parsed.
---@return string
function Tree:source() end

--- Convert a subtree to plain tables, in one pass in C: the quick way to read a whole source.
---
--- Each named node becomes one table:
---
---     { type = "binary_operator", line = 12,      -- line counts from 1
---       [1] = left, [2] = right,                  -- its named children, in order
---       left = left, right = right,               -- the same tables, under their fields' names
---       operator = "+" }                          -- an unnamed token that fills a field is a string
---
--- - Where a field occurs several times (`alternative` of an if_statement, `name` of an import), the
---   first child is stored under its name, and all are in the sequence.
--- - The field `type` (of a Python assignment or parameter) is called `annotation`.
--- - comparison_operator has the list `operators`, such as { "<", "not in" }.
--- - A Python slice has its parts as `start`, `stop` and `step`, each nil where it is left out.
--- - A node without named children has its `text`; so have dotted_name and string_content, and the
---   types named in the option `text`.
--- - Comments and line continuations are left out, and so are other unnamed tokens: the option
---   `tokens` names types whose tokens are to be in the sequence, as { type = ":" }.
--- - What is wrong with the source is of type "ERROR"; a node that the parser made up has missing = true.
--- - With `offsets`, each table has `from` and `to`, its first and last byte.
---
--- Nodes of the types named in `lazy` are not converted but left as { type = "block", line = 3, from = 40,
--- to = 95, lazy = true }, to be filled in by `tree:expand`: a function that is never called is never
--- converted. The node that the conversion starts at is never lazy, nor is one without children.
---
--- Refused, with the code "too_deep", for a tree of more than `max_depth` levels (5000 unless given).
---@param node? hone.syntax.Node the root unless given
---@param options? hone.syntax.Options
---@return table? node
---@return string? message
---@return string? code
function Tree:to_table(node, options) end

--- Fill in a lazy node of `to_table`, in place; it is no longer lazy then. A node that is not lazy is
--- returned as it is. Options are those of `to_table`: give `lazy` again to leave the nodes inside lazy.
---@param stub table a table that `to_table` left lazy, of this very tree
---@param options? hone.syntax.Options
---@return table? stub
---@return string? message
---@return string? code
function Tree:expand(stub, options) end

--- What is wrong with the source, in its order: texts that the parser could not make sense of, and
--- tokens that it had to make up. Messages read `unexpected 'text'` and `missing ')'`.
---@param limit? integer how many to list at most, 100 unless given
---@return { row: integer, col: integer, message: string, missing: boolean, node: hone.syntax.Node }[]
function Tree:errors(limit) end

--- Find the places that match a query in tree-sitter's query language:
---
---     for found in tree:query('(call function: (identifier) @name (#eq? @name "print"))') do
---       print(found.name:start())
---     end
---
--- Each match is a table from the captures' names to nodes, or to lists of nodes where the pattern
--- repeats a capture with `*` or `+`. The second value is the number of the pattern in the query.
--- Predicates: #eq? #any-of? #match? (a POSIX extended regular expression) #lua-match? (a Lua pattern),
--- each also with `not-` before it. Directives such as #set! are ignored. A mistake in the query is
--- returned as nil, message and, for a mistake in its syntax, the byte where it was seen. Nodes nested
--- more than 65535 deep are not found.
---@param text string one or more patterns
---@param node? hone.syntax.Node where to search; the whole tree unless given
---@return (fun(): table<string, hone.syntax.Node|hone.syntax.Node[]>?, integer?)? matches
---@return string? message
---@return integer? offset
function Tree:query(text, node) end

--- Free the tree now rather than when it is collected: `local tree <close> = syntax.parse(...)` does so
--- too. Using it or its nodes afterwards is an error; tables made of it stay as they are.
function Tree:close() end

--- A node of a tree. Nodes are equal (==) when they are the same node of the same tree.
---@class hone.syntax.Node
local Node = {}

--- The node's type as the grammar calls it: "function_definition", "identifier", "+", "ERROR".
---@return string
function Node:type() end

--- The part of the source that the node spans.
---@return string
function Node:text() end

--- Where the node starts.
---@return integer row
---@return integer col in bytes
function Node:start() end

--- Where the node ends: the position behind its last byte.
---@return integer row
---@return integer col in bytes
function Node:finish() end

--- The node's first and last byte; an empty node's last byte is the one before its first.
---@return integer first
---@return integer last
function Node:range() end

--- All children, tokens and comments included.
---@return hone.syntax.Node[]
function Node:children() end

--- The children that the grammar names; comments are among them.
---@return hone.syntax.Node[]
function Node:named_children() end

--- The first child that fills a field, nil where there is none.
---@param name string
---@return hone.syntax.Node?
function Node:child_by_field(name) end

--- All children that fill a field, such as the `alternative`s of an if_statement.
---@param name string
---@return hone.syntax.Node[]
function Node:children_by_field(name) end

--- The node around this one, nil for the root.
---@return hone.syntax.Node?
function Node:parent() end

--- The tree that the node is part of.
---@return hone.syntax.Tree
function Node:tree() end

--- Whether the grammar names the node; tokens such as "+" are not named.
---@return boolean
function Node:is_named() end

--- Whether this is a text that the parser could make no sense of.
---@return boolean
function Node:is_error() end

--- Whether the parser made the node up: it was expected here, and is not in the source.
---@return boolean
function Node:is_missing() end

--- Whether the node or anything in it is an error or missing.
---@return boolean
function Node:has_error() end

return syntax
