// compact.cu -- the places of the flags that are set, in order: counted tile by tile, the counts
// added up, then written. No macros.
#include "compact.cuh"

extern "C" __global__ void __launch_bounds__(COMPACT_THREADS)
    compact_count(const __grid_constant__ compact_arguments g) {
  int count = 0;
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) {
    int64_t at = compact_item(i);
    count += at < g.count && g.flags[at] != 0;
  }
#pragma unroll
  for (int apart = 16; apart > 0; apart /= 2) count += __shfl_down_sync(0xFFFFFFFFu, count, apart);
  __shared__ int counts[COMPACT_WARPS];
  if (threadIdx.x % 32 == 0) counts[threadIdx.x / 32] = count;
  __syncthreads();
  if (threadIdx.x > 0) return;
  int64_t total = 0;
  for (int w = 0; w < COMPACT_WARPS; w++) total += counts[w];
  g.starts[blockIdx.x] = total;
}

// One block: each thread takes some neighbours, so that a million tiles are a few rounds.
extern "C" __global__ void __launch_bounds__(1024)
    compact_add_up(const __grid_constant__ compact_arguments g) {
  const int each = 8;
  __shared__ int64_t sums[33];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t before = 0;
  for (int64_t first = 0; first < g.tiles; first += 1024 * each) {
    int64_t at = first + threadIdx.x * each, count[each], own = 0;
    for (int i = 0; i < each; i++) own += count[i] = at + i < g.tiles ? g.starts[at + i] : 0;
    int64_t sum = own;
    for (int apart = 1; apart < 32; apart *= 2) {
      int64_t other = __shfl_up_sync(0xFFFFFFFFu, sum, apart);
      if (lane >= apart) sum += other;
    }
    if (lane == 31) sums[warp] = sum;
    __syncthreads();
    if (warp == 0) {
      int64_t total = sums[lane], up_to = total;
      for (int apart = 1; apart < 32; apart *= 2) {
        int64_t other = __shfl_up_sync(0xFFFFFFFFu, up_to, apart);
        if (lane >= apart) up_to += other;
      }
      sums[lane] = up_to - total;
      if (lane == 31) sums[32] = up_to;
    }
    __syncthreads();
    int64_t start = before + sums[warp] + sum - own;
    for (int i = 0; i < each; i++) {
      if (at + i < g.tiles) g.starts[at + i] = start;
      start += count[i];
    }
    before += sums[32];
    __syncthreads();
  }
  if (threadIdx.x == 0) g.starts[g.tiles] = before;
}

extern "C" __global__ void __launch_bounds__(COMPACT_THREADS)
    compact_places(const __grid_constant__ compact_arguments g) {
  uint32_t number[COMPACT_ITEMS], is_set;
  compact_number(g.flags, g.count, number, is_set);
  int64_t start = g.starts[blockIdx.x];
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) {
    if (!(is_set >> i & 1)) continue;
    int64_t at = compact_item(i);
    int64_t *to = g.places + (start + number[i]) * g.shape.rank;
    for (int d = g.shape.rank - 1; d > 0; d--) {
      int64_t rest = g.is_wide ? at / g.shape.size[d]
                               : (int64_t)strided_divide((uint32_t)at, g.shape.by[d]);
      to[d] = at - rest * g.shape.size[d];
      at = rest;
    }
    to[0] = at;
  }
}
