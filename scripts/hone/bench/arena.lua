--- Memory that the judge owns and a worker sees: on the CPU by a shared mapping, on a GPU by CUDA IPC. Tensors over
--- it are views; the worker is told offsets only. See scripts/meta/bench/arena.lua.
local core = require "hone.core.worker"
local tensor = require "hone.tensor"
local BYTES = require("hone.dataset.definition").BYTES

local arena = {}

---Bytes between the beginnings of two tensors are a multiple of this: what vectorised loads and TMA ask for.
arena.ALIGNMENT = 256

-- A GPU's large pages: memory of any other size is in small ones, and what is read from it for the first time takes
-- almost twice as long (a product with 50 MB of weights on an H200: 35.6 us against 19.5 us).
local PAGE = 2 << 20

local Arena = {}
Arena.__index = Arena

---Memory of `bytes` on a device ("cpu", "cuda:0").
---@return table? arena # { bytes, device, whole = uint8 [bytes] }
---@return string? message
function arena.new(device, bytes)
  local self = setmetatable({ device = device, bytes = bytes }, Arena)
  if device == "cpu" then
    local memory, why = core.memory(bytes)
    if not memory then return nil, why end
    local ok, whole = pcall(tensor._map_shared, memory:descriptor(), bytes)
    if not ok then
      memory:close()
      return nil, whole
    end
    self.memory, self.whole, self.used = memory, whole, { first = 0, last = 0 }
  else
    bytes = (bytes + PAGE - 1) // PAGE * PAGE
    self.bytes = bytes
    local ok, whole, handle = pcall(tensor._new_shared, bytes, { device = device })
    if not ok then return nil, whole end
    self.whole, self.handle = whole, handle
    self.used = { first = 0, last = bytes } -- by whatever had this memory before
  end
  return self
end

---A contiguous tensor at an offset, which is a multiple of the dtype's size.
function Arena:tensor(offset, dtype, sizes)
  local count = arena.bytes_of(dtype, sizes)
  return self.whole:narrow(1, offset + 1, count):view(dtype):view(sizes)
end

function Arena:close()
  self.whole = nil
  if self.memory then self.memory:close() end
end

Arena.__close = Arena.close

---Bytes of a tensor; float4_e2m1 counts pairs.
function arena.bytes_of(dtype, sizes)
  local bytes = BYTES[dtype]
  for _, size in ipairs(sizes) do
    bytes = bytes * size
  end
  return bytes
end

return arena
