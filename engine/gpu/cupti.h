/* cupti.h -- when kernels, copies and fills really ran, by CUPTI's activity records. */
#ifndef HONE_GPU_CUPTI_H
#define HONE_GPU_CUPTI_H

#include <stdint.h>

typedef struct {
  uint64_t first, last; /* nanoseconds: the earliest start and the latest end */
  unsigned count;       /* activities */
} cupti_span;

/* Open CUPTI (also looked for in `folders`) and record from now on; NULL, or why not. */
const char *cupti_start(const char *const *folders);
void cupti_stop(void);

/* Forget what was recorded; the device must be idle. */
void cupti_clear(void);

/* What was recorded since, kernels named `ignored` left out; the device must be idle. */
cupti_span cupti_collect(const char *ignored);

#endif
