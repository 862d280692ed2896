// {{definition}}: {{summary}}
//
{{cpp_signature}}
//
// Tiles of A and B go through shared memory; each thread sums one element of C in float32.
#include "common.h"

using Element = {{cuda_type}};
constexpr int64_t N = {{N}}, K = {{K}};
constexpr int TILE = 32;

__global__ void gemm(const Element *a, const Element *b, Element *c, int64_t m) {
  __shared__ float rows[TILE][TILE + 1], columns[TILE][TILE + 1];
  int64_t row = blockIdx.y * int64_t(TILE) + threadIdx.y, column = blockIdx.x * int64_t(TILE) + threadIdx.x;
  int64_t loaded = blockIdx.x * int64_t(TILE) + threadIdx.y; // the row of B that this thread loads
  float sum = 0;
  for (int64_t first = 0; first < K; first += TILE) {
    int64_t k = first + threadIdx.x;
    rows[threadIdx.y][threadIdx.x] = row < m && k < K ? widen(a[row * K + k]) : 0.0f;
    columns[threadIdx.y][threadIdx.x] = loaded < N && k < K ? widen(b[loaded * K + k]) : 0.0f;
    __syncthreads();
    for (int i = 0; i < TILE; i++) sum += rows[threadIdx.y][i] * columns[threadIdx.x][i];
    __syncthreads();
  }
  if (row < m && column < N) c[row * N + column] = narrow<Element>(sum);
}

void run({{cpp_parameters}}) {
  int64_t m = A.size(0);
  if (m == 0) return;
  dim3 blocks((N + TILE - 1) / TILE, (m + TILE - 1) / TILE), threads(TILE, TILE);
  gemm<<<blocks, threads, 0, stream_of(C)>>>(static_cast<const Element *>(A.data_ptr()),
                                            static_cast<const Element *>(B.data_ptr()),
                                            static_cast<Element *>(C.data_ptr()), m);
  check_launch();
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
