/* view.c -- other shapes over the same elements. */
#include "tensor/tensor.h"

int tensor_expand(tensor *out, const tensor *t, int rank, const int64_t *shape,
                  tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  tensor made = *t;
  int added = rank - t->rank;
  if (rank > TENSOR_MAX_RANK || added < 0)
    return tensor_fail(error, TENSOR_INVALID, "cannot expand %.80s to %.80s: %s dimensions",
                       tensor_describe(t, left), shape_describe(rank, shape, right),
                       added < 0 ? "too few" : "too many");
  made.rank = rank;
  for (int i = 0; i < rank; i++) {
    int64_t size = i < added ? 1 : t->shape[i - added];
    int64_t wanted = shape[i] == -1 && i >= added ? size : shape[i];
    if (wanted < 0 || (wanted != size && size != 1))
      return tensor_fail(
          error, TENSOR_INVALID, "cannot expand %.80s to %.80s: dimension %d is %lld, not 1",
          tensor_describe(t, left), shape_describe(rank, shape, right), i + 1, (long long)size);
    made.shape[i] = wanted;
    made.stride[i] = i < added || wanted != size ? 0 : t->stride[i - added];
  }
  int64_t count;
  int code = shape_count(&count, t->dtype, rank, made.shape, error);
  if (code) return code;
  tensor_share(out, &made);
  return 0;
}

int tensor_permute(tensor *out, const tensor *t, const int *order, tensor_error *error) {
  char text[TENSOR_TEXT];
  tensor made = *t;
  unsigned seen = 0;
  for (int i = 0; i < t->rank; i++) {
    if (seen & 1u << order[i])
      return tensor_fail(error, TENSOR_INVALID, "cannot permute %s: dimension %d is named twice",
                         tensor_describe(t, text), order[i] + 1);
    seen |= 1u << order[i];
    made.shape[i] = t->shape[order[i]];
    made.stride[i] = t->stride[order[i]];
  }
  tensor_share(out, &made);
  return 0;
}

int tensor_transpose(tensor *out, const tensor *t, int a, int b, tensor_error *error) {
  int order[TENSOR_MAX_RANK];
  for (int i = 0; i < t->rank; i++) order[i] = i;
  order[a] = b;
  order[b] = a;
  return tensor_permute(out, t, order, error);
}

int tensor_slice(tensor *out, const tensor *t, int dim, int64_t first, int64_t last, int64_t step,
                 tensor_error *error) {
  tensor made = *t;
  int64_t size = t->shape[dim];
  if (step <= 0)
    return tensor_fail(error, TENSOR_INVALID, "cannot slice by steps of %lld: a step is at least 1",
                       (long long)step);
  first = first < 0 ? 0 : first > size ? size : first;
  last = last < first ? first : last > size ? size : last;
  made.shape[dim] = last > first ? (last - first - 1) / step + 1 : 0;
  made.offset += made.shape[dim] > 0 ? first * t->stride[dim] : 0;
  made.stride[dim] = made.shape[dim] > 1 ? step * t->stride[dim] : t->stride[dim];
  tensor_share(out, &made);
  return 0;
}

int tensor_narrow(tensor *out, const tensor *t, int dim, int64_t first, int64_t length,
                  tensor_error *error) {
  char text[TENSOR_TEXT];
  if (first < 0 || length < 0 || first > t->shape[dim] || length > t->shape[dim] - first)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot narrow dimension %d of %s to %lld elements from %lld", dim + 1,
                       tensor_describe(t, text), (long long)length, (long long)first);
  return tensor_slice(out, t, dim, first, first + length, 1, error);
}

int tensor_select(tensor *out, const tensor *t, int dim, int64_t index, tensor_error *error) {
  char text[TENSOR_TEXT];
  if (index < 0 || index >= t->shape[dim])
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot select from %s: dimension %d has %lld elements, none at %lld",
                       tensor_describe(t, text), dim + 1, (long long)t->shape[dim],
                       (long long)index);
  tensor made = *t;
  made.offset += index * t->stride[dim];
  made.rank--;
  for (int i = dim; i < made.rank; i++) {
    made.shape[i] = t->shape[i + 1];
    made.stride[i] = t->stride[i + 1];
  }
  tensor_share(out, &made);
  return 0;
}

int tensor_squeeze(tensor *out, const tensor *t, int dim, tensor_error *error) {
  (void)error;
  tensor made = *t;
  made.rank = 0;
  for (int i = 0; i < t->rank; i++) {
    if (t->shape[i] == 1 && (dim < 0 || dim == i)) continue;
    made.shape[made.rank] = t->shape[i];
    made.stride[made.rank++] = t->stride[i];
  }
  tensor_share(out, &made);
  return 0;
}

int tensor_unsqueeze(tensor *out, const tensor *t, int dim, tensor_error *error) {
  tensor made = *t;
  if (t->rank == TENSOR_MAX_RANK)
    return tensor_fail(error, TENSOR_INVALID, "a tensor has at most %d dimensions",
                       TENSOR_MAX_RANK);
  for (int i = made.rank++; i > dim; i--) {
    made.shape[i] = t->shape[i - 1];
    made.stride[i] = t->stride[i - 1];
  }
  made.shape[dim] = 1;
  made.stride[dim] = dim < t->rank ? t->shape[dim] * t->stride[dim] : 1;
  tensor_share(out, &made);
  return 0;
}

int tensor_flatten(tensor *out, const tensor *t, int first, int last, tensor_error *error) {
  int64_t shape[TENSOR_MAX_RANK + 1];
  int rank = 0;
  for (int i = 0; i < first; i++) shape[rank++] = t->shape[i];
  shape[rank] = 1;
  for (int i = first; i <= last && i < t->rank; i++) shape[rank] *= t->shape[i];
  rank++;
  for (int i = last + 1; i < t->rank; i++) shape[rank++] = t->shape[i];
  return tensor_reshape(out, t, rank, shape, error);
}

/* ---- reshape ----------------------------------------------------------------------------------
 */

static int refuse_shape(const tensor *t, int rank, const int64_t *shape, const char *why,
                        tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot view %.80s as %.80s: %s",
                     tensor_describe(t, left), shape_describe(rank, shape, right), why);
}

/* Copy `shape` to `full` with the size that is -1 worked out. */
static int complete_shape(int64_t *full, const tensor *t, int rank, const int64_t *shape,
                          tensor_error *error) {
  int64_t count = tensor_count(t), known = 1;
  int open = -1;
  if (rank > TENSOR_MAX_RANK) return refuse_shape(t, rank, shape, "too many dimensions", error);
  for (int i = 0; i < rank; i++) {
    full[i] = shape[i];
    if (shape[i] == -1) {
      if (open >= 0) return refuse_shape(t, rank, shape, "only one size can be -1", error);
      open = i;
    } else if (shape[i] < 0) {
      return refuse_shape(t, rank, shape, "a size is negative", error);
    } else if (__builtin_mul_overflow(known, shape[i], &known)) {
      return refuse_shape(t, rank, shape, "the element counts differ", error);
    }
  }
  if (open >= 0) {
    if (known == 0) return refuse_shape(t, rank, shape, "-1 could be any size", error);
    full[open] = count / known;
    known *= full[open];
  }
  return known == count ? 0 : refuse_shape(t, rank, shape, "the element counts differ", error);
}

/* Give each run of dimensions that lies evenly in memory its new sizes from the right; false where
 * a new dimension would have to cross a seam between two runs. */
static bool view_strides(int64_t *stride, const tensor *t, int rank, const int64_t *shape) {
  int64_t run_count = 1, view_count = 1;
  int64_t base = t->rank > 0 ? t->stride[t->rank - 1] : 1;
  int d = rank - 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    run_count *= t->shape[i];
    bool seam = i == 0 || (t->shape[i - 1] != 1 && t->stride[i - 1] != run_count * base);
    if (!seam) continue;
    while (d >= 0 && (view_count < run_count || shape[d] == 1)) {
      stride[d] = view_count * base;
      view_count *= shape[d];
      d--;
    }
    if (view_count != run_count) return false;
    if (i > 0) base = t->stride[i - 1], run_count = view_count = 1;
  }
  return d < 0;
}

static void contiguous_strides(int64_t *stride, int rank, const int64_t *shape) {
  int64_t step = 1;
  for (int i = rank - 1; i >= 0; i--) {
    stride[i] = step;
    step *= shape[i] > 1 ? shape[i] : 1;
  }
}

/* 0 and a view in *out; 1 where the elements would have to move. */
static int try_view(tensor *out, const tensor *t, int rank, const int64_t *shape) {
  tensor made = *t;
  made.rank = rank;
  for (int i = 0; i < rank; i++) made.shape[i] = shape[i];
  if (tensor_count(t) == 0 || t->rank == 0)
    contiguous_strides(made.stride, rank, shape);
  else if (!view_strides(made.stride, t, rank, shape))
    return 1;
  tensor_share(out, &made);
  return 0;
}

int tensor_view(tensor *out, const tensor *t, int rank, const int64_t *shape, tensor_error *error) {
  int64_t full[TENSOR_MAX_RANK];
  int code = complete_shape(full, t, rank, shape, error);
  if (code) return code;
  if (try_view(out, t, rank, full) == 0) return 0;
  return refuse_shape(t, rank, shape, "its elements do not lie in that order; use reshape", error);
}

int tensor_reshape(tensor *out, const tensor *t, int rank, const int64_t *shape,
                   tensor_error *error) {
  int64_t full[TENSOR_MAX_RANK];
  tensor copy;
  int code = complete_shape(full, t, rank, shape, error);
  if (code || try_view(out, t, rank, full) == 0) return code;
  code = tensor_clone(&copy, t, error);
  if (code) return code;
  try_view(out, &copy, rank, full);
  tensor_release(&copy);
  return 0;
}

/* ---- another dtype over the same bytes --------------------------------------------------------
 */

static int refuse_dtype(const tensor *t, dtype dtype, const char *why, tensor_error *error) {
  char text[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot view %.80s as %s: %s", tensor_describe(t, text),
                     dtype_name(dtype), why);
}

static int view_smaller(tensor *made, const tensor *t, dtype dtype, int64_t ratio,
                        tensor_error *error) {
  int last = t->rank - 1;
  if (t->stride[last] != 1 && t->shape[last] != 1)
    return refuse_dtype(t, dtype, "its last dimension is not contiguous", error);
  for (int i = 0; i < last; i++) made->stride[i] *= ratio;
  made->stride[last] = 1;
  made->shape[last] *= ratio;
  made->offset *= ratio;
  return 0;
}

static int view_larger(tensor *made, const tensor *t, dtype dtype, int64_t ratio,
                       tensor_error *error) {
  int last = t->rank - 1;
  if (t->stride[last] != 1 && t->shape[last] != 1)
    return refuse_dtype(t, dtype, "its last dimension is not contiguous", error);
  if (t->shape[last] % ratio != 0)
    return refuse_dtype(t, dtype, "its last size does not divide", error);
  if (t->offset % ratio != 0) return refuse_dtype(t, dtype, "its start is not aligned", error);
  for (int i = 0; i < last; i++) {
    if (t->stride[i] % ratio != 0 && t->shape[i] > 1)
      return refuse_dtype(t, dtype, "its strides do not divide", error);
    made->stride[i] /= ratio;
  }
  made->stride[last] = 1;
  made->shape[last] /= ratio;
  made->offset /= ratio;
  return 0;
}

int tensor_view_dtype(tensor *out, const tensor *t, dtype dtype, tensor_error *error) {
  int64_t from = (int64_t)dtype_size(t->dtype), to = (int64_t)dtype_size(dtype);
  tensor made = *t;
  made.dtype = dtype;
  if (from != to && t->rank == 0)
    return refuse_dtype(t, dtype, "it has no dimension to change", error);
  int code = from > to   ? view_smaller(&made, t, dtype, from / to, error)
             : from < to ? view_larger(&made, t, dtype, to / from, error)
                         : 0;
  if (!code) tensor_share(out, &made);
  return code;
}

/* ---- any strides ------------------------------------------------------------------------------
 */

/* The last element that shape and strides reach, from `offset` on; -1 where they overflow or are
 * negative. */
static int64_t last_element(int rank, const int64_t *shape, const int64_t *stride, int64_t offset) {
  int64_t last = offset, reach;
  for (int i = 0; i < rank; i++) {
    if (stride[i] < 0 || __builtin_mul_overflow(shape[i] - 1, stride[i], &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return -1;
  }
  return last;
}

int tensor_as_strided(tensor *out, const tensor *t, int rank, const int64_t *shape,
                      const int64_t *stride, int64_t offset, tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  int64_t count, size = (int64_t)dtype_size(t->dtype);
  tensor made = *t;
  int code = shape_count(&count, t->dtype, rank, shape, error);
  if (code) return code;
  made.rank = rank;
  made.offset = offset;
  for (int i = 0; i < rank; i++) made.shape[i] = shape[i], made.stride[i] = stride[i];
  int64_t last = count > 0 ? last_element(rank, shape, stride, offset) : offset - 1;
  if (offset < 0 || last < offset - 1 || last >= (int64_t)t->storage->bytes / size)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot view %.80s with shape %.80s: it leaves the storage",
                       tensor_describe(t, left), shape_describe(rank, shape, right));
  tensor_share(out, &made);
  return 0;
}
