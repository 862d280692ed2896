/* compare.h -- how far two tensors are apart. */
#ifndef HONE_COMPARE_H
#define HONE_COMPARE_H

#include "tensor/tensor.h"

/* Same shape and same elements, whatever the dtypes; NaN equals nothing. */
int tensor_equal(bool *same, const tensor *a, const tensor *b, tensor_error *error);
int tensor_allclose(bool *close, const tensor *a, const tensor *b, double rtol, double atol,
                    bool equal_nan, tensor_error *error);

/* In float32, as the judge has it: absolute error |a - b|, relative error |a - b| / (|b| + 1e-8);
 * an element is bad when both are beyond their tolerance. Where either is not finite, the element
 * is a match if the other is the same (NaN for NaN, the same infinity), else bad and counted as
 * such. */
typedef struct comparison {
  double rtol, atol;
  int64_t count, bad, nonfinite;
  int64_t first_bad;                 /* in order of the elements; -1 for none */
  double max_absolute, max_relative; /* of finite pairs; infinite with a mismatch that is not */
} comparison;

int tensor_compare(comparison *c, const tensor *a, const tensor *b, tensor_error *error);

#endif
