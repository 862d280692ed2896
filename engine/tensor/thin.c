/* thin.c -- products of few rows with a matrix that waits, which is computed on the way. */
#include <string.h>

#include "tensor/note.h"

enum { THIN_ROWS = 8, THIN_LENGTH = 16 };

/* The dimensions of the loop before those that make up `length` elements; -1 where none do. */
static int rank_before(const tensor *loop, int64_t length) {
  int64_t n = 1;
  int d = loop->rank;
  while (d > 0 && n < length) n *= loop->shape[--d];
  return n == length ? d : -1;
}

static bool is_thin(const tensor *a, const tensor *b) {
  const device_functions *devices = device_functions_get();
  if (tensor_is_on_cpu(b) || !devices->thin || !pending_may_be_on(b->storage->device) ||
      !b->storage->pending || a->storage->device != b->storage->device)
    return false;
  if (a->dtype != DTYPE_FLOAT32 || b->dtype != DTYPE_FLOAT32 || a->rank != b->rank || a->rank < 2)
    return false;
  for (int d = 0; d < a->rank - 2; d++)
    if (a->shape[d] != b->shape[d]) return false;
  int64_t length = a->shape[a->rank - 1];
  return a->shape[a->rank - 2] <= THIN_ROWS && length == b->shape[b->rank - 2] &&
         length >= THIN_LENGTH && tensor_count(a) > 0 && tensor_count(b) > 0;
}

/* b with its last two dimensions exchanged, and what it would be written to: a loop's shape. */
static void turn(tensor *turned, tensor *shape, const tensor *b) {
  int last = b->rank - 1;
  *turned = *b;
  turned->shape[last] = b->shape[last - 1], turned->shape[last - 1] = b->shape[last];
  turned->stride[last] = b->stride[last - 1], turned->stride[last - 1] = b->stride[last];
  *shape = *turned;
}

static int multiply_thin(tensor *out, const tensor *a, const fused *f, int64_t n,
                         tensor_error *error) {
  tensor whole = {0}, read = {0}, made = {0};
  int64_t shape[TENSOR_MAX_RANK];
  bool may_wait = pending_allow(false);
  int outer = rank_before(&f->to, a->shape[a->rank - 1]);
  memcpy(shape, a->shape, sizeof shape);
  shape[a->rank - 1] = n;
  int code = outer < 0 ? 1 : pending_read(&read, a, error);
  if (!code) code = tensor_contiguous(&whole, &read, error);
  if (!code) code = tensor_empty(&made, DTYPE_FLOAT32, a->storage->device, a->rank, shape, error);
  if (!code) code = device_functions_get()->thin(&made, &whole, f, outer, error);
  pending_allow(may_wait);
  tensor_release(&read);
  tensor_release(&whole);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int pending_product(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  fused f;
  tensor turned, shape;
  if (!is_thin(a, b)) return 1;
  pending *p = b->storage->pending;
  int64_t whole = note_count(p), count = tensor_count(b);
  if (p->computed + count > NOTE_OFTEN * whole) return 1;
  turn(&turned, &shape, b);
  int code = note_plan(&f, &shape, &turned, p, false, error);
  if (!code) code = multiply_thin(out, a, &f, b->shape[b->rank - 1], error);
  if (!code) p->computed += count;
  return code;
}
