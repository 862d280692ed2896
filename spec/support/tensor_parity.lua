--- Runs the cases that tensor_cases.py wrote and says which ones differ from torch.
local json = require "hone.json"
local tensor = require "hone.tensor"

local M = {}

local device = "cpu" -- where the cases run

local SIZES = { float64 = 8, float32 = 4, float16 = 2, bfloat16 = 2, int64 = 8, int32 = 4, int16 = 2 }
-- Bits that a unit in the last place is counted in: how to unpack them, and where the sign is.
local BITS = {
  float64 = { "<i8", 63 },
  float32 = { "<i4", 31 },
  float16 = { "<i2", 15 },
  bfloat16 = { "<i2", 15 },
}

-- The tensor that a record of the cases describes, with its strides.
local function tensor_of(record, data)
  local bytes = data:sub(record.at + 1, record.at + record.bytes)
  local storage = tensor.from_bytes(bytes, record.dtype, record.bytes // (SIZES[record.dtype] or 1))
  return storage:to(device):as_strided(record.shape, record.stride, record.offset)
end

local function argument(value, data)
  if type(value) ~= "table" then
    if value == json.null then return nil end
    return value
  end
  if value.at then return tensor_of(value, data) end
  if value.number then return tonumber(({ inf = "1e999", ["-inf"] = "-1e999" })[value.number]) or 0 / 0 end
  local list = {}
  for i, item in ipairs(value.list or value) do
    list[i] = argument(item, data)
  end
  return list
end

local FUNCTIONS = { cat = true, stack = true }
local MAKERS = { arange = true, linspace = true, eye = true } -- they take where to make it
local SPECIAL = {
  __rsub = function(t) return 3 - t end,
  __rdiv = function(t) return 3 / t end,
}

local function made_there(f, arguments, n)
  local options = { device = device }
  if type(arguments[n]) == "string" then
    n, options.dtype = n - 1, arguments[n]
  end
  arguments[n + 1] = options
  return f(table.unpack(arguments, 1, n + 1))
end

local function call(case, data)
  local arguments, n = {}, #case.args
  for i = 1, n do
    arguments[i] = argument(case.args[i], data)
  end
  if MAKERS[case.call] then return made_there(tensor[case.call], arguments, n) end
  local f = SPECIAL[case.call] or (FUNCTIONS[case.call] and tensor[case.call])
  if not f then
    f = arguments[1][case.call]
    if not f then error("there is no method " .. case.call) end
  end
  return f(table.unpack(arguments, 1, n))
end

-- Units in the last place between two elements of the same dtype, given as bits.
local function distance(a, b, sign)
  local lowest = -1 << sign
  if a < 0 then a = lowest - a end
  if b < 0 then b = lowest - b end
  return math.abs(a - b)
end

local function near(x, y, i, mode, bits)
  if x ~= x and y ~= y then return true end
  if type(mode) ~= "table" then return x == y and (x ~= 0 or 1 / x == 1 / y) end
  if x == y then return true end
  if mode.rel then return math.abs(x - y) <= mode.abs + mode.rel * math.abs(y) end
  return distance(bits.ours[i], bits.theirs[i], bits.sign) <= mode.ulp
end

local function unpack_bits(t)
  local kind = BITS[t.dtype]
  local bytes, list = t:bytes(), {}
  for i = 1, t:numel() do
    list[i] = string.unpack(kind[1], bytes, (i - 1) * SIZES[t.dtype] + 1)
  end
  return list, kind[2]
end

local function compare_elements(ours, theirs, mode)
  local bits
  if type(mode) == "table" and mode.ulp then
    bits = {}
    bits.ours, bits.sign = unpack_bits(ours)
    bits.theirs = unpack_bits(theirs)
  end
  local x, y = ours:reshape(-1):tolist(), theirs:reshape(-1):tolist()
  for i = 1, #x do
    if type(x[i]) == "boolean" then
      if x[i] ~= y[i] then return ("element %d is %s, torch has %s"):format(i, x[i], y[i]) end
    elseif not near(x[i], y[i], i, mode, bits) then
      return ("element %d is %.17g, torch has %.17g"):format(i, x[i], y[i])
    end
  end
end

local function compare(ours, theirs, mode)
  if type(theirs) == "table" and not tensor.is_tensor(theirs) then
    if #ours ~= #theirs then return ("%d results, torch has %d"):format(#ours, #theirs) end
    for i = 1, #theirs do
      local why = compare(ours[i], theirs[i], mode)
      if why then return why end
    end
    return nil
  end
  if not tensor.is_tensor(ours) then return "the result is a " .. type(ours) end
  if ours.dtype ~= theirs.dtype then
    return ("the dtype is %s, torch has %s"):format(ours.dtype, theirs.dtype)
  end
  local shape, expected = table.concat(ours:shape(), " "), table.concat(theirs:shape(), " ")
  if shape ~= expected then return ("the shape is [%s], torch has [%s]"):format(shape, expected) end
  if ours:bytes() == theirs:bytes() then return nil end
  return compare_elements(ours, theirs, mode)
end

-- On a GPU an index out of range is found out while the kernel runs: wait for it.
local function call_to_the_end(case, data)
  call(case, data)
  tensor.zeros(1, { device = device }):item()
end

-- Running sums are made of parts there, which rounds in other places; where they cancel, that shows.
local SCANS = { cumsum = true, cumprod = true }
local ROUNDING = { float64 = 0x1p-46, float32 = 0x1p-22, float16 = 0x1p-9, bfloat16 = 0x1p-6 }

local function mode_of(case, expected)
  local rounding = device ~= "cpu" and SCANS[case.group] and ROUNDING[expected.dtype]
  return rounding and { rel = rounding, abs = 64 * rounding } or case.mode
end

-- nil where the case passes, else why not.
local function check(case, data)
  local results = table.pack(pcall(case.refused and call_to_the_end or call, case, data))
  if case.refused and device ~= "cpu" and case.refused:find "ZeroDivision" then return nil end -- seen nowhere there
  if case.refused then return results[1] and ("done, torch refuses: " .. case.refused) or nil end
  if not results[1] then return "refused: " .. tostring(results[2]) end
  for i, expected in ipairs(case.expect) do
    local why = compare(results[i + 1], argument(expected, data), mode_of(case, expected))
    if why then return why end
  end
end

local function describe(case)
  local parts = {}
  for i, a in ipairs(case.args) do
    if type(a) == "table" and a.dtype then
      parts[i] = ("%s[%s]"):format(a.dtype, table.concat(a.shape, ","))
    else
      parts[i] = json.encode(a)
    end
  end
  return ("%s(%s)"):format(case.call, table.concat(parts, ", "))
end

---Run the cases of a folder on a device: all, or every parts-th from number `part` on.
----> groups in order: { name=, passed=, failures = { text... } }
function M.run(folder, where, part, parts)
  device = where or "cpu"
  local number = 0
  local file <close> = assert(io.open(folder .. "/cases.bin", "rb"))
  local data = file:read("a")
  local groups, by_name = {}, {}
  for _, case in assert(json.lines(folder .. "/cases.jsonl")) do
    local group = by_name[case.group]
    if not group then
      group = { name = case.group, passed = 0, failures = {} }
      by_name[case.group] = group
      table.insert(groups, group)
    end
    number = number + 1
    if not parts or number % parts == part then
      local why = check(case, data)
      if why then
        table.insert(group.failures, describe(case) .. ": " .. why)
      else
        group.passed = group.passed + 1
      end
    end
  end
  return groups
end

return M
