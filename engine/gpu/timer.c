#include "timer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clocks.h"
#include "cupti.h"
#include "interrupt.h"

/* What starting a kernel takes depends on where its code lies, by some 0.1 us: several copies even
 * that out. */
enum { COPIES = 6 };

struct gpu_timer {
  gpu_device *device;
  unsigned generation;
  CUevent start, stop, join, end;
  CUmodule modules[COPIES]; /* of the same code, at different places */
  CUfunction wait, spins[COPIES];
  volatile unsigned *flags; /* host memory that the device reads: see the kernel */
  CUdeviceptr flags_on_device;
  CUdeviceptr
      flush; /* flush_bytes to be overwritten, then room for the durations of a calibration */
  size_t flush_bytes;
  double busy_until; /* by gpu_clock: when a run last ended */
  /* Found by calibrate: */
  double join_overhead; /* seconds from `stop` to `end` when no other stream works */
  double overhead;      /* seconds that the events around a kernel show beyond its body */
  double resolution;    /* seconds by which that varies */
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

static CUresult make_kernels(gpu_timer *t) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = CUDA_SUCCESS;
  for (int i = 0; i < COPIES && !result; i++) {
    result = driver->module_load(&t->modules[i], ptx, 0, NULL, NULL);
    if (!result) result = driver->module_function(&t->spins[i], t->modules[i], SPIN_KERNEL);
  }
  return result ? result : driver->module_function(&t->wait, t->modules[0], WAIT_KERNEL);
}

enum { CALIBRATIONS = 192 };

static size_t memory_bytes(const gpu_timer *t) {
  return t->flush_bytes + CALIBRATIONS * sizeof(uint64_t);
}

static CUdeviceptr durations_at(const gpu_timer *t) {
  return t->flush + t->flush_bytes;
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
  if (!result) result = make_kernels(t);
  int failed = gpu_check(device, result, "make a timer", error);
  if (!failed) failed = gpu_memory_new(device, memory_bytes(t), &t->flush, error);
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
    for (int i = 0; i < COPIES; i++) {
      if (t->modules[i]) driver->module_unload(t->modules[i]);
    }
    if (t->flags) driver->host_free((void *)(uintptr_t)t->flags);
  }
  gpu_memory_free(t->device, t->generation, t->flush, memory_bytes(t), false);
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

/* The stream is held back after the flush: meanwhile the memory comes to rest. */
static CUresult begin(const Run *run) {
  gpu_timer *t = run->timer;
  const gpu_driver *driver = gpu_state_get()->driver;
  bool is_cold = run->options->cold;
  CUresult result = is_cold ? driver->context_reset_l2() : CUDA_SUCCESS;
  if (!result && is_cold) result = flush_cache(t);
  if (!result && run->samples->blocked) result = hold_back(t);
  return result ? result : driver->event_record(t->start, t->device->stream);
}

/* The device is left idle whatever happens, if only it can be. */
static int give_up(gpu_timer *t, int code, gpu_error *error) {
  gpu_error ignored;
  let_go(t);
  gpu_synchronize(t->device, code == GPU_TIMER_GAVE_UP ? error : &ignored);
  return error->code = code;
}

static int run_hook(const Run *run, gpu_work *hook, gpu_error *error) {
  if (!hook || hook(run->context) == 0) return 0;
  return give_up(run->timer, GPU_TIMER_GAVE_UP, error);
}

static int run_work(const Run *run, gpu_error *error) {
  return run_hook(run, run->work, error);
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

/* Seconds of the work by the events, and on to the end of all streams. */
static int measure(const Run *run, double *seconds, double *after, gpu_error *error) {
  gpu_timer *t = run->timer;
  int failed = gpu_check(t->device, begin(run), "time", error);
  if (failed) return give_up(t, failed, error);
  failed = run_work(run, error);
  if (failed) return failed;
  failed = gpu_check(t->device, record_end(t), "time", error);
  let_go(t);
  if (!failed) failed = gpu_event_wait(t->device, t->end, run->options->timeout, error);
  if (failed) return failed;
  if (has_expired(run)) return measure(run, seconds, after, error);
  return read_events(t, seconds, after, error);
}

static int sample_events(const Run *run, double *seconds, gpu_error *error) {
  double after;
  int failed = measure(run, seconds, &after, error);
  if (failed) return failed;
  after -= run->timer->join_overhead;
  if (after > tolerance(*seconds)) {
    *seconds += after;
    run->samples->outside++;
  }
  *seconds = fmax(*seconds - run->samples->overhead, 0);
  return 0;
}

/* What a kernel takes beyond its body, being started and ended, as CUPTI counts it (seen on
 * Hopper). */
static const double LAUNCH_SECONDS = 0.67e-6;

static int sample_cupti(const Run *run, double *seconds, gpu_error *error) {
  gpu_timer *t = run->timer;
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = run->options->cold ? driver->context_reset_l2() : CUDA_SUCCESS;
  if (!result && run->options->cold) result = flush_cache(t);
  int failed = gpu_check(t->device, result, "time", error);
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
  if (run->options->body) *seconds = fmax(*seconds - LAUNCH_SECONDS, 0);
  return 0;
}

/* One of many samples whose records are asked for at the end: leaves its window. */
static int sample_window(const Run *run, cupti_window *window, gpu_error *error) {
  gpu_timer *t = run->timer;
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = run->options->cold ? driver->context_reset_l2() : CUDA_SUCCESS;
  if (!result && run->options->cold) result = flush_cache(t);
  int failed = gpu_check(t->device, result, "time", error);
  if (!failed) failed = gpu_synchronize(t->device, error);
  if (failed) return failed;
  window->from = cupti_now();
  failed = run_work(run, error);
  if (!failed) failed = gpu_synchronize_within(t->device, run->options->timeout, error);
  window->to = cupti_now();
  return failed;
}

static int read_windows(const Run *run, const cupti_window *windows, size_t n, cupti_span *spans,
                        gpu_error *error) {
  if (cupti_spans(windows, n, WAIT_KERNEL, spans)) return gpu_refuse(error, -1, "out of memory");
  for (size_t i = 0; i < n; i++) {
    if (spans[i].count == 0) return gpu_refuse(error, -1, "CUPTI saw nothing run on the device");
    double seconds = (double)(spans[i].last - spans[i].first) * 1e-9;
    if (run->options->body) seconds = fmax(seconds - LAUNCH_SECONDS, 0);
    int failed = keep_sample(run->samples, seconds, 0, error);
    if (failed) return failed;
  }
  return 0;
}

/* So many samples by CUPTI, whatever they show: the stream is not held back. */
static int sample_all(const Run *run, size_t n, gpu_error *error) {
  cupti_window *windows = calloc(n, sizeof *windows);
  cupti_span *spans = calloc(n, sizeof *spans);
  int failed = windows && spans ? 0 : gpu_refuse(error, -1, "out of memory");
  if (!failed) cupti_keep();
  for (size_t i = 0; i < n && !failed; i++) {
    failed = hone_is_interrupted() ? gpu_refuse(error, -1, "interrupted") : 0;
    if (!failed) failed = run_hook(run, run->options->before, error);
    if (!failed) failed = sample_window(run, &windows[i], error);
    if (!failed) failed = run_hook(run, run->options->after, error);
  }
  if (!failed) failed = read_windows(run, windows, n, spans, error);
  free(windows);
  free(spans);
  return failed;
}

static int sample(const Run *run, double *seconds, gpu_error *error) {
  if (hone_is_interrupted()) return gpu_refuse(error, -1, "interrupted");
  int failed = run_hook(run, run->options->before, error);
  if (failed) return failed;
  failed = run->options->clock == GPU_CLOCK_CUPTI ? sample_cupti(run, seconds, error)
                                                  : sample_events(run, seconds, error);
  return failed ? failed : run_hook(run, run->options->after, error);
}

/* ---- many ---------------------------------------------------------------------------------- */

/* From idle, clocks take this long to rise. */
static const uint64_t RISE_NANOSECONDS = 20000000;

/* By one of the copies; the i-th duration is where it tells how long it really was. */
static CUresult launch_spin(const gpu_timer *t, uint64_t duration, size_t i) {
  uint64_t block[] = {duration, durations_at(t) + i * sizeof duration};
  return launch_own(t, t->spins[i % COPIES], block, sizeof block);
}

/* Is the clock as high as it is under load, as far as is known? */
static bool is_awake(const gpu_device *device) {
  return clocks_sm(device) * 10 > clocks_sm_max(device) * 8;
}

/* What was busy until just now has its clocks still. */
static const double DOZE_SECONDS = 50e-3;

static int wake(gpu_timer *t, gpu_error *error) {
  if (gpu_clock() - t->busy_until < DOZE_SECONDS || is_awake(t->device)) return 0;
  int failed = gpu_check(t->device, launch_spin(t, RISE_NANOSECONDS, 0), "time", error);
  return failed ? failed : gpu_synchronize(t->device, error);
}

/* Work of a known duration: the i-th of a calibration. */
typedef struct {
  const gpu_timer *timer;
  size_t i;
  CUgraph graph;    /* of such work, when graphs are timed, else NULL */
  CUgraphExec exec; /* made of it */
} Spin;

/* The device looks whether a kernel has ended every 0.16 to 0.22 us (seen on Hopper), in step with
 * its start: each duration shows an error of its own, which durations from 2 to 3 us, spread evenly
 * by the golden ratio, even out. */
static uint64_t spin_nanoseconds(size_t i) {
  double place = (double)i * 0.6180339887498949;
  return 2000 + (uint64_t)((place - floor(place)) * 1000);
}

static int spin(void *context) {
  const Spin *s = context;
  const gpu_timer *t = s->timer;
  if (!s->exec) return launch_spin(t, spin_nanoseconds(s->i), s->i);
  return gpu_state_get()->driver->graph_launch(s->exec, t->device->stream);
}

static void close_graph(Spin *work) {
  const gpu_driver *driver = gpu_state_get()->driver;
  if (work->exec) driver->graph_exec_destroy(work->exec);
  if (work->graph) driver->graph_destroy(work->graph);
  work->exec = NULL;
  work->graph = NULL;
}

/* Makes the work a graph of itself. */
static int capture(Spin *work, CUstream stream, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  gpu_device *device = work->timer->device;
  close_graph(work);
  int failed = gpu_capture_begin(device, stream, error);
  if (failed) return failed;
  CUresult result = launch_spin(work->timer, spin_nanoseconds(work->i), work->i);
  failed = gpu_capture_end(device, &work->graph, error);
  if (failed) return failed;
  if (!result) result = driver->graph_instantiate(&work->exec, work->graph, 0);
  return gpu_check(device, result, "make a graph", error);
}

/* What is measured of each of the works. `stream` is for captures; NULL: no graphs are timed. */
static int measure_spins(const Run *run, Spin *work, CUstream stream, double *seconds,
                         double *joins, gpu_error *error) {
  int failed = 0;
  for (work->i = 0; work->i < CALIBRATIONS && !failed; work->i++) {
    if (stream) failed = capture(work, stream, error);
    if (!failed) failed = measure(run, &seconds[work->i], &joins[work->i], error);
  }
  return failed;
}

static int read_durations(const gpu_timer *t, uint64_t *nanoseconds, gpu_error *error) {
  CUstream stream = t->device->stream;
  CUresult result = gpu_state_get()->driver->copy_out(nanoseconds, durations_at(t),
                                                      CALIBRATIONS * sizeof *nanoseconds, stream);
  int failed = gpu_check(t->device, result, "read durations", error);
  return failed ? failed : gpu_stream_synchronize(t->device, stream, 0, error);
}

static double midmean(double *values) {
  stats_sort(values, CALIBRATIONS);
  return stats_midmean(values, CALIBRATIONS);
}

/* What the events around work show beyond its body, and how long after `stop` the stamp `end` is
 * when no other stream has work: found by kernels that tell how long they were, in the way in which
 * the work will be timed. */
static int calibrate(gpu_timer *t, const gpu_timer_options *like, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  const gpu_timer_options options = {.cold = like->cold, .timeout = like->timeout};
  gpu_samples samples = {.blocked = true};
  Spin work = {.timer = t};
  const Run run = {t, &options, spin, &work, &samples};
  double seconds[CALIBRATIONS], joins[CALIBRATIONS];
  uint64_t bodies[CALIBRATIONS];
  CUstream stream = NULL;
  CUresult result = like->graph ? driver->stream_create(&stream, STREAM_NON_BLOCKING, 0) : 0;
  int failed = gpu_check(t->device, result, "make a stream", error);
  if (!failed) failed = measure_spins(&run, &work, stream, seconds, joins, error);
  if (!failed) failed = read_durations(t, bodies, error);
  close_graph(&work);
  if (stream) driver->stream_destroy(stream);
  if (failed) return failed;
  for (size_t i = 0; i < CALIBRATIONS; i++) seconds[i] -= (double)bodies[i] * 1e-9;
  t->overhead = midmean(seconds);
  t->join_overhead = midmean(joins);
  t->resolution =
      stats_quantile(seconds, CALIBRATIONS, 0.9) - stats_quantile(seconds, CALIBRATIONS, 0.1);
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
    int failed = run_hook(run, run->options->before, error);
    if (!failed) failed = gpu_synchronize(t->device, error);
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
    failed = run_hook(run, run->options->after, error);
    if (failed) return failed;
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

/* Runs that will be compared share one calibration: its error must not tell them apart. */
static int start(Run *runs, int n, gpu_error *error) {
  gpu_timer *t = runs[0].timer;
  const gpu_timer_options *options = runs[0].options;
  int failed = wake(t, error);
  for (int k = 0; k < n && !failed; k++) {
    *runs[k].samples =
        (gpu_samples){.blocked = options->block, .max_clock = clocks_sm_max(t->device)};
    failed = warm_up(&runs[k], error);
  }
  if (failed || options->clock == GPU_CLOCK_CUPTI) return failed;
  failed = calibrate(t, options, error);
  for (int k = 0; k < n; k++) {
    runs[k].samples->overhead = overhead_of(t, options);
    runs[k].samples->resolution = t->resolution;
  }
  return failed;
}

int gpu_timer_run(gpu_timer *t, const gpu_timer_options *options, gpu_work *work, void *context,
                  gpu_samples *samples, gpu_error *error) {
  Run run = {t, options, work, context, samples};
  int failed = start(&run, 1, error);
  if (!failed && options->count) {
    failed = sample_all(&run, options->count, error);
    t->busy_until = gpu_clock();
    return failed;
  }
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
