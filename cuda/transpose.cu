// transpose.cu -- copies in which neighbours in the source are not neighbours in the result, by squares
// that go through shared memory, so that both sides are read and written by whole lines. Macro: WORD,
// an integer type of the elements' size. `transpose_pairs` takes two 16-bit elements at a time.
#include "prelude.cuh"
#include "transpose.h"

#define SIDE TRANSPOSE_SIDE
#define THREADS 256

struct Square {
  int64_t to, from;   // offsets of its matrix, in elements
  int64_t row, column; // of its corner
};

inline Square find_square(const transpose_arguments &a) {
  int64_t i = blockIdx.x;
  Square s;
  s.column = i % a.column_squares * SIDE;
  i /= a.column_squares;
  s.row = i % a.row_squares * SIDE;
  i /= a.row_squares;
  s.to = s.from = 0;
  for (int d = a.outer.rank - 1; d >= 0; d--) {
    int64_t at = i % a.outer.size[d];
    s.to += at * a.to_outer[d];
    s.from += at * a.from_outer[d];
    i /= a.outer.size[d];
  }
  return s;
}

extern "C" __global__ void __launch_bounds__(THREADS) transpose(const __grid_constant__ transpose_arguments a) {
  __shared__ WORD square[SIDE][SIDE + 1];
  Square s = find_square(a);
  const WORD *from = static_cast<const WORD *>(a.from) + s.from;
  WORD *to = static_cast<WORD *>(a.to) + s.to;
  int lane = threadIdx.x % SIDE, step = threadIdx.x / SIDE;
#pragma unroll
  for (int k = 0; k < SIDE; k += THREADS / SIDE) {
    int64_t row = s.row + lane, column = s.column + k + step;
    if (row < a.rows && column < a.columns) square[k + step][lane] = from[column * a.from_column + row];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < SIDE; k += THREADS / SIDE) {
    int64_t row = s.row + k + step, column = s.column + lane;
    if (row < a.rows && column < a.columns) to[row * a.to_row + column] = square[lane][k + step];
  }
}

// Sizes, strides and addresses are even. A word of `square` is two columns of one row.
extern "C" __global__ void __launch_bounds__(THREADS) transpose_pairs(const __grid_constant__ transpose_arguments a) {
  __shared__ uint32_t square[SIDE][SIDE / 2 + 1];
  Square s = find_square(a);
  const uint32_t *from = reinterpret_cast<const uint32_t *>(static_cast<const uint16_t *>(a.from) + s.from);
  uint32_t *to = reinterpret_cast<uint32_t *>(static_cast<uint16_t *>(a.to) + s.to);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int k = 0; k < SIDE / 2; k += THREADS / 32) {
    int64_t row = s.row + 2 * lane, column = s.column + 2 * (k + warp);
    if (row >= a.rows || column >= a.columns) continue;
    uint32_t left = from[(column * a.from_column + row) / 2];
    uint32_t right = from[((column + 1) * a.from_column + row) / 2];
    square[2 * lane][k + warp] = __byte_perm(left, right, 0x5410);
    square[2 * lane + 1][k + warp] = __byte_perm(left, right, 0x7632);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < SIDE; k += THREADS / 32) {
    int64_t row = s.row + k + warp, column = s.column + 2 * lane;
    if (row < a.rows && column < a.columns)
      to[(row * a.to_row + column) / 2] = square[k + warp][lane];
  }
}
