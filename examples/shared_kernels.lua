#!/usr/bin/env hone
--- Which kernels of a dataset several models run: hone examples/shared_kernels.lua DATASET
local tags = require "hone.dataset.tags"
local traceset = require "hone.dataset.traceset"

local root = arg[1]
if not root then
  io.stderr:write("usage: hone examples/shared_kernels.lua DATASET\n")
  os.exit(2)
end

local set, why = traceset.open(root)
if not set then
  io.stderr:write(why, "\n")
  os.exit(1)
end

local rows = {}
for _, entry in ipairs(traceset.definitions(set)) do
  local models = tags.models(entry.definition)
  if #models > 1 then rows[#rows + 1] = { entry.definition.name, #models, table.concat(models, " ") } end
end
table.sort(rows, function(a, b)
  if a[2] ~= b[2] then return a[2] > b[2] end
  return a[1] < b[1]
end)
require("hone.table").print(rows, { headers = { "definition", "models", "" } })
