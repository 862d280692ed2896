/* ljson.c -- require "hone.core.json": JSON that keeps the order of fields. yyjson reads it. */
#include "ljson.h"

/* is_object(value) -> whether encode would write {...} */
static int json_is_object(lua_State *L) {
  const char *why;
  luaL_checkany(L, 1);
  bool object = lua_istable(L, 1) &&
                (json_push_shape_of(L, 1) || json_table_kind(L, 1, &why) == KIND_PLAIN_OBJECT);
  lua_pushboolean(L, object);
  return 1;
}

/* is_array(value) -> whether encode would write [...] */
static int json_is_array(lua_State *L) {
  const char *why;
  luaL_checkany(L, 1);
  bool array =
      lua_istable(L, 1) && !json_push_shape_of(L, 1) && json_table_kind(L, 1, &why) == KIND_ARRAY;
  lua_pushboolean(L, array);
  return 1;
}

static const luaL_Reg functions[] = {{"decode", json_decode},       {"lines", json_lines},
                                     {"encode", json_encode},       {"object", json_object},
                                     {"is_object", json_is_object}, {"keys", json_keys},
                                     {"array", json_array},         {"is_array", json_is_array},
                                     {"picker", json_picker},       {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_json(lua_State *L) {
  json_open_objects(L);
  json_open_decoder(L);
  json_open_encoder(L);
  json_open_picker(L);
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
