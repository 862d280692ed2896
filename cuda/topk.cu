// topk.cu -- the first k of long rows, for which sorting would be too much: the key of the last
// of them is found digit by digit, the highest first; each pass counts the values of a digit
// among the elements that still may be it. Then what comes before it is collected, and of its
// equals the first ones. What is left is to sort k elements a row. Macros: WORD, BITS, FLOAT.
#include "sort_order.cuh"

#define ITEMS TOPK_ITEMS
#include "sort_rank.cuh"

#define EACH (TOPK_BINS / SORT_THREADS) // bins a thread adds up

inline int low_bit(int pass) { // of the digit of a pass
  int low = BITS - (pass + 1) * TOPK_DIGIT_BITS;
  return low > 0 ? low : 0;
}

inline int64_t row_of_block(const topk_arguments &g) { return blockIdx.x / g.chunks; }
inline int64_t chunk_of_block(const topk_arguments &g) { return blockIdx.x % g.chunks; }

// The state before pass `pass`: the digit of the pass before is chosen by what that counted.
// Every block of a row works it out; the first one keeps it.
inline topk_state choose(const topk_arguments &g, int64_t row, int pass) {
  if (pass == 0) return {0, (uint64_t)g.take};
  __shared__ uint32_t sums[SORT_WARPS];
  __shared__ topk_state chosen;
  const uint32_t *bins =
      g.histograms + ((pass - 1) * g.rows + row) * TOPK_BINS + threadIdx.x * EACH;
  topk_state state = {0, (uint64_t)g.take};
  if (pass > 1) state = g.states[(pass - 1) * g.rows + row];
  uint32_t count[EACH], total = 0;
#pragma unroll
  for (int i = 0; i < EACH; i++) total += count[i] = bins[i];
  uint64_t before = sum_before(total, sums);
  if (before < state.wanted && state.wanted <= before + total) {
    int digit = 0;
    while (before + count[digit] < state.wanted) before += count[digit++];
    int bits = TOPK_DIGIT_BITS; // of the digit; the last one has the rest
    if (pass == g.passes && BITS % TOPK_DIGIT_BITS) bits = BITS % TOPK_DIGIT_BITS;
    chosen.prefix = state.prefix << bits | (uint64_t)(threadIdx.x * EACH + digit);
    chosen.wanted = state.wanted - before;
  }
  __syncthreads();
  if (chunk_of_block(g) == 0 && threadIdx.x == 0) g.states[pass * g.rows + row] = chosen;
  return chosen;
}

extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    topk_count(const __grid_constant__ topk_arguments g) {
  __shared__ uint32_t bins[TOPK_BINS];
  int64_t row = row_of_block(g), first = chunk_of_block(g) * g.chunk;
  int64_t last = first + g.chunk < g.length ? first + g.chunk : g.length;
  for (int i = threadIdx.x; i < TOPK_BINS; i += SORT_THREADS) bins[i] = 0;
  __syncthreads();
  topk_state state = choose(g, row, g.pass);
  int low = low_bit(g.pass), high = BITS - g.pass * TOPK_DIGIT_BITS; // the digit's bits
  uint64_t mask = ((uint64_t)1 << (high - low)) - 1;
  const WORD *from = static_cast<const WORD *>(g.from) + row * g.length;
#pragma unroll 8
  for (int64_t at = first + threadIdx.x; at < last; at += SORT_THREADS) {
    uint64_t key = key_of(from[at], g.order);
    if (g.pass == 0 || key >> high == state.prefix) atomicAdd(&bins[key >> low & mask], 1u);
  }
  __syncthreads();
  uint32_t *total = g.histograms + (g.pass * g.rows + row) * TOPK_BINS;
  for (int i = threadIdx.x; i < TOPK_BINS; i += SORT_THREADS)
    if (bins[i]) atomicAdd(&total[i], bins[i]);
}

// Where the lists of the block's chunk are.
inline int64_t list_of_block(const topk_arguments &g) { return (int64_t)blockIdx.x; }

// How many of this warp's items are marked, and for each item how many before it.
inline uint32_t number_marked(uint32_t marked, uint32_t (&number)[ITEMS]) {
  uint32_t below = (1u << threadIdx.x % 32) - 1, total = 0;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    uint32_t set = __ballot_sync(0xFFFFFFFFu, marked >> i & 1);
    number[i] = total + __popc(set & below);
    total += __popc(set);
  }
  return total;
}

// In the order of the elements: those before the key, and of those with it as many as may be
// wanted.
extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    topk_collect(const __grid_constant__ topk_arguments g) {
  __shared__ uint32_t totals[2][SORT_WARPS];
  int64_t row = row_of_block(g), first = chunk_of_block(g) * g.chunk, list = list_of_block(g);
  int64_t last = first + g.chunk < g.length ? first + g.chunk : g.length;
  topk_state state = choose(g, row, g.passes);
  const WORD *from = static_cast<const WORD *>(g.from) + row * g.length;
  WORD *to = static_cast<WORD *>(g.list) + list * g.room;
  uint32_t *to_places = g.list_places + list * g.room;
  WORD limit = (WORD)state.prefix;
  uint64_t before = 0, equal = 0;
  int warp = threadIdx.x / 32;
  for (; first < last; first += TILE) {
    WORD word[ITEMS];
    uint32_t is_before = 0, is_equal = 0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++)
      word[i] = first + place_of(i) < last ? from[first + place_of(i)] : (WORD)0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      WORD key = key_of(word[i], g.order);
      bool is_there = first + place_of(i) < last;
      is_before |= (uint32_t)(is_there && key < limit) << i;
      is_equal |= (uint32_t)(is_there && key == limit) << i;
    }
    if (!__syncthreads_or(is_before | is_equal)) continue;
    uint32_t number_before[ITEMS], number_equal[ITEMS];
    uint32_t marked_before = number_marked(is_before, number_before);
    uint32_t marked_equal = number_marked(is_equal, number_equal);
    if (threadIdx.x % 32 == 0) {
      totals[0][warp] = marked_before;
      totals[1][warp] = marked_equal;
    }
    __syncthreads();
    uint64_t start_before = before, start_equal = equal;
    for (int w = 0; w < SORT_WARPS; w++) {
      if (w == warp) start_before = before, start_equal = equal;
      before += totals[0][w];
      equal += totals[1][w];
    }
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      int64_t at = -1;
      if (is_before >> i & 1) at = start_before + number_before[i];
      uint64_t nth = start_equal + number_equal[i];
      if ((is_equal >> i & 1) && nth < state.wanted) at = g.room - 1 - nth;
      if (at < 0) continue;
      to[at] = word[i];
      to_places[at] = (uint32_t)(first + place_of(i));
    }
  }
  if (threadIdx.x > 0) return;
  g.before[list] = (uint32_t)before;
  g.equal[list] = (uint32_t)(equal < state.wanted ? equal : state.wanted);
}

// The lists of a row's chunks one after the other: all that come before the key, then its equals.
extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    topk_join(const __grid_constant__ topk_arguments g) {
  __shared__ uint64_t starts[2];
  int64_t row = row_of_block(g), chunk = chunk_of_block(g), list = list_of_block(g);
  uint64_t wanted = g.states[g.passes * g.rows + row].wanted, sum[2] = {0, 0};
  for (int64_t i = threadIdx.x; i < chunk; i += SORT_THREADS) {
    sum[0] += g.before[row * g.chunks + i];
    sum[1] += g.equal[row * g.chunks + i];
  }
  for (int k = 0; k < 2; k++) {
    if (threadIdx.x == 0) starts[k] = 0;
    __syncthreads();
    if (sum[k]) atomicAdd(&starts[k], sum[k]);
  }
  __syncthreads();
  const WORD *words = static_cast<const WORD *>(g.list) + list * g.room;
  const uint32_t *places = g.list_places + list * g.room;
  WORD *to = static_cast<WORD *>(g.to) + row * g.take;
  uint32_t *to_places = g.to_places + row * g.take;
  for (int64_t i = threadIdx.x; i < g.before[list]; i += SORT_THREADS) {
    to[starts[0] + i] = words[i];
    to_places[starts[0] + i] = places[i];
  }
  uint64_t ahead = g.take - wanted;
  for (int64_t i = threadIdx.x; i < g.equal[list] && starts[1] + i < wanted; i += SORT_THREADS) {
    to[ahead + starts[1] + i] = words[g.room - 1 - i];
    to_places[ahead + starts[1] + i] = places[g.room - 1 - i];
  }
}
