-- Solutions of every language in their worker, on the CPU: what they are given, what they return, what they say when
-- they fail.
local support = require "support.solutions"

local definition_of = support.definition

local HEAD = [[
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>
using namespace tvm::ffi;
static void scale(TensorView x, double s, void *to) {
  for (int i = 0; i < x.numel(); i++) ((float *)to)[i] = ((float *)x.data_ptr())[i] * s;
}
static Tensor like(TensorView x) {
  return Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), x.dtype(), x.device());
}
]]
local EXPORT = "\nTVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);\n"

local function cpp(code, dps) return support.solution("cpp", "case.cpp", HEAD .. code .. EXPORT, dps) end

local function python(code, dps, more)
  return support.solution("python", "main.py", "import torch\n" .. code, dps, more)
end

local SCALED = { { 2.5, 5, 7.5 }, { 10, 12.5, 15 } }

describe("a worker", function()
  local judge

  setup(function() judge = support.judge "cpu" end)
  teardown(function() judge:close() end)

  local function called(...) return judge:call(...) end

  local function assert_scaled(...)
    local results, why = called(...)
    assert.is_nil(not results and why or nil)
    for i = 1, 3 do
      assert.same(SCALED, results[i])
    end
    return why
  end

  local function refusal(...)
    local results, why, code = called(...)
    assert.is_nil(results)
    return why, code
  end

  describe("for tvm-ffi's libraries", function()
    local FLOAT = definition_of "float32"

    it(
      "gives tensors and numbers to a function that writes its outputs",
      function()
        assert_scaled(
          FLOAT,
          cpp("void run(TensorView x, double s, TensorView y) { scale(x, s, y.data_ptr()); }", true)
        )
      end
    )
    it("copies a returned tensor to where the output belongs", function()
      local code =
        "Tensor run(TensorView x, double s) { Tensor y = like(x); scale(x, s, y.data_ptr()); return y; }"
      local returned = assert_scaled(FLOAT, cpp(code, false))
      local one = returned[2][1]
      assert.same({ "Tensor", "float32", 1, false }, { one.type, one.dtype, one.of, one.in_arena })
      assert.same({ 2, 3 }, one.shape)
    end)
    it("takes an array of tensors apart", function()
      local code = [[Array<Tensor> run(TensorView x, double s) {
        Tensor y = like(x); scale(x, s, y.data_ptr()); return {y, y}; }]]
      local outputs = {
        { name = "y", dtype = "float32", shape = { 2, 3 } },
        { name = "z", dtype = "float32", shape = { 2, 3 } },
      }
      local both = definition_of("float32", [[{"y": {}, "z": {}}]])
      local results, returned = called(both, cpp(code, false), outputs)
      assert.same(SCALED, results[3])
      assert.equal(2, #returned[3])
      assert.equal(2, returned[3][2].of)
    end)
    it("reads a returned tensor by its strides", function()
      local code = [[Tensor run(TensorView x, double s) {
        int64_t shape[] = {3, 2}; // y's columns one after another
        Tensor y = Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ShapeView(shape, 2), x.dtype(), x.device());
        for (int i = 0; i < 2; i++)
          for (int j = 0; j < 3; j++) ((float *)y.data_ptr())[j * 2 + i] = ((float *)x.data_ptr())[i * 3 + j] * s;
        return y.as_strided({2, 3}, {1, 2});
      }]]
      assert_scaled(FLOAT, cpp(code, false))
    end)
    it("tells what was returned where it is no tensor, or not the right one", function()
      local function told(code)
        local _, returned = called(FLOAT, cpp(code, false))
        return returned[1][1]
      end
      assert.equal("None", told("void run(TensorView x, double s) {}").type)
      assert.equal(
        "ffi.String",
        told([[String run(TensorView x, double s) { return "a long enough text"; }]]).type
      )
      local number = told "double run(TensorView x, double s) { return s; }"
      assert.same({ "Tensor", "float32" }, { number.type, number.dtype })
      assert.equal(0, #number.shape)
      local doubles = told [[Tensor run(TensorView x, double s) {
        return Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), DLDataType{kDLFloat, 64, 1}, x.device()); }]]
      assert.equal("float64", doubles.dtype)
    end)
    it("passes on an exception with its kind, its text and where it was", function()
      local code = [[void run(TensorView x, double s, TensorView y) {
        TVM_FFI_THROW(ValueError) << "x is bad"; }]]
      local why, kind = refusal(FLOAT, cpp(code, true))
      assert.equal("RUNTIME_ERROR", kind)
      assert.matches("ValueError: x is bad", why, 1, true)
      assert.matches("case.cpp", why, 1, true)
    end)
    it("survives the exceptions of the standard library", function()
      local function thrown(what)
        local code = ("void run(TensorView x, double s, TensorView y) { throw %s; }"):format(what)
        return refusal(FLOAT, cpp("#include <stdexcept>\n" .. code, true))
      end
      local why, kind = thrown [[std::runtime_error("no luck")]]
      assert.same({ "InternalError: no luck", "RUNTIME_ERROR" }, { why, kind })
      why, kind = thrown "std::bad_alloc()"
      assert.same({ "InternalError: std::bad_alloc", "OUT_OF_MEMORY" }, { why, kind })
    end)
    it("says which arguments do not fit", function()
      local why, kind = refusal(FLOAT, cpp("void run(TensorView x, TensorView y) {}", true))
      assert.equal("RUNTIME_ERROR", kind)
      assert.matches("Expected 2 but got 3 arguments", why, 1, true)
      why = refusal(FLOAT, cpp("void run(TensorView x, int s, TensorView y) {}", true))
      assert.matches("Expected `int` but got `float`", why, 1, true)
    end)
    it("does not load a library with an unresolved symbol", function()
      local code = "void nowhere(); void run(TensorView x, double s, TensorView y) { nowhere(); }"
      local why, kind = refusal(FLOAT, cpp(code, true))
      assert.equal("COMPILE_ERROR", kind)
      assert.matches("undefined symbol: .*nowhere", why)
    end)
  end)

  describe("for Python", function()
    local FLOAT = definition_of "float32"

    it(
      "gives tensors over its memory to a function that writes its outputs",
      function() assert_scaled(FLOAT, python("def run(x, s, y):\n    y.copy_(x * s)\n", true)) end
    )
    it("copies a returned tensor, a tuple's too", function()
      local returned = assert_scaled(FLOAT, python("def run(x, s):\n    return x * s\n", false))
      local one = returned[1][1]
      assert.same({ "Tensor", "float32", 1, false }, { one.type, one.dtype, one.of, one.in_arena })
      assert_scaled(FLOAT, python("def run(x, s):\n    return (x * s,)\n", false))
      assert_scaled(FLOAT, python("def run(x, s):\n    return [(x.t().contiguous() * s).t()]\n", false))
    end)
    it("has tensors of every dtype that the format knows", function()
      for _, dtype in ipairs { "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int32", "int64" } do
        local code = "def run(x, s):\n    assert x.dtype == torch.%s, x.dtype\n    return x.clone()\n"
        local results, why = called(definition_of(dtype), python(code:format(dtype), false))
        assert.is_nil(not results and why or nil)
        assert.same(support.X, results[3])
      end
    end)
    it("shares its memory with the solution and says so of what is returned", function()
      local _, returned = called(FLOAT, python("def run(x, s):\n    return x\n", false))
      assert.is_true(returned[1][1].in_arena)
    end)
    it("imports other sources of the solution", function()
      local other = { path = "parts/factor.py", content = "def scaled(x, s):\n    return x * s\n" }
      local code = "from .parts.factor import scaled\ndef run(x, s):\n    return scaled(x, s)\n"
      assert_scaled(FLOAT, python(code, false, other))
    end)
    it("takes exact tensors only and tells the others by their type", function()
      local function told(code)
        local _, returned = called(FLOAT, python(code, false))
        return returned[1][1]
      end
      local lazy = [[
class Lazy(torch.Tensor):
    pass
def run(x, s):
    return (x * s).as_subclass(Lazy)
]]
      assert.matches("Lazy$", told(lazy).type)
      assert.is_nil(told(lazy).shape)
      assert.equal("NoneType", told("def run(x, s):\n    pass\n").type)
      assert.equal("dict", told("def run(x, s):\n    return {'y': x}\n").type)
      assert.equal("Tensor (torch.sparse_coo)", told("def run(x, s):\n    return x.to_sparse()\n").type)
      local number = told "def run(x, s):\n    return 7\n"
      assert.same({ "Tensor", "float32" }, { number.type, number.dtype })
    end)
    it("tells every value that was returned", function()
      local _, returned = called(FLOAT, python("def run(x, s):\n    return x * s, x, 3\n", false))
      assert.equal(3, #returned[1])
      assert.equal(3, returned[1][1].of)
    end)
    it("checks before any call whether the function can be called", function()
      local why, code = refusal(FLOAT, python("def run(x, y):\n    pass\n", true))
      assert.equal("COMPILE_ERROR", code)
      assert.matches("run(x, y) cannot be called with 3 arguments (2 inputs, 1 outputs)", why, 1, true)
      why = refusal(FLOAT, python("def run(x, s) -> tuple[torch.Tensor, torch.Tensor]:\n    pass\n", false))
      assert.matches("returns 2 values by its annotation", why, 1, true)
      why = refusal(FLOAT, python("def run(x, s) -> None:\n    pass\n", false))
      assert.matches("returns 0 values by its annotation", why, 1, true)
      assert_scaled(FLOAT, python("def run(*args) -> torch.Tensor:\n    return args[0] * args[1]\n", false))
    end)
    it("gives the traceback of what cannot be imported", function()
      local why, code = refusal(FLOAT, python("import not_a_package\n", true))
      assert.equal("COMPILE_ERROR", code)
      assert.matches("main.py", why, 1, true)
      assert.matches("No module named 'not_a_package'", why, 1, true)
      why, code = refusal(FLOAT, python("def run(x, s, y:\n", true))
      assert.equal("COMPILE_ERROR", code)
      assert.matches("SyntaxError", why, 1, true)
      why, code = refusal(FLOAT, python("def other(): pass\n", true))
      assert.same({ "main.py defines no 'run'", "COMPILE_ERROR" }, { why, code })
    end)
    it("gives the traceback of what is raised in a call, without frames of its own", function()
      local why, code = refusal(FLOAT, python("def run(x, s, y):\n    raise ValueError('x is bad')\n", true))
      assert.equal("RUNTIME_ERROR", code)
      assert.matches("ValueError: x is bad$", why)
      assert.is_nil(why:find("worker.py", 1, true))
      local _
      _, code = refusal(FLOAT, python("import sys\ndef run(x, s, y):\n    sys.exit(3)\n", true))
      assert.equal("RUNTIME_ERROR", code)
      _, code =
        refusal(FLOAT, python("def run(x, s, y):\n    raise torch.cuda.OutOfMemoryError('full')\n", true))
      assert.equal("OUT_OF_MEMORY", code)
    end)
    it("may start compilers, in groups of their own too, which stay in the worker's", function()
      local code = [[
import os, subprocess, sys
MINE = "import os; os.setpgid(0, 0); print(os.getpgid(0))"
SESSION = "import os; os.setsid(); print(os.getpgid(0))"
def run(x, s, y):
    for code in (MINE, SESSION):
        group = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        assert int(group) == os.getpgid(0), group
    y.copy_(x * s)
]]
      assert_scaled(FLOAT, python(code, true))
    end)
    it("keeps what a solution prints for the log", function()
      assert(called(FLOAT, python("print('hello from the solution')\ndef run(x, s, y):\n    pass\n", true)))
      assert.matches("hello from the solution", judge:worker("python"):log(), 1, true)
    end)
  end)

  it("runs an extension of torch's", function()
    local solution = cpp("", true)
    solution.spec.binding = "torch"
    solution.sources[1].content = [[
#include <torch/csrc/utils/pybind.h>
void run(at::Tensor x, double s, at::Tensor y) {
  for (int64_t i = 0; i < x.numel(); i++) y.data_ptr<float>()[i] = x.data_ptr<float>()[i] * s;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
]]
    assert_scaled(definition_of "float32", solution)
  end)
end)
