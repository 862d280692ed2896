// fused.cu -- several operations of ops.def, casts and choices in one loop over strided operands. Macros, besides
// those of fused.cuh:
//   OUT                            the result's type in memory
//   STEPS                          vectors a thread
//   FLAT, WIDE                     1 where there is one dimension; 1 for 64-bit places
#include "fused.cuh"

#if WIDE
typedef int64_t place;
#else
typedef uint32_t place;
#endif

// Where vector i lies in each operand, in vectors.
struct Places {
  int64_t out, in[LEAVES];
};

inline Places find(const fused_arguments &a, place i) {
  Places p;
  p.out = 0;
#pragma unroll
  for (int k = 0; k < LEAVES; k++) p.in[k] = 0;
#if !FLAT
  for (int d = a.shape.rank - 1; d > 0; d--) {
#if WIDE
    place rest = i / a.shape.size[d];
#else
    place rest = strided_divide(i, a.shape.by[d]);
#endif
    int64_t at = i - rest * (place)a.shape.size[d];
    p.out += at * a.out_stride[d];
#pragma unroll
    for (int k = 0; k < LEAVES; k++) p.in[k] += at * a.in_stride[k][d];
    i = rest;
  }
#endif
  p.out += i * a.out_stride[0];
#pragma unroll
  for (int k = 0; k < LEAVES; k++) p.in[k] += i * a.in_stride[k][0];
  return p;
}

extern "C" __global__ void __launch_bounds__(256)
    fused(const __grid_constant__ fused_arguments g) {
  DECLARE(STEPS)
  int64_t to[STEPS];
  int64_t first = (int64_t)blockIdx.x * (256 * STEPS) + threadIdx.x;
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * 256;
    if (i >= g.count) continue;
    Places at = find(g, (place)i);
    to[s] = at.out;
    READ(s)
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    if (first + s * 256 >= g.count) continue;
    Vector<OUT> result;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      COMPUTE(s, i)
      result.item[i] = OUT::store(made);
    }
    static_cast<Vector<OUT> *>(g.out)[to[s]] = result;
  }
}
