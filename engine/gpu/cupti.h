/* cupti.h -- when kernels, copies and fills really ran, by CUPTI's activity records. */
#ifndef HONE_GPU_CUPTI_H
#define HONE_GPU_CUPTI_H

#include <stddef.h>
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

/* ---- many spans at once ----------------------------------------------------------------------
 * Asking for records takes longer than most kernels: here they are asked for once, and told apart
 * by when they began. */

/* The time by the clock that records are in. */
uint64_t cupti_now(void);

/* Keep the records from now on, one by one; the device must be idle. */
void cupti_keep(void);

/* What began in each of n windows, which follow one another, since cupti_keep; kernels named
 * `ignored` are left out. The device must be idle. Returns 0, or -1 without memory. */
typedef struct {
  uint64_t from, to;
} cupti_window;
int cupti_spans(const cupti_window *windows, size_t n, const char *ignored, cupti_span *spans);

/* The names of the kernels that began in those windows, in the order in which they were first seen:
 * as many as were noted. They stay until the next cupti_keep. Returns how many. */
enum { CUPTI_MOST_KERNELS = 32 };
size_t cupti_kernels(const char *names[CUPTI_MOST_KERNELS]);

#endif
