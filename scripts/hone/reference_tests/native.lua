--- A definition's reference against an independent formula in float64, both on hone's own tensors, without Python.
local concrete = require "hone.python.concrete"
local formula_of = require("hone.ops.truth").formula
local generate = require "hone.reference_tests.generate"
local inputs = require "hone.dataset.inputs"
local json = require "hone.json"
local reference = require "hone.reference"
local tensor = require "hone.tensor"

local native = {}

local REPEATS = 64 -- draws of each sequence

-- ---- comparison ----------------------------------------------------------------------------------------

-- Two outputs as float64, in one dimension; nil and why they cannot be compared.
local function flattened(got, expected)
  local shape, wanted = table.concat(got:shape(), ", "), table.concat(expected:shape(), ", ")
  if shape ~= wanted then return nil, ("has shape [%s], the formula [%s]"):format(shape, wanted) end
  return got:to("float64"):reshape(-1), expected:to("float64"):reshape(-1)
end

local function norm(x) return (x * x):sum():sqrt():item() end

-- The length of what is between two vectors in lengths of the formula's, and the cosine of their angle, where both
-- are finite.
local function distance(x, y)
  local not_finite = x:isfinite():logical_and(y:isfinite()):logical_not()
  x, y = x:masked_fill(not_finite, 0), y:masked_fill(not_finite, 0)
  local length, between = norm(y), norm(x - y)
  if between == 0 then return 0, 1 end
  return length > 0 and between / length or math.huge, (x * y):sum():item() / (norm(x) * length)
end

-- The root of the mean square of what is finite.
local function scale_of(y)
  local finite = y:isfinite()
  local count = finite:to("float64"):sum():item()
  return count > 0 and norm(y:masked_fill(finite:logical_not(), 0)) / math.sqrt(count) or 1
end

-- The indices, from 0, of the element at a place of the flattened tensor.
local function index_of(place, shape)
  local index = {}
  for d = #shape, 1, -1 do
    index[d], place = place % shape[d], place // shape[d]
  end
  return index
end

-- How far an output is from the formula's: largest error, share within the tolerance, the place of the worst, and
-- the distance of all together. Of small outputs, `atol` counts in units of their scale.
local function compare(got, expected, tolerance)
  local x, y = flattened(got, expected)
  if not x then return nil, y end
  if x:numel() == 0 then return { worst = 0, matched = 1, distance = 0, cosine = 1 } end
  local atol = tolerance.atol * math.min(1, scale_of(y))
  local same = x:eq(y)
  local error = (x - y):abs():masked_fill(same, 0)
  local within = same:logical_or(error:le(y:abs() * tolerance.rtol + atol))
  local counted = error:masked_fill(error:isnan(), math.huge)
  local at = counted:argmax():item()
  local found = {
    worst = counted[at + 1]:item(),
    matched = within:to("float64"):mean():item(),
    index = index_of(at, got:shape()),
    expected = y[at + 1]:item(),
    got = x[at + 1]:item(),
  }
  found.distance, found.cosine = distance(x, y)
  return found
end

-- Why an output is refused; nil where it is not.
local function refusal(found, tolerance, is_float)
  local place = ("the worst at [%s]: %g, the formula gives %g"):format(
    table.concat(found.index or {}, ", "),
    found.got or 0,
    found.expected or 0
  )
  if found.matched < tolerance.ratio then
    return ("%.2f %% within the tolerance; %s"):format(found.matched * 100, place)
  end
  if is_float and found.distance > tolerance.distance then
    local text = "off by %.2g of its norm, more than %g (cosine %.4f); %s"
    return text:format(found.distance, tolerance.distance, found.cosine, place)
  end
end

local function check_outputs(definition, outputs, truths, tolerance)
  local outcome = { worst = 0, matched = 1, distance = 0, cosine = 1 }
  for i, name in ipairs(json.keys(definition.outputs)) do
    if truths[i] then
      local found, why = compare(outputs[i], truths[i], tolerance)
      if not found then return nil, ("%s %s"):format(name, why) end
      local is_float = outputs[i]:is_floating_point()
      why = refusal(found, tolerance, is_float)
      if why then return nil, ("%s: %s"):format(name, why) end
      outcome.worst, outcome.matched =
        math.max(outcome.worst, found.worst), math.min(outcome.matched, found.matched)
      if is_float then
        outcome.distance = math.max(outcome.distance, found.distance)
        outcome.cosine = math.min(outcome.cosine, found.cosine)
      end
    end
  end
  return outcome
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
  return { worst = 0, matched = 1, distance = 0, cosine = 1 }
end

-- ---- one definition ------------------------------------------------------------------------------------

-- Inputs for one call: a reference may write into those that it is given.
local function copies(values, count)
  local list = {}
  for i = 1, count do
    local is_small = tensor.is_tensor(values[i]) and values[i]:numel() < inputs.LARGE
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

-- The values of inputs, some of them other than a benchmark's, where these would hide a mistake: `telling` of what is
-- known of the truth gives them, by name.
local function values_of(list, about, seed)
  local values, by_name = {}, {}
  for _, entry in ipairs(list) do
    by_name[entry.name] = entry.value
  end
  local making = require("hone.ops.parts.making").new(tensor.generator(seed))
  local instead = about.telling and about.telling(by_name, making) or {}
  for i, entry in ipairs(list) do
    local value = instead[entry.name]
    if value == nil then value = entry.value end
    values[i] = value
  end
  return values, #list
end

-- With results that wait until they are needed: of weights only those of experts that somebody chose.
local function call_later(source, name, arguments, count)
  local before = tensor._later "everywhere"
  local result, why = source:call(name, table.unpack(arguments, 1, count))
  tensor._later(before)
  return result, why
end

---@class hone.reference_tests.Outcome
---@field worst number # largest error of an output
---@field matched number # the least share of an output within the tolerance
---@field distance number # how far an output is from the formula's, in norms of the formula's
---@field cosine number # the least of an output and the formula's

---Compare.
---@param definition table
---@param options { axes: table<string, integer>?, seed: integer?, tolerance: number? }?
---@return hone.reference_tests.Outcome? outcome
---@return string? why # they disagree, or one of them cannot be run
---@return string? code # "unknown": there is no formula
function native.check(definition, options)
  options = options or {}
  local source, about = formula_of(definition)
  if not source then return nil, about, "unknown" end
  local run, formula, why
  run, why = reference(definition, { later = "everywhere" })
  if not run then return nil, why end
  formula, why = concrete.load(source, { name = definition.name .. ": formula" })
  if not formula then return nil, why end
  local list
  list, why = inputs.make(definition, { axes = options.axes, seed = options.seed or 1, windows = true })
  if not list then return nil, why end
  local values, count = values_of(list, about, (options.seed or 1) + 1)
  collectgarbage() -- what the making left, then what the formula left: gigabytes that are small to the collector
  local truth
  truth, why = call_later(formula, "truth", copies(values, count), count)
  if why then return nil, why end
  collectgarbage()
  if about.is_distribution then return check_drawn(run, values, count, truth) end
  local outputs
  outputs, why = run(table.unpack(copies(values, count), 1, count))
  if not outputs then return nil, why end
  return check_outputs(definition, outputs, as_list(truth), generate.tolerance(about, options.tolerance))
end

return native
