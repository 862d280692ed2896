#!/usr/bin/env hone
--- Pack folders of sources into solutions of a dataset: hone examples/pack_solution.lua DATASET FOLDER...
--- A folder holds solution.json, a solution without its sources, and the sources. Packing twice changes nothing.
local fs = require "hone.fs"
local json = require "hone.json"
local solution = require "hone.dataset.solution"

local function sources_of(folder)
  local paths = {}
  for path in fs.walk(folder) do
    local name = fs.relative(path, folder)
    if fs.is_file(path) and name ~= "solution.json" then paths[#paths + 1] = name end
  end
  table.sort(paths)
  local sources = json.array()
  for _, name in ipairs(paths) do
    local content, why = fs.read(fs.join(folder, name))
    if not content then return nil, why end
    local source = json.object()
    source.path, source.content = name, content
    sources[#sources + 1] = source
  end
  return sources
end

local function pack(root, folder)
  local text, why = fs.read(fs.join(folder, "solution.json"))
  if not text then return nil, why end
  local packed
  packed, why = json.decode(text)
  if type(packed) ~= "table" then
    return nil, ("cannot read %s: %s"):format(fs.join(folder, "solution.json"), why or "not an object")
  end
  packed.sources, why = sources_of(folder)
  if not packed.sources then return nil, why end
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
