--- Finding, loading and running skills: files that are data plus one function.
local fs = require "hone.fs"
local params = require "hone.params"

local skill = {}

function skill.folders()
  local folders, config = { { origin = "project", path = "./skills" } }, fs.config_dir()
  if config then folders[2] = { origin = "user", path = fs.join(config, "skills") } end
  folders[#folders + 1] = { origin = "shipped", path = fs.join(require("hone.paths").home, "skills") }
  return folders
end

-- The folders that exist, each once: inside hone's own tree ./skills is the shipped folder.
local function distinct_folders()
  local lfs = require "lfs"
  local all, kept, seen = skill.folders(), {}, {}
  for i = #all, 1, -1 do
    local about = lfs.attributes(all[i].path)
    local key = about and about.mode == "directory" and (about.dev .. ":" .. about.ino)
    if key and not seen[key] then
      seen[key] = true
      table.insert(kept, 1, all[i])
    end
  end
  return kept
end

local function names_in(folder)
  local names = {}
  for _, file in ipairs(fs.list(folder) or {}) do
    local name = file:match("^(%w[%w_-]*)%.lua$")
    if name then names[#names + 1] = name end
  end
  return names
end

function skill.list()
  local found, by_name = {}, {}
  for _, folder in ipairs(distinct_folders()) do
    for _, name in ipairs(names_in(folder.path)) do
      local file = { name = name, path = fs.join(folder.path, name .. ".lua"), origin = folder.origin }
      if by_name[name] then
        table.insert(by_name[name].hides, { path = file.path, origin = file.origin })
      else
        file.hides = {}
        by_name[name] = file
        found[#found + 1] = file
      end
    end
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  return found
end

function skill.find(name)
  local wanted = name:gsub("^/", "")
  local dashed, names = wanted:gsub("_", "-"), {}
  local entries = skill.list()
  for _, entry in ipairs(entries) do
    if entry.name == wanted then return entry end
    names[#names + 1] = entry.name
  end
  for _, entry in ipairs(entries) do
    if entry.name == dashed then return entry end
  end
  local close = params.nearest(dashed, names)
  return nil,
    ("no skill '%s'%s (there are: %s)"):format(
      wanted,
      close and ("; did you mean %s?"):format(close) or "",
      table.concat(names, ", ")
    ),
    "unknown"
end

-- ---- loading -----------------------------------------------------------------------------------------

local function outputs_problem(outputs)
  if outputs == nil then return end
  if type(outputs) ~= "table" then return "outputs must be a list" end
  for i, output in ipairs(outputs) do
    if type(output) ~= "table" or type(output.name) ~= "string" or type(output.help) ~= "string" then
      return ("output #%d needs a name and a help text"):format(i)
    end
  end
end

local function examples_problem(examples)
  if examples == nil then return end
  if type(examples) ~= "table" then return "examples must be a list of command lines" end
  for i, example in ipairs(examples) do
    if type(example) ~= "string" then return ("example #%d must be a command line"):format(i) end
  end
end

local function table_problem(loaded)
  if type(loaded) ~= "table" then return "it returns a " .. type(loaded) .. ", not a table" end
  if type(loaded.run) ~= "function" then return "it has no function run(args, ctx)" end
  if type(loaded.summary) ~= "string" or loaded.summary == "" or loaded.summary:find("\n") then
    return "its summary must be one line of text"
  end
  if loaded.description ~= nil and type(loaded.description) ~= "string" then
    return "its description must be text"
  end
  return params.problem(loaded.params or {})
    or outputs_problem(loaded.outputs)
    or examples_problem(loaded.examples)
end

function skill.load(entry)
  local function broken(why)
    local line = why:match("^[^\n]*")
    local where = line:find(entry.path, 1, true) and "" or entry.path .. ": "
    return nil, ("skill %s is broken: %s%s"):format(entry.name, where, line), "broken"
  end
  local chunk, why = loadfile(entry.path, "t")
  if not chunk then return broken(why) end
  local ok, loaded = pcall(chunk, entry.name, entry.path)
  if not ok then
    if loaded == "interrupted" then error(loaded, 0) end
    return broken(tostring(loaded))
  end
  local problem = table_problem(loaded)
  if problem then return broken(problem) end
  loaded.params = loaded.params or {}
  return loaded
end

-- ---- running -----------------------------------------------------------------------------------------

local function message(fmt, ...) return select("#", ...) == 0 and tostring(fmt) or fmt:format(...) end

-- The progress lines of a skill and of those that it runs: made on first use, taken away at the end. A skill
-- called from a script shows them on a terminal, and writes nothing into a log.
local function progress_lines(output)
  local lines = { group = nil }
  function lines.bar(options)
    lines.group = lines.group or require("hone.progress").group { plain = output ~= "none" }
    return lines.group:bar(options)
  end
  return setmetatable(lines, {
    __close = function()
      if lines.group then lines.group:close() end
    end,
  })
end

-- What a running skill is given. `settings.output` is "text", "json" (human lines go to stderr, data alone to
-- stdout) or "none"; nested skills share their parent's settings, progress lines included.
local function new_context(name, settings)
  local json = settings.output == "json"
  local ctx = { json = json, name = name, cwd = require("lfs").currentdir() }

  local function emit(stream, line)
    local group = settings.lines.group
    if not group then return stream:write(line, "\n") end
    group:above(function() stream:write(line, "\n") end)
  end
  function ctx.say(fmt, ...)
    if settings.output ~= "none" then emit(json and io.stderr or io.stdout, message(fmt, ...)) end
  end
  function ctx.warn(fmt, ...) emit(io.stderr, ("hone: %s: %s"):format(name, message(fmt, ...))) end
  function ctx.progress(options) return settings.lines.bar(options) end
  function ctx.skill(other, args)
    local entry, loaded, values = skill.prepare(other, args, 2)
    if not entry then return nil, loaded, values end
    return skill.execute(entry, loaded, values, settings)
  end
  return ctx
end

function skill.prepare(name, args, level)
  local entry, why, code = skill.find(name)
  if not entry then return nil, why, code end
  local loaded
  loaded, why, code = skill.load(entry)
  if not loaded then return nil, why, code end
  local values
  values, why = params.from_table(loaded.params, args or {})
  if not values then error(("skill %s: %s"):format(entry.name, why), (level or 1) + 1) end
  return entry, loaded, values
end

function skill.execute(entry, loaded, values, settings)
  local owned <close> = not settings.lines and progress_lines(settings.output) or nil
  local shared = { output = settings.output, lines = settings.lines or owned }
  local result = table.pack(loaded.run(values, new_context(entry.name, shared)))
  if result.n == 0 then return true end
  if result[1] == nil or result[1] == false then
    return nil, result[2] or "failed and did not say why", result[3], result[4]
  end
  return result[1]
end

function skill.run(name, args, options)
  local entry, loaded, values = skill.prepare(name, args, 2)
  if not entry then return nil, loaded, values end
  return skill.execute(entry, loaded, values, { output = options and options.output or "none" })
end

return skill
