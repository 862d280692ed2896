--- What PTX tells of its kernels' parameters: machine code tells only their sizes.
local ptx = {}

local FLOATS = { f32 = true, f64 = true }

-- One character a parameter, as the engine wants them: f a float, i an integer or a pointer, b bytes.
local function kind_of(declaration)
  if declaration:find("%[%d+%]%s*$") then return "b" end
  for word in declaration:gmatch("%.(%w+)") do
    if FLOATS[word] then return "f" end
    if word:match("^[usb]%d+$") then return "i" end
  end
  return "?"
end

local function kinds_of(list)
  local kinds = {}
  for declaration in list:gmatch("%.param([^,]*)") do
    kinds[#kinds + 1] = kind_of(declaration)
  end
  return table.concat(kinds)
end

--- The kernels of PTX text, in its order: { { name =, kinds = "ifb" }, ... }.
function ptx.kernels(text)
  local kernels = {}
  -- Parameter lists hold no parentheses; a kernel without parameters may have no list at all.
  for name, list in text:gmatch("%.entry%s+([%w_$]+)%s*(%b())") do
    kernels[#kernels + 1] = { name = name, kinds = kinds_of(list:sub(2, -2)) }
  end
  return kernels
end

--- "_Z5scaleIfEvPT_" -> "scale": the plain name in front of what C++ adds, nil when there is none.
function ptx.plain_name(name)
  local length, rest = name:match("^_Z(%d+)(.*)$")
  return length and rest:sub(1, tonumber(length)) or nil
end

return ptx
