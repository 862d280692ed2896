/* compare.h -- what the kernel of compare.cu is called with. */
#ifndef HONE_CUDA_COMPARE_H
#define HONE_CUDA_COMPARE_H

#include "reduce.h"

#define COMPARE_THREADS 256

/* All zero before: numbers that only grow, so that the order in which blocks add to them is the
 * same to the result. Floats that are not negative order as their bits do. */
typedef struct compare_found {
  unsigned long long bad, nonfinite;
  unsigned long long first_bad; /* 2^64 - 1 less its number */
  unsigned max_absolute, max_relative;
} compare_found;

typedef struct compare_arguments {
  const void *a, *b;
  place_map map;   /* strides of a and of b */
  int64_t vectors; /* of ITEMS elements */
  double rtol, atol;
  int32_t equal_nan;
  compare_found *found;
} compare_arguments;

#endif
