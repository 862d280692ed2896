/* interrupted.h -- telling Lua of Ctrl-C. */
#ifndef HONE_LUA_INTERRUPTED_H
#define HONE_LUA_INTERRUPTED_H

#include <lauxlib.h>

#include "interrupt.h"

/* Raises "interrupted", as the host's hook would in Lua code; does not return. */
static inline int raise_interrupted(lua_State *L) {
  hone_interrupt_told();
  lua_pushliteral(L, "interrupted");
  return lua_error(L);
}

#endif
