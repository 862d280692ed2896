/* ltensor_make.c -- making tensors: of a value, from tables, from bytes; and back into Lua. */
#include <math.h>
#include "lua/ltensor.h"
#include "tensor/device.h"

/* ---- of one value -----------------------------------------------------------------------------
 */

static int push_empty(lua_State *L, int rank, const int64_t *shape,
                      const ltensor_options *options) {
  tensor_error error;
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, tensor_empty(t, options->dtype, options->device, rank, shape, &error));
  return ltensor_finish(L, t);
}

static int push_full(lua_State *L, int rank, const int64_t *shape, const ltensor_options *options,
                     operand value) {
  tensor_error error;
  push_empty(L, rank, shape, options);
  ltensor_try(L, tensor_fill(ltensor_check(L, -1), value, &error), &error);
  return 1;
}

static const ltensor_options defaults = {DTYPE_FLOAT32, DEVICE_CPU};

/* tensor.empty(sizes..., options) -> tensor, not initialised */
static int make_empty(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  ltensor_options options = defaults;
  int rank = ltensor_check_shape(L, 1, shape, &options);
  return push_empty(L, rank, shape, &options);
}

static int push_constant(lua_State *L, int64_t value) {
  int64_t shape[TENSOR_MAX_RANK];
  ltensor_options options = defaults;
  scalar s;
  int rank = ltensor_check_shape(L, 1, shape, &options);
  return push_full(L, rank, shape, &options, scalar_integer(&s, value));
}

/* tensor.zeros(sizes..., options) -> tensor; tensor.ones likewise */
static int make_zeros(lua_State *L) {
  return push_constant(L, 0);
}
static int make_ones(lua_State *L) {
  return push_constant(L, 1);
}

static dtype natural_dtype(operand value) {
  return value.wrapped && dtype_is_float(value.tensor->dtype) ? DTYPE_FLOAT32 : value.tensor->dtype;
}

/* tensor.full(sizes, value, options) -> tensor; without a dtype, the value's */
static int make_full(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  scalar s;
  int rank = ltensor_check_sizes(L, 1, shape);
  operand value = ltensor_check_operand(L, 2, &s);
  luaL_argcheck(L, value.tensor->rank == 0, 2, "a number or a 0-d tensor expected");
  ltensor_options options = {natural_dtype(value), DEVICE_CPU};
  ltensor_check_options(L, 3, &options);
  return push_full(L, rank, shape, &options, value);
}

static ltensor_options options_like(lua_State *L, const tensor *t, int arg) {
  ltensor_options options = {t->dtype, t->storage->device};
  ltensor_check_options(L, arg, &options);
  return options;
}

/* tensor.empty_like(t, options) -> tensor */
static int make_empty_like(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  ltensor_options options = options_like(L, t, 2);
  return push_empty(L, t->rank, t->shape, &options);
}

static int push_like(lua_State *L, int64_t value) {
  tensor *t = ltensor_look(L, 1);
  scalar s;
  ltensor_options options = options_like(L, t, 2);
  return push_full(L, t->rank, t->shape, &options, scalar_integer(&s, value));
}

static int make_zeros_like(lua_State *L) {
  return push_like(L, 0);
}
static int make_ones_like(lua_State *L) {
  return push_like(L, 1);
}

/* tensor.full_like(t, value, options) -> tensor */
static int make_full_like(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  scalar s;
  operand value = ltensor_check_operand(L, 2, &s);
  luaL_argcheck(L, value.tensor->rank == 0, 2, "a number or a 0-d tensor expected");
  ltensor_options options = options_like(L, t, 3);
  return push_full(L, t->rank, t->shape, &options, value);
}

/* What was made on the CPU, as the options have it, in *result, which becomes the stack's top. */
static int place(lua_State *L, tensor *result, tensor *made, const ltensor_options *options) {
  tensor_error error;
  int top = lua_gettop(L) - 1;
  tensor *moved = ltensor_push(L);
  LTENSOR_TRY(L, tensor_to_device(moved, made, options->device, &error));
  LTENSOR_TRY(L, tensor_to(result, moved, options->dtype, &error));
  tensor_release(moved);
  tensor_release(made);
  lua_settop(L, top);
  return ltensor_finish(L, result);
}

/* ---- sequences --------------------------------------------------------------------------------
 */

/* A tensor of n numbers that fill() writes as dtype `from`, cast to the dtype of the options. */
static int push_sequence(lua_State *L, int64_t n, dtype from, const ltensor_options *options,
                         void (*fill)(const void *context, void *out, int64_t n),
                         const void *context) {
  ltensor_options wide = {from, DEVICE_CPU};
  tensor *result = ltensor_push(L);
  push_empty(L, 1, &n, &wide);
  tensor *made = ltensor_check(L, -1);
  fill(context, tensor_data(made), n);
  return place(L, result, made, options);
}

typedef struct steps {
  int64_t first, step;
  double first_f, step_f;
} steps;

static void fill_integers(const void *context, void *out, int64_t n) {
  const steps *s = context;
  int64_t *y = out;
  for (int64_t i = 0; i < n; i++)
    y[i] = (int64_t)((uint64_t)s->first + (uint64_t)i * (uint64_t)s->step);
}

static void fill_floats(const void *context, void *out, int64_t n) {
  const steps *s = context;
  double *y = out;
  for (int64_t i = 0; i < n; i++) y[i] = s->first_f + (double)i * s->step_f;
}

static int64_t count_steps(lua_State *L, double first, double last, double step) {
  if (!(step != 0)) luaL_error(L, "cannot make a range: the step is 0");
  double n = ceil((last - first) / step);
  if (!isfinite(first) || !isfinite(last) || !isfinite(n) || n > 0x1p62)
    luaL_error(L, "cannot make a range from %f to %f: it does not end", first, last);
  if (n < 0)
    luaL_error(L, "cannot make a range from %f to %f: the step %f leads away", first, last, step);
  return (int64_t)n;
}

/* tensor.arange([first,] last [, step] [, options]) -> tensor: first, first + step, ... below last
 */
static int make_arange(lua_State *L) {
  int numbers = 0;
  bool exact = true;
  while (numbers < 3 && lua_type(L, numbers + 1) == LUA_TNUMBER)
    exact = lua_isinteger(L, ++numbers) && exact;
  if (numbers == 0) luaL_checknumber(L, 1);
  ltensor_options options = {exact ? DTYPE_INT64 : DTYPE_FLOAT32, DEVICE_CPU};
  ltensor_check_options(L, numbers + 1, &options);
  int first = numbers > 1 ? 1 : 0, last = numbers > 1 ? 2 : 1;
  steps s = {.step = 1, .step_f = 1};
  if (first) s.first_f = lua_tonumber(L, first), s.first = exact ? lua_tointeger(L, first) : 0;
  if (numbers == 3) s.step_f = lua_tonumber(L, 3), s.step = exact ? lua_tointeger(L, 3) : 0;
  int64_t n = count_steps(L, s.first_f, lua_tonumber(L, last), s.step_f);
  return push_sequence(L, n, exact ? DTYPE_INT64 : DTYPE_FLOAT64, &options,
                       exact ? fill_integers : fill_floats, &s);
}

typedef struct line {
  double first, last, step;
} line;

/* From both ends, as torch has it, so that the last element is exactly the last number. */
static void fill_line(const void *context, void *out, int64_t n) {
  const line *l = context;
  double *y = out;
  for (int64_t i = 0; i < n; i++)
    y[i] = i < n / 2 ? l->first + l->step * (double)i : l->last - l->step * (double)(n - 1 - i);
}

/* tensor.linspace(first, last, n, options) -> tensor */
static int make_linspace(lua_State *L) {
  line l = {luaL_checknumber(L, 1), luaL_checknumber(L, 2), 0};
  int64_t n = luaL_checkinteger(L, 3);
  luaL_argcheck(L, n >= 0, 3, "a negative count");
  ltensor_options options = defaults;
  ltensor_check_options(L, 4, &options);
  l.step = n > 1 ? (l.last - l.first) / (double)(n - 1) : 0;
  if (n == 1) l.last = l.first;
  return push_sequence(L, n, DTYPE_FLOAT64, &options, fill_line, &l);
}

/* tensor.eye(rows [, columns] [, options]) -> tensor */
static int make_eye(lua_State *L) {
  int64_t rows = luaL_checkinteger(L, 1);
  bool square = lua_type(L, 2) != LUA_TNUMBER;
  int64_t shape[2] = {rows, square ? rows : luaL_checkinteger(L, 2)};
  ltensor_options options = defaults;
  scalar zero, one;
  ltensor_check_options(L, square ? 2 : 3, &options);
  push_full(L, 2, shape, &options, scalar_integer(&zero, 0));
  tensor diagonal = *ltensor_check(L, -1);
  diagonal.rank = 1;
  diagonal.shape[0] = shape[0] < shape[1] ? shape[0] : shape[1];
  diagonal.stride[0] = diagonal.stride[0] + diagonal.stride[1];
  tensor_error error;
  ltensor_try(L, tensor_fill(&diagonal, scalar_integer(&one, 1), &error), &error);
  return 1;
}

/* ---- from Lua's tables ------------------------------------------------------------------------
 */

enum { SEEN_BOOL = 1, SEEN_INTEGER = 2, SEEN_FLOAT = 4 };

/* The shape that the first elements have; the value stays at the stack's top. */
static int table_rank(lua_State *L, int64_t *shape) {
  int rank = 0, top = lua_gettop(L);
  lua_pushvalue(L, top);
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (rank == TENSOR_MAX_RANK)
      luaL_error(L, "a tensor has at most %d dimensions", TENSOR_MAX_RANK);
    shape[rank] = luaL_len(L, -1);
    luaL_checkstack(L, 2, "tables are nested too deeply");
    if (shape[rank++] == 0) break;
    lua_geti(L, -1, 1);
  }
  lua_settop(L, top);
  return rank;
}

/* Write the numbers of the value at the stack's top into *out (as double, or int64, or none: then
 * only look) and add what kinds there were to *seen. */
typedef struct reading {
  int rank;
  const int64_t *shape;
  int seen;
  double *floats;
  int64_t *integers;
} reading;

static void read_leaf(lua_State *L, reading *r) {
  int kind = lua_type(L, -1) == LUA_TBOOLEAN  ? SEEN_BOOL
             : lua_type(L, -1) != LUA_TNUMBER ? 0
             : lua_isinteger(L, -1)           ? SEEN_INTEGER
                                              : SEEN_FLOAT;
  if (!kind)
    luaL_error(L, "cannot make a tensor of a %s: numbers or booleans expected",
               luaL_typename(L, -1));
  r->seen |= kind;
  bool is_bool = kind == SEEN_BOOL;
  if (r->floats) *r->floats++ = is_bool ? lua_toboolean(L, -1) : lua_tonumber(L, -1);
  if (r->integers) *r->integers++ = is_bool ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
}

static void read_value(lua_State *L, reading *r, int depth) {
  if (depth == r->rank) {
    read_leaf(L, r);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE || luaL_len(L, -1) != r->shape[depth])
    luaL_error(L, "cannot make a tensor: tables at depth %d are not all of length %I", depth + 1,
               (LUAI_UACINT)r->shape[depth]);
  for (int64_t i = 1; i <= r->shape[depth]; i++) {
    lua_geti(L, -1, i);
    read_value(L, r, depth + 1);
    lua_pop(L, 1);
  }
}

/* tensor.new(number, boolean or nested tables, options) -> tensor */
static int make_new(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  ltensor_options options = {DTYPE_NONE, DEVICE_CPU};
  tensor_error error;
  luaL_checkany(L, 1);
  ltensor_check_options(L, 2, &options);
  lua_settop(L, 2);
  tensor *result = ltensor_push(L), *read = ltensor_push(L);
  lua_pushvalue(L, 1);
  reading r = {.rank = table_rank(L, shape), .shape = shape};
  read_value(L, &r, 0);
  bool floats = r.seen == 0 || r.seen & SEEN_FLOAT;
  if (options.dtype == DTYPE_NONE)
    options.dtype = floats ? DTYPE_FLOAT32 : r.seen & SEEN_INTEGER ? DTYPE_INT64 : DTYPE_BOOL;
  LTENSOR_TRY(L, tensor_empty(read, floats ? DTYPE_FLOAT64 : DTYPE_INT64, DEVICE_CPU, r.rank, shape,
                              &error));
  if (floats)
    r.floats = tensor_data(read);
  else
    r.integers = tensor_data(read);
  if (tensor_count(read) > 0) read_value(L, &r, 0);
  lua_settop(L, 4);
  return place(L, result, read, &options);
}

/* ---- back into Lua ----------------------------------------------------------------------------
 */

/* t:item() -> the number or boolean of a tensor of one element */
static int tensor_item(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  char text[TENSOR_TEXT];
  if (tensor_count(t) != 1)
    return luaL_error(L, "cannot take the item of %s: it does not have exactly one",
                      tensor_describe(t, text));
  ltensor_push_element(L, t->dtype, tensor_data(ltensor_push_on_cpu(L, t)));
  return 1;
}

static void push_list(lua_State *L, const tensor *t, int depth, const char *data) {
  int64_t size = (int64_t)dtype_size(t->dtype);
  if (depth == t->rank) {
    ltensor_push_element(L, t->dtype, data);
    return;
  }
  luaL_checkstack(L, 3, "too many dimensions");
  lua_createtable(L, t->shape[depth] < 1 << 24 ? (int)t->shape[depth] : 1 << 24, 0);
  for (int64_t i = 0; i < t->shape[depth]; i++) {
    push_list(L, t, depth + 1, data ? data + i * t->stride[depth] * size : NULL);
    lua_rawseti(L, -2, i + 1);
  }
}

/* t:tolist() -> nested tables, or a number or boolean for a 0-d tensor */
static int tensor_tolist(lua_State *L) {
  tensor *t = ltensor_push_on_cpu(L, ltensor_look(L, 1));
  push_list(L, t, 0, tensor_data(t));
  return 1;
}

/* tensor.from_bytes(string, dtype, sizes...) -> tensor; without sizes, of one dimension */
static int make_from_bytes(lua_State *L) {
  size_t length;
  tensor_error error;
  const char *bytes = luaL_checklstring(L, 1, &length);
  dtype d = ltensor_check_dtype(L, 2);
  int64_t shape[TENSOR_MAX_RANK] = {(int64_t)(length / dtype_size(d))};
  int rank = lua_isnoneornil(L, 3) ? 1 : ltensor_check_shape(L, 3, shape, NULL);
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, tensor_empty(t, d, DEVICE_CPU, rank, shape, &error));
  if (tensor_bytes(t) != length)
    return luaL_error(L, "cannot make %s of shape %s: that takes %I bytes, not %I", dtype_name(d),
                      shape_describe(rank, shape, error.text), (LUAI_UACINT)tensor_bytes(t),
                      (LUAI_UACINT)length);
  if (length) memcpy(tensor_data(t), bytes, length);
  return ltensor_finish(L, t);
}

/* t:bytes() -> a string: its elements in order, little-endian */
static int tensor_to_bytes(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_push_on_cpu(L, ltensor_look(L, 1)), *whole = ltensor_push(L);
  LTENSOR_TRY(L, tensor_contiguous(whole, t, &error));
  lua_pushlstring(L, tensor_count(whole) ? tensor_data(whole) : "", tensor_bytes(whole));
  return 1;
}

/* ---- pairs in a byte --------------------------------------------------------------------------
 */

/* t:unpack_float4() -> float32 with the last dimension doubled */
static int tensor_unpack_float4(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  luaL_argcheck(L, t->dtype == DTYPE_FLOAT4_E2M1 && t->rank > 0, 1,
                "float4_e2m1 of at least one dimension expected");
  int64_t shape[TENSOR_MAX_RANK];
  for (int i = 0; i < t->rank; i++) shape[i] = t->shape[i];
  shape[t->rank - 1] *= 2;
  ltensor_options there = {DTYPE_FLOAT32, t->storage->device};
  t = ltensor_push_on_cpu(L, t);
  tensor *placed = ltensor_push(L), *pairs = ltensor_push(L), *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_contiguous(pairs, t, &error));
  LTENSOR_TRY(L, tensor_empty(out, DTYPE_FLOAT32, DEVICE_CPU, t->rank, shape, &error));
  const uint8_t *from = tensor_data(pairs);
  float *to = tensor_data(out);
  for (int64_t i = 0, n = tensor_count(pairs); i < n; i++) {
    to[2 * i] = float_from_float4_e2m1(from[i] & 15);
    to[2 * i + 1] = float_from_float4_e2m1(from[i] >> 4);
  }
  lua_remove(L, -2);
  return place(L, placed, out, &there);
}

/* t:pack_float4() -> float4_e2m1 with the last dimension halved, rounded to nearest even */
static int tensor_pack_float4(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  luaL_argcheck(L, t->rank > 0 && t->shape[t->rank - 1] % 2 == 0, 1, "the last size is not even");
  int64_t shape[TENSOR_MAX_RANK];
  for (int i = 0; i < t->rank; i++) shape[i] = t->shape[i];
  shape[t->rank - 1] /= 2;
  ltensor_options there = {DTYPE_FLOAT4_E2M1, t->storage->device};
  t = ltensor_push_on_cpu(L, t);
  tensor *floats = ltensor_push(L), *whole = ltensor_push(L);
  tensor *placed = ltensor_push(L), *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_to(floats, t, DTYPE_FLOAT32, &error));
  LTENSOR_TRY(L, tensor_contiguous(whole, floats, &error));
  LTENSOR_TRY(L, tensor_empty(out, DTYPE_FLOAT4_E2M1, DEVICE_CPU, t->rank, shape, &error));
  const float *from = tensor_data(whole);
  uint8_t *to = tensor_data(out);
  for (int64_t i = 0, n = tensor_count(out); i < n; i++)
    to[i] = (uint8_t)(float4_e2m1_from_float(from[2 * i]) | float4_e2m1_from_float(from[2 * i + 1])
                                                                << 4);
  return place(L, placed, out, &there);
}

const luaL_Reg ltensor_make_functions[] = {{"empty", make_empty},
                                           {"zeros", make_zeros},
                                           {"ones", make_ones},
                                           {"full", make_full},
                                           {"empty_like", make_empty_like},
                                           {"zeros_like", make_zeros_like},
                                           {"ones_like", make_ones_like},
                                           {"full_like", make_full_like},
                                           {"arange", make_arange},
                                           {"linspace", make_linspace},
                                           {"eye", make_eye},
                                           {"new", make_new},
                                           {"from_bytes", make_from_bytes},
                                           {NULL, NULL}};

const luaL_Reg ltensor_make_methods[] = {{"item", tensor_item},
                                         {"tolist", tensor_tolist},
                                         {"bytes", tensor_to_bytes},
                                         {"pack_float4", tensor_pack_float4},
                                         {"unpack_float4", tensor_unpack_float4},
                                         {NULL, NULL}};
