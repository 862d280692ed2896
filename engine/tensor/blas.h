/* blas.h -- OpenBLAS, opened on first use. */
#ifndef HONE_BLAS_H
#define HONE_BLAS_H

enum { BLAS_ROW_MAJOR = 101, BLAS_PLAIN = 111, BLAS_TRANSPOSED = 112 };

typedef struct blas {
  void (*sgemm)(int layout, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
  void (*dgemm)(int layout, int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                const double *a, int lda, const double *b, int ldb, double beta, double *c,
                int ldc);
  void (*set_threads)(int threads);
} blas;

/* NULL where OpenBLAS is not installed. HONE_OPENBLAS names another file, or is "none". */
const blas *blas_open(void);

#endif
