/* ltensor_print.c -- tensors as text. */
#include <stdlib.h>
#include "lua/ltensor.h"
#include "tensor/print.h"

#define TEXT "hone.tensor.text" /* holds the text while it is made */

static int text_free(lua_State *L) {
  char **text = luaL_checkudata(L, 1, TEXT);
  free(*text);
  *text = NULL;
  return 0;
}

static char **push_text(lua_State *L) {
  char **text = lua_newuserdatauv(L, sizeof *text, 0);
  *text = NULL;
  if (luaL_newmetatable(L, TEXT)) {
    lua_pushcfunction(L, text_free);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return text;
}

/* A field that is an integer from `least` to `most`, or infinite where that is beyond them. */
static int64_t integer_field(lua_State *L, int arg, const char *name, int64_t value, int64_t least,
                             int64_t most) {
  int exact;
  if (lua_getfield(L, arg, name) != LUA_TNIL) {
    value = lua_tointegerx(L, -1, &exact);
    if (!exact && lua_tonumber(L, -1) > 0x1p63)
      value = most;
    else if (!exact || value < least || value > most)
      luaL_argerror(L, arg, lua_pushfstring(L, "%s is out of range", name));
  }
  lua_pop(L, 1);
  return value;
}

static print_options check_print_options(lua_State *L, int arg) {
  print_options o = PRINT_DEFAULTS;
  if (lua_isnoneornil(L, arg)) return o;
  luaL_checktype(L, arg, LUA_TTABLE);
  o.precision = (int)integer_field(L, arg, "precision", o.precision, 0, PRINT_MOST_DIGITS);
  o.threshold = integer_field(L, arg, "threshold", o.threshold, 0, INT64_MAX);
  o.edge_items = integer_field(L, arg, "edge_items", o.edge_items, 1, INT32_MAX);
  o.line_width = integer_field(L, arg, "line_width", o.line_width, 1, INT32_MAX);
  if (lua_getfield(L, arg, "scientific") != LUA_TNIL)
    o.scientific = lua_toboolean(L, -1) ? SCIENTIFIC_ALWAYS : SCIENTIFIC_NEVER;
  lua_pop(L, 1);
  return o;
}

/* t:tostring([options]) -> the text; also __tostring */
static int tensor_tostring(lua_State *L) {
  tensor_error error;
  const tensor *t = luaL_checkudata(L, 1, TENSOR);
  if (!t->storage) {
    lua_pushliteral(L, "tensor(closed)");
    return 1;
  }
  print_options options = check_print_options(L, 2);
  t = ltensor_to_read(L, t);
  size_t size;
  char **text = push_text(L);
  LTENSOR_TRY(L, tensor_print(text, &size, t, &options, &error));
  lua_pushlstring(L, *text, size);
  free(*text);
  *text = NULL;
  return 1;
}

const luaL_Reg ltensor_print_functions[] = {{NULL, NULL}};
const luaL_Reg ltensor_print_methods[] = {{"tostring", tensor_tostring}, {NULL, NULL}};
