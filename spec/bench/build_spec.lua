-- Solutions are compiled, kept and refused as scripts/meta/bench/build.lua says. Compilers that hang, shout or fork are
-- shell scripts in the place of the real one, named by CXX in a hone of its own.
local build = require "hone.bench.build"
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local solutions = require "hone.dataset.solution"

local HONE = os.getenv "HONE_BIN" or "build/hone"

local DEFINITION = assert(
  json.decode [[{"name": "copy", "op_type": "test", "axes": {},
  "inputs": {"x": {"shape": ["N"], "dtype": "float32"}}, "outputs": {"y": {"shape": ["N"], "dtype": "float32"}}}]]
)

local COPY = [[
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
]]
local PLAIN = 'extern "C" int __tvm_ffi_run(void *, const void *, int, void *) { return 0; }\n' -- compiles in no time

local function cpp(content, more)
  local solution = {
    name = "a copy",
    definition = "copy",
    author = "spec",
    spec = { language = "cpp", target_hardware = { "cpu" }, entry_point = "copy.cpp::run" },
    sources = { { path = "copy.cpp", content = content } },
  }
  for _, source in ipairs(more or {}) do
    table.insert(solution.sources, source)
  end
  return solution
end

local function is_alive(pid)
  local stat = fs.read(("/proc/%d/stat"):format(pid))
  return stat ~= nil and not stat:match "^%d+ %b() Z"
end

local function assert_gone(pid)
  for _ = 1, 200 do
    if not is_alive(pid) then return end
    process.run { "sleep", "0.01" }
  end
  error(("process %d is still there"):format(pid), 2)
end

local function wait_for(path)
  for _ = 1, 500 do
    if fs.is_file(path) and fs.size(path) > 0 then return end
    process.run { "sleep", "0.01" }
  end
  error(path .. " never came", 2)
end

describe("build", function()
  local folder, cache

  before_each(function()
    folder = assert(fs.tempdir "hone-spec-build-")
    cache = fs.join(folder.path, "cache")
  end)
  after_each(function() folder:remove() end)

  local function made(solution, options)
    options = options or {}
    options.cache = options.cache or cache
    return build.solution(DEFINITION, solution, options)
  end

  local function refusal(solution, options)
    local artefact, why, log, code = made(solution, options)
    assert.is_nil(artefact)
    assert.is_nil(why:find("\n", 1, true))
    return why, log, code
  end

  -- A compiler of shell words, which gets the real one's arguments.
  local function fake_compiler(words)
    local path = fs.join(folder.path, "fake-cxx")
    assert(fs.write(path, "#!/bin/sh\n" .. words .. "\n"))
    assert(process.run { "chmod", "+x", path, check = true })
    return path
  end

  -- Runs Lua code in a hone of its own; `solution`, `definition`, `options` and `build` are there.
  local function in_hone(code, solution, env)
    local request = fs.join(folder.path, "request.json")
    assert(fs.write(request, json.encode { definition = DEFINITION, solution = solution }))
    local head = ([[
      local build, json = require "hone.bench.build", require "hone.json"
      local request = json.read %q
      local definition, solution, options = request.definition, request.solution, { cache = %q }
    ]]):format(request, cache)
    return assert(process.run { HONE, "-e", head .. code, env = env or {} })
  end

  describe("of C++", function()
    it("gives a library that exports the function, and finds it again", function()
      local artefact, why = made(cpp(COPY))
      assert.is_nil(why)
      assert.is_true(fs.is_file(artefact.library))
      assert.is_true(fs.is_file(artefact.runtime))
      assert.same({ "native", "cpp", "tvm-ffi", "copy.cpp", "run", true, 1, 1, false }, {
        artefact.worker,
        artefact.language,
        artefact.binding,
        artefact.entry,
        artefact.symbol,
        artefact.dps,
        artefact.inputs,
        artefact.outputs,
        artefact.cached,
      })
      assert.matches("^tvm_ffi_a_copy_%x%x%x%x%x%x$", artefact.package)
      local exports = require "hone.bench.build.elf".exports(artefact.library)
      assert.is_true(exports.__tvm_ffi_run)
      local again = made(cpp(COPY))
      assert.is_true(again.cached)
      again.cached = false
      assert.same(artefact, again)
    end)
    it("compiles sources one by one and leaves headers to them", function()
      local artefact, why = made(cpp('#include "deep/half.h"\n' .. PLAIN, {
        { path = "deep/half.h", content = "int half(int);\n" },
        { path = "deep/half.cc", content = '#include "half.h"\nint half(int x) { return x / 2; }\n' },
        { path = "plain.c", content = "void *whole(int n) { int *x = 0; return n ? x : (void *)0; }\n" },
      }))
      assert.is_nil(why)
      local exports = require "hone.bench.build.elf".exports(artefact.library)
      assert.is_true(exports._Z4halfi and exports.whole)
    end)
    it("builds anew what differs in anything that it was made of", function()
      local one = made(cpp(PLAIN))
      local other_style = cpp(PLAIN)
      other_style.spec.destination_passing_style = false
      local hashes = { [one.hash] = true }
      for _, solution in ipairs {
        other_style,
        cpp(PLAIN .. "\n"),
        cpp(PLAIN, { { path = "x.h", content = "//\n" } }),
      } do
        local artefact = made(solution)
        assert.is_nil(hashes[artefact.hash])
        assert.is_false(artefact.cached)
        hashes[artefact.hash] = true
      end
    end)
    it("does not trust a build that was changed", function()
      local artefact = made(cpp(PLAIN))
      assert(fs.write(artefact.library, "something else"))
      assert.is_false(made(cpp(PLAIN)).cached)
      assert(fs.write(fs.join(artefact.directory, "sources", "more.h"), "//\n"))
      assert.is_false(made(cpp(PLAIN)).cached)
      local elsewhere = fs.join(folder.path, "elsewhere")
      assert(fs.rename(artefact.directory, elsewhere))
      assert(require("lfs").link(elsewhere, artefact.directory, true))
      assert.is_false(made(cpp(PLAIN)).cached)
      assert.is_false(fs.is_link(artefact.directory))
      assert.is_true(fs.is_dir(elsewhere))
    end)
    it("tells the compiler's first error in one line and its whole log", function()
      local why, log, code = refusal(cpp '#include "nowhere.h"\nint x = ;\n')
      assert.matches("^cannot build a copy: copy.cpp:1:10: fatal error: nowhere.h", why)
      assert.matches("compilation terminated", log, 1, true)
      assert.equal("COMPILE_ERROR", code)
      assert.is_nil(log:find(folder.path, 1, true))
    end)
    it("says which functions there are when the one asked for is not", function()
      local solution = cpp(COPY)
      solution.spec.entry_point = "copy.cpp::walk"
      local why, _, code = refusal(solution)
      assert.matches("exports no tvm-ffi function 'walk'", why, 1, true)
      assert.matches("it exports run$", why)
      assert.equal("COMPILE_ERROR", code)
      assert.matches("it exports none$", (refusal(cpp "int x;\n")))
      solution.spec.entry_point = "copy.cpp::"
      assert.matches("names no function", (refusal(solution)), 1, true)
    end)
    it("has nothing to compile without a source of its own", function()
      local solution = cpp(PLAIN)
      solution.sources[1].path, solution.spec.entry_point = "copy.h", "copy.h::run"
      local why, _, code = refusal(solution)
      assert.matches("none of the sources is a .cu, .cpp", why, 1, true)
      assert.equal("COMPILE_ERROR", code)
    end)
  end)

  describe("of sources", function()
    it("refuses paths that leave the folder", function()
      for _, path in ipairs { "../x.cpp", "a/../../x.cpp", "/tmp/x.cpp", "a/..", "a/" } do
        local why, _, code = refusal(cpp(PLAIN, { { path = path, content = "x" } }))
        assert.matches("cannot build a copy: source ", why, 1, true)
        assert.equal("COMPILE_ERROR", code)
      end
      assert.is_false(fs.exists(fs.join(folder.path, "x.cpp")))
    end)
    it("refuses names that a compiler's shell would run", function()
      local ran = fs.join(folder.path, "ran")
      for _, name in ipairs {
        '";touch RAN;".cpp',
        "$(touch RAN).cu",
        "`touch RAN`.cu",
        "@options.cpp",
        "a\nb.cu",
      } do
        local why, _, code = refusal(cpp(PLAIN, { { path = (name:gsub("RAN", ran)), content = "int x;\n" } }))
        assert.matches("which no compiled source may have", why, 1, true)
        assert.equal("COMPILE_ERROR", code)
      end
      assert.is_false(fs.exists(ran))
      assert(made(cpp(PLAIN, { { path = "-é +x.cc", content = "int x;\n" } })))
    end)
    it("refuses two that would be one file", function()
      local why = refusal(cpp(PLAIN, { { path = "./copy.cpp", content = "x" } }))
      assert.equal('cannot build a copy: two sources are the file "copy.cpp"', why)
      assert.is_string((refusal(cpp(PLAIN, { { path = "copy.cpp/x.h", content = "x" } }))))
    end)
  end)

  describe("of CUDA", function()
    local KERNEL = [[
__global__ void only_on_hopper() { asm volatile("wgmma.fence.sync.aligned;"); }
extern "C" int __tvm_ffi_run(void *, const void *, int, void *) { only_on_hopper<<<1, 128>>>(); return 0; }
]]
    local function cuda(content)
      local solution = cpp(content)
      solution.spec.language, solution.spec.target_hardware = "cuda", { "NVIDIA_H100" }
      solution.sources[1].path, solution.spec.entry_point = "copy.cu", "copy.cu::run"
      return solution
    end
    local has_nvcc = require("hone.cuda.toolkit").nvcc() ~= nil

    it("compiles for the architecture alone that it is told, runtime and all", function()
      if not has_nvcc then return pending "there is no nvcc" end
      local artefact, why = made(cuda(KERNEL), { architecture = "9.0a" })
      assert.is_nil(why)
      assert.matches("sm_90a", fs.read(artefact.library), 1, true)
      local needed = assert(process.run { "ldd", artefact.library }).stdout
      assert.is_nil(needed:find("libcudart", 1, true))
      local _, log, code = refusal(cuda(KERNEL), { architecture = "8.0" })
      assert.equal("COMPILE_ERROR", code)
      assert.matches("wgmma", log, 1, true)
    end)
    it("is told what to compile for where there is no device", function()
      if not has_nvcc then return pending "there is no nvcc" end
      local code = "print((select(2, build.solution(definition, solution, options))))"
      local text = in_hone(code, cuda(KERNEL), { HONE_LIBCUDA = "/nowhere/libcuda.so" }).stdout
      assert.matches("cannot tell what to compile for", text, 1, true)
      assert.matches("written as 9.0", (refusal(cuda(KERNEL), { architecture = "hopper" })), 1, true)
    end)
  end)

  describe("of Python and the like", function()
    local function python(language, entry)
      return {
        name = "1 copy",
        definition = "copy",
        author = "spec",
        spec = { language = language, target_hardware = { "cpu" }, entry_point = entry .. "::run" },
        sources = {
          { path = entry, content = "from .parts import x\n" },
          { path = "parts/__init__.py", content = "x = 1\n" },
        },
      }
    end

    it("writes a package as flashinfer-bench names it", function()
      for language, prefix in pairs {
        python = "fib_python_",
        triton = "fib_triton_",
        tilelang = "fib_tilelang_",
      } do
        local solution = python(language, "main.py")
        local artefact, why = made(solution)
        assert.is_nil(why)
        assert.equal(prefix .. "_1_copy_" .. solutions.hash(solution):sub(1, 6), artefact.package)
        assert.equal("python", artefact.worker)
        assert.is_nil(artefact.library)
        local inside = fs.join(artefact.directory, artefact.package)
        assert.equal("x = 1\n", fs.read(fs.join(inside, "parts", "__init__.py")))
        assert.is_true(made(solution).cached)
      end
    end)
    it("needs an entry file that can be imported", function()
      local why, _, code = refusal(python("python", "main.txt"))
      assert.equal('cannot build 1 copy: the entry file "main.txt" does not end in .py', why)
      assert.equal("COMPILE_ERROR", code)
    end)
    it("compiles an extension of torch's in a Python of its own", function()
      local solution = cpp "#error not today\n"
      solution.spec.binding = "torch"
      local why, log, code = refusal(solution)
      assert.matches("error: #error not today", why, 1, true)
      assert.matches("ninja", log, 1, true)
      assert.equal("COMPILE_ERROR", code)
    end)
    it("compiles extensions without running any of them", function()
      local ran = fs.join(folder.path, "ran")
      local solution = cpp(([[
#include <cstdio>
struct Early { Early() { fclose(fopen("%s", "w")); } } early;
extern "C" __attribute__((visibility("default"))) void *PyInit_NAME() { return 0; }
]]):format(ran))
      solution.spec.binding = "torch"
      local taken = { path = "json.py", content = ("open(%q, 'w')\nraise SystemExit(0)\n"):format(ran) }
      solution.sources[2] = taken
      local source = solution.sources[1]
      source.content = source.content:gsub("PyInit_NAME", "PASTE(PyInit_, TORCH_EXTENSION_NAME)")
      source.content = "#define PASTE(a, b) PASTE2(a, b)\n#define PASTE2(a, b) a##b\n" .. source.content
      local artefact, why = made(solution)
      assert.is_nil(why)
      assert.equal("python", artefact.worker)
      assert.is_true(fs.is_file(artefact.library))
      assert.is_false(fs.exists(ran))
      source.content = "int nothing;\n"
      assert.matches("no source registers the extension", (refusal(solution)), 1, true)
    end)
    it("says that torch is missing where it is", function()
      local solution = cpp(PLAIN)
      solution.spec.binding = "torch"
      local no_torch = fake_compiler "exit 1"
      local text = in_hone(
        "print((select(2, build.solution(definition, solution, options))))",
        solution,
        { HONE_PYTHON = no_torch }
      ).stdout
      assert.matches("has no PyTorch: `pip install torch`", text, 1, true)
    end)
  end)

  describe("of hone's own Lua", function()
    local function lua()
      return {
        name = "lua copy",
        definition = "copy",
        author = "spec",
        spec = {
          language = "lua",
          target_hardware = { "cpu" },
          entry_point = "main.lua::run",
          extension = "hone",
        },
        sources = { { path = "main.lua", content = "function run(x, y) y:copy_(x) end\n" } },
      }
    end

    it("has an extension's mark, without which no dataset has it", function()
      local solution = lua()
      assert.is_nil(solutions.check(solution))
      local checked = assert(solutions.check(solution, { extensions = true }))
      assert.equal("hone", checked.spec.extension)
      solution.spec.extension = nil
      assert.is_nil(solutions.check(solution, { extensions = true }))
    end)
    it("is found by its worker below the directory", function()
      local artefact = made(assert(solutions.check(lua(), { extensions = true })))
      assert.equal("lua", artefact.worker)
      assert.is_true(fs.is_file(fs.join(artefact.directory, artefact.entry)))
    end)
    it("is refused by validate", function()
      local root = fs.join(folder.path, "dataset")
      local path = fs.join(root, "solutions", "spec", "test", "copy", "lua.json")
      assert(fs.write(path, json.encode(lua())))
      assert(fs.write(fs.join(root, "definitions", "test", "copy.json"), json.encode(DEFINITION)))
      local set = require("hone.dataset.traceset").open(root)
      assert.equal(1, #set:solutions "copy")
      local result = assert(process.run { HONE, "validate", "--dataset", root })
      assert.equal(1, result.status)
      assert.matches("language must be one of", result.stdout .. result.stderr, 1, true)
    end)
  end)

  describe("with a bad compiler", function()
    local ONCE = "print((select(2, build.solution(definition, solution, options))))"

    it("is ended with its children when its time is up", function()
      local pids = fs.join(folder.path, "pids")
      local cxx = fake_compiler(([[
case "$*" in --version) echo fake; exit 0 ;; esac
trap '' TERM
sleep 1000 & echo $! >> %s; echo $$ >> %s
wait; wait]]):format(pids, pids))
      local result = in_hone("options.timeout = 1; " .. ONCE, cpp(PLAIN), { CXX = cxx })
      assert.matches("cannot build a copy: not done after 1 s", result.stdout, 1, true)
      for pid in fs.read(pids):gmatch "%d+" do
        assert_gone(tonumber(pid))
      end
    end)
    it("is read to its end, but not all of it is kept", function()
      local cxx = fake_compiler [[
case "$*" in --version) echo fake; exit 0 ;; esac
head -c 30000000 /dev/zero | tr '\0' x; exit 1]]
      local result = in_hone(
        "local _, why, log = build.solution(definition, solution, options) print(#log, log:sub(-17))",
        cpp(PLAIN),
        { CXX = cxx }
      )
      assert.matches("^" .. (5 << 20) + 18 .. "\t%s*%[log truncated%]", result.stdout)
    end)
    it("is said to be missing in one line", function()
      local text = in_hone(ONCE, cpp(PLAIN), { CXX = "/nowhere/c++ -O3" }).stdout
      assert.equal("cannot build a copy: no C++ compiler: CXX=/nowhere/c++ is not there\n", text)
    end)
    it("that fills the disk, or dies, is told so", function()
      local full = fake_compiler [[
case "$*" in --version) echo fake; exit 0 ;; esac
echo "as: x.o: No space left on device"; exit 1]]
      assert.matches(
        "cannot build a copy: the disk of .* is full",
        in_hone(ONCE, cpp(PLAIN), { CXX = full }).stdout
      )
      local dead = fake_compiler [[
case "$*" in --version) echo fake; exit 0 ;; esac
kill -SEGV $$]]
      assert.matches("fake%-cxx was ended by SIGSEGV", in_hone(ONCE, cpp(PLAIN), { CXX = dead }).stdout)
    end)
  end)

  describe("in a cache", function()
    it("that cannot be written says so in one line", function()
      assert(fs.write(fs.join(folder.path, "file"), ""))
      local why, _, code = refusal(cpp(PLAIN), { cache = fs.join(folder.path, "file") })
      assert.matches("^cannot build a copy: cannot ", why)
      assert.equal("UNAVAILABLE", code)
    end)
    it("is made by one process while the others wait for it", function()
      local count = fs.join(folder.path, "count")
      local cxx = fake_compiler(([[
case "$*" in --version) echo fake; exit 0 ;; esac
echo x >> %s; sleep 0.2; exec c++ "$@"]]):format(count))
      local code = [[
        local jobs = {}
        for i = 1, 3 do jobs[i] = build.start(definition, solution, options) end
        for _, job in ipairs(jobs) do assert(job:wait()) end]]
      local result = in_hone(code, cpp(PLAIN), { CXX = cxx })
      assert.equal("", result.stderr)
      assert.equal(4, fs.size(count)) -- compiled once, linked once
    end)
    it("keeps nothing of a build that failed", function()
      refusal(cpp "int x = ;\n")
      for path, kind in assert(fs.walk(cache)) do
        assert.is_true(kind == "directory" or fs.extension(path) == ".lock", path)
      end
    end)
  end)

  describe("beside us", function()
    it("runs many at once and answers each", function()
      local jobs = {}
      for i = 1, 4 do
        jobs[i] = build.start(DEFINITION, cpp(PLAIN .. ("// %d\n"):format(i)), { cache = cache })
      end
      jobs[5] = build.start(DEFINITION, cpp "int x = ;\n", { cache = cache })
      assert.is_false(jobs[5]:done())
      local seen = {}
      for i = 1, 4 do
        local artefact = assert(jobs[i]:wait())
        assert.is_false(artefact.cached)
        seen[artefact.hash] = true
      end
      local count = 0
      for _ in pairs(seen) do
        count = count + 1
      end
      assert.equal(4, count)
      local artefact, why, log, code = jobs[5]:wait()
      assert.is_nil(artefact)
      assert.matches("copy.cpp:1:9: error", why, 1, true)
      assert.matches("error", log, 1, true)
      assert.equal("COMPILE_ERROR", code)
      assert.is_true(jobs[5]:done())
    end)
    it("is done at once when it was built before", function()
      assert(made(cpp(PLAIN)))
      local job = build.start(DEFINITION, cpp(PLAIN), { cache = cache })
      assert.is_true(job:done())
      assert.is_true(job:wait().cached)
    end)
    it("goes on when one stops waiting, and ends with its compiler when it is cancelled", function()
      local pid = fs.join(folder.path, "pid")
      local cxx = fake_compiler(([[
case "$*" in --version) echo fake; exit 0 ;; esac
echo $$ > %s; exec sleep 1000]]):format(pid))
      local code = [[
        local job = build.start(definition, solution, options)
        local artefact, _, _, code = job:wait(0.5)
        print(artefact, code)
        while not io.open(%q) do job:wait(0.1) end
        job:cancel()
        job:cancel()
        print(job:done(), select(4, job:wait()))]]
      local result = in_hone(code:format(pid), cpp(PLAIN), { CXX = cxx })
      assert.equal("nil\tRUNNING\ntrue\tCANCELLED\n", result.stdout)
      wait_for(pid)
      assert_gone(tonumber(fs.read(pid)))
    end)
  end)

  describe("finds apache-tvm-ffi", function()
    local ONCE = "print((select(2, build.solution(definition, solution, options))))"

    it("in the folder that HONE_TVM_FFI names, or says what is missing there", function()
      local empty = fs.join(folder.path, "empty")
      assert(fs.mkdir(empty))
      local text = in_hone(ONCE, cpp(COPY), { HONE_TVM_FFI = empty }).stdout
      assert.matches("HONE_TVM_FFI=.* holds no apache%-tvm%-ffi: .*c_api.h is not there", text)
      local artefact = made(cpp(COPY))
      local package = fs.dirname(fs.dirname(artefact.runtime))
      local code = "print(build.solution(definition, solution, options).runtime)"
      local env = { HONE_TVM_FFI = fs.dirname(package), HONE_PYTHON = "/nowhere/python" }
      assert.equal(artefact.runtime .. "\n", in_hone(code, cpp(COPY), env).stdout)
    end)
    it("nowhere, and says what to install, when it may not fetch it", function()
      local code = "options.download = false; " .. ONCE
      local env = { HONE_PYTHON = "/nowhere/python", XDG_CACHE_HOME = folder.path }
      local text = in_hone(code, cpp(COPY), env).stdout
      assert.matches("apache-tvm-ffi is not installed", text, 1, true)
      assert.matches("HONE_TVM_FFI", text, 1, true)
    end)
  end)

  it("reads no symbols from what is no library", function()
    local elf = require "hone.bench.build.elf"
    local path = fs.join(folder.path, "x")
    assert(fs.write(path, "#!/bin/sh\n"))
    assert.matches("not a 64-bit ELF library", select(2, elf.exports(path)), 1, true)
    assert(fs.write(path, "\x7fELF\2\1" .. ("\xff"):rep(80)))
    assert.matches("is damaged", select(2, elf.exports(path)), 1, true)
  end)
end)
