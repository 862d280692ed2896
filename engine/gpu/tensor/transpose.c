/* transpose.c -- when a copy is better made by squares: cuda/transpose.cu. */
#include "cuda/transpose.h"

#include "gpu/tensor/tensor.h"

enum { THREADS = 256, WORTH = 16 /* elements on a side, for squares to be worth it */ };
enum { SINGLE, PAIRS };

static const gpu_source source = {"transpose.cu", {"transpose", "transpose_pairs", NULL}};

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const words[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
  gpu_macro(text, "WORD", "%s", words[size_index(*(const size_t *)context)]);
}

static bool is_even(const transpose_arguments *a) {
  uint64_t bits = (uint64_t)(a->rows | a->columns | a->to_row | a->from_column);
  for (int d = 0; d < a->outer.rank; d++) bits |= (uint64_t)(a->to_outer[d] | a->from_outer[d]);
  return (bits & 1) == 0 && (((uintptr_t)a->to | (uintptr_t)a->from) & 3) == 0;
}

/* The dimension in which the source's elements are neighbours, while the result's are in the
 * innermost; -1 where there is none, or squares are not worth it. */
static int find_across(const loop *l, size_t size) {
  int inner = l->rank - 1;
  if (inner < 1 || l->operand[0].stride[inner] != (int64_t)size || l->shape[inner] < WORTH)
    return -1;
  for (int d = 0; d < inner; d++)
    if (l->operand[1].stride[d] == (int64_t)size && l->shape[d] >= WORTH) return d;
  return -1;
}

int gpu_transpose(gpu_device *device, const loop *l, size_t size, tensor_error *error) {
  int across = find_across(l, size), inner = l->rank - 1;
  if (across < 0) return 1;
  int64_t bytes = (int64_t)size;
  transpose_arguments a = {.to = l->operand[0].data,
                           .from = l->operand[1].data,
                           .rows = l->shape[across],
                           .columns = l->shape[inner],
                           .to_row = l->operand[0].stride[across] / bytes,
                           .from_column = l->operand[1].stride[inner] / bytes};
  int64_t batches = 1;
  for (int d = 0; d < inner; d++) {
    if (d == across) continue;
    int at = a.outer.rank++;
    a.outer.size[at] = l->shape[d];
    a.to_outer[at] = l->operand[0].stride[d] / bytes;
    a.from_outer[at] = l->operand[1].stride[d] / bytes;
    batches *= l->shape[d];
  }
  int kernel = size == 2 && is_even(&a) ? PAIRS : SINGLE;
  int64_t side = kernel == PAIRS ? TRANSPOSE_PAIR_SIDE : TRANSPOSE_SIDE;
  a.row_squares = (a.rows + side - 1) / side;
  a.column_squares = (a.columns + side - 1) / side;
  int64_t blocks = a.row_squares * a.column_squares * batches;
  if (blocks > INT32_MAX) return 1;
  gpu_error why;
  const gpu_program *program = gpu_program_get(device, &source, size, define, &size, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  int failed = gpu_program_launch(device, program, kernel, grid, &a, &why);
  return gpu_tensor_fail(failed, &why, error);
}
