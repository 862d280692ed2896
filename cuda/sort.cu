// sort.cu -- long rows: a radix sort by digits of 8 bits, the lowest first, in one pass over the
// elements for each, after Adinets and Merrill, "Onesweep: A faster least significant digit
// radix sort for GPUs" (2022). All digits are counted beforehand. Then each block orders a tile
// of a row, and learns from the tiles before it where its elements go. Macros: WORD, BITS,
// FLOAT, ITEMS; COUNT, an unsigned type for counts, of which the two highest bits are used as
// well.
#include "sort_order.cuh"
#include "sort_rank.cuh"

#define PASSES (BITS / SORT_DIGIT_BITS)

// Counts a key's digits. Where all lanes have one key, as in a row that is zero but for a few, one
// of them counts for all: atomics at one place come one after the other.
inline void count_key(uint32_t (&counts)[PASSES][SORT_THREADS], WORD key, int32_t passes) {
  uint32_t active = __activemask(), lane = threadIdx.x % 32, first = __ffs(active) - 1;
  bool is_one = __all_sync(active, key == __shfl_sync(active, key, first));
  if (is_one && lane != first) return;
  uint32_t number = is_one ? __popc(active) : 1;
#pragma unroll
  for (int p = 0; p < PASSES; p++)
    if (p < passes) atomicAdd(&counts[p][key >> (p * SORT_DIGIT_BITS) & 255], number);
}

extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    sort_count(const __grid_constant__ sort_arguments g) {
  __shared__ uint32_t counts[PASSES][SORT_THREADS];
  for (int p = 0; p < PASSES; p++) counts[p][threadIdx.x] = 0;
  __syncthreads();
  int64_t chunk = (int64_t)SORT_THREADS * g.count_items, chunks = (g.length + chunk - 1) / chunk;
  int64_t row = blockIdx.x / chunks, first = blockIdx.x % chunks * chunk;
  const WORD *from = static_cast<const WORD *>(g.from) + row * g.length;
#pragma unroll 8
  for (int i = 0; i < g.count_items; i++) {
    int64_t at = first + i * SORT_THREADS + threadIdx.x;
    if (at < g.length) count_key(counts, key_of(from[at], g.order), g.passes);
  }
  __syncthreads();
  COUNT *histograms = static_cast<COUNT *>(g.histograms) + row * g.passes * SORT_THREADS;
  for (int p = 0; p < g.passes; p++)
    if (counts[p][threadIdx.x])
      atomicAdd(&histograms[p * SORT_THREADS + threadIdx.x], (COUNT)counts[p][threadIdx.x]);
}

// What a tile tells of a digit: how many elements it has, or how many there are up to its end,
// counted from where the digit's elements begin in the row.
#define OF_TILE ((COUNT)1 << (8 * sizeof(COUNT) - 2))
#define UP_TO_END ((COUNT)2 << (8 * sizeof(COUNT) - 2))
#define NUMBER (OF_TILE - 1)

// Where the elements of this thread's digit begin in the row.
inline COUNT digit_start(const sort_arguments &g, int64_t row) {
  const COUNT *histogram =
      static_cast<const COUNT *>(g.histograms) + (row * g.passes + g.pass) * SORT_THREADS;
  __shared__ COUNT wide[SORT_WARPS];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  COUNT own = histogram[threadIdx.x], sum = own;
  for (int apart = 1; apart < 32; apart *= 2) {
    COUNT other = __shfl_up_sync(0xFFFFFFFFu, sum, apart);
    if (lane >= apart) sum += other;
  }
  if (lane == 31) wide[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; w++) sum += wide[w];
  return sum - own;
}

#define AHEAD 8 // tiles that are asked at once: one after the other each would cost a way to memory

// Where the tile's elements of this thread's digit go; what is told to the tiles after it.
inline COUNT look_back(const sort_arguments &g, int64_t tile, int64_t number, COUNT total,
                       COUNT start) {
  volatile COUNT *state =
      static_cast<volatile COUNT *>(g.tile_state) + tile * SORT_THREADS + threadIdx.x;
  if (number == 0) {
    *state = UP_TO_END | (start + total);
    return start;
  }
  COUNT before = 0;
  for (int64_t back = 1; back <= number; back += AHEAD) {
    COUNT told[AHEAD];
    bool is_over = false;
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
      told[i] = back + i <= number ? state[-(back + i) * SORT_THREADS] : UP_TO_END;
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      if (is_over) continue;
      while (told[i] < OF_TILE) told[i] = state[-(back + i) * SORT_THREADS];
      before += told[i] & NUMBER;
      is_over = told[i] >= UP_TO_END;
    }
    if (is_over) break;
  }
  *state = UP_TO_END | (before + total);
  return before;
}

// Whether all elements of a row have one value of the digit, as those of small integers have:
// they stay.
inline bool has_one_digit(const sort_arguments &g, int64_t row) {
  const COUNT *histogram =
      static_cast<const COUNT *>(g.histograms) + (row * g.passes + g.pass) * SORT_THREADS;
  return __syncthreads_or(histogram[threadIdx.x] == (COUNT)g.length);
}

// Where a pass writes a row: the last one the results.
struct Target {
  WORD *words;
  uint32_t *places;
  int64_t *indices;
  COUNT width;
  bool is_last;
};

inline Target target_of(const sort_arguments &g, int64_t row) {
  bool is_last = g.pass == g.passes - 1;
  int64_t width = is_last ? g.take : g.length;
  return {static_cast<WORD *>(g.to) + row * width, g.to_places + row * width,
          g.indices + row * width, (COUNT)width, is_last};
}

inline void put(const Target &target, COUNT to, WORD word, uint32_t place) {
  if (to >= target.width) return;
  target.words[to] = word;
  if (target.is_last)
    target.indices[to] = place;
  else
    target.places[to] = place;
}

// Three blocks at a time on a multiprocessor.
extern "C" __global__ void __launch_bounds__(SORT_THREADS, 3)
    sort_sweep(const __grid_constant__ sort_arguments g) {
  __shared__ Ranks ranks;
  __shared__ WORD words[TILE];
  __shared__ uint32_t places[TILE];
  __shared__ COUNT starts[SORT_THREADS];
  __shared__ uint32_t ticket;
  // Tiles are taken in the order in which blocks begin: those before this one are under way.
  if (threadIdx.x == 0) ticket = atomicAdd(&g.tickets[g.pass], 1u);
  __syncthreads();
  int64_t tile = ticket, row = tile / g.tiles, number = tile - row * g.tiles, first = number * TILE;
  int here = g.length - first < TILE ? (int)(g.length - first) : TILE;
  int shift = g.pass * SORT_DIGIT_BITS;
  const WORD *from = static_cast<const WORD *>(g.from) + row * g.length + first;
  const uint32_t *from_places = g.from_places ? g.from_places + row * g.length + first : nullptr;
  WORD word[ITEMS];
  uint32_t digit[ITEMS], rank[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) word[i] = place_of(i) < here ? from[place_of(i)] : (WORD)0;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) // what is beyond the row stays behind it
    digit[i] = place_of(i) < here ? (uint32_t)(key_of(word[i], g.order) >> shift) & 255 : 255;
  static_cast<COUNT *>(g.next_state)[tile * SORT_THREADS + threadIdx.x] = 0;
  const Target target = target_of(g, row);
  if (has_one_digit(g, row)) {
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      uint32_t at = (uint32_t)first + place_of(i);
      if (place_of(i) < here) put(target, at, word[i], from_places ? from_places[place_of(i)] : at);
    }
    return;
  }
  uint32_t total = count_digits(ranks, digit, rank);
  if (number > 0)
    static_cast<volatile COUNT *>(g.tile_state)[tile * SORT_THREADS + threadIdx.x] =
        OF_TILE | total;
  uint32_t in_tile = sum_before(total, ranks.sums);
  finish_ranks(ranks, digit, rank, in_tile);
#pragma unroll
  for (int i = 0; i < ITEMS; i++) words[rank[i]] = word[i];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    uint32_t place = (uint32_t)first + place_of(i);
    if (from_places && place_of(i) < here) place = from_places[place_of(i)];
    places[rank[i]] = place;
  }
  COUNT start = number == 0 ? digit_start(g, row) : 0;
  starts[threadIdx.x] = look_back(g, tile, number, total, start) - in_tile;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int at = i * SORT_THREADS + threadIdx.x;
    if (at >= here) continue;
    WORD moved = words[at];
    put(target, starts[(key_of(moved, g.order) >> shift) & 255] + at, moved, places[at]);
  }
}
