/* gpu_state.h -- the devices that all libraries of a Lua state share. */
#ifndef HONE_LUA_GPU_STATE_H
#define HONE_LUA_GPU_STATE_H

#include <lua.h>

#include "gpu/context.h"

/* Publish this library's gpu_state in the registry, or adopt what another library published. */
static inline void share_gpu_state(lua_State *L) {
  static const char *const field = "hone.gpu.state"; /* holds a light userdata */
  if (lua_getfield(L, LUA_REGISTRYINDEX, field) == LUA_TLIGHTUSERDATA) {
    gpu_state_adopt(lua_touserdata(L, -1));
  } else {
    lua_pushlightuserdata(L, gpu_state_get());
    lua_setfield(L, LUA_REGISTRYINDEX, field);
  }
  lua_pop(L, 1);
}

#endif
