/* matmul.h -- what the kernel of matmul.cu is called with. Strides are in elements. */
#ifndef HONE_CUDA_MATMUL_H
#define HONE_CUDA_MATMUL_H

#include "strided.h"

#define MATMUL_SIDE 32 /* of the square of the result that a block makes */

typedef struct matmul_arguments {
  void *to; /* contiguous */
  const void *a, *b;
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, b_column;
  strided_shape batch;
  int64_t a_batch[STRIDED_RANK], b_batch[STRIDED_RANK];
} matmul_arguments;

#endif
