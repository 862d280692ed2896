/* lterminal.c -- require "hone.core.terminal": what is known of the terminal, and a steady clock.
 */
#include <lauxlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* terminal.isatty(fd) -> boolean; 0 is standard input, 1 output, 2 error */
static int terminal_isatty(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  luaL_argcheck(L, 0 <= fd && fd <= 1 << 20, 1, "file descriptor out of range");
  lua_pushboolean(L, isatty((int)fd));
  return 1;
}

/* terminal.columns() -> integer | nil: the width of the terminal, nil when there is none */
static int terminal_columns(lua_State *L) {
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
      lua_pushinteger(L, size.ws_col);
      return 1;
    }
  }
  lua_pushnil(L);
  return 1;
}

/* terminal.clock() -> number: seconds of a clock that only goes forward */
static int terminal_clock(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec * 1e-9);
  return 1;
}

/* terminal.sleep(seconds): returns early when a signal comes */
static int terminal_sleep(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "seconds out of range");
  struct timespec left = {.tv_sec = (time_t)seconds};
  left.tv_nsec = (long)((seconds - (lua_Number)left.tv_sec) * 1e9);
  nanosleep(&left, NULL);
  return 0;
}

static const luaL_Reg functions[] = {{"isatty", terminal_isatty},
                                     {"columns", terminal_columns},
                                     {"clock", terminal_clock},
                                     {"sleep", terminal_sleep},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_terminal(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
