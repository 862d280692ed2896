--- A folder of dumps and an empty dataset beside it, to collect the ones into the other.
local fs, json = require "hone.fs", require "hone.json"

local Box = {}
Box.__index = Box

---Dumps written by lines of Python over the log of one process.
function Box:log(lines) require "support.log_dumps"(self.dumps, lines) end

---The report of collecting for definitions.
function Box:collect(definitions, options)
  local settings = { root = self.root, max_workloads = 20, max_per_axes = 2 }
  for key, value in pairs(options or {}) do
    settings[key] = value
  end
  return assert(require("hone.workloads.collect").from_dumps(self.dumps, definitions, settings))
end

---The workloads that the dataset has of a definition.
function Box:workloads(definition)
  local list = {}
  local path = fs.join(self.root, "workloads", definition.op_type, definition.name .. ".jsonl")
  for _, trace in json.lines(path) do
    list[#list + 1] = trace.workload
  end
  return list
end

function Box:close() self.dir:remove() end

local dump_box = {}

---@return table box # { dumps, root }, to be closed
function dump_box.new()
  local dir = assert(fs.tempdir())
  local root = fs.join(dir.path, "dataset")
  assert(fs.mkdir(root))
  return setmetatable({ dir = dir, dumps = fs.join(dir.path, "dumps"), root = root }, Box)
end

return dump_box
