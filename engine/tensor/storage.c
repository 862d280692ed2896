/* storage.c -- memory that tensors share. */
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "tensor/device.h"
#include "tensor/pending.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE (4 * HUGE_PAGE)

int tensor_fail(tensor_error *error, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return code;
}

/* ---- large blocks, kept for the next one ------------------------------------------------------
 */

/* The system clears every page that it gives: dearer than most operations on it. So what large
 * tensors leave behind is kept, up to a limit, for the next of about the same size. */
enum { KEPT_BLOCKS = 16 };
#define KEPT_BYTES ((size_t)512 << 20)

typedef struct block {
  void *data;
  size_t bytes;
} block;

static struct {
  pthread_mutex_t lock;
  int count;
  size_t bytes;
  block blocks[KEPT_BLOCKS]; /* the oldest first */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The lock is held. */
static block remove_block(int i) {
  block removed = kept.blocks[i];
  kept.count--;
  kept.bytes -= removed.bytes;
  memmove(&kept.blocks[i], &kept.blocks[i + 1], (size_t)(kept.count - i) * sizeof(block));
  return removed;
}

/* A block of at least `bytes`, and of little more; one without data where there is none. */
static block take_block(size_t bytes) {
  block found = {NULL, 0};
  pthread_mutex_lock(&kept.lock);
  for (int i = kept.count - 1; i >= 0 && !found.data; i--)
    if (kept.blocks[i].bytes >= bytes && kept.blocks[i].bytes - bytes <= bytes / 8)
      found = remove_block(i);
  pthread_mutex_unlock(&kept.lock);
  return found;
}

/* Let go of the oldest until there are at most so many blocks and bytes. */
static void trim_blocks(int count, size_t bytes) {
  while (kept.count > count || kept.bytes > bytes) free(remove_block(0).data);
}

static void keep_block(block b) {
  pthread_mutex_lock(&kept.lock);
  if (b.bytes > KEPT_BYTES) {
    free(b.data);
  } else {
    trim_blocks(KEPT_BLOCKS - 1, KEPT_BYTES - b.bytes);
    kept.blocks[kept.count++] = b;
    kept.bytes += b.bytes;
  }
  pthread_mutex_unlock(&kept.lock);
}

static void *allocate_aligned(size_t alignment, size_t bytes) {
  void *data = aligned_alloc(alignment, bytes);
  if (data) return data;
  pthread_mutex_lock(&kept.lock);
  trim_blocks(0, 0);
  pthread_mutex_unlock(&kept.lock);
  return aligned_alloc(alignment, bytes);
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static size_t round_up(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

static atomic_size_t in_use;

size_t storage_bytes_in_use(void) {
  const device_functions *devices = device_functions_get();
  return atomic_load(&in_use) + (devices ? devices->bytes_in_use() : 0);
}

static void free_small(storage *s) {
  atomic_fetch_sub(&in_use, s->bytes);
  free(s->data);
}

/* The owner is the block's size, which may be larger than the storage's. */
static void free_large(storage *s) {
  atomic_fetch_sub(&in_use, s->bytes);
  keep_block((block){s->data, (size_t)(uintptr_t)s->owner});
}

/* On huge pages, which are cleared faster. */
static void allocate_large(storage *s) {
  block b = take_block(s->bytes);
  if (!b.data) {
    b.bytes = round_up(s->bytes, HUGE_PAGE);
    b.data = allocate_aligned(HUGE_PAGE, b.bytes);
    if (b.data) madvise(b.data, b.bytes, MADV_HUGEPAGE);
  }
  s->data = b.data;
  s->owner = (void *)(uintptr_t)b.bytes;
  s->release = free_large;
}

static int allocate_on_cpu(storage *s, tensor_error *error) {
  if (s->bytes >= LARGE && s->bytes <= SIZE_MAX / 2) {
    allocate_large(s);
  } else if (s->bytes < LARGE) {
    s->data = allocate_aligned(STORAGE_ALIGNMENT, round_up(s->bytes, STORAGE_ALIGNMENT));
    s->release = free_small;
  }
  if (s->data) {
    atomic_fetch_add(&in_use, s->bytes);
    return 0;
  }
  return tensor_fail(error, TENSOR_NO_MEMORY, "cannot allocate %zu bytes: out of memory", s->bytes);
}

static int allocate_on_device(storage *s, tensor_error *error) {
  const device_functions *devices = device_functions_get();
  if (!devices)
    return tensor_fail(error, TENSOR_DEVICE,
                       "cannot allocate %zu bytes on cuda:%d: CUDA is not in use", s->bytes,
                       s->device);
  return devices->allocate(s, error);
}

int storage_wrap(storage **out, int device, void *data, size_t bytes, void (*release)(storage *),
                 void *owner, tensor_error *error) {
  storage *s = malloc(sizeof *s);
  if (!s) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot allocate a tensor: out of memory");
  *s =
      (storage){.data = data, .bytes = bytes, .device = device, .release = release, .owner = owner};
  atomic_init(&s->references, 1);
  *out = s;
  return 0;
}

int storage_blank(storage **out, int device, size_t bytes, tensor_error *error) {
  return storage_wrap(out, device, NULL, bytes, NULL, NULL, error);
}

int storage_allocate(storage *s, tensor_error *error) {
  if (s->bytes == 0) return 0;
  return s->device == DEVICE_CPU ? allocate_on_cpu(s, error) : allocate_on_device(s, error);
}

int storage_new(storage **out, int device, size_t bytes, tensor_error *error) {
  storage *s = NULL;
  int code = storage_blank(&s, device, bytes, error);
  if (code) return code;
  code = storage_allocate(s, error);
  if (code) {
    free(s);
    return code;
  }
  *out = s;
  return 0;
}

storage *storage_retain(storage *s) {
  if (s) atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
  return s;
}

void storage_release(storage *s) {
  if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1) return;
  if (s->pending) pending_drop(s->pending);
  if (s->copy) storage_release(s->copy);
  if (s->release) s->release(s);
  free(s);
}
