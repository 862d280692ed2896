/* plan.c -- from notes to a program: each operand as the loop over the result sees it. */
#include <string.h>

#include "tensor/note.h"

bool note_takes_long(const fused_step *s) {
  switch (s->kind) {
  case ELEMENTWISE_UNARY: return (s->op >= UNARY_reciprocal && s->op <= UNARY_gelu_tanh);
  case ELEMENTWISE_BINARY: return s->op == BINARY_pow || s->op == BINARY_atan2;
  case ELEMENTWISE_TERNARY: return s->op == TERNARY_softplus;
  default: return false;
  }
}

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
  if (note_is_copy(p)) {
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

int note_plan(fused *f, const tensor *to, const tensor *from, const pending *p, bool on_host,
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
