// sort_short.cu -- rows of at most 32 * ITEMS elements, a warp each: Batcher's bitonic network
// over the pairs of key and place, which are all different. Macros: WORD, BITS, FLOAT, ITEMS.
#include "sort_order.cuh"

#if BITS > 32
struct Entry {
  uint64_t key;
  uint32_t place;
};
inline bool comes_before(const Entry &a, const Entry &b) {
  return a.key < b.key || (a.key == b.key && a.place < b.place);
}
inline Entry entry_of(WORD key, uint32_t place) { return {key, place}; }
inline uint32_t place_of(const Entry &e) { return e.place; }
inline Entry from_lane_across(const Entry &e, int mask) {
  return {__shfl_xor_sync(0xFFFFFFFFu, e.key, mask), __shfl_xor_sync(0xFFFFFFFFu, e.place, mask)};
}
#define LAST_KEY (~(uint64_t)0)
#else
typedef uint64_t Entry;
inline bool comes_before(Entry a, Entry b) { return a < b; }
inline Entry entry_of(WORD key, uint32_t place) { return (uint64_t)key << 32 | place; }
inline uint32_t place_of(Entry e) { return (uint32_t)e; }
inline Entry from_lane_across(Entry e, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, e, mask); }
#define LAST_KEY ((WORD)~(WORD)0)
#endif

// Entry number lane * ITEMS + i meets the one whose number differs in the bit `apart`.
template <int apart> inline void meet(Entry (&e)[ITEMS], int length) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    bool ascends = ((lane * ITEMS + i) & length) == 0;
    if (apart < ITEMS) {
      if (i & apart) continue;
      Entry &other = e[i + (apart < ITEMS ? apart : 0)];
      if (comes_before(other, e[i]) == ascends) {
        Entry held = e[i];
        e[i] = other;
        other = held;
      }
    } else {
      Entry other = from_lane_across(e[i], apart / ITEMS);
      bool is_lower = (lane & (apart / ITEMS)) == 0;
      if (comes_before(other, e[i]) == (ascends == is_lower)) e[i] = other;
    }
  }
}

template <int apart> struct Merge {
  static void run(Entry (&e)[ITEMS], int length) {
    meet<apart>(e, length);
    Merge<apart / 2>::run(e, length);
  }
};
template <> struct Merge<0> {
  static void run(Entry (&)[ITEMS], int) {}
};
template <int length> struct Network {
  static void run(Entry (&e)[ITEMS]) {
    Network<length / 2>::run(e);
    Merge<length / 2>::run(e, length);
  }
};
template <> struct Network<1> {
  static void run(Entry (&)[ITEMS]) {}
};

extern "C" __global__ void __launch_bounds__(SORT_THREADS)
    sort_short(const __grid_constant__ sort_arguments g) {
  int64_t row = (int64_t)blockIdx.x * SORT_WARPS + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= g.rows) return;
  const WORD *from = static_cast<const WORD *>(g.from) + row * g.length;
  Entry e[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    uint32_t place = i * 32 + lane; // at first it does not matter who holds what
    e[i] = entry_of(place < g.length ? key_of(from[place], g.order) : LAST_KEY, place);
  }
  Network<32 * ITEMS>::run(e);
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    uint32_t at = lane * ITEMS + i, place = place_of(e[i]);
    if (at >= g.take) continue;
    static_cast<WORD *>(g.to)[row * g.take + at] = from[place];
    g.indices[row * g.take + at] = g.from_places ? g.from_places[row * g.length + place] : place;
  }
}
