/* compare.c -- how far two tensors are apart, in one pass over both. */
#include <math.h>
#include <pthread.h>
#include "tensor/compare.h"
#include "tensor/device.h"
#include "tensor/index.h"
#include "tensor/loop.h"
#include "tensor/parallel.h"

enum { BLOCK = 512 };

typedef struct pass {
  comparison *c;
  dtype a, b;
  loop loop;
  pthread_mutex_t lock; /* guards c while threads add what they found */
} pass;

typedef struct part {
  const pass *pass;
  comparison found;
  int64_t at;
} part;

static void load(float *to, dtype d, const char *from, int64_t stride, int64_t n) {
  char raw[BLOCK * 8];
  size_t size = dtype_size(d);
  copy_strided(raw, (int64_t)size, from, stride, n, size);
  dtype_convert(DTYPE_FLOAT32, to, d, raw, n);
}

static void note_bad(part *p, int64_t i) {
  p->found.bad++;
  if (p->found.first_bad < 0) p->found.first_bad = p->at + i;
}

static void compare_strange(part *p, float x, float y, int64_t i) {
  bool same = (isnan(x) && isnan(y)) || x == y;
  if (same) return;
  p->found.nonfinite++;
  p->found.max_absolute = p->found.max_relative = INFINITY;
  note_bad(p, i);
}

static void compare_pair(part *p, float x, float y, int64_t i) {
  if (!isfinite(x) || !isfinite(y)) {
    compare_strange(p, x, y, i);
    return;
  }
  float absolute = fabsf(x - y), relative = absolute / (fabsf(y) + 1e-8f);
  if (absolute > p->found.max_absolute) p->found.max_absolute = absolute;
  if (relative > p->found.max_relative) p->found.max_relative = relative;
  if (absolute > (float)p->found.atol && relative > (float)p->found.rtol) note_bad(p, i);
}

static void compare_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  part *p = context;
  float x[BLOCK], y[BLOCK];
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t length = n - done < BLOCK ? n - done : BLOCK;
    load(x, p->pass->a, data[0] + done * stride[0], stride[0], length);
    load(y, p->pass->b, data[1] + done * stride[1], stride[1], length);
    for (int64_t i = 0; i < length; i++) compare_pair(p, x[i], y[i], i);
    p->at += length;
  }
}

static void add_part(comparison *c, const comparison *found) {
  c->bad += found->bad;
  c->nonfinite += found->nonfinite;
  if (found->max_absolute > c->max_absolute) c->max_absolute = found->max_absolute;
  if (found->max_relative > c->max_relative) c->max_relative = found->max_relative;
  bool earlier = found->first_bad >= 0 && (c->first_bad < 0 || found->first_bad < c->first_bad);
  if (earlier) c->first_bad = found->first_bad;
}

static void compare_range(void *context, int64_t begin, int64_t end) {
  pass *s = context;
  part p = {.pass = s, .at = begin};
  p.found = (comparison){.rtol = s->c->rtol, .atol = s->c->atol, .first_bad = -1};
  loop_run_range(&s->loop, begin, end, compare_segment, &p);
  pthread_mutex_lock(&s->lock);
  add_part(s->c, &p.found);
  pthread_mutex_unlock(&s->lock);
}

static int check_pair(const char *verb, const tensor *a, const tensor *b, tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  const char *why = !tensor_same_shape(a, b) ? "the shapes differ"
                    : a->dtype == DTYPE_FLOAT4_E2M1 || b->dtype == DTYPE_FLOAT4_E2M1
                        ? "float4_e2m1 holds pairs; unpack them"
                    : a->storage->device != b->storage->device ? "they lie on two devices"
                                                               : NULL;
  if (!why) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot %s %.80s and %.80s: %s", verb,
                     tensor_describe(a, left), tensor_describe(b, right), why);
}

int tensor_compare(comparison *c, const tensor *a, const tensor *b, tensor_error *error) {
  int code = check_pair("compare", a, b, error);
  if (code) return code;
  pass s = {.c = c, .a = a->dtype, .b = b->dtype, .lock = PTHREAD_MUTEX_INITIALIZER};
  c->count = tensor_count(a);
  c->bad = c->nonfinite = 0;
  c->first_bad = -1;
  c->max_absolute = c->max_relative = 0;
  if (!tensor_is_on_cpu(a) && c->count > 0) {
    compare_work work = {COMPARE_DISTANCE, a, b, c->rtol, c->atol, true};
    return device_functions_get()->compare(&work, c, error);
  }
  loop_start(&s.loop, a->rank, a->shape);
  loop_add(&s.loop, a);
  loop_add(&s.loop, b);
  loop_merge(&s.loop);
  parallel_for(c->count, LOOP_GRAIN, compare_range, &s);
  return 0;
}

/* ---- yes or no --------------------------------------------------------------------------------
 */

typedef struct closeness {
  dtype a, b;
  double rtol, atol;
  bool equal_nan, exact, ok;
} closeness;

static bool is_close(const closeness *c, double x, double y) {
  if (x == y || (c->equal_nan && isnan(x) && isnan(y))) return true;
  return isfinite(x) && isfinite(y) && fabs(x - y) <= c->atol + c->rtol * fabs(y);
}

static void check_doubles(closeness *c, const char *const *raw, int64_t n) {
  double x[BLOCK], y[BLOCK];
  dtype_convert(DTYPE_FLOAT64, x, c->a, raw[0], n);
  dtype_convert(DTYPE_FLOAT64, y, c->b, raw[1], n);
  for (int64_t i = 0; i < n; i++) c->ok &= c->exact ? x[i] == y[i] : is_close(c, x[i], y[i]);
}

static void check_integers(closeness *c, const char *const *raw, int64_t n) {
  int64_t x[BLOCK], y[BLOCK];
  dtype_convert(DTYPE_INT64, x, c->a, raw[0], n);
  dtype_convert(DTYPE_INT64, y, c->b, raw[1], n);
  for (int64_t i = 0; i < n; i++) c->ok &= x[i] == y[i];
}

static void check_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  closeness *c = context;
  char a[BLOCK * 8], b[BLOCK * 8];
  const char *raw[2] = {a, b};
  bool integers = c->exact && !dtype_is_float(c->a) && !dtype_is_float(c->b);
  for (int64_t done = 0; done < n && c->ok; done += BLOCK) {
    int64_t length = n - done < BLOCK ? n - done : BLOCK;
    size_t size_a = dtype_size(c->a), size_b = dtype_size(c->b);
    copy_strided(a, (int64_t)size_a, data[0] + done * stride[0], stride[0], length, size_a);
    copy_strided(b, (int64_t)size_b, data[1] + done * stride[1], stride[1], length, size_b);
    if (integers)
      check_integers(c, raw, length);
    else
      check_doubles(c, raw, length);
  }
}

static int check_on_device(closeness *c, const tensor *a, const tensor *b, tensor_error *error) {
  comparison found = {0};
  compare_work work = {
      c->exact ? COMPARE_EQUAL : COMPARE_CLOSE, a, b, c->rtol, c->atol, c->equal_nan};
  int code = device_functions_get()->compare(&work, &found, error);
  c->ok = found.bad == 0;
  return code;
}

static int run_check(closeness *c, const tensor *a, const tensor *b, tensor_error *error) {
  loop l;
  if (!tensor_is_on_cpu(a) && tensor_count(a) > 0) return check_on_device(c, a, b, error);
  c->a = a->dtype;
  c->b = b->dtype;
  c->ok = true;
  loop_start(&l, a->rank, a->shape);
  loop_add(&l, a);
  loop_add(&l, b);
  loop_simplify(&l);
  loop_run(&l, 0, check_segment, c);
  return 0;
}

int tensor_equal(bool *same, const tensor *a, const tensor *b, tensor_error *error) {
  closeness c = {.exact = true};
  *same = false;
  if (!tensor_same_shape(a, b)) return 0;
  int code = check_pair("compare", a, b, error);
  if (code) return code;
  code = run_check(&c, a, b, error);
  *same = !code && c.ok;
  return code;
}

int tensor_allclose(bool *close, const tensor *a, const tensor *b, double rtol, double atol,
                    bool equal_nan, tensor_error *error) {
  closeness c = {.rtol = rtol, .atol = atol, .equal_nan = equal_nan};
  int code = check_pair("compare", a, b, error);
  if (code) return code;
  code = run_check(&c, a, b, error);
  *close = !code && c.ok;
  return code;
}
