--- How much a call of a kernel has to do, whatever its implementation: bytes that must be moved, operations that
--- must be done. An op type's `work(axes, definition, structure)` adds them up with what is here.
local json = require "hone.json"
local BYTES = require("hone.dataset.definition").BYTES

local M = {}

---Bytes of the part of a tensor that lies behind its first `skip` dimensions; 0 for a scalar, and for none at all.
---@param spec table? # an input or output of a definition
---@param axes table<string, integer>
---@param skip integer? # 0 for the whole tensor
---@return integer
function M.bytes(spec, axes, skip)
  if not spec or spec.shape == nil or spec.shape == json.null then return 0 end
  local bytes = BYTES[spec.dtype]
  for i = (skip or 0) + 1, #spec.shape do
    bytes = bytes * axes[spec.shape[i]]
  end
  return bytes
end

---Bytes of the named inputs; of all of them without names.
---@param names string[]?
function M.inputs(definition, axes, names)
  local bytes = 0
  for _, name in ipairs(names or json.keys(definition.inputs)) do
    bytes = bytes + M.bytes(definition.inputs[name], axes)
  end
  return bytes
end

---Bytes of all outputs.
function M.outputs(definition, axes)
  local bytes = 0
  for _, spec in pairs(definition.outputs) do
    bytes = bytes + M.bytes(spec, axes)
  end
  return bytes
end

local function append(flat, values)
  for _, value in ipairs(values) do
    if type(value) == "table" then
      append(flat, value)
    else
      flat[#flat + 1] = value
    end
  end
  return flat
end

---The numbers of an input as one list, row after row; nil where the structure does not tell them.
---@param structure table<string, table>? # lists or tensors
---@return number[]?
function M.list(structure, name)
  local values = structure and structure[name]
  if values == nil or values == json.null then return nil end
  if type(values) == "userdata" or type(values) == "table" and type(values.tolist) == "function" then
    values = values:tolist()
  end
  return type(values) == "table" and append({}, values) or nil
end

---How many different numbers that are not negative a list holds.
function M.distinct(list)
  local seen, count = {}, 0
  for _, value in ipairs(list) do
    if value >= 0 and not seen[value] then
      seen[value], count = true, count + 1
    end
  end
  return count
end

---How many numbers of a list are not negative.
function M.count(list)
  local count = 0
  for _, value in ipairs(list) do
    if value >= 0 then count = count + 1 end
  end
  return count
end

return M
