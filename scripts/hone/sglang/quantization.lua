--- How a checkpoint's weights are quantized: SGLang's own reading of the config's quantization_config.
local json = require "hone.json"
local python = require "hone.python"

local M = {}

local MODULE, FILE = "sglang.srt.layers.quantization", "srt/layers/quantization/__init__.py"

local PACKED = "packed_modules_mapping"

-- Methods of ModelOpt, which names itself and its algorithm: { pattern of quant_algo, SGLang's method }.
local MODELOPT = {
  { "MIXED", "modelopt_mixed" },
  { "FP4", "modelopt_fp4" },
  { "FP8", "modelopt_fp8" },
}

local function modelopt_method(about)
  local algorithm = about.quant_algo or json.is_object(about.quantization) and about.quantization.quant_algo
  for _, method in ipairs(MODELOPT) do
    if type(algorithm) == "string" and algorithm:find(method[1], 1, true) then return method[2] end
  end
  return "modelopt"
end

-- What a config says, nil when its weights are as they were trained. Wrappers of a language model keep it at the top.
local function stated(data)
  for _, holder in ipairs { data, data.text_config or false } do
    for _, name in ipairs { "quantization_config", "compression_config" } do
      local about = holder and holder[name]
      if json.is_object(about) then return about end
    end
  end
end

---The method by which a config's weights are quantized, by SGLang's name for it; nil when they are not.
---@param data table # of a config
---@return string? method
---@return table? about # what the config says
function M.method(data)
  local about = stated(data)
  if not about then return nil end
  local method = about.quant_method
  if method == nil or method == "modelopt" then return modelopt_method(about), about end
  return type(method) == "string" and method or "unknown method", about
end

-- Every layer.
local ALL = setmetatable({}, { __index = function() return true end })

---The layers that a config's quantization may treat otherwise than others, since it names them by their numbers.
---@param data table # of a config
---@return table<integer, boolean>
function M.named_layers(data)
  local about = stated(data)
  local text, named = about and json.encode(about) or "", {}
  if text:find('"re:', 1, true) then return ALL end
  for number in text:gmatch "%.(%d+)%f[^%d]" do
    named[math.tointeger(tonumber(number)) or 0] = true
  end
  return named
end

-- The name of the class behind a method, as the table in SGLang's source has it. Evaluating that table would read the
-- sources of all methods.
local function class_name(package, method)
  local source = require("hone.fs").read(require("hone.fs").join(package, FILE))
  local quoted = method:gsub("%p", "%%%0")
  return source and source:match("[\"']" .. quoted .. "[\"']%s*:%s*([%a_][%w_]*)")
end

---SGLang's object for it, which a model's layers ask how each of them is quantized.
---@param world hone.python.World
---@param package string # SGLang's package folder
---@param data table # of a config
---@param model hone.python.Value # the model's class, which says which modules it packs into one
---@return hone.python.Value? quant_config # nil when the weights are not quantized, or SGLang does not know how
---@return string? message # in the latter case
function M.object(world, package, data, model)
  local method, about = M.method(data)
  if not method then return nil end
  local failed = ("the weights are quantized by %s, which is not followed: %%s"):format(method)
  local name = class_name(package, method)
  if not name then return nil, failed:format "this SGLang has no such method" end
  local module, message = world:import(MODULE, true)
  local class, from_config, object
  if module then
    class, message = world:get(module, name)
  end
  if class then
    from_config, message = world:get(class, "from_config")
  end
  if from_config then
    local stated_config = python.from_lua(about)
    local packed = world:has(model, PACKED) and world:get(model, PACKED) or python.from_lua(json.object())
    world:call_method(stated_config, "setdefault", { PACKED, packed })
    object, message = world:call(from_config, { stated_config })
  end
  if not object then return nil, failed:format(message) end
  return object
end

return M
