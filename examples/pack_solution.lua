#!/usr/bin/env hone
--- Pack folders of sources into solutions of a dataset: hone examples/pack_solution.lua DATASET FOLDER...
--- A folder holds solution.json, a solution without its sources, and the sources. Packing twice changes nothing.
local folder = require "hone.solutions.folder"
local solution = require "hone.dataset.solution"

local function pack(root, path)
  local packed, why = folder.read(path)
  if not packed then return nil, why end
  return solution.write(root, packed)
end

if #arg < 2 then
  io.stderr:write "usage: hone examples/pack_solution.lua DATASET FOLDER...\n"
  os.exit(2)
end
for i = 2, #arg do
  local path, why = pack(arg[1], arg[i])
  if not path then
    io.stderr:write(why, "\n")
    os.exit(1)
  end
  print(path)
end
