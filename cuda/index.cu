// index.cu -- elements that tensors of indices name, copied one after the other, or the other way round.
// Macro: WORD, a type of the size of what is moved at once; 16 bytes are `quad`.
#include "index.cuh"

#define THREADS 256
#define STEPS 4

struct alignas(16) quad {
  uint64_t low, high;
};

// The words that this thread moves: indices first, for all of them, so that none waits for another.
inline void find(const index_arguments &g, int64_t first, Found (&found)[STEPS]) {
  int64_t index[STEPS];
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    found[s].is_there = i < g.count;
    if (i < g.count) index[s] = read_index(g, 0, i);
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    if (i >= g.count) continue;
    found[s].part = strided_place(g.shape, g.part_stride, i, g.is_wide);
    found[s].whole = strided_place(g.shape, g.whole_stride, i, g.is_wide);
    follow(g, 0, index[s], found[s]);
    for (int k = 1; k < g.indices; k++) follow(g, k, read_index(g, k, i), found[s]);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) index_take(const __grid_constant__ index_arguments g) {
  Found found[STEPS];
  WORD word[STEPS];
  int64_t first = (int64_t)blockIdx.x * (THREADS * STEPS) + threadIdx.x;
  find(g, first, found);
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    word[s] = WORD{};
    if (found[s].is_there) word[s] = static_cast<const WORD *>(g.whole)[found[s].whole];
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (first + s * THREADS < g.count) static_cast<WORD *>(g.part)[found[s].part] = word[s];
}

extern "C" __global__ void __launch_bounds__(THREADS) index_put(const __grid_constant__ index_arguments g) {
  Found found[STEPS];
  WORD word[STEPS];
  find(g, (int64_t)blockIdx.x * (THREADS * STEPS) + threadIdx.x, found);
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (found[s].is_there) word[s] = static_cast<const WORD *>(g.part)[found[s].part];
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (found[s].is_there) static_cast<WORD *>(g.whole)[found[s].whole] = word[s];
}
