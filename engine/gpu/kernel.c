#include "kernel.h"

#include <stdlib.h>
#include <string.h>

enum { PLAIN_SHARED_BYTES = 48 * 1024, PORTABLE_CLUSTER = 8 };

/* ---- modules ------------------------------------------------------------------------------- */

int gpu_module_load(gpu_device *device, const void *image, CUmodule *module, gpu_error *error) {
  char log[512] = "";
  int options[] = {JIT_ERROR_LOG, JIT_ERROR_LOG_SIZE};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  *module = NULL;
  CUresult result = gpu_state_get()->driver->module_load(module, image, 2, options, values);
  if (result == CUDA_SUCCESS || !log[0]) return gpu_check(device, result, "load a module", error);
  log[strcspn(log, "\n")] = 0;
  return gpu_refuse(error, result, "cannot load a module on cuda:%d: %s", device->ordinal, log);
}

/* ---- kernels ------------------------------------------------------------------------------- */

/* How many parameters there are: the driver refuses the first index too many. */
static unsigned count_params(const gpu_kernel *kernel) {
  size_t offset, size;
  unsigned count = 0;
  while (gpu_state_get()->driver->function_param(kernel->function, count, &offset, &size) == 0) {
    count++;
  }
  return count;
}

static int read_params(gpu_kernel *kernel, const char *kinds, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  kernel->param_count = count_params(kernel);
  kernel->params = calloc(kernel->param_count + 1, sizeof *kernel->params);
  if (!kernel->params) return gpu_refuse(error, -1, "out of memory");
  size_t known = kinds ? strlen(kinds) : 0;
  for (unsigned i = 0; i < kernel->param_count; i++) {
    size_t offset = 0, size = 0;
    driver->function_param(kernel->function, i, &offset, &size);
    kernel->params[i] = (gpu_param){(unsigned)offset, (unsigned)size,
                                    known == kernel->param_count ? kinds[i] : GPU_KIND_UNKNOWN};
    kernel->param_bytes = (unsigned)(offset + size);
  }
  return 0;
}

int gpu_kernel_open(gpu_device *device, CUmodule module, const char *name, const char *kinds,
                    gpu_kernel *kernel, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  *kernel = (gpu_kernel){.device = device, .generation = device->generation};
  if (!driver->function_param) {
    return gpu_refuse(error, -1,
                      "the NVIDIA driver is too old to tell a kernel's parameters: "
                      "CUDA 12.4 or later is needed");
  }
  CUresult result = driver->module_function(&kernel->function, module, name);
  if (result == CUDA_ERROR_NOT_FOUND) {
    return gpu_refuse(error, result, "the module has no kernel '%s'", name);
  }
  if (result) return gpu_check(device, result, "look up a kernel", error);
  kernel->name = gpu_intern(name);
  driver->function_get(&kernel->max_threads, FUNCTION_MAX_THREADS, kernel->function);
  driver->function_get(&kernel->static_shared, FUNCTION_SHARED_BYTES, kernel->function);
  driver->function_get(&kernel->dynamic_shared, FUNCTION_MAX_DYNAMIC_SHARED, kernel->function);
  return read_params(kernel, kinds, error);
}

void gpu_kernel_close(gpu_kernel *kernel) {
  free(kernel->params);
  kernel->params = NULL;
}

/* ---- launching ----------------------------------------------------------------------------- */

static int raise_shared_limit(gpu_kernel *kernel, unsigned bytes, gpu_error *error) {
  CUresult result = gpu_state_get()->driver->function_set(kernel->function,
                                                          FUNCTION_MAX_DYNAMIC_SHARED, (int)bytes);
  if (result == CUDA_ERROR_INVALID_VALUE) {
    int limit = gpu_attribute(kernel->device, DEVICE_MAX_SHARED_PER_BLOCK_OPTIN);
    return gpu_refuse(
        error, result,
        "kernel '%s' cannot have %u bytes of dynamic shared memory: a block has at most %d, "
        "of which %d are taken by the kernel itself",
        kernel->name, bytes, limit, kernel->static_shared);
  }
  if (result) return gpu_check(kernel->device, result, "set shared memory", error);
  kernel->dynamic_shared = (int)bytes;
  return 0;
}

static bool is_above_limit(const gpu_kernel *kernel, const gpu_shape *shape) {
  return shape->shared_bytes + (unsigned)kernel->static_shared > PLAIN_SHARED_BYTES &&
         shape->shared_bytes > (unsigned)kernel->dynamic_shared;
}

static bool is_large_cluster(const gpu_shape *shape) {
  return shape->cluster[0] * shape->cluster[1] * shape->cluster[2] > PORTABLE_CLUSTER;
}

bool gpu_kernel_must_prepare(const gpu_kernel *kernel, const gpu_shape *shape) {
  return is_above_limit(kernel, shape) || is_large_cluster(shape);
}

int gpu_kernel_prepare(gpu_kernel *kernel, const gpu_shape *shape, gpu_error *error) {
  if (is_large_cluster(shape)) {
    gpu_state_get()->driver->function_set(kernel->function, FUNCTION_NON_PORTABLE_CLUSTER, 1);
  }
  return is_above_limit(kernel, shape) ? raise_shared_limit(kernel, shape->shared_bytes, error) : 0;
}

static CUresult launch_extended(const gpu_kernel *kernel, const gpu_shape *s, CUstream stream,
                                void **extra) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUlaunchAttribute attributes[2] = {0};
  unsigned count = 0;
  if (s->cluster[0]) {
    attributes[count].id = LAUNCH_CLUSTER;
    memcpy(attributes[count++].value.cluster, s->cluster, sizeof s->cluster);
  }
  if (s->cooperative) {
    attributes[count].id = LAUNCH_COOPERATIVE;
    attributes[count++].value.cooperative = 1;
  }
  CUlaunchConfig config = {.shared_bytes = s->shared_bytes,
                           .stream = stream,
                           .attributes = attributes,
                           .attribute_count = count};
  memcpy(config.grid, s->grid, sizeof s->grid);
  memcpy(config.block, s->block, sizeof s->block);
  if (!driver->launch_ex) return CUDA_ERROR_INVALID_VALUE;
  return driver->launch_ex(&config, kernel->function, NULL, extra);
}

CUresult gpu_kernel_launch(const gpu_kernel *kernel, const gpu_shape *s, CUstream stream,
                           void *block) {
  size_t size = kernel->param_bytes;
  void *filled[] = {LAUNCH_BUFFER_POINTER, block, LAUNCH_BUFFER_SIZE, &size, LAUNCH_END};
  void **extra = size ? filled : NULL;
  gpu_note_launch(kernel->device, kernel->name);
  if (s->cluster[0] || s->cooperative) return launch_extended(kernel, s, stream, extra);
  return gpu_state_get()->driver->launch(kernel->function, s->grid[0], s->grid[1], s->grid[2],
                                         s->block[0], s->block[1], s->block[2], s->shared_bytes,
                                         stream, NULL, extra);
}
