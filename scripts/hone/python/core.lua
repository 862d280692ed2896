--- The ground the evaluator stands on: its running state, classes, exceptions, and the trail that
--- lets a branch be undone.
---
--- How Python values look in Lua:
---   str, bool              Lua strings and booleans
---   int, float             Lua integers and floats
---   a traced number        { cls = int|float, boxed = true, value =, how = } (see unknown.lua)
---   instances of str, int  { cls =, boxed = true, value =, attrs = } (class Color(str, Enum))
---   list, tuple            { cls =, n =, [1..n] }
---   dict, set              see dict.lua
---   class                  { cls = metaclass, name, qualname, module, bases, mro, dict }
---   instance               { cls =, attrs = name -> value, names = order of first assignment }
---   unknown                { cls =, unknown = true, origin, reason, alts }
--- Lua's nil never stands for a Python value: an unbound slot is nil, None is core.None.
local core = {}

---What runs now. One evaluation runs at a time; a world sets these on entry and keeps them on exit.
local S = {
  world = nil, -- the world (abstract.lua): limits, report, overrides
  frame = nil, -- innermost frame: { back, line, code, fn, up, [slots] }
  trail = nil, -- writes to undo while a branch is explored
  steps = 0,
  most_depth = 0, -- of frames: the world's limit
  check_at = 0, -- step count at which the bounds are looked at again
  nest = 0, -- unknown branches being explored
  c_levels = 0, -- protected calls and coroutines below us: each uses a level of Lua's C stack
}
core.state = S

-- ---- undoing ------------------------------------------------------------------------------------

---Remember `t[k]` before it is overwritten.
local function note(trail, t, k)
  local n = trail.n
  trail[n + 1], trail[n + 2], trail[n + 3] = t, k, t[k]
  trail.n = n + 3
end
core.note = note

---Every write that a branch may have to take back goes through here.
function core.put(t, k, v)
  if S.trail then note(S.trail, t, k) end
  t[k] = v
end

-- ---- classes ------------------------------------------------------------------------------------

local next_id = 0
---A number for an object's identity: id(), and keys made of several objects.
function core.id(object)
  if type(object) ~= "table" then return 0 end
  local id = object.id
  if not id then
    next_id = next_id + 1
    id = next_id
    object.id = id
  end
  return id
end

local function merge_mro(sequences)
  local result = {}
  while true do
    local head, remaining
    for _, seq in ipairs(sequences) do
      if seq[1] then
        remaining = true
        local candidate = seq[1]
        local blocked = false
        for _, other in ipairs(sequences) do
          for i = 2, #other do
            if other[i] == candidate then blocked = true end
          end
        end
        if not blocked then
          head = candidate
          break
        end
      end
    end
    if not remaining then return result end
    if not head then return nil end
    result[#result + 1] = head
    for _, seq in ipairs(sequences) do
      if seq[1] == head then table.remove(seq, 1) end
    end
  end
end

---C3 linearisation; nil when the bases contradict each other.
local function linearise(class)
  local sequences = { { class } }
  for _, base in ipairs(class.bases) do
    sequences[#sequences + 1] = table.move(base.mro, 1, #base.mro, 1, {})
  end
  sequences[#sequences + 1] = table.move(class.bases, 1, #class.bases, 1, {})
  return merge_mro(sequences)
end

---A class without running any Python: used for the built-in ones, and by `class` statements.
---@return table? class, nil when no method resolution order exists
function core.make_class(name, bases, dict, metaclass)
  local class = {
    cls = metaclass or core.types.type,
    name = name,
    qualname = name,
    module = "builtins",
    bases = bases,
    dict = dict or {},
    keys = {}, -- names of `dict` in the order of definition
  }
  class.mro = linearise(class)
  if not class.mro then return nil end
  for _, base in ipairs(class.mro) do
    if base.unknown_base or base.opens_heirs then class.open = true end
    class.finish = class.finish or base.finish
    class.abstract_call = class.abstract_call or base.abstract_call
  end
  return class
end

local types = {}
core.types = types
types.type = { name = "type", qualname = "type", module = "builtins", bases = {}, dict = {}, keys = {} }
types.type.cls = types.type
types.object = core.make_class("object", {})
types.type.bases = { types.object }
types.type.mro = { types.type, types.object }
types.type.builtin, types.object.builtin = true, true

---Define a built-in class.
function core.builtin_class(name, base, dict)
  local class = core.make_class(name, { base or types.object }, dict)
  class.builtin = true
  return class
end

for _, name in ipairs {
  "NoneType",
  "ellipsis",
  "NotImplementedType",
  "int",
  "float",
  "complex",
  "str",
  "bytes",
  "list",
  "tuple",
  "dict",
  "set",
  "frozenset",
  "range",
  "slice",
  "function",
  "builtin_function_or_method",
  "method",
  "module",
  "generator",
  "iterator",
  "property",
  "classmethod",
  "staticmethod",
  "super",
  "unknown",
  "dict_keys",
  "dict_values",
  "dict_items",
  "mappingproxy",
} do
  types[name] = core.builtin_class(name)
end
types.bool = core.builtin_class("bool", types.int)
types.defaultdict = core.builtin_class("defaultdict", types.dict)
types.OrderedDict = core.builtin_class("OrderedDict", types.dict)

core.None = { cls = types.NoneType }
core.Ellipsis = { cls = types.ellipsis }
core.NotImplemented = { cls = types.NotImplementedType }

---The class of any value.
function core.class_of(v)
  local t = type(v)
  if t == "table" then return v.cls end
  if t == "string" then return types.str end
  if t == "boolean" then return types.bool end
  if t == "number" then return math.type(v) == "integer" and types.int or types.float end
  return types.builtin_function_or_method
end

local function search(class, name)
  local mro = class.mro
  for i = 1, #mro do
    local v = mro[i].dict[name]
    if v ~= nil then return v, mro[i] end
  end
end

-- What lookups found, by class; all of it is forgotten when any class changes.
local epoch = 0
local ABSENT = {}

---Call after writing to the dict of a class that may have been looked into.
function core.class_changed()
  epoch = epoch + 1
  if S.trail then S.trail.classes = true end
end

---Look `name` up along the method resolution order.
---@return any value, table? class that defines it
function core.lookup(class, name)
  if class.found_epoch ~= epoch then
    class.found, class.owners, class.found_epoch = {}, {}, epoch
  end
  local v = class.found[name]
  if v == nil then
    local owner
    v, owner = search(class, name)
    if v == nil then v = ABSENT end
    class.found[name], class.owners[name] = v, owner
  end
  if v == ABSENT then return nil end
  return v, class.owners[name]
end

---Like lookup, but only what a class written in Python defines.
function core.lookup_own(class, name)
  local mro = class.mro
  for i = 1, #mro do
    local base = mro[i]
    if not base.builtin then
      local v = base.dict[name]
      if v ~= nil then return v, base end
    end
  end
end

function core.is_subclass(class, of)
  local mro = class.mro
  for i = 1, #mro do
    if mro[i] == of then return true end
  end
  return false
end

function core.is_class(v) return type(v) == "table" and v.mro ~= nil end

function core.define(class, name, value)
  if class.dict[name] == nil then class.keys[#class.keys + 1] = name end
  core.put(class.dict, name, value)
  core.class_changed()
end

-- ---- small constructors -------------------------------------------------------------------------

---A tuple out of a Lua sequence, which it takes over.
function core.tuple(items, n)
  items.cls, items.n = types.tuple, n or #items
  return items
end

function core.list(items, n)
  items.cls, items.n = types.list, n or #items
  return items
end

---A function written in Lua: `fn(args, kw)`, with args = { n =, ... }. Unless `raw`, it never sees an
---unknown argument (its result is then unknown too) nor a traced number (it gets the plain one).
function core.builtin(name, fn, raw)
  return { cls = types.builtin_function_or_method, name = name, fn = fn, raw = raw }
end

---Add methods to a built-in class: names to Lua functions.
function core.methods(class, functions, raw)
  for name, fn in pairs(functions) do
    class.dict[name] = core.builtin(name, fn, raw)
  end
end

-- ---- exceptions ---------------------------------------------------------------------------------

local function exception(name, base) types[name] = core.builtin_class(name, base and types[base]) end
exception("BaseException")
for _, pair in ipairs {
  { "Exception", "BaseException" },
  { "SystemExit", "BaseException" },
  { "KeyboardInterrupt", "BaseException" },
  { "GeneratorExit", "BaseException" },
  { "ArithmeticError", "Exception" },
  { "ZeroDivisionError", "ArithmeticError" },
  { "OverflowError", "ArithmeticError" },
  { "FloatingPointError", "ArithmeticError" },
  { "AssertionError", "Exception" },
  { "AttributeError", "Exception" },
  { "BufferError", "Exception" },
  { "EOFError", "Exception" },
  { "ImportError", "Exception" },
  { "ModuleNotFoundError", "ImportError" },
  { "LookupError", "Exception" },
  { "IndexError", "LookupError" },
  { "KeyError", "LookupError" },
  { "MemoryError", "Exception" },
  { "NameError", "Exception" },
  { "UnboundLocalError", "NameError" },
  { "OSError", "Exception" },
  { "FileNotFoundError", "OSError" },
  { "FileExistsError", "OSError" },
  { "PermissionError", "OSError" },
  { "ConnectionError", "OSError" },
  { "TimeoutError", "OSError" },
  { "IsADirectoryError", "OSError" },
  { "RuntimeError", "Exception" },
  { "NotImplementedError", "RuntimeError" },
  { "RecursionError", "RuntimeError" },
  { "StopIteration", "Exception" },
  { "StopAsyncIteration", "Exception" },
  { "SyntaxError", "Exception" },
  { "SystemError", "Exception" },
  { "TypeError", "Exception" },
  { "ValueError", "Exception" },
  { "UnicodeError", "ValueError" },
  { "UnicodeDecodeError", "UnicodeError" },
  { "Warning", "Exception" },
  { "UserWarning", "Warning" },
  { "DeprecationWarning", "Warning" },
  { "RuntimeWarning", "Warning" },
  { "FutureWarning", "Warning" },
  { "ImportWarning", "Warning" },
} do
  exception(pair[1], pair[2])
end
types.IOError = types.OSError
types.EnvironmentError = types.OSError

local MOST_FRAMES = 20 -- kept with an exception

---The calling frames as { code, line, code, line, ... }: cheap, for exceptions that are mostly caught.
function core.trace(most)
  local list, n, f = {}, 0, S.frame
  most = most or MOST_FRAMES
  while f and n < 2 * most do
    if f.code then
      list[n + 1], list[n + 2] = f.code, f.line or 0
      n = n + 2
    end
    f = f.back
  end
  return list
end

---A trace, innermost first: { { file, line, name, function }, ... }.
function core.stack(trace)
  local list = {}
  for i = 1, #trace, 2 do
    local code = trace[i]
    list[#list + 1] =
      { file = code.file, line = trace[i + 1], name = code.qualname, ["function"] = code.name }
  end
  return list
end

---An exception object of `class` with its arguments, remembering where it was made.
function core.exception(class, args)
  local attrs = { args = core.tuple(args) }
  if class == types.StopIteration then attrs.value = args[1] or core.None end
  return { cls = class, attrs = attrs, names = { "args", args = true }, trace = core.trace() }
end

---An exception's text, as str(e) shows it, on one line.
function core.exception_message(e)
  local text = require("hone.python.format").str(e)
  return (text:gsub("%s*\n%s*", " "))
end

---Raise a Python exception: core.raise("TypeError", "...").
function core.raise(class, message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  if type(class) == "string" then class = types[class] end
  error(core.exception(class, { message }), 0)
end

---Whether a caught Lua error is a Python exception (otherwise it is a bound, an interrupt or our own bug).
function core.is_exception(e) return type(e) == "table" and e.cls ~= nil and e.trace ~= nil end

-- ---- bounds -------------------------------------------------------------------------------------

---The innermost frame that runs code, nil when none does.
function core.code_frame()
  local f = S.frame
  while f and not f.code do
    f = f.back
  end
  return f
end

local function place()
  local f = core.code_frame()
  if not f then return "?" end
  return ("%s:%d"):format(core.short_file(f.code.file), f.line or 0), f.code
end
core.place = place

---Paths are shown from the package's root: "srt/models/llama.py".
function core.short_file(file)
  local world = S.world
  if not world then return file end
  local short = world.short_files[file]
  if short then return short end
  short = file
  for _, root in ipairs(world.roots) do
    if file:sub(1, #root) == root then
      short = file:sub(#root + 2)
      break
    end
  end
  world.short_files[file] = short
  return short
end

---End the evaluation: no Python `except` catches this.
function core.abort(message, ...) error({ abort = message:format(...) }, 0) end

function core.stop(what)
  local where, code = place()
  core.abort(
    "evaluation of %s stopped after %s at %s",
    code and core.short_file(code.file) or "?",
    what,
    where
  )
end

local MUCH = 256 * 1024 -- kilobytes of memory from which on garbage is collected

---Look at the limits; called when S.steps passes S.check_at.
function core.check_bounds()
  local limits = S.world.limits
  if S.steps > limits.steps then core.stop(("%d steps"):format(limits.steps)) end
  if os.clock() - S.started > limits.seconds then core.stop(("%g seconds"):format(limits.seconds)) end
  local used = collectgarbage("count") - S.kilobytes
  if used > MUCH then collectgarbage("restart") end
  if used > limits.kilobytes then
    collectgarbage()
    used = collectgarbage("count") - S.kilobytes
    if used > limits.kilobytes then core.stop(("%d MB of memory"):format(limits.kilobytes // 1024)) end
  end
  S.check_at = math.min(S.steps + 4096, limits.steps)
end

---Count `n` steps of work about to be done.
function core.charge(n)
  S.steps = S.steps + n
  if S.steps > S.check_at then core.check_bounds() end
end

---The Python exception for an error of our own Lua code: evaluation goes on, the report tells.
function core.from_lua_error(message)
  if message:find("stack overflow", 1, true) then
    return core.exception(types.RecursionError, { "maximum recursion depth exceeded" })
  end
  local report = S.world.report.unknown
  local key = "internal error " .. message
  report[key] = report[key] or { kind = "internal error", what = message, count = 0, first = (core.place()) }
  report[key].count = report[key].count + 1
  return core.exception(types.SystemError, { "internal error: " .. message })
end

-- ---- frames -------------------------------------------------------------------------------------

-- A call's arguments become its frame: { n, [1..n] } and what run() sets. A table that grows to hold this
-- is rehashed several times, so one of the right size is made at once, by a constructor for that size.
local FRAME =
  "return { %sn = 0, up = false, fn = false, code = false, back = false, line = 0, depth = 0, ret = nil }"
local constructors = {}

local function constructor(size)
  local text = ("return function() %s end"):format(FRAME:format(("nil, "):rep(size)))
  constructors[size] = load(text, "=frame")()
  return constructors[size]
end

---An empty frame for a function (or for one of unknown size).
function core.new_frame(code)
  local size = code.slots or 8
  return (constructors[size] or constructor(size))()
end

---pcall for Python code: restores the frame, and keeps Lua's C stack from overflowing.
function core.protected(fn, ...)
  local frame, nest, trail, levels = S.frame, S.nest, S.trail, S.c_levels
  if levels >= S.world.limits.c_levels then
    core.raise("RecursionError", "maximum recursion depth exceeded")
  end
  S.c_levels = levels + 1
  return core.finish_protected(frame, nest, trail, levels, pcall(fn, ...))
end

function core.finish_protected(frame, nest, trail, levels, ok, err, ...)
  S.c_levels = levels
  if ok then return true, err, ... end
  S.frame, S.nest, S.trail = frame, nest, trail
  if core.is_exception(err) then return false, err end
  if type(err) ~= "string" or err == "interrupted" then error(err, 0) end
  return false, core.from_lua_error(err)
end

return core
