-- `hone run` as somebody uses it: a process, its exit status, what it says, and the traces that it leaves.
local benchmarks = require "support.benchmarks"
local fs = require "hone.fs"
local json = require "hone.json"
local sandbox = require "support.sandbox"

local cpp, python, lua, workload = benchmarks.cpp, benchmarks.python, benchmarks.lua, benchmarks.workload

local function assert_says(text, part) assert.truthy(text:find(part, 1, true), text) end

local function assert_no_orphans(box) assert.same({}, benchmarks.processes(box)) end

describe("hone run", function()
  local box, set

  describe("on solutions of all kinds", function()
    local result, found, answer

    local SOLUTIONS = {
      a_cpp = cpp(benchmarks.RIGHT),
      b_python = python "def run(x):\n    return x * 2\n",
      c_python_fills = python("def run(x, y):\n    torch.mul(x, 2, out=y)\n", true),
      d_lua = lua "return x * 2",
      e_wrong = cpp "for (int64_t i = 0; i < n; i++) y[i] = 3 * x[i];",
      f_shape = lua "return (x * 2):narrow(1, 2, x:numel() - 1)",
      g_dtype = lua "return (x * 2):to 'float16'",
      h_raises = python "def run(x):\n    raise ValueError('not today')\n",
      i_no_code = cpp "this is no C++",
      j_no_python = python "def run(x:\n",
      k_none = lua "return nil",
      l_two = lua "return x * 2, x",
      m_prints = python "print('hello of the module')\ndef run(x):\n    print('hello of a call')\n    return x * 2\n",
      n_nan = cpp "for (int64_t i = 0; i < n; i++) y[i] = i == 5 ? 0.0f / 0.0f : 2 * x[i];",
      o_idle = cpp "",
      p_arguments = python "def run(x, s, t):\n    return x * 2\n",
      q_no_function = python "def walk(x):\n    return x * 2\n",
    }

    setup(function()
      box = sandbox.new()
      box.timeout = 180
      set = benchmarks.dataset(box):define("double", { workload("one", 1000), workload("two", 3) }, SOLUTIONS)
      result, found = set:run "--json"
      answer = json.decode(result.stdout)
    end)
    teardown(function() box:close() end)

    local function status(name) return found[name].one.status, found[name].one.log end

    it("ends well, whatever the solutions are", function()
      assert.equal(0, result.status, result.stderr)
      assert_no_orphans(box)
    end)
    it("passes what is right, in each language and style", function()
      for _, name in ipairs { "a_cpp", "b_python", "c_python_fills", "d_lua", "m_prints" } do
        for _, uuid in ipairs { "one", "two" } do
          local evaluation = found[name][uuid]
          assert.equal("PASSED", evaluation.status, evaluation.log)
          assert.is_true(evaluation.performance.latency_ms > 0)
          assert.is_true(evaluation.performance.reference_latency_ms > 0)
          assert.is_true(evaluation.correctness.max_absolute_error == 0)
        end
      end
    end)
    it("says which results are wrong, and how", function()
      local expected = {
        e_wrong = "INCORRECT_NUMERICAL",
        f_shape = "INCORRECT_SHAPE",
        g_dtype = "INCORRECT_DTYPE",
        n_nan = "INCORRECT_NUMERICAL",
        o_idle = "INCORRECT_NUMERICAL",
      }
      for name, wanted in pairs(expected) do
        local got, log = status(name)
        assert.equal(wanted, got, name .. ": " .. log)
        assert.equal(json.null, found[name].one.performance)
      end
    end)
    it("tells a solution that fails from one that cannot be built", function()
      local function assert_failure(name, wanted, part)
        local got, log = status(name)
        assert.equal(wanted, got, name .. ": " .. log)
        assert_says(log, part)
        assert.equal(json.null, found[name].one.correctness)
        assert.equal(json.null, found[name].one.performance)
      end
      assert_failure("h_raises", "RUNTIME_ERROR", "ValueError: not today")
      assert_failure("i_no_code", "COMPILE_ERROR", "this is no C++")
      assert_failure("j_no_python", "COMPILE_ERROR", "SyntaxError")
      assert_failure("k_none", "RUNTIME_ERROR", "returned")
      assert_failure("l_two", "RUNTIME_ERROR", "returned 2 values, it should be 1")
      assert_failure("p_arguments", "COMPILE_ERROR", "missing a required argument: 's'")
      assert_failure("q_no_function", "COMPILE_ERROR", "run")
    end)
    it("keeps what a solution prints", function()
      local _, log = status "m_prints"
      assert_says(log, "hello of a call")
    end)
    it("has the traces that it wrote in its answer, and counts them", function()
      assert.equal(34, #answer.traces, result.stderr)
      assert.same(set:traces "double", answer.traces)
      assert.equal(json.null, found.n_nan.one.correctness.max_absolute_error) -- JSON has no NaN
      local total = 0
      for _, count in pairs(answer.counts) do
        total = total + count
      end
      assert.equal(34, total)
      assert.equal(10, answer.counts.PASSED)
    end)
    it("writes traces that flashinfer-bench reads", function()
      local code = [[
import sys
from flashinfer_bench.data import TraceSet
found = TraceSet.from_path(sys.argv[1])
passed = sorted({t.solution for t in found.traces['double'] if t.evaluation.status.value == 'PASSED'})
print(len(found.traces['double']), ' '.join(passed))
]]
      local python3 = require("support.dataset").python()
      local copy = box:at "readable" -- solutions in Lua are an extension, which it does not know
      assert.equal(0, box:run({ "cp", "-R", set.root, copy }).status)
      for _, name in ipairs { "d_lua", "f_shape", "g_dtype", "k_none", "l_two" } do
        assert(fs.remove(fs.join(copy, "solutions", "spec", "doubling", "double", name .. ".json")))
      end
      local read = box:run { fs.absolute(python3), "-c", code, copy }
      assert.equal("34 a_cpp b_python c_python_fills d_lua m_prints\n", read.stdout, read.stderr)
    end)
    it("does nothing twice with --resume", function()
      local before = fs.read(set:traces_file "double")
      local again = set:run "--resume"
      assert.equal(0, again.status, again.stderr)
      assert_says(again.stdout, "0 evaluations")
      assert.equal(before, fs.read(set:traces_file "double"))
    end)
  end)

  describe("on solutions that are a nuisance", function()
    local result, found

    local DEEP = [[
#include <cstdint>
__attribute__((noinline)) int64_t deep(int64_t n) {
  volatile char room[4096];
  room[0] = (char)n;
  return deep(n + 1) + room[0];
}
]]
    local FLOOD = [[
  static char text[1 << 20];
  memset(text, 'x', sizeof text);
  for (int i = 0; i < 2100; i++)
    if (write(1, text, sizeof text) < 0) break;
]]
    local FORK = "for (int i = 0; i < 20; i++) if (fork() == 0) for (;;) sleep(100);"
    local FORK_TOO = [[
import os, time
def run(x):
    if os.fork() == 0:
        time.sleep(1000)
    return x * 2
]]
    local FILL_DISK = [[
  static char text[1 << 20];
  size_t kept = 0;
  int file = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (int i = 0; i < 200; i++) {
    ssize_t n = write(file, text, sizeof text);
    if (n < 0) break;
    kept += n;
  }
  close(file);
  remove("big");
  printf("kept %zu\n", kept);
]]
    local BYTES = [[
import os
def run(x):
    os.write(2, b'\xff\xfe\x00 bytes\n')
    return x * 2
]]
    local SOLUTIONS = {
      b_segfault = cpp "*(volatile int *)8 = 1;",
      d_abort = cpp "abort();",
      f_exit = cpp "_exit(0);",
      h_stack = cpp("y[0] = (float)deep(n);", DEEP),
      j_hang = cpp "for (;;) sleep(1);",
      l_floods = cpp(benchmarks.RIGHT .. FLOOD),
      n_forks = cpp(benchmarks.RIGHT .. FORK),
      p_forks_too = python(FORK_TOO),
      r_disk = cpp(benchmarks.RIGHT .. FILL_DISK, "#include <fcntl.h>\n"),
      t_symbol = {
        author = "spec",
        spec = {
          language = "cpp",
          target_hardware = { "cpu" },
          entry_point = "main.cpp::missing_one",
          destination_passing_style = true,
        },
        sources = { { path = "main.cpp", content = "int unused;\n" } },
      },
      v_exits = python "import sys\ndef run(x):\n    sys.exit(0)\n",
      x_import = python "import nothing_of_that_name\ndef run(x):\n    return x * 2\n",
      z_bytes = python(BYTES),
    }
    for _, name in ipairs { "a", "c", "e", "g", "i", "k", "m", "o", "q", "s", "u", "w", "y", "zz" } do
      SOLUTIONS[name .. "_good"] = cpp(benchmarks.RIGHT .. " // " .. name)
    end

    setup(function()
      box = sandbox.new()
      box.timeout = 180
      set = benchmarks.dataset(box):define("double", { workload("one", 1000), workload("two", 3) }, SOLUTIONS)
      result, found = set:run("--timeout", "20")
    end)
    teardown(function() box:close() end)

    local function assert_failure(name, wanted, part)
      local evaluation = found[name].one
      assert.equal(wanted, evaluation.status, name .. ": " .. evaluation.log)
      assert_says(evaluation.log, part)
    end

    it("ends well, and leaves no process behind", function()
      assert.equal(0, result.status, result.stderr)
      assert_no_orphans(box)
    end)
    it("judges every other solution as if nothing had happened", function()
      for name in pairs(SOLUTIONS) do
        for _, uuid in ipairs { "one", "two" } do
          local evaluation = found[name] and found[name][uuid]
          assert.truthy(evaluation, name .. " on " .. uuid .. " is lost")
          if name:find "good" then
            assert.equal("PASSED", evaluation.status, name .. ": " .. evaluation.log)
          end
        end
      end
    end)
    it("says how a process ended that did not answer", function()
      assert_failure("b_segfault", "RUNTIME_ERROR", "signal 11")
      assert_failure("d_abort", "RUNTIME_ERROR", "signal 6")
      assert_failure("f_exit", "RUNTIME_ERROR", "exit status 0")
      assert_failure("h_stack", "RUNTIME_ERROR", "signal 11")
      assert_failure("v_exits", "RUNTIME_ERROR", "")
    end)
    it("ends one that hangs, and does not try it again", function()
      assert_failure("j_hang", "TIMEOUT", "nothing came within")
      local second = found.j_hang.two
      assert.equal("TIMEOUT", second.status)
      assert_says(second.log, "Solution skipped after 3 failures. Last error: nothing came within")
    end)
    it("keeps the first 5 MiB of gigabytes that are printed", function()
      local evaluation = found.l_floods.one
      assert.equal("PASSED", evaluation.status, evaluation.log:sub(-1000))
      assert.is_true(#evaluation.log < (5 << 20) + 4000)
      assert_says(evaluation.log:sub(-4000), "[log truncated]")
    end)
    it("lets nobody start processes that stay", function()
      assert.truthy(found.n_forks.one)
      assert.truthy(found.p_forks_too.one)
    end)
    it("lets nobody fill the disk", function()
      local kept = math.tointeger(tonumber(found.r_disk.one.log:match "kept (%d+)" or "0"))
      assert.is_true(kept <= 64 << 20, found.r_disk.one.log)
      assert.equal("PASSED", found.r_disk.one.status)
    end)
    it("says which symbol or module is not there", function()
      assert_failure("t_symbol", "COMPILE_ERROR", "missing_one")
      assert_failure("x_import", "COMPILE_ERROR", "nothing_of_that_name")
    end)
    it("keeps printed bytes as UTF-8", function()
      assert.equal("PASSED", found.z_bytes.one.status, found.z_bytes.one.log)
      assert_says(found.z_bytes.one.log, "bytes")
    end)
  end)
end)
