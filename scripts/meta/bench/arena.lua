---@meta hone.bench.arena

--- Memory that a judge owns and a worker sees: a shared mapping on the CPU, CUDA IPC on a GPU. Both have tensors over
--- it; what goes from one to the other is offsets only.
---
---     local memory <close> = assert(arena.new("cpu", 1 << 20))
---     assert(worker:map(memory))
---     local x = memory:tensor(0, "float32", { 16, 16 })
local arena = {}

--- Bytes that the beginnings of tensors are a multiple of.
---@type integer
arena.ALIGNMENT = 256

--- Memory of a device.
---@class hone.bench.Arena
---@field device string # "cpu", "cuda:0"
---@field bytes integer # at least what was asked for
---@field whole hone.Tensor # all of it as uint8
---@field used { first: integer, last: integer } # bytes that hold what somebody left there
local Arena = {}

--- A contiguous tensor at an offset, which is a multiple of the dtype's size: a view.
---@param offset integer # bytes
---@param dtype string
---@param sizes integer[]
---@return hone.Tensor
function Arena:tensor(offset, dtype, sizes) end

--- Let go of it. On a GPU workers let go first (`worker:unmap`).
function Arena:close() end

--- Memory of a size.
---@param device string # "cpu", "cuda:0"
---@param bytes integer
---@return hone.bench.Arena? memory
---@return string? message
function arena.new(device, bytes) end

--- Bytes of a contiguous tensor. An element of float4_e2m1 is a pair.
---@param dtype string
---@param sizes integer[]
---@return integer
function arena.bytes_of(dtype, sizes) end

return arena
