/* random.c -- from a draw to a launch of cuda/random.cu. */
#include "cuda/random.h"

#include "gpu/tensor/tensor.h"

enum { VECTOR_BYTES = 16, BLOCK = 4 /* elements that one counter makes */ };

static const gpu_source source = {"random.cu", {"draw_numbers", NULL}};

static const char *const draws[] = {
    [DRAW_UNIFORM] = "Uniform",     [DRAW_NORMAL] = "Normal", [DRAW_EXPONENTIAL] = "Exponential",
    [DRAW_INTEGERS] = "Integers",   [DRAW_KEYS] = "Keys",     [DRAW_COINS] = "Coins",
    [DRAW_COINS_EACH] = "CoinsEach"};

typedef struct variant {
  enum draw_kind kind;
  dtype out, each;
  int items;
  bool aligned;
} variant;

static uint64_t key_of(const variant *v) {
  return (uint64_t)v->kind | (uint64_t)v->out << 4 | (uint64_t)v->each << 8 |
         (uint64_t)v->aligned << 12;
}

static const char *draw_suffix(const variant *v) {
  if (v->kind > DRAW_EXPONENTIAL) return "";
  if (v->out == DTYPE_FLOAT64) return "64";
  return v->kind == DRAW_UNIFORM && v->out != DTYPE_FLOAT32 ? "Narrow" : "";
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(text, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(text, "EACH", "%s", gpu_type_name(v->each));
  gpu_macro(text, "DRAW", "%s%s", draws[v->kind], draw_suffix(v));
  gpu_macro(text, "ITEMS", "%d", v->items);
  gpu_macro(text, "ALIGNED", "%d", v->aligned);
}

int gpu_draw(const draw_work *w, tensor_error *error) {
  gpu_error why;
  gpu_device *device = gpu_tensor_device(1, &w->into, error);
  if (!device) return TENSOR_DEVICE;
  int size = (int)dtype_size(w->into->dtype);
  variant v = {.kind = w->kind, .out = w->into->dtype};
  v.each = w->each ? w->each->dtype : DTYPE_FLOAT32;
  v.items = VECTOR_BYTES / size < BLOCK ? BLOCK : VECTOR_BYTES / size;
  v.aligned = (uintptr_t)tensor_data(w->into) % (uint64_t)(v.items * size) == 0;
  random_arguments a = {.out = tensor_data(w->into),
                        .count = tensor_count(w->into),
                        .seed = w->from.seed,
                        .offset = w->from.offset,
                        .a = w->a,
                        .b = w->b,
                        .range = w->range,
                        .low = (uint64_t)w->low,
                        .each = w->each ? tensor_data(w->each) : NULL,
                        .digits = w->digits};
  int64_t per_block = (int64_t)RANDOM_THREADS * v.items;
  int64_t blocks = (a.count + per_block - 1) / per_block;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many random numbers for one launch");
  const gpu_program *program = gpu_program_get(device, &source, key_of(&v), define, &v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = RANDOM_THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, &a, &why), &why, error);
}
