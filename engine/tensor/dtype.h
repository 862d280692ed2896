/* dtype.h -- the element types: sizes, names, promotion, and their bits as numbers and back. */
#ifndef HONE_DTYPE_H
#define HONE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* ---- one element's bits -----------------------------------------------------------------------
 */

static inline uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline float float_from_bfloat16(uint16_t h) {
  return float_from_bits((uint32_t)h << 16);
}

static inline uint16_t bfloat16_from_float(float x) {
  uint32_t bits = float_bits(x);
  uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : rounded);
}

/* The product with 2^112 moves the exponent's bias and makes subnormals normal in one step. */
static inline float float_from_float16(uint16_t h) {
  uint32_t magnitude = (uint32_t)(h & 0x7FFF) << 13;
  uint32_t scaled = float_bits(float_from_bits(magnitude) * 0x1p112f);
  uint32_t special = magnitude >= 0x0F800000 ? magnitude | 0x7F800000 : scaled;
  return float_from_bits(special | (uint32_t)(h & 0x8000) << 16);
}

/* Adding a power of two that has its last bit where the half has it lets the FPU round. */
static inline uint16_t float16_from_float(float x) {
  uint32_t bits = float_bits(x), doubled = bits + bits, bias = doubled & 0xFF000000;
  float base = (float_from_bits(bits & 0x7FFFFFFF) * 0x1p112f) * 0x1p-110f;
  bias = bias < 0x71000000 ? 0x71000000 : bias;
  uint32_t sum = float_bits(float_from_bits((bias >> 1) + 0x07800000) + base);
  uint32_t rounded = ((sum >> 13) & 0x7C00) + (sum & 0x0FFF);
  return (uint16_t)((bits >> 31) << 15 | (doubled > 0xFF000000 ? 0x7E00 : rounded));
}

static inline float float_from_float8_e4m3fn(uint8_t b) {
  uint32_t magnitude = b & 0x7F;
  uint32_t scaled = float_bits(float_from_bits(magnitude << 20) * 0x1p120f);
  return float_from_bits((magnitude == 0x7F ? 0x7FF00000 : scaled) | (uint32_t)(b & 0x80) << 24);
}

static inline float float_from_float8_e5m2(uint8_t b) {
  return float_from_float16((uint16_t)(b << 8));
}

/* There is no infinity: what is beyond 448 becomes 448, as torch has it. */
static inline uint8_t float8_e4m3fn_from_float(float x) {
  uint32_t bits = float_bits(x), magnitude = bits & 0x7FFFFFFF, denormal = 141u << 23;
  uint32_t small = float_bits(float_from_bits(magnitude) + float_from_bits(denormal)) - denormal;
  uint32_t normal =
      (magnitude + (((uint32_t)(7 - 127)) << 23) + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20;
  uint32_t rounded = magnitude < 121u << 23 ? small : normal;
  uint32_t finite = magnitude >= 0x43E00000 ? 0x7E : rounded;
  return (uint8_t)((magnitude > 0x7F800000 ? 0x7F : finite) | (bits >> 31) << 7);
}

static inline uint8_t float8_e5m2_from_float(float x) {
  uint32_t bits = float_bits(x), magnitude = bits & 0x7FFFFFFF, denormal = 134u << 23;
  uint32_t small = float_bits(float_from_bits(magnitude) + float_from_bits(denormal)) - denormal;
  uint32_t normal =
      (magnitude + (((uint32_t)(15 - 127)) << 23) + 0xFFFFF + ((magnitude >> 21) & 1)) >> 21;
  uint32_t rounded = magnitude < 113u << 23 ? small : normal;
  uint32_t special = magnitude > 0x7F800000 ? 0x7F : 0x7C;
  return (uint8_t)((magnitude >= 143u << 23 ? special : rounded) | (bits >> 31) << 7);
}

/* A nibble s|ee|m: 0 0.5 1 1.5 2 3 4 6. */
static inline float float_from_float4_e2m1(uint8_t nibble) {
  static const float magnitudes[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  float magnitude = magnitudes[nibble & 7];
  return nibble & 8 ? -magnitude : magnitude;
}

/* To the nearest, ties to the even mantissa; what is too large, and NaN, becomes 6. */
static inline uint8_t float4_e2m1_from_float(float x) {
  float m = float_from_bits(float_bits(x) & 0x7FFFFFFF);
  uint8_t code = (uint8_t)((m > 0.25f) + (m >= 0.75f) + (m > 1.25f) + (m >= 1.75f) + (m > 2.5f) +
                           (m >= 3.5f) + (m > 5.0f));
  if (m != m) code = 7;
  return (uint8_t)(code | (float_bits(x) >> 31) << 3);
}

#endif
