--- Models of math and operator.
local core = require "hone.python.core"
local unknown = require "hone.python.unknown"
local object = require "hone.python.object"
local ops = require "hone.python.ops"
local items = require "hone.python.items"
local base = require "hone.python.stdlib.base"

local plain = unknown.plain
local with, functions = base.with, base.functions
local models = base.models

local function domain(name, x)
  if x < 0 then core.raise("ValueError", "math domain error") end
  return math[name](x)
end

local function gcd(a, b)
  while b ~= 0 do
    a, b = b, a % b
  end
  return math.abs(a)
end

local function traced_rounding(name, fn)
  return core.builtin(name, function(args)
    local v = args[1]
    if unknown.is(v) then return unknown.new("math." .. name .. "()") end
    local x = plain(v)
    local result = math.tointeger(fn(x)) or unknown.report("integer overflow")
    if type(v) == "table" and v.how and math.type(result) then
      return unknown.traced(result, { call = name, v })
    end
    return result
  end, true)
end

models["math"] = function()
  return with(
    functions {
      sqrt = function(a) return domain("sqrt", a[1]) end,
      log = function(a)
        if a[1] <= 0 then core.raise("ValueError", "math domain error") end
        return a[2] and math.log(a[1]) / math.log(a[2]) or math.log(a[1])
      end,
      log2 = function(a) return math.log(a[1], 2) end,
      log10 = function(a) return math.log(a[1], 10) end,
      log1p = function(a) return math.log(1 + a[1]) end,
      exp = function(a) return math.exp(a[1]) end,
      pow = function(a) return (a[1] * 1.0) ^ a[2] end,
      sin = function(a) return math.sin(a[1]) end,
      cos = function(a) return math.cos(a[1]) end,
      tan = function(a) return math.tan(a[1]) end,
      atan = function(a) return math.atan(a[1]) end,
      atan2 = function(a) return math.atan(a[1], a[2]) end,
      fabs = function(a) return math.abs(a[1]) * 1.0 end,
      isnan = function(a) return a[1] ~= a[1] end,
      isinf = function(a) return a[1] == math.huge or a[1] == -math.huge end,
      isfinite = function(a) return a[1] == a[1] and math.abs(a[1]) ~= math.huge end,
      isclose = function(a, kw)
        local relative = kw and kw.map.rel_tol or 1e-9
        return math.abs(a[1] - a[2]) <= math.max(relative * math.max(math.abs(a[1]), math.abs(a[2])), 0)
      end,
      gcd = function(a)
        local g = 0
        for i = 1, a.n do
          g = gcd(g, a[i])
        end
        return g
      end,
      lcm = function(a)
        local m = 1
        for i = 1, a.n do
          m = m // gcd(m, a[i]) * a[i]
        end
        return m
      end,
      isqrt = function(a) return math.floor(math.sqrt(a[1])) end,
      radians = function(a) return math.rad(a[1]) end,
      degrees = function(a) return math.deg(a[1]) end,
    },
    {
      prod = core.builtin("prod", function(a, kw)
        local list = items.collect(a[1])
        if not list then return unknown.new("math.prod()") end
        local v = plain(kw and kw.map.start or 1)
        for i = 1, list.n do
          v = ops.binary("*", v, list[i])
        end
        return v
      end, true),
      ceil = traced_rounding("ceil", math.ceil),
      floor = traced_rounding("floor", math.floor),
      trunc = traced_rounding("trunc", function(x) return x < 0 and math.ceil(x) or math.floor(x) end),
      pi = math.pi,
      e = math.exp(1),
      inf = math.huge,
      nan = 0 / 0,
      tau = 2 * math.pi,
    }
  )
end

local function getter(kind, get)
  return core.builtin(kind, function(args)
    local keys = args
    return core.builtin(kind, function(call)
      local values = {}
      for i = 1, keys.n do
        values[i] = get(call[1], keys[i])
      end
      return keys.n == 1 and values[1] or core.tuple(values, keys.n)
    end, true)
  end, true)
end

models["operator"] = function()
  local names = {
    itemgetter = getter("itemgetter", core.getitem),
    attrgetter = getter("attrgetter", function(v, path)
      for name in plain(path):gmatch("[^.]+") do
        v = object.getattr(v, name)
      end
      return v
    end),
    eq = core.builtin("eq", function(a) return ops.bool(ops.equal(a[1], a[2])) end, true),
    getitem = core.builtin("getitem", function(a) return core.getitem(a[1], a[2]) end, true),
  }
  for name, symbol in pairs {
    add = "+",
    sub = "-",
    mul = "*",
    truediv = "/",
    floordiv = "//",
    mod = "%",
    or_ = "|",
    and_ = "&",
    xor = "^",
  } do
    names[name] = core.builtin(name, function(a) return ops.binary(symbol, a[1], a[2]) end, true)
  end
  for name, symbol in pairs { lt = "<", le = "<=", gt = ">", ge = ">=" } do
    names[name] = core.builtin(name, function(a) return ops.order(symbol, a[1], a[2]) end, true)
  end
  return names
end
