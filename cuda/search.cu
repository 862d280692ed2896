// search.cu -- binary search in sorted rows; and the distinct elements among sorted ones.
// Macros: WORD, BITS, FLOAT.
#include "sort_order.cuh"
#include "compact.cuh"

extern "C" __global__ void __launch_bounds__(256)
    search_places(const __grid_constant__ search_arguments g) {
  int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
  if (i >= g.count) return;
  const WORD *row = static_cast<const WORD *>(g.sorted) + i / g.each * g.row_stride;
  WORD key = key_of(static_cast<const WORD *>(g.values)[i], g.order);
  int64_t low = 0, high = g.length;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    WORD met = key_of(row[middle], g.order);
    if (met < key || (g.right && met == key))
      low = middle + 1;
    else
      high = middle;
  }
  g.places[i] = low;
}

// Which elements are unlike the one before; every NaN is.
extern "C" __global__ void __launch_bounds__(256)
    distinct_flags(const __grid_constant__ distinct_arguments g) {
  int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
  if (i >= g.count) return;
  const WORD *sorted = static_cast<const WORD *>(g.sorted);
  g.flags[i] = i == 0 || key_of(sorted[i], g.by) != key_of(sorted[i - 1], g.by) ||
               is_no_number(sorted[i], g.by);
}

// Of every element the number of its run; of every run its value and where it begins.
extern "C" __global__ void __launch_bounds__(COMPACT_THREADS)
    distinct_write(const __grid_constant__ distinct_arguments g) {
  uint32_t number[COMPACT_ITEMS], is_set;
  compact_number(g.flags, g.count, number, is_set);
#pragma unroll
  for (int i = 0; i < COMPACT_ITEMS; i++) {
    int64_t at = compact_item(i);
    if (at >= g.count) continue;
    bool begins = is_set >> i & 1;
    int64_t run = g.tile_starts[blockIdx.x] + number[i] - (begins ? 0 : 1);
    g.inverse[g.order[at]] = run;
    if (!begins) continue;
    static_cast<WORD *>(g.values)[run] = static_cast<const WORD *>(g.sorted)[at];
    g.starts[run] = at;
  }
}

extern "C" __global__ void __launch_bounds__(256)
    distinct_count(const __grid_constant__ distinct_arguments g) {
  int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
  if (i >= g.groups) return;
  g.counts[i] = (i + 1 < g.groups ? g.starts[i + 1] : g.count) - g.starts[i];
}
