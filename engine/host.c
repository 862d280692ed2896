#include "host.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <stdio.h>
#include <limits.h>

static void prepend(lua_State *L, const char *field, const char *entry) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, field);
  lua_pushfstring(L, "%s;%s", entry, lua_tostring(L, -1));
  lua_setfield(L, -3, field);
  lua_pop(L, 2);
}

lua_State *host_open(void) {
  lua_State *L = luaL_newstate();
  if (!L) return NULL;
  luaL_openlibs(L);
  char exe[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n > 0) {
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    lua_pushfstring(L, "%s/../scripts/?.lua;%s/../scripts/?/init.lua", exe, exe);
    prepend(L, "path", lua_tostring(L, -1));
    lua_pushfstring(L, "%s/lib/?.so", exe);
    prepend(L, "cpath", lua_tostring(L, -1));
    lua_pop(L, 2);
  }
  return L;
}
