#include "signals.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "interrupt.h"

#define INTERRUPTED "interrupted"

volatile sig_atomic_t hone_interrupted;

static volatile sig_atomic_t received;
static lua_State *volatile main_thread; /* NULL: no state to interrupt */
static lua_State *volatile busy_thread; /* the coroutine that runs, or the main thread */

static const int caught[] = {SIGINT, SIGTERM};
enum { CAUGHT = sizeof caught / sizeof *caught };

/* Runs in the interrupted thread, between two instructions. */
static void interrupt_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (!hone_interrupted) return; /* another thread, or C code, has raised it */
  hone_interrupted = 0;
  lua_pushliteral(L, INTERRUPTED);
  lua_error(L);
}

static void set_hook(lua_State *L) {
  if (L) {
    lua_sethook(L, interrupt_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  }
}

static void on_signal(int signal_number) {
  for (int i = 0; i < CAUGHT; i++) signal(caught[i], SIG_DFL); /* the second one kills */
  received = signal_number;
  hone_interrupted = 1;
  set_hook(main_thread);
  if (busy_thread != main_thread) set_hook(busy_thread);
}

static void install_handlers(void) {
  for (int i = 0; i < CAUGHT; i++) {
    struct sigaction old;
    if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: reads return at once */
    sigemptyset(&action.sa_mask);
    sigaction(caught[i], &action, NULL);
  }
}

void signals_catch(lua_State *L) {
  main_thread = busy_thread = L;
  install_handlers();
}

void signals_rearm(void) {
  received = 0;
  hone_interrupted = 0;
  install_handlers();
}

void signals_release(void) {
  main_thread = busy_thread = NULL;
}

int signals_received(void) {
  return received;
}

bool signals_is_interrupt(lua_State *L, int idx) {
  return received && lua_type(L, idx) == LUA_TSTRING &&
         strcmp(lua_tostring(L, idx), INTERRUPTED) == 0;
}

/* Resumes co with the topmost `args` values of L, and moves what comes of it to L: results, whose
 * number is returned, or an error, which is -1. */
static int resume(lua_State *L, lua_State *co, int args) {
  if (!lua_checkstack(co, args)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, args);
  lua_State *outer = busy_thread;
  busy_thread = co;
  int results = 0;
  int status = lua_resume(co, L, args, &results);
  busy_thread = outer;
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

/* coroutine.resume(co, ...) -> true, ... | false, error */
static int tracked_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "thread");
  int results = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  int pushed = results >= 0 ? results : 1;
  lua_insert(L, -pushed - 1);
  return pushed + 1;
}

/* What coroutine.wrap returns; upvalue 1 is the coroutine. */
static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) { /* the error was raised in it, and has ended it */
    status = lua_resetthread(co);                /* closes its variables, which may raise another */
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING && !signals_is_interrupt(L, -1)) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

/* coroutine.wrap(f) -> function */
static int tracked_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

void signals_track_coroutines(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"resume", tracked_resume}, {"wrap", tracked_wrap}, {NULL, NULL}};
  lua_getglobal(L, LUA_COLIBNAME);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
