/* ltensor_ops.c -- the elementwise operations as methods, made from engine/tensor/ops.def: t:add(u)
 * gives a new tensor, t:add_(u) writes into t. */
#include <stdio.h>
#include "lua/ltensor.h"

/* Is upvalue 2, "in place", set? Then push t itself and give it back, else an empty tensor. */
static tensor *push_target(lua_State *L, tensor **into) {
  if (!lua_toboolean(L, lua_upvalueindex(2))) {
    *into = NULL;
    return ltensor_push(L);
  }
  *into = ltensor_look(L, 1);
  lua_pushvalue(L, 1);
  return *into;
}

static int finish(lua_State *L, const tensor *out, const tensor *into) {
  if (!into) ltensor_account(L, out);
  return 1;
}

/* t:exp() -> tensor; upvalues: unary_op, in place */
static int unary_method(lua_State *L) {
  int op = (int)lua_tointeger(L, lua_upvalueindex(1));
  tensor_error error;
  tensor *a = ltensor_look(L, 1), *into, *out = push_target(L, &into);
  LTENSOR_TRY_LATER(L, tensor_unary(op, out, into, a, &error));
  return finish(L, out, into);
}

/* t:add(other) -> tensor; upvalues: binary_op, in place */
static int binary_method(lua_State *L) {
  int op = (int)lua_tointeger(L, lua_upvalueindex(1));
  tensor_error error;
  scalar s, r;
  tensor *into;
  ltensor_look(L, 1);
  operand a = ltensor_check_operand(L, 1, &r), b = ltensor_check_operand(L, 2, &s);
  tensor *out = push_target(L, &into);
  LTENSOR_TRY_LATER(L, tensor_binary(op, out, into, a, b, &error));
  return finish(L, out, into);
}

/* a + b, of which one may be a number */
int ltensor_binary_operator(lua_State *L) {
  int op = (int)lua_tointeger(L, lua_upvalueindex(1));
  tensor_error error;
  scalar s, r;
  operand a = ltensor_check_operand(L, 1, &r), b = ltensor_check_operand(L, 2, &s);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY_LATER(L, tensor_binary(op, out, NULL, a, b, &error));
  return finish(L, out, NULL);
}

/* t:clamp(min, max) -> tensor; either may be nil; upvalue 2: in place */
static int clamp_method(lua_State *L) {
  tensor_error error;
  scalar s, r;
  tensor *into, *t = ltensor_look(L, 1);
  bool has_low = !lua_isnoneornil(L, 2), has_high = !lua_isnoneornil(L, 3);
  luaL_argcheck(L, has_low || has_high, 2, "a minimum or a maximum is needed");
  operand a = {t, false}, low = {NULL, false}, high = {NULL, false};
  if (has_low) low = ltensor_check_operand(L, 2, &s);
  if (has_high) high = ltensor_check_operand(L, 3, &r);
  tensor *out = push_target(L, &into);
  if (has_low && has_high)
    LTENSOR_TRY_LATER(L, tensor_ternary(TERNARY_clamp, out, into, a, low, high, &error));
  else if (has_low)
    LTENSOR_TRY_LATER(L, tensor_binary(BINARY_maximum, out, into, a, low, &error));
  else
    LTENSOR_TRY_LATER(L, tensor_binary(BINARY_minimum, out, into, a, high, &error));
  return finish(L, out, into);
}

/* t:softplus([beta, [threshold]]) -> tensor */
static int softplus_method(lua_State *L) {
  tensor_error error;
  scalar s, r;
  tensor *into;
  operand a = {ltensor_look(L, 1), false};
  operand beta = scalar_float(&s, luaL_optnumber(L, 2, 1));
  operand threshold = scalar_float(&r, luaL_optnumber(L, 3, 20));
  tensor *out = push_target(L, &into);
  LTENSOR_TRY_LATER(L, tensor_ternary(TERNARY_softplus, out, into, a, beta, threshold, &error));
  return finish(L, out, into);
}

/* t:lerp(other, weight) -> tensor */
static int lerp_method(lua_State *L) {
  tensor_error error;
  scalar s, r;
  tensor *into;
  operand a = {ltensor_look(L, 1), false};
  operand b = ltensor_check_operand(L, 2, &s), weight = ltensor_check_operand(L, 3, &r);
  tensor *out = push_target(L, &into);
  LTENSOR_TRY_LATER(L, tensor_ternary(TERNARY_lerp, out, into, a, b, weight, &error));
  return finish(L, out, into);
}

/* tensor.where(condition, a, b) -> tensor */
static int where_function(lua_State *L) {
  tensor_error error;
  scalar s, r;
  tensor *condition = ltensor_look(L, 1);
  operand a = ltensor_check_operand(L, 2, &s), b = ltensor_check_operand(L, 3, &r);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY_LATER(L, tensor_where(out, NULL, condition, a, b, &error));
  return finish(L, out, NULL);
}

/* t:where(condition, other) -> tensor: t where the condition holds, else other */
static int where_method(lua_State *L) {
  lua_settop(L, 3);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_replace(L, 1);
  lua_replace(L, 2); /* [condition, t, other] */
  return where_function(L);
}

/* t:masked_fill(mask, value) -> tensor; upvalue 2: in place */
static int masked_fill_method(lua_State *L) {
  tensor_error error;
  scalar s;
  tensor *into, *t = ltensor_look(L, 1), *mask = ltensor_look(L, 2);
  operand value = ltensor_check_operand(L, 3, &s);
  luaL_argcheck(L, mask->dtype == DTYPE_BOOL, 2, "the mask is not bool");
  luaL_argcheck(L, value.tensor->rank == 0, 3, "the value is not a number or a 0-d tensor");
  tensor *out = push_target(L, &into);
  if (!into) {
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    tensor wide;
    LTENSOR_TRY(L, shape_broadcast("masked_fill", t, mask, &rank, shape, &error));
    LTENSOR_TRY(L, tensor_expand(&wide, t, rank, shape, &error));
    pending_allow(true);
    int code = tensor_clone(out, &wide, &error);
    pending_allow(false);
    tensor_release(&wide);
    ltensor_try(L, code, &error);
  }
  LTENSOR_TRY_LATER(L, tensor_where(NULL, out, mask, value, (operand){out, false}, &error));
  return finish(L, out, into);
}

/* t:copy_(other) -> t */
static int copy_method(lua_State *L) {
  tensor_error error;
  scalar s;
  tensor *t = ltensor_look(L, 1);
  operand from = ltensor_check_operand(L, 2, &s);
  LTENSOR_TRY(L, tensor_copy(t, from.tensor, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:fill_(number or 0-d tensor) -> t */
static int fill_method(lua_State *L) {
  tensor_error error;
  scalar s;
  tensor *t = ltensor_look(L, 1);
  operand value = ltensor_check_operand(L, 2, &s);
  luaL_argcheck(L, value.tensor->rank == 0, 2, "a number or a 0-d tensor expected");
  LTENSOR_TRY(L, tensor_fill(t, value, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:zero_() -> t */
static int zero_method(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return fill_method(L);
}

/* tensor.result_type(a, b) -> the dtype that they promote to */
static int result_type(lua_State *L) {
  scalar s, r;
  operand in[2] = {ltensor_check_operand(L, 1, &s), ltensor_check_operand(L, 2, &r)};
  dtype d = promote_operands(2, in);
  if (d == DTYPE_NONE)
    return luaL_error(L, "%s and %s do not promote to anything", dtype_name(in[0].tensor->dtype),
                      dtype_name(in[1].tensor->dtype));
  lua_pushstring(L, dtype_name(d));
  return 1;
}

/* ---- registration -----------------------------------------------------------------------------
 */

/* Set method `name` and, with `places` 2, `name_`, which writes into its tensor. */
static void register_op(lua_State *L, lua_CFunction f, const char *name, int op, int places) {
  char in_place[64];
  snprintf(in_place, sizeof in_place, "%s_", name);
  for (int place = 0; place < places; place++) {
    lua_pushinteger(L, op);
    lua_pushboolean(L, place);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, -2, place ? in_place : name);
  }
}

static bool is_question(int op) {
  return op == UNARY_isnan || op == UNARY_isinf || op == UNARY_isfinite;
}

void ltensor_register_elementwise(lua_State *L) {
  for (int op = 0; op < UNARY_COUNT; op++)
    register_op(L, unary_method, unary_name(op), op, is_question(op) ? 1 : 2);
  for (int op = 0; op < BINARY_COUNT; op++) register_op(L, binary_method, binary_name(op), op, 2);
  register_op(L, clamp_method, "clamp", TERNARY_clamp, 2);
  register_op(L, softplus_method, "softplus", TERNARY_softplus, 2);
  register_op(L, lerp_method, "lerp", TERNARY_lerp, 2);
  register_op(L, masked_fill_method, "masked_fill", 0, 2);
}

const luaL_Reg ltensor_ops_functions[] = {
    {"where", where_function}, {"result_type", result_type}, {NULL, NULL}};

const luaL_Reg ltensor_ops_methods[] = {{"where", where_method},
                                        {"copy_", copy_method},
                                        {"fill_", fill_method},
                                        {"zero_", zero_method},
                                        {NULL, NULL}};
