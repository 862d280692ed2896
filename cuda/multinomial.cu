// multinomial.cu -- categories by weight, to the bits of engine/tensor/random_choice.c. Macros:
//   IN               the type of the weights
//   FIRST            1 where `weigh` also finds the first category to arrive, for one without
//                    replacement; 2 where it stores when all arrive
#include "types.cuh"
#include "multinomial.h"
#include "tensor/philox.h"
#include "threads.cuh"

#define THREADS MULTINOMIAL_THREADS
#define CHUNK MULTINOMIAL_CHUNK
#define WHOLE 0xFFFFFFFFFFFFFFFFull

typedef unsigned long long u64;

struct Chunk {
  int64_t row, number, first, n; // its first category, how many
};

inline Chunk find_chunk(const multinomial_arguments &g) {
  Chunk c;
  c.row = blockIdx.x / g.chunks;
  c.number = blockIdx.x % g.chunks;
  c.first = c.number * CHUNK;
  c.n = c.first + CHUNK < g.categories ? CHUNK : g.categories - c.first;
  return c;
}

inline double weight(const multinomial_arguments &g, int64_t at) {
  return (double)IN::load(static_cast<const IN::stored *>(g.weights)[at]);
}

// ---- what a row's weights are like --------------------------------------------------------------

struct Seen {
  u64 largest, positive, first, fault;
};

inline void merge(Seen &a, const Seen &b) {
  a.largest = greater(a.largest, b.largest);
  a.positive += b.positive;
  a.first = greater(a.first, b.first);
  a.fault = greater(a.fault, b.fault);
}

inline void see(Seen &seen, const multinomial_arguments &g, int64_t row, int64_t i,
                philox_u32 word) {
  int64_t at = row * g.categories + i;
  double w = weight(g, at);
  if (!(w >= 0) || w == (double)INFINITY) seen.fault = greater(seen.fault, (u64)(WHOLE - at));
  if (w > 0) {
    seen.positive++;
    seen.largest = greater(seen.largest, (u64)__double_as_longlong(w));
  }
#if FIRST
  float arrival = w > 0 ? PHILOX_DIV(philox_exponential(word), (float)w) : INFINITY;
#if FIRST == 1
  seen.first = greater(seen.first, WHOLE - ((u64)philox_bits(arrival) << 32 | (u64)i));
#else
  g.arrivals[at] = arrival;
#endif
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS)
weigh(const __grid_constant__ multinomial_arguments g) {
  __shared__ Seen of_warp[THREADS / 32];
  Chunk c = find_chunk(g);
  Seen seen = {0, 0, 0, 0};
  // Four elements share a counter: those of a thread are numbered from a multiple of 4 on.
  int64_t begin = c.row * g.categories + c.first, end = begin + c.n;
#pragma unroll 2
  for (int64_t block = begin / 4 + threadIdx.x; block * 4 < end; block += THREADS) {
    philox_block words = {{0, 0, 0, 0}};
    if (FIRST) words = philox_draw(g.seed, g.offset, block, 0);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int64_t at = block * 4 + j;
      if (at >= begin && at < end) see(seen, g, c.row, at - c.row * g.categories, words.word[j]);
    }
  }
  for (int apart = 16; apart > 0; apart /= 2) {
    Seen other = from_lane_after(seen, apart);
    merge(seen, other);
  }
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = seen;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 1; i < THREADS / 32; i++) merge(seen, of_warp[i]);
  multinomial_row *row = g.row + c.row;
  if (seen.largest) atomicMax(&row->largest, seen.largest);
  if (seen.positive) atomicAdd(&row->positive, seen.positive);
  if (seen.first) atomicMax(&row->first, seen.first);
  if (seen.fault) atomicMax(&g.faults->weight, seen.fault);
}

// Which rows cannot be chosen from; and the choice, where one each is wanted that comes first.
extern "C" __global__ void __launch_bounds__(THREADS)
check_rows(const __grid_constant__ multinomial_arguments g) {
  int64_t row = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (row >= g.rows) return;
  if (g.row[row].positive < g.needed) atomicMax(&g.faults->row, (u64)(WHOLE - row));
#if FIRST == 1
  g.out[row] = (int64_t)((WHOLE - g.row[row].first) & 0xFFFFFFFFu);
#endif
}

// ---- with replacement ---------------------------------------------------------------------------

inline u64 integer_weight(double w, double largest) {
  u64 scaled = (u64)(w / largest * 0x1p40);
  return w > 0 && scaled == 0 ? 1 : scaled;
}

// The sum of what the threads before this one hold; of what all hold, in `all`.
inline u64 sum_before(u64 x, u64 *shared, u64 &all) {
  u64 through = x;
  for (int apart = 1; apart < 32; apart *= 2) {
    u64 before = from_lane_before(through, apart);
    if (threadIdx.x % 32 >= apart) through += before;
  }
  __syncthreads();
  if (threadIdx.x % 32 == 31) shared[threadIdx.x / 32] = through;
  __syncthreads();
  u64 sum = through - x;
  all = 0;
  for (int i = 0; i < THREADS / 32; i++) {
    if (i < threadIdx.x / 32) sum += shared[i];
    all += shared[i];
  }
  return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
sum_chunks(const __grid_constant__ multinomial_arguments g) {
  __shared__ u64 shared[THREADS / 32];
  Chunk c = find_chunk(g);
  double largest = __longlong_as_double(g.row[c.row].largest);
  int64_t begin = c.row * g.categories + c.first;
  u64 sum = 0, all;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < c.n; i += THREADS)
    sum += integer_weight(weight(g, begin + i), largest);
  sum_before(sum, shared, all);
  if (threadIdx.x == 0) g.chunk_sums[c.row * g.chunks + c.number] = all;
}

// The chunk that `number` falls into, and the sum of those before it; the first warp looks.
inline int64_t chunk_of(const multinomial_arguments &g, const u64 *sums, u64 number, u64 &before) {
  before = 0;
  for (int64_t base = 0; base < g.chunks; base += 32) {
    int64_t i = base + threadIdx.x;
    u64 sum = i < g.chunks ? sums[i] : 0, through = sum;
    for (int apart = 1; apart < 32; apart *= 2) {
      u64 x = from_lane_before(through, apart);
      if (threadIdx.x >= apart) through += x;
    }
    uint32_t beyond = __ballot_sync(WHOLE_WARP, before + through > number);
    if (beyond) {
      int lane = __ffs(beyond) - 1;
      u64 until = from_lane_across(through - sum, 0);
      until = (u64)__shfl_sync(WHOLE_WARP, (unsigned long long)until, lane);
      before += until;
      return base + lane;
    }
    before += (u64)__shfl_sync(WHOLE_WARP, (unsigned long long)through, 31);
  }
  return g.chunks - 1; // of weights that are refused
}

// A block chooses one.
extern "C" __global__ void __launch_bounds__(THREADS)
choose(const __grid_constant__ multinomial_arguments g) {
  __shared__ u64 shared[THREADS / 32], number_in_chunk;
  __shared__ int64_t chosen_chunk;
  int64_t row = blockIdx.x / g.n;
  const u64 *sums = g.chunk_sums + row * g.chunks;
  u64 sum = 0, total;
  for (int64_t i = threadIdx.x; i < g.chunks; i += THREADS) sum += sums[i];
  sum_before(sum, shared, total);
  if (threadIdx.x < 32) {
    u64 before, number = philox_below(g.seed, g.offset, blockIdx.x, total);
    int64_t chunk = chunk_of(g, sums, number, before);
    if (threadIdx.x == 0) {
      chosen_chunk = chunk;
      number_in_chunk = number - before;
    }
  }
  __syncthreads();
  const int each = CHUNK / THREADS;
  double largest = __longlong_as_double(g.row[row].largest);
  int64_t first = chosen_chunk * CHUNK + threadIdx.x * each;
  u64 number = number_in_chunk, all;
  sum = 0;
#pragma unroll 4
  for (int i = 0; i < each; i++)
    if (first + i < g.categories)
      sum += integer_weight(weight(g, row * g.categories + first + i), largest);
  u64 before = sum_before(sum, shared, all);
  if (number < before || number - before >= sum) return;
  for (int i = 0; i < each; i++) {
    before += integer_weight(weight(g, row * g.categories + first + i), largest);
    if (before > number) {
      g.out[blockIdx.x] = first + i;
      return;
    }
  }
}
