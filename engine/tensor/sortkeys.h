/* sortkeys.h -- what sorting rests on: unsigned keys that order as a type's values do, and stable
 * sorting and selection of them. NaN is the largest value and all NaNs are equal, as are -0 and 0;
 * entries of equal keys stay in the order of their indices. */
#ifndef HONE_SORTKEYS_H
#define HONE_SORTKEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

typedef struct sort_entry {
  uint64_t key;
  int64_t index;
} sort_entry;

/* Entries of `n` elements that lie `stride` elements apart, from number `first` on, which is the
 * first one's index. */
void sort_load(sort_entry *entries, const void *data, int64_t first, int64_t n, int64_t stride,
               dtype type, bool descending);

/* Sort by key, stable. `scratch` has room for n entries. */
void sort_entries(sort_entry *entries, sort_entry *scratch, int64_t n);

/* Bring entries into the order of their indices. */
void sort_by_index(sort_entry *entries, sort_entry *scratch, int64_t n);

/* Move the k entries that sorting would put first to the front, in any order. */
void sort_select(sort_entry *entries, int64_t n, int64_t k);

/* The k entries that sorting would put first, of many that come in the order of their indices.
 * `entries` has room for sort_first_room(k): what may still belong to them, and scratch. */
typedef struct sort_first {
  sort_entry *entries;
  int64_t k, count;
  bool limited;
  uint64_t limit; /* if so: keys from here on come too late */
} sort_first;

int64_t sort_first_room(int64_t k);
void sort_first_begin(sort_first *f, sort_entry *entries, int64_t k);
void sort_first_add(sort_first *f, const sort_entry *entries, int64_t n);
/* Bring entries[0] to entries[k - 1] in order; at least k were added. */
void sort_first_end(sort_first *f);

#endif
