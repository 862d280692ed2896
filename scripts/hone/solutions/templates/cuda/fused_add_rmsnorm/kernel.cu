// {{definition}}: {{summary}}
//
{{cpp_signature}}
//
// One block a row: the sum of squares in float32, then every element scaled.
#include "common.h"

using Element = {{cuda_type}};
constexpr int SIZE = {{hidden_size}};
constexpr float EPS = {{eps}}f;
constexpr int THREADS = 256, WARPS = THREADS / 32;

__device__ float sum_over_block(float value) {
  __shared__ float parts[WARPS];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffff, value, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0;
  for (int i = 0; i < WARPS; i++) total += parts[i];
  return total;
}

__global__ void normalize(const Element *hidden, const Element *residual, const Element *weight, Element *output) {
  int64_t row = int64_t(blockIdx.x) * SIZE;
  float squares = 0;
  for (int i = threadIdx.x; i < SIZE; i += THREADS) {
    float x = widen(hidden[row + i]) + widen(residual[row + i]);
    squares += x * x;
  }
  float scale = rsqrtf(sum_over_block(squares) / SIZE + EPS);
  for (int i = threadIdx.x; i < SIZE; i += THREADS) {
    float x = widen(hidden[row + i]) + widen(residual[row + i]);
    output[row + i] = narrow<Element>(x * scale * widen(weight[i]));
  }
}

void run({{cpp_parameters}}) {
  int64_t rows = hidden_states.size(0);
  if (rows == 0) return;
  normalize<<<rows, THREADS, 0, stream_of(output)>>>(
      static_cast<const Element *>(hidden_states.data_ptr()), static_cast<const Element *>(residual.data_ptr()),
      static_cast<const Element *>(weight.data_ptr()),
      static_cast<Element *>(output.data_ptr()));
  check_launch();
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
