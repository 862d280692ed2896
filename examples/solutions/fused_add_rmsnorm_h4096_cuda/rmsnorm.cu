// output = (x * rsqrt(mean(x * x) + 1e-5)) * weight, where x = hidden_states + residual in float32.
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/function.h>

#include "row.cuh"

using tvm::ffi::TensorView;

constexpr int SIZE = 4096, THREADS = SIZE / LANES;
constexpr float EPSILON = 1e-5f;

__global__ void __launch_bounds__(THREADS)
    fused_add_rmsnorm(const Packed *hidden, const Packed *residual, const Packed *weight,
                      Packed *output) {
  int64_t at = int64_t{blockIdx.x} * THREADS + threadIdx.x;
  float x[LANES], other[LANES], scale[LANES], squares = 0;
  widen(hidden[at], x);
  widen(residual[at], other);
  widen(weight[threadIdx.x], scale);
#pragma unroll
  for (int i = 0; i < LANES; ++i) {
    x[i] += other[i];
    squares += x[i] * x[i];
  }
  float by = rsqrtf(sum_of_block<THREADS>(squares) / SIZE + EPSILON);
#pragma unroll
  for (int i = 0; i < LANES; ++i) x[i] *= by * scale[i];
  output[at] = narrow(x);
}

void run(TensorView hidden_states, TensorView residual, TensorView weight, TensorView output) {
  int64_t rows = hidden_states.size(0);
  if (rows == 0) return;
  DLDevice device = hidden_states.device();
  auto stream = static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
  fused_add_rmsnorm<<<static_cast<unsigned>(rows), THREADS, 0, stream>>>(
      static_cast<const Packed *>(hidden_states.data_ptr()),
      static_cast<const Packed *>(residual.data_ptr()),
      static_cast<const Packed *>(weight.data_ptr()), static_cast<Packed *>(output.data_ptr()));
  cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) TVM_FFI_THROW(RuntimeError) << cudaGetErrorString(error);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
