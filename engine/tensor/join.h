/* join.h -- several tensors as one, one several times over, turned around or cut to a triangle. */
#ifndef HONE_JOIN_H
#define HONE_JOIN_H

#include "tensor/tensor.h"

/* One after the other along a dimension that exists; dtypes are promoted. */
int tensor_cat(tensor *out, int n, const tensor *const *parts, int dim, tensor_error *error);
/* Side by side along a new dimension. */
int tensor_stack(tensor *out, int n, const tensor *const *parts, int dim, tensor_error *error);
/* times[i] times along dimension i of as many as `rank`; t's dimensions are the last of them. */
int tensor_repeat(tensor *out, const tensor *t, int rank, const int64_t *times,
                  tensor_error *error);
int tensor_flip(tensor *out, const tensor *t, unsigned dims, tensor_error *error);
/* Of each matrix, what lies on or below (upper: above) the diagonal; the rest is zero. */
int tensor_triangle(tensor *out, const tensor *t, int64_t diagonal, bool upper,
                    tensor_error *error);

#endif
