--- What the workloads of a dataset are made of, whoever wrote them: sizes, and the tensors that are kept.
local fs, json = require "hone.fs", require "hone.json"
local safetensors = require "hone.safetensors"

local structures = {}

local function sorted_keys(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

---A workload as one line: its axes, and each kept tensor's dtype, shape and values.
---@param root string # the dataset
---@param workload table
---@return string
function structures.of(root, workload)
  local parts = {}
  for _, name in ipairs(sorted_keys(workload.axes)) do
    parts[#parts + 1] = ("%s=%d"):format(name, workload.axes[name])
  end
  for _, name in ipairs(sorted_keys(workload.inputs)) do
    local input = workload.inputs[name]
    if input.type == "safetensors" then
      local t = assert(safetensors.read(fs.join(root, input.path)))[input.tensor_key]
      local shape = table.concat(t:shape(), "x")
      parts[#parts + 1] = ("%s:%s:%s:%s"):format(
        name,
        t.dtype,
        shape,
        fs.sha256(t:contiguous():bytes()):sub(1, 16)
      )
    end
  end
  return table.concat(parts, " ")
end

---@param root string
---@param definition table
---@return string[] # sorted
function structures.all(root, definition)
  local list = {}
  local path = fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl")
  for _, trace in json.lines(path) do
    list[#list + 1] = structures.of(root, trace.workload)
  end
  table.sort(list)
  return list
end

return structures
