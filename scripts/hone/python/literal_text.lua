--- What the text of a literal stands for.
local M = {}

---The value of an integer's text; nil where it does not fit 64 bits.
function M.integer(text)
  text = text:gsub("_", ""):lower()
  local value
  if text:match "^0x" then
    value = #text <= 17 and math.tointeger(tonumber(text))
  elseif text:match "^0[bo]" then
    value = #text <= (text:match "^0b" and 65 or 22) and tonumber(text:sub(3), text:match "^0b" and 2 or 8)
  else
    value = math.tointeger(tonumber(text))
    if value and ("%d"):format(value) ~= text:gsub("^0+(%d)", "%1") then value = nil end
  end
  if value and value >= 0 then return value end
end

local SIMPLE_ESCAPES = {
  n = "\n",
  t = "\t",
  r = "\r",
  ["\\"] = "\\",
  ["'"] = "'",
  ['"'] = '"',
  a = "\a",
  b = "\b",
  f = "\f",
  v = "\v",
  ["\n"] = "",
}

---The characters that the text between quotes stands for.
function M.unescape(text)
  if not text:find("\\", 1, true) then return text end
  local out, i = {}, 1
  while i <= #text do
    local at = text:find("\\", i, true)
    if not at then
      out[#out + 1] = text:sub(i)
      break
    end
    out[#out + 1] = text:sub(i, at - 1)
    local c = text:sub(at + 1, at + 1)
    local code, taken
    if SIMPLE_ESCAPES[c] then
      out[#out + 1], taken = SIMPLE_ESCAPES[c], 1
    elseif c == "x" then
      code, taken = text:match("^%x%x", at + 2), 3
    elseif c == "u" then
      code, taken = text:match("^%x%x%x%x", at + 2), 5
    elseif c == "U" then
      code, taken = text:match("^%x%x%x%x%x%x%x%x", at + 2), 9
    elseif c:match("[0-7]") then
      local octal = text:match("^[0-7][0-7]?[0-7]?", at + 1)
      code, taken = ("%x"):format(tonumber(octal, 8)), #octal
    end
    if code then out[#out + 1] = utf8.char(tonumber(code, 16)) end
    if not taken then
      out[#out + 1], taken = "\\", 0
    end
    i = at + 1 + taken
  end
  return table.concat(out)
end

return M
