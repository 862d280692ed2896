--- One HTML file that needs nothing else: data, style and script are in it, and it reaches for nothing.
local fs, json = require "hone.fs", require "hone.json"

local M = {}

local folder = debug.getinfo(1, "S").source:match "^@(.*)[/\\]" or "."

local function part(name) return fs.read(fs.join(folder, name)) end

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- As text between tags or in an attribute.
local function escaped(text) return (text:gsub("[&<>\"']", ESCAPES)) end

-- JSON inside of a script element: nothing in it may end that element, or open a comment.
local function embedded(value)
  local text = json.encode(value, { nan = "null" })
  return (text:gsub("<", "\\u003c"):gsub(">", "\\u003e"):gsub("&", "\\u0026"))
end

---The page of what `hone.report.data` collected, as HTML; nil and a message where hone's own files are not there.
function M.render(data)
  local pieces = { title = escaped(data.dataset), data = embedded(data) }
  for name, file in pairs { style = "page.css", script = "page.js" } do
    local text, why = part(file)
    if not text then return nil, why end
    pieces[name] = text
  end
  local template, why = part "page.html"
  if not template then return nil, why end
  return (template:gsub("{{(%w+)}}", pieces))
end

return M
