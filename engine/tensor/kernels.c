/* kernels.c -- which table of loops this processor runs. */
#include "tensor/kernels.h"

extern const kernel_table kernels_base;
#if defined(__x86_64__) && defined(__GNUC__)
extern const kernel_table kernels_avx2, kernels_avx512;

const kernel_table *kernels(void) {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return &kernels_avx512;
  return __builtin_cpu_supports("avx2") ? &kernels_avx2 : &kernels_base;
}
#else
const kernel_table *kernels(void) {
  return &kernels_base;
}
#endif
