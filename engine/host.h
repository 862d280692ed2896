/* host.h -- a Lua state ready for scripts: paths, libraries, protected calls, tracebacks. */
#ifndef HONE_HOST_H
#define HONE_HOST_H

#include <lua.h>
#include <stdbool.h>

/* A state with the standard libraries, hone's search paths, and signals caught; NULL when memory is
 * short. use_env: let LUA_PATH and LUA_CPATH have their say. */
lua_State *host_open(bool use_env);

/* lua_pcall whose error message is ready to be shown: a string, with a traceback of the user's
 * frames where that helps. */
int host_call(lua_State *L, int args, int results);

/* Pushes the function `field` of one of hone's own modules; false: the error is on top. */
bool host_require(lua_State *L, const char *module, const char *field);

/* Print the error on top of the stack and pop it; returns the exit status. */
int host_report(lua_State *L);

/* Close the state, so that what scripts hold is released; returns the status to exit with. */
int host_close(lua_State *L, int status);

#endif
