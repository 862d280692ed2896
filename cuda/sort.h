/* sort.h -- what the kernels that sort, select and search are called with. Rows lie contiguous. An
 * element is moved as its bits; a place is its number in its row. */
#ifndef HONE_CUDA_SORT_H
#define HONE_CUDA_SORT_H

#include "strided.h"

#define SORT_THREADS 256 /* of a block; also the values of a digit */
#define SORT_WARPS (SORT_THREADS / 32)
#define SORT_DIGIT_BITS 8
#define TOPK_DIGIT_BITS 11
#define TOPK_BINS (1 << TOPK_DIGIT_BITS)
#define TOPK_ITEMS 8 /* elements a thread has in its hands */

/* How bits become a key, an unsigned number that orders as the elements do: sort_order.cuh. */
typedef struct sort_order {
  uint64_t flip;    /* of the key's bits: all of them where the order descends */
  uint64_t largest; /* magnitude of a float that is no NaN */
} sort_order;

typedef struct sort_arguments {
  const void *from;
  const uint32_t *from_places; /* NULL: elements lie where their places are */
  void *to;                    /* of each row the first `take` */
  uint32_t *to_places;         /* or, where this is NULL, */
  int64_t *indices;
  int64_t rows, length, take;
  sort_order order;
  /* sort.cu alone */
  int32_t count_items; /* elements that a thread counts */
  int64_t tiles;       /* of a row */
  void *histograms;    /* [rows, passes, 256] */
  void *tile_state;    /* of this pass [rows * tiles, 256] */
  void *next_state;    /* of the next one, to be cleared */
  uint32_t *tickets;   /* one a pass */
  int32_t pass, passes;
} sort_arguments;

/* Where the search for the last of the k first elements of a row stands. */
typedef struct topk_state {
  uint64_t prefix; /* the high digits of its key */
  uint64_t wanted; /* how many of the elements with this prefix are among the k first */
} topk_state;

/* Rows are cut into chunks, one for a block. */
typedef struct topk_arguments {
  const void *from;
  int64_t rows, length, take;
  int64_t chunks, chunk; /* of a row, and elements of each */
  sort_order order;
  uint32_t *histograms;     /* [passes, rows, TOPK_BINS] */
  topk_state *states;       /* [passes + 1, rows] */
  int32_t pass, passes;     /* pass 0 looks at the highest digit */
  int64_t room;             /* of each chunk's list */
  void *list;               /* [rows, chunks, room]: those before the last one's key in front, */
  uint32_t *list_places;    /* those with the same key at the end, backwards */
  uint32_t *before, *equal; /* how many there are of them: [rows, chunks] */
  void *to;                 /* [rows, take] */
  uint32_t *to_places;
} topk_arguments;

typedef struct search_arguments {
  const void *sorted, *values;
  int64_t *places;
  int64_t count, each;        /* values, and those that search one row */
  int64_t length, row_stride; /* 0: there is one row */
  sort_order order;
  int32_t right;
} search_arguments;

/* Of all elements, sorted, which begin a run of equal ones; and what is told of each run. */
typedef struct distinct_arguments {
  const void *sorted;
  const int64_t *order; /* where each was before */
  int64_t count, groups;
  sort_order by;
  uint8_t *flags;
  const int64_t *tile_starts; /* of compact.cu */
  int64_t *inverse, *starts, *counts;
  void *values;
} distinct_arguments;

#endif
