// transpose.cu -- copies in which neighbours in the source are not neighbours in the result, by squares
// that go through shared memory, so that both sides are read and written by whole lines. Macro: WORD,
// an integer type of the elements' size. `transpose_pairs` takes two 16-bit elements at a time.
#include "prelude.cuh"
#include "transpose.h"

#define THREADS 256

struct Square {
  int64_t to, from;    // offsets of its matrix, in elements
  int64_t row, column; // of its corner
};

inline Square find_square(const transpose_arguments &a, int side) {
  int64_t i = blockIdx.x;
  Square s;
  s.column = i % a.column_squares * side;
  i /= a.column_squares;
  s.row = i % a.row_squares * side;
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

extern "C" __global__ void __launch_bounds__(THREADS)
    transpose(const __grid_constant__ transpose_arguments a) {
  constexpr int SIDE = TRANSPOSE_SIDE;
  __shared__ WORD square[SIDE][SIDE + 1];
  Square s = find_square(a, SIDE);
  const WORD *from = static_cast<const WORD *>(a.from) + s.from;
  WORD *to = static_cast<WORD *>(a.to) + s.to;
  int lane = threadIdx.x % SIDE, step = threadIdx.x / SIDE;
#pragma unroll
  for (int k = 0; k < SIDE; k += THREADS / SIDE) {
    int64_t row = s.row + lane, column = s.column + k + step;
    if (row < a.rows && column < a.columns)
      square[k + step][lane] = from[column * a.from_column + row];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < SIDE; k += THREADS / SIDE) {
    int64_t row = s.row + k + step, column = s.column + lane;
    if (row < a.rows && column < a.columns) to[row * a.to_row + column] = square[lane][k + step];
  }
}

// Sizes, strides and addresses are even. A word of `square` is two columns of one row; even rows lie
// before odd ones, so that the lanes of a warp write to different banks.
extern "C" __global__ void __launch_bounds__(THREADS)
    transpose_pairs(const __grid_constant__ transpose_arguments a) {
  constexpr int SIDE = TRANSPOSE_PAIR_SIDE, WARPS = THREADS / 32;
  __shared__ uint32_t square[SIDE][SIDE / 2 + 1];
  Square s = find_square(a, SIDE);
  const uint16_t *from = static_cast<const uint16_t *>(a.from) + s.from;
  uint16_t *to = static_cast<uint16_t *>(a.to) + s.to;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int STEPS = SIDE / WARPS; // over pairs of columns, by two halves of the rows
  uint32_t left[STEPS], right[STEPS]; // all are asked for before the first is waited for
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    int unit = k * WARPS + warp;
    int64_t row = s.row + 2 * lane + unit % 2 * 64, column = s.column + unit / 2 * 2;
    if (row >= a.rows || column >= a.columns) continue;
    const uint16_t *line = from + column * a.from_column + row;
    left[k] = *reinterpret_cast<const uint32_t *>(line);
    right[k] = *reinterpret_cast<const uint32_t *>(line + a.from_column);
  }
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    int unit = k * WARPS + warp, at = lane + unit % 2 * 32;
    square[at][unit / 2] = __byte_perm(left[k], right[k], 0x5410);
    square[SIDE / 2 + at][unit / 2] = __byte_perm(left[k], right[k], 0x7632);
  }
  __syncthreads();
#pragma unroll 8
  for (int k = 0; k < 2 * SIDE; k += WARPS) { // rows, by two halves of the columns
    int at = (k + warp) / 2, pair = lane + (k + warp) % 2 * 32;
    int64_t row = s.row + at, column = s.column + 2 * pair;
    if (row < a.rows && column < a.columns)
      *reinterpret_cast<uint32_t *>(to + row * a.to_row + column) =
          square[at / 2 + at % 2 * (SIDE / 2)][pair];
  }
}
