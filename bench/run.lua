--- Run the benches and print their figures: hone bench/run.lua [NAME...]
-- A bench is a file bench/<name>.lua that returns { name, run = function(report) }; it calls
-- report(label, ratio, detail) for every figure: our time over the other's, taken in one run on one machine.
local lfs = require "lfs"

local folder = arg[0]:match("^(.*)/[^/]*$") or "."

local function names()
  if #arg > 0 then return { table.unpack(arg) } end
  local found = {}
  for file in lfs.dir(folder) do
    local name = file:match("^(.*)%.lua$")
    if name and name ~= "run" then found[#found + 1] = name end
  end
  table.sort(found)
  return found
end

local function report(label, ratio, detail)
  local figure = ratio and ("%.2fx"):format(ratio) or "-"
  print(("  %-52s %9s   %s"):format(label, figure, detail or ""))
end

local function run(name)
  local bench = assert(dofile(("%s/%s.lua"):format(folder, name)))
  print(bench.name)
  bench.run(report)
end

-- Several benches run in a process each, so that what one leaves in memory is not in the next one's figures.
local function run_apart(list)
  local process = require "hone.process"
  local hone = require("hone.paths").exe
  for _, name in ipairs(list) do
    io.stdout:flush()
    local result = assert(process.run { hone, arg[0], name, stdout = "inherit", stderr = "inherit" })
    if result.status ~= 0 then os.exit(1) end
  end
end

local list = names()
if #list == 1 then
  run(list[1])
else
  run_apart(list)
end
