/* sort.h -- ordering elements: sort, the k largest or smallest, distinct values, binary search.
 * The order is torch's: NaN is larger than every number, -0 equals 0, and equal elements keep
 * their places (also where torch leaves that open). */
#ifndef HONE_SORT_H
#define HONE_SORT_H

#include "tensor/tensor.h"

/* Values and their positions along `dim` before sorting (int64). */
int tensor_sort(tensor *values, tensor *indices, const tensor *t, int dim, bool descending,
                tensor_error *error);

/* The k largest (or smallest) along `dim`, the first of them in front. */
int tensor_topk(tensor *values, tensor *indices, const tensor *t, int64_t k, int dim, bool largest,
                tensor_error *error);

/* The distinct values of all elements, ascending; for every element its place among them; how
 * often each occurs. NaNs are distinct from one another. */
int tensor_unique(tensor *values, tensor *inverse, tensor *counts, const tensor *t,
                  tensor_error *error);

/* Where each of `values` would go among `sorted`, whose last dimension ascends: before its equals,
 * or after them if `right`. `sorted` has one dimension, or the leading sizes of `values`. */
int tensor_searchsorted(tensor *out, const tensor *sorted, const tensor *values, bool right,
                        tensor_error *error);

#endif
