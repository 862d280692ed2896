#include "driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "library.h"

#define REQUIRED(field, symbol, parameters) {symbol, offsetof(gpu_driver, field), false},
#define OPTIONAL(field, symbol, parameters) {symbol, offsetof(gpu_driver, field), true},
static const gpu_symbol core[] = {GPU_DRIVER_CORE(REQUIRED)};
static const gpu_symbol rest[] = {GPU_DRIVER_REQUIRED(REQUIRED) GPU_DRIVER_OPTIONAL(OPTIONAL)};
#undef REQUIRED
#undef OPTIONAL

static pthread_once_t once = PTHREAD_ONCE_INIT;
static gpu_driver table;
static char problem[256]; /* why there is no driver, "" when there is */
static char too_old[256]; /* why it will not do, "" when it will */
static char path[1024];

static bool bind(void *handle, const gpu_symbol *symbols, size_t count, char *why) {
  const char *missing = gpu_library_bind(handle, symbols, count, &table);
  if (missing) {
    snprintf(why, sizeof problem,
             "the NVIDIA driver is too old (it has no %s): CUDA 12.0 or later is needed", missing);
  }
  return !missing;
}

static void open_driver(void) {
  const char *chosen = getenv("HONE_LIBCUDA");
  const char *files[] = {chosen && *chosen ? chosen : "libcuda.so.1", NULL};
  void *handle = gpu_library_open(files, NULL);
  if (!handle) {
    snprintf(problem, sizeof problem, "no NVIDIA driver is installed (%s not found)", files[0]);
    return;
  }
  gpu_library_path(handle, "cuInit", path, sizeof path);
  if (!bind(handle, core, sizeof core / sizeof *core, problem)) return;
  CUresult result = table.init(0);
  if (result) snprintf(problem, sizeof problem, "%s", gpu_driver_describe(&table, result));
  bind(handle, rest, sizeof rest / sizeof *rest, too_old);
}

const gpu_driver *gpu_driver_open_core(const char **why) {
  pthread_once(&once, open_driver);
  *why = problem[0] ? problem : NULL;
  return problem[0] ? NULL : &table;
}

const gpu_driver *gpu_driver_open(const char **why) {
  const gpu_driver *driver = gpu_driver_open_core(why);
  if (!driver || !too_old[0]) return driver;
  *why = too_old;
  return NULL;
}

const char *gpu_driver_path(void) {
  return path;
}

int gpu_driver_version(void) {
  int version = 0;
  if (table.driver_version) table.driver_version(&version);
  return version;
}

const char *gpu_driver_describe(const gpu_driver *driver, CUresult error) {
  const char *text = NULL;
  if (driver->error_string(error, &text) != CUDA_SUCCESS || !text) return "unknown CUDA error";
  return text;
}
