#include "host.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "signals.h"

/* ---- where hone's files are ---------------------------------------------------------------- */

typedef struct {
  char exe[PATH_MAX];  /* the executable, symbolic links resolved */
  char home[PATH_MAX]; /* holds scripts/ and skills/; "" when not found */
  char lib[PATH_MAX];  /* holds hone/core/ and hone/grammar/ */
} Paths;

static Paths paths;

/* Cuts the last component off an absolute path. */
static void cut_last(char *path) {
  *strrchr(path, '/') = 0;
}

static bool try_home(const char *prefix, const char *folder) {
  char probe[PATH_MAX + 32];
  snprintf(paths.home, sizeof paths.home, "%.*s%s", PATH_MAX / 2, prefix, folder);
  snprintf(probe, sizeof probe, "%s/scripts/hone", paths.home);
  if (access(probe, F_OK) == 0) return true;
  paths.home[0] = 0;
  return false;
}

/* An installation and a bundle keep PREFIX/bin, PREFIX/lib and PREFIX/share/hone; a build tree has
 * the binary and lib/ together in build/ or build/<variant>/, below the repository. */
static void find_paths(void) {
  char folder[PATH_MAX], prefix[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", paths.exe, sizeof paths.exe - 1);
  if (n <= 0) return;
  snprintf(folder, sizeof folder, "%s", paths.exe);
  cut_last(folder);
  snprintf(prefix, sizeof prefix, "%s", folder);
  const char *libraries = folder;
  if (*prefix) cut_last(prefix);
  if (try_home(prefix, "/share/hone")) {
    libraries = prefix;
  } else if (!try_home(prefix, "") && *prefix) {
    cut_last(prefix);
    try_home(prefix, "");
  }
  snprintf(paths.lib, sizeof paths.lib, "%.*s/lib", PATH_MAX / 2, libraries);
  const char *chosen = getenv("HONE_HOME");
  if (chosen && *chosen && (!realpath(chosen, prefix) || !try_home(prefix, ""))) paths.home[0] = 0;
}

static void prepend(lua_State *L, const char *field, const char *entries) {
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, field);
  lua_pushfstring(L, "%s;%s", entries, lua_tostring(L, -1));
  lua_setfield(L, -3, field);
  lua_pop(L, 2);
}

/* A bundle brings the Lua libraries of the distribution in <lib>/hone/lua and <home>/lua. */
static void set_search_paths(lua_State *L) {
  const char *home = paths.home, *lib = paths.lib;
  if (*home) {
    prepend(L, "path",
            lua_pushfstring(L,
                            "%s/scripts/?.lua;%s/scripts/?/init.lua;%s/lua/?.lua;%s/lua/?/init.lua",
                            home, home, home, home));
    lua_pop(L, 1);
  }
  if (*lib) {
    prepend(L, "cpath", lua_pushfstring(L, "%s/?.so;%s/hone/lua/?.so", lib, lib));
    lua_pop(L, 1);
  }
}

static void set_string(lua_State *L, const char *field, const char *value) {
  if (!*value) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

/* package.loaded["hone.paths"] = {home =, lib =, exe =} */
static void publish_paths(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_createtable(L, 0, 3);
  set_string(L, "home", paths.home);
  set_string(L, "lib", paths.lib);
  set_string(L, "exe", paths.exe);
  lua_setfield(L, -2, "hone.paths");
  lua_pop(L, 1);
}

/* ---- errors -------------------------------------------------------------------------------- */

enum { END_LEVELS = 12 }; /* of a deep recursion, so many levels are looked at from each end */

static bool is_library(const lua_Debug *ar) {
  static const char folder[] = "/scripts/";
  size_t n = strlen(paths.home);
  return n > 0 && ar->source[0] == '@' && strncmp(ar->source + 1, paths.home, n) == 0 &&
         strncmp(ar->source + 1 + n, folder, sizeof folder - 1) == 0;
}

/* Does the message blame a line of hone's own library? Then its frames are wanted too. */
static bool blames_library(lua_State *L, const char *message) {
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "S", &ar);
    if (*ar.what == 'C') continue;
    return is_library(&ar) && strncmp(message, ar.short_src, strlen(ar.short_src)) == 0;
  }
  return false;
}

/* The deepest level there is. lua_getstack walks from the top: asking every level would be
 * quadratic. */
static int last_level(lua_State *L) {
  lua_Debug ar;
  int present = 0, absent = 1;
  while (lua_getstack(L, absent, &ar)) {
    present = absent;
    absent *= 2;
  }
  while (absent - present > 1) {
    int middle = present + (absent - present) / 2;
    if (lua_getstack(L, middle, &ar))
      present = middle;
    else
      absent = middle;
  }
  return present;
}

static void add_frame(lua_State *L, luaL_Buffer *text, const lua_Debug *ar) {
  lua_pushfstring(L, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
  luaL_addvalue(text);
  if (*ar->what == 'm') {
    lua_pushliteral(L, "main chunk");
  } else if (strcmp(ar->namewhat, "metamethod") == 0) {
    lua_pushfstring(L, "metamethod '%s'", ar->name);
  } else if (ar->name) {
    lua_pushfstring(L, "function '%s'", ar->name);
  } else {
    lua_pushfstring(L, "function <%s:%d>", ar->short_src, ar->linedefined);
  }
  luaL_addvalue(text);
  if (ar->istailcall) luaL_addstring(text, "\n\t(...tail calls...)");
}

/* Pushes the message with a traceback in which only Lua code appears, and of that only the user's.
 */
static void push_traceback(lua_State *L, const char *message) {
  bool with_library = blames_library(L, message), has_frames = false;
  int last = last_level(L);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  luaL_addstring(&text, message);
  lua_Debug ar;
  for (int level = 1; level <= last && lua_getstack(L, level, &ar); level++) {
    if (level == END_LEVELS && last - level > END_LEVELS) {
      luaL_addstring(&text, "\n\t...");
      level = last - END_LEVELS;
      continue;
    }
    lua_getinfo(L, "Slnt", &ar);
    if (*ar.what == 'C' || (is_library(&ar) && !with_library)) continue;
    if (!has_frames) luaL_addstring(&text, "\nstack traceback:");
    has_frames = true;
    add_frame(L, &text, &ar);
  }
  luaL_pushresult(&text);
}

static int to_string(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* Replaces an error object that is no string by what it says of itself. */
static void describe_object(lua_State *L) {
  if (luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    return;
  }
  lua_pushcfunction(L, to_string);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    lua_pushfstring(L, "(error object is a %s value whose __tostring fails)", luaL_typename(L, 1));
  }
}

/* Message handler: error value -> string. An object that describes itself needs no traceback. */
static int message_handler(lua_State *L) {
  lua_settop(L, 1);
  if (signals_is_interrupt(L, 1)) return 1;
  if (!lua_isstring(L, 1)) {
    describe_object(L);
    return 1;
  }
  push_traceback(L, lua_tostring(L, 1));
  return 1;
}

int host_call(lua_State *L, int args, int results) {
  int base = lua_gettop(L) - args;
  lua_pushcfunction(L, message_handler);
  lua_insert(L, base);
  int status = lua_pcall(L, args, results, base);
  lua_remove(L, base);
  return status;
}

bool host_require(lua_State *L, const char *module, const char *field) {
  if (!paths.home[0]) {
    lua_pushfstring(L,
                    "cannot find hone's library near %s: set HONE_HOME to the folder that holds "
                    "scripts/ and skills/",
                    paths.exe);
    return false;
  }
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  if (host_call(L, 1, 1) != LUA_OK) return false;
  lua_getfield(L, -1, field);
  lua_remove(L, -2);
  return true;
}

int host_report(lua_State *L) {
  bool interrupted = signals_is_interrupt(L, -1);
  const char *message = interrupted ? "interrupted" : lua_tostring(L, -1);
  fflush(stdout); /* what the script printed comes before its end */
  fprintf(stderr, "hone: %s\n", message ? message : "(error object is not a string)");
  lua_pop(L, 1);
  return interrupted ? 128 + signals_received() : EXIT_FAILURE;
}

/* ---- what the REPL needs of the host ------------------------------------------------------- */

/* host.signal() -> integer | nil: the signal that came since the last rearm */
static int host_signal(lua_State *L) {
  if (signals_received())
    lua_pushinteger(L, signals_received());
  else
    lua_pushnil(L);
  return 1;
}

/* host.rearm(): the next signal interrupts as if it were the first */
static int host_rearm(lua_State *L) {
  (void)L;
  signals_rearm();
  return 0;
}

static int open_host_library(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"traceback", message_handler}, {"signal", host_signal}, {"rearm", host_rearm}, {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushliteral(L, HONE_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* A full disk must not look like success; a reader that went away is no news. */
static int check_output(int status) {
  errno = 0;
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  if (errno != EPIPE) {
    fprintf(stderr, "hone: cannot write to standard output%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
  }
  return status ? status : EXIT_FAILURE;
}

static struct {
  bool is_due;
  int status;
} process_end;

/* Code that catches an interrupt itself need not know which signal it was. */
static int final_status(int status) {
  if (status == 128 + SIGINT && signals_received() == SIGTERM) status = 128 + SIGTERM;
  return check_output(status);
}

/* The last finalizer that a closing state calls: only memory is left, and the process takes that
 * with it sooner than Lua would give it back. */
static int end_process(lua_State *L) {
  (void)L;
  if (process_end.is_due) exit(final_status(process_end.status));
  return 0;
}

/* Finalizers are called in the reverse of the order in which they were set: this is to be the
 * first. */
static void finalise_last(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, end_process);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  luaL_ref(L, LUA_REGISTRYINDEX);
}

int host_close(lua_State *L, int status) {
  signals_release();
  process_end.status = status;
  process_end.is_due = memory_leave();
  lua_close(L);
  return final_status(status);
}

/* ---- the state ----------------------------------------------------------------------------- */

static int set_up(lua_State *L) {
  lua_gc(L, LUA_GCSTOP);
  finalise_last(L);
  luaL_openlibs(L);
  set_search_paths(L);
  publish_paths(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_host_library);
  lua_setfield(L, -2, "hone.core.host");
  signals_track_coroutines(L);
  lua_gc(L, LUA_GCRESTART);
  lua_gc(L, LUA_GCGEN, 0, 0);
  return 0;
}

lua_State *host_open(bool use_env) {
  lua_State *L = luaL_newstate();
  if (!L) return NULL;
  memory_use_heap(L);
  if (!use_env) {
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV"); /* read by luaopen_package */
  }
  find_paths();
  lua_pushcfunction(L, set_up);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    lua_close(L);
    return NULL;
  }
  signals_catch(L);
  return L;
}
