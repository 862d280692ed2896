/* ledit.c -- require "hone.core.edit": a line editor with history and completion, over libedit,
 * and the file that keeps the history. */
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <lauxlib.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "interrupt.h"

#define EDITOR "hone.Editor"

enum { HISTORY_SIZE = 1000, COMPLETE_SLOT = 1 };

typedef struct {
  EditLine *el; /* NULL before open and after close */
  History *history;
  lua_State *L;     /* the thread inside read(); it has the editor at index 1 */
  mbstate_t decode; /* of the bytes typed so far */
  char prompt[256];
} Editor;

static Editor *check_editor(lua_State *L) {
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  luaL_argcheck(L, e->el != NULL, 1, "editor was closed");
  return e;
}

static Editor *editor_of(EditLine *el) {
  void *data = NULL;
  el_get(el, EL_CLIENTDATA, &data);
  return data;
}

static char *prompt_of(EditLine *el) {
  return editor_of(el)->prompt;
}

/* Reads one character. libedit's own reader swallows the first Ctrl-C; this one gives up at once.
 */
static int read_character(EditLine *el, wchar_t *out) {
  Editor *e = editor_of(el);
  for (;;) {
    if (hone_is_interrupted()) return -1;
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&in, 1, 100);
    if (ready < 0 && errno != EINTR) return -1;
    if (ready <= 0) continue;
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return (int)n;
    size_t used = mbrtowc(out, &byte, 1, &e->decode);
    if (used == (size_t)-2) continue; /* a part of a character */
    if (used != (size_t)-1) return 1;
    memset(&e->decode, 0, sizeof e->decode); /* not a character: leave it out */
  }
}

/* Calls complete(line) in Lua, which may raise: not through libedit's frames. */
static int call_complete(lua_State *L) {
  const LineInfo *line = lua_touserdata(L, 2);
  lua_getiuservalue(L, 1, COMPLETE_SLOT);
  lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
  lua_call(L, 1, 2);
  return 2;
}

/* The Tab key: complete(line up to the cursor) -> text to insert, text to show below the line */
static unsigned char on_tab(EditLine *el, int key) {
  (void)key;
  Editor *e = editor_of(el);
  lua_State *L = e->L;
  unsigned char result = CC_REFRESH_BEEP;
  if (!lua_checkstack(L, 8)) return result;
  lua_pushcfunction(L, call_complete);
  lua_pushvalue(L, 1);
  lua_pushlightuserdata(L, (void *)el_line(el));
  if (lua_pcall(L, 2, 2, 0) != LUA_OK) {
    lua_pop(L, 1);
    return result;
  }
  const char *insert = lua_tostring(L, -2), *show = lua_tostring(L, -1);
  if (insert && *insert && el_insertstr(el, insert) == 0) result = CC_REFRESH;
  if (show) {
    printf("\n%s\n", show);
    fflush(stdout);
    result = CC_REDISPLAY;
  }
  lua_pop(L, 2);
  return result;
}

/* libedit turns bytes into characters by the locale; in the C locale it would lose all but ASCII.
 */
static void use_utf8(void) {
  setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

static void set_up(Editor *e) {
  HistEvent event;
  history(e->history, &event, H_SETSIZE, HISTORY_SIZE);
  history(e->history, &event, H_SETUNIQUE, 1);
  el_set(e->el, EL_CLIENTDATA, e);
  el_set(e->el, EL_PROMPT, prompt_of);
  el_set(e->el, EL_EDITOR, "emacs");
  el_set(e->el, EL_HIST, history, e->history);
  el_set(e->el, EL_GETCFN, read_character);
  el_set(e->el, EL_ADDFN, "hone-complete", "complete the word before the cursor", on_tab);
  el_source(e->el, NULL); /* the user's ~/.editrc */
  el_set(e->el, EL_BIND, "^I", "hone-complete", NULL);
  el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

/* edit.open(complete) -> editor | nil, message; complete(line) -> string?, string? */
static int edit_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  Editor *e = lua_newuserdatauv(L, sizeof *e, 1);
  *e = (Editor){0};
  luaL_setmetatable(L, EDITOR);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, COMPLETE_SLOT);
  use_utf8();
  e->history = history_init();
  e->el = e->history ? el_init("hone", stdin, stdout, stderr) : NULL;
  if (!e->el) {
    lua_pushnil(L);
    lua_pushliteral(L, "cannot start the line editor");
    return 2;
  }
  set_up(e);
  return 1;
}

/* editor:read(prompt) -> line without its end | nil at the end of input | nil, "interrupted" */
static int editor_read(lua_State *L) {
  Editor *e = check_editor(L);
  snprintf(e->prompt, sizeof e->prompt, "%s", luaL_checkstring(L, 2));
  e->L = L;
  memset(&e->decode, 0, sizeof e->decode);
  el_set(e->el, EL_PREP_TERM,
         1); /* before the prompt: what is typed on seeing it must not be cooked */
  int n = 0;
  const char *line = el_gets(e->el, &n);
  if (hone_is_interrupted()) {
    hone_interrupt_told();
    fputs("^C\n", stdout);
    lua_pushnil(L);
    lua_pushliteral(L, "interrupted");
    return 2;
  }
  if (!line || n <= 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, line, (size_t)n - (line[n - 1] == '\n'));
  return 1;
}

/* editor:remember(line): the newest entry of the history */
static int editor_remember(lua_State *L) {
  Editor *e = check_editor(L);
  HistEvent event;
  history(e->history, &event, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

static int editor_close(lua_State *L) {
  Editor *e = luaL_checkudata(L, 1, EDITOR);
  if (e->el) el_end(e->el);
  if (e->history) history_end(e->history);
  e->el = NULL;
  e->history = NULL;
  return 0;
}

/* ---- the history file ---------------------------------------------------------------------- */

/* Makes the folders above path, for the user's eyes only. */
static void make_parents(const char *path) {
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%s", path);
  for (char *slash = folder; (slash = strchr(slash + 1, '/'));) {
    *slash = 0;
    mkdir(folder, 0700);
    *slash = '/';
  }
}

static int push_failure(lua_State *L, const char *path) {
  int code = errno;
  lua_pushnil(L);
  lua_pushfstring(L, "cannot write %s: %s", path, strerror(code));
  lua_pushinteger(L, code);
  return 3;
}

static int write_private(lua_State *L, int flags) {
  const char *path = luaL_checkstring(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  make_parents(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (fd < 0) return push_failure(L, path);
  ssize_t written = write(fd, data, n);
  if (close(fd) != 0 || written != (ssize_t)n) return push_failure(L, path);
  lua_pushboolean(L, 1);
  return 1;
}

/* edit.append(path, text) -> true | nil, message, code: at the end of a file only the user reads */
static int edit_append(lua_State *L) {
  return write_private(L, O_APPEND);
}

/* edit.write(path, text) -> true | nil, message, code: a new file, only the user reads it */
static int edit_write(lua_State *L) {
  return write_private(L, O_TRUNC);
}

static const luaL_Reg functions[] = {
    {"open", edit_open}, {"append", edit_append}, {"write", edit_write}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"read", editor_read}, {"remember", editor_remember}, {"close", editor_close}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {
    {"__gc", editor_close}, {"__close", editor_close}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_edit(lua_State *L) {
  luaL_newmetatable(L, EDITOR);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
