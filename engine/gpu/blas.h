/* blas.h -- cuBLASLt, opened on first use: batches of products of matrices in memory. */
#ifndef HONE_GPU_BLAS_H
#define HONE_GPU_BLAS_H

#include "context.h"

/* Element types, by CUDA's numbers. */
enum {
  BLAS_FLOAT32 = 0,
  BLAS_FLOAT64 = 1,
  BLAS_FLOAT16 = 2,
  BLAS_BFLOAT16 = 14,
  BLAS_FLOAT8_E4M3FN = 28,
  BLAS_FLOAT8_E5M2 = 29,
};

/* A matrix of column-major storage, as BLAS has it: `rows` by `columns` before `transposed`. */
typedef struct gpu_matrix {
  CUdeviceptr data;
  int type;
  bool transposed;
  int64_t rows, columns, leading, batch_stride; /* in elements */
} gpu_matrix;

/* to = a b for `batch` products. Sums are float32, of float64 float64. The device's context is
 * current. Returns 0, a negative code for an error, GPU_BLAS_UNSUPPORTED where cuBLASLt has no
 * kernel for these operands: bring them into another form. */
enum { GPU_BLAS_UNSUPPORTED = 1 };
int gpu_blas_multiply(gpu_device *device, const gpu_matrix *to, const gpu_matrix *a,
                      const gpu_matrix *b, int64_t batch, gpu_error *error);

#endif
