#include "context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "interrupt.h"

static gpu_state own_state;
static gpu_state *state = &own_state;

gpu_state *gpu_state_get(void) {
  return state;
}

void gpu_state_adopt(gpu_state *other) {
  state = other;
}

double gpu_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- errors -------------------------------------------------------------------------------- */

int gpu_refuse(gpu_error *error, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return error->code = code;
}

/* After these the driver answers every call in the context with the same error. */
static bool loses_context(CUresult result) {
  return result == CUDA_ERROR_ILLEGAL_ADDRESS || result == CUDA_ERROR_LAUNCH_TIMEOUT ||
         (CUDA_ERROR_CONTEXT_IS_DESTROYED <= result && result <= CUDA_ERROR_ASSERT) ||
         (CUDA_ERROR_HARDWARE_STACK_ERROR <= result && result <= CUDA_ERROR_LAUNCH_FAILED) ||
         result == CUDA_ERROR_TENSOR_MEMORY_LEAK;
}

static bool is_listed(const char *const *names, unsigned count, const char *name) {
  for (unsigned i = 0; i < count; i++) {
    if (names[i] == name) return true;
  }
  return false;
}

/* "in kernel 'a'", or "in one of the kernels 'b', 'a'", newest first: a fault is only known once
 * the device is asked, when more than one kernel may have run. */
static void name_suspects(const gpu_device *device, char *text, size_t size) {
  const char *names[GPU_RECENT];
  unsigned count = 0, kept = device->launches < GPU_RECENT ? device->launches : GPU_RECENT;
  for (unsigned i = 1; i <= kept; i++) {
    const char *name = device->recent[(device->launches - i) % GPU_RECENT];
    if (!is_listed(names, count, name)) names[count++] = name;
  }
  if (count == 0) {
    snprintf(text, size, "in a kernel not launched from here");
    return;
  }
  size_t n = (size_t)snprintf(text, size, count == 1 ? "in kernel" : "in one of the kernels");
  for (unsigned i = 0; i < count && n < size; i++) {
    n += (size_t)snprintf(text + n, size - n, "%s '%s'", i ? "," : "", names[i]);
  }
  if (count > 1 && n < size) {
    snprintf(text + n, size - n, " (CUDA_LAUNCH_BLOCKING=1 tells which)");
  }
}

static void lose(gpu_device *device, CUresult result) {
  char suspects[384];
  name_suspects(device, suspects, sizeof suspects);
  snprintf(device->lost_text, sizeof device->lost_text, "%s %s",
           gpu_driver_describe(state->driver, result), suspects);
  device->lost = true;
}

/* CUDA's manual: after such a fault the process must end, a new context would answer the same. */
static int refuse_lost(const gpu_device *device, CUresult result, gpu_error *error) {
  return gpu_refuse(error, result,
                    "the context of cuda:%d is lost: %s; this process cannot use the device again",
                    device->ordinal, device->lost_text);
}

int gpu_check(gpu_device *device, CUresult result, const char *what, gpu_error *error) {
  if (result == CUDA_SUCCESS) return 0;
  if (!device->lost && loses_context(result)) lose(device, result);
  if (device->lost) return refuse_lost(device, result, error);
  return gpu_refuse(error, result, "cannot %s on cuda:%d: %s", what, device->ordinal,
                    gpu_driver_describe(state->driver, result));
}

const char *gpu_intern(const char *name) {
  static struct interned {
    struct interned *next;
    char name[];
  } *first;
  for (const struct interned *i = first; i; i = i->next) {
    if (strcmp(i->name, name) == 0) return i->name;
  }
  size_t size = strlen(name) + 1;
  struct interned *new = malloc(sizeof *new + size);
  if (!new) return "?";
  memcpy(new->name, name, size);
  new->next = first;
  first = new;
  return new->name;
}

/* ---- devices ------------------------------------------------------------------------------- */

int gpu_open(gpu_error *error) {
  if (state->driver) return 0;
  const char *why;
  const gpu_driver *driver = gpu_driver_open(&why);
  if (!driver) return gpu_refuse(error, -1, "%s", why);
  int count = 0;
  CUresult result = driver->device_count(&count);
  if (result) {
    return gpu_refuse(error, result, "cannot count CUDA devices: %s",
                      gpu_driver_describe(driver, result));
  }
  state->driver = driver;
  state->count = count < GPU_MAX_DEVICES ? count : GPU_MAX_DEVICES;
  for (int i = 0; i < state->count; i++) {
    state->devices[i].ordinal = i;
    driver->device_get(&state->devices[i].handle, i);
  }
  return 0;
}

int gpu_attribute(const gpu_device *device, int attribute) {
  int value = 0;
  state->driver->device_attribute(&value, attribute, device->handle);
  return value;
}

/* Freed memory stays with the process: giving it back at every synchronisation would make the next
 * allocation as slow as the first. */
static void keep_freed_memory(CUmemoryPool pool) {
  uint64_t threshold = UINT64_MAX;
  state->driver->pool_set(pool, POOL_RELEASE_THRESHOLD, &threshold);
}

static int make_context(gpu_device *device, gpu_error *error) {
  const gpu_driver *driver = state->driver;
  CUcontext context;
  CUresult result = driver->context_retain(&context, device->handle);
  if (result) return gpu_check(device, result, "make a context", error);
  result = driver->context_set(context);
  if (!result) result = driver->device_pool(&device->pool, device->handle);
  if (!result) result = driver->stream_create(&device->own_stream, 0, 0);
  if (result) {
    driver->context_release(device->handle);
    return gpu_check(device, result, "make a context", error);
  }
  keep_freed_memory(device->pool);
  device->context = context;
  device->stream = device->own_stream;
  device->generation++;
  return 0;
}

bool gpu_is_elsewhere(const gpu_device *device) {
  CUcontext current = NULL;
  state->driver->context_get(&current);
  return current != device->context;
}

int gpu_activate(gpu_device *device, gpu_error *error) {
  if (device->lost) return refuse_lost(device, CUDA_ERROR_LAUNCH_FAILED, error);
  if (!gpu_is_elsewhere(device)) return 0;
  return gpu_check(device, state->driver->context_set(device->context), "use the context", error);
}

gpu_device *gpu_touch(int ordinal, gpu_error *error) {
  if (gpu_open(error)) return NULL;
  if (ordinal < 0 || ordinal >= state->count) {
    gpu_refuse(error, -1, "there is no cuda:%d: this machine has %d CUDA device%s", ordinal,
               state->count, state->count == 1 ? "" : "s");
    return NULL;
  }
  gpu_device *device = &state->devices[ordinal];
  if (!device->context && make_context(device, error)) return NULL;
  return gpu_activate(device, error) ? NULL : device;
}

int gpu_reset(int ordinal, gpu_error *error) {
  if (gpu_open(error)) return error->code;
  if (ordinal < 0 || ordinal >= state->count) {
    return gpu_refuse(error, -1, "there is no cuda:%d", ordinal);
  }
  gpu_device *device = &state->devices[ordinal];
  if (!device->context) return 0;
  if (device->lost) return refuse_lost(device, CUDA_ERROR_LAUNCH_FAILED, error);
  if (device->capturing) return gpu_refuse(error, -1, "a graph is being captured");
  CUresult result = state->driver->context_reset(device->handle);
  state->driver->context_release(device->handle);
  unsigned generation = device->generation;
  free(device->kept); /* the blocks went with the context */
  free(device->deferred.pointers);
  *device =
      (gpu_device){.ordinal = ordinal, .handle = device->handle, .generation = generation + 1};
  return gpu_check(device, result, "reset the context", error);
}

/* ---- waiting ------------------------------------------------------------------------------- */

typedef CUresult query(const void *handle);

static CUresult query_stream(const void *stream) {
  return state->driver->stream_query((CUstream)(uintptr_t)stream);
}

static CUresult query_event(const void *event) {
  return state->driver->event_query((CUevent)(uintptr_t)event);
}

/* Polls: at once for what ends at once, then sleeping, so that Ctrl-C is heard while a kernel
 * hangs. */
static int poll_until_done(gpu_device *device, query *ask, const void *handle, double seconds,
                           gpu_error *error) {
  double started = gpu_clock();
  for (;;) {
    CUresult result = ask(handle);
    if (result != CUDA_ERROR_NOT_READY) return gpu_check(device, result, "wait", error);
    double waited = gpu_clock() - started;
    if (hone_is_interrupted()) return gpu_refuse(error, -1, "interrupted");
    if (seconds > 0 && waited > seconds) {
      return gpu_refuse(error, -1, "cuda:%d is still busy after %g s", device->ordinal, seconds);
    }
    if (waited > 200e-6)
      nanosleep(&(struct timespec){.tv_nsec = waited > 0.1 ? 1000000 : 20000}, 0);
  }
}

int gpu_stream_synchronize(gpu_device *device, CUstream stream, double seconds, gpu_error *error) {
  return poll_until_done(device, query_stream, stream, seconds, error);
}

int gpu_event_wait(gpu_device *device, CUevent event, double seconds, gpu_error *error) {
  return poll_until_done(device, query_event, event, seconds, error);
}

/* Polls for all streams where the driver can: its own wait cannot be ended. */
static int poll_streams(gpu_device *device, double seconds, gpu_error *error) {
  CUevent event;
  if (!state->driver->context_record || device->capturing) {
    return gpu_stream_synchronize(device, device->own_stream, seconds, error);
  }
  CUresult result = state->driver->event_create(&event, EVENT_DISABLE_TIMING);
  if (result) return gpu_check(device, result, "make an event", error);
  result = state->driver->context_record(device->context, event);
  int failed = gpu_check(device, result, "synchronize", error);
  if (!failed) failed = gpu_event_wait(device, event, seconds, error);
  state->driver->event_destroy(event);
  return failed;
}

int gpu_synchronize_within(gpu_device *device, double seconds, gpu_error *error) {
  int failed = poll_streams(device, seconds, error);
  if (failed) return failed;
  failed = gpu_check(device, state->driver->context_synchronize(), "synchronize", error);
  if (!failed) device->launches = 0;
  return failed;
}

int gpu_synchronize(gpu_device *device, gpu_error *error) {
  return gpu_synchronize_within(device, 0, error);
}

int gpu_stream_follow(gpu_device *device, CUstream to, CUstream from, gpu_error *error) {
  CUevent event;
  CUresult result = state->driver->event_create(&event, EVENT_DISABLE_TIMING);
  if (result) return gpu_check(device, result, "make an event", error);
  result = state->driver->event_record(event, from);
  if (!result) result = state->driver->stream_wait(to, event, 0);
  state->driver->event_destroy(event);
  return gpu_check(device, result, "order streams", error);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void describe_bytes(size_t bytes, char *text, size_t size) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = (double)bytes;
  int unit = 0;
  for (; value >= 1024 && unit < 6; unit++) value /= 1024;
  snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* Blocks that were freed, by their size: four sizes between a power of two and the next. They are
 * given out in the order of the device's own stream, in which they were freed. */
enum { KEPT_SIZES = 65, KEPT_OF_A_SIZE = 64, KEPT_LEAST = 512 };
#define KEPT_MOST ((size_t)32 << 20)      /* bytes of a block that is kept, */
#define KEPT_TOGETHER ((size_t)512 << 20) /* and of all that are */

typedef struct gpu_kept {
  size_t bytes;
  int count[KEPT_SIZES];
  CUdeviceptr blocks[KEPT_SIZES][KEPT_OF_A_SIZE];
} gpu_kept;

/* The size that so many bytes are rounded up to, and its number; -1 for what is not kept. */
static int kept_size(size_t bytes, size_t *rounded) {
  *rounded = bytes;
  if (bytes > KEPT_MOST) return -1;
  *rounded = KEPT_LEAST;
  if (bytes <= KEPT_LEAST) return 0;
  int top = 63 - __builtin_clzll(bytes - 1);
  size_t step = (size_t)1 << (top - 2);
  *rounded = (bytes + step - 1) / step * step;
  return (top - 9) * 4 + (int)((*rounded >> (top - 2)) - 4);
}

/* A tool that looks for accesses out of bounds has to see each block. */
static bool keeps_blocks(const gpu_device *device) {
  static int answer = -1;
  if (answer < 0) answer = !getenv("HONE_SANITIZED");
  return answer && device->stream == device->own_stream && !device->capturing;
}

static CUdeviceptr take_kept(gpu_device *device, int size, size_t rounded) {
  gpu_kept *k = device->kept;
  if (!k || size < 0 || k->count[size] == 0 || !keeps_blocks(device)) return 0;
  k->bytes -= rounded;
  return k->blocks[size][--k->count[size]];
}

static bool keep(gpu_device *device, CUdeviceptr pointer, size_t bytes) {
  size_t rounded;
  int size = kept_size(bytes, &rounded);
  if (size < 0 || !keeps_blocks(device)) return false;
  if (!device->kept) device->kept = calloc(1, sizeof *device->kept);
  gpu_kept *k = device->kept;
  if (!k || k->count[size] == KEPT_OF_A_SIZE || k->bytes + rounded > KEPT_TOGETHER) return false;
  k->blocks[size][k->count[size]++] = pointer;
  k->bytes += rounded;
  return true;
}

static void give_back_kept(gpu_device *device) {
  gpu_kept *k = device->kept;
  for (int size = 0; k && size < KEPT_SIZES; size++)
    while (k->count[size] > 0)
      state->driver->memory_free(k->blocks[size][--k->count[size]], device->own_stream);
  if (k) k->bytes = 0;
}

void gpu_memory_trim(gpu_device *device) {
  if (device->capturing) return;
  give_back_kept(device);
  state->driver->stream_synchronize(device->own_stream);
  state->driver->pool_trim(device->pool, 0);
}

static int refuse_memory(gpu_device *device, size_t bytes, gpu_error *error) {
  gpu_memory_trim(device); /* the attempt may have taken all that there is */
  char wanted[32], free_text[32], total_text[32], ours[32];
  size_t available = 0, total = 0;
  state->driver->memory_info(&available, &total);
  describe_bytes(bytes, wanted, sizeof wanted);
  describe_bytes(available, free_text, sizeof free_text);
  describe_bytes(total, total_text, sizeof total_text);
  describe_bytes(device->bytes, ours, sizeof ours);
  return gpu_refuse(
      error, CUDA_ERROR_OUT_OF_MEMORY,
      "cannot allocate %s on cuda:%d: out of memory (%s of %s are free, %s are in use here)",
      wanted, device->ordinal, free_text, total_text, ours);
}

int gpu_memory_new(gpu_device *device, size_t bytes, CUdeviceptr *out, gpu_error *error) {
  *out = 0;
  if (device->capturing) {
    return gpu_refuse(error, -1, "cannot allocate on cuda:%d while a graph is captured",
                      device->ordinal);
  }
  if (bytes == 0) return 0;
  size_t rounded;
  int size = kept_size(bytes, &rounded);
  *out = take_kept(device, size, rounded);
  CUresult result =
      *out ? CUDA_SUCCESS : state->driver->memory_alloc(out, rounded, device->own_stream);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return refuse_memory(device, bytes, error);
  if (result) return gpu_check(device, result, "allocate memory", error);
  device->bytes += bytes;
  if (device->bytes > device->peak_bytes) device->peak_bytes = device->bytes;
  return 0;
}

/* Without memory for the list, the memory on the device is lost to the process: no harm is done. */
static void defer(gpu_pointers *list, CUdeviceptr pointer) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 16;
    CUdeviceptr *pointers = realloc(list->pointers, capacity * sizeof *pointers);
    if (!pointers) return;
    list->pointers = pointers;
    list->capacity = capacity;
  }
  list->pointers[list->count++] = pointer;
}

void gpu_memory_free(gpu_device *device, unsigned generation, CUdeviceptr pointer, size_t bytes,
                     bool is_shared) {
  if (!pointer || generation != device->generation) return;
  device->bytes -= bytes;
  gpu_error ignored;
  if (device->capturing) {
    defer(&device->deferred, pointer);
  } else if (!is_shared && keep(device, pointer, bytes)) {
    return;
  } else if (gpu_activate(device, &ignored) == 0) {
    if (is_shared) state->driver->context_synchronize();
    state->driver->memory_free(pointer, device->own_stream);
  }
}

/* ---- capture ------------------------------------------------------------------------------- */

int gpu_capture_begin(gpu_device *device, CUstream stream, gpu_error *error) {
  if (device->capturing) {
    return gpu_refuse(error, -1, "a graph is already being captured");
  }
  int failed = gpu_synchronize(device, error); /* memory is ready for every stream */
  if (failed) return failed;
  CUresult result = state->driver->stream_begin_capture(stream, CAPTURE_THREAD_LOCAL);
  failed = gpu_check(device, result, "capture a graph", error);
  if (failed) return failed;
  device->set_aside = device->stream;
  device->stream = stream;
  device->capturing = true;
  return 0;
}

int gpu_capture_end(gpu_device *device, CUgraph *graph, gpu_error *error) {
  *graph = NULL;
  CUresult result = state->driver->stream_end_capture(device->stream, graph);
  device->capturing = false;
  device->stream = device->set_aside;
  for (size_t i = 0; i < device->deferred.count; i++) {
    state->driver->memory_free(device->deferred.pointers[i], device->own_stream);
  }
  device->deferred.count = 0;
  return gpu_check(device, result, "capture a graph", error);
}
