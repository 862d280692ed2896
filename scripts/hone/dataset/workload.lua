--- Workloads: the sizes of a definition's variable axes and where each input comes from.
local json, schema = require "hone.json", require "hone.dataset.schema"

local workload = {}

local RANDOM = schema.record {}
local SAFETENSORS = schema.record { { "path", schema.text }, { "tensor_key", schema.text } }
local SCALAR = schema.record { { "value", schema.scalar } }

local KINDS = {
  random = { RANDOM },
  safetensors = { SAFETENSORS },
  scalar = { SCALAR },
}
-- What an input without a type may be: what says most about it comes first.
local UNTYPED = { { "safetensors", SAFETENSORS }, { "scalar", SCALAR }, { "random", RANDOM } }

---The sizes of variable axes in words: "batch_size=7 num_pages=18".
function workload.axes_text(axes)
  local parts = {}
  for name, size in pairs(axes) do
    parts[#parts + 1] = ("%s=%s"):format(name, size)
  end
  return table.concat(parts, " ")
end

local function typed(kind, fields)
  local input = json.object { { "type", kind } }
  for key, value in pairs(fields) do
    input[key] = value
  end
  return input
end

local function check_input(value, field)
  local kind = schema.is_object(value) and value.type
  if kind then
    if not KINDS[kind] then return nil, field .. ".type must be one of random, safetensors, scalar" end
    local fields, why = KINDS[kind][1](value, field)
    return fields and typed(kind, fields), why
  end
  for _, candidate in ipairs(UNTYPED) do
    local fields = candidate[2](value, field)
    if fields then return typed(candidate[1], fields) end
  end
  return nil, field .. " must be an object"
end

local check = schema.record {
  { "axes", schema.map(schema.size) },
  { "inputs", schema.map(check_input) },
  { "uuid", schema.text },
}

---The workload as flashinfer-bench would read it, or nil and what is wrong with it.
function workload.check(value, field) return check(value, field or "workload") end

return workload
