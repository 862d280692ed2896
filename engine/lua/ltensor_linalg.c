/* ltensor_linalg.c -- products of tensors. */
#include <string.h>
#include "lua/ltensor.h"
#include "tensor/blas.h"
#include "tensor/linalg.h"

enum { MOST_OPERANDS = 16 };

/* ---- sums of one product each -----------------------------------------------------------------
 */

/* Where a product of matrices adds nothing up, it is one of elements, and may wait as those do. */
static bool may_be_elements(const tensor *a, const tensor *b) {
  bool is_rounded_once = dtype_is_float(a->dtype) && dtype_size(a->dtype) > 1;
  return is_rounded_once && a->dtype == b->dtype && a->storage->device == b->storage->device &&
         pending_may_be_on(a->storage->device);
}

/* a * b + 0, for a sum of products has no negative zero. */
static int multiply_elements(lua_State *L, const tensor *a, const tensor *b) {
  tensor_error error;
  scalar zero;
  tensor *product = ltensor_push(L), *out = ltensor_push(L);
  LTENSOR_TRY_LATER(L, tensor_binary(BINARY_mul, product, NULL, (operand){a, false},
                                     (operand){b, false}, &error));
  LTENSOR_TRY_LATER(L, tensor_binary(BINARY_add, out, NULL, (operand){product, false},
                                     scalar_integer(&zero, 0), &error));
  tensor_release(product);
  ltensor_account(L, out);
  return 1;
}

/* [.., m, 1] by [.., 1, n] */
static bool is_outer(const tensor *a, const tensor *b) {
  return a->rank >= 2 && b->rank >= 2 && a->shape[a->rank - 1] == 1 && b->shape[b->rank - 2] == 1 &&
         may_be_elements(a, b);
}

/* The letters of a part of an equation in a set; false for anything else, or one that comes twice.
 */
static bool read_letters(const char *p, const char *end, int rank, unsigned *set) {
  *set = 0;
  if (end - p != rank) return false;
  for (; p < end; p++) {
    if (*p < 'a' || *p > 'z' || (*set & 1u << (*p - 'a'))) return false;
    *set |= 1u << (*p - 'a');
  }
  return true;
}

/* t with a dimension for each letter of the result; false where others are longer than 1. */
static bool arrange(tensor *out, const tensor *t, const char *letters, const char *result,
                    int rank) {
  *out = *t;
  out->rank = rank;
  for (int d = 0; d < t->rank; d++)
    if (!memchr(result, letters[d], (size_t)rank) && t->shape[d] != 1) return false;
  for (int d = 0; d < rank; d++) {
    const char *at = memchr(letters, result[d], (size_t)t->rank);
    out->shape[d] = at ? t->shape[at - letters] : 1;
    out->stride[d] = at ? t->stride[at - letters] : 0;
  }
  return true;
}

/* "hkl,hlv->hkv" where l is 1: both operands with the dimensions of the result. */
static bool is_outer_sum(tensor views[2], const char *equation, const tensor *a, const tensor *b) {
  const char *comma = strchr(equation, ','), *arrow = strstr(equation, "->");
  unsigned left, right, made;
  if (!comma || !arrow || arrow < comma || !may_be_elements(a, b)) return false;
  const char *result = arrow + 2;
  size_t rank = strlen(result);
  if (rank == 0 || rank > TENSOR_MAX_RANK || !read_letters(equation, comma, a->rank, &left) ||
      !read_letters(comma + 1, arrow, b->rank, &right) ||
      !read_letters(result, result + rank, (int)rank, &made))
    return false;
  if (made & ~(left | right) || !(left & right & ~made)) return false;
  /* one of both, one of the first, one of the second: so lie the elements of a batch of products */
  unsigned order[3] = {left & right & made, left & ~right & made, right & ~left & made};
  const char *p = result;
  for (int i = 0; i < 3; i++) {
    if (order[i] & (order[i] - 1)) return false;
    if (order[i] && order[i] != 1u << (*p++ - 'a')) return false;
  }
  return arrange(&views[0], a, equation, result, (int)rank) &&
         arrange(&views[1], b, comma + 1, result, (int)rank);
}

/* ---- products ---------------------------------------------------------------------------------
 */

typedef int product(tensor *out, const tensor *a, const tensor *b, tensor_error *error);

/* Where the second of two matrices waits: computed on the way, if that is done. A vector is a
 * matrix of one row. */
static bool multiply_waiting(lua_State *L, tensor *out, const tensor *a, const tensor *b) {
  tensor_error error;
  tensor row = *a, product;
  bool is_vector = a->rank == 1 && b->rank == 2;
  if (!b->storage->pending) return false;
  if (is_vector) {
    row.rank = 2;
    row.shape[1] = a->shape[0], row.stride[1] = a->stride[0];
    row.shape[0] = 1, row.stride[0] = a->shape[0] * a->stride[0];
  }
  int code = pending_product(&product, &row, b, &error);
  if (code < 0) ltensor_try(L, code, &error);
  if (code) return false;
  *out = product;
  if (is_vector) {
    out->shape[0] = out->shape[1];
    out->stride[0] = 1;
    out->rank = 1;
  }
  return true;
}

static int push_product(lua_State *L, product *multiply) {
  tensor_error error;
  const tensor *a = ltensor_look(L, 1), *b = ltensor_look(L, 2);
  tensor *out = ltensor_push(L);
  bool fits = multiply == tensor_matmul || (multiply == tensor_mm && a->rank == 2) ||
              (multiply == tensor_bmm && a->rank == 3);
  if (fits && multiply_waiting(L, out, a, b)) {
    ltensor_account(L, out);
    return 1;
  }
  a = ltensor_to_read(L, a);
  b = ltensor_to_read(L, b);
  LTENSOR_TRY(L, multiply(out, a, b, &error));
  ltensor_account(L, out);
  return 1;
}

/* a:matmul(b) -> tensor, and so for the others */
static int matmul(lua_State *L) {
  const tensor *a = ltensor_look(L, 1), *b = ltensor_look(L, 2);
  if (is_outer(a, b)) return multiply_elements(L, a, b);
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
  for (int i = 0; i < n; i++) operands[i] = ltensor_look(L, first + i);
  tensor views[2];
  if (n == 2 && is_outer_sum(views, equation, operands[0], operands[1]))
    return multiply_elements(L, &views[0], &views[1]);
  if (n == 1) ltensor_settle(L, operands[0]); /* the result may be a view of it */
  for (int i = 0; i < n; i++) operands[i] = ltensor_to_read(L, operands[i]);
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
