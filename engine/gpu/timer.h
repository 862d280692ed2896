/* timer.h -- how long work on a device takes, measured so that one can believe it.
 * A sample: [flush the L2 cache] [hold the stream back] start event, work, stop event, and an event
 * after all streams of the device; then the stream is let go, so that the host's pace does not
 * count, and the device is waited for. What the events show beyond the work is found anew in each
 * run, by kernels of known duration, and subtracted. */
#ifndef HONE_GPU_TIMER_H
#define HONE_GPU_TIMER_H

#include "context.h"
#include "stats.h"

/* Queue the work once; 0, or anything else to give up. Called from gpu_timer_run only. */
typedef int gpu_work(void *context);

typedef enum { GPU_CLOCK_EVENTS, GPU_CLOCK_CUPTI } gpu_clock_source;

typedef struct {
  gpu_clock_source clock;
  gpu_work *before, *after; /* around each run of the work, with the device idle, beside the clock;
                               NULL: nothing is to be done */
  bool cold;                /* flush the L2 cache before each sample */
  bool block;               /* hold the stream back while work is queued */
  bool body;       /* leave out what starting and ending a kernel takes, as its own clock does */
  bool graph;      /* events: the work is the launch of a graph */
  unsigned warmup; /* runs before the first sample, at least 1 */
  double timeout;  /* seconds after which a run is given up */
  double throttle; /* samples at clocks below this share of the highest are dropped */
  stats_limits limits;
  size_t count; /* by CUPTI: so many samples, with the stream running freely; 0: see limits */
} gpu_timer_options;

typedef struct {
  double *seconds; /* one a sample, in order; the caller frees with gpu_samples_free */
  int *clocks;     /* MHz at the sample, 0 unknown */
  size_t count, capacity;
  double wall;        /* least seconds from the call to the idle device, one run by itself */
  double host;        /* least seconds of the call itself */
  unsigned throttled; /* samples at low clocks */
  unsigned dropped;   /* of those, left out of `seconds`: never so many that less than half stays */
  unsigned outside;   /* samples in which other streams worked longer than the timed one */
  bool blocked;       /* the stream was held back to the end: see `block` */
  double overhead;    /* seconds that the events themselves take; subtracted from each sample */
  double resolution;  /* seconds by which samples of one duration lie apart; 0 unknown */
  int max_clock;
  char reason[128]; /* why it stopped */
} gpu_samples;

typedef struct gpu_timer gpu_timer;

/* A timer of the device; one a device is enough. */
gpu_timer *gpu_timer_new(gpu_device *device, gpu_error *error);
void gpu_timer_free(gpu_timer *timer);
bool gpu_timer_is_alive(const gpu_timer *timer); /* its context is the device's */

/* Measure. When work gives up, the error's code is GPU_TIMER_GAVE_UP. Frees nothing of `samples`.
 */
enum { GPU_TIMER_GAVE_UP = -2 };
int gpu_timer_run(gpu_timer *timer, const gpu_timer_options *options, gpu_work *work, void *context,
                  gpu_samples *samples, gpu_error *error);

/* Measure two in turn, in pairs whose order alternates; sample i of one belongs to sample i of the
 * other. `enough` is asked after every pair. */
typedef bool gpu_enough(const gpu_samples *first, const gpu_samples *second, double wall,
                        void *context);
int gpu_timer_run_pair(gpu_timer *timer, const gpu_timer_options *options, gpu_work *const work[2],
                       void *const contexts[2], gpu_enough *enough, void *enough_context,
                       gpu_samples samples[2], gpu_error *error);

void gpu_samples_free(gpu_samples *samples);

#endif
