/* reduce_rows.c -- reductions that look at their elements more than once: where the extreme is,
 * variance, logsumexp, softmax; and running sums. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "tensor/parallel.h"
#include "tensor/reduce_plan.h"

static int refuse(const char *name, const tensor *a, const char *why, tensor_error *error) {
  char text[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot take the %s of %s: %s", name,
                     tensor_describe(a, text), why);
}

/* ---- walking the elements of one result -------------------------------------------------------
 */

typedef struct walk {
  const reduce_plan *plan;
  void (*block)(struct walk *w, const void *in, int64_t n); /* n <= REDUCE_BLOCK, as plan->as */
  accumulator best;                                         /* of extremes */
  int64_t seen, at;                                         /* elements so far; the extreme's */
  double sum, shift;
  enum fold_op op;
} walk;

static void walk_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  walk *w = context;
  reduce_block room;
  for (int64_t done = 0; done < n; done += REDUCE_BLOCK) {
    int64_t length = n - done < REDUCE_BLOCK ? n - done : REDUCE_BLOCK;
    const void *in = reduce_load(w->plan, data[0] + done * *stride, *stride, length, &room);
    w->block(w, in, length);
    w->seen += length;
  }
}

static void walk_output(walk *w, int64_t output) {
  w->seen = 0;
  reduce_walk(w->plan, output, 0, w->plan->inputs, walk_segment, w);
}

/* ---- where the extreme is ---------------------------------------------------------------------
 */

static bool is_float_plan(const reduce_plan *p) {
  return dtype_is_float(p->as);
}

/* Is a the new extreme, b the old one? NaN is beyond all, and the first one stays. */
static bool is_beyond(const walk *w, accumulator a, accumulator b) {
  bool most = w->op == FOLD_MAX;
  if (!is_float_plan(w->plan)) return most ? a.i > b.i : a.i < b.i;
  if (isnan(a.f) || isnan(b.f)) return !isnan(b.f);
  return most ? a.f > b.f : a.f < b.f;
}

static int64_t find_first(const walk *w, const void *in, int64_t n, accumulator wanted) {
  accumulator wide[REDUCE_BLOCK];
  bool floats = is_float_plan(w->plan);
  dtype_convert(floats ? DTYPE_FLOAT64 : DTYPE_INT64, wide, w->plan->as, in, n);
  for (int64_t i = 0; i < n; i++) {
    bool found = !floats           ? wide[i].i == wanted.i
                 : isnan(wanted.f) ? isnan(wide[i].f)
                                   : wide[i].f == wanted.f;
    if (found) return i;
  }
  return 0;
}

/* The block's extreme is found fast; only a block that has a new one is searched for it. */
static void find_extreme(walk *w, const void *in, int64_t n) {
  compute_type c = dtype_compute(w->plan->as);
  accumulator best = fold_start(w->op, c);
  w->plan->k->fold_run[c][w->op](&best, in, n);
  if (w->seen > 0 && !is_beyond(w, best, w->best)) return;
  w->best = best;
  w->at = w->seen + find_first(w, in, n, best);
}

typedef struct extremes {
  reduce_plan plan;
  enum fold_op op;
  tensor *values, *indices;
} extremes;

static void extreme_range(void *context, int64_t begin, int64_t end) {
  const extremes *x = context;
  walk w = {.plan = &x->plan, .block = find_extreme, .op = x->op};
  int64_t *indices = tensor_data(x->indices);
  for (int64_t i = begin; i < end; i++) {
    walk_output(&w, i);
    indices[i] = w.at;
    if (!x->values) continue;
    char *to = (char *)tensor_data(x->values) + i * (int64_t)dtype_size(x->values->dtype);
    dtype_convert(x->values->dtype, to, is_float_plan(&x->plan) ? DTYPE_FLOAT64 : DTYPE_INT64,
                  &w.best, 1);
  }
}

static int extreme_on_device(const extremes *x, const tensor *a, reduction how,
                             tensor_error *error) {
  reduction_work work = {.kind = REDUCTION_EXTREME,
                         .op = x->op,
                         .in = a,
                         .to = x->values,
                         .indices = x->indices,
                         .dims = how.dims};
  return device_functions_get()->reduce(&work, error);
}

int tensor_extreme(enum fold_op op, tensor *values, tensor *indices, const tensor *a, reduction how,
                   tensor_error *error) {
  const char *name = op == FOLD_MAX ? "max" : "min";
  tensor at = {0}, best = {0};
  extremes x = {.op = op, .values = values ? &best : NULL, .indices = &at};
  int code = reduce_plan_start(&x.plan, name, &at, a, how, DTYPE_INT64, true, error);
  if (!code && values)
    code = tensor_empty(&best, a->dtype, a->storage->device, at.rank, at.shape, error);
  if (!code && x.plan.inputs == 0 && (x.plan.outputs > 0 || how.dims == ALL_DIMS))
    code = refuse(name, a, "there are no elements", error);
  if (!code && !tensor_is_on_cpu(a) && x.plan.outputs > 0)
    code = extreme_on_device(&x, a, how, error);
  if (code) {
    tensor_release(&at);
    tensor_release(&best);
    return code;
  }
  if (tensor_is_on_cpu(a)) parallel_for(x.plan.outputs, reduce_grain(&x.plan), extreme_range, &x);
  *indices = at;
  if (values) *values = best;
  return 0;
}

/* ---- variance and logsumexp -------------------------------------------------------------------
 */

static void add_block(walk *w, const void *in, int64_t n) {
  accumulator sum = {.f = 0};
  w->plan->k->fold_run[dtype_compute(w->plan->as)][FOLD_SUM](&sum, in, n);
  w->sum += sum.f;
}

static void add_squares(walk *w, const void *in, int64_t n) {
  double wide[REDUCE_BLOCK], sum = 0;
  dtype_convert(DTYPE_FLOAT64, wide, w->plan->as, in, n);
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    double d = wide[i] - w->shift;
    sum += d * d;
  }
  w->sum += sum;
}

static void add_exponentials(walk *w, const void *in, int64_t n) {
  const kernel_table *k = w->plan->k;
  w->sum += w->plan->as == DTYPE_FLOAT64 ? k->sum_exp_f64(NULL, in, w->shift, n)
                                         : k->sum_exp_f32(NULL, in, (float)w->shift, n);
}

typedef struct rows {
  reduce_plan plan;
  double correction;
  bool root;
  tensor *out;
  double (*result)(const struct rows *r, walk *w, int64_t output);
  reduction_work work; /* the same for a device */
} rows;

static void store_number(const tensor *to, int64_t i, double value) {
  char *at = (char *)tensor_data(to) + i * (int64_t)dtype_size(to->dtype);
  dtype_convert(to->dtype, at, DTYPE_FLOAT64, &value, 1);
}

static double variance_of(const rows *r, walk *w, int64_t output) {
  double n = (double)r->plan.inputs, rest = n - r->correction;
  w->block = add_block;
  w->sum = 0;
  walk_output(w, output);
  w->shift = w->sum / n;
  w->block = add_squares;
  w->sum = 0;
  walk_output(w, output);
  double variance = w->sum / (rest > 0 ? rest : 0);
  return r->root ? sqrt(variance) : variance;
}

static double logsumexp_of(const rows *r, walk *w, int64_t output) {
  if (r->plan.inputs == 0) return -INFINITY;
  w->block = find_extreme;
  walk_output(w, output);
  w->shift = isinf(w->best.f) ? 0 : w->best.f;
  w->block = add_exponentials;
  w->sum = 0;
  walk_output(w, output);
  return log(w->sum) + w->shift;
}

static void rows_range(void *context, int64_t begin, int64_t end) {
  const rows *r = context;
  walk w = {.plan = &r->plan, .op = FOLD_MAX};
  for (int64_t i = begin; i < end; i++) store_number(r->out, i, r->result(r, &w, i));
}

static int run_rows(const char *name, rows *r, tensor *out, const tensor *a, reduction how,
                    tensor_error *error) {
  tensor made = {0};
  int code = reduce_plan_start(&r->plan, name, &made, a, how, a->dtype, false, error);
  if (code) return code;
  r->out = &made;
  if (!tensor_is_on_cpu(a)) {
    r->work.in = a;
    r->work.to = &made;
    r->work.dims = how.dims;
    return reduce_on_device(r->work, out, error);
  }
  parallel_for(r->plan.outputs, reduce_grain(&r->plan), rows_range, r);
  *out = made;
  return 0;
}

int tensor_variance(tensor *out, const tensor *a, reduction how, double correction, bool root,
                    tensor_error *error) {
  rows r = {.correction = correction, .root = root, .result = variance_of};
  r.work = (reduction_work){.kind = REDUCTION_VARIANCE, .correction = correction, .root = root};
  if (!dtype_is_float(a->dtype)) return refuse("variance", a, "it needs a float dtype", error);
  return run_rows("take the variance of", &r, out, a, how, error);
}

int tensor_logsumexp(tensor *out, const tensor *a, reduction how, tensor_error *error) {
  rows r = {.result = logsumexp_of, .work = {.kind = REDUCTION_LOGSUMEXP}};
  tensor floats;
  int code = tensor_to(&floats, a, dtype_is_float(a->dtype) ? a->dtype : DTYPE_FLOAT32, error);
  if (code) return code;
  code = run_rows("logsumexp", &r, out, &floats, how, error);
  tensor_release(&floats);
  return code;
}

/* ---- softmax ----------------------------------------------------------------------------------
 */

typedef struct softmax {
  reduce_plan plan;
  const tensor *in;
  tensor *out;
  loop to; /* as plan.kept, over the result */
  int64_t n, from_stride, to_stride;
  bool logarithm;
  atomic_bool failed; /* there was no memory for a row */
} softmax;

static void finish_row_f32(float *y, const float *x, float most, double sum, bool logarithm,
                           int64_t n) {
  float scale = (float)(1 / sum), shift = (float)log(sum);
  if (logarithm)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - most - shift;
  else
    for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static void finish_row_f64(double *y, const double *x, double most, double sum, bool logarithm,
                           int64_t n) {
  double shift = log(sum);
  for (int64_t i = 0; i < n; i++) y[i] = logarithm ? x[i] - most - shift : y[i] / sum;
}

/* One row of n in x to y, both contiguous, of the computing type. */
static void softmax_row(const softmax *s, void *y, const void *x) {
  const kernel_table *k = s->plan.k;
  compute_type c = dtype_compute(s->plan.as);
  accumulator most = fold_start(FOLD_MAX, c);
  k->fold_run[c][FOLD_MAX](&most, x, s->n);
  if (c == COMPUTE_FLOAT64) {
    double sum = k->sum_exp_f64(y, x, most.f, s->n);
    finish_row_f64(y, x, most.f, sum, s->logarithm, s->n);
  } else {
    double sum = k->sum_exp_f32(s->logarithm ? NULL : y, x, (float)most.f, s->n);
    finish_row_f32(y, x, (float)most.f, sum, s->logarithm, s->n);
  }
}

static void load_row(const softmax *s, char *to, const char *from) {
  reduce_block room;
  int64_t size = (int64_t)dtype_size(s->plan.as);
  for (int64_t i = 0; i < s->n; i += REDUCE_BLOCK) {
    int64_t length = s->n - i < REDUCE_BLOCK ? s->n - i : REDUCE_BLOCK;
    const void *in =
        reduce_load(&s->plan, from + i * s->from_stride, s->from_stride, length, &room);
    memcpy(to + i * size, in, (size_t)(length * size));
  }
}

static void store_row(const softmax *s, char *to, const char *from) {
  reduce_block converted;
  int64_t size = (int64_t)dtype_size(s->plan.as);
  size_t out_size = dtype_size(s->out->dtype);
  for (int64_t i = 0; i < s->n; i += REDUCE_BLOCK) {
    int64_t length = s->n - i < REDUCE_BLOCK ? s->n - i : REDUCE_BLOCK;
    dtype_convert(s->out->dtype, converted.bytes, s->plan.as, from + i * size, length);
    s->plan.k->scatter[size_index(out_size)](to + i * s->to_stride, converted.bytes, s->to_stride,
                                             length);
  }
}

static bool rows_are_direct(const softmax *s) {
  int64_t size = (int64_t)dtype_size(s->plan.as);
  return s->in->dtype == s->plan.as && s->out->dtype == s->plan.as && s->from_stride == size &&
         s->to_stride == size;
}

static void softmax_range(void *context, int64_t begin, int64_t end) {
  softmax *s = context;
  size_t bytes = (size_t)s->n * dtype_size(s->plan.as);
  char *room = rows_are_direct(s) ? NULL : malloc(2 * bytes);
  if (!room && !rows_are_direct(s)) {
    atomic_store(&s->failed, true);
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    char *from = loop_at(&s->plan.kept, 0, i), *to = loop_at(&s->to, 0, i);
    if (!room) {
      softmax_row(s, to, from);
      continue;
    }
    load_row(s, room, from);
    softmax_row(s, room + bytes, room);
    store_row(s, to, room + bytes);
  }
  free(room);
}

/* A loop over the rows of t: all its dimensions but one. */
static void row_loop(loop *l, const tensor *t, int dim) {
  tensor kept = *t;
  kept.shape[dim] = 1;
  loop_start(l, t->rank, kept.shape);
  loop_add(l, &kept);
  loop_merge(l);
}

/* Into *out, which is there. */
static int run_softmax(softmax *s, tensor *out, const tensor *a, int dim, tensor_error *error) {
  s->out = out;
  s->in = a;
  s->n = a->shape[dim];
  s->from_stride = a->stride[dim] * (int64_t)dtype_size(a->dtype);
  s->to_stride = out->stride[dim] * (int64_t)dtype_size(out->dtype);
  s->plan.k = kernels();
  s->plan.in = a->dtype;
  s->plan.as = compute_dtype(dtype_compute(a->dtype));
  row_loop(&s->plan.kept, a, dim);
  row_loop(&s->to, out, dim);
  int64_t rows = s->n ? loop_count(&s->to) : 0;
  parallel_for(rows, s->n >= LOOP_GRAIN ? 1 : LOOP_GRAIN / (s->n ? s->n : 1), softmax_range, s);
  if (!atomic_load(&s->failed)) return 0;
  return tensor_fail(error, TENSOR_NO_MEMORY, "cannot take a softmax: out of memory");
}

/* Is dimension dim of t so that another lies closer together? */
static bool lies_across(const tensor *t, int dim) {
  for (int d = 0; d < t->rank; d++)
    if (d != dim && t->shape[d] >= 16 && t->stride[d] < t->stride[dim] && t->stride[d] > 0)
      return t->shape[dim] >= 16;
  return false;
}

typedef struct turned {
  tensor in, out; /* contiguous, the dimension last */
} turned;

/* Copies with dimension dim last: cheaper than reading every row from all over the memory. */
static int turn(turned *t, const tensor *in, int dim, dtype result, tensor_error *error) {
  tensor view;
  int code = tensor_transpose(&view, in, dim, in->rank - 1, error);
  if (code) return code;
  code = tensor_contiguous(&t->in, &view, error);
  tensor_release(&view);
  if (code) return code;
  code = tensor_empty(&t->out, result, DEVICE_CPU, in->rank, t->in.shape, error);
  if (code) tensor_release(&t->in);
  return code;
}

/* Back into *out, which has the dimensions in order; the copies are let go of. */
static int turn_back(turned *t, tensor *out, int dim, tensor_error *error) {
  tensor view;
  int code = tensor_transpose(&view, out, dim, out->rank - 1, error);
  if (!code) {
    code = tensor_copy(&view, &t->out, error);
    tensor_release(&view);
  }
  tensor_release(&t->in);
  tensor_release(&t->out);
  return code;
}

/* A 0-d tensor as one of one dimension: it has a dimension to work along. */
static const tensor *with_dimension(tensor *room, const tensor *a) {
  if (a->rank > 0) return a;
  *room = *a;
  room->rank = 1;
  room->shape[0] = room->stride[0] = 1;
  return room;
}

static int softmax_across(softmax *s, tensor *out, const tensor *in, int dim, tensor_error *error) {
  turned t;
  int code = turn(&t, in, dim, out->dtype, error);
  if (code) return code;
  code = run_softmax(s, &t.out, &t.in, in->rank - 1, error);
  int back = turn_back(&t, out, dim, error);
  return code ? code : back;
}

int tensor_softmax(tensor *out, const tensor *a, int dim, bool logarithm, dtype dtype,
                   tensor_error *error) {
  tensor cast, room, made = {.dtype = dtype == DTYPE_NONE ? a->dtype : dtype};
  const char *name = logarithm ? "log_softmax" : "softmax";
  if (!dtype_is_float(made.dtype)) return refuse(name, a, "it needs a float dtype", error);
  if (made.dtype == DTYPE_FLOAT4_E2M1) return refuse(name, a, "float4_e2m1 holds pairs", error);
  bool widens = dtype_is_float(a->dtype) && dtype_size(a->dtype) < 4 && made.dtype == DTYPE_FLOAT32;
  int code = tensor_to(&cast, a, widens ? a->dtype : made.dtype, error);
  if (code) return code;
  softmax s = {.logarithm = logarithm};
  atomic_init(&s.failed, false);
  const tensor *in = with_dimension(&room, &cast);
  code = tensor_empty(&made, made.dtype, a->storage->device, in->rank, in->shape, error);
  if (!code)
    code = !tensor_is_on_cpu(a) ? device_functions_get()->softmax(&made, in, dim, logarithm, error)
           : lies_across(in, dim) ? softmax_across(&s, &made, in, dim, error)
                                  : run_softmax(&s, &made, in, dim, error);
  tensor_release(&cast);
  if (code) tensor_release(&made);
  if (code) return code;
  made.rank = a->rank;
  *out = made;
  return 0;
}

/* ---- running sums -----------------------------------------------------------------------------
 */

typedef struct scan {
  const tensor *in, *out;
  loop from, to; /* over the rows */
  enum fold_op op;
  int dim;
} scan;

static void scan_floats(const scan *s, double *x, double *total, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = *total = s->op == FOLD_SUM ? *total + x[i] : *total * x[i];
}

/* Half types accumulate in float32, as torch has it. */
static void scan_halves(const scan *s, double *x, double *total, int64_t n) {
  float t = (float)*total;
  for (int64_t i = 0; i < n; i++) x[i] = t = s->op == FOLD_SUM ? t + (float)x[i] : t * (float)x[i];
  *total = t;
}

static void scan_integers(const scan *s, uint64_t *x, uint64_t *total, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = *total = s->op == FOLD_SUM ? *total + x[i] : *total * x[i];
}

static void scan_row(const scan *s, const char *from, char *to) {
  const kernel_table *k = kernels();
  reduce_block raw, wide;
  size_t in_size = dtype_size(s->in->dtype), out_size = dtype_size(s->out->dtype);
  int64_t from_stride = s->in->stride[s->dim] * (int64_t)in_size;
  int64_t to_stride = s->out->stride[s->dim] * (int64_t)out_size, n = s->in->shape[s->dim];
  bool floats = dtype_is_float(s->in->dtype);
  dtype made = floats ? DTYPE_FLOAT64 : DTYPE_INT64;
  double total = s->op == FOLD_PROD;
  uint64_t whole = s->op == FOLD_PROD;
  for (int64_t i = 0; i < n; i += REDUCE_BLOCK) {
    int64_t length = n - i < REDUCE_BLOCK ? n - i : REDUCE_BLOCK;
    k->gather[size_index(in_size)](raw.bytes, from + i * from_stride, from_stride, length);
    dtype_convert(made, wide.bytes, s->in->dtype, raw.bytes, length);
    if (floats && in_size < 4)
      scan_halves(s, (double *)wide.bytes, &total, length);
    else if (floats)
      scan_floats(s, (double *)wide.bytes, &total, length);
    else
      scan_integers(s, (uint64_t *)wide.bytes, &whole, length);
    dtype_convert(s->out->dtype, raw.bytes, made, wide.bytes, length);
    k->scatter[size_index(out_size)](to + i * to_stride, raw.bytes, to_stride, length);
  }
}

static void scan_range(void *context, int64_t begin, int64_t end) {
  const scan *s = context;
  for (int64_t i = begin; i < end; i++) scan_row(s, loop_at(&s->from, 0, i), loop_at(&s->to, 0, i));
}

static void run_scan(enum fold_op op, const tensor *out, const tensor *in, int dim) {
  scan s = {.in = in, .out = out, .op = op, .dim = dim};
  row_loop(&s.from, in, dim);
  row_loop(&s.to, out, dim);
  int64_t n = in->shape[dim];
  parallel_for(n ? loop_count(&s.to) : 0, n >= LOOP_GRAIN ? 1 : LOOP_GRAIN / (n ? n : 1),
               scan_range, &s);
}

static int scan_across(enum fold_op op, tensor *out, const tensor *in, int dim,
                       tensor_error *error) {
  turned t;
  int code = turn(&t, in, dim, out->dtype, error);
  if (code) return code;
  run_scan(op, &t.out, &t.in, in->rank - 1);
  return turn_back(&t, out, dim, error);
}

int tensor_scan(enum fold_op op, tensor *out, const tensor *a, int dim, tensor_error *error) {
  tensor room, made;
  const tensor *in = with_dimension(&room, a);
  dtype result = dtype_is_float(a->dtype) ? a->dtype : DTYPE_INT64;
  if (a->dtype == DTYPE_FLOAT4_E2M1)
    return refuse("running sum", a, "float4_e2m1 holds pairs", error);
  int code = tensor_empty(&made, result, a->storage->device, in->rank, in->shape, error);
  if (code) return code;
  if (!tensor_is_on_cpu(a))
    code = device_functions_get()->scan(op, &made, in, dim, error);
  else if (lies_across(in, dim))
    code = scan_across(op, &made, in, dim, error);
  else
    run_scan(op, &made, in, dim);
  if (code) {
    tensor_release(&made);
    return code;
  }
  made.rank = a->rank;
  *out = made;
  return 0;
}
