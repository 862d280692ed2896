/* ltensor.c -- require "hone.core.tensor": the type itself. What it can do is in the rooms beside,
 * ltensor_*.c; the arithmetic is in engine/tensor. */
#include <stdio.h>
#include <string.h>
#include "lua/ltensor.h"
#include "tensor/parallel.h"

LTENSOR_ROOM(random);
LTENSOR_ROOM(sort);
LTENSOR_ROOM(linalg);
LTENSOR_ROOM(safetensors);
LTENSOR_ROOM(print);

/* method, __gc and __close: safe to call twice */
static int tensor_close(lua_State *L) {
  tensor_release(luaL_checkudata(L, 1, TENSOR));
  return 0;
}

/* t:shape() -> table of sizes */
static int tensor_shape(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  ltensor_push_shape(L, t->rank, t->shape);
  return 1;
}

/* t:stride() -> table of strides in elements */
static int tensor_stride(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  ltensor_push_shape(L, t->rank, t->stride);
  return 1;
}

/* t:size([dim]) -> the size of a dimension, or the table of all */
static int tensor_size(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  if (lua_isnoneornil(L, 2)) return tensor_shape(L);
  luaL_argcheck(L, t->rank > 0, 2, "a 0-d tensor has no dimension");
  lua_pushinteger(L, t->shape[ltensor_check_dim(L, 2, t->rank)]);
  return 1;
}

static int tensor_dim(lua_State *L) {
  lua_pushinteger(L, ltensor_look(L, 1)->rank);
  return 1;
}

static int tensor_numel(lua_State *L) {
  lua_pushinteger(L, tensor_count(ltensor_look(L, 1)));
  return 1;
}

static int tensor_element_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)dtype_size(ltensor_look(L, 1)->dtype));
  return 1;
}

static int tensor_storage_offset(lua_State *L) {
  lua_pushinteger(L, ltensor_look(L, 1)->offset);
  return 1;
}

/* t:data_ptr() -> the address of the first element */
static int tensor_data_ptr(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(intptr_t)tensor_data(ltensor_check(L, 1)));
  return 1;
}

static int tensor_is_contiguous_(lua_State *L) {
  lua_pushboolean(L, tensor_is_contiguous(ltensor_look(L, 1)));
  return 1;
}

static int tensor_is_floating_point(lua_State *L) {
  lua_pushboolean(L, dtype_is_float(ltensor_look(L, 1)->dtype));
  return 1;
}

static int tensor_len(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  if (t->rank == 0) return luaL_error(L, "a 0-d tensor has no length");
  lua_pushinteger(L, t->shape[0]);
  return 1;
}

static int push_device(lua_State *L, const tensor *t) {
  if (t->storage->device == DEVICE_CPU)
    lua_pushliteral(L, "cpu");
  else
    lua_pushfstring(L, "cuda:%d", t->storage->device);
  return 1;
}

/* t.name: a method, dtype or device; t[...]: elements. Upvalue 1: the methods */
static int tensor_get(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) return ltensor_get_index(L);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  const char *name = lua_tostring(L, 2);
  tensor *t = ltensor_look(L, 1);
  if (strcmp(name, "dtype") == 0)
    lua_pushstring(L, dtype_name(t->dtype));
  else if (strcmp(name, "device") == 0)
    push_device(L, t);
  else
    lua_pushnil(L);
  return 1;
}

/* tensor.threads() -> how many threads large loops run on */
static int threads(lua_State *L) {
  lua_pushinteger(L, parallel_threads());
  return 1;
}

/* tensor.set_threads(n) */
static int set_threads(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 1 && n <= 256, 1, "between 1 and 256 threads");
  parallel_set_threads((int)n);
  return 0;
}

/* tensor.is_tensor(value) -> boolean */
static int is_tensor(lua_State *L) {
  lua_pushboolean(L, ltensor_test(L, 1) != NULL);
  return 1;
}

/* tensor._fits(value, dtype, sizes...) -> is it a tensor of exactly that dtype and shape? */
static int fits(lua_State *L) {
  const tensor *t = ltensor_test(L, 1);
  int rank = lua_gettop(L) - 2;
  bool same = t && t->storage && t->rank == rank &&
              strcmp(dtype_name(t->dtype), luaL_checkstring(L, 2)) == 0;
  for (int i = 0; i < rank && same; i++) same = lua_tointeger(L, 3 + i) == t->shape[i];
  lua_pushboolean(L, same);
  return 1;
}

static const luaL_Reg functions[] = {{"threads", threads},
                                     {"set_threads", set_threads},
                                     {"is_tensor", is_tensor},
                                     {"_fits", fits},
                                     {NULL, NULL}};

static const luaL_Reg methods[] = {{"close", tensor_close},
                                   {"shape", tensor_shape},
                                   {"stride", tensor_stride},
                                   {"size", tensor_size},
                                   {"dim", tensor_dim},
                                   {"numel", tensor_numel},
                                   {"element_size", tensor_element_size},
                                   {"storage_offset", tensor_storage_offset},
                                   {"data_ptr", tensor_data_ptr},
                                   {"is_contiguous", tensor_is_contiguous_},
                                   {"is_floating_point", tensor_is_floating_point},
                                   {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__gc", tensor_close},
                                       {"__close", tensor_close},
                                       {"__len", tensor_len},
                                       {"__newindex", ltensor_set_index},
                                       {NULL, NULL}};

static const struct {
  const char *name;
  enum binary_op op;
} operators[] = {{"__add", BINARY_add},
                 {"__sub", BINARY_sub},
                 {"__mul", BINARY_mul},
                 {"__div", BINARY_div},
                 {"__idiv", BINARY_floor_divide},
                 {"__mod", BINARY_remainder},
                 {"__pow", BINARY_pow},
                 {"__band", BINARY_bitwise_and},
                 {"__bor", BINARY_bitwise_or},
                 {"__bxor", BINARY_bitwise_xor},
                 {"__shl", BINARY_bitwise_left_shift},
                 {"__shr", BINARY_bitwise_right_shift}};

/* Add a room's functions to the table below the top, its methods to the one at the top. */
static void open_room(lua_State *L, const luaL_Reg *room_functions, const luaL_Reg *room_methods) {
  luaL_setfuncs(L, room_methods, 0);
  lua_insert(L, -2); /* [methods, functions] */
  luaL_setfuncs(L, room_functions, 0);
  lua_insert(L, -2);
}

#define OPEN(name) open_room(L, ltensor_##name##_functions, ltensor_##name##_methods)

static void open_rooms(lua_State *L) { /* [functions, methods] */
  luaL_setfuncs(L, methods, 0);
  ltensor_register_elementwise(L);
  OPEN(make);
  OPEN(view);
  OPEN(ops);
  OPEN(reduce);
  OPEN(index);
  OPEN(join);
  OPEN(random);
  OPEN(sort);
  OPEN(linalg);
  OPEN(safetensors);
  OPEN(print);
  OPEN(cuda);
  OPEN(later);
  OPEN(shared);
}

static void make_metatable(lua_State *L) { /* [functions, methods] */
  luaL_newmetatable(L, TENSOR);
  luaL_setfuncs(L, metamethods, 0);
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    lua_pushinteger(L, operators[i].op);
    lua_pushcclosure(L, ltensor_binary_operator, 1);
    lua_setfield(L, -2, operators[i].name);
  }
  static const char *const borrowed[][2] = {
      {"__unm", "neg"}, {"__bnot", "bitwise_not"}, {"__tostring", "tostring"}};
  for (size_t i = 0; i < sizeof borrowed / sizeof *borrowed; i++) {
    lua_getfield(L, -2, borrowed[i][1]);
    lua_setfield(L, -2, borrowed[i][0]);
  }
  ltensor_set_pointee(L);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, tensor_get, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_hone_core_tensor(lua_State *L);

int luaopen_hone_core_tensor(lua_State *L) {
  luaL_newlib(L, functions);
  lua_newtable(L);
  open_rooms(L);
  make_metatable(L);
  lua_setfield(L, -2, "Tensor");
  return 1;
}
