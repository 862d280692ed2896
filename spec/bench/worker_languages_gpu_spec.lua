-- Solutions of every language in their worker, on a GPU.
local cuda = require "hone.cuda"
local process = require "hone.process"
local support = require "support.solutions"

local has_device = cuda.available()

local HEAD = [[
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>
using namespace tvm::ffi;
__global__ void scale_kernel(const float *x, float s, float *y, int n, int rows) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[rows ? i % 3 * rows + i / 3 : i] = x[i] * s; // rows: y's columns one after another
}
static void scale(TensorView x, double s, void *y, int rows = 0) {
  auto stream = (cudaStream_t)TVMFFIEnvGetStream(kDLCUDA, x.device().device_id);
  scale_kernel<<<1, 32, 0, stream>>>((const float *)x.data_ptr(), s, (float *)y, x.numel(), rows);
}
static Tensor like(TensorView x) {
  return Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), x.dtype(), x.device());
}
]]
local EXPORT = "\nTVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);\n"
local SCALED = { { 2.5, 5, 7.5 }, { 10, 12.5, 15 } }

local function cu(code, dps) return support.solution("cuda", "case.cu", HEAD .. code .. EXPORT, dps) end

local function python(language, code, dps)
  return support.solution(language, "main.py", "import torch\n" .. code, dps)
end

local TRITON = [[
import triton
import triton.language as tl

@triton.jit
def scale_kernel(x, s, y, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n) * s, mask=i < n)

def run(x, s, y):
    scale_kernel[(1,)](x, s, y, x.numel(), BLOCK=8)
]]

local TILELANG = [[
import tilelang
import tilelang.language as T

@tilelang.jit
def scale(n, s):
    @T.prim_func
    def main(x: T.Tensor((n,), "float32"), y: T.Tensor((n,), "float32")):
        with T.Kernel(1, threads=32):
            for i in T.Parallel(n):
                y[i] = x[i] * s
    return main

def run(x, s, y):
    scale(x.numel(), s)(x.view(-1), y.view(-1))
]]

-- Does the Python that solutions run in have torch for this GPU, and what else a case needs?
local function python_has(code)
  local interpreter = os.getenv "HONE_PYTHON" or "python3"
  local result = process.run {
    interpreter,
    "-c",
    "import torch; assert torch.cuda.is_available(); " .. code,
    timeout = 120,
  }
  return result ~= nil and result.status == 0
end

describe("a worker on a GPU", function()
  local judge, FLOAT

  setup(function()
    if not has_device then return end
    judge, FLOAT = support.judge "cuda:0", support.definition "float32"
  end)
  teardown(function()
    if judge then judge:close() end
  end)

  local function on_gpu(name, needs, f)
    it(name .. " #gpu", function()
      if not has_device then return pending "no GPU" end
      if needs == "tvm-ffi" and not require("hone.bench.build.toolchain").tvm_ffi() then
        return pending "no apache-tvm-ffi"
      elseif needs ~= "tvm-ffi" and not python_has(needs) then
        return pending("no torch for this GPU, or it fails: " .. needs)
      end
      f()
    end)
  end

  local function assert_scaled(...)
    local results, why = judge:call(...)
    assert.is_nil(not results and why or nil)
    for i = 1, 3 do
      assert.same(SCALED, results[i])
    end
    return why
  end

  on_gpu(
    "runs a kernel of CUDA on the stream that it is timed on",
    "tvm-ffi",
    function()
      assert_scaled(
        FLOAT,
        cu("void run(TensorView x, double s, TensorView y) { scale(x, s, y.data_ptr()); }", true)
      )
    end
  )
  on_gpu("copies what a kernel's function returns, by its strides too", "tvm-ffi", function()
    local code =
      "Tensor run(TensorView x, double s) { Tensor y = like(x); scale(x, s, y.data_ptr()); return y; }"
    local one = assert_scaled(FLOAT, cu(code, false))[1][1]
    assert.same({ "Tensor", "float32", "cuda", false }, { one.type, one.dtype, one.device, one.in_arena })
    local turned = [[Tensor run(TensorView x, double s) {
      int64_t shape[] = {3, 2};
      Tensor y = Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, ShapeView(shape, 2), x.dtype(), x.device());
      scale(x, s, y.data_ptr(), 2);
      return y.as_strided({2, 3}, {1, 2});
    }]]
    assert_scaled(FLOAT, cu(turned, false))
    local number = judge:call(
      support.definition("float32", [[{"y": {"shape": [], "dtype": "float32"}}]]),
      cu("double run(TensorView x, double s) { scale(x, s, like(x).data_ptr()); return s; }", false),
      { { name = "y", dtype = "float32", shape = {} } }
    )
    assert.equal(support.S, number[2])
  end)
  on_gpu("calls the driver's functions without being linked with them", "tvm-ffi", function()
    local code = [[extern "C" int cuDriverGetVersion(int *);
      void run(TensorView x, double s, TensorView y) {
        int version = 0;
        if (cuDriverGetVersion(&version) || !version) TVM_FFI_THROW(RuntimeError) << "no driver";
        scale(x, s, y.data_ptr());
      }]]
    assert_scaled(FLOAT, cu(code, true))
  end)
  on_gpu("is compiled for the instructions of its device alone", "tvm-ffi", function()
    local capability = cuda.devices()[1].capability
    if capability ~= "9.0" then return pending "not a Hopper GPU" end
    local code = [[__global__ void fence() { asm volatile("wgmma.fence.sync.aligned;"); }
      void run(TensorView x, double s, TensorView y) { fence<<<1, 128>>>(); scale(x, s, y.data_ptr()); }]]
    assert_scaled(FLOAT, cu(code, true))
  end)
  on_gpu("runs torch's operations, of every dtype that the format knows", "", function()
    assert_scaled(FLOAT, python("python", "def run(x, s):\n    return x * s\n", false))
    assert_scaled(FLOAT, python("python", "def run(x, s):\n    return (x.t().contiguous() * s).t()\n", false))
    assert_scaled(FLOAT, python("python", "def run(x, s, y):\n    torch.mul(x, s, out=y)\n", true))
    for _, dtype in ipairs { "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int32", "int64" } do
      local code = "def run(x, s):\n    assert x.dtype == torch.%s, x.dtype\n    return x.clone()\n"
      local results, why = judge:call(support.definition(dtype), python("python", code:format(dtype), false))
      assert.is_nil(not results and why or nil)
      assert.same(support.X, results[3])
    end
  end)
  on_gpu(
    "runs a kernel of Triton",
    "import triton",
    function() assert_scaled(FLOAT, python("triton", TRITON, true)) end
  )
  on_gpu(
    "runs a kernel of TileLang",
    "import tilelang",
    function() assert_scaled(FLOAT, python("tilelang", TILELANG, true)) end
  )
  on_gpu("runs an extension of torch's in CUDA", "", function()
    local solution = support.solution(
      "cuda",
      "case.cu",
      [[
#include <torch/csrc/utils/pybind.h>
#include <ATen/cuda/CUDAContext.h>
__global__ void scale(const float *x, float s, float *y) { y[threadIdx.x] = x[threadIdx.x] * s; }
void run(at::Tensor x, double s, at::Tensor y) {
  scale<<<1, (int)x.numel(), 0, at::cuda::getCurrentCUDAStream()>>>(x.data_ptr<float>(), s, y.data_ptr<float>());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
]],
      true
    )
    solution.spec.binding = "torch"
    assert_scaled(FLOAT, solution)
  end)
  on_gpu("says that the device's memory did not suffice", "", function()
    local code = "def run(x, s, y):\n    torch.empty(1 << 50, dtype=torch.uint8, device=x.device)\n"
    local results, why, kind = judge:call(FLOAT, python("python", code, true))
    assert.is_nil(results)
    assert.equal("OUT_OF_MEMORY", kind)
    assert.matches("OutOfMemoryError", why, 1, true)
  end)
end)
