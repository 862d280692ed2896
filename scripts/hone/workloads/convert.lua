--- From a logged call, and the plan that it ran under, to a workload of a definition; or why it is none.
--
-- Integer tensors are the structure of a workload and are kept; so are floats whose values matter (probabilities of
-- nuclei). Other floats are noted as random: how large they are does not change what a kernel does, only their
-- statistics are told. Scalars are kept.
local fs, json = require "hone.fs", require "hone.json"
local tensor = require "hone.tensor"
local axis_value = require("hone.dataset.definition").axis_value
local inputs = require "hone.dataset.inputs"

local convert = {}

local STRUCTURE = { int32 = true, int64 = true, int16 = true, bool = true }

local function shape_text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

-- ---- where an input is ---------------------------------------------------------------------------------

-- Where a call has an input: in the plan's arguments or its own, by the op type's word for it or its own name.
local function places(call, name)
  local mapping = call.mapping
  local list = {}
  if call.plan then list[1] = { call.plan, mapping.plan and mapping.plan[name] or name } end
  list[#list + 1] = { call.run, mapping.run and mapping.run[name] or name }
  return list
end

-- An input's shape in the call, as far as the definition's own: a stack of tensors taken apart, heads split off.
local function fit(call, name, spec, shape, dtype)
  local reshaped = call.mapping.reshaped and call.mapping.reshaped[name]
  shape = reshaped and reshaped(shape, dtype) or shape
  local stacked = call.mapping.stacked and call.mapping.stacked[name]
  if stacked and #shape == #spec.shape + 1 and shape[2] >= stacked then
    shape = table.move(shape, 1, #shape, 1, {})
    table.remove(shape, 2)
  end
  local last = call.constants[spec.shape[#spec.shape]]
  if #shape > 0 and #shape == #spec.shape - 1 and last and last > 0 and shape[#shape] % last == 0 then
    shape = table.move(shape, 1, #shape, 1, {})
    shape[#shape] = shape[#shape] // last
    shape[#shape + 1] = last
  end
  return shape
end

-- Caches may lie with heads before the tokens of a page (HND): then those two sizes are exchanged.
local function as_tokens_first(call, spec, shape)
  if #shape ~= 4 then return shape end
  local second, third = call.constants[spec.shape[2]], call.constants[spec.shape[3]]
  if second and third and second ~= third and shape[2] == third and shape[3] == second then
    return { shape[1], third == shape[2] and second or shape[2], third, shape[4] }
  end
  return shape
end

local function find_tensor(call, name, spec)
  for _, place in ipairs(places(call, name)) do
    local info = place[1]:tensor_info(place[2])
    if info then
      local shape = as_tokens_first(call, spec, fit(call, name, spec, info.shape, info.dtype))
      return { dump = place[1], info = info, shape = shape, dtype = info.dtype }
    end
  end
end

local function find_scalar(call, name)
  for _, place in ipairs(places(call, name)) do
    if type(place[2]) == "string" then
      local value = place[1]:scalar(place[2])
      if value ~= nil and value ~= json.null then return value end
    end
  end
end

-- ---- axes ----------------------------------------------------------------------------------------------

local function bind(axes, found, name, spec)
  if #found.shape ~= #spec.shape then
    return nil,
      ("%s is %s, the definition has %d dimensions"):format(name, shape_text(found.info.shape), #spec.shape)
  end
  for i, axis in ipairs(spec.shape) do
    if axes[axis] == nil then axes[axis] = found.shape[i] end
    if axes[axis] ~= found.shape[i] then
      return nil, ("%s is %d in %s, not %d"):format(axis, found.shape[i], name, axes[axis])
    end
  end
  return true
end

-- Constants that plan() is told as numbers.
local function check_planned(call, definition)
  for _, name in ipairs(call.plan and json.keys(definition.axes) or {}) do
    local planned, value = call.plan:scalar(name), call.constants[name]
    if value and math.type(planned) == "integer" and planned ~= value then
      return nil, ("%s is %d in plan(), not %d"):format(name, planned, value)
    end
  end
  for name, value in pairs(call.plan and call.mapping.requires or {}) do
    local planned = call.plan:scalar(name)
    if planned ~= nil and planned ~= value then
      return nil, ("it was planned with %s=%s"):format(name, tostring(planned))
    end
  end
  return true
end

-- Sizes first, and none of the tensors' values: most calls belong to another definition.
local function read_axes(call, definition)
  local ok, why = check_planned(call, definition)
  if not ok then return nil, why end
  local axes = {}
  for name, value in pairs(call.constants) do
    axes[name] = value
  end
  for axis, source in pairs(call.mapping.axes or {}) do
    local info = call.run:tensor_info(source[1])
    axes[axis] = info and info.shape[source[2]]
  end
  for _, name in ipairs(json.keys(definition.inputs)) do
    local spec = definition.inputs[name]
    local found = spec.shape ~= json.null and find_tensor(call, name, spec)
    -- what is planned for a longest run is longer than what is used of it: trimmed once the values are known
    if found and not (STRUCTURE[spec.dtype] and call.trimmed[name]) then
      ok, why = bind(axes, found, name, spec)
      if not ok then return nil, why end
    end
    if found then call.tensors[name] = found end
  end
  return axes
end

-- ---- structure -----------------------------------------------------------------------------------------

local function read_values(call, name, spec, axes)
  local derive = call.mapping.derived and call.mapping.derived[name]
  local found = call.tensors[name]
  if not found then
    local made = derive and derive(call.run, call.plan, axes)
    return made and made:to(spec.dtype)
  end
  local values, why = found.dump:tensor(found.info)
  if not values then return nil, why end
  if #values:shape() ~= #found.shape then values = values:reshape(table.unpack(found.shape)) end
  return values:to(spec.dtype)
end

-- Plans are given room for more pages than there are: what counts ends where the last sequence does.
local function trim(call, structure)
  local starts, indices = structure.kv_indptr, structure.kv_indices
  if not (starts and indices) or starts:numel() == 0 then return true end
  local used = starts[starts:numel()]:item()
  if used < 0 or used > indices:numel() then
    return nil, ("kv_indptr ends at %d, and there are %d kv_indices"):format(used, indices:numel())
  end
  structure.kv_indices = indices:narrow(1, 1, used)
  call.used = used
  return true
end

-- A definition may want one entry more than there are sequences.
local function pad(structure, definition, axes)
  local lengths, spec = structure.kv_last_page_len, definition.inputs.kv_last_page_len
  local wanted = spec and lengths and axes[spec.shape[1]]
  if not wanted or lengths:numel() == wanted then return true end
  if lengths:numel() > wanted then
    structure.kv_last_page_len = lengths:narrow(1, 1, wanted)
    return true
  end
  local padded = tensor.zeros(wanted, { dtype = spec.dtype })
  padded:narrow(1, 1, lengths:numel()):copy_(lengths)
  structure.kv_last_page_len = padded
  return true
end

local INDPTRS = { "qo_indptr", "kv_indptr", "cu_seqlens" }

local function check_structure(structure)
  for _, name in ipairs(INDPTRS) do
    local starts = structure[name]
    if starts and starts:numel() > 0 then
      if starts[1]:item() ~= 0 then return nil, ("%s does not begin at 0"):format(name) end
      local steps = starts:numel() > 1
        and starts:narrow(1, 2, starts:numel() - 1) - starts:narrow(1, 1, starts:numel() - 1)
      if steps and steps:min():item() < 0 then return nil, ("%s goes down"):format(name) end
    end
  end
  local indices = structure.kv_indices
  if indices and indices:numel() > 0 and indices:min():item() < 0 then
    return nil, "kv_indices has a negative page"
  end
  return true
end

local function read_structure(call, definition, axes)
  local structure, missing = {}, {}
  for _, name in ipairs(json.keys(definition.inputs)) do
    local spec = definition.inputs[name]
    local keeps = STRUCTURE[spec.dtype] or call.mapping.values and call.mapping.values[name]
    if spec.shape ~= json.null and keeps then
      local values, why = read_values(call, name, spec, axes)
      if not values and why then return nil, ("%s: %s"):format(name, why) end
      structure[name] = values
      if not values then missing[#missing + 1] = name end
    end
  end
  return structure, missing
end

-- A number for each sequence that was passed as one for all of them.
local function spread(call, structure, missing, definition, axes)
  local left = {}
  for _, name in ipairs(missing) do
    local spec, value = definition.inputs[name], find_scalar(call, name)
    local size = #spec.shape == 1 and axes[spec.shape[1]]
    if type(value) == "number" and size then
      structure[name] = tensor.full({ size }, value, { dtype = spec.dtype })
    elseif not spec.optional then
      left[#left + 1] = name
    end
  end
  if #left > 0 then return nil, ("the call has no %s"):format(table.concat(left, ", ")) end
  return true
end

-- ---- a workload ----------------------------------------------------------------------------------------

local function bind_structure(structure, definition, axes)
  for _, name in ipairs(json.keys(definition.inputs)) do
    local values, spec = structure[name], definition.inputs[name]
    if values then
      local ok, why = bind(axes, { shape = values:shape(), info = { shape = values:shape() } }, name, spec)
      if not ok then return nil, why end
    end
  end
  return true
end

-- The fewest pages that hold all that are referred to: a server's pool is as large as its memory.
local function count_pages(structure, definition, axes)
  local indices = structure.kv_indices
  if not definition.axes.num_pages or axis_value(definition.axes.num_pages) or not indices then return end
  axes.num_pages = indices:numel() > 0 and indices:max():item() + 1 or math.min(axes.num_pages or 1, 1)
end

local function variable_axes(definition, axes)
  local list, missing = json.object(), {}
  for _, name in ipairs(json.keys(definition.axes)) do
    if axis_value(definition.axes[name]) == nil then
      list[name] = axes[name]
      if not axes[name] then missing[#missing + 1] = name end
    end
  end
  if #missing > 0 then
    return nil, ("nothing in the call tells the axis %s"):format(table.concat(missing, ", "))
  end
  return list
end

local function is_finite(value) return value == value and math.abs(value) ~= math.huge end

local function read_scalars(call, definition, axes)
  local scalars = {}
  for _, name in ipairs(json.keys(definition.inputs)) do
    local spec = definition.inputs[name]
    if spec.shape == json.null then
      local value = find_scalar(call, name)
      local default = call.mapping.scalars and call.mapping.scalars[name]
      if value == nil and default then value = default(axes) end
      if type(value) ~= "number" and type(value) ~= "boolean" then
        return nil, ("the call has no %s, and its default is not known"):format(name)
      end
      if type(value) == "number" and not is_finite(value) then
        return nil, ("its %s is %s"):format(name, value)
      end
      if spec.dtype:find "^float" and math.type(value) == "integer" then value = value + 0.0 end
      scalars[name] = value
    end
  end
  return scalars
end

local function new_call(definition, mapping, run, plan)
  local constants = {}
  for name, axis in pairs(definition.axes) do
    constants[name] = axis_value(axis)
  end
  return {
    run = run,
    plan = plan,
    mapping = mapping,
    constants = constants,
    tensors = {},
    trimmed = { kv_indices = true, kv_last_page_len = true },
  }
end

-- Dtypes of floats other than the definition's: the structure holds all the same, so this is a remark.
local function other_dtypes(call, definition)
  local notes = {}
  for _, name in ipairs(json.keys(definition.inputs)) do
    local found, spec = call.tensors[name], definition.inputs[name]
    if found and not STRUCTURE[spec.dtype] and found.dtype ~= spec.dtype then
      notes[#notes + 1] = ("%s was %s"):format(name, found.dtype)
    end
  end
  return notes
end

---@class hone.workloads.Candidate
---@field axes table<string, integer> # variable ones, in the definition's order
---@field scalars table<string, number|boolean>
---@field structure table<string, hone.Tensor> # what is kept
---@field digest string # of all of it: equal workloads have equal ones
---@field notes string[]
---@field floats table # the tensors that are noted as random, by input: where they are

local function digest_of(definition, candidate)
  local pieces = { definition.name }
  for _, name in ipairs(json.keys(candidate.axes)) do
    pieces[#pieces + 1] = ("%s=%d"):format(name, candidate.axes[name])
  end
  for _, name in ipairs(json.keys(definition.inputs)) do
    local values, scalar = candidate.structure[name], candidate.scalars[name]
    if values then pieces[#pieces + 1] = name .. "\0" .. values:contiguous():bytes() end
    if scalar ~= nil then pieces[#pieces + 1] = ("%s=%s"):format(name, scalar) end
  end
  return fs.sha256(table.concat(pieces, "\n"))
end

local function read(call, definition)
  local axes, why = read_axes(call, definition)
  if not axes then return nil, why end
  local structure, missing = read_structure(call, definition, axes)
  if not structure then return nil, missing end
  local ok
  ok, why = trim(call, structure)
  if not ok then return nil, why end
  ok, why = check_structure(structure)
  if not ok then return nil, why end
  if structure.kv_indices then axes.num_kv_indices = definition.axes.num_kv_indices and call.used or nil end
  inputs.solve(definition, axes)
  pad(structure, definition, axes)
  ok, why = spread(call, structure, missing, definition, axes)
  if not ok then return nil, why end
  ok, why = bind_structure(structure, definition, axes)
  if not ok then return nil, why end
  if call.mapping.only and not call.mapping.only(axes) then
    return nil, "its sizes are those of another kind of call"
  end
  count_pages(structure, definition, axes)
  return axes, structure
end

---@class hone.workloads.Target # a definition that calls are read for
---@field definition table
---@field api hone.workloads.Api
---@field mapping table # what the op type says of its calls
---@field broken fun(axes: table, inputs: table): string? # the first constraint that does not hold

---@return hone.workloads.Target? target
---@return string? why # it cannot be collected
function convert.target(definition)
  local api = require "hone.workloads.api"
  local found = api.of(definition)
  if not found then return nil, ("%s has no fi_api tag: nothing is logged for it"):format(definition.name) end
  local broken, why = require("hone.reference").constraints(definition)
  if not broken then return nil, why end
  return { definition = definition, api = found, mapping = api.mapping(definition), broken = broken }
end

---Read a call as a workload of a definition.
---@param target hone.workloads.Target
---@param run hone.workloads.Dump
---@param plan hone.workloads.Dump? # of a wrapper
---@return hone.workloads.Candidate? candidate
---@return string? why
function convert.read(target, run, plan)
  local definition = target.definition
  local call = new_call(definition, target.mapping, run, plan)
  local other = target.mapping.refuses and target.mapping.refuses(run, definition)
  if other then return nil, other end
  local axes, structure = read(call, definition)
  if not axes then return nil, structure end
  local scalars, why = read_scalars(call, definition, axes)
  if not scalars then return nil, why end
  local variable
  variable, why = variable_axes(definition, axes)
  if not variable then return nil, why end
  local candidate =
    { axes = variable, scalars = scalars, structure = structure, notes = other_dtypes(call, definition) }
  why = target.broken(axes, structure)
  if why then return nil, why end
  candidate.digest = digest_of(definition, candidate)
  candidate.floats = call.tensors
  return candidate
end

return convert
