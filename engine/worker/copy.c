#include "worker/copy.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/driver.h"

enum {
  MAX_RANK = 64,
  MAX_RUNS = 4096, /* more copies than this on a device are made by way of the CPU */
};

/* The same walk over two tensors: neighbouring dimensions that lie behind one another are one. */
typedef struct {
  int rank;
  int64_t shape[MAX_RANK], to[MAX_RANK], from[MAX_RANK]; /* strides in bytes */
  size_t run;                                            /* bytes that lie together in both */
  int64_t runs;
} Walk;

int64_t worker_count(const worker_tensor *t) {
  int64_t count = 1;
  for (int i = 0; i < t->rank; i++) count *= t->shape[i];
  return count;
}

size_t worker_element_bytes(const worker_tensor *t) {
  return ((size_t)t->dtype.bits * t->dtype.lanes + 7) / 8;
}

char *worker_first(const worker_tensor *t) {
  return t->data ? (char *)t->data + t->byte_offset : NULL;
}

/* A tensor's strides in bytes; those of a contiguous one where it tells none. */
static void byte_strides(const worker_tensor *t, int64_t *strides) {
  int64_t bytes = (int64_t)worker_element_bytes(t), next = bytes;
  for (int i = t->rank - 1; i >= 0; i--) {
    strides[i] = t->strides ? t->strides[i] * bytes : next;
    next *= t->shape[i];
  }
}

static void make_walk(Walk *w, const worker_tensor *to, const worker_tensor *from) {
  int64_t to_strides[MAX_RANK], from_strides[MAX_RANK];
  byte_strides(to, to_strides);
  byte_strides(from, from_strides);
  w->rank = 0;
  for (int i = 0; i < to->rank; i++) {
    int64_t size = to->shape[i];
    if (size == 1) continue;
    int last = w->rank - 1;
    if (last >= 0 && w->to[last] == to_strides[i] * size && w->from[last] == from_strides[i] * size)
      w->shape[last] *= size;
    else {
      last = w->rank++;
      w->shape[last] = size;
    }
    w->to[last] = to_strides[i];
    w->from[last] = from_strides[i];
  }
  w->run = worker_element_bytes(to);
  int last = w->rank - 1;
  if (last >= 0 && w->to[last] == (int64_t)w->run && w->from[last] == (int64_t)w->run) {
    w->run *= (size_t)w->shape[last];
    w->rank--;
  }
  w->runs = 1;
  for (int i = 0; i < w->rank; i++) w->runs *= w->shape[i];
}

/* On to the next run: its offsets in bytes. */
static void step(const Walk *w, int64_t *at, int64_t *to, int64_t *from) {
  for (int i = w->rank - 1; i >= 0; i--) {
    *to += w->to[i];
    *from += w->from[i];
    if (++at[i] < w->shape[i]) return;
    *to -= w->to[i] * w->shape[i];
    *from -= w->from[i] * w->shape[i];
    at[i] = 0;
  }
}

static void copy_on_cpu(const Walk *w, char *to, const char *from) {
  int64_t at[MAX_RANK] = {0}, to_offset = 0, from_offset = 0;
  for (int64_t i = 0; i < w->runs; i++) {
    memcpy(to + to_offset, from + from_offset, w->run);
    step(w, at, &to_offset, &from_offset);
  }
}

/* ---- on a device -------------------------------------------------------------------------------
 */

static CUdeviceptr device_pointer(const char *at) {
  return (CUdeviceptr)(uintptr_t)at;
}

static CUresult copy_runs(const gpu_driver *d, const Walk *w, char *to, const char *from) {
  int64_t at[MAX_RANK] = {0}, to_offset = 0, from_offset = 0;
  CUresult result = CUDA_SUCCESS;
  for (int64_t i = 0; i < w->runs && !result; i++) {
    result =
        d->copy(device_pointer(to + to_offset), device_pointer(from + from_offset), w->run, NULL);
    step(w, at, &to_offset, &from_offset);
  }
  return result;
}

/* The bytes between the first and the last that strides reach, from the tensor's first element. */
typedef struct {
  int64_t low, high;
} Span;

static Span span_of(const Walk *w, const int64_t *strides) {
  Span span = {0, (int64_t)w->run};
  for (int i = 0; i < w->rank; i++) {
    int64_t reach = strides[i] * (w->shape[i] - 1);
    if (reach < 0)
      span.low += reach;
    else
      span.high += reach;
  }
  return span;
}

/* Many short runs: both spans come to the CPU, and the written one goes back. */
static CUresult copy_by_cpu(const gpu_driver *d, const Walk *w, char *to, const char *from) {
  Span read = span_of(w, w->from), written = span_of(w, w->to);
  size_t read_bytes = (size_t)(read.high - read.low),
         written_bytes = (size_t)(written.high - written.low);
  char *source = malloc(read_bytes), *target = malloc(written_bytes);
  CUresult result = source && target ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  if (!result) result = d->copy_out(source, device_pointer(from + read.low), read_bytes, NULL);
  if (!result) result = d->copy_out(target, device_pointer(to + written.low), written_bytes, NULL);
  if (!result) result = d->stream_synchronize(NULL);
  if (!result) {
    copy_on_cpu(w, target - written.low, source - read.low);
    result = d->copy_in(device_pointer(to + written.low), target, written_bytes, NULL);
  }
  if (!result) result = d->stream_synchronize(NULL);
  free(source);
  free(target);
  return result;
}

static const char *copy_on_device(const Walk *w, char *to, const char *from) {
  const char *why;
  const gpu_driver *d = gpu_driver_open(&why);
  if (!d) return why;
  CUresult result = w->runs <= MAX_RUNS ? copy_runs(d, w, to, from) : copy_by_cpu(d, w, to, from);
  return result ? gpu_driver_describe(d, result) : NULL;
}

const char *worker_copied(void) {
  const char *why;
  const gpu_driver *d = gpu_driver_open(&why);
  if (!d) return why;
  CUresult result = d->stream_synchronize(NULL);
  return result ? gpu_driver_describe(d, result) : NULL;
}

const char *worker_copy(const worker_tensor *to, const worker_tensor *from) {
  if (to->rank > MAX_RANK) return "the tensor has more than 64 dimensions";
  if (worker_count(to) == 0) return NULL;
  Walk walk;
  make_walk(&walk, to, from);
  char *target = worker_first(to), *source = worker_first(from);
  if (!source) return "the tensor has no memory";
  if (to->device.type == 2) return copy_on_device(&walk, target, source);
  copy_on_cpu(&walk, target, source);
  return NULL;
}

const char *worker_write(const worker_tensor *to, const void *element, size_t bytes) {
  if (to->device.type != 2) {
    memcpy(worker_first(to), element, bytes);
    return NULL;
  }
  const char *why;
  const gpu_driver *d = gpu_driver_open(&why);
  if (!d) return why;
  CUresult result = d->copy_in(device_pointer(worker_first(to)), element, bytes, NULL);
  if (!result) result = d->stream_synchronize(NULL);
  return result ? gpu_driver_describe(d, result) : NULL;
}
