-- `hone run` as somebody uses it: a process, its exit status, what it says, and the traces that it leaves.
local benchmarks = require "support.benchmarks"
local fs = require "hone.fs"
local json = require "hone.json"
local sandbox = require "support.sandbox"

local cpp, python, lua, workload = benchmarks.cpp, benchmarks.python, benchmarks.lua, benchmarks.workload

local function assert_says(text, part) assert.truthy(text:find(part, 1, true), text) end

local function assert_no_orphans(box) assert.same({}, benchmarks.processes(box)) end

describe("hone run #slow", function()
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
      assert.equal("NaN", found.n_nan.one.correctness.max_absolute_error)
      local total = 0
      for _, count in pairs(answer.counts) do
        total = total + count
      end
      assert.equal(34, total)
      assert.equal(11, answer.counts.PASSED)
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
      assert.equal("34 a_cpp b_python c_python_fills d_lua m_prints n_nan\n", read.stdout, read.stderr)
    end)
    it("does nothing twice with --resume", function()
      local before = fs.read(set:traces_file "double")
      local again = set:run "--resume"
      assert.equal(0, again.status, again.stderr)
      assert.matches("^0 evaluations, %d+ more have a trace\n$", again.stdout)
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
  for (int i = 0; i < 300; i++)
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
  describe("with its flags", function()
    before_each(function()
      box = sandbox.new()
      box.timeout = 180
      set = benchmarks
        .dataset(box)
        :define("double", { workload("one", 100), workload("two", 3) }, {
          right = lua "return x * 2",
          almost = lua "return x * 2.1",
        })
        :define("again", { workload("three", 100) }, { right_again = lua "return x * 2" })
    end)
    after_each(function() box:close() end)

    it("says with --dry-run what it would do, and does nothing", function()
      local result = set:run "--dry-run"
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stdout, "double one (n=100): almost, right")
      assert_says(result.stdout, "5 evaluations of 3 workloads")
      assert.is_false(fs.exists(fs.join(set.root, "traces")))
    end)
    it("takes definitions and solutions by name, and warns of names that nobody has", function()
      local result, found =
        set:run("--definitions", "double,nobody", "--solutions", "right", "--solutions", "none")
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stderr, "no definition is called 'nobody'")
      assert_says(result.stderr, "no solution is called 'none'")
      assert.equal("PASSED", found.right.one.status)
      assert.equal("PASSED", found.right.two.status)
      assert.is_nil(found.almost)
      assert.is_nil(found.right_again)
    end)
    it("keeps nothing with --no-save-results", function()
      local result = set:run("--no-save-results", "--json")
      assert.equal(0, result.status, result.stderr)
      assert.equal(5, #json.decode(result.stdout).traces)
      assert.is_false(fs.exists(fs.join(set.root, "traces")))
    end)
    it("does not time references with --no-profile-baseline", function()
      local _, found = set:run("--no-profile-baseline", "--solutions", "right")
      assert.equal("PASSED", found.right.one.status)
      assert.equal(0, found.right.one.performance.reference_latency_ms)
      assert.equal(0, found.right.one.performance.speedup_factor)
    end)
    it("judges by --rtol, --atol and --required-matched-ratio", function()
      local only = { "--solutions", "almost", "--definitions", "double" }
      local function status_with(...)
        assert(fs.remove(fs.join(set.root, "traces")))
        local result, found =
          set:run(table.unpack(table.move({ ... }, 1, select("#", ...), #only + 1, { table.unpack(only) })))
        assert.equal(0, result.status, result.stderr)
        return found.almost.one
      end
      assert(fs.mkdir(fs.join(set.root, "traces")))
      assert.equal("INCORRECT_NUMERICAL", status_with().status)
      local passed = status_with("--rtol", "0.1", "--atol", "0.001")
      assert.equal("PASSED", passed.status, passed.log)
      assert_says(passed.log, "atol 0.001")
      assert.equal(
        "INCORRECT_NUMERICAL",
        status_with("--atol", "0.000001", "--rtol", "0.001", "--required-matched-ratio", "0.5").status
      )
      assert.equal("PASSED", status_with("--atol", "1000").status)
    end)
    it("takes settings from a YAML file, the command line before them", function()
      local of_definition = "definition_config:\n  double:\n    rtol: 0.2\n    num_trials: 2\n"
      box:write("settings.yaml", of_definition .. "op_type_config:\n  doubling:\n    atol: 0.003\n")
      local _, found = set:run("--config", "settings.yaml", "--solutions", "almost")
      assert.equal("PASSED", found.almost.one.status, found.almost.one.log)
      assert_says(found.almost.one.log, "atol 0.003")
      assert(fs.remove(fs.join(set.root, "traces")))
      _, found = set:run("--config", "settings.yaml", "--solutions", "almost", "--rtol", "0.001")
      assert.equal("INCORRECT_NUMERICAL", found.almost.one.status)
    end)
    it("refuses settings that are none, in one line", function()
      local function assert_refused(status, part, ...)
        local result = set:run(...)
        assert.equal(status, result.status, result.stderr)
        assert_says(result.stderr, part)
        local _, lines = result.stderr:gsub("hone: run: ", "")
        assert.equal(1, lines, result.stderr)
        assert.is_nil(result.stderr:find("traceback", 1, true))
      end
      box:write("bad.yaml", "rtol: [1, 2")
      assert_refused(1, "bad.yaml", "--config", "bad.yaml")
      box:write("none.yaml", "definition_config:\n  double:\n    rtol: -1\n")
      assert_refused(1, "rtol", "--config", "none.yaml")
      assert_refused(1, "nowhere.yaml", "--config", "nowhere.yaml")
      assert_refused(2, "timeout", "--timeout", "0")
      assert_refused(2, "iterations", "--iterations", "0")
      assert_refused(2, "reference", "--reference", "paper")
      assert_refused(2, "tpu:0", "--devices", "tpu:0")
      assert_refused(2, "log-level", "--log-level", "LOUD")
      assert_refused(2, "rtol", "--rtol", "-1")
    end)
    it("says less with --log-level", function()
      local result = set:run("--log-level", "ERROR")
      assert.equal(0, result.status, result.stderr)
      assert.equal("", result.stdout)
    end)
    it("has a process for every evaluation with --use-isolated-runner", function()
      set:define("double", { workload("one", 100), workload("two", 3) }, {
        counts = lua "calls = (calls or 0) + 1 if calls == 1 then print 'the first call' end return x * 2",
      })
      local _, found = set:run("--solutions", "counts")
      assert_says(found.counts.one.log, "the first call")
      assert.is_nil(found.counts.two.log:find("the first call", 1, true))
      assert(fs.remove(fs.join(set.root, "traces")))
      _, found = set:run("--solutions", "counts", "--use-isolated-runner")
      assert_says(found.counts.one.log, "the first call")
      assert_says(found.counts.two.log, "the first call")
    end)
    it("takes several datasets, each with its own traces", function()
      local other = benchmarks
        .dataset(box, "other")
        :define("third", { workload("four", 10) }, { fourth = lua "return x * 2" })
      local result = set:run("--local", "other")
      assert.equal(0, result.status, result.stderr)
      assert.equal("PASSED", other:evaluations().fourth.four.status)
      assert.equal("PASSED", set:evaluations().right.one.status)
      assert.is_nil(set:evaluations().fourth)
    end)
    it("takes solutions of one name for what they are in each dataset", function()
      local other = benchmarks
        .dataset(box, "other")
        :define("double", { workload("one", 100) }, { right = lua "return x * 5" })
      local result = set:run("--local", "other", "--definitions", "double")
      assert.equal(0, result.status, result.stderr)
      assert.equal("PASSED", set:evaluations().right.one.status)
      assert.equal("INCORRECT_NUMERICAL", other:evaluations().right.one.status)
    end)
    it("says so where there is no dataset", function()
      local result = box:hone { "run", "--local", "nowhere", "--devices", "cpu" }
      assert.equal(1, result.status)
      assert_says(result.stderr, "nowhere")
    end)
    it("leaves out what needs a GPU, in one line", function()
      local solution = cpp(benchmarks.RIGHT)
      solution.spec.target_hardware = { "cuda" }
      set:define("double", { workload("one", 100) }, { for_gpu = solution })
      local result, found = set:run "--definitions=double"
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stderr, "1 solutions need a GPU, and there is none: they are left out")
      assert.is_nil(found.for_gpu)
      assert.equal("PASSED", found.right.one.status)
    end)
  end)

  describe("on a workload whose data is not what it says", function()
    local tensor = require "hone.tensor"
    local CASES = {
      right = function(blob) return blob("right.safetensors", tensor.new { 1.0, 2.0, 3.0 }) end,
      missing = function()
        return { type = "safetensors", path = "blob/nowhere.safetensors", tensor_key = "x" }
      end,
      pointer = function()
        set.box:write(
          "set/blob/pointer.safetensors",
          "version https://git-lfs.github.com/spec/v1\noid sha256:" .. ("0"):rep(64) .. "\nsize 1234\n"
        )
        return { type = "safetensors", path = "blob/pointer.safetensors", tensor_key = "x" }
      end,
      shape = function(blob) return blob("shape.safetensors", tensor.new { 1.0, 2.0, 3.0, 4.0 }) end,
      dtype = function(blob) return blob("dtype.safetensors", tensor.new({ 1.0, 2.0, 3.0 }):to "float16") end,
      key = function(blob)
        local input = blob("key.safetensors", tensor.new { 1.0, 2.0, 3.0 })
        input.tensor_key = "z"
        return input
      end,
      cut = function(blob)
        local input = blob("cut.safetensors", tensor.new { 1.0, 2.0, 3.0 })
        local path = fs.join(set.root, input.path)
        assert(fs.write(path, (assert(fs.read(path))):sub(1, -5)))
        return input
      end,
    }
    local result, found

    setup(function()
      box = sandbox.new()
      box.timeout = 180
      set = benchmarks.dataset(box)
      local function blob(name, t) return set:blob("blob/" .. name, t) end
      local workloads = { workload("plain", 3) }
      for name, make in pairs(CASES) do
        workloads[#workloads + 1] = workload(name, 3, make(blob))
      end
      set:define(
        "double",
        workloads,
        { right = lua "io.stdout:setvbuf 'no' print(table.concat(x:tolist(), ' ')) return x * 2" }
      )
      result, found = set:run()
    end)
    teardown(function() box:close() end)

    it("runs on the tensor of a file that holds what it should", function()
      assert.equal(0, result.status, result.stderr)
      assert.equal("PASSED", found.right.right.status)
      assert_says(found.right.right.log, "1.0 2.0 3.0")
      assert.equal("PASSED", found.right.plain.status)
    end)
    it("leaves out the workload whose file lies or is torn, and says why in a line", function()
      for name, part in pairs {
        shape = "x in blob/shape.safetensors is float32 [4], not float32 [3]",
        dtype = "x in blob/dtype.safetensors is float16 [3], not float32 [3]",
        key = "z",
        cut = "cut.safetensors",
      } do
        assert.is_nil(found.right[name], name)
        local line = result.stderr:match("[^\n]*double " .. name .. " is left out: [^\n]*")
        assert.truthy(line, result.stderr)
        assert_says(line, part)
      end
    end)
    it(
      "warns of inputs that are made because their file is not there, on the terminal and in the log",
      function()
        local line = result.stderr:match "[^\n]*inputs of 2 of 8 workloads are made[^\n]*"
        assert.truthy(line, result.stderr)
        for name, part in pairs { missing = "its file is not there", pointer = "Git LFS pointer" } do
          local evaluation = found.right[name]
          assert.equal("PASSED", evaluation.status)
          assert_says(evaluation.log, "input x was made: ")
          assert_says(evaluation.log, part)
        end
      end
    )
  end)

  describe("when it is ended, or is not alone", function()
    local process, tensor_workloads = require "hone.process", {}
    for i = 1, 30 do
      tensor_workloads[i] = workload("w" .. i, 50 + i)
    end

    before_each(function()
      box = sandbox.new()
      box.timeout = 180
      set = benchmarks.dataset(box)
    end)
    after_each(function() box:close() end)

    local function wait_until(what, seconds)
      local deadline = os.time() + (seconds or 60)
      repeat
        if what() then return true end
        process.run { "sleep", "0.05" }
      until os.time() > deadline
      return false
    end

    local function line_count() return #set:traces "double" end

    local SLOW = lua "local t = os.clock() while os.clock() < t + 0.01 do end return x * 2"

    it("goes on with --resume where it was killed: nothing twice, nothing lost", function()
      set:define("double", tensor_workloads, { slow = SLOW, slow_too = lua "return x * 2" })
      local running = box:start(set:words())
      assert.is_true(wait_until(function() return line_count() >= 5 end))
      running:kill "KILL"
      running:wait()
      assert.is_true(wait_until(function() return not next(benchmarks.processes(box)) end, 5))
      local before = line_count()
      assert.is_true(before < 60, "it was over too soon")
      local result = set:run "--resume"
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stdout, ("%d evaluations in"):format(60 - before))
      local seen, traces = {}, set:traces "double"
      for _, t in ipairs(traces) do
        local key = t.solution .. " " .. t.workload.uuid
        assert.is_nil(seen[key], key .. " is there twice")
        seen[key] = true
        assert.equal("PASSED", t.evaluation.status)
      end
      assert.equal(60, #traces)
    end)

    for _, hang in ipairs { "in Lua", "in C++" } do
      it("ends at once by Ctrl-C while a solution hangs " .. hang .. ", and leaves no process", function()
        set:define("double", { workload("one", 10), workload("two", 20) }, {
          a_right = lua "return x * 2",
          hangs = hang == "in Lua" and lua "while true do end" or cpp "for (;;) ;",
        })
        local running = box:start(set:words())
        assert.is_true(wait_until(function() return line_count() >= 1 end))
        process.run { "sleep", "1" }
        local started = process.now and process.now() or os.time()
        running:kill "INT"
        assert.equal(130, running:wait().status)
        assert.is_true(os.time() - started < 4)
        assert.same({}, benchmarks.processes(box))
        assert.equal(1, line_count())
        assert.equal("\n", fs.read(set:traces_file "double"):sub(-1))
      end)
    end

    it("gives the evaluation at hand its status when its worker is killed from outside", function()
      set:define("double", { workload("one", 10), workload("two", 20) }, {
        a_sleeps = cpp("sleep(3);" .. benchmarks.RIGHT),
        right = lua "return x * 2",
      })
      local running = box:start(set:words("--warmup-runs", "1", "--iterations", "1"))
      local function worker()
        for pid in pairs(benchmarks.processes(box)) do
          local line = fs.read(("/proc/%d/cmdline"):format(pid)) or ""
          if line:find("lib/hone/worker", 1, true) then return pid end
        end
      end
      assert.is_true(wait_until(worker))
      process.run { "sleep", "0.5" }
      process.run { "kill", "-9", tostring(worker()) }
      assert.equal(0, running:wait().status)
      local found = set:evaluations()
      assert.equal("RUNTIME_ERROR", found.a_sleeps.one.status)
      assert_says(found.a_sleeps.one.log, "signal 9")
      assert.equal("PASSED", found.a_sleeps.two.status, found.a_sleeps.two.log)
      assert.equal("PASSED", found.right.one.status)
      assert.equal("PASSED", found.right.two.status)
    end)

    it("shares a dataset with another run: all lines are whole", function()
      set:define(
        "double",
        tensor_workloads,
        { right = lua "print(('x'):rep(9000)) return x * 2", wrong = lua "return x * 3" }
      )
      local one, other = box:start(set:words()), box:start(set:words())
      assert.equal(0, one:wait().status)
      assert.equal(0, other:wait().status)
      assert.equal(120, line_count())
    end)

    it("keeps a torn last line, says where it is, and begins a new one", function()
      set:define("double", { workload("one", 10), workload("two", 20) }, { right = lua "return x * 2" })
      assert.equal(0, (set:run()).status)
      local path = set:traces_file "double"
      local whole = fs.read(path)
      local torn = whole:sub(1, #whole - 40) -- as a full disk leaves it
      assert(fs.write(path, torn))
      local result = set:run "--resume"
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stderr, "double.jsonl")
      local text = fs.read(path)
      assert.equal(torn .. "\n", text:sub(1, #torn + 1))
      local last = json.decode(text:sub(#torn + 2))
      assert.equal("two", last.workload.uuid)
      assert.equal("PASSED", last.evaluation.status)
    end)

    it("remembers solutions that keep failing", function()
      set:define(
        "double",
        { workload("1", 1), workload("2", 2), workload("3", 3), workload("4", 4), workload("5", 5) },
        {
          fails = lua "error 'no luck'",
          no_code = cpp "this is no C++",
          sometimes = lua "if x:numel() ~= 3 then error 'only three' end return x * 2",
          wrong = lua "return x * 3",
        }
      )
      local result, found = set:run()
      assert.equal(0, result.status, result.stderr)
      assert_says(found.fails["3"].log, "no luck")
      assert.is_nil(found.fails["3"].log:find("Solution skipped", 1, true))
      assert.matches("^Solution skipped after 3 failures%. Last error: .*no luck", found.fails["4"].log)
      assert.equal("RUNTIME_ERROR", found.fails["5"].status)
      assert.matches("^Solution skipped after 3 failures%. Last error: ", found.no_code["2"].log)
      assert.equal("COMPILE_ERROR", found.no_code["5"].status)
      assert.equal("PASSED", found.sometimes["3"].status)
      assert_says(found.sometimes["5"].log, "only three")
      assert.is_nil(found.sometimes["5"].log:find("Solution skipped", 1, true))
      assert.is_nil(found.wrong["5"].log:find("Solution skipped", 1, true))
    end)

    it("refuses a solution with a path that leaves its folder", function()
      local bad = lua "return x * 2"
      bad.sources[1].path, bad.spec.entry_point = "../main.lua", "../main.lua::run"
      set:define("double", { workload("one", 10) }, { bad = bad, right = lua "return x * 2" })
      local result, found = set:run()
      assert.equal(0, result.status, result.stderr)
      assert_says(result.stderr, "bad.json")
      assert.is_nil(found.bad)
      assert.equal("PASSED", found.right.one.status)
    end)

    it("says in one line that a trace cannot be written", function()
      set:define("double", { workload("one", 10) }, { right = lua "return x * 2" })
      box:write("set/traces", "a file where a folder should be")
      local result = set:run()
      assert.equal(1, result.status)
      assert_says(result.stderr, "traces")
      assert.is_nil(result.stderr:find("traceback", 1, true))
      assert_no_orphans(box)
    end)
  end)
end)
