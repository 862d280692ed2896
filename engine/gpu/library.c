#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

const char *gpu_library_bind(void *handle, const gpu_symbol *symbols, size_t count, void *table) {
  for (size_t i = 0; i < count; i++) {
    void *address = dlsym(handle, symbols[i].name);
    if (!address && !symbols[i].optional) return symbols[i].name;
    /* ISO C has no cast from an object's address to a function's; POSIX promises that bytes do. */
    memcpy((char *)table + symbols[i].slot, &address, sizeof address);
  }
  return NULL;
}

static void *open_in(const char *const *files, const char *folder) {
  for (; *files; files++) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder ? folder : "", folder ? "/" : "", *files);
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (handle) return handle;
  }
  return NULL;
}

void *gpu_library_open(const char *const *files, const char *const *folders) {
  void *handle = open_in(files, NULL);
  for (; !handle && folders && *folders; folders++) handle = open_in(files, *folders);
  return handle;
}

void gpu_library_path(void *handle, const char *symbol, char *path, size_t size) {
  Dl_info info;
  const char *found = dladdr(dlsym(handle, symbol), &info) ? info.dli_fname : NULL;
  snprintf(path, size, "%s", found ? found : "");
}
