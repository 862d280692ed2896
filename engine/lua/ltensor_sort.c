/* ltensor_sort.c -- ordering elements. */
#include "lua/ltensor.h"
#include "tensor/ahead.h"
#include "tensor/sort.h"

/* A pair of tensors just made, pushed in the order of the results. */
static int finish(lua_State *L, const tensor *values, const tensor *indices) {
  ltensor_account(L, values);
  ltensor_account(L, indices);
  return 2;
}

static int last_dim(const tensor *t) {
  return t->rank ? t->rank - 1 : 0;
}

/* t:sort([dim, [descending]]) -> values, indices */
static int tensor_sort_(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  int dim = ltensor_opt_dim(L, 2, t->rank, last_dim(t));
  bool descending = lua_toboolean(L, 3);
  tensor *values = ltensor_push(L), *indices = ltensor_push(L), out[2] = {{0}, {0}};
  int code = ahead_take(descending ? AHEAD_SORT_DOWN : AHEAD_SORT, out, t, &error);
  if (code == 0) {
    *values = out[0];
    *indices = out[1];
    return 2;
  }
  LTENSOR_TRY(L, tensor_sort(values, indices, t, dim, descending, &error));
  return finish(L, values, indices);
}

/* t:argsort([dim, [descending]]) -> indices */
static int tensor_argsort(lua_State *L) {
  tensor_sort_(L);
  return 1;
}

/* t:topk(k, [dim, [largest]]) -> values, indices */
static int tensor_topk_(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  lua_Integer k = luaL_checkinteger(L, 2);
  int dim = ltensor_opt_dim(L, 3, t->rank, last_dim(t));
  bool largest = lua_isnoneornil(L, 4) || lua_toboolean(L, 4);
  tensor *values = ltensor_push(L), *indices = ltensor_push(L);
  LTENSOR_TRY(L, tensor_topk(values, indices, t, k, dim, largest, &error));
  return finish(L, values, indices);
}

/* t:unique() -> values, inverse, counts */
static int tensor_unique_(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1);
  tensor *values = ltensor_push(L), *inverse = ltensor_push(L), *counts = ltensor_push(L);
  LTENSOR_TRY(L, tensor_unique(values, inverse, counts, t, &error));
  ltensor_account(L, counts);
  return 1 + finish(L, values, inverse);
}

/* sorted:searchsorted(values, [right]) -> indices */
static int tensor_searchsorted_(lua_State *L) {
  tensor_error error;
  const tensor *sorted = ltensor_read(L, 1), *values = ltensor_read(L, 2);
  bool right = lua_toboolean(L, 3);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_searchsorted(out, sorted, values, right, &error));
  ltensor_account(L, out);
  return 1;
}

const luaL_Reg ltensor_sort_functions[] = {{NULL, NULL}};
const luaL_Reg ltensor_sort_methods[] = {{"sort", tensor_sort_},
                                         {"argsort", tensor_argsort},
                                         {"topk", tensor_topk_},
                                         {"unique", tensor_unique_},
                                         {"searchsorted", tensor_searchsorted_},
                                         {NULL, NULL}};
