#include "tensor/random.h"

#include <math.h>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/philox.h"
#include "tensor/reduce.h"

/* ---- filling a tensor piece by piece --------------------------------------------------------- */

enum { PIECE = 1024, GRAIN = 16 }; /* elements converted at a time; pieces worth a thread */

typedef union piece {
  float f32[PIECE];
  double f64[PIECE];
  int64_t i64[PIECE];
} piece;

typedef struct draw draw;

/* Elements first .. first + n - 1 of the draw; `first` is a multiple of PIECE. The last block's
 * spare words are written too: n is rounded up to 4, which PIECE has room for. */
typedef void fill_piece(const draw *d, uint64_t first, int n, piece *out);

struct draw {
  generator from;
  fill_piece *fill;
  enum draw_kind kind; /* the same for a device */
  dtype made;          /* what fill makes */
  tensor *into;        /* contiguous */
  double a, b;         /* the distribution's parameters */
  uint64_t range;      /* of integers */
  int64_t low;
  int digits; /* of uniform float32 numbers */
  const tensor *p;
};

static void fill_pieces(void *context, int64_t begin, int64_t end) {
  const draw *d = context;
  size_t bytes = dtype_size(d->into->dtype);
  int64_t count = tensor_count(d->into);
  piece made;
  for (int64_t i = begin; i < end; i++) {
    int64_t first = i * PIECE;
    int n = (int)(count - first < PIECE ? count - first : PIECE);
    d->fill(d, (uint64_t)first, n, &made);
    dtype_convert(d->into->dtype, (char *)tensor_data(d->into) + first * (int64_t)bytes, d->made,
                  &made, n);
  }
}

static int check_fillable(const tensor *t, tensor_error *error) {
  if (t->dtype == DTYPE_FLOAT4_E2M1)
    return tensor_fail(error, TENSOR_INVALID, "cannot draw random numbers of %s",
                       dtype_name(t->dtype));
  if (tensor_overlaps_itself(t))
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot draw into a tensor whose elements share memory");
  return 0;
}

/* Into d->into. */
static int fill_whole(const draw *d, tensor_error *error) {
  int64_t count = tensor_count(d->into);
  if (tensor_is_on_cpu(d->into)) {
    parallel_for((count + PIECE - 1) / PIECE, GRAIN, fill_pieces, (void *)(uintptr_t)d);
    return 0;
  }
  draw_work work = {.kind = d->kind,
                    .into = d->into,
                    .each = d->p,
                    .from = d->from,
                    .a = d->a,
                    .b = d->b,
                    .range = d->range,
                    .low = d->low,
                    .digits = d->digits};
  return count > 0 ? device_functions_get()->draw(&work, error) : 0;
}

static int fill_through_copy(draw *d, tensor *t, tensor_error *error) {
  tensor whole = {0};
  int err = tensor_empty(&whole, t->dtype, t->storage->device, t->rank, t->shape, error);
  if (err) return err;
  d->into = &whole;
  err = fill_whole(d, error);
  if (!err) err = tensor_copy(t, &whole, error);
  tensor_release(&whole);
  return err;
}

static int fill(draw *d, tensor *t, generator *g, tensor_error *error) {
  int err = check_fillable(t, error);
  if (err) return err;
  d->from = *g;
  if (tensor_is_contiguous(t)) {
    d->into = t;
    err = fill_whole(d, error);
  } else {
    err = fill_through_copy(d, t, error);
  }
  if (!err) g->offset++;
  return err;
}

static philox_block block32(const draw *d, uint64_t i) {
  return philox_draw(d->from.seed, d->from.offset, i / 4, 0);
}

static philox_block block64(const draw *d, uint64_t i) {
  return philox_draw(d->from.seed, d->from.offset, i / 2, 0);
}

/* ---- uniform --------------------------------------------------------------------------------- */

static void fill_uniform(const draw *d, uint64_t first, int n, piece *out) {
  float low = (float)d->a, high = (float)d->b, width = (float)(d->b - d->a);
  for (int i = 0; i < n; i += 4) {
    philox_block block = block32(d, first + (uint64_t)i);
    for (int j = 0; j < 4; j++) {
      float x = PHILOX_ADD(PHILOX_MUL(philox_uniform(block.word[j], d->digits), width), low);
      out->f32[i + j] = x < high ? x : low;
    }
  }
}

static void fill_uniform64(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 2) {
    philox_block block = block64(d, first + (uint64_t)i);
    for (int j = 0; j < 2; j++) {
      double u = philox_uniform64(philox_word64(block, j));
      double x = PHILOX_ADD64(PHILOX_MUL64(u, d->b - d->a), d->a);
      out->f64[i + j] = x < d->b ? x : d->a;
    }
  }
}

/* As fill_uniform for what rounding to t's type may still bring to `high`. */
static void fill_uniform_narrow(const draw *d, uint64_t first, int n, piece *out) {
  unsigned char narrow[PIECE * 2];
  fill_uniform(d, first, n, out);
  dtype_convert(d->into->dtype, narrow, DTYPE_FLOAT32, out->f32, n);
  dtype_convert(DTYPE_FLOAT32, out->f32, d->into->dtype, narrow, n);
  for (int i = 0; i < n; i++)
    if (!(out->f32[i] < (float)d->b)) out->f32[i] = (float)d->a;
}

/* Binary digits of a float type's numbers. */
static int digits_of(dtype type) {
  switch (type) {
  case DTYPE_FLOAT16: return 11;
  case DTYPE_BFLOAT16: return 8;
  case DTYPE_FLOAT8_E4M3FN: return 4;
  case DTYPE_FLOAT8_E5M2: return 3;
  default: return 24;
  }
}

static int check_float(const char *what, const tensor *t, tensor_error *error) {
  return dtype_is_float(t->dtype)
             ? 0
             : tensor_fail(error, TENSOR_INVALID, "cannot draw %s numbers of %s", what,
                           dtype_name(t->dtype));
}

int random_uniform(tensor *t, generator *g, double low, double high, tensor_error *error) {
  int err = check_float("uniform", t, error);
  if (err) return err;
  if (!(low <= high) || !isfinite(high - low))
    return tensor_fail(error, TENSOR_INVALID, "cannot draw uniform numbers from %g to %g", low,
                       high);
  draw d = {.fill = fill_uniform_narrow,
            .kind = DRAW_UNIFORM,
            .made = DTYPE_FLOAT32,
            .a = low,
            .b = high,
            .digits = digits_of(t->dtype)};
  if (t->dtype == DTYPE_FLOAT32) d.fill = fill_uniform;
  if (t->dtype == DTYPE_FLOAT64) d.fill = fill_uniform64, d.made = DTYPE_FLOAT64;
  return fill(&d, t, g, error);
}

/* ---- normal and exponential ------------------------------------------------------------------ */

static void fill_normal(const draw *d, uint64_t first, int n, piece *out) {
  float mean = (float)d->a, deviation = (float)d->b;
  for (int i = 0; i < n; i += 4) {
    philox_block block = block32(d, first + (uint64_t)i);
    float *x = out->f32 + i;
    philox_normal_pair(block.word[0], block.word[1], &x[0], &x[1]);
    philox_normal_pair(block.word[2], block.word[3], &x[2], &x[3]);
    for (int j = 0; j < 4; j++) x[j] = PHILOX_ADD(PHILOX_MUL(x[j], deviation), mean);
  }
}

static void fill_normal64(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 2) {
    philox_block block = block64(d, first + (uint64_t)i);
    double *x = out->f64 + i;
    philox_normal_pair64(philox_word64(block, 0), philox_word64(block, 1), &x[0], &x[1]);
    for (int j = 0; j < 2; j++) x[j] = PHILOX_ADD64(PHILOX_MUL64(x[j], d->b), d->a);
  }
}

int random_normal(tensor *t, generator *g, double mean, double deviation, tensor_error *error) {
  int err = check_float("normal", t, error);
  if (err) return err;
  if (!(deviation >= 0))
    return tensor_fail(error, TENSOR_INVALID, "cannot draw normal numbers of standard deviation %g",
                       deviation);
  bool wide = t->dtype == DTYPE_FLOAT64;
  draw d = {.fill = wide ? fill_normal64 : fill_normal,
            .kind = DRAW_NORMAL,
            .made = wide ? DTYPE_FLOAT64 : DTYPE_FLOAT32,
            .a = mean,
            .b = deviation};
  return fill(&d, t, g, error);
}

static void fill_exponential(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 4) {
    philox_block block = block32(d, first + (uint64_t)i);
    for (int j = 0; j < 4; j++)
      out->f32[i + j] = PHILOX_DIV(philox_exponential(block.word[j]), (float)d->a);
  }
}

static void fill_exponential64(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 2) {
    philox_block block = block64(d, first + (uint64_t)i);
    for (int j = 0; j < 2; j++) {
      double u = philox_uniform_positive64(philox_word64(block, j));
      out->f64[i + j] = PHILOX_DIV64(-philox_log64(u), d->a);
    }
  }
}

int random_exponential(tensor *t, generator *g, double rate, tensor_error *error) {
  int err = check_float("exponential", t, error);
  if (err) return err;
  if (!(rate > 0))
    return tensor_fail(error, TENSOR_INVALID, "cannot draw exponential numbers of rate %g", rate);
  bool wide = t->dtype == DTYPE_FLOAT64;
  draw d = {.fill = wide ? fill_exponential64 : fill_exponential,
            .kind = DRAW_EXPONENTIAL,
            .made = wide ? DTYPE_FLOAT64 : DTYPE_FLOAT32,
            .a = rate};
  return fill(&d, t, g, error);
}

/* ---- integers and coins ---------------------------------------------------------------------- */

static void fill_integers(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 2) {
    philox_block block = block64(d, first + (uint64_t)i);
    for (int j = 0; j < 2; j++) {
      uint64_t number, at = first + (uint64_t)(i + j);
      if (!philox_reduce(philox_word64(block, j), d->range, &number))
        number = philox_below(d->from.seed, d->from.offset, at, d->range);
      out->i64[i + j] = (int64_t)((uint64_t)d->low + number);
    }
  }
}

/* Does an integer type hold the number? */
static bool holds(dtype type, int64_t number) {
  int bits = 8 * (int)dtype_size(type);
  if (type == DTYPE_BOOL) return number == 0 || number == 1;
  if (type == DTYPE_UINT8) return number >= 0 && number <= UINT8_MAX;
  return !dtype_is_integer(type) || bits == 64 ||
         (number >= -((int64_t)1 << (bits - 1)) && number < (int64_t)1 << (bits - 1));
}

int random_integers(tensor *t, generator *g, int64_t low, int64_t high, tensor_error *error) {
  if (low >= high)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot draw integers from %lld to below %lld: there are none",
                       (long long)low, (long long)high);
  if (!holds(t->dtype, low) || !holds(t->dtype, high - 1))
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot draw integers from %lld to below %lld: %s does not hold them",
                       (long long)low, (long long)high, dtype_name(t->dtype));
  draw d = {.fill = fill_integers,
            .kind = DRAW_INTEGERS,
            .made = DTYPE_INT64,
            .low = low,
            .range = (uint64_t)high - (uint64_t)low};
  return fill(&d, t, g, error);
}

static float coin(uint32_t word, double p) {
  return word * 0x1p-32 < p;
}

static void fill_coins(const draw *d, uint64_t first, int n, piece *out) {
  for (int i = 0; i < n; i += 4) {
    philox_block block = block32(d, first + (uint64_t)i);
    for (int j = 0; j < 4; j++) out->f32[i + j] = coin(block.word[j], d->a);
  }
}

static void fill_coins_each(const draw *d, uint64_t first, int n, piece *out) {
  double p[PIECE];
  const char *from = tensor_data(d->p);
  dtype_convert(DTYPE_FLOAT64, p, d->p->dtype,
                from + (int64_t)first * (int64_t)dtype_size(d->p->dtype), n);
  for (int i = 0; i < n; i++) {
    philox_block block = block32(d, first + (uint64_t)i);
    for (int j = i % 4; j < 4 && i < n; j++, i++) out->f32[i] = coin(block.word[j], p[i]);
    i--;
  }
}

static int check_probability(double p, tensor_error *error) {
  return p >= 0 && p <= 1
             ? 0
             : tensor_fail(error, TENSOR_INVALID, "%g is not a probability from 0 to 1", p);
}

int random_bernoulli(tensor *t, generator *g, double p, tensor_error *error) {
  int err = check_probability(p, error);
  draw d = {.fill = fill_coins, .kind = DRAW_COINS, .made = DTYPE_FLOAT32, .a = p};
  return err ? err : fill(&d, t, g, error);
}

/* One of the extremes, or NaN, is what is wrong if anything is. */
static int check_on_device(const tensor *p, tensor_error *error) {
  static const enum fold_op ends[] = {FOLD_MIN, FOLD_MAX};
  int err = 0;
  for (int i = 0; i < 2 && !err; i++) {
    tensor extreme = {0}, here = {0};
    double value = 0;
    err = tensor_fold(ends[i], &extreme, p, (reduction){ALL_DIMS, false, DTYPE_NONE}, error);
    if (!err) err = tensor_to_cpu(&here, &extreme, error);
    if (!err) dtype_convert(DTYPE_FLOAT64, &value, here.dtype, tensor_data(&here), 1);
    if (!err) err = check_probability(value, error);
    tensor_release(&extreme);
    tensor_release(&here);
  }
  return err;
}

static int check_probabilities(const tensor *p, tensor_error *error) {
  int64_t n = tensor_count(p);
  if (!tensor_is_on_cpu(p) && n > 0) return check_on_device(p, error);
  for (int64_t i = 0; i < n; i++) {
    double value;
    const char *at = (const char *)tensor_data(p) + i * (int64_t)dtype_size(p->dtype);
    dtype_convert(DTYPE_FLOAT64, &value, p->dtype, at, 1);
    int err = check_probability(value, error);
    if (err) return err;
  }
  return 0;
}

int random_bernoulli_each(tensor *t, generator *g, const tensor *p, tensor_error *error) {
  tensor whole = {0};
  if (!tensor_same_shape(t, p))
    return tensor_fail(error, TENSOR_INVALID, "the probabilities have another shape");
  if (t->storage->device != p->storage->device)
    return tensor_fail(error, TENSOR_DEVICE, "the probabilities lie on another device");
  int err = check_float("Bernoulli", p, error);
  if (!err) err = tensor_contiguous(&whole, p, error);
  if (!err) err = check_probabilities(&whole, error);
  draw d = {.fill = fill_coins_each, .kind = DRAW_COINS_EACH, .made = DTYPE_FLOAT32, .p = &whole};
  if (!err) err = fill(&d, t, g, error);
  tensor_release(&whole);
  return err;
}
