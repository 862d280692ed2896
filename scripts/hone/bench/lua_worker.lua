--- The process that runs a solution written in Lua: `hone lua_worker.lua DESCRIPTOR`. A solution is a script that
--- returns a table with its entry point, or defines it as a global; it gets hone's tensors.
local json = require "hone.json"
local tensor = require "hone.tensor"
local arena = require "hone.bench.arena"

local hooks = {}
local solution, dps
local call -- the one at hand: its arguments, the places of its outputs, what it returned

local function find_entry(result, environment, symbol)
  local found = type(result) == "table" and result[symbol] or environment[symbol]
  if type(found) == "function" then return found end
  return nil, ("there is no function '%s' in the solution"):format(symbol)
end

function hooks.load(text)
  local artefact = json.decode(text)
  local path = artefact.directory .. "/" .. artefact.entry
  package.path = artefact.directory .. "/?.lua;" .. package.path
  local environment = setmetatable({}, { __index = _G })
  local chunk, why = loadfile(path, "t", environment)
  if not chunk then return nil, why, "COMPILE_ERROR" end
  local ok, result = xpcall(chunk, debug.traceback)
  if not ok then return nil, result, "COMPILE_ERROR" end
  solution, why = find_entry(result, environment, artefact.symbol)
  if not solution then return nil, why, "COMPILE_ERROR" end
  dps = artefact.dps
  return true
end

local function argument(value)
  if not value.address then return value.value end
  local bytes = arena.bytes_of(value.dtype, value.shape)
  return tensor._alias(value.address, bytes, value.device):view(value.dtype):view(value.shape)
end

function hooks.prepare(_, values)
  local it = { arguments = {}, outputs = {}, n = 0 }
  for _, value in ipairs(values) do
    if value.is_output then it.outputs[#it.outputs + 1] = argument(value) end
    if dps or not value.is_output then
      it.n = it.n + 1
      it.arguments[it.n] = argument(value)
    end
  end
  call = it
  return true
end

-- A number is a tensor without dimensions.
local function as_tensor(value, like)
  if not like or type(value) ~= "number" and type(value) ~= "boolean" then return value end
  return tensor.full({}, value, { dtype = like.dtype, device = like.device })
end

local function tell(value)
  if not tensor.is_tensor(value) then return { type = type(value) } end
  local address, device = value:_address()
  return { type = "Tensor", dtype = value.dtype, shape = value:shape(), address = address, device = device }
end

-- Results are told while the clock runs: the loop takes them from where they lie, row by row.
function hooks.run()
  local results = table.pack(xpcall(solution, debug.traceback, table.unpack(call.arguments, 1, call.n)))
  if not results[1] then return nil, results[2] end
  if dps then return true end
  local list = {}
  call.kept = {}
  for i = 2, results.n do
    local value = as_tensor(results[i], call.outputs[i - 1])
    if tensor.is_tensor(value) and not value:is_contiguous() then value = value:contiguous() end
    call.kept[i - 1], list[i - 1] = value, tell(value)
  end
  return true, list
end

function hooks.forget()
  call = nil
  return true
end

os.exit(require("hone.core.serve").serve(math.tointeger(tonumber(arg[1])), hooks))
