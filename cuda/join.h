/* join.h -- what the kernels of join.cu are called with. Strides are in elements. */
#ifndef HONE_CUDA_JOIN_H
#define HONE_CUDA_JOIN_H

#include "strided.h"

typedef struct flip_arguments {
  int64_t count;
  strided_shape shape;
  void *to;
  const void *from; /* what lies where the first element of the result comes from */
  int64_t to_stride[STRIDED_RANK], from_stride[STRIDED_RANK]; /* those of `from` may be negative */
} flip_arguments;

typedef struct triangle_arguments {
  int64_t count, rows, columns; /* of contiguous matrices */
  int64_t diagonal;
  int32_t upper;
  void *to;
} triangle_arguments;

#endif
