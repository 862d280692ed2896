/* gemm_bf16.h -- products of bfloat16 matrices by AVX-512's dot products of pairs, which are added
 * up in float32 at twice the speed of float32's own. As everywhere with these instructions,
 * subnormal numbers count as 0. */
#ifndef HONE_GEMM_BF16_H
#define HONE_GEMM_BF16_H

#include "tensor/dtype.h"

typedef struct bf16_matrix {
  const uint16_t *data;
  int64_t rows, columns;
  int64_t row_stride, column_stride; /* in elements, any */
} bf16_matrix;

bool gemm_bf16_available(void); /* on this machine */

/* c = a b, contiguous, of any float type; false when there is no memory. */
bool gemm_bf16(void *c, dtype c_dtype, const bf16_matrix *a, const bf16_matrix *b);

#endif
