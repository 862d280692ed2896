/* device.c -- memory for tensors on a GPU, and bytes to and from it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/tensor/fault.h"
#include "gpu/tensor/tensor.h"
#include "tensor/pending.h"

/* ---- what the files of this room share --------------------------------------------------------
 */

int gpu_tensor_fail(int failed, const gpu_error *why, tensor_error *error) {
  if (!failed) return 0;
  int code = why->code == CUDA_ERROR_OUT_OF_MEMORY ? TENSOR_NO_MEMORY : TENSOR_DEVICE;
  return tensor_fail(error, code, "%s", why->text);
}

const char *gpu_type_name(dtype d) {
  return d == DTYPE_BOOL ? "boolean" : dtype_name(d);
}

dtype gpu_bits_dtype(dtype d) {
  static const dtype of_size[] = {DTYPE_UINT8, DTYPE_INT16, DTYPE_INT32, DTYPE_INT64};
  return of_size[size_index(dtype_size(d))];
}

strided_divisor gpu_divisor(uint32_t by) {
  uint32_t shift = 0;
  while (((uint64_t)1 << shift) < by) shift++;
  uint64_t magic = (((uint64_t)1 << 32) * (((uint64_t)1 << shift) - by)) / by + 1;
  return (strided_divisor){(uint32_t)magic, shift};
}

strided_shape gpu_strided_shape(const loop *l, int items) {
  strided_shape shape = {.rank = l->rank > 0 ? l->rank : 1, .size = {1}};
  for (int d = 0; d < l->rank; d++) {
    shape.size[d] = d == l->rank - 1 ? l->shape[d] / items : l->shape[d];
    if (shape.size[d] < INT32_MAX) shape.by[d] = gpu_divisor((uint32_t)shape.size[d]);
  }
  return shape;
}

void gpu_macro(char text[GPU_PROGRAM_MACROS], const char *name, const char *format, ...) {
  size_t n = strlen(text);
  n += (size_t)snprintf(text + n, GPU_PROGRAM_MACROS - n, "#define %s ", name);
  va_list arguments;
  va_start(arguments, format);
  n += (size_t)vsnprintf(text + n, GPU_PROGRAM_MACROS - n, format, arguments);
  va_end(arguments);
  snprintf(text + n, GPU_PROGRAM_MACROS - n, "\n");
}

/* ---- memory -----------------------------------------------------------------------------------
 */

/* The owner of a storage on a device. */
typedef struct Block {
  gpu_device *device;
  unsigned generation;
  bool is_shared; /* streams other than the device's own used it */
} Block;

static void release(storage *s) {
  Block *b = s->owner;
  gpu_memory_free(b->device, b->generation, (CUdeviceptr)(uintptr_t)s->data, s->bytes,
                  b->is_shared);
  free(b);
}

static int allocate(storage *s, tensor_error *error) {
  gpu_error why;
  CUdeviceptr address = 0;
  gpu_device *device = gpu_touch(s->device, &why);
  int failed = device ? 0 : -1;
  if (!failed) failed = gpu_memory_new(device, s->bytes, &address, &why);
  if (failed) return gpu_tensor_fail(failed, &why, error);
  Block *b = malloc(sizeof *b);
  if (!b) {
    gpu_memory_free(device, device->generation, address, s->bytes, false);
    return tensor_fail(error, TENSOR_NO_MEMORY, "cannot allocate a tensor: out of memory");
  }
  *b = (Block){.device = device, .generation = device->generation};
  s->data = (void *)(uintptr_t)address;
  s->owner = b;
  s->release = release;
  return 0;
}

/* Of memory that another process may have open, which the pool does not give. */
static void release_shared(storage *s) {
  Block *b = s->owner;
  gpu_error ignored;
  if (b->generation == b->device->generation && gpu_activate(b->device, &ignored) == 0) {
    gpu_state_get()->driver->plain_free((CUdeviceptr)(uintptr_t)s->data);
  }
  free(b);
}

static int share_memory(gpu_device *device, size_t bytes, CUdeviceptr *address, char handle[64],
                        gpu_error *why) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUipcMemHandle shared;
  if (!driver->plain_alloc || !driver->ipc_handle) {
    return gpu_refuse(why, -1, "the driver cannot share memory between processes");
  }
  int failed = gpu_check(device, driver->plain_alloc(address, bytes), "allocate memory", why);
  if (failed) return failed;
  failed = gpu_check(device, driver->ipc_handle(&shared, *address), "share memory", why);
  if (failed) driver->plain_free(*address);
  memcpy(handle, shared.bytes, sizeof shared.bytes);
  return failed;
}

static int wrap_block(storage **out, gpu_device *device, CUdeviceptr address, size_t bytes,
                      void (*release_block)(storage *), tensor_error *error) {
  Block *b = malloc(sizeof *b);
  if (!b) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot share memory: out of memory");
  *b = (Block){.device = device, .generation = device->generation};
  int code = storage_wrap(out, device->ordinal, (void *)(uintptr_t)address, bytes, release_block, b,
                          error);
  if (code) free(b);
  return code;
}

int gpu_tensor_shared(storage **out, int ordinal, size_t bytes, char handle[64],
                      tensor_error *error) {
  gpu_error why;
  CUdeviceptr address = 0;
  gpu_device *device = gpu_touch(ordinal, &why);
  int failed = device ? share_memory(device, bytes, &address, handle, &why) : -1;
  if (failed) return gpu_tensor_fail(failed, &why, error);
  int code = wrap_block(out, device, address, bytes, release_shared, error);
  if (code) gpu_state_get()->driver->plain_free(address);
  return code;
}

static void release_alias(storage *s) {
  free(s->owner);
}

int gpu_tensor_alias(storage **out, int ordinal, void *address, size_t bytes, tensor_error *error) {
  gpu_error why;
  gpu_device *device = gpu_touch(ordinal, &why);
  if (!device) return gpu_tensor_fail(-1, &why, error);
  return wrap_block(out, device, (CUdeviceptr)(uintptr_t)address, bytes, release_alias, error);
}

static size_t bytes_in_use(void) {
  const gpu_state *state = gpu_state_get();
  size_t bytes = 0;
  for (int i = 0; i < state->count; i++) bytes += state->devices[i].bytes;
  return bytes;
}

int gpu_scratch(tensor *out, int device, size_t bytes, tensor_error *error) {
  int64_t size = (int64_t)bytes;
  return tensor_empty(out, DTYPE_UINT8, device, 1, &size, error);
}

/* ---- use --------------------------------------------------------------------------------------
 */

/* The device of a storage, current; NULL where the memory is gone with its context. */
static gpu_device *use_storage(storage *s, tensor_error *error) {
  gpu_error why;
  if (!s->data && storage_settle(s, error)) return NULL;
  gpu_device *device = gpu_touch(s->device, &why);
  if (!device) {
    gpu_tensor_fail(-1, &why, error);
    return NULL;
  }
  Block *b = s->owner; /* NULL for a storage without bytes */
  if (b && b->generation != device->generation) {
    tensor_fail(error, TENSOR_DEVICE, "the tensor was lost when cuda:%d was reset", s->device);
    return NULL;
  }
  if (b && device->stream != device->own_stream) b->is_shared = true;
  return device;
}

gpu_device *gpu_tensor_device(int n, const tensor *const *tensors, tensor_error *error) {
  gpu_device *device = NULL;
  for (int i = 0; i < n; i++) {
    if (tensor_is_on_cpu(tensors[i])) continue;
    device = use_storage(tensors[i]->storage, error);
    if (!device) return NULL;
  }
  return device && gpu_fault_check(device, error) ? NULL : device;
}

bool *gpu_tensor_shared_flag(storage *s) {
  Block *b = s->owner;
  return b ? &b->is_shared : NULL;
}

static CUdeviceptr address_at(const storage *s, size_t at) {
  return (CUdeviceptr)(uintptr_t)s->data + at;
}

static int upload(storage *to, size_t at, const void *from, size_t bytes, tensor_error *error) {
  gpu_error why;
  gpu_device *device = use_storage(to, error);
  if (!device) return TENSOR_DEVICE;
  CUresult result =
      gpu_state_get()->driver->copy_in(address_at(to, at), from, bytes, device->stream);
  int failed = gpu_check(device, result, "copy to the device", &why);
  return gpu_tensor_fail(failed, &why, error);
}

/* Waits first, which Ctrl-C ends; the copy would wait too, but hears nothing. */
static int download(void *to, storage *from, size_t at, size_t bytes, tensor_error *error) {
  gpu_error why;
  gpu_device *device = use_storage(from, error);
  if (!device) return TENSOR_DEVICE;
  int failed = gpu_stream_synchronize(device, device->stream, 0, &why);
  if (!failed) {
    CUresult result =
        gpu_state_get()->driver->copy_out(to, address_at(from, at), bytes, device->stream);
    failed = gpu_check(device, result, "copy from the device", &why);
  }
  if (!failed) failed = gpu_stream_synchronize(device, device->stream, 0, &why);
  return failed ? gpu_tensor_fail(failed, &why, error) : gpu_fault_check(device, error);
}

/* Both devices are waited for: a copy between two has no stream that orders it with both. */
static int transfer(storage *to, size_t to_at, storage *from, size_t from_at, size_t bytes,
                    tensor_error *error) {
  gpu_error why;
  gpu_device *source = use_storage(from, error);
  if (!source) return TENSOR_DEVICE;
  int failed = gpu_stream_synchronize(source, source->stream, 0, &why);
  if (failed) return gpu_tensor_fail(failed, &why, error);
  gpu_device *target = use_storage(to, error);
  if (!target) return TENSOR_DEVICE;
  CUresult result = gpu_state_get()->driver->copy_peer(address_at(to, to_at), target->context,
                                                       address_at(from, from_at), source->context,
                                                       bytes, target->stream);
  failed = gpu_check(target, result, "copy from another device", &why);
  if (!failed) failed = gpu_stream_synchronize(target, target->stream, 0, &why);
  return gpu_tensor_fail(failed, &why, error);
}

static const device_functions functions = {
    .allocate = allocate,
    .bytes_in_use = bytes_in_use,
    .upload = upload,
    .download = download,
    .transfer = transfer,
    .elementwise = gpu_elementwise,
    .fused = gpu_fused,
    .thin = gpu_thin,
    .reduce = gpu_reduce,
    .softmax = gpu_softmax,
    .scan = gpu_scan,
    .compare = gpu_compare,
    .draw = gpu_draw,
    .multinomial = gpu_multinomial,
    .check = gpu_multinomial_check,
    .matmul = gpu_matmul,
    .index = gpu_index,
    .nonzero = gpu_nonzero,
    .flip = gpu_flip,
    .triangle = gpu_triangle,
    .order = gpu_order,
    .distinct = gpu_distinct,
    .search = gpu_search,
};

void gpu_tensors_register(void) {
  device_register(&functions);
}
