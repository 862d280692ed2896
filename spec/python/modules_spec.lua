--- Packages on disk, overrides, hooks and torch's modules.
local fs = require "hone.fs"
local python = require "hone.python"

local dir, root

local function package(files)
  dir = fs.tempdir()
  root = fs.join(dir.path, "pkg")
  for name, text in pairs(files) do
    local path = fs.join(root, name)
    assert(fs.mkdir(fs.dirname(path)))
    assert(fs.write(path, text))
  end
  return root
end

local function world_of(files, options)
  options = options or {}
  options.packages = { pkg = package(files) }
  return python.abstract(options)
end

local function read_files(world)
  local names = {}
  for _, file in ipairs(world.report.files) do
    names[fs.basename(file.path)] = true
  end
  return names
end

describe("modules", function()
  after_each(function()
    if dir then fs.remove(dir.path) end
    dir = nil
  end)

  it("are read only when something in them is needed", function()
    local world = world_of {
      ["__init__.py"] = "",
      ["a.py"] = [[
from pkg.b import f
from pkg.never import g
import pkg.c
x = f(2)
def h(): return g()
]],
      ["b.py"] = "from .c import *\ndef f(n): return n * FACTOR\nraise RuntimeError('not needed')\n",
      ["c.py"] = "FACTOR = 21\n_hidden = 1\n",
      ["never.py"] = "this is not python at all (",
    }
    local a = assert(world:import("pkg.a"))
    assert.equal(42, world:get(a, "x"))
    assert.same({ ["a.py"] = true, ["b.py"] = true, ["c.py"] = true }, read_files(world))
    assert.same({}, world.report.unknown)
  end)

  it("parse the body of a function when it is called, at its own lines", function()
    local world = world_of {
      ["__init__.py"] = "",
      ["m.py"] = [[
class C:
    def __init__(self, value):
        """A text that is long enough for this body to be left out at first, as most bodies are."""
        self.value = [v for v in value]
        def inner(): return self.value
        self.get = inner

    def fail(self):
        """A text that is long enough for this body to be left out at first, as most bodies are."""
        raise ValueError("no")

c = C([1, 2])
]],
    }
    local m = assert(world:import("pkg.m"))
    local c = world:get(m, "c")
    assert.equal("[1, 2]", world:repr(world:call_method(c, "get")))
    local v, message = world:call_method(c, "fail")
    assert.is_nil(v)
    assert.equal("ValueError: no at m.py:10", message)
  end)

  it("say where a syntax error is when a name of them is needed", function()
    local world = world_of { ["__init__.py"] = "", ["bad.py"] = "def f(:\n" }
    local v, message = world:import("pkg.bad")
    assert.is_nil(v)
    assert.matches("bad%.py:1:%d+: syntax error", message)
  end)

  it("run the statements that a name depends on, in their order", function()
    local world = world_of {
      ["__init__.py"] = "",
      ["m.py"] = [[
table = {}
def register(f):
    table[f.__name__] = f
    return f
names = []
names.append("first")
if len(names) == 1:
    names.append("second")
    flag = True
else:
    flag = False
flag = not flag
for i in range(3):
    table[i] = i
try:
    import pkg.missing
    have = True
except ImportError:
    have = False
total = 1
total += 1
total *= 5
class Field:
    allowed = True
    def __init__(self): self.ok = Field.allowed
one = Field()
Field.allowed = False
two = Field()
]],
    }
    local m = assert(world:import("pkg.m"))
    assert.equal("['first', 'second']", world:repr(world:get(m, "names")))
    assert.is_false(world:get(m, "flag"))
    assert.equal("{0: 0, 1: 1, 2: 2}", world:repr(world:get(m, "table")))
    assert.is_false(world:get(m, "have"))
    assert.equal(10, world:get(m, "total"))
    assert.is_false(world:get(world:get(m, "two"), "ok"))
  end)

  it("may import each other", function()
    local world = world_of {
      ["__init__.py"] = "from .a import A\n",
      ["a.py"] = "from pkg.b import B\nclass A:\n    def make(self): return B()\n",
      ["b.py"] = "import pkg.a\nfrom . import a as same\nclass B(pkg.a.A):\n    n = 3\n",
    }
    local pkg = assert(world:import("pkg"))
    local a = world:call(world:get(pkg, "A"))
    local b = world:call_method(a, "make")
    assert.equal(3, world:get(b, "n"))
    assert.same({ "pkg.b.B", "pkg.a.A", "object" }, world:mro(b))
  end)

  it("know relative imports, star imports with __all__ and a module's __getattr__", function()
    local world = world_of {
      ["__init__.py"] = "",
      ["sub/__init__.py"] = [[
from .inner import *
from ..top import VALUE as V
def __getattr__(name): return name + '!'
]],
      ["sub/inner.py"] = "__all__ = ['shown']\nshown, hidden = 1, 2\n",
      ["top.py"] = [[
VALUE = 5
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from pkg.nowhere import X
]],
    }
    local sub = assert(world:import("pkg.sub"))
    assert.equal(1, world:get(sub, "shown"))
    assert.equal(5, world:get(sub, "V"))
    assert.equal("hidden!", world:get(sub, "hidden"))
  end)

  it("that are not there are said to be missing", function()
    local world = world_of { ["__init__.py"] = "" }
    local v, message = world:import("pkg.nothing.here")
    assert.is_nil(v)
    assert.matches("No module named 'pkg.nothing.here'", message)
  end)
end)

describe("overrides", function()
  after_each(function()
    if dir then fs.remove(dir.path) end
    dir = nil
  end)

  local FILES = {
    ["__init__.py"] = "from .state import size\n",
    ["state.py"] = [[
import torch
LIMIT = torch.limit()
def size(): return torch.size()
class Group:
    def width(self): return 1
]],
    ["model.py"] = [[
from pkg import size as how_many
from pkg.state import LIMIT, Group
def f(): return how_many(), LIMIT, Group().width()
]],
  }

  it("replace functions, methods and variables wherever they are imported", function()
    local asked
    local world = world_of(FILES, {
      overrides = {
        ["pkg.state.size"] = function(_, _, _, site)
          asked = site
          return python.traced(4, "TP")
        end,
        ["pkg.state.LIMIT"] = 9,
        ["pkg.state.Group.width"] = function() return 2 end,
      },
    })
    local v = assert(world:call(world:get(world:import("pkg.model"), "f")))
    assert.equal("(4, 9, 2)", world:repr(v))
    assert.equal("model.py", fs.basename(asked.file))
    assert.equal(3, asked.line)
    assert.equal("f", asked["function"])
  end)
end)

describe("torch.nn", function()
  after_each(function()
    if dir then fs.remove(dir.path) end
    dir = nil
  end)

  local FILES = {
    ["__init__.py"] = "",
    ["m.py"] = [[
import torch
from torch import nn
class Norm(nn.Module):
    def __init__(self, size, eps=1e-6):
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.ones(size))
    def forward(self, x, residual=None):
        return (x, residual) if residual is not None else x
class SubNorm(Norm):
    def __init__(self, size):
        super().__init__(size, eps=2.0)
class Model(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layers = nn.ModuleList([Norm(i) for i in range(n)])
        self.last = SubNorm(size=7)
        self.register_buffer("cache", torch.zeros(1))
        self.names = [name for name, _ in self.named_modules()]
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.last.forward(x, residual=x)
]],
  }

  it("constructs, calls forward and lists children", function()
    local world = world_of(FILES)
    local module = assert(world:import("pkg.m"))
    local model = assert(world:call(world:get(module, "Model"), { 2 }))
    assert.equal("['', 'layers', 'layers.0', 'layers.1', 'last']", world:repr(world:get(model, "names")))
    assert.equal("('x', 'x')", world:repr(world:call(model, { "x" })))
    assert.is_true(world:is_instance(model, "torch.nn.Module"))
    assert.is_true(world:is_instance(model, "m.Model"))
    local names = {}
    for i, entry in ipairs(world:attributes(model)) do
      names[i] = entry.name
    end
    assert.same({ "layers", "last", "cache", "names" }, names)
  end)

  it("tells hooks of constructions with their arguments, subclasses included", function()
    local world = world_of(FILES)
    local seen = {}
    world.hooks.construct["pkg.m.Norm"] = function(instance, arguments, site)
      seen[#seen + 1] = ("%s size=%s eps=%s line=%d"):format(
        world:class_name(instance),
        arguments.size,
        tostring(arguments.eps),
        site.line
      )
    end
    local module = assert(world:import("pkg.m"))
    assert(world:call(world:get(module, "Model"), { 1 }))
    assert.same({ "Norm size=0 eps=1e-06 line=16", "SubNorm size=7 eps=nil line=17" }, seen)
  end)

  it("tells hooks of layers of torch itself", function()
    local world =
      world_of { ["__init__.py"] = "", ["m.py"] = "from torch import nn\ngate = nn.Linear(4, 8)\n" }
    local seen
    world.hooks.construct["torch.nn.Module"] = function(instance) seen = world:class_name(instance) end
    local gate = assert(world:get(world:import("pkg.m"), "gate"))
    assert.equal("Linear", seen)
    assert.equal(8, world:get(gate, "out_features"))
  end)

  it("lets hooks stand in for calls, through the instance or through forward", function()
    local world = world_of(FILES)
    local calls = {}
    world.hooks.call["pkg.m.Norm"] = function(instance, args, kwargs)
      calls[#calls + 1] = ("%s %s %s"):format(world:class_name(instance), args[1], tostring(kwargs.residual))
      return "normed"
    end
    local module = assert(world:import("pkg.m"))
    local model = assert(world:call(world:get(module, "Model"), { 1 }))
    assert.equal("normed", world:call(model, { "x" }))
    assert.same({ "Norm x nil", "SubNorm normed normed" }, calls)
  end)
end)
