/* ltensor_reduce.c -- reductions as methods: t:sum(dims, keepdim), t:max(dim), t:softmax(dim)... */
#include <math.h>
#include "lua/ltensor.h"
#include "tensor/ahead.h"
#include "tensor/reduce.h"

/* Dimensions to reduce: none for all, one, or a table {dims..., keepdim=, dtype=}; then keepdim,
 * then options with a dtype. */
static reduction check_reduction(lua_State *L, int arg, const tensor *t) {
  reduction how = {ALL_DIMS, false, DTYPE_NONE};
  ltensor_options options = {DTYPE_NONE, DEVICE_CPU};
  if (lua_type(L, arg) == LUA_TTABLE) {
    lua_Integer n = luaL_len(L, arg);
    if (n > 0) how.dims = 0;
    for (lua_Integer i = 1; i <= n; i++) {
      lua_geti(L, arg, i);
      unsigned bit = 1u << ltensor_check_dim(L, lua_gettop(L), t->rank);
      luaL_argcheck(L, !(how.dims & bit), arg, "a dimension is named twice");
      how.dims |= bit;
      lua_pop(L, 1);
    }
    lua_getfield(L, arg, "keepdim");
    how.keepdim = lua_toboolean(L, -1);
    lua_pop(L, 1);
    ltensor_check_options(L, arg, &options);
  } else if (!lua_isnoneornil(L, arg)) {
    how.dims = 1u << ltensor_check_dim(L, arg, t->rank);
  }
  int next = arg + 1;
  if (lua_isboolean(L, next)) how.keepdim = lua_toboolean(L, next);
  if (lua_isboolean(L, next) || lua_isnil(L, next)) next++;
  ltensor_check_options(L, next, &options);
  how.dtype = options.dtype;
  return how;
}

/* Is there one, or are they all: where the CPU knows a device's small tensor, it says so at once.
 */
static bool fold_on_host(enum fold_op op, tensor *out, const tensor *t, reduction how) {
  tensor_error error;
  tensor here, made;
  if ((op != FOLD_ANY && op != FOLD_ALL) || !tensor_on_host(&here, t, HOST_ASKS_INTEGERS))
    return false;
  int code = tensor_fold(op, &made, &here, how, &error);
  tensor_release(&here);
  if (code) return false;
  code = tensor_from_host(out, &made, t->storage->device, &error);
  tensor_release(&made);
  return code == 0;
}

static int push_fold(lua_State *L, enum fold_op op) {
  tensor_error error;
  const tensor *t = ltensor_look(L, 1);
  reduction how = check_reduction(L, 2, t);
  tensor *out = ltensor_push(L);
  if (fold_on_host(op, out, t, how)) return 1;
  t = ltensor_read(L, 1);
  LTENSOR_TRY(L, tensor_fold(op, out, t, how, &error));
  return ltensor_finish(L, out);
}

static int sum(lua_State *L) {
  return push_fold(L, FOLD_SUM);
}
static int prod(lua_State *L) {
  return push_fold(L, FOLD_PROD);
}
static int amax(lua_State *L) {
  return push_fold(L, FOLD_MAX);
}
static int amin(lua_State *L) {
  return push_fold(L, FOLD_MIN);
}
static int any(lua_State *L) {
  return push_fold(L, FOLD_ANY);
}
static int all(lua_State *L) {
  return push_fold(L, FOLD_ALL);
}

static int push_reduced(lua_State *L,
                        int reduce(tensor *, const tensor *, reduction, tensor_error *)) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  reduction how = check_reduction(L, 2, t);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, reduce(out, t, how, &error));
  return ltensor_finish(L, out);
}

static int mean(lua_State *L) {
  return push_reduced(L, tensor_mean);
}
static int logsumexp(lua_State *L) {
  return push_reduced(L, tensor_logsumexp);
}

/* t:norm(dims, keepdim) -> the root of the sum of squares */
static int norm(lua_State *L) {
  return push_reduced(L, tensor_norm);
}

static int push_variance(lua_State *L, bool root) {
  tensor_error error;
  double correction = 1;
  const tensor *t = ltensor_read(L, 1);
  if (lua_type(L, 2) == LUA_TTABLE) {
    if (lua_getfield(L, 2, "correction") != LUA_TNIL) correction = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  lua_settop(L, 4);
  reduction how = check_reduction(L, 2, t);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_variance(out, t, how, correction, root, &error));
  return ltensor_finish(L, out);
}

/* t:var(dims, keepdim) -> variance over n - 1, or n - correction of {dims..., correction=} */
static int var(lua_State *L) {
  return push_variance(L, false);
}
static int std(lua_State *L) {
  return push_variance(L, true);
}

/* t:max() -> the greatest; t:max(dim, keepdim) -> values, indices; t:max(other) -> maximum */
static int push_extreme(lua_State *L, enum fold_op op) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  if (ltensor_test(L, 2)) {
    enum binary_op larger = op == FOLD_MAX ? BINARY_maximum : BINARY_minimum;
    operand a = {t, false}, b = {ltensor_read(L, 2), false};
    tensor *out = ltensor_push(L);
    LTENSOR_TRY(L, tensor_binary(larger, out, NULL, a, b, &error));
    return ltensor_finish(L, out);
  }
  if (lua_isnoneornil(L, 2)) return push_fold(L, op);
  reduction how = {1u << ltensor_check_dim(L, 2, t->rank), lua_toboolean(L, 3), DTYPE_NONE};
  tensor *values = ltensor_push(L), *indices = ltensor_push(L);
  LTENSOR_TRY(L, tensor_extreme(op, values, indices, t, how, &error));
  ltensor_account(L, indices);
  return 2;
}

static int max(lua_State *L) {
  return push_extreme(L, FOLD_MAX);
}
static int min(lua_State *L) {
  return push_extreme(L, FOLD_MIN);
}

/* t:argmax(dim, keepdim) -> int64: where the greatest is, counted from 0; over all without a dim */
static int push_arg(lua_State *L, enum fold_op op) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  bool over_all = lua_isnoneornil(L, 2);
  reduction how = {over_all ? ALL_DIMS : 1u << ltensor_check_dim(L, 2, t->rank),
                   lua_toboolean(L, 3), DTYPE_NONE};
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_extreme(op, NULL, out, t, how, &error));
  return ltensor_finish(L, out);
}

static int argmax(lua_State *L) {
  return push_arg(L, FOLD_MAX);
}
static int argmin(lua_State *L) {
  return push_arg(L, FOLD_MIN);
}

/* t:softmax(dim, options) -> tensor; with a dtype, computed in it */
static int push_softmax(lua_State *L, bool logarithm) {
  tensor_error error;
  ltensor_options options = {DTYPE_NONE, DEVICE_CPU};
  const tensor *t = ltensor_read(L, 1);
  int dim = ltensor_check_dim(L, 2, t->rank);
  ltensor_check_options(L, 3, &options);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_softmax(out, t, dim, logarithm, options.dtype, &error));
  return ltensor_finish(L, out);
}

static int softmax(lua_State *L) {
  return push_softmax(L, false);
}
static int log_softmax(lua_State *L) {
  return push_softmax(L, true);
}

static int push_scan(lua_State *L, enum fold_op op) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  int dim = ltensor_check_dim(L, 2, t->rank);
  tensor *out = ltensor_push(L), done[2] = {{0}, {0}};
  if (ahead_take(op == FOLD_SUM ? AHEAD_SUM : AHEAD_PRODUCT, done, t, &error) == 0) {
    *out = done[0];
    return 1;
  }
  LTENSOR_TRY(L, tensor_scan(op, out, t, dim, &error));
  return ltensor_finish(L, out);
}

/* t:cumsum(dim) -> running sums; integers as int64 */
static int cumsum(lua_State *L) {
  return push_scan(L, FOLD_SUM);
}
static int cumprod(lua_State *L) {
  return push_scan(L, FOLD_PROD);
}

const luaL_Reg ltensor_reduce_functions[] = {{NULL, NULL}};

const luaL_Reg ltensor_reduce_methods[] = {{"sum", sum},
                                           {"prod", prod},
                                           {"amax", amax},
                                           {"amin", amin},
                                           {"any", any},
                                           {"all", all},
                                           {"mean", mean},
                                           {"norm", norm},
                                           {"var", var},
                                           {"std", std},
                                           {"logsumexp", logsumexp},
                                           {"max", max},
                                           {"min", min},
                                           {"argmax", argmax},
                                           {"argmin", argmin},
                                           {"softmax", softmax},
                                           {"log_softmax", log_softmax},
                                           {"cumsum", cumsum},
                                           {"cumprod", cumprod},
                                           {NULL, NULL}};
