--- The environment variables that SGLang reads, at the defaults that srt/environ.py declares.
--
-- The file is a class of some eight hundred `NAME = EnvKind(default)`; a model reads a handful of them, so they
-- are looked up in the text.
local fs = require "hone.fs"
local python = require "hone.python"

local M = {}

local FILE = "srt/environ.py"

local CONSTANTS = { True = true, False = false }

-- The value that a literal stands for, nil when the text is not one.
local function literal(text)
  if text == "None" then return python.none() end
  if CONSTANTS[text] ~= nil then return CONSTANTS[text] end
  return tonumber(text) or text:match('^"([^"\\]*)"$') or text:match("^'([^'\\]*)'$")
end

local function default_of(source, name)
  local at = source:find(("\n    %s = Env"):format(name), 1, true)
  local argument = at and source:match("^\n%s+[%w_]+ = Env%w+%(%s*([^,%)]-)%s*[,%)]", at)
  local value = argument and literal(argument)
  if value == nil then return python.unknown("envs." .. name) end
  return value
end

-- What stands for one variable: nobody has set it.
local function variable(value)
  return python.object {
    name = "EnvField",
    open = true,
    methods = {
      get = function() return value end,
      is_set = function() return false end,
    },
  }
end

---The object that SGLang calls `envs`, nil for a version that has none.
---@param package string # SGLang's package folder
---@param files { path: string, bytes: integer }[] # the file is added here when it is read
---@return hone.python.Value? envs
function M.object(package, files)
  local path = fs.join(package, FILE)
  if not fs.exists(path) then return nil end
  local source
  local known = {}
  return python.object {
    name = "Envs",
    find = function(name)
      if not source then
        source = fs.read(path) or ""
        files[#files + 1] = { path = path, bytes = #source }
      end
      known[name] = known[name] or variable(default_of(source, name))
      return known[name]
    end,
  }
end

return M
