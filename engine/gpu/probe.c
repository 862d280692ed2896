#include "probe.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void (*Symbol)(void); /* any function: cast to its real type to be called */

/* ISO C has no cast from an object pointer to a function; POSIX promises that the bytes will do. */
static Symbol find_symbol(void *handle, const char *name) {
  void *address = dlsym(handle, name);
  Symbol symbol;
  memcpy(&symbol, &address, sizeof symbol);
  return symbol;
}

static void note_path(void *handle, const char *name, GpuLibrary *out) {
  Dl_info info;
  if (dladdr(dlsym(handle, name), &info) && info.dli_fname) {
    snprintf(out->path, sizeof out->path, "%s", info.dli_fname);
  }
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

/* Opened libraries stay open: closing CUDA's own is not safe once they have run. */
static void *open_in(const Library *library, const char *folder) {
  for (const char *const *file = library->files; *file; file++) {
    char path[1024];
    snprintf(path, sizeof path, "%s%s%s", folder ? folder : "", folder ? "/" : "", *file);
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (handle) return handle;
  }
  return NULL;
}

const char *gpu_probe_library(const char *name, const char *folder, GpuLibrary *out) {
  *out = (GpuLibrary){0};
  const Library *library = find_library(name);
  if (!library) return "no such library is known";
  void *handle = open_in(library, NULL);
  if (!handle && folder) handle = open_in(library, folder);
  if (!handle) return "not found";
  Symbol function = find_symbol(handle, library->function);
  if (!function) return "it does not tell its version";
  note_path(handle, library->function, out);
  library->ask(function, out);
  return NULL;
}

/* ---- the driver ---------------------------------------------------------------------------- */

/* Attributes of cuDeviceGetAttribute, by their numbers in cuda.h. */
enum {
  CLOCK_RATE = 13,
  MULTIPROCESSOR_COUNT = 16,
  MEMORY_CLOCK_RATE = 36,
  GLOBAL_MEMORY_BUS_WIDTH = 37,
  L2_CACHE_SIZE = 38,
  COMPUTE_CAPABILITY_MAJOR = 75,
  COMPUTE_CAPABILITY_MINOR = 76,
};

static struct {
  int (*init)(unsigned);
  int (*driver_version)(int *);
  int (*error_string)(int, const char **);
  int (*count)(int *);
  int (*get)(int *, int);
  int (*name)(char *, int, int);
  int (*total_memory)(size_t *, int);
  int (*attribute)(int *, int, int);
} cuda;

static const char *load_driver(GpuLibrary *driver) {
  void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle) return "no NVIDIA driver is installed (libcuda.so.1 not found)";
  struct {
    void *slot;
    const char *symbol;
  } wanted[] = {
      {&cuda.init, "cuInit"},
      {&cuda.driver_version, "cuDriverGetVersion"},
      {&cuda.error_string, "cuGetErrorString"},
      {&cuda.count, "cuDeviceGetCount"},
      {&cuda.get, "cuDeviceGet"},
      {&cuda.name, "cuDeviceGetName"},
      {&cuda.total_memory, "cuDeviceTotalMem_v2"},
      {&cuda.attribute, "cuDeviceGetAttribute"},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    void *address = dlsym(handle, wanted[i].symbol);
    if (!address) return "the NVIDIA driver is too old";
    memcpy(wanted[i].slot, &address, sizeof address);
  }
  note_path(handle, "cuInit", driver);
  return NULL;
}

static const char *describe(int error) {
  const char *text = NULL;
  if (cuda.error_string(error, &text) != 0 || !text) return "the driver reports an unknown error";
  return text;
}

const char *gpu_probe_driver(GpuLibrary *driver, int *devices) {
  *driver = (GpuLibrary){0};
  *devices = 0;
  const char *problem = load_driver(driver);
  if (problem) return problem;
  int number = 0;
  if (cuda.driver_version(&number) == 0) split(driver, number / 10 * 10, 1000, 10);
  int error = cuda.init(0);
  if (error == 0) error = cuda.count(devices);
  return error ? describe(error) : NULL;
}

static int attribute(int device, int number) {
  int value = 0;
  return cuda.attribute(&value, number, device) == 0 ? value : 0;
}

const char *gpu_probe_device(int index, GpuDevice *out) {
  *out = (GpuDevice){0};
  int device = 0;
  int error = cuda.get(&device, index);
  if (error == 0) error = cuda.name(out->name, sizeof out->name, device);
  if (error == 0) error = cuda.total_memory(&out->memory, device);
  if (error) return describe(error);
  out->capability_major = attribute(device, COMPUTE_CAPABILITY_MAJOR);
  out->capability_minor = attribute(device, COMPUTE_CAPABILITY_MINOR);
  out->processors = attribute(device, MULTIPROCESSOR_COUNT);
  out->l2_bytes = attribute(device, L2_CACHE_SIZE);
  out->clock_khz = attribute(device, CLOCK_RATE);
  out->memory_clock_khz = attribute(device, MEMORY_CLOCK_RATE);
  out->bus_bits = attribute(device, GLOBAL_MEMORY_BUS_WIDTH);
  return NULL;
}
