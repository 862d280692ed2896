/* dtype.h -- the element types: sizes, names, promotion, and their bits as numbers and back. */
#ifndef HONE_DTYPE_H
#define HONE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/element.h"

typedef enum dtype {
  DTYPE_FLOAT64,
  DTYPE_FLOAT32,
  DTYPE_FLOAT16,
  DTYPE_BFLOAT16,
  DTYPE_FLOAT8_E4M3FN,
  DTYPE_FLOAT8_E5M2,
  DTYPE_FLOAT4_E2M1, /* an element is a pair: the first value in the low nibble of a byte */
  DTYPE_INT64,
  DTYPE_INT32,
  DTYPE_INT16,
  DTYPE_INT8,
  DTYPE_UINT8,
  DTYPE_BOOL,
  DTYPE_COUNT
} dtype;

#define DTYPE_NONE DTYPE_COUNT

/* What a loop computes in: the half types and float8 are float32 while they are in a register. */
typedef enum compute_type {
  COMPUTE_FLOAT64,
  COMPUTE_FLOAT32,
  COMPUTE_INT64,
  COMPUTE_INT32,
  COMPUTE_INT16,
  COMPUTE_INT8,
  COMPUTE_UINT8,
  COMPUTE_BOOL,
  COMPUTE_COUNT
} compute_type;

size_t dtype_size(dtype d);
const char *dtype_name(dtype d);
dtype dtype_from_name(const char *name); /* DTYPE_NONE for no such name */
bool dtype_is_float(dtype d);
bool dtype_is_integer(dtype d); /* bool is none */
compute_type dtype_compute(dtype d);
dtype compute_dtype(compute_type c);

/* torch's promotion of two; DTYPE_NONE where torch refuses (float8 and float4 with another). */
dtype dtype_promote(dtype a, dtype b);
/* May a result of `from` be written into `to` in place? Not a float into an integer, nor a number
 * into a bool. */
bool dtype_can_cast(dtype from, dtype to);

/* n contiguous elements of one type as another, rounded to nearest even, as torch casts. */
void dtype_convert(dtype to, void *out, dtype from, const void *in, int64_t n);

#endif
