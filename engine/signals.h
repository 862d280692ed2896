/* signals.h -- Ctrl-C and SIGTERM, turned into the Lua error "interrupted". */
#ifndef HONE_SIGNALS_H
#define HONE_SIGNALS_H

#include <lua.h>
#include <stdbool.h>

/* From here on the first SIGINT or SIGTERM interrupts what L runs, in whichever coroutine; a second
 * one has its default action. A signal that was ignored when hone started stays ignored. */
void signals_catch(lua_State *L);

/* Forget a signal that came, and catch the next one as if it were the first. */
void signals_rearm(void);

/* L is about to be closed: a signal no longer reaches it. */
void signals_release(void);

/* The signal that came since the last rearm; 0: none. */
int signals_received(void);

/* Is the value at idx the error that a signal raised? */
bool signals_is_interrupt(lua_State *L, int idx);

/* Replace coroutine.resume and coroutine.wrap by ones that note which coroutine runs: a hook
 * belongs to one thread, and a signal must find the one that is busy. */
void signals_track_coroutines(lua_State *L);

#endif
