/* elementwise.c -- from an operation's name and its operands to a loop over one of the kernels. */
#include <stdio.h>
#include "tensor/device.h"
#include "tensor/elementwise.h"
#include "tensor/job.h"
#include "tensor/loop.h"
#include "tensor/pending.h"

/* ---- what ops.def says ------------------------------------------------------------------------
 */

enum result { SAME, FLOAT, BOOL };
enum classes { F = 1, I = 2, B = 4, FI = F | I, IB = I | B, FIB = F | I | B };

typedef struct op_info {
  const char *name;
  enum result result;
  enum classes classes;
} op_info;

#define INFO(name, result, classes, ...) {#name, result, classes},
#define NOTHING(...)
#define UNARY INFO
#define BINARY NOTHING
#define TERNARY NOTHING
static const op_info unary_info[] = {
#include "tensor/ops.def"
};
#undef UNARY
#undef BINARY
#define UNARY NOTHING
#define BINARY INFO
static const op_info binary_info[] = {
#include "tensor/ops.def"
};
#undef BINARY
#undef TERNARY
#define BINARY NOTHING
#define TERNARY INFO
static const op_info ternary_info[] = {
#include "tensor/ops.def"
};
#undef UNARY
#undef BINARY
#undef TERNARY

const char *unary_name(enum unary_op op) {
  return unary_info[op].name;
}
const char *binary_name(enum binary_op op) {
  return binary_info[op].name;
}
const char *ternary_name(enum ternary_op op) {
  return ternary_info[op].name;
}

/* ---- numbers as operands ----------------------------------------------------------------------
 */

static operand wrap_scalar(scalar *s, dtype dtype) {
  s->storage = (storage){.data = &s->value, .bytes = sizeof s->value, .device = DEVICE_CPU};
  atomic_init(&s->storage.references, 1);
  s->tensor = (tensor){.storage = &s->storage, .dtype = dtype};
  return (operand){&s->tensor, true};
}

operand scalar_float(scalar *s, double value) {
  s->value.f = value;
  return wrap_scalar(s, DTYPE_FLOAT64);
}

operand scalar_integer(scalar *s, int64_t value) {
  s->value.i = value;
  return wrap_scalar(s, DTYPE_INT64);
}

operand scalar_bool(scalar *s, bool value) {
  s->value.b = value;
  return wrap_scalar(s, DTYPE_BOOL);
}

/* ---- promotion --------------------------------------------------------------------------------
 */

/* Of an operand that is lower in rank (a 0-d tensor under one with dimensions, a number under
 * both) only the kind counts, and only where it is the higher one: bool, integer, float. */
static dtype combine(dtype higher, dtype lower) {
  if (higher == DTYPE_NONE || lower == DTYPE_NONE) return higher == DTYPE_NONE ? lower : higher;
  if (dtype_is_float(higher)) return higher;
  if (higher == DTYPE_BOOL || dtype_is_float(lower)) return dtype_promote(higher, lower);
  return higher;
}

dtype promote_operands(int n, const operand *operands) {
  dtype rank[3] = {DTYPE_NONE, DTYPE_NONE, DTYPE_NONE}; /* with dimensions, 0-d, numbers */
  for (int i = 0; i < n; i++) {
    const tensor *t = operands[i].tensor;
    dtype current = operands[i].wrapped && dtype_is_float(t->dtype) ? DTYPE_FLOAT32 : t->dtype;
    dtype *of = &rank[operands[i].wrapped ? 2 : t->rank == 0 ? 1 : 0];
    *of = *of == DTYPE_NONE ? current : dtype_promote(*of, current);
    if (*of == DTYPE_NONE) return DTYPE_NONE;
  }
  return combine(rank[0], combine(rank[1], rank[2]));
}

/* ---- running ----------------------------------------------------------------------------------
 */

static int run_work(const elementwise_work *w, tensor_error *error) {
  if (tensor_count(w->to) == 0) return 0;
  if (!tensor_is_on_cpu(w->to)) return device_functions_get()->elementwise(w, error);
  elementwise_on_cpu(w);
  return 0;
}

/* ---- the checks that all share ----------------------------------------------------------------
 */

static void describe_operands(const char *name, int n, const operand *in, char text[256]) {
  char one[3][TENSOR_TEXT];
  for (int i = 0; i < n; i++) tensor_describe(in[i].tensor, one[i]);
  if (n == 1)
    snprintf(text, 256, "cannot %s %.100s", name, one[0]);
  else if (n == 2)
    snprintf(text, 256, "cannot %s %.90s and %.90s", name, one[0], one[1]);
  else
    snprintf(text, 256, "cannot %s %.60s, %.60s and %.60s", name, one[0], one[1], one[2]);
}

static int refuse(const char *name, int n, const operand *in, const char *why,
                  tensor_error *error) {
  char text[256];
  describe_operands(name, n, in, text);
  return tensor_fail(error, TENSOR_INVALID, "%.190s: %s", text, why);
}

/* The device that operands, and what is written to, lie on. */
static int find_device(int *device, const char *name, int n, const operand *in, const tensor *into,
                       tensor_error *error) {
  const tensor *all[4];
  for (int i = 0; i < n; i++) all[i] = in[i].tensor;
  if (into) all[n] = into;
  int code = tensor_common_device(device, name, into ? n + 1 : n, all, error);
  if (code || !into || into->storage->device == *device) return code;
  return refuse(name, n, in, "the result lies on another device than what is written to", error);
}

/* The shape all operands broadcast to, in `shape`: a tensor without storage. */
static int common_shape(const char *name, int n, const operand *in, tensor *shape,
                        tensor_error *error) {
  *shape = *in[0].tensor;
  for (int i = 1; i < n; i++) {
    int code = shape_broadcast(name, shape, in[i].tensor, &shape->rank, shape->shape, error);
    if (code) return code;
  }
  return 0;
}

/* May `into` be written with a result of this shape and dtype, made from these operands? */
static int check_into(const char *name, int n, const operand *in, const tensor *into,
                      const tensor *shape, dtype result, tensor_error *error) {
  char why[200], text[TENSOR_TEXT];
  if (!dtype_can_cast(result, into->dtype)) {
    snprintf(why, sizeof why, "the result is %s, which %s cannot hold", dtype_name(result),
             dtype_name(into->dtype));
    return refuse(name, n, in, why, error);
  }
  if (!tensor_same_shape(shape, into)) {
    snprintf(why, sizeof why, "in place, the result has shape %.80s",
             shape_describe(shape->rank, shape->shape, text));
    return refuse(name, n, in, why, error);
  }
  if (tensor_overlaps_itself(into))
    return refuse(name, n, in, "several elements to be written share their memory; clone it first",
                  error);
  for (int i = 0; i < n; i++) {
    const tensor *t = in[i].tensor;
    if (tensor_overlaps_partly(into, t) && tensor_is_dense(into) && tensor_is_dense(t))
      return refuse(name, n, in, "the written elements overlap an operand's; clone that first",
                    error);
  }
  return 0;
}

static bool has_class(const op_info *op, dtype d) {
  return op->classes & (dtype_is_float(d) ? F : d == DTYPE_BOOL ? B : I);
}

/* The dtype to compute in, and that of the result. */
static int choose_dtypes(const op_info *op, int n, const operand *in, dtype *common, dtype *result,
                         tensor_error *error) {
  *common = promote_operands(n, in);
  if (*common == DTYPE_NONE)
    return refuse(op->name, n, in, "these dtypes do not mix; convert one", error);
  if (op->result == FLOAT && !dtype_is_float(*common)) *common = DTYPE_FLOAT32;
  if (*common == DTYPE_FLOAT4_E2M1 || !has_class(op, *common)) {
    char why[80];
    snprintf(why, sizeof why, "it is not defined for %s", dtype_name(*common));
    return refuse(op->name, n, in, why, error);
  }
  *result = op->result == BOOL ? DTYPE_BOOL : *common;
  return 0;
}

/* Check everything, make *out if there is no `into`, and leave in *to where to write. */
static int prepare(const op_info *op, int n, const operand *in, tensor *out, tensor *into,
                   dtype *common, const tensor **to, tensor_error *error) {
  tensor shape;
  dtype result = DTYPE_NONE;
  int device, code = find_device(&device, op->name, n, in, into, error);
  if (!code) code = choose_dtypes(op, n, in, common, &result, error);
  if (!code) code = common_shape(op->name, n, in, &shape, error);
  if (code) return code;
  *to = into ? into : out;
  if (into) return check_into(op->name, n, in, into, &shape, result, error);
  return pending_result(out, result, device, shape.rank, shape.shape, error);
}

/* Can the work be done at once, whatever waits elsewhere? */
static bool is_plain(const elementwise_work *w) {
  bool plain = storage_is_plain(w->to->storage);
  for (int i = 0; i < w->inputs && plain; i++) plain = !storage_waits(w->in[i]->storage);
  return plain;
}

/* Run the work on operands of which none overlaps its result, except element for element: rows of
 * which every other element is written may lie between each other, and nobody wants to tell how. */
static int run_apart(elementwise_work *w, tensor_error *error) {
  tensor copies[3] = {{0}, {0}, {0}};
  int code = is_plain(w) ? 1 : pending_work(w, error);
  if (code <= 0) return code;
  bool may_wait = pending_allow(false);
  code = 0;
  for (int i = 0; i < w->inputs && !code; i++) {
    if (!tensor_overlaps_partly(w->to, w->in[i])) continue;
    code = tensor_clone(&copies[i], w->in[i], error);
    w->in[i] = &copies[i];
  }
  if (!code) code = run_work(w, error);
  pending_allow(may_wait);
  for (int i = 0; i < w->inputs; i++) tensor_release(&copies[i]);
  return code;
}

static int run_prepared(enum elementwise_kind kind, int op, const op_info *info, int n,
                        const operand *in, dtype common, const tensor *to, tensor_error *error) {
  compute_type c = dtype_compute(common);
  elementwise_work w = {.kind = kind, .op = op, .compute = c, .inputs = n, .to = to};
  w.made = info->result == BOOL ? DTYPE_BOOL : compute_dtype(c);
  for (int i = 0; i < n; i++) w.in[i] = in[i].tensor;
  return run_apart(&w, error);
}

/* A result that was made is let go when the work failed. */
static int finish(tensor *out, const tensor *into, int code) {
  if (code && !into) tensor_release(out);
  return code;
}

/* ---- operations -------------------------------------------------------------------------------
 */

int tensor_unary(enum unary_op op, tensor *out, tensor *into, const tensor *a,
                 tensor_error *error) {
  operand in[1] = {{a, false}};
  dtype common;
  const tensor *to;
  int code = prepare(&unary_info[op], 1, in, out, into, &common, &to, error);
  if (code) return code;
  return finish(out, into,
                run_prepared(ELEMENTWISE_UNARY, op, &unary_info[op], 1, in, common, to, error));
}

static void find_zero(void *context, char *const *data, const int64_t *stride, int64_t n) {
  struct {
    dtype dtype;
    bool found;
  } *search = context;
  for (int64_t i = 0; i < n; i++) {
    int64_t value = 0;
    memcpy(&value, data[0] + i * stride[0], dtype_size(search->dtype));
    if (value == 0) search->found = true;
  }
}

static bool contains_zero(const tensor *t) {
  struct {
    dtype dtype;
    bool found;
  } search = {t->dtype, false};
  loop l;
  loop_start(&l, t->rank, t->shape);
  loop_add(&l, t);
  loop_simplify(&l);
  loop_run(&l, 0, find_zero, &search);
  return search.found;
}

static bool divides_integers(enum binary_op op, dtype common) {
  bool divides = op == BINARY_floor_divide || op == BINARY_remainder || op == BINARY_fmod;
  return divides && !dtype_is_float(common);
}

/* Is there a zero in t once it is of dtype d? */
static int find_zero_as(bool *found, const tensor *t, dtype d, tensor_error *error) {
  tensor cast;
  int code = tensor_to(&cast, t, d, error);
  if (code) return code;
  *found = contains_zero(&cast);
  tensor_release(&cast);
  return 0;
}

static int check_values(enum binary_op op, const operand *in, dtype common, tensor_error *error) {
  const tensor *b = in[1].tensor;
  bool zero = false, is_seen = tensor_is_on_cpu(b); /* a device would have to be waited for */
  if (is_seen && divides_integers(op, common) && tensor_count(in[0].tensor) > 0) {
    bool may_wait = pending_allow(false);
    int code = storage_settle(b->storage, error);
    if (!code) code = find_zero_as(&zero, b, common, error);
    pending_allow(may_wait);
    if (code) return code;
  }
  if (zero) return refuse(binary_name(op), 2, in, "division by zero", error);
  if (op == BINARY_pow && in[1].wrapped && b->dtype == DTYPE_INT64 && dtype_is_integer(common) &&
      *(int64_t *)tensor_data(b) < 0)
    return refuse("pow", 2, in, "integers have no negative powers; convert to a float dtype",
                  error);
  return 0;
}

/* Products and quotients of half types take a number, or a tensor of one element, as exactly as
 * float32 has it; all else rounds it to the half type first. torch does so too. */
static bool takes_exact(enum binary_op op, const tensor *t) {
  bool product = op == BINARY_mul || op == BINARY_div || op == BINARY_floor_divide;
  return product && tensor_count(t) == 1;
}

static bool is_half(dtype d) {
  return dtype_is_float(d) && dtype_size(d) < 4;
}

/* The operand rounded to the common dtype, in *rounded, where that is a half type. */
static int round_operand(enum binary_op op, operand *in, dtype common, tensor *rounded,
                         tensor_error *error) {
  if (!is_half(common) || in->tensor->dtype == common || takes_exact(op, in->tensor)) return 0;
  bool is_number = tensor_is_on_cpu(in->tensor) && tensor_count(in->tensor) == 1;
  bool may_wait = pending_allow(false);
  int code = is_number ? storage_settle(in->tensor->storage, error) : 0;
  pending_allow(may_wait && !is_number);
  if (!code) code = tensor_to(rounded, in->tensor, common, error);
  pending_allow(may_wait);
  if (!code) in->tensor = rounded;
  return code;
}

/* Powers that have an exact or faster form; UNARY_COUNT for the others. The roots differ from pow
 * for -0 and -inf, and torch does not take them for float16. */
static enum unary_op power_form(operand exponent, dtype common) {
  double value;
  if (!exponent.wrapped || !dtype_is_float(common)) return UNARY_COUNT;
  dtype_convert(DTYPE_FLOAT64, &value, exponent.tensor->dtype, tensor_data(exponent.tensor), 1);
  if (value == 2) return UNARY_square;
  if (value == -1) return UNARY_reciprocal;
  if (common == DTYPE_FLOAT16) return UNARY_COUNT;
  return value == 0.5 ? UNARY_sqrt : value == -0.5 ? UNARY_rsqrt : UNARY_COUNT;
}

static int run_binary(enum binary_op op, operand *in, dtype common, const tensor *to,
                      tensor_error *error) {
  tensor rounded[2] = {{0}, {0}};
  int code = check_values(op, in, common, error);
  for (int i = 0; i < 2 && !code; i++) code = round_operand(op, &in[i], common, &rounded[i], error);
  if (!code) {
    enum unary_op form = op == BINARY_pow ? power_form(in[1], common) : UNARY_COUNT;
    code = form == UNARY_COUNT
               ? run_prepared(ELEMENTWISE_BINARY, op, &binary_info[op], 2, in, common, to, error)
               : run_prepared(ELEMENTWISE_UNARY, form, &unary_info[form], 1, in, common, to, error);
  }
  tensor_release(&rounded[0]);
  tensor_release(&rounded[1]);
  return code;
}

int tensor_binary(enum binary_op op, tensor *out, tensor *into, operand a, operand b,
                  tensor_error *error) {
  operand in[2] = {a, b};
  dtype common;
  const tensor *to;
  int code = prepare(&binary_info[op], 2, in, out, into, &common, &to, error);
  return code ? code : finish(out, into, run_binary(op, in, common, to, error));
}

int tensor_ternary(enum ternary_op op, tensor *out, tensor *into, operand a, operand b, operand c,
                   tensor_error *error) {
  operand in[3] = {a, b, c};
  dtype common;
  const tensor *to;
  int code = prepare(&ternary_info[op], 3, in, out, into, &common, &to, error);
  if (code) return code;
  return finish(out, into,
                run_prepared(ELEMENTWISE_TERNARY, op, &ternary_info[op], 3, in, common, to, error));
}

int tensor_where(tensor *out, tensor *into, const tensor *condition, operand a, operand b,
                 tensor_error *error) {
  operand in[3] = {{condition, false}, a, b}, chosen[2] = {a, b};
  tensor shape;
  if (condition->dtype != DTYPE_BOOL && condition->dtype != DTYPE_UINT8)
    return refuse("where", 3, in, "the condition is not bool", error);
  dtype common = into ? into->dtype : promote_operands(2, chosen);
  int device, code = find_device(&device, "where", 3, in, into, error);
  bool packed = common == DTYPE_FLOAT4_E2M1 &&
                (a.tensor->dtype != DTYPE_FLOAT4_E2M1 || b.tensor->dtype != DTYPE_FLOAT4_E2M1);
  if (!code && (common == DTYPE_NONE || packed))
    return refuse("where", 3, in, "these dtypes do not mix; convert one", error);
  if (!code) code = common_shape("where", 3, in, &shape, error);
  if (!code && into) code = check_into("where", 3, in, into, &shape, common, error);
  if (!code && !into) code = pending_result(out, common, device, shape.rank, shape.shape, error);
  if (code) return code;
  elementwise_work w = {.kind = ELEMENTWISE_WHERE,
                        .inputs = 3,
                        .to = into ? into : out,
                        .in = {condition, a.tensor, b.tensor}};
  return finish(out, into, run_apart(&w, error));
}

/* ---- copies -----------------------------------------------------------------------------------
 */

static int refuse_copy(const tensor *to, const tensor *from, const char *why, tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot copy %.80s into %.80s: %s",
                     tensor_describe(from, left), tensor_describe(to, right), why);
}

static int copy_here(const tensor *to, const tensor *from, tensor_error *error) {
  elementwise_work w = {.kind = ELEMENTWISE_CAST, .inputs = 1, .to = to, .in = {from}};
  return run_work(&w, error);
}

/* What a copy is of, and all that waits for what it is written over, comes first; 1 where the copy
 * remains to be made. */
static int settle_copy(tensor *to, const tensor *from, tensor_error *error) {
  bool is_here = to->storage->device == from->storage->device;
  if (storage_is_plain(to->storage) && !storage_waits(from->storage)) return 1;
  if (is_here && from->storage->pending && tensor_count(to) > 0)
    return pending_copy(to, from, error);
  int code = storage_settle(from->storage, error);
  if (!code) code = storage_settle_to_change(to->storage, error);
  return code ? code : 1;
}

/* From one device to another: brought there as it is, then copied. One number goes by value. */
static int copy_across(const tensor *to, const tensor *from, tensor_error *error) {
  tensor brought;
  bool is_number = tensor_is_on_cpu(from) && tensor_count(from) == 1;
  if (is_number) return copy_here(to, from, error);
  int code = tensor_to_device(&brought, from, to->storage->device, error);
  if (code) return code;
  code = copy_here(to, &brought, error);
  tensor_release(&brought);
  return code;
}

int tensor_copy(tensor *to, const tensor *from, tensor_error *error) {
  tensor expanded, copied = {0};
  if ((to->dtype == DTYPE_FLOAT4_E2M1) != (from->dtype == DTYPE_FLOAT4_E2M1))
    return refuse_copy(to, from, "float4_e2m1 holds pairs; unpack or pack them", error);
  if (tensor_overlaps_itself(to))
    return refuse_copy(to, from, "several of its elements share their memory; clone it first",
                       error);
  int code = tensor_expand(&expanded, from, to->rank, to->shape, error);
  if (code) return refuse_copy(to, from, "the shapes do not fit", error);
  tensor_release(&expanded);
  code = settle_copy(to, from, error);
  if (code <= 0) return code;
  if (to->storage->device != from->storage->device) return copy_across(to, from, error);
  bool may_wait = pending_allow(false);
  code = 0;
  if (tensor_overlaps_partly(to, from)) {
    code = tensor_clone(&copied, from, error);
    from = &copied;
  }
  if (!code) code = copy_here(to, from, error);
  pending_allow(may_wait);
  tensor_release(&copied);
  return code;
}

int tensor_fill(tensor *t, operand value, tensor_error *error) {
  return tensor_copy(t, value.tensor, error);
}

static bool is_pair(dtype d) {
  return d == DTYPE_FLOAT4_E2M1;
}

static int copy_as(tensor *out, const tensor *t, dtype dtype, tensor_error *error) {
  tensor made;
  bool may_wait = is_pair(dtype) == is_pair(t->dtype);
  int code = may_wait ? pending_result(&made, dtype, t->storage->device, t->rank, t->shape, error)
                      : tensor_empty(&made, dtype, t->storage->device, t->rank, t->shape, error);
  if (code) return code;
  if (storage_is_blank(made.storage)) {
    elementwise_work w = {.kind = ELEMENTWISE_CAST, .inputs = 1, .to = &made, .in = {t}};
    code = pending_note(&w, error);
  } else {
    code = tensor_copy(&made, t, error);
  }
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int tensor_clone(tensor *out, const tensor *t, tensor_error *error) {
  return copy_as(out, t, t->dtype, error);
}

int tensor_contiguous(tensor *out, const tensor *t, tensor_error *error) {
  if (!tensor_is_contiguous(t)) return tensor_clone(out, t, error);
  tensor_share(out, t);
  return 0;
}

int tensor_to(tensor *out, const tensor *t, dtype dtype, tensor_error *error) {
  if (t->dtype == dtype) {
    tensor_share(out, t);
    return 0;
  }
  return copy_as(out, t, dtype, error);
}
