--- What a shared library exports, read from its file: nothing of it runs.
local fs = require "hone.fs"

local elf = {}

local MAGIC = "\x7fELF\2\1" -- 64 bits, little endian
local DYNAMIC_SYMBOLS = 11 -- the type of the section that holds them
local SECTION = "<I4 I4 I8 I8 I8 I8 I4 I4 I8 I8" -- name type flags address offset size link info align entry
local SYMBOL = "<I4 B B I2 I8 I8" -- name info other section value size
local SYMBOL_BYTES = 24

local function sections(data)
  local at = string.unpack("<I8", data, 0x28 + 1)
  local size, count = string.unpack("<I2 I2", data, 0x3a + 1)
  local list = {}
  for i = 0, count - 1 do
    local _, kind, _, _, offset, bytes, link = string.unpack(SECTION, data, at + i * size + 1)
    list[i] = { kind = kind, offset = offset, bytes = bytes, link = link }
  end
  return list
end

local function add_defined(names, data, symbols, strings)
  for at = symbols.offset, symbols.offset + symbols.bytes - SYMBOL_BYTES, SYMBOL_BYTES do
    local name, _, _, section = string.unpack(SYMBOL, data, at + 1)
    if section ~= 0 and name ~= 0 then names[string.unpack("z", data, strings.offset + name + 1)] = true end
  end
end

local function read(data)
  local list, names = sections(data), {}
  for i = 0, #list do
    local section = list[i]
    if section and section.kind == DYNAMIC_SYMBOLS then
      add_defined(names, data, section, list[section.link])
    end
  end
  return names
end

---The names that a library defines for others, as a set; nil and why.
function elf.exports(path)
  local data, why, code = fs.read(path)
  if not data then return nil, why, code end
  if data:sub(1, #MAGIC) ~= MAGIC then
    return nil, ("cannot read %s: not a 64-bit ELF library"):format(path), "EPROTO"
  end
  local ok, names = pcall(read, data) -- offsets that lead nowhere raise
  if not ok then return nil, ("cannot read %s: its symbol table is damaged"):format(path), "EPROTO" end
  return names
end

return elf
