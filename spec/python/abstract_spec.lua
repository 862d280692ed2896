--- What evaluation does with what it cannot know: branches, merging, traced numbers, bounds.
local python = require "hone.python"

---Run a text; returns a function that reads a global, and the world.
local function run(text, options)
  options = options or {}
  options.packages = options.packages or {}
  local world = python.abstract(options)
  local module, message, exception = world:run(text, "program.py")
  return function(name) return (world:get(module, name)) end, world, message, exception
end

local function alternatives(v)
  local list = {}
  for i, alt in ipairs(python.alternatives(v)) do
    list[i] = python.value(alt)
  end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end

describe("an unknown", function()
  it("comes of what is outside the packages, and keeps its dotted name", function()
    local get, world =
      run "import torch.nn.functional as F\nfrom triton import language as tl\nx = F.silu(1) + 2\n"
    assert.is_true(python.is_unknown(get "F"))
    assert.equal("<unknown torch.nn.functional>", world:repr(get "F"))
    assert.equal("<unknown triton.language>", world:repr(get "tl"))
    assert.is_true(python.is_unknown(get "x"))
    assert.same({}, python.alternatives(get "x"))
  end)

  it("spreads through every operation instead of failing", function()
    local get = run [[
import torch
t = torch.zeros(3)
a, b = t.shape
c = t[0] + 1 < 2
d = [x * 2 for x in t]
e = f"{t}"
f = len(t)
g = -t
t[0] = 5
t.attr = 7
h = t.attr
]]
    for _, name in ipairs { "a", "b", "c", "d", "f", "g" } do
      assert.is_true(python.is_unknown(get(name)), name)
    end
    assert.equal(7, get "h")
  end)

  it("can be a base class: what its instances lack is unknown", function()
    local get = run [[
import torch
class F(torch.autograd.Function):
    def own(self): return 1
f = F()
a, b = f.own(), f.missing
]]
    assert.equal(1, get "a")
    assert.is_true(python.is_unknown(get "b"))
  end)

  it("as a decorator leaves what it decorates", function()
    local get = run "import torch\n@torch.no_grad()\ndef f(): return 3\nx = f()\n"
    assert.equal(3, get "x")
  end)
end)

describe("a tracked number", function()
  -- What a text does with a number n: how often it is read, and for which numbers the same would come out.
  local function use(text)
    local reads, tests = 0, {}
    local n = python.tracked(
      5,
      "n",
      function() reads = reads + 1 end,
      function(holds) tests[#tests + 1] = holds end
    )
    local get, world, message = run(text, { externals = { ["given.n"] = n } })
    local alike = {}
    for other = 0, 9 do
      local all = true
      for _, holds in ipairs(tests) do
        all = all and world:try(holds, other)
      end
      if all then alike[#alike + 1] = other end
    end
    return reads, alike, get, message
  end

  for text, expected in pairs {
    ["x = n < 3"] = { 3, 4, 5, 6, 7, 8, 9 },
    ["x = 'odd' if n % 2 == 1 else 'even'"] = { 1, 3, 5, 7, 9 },
    ["x = ['a', 'b', 'a', 'a', 'b', 'b', 'b', 'a'][n]"] = { 1, 4, 5, 6 },
    ["x = n in (1, 5, 7)"] = { 1, 5, 7 },
    ["x = (n + 1) // 3 == 2"] = { 5, 6, 7 },
    ["x = 1 if n else 0"] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
    ["x = 'M-M*-M-'[: n + 1].count('-') == 2"] = { 4, 5 },
    ["x = [n, None]"] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 },
  } do
    it(("is tested, not read, by `%s`"):format(text), function()
      local reads, alike, _, message = use("from given import n\n" .. text .. "\n")
      assert.is_nil(message)
      assert.equal(0, reads)
      assert.same(expected, alike)
    end)
  end

  it("is read by what looks at it itself", function()
    assert.is_true((use 'from given import n\nx = f"layer {n}"\n') > 0)
    assert.is_true((use "from given import n\nx = list(range(n))\n") > 0)
    assert.is_true((use "from given import n\nx = 'M-M*-M-'[:n] + 'x'\n") > 0)
    assert.is_true((use "from given import n\nx = 'M-M*-M-'[:n].count('-', 1)\n") > 0)
  end)

  it("is what int() makes of a text that stands for it", function()
    local _, world = run ""
    local n = python.tracked(5, "n", function() end)
    local module = assert(world:run "def f(name): return int(name.rsplit('.', 1)[1])\n")
    local f = world:get(module, "f")
    world:reads_as("*", n)
    assert.is_true(rawequal(n, world:call(f, { "layers.*" })))
    assert.equal(7, world:call(f, { "layers.7" }))
    world:reads_as("*", nil)
    local _, message = world:call(f, { "layers.*" })
    assert.matches("^ValueError: invalid literal", message)
  end)
end)

describe("world:record", function()
  it("keeps what a function writes, to be written again", function()
    local get, world = run [[
class C: pass
c, d = C(), {}
def f():
    c.made = C()
    c.made.n = 1
    d["k"] = c.made
    return c.made
def use():
    c.made.n = 2
    c.made = None
    d.pop("k")
]]
    local made, write_again = world:record(function() return (world:call(get "f")) end)
    assert.equal(1, world:get(made, "n"))
    world:call(get "use")
    write_again()
    assert.equal(made, world:get(get "c", "made"))
    assert.equal(1, world:get(made, "n"))
    assert.equal(made, world:item(get "d", "k"))
  end)
end)

describe("a branch on an unknown", function()
  it("is run both ways, and different values become alternatives", function()
    local get, world = run [[
import torch
if torch.flag:
    x, same = 1, "s"
else:
    x, same = 2, "s"
]]
    assert.same({ 1, 2 }, alternatives(get "x"))
    assert.equal("s", get "same")
    assert.equal(1, world.report.branches)
  end)

  it("leaves no more in a variable than there was when both ways may come to the same", function()
    local get = run [[
import torch
x = 1 if torch.flag else torch.one
for i in range(20):
    if torch.flag:
        x = torch.other if torch.flag else 1
]]
    assert.same({ 1 }, alternatives(get "x"))
  end)

  it("takes a method bound to the same object for the same", function()
    local get, world = run [[
import torch
class C:
    def m(self): return 1
c, d = C(), C()
same = c.m if torch.flag else c.m
other = c.m if torch.flag else d.m
]]
    assert.is_false(python.is_unknown(get "same"))
    assert.equal(1, world:call(get "same"))
    assert.equal(2, #python.alternatives(get "other"))
  end)

  it("undoes the first way before the second runs", function()
    local get = run [[
import torch
class O: pass
o, l, d, s = O(), [1], {"a": 1}, {1}
o.x = "before"
seen = []
if torch.flag:
    o.x = "first"; o.only = 1; l.append(2); d["b"] = 2; del d["a"]; s.add(2); l[0] = 9
else:
    seen = [o.x, list(l), dict(d), len(s), hasattr(o, "only")]
]]
    local seen = run and get "seen"
    assert.same(
      { "[]", "['before', [1], {'a': 1}, 1, False]" },
      (function()
        local _, world = run ""
        local list = {}
        for i, alt in ipairs(python.alternatives(seen)) do
          list[i] = world:repr(alt)
        end
        table.sort(list, function(a, b) return #a < #b end)
        if #list == 1 then table.insert(list, 1, "[]") end
        return list
      end)()
    )
    assert.same(
      { "before", "first" },
      alternatives(python.number and (function()
        local _, world = run ""
        return world:get(get "o", "x")
      end)())
    )
  end)

  it("keeps the longer list, and every key of a dict", function()
    local get, world = run [[
import torch
l, d = [], {}
if torch.flag:
    l.append("a"); d["x"] = 1
else:
    d["y"] = 2
]]
    assert.equal("['a']", world:repr(get "l"))
    assert.equal("{'x': 1, 'y': 2}", world:repr(get "d"))
  end)

  it("that raises one way goes the other", function()
    local get, world = run [[
import torch
def check(x):
    if torch.version < 3:
        raise ValueError("old")
    return x
y = check(4)
]]
    assert.equal(4, get "y")
    assert.equal(1, world.report.dropped)
  end)

  it("raises when both ways do", function()
    local _, _, message = run [[
import torch
if torch.a: raise ValueError("one")
else: raise ValueError("two")
]]
    assert.matches("^ValueError: two at program.py:3$", message)
  end)

  it("is left by an earlier return when the rest raises", function()
    local get = run [[
import torch
def pick(value):
    if value == "a": return 1
    if value == "b": return 2
    raise ValueError(value)
def first(items):
    for item in items:
        if item == torch.wanted: break
        raise KeyError(item)
    return item
x, y = pick(torch.backend), first([7, 8])
]]
    assert.same({ 1, 2 }, alternatives(get "x"))
    assert.equal(7, get "y")
  end)

  it("merges what functions return in either way", function()
    local get = run [[
import torch
def f():
    if torch.a: return 1
    if torch.b: return 2
    return 3
def pair():
    if torch.a: return 1, "x"
    return 2, "x"
x = f()
a, b = pair()
]]
    assert.same({ 1, 2, 3 }, alternatives(get "x"))
    assert.same({ 1, 2 }, alternatives(get "a"))
    assert.equal("x", get "b")
  end)

  it("merges break and continue at the end of what they leave", function()
    local get = run [[
import torch
def f():
    total = 0
    for i in range(3):
        if torch.a: continue
        if torch.b: break
        total += 1
    return total
x = f()
]]
    assert.is_true(#alternatives(get "x") >= 2)
  end)

  it("spreads one of several values into a call as each of them, and drops those that do not fit", function()
    local get, _, message = run [[
import torch
if torch.a(): items = (1, 2)
else: items = (1, 2, 3)
if torch.b(): more = {"scale": 5}
else: more = {}
def two(a, b): return a + b
def scaled(a, scale=7): return a * scale
a = two(*items)
b = scaled(2, **more)
c = scaled(2, **(dict(scale=3) if torch.c() else {}))
try:
    d = scaled(*items, 1)
except TypeError:
    d = "no way"
]]
    assert.is_nil(message)
    assert.equal(3, python.value(get "a"))
    assert.same({ 10, 14 }, alternatives(get "b"))
    assert.same({ 14, 6 }, alternatives(get "c"))
    assert.equal("no way", get "d")
  end)

  it("goes by how an open class written in Lua compares its instances", function()
    local size = python.class("Size", nil, {
      __eq__ = function(args) return python.number(args[2]) ~= 0 and python.unknown "size" end,
      __gt__ = function(args) return python.number(args[2]) == 0 or python.unknown "size" end,
    }, true)
    local get = run("import torch\na, b, c = torch.n > 0, 0 < torch.n, torch.n == 0\nd = torch.n == 1\n", {
      externals = { ["torch.n"] = python.instance(size) },
    })
    assert.same({ true, true, false }, { get "a", get "b", get "c" })
    assert.is_true(python.is_unknown(get "d"))
  end)

  it("narrows a local that is one of several", function()
    local get = run [[
import torch
class A:
    size = 5
def f(a):
    if a is not None:
        return a.size
    return 0
def g():
    a = A() if torch.flag else None
    return f(a)
x = g()
]]
    assert.same({ 0, 5 }, alternatives(get "x"))
  end)

  it("maps attributes, calls and arithmetic over alternatives", function()
    local get = run [[
import torch
class A:
    n = 1
    def f(self, k): return self.n * k
class B(A):
    n = 10
o = A() if torch.flag else B()
x, y = o.n + 1, o.f(3)
known = o.f(0)
]]
    assert.same({ 11, 2 }, alternatives(get "x"))
    assert.same({ 3, 30 }, alternatives(get "y"))
    assert.equal(0, get "known")
  end)

  it("is decided where the alternatives agree", function()
    local get, world = run [[
import torch
n = 4 if torch.flag else 8
x = "many" if n > 2 else "few"
y = torch.flag and False
z = "dead" if y else "live"
]]
    assert.equal("many", get "x")
    assert.equal("live", get "z")
    assert.is_true(world.report.branches <= 2)
  end)

  it("takes an assert on an unknown as true", function()
    local get = run "import torch\nassert torch.ok, 'no'\nx = 1\n"
    assert.equal(1, get "x")
  end)

  it("over unknown items runs once or not at all", function()
    local get = run [[
import torch
n = 0
for t in torch.items: n += 1
while torch.more: n += 10
]]
    assert.same({ 0, 1, 10, 11 }, alternatives(get "n"))
  end)

  it("ends a loop that only an unknown can leave", function()
    local get, world = run [[
import torch
def scan():
    keys, rounds = [], 0
    while True:
        rounds += 1
        cursor, more = torch.scan()
        keys.extend(more)
        if cursor == 0: break
    return rounds
def wait():
    while True:
        if torch.ready(): return "ready"
x, y = scan(), wait()
]]
    assert.is_true(#alternatives(get "x") >= 2)
    assert.equal("ready", get "y")
    assert.is_true(world.report.steps < 200)
  end)

  it("is bounded in nesting, and counted beyond", function()
    local text = { "import torch\nx = 0\n" }
    for depth = 0, 14 do
      text[#text + 1] = (" "):rep(depth) .. "if torch.f" .. depth .. ":\n"
    end
    text[#text + 1] = (" "):rep(15) .. "x = 1\n"
    local _, world, message = run(table.concat(text))
    assert.is_nil(message)
    assert.is_true(world.report.unexplored > 0)
  end)
end)

describe("a missing package", function()
  it("is assumed to be there unless named as missing", function()
    local text = [[
try:
    import vllm
    from vllm.ops import thing
    have = True
except ImportError:
    have = False
]]
    assert.is_true((run(text))("have"))
    assert.is_false((run(text, { missing = { "vllm" } }))("have"))
  end)
end)

describe("a traced number", function()
  local config = python.object {
    name = "Config",
    fields = { num_attention_heads = 128, hidden_size = 4096, eps = 1e-5, ratio = 0.5 },
  }
  local function evaluate(text)
    local world = python.abstract { packages = {} }
    local module = assert(world:run(text, "program.py"))
    return assert(world:call(world:get(module, "f"), { config, python.traced(8, "tp_size") }))
  end

  it("explains how it came about", function()
    local v = evaluate "def f(config, tp):\n    return config.num_attention_heads // tp\n"
    assert.equal(16, python.number(v))
    assert.equal("num_attention_heads 128 / tp_size 8 = 16", python.explain(v))
    local steps = python.chain(v)
    assert.equal("num_attention_heads", steps[1].name)
    assert.equal("//", steps[3].op)
    assert.equal("program.py:2", steps[3].line)
  end)

  it("keeps brackets where they matter", function()
    local v = evaluate "def f(config, tp):\n    return (config.num_attention_heads + 2 * 8) * 64 - 1\n"
    assert.equal("(num_attention_heads 128 + 16) * 64 - 1 = 9215", python.explain(v))
  end)

  it("remembers max, min and int", function()
    assert.equal(
      "max(1, num_attention_heads 128 / 1024) = 1",
      python.explain(evaluate "def f(config, tp):\n    return max(1, config.num_attention_heads // 1024)\n")
    )
    assert.equal(
      "int(ratio 0.5 * num_attention_heads 128) = 64",
      python.explain(
        evaluate "def f(config, tp):\n    return int(config.ratio * config.num_attention_heads)\n"
      )
    )
  end)

  it("is an int everywhere else", function()
    local v = evaluate [[
def f(config, tp):
    d = {8: "eight"}
    l = [0] * tp
    return [d[tp], len(l), tp == 8, tp in d, isinstance(tp, int), "%d" % tp, f"{tp:03d}", list(range(tp))[-1],
            "abcdefghi"[tp], tp is None, hash(tp) == hash(8), sorted([tp, 3]), str(tp), tp < 9, bool(tp)]
]]
    local world = python.abstract { packages = {} }
    assert.equal(
      "['eight', 8, True, True, True, '8', '008', 7, 'i', False, True, [3, 8], '8', True, True]",
      world:repr(v)
    )
  end)

  it("is a literal's opposite: literals have no history", function() assert.is_nil(python.explain(5)) end)
end)

describe("a config object", function()
  it("says which field is missing, and where it was asked for", function()
    local world = python.abstract { packages = {} }
    local config = python.object {
      name = "Config",
      fields = { a = 1 },
      on_missing = function(name) return ("config has no field '%s' (config.json)"):format(name) end,
    }
    local module = world:run(
      [[
class Layer:
    def __init__(self, config):
        self.present = getattr(config, "b", 7), hasattr(config, "a"), hasattr(config, "b")
        self.size = config.hidden_size
]],
      "models/llama.py"
    )
    local v, message, exception = world:call(world:get(module, "Layer"), { config })
    assert.is_nil(v)
    assert.equal(
      "AttributeError: config has no field 'hidden_size' (config.json) at models/llama.py:4",
      message
    )
    assert.equal("Layer.__init__", exception.stack[1].name)
    assert.equal(4, exception.stack[1].line)
  end)

  it("converts nested JSON to Python and back", function()
    local world = python.abstract { packages = {} }
    local config = python.object { fields = { rope = { factor = 8.0, names = { "a", "b" } } } }
    assert.equal("{'factor': 8.0, 'names': ['a', 'b']}", world:repr(world:get(config, "rope")))
    assert.equal(8.0, python.to_lua(world:get(config, "rope")).factor)
  end)
end)

describe("an instance", function()
  local COUNTER = [[
class Counter:
    calls = 0

    def __init__(self):
        self.step = 2

    @property
    def double(self):
        Counter.calls += 1
        return 2 * self.step

counter = Counter()

def twice():
    return (counter.double, counter.double, Counter.calls)

def changed():
    counter.step = 5
    return (counter.double, Counter.calls)
]]

  it("keeps what its properties give, if told to, until one of its attributes is written", function()
    local world = python.abstract { packages = {} }
    local module = assert(world:run(COUNTER, "counter"))
    local function of(name) return python.to_lua(world:call(world:get(module, name))) end
    assert.same({ 4, 4, 2 }, of "twice")
    python.remember_properties(world:get(module, "counter"))
    assert.same({ 4, 4, 3 }, of "twice")
    assert.same({ 10, 4 }, of "changed")
  end)

  it("of an open class written in Lua says what arithmetic gives, with unknown operands too", function()
    local world = python.abstract { packages = {} }
    local length = python.class("Length", nil, {
      __add__ = function() return "sum" end,
      __rmul__ = function() return "product" end,
      __neg__ = function() return "turned" end,
    }, true)
    local module = assert(world:run("def f(a, b): return [a + 1, a + b, 2 * a, b * a, -a, a - 1]", "text"))
    local given = { python.instance(length), python.unknown "b" }
    local results = world:items(world:call(world:get(module, "f"), given))
    assert.same({ "sum", "sum", "product", "product", "turned" }, { table.unpack(results, 1, 5) })
    assert.is_true(python.is_unknown(results[6]))
  end)
end)

describe("evaluation is bounded:", function()
  local function stopped(text, limits)
    local started = os.clock()
    local _, _, message = run(text, { limits = limits })
    assert.is_true(os.clock() - started < 20)
    assert.is_string(message)
    assert.is_nil(message:find("\n", 1, true))
    return message
  end

  it(
    "an endless loop names its line",
    function()
      assert.equal(
        "evaluation of program.py stopped after 100000 steps at program.py:3",
        stopped("x = 0\nwhile True:\n    x += 1\n", { steps = 100000 }):gsub(
          "program.py:[23]$",
          "program.py:3"
        )
      )
    end
  )

  it(
    "an endless generator",
    function()
      assert.matches(
        "stopped after 100000 steps",
        stopped(
          [[
import itertools
total = sum(itertools.count())
]],
          { steps = 100000 }
        )
      )
    end
  )

  it(
    "deep recursion raises RecursionError, as in Python",
    function()
      assert.matches(
        "^RecursionError: maximum recursion depth exceeded",
        stopped "def f(n): return f(n + 1)\nf(0)\n"
      )
    end
  )

  it("deep recursion through Lua's own calls never overflows the C stack", function()
    assert.matches(
      "RecursionError",
      stopped [[
class A:
    def __getattr__(self, name): return getattr(self, name + "x", 1) if hasattr(self, name + "y") else 2
A().z
]]
    )
    assert.matches(
      "RecursionError",
      stopped "def f(n):\n    try:\n        return f(n + 1)\n    finally:\n        pass\nf(0)\n"
    )
    assert.matches("RecursionError", stopped "def f(n):\n    yield from f(n + 1)\nlist(f(0))\n")
    assert.matches("RecursionError", stopped "def f(n): return max([1], key=lambda x: f(n + 1))\nf(0)\n")
  end)

  it("a huge list", function()
    assert.matches("stopped after", stopped("x = [0] * 10**10\n"))
    assert.matches("stopped after", stopped("x = list(range(10**12))\n"))
    assert.matches("stopped after", stopped("x = 'a' * 10**12\n"))
  end)

  it("a doubling list", function()
    assert.matches("stopped after", stopped("x = [0]\nwhile True: x = x + x\n", { steps = 300000 }))
    assert.matches("stopped after", stopped("x = 'a'\nwhile True: x = x + x\n", { steps = 300000 }))
  end)

  it(
    "an exponential comprehension",
    function()
      assert.matches(
        "stopped after",
        stopped(
          "x = [0 for a in range(999) for b in range(999) for c in range(999) for d in range(999)]\n",
          { steps = 300000 }
        )
      )
    end
  )

  it("recursion on unknown conditions", function()
    local _, world, message = run [[
import torch
def f(n):
    if torch.a: return f(n - 1)
    return f(n + 1)
try:
    f(0)
except RecursionError:
    x = "bounded"
]]
    assert.is_true(message == nil or message:find("stopped", 1, true) ~= nil)
    assert.is_true(world.report.steps <= 5100000)
  end)

  it("an integer too large for 64 bits becomes unknown, and is counted", function()
    local get, world = run "x = 2 ** 200\ny = 9223372036854775807 + 1\nz = 1 << 70\n"
    for _, name in ipairs { "x", "y", "z" } do
      assert.is_true(python.is_unknown(get(name)))
    end
    assert.equal(3, world.report.unknown["integer overflow"].count)
  end)
end)

describe("what is not understood", function()
  it("is counted with its first place, and never fatal", function()
    local get, world = run "x = eval('1')\ny = eval('2')\nz = 1j\nw = 2\n"
    assert.equal(2, get "w")
    local entry = world.report.unknown["built-in eval()"]
    assert.equal(2, entry.count)
    assert.equal("program.py:1", entry.first)
    assert.equal(1, world.report.unknown["construct integer"].count)
  end)
end)

describe("world:takes", function()
  it("tells whether a function or method has a parameter", function()
    local get, world = run [[
class C:
    def m(self, a, *, b=1): pass
def f(a): pass
m = C().m
]]
    assert.is_true(world:takes(get "m", "b"))
    assert.is_false(world:takes(get "m", "c"))
    assert.is_true(world:takes(get "f", "a"))
    assert.is_false(world:takes(get "C", "a"))
    assert.is_false(world:takes(1, "a"))
  end)
end)
