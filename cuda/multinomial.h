/* multinomial.h -- what the kernels of multinomial.cu are called with. */
#ifndef HONE_CUDA_MULTINOMIAL_H
#define HONE_CUDA_MULTINOMIAL_H

#include "strided.h"

#define MULTINOMIAL_THREADS 256
#define MULTINOMIAL_CHUNK 4096 /* categories that a block looks at */

/* Of a row; all zero before, and numbers that only grow, in whatever order. */
typedef struct multinomial_row {
  unsigned long long largest;  /* weight: the bits of a double */
  unsigned long long positive; /* weights above 0 */
  unsigned long long first;    /* to arrive: 2^64 - 1 less bits of its time and its number */
} multinomial_row;

/* The first of each, as 2^64 - 1 less its number; 0: there is none. */
typedef struct multinomial_faults {
  unsigned long long weight; /* that is negative or not finite, among all */
  unsigned long long row;    /* with too few weights above 0 */
} multinomial_faults;

typedef struct multinomial_arguments {
  const void *weights; /* [rows, categories], contiguous */
  int64_t *out;        /* [rows, n] */
  float *arrivals;     /* [rows, categories], where all of them are wanted */
  multinomial_row *row;
  unsigned long long *chunk_sums; /* [rows, chunks], of integer weights */
  multinomial_faults *faults;
  int64_t rows, categories, chunks, n;
  int64_t needed; /* positive weights of a row */
  uint64_t seed, offset;
} multinomial_arguments;

#endif
