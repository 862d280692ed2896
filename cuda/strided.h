/* strided.h -- where the elements of strided tensors lie: what C fills in and CUDA walks. */
#ifndef HONE_CUDA_STRIDED_H
#define HONE_CUDA_STRIDED_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

#define STRIDED_RANK 8

/* Division of numbers below 2^31 by a fixed one: n / d = (n * magic >> 32) + n >> shift, after
 * Granlund and Montgomery, "Division by invariant integers using multiplication" (1994). */
typedef struct strided_divisor {
  uint32_t magic, shift;
} strided_divisor;

/* The dimensions of a shape, the innermost last. */
typedef struct strided_shape {
  int32_t rank;
  int64_t size[STRIDED_RANK];
  strided_divisor by[STRIDED_RANK]; /* where the count of elements is below 2^31 */
} strided_shape;

#ifdef __CUDACC_RTC__
inline uint32_t strided_divide(uint32_t n, strided_divisor d) {
  return (__umulhi(n, d.magic) + n) >> d.shift;
}
#endif

#endif
