/* pending.c -- results that wait: notes of work, and doing it when it has to be done. */
#include "tensor/pending.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/ahead.h"
#include "tensor/note.h"

enum {
  HEAVY_TIMES = 8,       /* a function that so many elements would compute again is computed once */
  SMALL_COUNT = 1 << 15, /* elements that cost next to nothing to compute again */
  PART_BYTES =
      16 << 20, /* less is computed whole when a part of it is read: in less time than a launch */
  TAKE_BYTES = 16 << 20, /* casts of less are done before elements are taken */
};

static pending *all; /* of this process: one thread has tensors */
static enum pending_mode mode;
static bool allowed;
static unsigned span = 1;
static size_t bytes_made;

void pending_set_mode(enum pending_mode to) {
  mode = to;
  span++;
  ahead_forget(NULL);
}

unsigned pending_span(void) {
  return span;
}

enum pending_mode pending_get_mode(void) {
  return mode;
}

bool pending_allow(bool allow) {
  bool before = allowed;
  allowed = allow;
  return before;
}

bool pending_may_be_on(int device) {
  return mode == PENDING_EVERYWHERE || (mode && device != DEVICE_CPU);
}

bool pending_allowed_on(int device) {
  return allowed && pending_may_be_on(device);
}

size_t pending_bytes_made(void) {
  size_t bytes = bytes_made;
  bytes_made = 0;
  return bytes;
}

/* ---- notes ------------------------------------------------------------------------------------
 */

bool storage_is_blank(const storage *s) {
  return !s->data && s->bytes > 0 && !s->pending && !s->copy;
}

int pending_result(tensor *out, dtype dtype, int device, int rank, const int64_t *shape,
                   tensor_error *error) {
  int64_t count;
  tensor made;
  storage *s;
  if (!pending_allowed_on(device)) return tensor_empty(out, dtype, device, rank, shape, error);
  int code = shape_count(&count, dtype, rank, shape, error);
  if (code) return code;
  if (count == 0) return tensor_empty(out, dtype, device, rank, shape, error);
  code = storage_blank(&s, device, (size_t)count * dtype_size(dtype), error);
  if (code) return code;
  code = tensor_over(&made, s, 0, dtype, rank, shape, error);
  storage_release(s);
  if (!code) *out = made;
  return code;
}

static void unlink_note(pending *p) {
  if (p->previous)
    p->previous->next = p->next;
  else if (all == p)
    all = p->next;
  if (p->next) p->next->previous = p->previous;
}

void pending_drop(pending *p) {
  if (p->storage) {
    unlink_note(p);
    p->storage->pending = NULL;
  }
  for (int i = 0; i < p->step.inputs; i++) {
    if (p->in[i].is_number || !p->in[i].tensor.storage) continue;
    p->in[i].tensor.storage->readers--;
    tensor_release(&p->in[i].tensor);
  }
  tensor_release(&p->part);
  free(p);
}

static void take_number(input *in, const tensor *t) {
  in->is_number = true;
  in->tensor.dtype = t->dtype;
  memcpy(&in->bits, tensor_data(t), dtype_size(t->dtype));
}

static void take_tensor(input *in, const tensor *t) {
  tensor_share(&in->tensor, t);
  t->storage->readers++;
}

static void measure(pending *p) {
  p->steps = 1; /* a copy is none of a program, but one on the way to it */
  p->leaves = 0;
  p->is_heavy = note_takes_long(&p->step);
  for (int i = 0; i < p->step.inputs; i++) {
    const pending *q = p->in[i].is_number ? NULL : p->in[i].tensor.storage->pending;
    p->steps += q ? q->steps : 0;
    p->leaves += q ? q->leaves : 1;
    if (q && q->is_heavy) p->is_heavy = true;
  }
}

/* Is it better to have this operand computed first, once? */
static bool is_wanted_whole(const pending *p, const tensor *t) {
  pending *q = t->storage->pending;
  if (!q) return false;
  int64_t count = note_count(p), whole = note_count(q);
  if (q->is_heavy && whole <= count && count >= HEAVY_TIMES * tensor_count(t)) return true;
  q->computed += count;
  return whole > SMALL_COUNT && q->computed > NOTE_OFTEN * whole;
}

/* The programs that may come of the note are bounded: of too many steps, the longest operand's are
 * done now. */
static int bound(pending *p, tensor_error *error) {
  int code = 0;
  for (int i = 0; i < p->step.inputs && !code; i++)
    if (!p->in[i].is_number && is_wanted_whole(p, &p->in[i].tensor))
      code = storage_settle(p->in[i].tensor.storage, error);
  for (measure(p); !code && (p->steps >= FUSED_STEPS || p->leaves > FUSED_LEAVES); measure(p)) {
    storage *longest = NULL;
    for (int i = 0; i < p->step.inputs; i++) {
      storage *s = p->in[i].is_number ? NULL : p->in[i].tensor.storage;
      if (s && s->pending && (!longest || s->pending->steps > longest->pending->steps)) longest = s;
    }
    code = storage_settle(longest, error);
  }
  return code;
}

int pending_note(const elementwise_work *w, tensor_error *error) {
  pending *p = calloc(1, sizeof *p);
  if (!p) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot note an operation: out of memory");
  p->rank = w->to->rank;
  memcpy(p->shape, w->to->shape, sizeof p->shape);
  p->step = (fused_step){.kind = w->kind,
                         .op = w->op,
                         .compute = w->compute,
                         .made = w->made,
                         .out = w->to->dtype,
                         .inputs = w->inputs};
  int code = 0;
  for (int i = 0; i < w->inputs && !code; i++) {
    bool is_number = tensor_is_on_cpu(w->in[i]) && tensor_count(w->in[i]) == 1;
    if (is_number) code = storage_settle(w->in[i]->storage, error);
    if (code) break;
    if (is_number)
      take_number(&p->in[i], w->in[i]);
    else
      take_tensor(&p->in[i], w->in[i]);
  }
  if (!code) code = bound(p, error);
  if (code) {
    pending_drop(p);
    return code;
  }
  p->storage = w->to->storage;
  p->storage->pending = p;
  p->next = all;
  if (all) all->previous = p;
  all = p;
  return 0;
}

/* ---- settling ---------------------------------------------------------------------------------
 */

static tensor whole_of(const pending *p, storage *s) {
  tensor t = {.storage = s, .rank = p->rank, .dtype = p->step.out};
  int64_t step = 1;
  for (int d = p->rank - 1; d >= 0; d--) {
    t.shape[d] = p->shape[d];
    t.stride[d] = step;
    step *= p->shape[d];
  }
  return t;
}

static int allocate(storage *s, tensor_error *error) {
  int code = storage_allocate(s, error);
  if (!code) bytes_made += s->bytes;
  return code;
}

static void free_data(storage *s) {
  if (s->release) s->release(s);
  s->data = NULL;
  s->release = NULL;
}

static int compute(storage *s, tensor_error *error) {
  pending *p = s->pending;
  fused f;
  tensor t = whole_of(p, s);
  int code = note_plan(&f, &t, &t, p, false, error);
  if (code > 0) return tensor_fail(error, TENSOR_INVALID, "cannot compute a result that waited");
  if (!code) code = allocate(s, error);
  if (code) return code;
  bool may_wait = pending_allow(false);
  code = fused_run(&f, error);
  pending_allow(may_wait);
  if (code)
    free_data(s);
  else
    pending_drop(p);
  return code;
}

static int bring_to_device(storage *s, tensor_error *error) {
  int code = allocate(s, error);
  if (code) return code;
  code = device_functions_get()->upload(s, 0, s->copy->data, s->bytes, error);
  if (code) free_data(s);
  s->copied = span;
  return code;
}

int storage_settle(storage *s, tensor_error *error) {
  if (s->pending) return compute(s, error);
  if (s->copy && !s->data) return bring_to_device(s, error);
  return 0;
}

static bool reads(const pending *p, const storage *s) {
  for (int i = 0; i < p->step.inputs; i++)
    if (!p->in[i].is_number && p->in[i].tensor.storage == s) return true;
  return false;
}

static int settle_readers(storage *s, const pending *except, tensor_error *error) {
  int code = 0;
  if (s->readers > 0) ahead_forget(s);
  for (pending *p = s->readers > 0 ? all : NULL; p && !code;) {
    bool has_to = p != except && reads(p, s);
    if (has_to) code = storage_settle(p->storage, error);
    p = has_to ? all : p->next; /* any of them may be gone */
  }
  return code;
}

static int settle_to_change(storage *s, const pending *except, tensor_error *error) {
  int code = storage_settle(s, error);
  if (!code) code = settle_readers(s, except, error);
  if (!code && s->copy) {
    storage_release(s->copy);
    s->copy = NULL;
  }
  return code;
}

int storage_settle_to_change(storage *s, tensor_error *error) {
  return settle_to_change(s, NULL, error);
}

/* ---- copies, parts ----------------------------------------------------------------------------
 */

static bool is_overlapping(const fused *f) {
  for (int i = 0; i < f->leaves; i++)
    if (!f->leaf[i].is_number && tensor_overlaps_partly(&f->to, &f->leaf[i].tensor)) return true;
  return false;
}

/* With `is_last` nobody else will ask for what waits: it may read what it is written over. */
static int copy_waiting(tensor *to, const tensor *from, bool is_last, tensor_error *error) {
  storage *s = from->storage;
  fused f;
  tensor wide; /* from, of to's shape */
  if (to->storage == s || !s->pending) {
    int code = storage_settle_to_change(to->storage, error);
    if (!code) code = storage_settle(s, error);
    return code ? code : 1;
  }
  int code = settle_to_change(to->storage, is_last ? s->pending : NULL, error);
  if (!code && !s->pending) return 1;
  if (!code) code = tensor_expand(&wide, from, to->rank, to->shape, error);
  if (code) return code;
  code = note_plan(&f, to, &wide, s->pending, false, error);
  if (code >= 0 && (code > 0 || is_overlapping(&f))) {
    code = storage_settle(s, error);
    if (!code) code = 1;
  } else if (!code) {
    s->pending->computed += tensor_count(to);
    code = fused_run(&f, error);
  }
  tensor_release(&wide);
  return code;
}

int pending_copy(tensor *to, const tensor *from, tensor_error *error) {
  return copy_waiting(to, from, false, error);
}

/* A tensor of t's shape whose elements lie in the same order, without gaps. */
static int empty_as(tensor *out, const tensor *t, tensor_error *error) {
  int order[TENSOR_MAX_RANK], back[TENSOR_MAX_RANK];
  int64_t shape[TENSOR_MAX_RANK];
  for (int i = 0; i < t->rank; i++) {
    int at = i;
    for (; at > 0 && t->stride[order[at - 1]] < t->stride[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  for (int i = 0; i < t->rank; i++) {
    shape[i] = t->shape[order[i]];
    back[order[i]] = i;
  }
  tensor made;
  int code = tensor_empty(&made, t->dtype, t->storage->device, t->rank, shape, error);
  if (code) return code;
  code = tensor_permute(out, &made, back, error);
  tensor_release(&made);
  return code;
}

static bool same_view(const tensor *a, const tensor *b) {
  return a->storage == b->storage && a->offset == b->offset && tensor_same_shape(a, b) &&
         memcmp(a->stride, b->stride, (size_t)a->rank * sizeof *a->stride) == 0;
}

int pending_read(tensor *out, const tensor *t, tensor_error *error) {
  storage *s = t->storage;
  pending *p = s->pending;
  int64_t count = tensor_count(t), whole = p ? note_count(p) : 0;
  bool is_part = p && count > 0 && 2 * count <= whole && s->bytes > PART_BYTES &&
                 p->computed + count <= NOTE_OFTEN * whole;
  if (is_part && p->part.storage && same_view(&p->part_of, t)) {
    tensor_share(out, &p->part);
    return 0;
  }
  int code = 1;
  tensor part;
  if (is_part) code = empty_as(&part, t, error);
  if (!code) {
    code = pending_copy(&part, t, error);
    if (code) tensor_release(&part);
  }
  if (code == 0) {
    tensor_release(&p->part);
    p->part_of = *t;
    tensor_share(&p->part, &part);
    *out = part;
    return 0;
  }
  if (code == 1) code = storage_settle(s, error);
  if (!code) tensor_share(out, t);
  return code;
}

void pending_count(const tensor *t, int64_t computed) {
  if (t->storage->pending) t->storage->pending->computed += computed;
}

bool pending_is_cast_of(tensor *source, const tensor *t, tensor_error *error) {
  pending *p = t->storage->pending;
  fused f;
  if (!p || t->storage->bytes < TAKE_BYTES || p->computed > note_count(p)) return false;
  tensor same = *t; /* stands for where it would be written: the shape counts */
  if (note_plan(&f, &same, t, p, false, error) != 0) return false;
  bool is_cast = f.leaves == 1 && !f.leaf[0].is_number && f.to.rank == t->rank &&
                 (f.steps == 0 || (f.steps == 1 && f.step[0].kind == ELEMENTWISE_CAST));
  if (!is_cast) return false;
  tensor_share(source, &f.leaf[0].tensor);
  return true;
}

/* ---- work on what waits -----------------------------------------------------------------------
 */

/* In place, where the whole target waits and nobody reads it: it waits for this as well. */
static int note_in_place(const elementwise_work *w, tensor_error *error) {
  storage *s = w->to->storage, *before;
  elementwise_work v = *w;
  tensor moved[3];
  int code = storage_blank(&before, s->device, s->bytes, error);
  if (code) return code;
  before->pending = s->pending;
  before->pending->storage = before;
  s->pending = NULL;
  for (int i = 0; i < w->inputs; i++) {
    if (w->in[i]->storage != s) continue;
    moved[i] = *w->in[i];
    moved[i].storage = before;
    v.in[i] = &moved[i];
  }
  code = pending_note(&v, error);
  if (code) { /* as it was */
    s->pending = before->pending;
    if (s->pending) s->pending->storage = s;
    before->pending = NULL;
  }
  storage_release(before);
  return code;
}

static bool is_whole_target(const tensor *to) {
  const pending *p = to->storage->pending;
  return p && to->storage->readers == 0 && to->offset == 0 && tensor_is_contiguous(to) &&
         to->dtype == p->step.out && tensor_count(to) == note_count(p);
}

/* Compute of operands that wait, in one loop, into what has its memory. */
static int work_into(const elementwise_work *w, tensor_error *error) {
  elementwise_work v = *w;
  tensor result, to = *w->to;
  int code = pending_result(&result, to.dtype, to.storage->device, to.rank, to.shape, error);
  if (code) return code;
  v.to = &result;
  code = pending_note(&v, error);
  if (!code) code = copy_waiting(&to, &result, true, error);
  if (code == 1) code = tensor_copy(&to, &result, error);
  tensor_release(&result);
  return code;
}

int pending_work(const elementwise_work *w, tensor_error *error) {
  if (tensor_count(w->to) == 0) return 0;
  bool waits = false;
  int code = 0;
  if (storage_is_blank(w->to->storage)) return pending_note(w, error);
  bool may_wait = pending_allowed_on(w->to->storage->device);
  if (may_wait && is_whole_target(w->to)) return note_in_place(w, error);
  for (int i = 0; i < w->inputs; i++)
    if (w->in[i]->storage->pending && w->in[i]->storage != w->to->storage) waits = true;
  if (waits && may_wait && !w->to->storage->pending) return work_into(w, error);
  for (int i = 0; i < w->inputs && !code; i++) code = storage_settle(w->in[i]->storage, error);
  if (!code) code = storage_settle_to_change(w->to->storage, error);
  return code ? code : 1;
}
