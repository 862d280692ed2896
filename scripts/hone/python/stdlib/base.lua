--- What the models of the standard library's modules share.
---
--- A model is a function in `base.models`, by the module's name, that makes the module's names. Names that
--- a model lacks are unknown, and counted.
local core = require "hone.python.core"

local base = { models = {} }

---A table of built-in functions.
---@param is_raw boolean? see core.builtin
function base.functions(map, is_raw)
  local names = {}
  for name, fn in pairs(map) do
    names[name] = core.builtin(name, fn, is_raw)
  end
  return names
end

---`names` with `more` added.
function base.with(names, more)
  for k, v in pairs(more) do
    names[k] = v
  end
  return names
end

---A class written in Lua: `construct(class, args, kw)`.
function base.class(name, construct, methods, of)
  local made = core.builtin_class(name, of)
  made.construct = construct
  if methods then core.methods(made, methods, true) end
  return made
end

function base.nothing() return core.None end

return base
