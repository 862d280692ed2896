--- safetensors files: read without copying, written as the reference writer does.
local core = require "hone.core.tensor"

local safetensors = {}

local MOST_HEADER_BYTES = 100 * 1000 * 1000 -- the reference reader's limit
local PIECE_BYTES = 16 * 1024 * 1024 -- written at a time

-- The format's types in the order of their ranks, the lowest first; `bits` an element has, and `dtype`
-- where hone has one.
local TYPES = {
  { name = "BOOL", bits = 8, dtype = "bool" },
  { name = "F4", bits = 4, dtype = "float4_e2m1" },
  { name = "F6_E2M3", bits = 6 },
  { name = "F6_E3M2", bits = 6 },
  { name = "U8", bits = 8, dtype = "uint8" },
  { name = "I8", bits = 8, dtype = "int8" },
  { name = "F8_E5M2", bits = 8, dtype = "float8_e5m2" },
  { name = "F8_E4M3", bits = 8, dtype = "float8_e4m3fn" },
  { name = "F8_E8M0", bits = 8 },
  { name = "F8_E4M3FNUZ", bits = 8 },
  { name = "F8_E5M2FNUZ", bits = 8 },
  { name = "I16", bits = 16, dtype = "int16" },
  { name = "U16", bits = 16 },
  { name = "F16", bits = 16, dtype = "float16" },
  { name = "BF16", bits = 16, dtype = "bfloat16" },
  { name = "I32", bits = 32, dtype = "int32" },
  { name = "U32", bits = 32 },
  { name = "F32", bits = 32, dtype = "float32" },
  { name = "C64", bits = 64 },
  { name = "F64", bits = 64, dtype = "float64" },
  { name = "I64", bits = 64, dtype = "int64" },
  { name = "U64", bits = 64 },
}

local BY_NAME, BY_DTYPE = {}, {}
for rank, kind in ipairs(TYPES) do
  kind.rank = rank
  BY_NAME[kind.name] = kind
  if kind.dtype then BY_DTYPE[kind.dtype] = kind end
end

-- ---- reading the header ---------------------------------------------------------------------------

local function is_list(value) return require("hone.json").is_array(value) end

local function is_count(value) return math.type(value) == "integer" and value >= 0 end

local function all_counts(list)
  for _, value in ipairs(list) do
    if not is_count(value) then return false end
  end
  return true
end

-- The bytes that elements of a kind in a shape take; nil when that is beyond any file.
local function bytes_of(kind, shape)
  local bits = kind.bits
  for _, size in ipairs(shape) do
    if size > 0 and bits > math.maxinteger // size then return nil end
    bits = bits * size
  end
  if bits % 8 ~= 0 then return nil, "ends within a byte" end
  return bits // 8
end

-- What is wrong with a tensor's entry in the header, or nil.
local function entry_fault(entry, data_bytes)
  if type(entry) ~= "table" or is_list(entry) then return "its entry is not an object" end
  local kind, shape, offsets = BY_NAME[entry.dtype], entry.shape, entry.data_offsets
  if not kind then return ("it has the unknown dtype %q"):format(tostring(entry.dtype)) end
  if type(shape) ~= "table" or not is_list(shape) or not all_counts(shape) then
    return "its shape is not a list of sizes"
  end
  if type(offsets) ~= "table" or not is_list(offsets) or #offsets ~= 2 or not all_counts(offsets) then
    return "its data_offsets are not two offsets"
  end
  local first, last = offsets[1], offsets[2]
  if first > last or last > data_bytes then
    return ("its bytes %d to %d are not among the %d of the file"):format(first, last, data_bytes)
  end
  local bytes, why = bytes_of(kind, shape)
  if not bytes then return "its shape " .. (why or "is larger than any file") end
  if last - first ~= bytes then
    return ("its shape takes %d bytes, its data_offsets %d"):format(bytes, last - first)
  end
end

-- Every byte of the data belongs to one tensor: the format allows neither gaps nor overlaps.
local function layout_fault(entries, names, data_bytes)
  local order = table.move(names, 1, #names, 1, {})
  table.sort(order, function(a, b)
    local x, y = entries[a].data_offsets, entries[b].data_offsets
    if x[1] ~= y[1] then return x[1] < y[1] end
    if x[2] ~= y[2] then return x[2] < y[2] end
    return a < b
  end)
  local reached, previous = 0, nil
  for _, name in ipairs(order) do
    local first, last = table.unpack(entries[name].data_offsets)
    if first < reached then return ("tensors %q and %q overlap"):format(previous, name) end
    if first > reached then return ("no tensor has the bytes %d to %d"):format(reached, first) end
    reached, previous = last, name
  end
  if reached < data_bytes then return ("no tensor has the bytes %d to %d"):format(reached, data_bytes) end
end

local function metadata_fault(metadata)
  if metadata == nil then return nil end
  if type(metadata) ~= "table" or is_list(metadata) and next(metadata) then
    return "__metadata__ is not an object"
  end
  for key, value in pairs(metadata) do
    if type(value) ~= "string" then return ("__metadata__ has %q, which is no string"):format(key) end
  end
end

local function header_fault(header, names, data_bytes)
  local fault = metadata_fault(header.__metadata__)
  if fault then return fault end
  for _, name in ipairs(names) do
    fault = entry_fault(header[name], data_bytes)
    if fault then return ("tensor %q: %s"):format(name, fault) end
  end
  return layout_fault(header, names, data_bytes)
end

-- The header's text and where the data begins, or nil and what is wrong.
local function header_text(mapping)
  local size = mapping:size()
  if size < 8 then return nil, ("it has %d bytes, a safetensors file at least 8"):format(size) end
  local length = ("<i8"):unpack(mapping:bytes(0, 8))
  if length < 0 or length > MOST_HEADER_BYTES then
    return nil, "it is no safetensors file (its header would be too long)"
  end
  if length > size - 8 then
    return nil, ("it has %d bytes, its header alone %d: truncated?"):format(size, length + 8)
  end
  local text = mapping:bytes(8, length)
  if text:sub(1, 1) ~= "{" then return nil, "it is no safetensors file (its header does not begin with {)" end
  return text, 8 + length
end

local function parse_header(mapping)
  local json = require "hone.json"
  local text, start = header_text(mapping)
  if not text then return nil, start end
  local header, why = json.decode(text, { name = "header" })
  if not header then return nil, why end
  local names = {}
  for _, key in ipairs(json.keys(header)) do
    if key ~= "__metadata__" then names[#names + 1] = key end
  end
  local fault = header_fault(header, names, mapping:size() - start)
  if fault then return nil, fault end
  return header, names, start
end

-- ---- files ----------------------------------------------------------------------------------------

local File = {}
File.__index = File

-- hone counts pairs of float4 where the format counts values.
local function sizes_of(kind, shape)
  local sizes = table.move(shape, 1, #shape, 1, {})
  if kind.name ~= "F4" then return sizes end
  if #sizes == 0 or sizes[#sizes] % 2 ~= 0 then return nil end
  sizes[#sizes] = sizes[#sizes] // 2
  return sizes
end

local function entry_of(file, name, level)
  if type(name) ~= "string" then error(("a tensor's name expected, got %s"):format(type(name)), level + 1) end
  local entry = name ~= "__metadata__" and file._header[name]
  if entry then return entry end
  return nil, ("%s has no tensor %q"):format(file.path, name), "ENOENT"
end

function File:info(name)
  local entry, why, code = entry_of(self, name, 2)
  if not entry then return nil, why, code end
  local kind, shape = BY_NAME[entry.dtype], table.move(entry.shape, 1, #entry.shape, 1, {})
  return { type = kind.name, dtype = kind.dtype, shape = sizes_of(kind, shape) or shape }
end

function File:tensor(name, device)
  local entry, why, code = entry_of(self, name, 2)
  if not entry then return nil, why, code end
  local kind = BY_NAME[entry.dtype]
  local sizes = kind.dtype and #entry.shape <= 8 and sizes_of(kind, entry.shape)
  if not sizes then
    local what = ("%s [%s]"):format(kind.name, table.concat(entry.shape, ", "))
    return nil, ("cannot read tensor %q of %s: hone has no %s"):format(name, self.path, what), "ENOTSUP"
  end
  local mapped = self._mapping:tensor(kind.dtype, sizes, self._start + entry.data_offsets[1])
  return device and mapped:to(device) or mapped
end

function File:close() self._mapping:close() end
File.__close = File.close

function File:__tostring() return ("hone.safetensors.File(%s, %d tensors)"):format(self.path, #self.names) end

local function metadata_of(header)
  local metadata = {}
  for key, value in pairs(header.__metadata__ or {}) do
    metadata[key] = value
  end
  return metadata
end

function safetensors.open(path)
  if type(path) ~= "string" then
    error(("bad argument #1 to 'open' (path expected, got %s)"):format(type(path)), 2)
  end
  local mapping, why, code = core._map(path)
  if not mapping then return nil, why, code end
  local pointer = require("hone.lfs_pointer").message(path, mapping:bytes(0, 200))
  if pointer then return nil, pointer, "EINVAL" end
  local header, names, start = parse_header(mapping)
  if not header then return nil, ("cannot read %s: %s"):format(path, names), "EINVAL" end
  return setmetatable({
    path = path,
    names = names,
    metadata = metadata_of(header),
    _header = header,
    _mapping = mapping,
    _start = start,
  }, File)
end

function safetensors.read(path, device)
  if type(path) ~= "string" then
    error(("bad argument #1 to 'read' (path expected, got %s)"):format(type(path)), 2)
  end
  local file <close>, why, code = safetensors.open(path)
  if not file then return nil, why, code end
  local tensors = {}
  for _, name in ipairs(file.names) do
    local t, refusal, number = file:tensor(name, device)
    if not t then return nil, refusal, number end
    tensors[name] = t
  end
  return tensors, file.metadata
end

-- ---- writing --------------------------------------------------------------------------------------

local function check_tensors(tensors)
  if type(tensors) ~= "table" then
    error(("bad argument #2 to 'write' (table of tensors expected, got %s)"):format(type(tensors)), 3)
  end
  for name, t in pairs(tensors) do
    if type(name) ~= "string" or name == "__metadata__" or not utf8.len(name) then
      error(("bad argument #2 to 'write' (%q cannot be a tensor's name)"):format(tostring(name)), 3)
    end
    if not core.is_tensor(t) then
      error(("bad argument #2 to 'write' (%q is not a tensor)"):format(name), 3)
    end
    if t.dtype == "float4_e2m1" and t:dim() == 0 then
      error(("bad argument #2 to 'write' (%q: float4 needs a dimension)"):format(name), 3)
    end
  end
end

local function check_metadata(metadata)
  if metadata == nil then return end
  if type(metadata) ~= "table" then
    error(("bad argument #3 to 'write' (table of strings expected, got %s)"):format(type(metadata)), 3)
  end
  for key, value in pairs(metadata) do
    if type(key) ~= "string" or type(value) ~= "string" then
      error(("bad argument #3 to 'write' (%s is not a string by name)"):format(tostring(key)), 3)
    end
  end
end

-- Wide types first, so that every tensor is aligned; then by name.
local function ordered_names(tensors)
  local names = {}
  for name in pairs(tensors) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    local x, y = BY_DTYPE[tensors[a].dtype].rank, BY_DTYPE[tensors[b].dtype].rank
    if x ~= y then return x > y end
    return a < b
  end)
  return names
end

local function ordered_metadata(metadata)
  local json = require "hone.json"
  local object, keys = json.object(), {}
  for key in pairs(metadata) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    object[key] = metadata[key]
  end
  return object
end

local function written_shape(t)
  local shape = t:shape()
  if t.dtype == "float4_e2m1" then shape[#shape] = 2 * shape[#shape] end
  return require("hone.json").array(shape)
end

local function make_header(tensors, names, metadata)
  local json = require "hone.json"
  local header, reached = json.object(), 0
  if metadata then header.__metadata__ = ordered_metadata(metadata) end
  for _, name in ipairs(names) do
    local t = tensors[name]
    local last = reached + t:numel() * t:element_size()
    header[name] = json.object {
      { "dtype", BY_DTYPE[t.dtype].name },
      { "shape", written_shape(t) },
      { "data_offsets", { reached, last } },
    }
    reached = last
  end
  local text = json.encode(header)
  return text .. (" "):rep(-#text % 8)
end

local function write_elements(writer, t)
  local n = t:numel()
  if t.device ~= "cpu" then t = t:to { device = "cpu" } end
  local flat, step = t:reshape(n), PIECE_BYTES // t:element_size()
  for first = 1, n, step do
    local ok, why, code = writer:write(flat:narrow(1, first, math.min(step, n - first + 1)):bytes())
    if not ok then return nil, why, code end
  end
  return true
end

function safetensors.write(path, tensors, metadata)
  if type(path) ~= "string" then
    error(("bad argument #1 to 'write' (path expected, got %s)"):format(type(path)), 2)
  end
  check_tensors(tensors)
  check_metadata(metadata)
  local names = ordered_names(tensors)
  local header = make_header(tensors, names, metadata)
  local writer <close>, why, code = require("hone.fs").writer(path)
  if not writer then return nil, why, code end
  local ok
  ok, why, code = writer:write(("<I8"):pack(#header), header)
  for _, name in ipairs(names) do
    if not ok then return nil, why, code end
    ok, why, code = write_elements(writer, tensors[name])
  end
  if not ok then return nil, why, code end
  return writer:commit(true)
end

return safetensors
