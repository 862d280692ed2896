#include "timer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clocks.h"
#include "cupti.h"
#include "interrupt.h"

struct gpu_timer {
  gpu_device *device;
  unsigned generation;
  CUevent start, stop, join, end;
  CUmodule module;
  CUfunction wait, spin;
  volatile unsigned *flags; /* host memory that the device reads: see the kernel */
  CUdeviceptr flags_on_device;
  CUdeviceptr flush;
  size_t flush_bytes;
  /* Found by calibrate: */
  bool is_calibrated;
  double join_overhead; /* seconds from `stop` to `end` when no other stream works */
  double overhead;      /* seconds that the events around a kernel show beyond its body */
};

#define WAIT_KERNEL "hone_wait"
#define SPIN_KERNEL "hone_spin"

/* The first waits until flags[0] is set, at most `limit` nanoseconds: then it sets flags[1] and
 * ends. The second is busy for `duration` nanoseconds by the device's own clock, and stores how
 * many it was: hardly a kernel does not end with a store, which takes time. */
static const char ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry " WAIT_KERNEL "(.param .u64 flags, .param .u64 limit) {\n"
    "  .reg .pred %p<3>;\n  .reg .b32 %r<3>;\n  .reg .b64 %d<6>;\n"
    "  ld.param.u64 %d0, [flags];\n"
    "  ld.param.u64 %d1, [limit];\n"
    "  cvta.to.global.u64 %d0, %d0;\n"
    "  mov.u64 %d2, %globaltimer;\n"
    "again:\n"
    "  ld.volatile.global.u32 %r0, [%d0];\n"
    "  setp.ne.u32 %p0, %r0, 0;\n"
    "  @%p0 bra done;\n"
    "  mov.u64 %d3, %globaltimer;\n"
    "  sub.u64 %d4, %d3, %d2;\n"
    "  setp.lt.u64 %p1, %d4, %d1;\n"
    "  @%p1 bra again;\n"
    "  mov.u32 %r1, 1;\n"
    "  st.volatile.global.u32 [%d0+4], %r1;\n"
    "done:\n  ret;\n}\n"
    ".visible .entry " SPIN_KERNEL "(.param .u64 duration, .param .u64 took) {\n"
    "  .reg .pred %p<1>;\n  .reg .b64 %d<5>;\n"
    "  ld.param.u64 %d0, [duration];\n"
    "  ld.param.u64 %d4, [took];\n"
    "  cvta.to.global.u64 %d4, %d4;\n"
    "  mov.u64 %d1, %globaltimer;\n"
    "again:\n"
    "  mov.u64 %d2, %globaltimer;\n"
    "  sub.u64 %d3, %d2, %d1;\n"
    "  setp.lt.u64 %p0, %d3, %d0;\n"
    "  @%p0 bra again;\n"
    "  st.global.u64 [%d4], %d3;\n"
    "  ret;\n}\n";

enum { FLAG_GO, FLAG_EXPIRED, FLAGS };

/* A stream is held back no longer than this: work that waits for the device would wait for ever. */
static const uint64_t HOLD_NANOSECONDS = 1000000000;

/* ---- a timer ------------------------------------------------------------------------------- */

static int make_events(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUevent *events[] = {&t->start, &t->stop, &t->join, &t->end};
  CUresult result = CUDA_SUCCESS;
  for (int i = 0; i < 4 && !result; i++) result = driver->event_create(events[i], 0);
  return result;
}

static CUresult make_flags(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  void *host = NULL;
  CUresult result = driver->host_alloc(&host, FLAGS * sizeof *t->flags, HOST_ALLOC_PORTABLE_MAPPED);
  t->flags = host;
  return result ? result : driver->host_pointer(&t->flags_on_device, host, 0);
}

static CUresult make_kernel(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = driver->module_load(&t->module, ptx, 0, NULL, NULL);
  if (!result) result = driver->module_function(&t->wait, t->module, WAIT_KERNEL);
  return result ? result : driver->module_function(&t->spin, t->module, SPIN_KERNEL);
}

gpu_timer *gpu_timer_new(gpu_device *device, gpu_error *error) {
  gpu_timer *t = calloc(1, sizeof *t);
  if (!t) {
    gpu_refuse(error, -1, "out of memory");
    return NULL;
  }
  t->device = device;
  t->generation = device->generation;
  t->flush_bytes = (size_t)gpu_attribute(device, DEVICE_L2_CACHE_SIZE) * 2;
  CUresult result = make_events(t);
  if (!result) result = make_flags(t);
  if (!result) result = make_kernel(t);
  int failed = gpu_check(device, result, "make a timer", error);
  if (!failed) failed = gpu_memory_new(device, t->flush_bytes, &t->flush, error);
  if (!failed) return t;
  gpu_timer_free(t);
  return NULL;
}

bool gpu_timer_is_alive(const gpu_timer *t) {
  return t->generation == t->device->generation;
}

void gpu_timer_free(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  gpu_error ignored;
  if (gpu_timer_is_alive(t) && gpu_activate(t->device, &ignored) == 0) {
    CUevent events[] = {t->start, t->stop, t->join, t->end};
    for (int i = 0; i < 4; i++) {
      if (events[i]) driver->event_destroy(events[i]);
    }
    if (t->module) driver->module_unload(t->module);
    if (t->flags) driver->host_free((void *)(uintptr_t)t->flags);
  }
  gpu_memory_free(t->device, t->generation, t->flush, t->flush_bytes, false);
  free(t);
}

/* ---- samples ------------------------------------------------------------------------------- */

void gpu_samples_free(gpu_samples *s) {
  free(s->seconds);
  free(s->clocks);
  s->seconds = NULL;
  s->clocks = NULL;
  s->count = s->capacity = 0;
}

static int keep_sample(gpu_samples *s, double seconds, int clock, gpu_error *error) {
  if (s->count == s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 256;
    double *times = realloc(s->seconds, capacity * sizeof *times);
    if (times) s->seconds = times;
    int *clocks = realloc(s->clocks, capacity * sizeof *clocks);
    if (clocks) s->clocks = clocks;
    if (!times || !clocks) return gpu_refuse(error, -1, "out of memory");
    s->capacity = capacity;
  }
  s->seconds[s->count] = seconds;
  s->clocks[s->count++] = clock;
  return 0;
}

static bool is_slow(const gpu_samples *sets, int n, size_t i, int limit) {
  for (int k = 0; k < n; k++) {
    if (sets[k].clocks[i] && sets[k].clocks[i] < limit) return true;
  }
  return false;
}

/* Leave out samples taken at low clocks (of pairs both), unless that would be most of them: a
 * device that is always hot has a time too. */
static void drop_throttled(gpu_samples *sets, int n, double share) {
  int limit = (int)(share * sets[0].max_clock);
  size_t count = sets[0].count, kept = 0;
  unsigned slow = 0;
  for (size_t i = 0; i < count; i++) slow += is_slow(sets, n, i, limit);
  for (int k = 0; k < n; k++) sets[k].throttled = slow;
  if (slow * 2 > count) return;
  for (size_t i = 0; i < count; i++) {
    if (is_slow(sets, n, i, limit)) continue;
    for (int k = 0; k < n; k++) {
      sets[k].seconds[kept] = sets[k].seconds[i];
      sets[k].clocks[kept] = sets[k].clocks[i];
    }
    kept++;
  }
  for (int k = 0; k < n; k++) {
    sets[k].dropped = slow;
    sets[k].count = kept;
  }
}

/* ---- one sample ---------------------------------------------------------------------------- */

/* What a run needs to know of itself; `samples` is the set that the run at hand belongs to. */
typedef struct {
  gpu_timer *timer;
  const gpu_timer_options *options;
  gpu_work *work;
  void *context;
  gpu_samples *samples;
} Run;

static CUresult launch_own(const gpu_timer *t, CUfunction function, uint64_t *block, size_t size) {
  void *extra[] = {LAUNCH_BUFFER_POINTER, block, LAUNCH_BUFFER_SIZE, &size, LAUNCH_END};
  return gpu_state_get()->driver->launch(function, 1, 1, 1, 1, 1, 1, 0, t->device->stream, NULL,
                                         extra);
}

static CUresult hold_back(gpu_timer *t) {
  uint64_t block[] = {t->flags_on_device, HOLD_NANOSECONDS};
  t->flags[FLAG_GO] = 0;
  t->flags[FLAG_EXPIRED] = 0;
  return launch_own(t, t->wait, block, sizeof block);
}

static void let_go(gpu_timer *t) {
  t->flags[FLAG_GO] = 1;
}

/* What lies in the cache is overwritten, and lines that were asked to persist no longer do. */
static CUresult flush_cache(gpu_timer *t) {
  return gpu_state_get()->driver->set32(t->flush, 0, t->flush_bytes / 4, t->device->stream);
}

/* `stop` follows the timed stream, `end` all streams of the device. */
static CUresult record_end(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUstream stream = t->device->stream;
  CUresult result = driver->event_record(t->stop, stream);
  if (result) return result;
  result = driver->context_record ? driver->context_record(t->device->context, t->join)
                                  : driver->event_record(t->join, NULL);
  if (!result) result = driver->stream_wait(stream, t->join, 0);
  return result ? result : driver->event_record(t->end, stream);
}

static CUresult begin(gpu_timer *t, const gpu_timer_options *options, bool block) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = options->cold ? driver->context_reset_l2() : CUDA_SUCCESS;
  if (!result && block) result = hold_back(t);
  if (!result && options->cold) result = flush_cache(t);
  return result ? result : driver->event_record(t->start, t->device->stream);
}

/* The device is left idle whatever happens, if only it can be. */
static int give_up(gpu_timer *t, int code, gpu_error *error) {
  gpu_error ignored;
  let_go(t);
  gpu_synchronize(t->device, code == GPU_TIMER_GAVE_UP ? error : &ignored);
  return error->code = code;
}

static int run_work(const Run *run, gpu_error *error) {
  if (run->work(run->context) == 0) return 0;
  return give_up(run->timer, GPU_TIMER_GAVE_UP, error);
}

/* The stream waited for the device, or queued more than it holds: then it cannot be held back. */
static bool has_expired(const Run *run) {
  if (!run->samples->blocked || !run->timer->flags[FLAG_EXPIRED]) return false;
  run->samples->blocked = false;
  return true;
}

/* Seconds from `start` to `stop`, and on to `end`. */
static int read_events(const gpu_timer *t, double *seconds, double *after, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  float worked = 0, whole = 0;
  CUresult result = driver->event_elapsed(&worked, t->start, t->stop);
  if (!result) result = driver->event_elapsed(&whole, t->start, t->end);
  *seconds = worked * 1e-3;
  *after = (whole - worked) * 1e-3;
  return gpu_check(t->device, result, "read events", error);
}

/* Other streams that work longer than this after the timed one are timed with it. */
static double tolerance(double seconds) {
  return 2e-6 + 0.02 * seconds;
}

static int sample_events(const Run *run, double *seconds, gpu_error *error) {
  gpu_timer *t = run->timer;
  int failed = gpu_check(t->device, begin(t, run->options, run->samples->blocked), "time", error);
  if (failed) return give_up(t, failed, error);
  failed = run_work(run, error);
  if (failed) return failed;
  failed = gpu_check(t->device, record_end(t), "time", error);
  let_go(t);
  if (!failed) failed = gpu_event_wait(t->device, t->end, run->options->timeout, error);
  if (failed) return failed;
  if (has_expired(run)) return sample_events(run, seconds, error);
  double after;
  failed = read_events(t, seconds, &after, error);
  after -= t->join_overhead;
  if (t->is_calibrated && after > tolerance(*seconds)) {
    *seconds += after;
    run->samples->outside++;
  }
  *seconds -= run->samples->overhead;
  if (*seconds < 0) *seconds = 0;
  return failed;
}

static int sample_cupti(const Run *run, double *seconds, gpu_error *error) {
  gpu_timer *t = run->timer;
  int failed = gpu_check(t->device, begin(t, run->options, false), "time", error);
  if (!failed) failed = gpu_synchronize(t->device, error);
  if (failed) return failed;
  cupti_clear();
  if (run->samples->blocked) failed = gpu_check(t->device, hold_back(t), "time", error);
  if (!failed) failed = run_work(run, error);
  let_go(t);
  if (!failed) failed = gpu_synchronize(t->device, error);
  if (failed) return failed;
  if (has_expired(run)) return sample_cupti(run, seconds, error);
  cupti_span span = cupti_collect(WAIT_KERNEL);
  if (span.count == 0) return gpu_refuse(error, -1, "CUPTI saw nothing run on the device");
  *seconds = (double)(span.last - span.first) * 1e-9;
  return 0;
}

static int sample(const Run *run, double *seconds, gpu_error *error) {
  if (hone_is_interrupted()) return gpu_refuse(error, -1, "interrupted");
  return run->options->clock == GPU_CLOCK_CUPTI ? sample_cupti(run, seconds, error)
                                                : sample_events(run, seconds, error);
}

/* ---- many ---------------------------------------------------------------------------------- */

/* The device's clock has a grain of 32 ns: a loop that waits for it ends so much late, half of the
 * time. */
static const double GRAIN_SECONDS = 32e-9;

/* From idle, clocks take this long to rise. */
static const uint64_t RISE_NANOSECONDS = 20000000;

/* What a kernel takes beyond its body, being started and ended, as CUPTI counts it (seen on
 * Hopper). */
static const double LAUNCH_SECONDS = 0.65e-6;

static CUresult launch_spin(const gpu_timer *t, uint64_t duration) {
  uint64_t block[] = {duration, t->flush};
  return launch_own(t, t->spin, block, sizeof block);
}

typedef struct {
  const gpu_timer *timer;
  uint64_t nanoseconds;
} Spin;

static int spin(void *context) {
  const Spin *s = context;
  return launch_spin(s->timer, s->nanoseconds);
}

/* Is the clock as high as it is under load, as far as is known? */
static bool is_awake(const gpu_device *device) {
  return clocks_sm(device) * 10 > clocks_sm_max(device) * 8;
}

static int wake(gpu_timer *t, gpu_error *error) {
  if (is_awake(t->device)) return 0;
  int failed = gpu_check(t->device, launch_spin(t, RISE_NANOSECONDS), "time", error);
  return failed ? failed : gpu_synchronize(t->device, error);
}

enum { CALIBRATIONS = 65 };

/* How much the events show around a kernel whose duration is known, and how long after `stop` the
 * stamp `end` is when no other stream has work. Both drift by a tenth of a microsecond, and are
 * less for short kernels: a run begins with finding them anew, by a kernel about as long as its
 * work. */
static int calibrate(gpu_timer *t, double duration, gpu_error *error) {
  Spin work = {t, (uint64_t)(fmin(fmax(duration, 1e-6), 20e-6) * 1e9)};
  const gpu_timer_options options = {.timeout = 10};
  gpu_samples samples = {.blocked = true};
  const Run run = {t, &options, spin, &work, &samples};
  double joins[CALIBRATIONS], overheads[CALIBRATIONS], body = (double)work.nanoseconds * 1e-9;
  t->is_calibrated = false;
  int failed = 0;
  for (int i = 0; i < CALIBRATIONS && !failed; i++) {
    double seconds;
    failed = sample_events(&run, &seconds, error);
    if (!failed) failed = read_events(t, &seconds, &joins[i], error);
    overheads[i] = seconds - body - GRAIN_SECONDS / 2;
  }
  if (failed) return failed;
  stats_sort(joins, CALIBRATIONS);
  stats_sort(overheads, CALIBRATIONS);
  t->join_overhead = stats_quantile(joins, CALIBRATIONS, 0.5);
  t->overhead = fmax(stats_quantile(overheads, CALIBRATIONS, 0.5), 0);
  t->is_calibrated = true;
  return 0;
}

static double overhead_of(const gpu_timer *t, const gpu_timer_options *options) {
  return options->body ? t->overhead : fmax(t->overhead - LAUNCH_SECONDS, 0);
}

static void keep_least(double *least, double seconds) {
  if (*least == 0 || seconds < *least) *least = seconds;
}

/* Run it by itself, by the host's clock: what is loaded or compiled on first use is then done, and
 * the whole is known for comparison. */
static int warm_up(const Run *run, gpu_error *error) {
  gpu_timer *t = run->timer;
  for (unsigned i = 0; i < run->options->warmup || i == 0; i++) {
    int failed = gpu_synchronize(t->device, error);
    if (failed) return failed;
    double started = gpu_clock();
    failed = run_work(run, error);
    if (failed) return failed;
    double called = gpu_clock();
    gpu_device *device = t->device;
    failed = gpu_stream_synchronize(device, device->stream, run->options->timeout, error);
    if (!failed) failed = gpu_synchronize(device, error);
    if (failed) return failed;
    keep_least(&run->samples->host, called - started);
    keep_least(&run->samples->wall, gpu_clock() - started);
  }
  return 0;
}

typedef struct {
  double read_at;
  int megahertz;
} Clock;

/* NVML takes longer to answer than most kernels run. */
static const double CLOCK_PERIOD = 2e-3;

static int read_clock(Clock *clock, const gpu_device *device) {
  double now = gpu_clock();
  if (now - clock->read_at < CLOCK_PERIOD) return clock->megahertz;
  clock->megahertz = clocks_sm(device);
  clock->read_at = now;
  return clock->megahertz;
}

/* About how long the work takes: the events' time, less what they usually add. */
static const double USUAL_OVERHEAD = 2.8e-6;

static int estimate(const Run *run, double *seconds, gpu_error *error) {
  run->timer->is_calibrated = false;
  int failed = sample_events(run, seconds, error);
  *seconds -= USUAL_OVERHEAD;
  return failed;
}

/* Runs that will be compared share one calibration: its error must not tell them apart. */
static int start(Run *runs, int n, gpu_error *error) {
  gpu_timer *t = runs[0].timer;
  const gpu_timer_options *options = runs[0].options;
  double shortest = INFINITY;
  int failed = wake(t, error);
  for (int k = 0; k < n && !failed; k++) {
    double seconds = 0;
    *runs[k].samples =
        (gpu_samples){.blocked = options->block, .max_clock = clocks_sm_max(t->device)};
    failed = warm_up(&runs[k], error);
    if (!failed && options->clock == GPU_CLOCK_EVENTS) failed = estimate(&runs[k], &seconds, error);
    shortest = fmin(shortest, seconds);
  }
  if (failed || options->clock != GPU_CLOCK_EVENTS) return failed;
  failed = calibrate(t, shortest, error);
  for (int k = 0; k < n; k++) runs[k].samples->overhead = overhead_of(t, options);
  return failed;
}

int gpu_timer_run(gpu_timer *t, const gpu_timer_options *options, gpu_work *work, void *context,
                  gpu_samples *samples, gpu_error *error) {
  Run run = {t, options, work, context, samples};
  int failed = start(&run, 1, error);
  stats_stop stop;
  stats_stop_start(&stop, &options->limits);
  Clock clock = {0};
  double started = gpu_clock();
  for (bool is_enough = false; !failed && !is_enough;) {
    double seconds = 0;
    failed = sample(&run, &seconds, error);
    if (!failed) failed = keep_sample(samples, seconds, read_clock(&clock, t->device), error);
    is_enough = stats_stop_add(&stop, seconds, gpu_clock() - started);
  }
  if (failed) return failed;
  memcpy(samples->reason, stop.reason, sizeof samples->reason);
  drop_throttled(samples, 1, options->throttle);
  return 0;
}

static int sample_pair(Run runs[2], int first, Clock *clock, gpu_error *error) {
  for (int k = 0; k < 2; k++) {
    const Run *run = &runs[k ^ first];
    double seconds = 0;
    int failed = sample(run, &seconds, error);
    int megahertz = failed ? 0 : read_clock(clock, run->timer->device);
    if (!failed) failed = keep_sample(run->samples, seconds, megahertz, error);
    if (failed) return failed;
  }
  return 0;
}

int gpu_timer_run_pair(gpu_timer *t, const gpu_timer_options *options, gpu_work *const work[2],
                       void *const contexts[2], gpu_enough *enough, void *enough_context,
                       gpu_samples samples[2], gpu_error *error) {
  Run runs[2];
  for (int k = 0; k < 2; k++) runs[k] = (Run){t, options, work[k], contexts[k], &samples[k]};
  int failed = start(runs, 2, error);
  Clock clock = {0};
  double started = gpu_clock();
  for (int turn = 0; !failed; turn ^= 1) {
    failed = sample_pair(runs, turn, &clock, error);
    if (!failed && enough(&samples[0], &samples[1], gpu_clock() - started, enough_context)) break;
  }
  if (!failed) drop_throttled(samples, 2, options->throttle);
  return failed;
}
