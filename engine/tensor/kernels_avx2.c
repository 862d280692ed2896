/* kernels_avx2.c -- the loops for x86-64 with AVX2. No fused multiply-add, so that every
 * processor gives the same bits. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2,bmi,bmi2")
#define TABLE kernels_avx2
#define TABLE_NAME "avx2"
#include "tensor/kernels.inc"
#else
typedef int kernels_avx2_not_here;
#endif
