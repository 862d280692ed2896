/* measure.h -- calls made one after another by the clock, on the CPU or on a device. */
#ifndef HONE_WORKER_MEASURE_H
#define HONE_WORKER_MEASURE_H

#include "gpu/cupti.h"
#include "gpu/timer.h"
#include "worker/worker.h"

/* A call's memory: what is flushed from the CPU's caches before it. */
typedef struct measure_span {
  char *at;
  size_t bytes;
} measure_span;

typedef struct measure_calls {
  const worker_language *language;
  /* Beside the clock, before and after each call; 0, or not 0 after hone_worker_fail. */
  int (*before)(void *owner, int call);
  int (*after)(void *owner, int call);
  void *owner;
  gpu_device *device;        /* NULL: the CPU */
  int warmup, timed;         /* calls 0.. are warm-ups, the timed ones follow */
  bool cold, events;         /* events: not CUPTI's records */
  double timeout;            /* seconds */
  const measure_span *spans; /* spans_of_call for each call, on the CPU */
  int spans_of_call;
} measure_calls;

typedef struct measure_result {
  double *seconds; /* of each timed call */
  double *host;    /* of each call, until it returned */
  int made;        /* calls that were begun */
  const char *clock;
  double overhead;  /* that was subtracted from each */
  double wall;      /* least from a call to the idle device */
  double unblocked; /* by events: the median with the host's gaps; 0: not measured */
  int clock_mhz, max_clock_mhz;
  int threads_before, threads_after;
  const char *kernels[CUPTI_MOST_KERNELS]; /* that ran in timed calls, where CUPTI tells */
  size_t kernel_count;
} measure_result;

/* Where CUPTI may be; start it before anybody's code is loaded. Returns why it cannot be used. */
const char *measure_start(gpu_device *device, const char *const *folders);

/* Make all the calls. 0; a positive code of worker.h after hone_worker_fail. The caller frees with
 * measure_free in any case. */
int measure_run(const measure_calls *calls, measure_result *result);
void measure_free(measure_result *result);

#endif
