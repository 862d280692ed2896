#include "gpu/tensor/fault.h"

#include <string.h>

#include "gpu/tensor/tensor.h"

static struct {
  fault_board *board; /* the host's address; gone with the context that it was made in */
  CUdeviceptr address;
  unsigned generation;
} boards[GPU_MAX_DEVICES];

static int make_board(gpu_device *device, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  void *memory = NULL;
  CUdeviceptr address = 0;
  CUresult result = driver->host_alloc(&memory, sizeof(fault_board), HOST_ALLOC_PORTABLE_MAPPED);
  if (!result) result = driver->host_pointer(&address, memory, 0);
  if (result) {
    if (memory) driver->host_free(memory);
    return gpu_check(device, result, "map memory of the host", error);
  }
  memset(memory, 0, sizeof(fault_board));
  boards[device->ordinal].board = memory;
  boards[device->ordinal].address = address;
  boards[device->ordinal].generation = device->generation;
  return 0;
}

static fault_board *board_of(const gpu_device *device) {
  bool is_alive = boards[device->ordinal].generation == device->generation;
  return is_alive ? boards[device->ordinal].board : NULL;
}

int gpu_fault_site(fault_site *site, gpu_device *device, const char *verb, const tensor *t,
                   tensor_error *error) {
  gpu_error why;
  int failed = board_of(device) ? 0 : make_board(device, &why);
  if (failed) return gpu_tensor_fail(failed, &why, error);
  *site = (fault_site){.board = (fault_board *)(uintptr_t)boards[device->ordinal].address,
                       .verb = (uint64_t)(uintptr_t)verb,
                       .rank = t->rank,
                       .dtype = (int32_t)t->dtype};
  memcpy(site->shape, t->shape, (size_t)t->rank * sizeof *t->shape);
  return 0;
}

int gpu_fault_check(gpu_device *device, tensor_error *error) {
  fault_board *b = board_of(device);
  if (!b || !__atomic_load_n(&b->ready, __ATOMIC_ACQUIRE)) return 0;
  tensor t = {.dtype = (dtype)b->dtype, .rank = b->rank};
  char text[TENSOR_TEXT];
  memcpy(t.shape, b->shape, sizeof t.shape);
  int code = tensor_fail(error, TENSOR_INVALID,
                         "cannot %.20s %.90s: index %lld is out of range for dimension %d of size "
                         "%lld (cuda:%d found out after the call)",
                         (const char *)(uintptr_t)b->verb, tensor_describe(&t, text),
                         (long long)b->index, b->dim + 1, (long long)b->size, device->ordinal);
  b->ready = 0;
  __atomic_store_n(&b->claimed, 0, __ATOMIC_RELEASE);
  return code;
}
