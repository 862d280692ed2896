/* host.h -- a Lua state ready for scripts: paths, libraries, protected calls, tracebacks. */
#ifndef HONE_HOST_H
#define HONE_HOST_H

#include <lua.h>

/* A state with the standard libraries and hone's search paths; NULL when memory is short. */
lua_State *host_open(void);

#endif
