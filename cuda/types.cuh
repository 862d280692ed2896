// types.cuh -- the element types in memory, what each is computed in, and casts between them.
// A type is a struct named as in dtype.h (bool is `boolean`) with `stored`, the bits in memory,
// `number`, what loops compute in, and load() and store() between the two.
#pragma once
#include "prelude.cuh"

#define PLAIN_TYPE(name, T)                                                                        \
  struct name {                                                                                    \
    typedef T stored, number;                                                                      \
    static number load(stored bits) { return bits; }                                               \
    static stored store(number x) { return x; }                                                    \
  };

PLAIN_TYPE(float64, double)
PLAIN_TYPE(float32, float)
PLAIN_TYPE(int64, int64_t)
PLAIN_TYPE(int32, int32_t)
PLAIN_TYPE(int16, int16_t)
PLAIN_TYPE(int8, int8_t)
PLAIN_TYPE(uint8, uint8_t)
PLAIN_TYPE(float4_e2m1, uint8_t) // a pair of numbers, which is only ever moved

struct boolean {
  typedef uint8_t stored, number;
  static number load(stored bits) { return bits != 0; }
  static stored store(number x) { return x != 0; }
};

// ---- small floats: by instructions where there are any, to the bits of element.h, NaNs aside -----

struct float16 {
  typedef uint16_t stored;
  typedef float number;
  static number load(stored bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
  }
  static stored store(number x) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
  }
};

struct bfloat16 {
  typedef uint16_t stored;
  typedef float number;
  static number load(stored bits) { return float_from_bfloat16(bits); }
  static stored store(number x) {
#if __CUDA_ARCH__ >= 800
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    return bfloat16_from_float(x);
#endif
  }
};

struct float8_e4m3fn {
  typedef uint8_t stored;
  typedef float number;
#if __CUDA_ARCH__ >= 890
  static number load(stored bits) {
    uint32_t pair;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((uint16_t)bits));
    return float16::load((uint16_t)pair);
  }
  static stored store(number x) {
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
    return (stored)pair;
  }
#else
  static number load(stored bits) { return float_from_float8_e4m3fn(bits); }
  static stored store(number x) { return float8_e4m3fn_from_float(x); }
#endif
};

struct float8_e5m2 {
  typedef uint8_t stored;
  typedef float number;
  static number load(stored bits) { return float16::load((uint16_t)(bits << 8)); }
  static stored store(number x) { return float8_e5m2_from_float(x); }
};

// ---- casts ---------------------------------------------------------------------------------------

// Out of range, and NaN: what x86 gives, and torch on the CPU with it.
inline int64_t to_int64(double x) {
  return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}
inline int32_t to_int32(double x) {
  return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : (int32_t)0x80000000;
}
inline int32_t to_int32(float x) {
  return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : (int32_t)0x80000000;
}

// A number of one type as another's.
template <typename To, typename From> struct NumberCast {
  static To of(From x) { return (To)x; }
};
#define CAST_FROM_FLOAT(From)                                                                      \
  template <> struct NumberCast<int64_t, From> { static int64_t of(From x) { return to_int64(x); } };     \
  template <> struct NumberCast<int32_t, From> { static int32_t of(From x) { return to_int32(x); } };     \
  template <> struct NumberCast<int16_t, From> { static int16_t of(From x) { return (int16_t)to_int32(x); } }; \
  template <> struct NumberCast<int8_t, From> { static int8_t of(From x) { return (int8_t)to_int32(x); } };    \
  template <> struct NumberCast<uint8_t, From> { static uint8_t of(From x) { return (uint8_t)to_int64(x); } };
CAST_FROM_FLOAT(double)
CAST_FROM_FLOAT(float)

template <typename To, typename From> struct Cast {
  static typename To::number of(typename From::number x) {
    return NumberCast<typename To::number, typename From::number>::of(x);
  }
};
template <typename From> struct Cast<boolean, From> { // what is not zero is true
  static uint8_t of(typename From::number x) { return x != 0; }
};
