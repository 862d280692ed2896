/* loop.c -- walking several strided tensors of one shape together. */
#include "tensor/loop.h"
#include "tensor/parallel.h"

void loop_start(loop *l, int rank, const int64_t *shape) {
  l->rank = rank;
  l->operands = 0;
  for (int i = 0; i < rank; i++) l->shape[i] = shape[i];
}

void loop_add(loop *l, const tensor *t) {
  int k = l->operands++, added = l->rank - t->rank;
  int64_t size = (int64_t)dtype_size(t->dtype);
  l->operand[k].data = tensor_data(t);
  for (int i = 0; i < l->rank; i++) {
    bool broadcast = i < added || t->shape[i - added] == 1;
    l->operand[k].stride[i] = broadcast ? 0 : t->stride[i - added] * size;
  }
}

int64_t loop_count(const loop *l) {
  int64_t n = 1;
  for (int i = 0; i < l->rank; i++) n *= l->shape[i];
  return n;
}

static int64_t magnitude(int64_t x) {
  return x < 0 ? -x : x;
}

/* Should dimension a be outside of b? As the first operand to tell them apart says. */
static bool is_outer(const loop *l, int a, int b) {
  for (int k = 0; k < l->operands; k++) {
    int64_t x = magnitude(l->operand[k].stride[a]), y = magnitude(l->operand[k].stride[b]);
    if (x != y && x != 0 && y != 0) return x > y;
  }
  return a < b;
}

static void swap_dimensions(loop *l, int a, int b) {
  int64_t size = l->shape[a];
  l->shape[a] = l->shape[b];
  l->shape[b] = size;
  for (int k = 0; k < l->operands; k++) {
    int64_t stride = l->operand[k].stride[a];
    l->operand[k].stride[a] = l->operand[k].stride[b];
    l->operand[k].stride[b] = stride;
  }
}

static void drop_ones(loop *l) {
  int kept = 0;
  for (int i = 0; i < l->rank; i++) {
    if (l->shape[i] == 1) continue;
    if (kept != i) swap_dimensions(l, kept, i);
    kept++;
  }
  l->rank = kept;
}

static bool mergeable(const loop *l, int outer, int inner) {
  for (int k = 0; k < l->operands; k++) {
    const int64_t *stride = l->operand[k].stride;
    if (stride[outer] != stride[inner] * l->shape[inner]) return false;
  }
  return true;
}

static void merge_dimensions(loop *l) {
  int last = 0;
  for (int i = 1; i < l->rank; i++) {
    if (!mergeable(l, last, i)) {
      if (++last != i) swap_dimensions(l, last, i);
      continue;
    }
    l->shape[last] *= l->shape[i];
    for (int k = 0; k < l->operands; k++) l->operand[k].stride[last] = l->operand[k].stride[i];
  }
  if (l->rank > 0) l->rank = last + 1;
}

void loop_merge(loop *l) {
  drop_ones(l);
  merge_dimensions(l);
}

void loop_simplify(loop *l) {
  drop_ones(l);
  for (int i = 1; i < l->rank; i++)
    for (int j = i; j > 0 && is_outer(l, j, j - 1); j--) swap_dimensions(l, j, j - 1);
  merge_dimensions(l);
}

/* ---- running ----------------------------------------------------------------------------------
 */

typedef struct run {
  const loop *loop;
  loop_body *body;
  void *context;
} run;

/* Where element `index` lies, counted row by row. */
static void seek(const loop *l, int64_t index, int64_t *at, char **data) {
  for (int k = 0; k < l->operands; k++) data[k] = l->operand[k].data;
  for (int i = l->rank - 1; i >= 0; i--) {
    at[i] = index % l->shape[i];
    index /= l->shape[i];
    for (int k = 0; k < l->operands; k++) data[k] += at[i] * l->operand[k].stride[i];
  }
}

/* On by n within the innermost dimension, and to the next row at its end. */
static void advance(const loop *l, int64_t n, int64_t *at, char **data) {
  int inner = l->rank - 1;
  at[inner] += n;
  for (int k = 0; k < l->operands; k++) data[k] += n * l->operand[k].stride[inner];
  for (int i = inner; i > 0 && at[i] == l->shape[i]; i--) {
    at[i - 1]++;
    for (int k = 0; k < l->operands; k++)
      data[k] += l->operand[k].stride[i - 1] - l->shape[i] * l->operand[k].stride[i];
    at[i] = 0;
  }
}

static void run_range(void *context, int64_t begin, int64_t end) {
  const run *r = context;
  const loop *l = r->loop;
  int64_t at[TENSOR_MAX_RANK], stride[LOOP_OPERANDS];
  char *data[LOOP_OPERANDS];
  seek(l, begin, at, data);
  if (l->rank == 0) {
    for (int k = 0; k < l->operands; k++) stride[k] = 0;
    r->body(r->context, data, stride, 1);
    return;
  }
  int inner = l->rank - 1;
  for (int k = 0; k < l->operands; k++) stride[k] = l->operand[k].stride[inner];
  while (begin < end) {
    int64_t n = l->shape[inner] - at[inner];
    if (n > end - begin) n = end - begin;
    r->body(r->context, data, stride, n);
    advance(l, n, at, data);
    begin += n;
  }
}

void loop_run(const loop *l, int64_t grain, loop_body *body, void *context) {
  run r = {l, body, context};
  int64_t count = loop_count(l);
  if (count == 0) return;
  if (grain == 0)
    run_range(&r, 0, count);
  else
    parallel_for(count, grain, run_range, &r);
}

void loop_run_range(const loop *l, int64_t begin, int64_t end, loop_body *body, void *context) {
  run r = {l, body, context};
  if (begin < end) run_range(&r, begin, end);
}

char *loop_at(const loop *l, int k, int64_t index) {
  char *data = l->operand[k].data;
  if (l->rank == 1) return data + index * l->operand[k].stride[0];
  for (int i = l->rank - 1; i >= 0; i--) {
    data += index % l->shape[i] * l->operand[k].stride[i];
    index /= l->shape[i];
  }
  return data;
}
