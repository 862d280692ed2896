// compact.cuh -- numbering flags in order. A warp looks at neighbours, 32 at a time.
#pragma once
#include "prelude.cuh"
#include "compact.h"

#define COMPACT_WARPS (COMPACT_THREADS / 32)

// The tile's item i of this thread, counted through all tiles.
inline int64_t compact_item(int i) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  return (int64_t)blockIdx.x * COMPACT_TILE + (warp * COMPACT_ITEMS + i) * 32 + lane;
}

// For each item how many flags are set before it in its tile.
inline void compact_number(const uint8_t *flags, int64_t count, uint32_t (&number)[COMPACT_ITEMS],
                           uint32_t &is_set) {
  __shared__ uint32_t totals[COMPACT_WARPS];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t total = 0, below = (1u << lane) - 1;
  is_set = 0;
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) {
    int64_t at = compact_item(i);
    is_set |= (uint32_t)(at < count && flags[at] != 0) << i;
  }
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) {
    uint32_t set = __ballot_sync(0xFFFFFFFFu, is_set >> i & 1);
    number[i] = total + __popc(set & below);
    total += __popc(set);
  }
  if (lane == 0) totals[warp] = total;
  __syncthreads();
  uint32_t before = 0;
  for (int w = 0; w < warp; w++) before += totals[w];
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) number[i] += before;
}
