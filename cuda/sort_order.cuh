// sort_order.cuh -- elements as keys: unsigned numbers that order as they do, NaN last, -0 and 0
// alike. Macros: WORD, an unsigned type of the elements' size, BITS, of how many bits; FLOAT, 1
// for floats.
#pragma once
#include "prelude.cuh"
#include "sort.h"

#define SIGN ((WORD)((WORD)1 << (BITS - 1)))

inline WORD magnitude_of(WORD bits) {
  return bits & (WORD)(SIGN - 1);
}

inline WORD key_of(WORD bits, const sort_order &order) {
#if FLOAT
  WORD magnitude = magnitude_of(bits), key = bits & SIGN ? SIGN - magnitude : SIGN + magnitude;
  if (magnitude > (WORD)order.largest) key = (WORD)~(WORD)0;
  return key ^ (WORD)order.flip;
#else
  return bits ^ (WORD)order.flip;
#endif
}

inline bool is_no_number(WORD bits, const sort_order &order) {
  return FLOAT && magnitude_of(bits) > (WORD)order.largest;
}
