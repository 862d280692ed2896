// sort_rank.cuh -- where the elements of a block go when they are ordered by one digit, stably.
// Warp w holds the block's w-th part: 32 neighbours as item 0 of its lanes, the next 32 as item
// 1. Macro: ITEMS.
#pragma once
#include "sort.h"

#define TILE (SORT_THREADS * ITEMS)

struct Ranks {
  uint32_t counts[SORT_WARPS][SORT_THREADS]; // by digit
  uint32_t sums[SORT_WARPS];
};

// The place in the block of item i of this thread.
inline int place_of(int i) {
  return (threadIdx.x / 32 * ITEMS + i) * 32 + threadIdx.x % 32;
}

// The lanes with the same digit.
inline uint32_t lanes_alike(uint32_t digit) {
  uint32_t alike = 0xFFFFFFFFu;
#pragma unroll
  for (int bit = 0; bit < SORT_DIGIT_BITS; bit++) {
    uint32_t set = __ballot_sync(0xFFFFFFFFu, digit >> bit & 1);
    alike &= digit >> bit & 1 ? set : ~set;
  }
  return alike;
}

// The sum of the values of all threads before this one.
inline uint32_t sum_before(uint32_t value, uint32_t (&sums)[SORT_WARPS]) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t sum = value;
#pragma unroll
  for (int apart = 1; apart < 32; apart *= 2) {
    uint32_t other = __shfl_up_sync(0xFFFFFFFFu, sum, apart);
    if (lane >= apart) sum += other;
  }
  if (lane == 31) sums[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; w++) sum += sums[w];
  return sum - value;
}

// Of each item how many of its digit come before it in its warp. Gives how many in the block
// have the digit whose value is this thread's number; counts[w] then holds those in the warps
// before w.
inline uint32_t count_digits(Ranks &r, const uint32_t (&digit)[ITEMS], uint32_t (&rank)[ITEMS]) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t below = (1u << lane) - 1, total = 0;
  for (int d = lane; d < SORT_THREADS; d += 32) r.counts[warp][d] = 0;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    uint32_t alike = lanes_alike(digit[i]), before = r.counts[warp][digit[i]];
    __syncwarp();
    rank[i] = before + __popc(alike & below);
    if ((alike & below) == 0) r.counts[warp][digit[i]] = before + __popc(alike);
    __syncwarp();
  }
  __syncthreads();
#pragma unroll
  for (int w = 0; w < SORT_WARPS; w++) {
    uint32_t count = r.counts[w][threadIdx.x];
    r.counts[w][threadIdx.x] = total;
    total += count;
  }
  return total;
}

// From ranks in the warp to places in the block. `first`: the place of this thread's digit.
inline void finish_ranks(Ranks &r, const uint32_t (&digit)[ITEMS], uint32_t (&rank)[ITEMS],
                         uint32_t first) {
#pragma unroll
  for (int w = 0; w < SORT_WARPS; w++) r.counts[w][threadIdx.x] += first;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < ITEMS; i++) rank[i] += r.counts[threadIdx.x / 32][digit[i]];
}
