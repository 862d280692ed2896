--- A definition's reference against an independent formula in float64, both on hone's own tensors, without Python.
local concrete = require "hone.python.concrete"
local generate = require "hone.reference_tests.generate"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local reference = require "hone.reference"
local tensor = require "hone.tensor"

local native = {}

local REPEATS = 64 -- draws of each sequence

-- ---- comparison ----------------------------------------------------------------------------------------

-- How far an output is from the formula's: largest error, share within the tolerance, the place of the worst.
local function compare(got, expected, tolerance)
  if table.concat(got:shape(), ",") ~= table.concat(expected:shape(), ",") then
    return nil,
      ("has shape [%s], the formula [%s]"):format(
        table.concat(got:shape(), ", "),
        table.concat(expected:shape(), ", ")
      )
  end
  local x, y = got:to "float64", expected:to "float64"
  if x:numel() == 0 then return { worst = 0, matched = 1 } end
  local same = x:eq(y)
  local error = (x - y):abs():masked_fill(same, 0)
  local within = same:logical_or(error:le(y:abs() * tolerance.rtol + tolerance.atol))
  local matched = within:to("float64"):mean():item()
  local counted = error:masked_fill(error:isnan(), math.huge)
  local at = counted:view(-1):argmax():item()
  local index, rest = {}, at
  local shape = x:shape()
  for d = #shape, 1, -1 do
    index[d], rest = rest % shape[d], rest // shape[d]
  end
  return {
    worst = counted:view(-1)[at + 1]:item(),
    matched = matched,
    index = index,
    expected = y:contiguous():view(-1)[at + 1]:item(),
    got = x:contiguous():view(-1)[at + 1]:item(),
  }
end

local function check_outputs(definition, outputs, truths, tolerance)
  local worst, matched = 0, 1
  for i, name in ipairs(json.keys(definition.outputs)) do
    if truths[i] then
      local found, why = compare(outputs[i], truths[i], tolerance)
      if not found then return nil, ("%s %s"):format(name, why) end
      worst, matched = math.max(worst, found.worst), math.min(matched, found.matched)
      if found.matched < tolerance.ratio then
        return nil,
          ("%s: %.2f %% within the tolerance; the worst at [%s]: %g, the formula gives %g"):format(
            name,
            found.matched * 100,
            table.concat(found.index, ", "),
            found.got,
            found.expected
          )
      end
    end
  end
  return { worst = worst, matched = matched }
end

-- Nothing is drawn that the formula gives no chance.
local function check_drawn(run, values, count, distribution)
  for _ = 1, REPEATS do
    local outputs, why = run(table.unpack(values, 1, count))
    if not outputs then return nil, why end
    local samples = outputs[1]
    for row = 1, samples:numel() do
      local token = samples[row]:item()
      local chance = distribution[row][token + 1]:item()
      if chance <= 0 or chance ~= chance then
        return nil, ("sequence %d drew the token %d, which has no chance"):format(row - 1, token)
      end
    end
  end
  return { worst = 0, matched = 1 }
end

-- ---- one definition ------------------------------------------------------------------------------------

local LARGE = 1 << 26 -- elements: nobody writes into inputs of that size

-- Inputs for one call: a reference may write into those that it is given.
local function copies(values, count)
  local list = {}
  for i = 1, count do
    local is_small = tensor.is_tensor(values[i]) and values[i]:numel() < LARGE
    list[i] = is_small and values[i]:clone() or values[i]
  end
  return list
end

local function as_list(result)
  if not concrete.is_tuple(result) then return { result } end
  local list = {}
  for i = 1, result.n do
    list[i] = result[i]
  end
  return list
end

local function values_of(list)
  local values = {}
  for i, entry in ipairs(list) do
    values[i] = entry.value
  end
  return values, #list
end

---@class hone.reference_tests.Outcome
---@field worst number # largest error of an output
---@field matched number # the least share of an output within the tolerance

---Compare.
---@param definition table
---@param options { axes: table<string, integer>?, seed: integer?, tolerance: number? }?
---@return hone.reference_tests.Outcome? outcome
---@return string? why # they disagree, or one of them cannot be run
---@return string? code # "unknown": there is no formula
function native.check(definition, options)
  options = options or {}
  local source, about = generate.truth(definition)
  if not source then return nil, about, "unknown" end
  local run, formula, why
  run, why = reference(definition)
  if not run then return nil, why end
  formula, why = concrete.load(source, { name = definition.name .. ": formula" })
  if not formula then return nil, why end
  local list
  list, why = inputs.make(definition, { axes = options.axes, seed = options.seed or 1 })
  if not list then return nil, why end
  local values, count = values_of(list)
  collectgarbage() -- what the making left, then what the formula left: gigabytes that are small to the collector
  local truth
  truth, why = formula:call("truth", table.unpack(copies(values, count), 1, count))
  if why then return nil, why end
  collectgarbage()
  if about.is_distribution then return check_drawn(run, values, count, truth) end
  local outputs
  outputs, why = run(table.unpack(copies(values, count), 1, count))
  if not outputs then return nil, why end
  return check_outputs(definition, outputs, as_list(truth), generate.tolerance(about, options.tolerance))
end

return native
