// C = A @ B.T for float16, summed in float32. cuBLAS counts columns first: what it sees is
// C.T = B @ A.T, with B read transposed.
#include "cublas.h"

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

using tvm::ffi::TensorView;

static void check(cublasStatus_t status, const char *what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    TVM_FFI_THROW(RuntimeError) << what << ": " << cublasGetStatusString(status);
}

static cublasHandle_t handle_of_thread() {
  thread_local cublasHandle_t handle = nullptr;
  if (!handle) check(cublasCreate(&handle), "cublasCreate");
  return handle;
}

void run(TensorView A, TensorView B, TensorView C) {
  int m = static_cast<int>(A.size(0)), k = static_cast<int>(A.size(1));
  int n = static_cast<int>(B.size(0));
  if (m == 0) return;
  DLDevice device = A.device();
  auto stream = static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
  cublasHandle_t handle = handle_of_thread();
  check(cublasSetStream(handle, stream), "cublasSetStream");
  const float one = 1, zero = 0;
  check(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, m, k, &one, B.data_ptr(), CUDA_R_16F, k,
                     A.data_ptr(), CUDA_R_16F, k, &zero, C.data_ptr(), CUDA_R_16F, n,
                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
