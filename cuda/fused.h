/* fused.h -- what the kernel of fused.cu is called with. */
#ifndef HONE_CUDA_FUSED_H
#define HONE_CUDA_FUSED_H

#include "strided.h"

#define FUSED_MOST_LEAVES 12

typedef struct fused_arguments {
  int64_t count;       /* of vectors: the elements, by those that a thread takes at once */
  strided_shape shape; /* the innermost size in vectors */
  void *out;
  const void *in[FUSED_MOST_LEAVES];
  uint64_t value[FUSED_MOST_LEAVES];                  /* the bits of a number, in its leaf's type */
  int64_t out_stride[STRIDED_RANK];                   /* in vectors */
  int64_t in_stride[FUSED_MOST_LEAVES][STRIDED_RANK]; /* likewise; 0: broadcast */
} fused_arguments;

#define THIN_ROWS 8 /* of the first matrix, at most */

/* [batch, m, k] by [batch, k, n], of which the second is computed on the way. Its dimensions are
 * the outer ones, of the batch and n, and the inner ones, of k. */
typedef struct thin_arguments {
  int64_t outer, n, k; /* elements: of the batch and n together, of n, of k */
  int32_t m;
  strided_shape outer_shape, inner_shape; /* the one along which vectors lie, in vectors */
  const float *a;                         /* contiguous */
  float *out;
  const void *in[FUSED_MOST_LEAVES];
  uint64_t value[FUSED_MOST_LEAVES];
  int64_t outer_stride[FUSED_MOST_LEAVES][STRIDED_RANK]; /* in vectors; 0: broadcast */
  int64_t inner_stride[FUSED_MOST_LEAVES][STRIDED_RANK];
} thin_arguments;

#endif
