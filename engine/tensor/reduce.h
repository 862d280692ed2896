/* reduce.h -- many elements to one: sums, extremes, and what is made of them. Floats accumulate in
 * double, integers modulo 2^64. `dims` is a set of dimensions, bit i for dimension i. */
#ifndef HONE_REDUCE_H
#define HONE_REDUCE_H

#include "tensor/kernels.h"
#include "tensor/tensor.h"

#define ALL_DIMS 0xFFFFu

typedef struct reduction {
  unsigned dims;
  bool keepdim;
  dtype dtype; /* of the result; DTYPE_NONE for torch's choice */
} reduction;

int tensor_fold(enum fold_op op, tensor *out, const tensor *a, reduction how, tensor_error *error);
int tensor_mean(tensor *out, const tensor *a, reduction how, tensor_error *error);
/* The root of the sum of squares. */
int tensor_norm(tensor *out, const tensor *a, reduction how, tensor_error *error);
/* Mean square deviation over count - correction; its root with `root`. */
int tensor_variance(tensor *out, const tensor *a, reduction how, double correction, bool root,
                    tensor_error *error);
int tensor_logsumexp(tensor *out, const tensor *a, reduction how, tensor_error *error);

/* The extreme (a fold of FOLD_MAX or FOLD_MIN) and where it is, counted from 0, the first of equal
 * ones, NaN before all: over one dimension, or over all elements in order. `values` may be NULL. */
int tensor_extreme(enum fold_op op, tensor *values, tensor *indices, const tensor *a, reduction how,
                   tensor_error *error);

int tensor_softmax(tensor *out, const tensor *a, int dim, bool logarithm, dtype dtype,
                   tensor_error *error);
/* Running sums (FOLD_SUM) or products (FOLD_PROD). */
int tensor_scan(enum fold_op op, tensor *out, const tensor *a, int dim, tensor_error *error);

#endif
