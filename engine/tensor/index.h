/* index.h -- elements named by tensors of indices, which count from 0. An index out of range is an
 * error before anything is written. */
#ifndef HONE_INDEX_H
#define HONE_INDEX_H

#include "tensor/tensor.h"

/* at[d] holds integers for dimension d, or is NULL for all of it. They broadcast together; their
 * shape stands where the indexed dimensions were if those are neighbours, else in front. Negative
 * indices count from the end. */
int tensor_index(tensor *out, const tensor *t, const tensor *const *at, tensor_error *error);
/* Write values, broadcast and cast, to the same places; add them there with `accumulate`. */
int tensor_index_put(tensor *t, const tensor *const *at, const tensor *values, bool accumulate,
                     tensor_error *error);

/* Along one dimension, by one vector of indices: none negative. */
int tensor_index_select(tensor *out, const tensor *t, int dim, const tensor *index,
                        tensor_error *error);
/* t's slices at index from source's slices: copied, or added. */
int tensor_index_write(tensor *t, int dim, const tensor *index, const tensor *source,
                       bool accumulate, tensor_error *error);

/* out[i, j] = t[index[i, j], j], for dim 0. */
int tensor_gather(tensor *out, const tensor *t, int dim, const tensor *index, tensor_error *error);
/* t[index[i, j], j] = source[i, j], or += with accumulate; source may be 0-d. */
int tensor_scatter(tensor *t, int dim, const tensor *index, const tensor *source, bool accumulate,
                   tensor_error *error);

/* int64 [n, rank]: the places of elements that are not zero, in order. */
int tensor_nonzero(tensor *out, const tensor *t, tensor_error *error);
int tensor_masked_select(tensor *out, const tensor *t, const tensor *mask, tensor_error *error);

/* n elements of `size` bytes, each some bytes apart. */
void copy_strided(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n,
                  size_t size);

#endif
