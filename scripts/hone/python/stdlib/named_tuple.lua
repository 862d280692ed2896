--- Named tuples: what collections.namedtuple and typing.NamedTuple make.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local dict = require "hone.python.dict"
local object = require "hone.python.object"
local format = require "hone.python.format"

local types = core.types
local named_tuple = {}

---Give a class the constructor, fields and text of a named tuple.
function named_tuple.make(made, fields)
  core.class_changed()
  made.tuple_like = true
  table.insert(made.mro, #made.mro, types.tuple)
  for i, entry in ipairs(fields) do
    made.dict[entry.name] = {
      cls = types.property,
      fget = core.builtin(entry.name, function(args) return args[1][i] end, true),
    }
  end
  local names = {}
  for i, entry in ipairs(fields) do
    names[i] = entry.name
  end
  made.dict._fields = core.tuple(names)
  made.dict._replace = core.builtin("_replace", function(args, kw)
    local copy = table.move(args[1], 1, args[1].n, 1, { cls = args[1].cls, n = args[1].n })
    for i, entry in ipairs(fields) do
      if kw and kw.map[entry.name] ~= nil then copy[i] = kw.map[entry.name] end
    end
    return copy
  end, true)
  made.dict._asdict = core.builtin("_asdict", function(args)
    local d = dict.new()
    for i, entry in ipairs(fields) do
      dict.set(d, entry.name, args[1][i])
    end
    return d
  end, true)
  for _, name in ipairs { "_replace", "_asdict" } do
    object.bind_like_function(made.dict[name])
  end
  made.construct = function(actual, args, kw)
    local v = { cls = actual, n = #fields }
    for i, entry in ipairs(fields) do
      local given = args[i]
      if given == nil and kw then given = kw.map[entry.name] end
      if given == nil then given = entry.default end
      if given == nil and (args.fuzzy or kw and kw.fuzzy) then given = unknown.new(entry.name) end
      if given == nil then
        core.raise(
          "TypeError",
          "%s.__new__() missing 1 required positional argument: '%s'",
          made.name,
          entry.name
        )
      end
      v[i] = given
    end
    return v
  end
  made.show = function(v, seen)
    local parts = {}
    for i, entry in ipairs(fields) do
      parts[i] = entry.name .. "=" .. format.repr(v[i], seen)
    end
    return v.cls.name .. "(" .. table.concat(parts, ", ") .. ")"
  end
end

return named_tuple
