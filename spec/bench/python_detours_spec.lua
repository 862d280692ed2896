-- Solutions in Python that do their work where the clock does not run: in what the worker does before it and after it,
-- in a warm-up call, or in one call for all others. `hone run` must not be taken in.
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"

local HONE = os.getenv "HONE_BIN" or "build/hone"
local SECONDS = 0.004 -- what the work takes

local DEFINITION =
  [[{"name": "twice_n64", "op_type": "test", "axes": {"M": {"type": "var"}, "N": {"type": "const", "value": 64}},
  "inputs": {"x": {"shape": ["M", "N"], "dtype": "float32"}},
  "outputs": {"y": {"shape": ["M", "N"], "dtype": "float32"}},
  "reference": "import torch\n\ndef run(x):\n    return x + x\n"}]]
local WORKLOAD = [[{"definition": "twice_n64", "solution": null, "evaluation": null,
  "workload": {"uuid": "w", "axes": {"M": 8}, "inputs": {"x": {"type": "random"}}}}]]

local HEAD = ([[
import sys, time
import torch

def work(x, y):
    end = time.perf_counter() + %g
    while time.perf_counter() < end:
        pass
    y.copy_(x + x)

main = sys.modules["__main__"]
main.work = work

# Put a function's code in the place of another's, whose callers do not notice.
def detour(method, source):
    exec(source, main.__dict__)
    method.__code__ = main.evil.__code__
]]):format(SECONDS)

local SOLUTIONS = {
  honest = [[
def run(x, y):
    work(x, y)
]],
  -- What was computed before the clock runs.
  before = [[
import types
real = main.Solution.prepare
main.real_prepare = types.FunctionType(real.__code__, real.__globals__)
detour(real, """
def evil(self, call, values, inputs, outputs):
    real_prepare(self, call, values, inputs, outputs)
    work(*self.arguments[call])
""")
def run(x, y):
    pass
]],
  -- What is computed when the calls are over.
  after = [[
detour(main.Solution.forget, """
def evil(self):
    for arguments in self.arguments: work(*arguments)
""")
def run(x, y):
    pass
]],
  -- The warm-up call does the work of those that are timed.
  warm = [[
def run(x, y):
    every = sys._getframe(1).f_locals["self"].arguments
    if every[0][0] is x:
        for arguments in every: work(*arguments)
]],
  -- One timed call does the work of all.
  first = [[
done = set()
def run(x, y):
    if y.data_ptr() not in done:
        done.clear()
        for arguments in sys._getframe(1).f_locals["self"].arguments:
            work(*arguments)
            done.add(arguments[1].data_ptr())
    done.discard(y.data_ptr())
]],
}

describe("a solution that works where the clock does not run", function()
  local root, traces

  setup(function()
    root = assert(fs.tempdir "hone-spec-detours-")
    assert(fs.write(fs.join(root.path, "definitions/test/twice_n64.json"), DEFINITION))
    assert(fs.write(fs.join(root.path, "workloads/test/twice_n64.jsonl"), (WORKLOAD:gsub("\n", "")) .. "\n"))
    for name, code in pairs(SOLUTIONS) do
      local solution = {
        name = name,
        definition = "twice_n64",
        author = "spec",
        spec = { language = "python", target_hardware = { "cpu" }, entry_point = "main.py::run" },
        sources = { { path = "main.py", content = HEAD .. code } },
      }
      assert(
        fs.write(fs.join(root.path, "solutions/spec/test/twice_n64", name .. ".json"), json.encode(solution))
      )
    end
    local result = assert(process.run {
      HONE,
      "run",
      "--local",
      root.path,
      "--num-trials",
      "1",
      "--iterations",
      "12",
      "--warmup-runs",
      "2",
      env = { XDG_CACHE_HOME = root.path },
    })
    assert.equal(0, result.status, result.stderr)
    traces = {}
    local path = fs.join(root.path, "traces/spec/test/twice_n64.jsonl")
    for _, trace in assert(json.lines(path, { nan = true })) do
      traces[trace.solution] = trace.evaluation
    end
  end)
  teardown(function() root:remove() end)

  -- Its latency is the work's, whatever the clock was shown; or it has none.
  local function assert_not_taken_in(name)
    local evaluation = assert(traces[name], "no trace of " .. name)
    if evaluation.status == "PASSED" then
      assert.is_true(evaluation.performance.latency_ms >= SECONDS * 1e3, evaluation.log)
    end
    return evaluation
  end

  it("passes when it is honest, with the time that the work takes", function()
    local evaluation = assert_not_taken_in "honest"
    assert.equal("PASSED", evaluation.status, evaluation.log)
  end)
  it(
    "finds no inputs before it",
    function() assert.not_equal("PASSED", assert_not_taken_in("before").status) end
  )
  it(
    "is looked at before it can work after it",
    function() assert.not_equal("PASSED", assert_not_taken_in("after").status) end
  )
  it(
    "finds no timed inputs in a warm-up call",
    function() assert.equal("INCORRECT_NUMERICAL", assert_not_taken_in("warm").status) end
  )
  it("gains nothing when one call does the work of all", function() assert_not_taken_in "first" end)
end)
