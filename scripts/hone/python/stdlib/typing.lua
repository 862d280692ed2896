--- Models of typing, abc and collections.abc: names to be subscripted.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local object = require "hone.python.object"
local base = require "hone.python.stdlib.base"
local named_tuple = require "hone.python.stdlib.named_tuple"

local types, None = core.types, core.None
local plain = unknown.plain
local class, with, nothing, functions = base.class, base.with, base.nothing, base.functions
local models = base.models

local typing_special = class("_SpecialForm", nothing)
typing_special.show = function(v) return "typing." .. v.name end

local function special_form(name) return { cls = typing_special, name = name, subscriptable = true } end

core.methods(typing_special, {
  __getitem__ = function(args)
    local form = args[1]
    if form.name == "Union" or form.name == "Optional" then
      local key = args[2]
      local parts = type(key) == "table" and key.cls == types.tuple and table.move(key, 1, key.n, 1, {})
        or { key }
      if form.name == "Optional" then parts[#parts + 1] = types.NoneType end
      for i, part in ipairs(parts) do
        if part == None then parts[i] = types.NoneType end
      end
      return { cls = typing_special, name = form.name, subscriptable = true, union = core.tuple(parts) }
    end
    return form
  end,
  __or__ = function(args) return args[1] end,
  __ror__ = function(args) return args[1] end,
  __call__ = function(args) return args[2] or None end,
}, true)

---typing.NamedTuple's subclasses get fields from their annotations.
local named_tuple_base = core.builtin_class("NamedTuple")
named_tuple_base.finish = function(made)
  local fields = {}
  for _, entry in ipairs(made.annotations or {}) do
    fields[#fields + 1] = { name = entry.name, default = made.dict[entry.name] }
  end
  named_tuple.make(made, fields)
end

models["typing"] = function()
  local names = {}
  for _, name in ipairs {
    "Any",
    "Union",
    "Optional",
    "Callable",
    "ClassVar",
    "Final",
    "Literal",
    "Annotated",
    "Type",
    "Generic",
    "Protocol",
    "TypeAlias",
    "NoReturn",
    "Never",
    "Self",
    "Concatenate",
    "TypeGuard",
    "Required",
    "NotRequired",
    "Unpack",
    "Iterable",
    "Iterator",
    "Generator",
    "Sequence",
    "Mapping",
    "MutableMapping",
    "MutableSequence",
    "Collection",
    "Awaitable",
    "AsyncIterator",
    "AsyncGenerator",
    "Coroutine",
    "Hashable",
    "Sized",
    "Container",
    "IO",
    "TextIO",
    "BinaryIO",
    "Text",
    "Pattern",
    "Match",
    "LiteralString",
    "AnyStr",
    "SupportsInt",
    "SupportsFloat",
    "SupportsIndex",
    "AsyncIterable",
    "ContextManager",
  } do
    names[name] = special_form(name)
  end
  for name, of in pairs {
    List = "list",
    Dict = "dict",
    Set = "set",
    Tuple = "tuple",
    FrozenSet = "frozenset",
    DefaultDict = "defaultdict",
    OrderedDict = "OrderedDict",
  } do
    names[name] = types[of]
  end
  local function form(args) return special_form(plain(args[1])) end
  with(
    names,
    functions({
      TypeVar = form,
      ParamSpec = form,
      TypeVarTuple = form,
      NewType = function(args) return args[2] end,
      cast = function(args) return args[2] end,
      overload = function(args) return args[1] end,
      final = function(args) return args[1] end,
      runtime_checkable = function(args) return args[1] end,
      no_type_check = function(args) return args[1] end,
      override = function(args) return args[1] end,
      get_type_hints = function(args)
        local v = args[1]
        if not core.is_class(v) then return unknown.new("get_type_hints()") end
        local list = {}
        for i = #v.mro, 1, -1 do
          for _, entry in ipairs(v.mro[i].annotations or {}) do
            list[#list + 1] = entry
          end
        end
        return object.annotations(list)
      end,
      get_origin = function() return unknown.new("get_origin()") end,
      get_args = function() return unknown.new("get_args()") end,
      assert_never = nothing,
    }, true)
  )
  return with(names, { TYPE_CHECKING = false, NamedTuple = named_tuple_base, TypedDict = types.dict })
end
models["typing_extensions"] = models["typing"]
models["collections.abc"] = models["typing"]

models["abc"] = function()
  return with(
    functions({
      abstractmethod = function(args) return args[1] end,
      abstractclassmethod = function(args) return args[1] end,
    }, true),
    { ABC = core.builtin_class("ABC"), ABCMeta = types.type, abstractproperty = types.property }
  )
end
models["__future__"] = function() return { annotations = None } end
