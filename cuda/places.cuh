// places.cuh -- where number i of what a place_map describes lies.
#pragma once
#include "prelude.cuh"
#include "reduce.h"

// With the strides m.from or m.to.
inline int64_t place(const place_map &m, const int64_t (&stride)[STRIDED_RANK], int64_t i) {
  int64_t at = 0;
  if (m.is_wide) {
#pragma unroll 1
    for (int d = m.shape.rank - 1; d > 0; d--) {
      int64_t rest = i / m.shape.size[d];
      at += (i - rest * m.shape.size[d]) * stride[d];
      i = rest;
    }
    return at + i * stride[0];
  }
  uint32_t n = (uint32_t)i;
#pragma unroll 1
  for (int d = m.shape.rank - 1; d > 0; d--) {
    uint32_t rest = strided_divide(n, m.shape.by[d]);
    at += (int64_t)(n - rest * (uint32_t)m.shape.size[d]) * stride[d];
    n = rest;
  }
  return at + n * stride[0];
}
