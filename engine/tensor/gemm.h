/* gemm.h -- products of matrices in memory. float32 and float64 go to OpenBLAS where it is
 * installed; the half types and float8 are added up in float32, by instructions for bfloat16 where
 * the machine has them, else widened a panel at a time; integers are added up modulo 2^64. */
#ifndef HONE_GEMM_H
#define HONE_GEMM_H

#include "tensor/dtype.h"
#include "tensor/storage.h"

typedef struct matrix {
  const void *data;
  dtype dtype;
  int64_t rows, columns;
  int64_t row_stride, column_stride; /* in elements, any */
} matrix;

/* What products of a type are added up in: float64, float32 or int64. */
dtype gemm_accumulator(dtype d);

/* c = a b, contiguous, a's rows by b's columns, of a's dtype or of its accumulator's. */
int gemm(void *c, dtype c_dtype, const matrix *a, const matrix *b, tensor_error *error);

/* Many products of matrices of one shape: the i-th has its operands `place`'s bytes further on. */
typedef struct gemm_batch {
  int64_t count;
  void (*place)(const void *context, int64_t i, int64_t *a_bytes, int64_t *b_bytes);
  const void *context;
} gemm_batch;

int gemm_batched(void *c, dtype c_dtype, const matrix *a, const matrix *b, const gemm_batch *batch,
                 tensor_error *error);

#endif
