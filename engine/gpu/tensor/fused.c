/* fused.c -- from a program of elementwise operations to a launch of cuda/fused.cu, of which each
 * such program, and each way to read its operands, has a variant. */
#include "tensor/fused.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/fused.h"
#include "gpu/tensor/tensor.h"

enum { THREADS = 256, MOST_BYTES = 16 /* that one instruction loads */ };
enum mode { VECTOR, SPLAT, VALUE };

static const gpu_source source = {"fused.cu", {"fused", NULL}};

/* What a variant is made for; all of it is bytes that are compared. */
typedef struct variant {
  struct {
    uint8_t kind, op, compute, made, out;
    int8_t in[3];
  } step[FUSED_STEPS];
  struct {
    uint8_t dtype, mode;
  } leaf[FUSED_LEAVES];
  uint8_t steps, leaves, out, items, times, flat, wide;
} variant;

/* ---- variants and their numbers ---------------------------------------------------------------
 */

/* Their number in the order in which they were met is the key. */
typedef struct entry {
  struct entry *next;
  variant variant;
  uint64_t key;
} entry;

enum { BUCKETS = 256 };
static entry *met[BUCKETS];
static uint64_t count_met;

/* 0 where there is no memory to remember it. */
static uint64_t key_of(const variant *v) {
  const unsigned char *bytes = (const unsigned char *)v;
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < sizeof *v; i++) hash = (hash ^ bytes[i]) * 16777619u;
  entry **bucket = &met[(hash ^ hash >> 16) % BUCKETS];
  for (entry *e = *bucket; e; e = e->next)
    if (memcmp(&e->variant, v, sizeof *v) == 0) return e->key;
  entry *made = malloc(sizeof *made);
  if (!made) return 0;
  *made = (entry){.next = *bucket, .variant = *v, .key = ++count_met};
  *bucket = made;
  return made->key;
}

/* ---- macros -----------------------------------------------------------------------------------
 */

static const char *const suffixes[COMPUTE_COUNT] = {
    [COMPUTE_FLOAT64] = "f64", [COMPUTE_FLOAT32] = "f32", [COMPUTE_INT64] = "i64",
    [COMPUTE_INT32] = "i32",   [COMPUTE_INT16] = "i16",   [COMPUTE_INT8] = "i8",
    [COMPUTE_UINT8] = "u8",    [COMPUTE_BOOL] = "b8"};

/* Text that grows in a buffer of the caller's; what does not fit is left out, and the compiler says
 * so. */
typedef struct text {
  char *at;
  size_t left;
} text;

static void write_text(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void write_text(text *t, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(t->at, t->left, format, arguments);
  va_end(arguments);
  size_t written = n < 0 ? 0 : (size_t)n < t->left ? (size_t)n : t->left - 1;
  t->at += written;
  t->left -= written;
}

static dtype type_of(const variant *v, int value) {
  return value < 0 ? v->leaf[~value].dtype : v->step[value].out;
}

/* A value as the number of another type. */
static void write_value(text *t, const variant *v, int value, dtype as) {
  write_text(t, "Cast<%s, %s>::of(%c%d)", gpu_type_name(as), gpu_type_name(type_of(v, value)),
             value < 0 ? 'y' : 'v', value < 0 ? ~value : value);
}

static const char *name_of(int kind, int op) {
  return kind == ELEMENTWISE_UNARY    ? unary_name(op)
         : kind == ELEMENTWISE_BINARY ? binary_name(op)
                                      : ternary_name(op);
}

/* auto v2 = rounded<bfloat16>(Cast<bfloat16, float32>::of(in_f32::op_add(...))); */
static void write_step(text *t, const variant *v, int k) {
  dtype out = v->step[k].out, compute = compute_dtype(v->step[k].compute);
  const int8_t *in = v->step[k].in;
  int kind = v->step[k].kind;
  int inputs = kind == ELEMENTWISE_BINARY                              ? 2
               : kind == ELEMENTWISE_UNARY || kind == ELEMENTWISE_CAST ? 1
                                                                       : 3;
  write_text(t, "auto v%d = rounded<%s>(", k, gpu_type_name(out));
  if (kind == ELEMENTWISE_CAST) {
    write_value(t, v, in[0], out);
  } else if (kind == ELEMENTWISE_WHERE) {
    write_text(t, "%c%d != 0 ? ", in[0] < 0 ? 'y' : 'v', in[0] < 0 ? ~in[0] : in[0]);
    write_value(t, v, in[1], out);
    write_text(t, " : ");
    write_value(t, v, in[2], out);
  } else {
    write_text(t, "Cast<%s, %s>::of(in_%s::op_%s(", gpu_type_name(out),
               gpu_type_name(v->step[k].made), suffixes[v->step[k].compute],
               name_of(kind, v->step[k].op));
    for (int i = 0; i < inputs; i++) {
      if (i > 0) write_text(t, ", ");
      write_value(t, v, in[i], compute);
    }
    write_text(t, "))");
  }
  write_text(t, "); ");
}

static void write_leaves(char macros[GPU_PROGRAM_MACROS], const variant *v) {
  static const char *const modes[] = {"VECTOR", "SPLAT", "VALUE"};
  char line[GPU_PROGRAM_MACROS];
  text t = {line, sizeof line};
  for (int k = 0; k < v->leaves; k++)
    write_text(&t, "Operand<%s, %s> x%d[n]; ", gpu_type_name(v->leaf[k].dtype),
               modes[v->leaf[k].mode], k);
  gpu_macro(macros, "DECLARE(n)", "%s", line);
  t = (text){line, sizeof line};
  for (int k = 0; k < v->leaves; k++)
    write_text(&t, "x%d[s].read(g.in[%d], at.in[%d], g.value[%d]); ", k, k, k, k);
  gpu_macro(macros, "READ(s)", "%s", line);
}

static void write_steps(char macros[GPU_PROGRAM_MACROS], const variant *v) {
  char line[GPU_PROGRAM_MACROS];
  text t = {line, sizeof line};
  for (int k = 0; k < v->leaves; k++) write_text(&t, "auto y%d = x%d[s].number(i); ", k, k);
  for (int k = 0; k < v->steps; k++) write_step(&t, v, k);
  write_text(&t, "auto made = v%d;", v->steps - 1);
  gpu_macro(macros, "COMPUTE(s, i)", "%s", line);
}

static void define(char macros[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(macros, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(macros, "LEAVES", "%d", v->leaves);
  gpu_macro(macros, "ITEMS", "%d", v->items);
  gpu_macro(macros, "STEPS", "%d", v->times);
  gpu_macro(macros, "FLAT", "%d", v->flat);
  gpu_macro(macros, "WIDE", "%d", v->wide);
  bool used[COMPUTE_COUNT] = {false};
  for (int k = 0; k < v->steps; k++) {
    bool computes = v->step[k].kind != ELEMENTWISE_CAST && v->step[k].kind != ELEMENTWISE_WHERE;
    if (!computes || used[v->step[k].compute]) continue;
    used[v->step[k].compute] = true;
    char name[16];
    snprintf(name, sizeof name, "USES_%s", suffixes[v->step[k].compute]);
    gpu_macro(macros, name, "1");
  }
  write_leaves(macros, v);
  write_steps(macros, v);
}

/* ---- how operands are read --------------------------------------------------------------------
 */

static bool takes_vectors(const loop *l, int k, int items) {
  int inner = l->rank - 1;
  int64_t bytes = items * l->operand[k].stride[inner];
  if (bytes == 0) return k > 0; /* one element for all of them */
  if ((uintptr_t)l->operand[k].data % (uint64_t)bytes) return false;
  for (int d = 0; d < inner; d++)
    if (l->operand[k].stride[d] % bytes) return false;
  return true;
}

/* As many elements at a time as all operands allow, or one: nothing between, for each is a variant
 * of its own. */
static int choose_items(const loop *l, const size_t *sizes) {
  size_t largest = 1;
  int inner = l->rank - 1;
  if (inner < 0) return 1;
  for (int k = 0; k < l->operands; k++) {
    int64_t stride = l->operand[k].stride[inner];
    if (stride != 0 && stride != (int64_t)sizes[k]) return 1;
    if (sizes[k] > largest) largest = sizes[k];
  }
  int items = (int)(MOST_BYTES / largest);
  bool all = items > 1 && l->shape[inner] % items == 0;
  for (int k = 0; k < l->operands && all; k++) all = takes_vectors(l, k, items);
  return all ? items : 1;
}

static void set_strides(int64_t stride[STRIDED_RANK], const loop *l, int k, size_t size,
                        int items) {
  for (int d = 0; d < l->rank; d++) {
    bool inner = d == l->rank - 1;
    stride[d] = l->operand[k].stride[d] / (int64_t)size / (inner ? 1 : items);
  }
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

/* What a number is converted to, once: what the first step that takes it computes in. A number
 * belongs to one step. */
static dtype number_type(const fused *f, int leaf) {
  for (int k = 0; k < f->steps; k++) {
    const fused_step *s = &f->step[k];
    for (int i = 0; i < s->inputs; i++) {
      if (s->in[i] != ~leaf) continue;
      if (s->kind == ELEMENTWISE_CAST) return s->out;
      if (s->kind == ELEMENTWISE_WHERE) return i == 0 ? f->leaf[leaf].tensor.dtype : s->out;
      return compute_dtype(s->compute);
    }
  }
  return f->leaf[leaf].tensor.dtype;
}

/* ---- the launch -------------------------------------------------------------------------------
 */

static void start_variant(variant *v, const fused *f) {
  memset(v, 0, sizeof *v);
  v->steps = (uint8_t)f->steps;
  v->leaves = (uint8_t)f->leaves;
  v->out = (uint8_t)f->to.dtype;
  for (int k = 0; k < f->steps; k++) {
    const fused_step *s = &f->step[k];
    bool moves = s->kind == ELEMENTWISE_CAST || s->kind == ELEMENTWISE_WHERE;
    v->step[k].kind = (uint8_t)s->kind;
    v->step[k].out = (uint8_t)s->out;
    for (int i = 0; i < s->inputs; i++) v->step[k].in[i] = (int8_t)s->in[i];
    if (moves) continue;
    v->step[k].op = (uint8_t)s->op;
    v->step[k].compute = (uint8_t)s->compute;
    v->step[k].made = (uint8_t)s->made;
  }
}

static void start_loop(loop *l, size_t *sizes, const fused *f) {
  loop_start(l, f->to.rank, f->to.shape);
  loop_add(l, &f->to);
  sizes[0] = dtype_size(f->to.dtype);
  for (int k = 0; k < f->leaves; k++) {
    if (f->leaf[k].is_number) continue;
    sizes[l->operands] = dtype_size(f->leaf[k].tensor.dtype);
    loop_add(l, &f->leaf[k].tensor);
  }
  loop_simplify(l);
}

static void set_leaves(variant *v, fused_arguments *a, const fused *f, const loop *l,
                       const size_t *sizes) {
  int inner = l->rank - 1;
  for (int i = 0, k = 1; i < f->leaves; i++) {
    const fused_leaf *leaf = &f->leaf[i];
    if (leaf->is_number) {
      dtype as = number_type(f, i);
      v->leaf[i].dtype = (uint8_t)as;
      v->leaf[i].mode = VALUE;
      dtype_convert(as, &a->value[i], leaf->tensor.dtype, &leaf->bits, 1);
      continue;
    }
    bool splat = inner < 0 || l->operand[k].stride[inner] == 0 || v->items == 1;
    v->leaf[i].dtype = (uint8_t)leaf->tensor.dtype;
    v->leaf[i].mode = splat ? SPLAT : VECTOR;
    a->in[i] = l->operand[k].data;
    set_strides(a->in_stride[i], l, k, sizes[k], splat ? 1 : v->items);
    k++;
  }
}

static int launch(gpu_device *device, const variant *v, const fused_arguments *a,
                  tensor_error *error) {
  gpu_error why;
  int64_t per_block = (int64_t)THREADS * v->times, blocks = (a->count + per_block - 1) / per_block;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  uint64_t key = key_of(v);
  if (!key) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot keep a program: out of memory");
  const gpu_program *program = gpu_program_get(device, &source, key, define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, a, &why), &why, error);
}

int gpu_fused(const fused *f, tensor_error *error) {
  const tensor *all[FUSED_LEAVES + 1] = {&f->to};
  int tensors = 1;
  for (int k = 0; k < f->leaves; k++)
    if (!f->leaf[k].is_number) all[tensors++] = &f->leaf[k].tensor;
  gpu_device *device = gpu_tensor_device(tensors, all, error);
  if (!device) return TENSOR_DEVICE;
  loop l;
  variant v;
  size_t sizes[FUSED_LEAVES + 1];
  fused_arguments a = {0};
  start_variant(&v, f);
  start_loop(&l, sizes, f);
  v.items = (uint8_t)choose_items(&l, sizes);
  v.times = tensors <= 3 ? 4 : 2;
  v.flat = l.rank <= 1;
  a.out = l.operand[0].data;
  set_strides(a.out_stride, &l, 0, sizes[0], v.items);
  set_leaves(&v, &a, f, &l, sizes);
  a.shape = gpu_strided_shape(&l, v.items);
  a.count = loop_count(&l) / v.items;
  v.wide = a.count >= INT32_MAX;
  return launch(device, &v, &a, error);
}
