---@meta hone.skill
--- Skills: Lua files that return a table, found by name and run from the command line or from Lua.
---
---     return {
---       summary = "greet somebody",
---       params = {
---         { name = "who", type = "string", positional = true, default = "world", help = "whom to greet" },
---       },
---       run = function(args, ctx)
---         ctx.say("hello, %s", args.who)
---         return { greeting = "hello, " .. args.who }
---       end,
---     }
---
--- `hone skills new NAME` starts one. The file's name is the command.
local skill = {}

--- What a skill's file returns. `run` returns plain data, which `--json` prints, or nil, one line saying why
--- not, a code, and what there is to show nevertheless. The code "usage" says that the command line was wrong
--- (exit status 2); returning nothing at all means that it is done and there is nothing to tell.
---@class hone.skill.Skill
---@field summary string one line
---@field description? string paragraphs for the manual page
---@field params? hone.skill.Param[]
---@field outputs? { name: string, help: string }[] files that it writes, or fields of its result
---@field examples? string[] command lines
---@field run fun(args: table, ctx: hone.skill.Context): any, string?, string?, any

--- What a skill takes, by command line (`--target-dir X`) and from Lua (`target_dir = "X"`).
---@class hone.skill.Param
---@field name string lower-case letters, digits and underscores
---@field type "string"|"integer"|"number"|"boolean"|"choice"|"path"|"list" a path has its "~" expanded
---@field help string what it is, without a full stop
---@field default? any taken when it is not given
---@field required? boolean
---@field positional? boolean may be given without its flag; a list takes all words that are left
---@field short? string a letter: "m" for -m
---@field choices? string[] of a choice, or of a list of choices
---@field of? string the type of a list's elements; "choice" where there are choices, else "string"
---@field min? number the least integer or number
---@field max? number the greatest

--- What a running skill is given.
---@class hone.skill.Context
---@field say fun(fmt: string, ...): nil a line for people: on stdout, under --json on stderr
---@field warn fun(fmt: string, ...): nil a line on stderr
---@field progress fun(options: table): hone.progress.Bar a line of progress on stderr, or several at once
---@field skill fun(name: string, args?: table): any, string?, string? runs another skill, printing likewise
---@field json boolean whether the result will be printed as JSON
---@field name string the skill's own name
---@field cwd string the current folder

--- A skill's file.
---@class hone.skill.Entry
---@field name string
---@field path string
---@field origin "project"|"user"|"shipped"
---@field hides? { path: string, origin: string }[] files of the same name that lost against this one

--- The folders that skills are looked up in, the one that wins first: ./skills, the user's
--- (XDG_CONFIG_HOME/hone/skills) and the shipped one. They need not exist.
---@return { origin: string, path: string }[]
function skill.folders() end

--- All skills, sorted by name. None is loaded: a broken file is listed too.
---@return hone.skill.Entry[]
function skill.list() end

--- The file that a name stands for. A leading slash is ignored, and underscores stand for hyphens.
---@param name string
---@return hone.skill.Entry? entry
---@return string? message with the nearest name, and all there are
---@return string? code "unknown"
function skill.find(name) end

--- Load a skill's file and check that its table is in order. Compiled files are refused.
---@param entry hone.skill.Entry
---@return hone.skill.Skill? loaded
---@return string? message one line that names the file and what is wrong
---@return string? code "broken"
function skill.load(entry) end

--- Find and load a skill and check its arguments, without running it. Wrong arguments are raised.
---@param name string
---@param args? table
---@param level? integer whom to blame for wrong arguments: 1 the caller (the default), 2 its caller
---@return hone.skill.Entry? entry
---@return hone.skill.Skill|string loaded or the message
---@return table|string|nil values or the code
function skill.prepare(name, args, level) end

--- Run a loaded skill with values that were checked. What it raises passes through.
---@param entry hone.skill.Entry
---@param loaded hone.skill.Skill
---@param values table
---@param settings { output: "text"|"json"|"none" }
---@return any result nil when the world refused
---@return string? message
---@return string? code
---@return any partial what there is to show although it failed
function skill.execute(entry, loaded, values, settings) end

--- Find, check and run. Its lines for people are left out unless `options.output` is "text".
---@param name string
---@param args? table by parameter name; positional ones also as the array part
---@param options? { output: "text"|"json"|"none" }
---@return any result
---@return string? message
---@return string? code
function skill.run(name, args, options) end

return skill
