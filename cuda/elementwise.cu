// elementwise.cu -- one operation of ops.def, a cast or a choice, over strided operands. Macros:
//   INPUTS, OUT, IN0, IN1, IN2     how many operands, and the types in memory
//   MODE0, MODE1, MODE2            how an operand is read: VECTOR, SPLAT (one element for a whole
//                                  vector) or VALUE (passed by value)
//   COMPUTE, CLASS                 the type that is computed in; F, I or B
//   APPLY                          the expression over a, b, c: "op_add(a, b)"
//   MADE                           the type that the expression is of
//   ITEMS, STEPS                   elements in a vector, vectors a thread
//   FLAT, WIDE                     1 where there is one dimension; 1 for 64-bit places
#include "types.cuh"
#include "elementwise.h"

#define VECTOR 0
#define SPLAT 1
#define VALUE 2

// ---- the operations --------------------------------------------------------------------------------

#include "tensor/functions.inc"

typedef COMPUTE::number T;

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define FN(name) JOIN(name, SUFFIX)
#define CHOOSE_F(f, i, b) f
#define CHOOSE_I(f, i, b) i
#define CHOOSE_B(f, i, b) b
#define CHOOSE_(class, f, i, b) CHOOSE_##class(f, i, b)
#define CHOOSE(class, f, i, b) CHOOSE_(class, f, i, b)
#define RESULT_SAME T
#define RESULT_FLOAT T
#define RESULT_BOOL uint8_t
#define WRAP(a, op, b) ((T)((UNSIGNED)(a)op(UNSIGNED)(b)))
#ifndef OPERATIONS
#define OPERATIONS 0
#endif

#if OPERATIONS
#define UNARY(name, result, classes, f, i, b)                                                      \
  inline RESULT_##result op_##name(T a) { return (RESULT_##result)(CHOOSE(CLASS, f, i, b)); }
#define BINARY(name, result, classes, f, i, b_)                                                    \
  inline RESULT_##result op_##name(T a, T b) { return (RESULT_##result)(CHOOSE(CLASS, f, i, b_)); }
#define TERNARY(name, result, classes, f, i, b_)                                                   \
  inline RESULT_##result op_##name(T a, T b, T c) {                                                \
    return (RESULT_##result)(CHOOSE(CLASS, f, i, b_));                                             \
  }
#include "tensor/ops.def"
#endif

// ---- vectors ---------------------------------------------------------------------------------------

template <typename Type> struct alignas(ITEMS * sizeof(typename Type::stored)) Vector {
  typename Type::stored item[ITEMS];
};

#if WIDE
typedef int64_t place;
#else
typedef uint32_t place;
#endif

// Where vector i lies in each operand, in vectors.
struct Places {
  int64_t out, in[3];
};

inline Places find(const elementwise_arguments &a, place i) {
  Places p = {0, {0, 0, 0}};
#if !FLAT
  for (int d = a.shape.rank - 1; d > 0; d--) {
#if WIDE
    place rest = i / a.shape.size[d];
#else
    place rest = strided_divide(i, a.shape.by[d]);
#endif
    int64_t at = i - rest * (place)a.shape.size[d];
    p.out += at * a.out_stride[d];
    for (int k = 0; k < INPUTS; k++) p.in[k] += at * a.in_stride[k][d];
    i = rest;
  }
#endif
  p.out += i * a.out_stride[0];
  for (int k = 0; k < INPUTS; k++) p.in[k] += i * a.in_stride[k][0];
  return p;
}

// An operand's part of one vector: read first, for all vectors of a thread, and converted later.
template <typename Type, int mode> struct Operand {
  Vector<Type> raw;
  void read(const void *from, int64_t at, uint64_t) {
    raw = static_cast<const Vector<Type> *>(from)[at];
  }
  T number(int i) { return Cast<COMPUTE, Type>::of(Type::load(raw.item[i])); }
  typename Type::number own(int i) { return Type::load(raw.item[i]); }
};
template <typename Type> struct Operand<Type, SPLAT> {
  typename Type::stored raw;
  void read(const void *from, int64_t at, uint64_t) {
    raw = static_cast<const typename Type::stored *>(from)[at];
  }
  T number(int) { return Cast<COMPUTE, Type>::of(Type::load(raw)); }
  typename Type::number own(int) { return Type::load(raw); }
};
template <typename Type> struct Operand<Type, VALUE> {
  T value;
  void read(const void *, int64_t, uint64_t bits) { memcpy(&value, &bits, sizeof value); }
  T number(int) { return value; }
};

extern "C" __global__ void __launch_bounds__(256)
    elementwise(const __grid_constant__ elementwise_arguments g) {
  Operand<IN0, MODE0> x[STEPS];
  Operand<IN1, MODE1> y[STEPS];
  Operand<IN2, MODE2> z[STEPS];
  int64_t to[STEPS];
  int64_t first = (int64_t)blockIdx.x * (256 * STEPS) + threadIdx.x;
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    int64_t i = first + s * 256;
    if (i >= g.count) continue;
    Places at = find(g, (place)i);
    to[s] = at.out;
    x[s].read(g.in[0], at.in[0], g.value[0]);
    if (INPUTS > 1) y[s].read(g.in[1], at.in[1], g.value[1]);
    if (INPUTS > 2) z[s].read(g.in[2], at.in[2], g.value[2]);
  }
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
    if (first + s * 256 >= g.count) continue;
    Vector<OUT> made;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
      T a = x[s].number(i), b = INPUTS > 1 ? y[s].number(i) : a, c = INPUTS > 2 ? z[s].number(i) : a;
      made.item[i] = OUT::store(Cast<OUT, MADE>::of(APPLY));
    }
    static_cast<Vector<OUT> *>(g.out)[to[s]] = made;
  }
}
