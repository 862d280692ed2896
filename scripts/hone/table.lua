--- Text tables with aligned columns.
local text = require "hone.text"

local tables = {}

local function columns_of(cell) return utf8.len(cell) or #cell end

local function shown(cell)
  if cell == nil then return "" end
  return (tostring(cell):gsub("[\r\n]+", " "))
end

local function widths(rows, count)
  local widest = {}
  for c = 1, count do
    widest[c] = 0
    for _, row in ipairs(rows) do
      widest[c] = math.max(widest[c], columns_of(shown(row[c])))
    end
  end
  return widest
end

-- A column is set to the right when every cell in it that is not empty is a number.
local function numeric(rows, c)
  local some = false
  for _, row in ipairs(rows) do
    local cell = row[c]
    if type(cell) == "number" then
      some = true
    elseif cell ~= nil and cell ~= "" then
      return false
    end
  end
  return some
end

local function line(row, widest, to_the_right)
  local cells = {}
  for c, width in ipairs(widest) do
    cells[c] = text.pad(shown(row[c]), width, to_the_right[c] and "left" or "right")
  end
  return (table.concat(cells, "  "):gsub("%s+$", ""))
end

function tables.format(rows, options)
  options = options or {}
  local count, all = options.headers and #options.headers or 0, { options.headers }
  for _, row in ipairs(rows) do
    for c in pairs(row) do
      count = math.max(count, c)
    end
    all[#all + 1] = row
  end
  local to_the_right, widest = {}, widths(all, count)
  for c = 1, count do
    to_the_right[c] = numeric(rows, c)
  end
  local lines, indent = {}, (" "):rep(options.indent or 0)
  for i, row in ipairs(all) do
    lines[i] = indent .. line(row, widest, to_the_right)
  end
  return table.concat(lines, "\n")
end

function tables.print(rows, options) print(tables.format(rows, options)) end

return tables
