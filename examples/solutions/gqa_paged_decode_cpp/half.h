// bfloat16 and float16 as float and back, rounding to the nearest, ties to even.
#pragma once
#include <cstdint>
#include <cstring>

inline float from_bfloat16(uint16_t half) {
  uint32_t bits = uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint16_t to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value) return uint16_t((bits >> 16) | 0x40); // rounding must not make a NaN infinite
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
