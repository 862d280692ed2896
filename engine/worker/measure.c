#include "worker/measure.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "gpu/clocks.h"
#include "gpu/cupti.h"

static const char *no_cupti = "CUPTI was not started";
static gpu_timer *timer; /* of the one device that a worker has */

static int do_nothing(void *context) {
  (void)context;
  return 0;
}

/* What the first measurement of a process takes longer is spent here, while nobody waits. */
static void rehearse(void) {
  const gpu_timer_options options = {.clock = GPU_CLOCK_CUPTI, .cold = true, .count = 1};
  gpu_samples samples = {0};
  gpu_error ignored;
  gpu_timer_run(timer, &options, do_nothing, NULL, &samples, &ignored);
  gpu_samples_free(&samples);
}

const char *measure_start(gpu_device *device, const char *const *folders) {
  gpu_error error;
  no_cupti = cupti_start(folders);
  if (!timer || !gpu_timer_is_alive(timer)) timer = gpu_timer_new(device, &error);
  if (timer && !no_cupti) rehearse();
  return timer ? no_cupti : "the device has no memory left for a timer";
}

static int count_threads(void) {
  int n = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) return 0;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) n += entry->d_name[0] != '.';
  closedir(tasks);
  return n;
}

/* ---- one call ------------------------------------------------------------------------------ */

typedef struct {
  const measure_calls *calls;
  measure_result *result;
  int call; /* the one at hand: made once more where its sample is taken again */
} Run;

static int before_call(void *context) {
  Run *run = context;
  const measure_calls *calls = run->calls;
  int last = calls->warmup + calls->timed - 1;
  if (run->call < last) run->call++;
  return calls->before(calls->owner, run->call);
}

static int after_call(void *context) {
  const Run *run = context;
  return run->calls->after(run->calls->owner, run->call);
}

static int make_call(void *context) {
  Run *run = context;
  const measure_calls *calls = run->calls;
  int i = run->call;
  if (run->result->made < i + 1) run->result->made = i + 1;
  CUstream stream = calls->device ? calls->device->stream : NULL;
  double started = gpu_clock();
  int failed = calls->language->run(calls->language->context, i, stream);
  run->result->host[i] = gpu_clock() - started;
  return failed;
}

/* ---- the CPU ------------------------------------------------------------------------------- */

/* Out of all caches, line by line: cheaper than reading what would push it out. */
static void flush_span(const measure_span *span) {
#ifdef __SSE2__
  enum { LINE = 64 };
  for (size_t at = 0; at < span->bytes; at += LINE) _mm_clflush(span->at + at);
#else
  (void)span;
#endif
}

static void flush_call(const measure_calls *calls, int i) {
  const measure_span *spans = calls->spans + (size_t)i * (size_t)calls->spans_of_call;
  for (int k = 0; k < calls->spans_of_call; k++) flush_span(&spans[k]);
#ifdef __SSE2__
  _mm_mfence();
#endif
}

static int run_on_cpu(Run *run) {
  const measure_calls *calls = run->calls;
  measure_result *result = run->result;
  double deadline = gpu_clock() + calls->timeout;
  result->clock = "wall";
  for (int i = 0; i < calls->warmup + calls->timed; i++) {
    int failed = before_call(run);
    if (!failed && calls->cold) flush_call(calls, i);
    if (!failed) failed = make_call(run);
    if (!failed) failed = after_call(run);
    if (failed) return failed;
    if (i >= calls->warmup) result->seconds[i - calls->warmup] = result->host[i];
    if (gpu_clock() > deadline) {
      hone_worker_fail(WORKER_RUNTIME_ERROR, "the calls took longer than they may");
      return WORKER_RUNTIME_ERROR;
    }
  }
  return 0;
}

/* ---- a device ------------------------------------------------------------------------------ */

/* CUPTI's records are taken with the stream running freely, as others take them: the span from the
 * first kernel's start to the last one's end. Events need the stream held back. */
static gpu_timer_options options_of(const measure_calls *calls) {
  bool cupti = !calls->events && !no_cupti;
  size_t n = (size_t)calls->timed;
  return (gpu_timer_options){
      .clock = cupti ? GPU_CLOCK_CUPTI : GPU_CLOCK_EVENTS,
      .cold = calls->cold,
      .block = !cupti,
      .before = before_call,
      .after = after_call,
      .warmup = (unsigned)calls->warmup,
      .timeout = calls->timeout,
      .count = cupti ? n : 0,
      .limits = {.max_noise = -1, .max_time = calls->timeout, .min_samples = n, .max_samples = n},
  };
}

static int device_failed(const gpu_error *error) {
  if (error->code == GPU_TIMER_GAVE_UP) return WORKER_RUNTIME_ERROR; /* the hook has said why */
  bool is_memory = error->code == CUDA_ERROR_OUT_OF_MEMORY;
  int code = is_memory ? WORKER_OUT_OF_MEMORY : WORKER_RUNTIME_ERROR;
  hone_worker_fail(code, error->text);
  return code;
}

/* NVML takes longer to answer than most requests take: one answer serves for a while. */
static int read_clock(const gpu_device *device) {
  static double read_at;
  static int megahertz;
  const double period = 0.1;
  double now = gpu_clock();
  if (read_at == 0 || now - read_at > period) {
    megahertz = clocks_sm(device);
    read_at = now;
  }
  return megahertz;
}

static int run_on_device(Run *run) {
  const gpu_timer_options options = options_of(run->calls);
  measure_result *result = run->result;
  gpu_samples samples = {0};
  gpu_error error = {0};
  int failed = gpu_activate(run->calls->device, &error);
  if (!failed) failed = gpu_timer_run(timer, &options, make_call, run, &samples, &error);
  if (failed) {
    gpu_samples_free(&samples);
    return device_failed(&error);
  }
  memcpy(result->seconds, samples.seconds, samples.count * sizeof *samples.seconds);
  result->clock = options.clock == GPU_CLOCK_CUPTI ? "cupti" : "events";
  if (options.count) result->kernel_count = cupti_kernels(result->kernels);
  result->overhead = samples.overhead;
  result->wall = samples.wall;
  result->clock_mhz = read_clock(run->calls->device);
  result->max_clock_mhz = samples.max_clock;
  gpu_samples_free(&samples);
  return 0;
}

int measure_run(const measure_calls *calls, measure_result *result) {
  size_t n = (size_t)(calls->warmup + calls->timed);
  *result = (measure_result){
      .seconds = calloc(n, sizeof(double)), .host = calloc(n, sizeof(double)), .clock = ""};
  if (!result->seconds || !result->host) {
    hone_worker_fail(WORKER_OUT_OF_MEMORY, "no memory for the times");
    return WORKER_OUT_OF_MEMORY;
  }
  Run run = {calls, result, -1};
  result->threads_before = count_threads();
  int failed = calls->device ? run_on_device(&run) : run_on_cpu(&run);
  result->threads_after = count_threads();
  return failed;
}

void measure_free(measure_result *result) {
  free(result->seconds);
  free(result->host);
}
