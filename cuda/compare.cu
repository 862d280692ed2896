// compare.cu -- how far two tensors are apart. Macros:
//   A, B             the types in memory
//   HOW              DISTANCE, as a judge has it; CLOSE, as allclose; EQUAL
//   ITEMS            elements that are loaded at once
#include "types.cuh"
#include "compare.h"
#include "places.cuh"
#include "threads.cuh"

#define DISTANCE 0
#define CLOSE 1
#define EQUAL 2

struct Found {
  uint64_t bad, nonfinite, first_bad;
  uint32_t max_absolute, max_relative;
};

inline void merge(Found &a, const Found &b) {
  a.bad += b.bad;
  a.nonfinite += b.nonfinite;
  a.first_bad = greater(a.first_bad, b.first_bad);
  a.max_absolute = greater(a.max_absolute, b.max_absolute);
  a.max_relative = greater(a.max_relative, b.max_relative);
}

inline bool is_finite(float x) { return fabsf(x) < INFINITY; }
inline bool is_finite(double x) { return fabs(x) < (double)INFINITY; }

inline void note_bad(Found &f, uint64_t i) {
  f.bad++;
  f.first_bad = greater(f.first_bad, (uint64_t)~i);
}

#if HOW == DISTANCE
inline void compare_pair(Found &f, const compare_arguments &g, A::number a, B::number b,
                         uint64_t i) {
  float x = (float)a, y = (float)b;
  if (!is_finite(x) || !is_finite(y)) {
    if (x == y || (x != x && y != y)) return;
    f.nonfinite++;
    f.max_absolute = f.max_relative = 0x7F800000;
    note_bad(f, i);
    return;
  }
  float absolute = fabsf(x - y), relative = absolute / (fabsf(y) + 1e-8f);
  f.max_absolute = greater(f.max_absolute, (uint32_t)__float_as_uint(absolute));
  f.max_relative = greater(f.max_relative, (uint32_t)__float_as_uint(relative));
  if (absolute > (float)g.atol && relative > (float)g.rtol) note_bad(f, i);
}
#else
inline bool are_alike(const compare_arguments &g, double x, double y) {
  if (x == y) return true;
  if (HOW == EQUAL) return false;
  if (g.equal_nan && x != x && y != y) return true;
  return is_finite(x) && is_finite(y) && fabs(x - y) <= g.atol + g.rtol * fabs(y);
}
inline bool are_alike(const compare_arguments &g, int64_t x, int64_t y) {
  return HOW == EQUAL ? x == y : are_alike(g, (double)x, (double)y);
}

template <typename N> struct Wide { typedef int64_t type; };
template <> struct Wide<float> { typedef double type; };
template <> struct Wide<double> { typedef double type; };

inline void compare_pair(Found &f, const compare_arguments &g, A::number a, B::number b,
                         uint64_t i) {
  typedef decltype(Wide<A::number>::type() + Wide<B::number>::type()) W;
  if (!are_alike(g, (W)a, (W)b)) note_bad(f, i);
}
#endif

extern "C" __global__ void __launch_bounds__(COMPARE_THREADS)
compare(const __grid_constant__ compare_arguments g) {
  __shared__ Found of_warp[COMPARE_THREADS / 32];
  Found found = {0, 0, 0, 0, 0};
  int64_t step = (int64_t)gridDim.x * COMPARE_THREADS;
#pragma unroll 2
  for (int64_t i = (int64_t)blockIdx.x * COMPARE_THREADS + threadIdx.x; i < g.vectors; i += step) {
    const A::stored *a = static_cast<const A::stored *>(g.a) + place(g.map, g.map.from, i);
    const B::stored *b = static_cast<const B::stored *>(g.b) + place(g.map, g.map.to, i);
    Items<A::stored, ITEMS> x = *reinterpret_cast<const Items<A::stored, ITEMS> *>(a);
    Items<B::stored, ITEMS> y = *reinterpret_cast<const Items<B::stored, ITEMS> *>(b);
#pragma unroll
    for (int k = 0; k < ITEMS; k++)
      compare_pair(found, g, A::load(x.item[k]), B::load(y.item[k]), i * ITEMS + k);
  }
  for (int apart = 16; apart > 0; apart /= 2) {
    Found other = from_lane_after(found, apart);
    merge(found, other);
  }
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = found;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 1; i < COMPARE_THREADS / 32; i++) merge(found, of_warp[i]);
  if (found.bad) atomicAdd(&g.found->bad, found.bad);
  if (found.nonfinite) atomicAdd(&g.found->nonfinite, found.nonfinite);
  if (found.first_bad) atomicMax(&g.found->first_bad, found.first_bad);
  if (found.max_absolute) atomicMax(&g.found->max_absolute, found.max_absolute);
  if (found.max_relative) atomicMax(&g.found->max_relative, found.max_relative);
}
