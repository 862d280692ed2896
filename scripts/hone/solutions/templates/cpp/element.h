// Elements of 16 bits as floats: a tensor of float16 or bfloat16 arrives as bit patterns.
#pragma once
#include <cstdint>
#include <cstring>

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

using tvm::ffi::TensorView;

struct float16 { uint16_t bits; };
struct bfloat16 { uint16_t bits; };

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float widen(float x) { return x; }
static inline float widen(bfloat16 x) { return of_bits(uint32_t(x.bits) << 16); }

static inline float widen(float16 x) {
  uint32_t sign = uint32_t(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  if (exponent == 0) { // zero, or subnormal: fraction * 2^-24
    float magnitude = float(fraction) * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
  }
  return of_bits(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13);
}

// To the nearest, ties to even.
static inline void narrow(float value, float *to) { *to = value; }

static inline void narrow(float value, bfloat16 *to) {
  uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffff) > 0x7f800000) bits |= 0x400000; // a NaN stays one
  else bits += 0x7fff + (bits >> 16 & 1);
  to->bits = uint16_t(bits >> 16);
}

static inline void narrow(float value, float16 *to) {
  uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) to->bits = uint16_t(sign | 0x7e00);
  else if (bits >= 0x477ff000) to->bits = uint16_t(sign | 0x7c00); // 65520 and more
  else if (bits < 0x38800000) to->bits = uint16_t(sign | (bits_of(of_bits(bits) + 0.5f) - 0x3f000000));
  else to->bits = uint16_t(sign | ((bits + 0xfff + (bits >> 13 & 1)) >> 13) - (112 << 10));
}
