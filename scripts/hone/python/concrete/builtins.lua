--- Python's builtin functions and types, its math module, and the methods of its own objects, as references use
--- them. A function takes its keywords first, nil where there are none.
local tensor = require "hone.tensor"
local runtime = require "hone.python.concrete.runtime"
local values = require "hone.python.concrete.values"

local fail, truth, type_name = runtime.fail, runtime.truth, values.type_name
local None, is_tensor = values.None, tensor.is_tensor

local builtins = {}

local function keyword(keywords, name, otherwise)
  local value = keywords and keywords[name]
  if value == nil then return otherwise end
  return value
end

-- ---- types -----------------------------------------------------------------------------------------

local function new_type(name, is, call)
  return setmetatable({ name = name, is = is, call = call }, values.Type)
end

local function is_kind(class)
  return function(v) return getmetatable(v) == class end
end

local function to_integer(_, v)
  if v == nil then return 0 end
  if is_tensor(v) then v = v:item() end
  if type(v) == "boolean" then return v and 1 or 0 end
  if math.type(v) == "integer" then return v end
  if type(v) == "number" then
    if v ~= v or v == math.huge or v == -math.huge then
      fail("OverflowError", "cannot convert float %s to integer", values.str(v))
    end
    local whole = math.tointeger(v < 0 and math.ceil(v) or math.floor(v))
    return whole or fail("OverflowError", "the integer does not fit 64 bits")
  end
  if type(v) == "string" and math.tointeger(tonumber(v)) then return math.tointeger(tonumber(v)) end
  fail("ValueError", "invalid literal for int(): %s", values.repr(v))
end

local FLOAT_WORDS = {
  inf = math.huge,
  ["-inf"] = -math.huge,
  ["+inf"] = math.huge,
  infinity = math.huge,
  ["-infinity"] = -math.huge,
  nan = 0 / 0,
}

local function to_float(_, v)
  if v == nil then return 0.0 end
  if is_tensor(v) then v = v:item() end
  if type(v) == "boolean" then return v and 1.0 or 0.0 end
  if type(v) == "number" then return v + 0.0 end
  if type(v) == "string" then
    local word = FLOAT_WORDS[v:lower():match "^%s*(.-)%s*$"]
    if word then return word end
    if tonumber(v) then return tonumber(v) + 0.0 end
  end
  fail("ValueError", "could not convert to float: %s", values.repr(v))
end

builtins.int = new_type(
  "int",
  function(v) return math.type(v) == "integer" or type(v) == "boolean" end,
  to_integer
)
builtins.float = new_type("float", function(v) return math.type(v) == "float" end, to_float)
builtins.bool = new_type(
  "bool",
  function(v) return type(v) == "boolean" end,
  function(_, v) return v ~= nil and truth(v) end
)
builtins.str = new_type(
  "str",
  function(v) return type(v) == "string" end,
  function(_, v) return v == nil and "" or values.str(v) end
)
builtins.list = new_type(
  "list",
  is_kind(values.List),
  function(_, v) return v == nil and values.list {} or runtime.collect(v) end
)
builtins.tuple = new_type("tuple", is_kind(values.Tuple), function(_, v)
  if v == nil then return values.tuple {} end
  return setmetatable(runtime.collect(v), values.Tuple)
end)
builtins.set = builtins.list
builtins.dict = new_type("dict", is_kind(values.Dict), function(keywords, v)
  local dict = runtime.make_dict {}
  if v ~= nil then runtime.object_methods[values.Dict].update(nil, dict, v) end
  for key, value in pairs(keywords or {}) do
    runtime.set_dict(dict, key, value)
  end
  return dict
end)
builtins.object = new_type("object", function() return true end)
builtins.Tensor = new_type("Tensor", is_tensor)

-- Exceptions are raised, and so are what they are called with.
for _, name in ipairs {
  "Exception",
  "ValueError",
  "TypeError",
  "RuntimeError",
  "NotImplementedError",
  "IndexError",
  "KeyError",
  "AssertionError",
  "ZeroDivisionError",
  "ArithmeticError",
} do
  builtins[name] = new_type(
    name,
    function(v) return type(v) == "table" and v.exception == name end,
    function(_, message) return { exception = name, message = message == nil and "" or values.str(message) } end
  )
end

local function is_instance(v, class)
  if getmetatable(class) == values.Type then return class.is(v) end
  if values.is_sequence(class) then
    for i = 1, class.n do
      if is_instance(v, class[i]) then return true end
    end
    return false
  end
  fail("TypeError", "isinstance() arg 2 must be a type or tuple of types")
end

function builtins.isinstance(_, v, class) return is_instance(v, class) end

-- ---- functions -------------------------------------------------------------------------------------

function builtins.len(_, v)
  if is_tensor(v) then
    if v:dim() == 0 then fail("TypeError", "len() of a 0-d tensor") end
    return #v
  end
  if type(v) == "string" then return utf8.len(v) or #v end
  if values.is_sequence(v) then return v.n end
  local mt = getmetatable(v)
  if mt == values.Dict then return #v.keys end
  if mt == values.Range then return runtime.collect(v).n end
  fail("TypeError", "object of type '%s' has no len()", type_name(v))
end

function builtins.range(_, a, b, c)
  local start, last, step = runtime.bounds(a, b, c)
  return setmetatable({ start = start, stop = step > 0 and last + 1 or last - 1, step = step }, values.Range)
end

function builtins.enumerate(keywords, v, start)
  local first = start or keyword(keywords, "start", 0)
  local list = runtime.collect(v)
  for i = 1, list.n do
    list[i] = values.tuple({ first + i - 1, list[i] }, 2)
  end
  return list
end

function builtins.zip(_, ...)
  local lists, n = {}, math.huge
  for i, v in ipairs { ... } do
    lists[i] = runtime.collect(v)
    n = math.min(n, lists[i].n)
  end
  local zipped = { n = 0 }
  for i = 1, #lists > 0 and n or 0 do
    local row = {}
    for j, list in ipairs(lists) do
      row[j] = list[i]
    end
    zipped.n, zipped[i] = i, values.tuple(row, #lists)
  end
  return setmetatable(zipped, values.List)
end

function builtins.reversed(_, v)
  local list = runtime.collect(v)
  local back = { n = list.n }
  for i = 1, list.n do
    back[i] = list[list.n + 1 - i]
  end
  return setmetatable(back, values.List)
end

function builtins.sorted(keywords, v)
  local list, key = runtime.collect(v), keyword(keywords, "key")
  local ranks = {}
  for i = 1, list.n do
    ranks[i] = { i, key and runtime.call(key, nil, list[i]) or list[i], list[i] }
  end
  local backwards = truth(keyword(keywords, "reverse", false))
  table.sort(ranks, function(a, b)
    local x, y = a[2], b[2]
    if backwards then
      x, y = y, x
    end
    if truth(runtime.less(x, y)) then return true end
    return not truth(runtime.less(y, x)) and a[1] < b[1]
  end)
  for i = 1, list.n do
    list[i] = ranks[i][3]
  end
  return list
end

local function extreme(name, better)
  return function(keywords, ...)
    local given = table.pack(...)
    local list = given.n == 1 and runtime.collect(given[1]) or given
    local key = keyword(keywords, "key")
    local function rank(v) return key and runtime.call(key, nil, v) or v end
    if list.n == 0 then
      local default = keyword(keywords, "default")
      if default == nil then fail("ValueError", "%s() arg is an empty sequence", name) end
      return default
    end
    local best = list[1]
    for i = 2, list.n do
      if truth(better(rank(list[i]), rank(best))) then best = list[i] end
    end
    return best
  end
end
builtins.min, builtins.max = extreme("min", runtime.less), extreme("max", runtime.greater)

function builtins.sum(keywords, v, start)
  local total = start or keyword(keywords, "start", 0)
  for _, item in runtime.iterate(v) do
    total = runtime.add(total, item)
  end
  return total
end

function builtins.any(_, v)
  for _, item in runtime.iterate(v) do
    if truth(item) then return true end
  end
  return false
end

function builtins.all(_, v)
  for _, item in runtime.iterate(v) do
    if not truth(item) then return false end
  end
  return true
end

function builtins.abs(_, v)
  if is_tensor(v) then return v:abs() end
  return runtime.truth(runtime.less(v, 0)) and runtime.negate(v) or v
end

-- Halves go to the even neighbour.
local function round_even(x)
  local floor = math.floor(x)
  local rest = x - floor
  if rest > 0.5 or rest == 0.5 and floor % 2 ~= 0 then floor = floor + 1 end
  return floor
end

function builtins.round(_, v, digits)
  if is_tensor(v) then return v:round() end
  if digits == nil or digits == None then return math.tointeger(round_even(v)) end
  return tonumber(("%." .. digits .. "f"):format(v))
end

function builtins.pow(_, a, b) return runtime.operate("**", a, b) end

function builtins.divmod(_, a, b)
  return values.tuple({ runtime.operate("//", a, b), runtime.operate("%", a, b) }, 2)
end

function builtins.map(_, f, v)
  local list = runtime.collect(v)
  for i = 1, list.n do
    list[i] = runtime.call(f, nil, list[i])
  end
  return list
end

function builtins.slice(_, a, b, c)
  if b == nil then return runtime.slice(None, a, None) end
  return runtime.slice(a, b, c == nil and None or c)
end

function builtins.repr(_, v) return values.repr(v) end

function builtins.print() return None end -- a reference has nobody to talk to

function builtins.hasattr(_, v, name) return (pcall(runtime.attribute, v, name)) end

function builtins.getattr(_, v, name, default)
  if default == nil then return runtime.attribute(v, name) end
  local ok, value = pcall(runtime.attribute, v, name)
  return ok and value or default
end

function builtins.callable(_, v) return type(v) == "function" or getmetatable(v) == values.Type end

-- ---- methods of objects ----------------------------------------------------------------------------

local list_methods = {}
runtime.object_methods[values.List] = list_methods

function list_methods.append(_, list, v)
  list.n = list.n + 1
  list[list.n] = v
  return None
end

function list_methods.extend(_, list, v)
  runtime.augment("+", list, v)
  return None
end

function list_methods.pop(_, list, i)
  if list.n == 0 then fail("IndexError", "pop from empty list") end
  local at = i == nil and list.n or runtime.integer(i) + (runtime.integer(i) < 0 and list.n or 0) + 1
  if at < 1 or at > list.n then fail("IndexError", "pop index out of range") end
  local v = list[at]
  table.move(list, at + 1, list.n + 1, at)
  list.n = list.n - 1
  return v
end

function list_methods.copy(_, list) return runtime.collect(list) end

function list_methods.reverse(_, list)
  table.move(builtins.reversed(nil, list), 1, list.n, 1, list)
  return None
end

function list_methods.insert(_, list, i, v)
  local at = math.max(0, math.min(list.n, runtime.integer(i))) + 1
  table.move(list, at, list.n, at + 1)
  list[at], list.n = v, list.n + 1
  return None
end

local function index_of(_, list, v)
  for i = 1, list.n do
    if truth(runtime.equal(list[i], v)) then return i - 1 end
  end
  fail("ValueError", "%s is not in the sequence", values.repr(v))
end

local function count_of(_, list, v)
  local n = 0
  for i = 1, list.n do
    if truth(runtime.equal(list[i], v)) then n = n + 1 end
  end
  return n
end

list_methods.index, list_methods.count = index_of, count_of
runtime.object_methods[values.Tuple] = {
  index = index_of,
  count = count_of,
  numel = function(_, shape) -- of a torch.Size
    local n = 1
    for i = 1, shape.n do
      n = n * shape[i]
    end
    return n
  end,
}

runtime.object_methods[values.Dict] = {
  get = function(_, dict, key, default)
    local value = dict.at[runtime.key(key)]
    if value ~= nil then return value end
    return default == nil and None or default
  end,
  keys = function(_, dict) return values.list(table.move(dict.keys, 1, #dict.keys, 1, {})) end,
  values = function(_, dict)
    local list = {}
    for i, key in ipairs(dict.keys) do
      list[i] = dict.at[runtime.key(key)]
    end
    return values.list(list, #dict.keys)
  end,
  items = function(_, dict)
    local list = {}
    for i, key in ipairs(dict.keys) do
      list[i] = values.tuple({ key, dict.at[runtime.key(key)] }, 2)
    end
    return values.list(list, #dict.keys)
  end,
  update = function(_, dict, other)
    for _, key in ipairs(other.keys) do
      runtime.set_dict(dict, key, other.at[runtime.key(key)])
    end
    return None
  end,
}

runtime.object_methods.str = {
  startswith = function(_, s, head) return s:sub(1, #head) == head end,
  endswith = function(_, s, tail) return tail == "" or s:sub(-#tail) == tail end,
  lower = function(_, s) return s:lower() end,
  upper = function(_, s) return s:upper() end,
  strip = function(_, s) return (s:match "^%s*(.-)%s*$") end,
  join = function(_, s, v) return table.concat(runtime.collect(v), s) end,
  replace = function(_, s, from, to) return (s:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))) end,
  split = function(_, s, separator)
    local list = values.list {}
    if separator == nil then
      for word in s:gmatch "%S+" do
        list_methods.append(nil, list, word)
      end
      return list
    end
    for part in (s .. separator):gmatch("(.-)" .. separator:gsub("%p", "%%%0")) do
      list_methods.append(nil, list, part)
    end
    return list
  end,
}

-- ---- math ------------------------------------------------------------------------------------------

local function real(v)
  if is_tensor(v) then v = v:item() end
  if type(v) == "boolean" then return v and 1.0 or 0.0 end
  if type(v) ~= "number" then fail("TypeError", "must be real number, not %s", type_name(v)) end
  return v
end

local function domain(ok)
  if not ok then fail("ValueError", "math domain error") end
end

local function whole(x)
  return math.tointeger(x) or fail("OverflowError", "cannot convert %s to integer", values.str(x))
end

local members = { pi = math.pi, e = math.exp(1), inf = math.huge, nan = 0 / 0, tau = 2 * math.pi }
for _, name in ipairs { "exp", "sin", "cos", "tan", "asin", "acos" } do
  members[name] = function(_, v) return math[name](real(v)) end
end

function members.sqrt(_, v)
  domain(real(v) >= 0)
  return math.sqrt(real(v))
end

function members.log(_, v, base)
  domain(real(v) > 0)
  return base and math.log(real(v)) / math.log(real(base)) or math.log(real(v))
end

function members.log2(_, v)
  domain(real(v) > 0)
  return math.log(real(v), 2)
end

function members.log10(_, v)
  domain(real(v) > 0)
  return math.log(real(v), 10)
end

function members.ceil(_, v) return whole(math.ceil(real(v))) end
function members.floor(_, v) return whole(math.floor(real(v))) end
function members.trunc(_, v) return to_integer(nil, v) end
function members.pow(_, a, b) return (real(a) + 0.0) ^ real(b) end
function members.fabs(_, v) return math.abs(real(v)) + 0.0 end
function members.isnan(_, v) return real(v) ~= real(v) end
function members.isinf(_, v) return math.abs(real(v)) == math.huge end
function members.isfinite(_, v) return math.abs(real(v)) < math.huge end
function members.atan(_, v) return math.atan(real(v)) end
function members.atan2(_, y, x) return math.atan(real(y), real(x)) end

function members.gcd(_, a, b)
  while b ~= 0 do
    a, b = b, a % b
  end
  return math.abs(a)
end

function members.prod(_, v)
  local product = 1
  for _, item in runtime.iterate(v) do
    product = runtime.multiply(product, item)
  end
  return product
end

function members.isqrt(_, v)
  domain(v >= 0)
  local root = math.tointeger(math.floor(math.sqrt(v)))
  while root * root > v do
    root = root - 1
  end
  while (root + 1) * (root + 1) <= v do
    root = root + 1
  end
  return root
end

return { builtins = builtins, math = setmetatable({ name = "math", members = members }, values.Module) }
