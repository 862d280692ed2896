/* ltensor_safetensors.c -- mapped files: what reading safetensors and .npy files rests on. */
#include <errno.h>
#include <string.h>
#include "lua/ltensor.h"
#include "tensor/mapping.h"

#define MAPPING "hone.tensor.Mapping" /* metatable name; argument errors show it */

static storage *check_mapping(lua_State *L) {
  storage **s = luaL_checkudata(L, 1, MAPPING);
  luaL_argcheck(L, *s != NULL, 1, "the file was closed");
  return *s;
}

/* method, __gc and __close: safe to call twice; tensors keep the mapping they came from */
static int mapping_close(lua_State *L) {
  storage **s = luaL_checkudata(L, 1, MAPPING);
  storage_release(*s);
  *s = NULL;
  return 0;
}

static int mapping_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_mapping(L)->bytes);
  return 1;
}

/* mapping:bytes(first, n) -> at most n bytes, the first of the file being number 0 */
static int mapping_bytes(lua_State *L) {
  storage *s = check_mapping(L);
  lua_Integer first = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  luaL_argcheck(L, first >= 0 && n >= 0, 2, "a place in the file expected");
  if ((size_t)first > s->bytes) first = (lua_Integer)s->bytes;
  size_t rest = s->bytes - (size_t)first;
  size_t length = (size_t)n < rest ? (size_t)n : rest;
  lua_pushlstring(L, length ? (const char *)s->data + first : "", length);
  return 1;
}

/* mapping:tensor(dtype, sizes, first) -> tensor over the file's bytes from number `first` on */
static int mapping_tensor_(lua_State *L) {
  tensor_error error;
  int64_t shape[TENSOR_MAX_RANK];
  storage *s = check_mapping(L);
  dtype d = ltensor_check_dtype(L, 2);
  int rank = ltensor_check_sizes(L, 3, shape);
  lua_Integer first = luaL_checkinteger(L, 4);
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, mapping_tensor(t, s, first, d, rank, shape, &error));
  return 1;
}

static const luaL_Reg mapping_methods[] = {{"close", mapping_close},
                                           {"size", mapping_size},
                                           {"bytes", mapping_bytes},
                                           {"tensor", mapping_tensor_},
                                           {NULL, NULL}};

static storage **push_mapping(lua_State *L) {
  storage **s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = NULL;
  if (luaL_newmetatable(L, MAPPING)) {
    luaL_newlib(L, mapping_methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, mapping_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, mapping_close);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  return s;
}

/* tensor._map(path) -> mapping | nil, message, code */
static int map_file(lua_State *L) {
  size_t length;
  const char *path = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, strlen(path) == length, 1, "path contains a zero byte");
  int err = mapping_open(push_mapping(L), path);
  if (!err) return 1;
  const char *name = strerrorname_np(err);
  lua_pushnil(L);
  lua_pushfstring(L, "cannot read %s: %s", path, strerror(err));
  lua_pushstring(L, name ? name : "EUNKNOWN");
  return 3;
}

const luaL_Reg ltensor_safetensors_functions[] = {{"_map", map_file}, {NULL, NULL}};
const luaL_Reg ltensor_safetensors_methods[] = {{NULL, NULL}};
