--- Thousands of calls with arguments of any kind: each is answered, or refused in one line. The same calls in
--- every run; the sanitizers are what makes this spec strict.
local tensor = require "hone.tensor"

local DTYPES = {
  "float64",
  "float32",
  "float16",
  "bfloat16",
  "float8_e4m3fn",
  "float8_e5m2",
  "float4_e2m1",
  "int64",
  "int32",
  "int16",
  "int8",
  "uint8",
  "bool",
}
local NUMBERS = {
  0,
  1,
  -1,
  2,
  3,
  7,
  8,
  9,
  64,
  1 << 40,
  math.maxinteger,
  math.mininteger,
  -2,
  -9,
  1.5,
  0.0,
  0 / 0,
  math.huge,
  -math.huge,
}
local WORDS = { ":", "...", "new", "float32", "int8", "cpu", "cuda:0", "nonsense" }
local CALLS_A_SEED, SEEDS = 4000, 4

local function pick(list) return list[math.random(#list)] end

-- One step to another layout over the same memory.
local VIEWS = {
  function(t) return t:dim() > 1 and t:transpose(1, -1) or t end,
  function(t) return t:dim() > 0 and t[{ { math.random(3), math.random(-3, 5), math.random(3) } }] or t end,
  function(t)
    local shape = t:shape()
    table.insert(shape, 1, math.random(0, 3))
    return t:dim() < 7 and t:expand(shape) or t
  end,
  function(t) return t:dim() < 8 and t:unsqueeze(math.random(t:dim() + 1)) or t end,
}

local function some_tensor()
  local shape = {}
  for i = 1, math.random(0, 4) do
    shape[i] = pick { 0, 1, 2, 3, 5, 17 }
  end
  local t = tensor.randint(-3, 5, shape)
  local d = pick(DTYPES)
  t = d == "float4_e2m1" and t:to("uint8"):view(d) or t:to(d)
  for _ = 1, math.random(0, 2) do
    t = pick(VIEWS)(t)
  end
  return t
end

local some_value

local function some_table(depth)
  local t = {}
  for i = 1, depth < 3 and math.random(0, 4) or 0 do
    t[i] = some_value(depth + 1)
  end
  if math.random(3) == 1 then t.keepdim = true end
  if math.random(4) == 1 then t.dim = pick(NUMBERS) end
  return t
end

function some_value(depth)
  local kind = math.random(12)
  if kind <= 4 then return some_tensor() end
  if kind <= 7 then return pick(NUMBERS) end
  if kind == 8 then return pick(WORDS) end
  if kind == 9 then return math.random(2) == 1 end
  if kind == 10 then return nil end
  return some_table(depth or 0)
end

-- Functions in a fixed order, but for those that change what other specs see.
local function callables(from)
  local names, functions = {}, {}
  for name, f in pairs(from) do
    if type(f) == "function" and name ~= "set_threads" and name:sub(1, 1) ~= "_" then
      table.insert(names, name)
    end
  end
  table.sort(names)
  for i, name in ipairs(names) do
    functions[i] = from[name]
  end
  return functions
end

local FUNCTIONS, METHODS = callables(tensor), callables(tensor.Tensor)

local KINDS = {
  function()
    local arguments = table.pack(some_value(), some_value(), some_value(), some_value())
    return pcall(pick(FUNCTIONS), table.unpack(arguments, 1, math.random(0, arguments.n)))
  end,
  function()
    local t, key = some_tensor(), some_value()
    return pcall(function() return t[key] end)
  end,
  function()
    local t, key, value = some_tensor(), some_value(), some_value()
    return pcall(function() t[key] = value end)
  end,
}

local function some_call()
  local kind = KINDS[math.random(10)]
  if kind then return kind() end
  local arguments = table.pack(some_value(), some_value(), some_value())
  return pcall(pick(METHODS), some_tensor(), table.unpack(arguments, 1, math.random(0, arguments.n)))
end

describe("any argument", function()
  for seed = 1, SEEDS do
    it(("is answered, or refused in one line (seed %d)"):format(seed), function()
      math.randomseed(seed)
      tensor.manual_seed(seed)
      local answered = 0
      for _ = 1, CALLS_A_SEED do
        local done, message = some_call()
        if done then
          answered = answered + 1
        else
          assert.equal("string", type(message))
          assert.is_nil(message:find("\n", 1, true), message)
        end
      end
      assert.is_true(answered > CALLS_A_SEED // 10, "hardly any call was right: " .. answered)
    end)
  end
end)
