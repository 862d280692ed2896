#include "nvrtc.h"

#include <stdio.h>
#include <string.h>

#include "library.h"

#define SYMBOL(field, name) {name, offsetof(gpu_nvrtc, field), false}
static const gpu_symbol symbols[] = {
    SYMBOL(version, "nvrtcVersion"),
    SYMBOL(error_string, "nvrtcGetErrorString"),
    SYMBOL(create, "nvrtcCreateProgram"),
    SYMBOL(destroy, "nvrtcDestroyProgram"),
    SYMBOL(compile, "nvrtcCompileProgram"),
    SYMBOL(log_size, "nvrtcGetProgramLogSize"),
    SYMBOL(log, "nvrtcGetProgramLog"),
    SYMBOL(ptx_size, "nvrtcGetPTXSize"),
    SYMBOL(ptx, "nvrtcGetPTX"),
    SYMBOL(cubin_size, "nvrtcGetCUBINSize"),
    SYMBOL(cubin, "nvrtcGetCUBIN"),
    SYMBOL(add_name, "nvrtcAddNameExpression"),
    SYMBOL(lowered_name, "nvrtcGetLoweredName"),
    SYMBOL(arch_count, "nvrtcGetNumSupportedArchs"),
    SYMBOL(archs, "nvrtcGetSupportedArchs"),
};
#undef SYMBOL

static const char *const files[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", NULL};

static gpu_nvrtc table;
static char path[4096];

/* NVRTC opens its built-in headers by name alone. When it lies outside of the loader's folders they
 * would not be found: opened from its own folder first, they are. */
static void open_builtins(void) {
  const char *slash = strrchr(path, '/');
  int major = 0, minor = 0;
  if (!slash || table.version(&major, &minor) != 0) return;
  char name[64], folder[sizeof path];
  snprintf(name, sizeof name, "libnvrtc-builtins.so.%d.%d", major, minor);
  snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
  const char *const builtins[] = {name, NULL}, *const folders[] = {folder, NULL};
  gpu_library_open(builtins, folders);
}

const gpu_nvrtc *gpu_nvrtc_open(const char *const *folders, const char **why) {
  *why = NULL;
  if (path[0]) return &table;
  void *handle = gpu_library_open(files, folders);
  if (!handle) {
    *why = "NVRTC is not installed (no libnvrtc.so.13 or .12): it comes with the CUDA toolkit, "
           "or with pip install nvidia-cuda-nvrtc";
    return NULL;
  }
  if (gpu_library_bind(handle, symbols, sizeof symbols / sizeof *symbols, &table)) {
    *why = "NVRTC is too old: CUDA 12.0 or later is needed";
    return NULL;
  }
  gpu_library_path(handle, "nvrtcVersion", path, sizeof path);
  if (!path[0]) snprintf(path, sizeof path, "%s", files[0]);
  open_builtins();
  return &table;
}

const char *gpu_nvrtc_path(void) {
  return path;
}
