---@meta hone.safetensors

--- Tensors in files, in the format of HuggingFace's safetensors.
---
--- A file is mapped, not read: opening it looks at the header alone, and a tensor's bytes come into memory when
--- they are first touched. A tensor keeps the mapping alive; writing into it stays private and never reaches the
--- file. A file must not be shortened while tensors of it are in use. Everything a header says is checked before
--- it is believed: bounds, overlaps, gaps, repeated names. A file that Git LFS has not brought yet is named as
--- such, with the command that brings it.
local safetensors = {}

--- A file that is open. Close it, or bind it with `local file <close>`; its tensors stay.
---@class hone.safetensors.File
---@field path string
---@field names string[] # of its tensors, in the order of the header
---@field metadata table<string, string> # what the writer noted; empty where nothing was
local File = {}

--- A tensor as the header describes it.
---@class hone.safetensors.Info
---@field type string # the format's name: "BF16", "F8_E4M3"
---@field dtype? string # ours; nil where hone has none for it
---@field shape integer[] # of float4, pairs of values in the last dimension

--- What the header says of a tensor.
---@param name string
---@return hone.safetensors.Info? info # nil where there is no such tensor
---@return string? message
---@return string? code
function File:info(name) end

--- A tensor over the file's bytes: on the CPU without a copy, unless they lie at an odd place; on a GPU
--- brought there from the file at once.
---@param name string
---@param device? string # "cpu" by default
---@return hone.Tensor? tensor # nil where there is none, or hone has no dtype for it ("ENOTSUP")
---@return string? message
---@return string? code
function File:tensor(name, device) end

--- Let the file go. Its tensors stay usable.
function File:close() end

--- Open a file and check its header.
---@param path string
---@return hone.safetensors.File? file # nil where it cannot be read or is no such file ("EINVAL")
---@return string? message
---@return string? code
function safetensors.open(path) end

--- All tensors of a file.
---@param path string
---@param device? string # where they are to lie: "cpu" by default
---@return table<string, hone.Tensor>? tensors # by name; nil where one of them cannot be read
---@return table<string, string>|string metadata # or the message
---@return string? code
function safetensors.read(path, device) end

--- Write tensors to a file, which is replaced at once or not at all. The bytes are those of the reference writer:
--- tensors by descending rank of their types, then by name; metadata sorted by key.
---@param path string
---@param tensors table<string, hone.Tensor>
---@param metadata? table<string, string>
---@return true? done
---@return string? message
---@return string? code
function safetensors.write(path, tensors, metadata) end

return safetensors
