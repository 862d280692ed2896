#include "worker/arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

const char *arena_map_file(worker_arena *arena, int descriptor, size_t bytes) {
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) return strerror(errno);
  *arena = (worker_arena){.base = base, .bytes = bytes};
  return NULL;
}

const char *arena_map_device(worker_arena *arena, gpu_device *device, const char *handle,
                             size_t bytes) {
  static gpu_error error;
  const gpu_driver *driver = gpu_state_get()->driver;
  CUipcMemHandle shared;
  CUdeviceptr base = 0;
  if (!driver->ipc_open) return "the driver cannot share memory between processes";
  memcpy(shared.bytes, handle, sizeof shared.bytes);
  if (gpu_activate(device, &error)) return error.text;
  CUresult result = driver->ipc_open(&base, shared, IPC_LAZY_PEER_ACCESS);
  if (gpu_check(device, result, "open the judge's memory", &error)) return error.text;
  *arena = (worker_arena){.base = (char *)(uintptr_t)base, .bytes = bytes, .device = device};
  return NULL;
}

void arena_unmap(worker_arena *arena) {
  if (!arena->base) return;
  gpu_error ignored;
  if (!arena->device) {
    munmap(arena->base, arena->bytes);
  } else if (gpu_activate(arena->device, &ignored) == 0) {
    gpu_state_get()->driver->ipc_close((CUdeviceptr)(uintptr_t)arena->base);
  }
  *arena = (worker_arena){0};
}
