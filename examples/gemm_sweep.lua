#!/usr/bin/env hone
--- How fast square matrix products are, by size, drawn in the terminal:
--- hone examples/gemm_sweep.lua [DTYPE...]
local cuda = require "hone.cuda"
local tensor = require "hone.tensor"

local SIZES = { 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192 }
local HEIGHT, WIDTH = 14, 6 -- of the plot in lines, of a bar with its gap in characters
local EIGHTHS = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

local available, why = cuda.available()
if not available then
  io.stderr:write("no GPU: ", why, "\n")
  os.exit(1)
end

-- TFLOP/s of a product of two n x n matrices.
local function measure(dtype, n)
  local a = tensor.randn(n, n, { dtype = dtype }):to "cuda:0"
  local b = tensor.randn(n, n, { dtype = dtype }):to "cuda:0"
  local time = assert(cuda.time(function()
    local product <close> = a:matmul(b) -- luacheck: ignore 211
  end, { flops = 2 * n ^ 3, max_time = 0.5 }))
  return time.flops_per_second / 1e12
end

-- What a bar shows in a line: a part of the line's height in eighths.
local function cell(value, line, unit)
  local eighths = math.min(8, math.floor((value / unit - (line - 1)) * 8 + 0.5))
  return (eighths > 0 and EIGHTHS[eighths] or " "):rep(WIDTH - 2) .. "  "
end

local function plot(title, values)
  local unit = math.max(table.unpack(values)) / HEIGHT
  print("\n" .. title)
  for line = HEIGHT, 1, -1 do
    local cells = {}
    for i, value in ipairs(values) do
      cells[i] = cell(value, line, unit)
    end
    print(("%6.0f │ %s"):format(line * unit, table.concat(cells)))
  end
  local labels, numbers = {}, {}
  for i, value in ipairs(values) do
    labels[i] = ("%-" .. WIDTH .. "d"):format(SIZES[i])
    numbers[i] = ("%-" .. WIDTH .. ".4g"):format(value)
  end
  print("       └─" .. ("─"):rep(#values * WIDTH))
  print("   n     " .. table.concat(labels))
  print("TFLOP/s  " .. table.concat(numbers))
end

tensor.manual_seed(1)
for _, dtype in ipairs(#arg > 0 and arg or { "bfloat16", "float32" }) do
  local values = {}
  for i, n in ipairs(SIZES) do
    values[i] = measure(dtype, n)
  end
  plot(("%s, n x n by n x n, on %s"):format(dtype, cuda.devices()[1].name), values)
end
