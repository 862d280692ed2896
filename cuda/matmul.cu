// matmul.cu -- products of matrices of integers, added up modulo 2^64. Macros: IN and OUT, types.
#include "types.cuh"
#include "matmul.h"

#define SIDE MATMUL_SIDE
#define ROWS 8 // that a block of SIDE by ROWS threads makes at once

extern "C" __global__ void __launch_bounds__(SIDE *ROWS) matmul(const __grid_constant__ matmul_arguments g) {
  __shared__ uint64_t left[SIDE][SIDE + 1], right[SIDE][SIDE + 1];
  int64_t rest = blockIdx.z, a_at = 0, b_at = 0;
  for (int d = g.batch.rank - 1; d >= 0; d--) {
    int64_t at = rest % g.batch.size[d];
    rest /= g.batch.size[d];
    a_at += at * g.a_batch[d];
    b_at += at * g.b_batch[d];
  }
  const IN::stored *a = static_cast<const IN::stored *>(g.a) + a_at;
  const IN::stored *b = static_cast<const IN::stored *>(g.b) + b_at;
  OUT::stored *to = static_cast<OUT::stored *>(g.to) + blockIdx.z * g.m * g.n;
  int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
  int64_t row = (int64_t)blockIdx.y * SIDE, column = (int64_t)blockIdx.x * SIDE;
  uint64_t sum[SIDE / ROWS] = {};
  for (int64_t k = 0; k < g.k; k += SIDE) {
    for (int i = y; i < SIDE; i += ROWS) {
      bool in_a = row + i < g.m && k + x < g.k, in_b = k + i < g.k && column + x < g.n;
      left[i][x] = in_a ? (uint64_t)(int64_t)IN::load(a[(row + i) * g.a_row + (k + x) * g.a_column]) : 0;
      right[i][x] = in_b ? (uint64_t)(int64_t)IN::load(b[(k + i) * g.b_row + (column + x) * g.b_column]) : 0;
    }
    __syncthreads();
    for (int j = 0; j < SIDE; j++)
#pragma unroll
      for (int i = 0; i < SIDE / ROWS; i++) sum[i] += left[y + i * ROWS][j] * right[j][x];
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < SIDE / ROWS; i++) {
    int64_t at = row + y + i * ROWS;
    if (at < g.m && column + x < g.n) to[at * g.n + column + x] = OUT::store((OUT::number)(int64_t)sum[i]);
  }
}
