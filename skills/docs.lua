--- Write the manual pages of skills, their SKILL.md for agents, and the pages of the Lua API.
local fs = require "hone.fs"
local json = require "hone.json"
local manual = require "hone.manual"
local skill_library = require "hone.skill"

local skill = {
  summary = "write the manual pages of skills and of the Lua API",
  description = [[
Every page comes from the table that the skill itself runs on, so it cannot say something else. Files that are
right already are left alone; --check writes nothing and fails when one is not.]],
  params = {
    {
      name = "names",
      type = "list",
      positional = true,
      help = "the skills; all of them and the Lua API when absent",
    },
    { name = "output", type = "path", default = "docs", help = "the folder to write to" },
    {
      name = "check",
      type = "boolean",
      default = false,
      help = "write nothing; fail when a page is not up to date",
    },
  },
  outputs = {
    { name = "skills/NAME.md", help = "the manual page" },
    { name = "skills/NAME/SKILL.md", help = "the same for agents, with YAML front matter" },
    { name = "skills/README.md", help = "all skills with a line each" },
    { name = "api/NAME.md", help = "the Lua API, a page a library" },
  },
  examples = { "hone docs", "hone docs clone-repos", "hone docs --check" },
}

local function chosen(names)
  if not names or #names == 0 then return skill_library.list() end
  local entries = {}
  for i, name in ipairs(names) do
    local entry, why = skill_library.find(name)
    if not entry then return nil, why end
    entries[i] = entry
  end
  return entries
end

-- { path, text } of every page of these skills | nil, message
local function skill_pages(entries, folder)
  local pages = {}
  for _, entry in ipairs(entries) do
    local loaded, why = skill_library.load(entry)
    if not loaded then return nil, why end
    local base = fs.join(folder, "skills", entry.name)
    pages[#pages + 1] = { path = base .. ".md", text = manual.markdown(entry.name, loaded) }
    pages[#pages + 1] = { path = fs.join(base, "SKILL.md"), text = manual.agent(entry.name, loaded) }
  end
  return pages
end

local function index_page(entries, folder)
  local lines = { "# Skills", "", "| skill | what it does |", "|---|---|" }
  for _, entry in ipairs(entries) do
    local loaded = assert(skill_library.load(entry))
    lines[#lines + 1] = ("| [%s](%s.md) | %s |"):format(entry.name, entry.name, loaded.summary)
  end
  return { path = fs.join(folder, "skills", "README.md"), text = table.concat(lines, "\n") .. "\n" }
end

local function stale(pages)
  local changed = {}
  for _, page in ipairs(pages) do
    if fs.read(page.path) ~= page.text then changed[#changed + 1] = page end
  end
  return changed
end

local function write_pages(pages, ctx)
  for _, page in ipairs(pages) do
    local ok, why = fs.mkdir(fs.dirname(page.path))
    if ok then
      ok, why = fs.write(page.path, page.text)
    end
    if not ok then return nil, why end
    ctx.say("wrote %s", page.path)
  end
  return true
end

local function paths_of(pages)
  local paths = json.array {}
  for i, page in ipairs(pages) do
    paths[i] = page.path
  end
  return paths
end

function skill.run(args, ctx)
  local all = not args.names or #args.names == 0
  local entries, why = chosen(args.names)
  if not entries then return nil, why end
  local pages
  pages, why = skill_pages(entries, args.output)
  if not pages then return nil, why end
  if all then
    pages[#pages + 1] = index_page(entries, args.output)
    local api
    api, why = require("hone.apidoc").pages(fs.join(args.output, "api"))
    if not api then return nil, why end
    table.move(api, 1, #api, #pages + 1, pages)
  end
  local changed = stale(pages)
  if args.check and #changed > 0 then
    return nil,
      ("%s not up to date, %s first; run `hone docs`"):format(
        require("hone.text").plural(#changed, "page is", "pages are"),
        changed[1].path
      )
  end
  local ok
  ok, why = write_pages(changed, ctx)
  if not ok then return nil, why end
  if #changed == 0 then ctx.say("%d pages, all up to date", #pages) end
  return json.object { { "pages", paths_of(pages) }, { "changed", paths_of(changed) } }
end

return skill
