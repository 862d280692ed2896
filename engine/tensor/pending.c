/* pending.c -- results that wait: notes of work, and programs made of them. */
#include "tensor/pending.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/ahead.h"
#include "tensor/fused.h"

enum {
  HEAVY_TIMES = 8,       /* a function that so many elements would compute again is computed once */
  OFTEN_TIMES = 2,       /* parts were computed so often that the whole would have been cheaper */
  SMALL_COUNT = 1 << 15, /* elements that cost next to nothing to compute again */
  PART_BYTES =
      16 << 20, /* less is computed whole when a part of it is read: in less time than a launch */
  TAKE_BYTES = 16 << 20, /* casts of less are done before elements are taken */
};

typedef struct input {
  bool is_number;
  tensor tensor; /* of a number only the dtype */
  uint64_t bits;
} input;

struct pending {
  storage *storage; /* whose bytes they will be, of this shape, contiguous */
  int rank;
  int64_t shape[TENSOR_MAX_RANK];
  fused_step step; /* its values are the inputs; a cast to its own dtype is a copy */
  input in[3];
  int steps, leaves;    /* of all that it waits for, and itself */
  bool is_heavy;        /* is there a function among them that takes long? */
  int64_t computed;     /* elements of it that others computed for themselves */
  tensor part_of, part; /* the view that was last read of it, not retained, and its elements */
  pending *next, *previous;
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

static int64_t count_of(const pending *p) {
  int64_t n = 1;
  for (int d = 0; d < p->rank; d++) n *= p->shape[d];
  return n;
}

/* Functions that cost more than reading their operand again. */
static bool takes_long(const fused_step *s) {
  switch (s->kind) {
  case ELEMENTWISE_UNARY: return (s->op >= UNARY_reciprocal && s->op <= UNARY_gelu_tanh);
  case ELEMENTWISE_BINARY: return s->op == BINARY_pow || s->op == BINARY_atan2;
  case ELEMENTWISE_TERNARY: return s->op == TERNARY_softplus;
  default: return false;
  }
}

static bool is_copy(const pending *p) {
  return p->step.kind == ELEMENTWISE_CAST && p->in[0].tensor.dtype == p->step.out;
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
  p->is_heavy = takes_long(&p->step);
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
  int64_t count = count_of(p), whole = count_of(q);
  if (q->is_heavy && whole <= count && count >= HEAVY_TIMES * tensor_count(t)) return true;
  q->computed += count;
  return whole > SMALL_COUNT && q->computed > OFTEN_TIMES * whole;
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

/* ---- from notes to a program ------------------------------------------------------------------
 */

/* A value that was made already: of which storage, seen how. */
typedef struct known {
  const storage *storage;
  int64_t offset, stride[TENSOR_MAX_RANK];
  int value;
} known;

enum { PLAN_SPLIT = 1, PLAN_UNFIT = 2 };

typedef struct plan {
  fused *f;
  bool on_host;
  int rank;
  int64_t shape[TENSOR_MAX_RANK]; /* of the loop */
  known known[FUSED_LEAVES + FUSED_STEPS];
  int count;
  int split; /* for PLAN_SPLIT: this dimension of the loop is to become two, the inner one so large
              */
  int64_t inner;
  storage *unfit; /* for PLAN_UNFIT: this is to be settled first */
} plan;

/* How a loop over some view of a waiting storage moves through its shape: in each dimension of the
 * loop, along one dimension of the shape, by so many elements of it; from `start` on. */
typedef struct course {
  int64_t start[TENSOR_MAX_RANK];
  int along[TENSOR_MAX_RANK]; /* -1: it does not move */
  int64_t by[TENSOR_MAX_RANK];
} course;

static int refuse_plan(plan *l, storage *s) {
  l->unfit = s;
  return PLAN_UNFIT;
}

/* The dimension that a step of so many elements goes along: the outermost that divides it. */
static int dimension_of(const pending *p, const int64_t *stride, int64_t step) {
  for (int d = 0; d < p->rank; d++)
    if (p->shape[d] > 1 && stride[d] <= step && step % stride[d] == 0) return d;
  return -1;
}

static int chart(plan *l, const pending *p, int64_t offset, const int64_t *stride, course *c) {
  int64_t whole[TENSOR_MAX_RANK], reach[TENSOR_MAX_RANK], step = 1;
  for (int d = p->rank - 1; d >= 0; d--) whole[d] = step, step *= p->shape[d];
  if (offset >= step) return refuse_plan(l, p->storage);
  for (int d = 0; d < p->rank; d++) {
    reach[d] = c->start[d] = offset / whole[d];
    offset %= whole[d];
  }
  for (int j = 0; j < l->rank; j++) {
    c->along[j] = -1;
    if (stride[j] == 0 || l->shape[j] == 1) continue;
    int d = dimension_of(p, whole, stride[j]);
    if (d < 0) return refuse_plan(l, p->storage);
    int64_t by = stride[j] / whole[d];
    if (reach[d] + by * (l->shape[j] - 1) < p->shape[d]) {
      c->along[j] = d;
      c->by[j] = by;
      reach[d] += by * (l->shape[j] - 1);
      continue;
    }
    int64_t inner = p->shape[d] / by; /* on beyond the dimension's end: into the next */
    if (reach[d] > 0 || p->shape[d] % by || inner <= 1 || l->shape[j] % inner ||
        l->rank == TENSOR_MAX_RANK)
      return refuse_plan(l, p->storage);
    l->split = j;
    l->inner = inner;
    return PLAN_SPLIT;
  }
  return 0;
}

static int note_value(plan *l, const storage *s, int64_t offset, const int64_t *stride, int value) {
  known *k = &l->known[l->count++];
  *k = (known){.storage = s, .offset = offset, .value = value};
  memcpy(k->stride, stride, (size_t)l->rank * sizeof *stride);
  return 0;
}

static bool find_value(const plan *l, const storage *s, int64_t offset, const int64_t *stride,
                       int *value) {
  for (int i = 0; i < l->count; i++) {
    const known *k = &l->known[i];
    if (k->storage != s || k->offset != offset ||
        memcmp(k->stride, stride, (size_t)l->rank * sizeof *stride) != 0)
      continue;
    *value = k->value;
    return true;
  }
  return false;
}

static int add_leaf(plan *l, storage *s, dtype dtype, int64_t offset, const int64_t *stride,
                    int *value) {
  fused *f = l->f;
  if (f->leaves == FUSED_LEAVES) return refuse_plan(l, s);
  fused_leaf *leaf = &f->leaf[f->leaves];
  *leaf = (fused_leaf){.tensor = {.storage = s, .offset = offset, .rank = l->rank, .dtype = dtype}};
  if (l->on_host && !tensor_is_on_cpu(&leaf->tensor)) leaf->tensor.storage = s->copy;
  memcpy(leaf->tensor.shape, l->shape, sizeof l->shape);
  memcpy(leaf->tensor.stride, stride, (size_t)l->rank * sizeof *stride);
  *value = ~f->leaves++;
  return 0;
}

static int add_number(plan *l, const input *in, int *value) {
  fused *f = l->f;
  if (f->leaves == FUSED_LEAVES) return PLAN_UNFIT;
  f->leaf[f->leaves] = (fused_leaf){.is_number = true, .tensor = in->tensor, .bits = in->bits};
  *value = ~f->leaves++;
  return 0;
}

static int add_value(plan *l, const tensor *t, int64_t offset, const int64_t *stride, int *value);

/* An input of p as a loop with this course sees it. */
static int add_input(plan *l, const pending *p, const input *in, const course *c, int *value) {
  const tensor *t = &in->tensor;
  int added = p->rank - t->rank;
  int64_t offset = t->offset, stride[TENSOR_MAX_RANK], own[TENSOR_MAX_RANK] = {0};
  if (in->is_number) return add_number(l, in, value);
  for (int d = added; d < p->rank; d++)
    own[d] = t->shape[d - added] == 1 ? 0 : t->stride[d - added];
  for (int d = 0; d < p->rank; d++) offset += c->start[d] * own[d];
  for (int j = 0; j < l->rank; j++) stride[j] = c->along[j] < 0 ? 0 : c->by[j] * own[c->along[j]];
  return add_value(l, t, offset, stride, value);
}

static int add_step(plan *l, const pending *p, const course *c, int *value) {
  fused_step step = p->step;
  for (int i = 0; i < step.inputs; i++) {
    int code = add_input(l, p, &p->in[i], c, &step.in[i]);
    if (code) return code;
  }
  if (is_copy(p)) {
    *value = step.in[0];
    return 0;
  }
  fused *f = l->f;
  if (f->steps == FUSED_STEPS) return refuse_plan(l, p->storage);
  f->step[f->steps] = step;
  *value = f->steps++;
  return 0;
}

static int add_value(plan *l, const tensor *t, int64_t offset, const int64_t *stride, int *value) {
  storage *s = t->storage;
  const pending *p = s->pending;
  course c;
  if (find_value(l, s, offset, stride, value)) return 0;
  if (!p && !s->data && !l->on_host) return refuse_plan(l, s);
  if (p && p->step.out != t->dtype) return refuse_plan(l, s);
  int code = p ? chart(l, p, offset, stride, &c) : 0;
  if (!code) code = p ? add_step(l, p, &c, value) : add_leaf(l, s, t->dtype, offset, stride, value);
  return code ? code : note_value(l, s, offset, stride, *value);
}

static void split_dimension(tensor *t, int dim, int64_t inner) {
  for (int d = t->rank++; d > dim; d--) {
    t->shape[d] = t->shape[d - 1];
    t->stride[d] = t->stride[d - 1];
  }
  t->shape[dim] /= inner;
  t->stride[dim] *= inner;
  t->shape[dim + 1] = inner;
}

/* `to` = `from`, of one shape; the notes of from's storage are p, also where it has data by now. */
static int try_plan(plan *l, fused *f, const tensor *to, const tensor *from, const pending *p) {
  course c;
  f->to = *to;
  f->leaves = f->steps = 0;
  l->f = f;
  l->count = 0;
  l->rank = to->rank;
  memcpy(l->shape, to->shape, sizeof l->shape);
  int code = chart(l, p, from->offset, from->stride, &c);
  if (!code) code = add_step(l, p, &c, &f->result);
  if (code || fused_value_dtype(f, f->result) == to->dtype) return code;
  if (f->steps == FUSED_STEPS) return refuse_plan(l, p->storage);
  f->step[f->steps] = (fused_step){.kind = ELEMENTWISE_CAST,
                                   .out = to->dtype,
                                   .made = to->dtype,
                                   .inputs = 1,
                                   .in = {f->result}};
  f->result = f->steps++;
  return 0;
}

/* 0; 1 where from has to be settled whole first; or an error's code. Operands that do not fit are
 * settled on the way. */
static int make_plan(fused *f, const tensor *to, const tensor *from, const pending *p, bool on_host,
                     tensor_error *error) {
  plan l = {.on_host = on_host};
  tensor wide = *to, source = *from; /* borrowed */
  if (p->step.out != from->dtype) return 1;
  for (;;) {
    int code = try_plan(&l, f, &wide, &source, p);
    if (code == 0) return 0;
    if (code == PLAN_SPLIT) {
      split_dimension(&wide, l.split, l.inner);
      split_dimension(&source, l.split, l.inner);
      continue;
    }
    if (!l.unfit || l.unfit == p->storage || on_host) return 1;
    code = storage_settle(l.unfit, error);
    if (code) return code;
  }
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
  int code = make_plan(&f, &t, &t, p, false, error);
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
  code = make_plan(&f, to, &wide, s->pending, false, error);
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
  int64_t count = tensor_count(t), whole = p ? count_of(p) : 0;
  bool is_part = p && count > 0 && 2 * count <= whole && s->bytes > PART_BYTES &&
                 p->computed + count <= OFTEN_TIMES * whole;
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
  if (!p || t->storage->bytes < TAKE_BYTES || p->computed > count_of(p)) return false;
  tensor same = *t; /* stands for where it would be written: the shape counts */
  if (make_plan(&f, &same, t, p, false, error) != 0) return false;
  bool is_cast = f.leaves == 1 && !f.leaf[0].is_number && f.to.rank == t->rank &&
                 (f.steps == 0 || (f.steps == 1 && f.step[0].kind == ELEMENTWISE_CAST));
  if (!is_cast) return false;
  tensor_share(source, &f.leaf[0].tensor);
  return true;
}

/* ---- products with what waits -----------------------------------------------------------------
 */

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
  int64_t whole = count_of(p), count = tensor_count(b);
  if (p->computed + count > OFTEN_TIMES * whole) return 1;
  turn(&turned, &shape, b);
  int code = make_plan(&f, &shape, &turned, p, false, error);
  if (!code) code = multiply_thin(out, a, &f, b->shape[b->rank - 1], error);
  if (!code) p->computed += count;
  return code;
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
         to->dtype == p->step.out && tensor_count(to) == count_of(p);
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

/* ---- what a device holds, on the CPU ----------------------------------------------------------
 */

enum {
  COPIED_BYTES = 1 << 16,       /* of a storage that is copied when a number of it is asked for, */
  COPIED_AGAIN_BYTES = 1 << 20, /* and when one is asked for again */
  COMPUTED_COUNT = 1 << 16      /* elements that the CPU computes */
};

static bool has_copy(const storage *s) {
  return s->device == DEVICE_CPU || (s->copy && (!s->data || s->copied == span));
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
  s->copied = span;
  return true;
}

/* Steps that give the same bits everywhere. */
static bool is_exact(const fused_step *s) {
  switch (s->kind) {
  case ELEMENTWISE_UNARY: return !takes_long(s);
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
  int code = make_plan(&f, &made, t, t->storage->pending, true, &error);
  if (!code) code = fused_run(&f, &error);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return !code;
}

bool tensor_on_host(tensor *out, const tensor *t, enum host_ask ask) {
  storage *s = t->storage;
  if (mode == PENDING_NEVER || s->device == DEVICE_CPU || s->bytes == 0) return false;
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
    s->copied = span;
    *out = whole;
    out->storage = s;
  }
  tensor_release(&whole);
  return code;
}
