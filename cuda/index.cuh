// index.cuh -- finding what tensors of indices name. Macro: WIDE, 1 where numbers of elements do
// not fit into 31 bits.
#pragma once
#include "prelude.cuh"
#include "index.h"

inline int64_t strided_quotient(const strided_shape &shape, int d, int64_t i) {
#if WIDE
  return i / shape.size[d];
#else
  return strided_divide((uint32_t)i, shape.by[d]);
#endif
}

// Where element `i` of a shape lies.
inline int64_t strided_place(const strided_shape &shape, const int64_t *stride, int64_t i) {
  int64_t place = 0;
#pragma unroll 1
  for (int d = shape.rank - 1; d > 0; d--) {
    int64_t rest = strided_quotient(shape, d, i);
    place += (i - rest * shape.size[d]) * stride[d];
    i = rest;
  }
  return place + i * stride[0];
}

// Where row `row` of a shape begins: its innermost dimension left out.
inline int64_t strided_row(const strided_shape &shape, const int64_t *stride, int64_t row) {
  int64_t place = 0;
#pragma unroll 1
  for (int d = shape.rank - 2; d >= 0; d--) {
    int64_t rest = d > 0 ? strided_quotient(shape, d, row) : 0;
    place += (row - rest * shape.size[d]) * stride[d];
    row = rest;
  }
  return place;
}

struct Found {
  int64_t part, whole;
  bool is_there; // all indices are in range
};

inline int64_t read_index(const index_arguments &g, int k, int64_t i) {
  return g.at[k].data[strided_place(g.shape, g.at[k].stride, i)];
}

// Add what an index stands for to the place in `whole`.
inline void follow(const index_arguments &g, int k, int64_t index, Found &found) {
  const index_operand &at = g.at[k];
  int64_t counted = g.negative && index < 0 ? index + at.size : index;
  if (counted >= 0 && counted < at.size) {
    found.whole += counted * at.step;
  } else {
    fault_report(g.site, at.dim, index, at.size);
    found.is_there = false;
  }
}
