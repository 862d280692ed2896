/* kernel.h -- kernels of a loaded module: their parameters, attributes and launches. */
#ifndef HONE_GPU_KERNEL_H
#define HONE_GPU_KERNEL_H

#include "context.h"

/* What is known of a parameter's type beyond its size. Machine code tells nothing more; PTX does.
 */
typedef enum {
  GPU_KIND_UNKNOWN = '?',
  GPU_KIND_INTEGER = 'i', /* pointers too: PTX need not tell them apart */
  GPU_KIND_FLOAT = 'f',
  GPU_KIND_BYTES = 'b', /* a struct, a half, a tensor map */
} gpu_kind;

typedef struct {
  unsigned offset, size; /* bytes, in the parameter block */
  char kind;
} gpu_param;

typedef struct {
  gpu_device *device;
  unsigned generation;
  CUfunction function;
  const char *name; /* lives as long as the process */
  unsigned param_count, param_bytes;
  gpu_param *params;
  int max_threads, static_shared, dynamic_shared; /* dynamic_shared: bytes allowed so far */
} gpu_kernel;

typedef struct {
  unsigned grid[3], block[3], cluster[3], shared_bytes; /* cluster[0] == 0: no clusters */
  bool cooperative;
} gpu_shape;

/* Load a cubin, a fatbin or PTX text (with its final zero byte) into the device's context. */
int gpu_module_load(gpu_device *device, const void *image, CUmodule *module, gpu_error *error);

/* Look a kernel up. `kinds` has a character for each parameter, or is NULL. The caller frees with
 * gpu_kernel_close. Needs a driver of CUDA 12.4. */
int gpu_kernel_open(gpu_device *device, CUmodule module, const char *name, const char *kinds,
                    gpu_kernel *kernel, gpu_error *error);
void gpu_kernel_close(gpu_kernel *kernel);

/* Does a launch of this shape need gpu_kernel_prepare before it? */
bool gpu_kernel_must_prepare(const gpu_kernel *kernel, const gpu_shape *shape);

/* Raise the limit of dynamic shared memory where that is needed, which it is above 48 KiB; allow
 * clusters of more than 8 blocks. */
int gpu_kernel_prepare(gpu_kernel *kernel, const gpu_shape *shape, gpu_error *error);

/* Launch with a filled parameter block, in a context that is current. */
CUresult gpu_kernel_launch(const gpu_kernel *kernel, const gpu_shape *shape, CUstream stream,
                           void *block);

#endif
