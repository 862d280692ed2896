/* compact.h -- what the kernels of compact.cu are called with: finding the flags that are set, in
 * order, by tiles. */
#ifndef HONE_CUDA_COMPACT_H
#define HONE_CUDA_COMPACT_H

#include "strided.h"

#define COMPACT_THREADS 256
#define COMPACT_ITEMS 16 /* flags a thread */
#define COMPACT_TILE (COMPACT_THREADS * COMPACT_ITEMS)

typedef struct compact_arguments {
  const uint8_t *flags;
  int64_t count, tiles;
  int64_t *starts; /* [tiles + 1]: of each tile its flags, then those of all before; last, all */
  int64_t *places; /* [found, shape.rank] */
  strided_shape shape;
  int32_t is_wide;
} compact_arguments;

#endif
