--- Element by element within tolerances, for every definition that has no evaluator of its own.
--
-- Where what is not finite is concerned this is stricter and milder than flashinfer-bench, which looks at the
-- solution alone: an infinity where the reference has the same one is right, a finite value there is wrong, and NaN
-- matches nothing. The log then says what flashinfer-bench would have said.
local places = require "hone.bench.diagnose.places"
local tensor = require "hone.tensor"

local default = { name = "default" }

-- What can be compared: float4 holds pairs.
local function comparable(t) return t.dtype == "float4_e2m1" and t:unpack_float4() or t end

local IS_FLOAT = {
  float32 = true,
  float64 = true,
  float16 = true,
  bfloat16 = true,
  float8_e4m3fn = true,
  float8_e5m2 = true,
}

-- Which kinds of values that are not finite a tensor holds: two flags.
local function strange_values(t)
  if not IS_FLOAT[t.dtype] or t:numel() == 0 then return false, false end
  local x = t.dtype:find "^float8" and t:to "float32" or t
  local finite = x:isfinite()
  if finite:all():item() then return false, false end
  local has_nan = x:isnan():any():item()
  return x:isinf():any():item(), has_nan
end

-- Where the first element is that does not match, counted from 0 as the dataset does.
local function position(found)
  local at = {}
  for i, p in ipairs(found.first_bad or {}) do
    at[i] = p - 1
  end
  return #at > 0 and (", the first at [%s]"):format(table.concat(at, ", ")) or ""
end

-- What flashinfer-bench makes of one output: what is not finite in it is wrong, and a number beside an infinity or
-- NaN of the reference has a relative error of NaN, which exceeds nothing.
local function follow_upstream(self, found, strange, required)
  self.upstream_failed = self.upstream_failed or false
  if strange then
    self.upstream_failed, self.upstream_ended = true, true
    return
  end
  local mismatches = found.mismatches - found.nonfinite_mismatches
  if 1 - mismatches / math.max(found.count, 1) < required then self.upstream_failed = true end
end

-- An error that is not a number is worse than any that is, an infinite one worse still: it tells where it came from.
local function worse(error_before, value)
  if error_before == math.huge or value == math.huge then return math.huge end
  if error_before ~= error_before or value ~= value then return 0 / 0 end
  return math.max(error_before, value)
end

-- What is wrong with values that are not finite and should be, or the other way round, and the error to record.
local function describe_strange(name, found, has)
  local at = position(found)
  if has.expected_nan then
    local what = has.nan and "NaN, which never matches" or "numbers"
    local message = "the reference gives NaN in %s, so nothing can match it; the solution gives %s"
    return message:format(name, what), has.inf and math.huge or 0 / 0
  elseif has.inf and not has.nan then
    return ("%s is infinite where the reference is not%s"):format(name, at), math.huge
  elseif has.nan then
    return ("%s holds NaN, which never matches%s"):format(name, at), has.inf and math.huge or 0 / 0
  end
  return ("%s is finite where the reference is infinite%s"):format(name, at), math.huge
end

-- A solution's values that are not finite end the evaluation, as they do in flashinfer-bench. Those of the reference
-- alone do not: flashinfer-bench goes on, and what it would say in the end is to be known.
local function refuse_strange(self, name, found, has)
  local message, value = describe_strange(name, found, has)
  if has.inf or has.nan then return self:wrong(value, "%s", message) end
  if not self.failed then self:note("%s", message) end
  self.failed = true
  self.max_absolute = worse(self.max_absolute, value)
  self.max_relative = worse(self.max_relative, value)
end

-- Which part of an output is wrong, where it is a part: a row, a head, a tile.
local function part(output, expected, s)
  local x, y = output:to "float32", expected:to "float32"
  local off = (x - y):abs()
  local box = places.box(off:gt(s.atol) & (off / (y:abs() + 1e-8)):gt(s.rtol))
  return box and (", all in %s"):format(box) or ""
end

local function note_mismatch(self, name, found, matched, required, output, expected)
  local s = self.settings
  local measured, where = pcall(part, output, expected, s) -- there may be no memory for it
  self:note(
    "%s: %d of %d elements are beyond atol %g and rtol %g%s%s",
    name,
    found.mismatches,
    found.count,
    s.atol,
    s.rtol,
    position(found),
    measured and where or ""
  )
  if required < 1 then self:note("%.4f%% match, %.4f%% must", matched * 100, required * 100) end
end

---Compare one output: nil, or a verdict that ends it. Adds to the evaluator's maxima.
function default.compare(self, i, output, expected)
  local verdict = self:check_form(i, output, expected)
  if verdict then return verdict end
  local name, s = self.outputs[i], self.settings
  local required = s.required_matched_ratio or self.default_ratio or 1.0
  local found = tensor.compare(comparable(output), comparable(expected), { atol = s.atol, rtol = s.rtol })
  found.count = comparable(expected):numel()
  local has = {}
  has.expected_inf, has.expected_nan = strange_values(expected)
  if found.nonfinite_mismatches > 0 or has.expected_inf or has.expected_nan then
    has.inf, has.nan = strange_values(output)
  end
  follow_upstream(self, found, has.inf or has.nan, required)
  if found.nonfinite_mismatches > 0 or has.nan or has.expected_nan then
    return refuse_strange(self, name, found, has)
  end
  local matched = 1 - found.mismatches / math.max(found.count, 1)
  self.matched = math.min(self.matched or 1.0, matched)
  self.max_absolute = worse(self.max_absolute, found.max_absolute_error)
  self.max_relative = worse(self.max_relative, found.max_relative_error)
  if matched < required then
    if not self.failed then note_mismatch(self, name, found, matched, required, output, expected) end
    self.failed = true
  end
end

function default.check(self, outputs, expected)
  if #outputs ~= #expected then
    self:note("the solution gives %d outputs, it should be %d", #outputs, #expected)
    return self:verdict "RUNTIME_ERROR"
  end
  for i, one in ipairs(expected) do
    local verdict = default.compare(self, i, outputs[i], one)
    if verdict then return verdict end
  end
end

return default
