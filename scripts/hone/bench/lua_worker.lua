--- The process that runs a solution written in Lua: `hone lua_worker.lua DESCRIPTOR`. A solution is a script that
--- returns a table with its entry point, or defines it as a global; it gets hone's tensors.
local json = require "hone.json"
local tensor = require "hone.tensor"
local arena = require "hone.bench.arena"

local hooks = {}
local solution, dps
local calls = {}

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

function hooks.prepare(call, values)
  local arguments, outputs, n = {}, {}, 0
  for _, value in ipairs(values) do
    if value.is_output then outputs[#outputs + 1] = argument(value) end
    if dps or not value.is_output then
      n = n + 1
      arguments[n] = argument(value)
    end
  end
  calls[call] = { arguments = arguments, n = n, outputs = outputs }
  return true
end

function hooks.run(call)
  local it = calls[call]
  local results = table.pack(xpcall(solution, debug.traceback, table.unpack(it.arguments, 1, it.n)))
  if not results[1] then return nil, results[2] end
  it.returned = { n = results.n - 1, table.unpack(results, 2, results.n) }
  return true
end

-- A number is a tensor without dimensions.
local function as_tensor(value, like)
  if type(value) ~= "number" and type(value) ~= "boolean" then return value end
  return tensor.full({}, value, { dtype = like.dtype, device = like.device })
end

local function tell(value)
  if not tensor.is_tensor(value) then return { type = type(value) } end
  local address, device = value:_address()
  return { type = "Tensor", dtype = value.dtype, shape = value:shape(), address = address, device = device }
end

function hooks.finish(call)
  if dps then return true end
  local it, list = calls[call], {}
  for i = 1, it.returned.n do
    local place = it.outputs[i]
    local value = place and as_tensor(it.returned[i], place) or it.returned[i]
    list[i] = tell(value)
    local fits = tensor.is_tensor(value) and place and value.dtype == place.dtype
    if fits and table.concat(value:shape(), ",") == table.concat(place:shape(), ",") then
      place:copy_(value)
    end
  end
  return true, list
end

function hooks.forget()
  calls = {}
  return true
end

os.exit(require("hone.core.serve").serve(math.tointeger(tonumber(arg[1])), hooks))
