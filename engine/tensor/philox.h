/* philox.h -- Philox 4x32-10, the counter-based generator of Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3" (2011), and the bits-to-numbers arithmetic on top of it.
 *
 * Everything here is a pure function of its arguments and is written so that a CUDA compiler takes
 * the file as it is and gives the same bits: only integer operations, and IEEE additions,
 * multiplications, divisions and square roots, each rounded on its own. No libm function is
 * called, because their last bits differ between libraries, and no product may be contracted into
 * a fused multiply-add: PHILOX_ADD and PHILOX_MUL are what CUDA's never-contracted intrinsics are
 * behind; in C, -std=c17 leaves contraction off.
 *
 * One draw is named by (seed, offset) and element i of it by i, so that a value depends on
 * (seed, offset, i) alone:
 *   key      seed's low word, seed's high word
 *   counter  block's low word, block's high 16 bits | attempt << 16, offset's low word, high word
 * where 32-bit values take element i from word i % 4 of block i / 4 and 64-bit values from words
 * 2 * (i % 2) (low half) and 2 * (i % 2) + 1 of block i / 2. `attempt` counts the redraws of
 * numbers that would bring a bias. A draw has less than 2^48 elements. */
#ifndef HONE_PHILOX_H
#define HONE_PHILOX_H

#ifdef __CUDACC__
#define PHILOX_FUNCTION static __device__ __forceinline__
#define PHILOX_ADD(a, b) __fadd_rn(a, b)
#define PHILOX_MUL(a, b) __fmul_rn(a, b)
#define PHILOX_DIV(a, b) __fdiv_rn(a, b)
#define PHILOX_SQRT(a) __fsqrt_rn(a)
#define PHILOX_ADD64(a, b) __dadd_rn(a, b)
#define PHILOX_MUL64(a, b) __dmul_rn(a, b)
#define PHILOX_DIV64(a, b) __ddiv_rn(a, b)
#define PHILOX_SQRT64(a) __dsqrt_rn(a)
typedef unsigned int philox_u32;
typedef unsigned long long philox_u64;
#else
#include <math.h>
#include <stdint.h>
#define PHILOX_FUNCTION static inline
#define PHILOX_ADD(a, b) ((a) + (b))
#define PHILOX_MUL(a, b) ((a) * (b))
#define PHILOX_DIV(a, b) ((a) / (b))
#define PHILOX_SQRT(a) sqrtf(a)
#define PHILOX_ADD64(a, b) ((a) + (b))
#define PHILOX_MUL64(a, b) ((a) * (b))
#define PHILOX_DIV64(a, b) ((a) / (b))
#define PHILOX_SQRT64(a) sqrt(a)
typedef uint32_t philox_u32;
typedef uint64_t philox_u64;
#endif

typedef struct philox_block {
  philox_u32 word[4];
} philox_block;

/* The ten rounds of the published algorithm. */
PHILOX_FUNCTION philox_block philox_rounds(philox_block c, philox_u32 key0, philox_u32 key1) {
  for (int round = 0; round < 10; round++) {
    philox_u64 a = (philox_u64)0xD2511F53u * c.word[0];
    philox_u64 b = (philox_u64)0xCD9E8D57u * c.word[2];
    philox_block next = {{(philox_u32)(b >> 32) ^ c.word[1] ^ key0, (philox_u32)b,
                          (philox_u32)(a >> 32) ^ c.word[3] ^ key1, (philox_u32)a}};
    c = next;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

PHILOX_FUNCTION philox_block philox_draw(philox_u64 seed, philox_u64 offset, philox_u64 block,
                                         philox_u32 attempt) {
  philox_block counter = {{(philox_u32)block, (philox_u32)(block >> 32) | attempt << 16,
                           (philox_u32)offset, (philox_u32)(offset >> 32)}};
  return philox_rounds(counter, (philox_u32)seed, (philox_u32)(seed >> 32));
}

PHILOX_FUNCTION philox_u64 philox_word64(philox_block block, int half) {
  return block.word[2 * half] | (philox_u64)block.word[2 * half + 1] << 32;
}

/* ---- float32 --------------------------------------------------------------------------------- */

/* [0, 1): a multiple of 2^-digits, `digits` at most 24: the type at hand holds it exactly. */
PHILOX_FUNCTION float philox_uniform(philox_u32 word, int digits) {
  return PHILOX_MUL((float)(word >> (32 - digits)), 1.0f / (float)(1u << digits));
}

/* (0, 1]: 2^-33 and up, fine near 0, where the logarithm needs it. */
PHILOX_FUNCTION float philox_uniform_positive(philox_u32 word) {
  return PHILOX_ADD(PHILOX_MUL((float)word, 0x1p-32f), 0x1p-33f);
}

PHILOX_FUNCTION philox_u32 philox_bits(float x) {
  union {
    float value;
    philox_u32 bits;
  } u = {x};
  return u.bits;
}

PHILOX_FUNCTION float philox_from_bits(philox_u32 bits) {
  union {
    philox_u32 bits;
    float value;
  } u = {bits};
  return u.value;
}

/* Natural logarithm of a normal positive number, error below 1 ulp (away from 1, where the result
 * vanishes, below 2^-24 of it too): x = 2^e * m with m in [sqrt(1/2), sqrt(2)), then the
 * polynomial of Cephes' logf in m - 1. */
PHILOX_FUNCTION float philox_log(float x) {
  philox_u32 bits = philox_bits(x) - 0x3F3504F3u; /* less the bits of sqrt(1/2) */
  float e = (float)((int)bits >> 23);
  float f = PHILOX_ADD(philox_from_bits((bits & 0x007FFFFFu) + 0x3F3504F3u), -1.0f);
  float z = PHILOX_MUL(f, f);
  float p = 7.0376836292e-2f;
  p = PHILOX_ADD(PHILOX_MUL(p, f), -1.1514610310e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), 1.1676998740e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), -1.2420140846e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), 1.4249322787e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), -1.6668057665e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), 2.0000714765e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), -2.4999993993e-1f);
  p = PHILOX_ADD(PHILOX_MUL(p, f), 3.3333331174e-1f);
  float y = PHILOX_MUL(PHILOX_MUL(p, f), z);
  y = PHILOX_ADD(y, PHILOX_MUL(e, -2.12194440e-4f)); /* ln 2 in two parts, the larger exact */
  y = PHILOX_ADD(y, PHILOX_MUL(z, -0.5f));
  return PHILOX_ADD(PHILOX_ADD(f, y), PHILOX_MUL(e, 0.693359375f));
}

/* Sine and cosine of the angle of `word` 2^-32 turns. The quadrant and the rest, within an eighth
 * of a turn, are told apart in integers, so that no digit is lost. */
PHILOX_FUNCTION void philox_sincos(philox_u32 word, float *sine, float *cosine) {
  philox_u32 quadrant = (word + 0x20000000u) >> 30;
  float x = PHILOX_MUL((float)(int)(word - (quadrant << 30)), 1.4629180793e-9f); /* pi 2^-31 */
  float z = PHILOX_MUL(x, x);
  float s = PHILOX_ADD(PHILOX_MUL(-1.9515295891e-4f, z), 8.3321608736e-3f);
  s = PHILOX_ADD(PHILOX_MUL(s, z), -1.6666654611e-1f);
  s = PHILOX_ADD(PHILOX_MUL(PHILOX_MUL(s, z), x), x);
  float c = PHILOX_ADD(PHILOX_MUL(2.443315711809948e-5f, z), -1.388731625493765e-3f);
  c = PHILOX_ADD(PHILOX_MUL(c, z), 4.166664568298827e-2f);
  c = PHILOX_ADD(PHILOX_MUL(PHILOX_MUL(c, z), z), PHILOX_ADD(PHILOX_MUL(z, -0.5f), 1.0f));
  float swapped_sine = quadrant & 1 ? c : s;
  float swapped_cosine = quadrant & 1 ? s : c;
  *sine = quadrant & 2 ? -swapped_sine : swapped_sine;
  *cosine = (quadrant + 1) & 2 ? -swapped_cosine : swapped_cosine;
}

/* Box and Muller: two independent numbers of the normal distribution, at most 6.77 in size. */
PHILOX_FUNCTION void philox_normal_pair(philox_u32 a, philox_u32 b, float *first, float *second) {
  float sine, cosine;
  float radius = PHILOX_SQRT(PHILOX_MUL(-2.0f, philox_log(philox_uniform_positive(a))));
  philox_sincos(b, &sine, &cosine);
  *first = PHILOX_MUL(radius, cosine);
  *second = PHILOX_MUL(radius, sine);
}

/* The exponential distribution of rate 1, greater than zero. */
PHILOX_FUNCTION float philox_exponential(philox_u32 word) {
  float y = -philox_log(philox_uniform_positive(word));
  return y > 0.0f ? y : 0x1p-33f; /* of a word that rounded up to 1 */
}

/* ---- float64 --------------------------------------------------------------------------------- */

/* [0, 1): a multiple of 2^-53. */
PHILOX_FUNCTION double philox_uniform64(philox_u64 word) {
  return PHILOX_MUL64((double)(word >> 11), 0x1p-53);
}

PHILOX_FUNCTION double philox_uniform_positive64(philox_u64 word) {
  return PHILOX_ADD64(PHILOX_MUL64((double)word, 0x1p-64), 0x1p-65);
}

PHILOX_FUNCTION philox_u64 philox_bits64(double x) {
  union {
    double value;
    philox_u64 bits;
  } u = {x};
  return u.bits;
}

PHILOX_FUNCTION double philox_from_bits64(philox_u64 bits) {
  union {
    philox_u64 bits;
    double value;
  } u = {bits};
  return u.value;
}

/* x[0] + x[1] y + ... by Horner's rule. */
PHILOX_FUNCTION double philox_polynomial64(const double *x, int n, double y) {
  double p = x[n - 1];
  for (int i = n - 2; i >= 0; i--) p = PHILOX_ADD64(PHILOX_MUL64(p, y), x[i]);
  return p;
}

/* As philox_log; the series of the inverse hyperbolic tangent in s = (m - 1) / (m + 1), with the
 * coefficients of fdlibm's log. */
PHILOX_FUNCTION double philox_log64(double x) {
  const double coefficients[] = {6.666666666666735130e-01, 3.999999999940941908e-01,
                                 2.857142874366239149e-01, 2.222219843214978396e-01,
                                 1.818357216161805012e-01, 1.531383769920937332e-01,
                                 1.479819860511658591e-01};
  philox_u64 bits = philox_bits64(x) - 0x3FE6A09E667F3BCDu; /* less the bits of sqrt(1/2) */
  double e = (double)((long long)bits >> 52);
  double m = philox_from_bits64((bits & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu);
  double f = PHILOX_ADD64(m, -1.0);
  double s = PHILOX_DIV64(f, PHILOX_ADD64(2.0, f));
  double z = PHILOX_MUL64(s, s);
  double r = PHILOX_MUL64(z, philox_polynomial64(coefficients, 7, z));
  double h = PHILOX_MUL64(PHILOX_MUL64(f, f), 0.5);
  double low = PHILOX_MUL64(e, 1.90821492927058770002e-10);
  double y = PHILOX_ADD64(PHILOX_MUL64(s, PHILOX_ADD64(h, r)), low);
  double high = PHILOX_MUL64(e, 6.93147180369123816490e-01);
  return PHILOX_ADD64(high, -PHILOX_ADD64(PHILOX_ADD64(h, -y), -f));
}

/* As philox_sincos of 2^-64 turns; the kernels of fdlibm's sin and cos. */
PHILOX_FUNCTION void philox_sincos64(philox_u64 word, double *sine, double *cosine) {
  const double sines[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,
                          -1.98412698298579493134e-04, 2.75573137070700676789e-06,
                          -2.50507602534068634195e-08, 1.58969099521155010221e-10};
  const double cosines[] = {4.16666666666666019037e-02, -1.38888888888741095749e-03,
                            2.48015872894767294178e-05, -2.75573143513906633035e-07,
                            2.08757232129817482790e-09, -1.13596475577881948265e-11};
  philox_u64 quadrant = (word + 0x2000000000000000u) >> 62;
  double turn = (double)(long long)(word - (quadrant << 62));
  double x = PHILOX_MUL64(turn, 3.4061215800304705e-19); /* pi 2^-63 */
  double z = PHILOX_MUL64(x, x);
  double s = PHILOX_ADD64(PHILOX_MUL64(PHILOX_MUL64(philox_polynomial64(sines, 6, z), z), x), x);
  double c = PHILOX_ADD64(PHILOX_MUL64(PHILOX_MUL64(philox_polynomial64(cosines, 6, z), z), z),
                          PHILOX_ADD64(PHILOX_MUL64(z, -0.5), 1.0));
  double swapped_sine = quadrant & 1 ? c : s;
  double swapped_cosine = quadrant & 1 ? s : c;
  *sine = quadrant & 2 ? -swapped_sine : swapped_sine;
  *cosine = (quadrant + 1) & 2 ? -swapped_cosine : swapped_cosine;
}

PHILOX_FUNCTION void philox_normal_pair64(philox_u64 a, philox_u64 b, double *first,
                                          double *second) {
  double sine, cosine;
  double radius = PHILOX_SQRT64(PHILOX_MUL64(-2.0, philox_log64(philox_uniform_positive64(a))));
  philox_sincos64(b, &sine, &cosine);
  *first = PHILOX_MUL64(radius, cosine);
  *second = PHILOX_MUL64(radius, sine);
}

/* ---- integers -------------------------------------------------------------------------------- */

/* The upper half of a product of 64-bit numbers; *low gets the lower one. */
PHILOX_FUNCTION philox_u64 philox_multiply_high(philox_u64 a, philox_u64 b, philox_u64 *low) {
  philox_u64 a0 = (philox_u32)a, a1 = a >> 32, b0 = (philox_u32)b, b1 = b >> 32;
  philox_u64 middle = a1 * b0 + (a0 * b0 >> 32);
  philox_u64 other = a0 * b1 + (philox_u32)middle;
  *low = a * b;
  return a1 * b1 + (middle >> 32) + (other >> 32);
}

/* A number of [0, range), every one as likely as any other (Lemire, "Fast random integer generation
 * in an interval", 2019); 0 for one of the 2^64 mod range words that would favour some. */
PHILOX_FUNCTION int philox_reduce(philox_u64 word, philox_u64 range, philox_u64 *number) {
  philox_u64 low;
  *number = philox_multiply_high(word, range, &low);
  return low >= range || low >= (0 - range) % range;
}

/* Element i of [0, range), drawn again until a word is taken. */
PHILOX_FUNCTION philox_u64 philox_below(philox_u64 seed, philox_u64 offset, philox_u64 i,
                                        philox_u64 range) {
  philox_u64 number;
  philox_u32 attempt = 0;
  while (!philox_reduce(philox_word64(philox_draw(seed, offset, i / 2, attempt), (int)(i % 2)),
                        range, &number))
    attempt++;
  return number;
}

#endif
