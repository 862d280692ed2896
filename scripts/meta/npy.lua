---@meta hone.npy

--- NumPy's files of one array, `.npy`, versions 1 to 3. A file is mapped, not read, as `hone.safetensors` does.
local npy = {}

--- The array of a file. One in Fortran's order becomes a transposed view. Refused are big-endian elements, and
--- types that hone has no dtype for (complex numbers, text, records, objects).
---@param path string
---@return hone.Tensor? tensor
---@return string? message
---@return string? code
function npy.read(path) end

--- Write a tensor, byte for byte as NumPy does; the file is replaced at once or not at all. bfloat16, float8 and
--- float4 have no NumPy type: convert them first.
---@param path string
---@param tensor hone.Tensor
---@return true? done
---@return string? message
---@return string? code
function npy.write(path, tensor) end

return npy
