// index.cu -- elements that tensors of indices name, copied one after the other, or the other
// way round. Macros: WIDE; WORD, a type of the size of what is moved at once; 16 bytes are
// `quad`.
#include "index.cuh"

#define THREADS 256
#define STEPS 4

struct alignas(16) quad {
  uint64_t low, high;
};

// The words that this thread moves: indices first, for all of them, so that none waits for another.
// `inside` has a bit set for each word that there is.
inline void find_anywhere(const index_arguments &g, Found (&found)[STEPS], uint32_t &inside) {
  int64_t first = (int64_t)blockIdx.x * (THREADS * STEPS) + threadIdx.x, index[STEPS];
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    if (i >= g.count) continue;
    inside |= 1u << s;
    index[s] = read_index(g, 0, i);
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    found[s].is_there = i < g.count;
    if (i >= g.count) continue;
    found[s].part = strided_place(g.shape, g.part_stride, i);
    found[s].whole = strided_place(g.shape, g.whole_stride, i);
    follow(g, 0, index[s], found[s]);
#pragma unroll 1
    for (int k = 1; k < g.indices; k++) follow(g, k, read_index(g, k, i), found[s]);
  }
}

// The same for blocks that stay in a row each: only there do places have to be found by dividing.
inline void find_in_row(const index_arguments &g, Found (&found)[STEPS], uint32_t &inside) {
  int inner = g.shape.rank - 1;
  int64_t row = blockIdx.x / (uint32_t)g.row_blocks, length = g.shape.size[inner], index[STEPS];
  int64_t first = (int64_t)(blockIdx.x % (uint32_t)g.row_blocks) * (THREADS * STEPS) + threadIdx.x;
  const int64_t *indices = g.at[0].data + strided_row(g.shape, g.at[0].stride, row);
  int64_t part = strided_row(g.shape, g.part_stride, row);
  int64_t whole = strided_row(g.shape, g.whole_stride, row);
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    if (i >= length) continue;
    inside |= 1u << s;
    index[s] = indices[i * g.at[0].stride[inner]];
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * THREADS;
    found[s] = {part + i * g.part_stride[inner], whole + i * g.whole_stride[inner], i < length};
    if (i >= length) continue;
    follow(g, 0, index[s], found[s]);
#pragma unroll 1
    for (int k = 1; k < g.indices; k++) follow(g, k, read_index(g, k, row * length + i), found[s]);
  }
}

inline uint32_t find(const index_arguments &g, Found (&found)[STEPS]) {
  uint32_t inside = 0;
  if (g.row_blocks)
    find_in_row(g, found, inside);
  else
    find_anywhere(g, found, inside);
  return inside;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    index_take(const __grid_constant__ index_arguments g) {
  Found found[STEPS];
  WORD word[STEPS];
  uint32_t inside = find(g, found);
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    word[s] = WORD{};
    if (found[s].is_there) word[s] = static_cast<const WORD *>(g.whole)[found[s].whole];
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (inside >> s & 1) static_cast<WORD *>(g.part)[found[s].part] = word[s];
}

extern "C" __global__ void __launch_bounds__(THREADS)
    index_put(const __grid_constant__ index_arguments g) {
  Found found[STEPS];
  WORD word[STEPS];
  find(g, found);
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (found[s].is_there) word[s] = static_cast<const WORD *>(g.part)[found[s].part];
#pragma unroll
  for (int s = 0; s < STEPS; s++)
    if (found[s].is_there) static_cast<WORD *>(g.whole)[found[s].whole] = word[s];
}
