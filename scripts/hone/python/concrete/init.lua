--- Python that runs: references of definitions, translated to Lua and computed on hone's tensors. Nothing is
--- given to a Python interpreter, and a source reaches no file, network or process: there is nothing in its reach
--- but numbers and tensors.
local syntax = require "hone.syntax"
local values = require "hone.python.concrete.values"

local M = {}

-- Names kept as text: what the translation looks at beyond the tree.
local CONVERSION = { text = { "type", "interpolation", "format_specifier" } }

local STEPS = 50000000 -- iterations of all loops of one call

local function parse(text, name)
  local tree, why = syntax.parse(text, "python")
  if not tree then return nil, ("%s: %s"):format(name, why) end
  if tree:root():has_error() then
    local first = tree:errors(1)[1]
    local where = first and ("%d:%d: "):format(first.row, first.col) or " "
    return nil, ("%s:%ssyntax error: %s"):format(name, where, first and first.message or "in the source")
  end
  local root
  root, why = tree:to_table(nil, CONVERSION)
  if not root then return nil, ("%s: %s"):format(name, why) end
  return root
end

local library

-- The runtime with all that a source can import.
local function load_library()
  if library then return library end
  local runtime = require "hone.python.concrete.runtime"
  local base = require "hone.python.concrete.builtins"
  local torch = require "hone.python.concrete.torch"
  local nn = torch.torch.members.nn
  library = {
    runtime = runtime,
    builtins = base.builtins,
    is_idle = torch.is_idle,
    modules = {
      math = base.math,
      torch = torch.torch,
      ["torch.nn"] = nn,
      ["torch.nn.functional"] = nn.members.functional,
    },
  }
  -- A method of this name, and whether other objects than tensors have one too.
  function library.find_method(name)
    local shared
    for _, methods in pairs(runtime.object_methods) do
      shared = shared or methods[name]
    end
    return runtime.tensor_methods[name] or shared, shared ~= nil
  end
  return library
end

-- The line of the source in which an error arose: of the innermost frame that is the source's.
local function line_of(chunk_name)
  for level = 2, 200 do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    if info.source == chunk_name then return info.currentline end
  end
end

-- The message without the Lua position that a library put before it.
local function plain_message(message) return (tostring(message):gsub("^%[?[^%s:]*%]?[^\n:]-:%d+: ", "", 1)) end

local function handler(name, chunk_name)
  return function(message)
    if type(message) ~= "string" or message:find "interrupted" then return message end
    local line = line_of(chunk_name)
    return ("%s%s: %s"):format(name, line and ":" .. line or "", plain_message(message))
  end
end

local Source = {}
Source.__index = Source

-- What xpcall gives, as a call gives it; Ctrl-C goes on.
local function finish(ok, ...)
  load_library().runtime.set_steps(nil)
  if ok then return ... end
  local message = ...
  if type(message) ~= "string" or message:find "interrupted" then error(message, 0) end
  return nil, message
end

-- f(...) with errors that have the source's line: what it returns, or nil and the message.
function Source:_protected(f, ...)
  load_library().runtime.set_steps(self.steps)
  return finish(xpcall(f, self._handler, ...))
end

---Call a function of the source. Values are as in Python's world: None is concrete.None, tuples have `n`.
function Source:call(name, ...)
  local f = self._functions[name]
  if type(f) ~= "function" then return nil, ("%s has no function '%s'"):format(self.name, name) end
  return self:_protected(f, nil, ...)
end

---The names of a function's parameters, in order.
function Source:parameters(name) return load_library().runtime.parameter_names(self._functions[name]) or {} end

---The names of the source's functions, sorted.
function Source:functions()
  local names = {}
  for name, f in pairs(self._functions) do
    if type(f) == "function" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- The Lua text of a source and its constants; nil and what is wrong or not known.
local function translate(text, name)
  local root, why = parse(text, name)
  if not root then return nil, why end
  local settings = { name = name }
  for key, value in pairs(load_library()) do
    settings[key] = value
  end
  return require "hone.python.concrete.translate"(root, settings)
end

---The Lua text that a source becomes, for those who want to see it.
---@return string? text
---@return string? message
function M.lua_text(text, name)
  local lua, why = translate(text, name or "reference")
  return lua, not lua and why or nil
end

---Translate a source and run its top level.
---@return table? source
---@return string? message one line: file, line, what is wrong or not known
function M.load(text, options)
  local name = options and options.name or "reference"
  local lua, constants = translate(text, name)
  if not lua then return nil, constants end
  local source = setmetatable({ name = name, steps = options and options.steps or STEPS }, Source)
  source._chunk_name = "@" .. name .. "#" .. tostring(source)
  source._handler = handler(name, source._chunk_name)
  local chunk, why = load(lua, source._chunk_name, "t", {})
  if not chunk then return nil, ("%s: cannot translate: %s"):format(name, plain_message(why)) end
  local functions, message =
    source:_protected(chunk, load_library().runtime, constants, values.None, values.Tuple, values.List)
  if not functions then return nil, message end
  source._functions = functions
  return source
end

-- Names that do not begin with an underscore, sorted.
local function names_of(...)
  local seen, names = {}, {}
  for _, held in ipairs { ... } do
    for name in pairs(held) do
      if not seen[name] and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

---What is known, by where it is found.
---@return table<string, string[]>
function M.known()
  local loaded = load_library()
  local torch = loaded.modules.torch.members
  return {
    torch = names_of(torch),
    ["torch.nn.functional"] = names_of(torch.nn.members.functional.members),
    Tensor = names_of(loaded.runtime.tensor_methods, loaded.runtime.tensor_attributes),
    builtins = names_of(loaded.builtins),
    math = names_of(loaded.modules.math.members),
  }
end

---None, and what tells a tuple.
M.None = values.None
---The values of a dict by its keys, nil for anything else.
function M.dict_values(v) return getmetatable(v) == values.Dict and v.at or nil end
function M.is_tuple(v) return getmetatable(v) == values.Tuple end

return M
