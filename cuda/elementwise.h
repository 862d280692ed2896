/* elementwise.h -- what the kernel of elementwise.cu is called with. */
#ifndef HONE_CUDA_ELEMENTWISE_H
#define HONE_CUDA_ELEMENTWISE_H

#include "strided.h"

typedef struct elementwise_arguments {
  int64_t count;       /* of vectors: the elements, by those that a thread takes at once */
  strided_shape shape; /* the innermost size in vectors */
  void *out;
  const void *in[3];
  uint64_t value[3]; /* the bits of an operand that is passed by value, as its number */
  int64_t out_stride[STRIDED_RANK], in_stride[3][STRIDED_RANK]; /* in vectors; 0: broadcast */
} elementwise_arguments;

#endif
