--- List the skills, ask which file one comes from, copy one to edit it, start a new one.
local fs = require "hone.fs"
local json = require "hone.json"
local skill_library = require "hone.skill"

local skill = {
  summary = "list the skills, or find, copy, start and document one",
  description = [[
A skill is a Lua file that returns a table: what it is, what it takes, and one function. Skills are looked up
in ./skills, then in the user's folder, then among the shipped ones; the same name wins.

`list` shows them all. `which NAME` says which file a name stands for and what it hides. `eject NAME` copies a
skill to ./skills (or to the user's folder with --user), where the copy wins and can be changed. `new NAME`
starts a skill that runs as it is. `docs NAME` writes its manual page and its SKILL.md. `completion bash`
prints a completion script.]],
  params = {
    {
      name = "action",
      type = "choice",
      positional = true,
      default = "list",
      choices = { "list", "which", "eject", "new", "docs", "completion" },
      help = "what to do",
    },
    { name = "name", type = "string", positional = true, help = "the skill (for completion: the shell)" },
    {
      name = "user",
      type = "boolean",
      default = false,
      help = "for eject and new: write to the user's folder instead of ./skills",
    },
  },
  outputs = {
    {
      name = "list",
      help = "for each skill: name, origin (project, user or shipped), path, summary; one "
        .. "that cannot be loaded has error instead of summary",
    },
    { name = "which, eject, new", help = "the name and path of the file; for which also what it hides" },
  },
  examples = {
    "hone skills",
    "hone skills which clone-repos",
    "hone skills eject clone-repos",
    "hone skills new my-skill && hone my-skill",
    "source <(hone skills completion bash)",
  },
}

local function described(entry)
  local about = json.object { { "name", entry.name }, { "origin", entry.origin }, { "path", entry.path } }
  local loaded, why = skill_library.load(entry)
  if loaded then
    about.summary = loaded.summary
  else
    about.error = why
  end
  return about
end

local actions = {}

function actions.list(_, ctx)
  local found, rows = json.array {}, {}
  for i, entry in ipairs(skill_library.list()) do
    found[i] = described(entry)
    rows[i] = { entry.name, entry.origin, found[i].summary or "(" .. found[i].error .. ")" }
  end
  ctx.say("%s", require("hone.table").format(rows))
  return found
end

function actions.which(args, ctx)
  local entry, why = skill_library.find(args.name)
  if not entry then return nil, why end
  ctx.say("%s (%s)", entry.path, entry.origin)
  local hides = json.array {}
  for i, hidden in ipairs(entry.hides) do
    ctx.say("  hides %s (%s)", hidden.path, hidden.origin)
    hides[i] = json.object { { "path", hidden.path }, { "origin", hidden.origin } }
  end
  return json.object {
    { "name", entry.name },
    { "path", entry.path },
    { "origin", entry.origin },
    { "hides", hides },
  }
end

-- Where a skill of that name is to be written | nil, message when a file is there already.
local function new_path(name, user)
  for _, folder in ipairs(skill_library.folders()) do
    if folder.origin == (user and "user" or "project") then
      local path = fs.join(folder.path, name .. ".lua")
      if fs.exists(path) then return nil, ("%s exists already and is not overwritten"):format(path) end
      local ok, why = fs.mkdir(folder.path)
      if not ok then return nil, why end
      return path
    end
  end
end

local function write_skill(name, source, args)
  local path, why = new_path(name, args.user)
  if not path then return nil, why end
  local ok
  ok, why = fs.write(path, source)
  if not ok then return nil, why end
  return json.object { { "name", name }, { "path", path } }
end

function actions.eject(args, ctx)
  local entry, why = skill_library.find(args.name)
  if not entry then return nil, why end
  local source
  source, why = fs.read(entry.path)
  if not source then return nil, why end
  local written
  written, why = write_skill(entry.name, source, args)
  if not written then return nil, why end
  ctx.say("copied %s to %s, which wins from now on", entry.path, written.path)
  return written
end

local TEMPLATE = [[
--- NAME: say here what it does.
local skill = {
  summary = "greet somebody",
  params = {
    { name = "who", type = "string", positional = true, default = "world", help = "whom to greet" },
    { name = "times", type = "integer", min = 1, default = 1, help = "how often" },
  },
  outputs = {
    { name = "greeting", help = "what was said" },
  },
  examples = { "hone NAME everybody --times 2" },
}

-- Returns plain data (printed by --json), or nil and one line saying why it could not be done.
function skill.run(args, ctx)
  local greeting = ("hello, %s"):format(args.who)
  for _ = 1, args.times do ctx.say("%s", greeting) end
  return { greeting = greeting }
end

return skill
]]

function actions.new(args, ctx)
  if not args.name:find("^%l[%l%d-]*$") then
    return nil, ("'%s' is no skill's name: lower-case letters, digits, hyphens"):format(args.name), "usage"
  end
  local hidden = skill_library.find(args.name)
  local written, why = write_skill(args.name, (TEMPLATE:gsub("NAME", args.name)), args)
  if not written then return nil, why end
  ctx.say("wrote %s; run it with: hone %s", written.path, args.name)
  if hidden and skill_library.find(args.name).path == written.path then
    ctx.warn("it hides %s", hidden.path)
  end
  return written
end

function actions.docs(args, ctx) return ctx.skill("docs", { names = { args.name } }) end

function actions.completion(args, ctx)
  if args.name ~= "bash" then
    return nil, ("no completion for the shell '%s' (there is: bash)"):format(args.name), "usage"
  end
  local skills = {}
  for _, entry in ipairs(skill_library.list()) do
    local loaded = skill_library.load(entry)
    if loaded then skills[#skills + 1] = { name = entry.name, loaded = loaded } end
  end
  local script = require("hone.completion").bash(skills)
  ctx.say("%s", script)
  return { script = script }
end

function skill.run(args, ctx)
  if args.action ~= "list" and not args.name then
    return nil, ("%s needs a name"):format(args.action), "usage"
  end
  return actions[args.action](args, ctx)
end

return skill
