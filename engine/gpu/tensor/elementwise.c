/* elementwise.c -- from one elementwise operation to a launch of cuda/elementwise.cu. */
#include <stdio.h>

#include "cuda/elementwise.h"
#include "gpu/tensor/tensor.h"

/* More elements a thread than 16 take registers from other threads. */
enum { THREADS = 256, MOST_BYTES = 16 /* that one instruction loads */ };
enum mode { VECTOR, SPLAT, VALUE };

static const gpu_source source = {"elementwise.cu", {"elementwise", NULL}};

/* What a program is made for. */
typedef struct variant {
  enum elementwise_kind kind;
  int op, inputs, items, steps;
  dtype compute, made, out, in[3];
  enum mode mode[3];
  bool flat, wide;
} variant;

static uint64_t key_of(const variant *v) {
  uint64_t key = (uint64_t)v->kind | (uint64_t)v->op << 3 | (uint64_t)v->compute << 10 |
                 (uint64_t)v->out << 14 | (uint64_t)v->wide << 18 | (uint64_t)v->flat << 19;
  for (int i = 0; i < 3; i++)
    key |= (uint64_t)v->in[i] << (24 + 4 * i) | (uint64_t)v->mode[i] << (36 + 2 * i);
  return key | (uint64_t)v->items << 42;
}

/* ---- macros -----------------------------------------------------------------------------------
 */

static const struct {
  const char *suffix, *class, *constant, *unsigned_type;
} computing[COMPUTE_COUNT] = {
    [COMPUTE_FLOAT64] = {"f64", "F", "F64", ""},    [COMPUTE_FLOAT32] = {"f32", "F", "F32", ""},
    [COMPUTE_INT64] = {"i64", "I", "", "uint64_t"}, [COMPUTE_INT32] = {"i32", "I", "", "uint32_t"},
    [COMPUTE_INT16] = {"i16", "I", "", "uint32_t"}, [COMPUTE_INT8] = {"i8", "I", "", "uint32_t"},
    [COMPUTE_UINT8] = {"u8", "I", "", "uint32_t"},  [COMPUTE_BOOL] = {"b8", "B", "", "uint32_t"},
};

static void define_expression(char text[GPU_PROGRAM_MACROS], const variant *v) {
  switch (v->kind) {
  case ELEMENTWISE_CAST: gpu_macro(text, "APPLY", "a"); return;
  case ELEMENTWISE_WHERE: gpu_macro(text, "APPLY", "(a != 0 ? b : c)"); return;
  case ELEMENTWISE_UNARY: gpu_macro(text, "APPLY", "op_%s(a)", unary_name(v->op)); break;
  case ELEMENTWISE_BINARY: gpu_macro(text, "APPLY", "op_%s(a, b)", binary_name(v->op)); break;
  case ELEMENTWISE_TERNARY: gpu_macro(text, "APPLY", "op_%s(a, b, c)", ternary_name(v->op)); break;
  }
  compute_type c = dtype_compute(v->compute);
  gpu_macro(text, "OPERATIONS", "1");
  gpu_macro(text, "SUFFIX", "%s", computing[c].suffix);
  gpu_macro(text, "CLASS", "%s", computing[c].class);
  gpu_macro(text, "C", "%s", computing[c].constant);
  gpu_macro(text, "UNSIGNED", "%s", computing[c].unsigned_type);
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const modes[] = {"VECTOR", "SPLAT", "VALUE"};
  const variant *v = context;
  bool is_half = dtype_is_float(v->out) && dtype_size(v->out) < 4;
  gpu_macro(text, "HALF_RESULT", "%d", is_half);
  gpu_macro(text, "INPUTS", "%d", v->inputs);
  gpu_macro(text, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(text, "COMPUTE", "%s", gpu_type_name(v->compute));
  gpu_macro(text, "MADE", "%s", gpu_type_name(v->made));
  gpu_macro(text, "ITEMS", "%d", v->items);
  gpu_macro(text, "STEPS", "%d", v->steps);
  gpu_macro(text, "FLAT", "%d", v->flat);
  gpu_macro(text, "WIDE", "%d", v->wide);
  for (int i = 0; i < 3; i++) {
    char name[8];
    snprintf(name, sizeof name, "IN%d", i);
    gpu_macro(text, name, "%s", gpu_type_name(v->in[i]));
    snprintf(name, sizeof name, "MODE%d", i);
    gpu_macro(text, name, "%s", modes[v->mode[i]]);
  }
  define_expression(text, v);
}

/* ---- how operands are read --------------------------------------------------------------------
 */

/* May the loop's operand k be read or written `items` elements at a time? */
static bool takes_vectors(const loop *l, int k, int items) {
  int inner = l->rank - 1;
  int64_t bytes = items * l->operand[k].stride[inner];
  if (bytes == 0) return k > 0; /* one element for all of them */
  if ((uintptr_t)l->operand[k].data % (uint64_t)bytes) return false;
  for (int d = 0; d < inner; d++)
    if (l->operand[k].stride[d] % bytes) return false;
  return true;
}

/* The most elements at a time that all operands allow: 1 where they lie apart or crooked. */
static int choose_items(const loop *l, const size_t *sizes) {
  size_t largest = 1;
  int inner = l->rank - 1;
  if (inner < 0) return 1;
  for (int k = 0; k < l->operands; k++) {
    int64_t stride = l->operand[k].stride[inner];
    if (stride != 0 && stride != (int64_t)sizes[k]) return 1;
    if (sizes[k] > largest) largest = sizes[k];
  }
  for (int items = (int)(MOST_BYTES / largest); items > 1; items /= 2) {
    bool all = l->shape[inner] % items == 0;
    for (int k = 0; k < l->operands && all; k++) all = takes_vectors(l, k, items);
    if (all) return items;
  }
  return 1;
}

/* Strides in bytes as strides in vectors; of an operand that is read element by element, elements.
 */
static void set_strides(int64_t stride[STRIDED_RANK], const loop *l, int k, size_t size,
                        int items) {
  for (int d = 0; d < l->rank; d++) {
    bool inner = d == l->rank - 1;
    stride[d] = l->operand[k].stride[d] / (int64_t)size / (inner ? 1 : items);
  }
}

/* ---- the launch -------------------------------------------------------------------------------
 */

static int launch(gpu_device *device, variant *v, const elementwise_arguments *a,
                  tensor_error *error) {
  gpu_error why;
  int64_t per_block = (int64_t)THREADS * v->steps, blocks = (a->count + per_block - 1) / per_block;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  const gpu_program *program = gpu_program_get(device, &source, key_of(v), define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, a, &why), &why, error);
}

/* Are the elements that are chosen from of the result's dtype? Then they are only moved. */
static bool moves_choices(const elementwise_work *w) {
  for (int i = 1; i < 3; i++)
    if (!tensor_is_on_cpu(w->in[i]) && w->in[i]->dtype != w->to->dtype) return false;
  return true;
}

/* A number on the CPU as the bits that the kernel computes with; of a choice, those of the result.
 */
static uint64_t value_bits(const elementwise_work *w, const tensor *t, dtype compute) {
  uint64_t bits = 0;
  bool chosen = w->kind == ELEMENTWISE_WHERE && t != w->in[0] && moves_choices(w);
  dtype as = chosen ? w->to->dtype : compute_dtype(dtype_compute(compute));
  dtype_convert(as, &bits, t->dtype, tensor_data(t), 1);
  return bits;
}

static variant choose_variant(const elementwise_work *w) {
  bool moves = w->kind == ELEMENTWISE_CAST || w->kind == ELEMENTWISE_WHERE;
  variant v = {.kind = w->kind, .op = w->op, .inputs = w->inputs, .out = w->to->dtype};
  for (int i = 0; i < 3; i++) v.in[i] = i < w->inputs ? w->in[i]->dtype : v.in[0];
  v.compute = compute_dtype(w->compute);
  if (w->kind == ELEMENTWISE_WHERE && moves_choices(w)) {
    v.out = v.in[1] = v.in[2] = v.compute = gpu_bits_dtype(w->to->dtype);
  } else if (w->kind == ELEMENTWISE_WHERE) {
    v.compute = v.out;
  } else if (w->kind == ELEMENTWISE_CAST && tensor_is_on_cpu(w->in[0])) {
    v.in[0] = v.compute = v.out;
  } else if (w->kind == ELEMENTWISE_CAST) {
    if (v.in[0] == v.out) v.in[0] = v.out = gpu_bits_dtype(v.out);
    v.compute = v.in[0];
  }
  v.made = moves ? v.compute : w->made;
  return v;
}

/* Bytes that are only moved, one after the other. */
static bool is_plain_copy(const elementwise_work *w, const loop *l) {
  int64_t size = (int64_t)dtype_size(w->to->dtype);
  return w->kind == ELEMENTWISE_CAST && !tensor_is_on_cpu(w->in[0]) &&
         w->in[0]->dtype == w->to->dtype &&
         (l->rank == 0 ||
          (l->rank == 1 && l->operand[0].stride[0] == size && l->operand[1].stride[0] == size));
}

static int copy_plain(gpu_device *device, const loop *l, size_t size, tensor_error *error) {
  gpu_error why;
  CUresult result = gpu_state_get()->driver->copy((CUdeviceptr)(uintptr_t)l->operand[0].data,
                                                  (CUdeviceptr)(uintptr_t)l->operand[1].data,
                                                  (size_t)loop_count(l) * size, device->stream);
  return gpu_tensor_fail(gpu_check(device, result, "copy memory", &why), &why, error);
}

static int run(gpu_device *device, const elementwise_work *w, const loop *l, tensor_error *error) {
  variant v = choose_variant(w);
  elementwise_arguments a = {.out = l->operand[0].data};
  size_t sizes[4] = {dtype_size(w->to->dtype)};
  for (int i = 0, k = 1; i < w->inputs; i++)
    if (!tensor_is_on_cpu(w->in[i])) sizes[k++] = dtype_size(w->in[i]->dtype);
  v.items = choose_items(l, sizes);
  v.steps = v.items <= 4 ? 4 : 16 / v.items;
  set_strides(a.out_stride, l, 0, sizes[0], v.items);
  for (int i = 0, k = 1; i < w->inputs; i++) {
    if (tensor_is_on_cpu(w->in[i])) {
      v.mode[i] = VALUE;
      a.value[i] = value_bits(w, w->in[i], v.compute);
      v.in[i] = v.compute;
      continue;
    }
    int inner = l->rank - 1;
    bool splat = inner < 0 || l->operand[k].stride[inner] == 0 || v.items == 1;
    v.mode[i] = splat ? SPLAT : VECTOR;
    a.in[i] = l->operand[k].data;
    set_strides(a.in_stride[i], l, k, sizes[k], splat ? 1 : v.items);
    k++;
  }
  for (int i = w->inputs; i < 3; i++) v.mode[i] = VALUE, v.in[i] = v.compute;
  a.shape = gpu_strided_shape(l, v.items);
  a.count = loop_count(l) / v.items;
  v.wide = a.count >= INT32_MAX;
  v.flat = l->rank <= 1;
  return launch(device, &v, &a, error);
}

int gpu_elementwise(const elementwise_work *w, tensor_error *error) {
  const tensor *all[4] = {w->to, w->in[0], w->in[1], w->in[2]};
  gpu_device *device = gpu_tensor_device(w->inputs + 1, all, error);
  if (!device) return TENSOR_DEVICE;
  loop l;
  loop_start(&l, w->to->rank, w->to->shape);
  loop_add(&l, w->to);
  for (int i = 0; i < w->inputs; i++)
    if (!tensor_is_on_cpu(w->in[i])) loop_add(&l, w->in[i]);
  loop_simplify(&l);
  size_t size = dtype_size(w->to->dtype);
  if (is_plain_copy(w, &l)) return copy_plain(device, &l, size, error);
  if (w->kind == ELEMENTWISE_CAST && l.operands == 2 && w->in[0]->dtype == w->to->dtype) {
    int code = gpu_transpose(device, &l, size, error);
    if (code <= 0) return code;
  }
  return run(device, w, &l, error);
}
