--- The reference of a definition as a Lua function on hone's tensors, checked against the definition.
--
--     local run = assert(hone.reference(definition))
--     local outputs, why = run(q, k_cache, v_cache, kv_indptr, kv_indices, sm_scale)
--
-- See scripts/meta/reference.lua.
local json = require "hone.json"
local tensor = require "hone.tensor"
local concrete = require "hone.python.concrete"
local axis_value = require("hone.dataset.definition").axis_value

-- Elementwise operations on a GPU wait until somebody needs their results: several of them become one launch.
local reference = { _later = "devices" }

local FLOATS = { float32 = true, float16 = true, bfloat16 = true, float64 = true }

local function is_null(v) return v == nil or v == json.null end

local function shape_text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

-- ---- arguments against the definition --------------------------------------------------------------

local Reference = {}
Reference.__index = Reference

function Reference:_fail(format, ...) return nil, ("%s: %s"):format(self.name, format:format(...)) end

-- Take each axis's value from a tensor's shape; nil and why where it does not fit.
local function bind_axes(self, axes, name, spec, t)
  local shape, expected = t:shape(), spec.shape
  if #shape ~= #expected then
    return self:_fail("'%s' has shape %s, the definition %s", name, shape_text(shape), shape_text(expected))
  end
  for i, axis in ipairs(expected) do
    local known = axes[axis]
    if known and known ~= shape[i] then
      return self:_fail(
        "'%s' has shape %s: its axis %s is %d, elsewhere it is %d",
        name,
        shape_text(shape),
        axis,
        shape[i],
        known
      )
    end
    axes[axis] = shape[i]
  end
  return true
end

local function check_tensor(self, axes, name, spec, v)
  if is_null(spec.shape) then
    if type(v) == "number" or type(v) == "boolean" then return true end
    return self:_fail("'%s' is a %s, not a number", name, tensor.is_tensor(v) and "tensor" or type(v))
  end
  if not tensor.is_tensor(v) then return self:_fail("'%s' is a %s, not a tensor", name, type(v)) end
  if v.dtype ~= spec.dtype then
    return self:_fail("'%s' is %s, the definition has %s", name, v.dtype, spec.dtype)
  end
  return bind_axes(self, axes, name, spec, v)
end

-- ---- constraints -----------------------------------------------------------------------------------

-- A constraint as a function of all axes and inputs.
local function compile_constraint(self, text)
  local names = {}
  for _, field in ipairs { "axes", "inputs" } do
    for _, name in ipairs(json.keys(self.definition[field])) do
      names[#names + 1] = name
    end
  end
  local source = ("import math\nimport torch\ndef holds(%s):\n    return (%s)\n"):format(
    table.concat(names, ", "),
    text
  )
  local compiled, why = concrete.load(source, { name = self.name .. ": constraint" })
  if not compiled then return nil, why end
  return { text = text, names = names, source = compiled }
end

local function check_constraint(self, constraint, axes, inputs)
  local arguments = {}
  for i, name in ipairs(constraint.names) do
    local v = axes[name]
    if v == nil then v = inputs[name] end
    -- nothing is asked of what belongs to an input that was left out
    if v == nil and constraint.text:find("%f[%w_]" .. name .. "%f[^%w_]") then return true end
    arguments[i] = v == nil and concrete.None or v
  end
  local holds, why = constraint.source:call("holds", table.unpack(arguments, 1, #constraint.names))
  if why then return nil, why end
  if tensor.is_tensor(holds) then holds = holds:item() end
  if holds and holds ~= 0 then return true end
  local known = {}
  for axis, value in pairs(axes) do
    if constraint.text:find("%f[%w_]" .. axis .. "%f[^%w_]") then
      known[#known + 1] = axis .. " = " .. value
    end
  end
  table.sort(known)
  local values = #known > 0 and (" (%s)"):format(table.concat(known, ", ")) or ""
  return self:_fail("the inputs break the constraint %s%s", constraint.text, values)
end

-- ---- the call --------------------------------------------------------------------------------------

local function check_inputs(self, list)
  local axes, inputs = {}, {}
  for name, value in pairs(self.constants) do
    axes[name] = value
  end
  for i, name in ipairs(self.inputs) do
    local v, spec = list[i], self.definition.inputs[name]
    local may_be_none = spec.optional or v == json.null and is_null(spec.shape)
    if not is_null(v) then
      local ok, why = check_tensor(self, axes, name, spec, v)
      if not ok then return nil, why end
      inputs[name] = v
    elseif not may_be_none then
      return self:_fail("the input '%s' is missing", name)
    end
  end
  if #self.constraints > 0 then require("hone.dataset.inputs").solve(self.definition, axes) end
  for _, constraint in ipairs(self.constraints) do
    local ok, why = check_constraint(self, constraint, axes, inputs)
    if not ok then return nil, why end
  end
  return axes, inputs
end

-- ---- what fitted once ------------------------------------------------------------------------------

-- Tensors of the same dtypes and shapes fit again; numbers are looked at each time. A constraint may depend on what
-- tensors hold, so with constraints everything is.
local FITTED = {}

local fits, pack, unpack = tensor._fits, table.pack, table.unpack

-- The dtypes and shapes of a list of n values, as arguments of `fits`; nil where one is no tensor and no number.
local function describe(list, n)
  local described = {}
  for i = 1, n do
    local v = list[i]
    if tensor.is_tensor(v) then
      described[i] = pack(v.dtype, unpack(v:shape()))
    elseif type(v) == "number" then
      described[i] = math.type(v)
    else
      return nil
    end
  end
  return described
end

local function copy(map)
  local made = {}
  for key, value in pairs(map) do
    made[key] = value
  end
  return made
end

local function fit(described, list)
  for i = 1, #described do
    local d, v = described[i], list[i]
    local n = d.n
    if n == 3 then
      if not fits(v, d[1], d[2], d[3]) then return false end
    elseif n then
      if not fits(v, unpack(d, 1, n)) then return false end
    elseif math.type(v) ~= d then
      return false
    end
  end
  return true
end

-- What a reference returns: one output, or a tuple of them, or a dict by their names.
local function take_outputs(self, result)
  if concrete.is_tuple(result) then return result, result.n end
  local by_name = concrete.dict_values(result)
  if not by_name then return { result }, 1 end
  local list = {}
  for i, name in ipairs(self.outputs) do
    list[i] = by_name[name]
  end
  return list, #self.outputs
end

local function check_outputs(self, axes, list, n)
  if n ~= #self.outputs then
    return self:_fail("the reference returns %d values, the definition has %d outputs", n, #self.outputs)
  end
  if axes == FITTED then
    if fit(self.fitted.outputs, list) then return table.move(list, 1, n, 1, {}) end
    axes = copy(self.fitted.axes)
  end
  local outputs = {}
  for i, name in ipairs(self.outputs) do
    local ok, why = check_tensor(self, axes, name, self.definition.outputs[name], list[i])
    if not ok then return nil, why end
    outputs[i] = list[i]
  end
  return outputs
end

-- Outputs with their elements: what does not lead to them is not computed.
local function settle(self, outputs)
  local ok, why = pcall(function()
    for _, output in ipairs(outputs) do
      if tensor.is_tensor(output) then tensor._settle(output) end
    end
    tensor._check()
  end)
  if not ok then return self:_fail("%s", why) end
  return outputs
end

local function call(self, axes, list)
  local arguments = {}
  for i, place in ipairs(self.order) do
    arguments[i] = list[place]
  end
  local result, why = self.source:call("run", table.unpack(arguments, 1, #self.inputs))
  if why then return nil, why end
  local outputs
  outputs, why = check_outputs(self, axes, take_outputs(self, result))
  if not outputs then return nil, why end
  return settle(self, outputs)
end

local function check_and_call(self, list, n)
  local fitted = self.fitted
  local axes, why
  if fitted and n == #self.inputs and fit(fitted.inputs, list) then
    axes = FITTED
  else
    axes, why = check_inputs(self, list)
  end
  if not axes then return nil, why end
  local given = axes ~= FITTED and n == #self.inputs and #self.constraints == 0 and describe(list, n)
  local known = given and copy(axes) -- the outputs' own axes may be others next time
  for i = 1, #self.inputs do
    if is_null(list[i]) then list[i] = concrete.None end
    if math.type(list[i]) == "integer" and FLOATS[self.definition.inputs[self.inputs[i]].dtype] then
      list[i] = list[i] + 0.0
    end
  end
  local outputs
  outputs, why = call(self, axes, list)
  local described = outputs and given and describe(outputs, #outputs)
  if described then self.fitted = { axes = known, inputs = given, outputs = described } end
  return outputs, why
end

local function finish(before, ok, ...)
  tensor._later(before)
  if not ok then error(..., 0) end
  return ...
end

---Run it. Inputs in the definition's order, nil for an optional one that is left out.
---@return table? outputs # in the definition's order
---@return string? message
function Reference:__call(...)
  local n = select("#", ...)
  if n > #self.inputs then
    return self:_fail("%d inputs were given, the definition has %d", n, #self.inputs)
  end
  return finish(tensor._later(self.later or reference._later), pcall(check_and_call, self, { ... }, n))
end

---The values of all axes for these inputs; nil and what does not fit the definition, constraints included.
function Reference:axes(...) return (check_inputs(self, { ... })) end

local function constants_of(definition)
  local constants = {}
  for _, name in ipairs(json.keys(definition.axes)) do
    constants[name] = axis_value(definition.axes[name])
  end
  return constants
end

-- The inputs' places in the order in which the reference takes them: most often 1, 2, 3. Where it names its
-- parameters as the inputs are named, but in another order, the names count, and a note says so.
local function argument_order(self)
  local order, by_name, names = {}, {}, self.source:parameters "run"
  for i, name in ipairs(self.inputs) do
    order[i], by_name[name] = i, i
  end
  if #names ~= #self.inputs then return order end
  local named = {}
  for i, name in ipairs(names) do
    if not by_name[name] then return order end
    named[i] = by_name[name]
    if by_name[name] ~= i and not self.note then
      self.note = ("the reference takes '%s' as its argument %d, the definition lists it as input %d"):format(
        name,
        i,
        by_name[name]
      )
    end
  end
  return named
end

---A definition's reference.
---@param definition table
---@param options? { steps: integer?, later: string? } # iterations of all loops that a run may take; where results
---wait until somebody needs them: "devices" unless it is said, "everywhere" where memory counts more than time
function reference.new(definition, options)
  if type(definition) ~= "table" or type(definition.reference) ~= "string" then
    error("bad argument #1 to 'reference' (a definition expected)", 3)
  end
  local name = definition.name or "reference"
  local source, why = concrete.load(definition.reference, { name = name, steps = options and options.steps })
  if not source then return nil, why end
  local self = setmetatable({
    name = name,
    definition = definition,
    source = source,
    later = options and options.later,
    inputs = json.keys(definition.inputs),
    outputs = json.keys(definition.outputs),
    constants = constants_of(definition),
    constraints = {},
  }, Reference)
  self.order = argument_order(self)
  for i, text in ipairs(definition.constraints or {}) do
    self.constraints[i], why = compile_constraint(self, text)
    if not self.constraints[i] then return nil, why end
  end
  return self
end

---What checks a definition's constraints.
---@return (fun(axes: table<string, integer>, inputs: table<string, any>): string?)? check # nil, or the first that is broken
---@return string? message # a constraint cannot be read
function reference.constraints(definition)
  local self = setmetatable({ name = definition.name, definition = definition }, Reference)
  local list = {}
  for i, text in ipairs(definition.constraints or {}) do
    local why
    list[i], why = compile_constraint(self, text)
    if not list[i] then return nil, why end
  end
  return function(axes, inputs)
    for _, constraint in ipairs(list) do
      local ok, why = check_constraint(self, constraint, axes, inputs)
      if not ok then return why end
    end
  end
end

return setmetatable(reference, {
  __call = function(_, definition, options) return reference.new(definition, options) end,
})
