#include "tensor/sortkeys.h"

#include <string.h>

/* ---- keys ------------------------------------------------------------------------------------ */

/* Numbers of one sign order as their magnitudes do: negative ones downwards from `sign`, the
 * others upwards from it. NaN are the magnitudes above `largest`. */
static inline uint64_t float_key(uint64_t bits, int width, uint64_t largest) {
  uint64_t sign = (uint64_t)1 << (width - 1);
  uint64_t magnitude = bits & (sign - 1);
  if (magnitude > largest) return sign | (sign - 1);
  return bits & sign ? sign - magnitude : sign + magnitude;
}

#define LOAD(name, unsigned_type, key)                                                             \
  static void name(sort_entry *entries, const void *data, int64_t first, int64_t n,                \
                   int64_t stride, uint64_t flip) {                                                \
    const unsigned_type *from = data;                                                              \
    for (int64_t i = 0; i < n; i++) {                                                              \
      uint64_t bits = from[(first + i) * stride];                                                  \
      entries[i] = (sort_entry){(key) ^ flip, first + i};                                          \
    }                                                                                              \
  }

LOAD(load_float64, uint64_t, float_key(bits, 64, 0x7FF0000000000000u))
LOAD(load_float32, uint32_t, float_key(bits, 32, 0x7F800000u))
LOAD(load_float16, uint16_t, float_key(bits, 16, 0x7C00u))
LOAD(load_bfloat16, uint16_t, float_key(bits, 16, 0x7F80u))
LOAD(load_float8_e4m3fn, uint8_t, float_key(bits, 8, 0x7Eu))
LOAD(load_float8_e5m2, uint8_t, float_key(bits, 8, 0x7Cu))
LOAD(load_int64, uint64_t, bits ^ (uint64_t)1 << 63)
LOAD(load_int32, uint32_t, bits ^ 0x80000000u)
LOAD(load_int16, uint16_t, bits ^ 0x8000u)
LOAD(load_int8, uint8_t, bits ^ 0x80u)
LOAD(load_uint8, uint8_t, bits)

typedef void load(sort_entry *entries, const void *data, int64_t first, int64_t n, int64_t stride,
                  uint64_t flip);

static load *const loads[DTYPE_COUNT] = {[DTYPE_FLOAT64] = load_float64,
                                         [DTYPE_FLOAT32] = load_float32,
                                         [DTYPE_FLOAT16] = load_float16,
                                         [DTYPE_BFLOAT16] = load_bfloat16,
                                         [DTYPE_FLOAT8_E4M3FN] = load_float8_e4m3fn,
                                         [DTYPE_FLOAT8_E5M2] = load_float8_e5m2,
                                         [DTYPE_INT64] = load_int64,
                                         [DTYPE_INT32] = load_int32,
                                         [DTYPE_INT16] = load_int16,
                                         [DTYPE_INT8] = load_int8,
                                         [DTYPE_UINT8] = load_uint8,
                                         [DTYPE_BOOL] = load_uint8};

void sort_load(sort_entry *entries, const void *data, int64_t first, int64_t n, int64_t stride,
               dtype type, bool descending) {
  uint64_t flip = descending ? ~(uint64_t)0 >> (64 - 8 * dtype_size(type)) : 0;
  loads[type](entries, data, first, n, stride, flip);
}

/* ---- sorting --------------------------------------------------------------------------------- */

enum { INSERTION_LIMIT = 48, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

static void insertion_sort(sort_entry *entries, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    sort_entry entry = entries[i];
    int64_t j = i;
    for (; j > 0 && entries[j - 1].key > entry.key; j--) entries[j] = entries[j - 1];
    entries[j] = entry;
  }
}

/* One pass of the radix sort, `from` to `to`; false when all have the same digit, and nothing is
 * moved. */
static bool radix_pass(const sort_entry *from, sort_entry *to, int64_t n, int shift) {
  int64_t starts[DIGITS] = {0};
  for (int64_t i = 0; i < n; i++) starts[from[i].key >> shift & (DIGITS - 1)]++;
  if (starts[from[0].key >> shift & (DIGITS - 1)] == n) return false;
  int64_t start = 0;
  for (int digit = 0; digit < DIGITS; digit++) {
    int64_t count = starts[digit];
    starts[digit] = start;
    start += count;
  }
  for (int64_t i = 0; i < n; i++) to[starts[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
  return true;
}

void sort_entries(sort_entry *entries, sort_entry *scratch, int64_t n) {
  if (n <= INSERTION_LIMIT) {
    insertion_sort(entries, n);
    return;
  }
  sort_entry *from = entries, *to = scratch;
  for (int shift = 0; shift < 64; shift += DIGIT_BITS) {
    if (!radix_pass(from, to, n, shift)) continue;
    sort_entry *swap = from;
    from = to;
    to = swap;
  }
  if (from != entries) memcpy(entries, from, (size_t)n * sizeof *entries);
}

/* By trading places, keys and indices are sorted by the same code. */
static void trade_places(sort_entry *entries, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    entries[i] = (sort_entry){(uint64_t)entries[i].index, (int64_t)entries[i].key};
}

void sort_by_index(sort_entry *entries, sort_entry *scratch, int64_t n) {
  trade_places(entries, n);
  sort_entries(entries, scratch, n);
  trade_places(entries, n);
}

/* ---- selection ------------------------------------------------------------------------------- */

/* Keys with their indices are all different: the selection is unique. */
static bool precedes(sort_entry a, sort_entry b) {
  return a.key < b.key || (a.key == b.key && a.index < b.index);
}

static void exchange(sort_entry *a, sort_entry *b) {
  sort_entry held = *a;
  *a = *b;
  *b = held;
}

static sort_entry median_of_three(sort_entry a, sort_entry b, sort_entry c) {
  if (precedes(b, a)) exchange(&a, &b);
  if (precedes(c, b)) b = c;
  return precedes(b, a) ? a : b;
}

/* Hoare's partition: afterwards no entry below the result follows one at or above it. */
static int64_t partition(sort_entry *entries, int64_t n) {
  sort_entry pivot = median_of_three(entries[0], entries[n / 2], entries[n - 1]);
  int64_t low = 0, high = n - 1;
  for (;;) {
    while (precedes(entries[low], pivot)) low++;
    while (precedes(pivot, entries[high])) high--;
    if (low >= high) return high + 1;
    exchange(&entries[low++], &entries[high--]);
  }
}

/* The k first by a heap, the largest on top: for patterns that defeat the pivots. */
static void sift_down(sort_entry *heap, int64_t n, int64_t at) {
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && precedes(heap[child], heap[child + 1])) child++;
    if (!precedes(heap[at], heap[child])) return;
    exchange(&heap[at], &heap[child]);
  }
}

static void heap_select(sort_entry *entries, int64_t n, int64_t k) {
  for (int64_t i = k / 2; i-- > 0;) sift_down(entries, k, i);
  for (int64_t i = k; i < n; i++) {
    if (!precedes(entries[i], entries[0])) continue;
    exchange(&entries[i], &entries[0]);
    sift_down(entries, k, 0);
  }
}

void sort_select(sort_entry *entries, int64_t n, int64_t k) {
  for (int rounds = 0; k > 0 && k < n && n > 2; rounds++) {
    if (rounds == 100) {
      heap_select(entries, n, k);
      return;
    }
    int64_t split = partition(entries, n);
    if (split >= n) split = n - 1; /* progress, whatever the pivot: the last is the largest */
    if (k <= split) {
      n = split;
    } else {
      entries += split;
      n -= split;
      k -= split;
    }
  }
  if (k == 1 && n == 2 && precedes(entries[1], entries[0])) exchange(&entries[0], &entries[1]);
}

/* ---- the first of many ----------------------------------------------------------------------- */

/* Selecting costs a pass over what is held: the more room, the fewer passes. */
static int64_t held_at_most(int64_t k) {
  return 2 * k + 1024;
}

int64_t sort_first_room(int64_t k) {
  return 2 * held_at_most(k);
}

void sort_first_begin(sort_first *f, sort_entry *entries, int64_t k) {
  *f = (sort_first){.entries = entries, .k = k};
}

/* Keep the k first. What comes later with the last one's key has a higher index: it comes after. */
static void keep_first(sort_first *f) {
  uint64_t last = 0;
  sort_select(f->entries, f->count, f->k);
  for (int64_t i = 0; i < f->k; i++)
    if (f->entries[i].key > last) last = f->entries[i].key;
  f->limit = last;
  f->limited = true;
  f->count = f->k;
}

void sort_first_add(sort_first *f, const sort_entry *entries, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (f->limited && entries[i].key >= f->limit) continue;
    f->entries[f->count++] = entries[i];
    if (f->count == held_at_most(f->k)) keep_first(f);
  }
}

void sort_first_end(sort_first *f) {
  sort_entry *scratch = f->entries + held_at_most(f->k);
  sort_select(f->entries, f->count, f->k);
  sort_by_index(f->entries, scratch, f->k); /* selection moves equals about */
  sort_entries(f->entries, scratch, f->k);
}
