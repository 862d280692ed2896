/* transpose.h -- what the kernels of transpose.cu are called with. Strides are in elements. */
#ifndef HONE_CUDA_TRANSPOSE_H
#define HONE_CUDA_TRANSPOSE_H

#include "strided.h"

#define TRANSPOSE_SIDE 64       /* of a square, in elements */
#define TRANSPOSE_PAIR_SIDE 128 /* of one of 16-bit elements, which go by pairs */

typedef struct transpose_arguments {
  void *to;
  const void *from;
  int64_t rows, columns;       /* neighbours in memory: columns in `to`, rows in `from` */
  int64_t to_row, from_column; /* strides of the other dimension */
  int64_t row_squares, column_squares;
  strided_shape outer; /* the dimensions besides */
  int64_t to_outer[STRIDED_RANK], from_outer[STRIDED_RANK];
} transpose_arguments;

#endif
