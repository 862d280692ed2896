/* compact.c -- the places of flags that are set: cuda/compact.cu. */
#include "gpu/tensor/compact.h"

#include "cuda/compact.h"
#include "gpu/tensor/tensor.h"

enum { COUNT, ADD_UP, WRITE_PLACES };

static const gpu_source source = {"compact.cu",
                                  {"compact_count", "compact_add_up", "compact_places", NULL}};

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  (void)text, (void)context;
}

static int launch(gpu_device *device, int kernel, int64_t blocks, unsigned threads,
                  const compact_arguments *a, tensor_error *error) {
  gpu_error why;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  const gpu_program *program = gpu_program_get(device, &source, 0, define, NULL, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = threads};
  return gpu_tensor_fail(gpu_program_launch(device, program, kernel, grid, a, &why), &why, error);
}

static compact_arguments arguments_of(const tensor *starts, const tensor *flags) {
  return (compact_arguments){.flags = tensor_data(flags),
                             .count = tensor_count(flags),
                             .tiles = starts->shape[0] - 1,
                             .starts = tensor_data(starts)};
}

int gpu_count_flags(tensor *starts, int64_t *count, gpu_device *device, const tensor *flags,
                    tensor_error *error) {
  int64_t tiles = (tensor_count(flags) + COMPACT_TILE - 1) / COMPACT_TILE, room = tiles + 1;
  tensor made = {0};
  int code = tensor_empty(&made, DTYPE_INT64, device->ordinal, 1, &room, error);
  if (code) return code;
  compact_arguments a = arguments_of(&made, flags);
  if (tiles > 0) code = launch(device, COUNT, tiles, COMPACT_THREADS, &a, error);
  if (!code) code = launch(device, ADD_UP, 1, 1024, &a, error);
  if (!code)
    code = device_functions_get()->download(count, made.storage, (size_t)tiles * sizeof *count,
                                            sizeof *count, error);
  if (code)
    tensor_release(&made);
  else
    *starts = made;
  return code;
}

int gpu_nonzero(tensor *out, const tensor *flags, tensor_error *error) {
  gpu_device *device = gpu_tensor_device(1, &flags, error);
  if (!device) return TENSOR_DEVICE;
  tensor starts = {0}, made = {0};
  int64_t shape[2] = {0, flags->rank};
  int code = gpu_count_flags(&starts, &shape[0], device, flags, error);
  if (code) return code;
  code = tensor_empty(&made, DTYPE_INT64, device->ordinal, 2, shape, error);
  if (!code && tensor_count(&made) > 0) {
    compact_arguments a = arguments_of(&starts, flags);
    loop l;
    loop_start(&l, flags->rank, flags->shape);
    a.places = tensor_data(&made);
    a.shape = gpu_strided_shape(&l, 1);
    a.is_wide = a.count > INT32_MAX;
    code = launch(device, WRITE_PLACES, a.tiles, COMPACT_THREADS, &a, error);
  }
  tensor_release(&starts);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}
