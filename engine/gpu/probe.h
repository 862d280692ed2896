/* probe.h -- which CUDA libraries and devices this machine has, found at run time. */
#ifndef HONE_GPU_PROBE_H
#define HONE_GPU_PROBE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  int major, minor, patch; /* what a library does not tell is 0 */
  char path[1024];         /* the file that was opened */
} GpuLibrary;

typedef struct {
  char name[256];
  int capability_major, capability_minor;
  size_t memory; /* bytes */
  int processors;
  int l2_bytes;
  int clock_khz, memory_clock_khz; /* the highest */
  int bus_bits;
} GpuDevice;

/* The names known to gpu_probe_library, ended by NULL. */
extern const char *const gpu_library_names[];

/* Opens a library, in the folders where the loader looks and then in `folder` (NULL: nowhere else),
 * and asks for its version. Returns NULL, or why it is not there, until the next call. */
const char *gpu_probe_library(const char *name, const char *folder, GpuLibrary *out);

/* The driver's version (CUDA's, such as 12.8) and how many devices it has. Returns NULL, or why
 * there are none. */
const char *gpu_probe_driver(GpuLibrary *driver, int *devices);

/* Device 0 and up, after gpu_probe_driver. */
const char *gpu_probe_device(int index, GpuDevice *out);

#endif
