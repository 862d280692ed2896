// join.cu -- tensors turned around, and cut to a triangle. Macros: WIDE; WORD, a type of the
// elements' size.
#include "index.cuh"
#include "join.h"

extern "C" __global__ void __launch_bounds__(256) flip(const __grid_constant__ flip_arguments g) {
  int64_t first = (int64_t)blockIdx.x * (256 * 4) + threadIdx.x;
#pragma unroll
  for (int s = 0; s < 4; s++) {
    int64_t i = first + s * 256;
    if (i >= g.count) break;
    int64_t to = strided_place(g.shape, g.to_stride, i);
    int64_t from = strided_place(g.shape, g.from_stride, i);
    static_cast<WORD *>(g.to)[to] = static_cast<const WORD *>(g.from)[from];
  }
}

// Clear what lies beyond the diagonal.
extern "C" __global__ void __launch_bounds__(256)
    triangle(const __grid_constant__ triangle_arguments g) {
  int64_t first = (int64_t)blockIdx.x * (256 * 4) + threadIdx.x;
#pragma unroll
  for (int s = 0; s < 4; s++) {
    int64_t i = first + s * 256;
    if (i >= g.count) break;
    int64_t line = i / g.columns, apart = i - line * g.columns - line % g.rows;
    if (g.upper ? apart < g.diagonal : apart > g.diagonal) static_cast<WORD *>(g.to)[i] = 0;
  }
}
