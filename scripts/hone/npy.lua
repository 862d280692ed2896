--- NumPy's .npy files: one array a file.
local core = require "hone.core.tensor"

local npy = {}

local MAGIC = "\x93NUMPY"
local ALIGNMENT = 64 -- of the data, as NumPy writes it
local ROOM_TO_GROW = 21 -- digits that NumPy leaves the first size room for

local DTYPES = {
  f2 = "float16",
  f4 = "float32",
  f8 = "float64",
  i1 = "int8",
  i2 = "int16",
  i4 = "int32",
  i8 = "int64",
  u1 = "uint8",
  b1 = "bool",
}

local KINDS = {}
for kind, dtype in pairs(DTYPES) do
  KINDS[dtype] = kind
end

local function check_path(path, name)
  if type(path) ~= "string" then
    error(("bad argument #1 to '%s' (path expected, got %s)"):format(name, type(path)), 3)
  end
end

-- ---- reading --------------------------------------------------------------------------------------

-- The header's text and where the data begins, or nil and what is wrong.
local function header_text(mapping)
  local start = mapping:bytes(0, 12)
  if start:sub(1, 6) ~= MAGIC or #start < 10 then return nil, "it is no .npy file" end
  local version = start:byte(7)
  if version < 1 or version > 3 then return nil, ("it has the unknown version %d"):format(version) end
  if version > 1 and #start < 12 then return nil, "it is truncated" end
  local length, first = (version == 1 and "<I2" or "<I4"):unpack(start, 9)
  local text = mapping:bytes(first - 1, length)
  if #text < length then return nil, "it is truncated" end
  return text, first - 1 + length
end

-- NumPy's name of a type as ours.
local function dtype_of(description)
  local order, kind = description:match("^([<>=|]?)(%a%d+)$")
  if order == ">" then return nil, ("its elements are big-endian (%s)"):format(description) end
  if not DTYPES[kind] then return nil, ("hone has no dtype %s"):format(description) end
  return DTYPES[kind]
end

local function sizes_of(text)
  local sizes = {}
  for size in text:gmatch("[^%s,()]+") do
    local number = size:match("^%d+$") and math.tointeger(tonumber(size))
    if not number then return nil end
    sizes[#sizes + 1] = number
  end
  return sizes
end

-- The header is a Python dictionary of three known keys.
local function parse_header(text)
  local description = text:match("['\"]descr['\"]%s*:%s*['\"]([^'\"]*)['\"]")
  local fortran = text:match("['\"]fortran_order['\"]%s*:%s*(%a+)")
  local shape = text:match("['\"]shape['\"]%s*:%s*(%b())")
  local sizes = shape and sizes_of(shape)
  if
    not text:match("^%s*{.*}%s*$")
    or not description
    or not sizes
    or (fortran ~= "True" and fortran ~= "False")
  then
    return nil, "its header is not one of a plain array"
  end
  local dtype, why = dtype_of(description)
  if not dtype then return nil, why end
  return { dtype = dtype, sizes = sizes, fortran = fortran == "True" }
end

local function bytes_of(header)
  local bytes = core.empty(0, { dtype = header.dtype }):element_size()
  for _, size in ipairs(header.sizes) do
    if size > 0 and bytes > math.maxinteger // size then return nil end
    bytes = bytes * size
  end
  return bytes
end

local function reversed(list)
  local result = {}
  for i = #list, 1, -1 do
    result[#result + 1] = list[i]
  end
  return result
end

-- Fortran's order is C's of the dimensions turned round.
local function tensor_of(mapping, header, start)
  if not header.fortran or #header.sizes < 2 then return mapping:tensor(header.dtype, header.sizes, start) end
  local order = {}
  for i = #header.sizes, 1, -1 do
    order[#order + 1] = i
  end
  return mapping:tensor(header.dtype, reversed(header.sizes), start):permute(order)
end

local function read_mapping(mapping)
  local text, start = header_text(mapping)
  if not text then return nil, start end
  local header, why = parse_header(text)
  if not header then return nil, why end
  if #header.sizes > 8 then return nil, ("it has %d dimensions, a tensor at most 8"):format(#header.sizes) end
  local bytes = bytes_of(header)
  if not bytes or bytes > mapping:size() - start then
    return nil, ("it has %d bytes of data, its shape takes more"):format(mapping:size() - start)
  end
  return tensor_of(mapping, header, start)
end

function npy.read(path)
  check_path(path, "read")
  local mapping <close>, why, code = core._map(path)
  if not mapping then return nil, why, code end
  local pointer = require("hone.lfs_pointer").message(path, mapping:bytes(0, 200))
  if pointer then return nil, pointer, "EINVAL" end
  local t, fault = read_mapping(mapping)
  if not t then return nil, ("cannot read %s: %s"):format(path, fault), "EINVAL" end
  return t
end

-- ---- writing --------------------------------------------------------------------------------------

local function shape_text(shape)
  return #shape == 1 and ("(%d,)"):format(shape[1]) or ("(%s)"):format(table.concat(shape, ", "))
end

local function make_header(t)
  local kind, shape = KINDS[t.dtype], t:shape()
  local order = kind:sub(2) == "1" and "|" or "<"
  local text = ("{'descr': '%s%s', 'fortran_order': False, 'shape': %s, }"):format(
    order,
    kind,
    shape_text(shape)
  )
  if #shape > 0 then text = text .. (" "):rep(ROOM_TO_GROW - #tostring(shape[1])) end
  local padding = ALIGNMENT - (#MAGIC + 4 + #text + 1) % ALIGNMENT
  text = text .. (" "):rep(padding) .. "\n"
  return MAGIC .. "\1\0" .. ("<I2"):pack(#text) .. text
end

function npy.write(path, tensor)
  check_path(path, "write")
  if not core.is_tensor(tensor) then
    error(("bad argument #2 to 'write' (tensor expected, got %s)"):format(type(tensor)), 2)
  end
  if not KINDS[tensor.dtype] then
    error(("bad argument #2 to 'write' (.npy has no %s; convert it first)"):format(tensor.dtype), 2)
  end
  if tensor.device ~= "cpu" then tensor = tensor:to { device = "cpu" } end
  return require("hone.fs").write(path, make_header(tensor) .. tensor:bytes())
end

return npy
