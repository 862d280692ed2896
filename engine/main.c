#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include "host.h"

/* Placeholder until the command line is written: -e CODE and SCRIPT [args]. */
int main(int argc, char **argv) {
  lua_State *L = host_open();
  lua_createtable(L, argc, 0);
  int i = 1, status = 0;
  while (i < argc && strcmp(argv[i], "-e") == 0 && !status) {
    status = luaL_dostring(L, argv[i + 1]);
    i += 2;
  }
  for (int k = 0; k < argc; k++) { lua_pushstring(L, argv[k]); lua_rawseti(L, -2 - (status != 0), k - i); }
  if (!status) lua_setglobal(L, "arg");
  if (!status && i < argc) status = luaL_dofile(L, argv[i]);
  if (status) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  return status != 0;
}
