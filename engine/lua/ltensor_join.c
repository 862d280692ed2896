/* ltensor_join.c -- several tensors as one, one as several, repeated, turned around; comparing. */
#include <limits.h>
#include "lua/ltensor.h"
#include "tensor/compare.h"
#include "tensor/index.h"
#include "tensor/join.h"

enum { MOST_PARTS = 16 }; /* that are read where they wait */

/* The tensors of the table at index 1, in a block on the stack; they stay in the table. */
static const tensor **check_parts(lua_State *L, int *n) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 1);
  luaL_argcheck(L, count > 0 && count < INT_MAX / 16, 1, "a table of at least one tensor expected");
  const tensor **parts = lua_newuserdatauv(L, (size_t)count * sizeof *parts, 0);
  for (int i = 0; i < (int)count; i++) {
    lua_geti(L, 1, i + 1);
    parts[i] = ltensor_test(L, -1);
    if (!parts[i] || !parts[i]->storage) luaL_argerror(L, 1, "not all of them are tensors");
    if (count <= MOST_PARTS)
      parts[i] = ltensor_to_read(L, parts[i]);
    else
      ltensor_settle(L, parts[i]);
    lua_pop(L, 1);
  }
  *n = (int)count;
  return parts;
}

/* The dimension: the second argument, or {..., dim=}, or the first one. */
static int check_join_dim(lua_State *L, int rank) {
  if (lua_isnil(L, 2)) {
    lua_getfield(L, 1, "dim");
    lua_replace(L, 2);
  }
  return ltensor_opt_dim(L, 2, rank, 0);
}

/* tensor.cat({a, b, dim=}, dim) -> tensor */
static int cat(lua_State *L) {
  tensor_error error;
  int n, rank = 1;
  lua_settop(L, 2);
  const tensor **parts = check_parts(L, &n);
  for (int i = 0; i < n; i++)
    if (parts[i]->rank > rank) rank = parts[i]->rank;
  int dim = check_join_dim(L, rank);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_cat(out, n, parts, dim, &error));
  return ltensor_finish(L, out);
}

/* tensor.stack({a, b, dim=}, dim) -> tensor */
static int stack(lua_State *L) {
  tensor_error error;
  int n;
  lua_settop(L, 2);
  const tensor **parts = check_parts(L, &n);
  int dim = check_join_dim(L, parts[0]->rank + 1);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_stack(out, n, parts, dim, &error));
  return ltensor_finish(L, out);
}

/* Set the i-th of the table at the top to a view of `length` elements along dim. */
static void push_piece(lua_State *L, const tensor *t, int dim, int64_t first, int64_t length,
                       int i) {
  tensor_error error;
  tensor *piece = ltensor_push(L);
  ltensor_try(L, tensor_narrow(piece, t, dim, first, length, &error), &error);
  lua_seti(L, -2, i);
}

static int push_pieces(lua_State *L, const tensor *t, int dim, int64_t size) {
  int64_t length = t->shape[dim];
  int i = 0;
  lua_newtable(L);
  if (length == 0) push_piece(L, t, dim, 0, 0, 1);
  for (int64_t first = 0; first < length; first += size)
    push_piece(L, t, dim, first, length - first < size ? length - first : size, ++i);
  return 1;
}

/* t:chunk(n, dim) -> table of at most n views */
static int chunk(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int64_t n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n > 0, 2, "at least one chunk");
  luaL_argcheck(L, t->rank > 0, 1, "a 0-d tensor cannot be cut");
  int dim = ltensor_opt_dim(L, 3, t->rank, 0);
  int64_t size = t->shape[dim] / n + (t->shape[dim] % n != 0);
  return push_pieces(L, t, dim, size > 0 ? size : 1);
}

/* t:split(size or table of sizes, dim) -> table of views */
static int split(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  luaL_argcheck(L, t->rank > 0, 1, "a 0-d tensor cannot be cut");
  int dim = ltensor_opt_dim(L, 3, t->rank, 0);
  if (lua_type(L, 2) != LUA_TTABLE) {
    int64_t size = luaL_checkinteger(L, 2);
    luaL_argcheck(L, size > 0, 2, "pieces of at least one element");
    return push_pieces(L, t, dim, size);
  }
  int64_t first = 0;
  lua_Integer n = luaL_len(L, 2);
  lua_newtable(L);
  for (int i = 1; i <= n; i++) {
    lua_geti(L, 2, i);
    int64_t length = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    push_piece(L, t, dim, first, length, i);
    first += length;
  }
  if (first != t->shape[dim])
    return luaL_error(L, "cannot split: the sizes add up to %I, the dimension has %I",
                      (LUAI_UACINT)first, (LUAI_UACINT)t->shape[dim]);
  return 1;
}

/* t:unbind(dim) -> table of views without that dimension */
static int unbind(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_look(L, 1);
  luaL_argcheck(L, t->rank > 0, 1, "a 0-d tensor cannot be cut");
  int dim = ltensor_opt_dim(L, 2, t->rank, 0);
  lua_newtable(L);
  for (int64_t i = 0; i < t->shape[dim]; i++) {
    tensor *piece = ltensor_push(L);
    ltensor_try(L, tensor_select(piece, t, dim, i, &error), &error);
    lua_seti(L, -2, i + 1);
  }
  return 1;
}

/* t:tile(times...) -> tensor, repeated so many times; missing times are 1, in front */
static int tile(lua_State *L) {
  tensor_error error;
  int64_t times[TENSOR_MAX_RANK], full[TENSOR_MAX_RANK];
  const tensor *t = ltensor_read(L, 1);
  int given = ltensor_check_shape(L, 2, times, NULL);
  int rank = given > t->rank ? given : t->rank;
  for (int i = 0; i < rank; i++) full[i] = i < rank - given ? 1 : times[i - (rank - given)];
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_repeat(out, t, rank, full, &error));
  return ltensor_finish(L, out);
}

/* An index in which each i of 0..n-1 stands `times` times, or as often as times[i] says. */
static tensor *push_interleaved(lua_State *L, int64_t n, int64_t times, const int64_t *each) {
  tensor_error error;
  int64_t total = 0, made = 0;
  tensor *index = ltensor_push(L);
  for (int64_t i = 0; i < n; i++) {
    int64_t more = each ? each[i] : times;
    if (more < 0) luaL_error(L, "cannot repeat_interleave: a count is negative");
    if (__builtin_add_overflow(total, more, &total))
      luaL_error(L, "cannot repeat_interleave: too many elements");
  }
  LTENSOR_TRY(L, tensor_empty(index, DTYPE_INT64, DEVICE_CPU, 1, &total, &error));
  int64_t *to = tensor_data(index);
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = each ? each[i] : times; k > 0; k--) to[made++] = i;
  return index;
}

/* Repeated by a view that stands still, where the copy of that may wait. */
static bool repeat_later(lua_State *L, const tensor *t, int dim) {
  tensor_error error;
  int exact;
  lua_Integer times = lua_tointegerx(L, 2, &exact);
  if (!exact || times < 1 || t->rank == TENSOR_MAX_RANK || tensor_count(t) == 0) return false;
  int64_t shape[TENSOR_MAX_RANK];
  int rank = t->rank + 1;
  tensor *thin = ltensor_push(L), *wide = ltensor_push(L), *copy = ltensor_push(L);
  tensor *out = ltensor_push(L);
  ltensor_try(L, tensor_unsqueeze(thin, t, dim + 1, &error), &error);
  for (int d = 0; d < rank; d++) shape[d] = d == dim + 1 ? times : thin->shape[d];
  ltensor_try(L, tensor_expand(wide, thin, rank, shape, &error), &error);
  LTENSOR_TRY_LATER(L, tensor_clone(copy, wide, &error));
  for (int d = 0; d < t->rank; d++) shape[d] = t->shape[d] * (d == dim ? times : 1);
  ltensor_try(L, tensor_view(out, copy, t->rank, shape, &error), &error);
  tensor_release(wide);
  tensor_release(thin);
  tensor_release(copy);
  return true;
}

/* t:repeat_interleave(times or int64 tensor, dim) -> tensor; without a dim, of all elements */
static int repeat_interleave(lua_State *L) {
  tensor_error error;
  lua_settop(L, 3);
  const tensor *t = ltensor_look(L, 1);
  tensor *counts = ltensor_push(L), *whole = ltensor_push(L);
  if (lua_isnil(L, 3)) {
    int64_t all = tensor_count(t);
    LTENSOR_TRY(L, tensor_reshape(whole, ltensor_to_read(L, t), 1, &all, &error));
  } else {
    tensor_share(whole, t);
  }
  int dim = lua_isnil(L, 3) ? 0 : ltensor_check_dim(L, 3, whole->rank);
  luaL_argcheck(L, whole->rank > 0, 1, "a 0-d tensor has no dimension");
  if (pending_may_be_on(whole->storage->device) && repeat_later(L, whole, dim)) return 1;
  t = ltensor_to_read(L, whole);
  int64_t n = whole->shape[dim];
  tensor *index;
  if (ltensor_test(L, 2)) {
    const tensor *given = ltensor_read(L, 2);
    luaL_argcheck(L, dtype_is_integer(given->dtype) && given->rank == 1 && given->shape[0] == n, 2,
                  "one integer for each slice expected");
    LTENSOR_TRY(L, tensor_to(counts, given, DTYPE_INT64, &error));
    tensor *each = ltensor_push(L);
    LTENSOR_TRY(L, tensor_contiguous(each, ltensor_push_on_cpu(L, counts), &error));
    index = push_interleaved(L, n, 0, tensor_data(each));
  } else {
    index = push_interleaved(L, n, luaL_checkinteger(L, 2), NULL);
  }
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_index_select(out, t, dim, index, &error));
  return ltensor_finish(L, out);
}

/* t:flip(dims...) -> tensor */
static int flip(lua_State *L) {
  tensor_error error;
  int64_t dims[TENSOR_MAX_RANK];
  unsigned set = 0;
  const tensor *t = ltensor_read(L, 1);
  int n = ltensor_check_shape(L, 2, dims, NULL);
  lua_settop(L, 2);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, dims[i]);
    lua_replace(L, 2);
    set |= 1u << ltensor_check_dim(L, 2, t->rank);
  }
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_flip(out, t, set, &error));
  return ltensor_finish(L, out);
}

static int push_triangle(lua_State *L, bool upper) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  int64_t diagonal = luaL_optinteger(L, 2, 0);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_triangle(out, t, diagonal, upper, &error));
  return ltensor_finish(L, out);
}

/* t:tril(diagonal) -> tensor; t:triu likewise */
static int tril(lua_State *L) {
  return push_triangle(L, false);
}
static int triu(lua_State *L) {
  return push_triangle(L, true);
}

/* ---- comparing --------------------------------------------------------------------------------
 */

static double number_field(lua_State *L, int arg, const char *name, double otherwise) {
  if (!lua_istable(L, arg)) return otherwise;
  lua_getfield(L, arg, name);
  double value = luaL_optnumber(L, -1, otherwise);
  lua_pop(L, 1);
  return value;
}

static bool flag_field(lua_State *L, int arg, const char *name) {
  if (!lua_istable(L, arg)) return false;
  lua_getfield(L, arg, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* t:equal(other) -> boolean: the same shape and elements */
static int equal(lua_State *L) {
  tensor_error error;
  bool same;
  const tensor *a = ltensor_read(L, 1), *b = ltensor_read(L, 2);
  LTENSOR_TRY(L, tensor_equal(&same, a, b, &error));
  lua_pushboolean(L, same);
  return 1;
}

/* t:allclose(other, {rtol=, atol=, equal_nan=}) -> boolean: |t - other| <= atol + rtol * |other| */
static int allclose(lua_State *L) {
  tensor_error error;
  bool close;
  const tensor *a = ltensor_read(L, 1), *b = ltensor_read(L, 2);
  double rtol = number_field(L, 3, "rtol", 1e-5), atol = number_field(L, 3, "atol", 1e-8);
  LTENSOR_TRY(L, tensor_allclose(&close, a, b, rtol, atol, flag_field(L, 3, "equal_nan"), &error));
  lua_pushboolean(L, close);
  return 1;
}

/* Positions of element `index` of t, from 1. */
static void push_place(lua_State *L, const tensor *t, int64_t index) {
  lua_createtable(L, t->rank, 0);
  for (int d = t->rank - 1; d >= 0; d--) {
    lua_pushinteger(L, index % t->shape[d] + 1);
    lua_seti(L, -2, d + 1);
    index /= t->shape[d];
  }
}

/* tensor.compare(a, b, {rtol=, atol=}) -> table */
static int compare(lua_State *L) {
  tensor_error error;
  comparison c = {.rtol = number_field(L, 3, "rtol", 1e-2),
                  .atol = number_field(L, 3, "atol", 1e-2)};
  const tensor *a = ltensor_read(L, 1), *b = ltensor_read(L, 2);
  LTENSOR_TRY(L, tensor_compare(&c, a, b, &error));
  lua_createtable(L, 0, 6);
  lua_pushnumber(L, c.max_absolute);
  lua_setfield(L, -2, "max_absolute_error");
  lua_pushnumber(L, c.max_relative);
  lua_setfield(L, -2, "max_relative_error");
  lua_pushnumber(L, c.count ? 1 - (double)c.bad / (double)c.count : 1);
  lua_setfield(L, -2, "matched_ratio");
  lua_pushinteger(L, c.bad);
  lua_setfield(L, -2, "mismatches");
  lua_pushinteger(L, c.nonfinite);
  lua_setfield(L, -2, "nonfinite_mismatches");
  if (c.first_bad >= 0) {
    push_place(L, a, c.first_bad);
    lua_setfield(L, -2, "first_bad");
  }
  return 1;
}

const luaL_Reg ltensor_join_functions[] = {
    {"cat", cat}, {"stack", stack}, {"compare", compare}, {NULL, NULL}};

const luaL_Reg ltensor_join_methods[] = {{"chunk", chunk},
                                         {"split", split},
                                         {"unbind", unbind},
                                         {"tile", tile},
                                         {"repeat_interleave", repeat_interleave},
                                         {"flip", flip},
                                         {"tril", tril},
                                         {"triu", triu},
                                         {"equal", equal},
                                         {"allclose", allclose},
                                         {NULL, NULL}};
