/* element.h -- one element's bits as a number and back, rounded to nearest even. CUDA compiles this
 * file as well, so that every device rounds alike. */
#ifndef HONE_ELEMENT_H
#define HONE_ELEMENT_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#include <string.h>
#endif

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
