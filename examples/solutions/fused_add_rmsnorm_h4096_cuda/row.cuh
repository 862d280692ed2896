// A row of bfloat16 in the registers of a block: eight neighbouring elements, 16 bytes, a thread.
#pragma once

#include <cuda_bf16.h>

constexpr int LANES = 8, WARP = 32;

struct alignas(16) Packed {
  __nv_bfloat162 pairs[LANES / 2];
};

__device__ inline void widen(const Packed &packed, float (&values)[LANES]) {
#pragma unroll
  for (int i = 0; i < LANES / 2; ++i) {
    float2 pair = __bfloat1622float2(packed.pairs[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

__device__ inline Packed narrow(const float (&values)[LANES]) {
  Packed packed;
#pragma unroll
  for (int i = 0; i < LANES / 2; ++i)
    packed.pairs[i] = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
  return packed;
}

// The sum over all threads of a block of THREADS, in every thread.
template <int THREADS> __device__ inline float sum_of_block(float value) {
  __shared__ float of_warp[THREADS / WARP];
#pragma unroll
  for (int far = WARP / 2; far > 0; far /= 2) value += __shfl_xor_sync(~0u, value, far);
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < THREADS / WARP; ++i) sum += of_warp[i];
  return sum;
}
