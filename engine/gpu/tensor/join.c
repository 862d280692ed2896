/* join.c -- tensors turned around, and cut to a triangle: cuda/join.cu. */
#include "cuda/join.h"

#include "gpu/tensor/tensor.h"

enum { FLIP, TRIANGLE };
enum { THREADS = 256, EACH = 4 };

static const gpu_source source = {"join.cu", {"flip", "triangle", NULL}};

typedef struct variant {
  size_t size; /* of an element */
  bool is_wide;
} variant;

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const words[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
  const variant *v = context;
  gpu_macro(text, "WIDE", "%d", v->is_wide);
  gpu_macro(text, "WORD", "%s", words[size_index(v->size)]);
}

static int launch(gpu_device *device, int kernel, size_t size, int64_t count, const void *arguments,
                  tensor_error *error) {
  gpu_error why;
  int64_t blocks = (count + THREADS * EACH - 1) / (THREADS * EACH);
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  variant v = {.size = size, .is_wide = count > INT32_MAX};
  const gpu_program *program =
      gpu_program_get(device, &source, size | (uint64_t)v.is_wide << 8, define, &v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  int failed = gpu_program_launch(device, program, kernel, grid, arguments, &why);
  return gpu_tensor_fail(failed, &why, error);
}

int gpu_flip(const tensor *to, const tensor *from, unsigned dims, tensor_error *error) {
  gpu_device *device = gpu_tensor_device(2, (const tensor *[]){to, from}, error);
  if (!device) return TENSOR_DEVICE;
  size_t size = dtype_size(to->dtype);
  loop l;
  loop_start(&l, to->rank, to->shape);
  loop_add(&l, to);
  loop_add(&l, from);
  for (int d = 0; d < to->rank; d++) {
    if (!(dims >> d & 1)) continue;
    l.operand[1].data += (to->shape[d] - 1) * l.operand[1].stride[d];
    l.operand[1].stride[d] = -l.operand[1].stride[d];
  }
  loop_simplify(&l);
  flip_arguments a = {.count = loop_count(&l),
                      .shape = gpu_strided_shape(&l, 1),
                      .to = l.operand[0].data,
                      .from = l.operand[1].data};
  for (int d = 0; d < l.rank; d++) {
    a.to_stride[d] = l.operand[0].stride[d] / (int64_t)size;
    a.from_stride[d] = l.operand[1].stride[d] / (int64_t)size;
  }
  return launch(device, FLIP, size, a.count, &a, error);
}

int gpu_triangle(const tensor *t, int64_t diagonal, bool upper, tensor_error *error) {
  gpu_device *device = gpu_tensor_device(1, &t, error);
  if (!device) return TENSOR_DEVICE;
  triangle_arguments a = {.count = tensor_count(t),
                          .rows = t->shape[t->rank - 2],
                          .columns = t->shape[t->rank - 1],
                          .diagonal = diagonal,
                          .upper = upper,
                          .to = tensor_data(t)};
  return launch(device, TRIANGLE, dtype_size(t->dtype), a.count, &a, error);
}
