/* memory.h -- where a Lua state's objects lie. */
#ifndef HONE_MEMORY_H
#define HONE_MEMORY_H

#include <lua.h>
#include <stdbool.h>

/* Let the state take small blocks from a heap of its own. What it has is left where it is. Where no
 * heap is to be had, as under a limit on addresses, the state goes on with malloc. */
void memory_use_heap(lua_State *L);

/* The state is about to be closed: its small blocks go with the process, so nothing is done for
 * each of them. False where each is to be given back after all, for a sanitizer that looks for
 * leaks. */
bool memory_leave(void);

#endif
