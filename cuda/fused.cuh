// fused.cuh -- what the kernels share that compute by a program of operations. Macros:
//   LEAVES                         how many operands are read from memory or passed by value
//   DECLARE(n)                     an Operand<type, mode> for each of them and each of n steps: x0, x1...
//   READ(s), COMPUTE(s, i)         read them, at at.in[...]; from their elements i, the result's number in `made`
//   USES_f32...                    the types that are computed in
//   ITEMS                          elements in a vector
#pragma once
#include "types.cuh"
#include "fused.h"

#define VECTOR 0
#define SPLAT 1
#define VALUE 2

// ---- the operations --------------------------------------------------------------------------------

#include "tensor/functions.inc"

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

#ifdef USES_f64
namespace in_f64 {
typedef double T;
#define SUFFIX f64
#define CLASS F
#define C F64
#define UNSIGNED 
#include "fused_ops.inc"
} // namespace in_f64
#endif
#ifdef USES_f32
namespace in_f32 {
typedef float T;
#define SUFFIX f32
#define CLASS F
#define C F32
#define UNSIGNED 
#include "fused_ops.inc"
} // namespace in_f32
#endif
#ifdef USES_i64
namespace in_i64 {
typedef int64_t T;
#define SUFFIX i64
#define CLASS I
#define C 
#define UNSIGNED uint64_t
#include "fused_ops.inc"
} // namespace in_i64
#endif
#ifdef USES_i32
namespace in_i32 {
typedef int32_t T;
#define SUFFIX i32
#define CLASS I
#define C 
#define UNSIGNED uint32_t
#include "fused_ops.inc"
} // namespace in_i32
#endif
#ifdef USES_i16
namespace in_i16 {
typedef int16_t T;
#define SUFFIX i16
#define CLASS I
#define C 
#define UNSIGNED uint32_t
#include "fused_ops.inc"
} // namespace in_i16
#endif
#ifdef USES_i8
namespace in_i8 {
typedef int8_t T;
#define SUFFIX i8
#define CLASS I
#define C 
#define UNSIGNED uint32_t
#include "fused_ops.inc"
} // namespace in_i8
#endif
#ifdef USES_u8
namespace in_u8 {
typedef uint8_t T;
#define SUFFIX u8
#define CLASS I
#define C 
#define UNSIGNED uint32_t
#include "fused_ops.inc"
} // namespace in_u8
#endif
#ifdef USES_b8
namespace in_b8 {
typedef uint8_t T;
#define SUFFIX b8
#define CLASS B
#define C 
#define UNSIGNED uint32_t
#include "fused_ops.inc"
} // namespace in_b8
#endif

// A number as memory of this type would give it back.
template <typename Type> inline typename Type::number rounded(typename Type::number x) {
  return Type::load(Type::store(x));
}

// ---- vectors ---------------------------------------------------------------------------------------

template <typename Type> struct alignas(ITEMS * sizeof(typename Type::stored)) Vector {
  typename Type::stored item[ITEMS];
};

// An operand's part of one vector: read first, for all vectors of a thread, and converted later.
template <typename Type, int mode> struct Operand {
  Vector<Type> raw;
  inline void read(const void *from, int64_t at, uint64_t) {
    raw = static_cast<const Vector<Type> *>(from)[at];
  }
  inline typename Type::number number(int i) { return Type::load(raw.item[i]); }
};
template <typename Type> struct Operand<Type, SPLAT> {
  typename Type::stored raw;
  inline void read(const void *from, int64_t at, uint64_t) {
    raw = static_cast<const typename Type::stored *>(from)[at];
  }
  inline typename Type::number number(int) { return Type::load(raw); }
};
template <typename Type> struct Operand<Type, VALUE> {
  typename Type::stored raw;
  inline void read(const void *, int64_t, uint64_t bits) { memcpy(&raw, &bits, sizeof raw); }
  inline typename Type::number number(int) { return Type::load(raw); }
};
