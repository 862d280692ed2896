---@meta hone.params
--- What a skill takes, read from the words of a command line and from a Lua table by the same description.
local params = {}

--- The candidate that a mistyped word was probably meant to be: the only one that begins with it, or else the
--- nearest by spelling.
---@param word string
---@param candidates string[]
---@return string?
function params.nearest(word, candidates) end

--- One element of a list parameter, described as a parameter of its own.
---@param param hone.skill.Param
---@return hone.skill.Param
function params.element(param) end

--- How a value of the parameter is shown in usage lines: "PATH", "N", "a|b".
---@param param hone.skill.Param
---@return string
function params.placeholder(param) end

--- The parameter's flag: "--target-dir".
---@param param hone.skill.Param
---@return string
function params.flag(param) end

--- What is wrong with a list of descriptions.
---@param list hone.skill.Param[]
---@return string? problem nil when nothing is
function params.problem(list) end

--- Values from a Lua table: named ones, and positional ones as its array part. Defaults are filled in.
---@param list hone.skill.Param[]
---@param given table
---@return table? values
---@return string? message
function params.from_table(list, given) end

--- Values from a command line. Understood are `--name value`, `--name=value`, `-n value`, `--flag`,
--- `--flag true|false`, `--no-flag`; for lists commas, repetition and several words; `--` ends the flags.
--- Hyphens and underscores in names are the same.
---@param list hone.skill.Param[]
---@param words string[]
---@return table? values nil when the words are wrong or ask for help
---@return string? message
---@return { json?: boolean, help?: boolean } asked the flags that every skill has
function params.from_words(list, words) end

return params
