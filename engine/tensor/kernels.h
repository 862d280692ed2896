/* kernels.h -- loops over contiguous elements, one table of them for each instruction set. */
#ifndef HONE_KERNELS_H
#define HONE_KERNELS_H

#include "tensor/dtype.h"

enum unary_op {
#define UNARY(name, ...) UNARY_##name,
#define BINARY(...)
#define TERNARY(...)
#include "tensor/ops.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  UNARY_COUNT
};

enum binary_op {
#define UNARY(...)
#define BINARY(name, ...) BINARY_##name,
#define TERNARY(...)
#include "tensor/ops.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  BINARY_COUNT
};

enum ternary_op {
#define UNARY(...)
#define BINARY(...)
#define TERNARY(name, ...) TERNARY_##name,
#include "tensor/ops.def"
#undef UNARY
#undef BINARY
#undef TERNARY
  TERNARY_COUNT
};

enum fold_op {
  FOLD_SUM,
  FOLD_PROD,
  FOLD_MAX,
  FOLD_MIN,
  FOLD_ANY,
  FOLD_ALL,
  FOLD_SQUARES,
  FOLD_COUNT
};

typedef void unary_kernel(void *out, const void *a, int64_t n);
typedef void binary_kernel(void *out, const void *a, const void *b, int64_t n);
typedef void ternary_kernel(void *out, const void *a, const void *b, const void *c, int64_t n);
typedef void select_kernel(void *out, const uint8_t *condition, const void *a, const void *b,
                           int64_t n);
/* n elements, `stride` bytes apart, to or from contiguous memory. */
typedef void move_kernel(void *out, const void *in, int64_t stride, int64_t n);

/* What a reduction accumulates in: sums and products of floats in double, of integers modulo 2^64;
 * maxima and minima in either. */
typedef union accumulator {
  double f;
  int64_t i;
} accumulator;

typedef struct kernel_table {
  const char *name;
  unary_kernel *const *unary[COMPUTE_COUNT]; /* [UNARY_...]: NULL where there is none */
  binary_kernel *const *binary[COMPUTE_COUNT];
  ternary_kernel *const *ternary[COMPUTE_COUNT];
  unary_kernel *convert[COMPUTE_COUNT][COMPUTE_COUNT]; /* [to][from] */
  unary_kernel *widen[DTYPE_COUNT];                    /* a small float's bits to float32 */
  unary_kernel *narrow[DTYPE_COUNT];
  select_kernel *select[4]; /* by the logarithm of the element size */
  move_kernel *gather[4], *scatter[4];
  void (*fold_run[COMPUTE_COUNT][FOLD_COUNT])(accumulator *one, const void *in, int64_t n);
  void (*fold_rows[COMPUTE_COUNT][FOLD_COUNT])(accumulator *each, const void *in, int64_t n);
  /* The sum of exp(x - shift); out, where not NULL, receives the terms. */
  double (*sum_exp_f32)(float *out, const float *in, float shift, int64_t n);
  double (*sum_exp_f64)(double *out, const double *in, double shift, int64_t n);
} kernel_table;

/* The best table for this processor. */
const kernel_table *kernels(void);

static inline int size_index(size_t size) {
  return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
}

#endif
