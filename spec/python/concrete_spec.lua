--- Python that runs on hone's tensors: what CPython and torch give, and what is refused.
local concrete = require "hone.python.concrete"
local dataset = require "support.dataset"
local fs = require "hone.fs"
local process = require "hone.process"
local values = require "hone.python.concrete.values"

-- The cases of a file as a Python prints them: { [name] = text }.
local DRIVER = [[
import importlib.util, sys
spec = importlib.util.spec_from_file_location("cases", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def show(v):
    if type(v).__name__ == "Tensor":
        dtype = str(v.dtype)[6:]
        plain = v.float().tolist() if dtype.startswith("float8") else v.tolist()
        return f"{dtype} {list(v.shape)} {rounded(plain)!r}"
    if type(v).__name__ == "Size": v = tuple(v)
    if isinstance(v, (tuple, list)):
        return type(v).__name__[0] + "(" + ", ".join(show(item) for item in v) + ")"
    return repr(v)
def rounded(v):
    if isinstance(v, list): return [rounded(item) for item in v]
    return float(f"{v:.4g}") if isinstance(v, float) else v
for name in dir(module):
    if name.startswith("case_"): print(name + "\t" + show(getattr(module, name)()))
]]

local function expected(python, path)
  local result = assert(process.run { python, "-c", DRIVER, path })
  assert.equal(0, result.status, result.stderr)
  local cases = {}
  for name, text in result.stdout:gmatch "([%w_]+)\t([^\n]*)" do
    cases[name] = text
  end
  return cases
end

local function rounded(v)
  if type(v) == "table" then
    local list = {}
    for i, item in ipairs(v) do
      list[i] = rounded(item)
    end
    return values.list(list)
  end
  if math.type(v) ~= "float" or v == 0 or v ~= v or v == math.huge or v == -math.huge then return v end
  return tonumber(("%.4g"):format(v)) + 0.0
end

local function show(v)
  if type(v) == "userdata" then
    local plain = v.dtype:find "^float8" and v:to("float32"):tolist() or v:tolist()
    local shape = values.list(v:shape())
    return ("%s %s %s"):format(v.dtype, values.repr(shape), values.repr(rounded(plain)))
  end
  if not values.is_sequence(v) then return values.repr(v) end
  local parts = {}
  for i = 1, v.n do
    parts[i] = show(v[i])
  end
  return values.type_name(v):sub(1, 1) .. "(" .. table.concat(parts, ", ") .. ")"
end

local function compare_with(python, path)
  local source = assert(concrete.load(assert(fs.read(path)), { name = fs.basename(path) }))
  local count = 0
  for name, text in pairs(expected(python, path)) do
    local result, why = source:call(name)
    assert.is_nil(why)
    assert.equal(text, show(result), name)
    count = count + 1
  end
  return count
end

describe("Python that runs", function()
  it(
    "computes what CPython computes",
    function() assert.is_true(compare_with("python3", "spec/python/references/language.py") > 20) end
  )

  it("computes what torch computes", function()
    local python, why = dataset.python()
    if not python then return pending(why) end
    assert.is_true(compare_with(python, "spec/python/references/tensors.py") > 12)
  end)
end)

-- What loading or running a source says.
local function refusal(text, ...)
  local source, why = concrete.load(text, { name = "ref.py", steps = 10000 })
  if not source then return why end
  return select(2, source:call("run", ...))
end

describe("a source that does not run", function()
  for what, case in pairs {
    ["a syntax error"] = { "def run(:\n    pass\n", "^ref%.py:1:%d+: syntax error: missing '%)'$" },
    ["an unknown module"] = {
      "import numpy\ndef run(): pass\n",
      "^ref%.py:1: hone does not know the module 'numpy'$",
    },
    ["an unknown function of torch"] = {
      "import torch\ndef run(x):\n    y = 1\n    return torch.fft(x)\n",
      "^ref%.py:4: hone does not know torch%.fft$",
    },
    ["an unknown method"] = {
      "def run(x):\n    return x.cauchy_()\n",
      "^ref%.py:2: hone does not know the method 'cauchy_'$",
    },
    ["an unknown construct"] = {
      "def run():\n    try:\n        pass\n    finally:\n        pass\n",
      "^ref%.py:2: hone does not know this construct of Python: try statement$",
    },
    ["an unknown name"] = { "def run():\n    return nothing\n", "^ref%.py:2: name 'nothing' is not defined$" },
    ["a file"] = {
      "def run():\n    return open('/etc/passwd').read()\n",
      "^ref%.py:2: name 'open' is not defined$",
    },
    ["code in a string"] = { "def run():\n    return eval('1')\n", "^ref%.py:2: name 'eval' is not defined$" },
    ["an endless list"] = {
      "def run():\n    return list(range(10 ** 15))\n",
      "^ref%.py:2: RuntimeError: the loops",
    },
    ["a list that is too long"] = { "def run():\n    return [0] * 10 ** 15\n", "^ref%.py:2: MemoryError" },
    ["a string that is too long"] = { "def run():\n    return 'ab' * 10 ** 15\n", "^ref%.py:2: MemoryError" },
    ["an endless loop"] = {
      "def run():\n    n = 0\n    while True:\n        n += 1\n",
      "^ref%.py:3: RuntimeError: the loops have gone round too often",
    },
    ["endless recursion"] = { "def run():\n    return run() + 1\n", "^ref%.py:%d: stack overflow" },
    ["a huge allocation"] = {
      "import torch\ndef run():\n    return torch.zeros(1 << 50)\n",
      "^ref%.py:3: cannot allocate",
    },
    ["an integer beyond 64 bits"] = { "def run():\n    return 2 ** 63\n", "^ref%.py:2: OverflowError" },
    ["too few arguments"] = {
      "def run(a, b):\n    return a\n",
      "^ref%.py:1: TypeError: run%(%) missing a required argument: 'b'$",
      1,
    },
    ["an unknown keyword"] = {
      "import torch\ndef run(x):\n    return torch.softmax(x, axis=1)\n",
      "^ref%.py:3: TypeError: softmax%(%) got an unexpected keyword argument 'axis'$",
      require("hone.tensor").ones(2),
    },
    ["an assertion"] = {
      "def run(x):\n    assert x is None, f'x is {x}'\n",
      "^ref%.py:2: AssertionError: x is 3$",
      3,
    },
    ["an exception"] = { "def run():\n    raise ValueError('no')\n", "^ref%.py:2: ValueError: no$" },
    ["what is no function"] = { "run = 3\n", "^ref%.py has no function 'run'$" },
    ["a division by zero"] = { "def run(n):\n    return 1 // n\n", "^ref%.py:2: ZeroDivisionError", 0 },
    ["unpacking too much"] = {
      "def run():\n    a, b = 1, 2, 3\n",
      "^ref%.py:2: ValueError: too many values to unpack",
    },
  } do
    it("says so in one line with its place: " .. what, function()
      local why = refusal(case[1], table.unpack(case, 3))
      assert.is_string(why)
      assert.matches(case[2], why)
      assert.is_nil(why:find("\n", 1, true))
    end)
  end

  it("names the line of a tensor operation that fails", function()
    local tensor = require "hone.tensor"
    local text = "def run(x, y):\n    z = (x * 2)\n\n    return (z\n        @ y)\n"
    assert.matches(
      "^ref%.py:4: cannot multiply float32 %[2, 3%] and float32 %[2, 3%]",
      refusal(text, tensor.ones(2, 3), tensor.ones(2, 3))
    )
  end)

  it("lets Ctrl-C through", function()
    local source = assert(concrete.load("def run(f):\n    return f()\n", { name = "ref.py" }))
    local ok, why = pcall(source.call, source, "run", function() error("interrupted", 0) end)
    assert.is_false(ok)
    assert.equal("interrupted", why)
  end)
end)
