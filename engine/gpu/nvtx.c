#include "nvtx.h"

#include <stdlib.h>

#include "library.h"

static struct nvtx {
  int (*push)(const char *name);
  int (*pop)(void);
  void (*mark)(const char *name);
} nvtx;

static const gpu_symbol symbols[] = {
    {"nvtxRangePushA", offsetof(struct nvtx, push), false},
    {"nvtxRangePop", offsetof(struct nvtx, pop), false},
    {"nvtxMarkA", offsetof(struct nvtx, mark), false},
};

/* Profilers name the library that NVTX hands everything to. */
bool nvtx_is_heard(void) {
  const char *path = getenv("NVTX_INJECTION64_PATH");
  return path && *path;
}

const char *nvtx_open(const char *const *folders) {
  /* the first since CUDA 13, the second before */
  static const char *const files[] = {"libnvtx3interop.so.1", "libnvToolsExt.so.1", NULL};
  if (nvtx.push) return NULL;
  void *handle = gpu_library_open(files, folders);
  if (!handle) {
    return "NVTX is not installed (no libnvtx3interop.so.1 or libnvToolsExt.so.1): it comes with "
           "the CUDA toolkit";
  }
  struct nvtx found;
  if (gpu_library_bind(handle, symbols, sizeof symbols / sizeof *symbols, &found)) {
    return "NVTX's library has no ranges";
  }
  nvtx = found;
  return NULL;
}

void nvtx_push(const char *name) {
  if (nvtx.push) nvtx.push(name);
}

void nvtx_pop(void) {
  if (nvtx.pop) nvtx.pop();
}

void nvtx_mark(const char *name) {
  if (nvtx.mark) nvtx.mark(name);
}
