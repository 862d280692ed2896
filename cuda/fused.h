/* fused.h -- what the kernel of fused.cu is called with. */
#ifndef HONE_CUDA_FUSED_H
#define HONE_CUDA_FUSED_H

#include "strided.h"

#define FUSED_MOST_LEAVES 8

typedef struct fused_arguments {
  int64_t count;       /* of vectors: the elements, by those that a thread takes at once */
  strided_shape shape; /* the innermost size in vectors */
  void *out;
  const void *in[FUSED_MOST_LEAVES];
  uint64_t value[FUSED_MOST_LEAVES]; /* the bits of a number, in its leaf's type */
  int64_t out_stride[STRIDED_RANK];  /* in vectors */
  int64_t in_stride[FUSED_MOST_LEAVES][STRIDED_RANK]; /* likewise; 0: broadcast */
} fused_arguments;

#endif
