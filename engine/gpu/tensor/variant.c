/* variant.c -- from a program of elementwise operations to the macros of a kernel. */
#include "gpu/tensor/variant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

uint64_t variant_key(const variant *v) {
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
  write_text(&t, v->steps > 0 ? "auto made = v%d;" : "auto made = y%d;",
             v->steps > 0 ? v->result : ~(int8_t)v->result);
  gpu_macro(macros, "COMPUTE(s, i)", "%s", line);
}

void variant_define(char macros[GPU_PROGRAM_MACROS], const variant *v) {
  gpu_macro(macros, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(macros, "LEAVES", "%d", v->leaves);
  gpu_macro(macros, "ITEMS", "%d", v->items);
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

/* ---- from a program ---------------------------------------------------------------------------
 */

/* What the step that takes the number computes in; a number belongs to one step. */
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

void variant_number(variant *v, int leaf, const fused *f, uint64_t *bits) {
  const fused_leaf *number = &f->leaf[leaf];
  dtype as = number_type(f, leaf);
  v->leaf[leaf].dtype = (uint8_t)as;
  v->leaf[leaf].mode = VARIANT_VALUE;
  dtype_convert(as, bits, number->tensor.dtype, &number->bits, 1);
}

void variant_start(variant *v, const fused *f) {
  memset(v, 0, sizeof *v);
  v->steps = (uint8_t)f->steps;
  v->leaves = (uint8_t)f->leaves;
  v->out = (uint8_t)f->to.dtype;
  v->result = (uint8_t)f->result;
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
