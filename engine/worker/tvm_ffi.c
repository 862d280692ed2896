#include "worker/tvm_ffi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/driver.h"

static void fail(int code, const char *format, const char *text) {
  char message[1024];
  snprintf(message, sizeof message, format, text);
  hone_worker_fail(code, message);
}

/* ---- memory for tensors that a solution returns ------------------------------------------------
 */

static const tvm_runtime *opened; /* the allocator is called without a context of ours */

typedef struct {
  tvm_managed managed;
  void *stream; /* of a CUDA tensor: where it is freed */
  int64_t shape_and_strides[];
} Allocated;

static const gpu_driver *driver(void) {
  const char *why;
  return gpu_driver_open(&why);
}

static void free_tensor(tvm_managed *self) {
  Allocated *a = (Allocated *)self;
  if (self->tensor.device.type == 2)
    driver()->memory_free((CUdeviceptr)(uintptr_t)self->tensor.data, a->stream);
  else
    free(self->tensor.data);
  free(a);
}

/* Is there memory for it? Elements are counted in bits, for those that share a byte. */
static bool allocate(Allocated *a, size_t bytes) {
  worker_tensor *t = &a->managed.tensor;
  if (t->device.type == 1) return posix_memalign(&t->data, 256, bytes ? bytes : 1) == 0;
  CUdeviceptr at = 0;
  a->stream = opened->get_stream(t->device.type, t->device.id);
  const gpu_driver *d = driver();
  if (!d || d->memory_alloc(&at, bytes ? bytes : 1, a->stream) != CUDA_SUCCESS) return false;
  t->data = (void *)(uintptr_t)at;
  return true;
}

static int allocate_tensor(worker_tensor *prototype, tvm_managed **out, void *context,
                           void (*set_error)(void *context, const char *kind, const char *text)) {
  int32_t rank = prototype->rank;
  int device = prototype->device.type;
  if (rank < 0 || (device != 1 && device != 2)) {
    set_error(context, "ValueError", "tensors are allocated on the CPU and on CUDA devices");
    return -1;
  }
  Allocated *a = calloc(1, sizeof *a + 2 * (size_t)rank * sizeof(int64_t));
  if (!a) {
    set_error(context, "MemoryError", "out of memory");
    return -1;
  }
  a->managed.major = 1;
  a->managed.deleter = free_tensor;
  worker_tensor *t = &a->managed.tensor;
  *t = *prototype;
  t->byte_offset = 0;
  t->shape = a->shape_and_strides;
  t->strides = a->shape_and_strides + rank;
  size_t count = 1;
  for (int i = rank - 1; i >= 0; i--) {
    t->shape[i] = prototype->shape[i];
    t->strides[i] = (int64_t)count;
    count *= prototype->shape[i] > 0 ? (size_t)prototype->shape[i] : 0;
  }
  if (!allocate(a, (count * t->dtype.bits * t->dtype.lanes + 7) / 8)) {
    free(a);
    set_error(context, "MemoryError", "out of memory");
    return -1;
  }
  *out = &a->managed;
  return 0;
}

/* ---- opening -----------------------------------------------------------------------------------
 */

int tvm_open(tvm_runtime *runtime, const char *path) {
  if (runtime->library) return 0;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fail(WORKER_COMPILE_ERROR, "cannot open tvm-ffi's library: %s", dlerror());
    return -1;
  }
#define BIND(field, symbol, result, parameters)                                                    \
  *(void **)&runtime->field = dlsym(library, symbol);                                              \
  if (!runtime->field) {                                                                           \
    fail(WORKER_COMPILE_ERROR, "the apache-tvm-ffi at hand is too old: it has no %s", symbol);     \
    return -1;                                                                                     \
  }
  TVM_FFI_FUNCTIONS(BIND)
#undef BIND
  runtime->library = library;
  opened = runtime;
  runtime->set_allocator(allocate_tensor, 1, NULL);
  return 0;
}

/* ---- errors ------------------------------------------------------------------------------------
 */

/* Lines of a backtrace, the last first: as people know them from Python. Returns the end. */
static char *put_reversed(char *to, tvm_bytes lines) {
  const char *end = lines.data + lines.size;
  while (end > lines.data) {
    const char *start = end;
    if (start[-1] == '\n') start--;
    const char *stop = start;
    while (start > lines.data && start[-1] != '\n') start--;
    memcpy(to, start, (size_t)(stop - start));
    to += stop - start;
    *to++ = '\n';
    end = start;
  }
  return to;
}

static char *put(char *to, const char *data, size_t size) {
  if (size) memcpy(to, data, size);
  return to + size;
}

static char *error_text(const tvm_error *error) {
  static const char head[] = "Traceback (most recent call last):\n";
  tvm_bytes kind = error->kind, message = error->message, trace = error->backtrace;
  char *text = malloc(sizeof head + 2 * trace.size + kind.size + message.size + 8);
  if (!text) return NULL;
  char *at = text;
  if (trace.size) at = put_reversed(put(at, head, sizeof head - 1), trace);
  at = put(put(put(at, kind.data, kind.size), ": ", 2), message.data, message.size);
  *at = '\0';
  return text;
}

static bool speaks_of_memory(tvm_bytes message) {
  char text[512];
  snprintf(text, sizeof text, "%.*s", (int)(message.size < 500 ? message.size : 500), message.data);
  return strstr(text, "bad_alloc") || strcasestr(text, "out of memory");
}

void tvm_fail(const tvm_runtime *runtime, int status) {
  void *handle = NULL;
  runtime->take_error(&handle);
  tvm_error *error = handle;
  if (!error) {
    char message[80];
    snprintf(message, sizeof message, "the function returned %d and told no error", status);
    hone_worker_fail(WORKER_RUNTIME_ERROR, message);
    return;
  }
  char *text = error_text(error);
  int code = speaks_of_memory(error->message) ? WORKER_OUT_OF_MEMORY : WORKER_RUNTIME_ERROR;
  hone_worker_fail(code, text ? text : "out of memory");
  free(text);
  runtime->release(handle);
}

/* ---- values ------------------------------------------------------------------------------------
 */

static int call_global(const tvm_runtime *runtime, const char *name, const tvm_any *args, int count,
                       tvm_any *result) {
  void *function = NULL;
  tvm_bytes key = {name, strlen(name)};
  int status = runtime->global(&key, &function);
  if (!status && !function) status = -1;
  *result = (tvm_any){0};
  if (!status) status = runtime->call(function, args, count, result);
  if (function) runtime->release(function);
  return status;
}

int tvm_item(const tvm_runtime *runtime, const tvm_any *sequence, int64_t index, tvm_any *item) {
  const tvm_any args[] = {*sequence, {.type = TVM_INT, .value.integer = index}};
  const char *name = sequence->type == TVM_LIST ? "ffi.ListGetItem" : "ffi.ArrayGetItem";
  return call_global(runtime, name, args, 2, item);
}

int tvm_size(const tvm_runtime *runtime, const tvm_any *sequence, int64_t *size) {
  tvm_any result;
  const char *name = sequence->type == TVM_LIST ? "ffi.ListSize" : "ffi.ArraySize";
  int status = call_global(runtime, name, sequence, 1, &result);
  *size = result.value.integer;
  return status;
}

void tvm_drop(const tvm_runtime *runtime, tvm_any *value) {
  if (value->type >= TVM_OBJECT && value->value.pointer) runtime->release(value->value.pointer);
  *value = (tvm_any){0};
}

const char *tvm_type_name(const tvm_runtime *runtime, const tvm_any *value) {
  switch (value->type) {
  case TVM_NONE: return "None";
  case TVM_INT: return "int";
  case TVM_BOOL: return "bool";
  case TVM_FLOAT: return "float";
  case TVM_DLTENSOR:
  case TVM_TENSOR: return "Tensor";
  }
  const tvm_type_info *info = runtime->type_info(value->type);
  return info && info->key.data ? info->key.data : "unknown";
}
