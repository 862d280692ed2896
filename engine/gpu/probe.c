#include "probe.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "library.h"

typedef void (*Symbol)(void); /* any function: cast to its real type to be called */

static Symbol find_symbol(void *handle, const char *name) {
  Symbol symbol = NULL;
  const gpu_symbol wanted = {name, 0, true};
  gpu_library_bind(handle, &wanted, 1, &symbol);
  return symbol;
}

/* ---- libraries ----------------------------------------------------------------------------- */

typedef struct {
  const char *name;
  const char *files[6]; /* newest first */
  const char *function; /* tells the version */
  void (*ask)(Symbol function, GpuLibrary *out);
} Library;

static void split(GpuLibrary *out, long version, long major, long minor) {
  out->major = (int)(version / major);
  out->minor = (int)(version % major / minor);
  out->patch = (int)(version % minor);
}

static void ask_nvrtc(Symbol function, GpuLibrary *out) {
  int (*version)(int *, int *) = (int (*)(int *, int *))function;
  version(&out->major, &out->minor);
}

/* 12080 is 12.8 */
static void ask_cudart(Symbol function, GpuLibrary *out) {
  int number = 0;
  if (((int (*)(int *))function)(&number) == 0) split(out, number / 10 * 10, 1000, 10);
}

/* 120803 is 12.8.3; before version 12 there was a digit less: 11402 is 11.4.2 */
static void ask_cublaslt(Symbol function, GpuLibrary *out) {
  long number = (long)((size_t (*)(void))function)();
  split(out, number, number < 100000 ? 1000 : 10000, 100);
}

/* CUPTI counts the versions of its interface; since 13.0 in the manner of CUDA's, 130000. */
static void ask_cupti(Symbol function, GpuLibrary *out) {
  uint32_t number = 0;
  if (((int (*)(uint32_t *))function)(&number) != 0) return;
  if (number >= 100000)
    split(out, (long)number, 10000, 100);
  else
    out->major = (int)number;
}

/* 22703 is 2.27.3 */
static void ask_nccl(Symbol function, GpuLibrary *out) {
  int number = 0;
  if (((int (*)(int *))function)(&number) == 0) split(out, number, 10000, 100);
}

static const Library libraries[] = {
    {"cudart",
     {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so"},
     "cudaRuntimeGetVersion",
     ask_cudart},
    {"nvrtc",
     {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"},
     "nvrtcVersion",
     ask_nvrtc},
    {"cublasLt",
     {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11", "libcublasLt.so"},
     "cublasLtGetVersion",
     ask_cublaslt},
    {"cupti",
     {"libcupti.so.13", "libcupti.so.12", "libcupti.so.11.8", "libcupti.so"},
     "cuptiGetVersion",
     ask_cupti},
    {"nccl", {"libnccl.so.2", "libnccl.so"}, "ncclGetVersion", ask_nccl},
};

const char *const gpu_library_names[] = {"cudart", "nvrtc", "cublasLt", "cupti", "nccl", NULL};

static const Library *find_library(const char *name) {
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    if (strcmp(libraries[i].name, name) == 0) return &libraries[i];
  }
  return NULL;
}

const char *gpu_probe_library(const char *name, const char *folder, GpuLibrary *out) {
  *out = (GpuLibrary){0};
  const Library *library = find_library(name);
  if (!library) return "no such library is known";
  const char *const folders[] = {folder, NULL};
  void *handle = gpu_library_open(library->files, folders);
  if (!handle) return "not found";
  Symbol function = find_symbol(handle, library->function);
  if (!function) return "it does not tell its version";
  gpu_library_path(handle, library->function, out->path, sizeof out->path);
  library->ask(function, out);
  return NULL;
}

/* ---- the driver ---------------------------------------------------------------------------- */

const char *gpu_probe_driver(GpuLibrary *driver, int *devices) {
  *driver = (GpuLibrary){0};
  *devices = 0;
  const char *problem;
  const gpu_driver *cuda = gpu_driver_open_core(&problem);
  snprintf(driver->path, sizeof driver->path, "%s", gpu_driver_path());
  split(driver, gpu_driver_version() / 10 * 10, 1000, 10);
  if (!cuda) return problem;
  CUresult result = cuda->device_count(devices);
  return result ? gpu_driver_describe(cuda, result) : NULL;
}

static int attribute(const gpu_driver *cuda, CUdevice device, int number) {
  int value = 0;
  return cuda->device_attribute(&value, number, device) == 0 ? value : 0;
}

const char *gpu_probe_device(int index, GpuDevice *out) {
  *out = (GpuDevice){0};
  const char *problem;
  const gpu_driver *cuda = gpu_driver_open_core(&problem);
  if (!cuda) return problem;
  CUdevice device = 0;
  CUresult result = cuda->device_get(&device, index);
  if (!result) result = cuda->device_name(out->name, sizeof out->name, device);
  if (!result) result = cuda->device_memory(&out->memory, device);
  if (result) return gpu_driver_describe(cuda, result);
  out->capability_major = attribute(cuda, device, DEVICE_CAPABILITY_MAJOR);
  out->capability_minor = attribute(cuda, device, DEVICE_CAPABILITY_MINOR);
  out->processors = attribute(cuda, device, DEVICE_MULTIPROCESSOR_COUNT);
  out->l2_bytes = attribute(cuda, device, DEVICE_L2_CACHE_SIZE);
  out->clock_khz = attribute(cuda, device, DEVICE_CLOCK_RATE);
  out->memory_clock_khz = attribute(cuda, device, DEVICE_MEMORY_CLOCK_RATE);
  out->bus_bits = attribute(cuda, device, DEVICE_MEMORY_BUS_WIDTH);
  return NULL;
}
