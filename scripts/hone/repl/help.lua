--- help() at the prompt, from the API documentation and the skills.
local M = {}

local function first_line(text) return text and text:match("^[^\n]*") or "" end

-- help(): what there is.
local function overview()
  local apidoc = require "hone.apidoc"
  local libraries, why = apidoc.libraries()
  if not libraries then return why end
  local rows = {}
  for _, library in ipairs(libraries) do
    rows[#rows + 1] = { library.name, first_line(library.text) }
  end
  return table.concat({
    'The libraries; hone.json is require "hone.json":',
    "",
    require("hone.table").format(rows, { indent = 2 }),
    "",
    'help "hone.json" tells more of one, help "json.decode" or help(hone.json.decode) of a function,',
    'help "clone-repos" of a skill; `_` is the last result, Tab completes, Ctrl-C interrupts.',
  }, "\n")
end

local function skill_page(name)
  local skill = require "hone.skill"
  local entry = skill.find(name)
  local loaded = entry and skill.load(entry)
  return loaded and require("hone.manual").page(entry.name, loaded)
end

local function by_name(name)
  local apidoc = require "hone.apidoc"
  local found, why = apidoc.find(name)
  if not found then return why end
  if #found == 0 then return skill_page(name) or ("nothing is known of '%s'"):format(name) end
  local pages = {}
  for i, entry in ipairs(found) do
    pages[i] = apidoc.render_text(entry)
  end
  return table.concat(pages, "\n\n")
end

-- A function that no documentation knows: where it is and what it takes.
local function function_source(value)
  local info = debug.getinfo(value, "Su")
  if info.what == "C" then return "a function written in C, not documented here" end
  local names = {}
  for i = 1, info.nparams do
    names[i] = debug.getlocal(value, i)
  end
  if info.isvararg then names[#names + 1] = "..." end
  local parameters = table.concat(names, ", ")
  return ("function (%s), defined at %s:%d"):format(parameters, info.short_src, info.linedefined)
end

local function by_value(value)
  local entry = require("hone.apidoc").describe(value)
  if entry then return require("hone.apidoc").render_text(entry) end
  if type(value) == "function" then return function_source(value) end
  return ("a %s, not documented"):format(type(value))
end

---The text that help(...) prints.
---@param ... any nothing, a name or a value
---@return string
function M.text(...)
  if select("#", ...) == 0 then return overview() end
  local subject = ...
  if type(subject) == "string" then return by_name(subject) end
  return by_value(subject)
end

return M
