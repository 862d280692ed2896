// thin.cu -- products of few rows with matrices that are computed on the way (fused.cuh). Macros, besides those of
// fused.cuh:
//   ALONG_K          1 where vectors lie along k: a warp for some of n, its lanes along k; 0 where they
//                    lie along n: lanes along n, the warps of a block along k
//   M                rows of the first matrix, rounded up to a power of two
//   STEPS            of n that a warp takes together; or of k that a thread reads at once
#include "fused.cuh"

struct Offsets {
  int64_t in[LEAVES];
};

inline Offsets find(const strided_shape &shape, const int64_t (&stride)[FUSED_MOST_LEAVES][STRIDED_RANK],
                    int64_t number) {
  Offsets p;
#pragma unroll
  for (int l = 0; l < LEAVES; l++) p.in[l] = 0;
  uint32_t i = (uint32_t)number;
  for (int d = shape.rank - 1; d > 0; d--) {
    uint32_t rest = strided_divide(i, shape.by[d]);
    int64_t at = i - rest * (uint32_t)shape.size[d];
#pragma unroll
    for (int l = 0; l < LEAVES; l++) p.in[l] += at * stride[l][d];
    i = rest;
  }
#pragma unroll
  for (int l = 0; l < LEAVES; l++) p.in[l] += i * stride[l][0];
  return p;
}

inline Offsets operator+(const Offsets &a, const Offsets &b) {
  Offsets sum;
#pragma unroll
  for (int l = 0; l < LEAVES; l++) sum.in[l] = a.in[l] + b.in[l];
  return sum;
}

// Row m of the batch that number `o` of the outer elements belongs to; the last one for those that are not there.
inline const float *row_of(const thin_arguments &g, int64_t o, int m) {
  return g.a + (o / g.n * g.m + (m < g.m ? m : g.m - 1)) * g.k;
}

inline void write(const thin_arguments &g, int64_t o, int m, float sum) {
  if (m < g.m && o < g.outer) g.out[(o / g.n * g.m + m) * g.n + o % g.n] = sum;
}

#if ALONG_K

extern "C" __global__ void __launch_bounds__(256)
    thin(const __grid_constant__ thin_arguments g) {
  int lane = threadIdx.x & 31;
  int64_t first = ((int64_t)blockIdx.x * 8 + threadIdx.x / 32) * STEPS, vectors = g.k / ITEMS;
  if (first >= g.outer) return;
  Offsets outer[STEPS];
  float sum[M][STEPS];
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    outer[s] = find(g.outer_shape, g.outer_stride, first + s);
#pragma unroll
    for (int m = 0; m < M; m++) sum[m][s] = 0;
  }
  for (int64_t v = lane; v < vectors; v += 32) {
    Offsets inner = find(g.inner_shape, g.inner_stride, v);
    DECLARE(STEPS)
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      Offsets at = outer[s] + inner;
      READ(s)
    }
#pragma unroll
    for (int part = 0; part < ITEMS; part += (ITEMS < 4 ? 1 : 4)) {
      float a[M][4];
#pragma unroll
      for (int m = 0; m < M; m++) {
        const float *from = row_of(g, first, m) + v * ITEMS + part;
        if (ITEMS < 4) {
          a[m][0] = *from;
        } else {
          float4 four = *(const float4 *)from;
          a[m][0] = four.x, a[m][1] = four.y, a[m][2] = four.z, a[m][3] = four.w;
        }
      }
#pragma unroll
      for (int i = part; i < part + (ITEMS < 4 ? 1 : 4); i++) {
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
          COMPUTE(s, i)
#pragma unroll
          for (int m = 0; m < M; m++) sum[m][s] = __fmaf_rn(a[m][i - part], made, sum[m][s]);
        }
      }
    }
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
#pragma unroll
    for (int m = 0; m < M; m++) {
      float total = sum[m][s];
#pragma unroll
      for (int apart = 16; apart > 0; apart /= 2) total += __shfl_xor_sync(0xFFFFFFFFu, total, apart);
      if (lane == 0) write(g, first + s, m, total);
    }
  }
}

#else

#define WARPS 32

extern "C" __global__ void __launch_bounds__(1024)
    thin(const __grid_constant__ thin_arguments g) {
  __shared__ float sums[WARPS][32 * ITEMS];
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  int64_t v = (int64_t)blockIdx.x * 32 + lane, vectors = g.outer / ITEMS;
  int64_t o = (v < vectors ? v : vectors - 1) * ITEMS;
  Offsets outer = find(g.outer_shape, g.outer_stride, o / ITEMS);
  float sum[M][ITEMS];
#pragma unroll
  for (int m = 0; m < M; m++) {
#pragma unroll
    for (int i = 0; i < ITEMS; i++) sum[m][i] = 0;
  }
  for (int64_t k = warp; k < g.k; k += WARPS * STEPS) {
    DECLARE(STEPS)
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      if (k + s * WARPS >= g.k) continue;
      Offsets at = outer + find(g.inner_shape, g.inner_stride, k + s * WARPS);
      READ(s)
    }
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      if (k + s * WARPS >= g.k) continue;
      float a[M];
#pragma unroll
      for (int m = 0; m < M; m++) a[m] = row_of(g, o, m)[k + s * WARPS];
#pragma unroll
      for (int i = 0; i < ITEMS; i++) {
        COMPUTE(s, i)
#pragma unroll
        for (int m = 0; m < M; m++) sum[m][i] = __fmaf_rn(a[m], made, sum[m][i]);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < M; m++) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < ITEMS; i++) sums[warp][i * 32 + lane] = sum[m][i];
    __syncthreads();
    // a warp adds up the elements of its number: one of each lane
    if (warp < ITEMS && v < vectors) {
      float total = 0;
      for (int w = 0; w < WARPS; w++) total += sums[w][warp * 32 + lane];
      write(g, v * ITEMS + warp, m, total);
    }
  }
}

#endif
