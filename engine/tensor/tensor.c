/* tensor.c -- making tensors, and questions about their shapes. Views are in view.c. */
#include <stdio.h>
#include <stdlib.h>
#include "tensor/tensor.h"

/* ---- shapes -----------------------------------------------------------------------------------
 */

int shape_count(int64_t *count, dtype dtype, int rank, const int64_t *shape, tensor_error *error) {
  char text[TENSOR_TEXT];
  int64_t n = 1, limit = (int64_t)(PTRDIFF_MAX / (ptrdiff_t)dtype_size(dtype));
  bool empty = false, overflows = false;
  for (int i = 0; i < rank; i++) {
    if (shape[i] < 0)
      return tensor_fail(error, TENSOR_INVALID, "size %lld of dimension %d is negative",
                         (long long)shape[i], i + 1);
    if (shape[i] == 0) empty = true;
    /* torch counts what an empty tensor's other sizes would need as well */
    else if (n > limit / shape[i])
      overflows = true;
    else
      n *= shape[i];
  }
  if (overflows)
    return tensor_fail(error, TENSOR_INVALID, "a %s tensor of shape %s has too many elements",
                       dtype_name(dtype), shape_describe(rank, shape, text));
  *count = empty ? 0 : n;
  return 0;
}

const char *shape_describe(int rank, const int64_t *shape, char text[TENSOR_TEXT]) {
  size_t n = 0;
  text[n++] = '[';
  for (int i = 0; i < rank && n < TENSOR_TEXT - 24; i++)
    n += (size_t)snprintf(text + n, TENSOR_TEXT - n, i ? ", %lld" : "%lld", (long long)shape[i]);
  snprintf(text + n, TENSOR_TEXT - n, "]");
  return text;
}

const char *tensor_describe(const tensor *t, char text[TENSOR_TEXT]) {
  char shape[TENSOR_TEXT];
  shape_describe(t->rank, t->shape, shape);
  snprintf(text, TENSOR_TEXT, "%s %.100s", dtype_name(t->dtype), shape);
  return text;
}

static int64_t size_from_end(const tensor *t, int i) {
  return i < t->rank ? t->shape[t->rank - 1 - i] : 1;
}

int shape_broadcast(const char *verb, const tensor *a, const tensor *b, int *rank, int64_t *shape,
                    tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  int wider = a->rank > b->rank ? a->rank : b->rank;
  for (int i = 0; i < wider; i++) {
    int64_t m = size_from_end(a, i), n = size_from_end(b, i);
    if (m != n && m != 1 && n != 1)
      return tensor_fail(error, TENSOR_INVALID,
                         "cannot %s %.80s and %.80s: dimension %d differs (%lld and %lld)", verb,
                         tensor_describe(a, left), tensor_describe(b, right), wider - i,
                         (long long)m, (long long)n);
    shape[wider - 1 - i] = m == 1 ? n : m;
  }
  *rank = wider;
  return 0;
}

int64_t tensor_count(const tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->shape[i];
  return n;
}

size_t tensor_bytes(const tensor *t) {
  return (size_t)tensor_count(t) * dtype_size(t->dtype);
}

void *tensor_data(const tensor *t) {
  if (!t->storage->data) return NULL;
  return (char *)t->storage->data + t->offset * (int64_t)dtype_size(t->dtype);
}

bool tensor_is_contiguous(const tensor *t) {
  int64_t expected = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    if (t->shape[i] == 0) return true;
  }
  for (int i = t->rank - 1; i >= 0; i--) {
    if (t->shape[i] != 1 && t->stride[i] != expected) return false;
    expected *= t->shape[i];
  }
  return true;
}

bool tensor_same_shape(const tensor *a, const tensor *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] != b->shape[i]) return false;
  return true;
}

/* ---- overlap ----------------------------------------------------------------------------------
 */

/* Dimensions by stride, those of size 1 left out; each must step over all that the former span.
 * This is sufficient, not necessary; torch is content with it too. */
bool tensor_overlaps_itself(const tensor *t) {
  int order[TENSOR_MAX_RANK], n = 0;
  if (tensor_count(t) <= 1) return false;
  for (int i = 0; i < t->rank; i++) {
    if (t->shape[i] == 1) continue;
    int at = n++;
    for (; at > 0 && t->stride[order[at - 1]] > t->stride[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  int64_t spanned = 0;
  for (int k = 0; k < n; k++) {
    if (t->stride[order[k]] <= spanned) return true;
    spanned += t->stride[order[k]] * (t->shape[order[k]] - 1);
  }
  return false;
}

static void extent(const tensor *t, int64_t *first, int64_t *last) {
  int64_t size = (int64_t)dtype_size(t->dtype), span = 1;
  for (int i = 0; i < t->rank; i++) span += (t->shape[i] - 1) * t->stride[i];
  *first = t->offset * size;
  *last = *first + span * size;
}

bool tensor_is_dense(const tensor *t) {
  int64_t first, last;
  if (tensor_count(t) == 0) return true;
  extent(t, &first, &last);
  return (size_t)(last - first) == tensor_bytes(t) && !tensor_overlaps_itself(t);
}

static bool same_elements(const tensor *a, const tensor *b) {
  if (a->offset != b->offset || a->dtype != b->dtype || !tensor_same_shape(a, b)) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] > 1 && a->stride[i] != b->stride[i]) return false;
  return true;
}

bool tensor_overlaps_partly(const tensor *a, const tensor *b) {
  int64_t first_a, last_a, first_b, last_b;
  if (a->storage != b->storage || tensor_count(a) == 0 || tensor_count(b) == 0) return false;
  if (same_elements(a, b)) return false;
  extent(a, &first_a, &last_a);
  extent(b, &first_b, &last_b);
  return first_a < last_b && first_b < last_a;
}

/* ---- making and letting go --------------------------------------------------------------------
 */

static void set_contiguous(tensor *t, dtype dtype, int rank, const int64_t *shape) {
  int64_t stride = 1;
  t->dtype = dtype;
  t->rank = rank;
  t->offset = 0;
  for (int i = rank - 1; i >= 0; i--) {
    t->shape[i] = shape[i];
    t->stride[i] = stride;
    stride *= shape[i] > 1 ? shape[i] : 1;
  }
}

static int check_rank(int rank, tensor_error *error) {
  if (rank <= TENSOR_MAX_RANK) return 0;
  return tensor_fail(error, TENSOR_INVALID, "a tensor has at most %d dimensions, not %d",
                     TENSOR_MAX_RANK, rank);
}

int tensor_empty(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                 tensor_error *error) {
  int64_t count;
  tensor made = {0};
  int code = check_rank(rank, error);
  if (!code) code = shape_count(&count, dtype, rank, shape, error);
  if (code) return code;
  tensor_error why;
  code = storage_new(&made.storage, device, (size_t)count * dtype_size(dtype), &why);
  if (code) {
    char text[TENSOR_TEXT];
    return tensor_fail(error, code, "%.150s (%s %.80s)", why.text, dtype_name(dtype),
                       shape_describe(rank, shape, text));
  }
  set_contiguous(&made, dtype, rank, shape);
  *out = made;
  return 0;
}

int tensor_zeros(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                 tensor_error *error) {
  tensor made, zero;
  static const unsigned char zeros[8] = {0};
  storage constant = {
      .data = (void *)(uintptr_t)zeros, .bytes = sizeof zeros, .device = DEVICE_CPU};
  atomic_init(&constant.references, 1); /* this function's own */
  int code = tensor_empty(&made, dtype, device, rank, shape, error);
  if (code) return code;
  zero = (tensor){.storage = &constant, .dtype = dtype};
  code = tensor_copy(&made, &zero, error);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int tensor_over(tensor *out, storage *s, int64_t byte_offset, dtype dtype, int rank,
                const int64_t *shape, tensor_error *error) {
  int64_t count, size = (int64_t)dtype_size(dtype);
  char text[TENSOR_TEXT];
  int code = check_rank(rank, error);
  if (!code) code = shape_count(&count, dtype, rank, shape, error);
  if (code) return code;
  if (byte_offset < 0 || byte_offset % size != 0 || (uint64_t)byte_offset > s->bytes ||
      (uint64_t)(count * size) > s->bytes - (uint64_t)byte_offset)
    return tensor_fail(error, TENSOR_INVALID, "%s %.80s does not fit at byte %lld of %zu",
                       dtype_name(dtype), shape_describe(rank, shape, text), (long long)byte_offset,
                       s->bytes);
  tensor made;
  set_contiguous(&made, dtype, rank, shape);
  made.storage = storage_retain(s);
  made.offset = byte_offset / size;
  *out = made;
  return 0;
}

void tensor_share(tensor *out, const tensor *t) {
  tensor shared = *t;
  storage_retain(shared.storage);
  *out = shared;
}

void tensor_release(tensor *t) {
  storage *s = t->storage;
  t->storage = NULL;
  storage_release(s);
}
