/* kernels_avx512.c -- the loops for x86-64 with AVX512. No fused multiply-add, so that every
 * processor gives the same bits. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2")
#define TABLE kernels_avx512
#define TABLE_NAME "avx512"
#include "tensor/kernels.inc"
#else
typedef int kernels_avx512_not_here;
#endif
