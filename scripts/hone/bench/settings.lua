--- How a benchmark runs, and who said so: defaults, a YAML file, the command line. See scripts/meta/bench/settings.lua.
local settings = {}

-- Bounds as flashinfer-bench has them: { kind, least, above (the least is not allowed itself), most }.
local EVALUATION = {
  warmup_runs = { "integer", 0 },
  iterations = { "integer", 1 },
  num_trials = { "integer", 1 },
  rtol = { "number", 0, above = true },
  atol = { "number", 0, above = true },
  required_matched_ratio = { "number", 0, above = true, most = 1 },
}
local SAMPLING = { -- deprecated at the top level: they belong into `extra`
  sampling_validation_trials = { "integer", 1 },
  sampling_tvd_threshold = { "number", 0, most = 1 },
}
local RUN = {
  use_isolated_runner = { "boolean" },
  profile_baseline = { "boolean" },
  timeout_seconds = { "integer", 1 },
  definitions = { "list" },
  solutions = { "list" },
  log_dir = { "string" }, -- deprecated: logs are in the traces
}
local DEFAULTS = {
  warmup_runs = 10,
  iterations = 50,
  num_trials = 3,
  rtol = 1e-2,
  atol = 1e-2,
  profile_baseline = true,
}
local RUN_DEFAULTS = { use_isolated_runner = false, profile_baseline = true, timeout_seconds = 300 }
-- What flashinfer-bench ships as its own file; one that is given replaces it.
local PACKAGED = {
  op_type_config = {
    moe = { required_matched_ratio = 0.95 },
    sampling = { extra = { sampling_validation_trials = 100, sampling_tvd_threshold = 0.2 } },
  },
}
local PACKAGED_NAME = "shipped settings"

-- ---- values ----------------------------------------------------------------------------------------

local function as_number(value)
  if type(value) == "number" then return value end
  if type(value) == "boolean" then return value and 1 or 0 end
  return type(value) == "string" and tonumber(value) or nil
end

local function as_list(value)
  if type(value) ~= "table" then return nil end
  for i = 1, #value do
    if type(value[i]) ~= "string" then return nil end
  end
  return (#value > 0 or next(value) == nil) and value or nil
end

local WORDS = {
  ["true"] = true,
  yes = true,
  on = true,
  ["1"] = true,
  ["false"] = false,
  no = false,
  off = false,
  ["0"] = false,
}

local readers = {
  number = as_number,
  integer = function(value)
    local n = as_number(value)
    return n and math.tointeger(n)
  end,
  boolean = function(value)
    if type(value) == "boolean" then return value end
    return WORDS[tostring(value):lower()]
  end,
  list = as_list,
  string = function(value) return type(value) == "string" and value or nil end,
}

local ARTICLE = { integer = "an integer", list = "a list of names" }

local function bounds_of(rule)
  local words = {}
  if rule[2] then words[1] = (rule.above and "above %s" or "at least %s"):format(rule[2]) end
  if rule.most then words[#words + 1] = ("at most %s"):format(rule.most) end
  return #words > 0 and " " .. table.concat(words, " and ") or ""
end

-- The value as a rule has it, or nil and what it should be.
local function read(rule, value)
  local read_value = readers[rule[1]](value)
  local fits = read_value ~= nil and read_value == read_value
  if fits and rule[2] then fits = read_value > rule[2] or not rule.above and read_value == rule[2] end
  if fits and rule.most then fits = read_value <= rule.most end
  if fits then return read_value end
  local kind = ARTICLE[rule[1]] or "a " .. rule[1]
  return nil, ("must be %s%s, got %s"):format(kind, bounds_of(rule), tostring(value))
end

-- ---- layers ----------------------------------------------------------------------------------------

local function is_null(value) return value == nil or value == require("hone.json").null end

-- Copy what `rules` know from `given`; what nobody knows is named in `notes`.
local function take(given, rules, where, notes)
  local taken = {}
  for key, value in pairs(given) do
    local rule = rules[key]
    if rule == nil then
      local names = {}
      for name in pairs(rules) do
        names[#names + 1] = name
      end
      local near = require("hone.text").nearest(tostring(key), names)
      local hint = near and ("; did you mean %s?"):format(near) or ""
      notes[#notes + 1] = ("%s: nothing is called '%s'%s"):format(where, tostring(key), hint)
    elseif not is_null(value) then
      local read_value, why
      if type(rule) == "function" then
        read_value, why = rule(value, ("%s: %s"):format(where, key), notes)
        if why then return nil, why end
      else
        read_value, why = read(rule, value)
        if read_value == nil then return nil, ("%s: %s %s"):format(where, key, why) end
      end
      taken[key] = read_value
    end
  end
  return taken
end

local function mapping(value, where)
  if type(value) ~= "table" or #value > 0 then
    return nil, ("%s must be a mapping, got %s"):format(where, tostring(value))
  end
  return value
end

local LAYER = { extra = function(value, where) return mapping(value, where) end }
for key, rule in pairs(EVALUATION) do
  LAYER[key] = rule
end

local function layers(value, where, notes)
  local given, why = mapping(value, where)
  if not given then return nil, why end
  local taken = {}
  for name, layer in pairs(given) do
    local at = ("%s.%s"):format(where, tostring(name))
    if is_null(layer) then layer = {} end
    local checked
    checked, why = mapping(layer, at)
    if checked then
      checked, why = take(checked, LAYER, at, notes)
    end
    if not checked then return nil, why end
    taken[tostring(name)] = checked
  end
  return taken
end

local FILE = { op_type_config = layers, definition_config = layers }
for _, rules in ipairs { EVALUATION, SAMPLING, RUN } do
  for key, rule in pairs(rules) do
    FILE[key] = rule
  end
end

-- ---- reading ---------------------------------------------------------------------------------------

-- YAML's null is lyaml's own value: the key is then as if it were not there.
local function without_null(value, null)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do
    if inner ~= null then copy[key] = without_null(inner, null) end
  end
  return copy
end

local function read_yaml(path)
  local text, why, code = require("hone.fs").read(path)
  if not text then return nil, why, code end
  local lyaml = require "lyaml"
  local ok, value = pcall(lyaml.load, text)
  if not ok then
    local message = tostring(value):gsub("^[^%s:]+%.lua:%d+: ", ""):gsub("%s+", " ")
    return nil, ("cannot read the settings %s: %s"):format(path, message), "EBADMSG"
  end
  if value == nil or value == lyaml.null then return {} end
  if type(value) ~= "table" or #value > 0 then
    return nil, ("cannot read the settings %s: not a mapping"):format(path), "EBADMSG"
  end
  return without_null(value, lyaml.null)
end

---Read the settings of a run.
function settings.load(options)
  options = options or {}
  local file, name = PACKAGED, PACKAGED_NAME
  if options.config then
    local why, code
    name = options.config
    file, why, code = read_yaml(name)
    if not file then return nil, why, code end
  elseif options.packaged == false then
    file, name = {}, "defaults"
  end
  local self = { notes = {}, file = name, given_to_load = options }
  local from_file, why = take(file, FILE, name, self.notes)
  if not from_file then return nil, why, "EBADMSG" end
  local given
  given, why = take(options.overrides or {}, FILE, "command line", self.notes)
  if not given then return nil, why, "EINVAL" end
  self.top, self.given = from_file, given
  for key in pairs(RUN) do
    self[key] = given[key]
    if self[key] == nil then self[key] = from_file[key] end
    if self[key] == nil then self[key] = RUN_DEFAULTS[key] end
  end
  if self.log_dir then self.notes[#self.notes + 1] = "log_dir is ignored: logs are part of the traces" end
  return self
end

-- ---- resolving -------------------------------------------------------------------------------------

local function lay(resolved, layer, name)
  for key in pairs(EVALUATION) do
    if layer[key] ~= nil then
      resolved[key], resolved.from[key] = layer[key], name
    end
  end
  for key, value in pairs(layer.extra or {}) do
    resolved.extra[key], resolved.from[key] = value, name
  end
end

-- The deprecated names at the top level end in `extra`.
local function with_sampling(top)
  local layer = { extra = {} }
  for key in pairs(EVALUATION) do
    layer[key] = top[key]
  end
  for key in pairs(SAMPLING) do
    layer.extra[key] = top[key]
  end
  return layer
end

---What counts for one definition, and which layer said it.
function settings.resolve(self, definition)
  local resolved = { extra = {}, from = {}, profile_baseline = self.profile_baseline }
  lay(resolved, DEFAULTS, "defaults")
  local function named(kind, key)
    local layer = (self.top[kind] or {})[key]
    if layer then lay(resolved, layer, ("%s.%s of %s"):format(kind, key, self.file)) end
  end
  named("op_type_config", definition.op_type)
  named("definition_config", definition.name)
  lay(resolved, with_sampling(self.top), self.file)
  lay(resolved, with_sampling(self.given), "command line")
  return resolved
end

---One line for a trace's log.
function settings.describe(resolved)
  local parts = {}
  for _, key in ipairs { "atol", "rtol", "required_matched_ratio" } do
    if resolved[key] then
      parts[#parts + 1] = ("%s %g (%s)"):format(key, resolved[key], resolved.from[key])
    end
  end
  return "tolerances: " .. table.concat(parts, ", ")
end

return settings
