/* ltensor_linalg.c -- products of tensors. */
#include "lua/ltensor.h"
#include "tensor/blas.h"
#include "tensor/linalg.h"

enum { MOST_OPERANDS = 16 };

typedef int product(tensor *out, const tensor *a, const tensor *b, tensor_error *error);

static int push_product(lua_State *L, product *multiply) {
  tensor_error error;
  const tensor *a = ltensor_read(L, 1), *b = ltensor_read(L, 2);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, multiply(out, a, b, &error));
  ltensor_account(L, out);
  return 1;
}

/* a:matmul(b) -> tensor, and so for the others */
static int matmul(lua_State *L) {
  return push_product(L, tensor_matmul);
}
static int mm(lua_State *L) {
  return push_product(L, tensor_mm);
}
static int bmm(lua_State *L) {
  return push_product(L, tensor_bmm);
}
static int mv(lua_State *L) {
  return push_product(L, tensor_mv);
}
static int dot(lua_State *L) {
  return push_product(L, tensor_dot);
}
static int outer(lua_State *L) {
  return push_product(L, tensor_outer);
}

typedef int sum_of_product(tensor *out, const tensor *c, const tensor *a, const tensor *b,
                           double beta, double alpha, tensor_error *error);

static double factor(lua_State *L, const char *name) {
  double value = 1;
  if (lua_istable(L, 4)) {
    if (lua_getfield(L, 4, name) != LUA_TNIL) value = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  return value;
}

static int push_sum(lua_State *L, sum_of_product *add) {
  tensor_error error;
  const tensor *c = ltensor_read(L, 1), *a = ltensor_read(L, 2), *b = ltensor_read(L, 3);
  if (!lua_isnoneornil(L, 4)) luaL_checktype(L, 4, LUA_TTABLE);
  double beta = factor(L, "beta"), alpha = factor(L, "alpha");
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, add(out, c, a, b, beta, alpha, &error));
  ltensor_account(L, out);
  return 1;
}

/* c:addmm(a, b, {beta=, alpha=}) -> tensor; c:baddbmm likewise */
static int addmm(lua_State *L) {
  return push_sum(L, tensor_addmm);
}
static int baddbmm(lua_State *L) {
  return push_sum(L, tensor_baddbmm);
}

/* tensor.einsum(equation, operand, ...) -> tensor; a table of operands will do */
static int einsum(lua_State *L) {
  tensor_error error;
  const tensor *operands[MOST_OPERANDS];
  const char *equation = luaL_checkstring(L, 1);
  int first = 2, n = lua_gettop(L) - 1;
  if (lua_istable(L, 2)) {
    n = (int)luaL_len(L, 2);
    first = lua_gettop(L) + 1;
    luaL_argcheck(L, n <= MOST_OPERANDS, 2, "at most 16 operands");
    for (int i = 1; i <= n; i++) lua_geti(L, 2, i);
  }
  luaL_argcheck(L, n >= 1 && n <= MOST_OPERANDS, 2, "1 to 16 operands expected");
  for (int i = 0; i < n; i++) operands[i] = ltensor_read(L, first + i);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_einsum(out, equation, n, operands, &error));
  ltensor_account(L, out);
  return 1;
}

/* tensor._has_blas() -> is OpenBLAS installed? */
static int has_blas(lua_State *L) {
  lua_pushboolean(L, blas_open() != NULL);
  return 1;
}

const luaL_Reg ltensor_linalg_functions[] = {
    {"_has_blas", has_blas}, {"einsum", einsum}, {NULL, NULL}};
const luaL_Reg ltensor_linalg_methods[] = {
    {"matmul", matmul}, {"mm", mm},       {"bmm", bmm},         {"mv", mv},  {"dot", dot},
    {"outer", outer},   {"addmm", addmm}, {"baddbmm", baddbmm}, {NULL, NULL}};
