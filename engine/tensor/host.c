/* host.c -- what a device holds, on the CPU: copied, or computed of what was copied. */
#include "tensor/note.h"

enum {
  COPIED_BYTES = 1 << 16,       /* of a storage that is copied when a number of it is asked for, */
  COPIED_AGAIN_BYTES = 1 << 20, /* and when one is asked for again */
  COMPUTED_COUNT = 1 << 16      /* elements that the CPU computes */
};

static bool has_copy(const storage *s) {
  return s->device == DEVICE_CPU || (s->copy && (!s->data || s->copied == pending_span()));
}

static bool make_copy(const tensor *t, enum host_ask ask) {
  tensor_error error;
  storage *s = t->storage;
  if (has_copy(s)) return true;
  bool asks = ask == HOST_ASKS || (ask == HOST_ASKS_INTEGERS && !dtype_is_float(t->dtype));
  if (!asks || !s->data || s->bytes > COPIED_AGAIN_BYTES) return false;
  if (s->bytes > COPIED_BYTES && s->asked++ == 0) return false;
  storage *copy;
  if (storage_new(&copy, DEVICE_CPU, s->bytes, &error)) return false;
  if (device_functions_get()->download(copy->data, s, 0, s->bytes, &error)) {
    storage_release(copy);
    return false;
  }
  storage_release(s->copy);
  s->copy = copy;
  s->copied = pending_span();
  return true;
}

/* Steps that give the same bits everywhere. */
static bool is_exact(const fused_step *s) {
  switch (s->kind) {
  case ELEMENTWISE_UNARY: return !note_takes_long(s);
  case ELEMENTWISE_BINARY:
    return !(s->op >= BINARY_floor_divide && s->op <= BINARY_pow) && s->op != BINARY_atan2;
  case ELEMENTWISE_TERNARY: return s->op == TERNARY_clamp;
  default: return true;
  }
}

static bool is_computable(const pending *p, enum host_ask ask) {
  if (!is_exact(&p->step)) return false;
  for (int i = 0; i < p->step.inputs; i++) {
    const tensor *t = &p->in[i].tensor;
    if (p->in[i].is_number) continue;
    bool has = t->storage->pending ? is_computable(t->storage->pending, ask) : make_copy(t, ask);
    if (!has) return false;
  }
  return true;
}

static bool compute_on_host(tensor *out, const tensor *t) {
  tensor_error error;
  tensor made;
  fused f;
  if (tensor_empty(&made, t->dtype, DEVICE_CPU, t->rank, t->shape, &error)) return false;
  int code = note_plan(&f, &made, t, t->storage->pending, true, &error);
  if (!code) code = fused_run(&f, &error);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return !code;
}

bool tensor_on_host(tensor *out, const tensor *t, enum host_ask ask) {
  storage *s = t->storage;
  if (pending_get_mode() == PENDING_NEVER || s->device == DEVICE_CPU || s->bytes == 0) return false;
  if (s->pending)
    return tensor_count(t) <= COMPUTED_COUNT && is_computable(s->pending, ask) &&
           compute_on_host(out, t);
  if (!make_copy(t, ask)) return false;
  tensor here = *t;
  here.storage = s->copy;
  tensor_share(out, &here);
  return true;
}

int tensor_from_host(tensor *out, const tensor *t, int device, tensor_error *error) {
  tensor whole;
  storage *s;
  int code = tensor_contiguous(&whole, t, error);
  if (code) return code;
  if (tensor_count(t) == 0) {
    tensor_release(&whole);
    return tensor_empty(out, t->dtype, device, t->rank, t->shape, error);
  }
  code = storage_blank(&s, device, whole.storage->bytes, error);
  if (!code) {
    s->copy = storage_retain(whole.storage);
    s->copied = pending_span();
    *out = whole;
    out->storage = s;
  }
  tensor_release(&whole);
  return code;
}
