/* dtype.c -- the element types' names, sizes and promotion. */
#include "tensor/dtype.h"

typedef enum kind { FLOATING, SMALL_FLOATING, INTEGER, BOOLEAN } kind;

static const struct {
  const char *name;
  size_t size;
  kind kind;
  compute_type compute;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_FLOAT64] = {"float64", 8, FLOATING, COMPUTE_FLOAT64},
    [DTYPE_FLOAT32] = {"float32", 4, FLOATING, COMPUTE_FLOAT32},
    [DTYPE_FLOAT16] = {"float16", 2, FLOATING, COMPUTE_FLOAT32},
    [DTYPE_BFLOAT16] = {"bfloat16", 2, FLOATING, COMPUTE_FLOAT32},
    [DTYPE_FLOAT8_E4M3FN] = {"float8_e4m3fn", 1, SMALL_FLOATING, COMPUTE_FLOAT32},
    [DTYPE_FLOAT8_E5M2] = {"float8_e5m2", 1, SMALL_FLOATING, COMPUTE_FLOAT32},
    [DTYPE_FLOAT4_E2M1] = {"float4_e2m1", 1, SMALL_FLOATING, COMPUTE_FLOAT32},
    [DTYPE_INT64] = {"int64", 8, INTEGER, COMPUTE_INT64},
    [DTYPE_INT32] = {"int32", 4, INTEGER, COMPUTE_INT32},
    [DTYPE_INT16] = {"int16", 2, INTEGER, COMPUTE_INT16},
    [DTYPE_INT8] = {"int8", 1, INTEGER, COMPUTE_INT8},
    [DTYPE_UINT8] = {"uint8", 1, INTEGER, COMPUTE_UINT8},
    [DTYPE_BOOL] = {"bool", 1, BOOLEAN, COMPUTE_BOOL},
};

size_t dtype_size(dtype d) {
  return dtypes[d].size;
}

const char *dtype_name(dtype d) {
  return dtypes[d].name;
}

dtype dtype_from_name(const char *name) {
  for (int d = 0; d < DTYPE_COUNT; d++)
    if (strcmp(dtypes[d].name, name) == 0) return (dtype)d;
  return DTYPE_NONE;
}

bool dtype_is_float(dtype d) {
  return dtypes[d].kind <= SMALL_FLOATING;
}

bool dtype_is_integer(dtype d) {
  return dtypes[d].kind == INTEGER;
}

compute_type dtype_compute(dtype d) {
  return dtypes[d].compute;
}

dtype compute_dtype(compute_type c) {
  static const dtype of[COMPUTE_COUNT] = {DTYPE_FLOAT64, DTYPE_FLOAT32, DTYPE_INT64, DTYPE_INT32,
                                          DTYPE_INT16,   DTYPE_INT8,    DTYPE_UINT8, DTYPE_BOOL};
  return of[c];
}

/* Two integers: the wider; uint8 with a signed one needs the next width. */
static dtype promote_integers(dtype a, dtype b) {
  if (b == DTYPE_UINT8) {
    dtype other = a;
    a = b;
    b = other;
  }
  if (a == DTYPE_UINT8) return b == DTYPE_INT8 ? DTYPE_INT16 : b;
  return dtype_size(a) > dtype_size(b) ? a : b;
}

static dtype promote_floats(dtype a, dtype b) {
  if (dtypes[a].kind == SMALL_FLOATING || dtypes[b].kind == SMALL_FLOATING) return DTYPE_NONE;
  if (dtype_size(a) == dtype_size(b)) return DTYPE_FLOAT32; /* float16 and bfloat16 */
  return dtype_size(a) > dtype_size(b) ? a : b;
}

dtype dtype_promote(dtype a, dtype b) {
  if (a == b) return a;
  if (dtypes[a].kind == BOOLEAN) return dtypes[b].kind == SMALL_FLOATING ? DTYPE_NONE : b;
  if (dtypes[b].kind == BOOLEAN) return dtypes[a].kind == SMALL_FLOATING ? DTYPE_NONE : a;
  if (dtype_is_integer(a) && dtype_is_integer(b)) return promote_integers(a, b);
  if (dtype_is_float(a) && dtype_is_float(b)) return promote_floats(a, b);
  dtype floating = dtype_is_float(a) ? a : b;
  return dtypes[floating].kind == SMALL_FLOATING ? DTYPE_NONE : floating;
}

bool dtype_can_cast(dtype from, dtype to) {
  if (dtype_is_float(from) && !dtype_is_float(to)) return false;
  return from == DTYPE_BOOL || to != DTYPE_BOOL;
}
