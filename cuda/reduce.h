/* reduce.h -- what the kernels of fold.cu, softmax.cu and scan.cu are called with. */
#ifndef HONE_CUDA_REDUCE_H
#define HONE_CUDA_REDUCE_H

#include "strided.h"

#define FOLD_THREADS 256

/* Where the elements of an operand and of a result lie, numbered through their dimensions. */
typedef struct place_map {
  strided_shape shape;
  int64_t from[STRIDED_RANK], to[STRIDED_RANK]; /* strides in elements */
  int32_t is_wide;                              /* a number or a size has more than 31 bits */
} place_map;

typedef struct fold_arguments {
  const void *in;
  void *out, *indices;     /* either may be NULL where the places of extremes are asked for */
  void *parts;             /* of results that several blocks work on; else NULL */
  place_map kept, gone;    /* innermost sizes in vectors, where elements are taken as vectors */
  int64_t outputs, inputs; /* results, and elements folded into each */
  int64_t split;           /* elements that one block folds: gridDim.y of them make up `inputs` */
  int64_t part_output, part_split; /* where parts lie, in parts */
  int64_t to_item;                 /* from one result of a vector to the next */
  int32_t group_log;               /* 2^group_log threads work on one result */
  double scale;                    /* of a sum; 0: none */
  double correction;
  int32_t root;
} fold_arguments;

#define SOFTMAX_THREADS 256 /* of a block, where a row takes no more */

typedef struct softmax_arguments {
  const void *in;
  void *out; /* contiguous */
  int64_t rows, n;
  place_map map;    /* softmax: where rows lie. normalise: elements, and their row's sums (`to`) */
  int32_t group;    /* threads of a block that work on one row: a power of two */
  const void *sums; /* normalise: of each row, as fold.cu's Softmax leaves them */
  int64_t vectors;  /* normalise: of the result */
  int64_t to_item;  /* normalise: 1 where neighbours are of different rows */
} softmax_arguments;

#define SCAN_THREADS 256

/* `in` is [outer, n, inner], contiguous unless inner is 1. */
typedef struct scan_arguments {
  const void *in;
  void *out;
  void *parts;   /* what chunks fold to: [row, chunk], or [chunk, outer, inner]; or NULL */
  place_map map; /* where rows lie, for inner of 1 */
  int64_t rows, n, inner;
  int64_t chunk, chunks; /* elements of a chunk, chunks of a row */
  int32_t group;         /* scan_short: threads that work on one row */
} scan_arguments;

#endif
