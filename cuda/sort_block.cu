// sort_block.cu -- rows of at most 256 * ITEMS elements, a block each: a radix sort in shared
// memory. Macros: WORD, BITS, FLOAT, ITEMS.
#include "sort_order.cuh"
#include "sort_rank.cuh"

extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    sort_block(const __grid_constant__ sort_arguments g) {
  __shared__ Ranks ranks;
  __shared__ WORD words[TILE];
  __shared__ uint16_t places[TILE];
  int64_t row = blockIdx.x;
  int length = (int)g.length;
  const WORD *from = static_cast<const WORD *>(g.from) + row * length;
  WORD word[ITEMS];
  uint16_t place[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int at = place_of(i);
    word[i] = at < length ? from[at] : (WORD)0;
    place[i] = (uint16_t)at;
  }
#pragma unroll 1
  for (int shift = 0; shift < BITS; shift += SORT_DIGIT_BITS) {
    uint32_t digit[ITEMS], rank[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; i++) // what is beyond the row stays behind it
      digit[i] = place_of(i) < length ? (uint32_t)(key_of(word[i], g.order) >> shift) & 255 : 255;
    uint32_t total = count_digits(ranks, digit, rank);
    finish_ranks(ranks, digit, rank, sum_before(total, ranks.sums));
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      words[rank[i]] = word[i];
      places[rank[i]] = place[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      word[i] = words[place_of(i)];
      place[i] = places[place_of(i)];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int at = place_of(i);
    if (at >= g.take || at >= length) continue;
    static_cast<WORD *>(g.to)[row * g.take + at] = word[i];
    g.indices[row * g.take + at] =
        g.from_places ? g.from_places[row * length + place[i]] : place[i];
  }
}
