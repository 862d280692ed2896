/* lhttp.c -- require "hone.core.http": one exchange over libcurl, and the file it may go to.
 * Redirects, retries and everything else that is a decision is in scripts/hone/http/. */
#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/curl.h"
#include "http/part.h"
#include "http/transfer.h"
#include "lua/interrupted.h"

#define TRANSFER "hone.http.Transfer"
#define PART "hone.http.Part"
#define SHARE "hone.http.Share"
#define URL "hone.http.Url"

static int push_failure(lua_State *L, const char *message, const char *code) {
  lua_pushnil(L);
  lua_pushstring(L, message);
  lua_pushstring(L, code);
  return 3;
}

/* ---- connections kept from one transfer to the next ----------------------------------------- */

static int share_free(lua_State *L) {
  CURLSH **share = luaL_checkudata(L, 1, SHARE);
  if (*share) curl.share_cleanup(*share);
  *share = NULL;
  return 0;
}

/* Pushes the state's share, made on first use. A transfer keeps it alive: it is freed last. */
static CURLSH *push_share(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, SHARE ".instance") == LUA_TUSERDATA)
    return *(CURLSH **)lua_touserdata(L, -1);
  lua_pop(L, 1);
  CURLSH **share = lua_newuserdatauv(L, sizeof(CURLSH *), 0);
  *share = NULL;
  luaL_setmetatable(L, SHARE);
  *share = curl.share_init();
  if (!*share) luaL_error(L, "out of memory");
  curl.share_setopt(*share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
  curl.share_setopt(*share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
  curl.share_setopt(*share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, SHARE ".instance");
  return *share;
}

/* ---- Transfer ------------------------------------------------------------------------------- */

static Transfer *check_transfer(lua_State *L) {
  return luaL_checkudata(L, 1, TRANSFER);
}

/* NULL when the field is nil. A number will not do: its text would be gone when it is popped. */
static const char *bytes_field(lua_State *L, const char *name, size_t *size) {
  const char *value = NULL;
  if (lua_getfield(L, 1, name) != LUA_TNIL) {
    luaL_checktype(L, -1, LUA_TSTRING);
    value = lua_tolstring(L, -1, size);
  }
  lua_pop(L, 1); /* the settings table keeps it */
  return value;
}

static const char *string_field(lua_State *L, const char *name) {
  return bytes_field(L, name, NULL);
}

static double number_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  double value = luaL_optnumber(L, -1, 0);
  lua_pop(L, 1);
  return value;
}

static bool boolean_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static TransferSettings read_settings(lua_State *L) {
  TransferSettings s = {
      .url = string_field(L, "url"),
      .method = string_field(L, "method"),
      .user = string_field(L, "user"),
      .password = string_field(L, "password"),
      .proxy = string_field(L, "proxy"),
      .ca = string_field(L, "ca"),
      .fresh = boolean_field(L, "fresh"),
      .insecure = boolean_field(L, "insecure"),
      .compressed = boolean_field(L, "compressed"),
      .connect_timeout = number_field(L, "connect_timeout"),
      .timeout = number_field(L, "timeout"),
      .total_timeout = number_field(L, "total_timeout"),
      .max_size = (curl_off_t)number_field(L, "max_size"),
  };
  s.body = bytes_field(L, "body", &s.body_size);
  luaL_argcheck(L, s.url && s.method, 1, "url and method expected");
  return s;
}

static void add_headers(lua_State *L, Transfer *t) {
  lua_getfield(L, 1, "headers");
  luaL_checktype(L, -1, LUA_TTABLE);
  for (lua_Integer i = 1; lua_geti(L, -1, i) == LUA_TSTRING; i++) {
    if (!transfer_add_header(t, lua_tostring(L, -1))) luaL_error(L, "out of memory");
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

/* start(settings) -> Transfer | nil, message, code */
static int http_start(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  const char *why = curl_open();
  if (why) return push_failure(L, why, "ENOLIB");
  TransferSettings settings = read_settings(L);
  CURLSH *share = push_share(L); /* before the transfer: when the state closes, it goes after it */
  Transfer *t = lua_newuserdatauv(L, sizeof *t, 2);
  memset(t, 0, sizeof *t);
  luaL_setmetatable(L, TRANSFER);
  lua_pushvalue(L, 1); /* its strings are borrowed */
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 2);
  add_headers(L, t);
  if (!transfer_start(t, &settings, share)) return push_failure(L, t->error, t->code);
  return 1;
}

/* Steps once; an interrupt closes the transfer and is raised. */
static void step(lua_State *L, Transfer *t) {
  transfer_step(t);
  if (!hone_is_interrupted()) return;
  transfer_close(t);
  raise_interrupted(L);
}

/* Adds one header to the table on the top; a repeated one is joined with a comma. */
static void push_header(lua_State *L, const char *line, size_t size) {
  const char *colon = memchr(line, ':', size);
  if (!colon) return; /* the blank line */
  const char *value = colon + 1, *end = line + size;
  while (value < end && (*value == ' ' || *value == '\t')) value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) end--;
  luaL_Buffer b;
  char *name = luaL_buffinitsize(L, &b, (size_t)(colon - line));
  for (size_t i = 0; i < (size_t)(colon - line); i++)
    name[i] = (char)(line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 32 : line[i]);
  luaL_pushresultsize(&b, (size_t)(colon - line)); /* [headers, name] */
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL) { /* [headers, name, before] */
    lua_pop(L, 1);
    lua_pushlstring(L, value, (size_t)(end - value));
  } else {
    lua_pushliteral(L, ", ");
    lua_pushlstring(L, value, (size_t)(end - value));
    lua_concat(L, 3);
  }
  lua_rawset(L, -3);
}

static void push_headers(lua_State *L, const Buffer *head) {
  lua_newtable(L);
  const char *line = head->data, *end = head->data + head->size;
  for (bool is_status = true; line < end; is_status = false) {
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    const char *line_end = newline ? newline : end;
    if (!is_status) push_header(L, line, (size_t)(line_end - line));
    line = newline ? newline + 1 : end;
  }
}

/* transfer:head() -> { status=, headers=, retry_after= } | nil, message, code */
static int transfer_head(lua_State *L) {
  Transfer *t = check_transfer(L);
  while (!t->has_head && t->state == TRANSFER_RUNNING) step(L, t);
  if (!t->has_head) return push_failure(L, t->error, t->code);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, transfer_status(t));
  lua_setfield(L, -2, "status");
  push_headers(L, &t->head);
  lua_setfield(L, -2, "headers");
  lua_pushinteger(L, transfer_retry_after(t));
  lua_setfield(L, -2, "retry_after");
  return 1;
}

/* transfer:read() -> the next piece of the body | nil at its end | nil, message, code
 * What came before a failure is handed out first: a download goes on from there. */
static int transfer_read(lua_State *L) {
  Transfer *t = check_transfer(L);
  while (t->body.size == 0 && t->state == TRANSFER_RUNNING) step(L, t);
  if (t->body.size > 0) {
    lua_pushlstring(L, t->body.data, t->body.size);
    t->body.size = 0;
    return 1;
  }
  if (t->state == TRANSFER_FAILED) return push_failure(L, t->error, t->code);
  lua_pushnil(L);
  return 1;
}

static int transfer_free(lua_State *L) { /* method, __gc and __close: safe to call twice */
  transfer_close(check_transfer(L));
  return 0;
}

/* ---- Part ----------------------------------------------------------------------------------- */

static Part *check_part(lua_State *L) {
  Part *p = luaL_checkudata(L, 1, PART);
  luaL_argcheck(L, p->fd >= 0, 1, "the file is closed");
  return p;
}

static int push_errno(lua_State *L, int number) {
  const char *name = strerrorname_np(number);
  char message[128];
  snprintf(message, sizeof message, "%s", strerror(number));
  if (islower((unsigned char)message[1])) message[0] = (char)tolower((unsigned char)message[0]);
  return push_failure(L, message, name ? name : "EIO");
}

static int push_done(lua_State *L, int number) {
  if (number) return push_errno(L, number);
  lua_pushboolean(L, 1);
  return 1;
}

/* open_part(path) -> Part | nil, message, code; code is EBUSY while another process writes it */
static int http_open_part(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  Part *p = lua_newuserdatauv(L, sizeof *p, 0);
  p->fd = -1;
  luaL_setmetatable(L, PART);
  int why = part_open(p, path);
  if (why == EWOULDBLOCK) return push_failure(L, "another process is writing it", "EBUSY");
  return why ? push_errno(L, why) : 1;
}

/* part:size() -> bytes | nil, message, code */
static int part_lua_size(lua_State *L) {
  long long size = 0;
  int why = part_size(check_part(L), &size);
  if (why) return push_errno(L, why);
  lua_pushinteger(L, size);
  return 1;
}

/* part:write(data) -> true | nil, message, code */
static int part_lua_write(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  return push_done(L, part_append(check_part(L), data, size));
}

/* part:truncate() -> true | nil, message, code: back to no bytes */
static int part_lua_truncate(lua_State *L) {
  return push_done(L, part_truncate(check_part(L)));
}

/* part:sync() -> true | nil, message, code: what was written outlives a power cut */
static int part_lua_sync(lua_State *L) {
  return push_done(L, part_sync(check_part(L)));
}

static int part_free(lua_State *L) { /* method, __gc and __close: safe to call twice */
  return push_done(L, part_close(luaL_checkudata(L, 1, PART)));
}

/* ---- addresses and time --------------------------------------------------------------------- */

typedef struct {
  CURLU *handle;
  char *text; /* libcurl's copy of one part: freed here even when pushing it raises */
} Url;

static void drop_text(Url *url) {
  if (url->text) curl.free(url->text);
  url->text = NULL;
}

static int url_free(lua_State *L) {
  Url *url = lua_touserdata(L, 1);
  drop_text(url);
  if (url->handle) curl.url_cleanup(url->handle);
  url->handle = NULL;
  return 0;
}

static Url *push_url(lua_State *L) {
  Url *url = lua_newuserdatauv(L, sizeof *url, 0);
  *url = (Url){0};
  luaL_setmetatable(L, URL);
  url->handle = curl.url();
  if (!url->handle) luaL_error(L, "out of memory");
  return url;
}

/* Sets the field of the table on the top to that part of the address, when it has one. */
static void set_part(lua_State *L, Url *url, CURLUPart part, unsigned flags, const char *field) {
  if (curl.url_get(url->handle, part, &url->text, flags) != CURLUE_OK) return;
  lua_pushstring(L, url->text);
  drop_text(url);
  lua_setfield(L, -2, field);
}

/* parse_url(url [, relative]) -> { scheme=, host=, port=, user=, password=, href= } |
 * nil, message, code; href is the address without credentials and fragment. `relative` is resolved
 * against `url`, as a Location header is. */
static int http_parse_url(lua_State *L) {
  const char *base = luaL_checkstring(L, 1), *relative = luaL_optstring(L, 2, NULL);
  const char *why = curl_open();
  if (why) return push_failure(L, why, "ENOLIB");
  Url *url = push_url(L);
  CURLUcode result = curl.url_set(url->handle, CURLUPART_URL, base, 0);
  const unsigned lenient = CURLU_URLENCODE | CURLU_ALLOW_SPACE;
  if (!result && relative) result = curl.url_set(url->handle, CURLUPART_URL, relative, lenient);
  if (result) return push_failure(L, "it is not a valid address", "EURL");
  lua_createtable(L, 0, 6);
  set_part(L, url, CURLUPART_SCHEME, 0, "scheme");
  set_part(L, url, CURLUPART_HOST, 0, "host");
  set_part(L, url, CURLUPART_PORT, CURLU_DEFAULT_PORT, "port");
  set_part(L, url, CURLUPART_USER, CURLU_URLDECODE, "user");
  set_part(L, url, CURLUPART_PASSWORD, CURLU_URLDECODE, "password");
  curl.url_set(url->handle, CURLUPART_USER, NULL, 0);
  curl.url_set(url->handle, CURLUPART_PASSWORD, NULL, 0);
  curl.url_set(url->handle, CURLUPART_FRAGMENT, NULL, 0);
  set_part(L, url, CURLUPART_URL, 0, "href");
  return 1;
}

/* now() -> seconds on a clock that is never set */
static int http_now(lua_State *L) {
  lua_pushnumber(L, monotonic_seconds());
  return 1;
}

/* sleep(seconds): an interrupt ends it within a tenth of a second, and is raised */
static int http_sleep(lua_State *L) {
  double end = monotonic_seconds() + luaL_checknumber(L, 1);
  for (double left; (left = end - monotonic_seconds()) > 0;) {
    if (hone_is_interrupted()) return raise_interrupted(L);
    nanosleep(&(struct timespec){.tv_nsec = (long)((left < 0.1 ? left : 0.1) * 999999999)}, NULL);
  }
  return 0;
}

/* version() -> libcurl's version and its TLS library | nil, message, code */
static int http_version(lua_State *L) {
  const char *why = curl_open();
  if (why) return push_failure(L, why, "ENOLIB");
  lua_pushstring(L, curl.version());
  return 1;
}

/* ---- registration --------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"start", http_start}, {"open_part", http_open_part}, {"parse_url", http_parse_url},
    {"now", http_now},     {"sleep", http_sleep},         {"version", http_version},
    {NULL, NULL},
};

static const luaL_Reg transfer_methods[] = {
    {"head", transfer_head},
    {"read", transfer_read},
    {"close", transfer_free},
    {NULL, NULL},
};
static const luaL_Reg transfer_metamethods[] = {
    {"__gc", transfer_free},
    {"__close", transfer_free},
    {NULL, NULL},
};

static const luaL_Reg part_methods[] = {
    {"size", part_lua_size}, {"write", part_lua_write}, {"truncate", part_lua_truncate},
    {"sync", part_lua_sync}, {"close", part_free},      {NULL, NULL},
};
static const luaL_Reg part_metamethods[] = {
    {"__gc", part_free},
    {"__close", part_free},
    {NULL, NULL},
};

static const luaL_Reg share_metamethods[] = {{"__gc", share_free}, {NULL, NULL}};
static const luaL_Reg url_metamethods[] = {{"__gc", url_free}, {NULL, NULL}};
static const luaL_Reg no_methods[] = {{NULL, NULL}};

static void new_class(lua_State *L, const char *name, const luaL_Reg *metamethods,
                      const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

#define EXPORT __attribute__((visibility("default")))

EXPORT int luaopen_hone_core_http(lua_State *L);

EXPORT int luaopen_hone_core_http(lua_State *L) {
  new_class(L, TRANSFER, transfer_metamethods, transfer_methods);
  new_class(L, PART, part_metamethods, part_methods);
  new_class(L, SHARE, share_metamethods, no_methods);
  new_class(L, URL, url_metamethods, no_methods);
  luaL_newlib(L, functions);
  return 1;
}
