--- Devices by their names: "cpu", "cuda:0", "cuda:1", …
local device = {}

---The number of a GPU; nil for what names none.
function device.ordinal(name)
  local digits = name:match "^cuda:(%d+)$"
  return digits and math.tointeger(digits)
end

---What CUDA tells of a GPU.
function device.properties(name) return require("hone.cuda").devices()[device.ordinal(name) + 1] end

---The GPUs that there are.
function device.gpus()
  local cuda, names = require "hone.cuda", {}
  for i in ipairs(cuda.available() and cuda.devices() or {}) do
    names[i] = ("cuda:%d"):format(i - 1)
  end
  return names
end

---Wait until a device is idle.
function device.synchronize(name)
  if name ~= "cpu" then require("hone.cuda").synchronize(device.ordinal(name)) end
end

return device
