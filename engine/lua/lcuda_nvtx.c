/* lcuda_nvtx.c -- ranges and marks that profilers show. */
#include "gpu/nvtx.h"
#include "lcuda.h"

/* core.nvtx_is_heard() -> boolean */
static int core_nvtx_is_heard(lua_State *L) {
  lua_pushboolean(L, nvtx_is_heard());
  return 1;
}

/* core.nvtx_open(folders) -> true | nil, message */
static int core_nvtx_open(lua_State *L) {
  int count;
  const char *problem = nvtx_open(lcuda_push_strings(L, 1, &count));
  lua_pushboolean(L, !problem);
  lua_pushstring(L, problem);
  return 2;
}

/* core.nvtx_push(name) */
static int core_nvtx_push(lua_State *L) {
  nvtx_push(luaL_checkstring(L, 1));
  return 0;
}

/* core.nvtx_pop() */
static int core_nvtx_pop(lua_State *L) {
  (void)L;
  nvtx_pop();
  return 0;
}

/* core.nvtx_mark(name) */
static int core_nvtx_mark(lua_State *L) {
  nvtx_mark(luaL_checkstring(L, 1));
  return 0;
}

static const luaL_Reg functions[] = {
    {"nvtx_is_heard", core_nvtx_is_heard}, {"nvtx_open", core_nvtx_open},
    {"nvtx_push", core_nvtx_push},         {"nvtx_pop", core_nvtx_pop},
    {"nvtx_mark", core_nvtx_mark},         {NULL, NULL}};

void lcuda_open_nvtx(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
