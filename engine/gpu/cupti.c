#include "cupti.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

enum {
  KIND_MEMCPY = 1,
  KIND_MEMSET = 2,
  KIND_CONCURRENT_KERNEL = 10,
  KIND_MEMCPY_PEER = 22,
  FLUSH_FORCED = 1,
  BUFFER_BYTES = 1 << 20,
  RECORD_ALIGNMENT = 8,
};

/* Where CUPTI's packed records hold what is wanted here; the same since CUDA 9. */
enum { START_AT = 16, END_AT = 24, KERNEL_NAME_AT = 104 };

typedef void request_buffer(uint8_t **buffer, size_t *size, size_t *max_records);
typedef void take_buffer(void *context, uint32_t stream, uint8_t *buffer, size_t size,
                         size_t valid);

static struct cupti {
  int (*register_callbacks)(request_buffer *request, take_buffer *take);
  int (*enable)(int kind);
  int (*disable)(int kind);
  int (*flush)(uint32_t flag);
  int (*next)(uint8_t *buffer, size_t valid, unsigned char **record);
  int (*timestamp)(uint64_t *nanoseconds);
} cupti;

static const gpu_symbol symbols[] = {
    {"cuptiActivityRegisterCallbacks", offsetof(struct cupti, register_callbacks), false},
    {"cuptiActivityEnable", offsetof(struct cupti, enable), false},
    {"cuptiActivityDisable", offsetof(struct cupti, disable), false},
    {"cuptiActivityFlushAll", offsetof(struct cupti, flush), false},
    {"cuptiActivityGetNextRecord", offsetof(struct cupti, next), false},
    {"cuptiGetTimestamp", offsetof(struct cupti, timestamp), false},
};

static const int kinds[] = {KIND_CONCURRENT_KERNEL, KIND_MEMCPY, KIND_MEMCPY_PEER, KIND_MEMSET};

static bool is_open;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* buffers come from CUPTI's own thread */
static cupti_span span;
static char ignored_name[64];

/* Where records are kept one by one. */
static struct {
  struct {
    uint64_t start, end;
    int name; /* of a kernel, or -1 */
  } *records;
  size_t count, capacity;
  bool is_on, is_full; /* is_full: there was no memory for one */
} kept;

/* The names of kernels that are kept, cut at some length. */
static struct {
  char text[CUPTI_MOST_KERNELS][128];
  bool is_seen[CUPTI_MOST_KERNELS]; /* in a window */
  int count;
} names;

/* A kernel's name; NULL of what is none. */
static const char *name_of(int kind, const unsigned char *record) {
  const char *name = NULL;
  if (kind == KIND_CONCURRENT_KERNEL) memcpy(&name, record + KERNEL_NAME_AT, sizeof name);
  return name;
}

static int keep_name(const char *name) {
  const size_t most = sizeof names.text[0] - 1;
  for (int i = 0; name && i < names.count; i++) {
    if (strncmp(names.text[i], name, most) == 0) return i;
  }
  if (!name || names.count == CUPTI_MOST_KERNELS) return -1;
  strncpy(names.text[names.count], name, most);
  names.text[names.count][most] = '\0';
  names.is_seen[names.count] = false;
  return names.count++;
}

static void keep_record(uint64_t start, uint64_t end, const char *name) {
  if (kept.count == kept.capacity) {
    size_t capacity = kept.capacity ? kept.capacity * 2 : 1024;
    void *records = realloc(kept.records, capacity * sizeof *kept.records);
    if (!records) {
      kept.is_full = true;
      return;
    }
    kept.records = records;
    kept.capacity = capacity;
  }
  kept.records[kept.count].name = keep_name(name);
  kept.records[kept.count].start = start;
  kept.records[kept.count++].end = end;
}

static void count_record(const unsigned char *record) {
  int kind;
  uint64_t start, end;
  memcpy(&kind, record, sizeof kind);
  memcpy(&start, record + START_AT, sizeof start);
  memcpy(&end, record + END_AT, sizeof end);
  const char *name = name_of(kind, record);
  if (name && strcmp(name, ignored_name) == 0) return;
  if (span.count == 0 || start < span.first) span.first = start;
  if (span.count == 0 || end > span.last) span.last = end;
  span.count++;
  if (kept.is_on) keep_record(start, end, name);
}

static void give_buffer(uint8_t **buffer, size_t *size, size_t *max_records) {
  *buffer = aligned_alloc(RECORD_ALIGNMENT, BUFFER_BYTES);
  *size = *buffer ? BUFFER_BYTES : 0;
  *max_records = 0;
}

static void read_buffer(void *context, uint32_t stream, uint8_t *buffer, size_t size,
                        size_t valid) {
  (void)context, (void)stream, (void)size;
  unsigned char *record = NULL;
  pthread_mutex_lock(&lock);
  while (valid > 0 && cupti.next(buffer, valid, &record) == 0) count_record(record);
  pthread_mutex_unlock(&lock);
  free(buffer);
}

static const char *open_cupti(const char *const *folders) {
  static const char *const files[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so", NULL};
  void *handle = gpu_library_open(files, folders);
  if (!handle)
    return "CUPTI is not installed (no libcupti.so.13 or .12): it comes with the CUDA toolkit";
  if (gpu_library_bind(handle, symbols, sizeof symbols / sizeof *symbols, &cupti)) {
    return "CUPTI is too old: CUDA 12.0 or later is needed";
  }
  if (cupti.register_callbacks(give_buffer, read_buffer) != 0) return "CUPTI does not start";
  is_open = true;
  return NULL;
}

const char *cupti_start(const char *const *folders) {
  const char *problem = is_open ? NULL : open_cupti(folders);
  if (problem) return problem;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (cupti.enable(kinds[i]) != 0) {
      return "CUPTI does not record: another profiler is at work, or it may not be used here";
    }
  }
  return NULL;
}

void cupti_stop(void) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) cupti.disable(kinds[i]);
}

void cupti_clear(void) {
  cupti.flush(FLUSH_FORCED);
  pthread_mutex_lock(&lock);
  span = (cupti_span){0};
  pthread_mutex_unlock(&lock);
}

cupti_span cupti_collect(const char *ignored) {
  strncpy(ignored_name, ignored, sizeof ignored_name - 1);
  cupti.flush(FLUSH_FORCED);
  pthread_mutex_lock(&lock);
  cupti_span found = span;
  pthread_mutex_unlock(&lock);
  return found;
}

uint64_t cupti_now(void) {
  uint64_t now = 0;
  cupti.timestamp(&now);
  return now;
}

void cupti_keep(void) {
  cupti_clear();
  pthread_mutex_lock(&lock);
  kept.count = 0;
  kept.is_on = true;
  kept.is_full = false;
  names.count = 0;
  pthread_mutex_unlock(&lock);
}

static void widen(cupti_span *to, uint64_t start, uint64_t end) {
  if (to->count == 0 || start < to->first) to->first = start;
  if (to->count == 0 || end > to->last) to->last = end;
  to->count++;
}

/* The last window that began before `time`, or n. */
static size_t window_of(const cupti_window *windows, size_t n, uint64_t time) {
  size_t low = 0, high = n;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (windows[middle].from <= time) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == 0 || time > windows[low - 1].to ? n : low - 1;
}

int cupti_spans(const cupti_window *windows, size_t n, const char *ignored, cupti_span *spans) {
  strncpy(ignored_name, ignored, sizeof ignored_name - 1);
  cupti.flush(FLUSH_FORCED);
  pthread_mutex_lock(&lock);
  kept.is_on = false;
  memset(spans, 0, n * sizeof *spans);
  for (size_t i = 0; i < kept.count; i++) {
    size_t at = window_of(windows, n, kept.records[i].start);
    if (at == n) continue;
    widen(&spans[at], kept.records[i].start, kept.records[i].end);
    if (kept.records[i].name >= 0) names.is_seen[kept.records[i].name] = true;
  }
  int failed = kept.is_full ? -1 : 0;
  pthread_mutex_unlock(&lock);
  return failed;
}

size_t cupti_kernels(const char *list[CUPTI_MOST_KERNELS]) {
  size_t count = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < names.count; i++) {
    if (names.is_seen[i]) list[count++] = names.text[i];
  }
  pthread_mutex_unlock(&lock);
  return count;
}
