/* fields.h -- fields of the table on top of the stack. */
#ifndef HONE_LUA_FIELDS_H
#define HONE_LUA_FIELDS_H

#include <lua.h>

static inline void set_integer(lua_State *L, const char *field, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, field);
}

static inline void set_number(lua_State *L, const char *field, lua_Number value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, field);
}

#endif
