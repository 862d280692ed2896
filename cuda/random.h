/* random.h -- what the kernel of random.cu is called with. */
#ifndef HONE_CUDA_RANDOM_H
#define HONE_CUDA_RANDOM_H

#include "strided.h"

#define RANDOM_THREADS 256

typedef struct random_arguments {
  void *out; /* contiguous */
  int64_t count;
  uint64_t seed, offset;
  double a, b; /* the distribution's parameters */
  uint64_t range, low;
  const void *each; /* probabilities */
  int32_t digits;
} random_arguments;

#endif
