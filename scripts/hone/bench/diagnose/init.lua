--- What a wrong result looks like: mistakes that are known to be made are tried on it, one after the other, and those
--- that explain it are told. See scripts/meta/bench/diagnose.lua.
--
-- A mistake of an op type is a table in the list of its file in ops/mistakes:
--   what, hint         what it is, and what to look at
--   outputs(case)      what the outputs would be if it were so, by name: { output = t, lse = t }. Nil where it does not
--                      apply. `rows`, an int64 vector, says that these are some rows only
--   over(outputs)      instead of outputs(case): what it makes of right outputs, so that it can come on top of another
--   runs               whether it takes a run of the reference: tried last, and only while nothing explains all
-- The list may have a field canonical(name, output): what is compared in place of an output whose order is open.
-- `case` holds definition, axes, input, expected and outputs by name, and
--   case:run{ name = value }        the reference with other inputs: its outputs by name, or nil
--   case:edited(from, to)           the same inputs through a reference in whose source `from` (plain text) became `to`:
--                                   the definition's own, or hone's of the same kernel where that does not hold `from`
local json = require "hone.json"
local tensor = require "hone.tensor"
local ops = require "hone.ops"
local measure = require "hone.bench.diagnose.measure"
local general = require "hone.bench.diagnose.general"

local diagnose = {}

local BUDGET = 5 -- seconds
local TOLERANCE = 1e-2
local SPECIFIC = 2 -- the rank of an op type's own mistakes
local TWO = 2.5 -- of two at once

local function clock()
  local found, terminal = pcall(require, "hone.core.terminal")
  return found and terminal.clock() or os.time()
end

-- ---- the case ----------------------------------------------------------------------------------------

local Case = {}
Case.__index = Case

local function by_name(names, list)
  local values = {}
  for i, name in ipairs(names) do
    values[name] = list[i]
  end
  return values
end

-- Inputs in order, nil for those that are not there.
local function in_order(self, changed)
  local list = {}
  for i, name in ipairs(self.input_names) do
    local value = changed[name]
    if value == nil then value = self.input[name] end
    list[i] = value
  end
  return list, #self.input_names
end

-- Inputs that a reference writes into are not to be changed for good.
local function call(self, run, list, n)
  for i = 1, n do
    local name = self.input_names[i]
    if tensor.is_tensor(list[i]) and ops.may_change(self.definition, name) then list[i] = list[i]:clone() end
  end
  local outputs = run(table.unpack(list, 1, n))
  return outputs and by_name(self.output_names, outputs)
end

function Case:run(changed) return call(self, self.reference, in_order(self, changed)) end

-- The text of hone's own reference of the same kernel: others write theirs in their own words.
local function own_source(definition)
  local op_type, variant, params = ops.parse(definition.name)
  if op_type ~= definition.op_type then return nil end
  local built, own = pcall(ops.build, op_type, variant, params)
  return built and own and own.reference or nil
end

function Case:edited(from, to)
  local source = self.definition.reference
  local at = source:find(from, 1, true)
  if not at then
    source = own_source(self.definition)
    at = source and source:find(from, 1, true)
  end
  if not at then return nil end
  local copy = setmetatable({
    reference = source:sub(1, at - 1) .. to .. source:sub(at + #from),
  }, { __index = self.definition })
  local run = require "hone.reference"(copy)
  return run and call(self, run, in_order(self, {}))
end

local function axes_of(self)
  local reference = require "hone.reference".new(self.definition)
  local list, n = in_order(self, {})
  local axes = reference and reference:axes(table.unpack(list, 1, n))
  return axes or {}
end

local function tolerance_of(options)
  local settings = options.settings or {}
  return {
    atol = settings.atol or TOLERANCE,
    rtol = settings.rtol or TOLERANCE,
    required = settings.required_matched_ratio,
  }
end

local function case_of(definition, inputs, outputs, expected, options)
  local self = setmetatable({
    definition = definition,
    options = options,
    tolerance = tolerance_of(options),
    input_names = json.keys(definition.inputs),
    output_names = json.keys(definition.outputs),
  }, Case)
  self.input = by_name(self.input_names, inputs)
  self.outputs = by_name(self.output_names, outputs)
  self.expected = by_name(self.output_names, expected)
  self.reference = options.run or require "hone.reference".new(definition)
  self.axes = axes_of(self)
  return self
end

-- ---- trying ------------------------------------------------------------------------------------------

local function same_form(a, b)
  return tensor.is_tensor(a)
    and a.dtype == b.dtype
    and table.concat(a:shape(), ",") == table.concat(b:shape(), ",")
end

function Case:measure(name, got, wanted)
  if self.canonical then
    got, wanted = self.canonical(name, got), self.canonical(name, wanted)
  end
  return measure.between(got, wanted, self.tolerance)
end

-- How far each output is from what it should be; those of another form cannot be explained.
local function measure_all(case)
  local bases = {}
  for _, name in ipairs(case.output_names) do
    local got, expected = case.outputs[name], case.expected[name]
    if expected and same_form(got, expected) and expected:numel() > 0 then
      bases[name] = case:measure(name, got, expected)
    end
  end
  return bases
end

-- What a mistake leaves unexplained of one output: the measure, and that of the same elements without it.
local function weigh(case, name, predicted, rows)
  local got, expected, base = case.outputs[name], case.expected[name], case.bases[name]
  if not base then return nil end
  if rows then
    got, expected = got:index_select(1, rows), expected:index_select(1, rows)
    base = case:measure(name, got, expected)
  end
  if not same_form(predicted, expected) then return nil end
  return case:measure(name, got, predicted), base
end

-- Add what explains: `explained` outputs by name, with what is left of their errors.
local function add(case, mistake, explained, n)
  local worst, matched, within = 0.0, 1.0, true
  local names = {}
  for _, name in ipairs(case.output_names) do
    local left = explained[name]
    if left then
      names[#names + 1] = name
      worst, matched, within =
        math.max(worst, left.error), math.min(matched, left.matched), within and left.fits
    end
  end
  case.found[#case.found + 1] = {
    what = mistake.what,
    hint = mistake.hint,
    outputs = names,
    error_if_so = worst,
    matched_if_so = matched,
    within = within,
    rank = mistake.rank or SPECIFIC,
    count = n,
  }
end

-- Which outputs a mistake explains, how many, and whether it leaves some wrong; nil where what is right would be wrong.
local function explained_by(case, predicted)
  local explained, n, is_rest = {}, 0, false
  for name, value in pairs(predicted) do
    local left, base
    if name ~= "rows" then
      left, base = weigh(case, name, value, predicted.rows)
    end
    if left and measure.explains(left, base) then
      explained[name], n = left, n + 1
    elseif left and base.fits and not left.fits then
      return nil
    elseif left and not base.fits then
      is_rest = true
    end
  end
  return explained, n, is_rest
end

-- What it makes of outputs that another mistake gives.
local function on_top(mistake, outputs)
  local worked, changed = pcall(mistake.over, outputs)
  if not worked or not changed then return nil end
  local all = {}
  for name, value in pairs(outputs) do
    all[name] = changed[name] or value
  end
  return all
end

-- Where a mistake leaves something wrong, with one of those that may come on top.
local function try_both(case, mistake, predicted, least)
  for _, other in ipairs(case.on_top) do
    local both = other ~= mistake and on_top(other, predicted)
    local explained, n
    if both then
      explained, n = explained_by(case, both)
    end
    if explained and n > least then
      add(case, {
        what = ("%s; and %s"):format(mistake.what, other.what),
        hint = ("%s; %s"):format(mistake.hint, other.hint),
        rank = TWO,
      }, explained, n)
    end
  end
end

local function outputs_if(case, mistake)
  if mistake.over then return mistake.over(case.expected) end
  return mistake.outputs(case)
end

-- A mistake may meet sizes that it was not made for: it explains nothing then.
local function try_specific(case, mistake)
  local worked, predicted = pcall(outputs_if, case, mistake)
  if not worked then
    if not tostring(predicted):find "interrupted" then return end
    error(predicted, 0)
  end
  if not predicted then return end
  local explained, n, is_rest = explained_by(case, predicted)
  if explained and n > 0 then add(case, mistake, explained, n) end
  if not mistake.over and (is_rest or not explained) then try_both(case, mistake, predicted, n or 0) end
end

local function try_one_general(case, name, one)
  local base = case.bases[name]
  local left
  if one.got then
    base = case:measure(name, one.got, one.expected)
    left = case:measure(name, one.got, one.predicted)
  elseif same_form(one.predicted, case.expected[name]) then
    left = case:measure(name, case.outputs[name], one.predicted)
  end
  if left and (one.is_fact or measure.explains(left, base)) then add(case, one, { [name] = left }, 1) end
end

local function try_general(case, mistake)
  for _, name in ipairs(case.output_names) do
    local base = case.bases[name]
    if base and not base.fits then
      local worked, list = pcall(mistake, case.outputs[name], case.expected[name], case, name)
      if not worked and tostring(list):find "interrupted" then error(list, 0) end
      for _, one in ipairs(worked and list or {}) do
        try_one_general(case, name, one)
      end
    end
  end
end

local function wrong_outputs(case)
  local wrong = 0
  for _, base in pairs(case.bases) do
    if not base.fits then wrong = wrong + 1 end
  end
  return wrong
end

-- Whether one mistake explains all that is wrong.
local function is_explained(case)
  for _, found in ipairs(case.found) do
    if found.count == case.wrong and found.within and found.rank <= SPECIFIC then return true end
  end
  return false
end

-- ---- order -------------------------------------------------------------------------------------------

-- Errors below a rounding of bfloat16, and those within a few times of each other, count as the same.
local LEAST = 2 ^ -8
local function grade(error_left) return math.floor(math.log(math.max(error_left, LEAST), 4) + 0.5) end

local function goes_before(a, b)
  if a.count ~= b.count then return a.count > b.count end
  local grade_a, grade_b = grade(a.error_if_so), grade(b.error_if_so)
  if grade_a ~= grade_b then return grade_a < grade_b end
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.error_if_so ~= b.error_if_so then return a.error_if_so < b.error_if_so end
  return a.number < b.number
end

-- The same mistake in two outputs is one.
local function merged(found)
  local list, known = {}, {}
  for _, one in ipairs(found) do
    local same = known[one.what]
    if same then
      table.move(one.outputs, 1, #one.outputs, #same.outputs + 1, same.outputs)
      same.count, same.within = same.count + one.count, same.within and one.within
      same.error_if_so = math.max(same.error_if_so, one.error_if_so)
      same.matched_if_so = math.min(same.matched_if_so, one.matched_if_so)
    else
      list[#list + 1], known[one.what] = one, one
    end
  end
  return list
end

-- Where the best explains all that is wrong, what explains it less well, or in less certain words, is not worth
-- saying.
local function worth_saying(case, found)
  local best, list = found[1], {}
  local is_all = best and best.within and best.count == case.wrong
  for i, one in ipairs(found) do
    local is_as_good = one.within
      and one.rank <= best.rank
      and grade(one.error_if_so) == grade(best.error_if_so)
    if i == 1 or not is_all or is_as_good then list[#list + 1] = one end
  end
  return list
end

local function in_order_of_merit(case)
  local found = merged(case.found)
  for i, one in ipairs(found) do
    one.number = i
  end
  table.sort(found, goes_before)
  found = worth_saying(case, found)
  for _, one in ipairs(found) do
    one.number, one.within, one.rank, one.count = nil, nil, nil, nil
  end
  return found
end

-- Those that take no run of the reference and those that do; the former may come on top of any.
local function mistakes_of(case)
  local op = ops.get(case.definition.op_type)
  local file = op and op.mistakes
  if type(file) == "function" then file = file(case.definition) end
  local cheap, dear = {}, {}
  local known = file and require("hone.ops.mistakes." .. file) or {}
  for _, mistake in ipairs(known) do
    local list = mistake.runs and dear or cheap
    list[#list + 1] = mistake
    if mistake.over then case.on_top[#case.on_top + 1] = mistake end
  end
  case.canonical = known.canonical
  return cheap, dear
end

-- The tensors of one call on the device of what is expected.
local function check_device(case)
  for name, got in pairs(case.outputs) do
    local expected = case.expected[name]
    if tensor.is_tensor(got) and expected and got.device ~= expected.device then
      case.outputs[name] = got:to(expected.device)
    end
  end
end

---What explains a wrong result, the best first.
function diagnose.explain(definition, inputs, outputs, expected, options)
  local evaluator = options and options.evaluator
  if evaluator and evaluator.counts then return require("hone.bench.diagnose.draws").explain(evaluator) end
  if definition.op_type == "sampling" then return {} end
  local case = case_of(definition, inputs, outputs, expected, options or {})
  check_device(case)
  case.found, case.on_top = {}, {}
  local cheap, dear = mistakes_of(case)
  case.bases = measure_all(case)
  case.wrong = wrong_outputs(case)
  if case.wrong == 0 then return {} end
  local ends = clock() + (case.options.budget or BUDGET)
  for _, mistake in ipairs(cheap) do
    try_specific(case, mistake)
  end
  for _, mistake in ipairs(general.mistakes) do
    if clock() > ends then break end
    try_general(case, mistake)
  end
  if not is_explained(case) and case.reference then
    local longest = 0
    for _, mistake in ipairs(dear) do
      local begins = clock()
      if begins + longest > ends then break end
      try_specific(case, mistake)
      longest = math.max(longest, clock() - begins)
    end
  end
  return in_order_of_merit(case)
end

local SHOWN = 3

---Lines for a trace's log: the best explanations, or none.
function diagnose.lines(found)
  local lines = {}
  for i = 1, math.min(#found, SHOWN) do
    local one = found[i]
    lines[i] = ("%s: %s: %s (remaining error %.2g, %.4g%% match; %s)"):format(
      i == 1 and "it looks like" or "or like",
      table.concat(one.outputs, ", "),
      one.what,
      one.error_if_so,
      one.matched_if_so * 100,
      one.hint
    )
  end
  return lines
end

return diagnose
