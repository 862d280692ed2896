--- Where a definition's constants come from: fields of the config, lines of source, steps of arithmetic.
local fs = require "hone.fs"
local json = require "hone.json"
local python = require "hone.python"

local M = {}

---@class hone.sglang.Step
---@field value number
---@field name string? # of a source: a field of the config, TP, EP
---@field operation string? # of a step: "//", "max", with the numbers that went in
---@field from number[]
---@field place string? # "file:line"
---@field text string? # that line

---@class hone.sglang.Attribute
---@field name string # of the layer: "tp_q_head_num"
---@field value any
---@field account string? # "num_attention_heads 32 / TP 8 = 4"
---@field steps hone.sglang.Step[] # sources first

---@class hone.sglang.Constant
---@field name string
---@field value any
---@field account string? # as the definition's description has it
---@field follows boolean # from the other constants
---@field attributes hone.sglang.Attribute[] # of the layer, that it was read from

---@class hone.sglang.Explanation
---@field definition string
---@field op_type string
---@field setting hone.sglang.Setting
---@field modules { path: string, count: integer, place: string, text: string? }[] # where they are constructed
---@field calls { modes: string[], place: string, text: string? }[] # where they run
---@field constants hone.sglang.Constant[]

-- ---- lines of files --------------------------------------------------------------------------------------

-- Reads lines of source files by "file:line", each file once.
local function line_reader(package)
  local files = {}
  local function lines_of(file)
    if not files[file] then
      local text = fs.read(fs.join(package, file)) or fs.read(file) or ""
      files[file] = require("hone.text").lines(text)
    end
    return files[file]
  end
  return function(place)
    local file, number = (place or ""):match("^(.*):(%d+)$")
    local line = file and lines_of(file)[tonumber(number)]
    return line and line:match("^%s*(.-)%s*$")
  end
end

-- The line of a config that sets a field; the last part of a nested name is looked for.
local function config_place(config, name)
  local field, number = name:match("[^.%[%]]+$"), 0
  for line in ((fs.read(config.path) or "") .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local at = field and line:find(json.encode(field) .. "%s*:")
    if at then return ("%s:%d"):format(config.path, number), line:match("^%s*(.-),?%s*$") end
  end
end

-- ---- the chain of one attribute --------------------------------------------------------------------------

local SETTINGS = { TP = "tensor parallel size", EP = "expert parallel size" }

local function step_of(step, about)
  local shown =
    { value = step.value, from = step.from, name = step.name, operation = step.op, place = step.line or nil }
  if step.name and SETTINGS[step.name] then
    shown.text = SETTINGS[step.name]
  elseif step.name then
    shown.place, shown.text = config_place(about.sources.config, step.name)
  else
    shown.text = about.line(shown.place)
  end
  return shown
end

local function attribute_of(consulted, about)
  local steps = {}
  for i, step in ipairs(python.chain(consulted.value)) do
    steps[i] = step_of(step, about)
  end
  return {
    name = consulted.name,
    value = python.value(consulted.value),
    account = python.explain(consulted.value),
    steps = steps,
  }
end

-- The layer's attributes that were asked for, each once, by name; those that are numbers.
local function attributes_of(kernel, about)
  local list, seen = {}, {}
  for _, consulted in ipairs(kernel.consulted or {}) do
    if not seen[consulted.name] and python.number(consulted.value) then
      seen[consulted.name] = true
      list[#list + 1] = attribute_of(consulted, about)
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- ---- constants -------------------------------------------------------------------------------------------

-- Whether a number stands in a text, as a word of its own.
local function has_number(text, number)
  return (" " .. text .. " "):find("%f[%w.]" .. tostring(number):gsub("%p", "%%%0") .. "%f[^%w.]") ~= nil
end

local function select(attributes, wanted)
  local kept = {}
  for _, attribute in ipairs(attributes) do
    if wanted(attribute) then kept[#kept + 1] = attribute end
  end
  return kept
end

-- The attributes that a constant's account was made from: the one of its name, those whose own account it quotes
-- (the same account once), else those whose number it has.
local function behind(name, account, attributes)
  local told = {}
  local quoted = select(attributes, function(attribute)
    local own = attribute.account
    if not own or told[own] or not account:find(own, 1, true) then return false end
    told[own] = true
    return true
  end)
  local namesake = select(
    attributes,
    function(attribute) return attribute.name == name and attribute.account == account end
  )
  if #namesake > 0 then return namesake end
  if #quoted > 0 then return quoted end
  return select(attributes, function(attribute) return has_number(account, attribute.value) end)
end

-- Names of a kernel's constants: axes in the definition's order, then what its reference or dtypes hide.
local function constant_names(definition, kernel)
  local names, seen = {}, {}
  for name, axis in pairs(definition.axes) do
    if axis.type == "const" then
      names[#names + 1], seen[name] = name, true
    end
  end
  local hidden = {}
  for name, value in pairs(kernel.params) do
    if not seen[name] and type(value) == "number" then hidden[#hidden + 1] = name end
  end
  table.sort(hidden)
  return table.move(hidden, 1, #hidden, #names + 1, names)
end

local COMMON_WORDS = { num = true, size = true, dim = true, out = true, len = true }

-- What has no account of its own may be an attribute as it is: one of that value that shares a word of its name,
-- as eps and variance_epsilon do.
local function alike(constant, attributes)
  return select(attributes, function(attribute)
    if attribute.value ~= constant.value then return false end
    for word in constant.name:gmatch "%a%a%a+" do
      if not COMMON_WORDS[word] and attribute.name:find(word, 1, true) then return true end
    end
    return false
  end)
end

local function constants_of(definition, kernel, about)
  local attributes, constants = attributes_of(kernel, about), {}
  for i, name in ipairs(constant_names(definition, kernel)) do
    local axis = definition.axes[name]
    local account = kernel.origins and kernel.origins[name]
    local constant = { name = name, value = axis and axis.value or kernel.params[name], account = account }
    constant.attributes = account and behind(name, account, attributes) or alike(constant, attributes)
    constant.follows = kernel.params[name] == nil
    constants[i] = constant
  end
  return constants
end

-- ---- the whole -------------------------------------------------------------------------------------------

local function place_of(site) return ("%s:%d"):format(site.file, site.line) end

local MODES = { "prefill", "decode" }

---Explain a definition.
---@param definition table
---@param kernel hone.sglang.Kernel # as collected, before its layers are let go
---@param about { sources: hone.sglang.Sources, setting: hone.sglang.Setting }
---@return hone.sglang.Explanation
function M.of(definition, kernel, about)
  local line = line_reader(about.sources.package)
  local context = { sources = about.sources, line = line }
  local modules, calls = {}, {}
  for i, module in ipairs(kernel.modules) do
    local place = place_of(module)
    modules[i] = { path = module.path, count = module.count, place = place, text = line(place) }
  end
  for i, call in ipairs(kernel.calls) do
    local modes = {}
    for _, mode in ipairs(MODES) do
      if call.modes[mode] then modes[#modes + 1] = mode end
    end
    local place = place_of(call)
    calls[i] = { modes = modes, place = place, text = line(place) }
  end
  return {
    definition = definition.name,
    op_type = definition.op_type,
    setting = about.setting,
    modules = modules,
    calls = calls,
    constants = constants_of(definition, kernel, context),
  }
end

-- ---- in words --------------------------------------------------------------------------------------------

local function number_text(value)
  if math.type(value) == "float" and value == math.floor(value) and math.abs(value) < 1e15 then
    return ("%d"):format(value)
  end
  return tostring(value)
end

-- "32 // 8 = 4", "max(1, 0) = 1", "num_attention_heads = 32"
local function step_text(step)
  local value = number_text(step.value)
  if step.name then return ("%s = %s"):format(step.name, value) end
  local from = {}
  for i, number in ipairs(step.from) do
    from[i] = number_text(number)
  end
  if step.operation:find("^%a") then
    return ("%s(%s) = %s"):format(step.operation, table.concat(from, ", "), value)
  elseif #from == 1 then
    return ("%s%s = %s"):format(step.operation, from[1], value)
  end
  return ("%s = %s"):format(table.concat(from, (" %s "):format(step.operation)), value)
end

-- Why a constant is what it is, where nothing in the model says so.
local function without_account(constant)
  if #constant.attributes > 0 then return "" end
  if constant.follows then return "  (follows from the others)" end
  return constant.name == "page_size" and "  (--page-size)" or "  (fixed by the kind of kernel)"
end

local function add_constant(rows, constant)
  local account = constant.account and ("  (%s)"):format(constant.account) or without_account(constant)
  rows[#rows + 1] = { ("  %s = %s%s"):format(constant.name, number_text(constant.value), account) }
  for _, attribute in ipairs(constant.attributes) do
    rows[#rows + 1] = { ("    read from the layer's %s"):format(attribute.name) }
    for _, step in ipairs(attribute.steps) do
      rows[#rows + 1] = { "      " .. step_text(step), step.place or "", step.text or "" }
    end
  end
end

---The explanation as lines for people.
---@param explanation hone.sglang.Explanation
---@return string[] lines
function M.lines(explanation)
  local rows
  local lines = {
    ("%s (%s), at TP %d, EP %d"):format(
      explanation.definition,
      explanation.op_type,
      explanation.setting.tp,
      explanation.setting.ep
    ),
  }
  local function section(title, list)
    lines[#lines + 1] = ""
    lines[#lines + 1] = title
    for _, text in ipairs(require("hone.text").lines(require("hone.table").format(list))) do
      lines[#lines + 1] = (text:gsub("%s+$", ""))
    end
  end
  rows = {}
  for i, module in ipairs(explanation.modules) do
    rows[i] = { "", ("%d x %s"):format(module.count, module.path), module.place, module.text or "" }
  end
  section("Built:", rows)
  rows = {}
  for i, call in ipairs(explanation.calls) do
    rows[i] = { "", table.concat(call.modes, ", "), call.place, call.text or "" }
  end
  section("Run:", rows)
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Constants:"
  rows = {}
  for _, constant in ipairs(explanation.constants) do
    add_constant(rows, constant)
  end
  local width = 0
  for _, row in ipairs(rows) do
    if row[2] then width = math.max(width, #row[1]) end
  end
  for _, row in ipairs(rows) do
    local place = row[2] and row[2] ~= "" and row[2] .. "  " or ""
    local text = row[2] and ("%-" .. width .. "s  %s%s"):format(row[1], place, row[3]) or row[1]
    lines[#lines + 1] = (text:gsub("%s+$", ""))
  end
  return lines
end

local function calls_json(calls)
  local list = json.array {}
  for i, call in ipairs(calls) do
    list[i] = json.object {
      { "modes", json.array(call.modes) },
      { "source", call.place },
      { "text", call.text or json.null },
    }
  end
  return list
end

local function steps_json(steps)
  local list = json.array {}
  for i, step in ipairs(steps) do
    list[i] = json.object {
      { "name", step.name or json.null },
      { "operation", step.operation or json.null },
      { "from", json.array(step.from) },
      { "value", step.value },
      { "source", step.place or json.null },
      { "text", step.text or json.null },
    }
  end
  return list
end

local function constants_json(constants)
  local list = json.array {}
  for i, constant in ipairs(constants) do
    local attributes = json.array {}
    for k, attribute in ipairs(constant.attributes) do
      attributes[k] = json.object {
        { "name", attribute.name },
        { "value", attribute.value },
        { "steps", steps_json(attribute.steps) },
      }
    end
    list[i] = json.object {
      { "name", constant.name },
      { "value", constant.value },
      { "account", constant.account or json.null },
      { "attributes", attributes },
    }
  end
  return list
end

---The explanation as data.
---@param explanation hone.sglang.Explanation
---@return table
function M.json(explanation)
  local modules = json.array {}
  for i, module in ipairs(explanation.modules) do
    modules[i] = json.object {
      { "path", module.path },
      { "count", module.count },
      { "source", module.place },
      { "text", module.text or json.null },
    }
  end
  return json.object {
    { "definition", explanation.definition },
    { "op_type", explanation.op_type },
    { "tp", explanation.setting.tp },
    { "ep", explanation.setting.ep },
    { "modules", modules },
    { "calls", calls_json(explanation.calls) },
    { "constants", constants_json(explanation.constants) },
  }
end

return M
