/* reduce.c -- folds over any dimensions. The dimensions that stay make one loop, those that go make
 * another inside it. Where the innermost elements in memory are all folded into one, that is done
 * run by run; where neighbours belong to different results, row by row into many accumulators. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include "tensor/device.h"
#include "tensor/loop.h"
#include "tensor/parallel.h"
#include "tensor/reduce.h"
#include "tensor/reduce_plan.h"

/* ---- plans ------------------------------------------------------------------------------------
 */

static bool is_reduced(unsigned dims, int i) {
  return dims >> i & 1;
}

static int check_operand(const char *name, const tensor *a, tensor_error *error) {
  char text[TENSOR_TEXT];
  if (a->dtype != DTYPE_FLOAT4_E2M1) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot %s %s: float4_e2m1 holds pairs", name,
                     tensor_describe(a, text));
}

int reduce_plan_start(reduce_plan *p, const char *name, tensor *out, const tensor *a, reduction how,
                      dtype result, bool in_order, tensor_error *error) {
  tensor kept = *a, gone = *a;
  int code = check_operand(name, a, error), left = 0;
  int64_t shape[TENSOR_MAX_RANK];
  if (code) return code;
  for (int i = 0; i < a->rank; i++) {
    if (is_reduced(how.dims, i))
      kept.shape[i] = 1;
    else
      gone.shape[i] = 1;
    if (!is_reduced(how.dims, i) || how.keepdim) shape[left++] = kept.shape[i];
  }
  code = tensor_empty(out, result, a->storage->device, left, shape, error);
  if (code) return code;
  p->k = kernels();
  p->in = a->dtype;
  p->as = compute_dtype(dtype_compute(a->dtype));
  loop_start(&p->kept, a->rank, kept.shape);
  loop_add(&p->kept, &kept);
  loop_merge(&p->kept);
  loop_start(&p->gone, a->rank, gone.shape);
  loop_add(&p->gone, &gone);
  if (in_order)
    loop_merge(&p->gone);
  else
    loop_simplify(&p->gone);
  p->outputs = loop_count(&p->kept);
  p->inputs = loop_count(&p->gone);
  return 0;
}

const void *reduce_load(const reduce_plan *p, const char *from, int64_t stride, int64_t n,
                        reduce_block *room) {
  size_t size = dtype_size(p->in);
  reduce_block collected;
  bool lies_even = stride == (int64_t)size;
  if (p->in == p->as && lies_even) return from;
  if (p->in == p->as) {
    p->k->gather[size_index(size)](room->bytes, from, stride, n);
    return room->bytes;
  }
  if (!lies_even) p->k->gather[size_index(size)](collected.bytes, from, stride, n);
  dtype_convert(p->as, room->bytes, p->in, lies_even ? from : collected.bytes, n);
  return room->bytes;
}

void reduce_walk(const reduce_plan *p, int64_t output, int64_t first, int64_t last, loop_body *body,
                 void *context) {
  char *data = loop_at(&p->kept, 0, output);
  if (p->gone.rank == 1) { /* short rows come in large numbers */
    int64_t stride = p->gone.operand[0].stride[0];
    data += first * stride;
    if (first < last) body(context, &data, &stride, last - first);
    return;
  }
  loop inner = p->gone;
  inner.operand[0].data = data;
  loop_run_range(&inner, first, last, body, context);
}

int reduce_on_device(reduction_work work, tensor *out, tensor_error *error) {
  tensor made = *work.to;
  int code = tensor_count(&made) ? device_functions_get()->reduce(&work, error) : 0;
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int64_t reduce_grain(const reduce_plan *p) {
  return p->inputs >= LOOP_GRAIN || p->inputs == 0 ? 1 : LOOP_GRAIN / p->inputs;
}

/* ---- folds ------------------------------------------------------------------------------------
 */

typedef struct fold {
  reduce_plan plan;
  enum fold_op op;
  compute_type c;
  accumulator start;
  tensor *out;
  dtype made;   /* what accumulators hold: float64 or int64 */
  double scale; /* of the result: 1 / n for a mean; 0 for none */
  bool root;
} fold;

static const char *const fold_names[FOLD_COUNT] = {"sum", "prod", "max", "min",
                                                   "any", "all",  "norm"};

/* What the first element is folded with: the least, or the greatest, of the type. */
static accumulator extreme_start(compute_type c, bool least) {
  static const int64_t lowest[COMPUTE_COUNT] = {0,         0,        INT64_MIN, INT32_MIN,
                                                INT16_MIN, INT8_MIN, 0,         0};
  static const int64_t highest[COMPUTE_COUNT] = {0,         0,        INT64_MAX, INT32_MAX,
                                                 INT16_MAX, INT8_MAX, UINT8_MAX, 1};
  if (c <= COMPUTE_FLOAT32) return (accumulator){.f = least ? -INFINITY : INFINITY};
  return (accumulator){.i = least ? lowest[c] : highest[c]};
}

accumulator fold_start(enum fold_op op, compute_type c) {
  bool floats = c <= COMPUTE_FLOAT32;
  switch (op) {
  case FOLD_MAX: return extreme_start(c, true);
  case FOLD_MIN: return extreme_start(c, false);
  case FOLD_PROD: return floats ? (accumulator){.f = 1} : (accumulator){.i = 1};
  case FOLD_ALL: return (accumulator){.i = 1};
  case FOLD_ANY: return (accumulator){.i = 0};
  default: return floats ? (accumulator){.f = 0} : (accumulator){.i = 0};
  }
}

/* b into a, for results of parts of one reduction. */
static void combine(const fold *f, accumulator *a, accumulator b) {
  compute_type wide = f->made == DTYPE_FLOAT64 ? COMPUTE_FLOAT64 : COMPUTE_INT64;
  enum fold_op op = f->op == FOLD_SQUARES ? FOLD_SUM : f->op;
  f->plan.k->fold_run[wide][op](a, &b, 1);
}

typedef struct folding {
  const fold *fold;
  accumulator *into;
  int64_t columns, stride; /* for rows: of the kept dimension */
} folding;

/* A long run goes in pieces, whose sums are added: the error grows with their number only. */
enum { PIECE = 8192 };

static void fold_runs(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const folding *g = context;
  const fold *f = g->fold;
  bool direct = f->plan.in == f->plan.as && *stride == (int64_t)dtype_size(f->plan.in);
  int64_t most = direct ? PIECE : REDUCE_BLOCK;
  reduce_block room;
  for (int64_t done = 0; done < n; done += most) {
    int64_t length = n - done < most ? n - done : most;
    const char *from = data[0] + done * *stride;
    const void *in = direct ? from : reduce_load(&f->plan, from, *stride, length, &room);
    f->plan.k->fold_run[f->c][f->op](g->into, in, length);
  }
}

static void fold_rows(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const folding *g = context;
  const fold *f = g->fold;
  reduce_block room;
  for (int64_t i = 0; i < n; i++) {
    const void *in = reduce_load(&f->plan, data[0] + i * *stride, g->stride, g->columns, &room);
    f->plan.k->fold_rows[f->c][f->op](g->into, in, g->columns);
  }
}

static int64_t inner_stride(const loop *l) {
  return l->rank > 0 ? l->operand[0].stride[l->rank - 1] : 0;
}

/* Are neighbours in memory of different results? */
static bool goes_by_rows(const reduce_plan *p) {
  int64_t kept = inner_stride(&p->kept), gone = inner_stride(&p->gone);
  return kept != 0 && (gone == 0 || kept < gone) && p->kept.shape[p->kept.rank - 1] >= 4;
}

/* Results begin up to end of n gone elements first..last, into accumulators. */
static void fold_outputs(const fold *f, accumulator *into, int64_t begin, int64_t end,
                         int64_t first, int64_t last) {
  const reduce_plan *p = &f->plan;
  bool rows = goes_by_rows(p);
  int64_t width = rows ? p->kept.shape[p->kept.rank - 1] : 1;
  while (begin < end) {
    int64_t n = rows ? width - begin % width : 1;
    if (n > end - begin) n = end - begin;
    if (n > REDUCE_BLOCK) n = REDUCE_BLOCK;
    for (int64_t i = 0; i < n; i++) into[i] = f->start;
    folding g = {f, into, n, inner_stride(&p->kept)};
    reduce_walk(p, begin, first, last, rows ? fold_rows : fold_runs, &g);
    into += n;
    begin += n;
  }
}

static void store_outputs(const fold *f, accumulator *from, int64_t begin, int64_t n) {
  if (f->scale != 0)
    for (int64_t i = 0; i < n; i++) from[i].f *= f->scale;
  if (f->root)
    for (int64_t i = 0; i < n; i++) from[i].f = sqrt(from[i].f);
  char *to = (char *)tensor_data(f->out) + begin * (int64_t)dtype_size(f->out->dtype);
  dtype_convert(f->out->dtype, to, f->made, from, n);
}

static void fold_range(void *context, int64_t begin, int64_t end) {
  const fold *f = context;
  accumulator block[REDUCE_BLOCK];
  for (; begin < end; begin += REDUCE_BLOCK) {
    int64_t n = end - begin < REDUCE_BLOCK ? end - begin : REDUCE_BLOCK;
    fold_outputs(f, block, begin, begin + n, 0, f->plan.inputs);
    store_outputs(f, block, begin, n);
  }
}

/* ---- one large reduction in parts -------------------------------------------------------------
 */

enum { PARTS = 64, FEW_OUTPUTS = 32 };

typedef struct parts {
  const fold *fold;
  accumulator each[PARTS][FEW_OUTPUTS];
} parts;

/* The parts do not depend on the number of threads, so neither does the result. */
static void fold_part(void *context, int64_t begin, int64_t end) {
  parts *s = context;
  const reduce_plan *p = &s->fold->plan;
  for (int64_t part = begin; part < end; part++) {
    int64_t size = (p->inputs + PARTS - 1) / PARTS;
    int64_t first = part * size < p->inputs ? part * size : p->inputs;
    int64_t last = first + size < p->inputs ? first + size : p->inputs;
    fold_outputs(s->fold, s->each[part], 0, p->outputs, first, last);
  }
}

static void fold_in_parts(fold *f) {
  parts s = {.fold = f};
  parallel_for(PARTS, 1, fold_part, &s);
  for (int part = 1; part < PARTS; part++)
    for (int64_t i = 0; i < f->plan.outputs; i++) combine(f, &s.each[0][i], s.each[part][i]);
  store_outputs(f, s.each[0], 0, f->plan.outputs);
}

static void run_fold(fold *f) {
  if (f->plan.outputs == 0) return;
  if (f->plan.outputs <= FEW_OUTPUTS && f->plan.inputs >= 2 * LOOP_GRAIN)
    fold_in_parts(f);
  else
    parallel_for(f->plan.outputs, reduce_grain(&f->plan), fold_range, f);
}

static dtype fold_result(enum fold_op op, const tensor *a, dtype wanted) {
  if (op == FOLD_ANY || op == FOLD_ALL) return a->dtype == DTYPE_UINT8 ? DTYPE_UINT8 : DTYPE_BOOL;
  if (op == FOLD_MAX || op == FOLD_MIN) return a->dtype;
  if (wanted != DTYPE_NONE) return wanted;
  return dtype_is_float(a->dtype) ? a->dtype : DTYPE_INT64;
}

static int check_not_empty(const fold *f, const tensor *a, tensor_error *error) {
  char text[TENSOR_TEXT];
  bool extreme = f->op == FOLD_MAX || f->op == FOLD_MIN;
  if (!extreme || f->plan.inputs > 0 || f->plan.outputs == 0) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot take the %s of %s: there are no elements",
                     fold_names[f->op], tensor_describe(a, text));
}

static reduction_work fold_work(const fold *f, const tensor *to, const tensor *a, reduction how) {
  return (reduction_work){
      .kind = REDUCTION_FOLD, .op = f->op, .in = a, .to = to, .dims = how.dims, .scale = f->scale};
}

static int run_reduction(fold *f, tensor *out, const tensor *a, reduction how,
                         tensor_error *error) {
  tensor made = {0};
  f->c = dtype_compute(a->dtype);
  bool logical = f->op == FOLD_ANY || f->op == FOLD_ALL;
  f->made = dtype_is_float(a->dtype) && !logical ? DTYPE_FLOAT64 : DTYPE_INT64;
  f->start = fold_start(f->op, f->c);
  int code = reduce_plan_start(&f->plan, fold_names[f->op], &made, a, how,
                               fold_result(f->op, a, how.dtype), false, error);
  if (!code) code = check_not_empty(f, a, error);
  if (code) {
    tensor_release(&made);
    return code;
  }
  if (!tensor_is_on_cpu(a)) return reduce_on_device(fold_work(f, &made, a, how), out, error);
  *out = made;
  f->out = out;
  run_fold(f);
  return 0;
}

/* Another dtype for the result is that of the elements first, where that is not the same. */
static int with_dtype(fold *f, tensor *out, const tensor *a, reduction how, tensor_error *error) {
  tensor cast = {0};
  bool same_kind = how.dtype == DTYPE_NONE || dtype_is_float(how.dtype) == dtype_is_float(a->dtype);
  if (same_kind && how.dtype != DTYPE_BOOL) return run_reduction(f, out, a, how, error);
  int code = tensor_to(&cast, a, how.dtype, error);
  if (code) return code;
  code = run_reduction(f, out, &cast, how, error);
  tensor_release(&cast);
  return code;
}

int tensor_fold(enum fold_op op, tensor *out, const tensor *a, reduction how, tensor_error *error) {
  fold f = {.op = op};
  return with_dtype(&f, out, a, how, error);
}

static int check_float(const char *name, const tensor *a, reduction how, tensor_error *error) {
  char text[TENSOR_TEXT];
  if (dtype_is_float(how.dtype == DTYPE_NONE ? a->dtype : how.dtype)) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot take the %s of %s: name a float dtype for it",
                     name, tensor_describe(a, text));
}

int64_t reduce_count(const tensor *a, unsigned dims) {
  int64_t count = 1;
  for (int i = 0; i < a->rank; i++)
    if (is_reduced(dims, i)) count *= a->shape[i];
  return count;
}

int tensor_mean(tensor *out, const tensor *a, reduction how, tensor_error *error) {
  int64_t n = reduce_count(a, how.dims);
  int code = check_float("mean", a, how, error);
  if (code) return code;
  fold f = {.op = FOLD_SUM, .scale = n ? 1 / (double)n : NAN};
  return with_dtype(&f, out, a, how, error);
}

int tensor_norm(tensor *out, const tensor *a, reduction how, tensor_error *error) {
  int code = check_float("norm", a, how, error);
  if (code) return code;
  fold f = {.op = FOLD_SQUARES, .root = true};
  return with_dtype(&f, out, a, how, error);
}
