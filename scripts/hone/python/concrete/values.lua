--- Python's values in Lua: numbers, strings and booleans are Lua's, tensors are hone's; None, tuples, lists,
--- dicts, dtypes and devices are made here.
local tensor = require "hone.tensor"

local M = {}

local is_tensor, math_type = tensor.is_tensor, math.type

-- ---- kinds -----------------------------------------------------------------------------------------

M.None = setmetatable({}, { __name = "NoneType", __tostring = function() return "None" end })
M.Ellipsis = setmetatable({}, { __name = "ellipsis", __tostring = function() return "Ellipsis" end })

-- Sequences hold their length in `n`, for what they hold may be anything.
M.Tuple = { __name = "tuple" }
M.List = { __name = "list" }
M.Dict = { __name = "dict" } -- { keys = { ... }, at = { [key] = value } }, in order of insertion
M.Range = { __name = "range" } -- { start, stop, step }
M.Slice = { __name = "slice" }
M.Module = { __name = "module" } -- { name, members }
M.Type = { __name = "type" } -- { name, is(value), call }
M.DType = { __name = "dtype" } -- { name }
M.Device = { __name = "device" } -- { name, type, index }
M.Record = { __name = "object" } -- { fields }, such as what torch.finfo gives

function M.tuple(list, n)
  list.n = n or #list
  return setmetatable(list, M.Tuple)
end

function M.list(list, n)
  list.n = n or #list
  return setmetatable(list, M.List)
end

function M.is_sequence(v)
  local mt = getmetatable(v)
  return mt == M.Tuple or mt == M.List
end

---What Python calls the type of a value.
function M.type_name(v)
  local kind = type(v)
  if kind == "number" then return math_type(v) == "integer" and "int" or "float" end
  if kind == "string" then return "str" end
  if kind == "boolean" then return "bool" end
  if kind == "function" then return "function" end
  if kind == "nil" then return "a variable without a value" end
  if is_tensor(v) then return "Tensor" end
  local mt = getmetatable(v)
  return mt and mt.__name or "object"
end

-- ---- dtypes and devices ----------------------------------------------------------------------------

local dtypes = {}

---The dtype object of one of hone's names: one and the same each time.
function M.dtype(name)
  local found = dtypes[name]
  if not found then
    found = setmetatable({ name = name }, M.DType)
    dtypes[name] = found
  end
  return found
end

local PYTHON_TYPES = { int = "int64", float = "float32", bool = "bool" }

---hone's name of a dtype given as a value; nil for None.
function M.dtype_name(v)
  if v == nil or v == M.None then return nil end
  local mt = getmetatable(v)
  if mt == M.DType then return v.name end
  local name = mt == M.Type and PYTHON_TYPES[v.name]
  if name then return name end
  error(("TypeError: a dtype is expected, not %s"):format(M.type_name(v)), 0)
end

function M.device(name)
  if name == "cuda" then name = "cuda:0" end
  local index = tonumber(name:match(":(%d+)$"))
  return setmetatable({ name = name, type = name:match("^%a+"), index = index or M.None }, M.Device)
end

---hone's name of a device given as a value, nil for None.
function M.device_name(v)
  if v == nil or v == M.None then return nil end
  if type(v) == "string" then return v end
  if getmetatable(v) == M.Device then return v.name end
  if math_type(v) == "integer" then return "cuda:" .. v end
  error(("TypeError: a device is expected, not %s"):format(M.type_name(v)), 0)
end

-- ---- text ------------------------------------------------------------------------------------------

local repr

local function join(v, open, close)
  local parts = {}
  for i = 1, v.n do
    parts[i] = repr(v[i])
  end
  return open .. table.concat(parts, ", ") .. close
end

local function dict_text(v)
  local parts = {}
  for i, key in ipairs(v.keys) do
    parts[i] = repr(key) .. ": " .. repr(v.at[key])
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

---str(v)
function M.str(v)
  local kind = type(v)
  if kind == "string" then return v end
  if kind == "boolean" then return v and "True" or "False" end
  if math_type(v) == "float" then return require("hone.python.format").float(v) end
  if kind == "number" or is_tensor(v) then return tostring(v) end
  local mt = getmetatable(v)
  if mt == M.Tuple then return join(v, "(", v.n == 1 and ",)" or ")") end
  if mt == M.List then return join(v, "[", "]") end
  if mt == M.Dict then return dict_text(v) end
  if mt == M.DType then return "torch." .. v.name end
  if mt == M.Device then return v.name end
  if mt == M.Range then return ("range(%d, %d)"):format(v.start, v.stop) end
  if v == M.None or v == M.Ellipsis then return tostring(v) end
  return ("<%s>"):format(M.type_name(v))
end

---repr(v)
function repr(v)
  if type(v) ~= "string" then return M.str(v) end
  return require("hone.python.format").repr(v)
end
M.repr = repr

return M
