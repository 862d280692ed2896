/* tensor.h -- strided views of storage: shapes, views, copies. Dimensions count from 0 here.
 *
 * Functions return 0 or a negative code of storage.h with the reason in *error. `out` is written
 * only on success, then holds its own reference, and may be the same tensor as an input only where
 * that is said. A tensor whose storage is NULL holds nothing and may be released. */
#ifndef HONE_TENSOR_H
#define HONE_TENSOR_H

#include <stdbool.h>
#include <stdint.h>
#include "tensor/dtype.h"
#include "tensor/storage.h"

#define TENSOR_MAX_RANK 8

typedef struct tensor {
  storage *storage;
  int64_t offset; /* of the first element, in elements */
  int rank;
  int64_t shape[TENSOR_MAX_RANK];
  int64_t stride[TENSOR_MAX_RANK]; /* in elements; never negative */
  dtype dtype;
} tensor;

/* ---- making and letting go --------------------------------------------------------------------
 */

/* Contiguous, not initialised. */
int tensor_empty(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                 tensor_error *error);
int tensor_zeros(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                 tensor_error *error);
/* A contiguous tensor over a storage that exists; fails where the storage is too small. */
int tensor_over(tensor *out, storage *s, int64_t byte_offset, dtype dtype, int rank,
                const int64_t *shape, tensor_error *error);
void tensor_share(tensor *out, const tensor *t); /* one more reference to the same elements */
void tensor_release(tensor *t);                  /* leaves *t holding nothing */

/* ---- questions --------------------------------------------------------------------------------
 */

int64_t tensor_count(const tensor *t);
size_t tensor_bytes(const tensor *t); /* of its elements, were it contiguous */
void *tensor_data(const tensor *t);   /* the first element */
bool tensor_is_contiguous(const tensor *t);
bool tensor_same_shape(const tensor *a, const tensor *b);
bool tensor_overlaps_itself(const tensor *t); /* two indices, one address: it cannot be written */
bool tensor_is_dense(const tensor *t); /* contiguous, if need be in another order of dimensions */
/* Might they share memory other than element for element? */
bool tensor_overlaps_partly(const tensor *a, const tensor *b);

/* The number of elements of a shape; fails on a negative size and on more bytes than fit. */
int shape_count(int64_t *count, dtype dtype, int rank, const int64_t *shape, tensor_error *error);
/* The shape two shapes broadcast to. `verb` as in "cannot add ..."; a and b are only looked at. */
int shape_broadcast(const char *verb, const tensor *a, const tensor *b, int *rank, int64_t *shape,
                    tensor_error *error);

/* "float32 [3, 4]", in a buffer of the caller's, for messages. */
#define TENSOR_TEXT 128
const char *tensor_describe(const tensor *t, char text[TENSOR_TEXT]);
const char *shape_describe(int rank, const int64_t *shape, char text[TENSOR_TEXT]);

/* ---- views: no element moves
 * -------------------------------------------------------------------*/

int tensor_expand(tensor *out, const tensor *t, int rank, const int64_t *shape,
                  tensor_error *error);
int tensor_permute(tensor *out, const tensor *t, const int *order, tensor_error *error);
int tensor_transpose(tensor *out, const tensor *t, int a, int b, tensor_error *error);
/* Elements first, first + step, ... below last (0 <= first; step > 0); out of range is clipped. */
int tensor_slice(tensor *out, const tensor *t, int dim, int64_t first, int64_t last, int64_t step,
                 tensor_error *error);
int tensor_narrow(tensor *out, const tensor *t, int dim, int64_t first, int64_t length,
                  tensor_error *error);
int tensor_select(tensor *out, const tensor *t, int dim, int64_t index, tensor_error *error);
int tensor_squeeze(tensor *out, const tensor *t, int dim,
                   tensor_error *error); /* -1: all of them */
int tensor_unsqueeze(tensor *out, const tensor *t, int dim, tensor_error *error);
int tensor_flatten(tensor *out, const tensor *t, int first, int last, tensor_error *error);
/* The elements in another shape without moving them; one size may be -1. */
int tensor_view(tensor *out, const tensor *t, int rank, const int64_t *shape, tensor_error *error);
/* Any strides over t's storage, from `offset` elements on; refused where they leave it. */
int tensor_as_strided(tensor *out, const tensor *t, int rank, const int64_t *shape,
                      const int64_t *stride, int64_t offset, tensor_error *error);
/* Its bytes as another dtype; the last dimension grows or shrinks with the size. */
int tensor_view_dtype(tensor *out, const tensor *t, dtype dtype, tensor_error *error);

/* ---- copies -----------------------------------------------------------------------------------
 */

/* A view where that is possible, else a copy. */
int tensor_reshape(tensor *out, const tensor *t, int rank, const int64_t *shape,
                   tensor_error *error);
int tensor_contiguous(tensor *out, const tensor *t, tensor_error *error); /* itself if it is so */
int tensor_clone(tensor *out, const tensor *t, tensor_error *error);
int tensor_to(tensor *out, const tensor *t, dtype dtype,
              tensor_error *error); /* itself if it is so */
/* Every element of `to` from `from`, which is cast and broadcast. */
int tensor_copy(tensor *to, const tensor *from, tensor_error *error);

#endif
