/* compare.c -- from a comparison to a launch of cuda/compare.cu, which it waits for. */
#include "cuda/compare.h"

#include "gpu/tensor/tensor.h"

enum { VECTOR_BYTES = 16, MOST_BLOCKS = 2112 };

static const gpu_source source = {"compare.cu", {"compare", NULL}};

typedef struct variant {
  dtype a, b;
  enum compare_how how;
  int items;
} variant;

static uint64_t key_of(const variant *v) {
  return (uint64_t)v->a | (uint64_t)v->b << 4 | (uint64_t)v->how << 8 | (uint64_t)v->items << 12;
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const hows[] = {"DISTANCE", "CLOSE", "EQUAL"};
  const variant *v = context;
  gpu_macro(text, "A", "%s", gpu_type_name(v->a));
  gpu_macro(text, "B", "%s", gpu_type_name(v->b));
  gpu_macro(text, "HOW", "%s", hows[v->how]);
  gpu_macro(text, "ITEMS", "%d", v->items);
}

static int choose_items(const loop *l, const size_t *sizes) {
  int inner = l->rank - 1;
  size_t largest = sizes[0] > sizes[1] ? sizes[0] : sizes[1];
  if (inner < 0) return 1;
  for (int items = VECTOR_BYTES / (int)largest; items > 1; items /= 2) {
    bool even = l->shape[inner] % items == 0;
    for (int k = 0; k < 2; k++) {
      int64_t bytes = items * (int64_t)sizes[k];
      even &= l->operand[k].stride[inner] == (int64_t)sizes[k];
      even &= (uintptr_t)l->operand[k].data % (uint64_t)bytes == 0;
      for (int d = 0; d < inner; d++) even &= l->operand[k].stride[d] % bytes == 0;
    }
    if (even) return items;
  }
  return 1;
}

static compare_arguments arguments_of(const compare_work *w, const loop *l, const variant *v) {
  compare_arguments a = {.a = l->operand[0].data,
                         .b = l->operand[1].data,
                         .vectors = loop_count(l) / v->items,
                         .rtol = w->rtol,
                         .atol = w->atol,
                         .equal_nan = w->equal_nan};
  a.map.shape = gpu_strided_shape(l, v->items);
  a.map.is_wide = a.vectors >= INT32_MAX;
  for (int d = 0; d < l->rank; d++) {
    int scale = d == l->rank - 1 ? v->items : 1;
    a.map.from[d] = l->operand[0].stride[d] / (int64_t)dtype_size(v->a) * scale;
    a.map.to[d] = l->operand[1].stride[d] / (int64_t)dtype_size(v->b) * scale;
  }
  return a;
}

static int launch(gpu_device *device, const variant *v, const compare_arguments *a,
                  tensor_error *error) {
  gpu_error why;
  const gpu_program *program = gpu_program_get(device, &source, key_of(v), define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  CUresult result = gpu_state_get()->driver->set8((CUdeviceptr)(uintptr_t)a->found, 0,
                                                  sizeof *a->found, device->stream);
  int failed = gpu_check(device, result, "clear memory", &why);
  int64_t blocks = (a->vectors + COMPARE_THREADS - 1) / COMPARE_THREADS;
  gpu_grid grid = {.blocks = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS)},
                   .threads = COMPARE_THREADS};
  if (!failed) failed = gpu_program_launch(device, program, 0, grid, a, &why);
  return gpu_tensor_fail(failed, &why, error);
}

static double float_of(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return (double)x;
}

int gpu_compare(const compare_work *w, comparison *c, tensor_error *error) {
  const tensor *both[] = {w->a, w->b};
  compare_found found = {0};
  tensor room = {0};
  gpu_device *device = gpu_tensor_device(2, both, error);
  if (!device) return TENSOR_DEVICE;
  loop l;
  loop_start(&l, w->a->rank, w->a->shape);
  loop_add(&l, w->a);
  loop_add(&l, w->b);
  loop_merge(&l);
  variant v = {.a = w->a->dtype, .b = w->b->dtype, .how = w->how};
  v.items = choose_items(&l, (size_t[]){dtype_size(v.a), dtype_size(v.b)});
  compare_arguments a = arguments_of(w, &l, &v);
  int code = gpu_scratch(&room, device->ordinal, sizeof found, error);
  if (!code) a.found = tensor_data(&room);
  if (!code) code = launch(device, &v, &a, error);
  if (!code) code = device_functions_get()->download(&found, room.storage, 0, sizeof found, error);
  tensor_release(&room);
  if (code) return code;
  c->bad = (int64_t)found.bad;
  c->nonfinite = (int64_t)found.nonfinite;
  c->first_bad = found.bad ? (int64_t)~found.first_bad : -1;
  c->max_absolute = float_of(found.max_absolute);
  c->max_relative = float_of(found.max_relative);
  return 0;
}
