--- Options of the timer, and what its samples say.
local core = require "hone.core.cuda"

local timing = {}

local DEFAULTS = {
  clock = "auto",
  cold = true,
  block = true,
  body = false,
  warmup = 3,
  timeout = 60,
  throttle = 0.75,
  stop = "noise",
  noise = 0.005,
  min_time = 0.02,
  max_time = 5,
  min_samples = 20,
  max_samples = 100000,
  confidence = 0.95,
}
local COMPARE_DEFAULTS = setmetatable(
  { confidence = 0.99, margin = 0.005, min_samples = 16, max_samples = 4096 },
  { __index = DEFAULTS }
)
local CHOICES = { clock = { "auto", "events", "graph", "cupti" }, stop = { "noise", "entropy" } }
local COUNTS = { warmup = 1, min_samples = 1, max_samples = 1 } -- with their least values
local EXTRA = { bytes = "number", flops = "number" }

local function choice_mistake(key, value)
  for _, choice in ipairs(CHOICES[key]) do
    if value == choice then return nil end
  end
  return ("option '%s' is %s, not one of %s"):format(key, tostring(value), table.concat(CHOICES[key], ", "))
end

local function mistake_of(key, value, defaults)
  if type(key) ~= "string" or (defaults[key] == nil and not EXTRA[key]) then
    return ("unknown option '%s'"):format(tostring(key))
  elseif CHOICES[key] then
    return choice_mistake(key, value)
  end
  local expected = EXTRA[key] or type(defaults[key])
  if type(value) ~= expected then
    return ("option '%s' is a %s, not a %s"):format(key, type(value), expected)
  end
  if COUNTS[key] and (math.type(value) ~= "integer" or value < COUNTS[key]) then
    return ("option '%s' is %s, not a positive integer"):format(key, value)
  elseif expected == "number" and not (value >= 0 and value < math.huge) then
    return ("option '%s' is %s"):format(key, value)
  elseif key == "confidence" and not (value > 0 and value < 1) then
    return ("option 'confidence' is %s, not between 0 and 1"):format(value)
  end
end

local function fill_in(options, defaults)
  local filled = {}
  for key in pairs(DEFAULTS) do
    filled[key] = defaults[key]
  end
  filled.margin = defaults.margin
  for key, value in pairs(options) do
    filled[key] = value
  end
  filled.max_samples = math.max(filled.max_samples, filled.min_samples)
  return filled
end

local function check(options, defaults, name)
  options = options or {}
  if type(options) ~= "table" then
    error(("bad argument to '%s' (table expected, got %s)"):format(name, type(options)), 4)
  end
  for key, value in pairs(options) do
    local mistake = mistake_of(key, value, defaults)
    if mistake then error(("%s: %s"):format(name, mistake), 4) end
  end
  return fill_in(options, defaults)
end

local function check_callable(f, position, name)
  local metatable = getmetatable(f)
  if type(f) == "function" or type(metatable) == "table" and metatable.__call then return end
  error(("bad argument #%d to '%s' (function expected, got %s)"):format(position, name, type(f)), 4)
end

-- A graph of f in the place of f, and where CUPTI may be.
local function prepare(functions, options)
  if options.clock == "cupti" then
    options.cupti = {}
    require("hone.cuda.toolkit").find_library(function(folders)
      table.move(folders, 1, #folders, #options.cupti + 1, options.cupti)
      return #options.cupti > 0 and require("hone.core.gpu").library("cupti") ~= nil
    end)
  elseif options.clock == "graph" then
    for i, f in ipairs(functions) do
      local done, why, code = core.synchronize()
      if not done then return nil, why, code end
      f() -- what is loaded on first use cannot be captured
      functions[i], why, code = core.graph(f)
      if not functions[i] then return nil, why, code end
    end
  end
  return functions
end

local function median_of(clocks)
  local known = {}
  for _, clock in ipairs(clocks) do
    if clock > 0 then known[#known + 1] = clock end
  end
  return #known > 0 and math.floor(core.summary(known, 0.95).median) or nil
end

-- A time of less than so many times the resolution is not known well.
local RESOLVED = 5

-- The samples of one function as a result.
local function describe(raw, options)
  local result = core.summary(raw.seconds, options.confidence)
  result.samples = raw.seconds
  result.reason = raw.reason ~= "" and raw.reason or nil
  result.noise = result.stddev / result.mean
  result.clock = options.clock
  result.sm_clock, result.sm_clock_max = median_of(raw.clocks), raw.max_clock > 0 and raw.max_clock or nil
  result.throttled, result.dropped, result.outside = raw.throttled, raw.dropped, raw.outside
  result.blocked, result.wall, result.host = raw.blocked, raw.wall, raw.host
  if options.clock ~= "cupti" then
    result.overhead, result.resolution = raw.overhead, raw.resolution
    result.resolved = result.median >= RESOLVED * raw.resolution
  end
  result.bytes_per_second = options.bytes and options.bytes / result.median
  result.flops_per_second = options.flops and options.flops / result.median
  return result
end

-- Events show a kernel to within 0.3 us, CUPTI to within 32 ns, but more slowly: less than this is not known to 1 % by
-- events.
local SHORT = 30e-6
local CUPTI_SAMPLES = 1000

local function is_short(result) return result.median < SHORT or not result.resolved end

-- What CUPTI says of work that is short by events; by events all the same where there is no CUPTI.
local function time_again(f, options, by_events)
  options.clock, options.max_samples = "cupti", math.min(options.max_samples, CUPTI_SAMPLES)
  options.min_samples = math.min(options.min_samples, options.max_samples)
  local raw = core.time(prepare({ f }, options)[1], options)
  if not raw or #raw.seconds == 0 then return by_events end
  local result = describe(raw, options)
  result.by_events, result.resolution = by_events.median, by_events.resolution
  return result
end

function timing.time(f, options)
  check_callable(f, 1, "time")
  options = check(options, DEFAULTS, "time")
  local is_auto = options.clock == "auto"
  if is_auto then options.clock = "events" end
  local functions, why, code = prepare({ f }, options)
  if not functions then return nil, why, code end
  local raw
  raw, why, code = core.time(functions[1], options)
  if not raw then return nil, why, code end
  local result = describe(raw, options)
  return is_auto and is_short(result) and time_again(f, options, result) or result
end

function timing.compare(f, g, options)
  check_callable(f, 1, "compare")
  check_callable(g, 2, "compare")
  options = check(options, COMPARE_DEFAULTS, "compare")
  if options.clock == "auto" then options.clock = "events" end
  local functions, why, code = prepare({ f, g }, options)
  if not functions then return nil, why, code end
  local raw
  raw, why, code = core.compare(functions[1], functions[2], options)
  if not raw then return nil, why, code end
  raw.first, raw.second = describe(raw.first, options), describe(raw.second, options)
  raw.pairs = raw.first.count
  return raw
end

return timing
