/* ljson_encode.c -- values to text. */
#include "ljson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/text.h"

#define OUTPUT "hone.json output"

enum { MAX_INDENT = 16 };

typedef enum { NAN_ERROR, NAN_ALLOW, NAN_NULL, NAN_STRING } NanMode;

typedef struct {
  lua_State *L;
  Buffer *out;
  int indent;  /* spaces a level; 0: all on one line */
  bool spaced; /* a space after `,` and `:` of a line */
  NanMode nan;
  int max_depth;
} Encoder;

/* The way to the value at hand, for messages. */
typedef struct Place {
  const struct Place *up; /* NULL at the root */
  const char *key;        /* NULL in an array */
  size_t key_size;
  lua_Integer index;
  int depth;
} Place;

static bool encode_value(Encoder *e, const Place *place);

/* ---- refusals ---- */

static bool is_name(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_';
    if (!letter && (i == 0 || s[i] < '0' || s[i] > '9')) return false;
  }
  return n > 0;
}

static void add_key(luaL_Buffer *b, const char *key, size_t n) {
  bool name = is_name(key, n);
  luaL_addstring(b, name ? "." : "[\"");
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)key[i];
    luaL_addchar(b, c < 0x20 || c >= 0x7F ? '?' : key[i]);
  }
  if (!name) luaL_addstring(b, "\"]");
}

/* A cycle makes a path as long as the depth limit, of which the beginning is enough. */
static void add_path(luaL_Buffer *b, const Place *place) {
  enum { SHOWN = 12 };
  char index[32];
  if (!place->up) return;
  add_path(b, place->up);
  if (place->depth == SHOWN + 1) luaL_addstring(b, "...");
  if (place->depth > SHOWN) return;
  if (place->key) {
    add_key(b, place->key, place->key_size);
  } else {
    snprintf(index, sizeof index, "[%lld]", (long long)place->index);
    luaL_addstring(b, index);
  }
}

/* [] -> [message] */
static bool refuse(Encoder *e, const Place *place, const char *what) {
  luaL_Buffer b;
  luaL_checkstack(e->L, LUA_MINSTACK, "too deep to encode");
  luaL_buffinit(e->L, &b);
  luaL_addstring(&b, "cannot encode ");
  luaL_addstring(&b, what);
  if (place->up) luaL_addstring(&b, " at ");
  add_path(&b, place);
  luaL_pushresult(&b);
  return false;
}

/* ---- text ---- */

static bool out_of_memory(Encoder *e) {
  return luaL_error(e->L, "not enough memory");
}

static void put(Encoder *e, const char *bytes, size_t n) {
  if (!buffer_append(e->out, bytes, n)) out_of_memory(e);
}

static void put_line_break(Encoder *e, int depth) {
  put(e, "\n", 1);
  if (!buffer_fill(e->out, ' ', (size_t)e->indent * (size_t)depth)) out_of_memory(e);
}

/* Before item i (from 0) of a container whose items lie at `depth`. */
static void put_separator(Encoder *e, size_t i, int depth) {
  if (i > 0) put(e, ",", 1);
  if (e->indent)
    put_line_break(e, depth);
  else if (i > 0 && e->spaced)
    put(e, " ", 1);
}

static void put_end(Encoder *e, char bracket, size_t items, int depth) {
  if (items > 0 && e->indent) put_line_break(e, depth);
  put(e, &bracket, 1);
}

/* ---- values ---- */

static bool encode_string(Encoder *e, const char *s, size_t n, const Place *place,
                          const char *what) {
  switch (text_write_string(e->out, s, n)) {
  case TEXT_OK: return true;
  case TEXT_NO_MEMORY: return out_of_memory(e);
  default: return refuse(e, place, what);
  }
}

static bool encode_nonfinite(Encoder *e, double value, const Place *place) {
  const char *name = isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  switch (e->nan) {
  case NAN_ALLOW: put(e, name, strlen(name)); return true;
  case NAN_NULL: put(e, "null", 4); return true;
  case NAN_STRING: return encode_string(e, name, strlen(name), place, "");
  default: return refuse(e, place, name);
  }
}

static bool encode_number(Encoder *e, const Place *place) {
  if (lua_isinteger(e->L, -1))
    return text_write_integer(e->out, lua_tointeger(e->L, -1)) || out_of_memory(e);
  double value = lua_tonumber(e->L, -1);
  if (!isfinite(value)) return encode_nonfinite(e, value, place);
  return text_write_float(e->out, value) || out_of_memory(e);
}

static bool encode_array(Encoder *e, const Place *place) {
  lua_State *L = e->L;
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  Place item = {.up = place, .depth = place->depth + 1};
  put(e, "[", 1);
  for (lua_Integer i = 1; i <= n; i++) {
    item.index = i;
    put_separator(e, (size_t)i - 1, item.depth);
    lua_rawgeti(L, -1, i);
    if (!encode_value(e, &item)) return false;
    lua_pop(L, 1);
  }
  put_end(e, ']', (size_t)n, place->depth);
  return true;
}

/* [value] -> [value]: field `i` (from 0) of an object */
static bool encode_field(Encoder *e, const Place *field, size_t i) {
  put_separator(e, i, field->depth);
  if (!encode_string(e, field->key, field->key_size, field->up, "a key that is not UTF-8"))
    return false;
  put(e, ": ", e->indent || e->spaced ? 2 : 1);
  return encode_value(e, field);
}

/* [object, shape] -> [object, shape, keys] */
static bool encode_object(Encoder *e, const Place *place) {
  lua_State *L = e->L;
  Place field = {.up = place, .depth = place->depth + 1};
  int object = lua_gettop(L) - 1;
  size_t written = 0;
  json_push_shape_keys(L, object + 1);
  put(e, "{", 1);
  for (lua_Integer i = 1; lua_rawgeti(L, object + 2, i) != LUA_TNIL; i++) {
    field.key = lua_tolstring(L, -1, &field.key_size);
    if (lua_rawget(L, object) != LUA_TNIL && !encode_field(e, &field, written++)) return false;
    lua_settop(L, object + 2);
  }
  lua_settop(L, object + 2);
  put_end(e, '}', written, place->depth);
  return true;
}

static int compare_keys(const void *left, const void *right) {
  const Key *a = left, *b = right;
  int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

const Key *json_push_sorted_keys(lua_State *L, int table, size_t *count) {
  size_t n = 0;
  table = lua_absindex(L, table);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) n++;
  Key *keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
  *count = n;
  n = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    keys[n].bytes = lua_tolstring(L, -2, &keys[n].size); /* kept alive by the table */
    n++;
  }
  qsort(keys, n, sizeof *keys, compare_keys);
  return keys;
}

/* [table] -> [table, keys] */
static bool encode_plain_object(Encoder *e, const Place *place) {
  lua_State *L = e->L;
  Place field = {.up = place, .depth = place->depth + 1};
  size_t count;
  const Key *keys = json_push_sorted_keys(L, -1, &count);
  put(e, "{", 1);
  for (size_t i = 0; i < count; i++) {
    field.key = keys[i].bytes;
    field.key_size = keys[i].size;
    lua_pushlstring(L, keys[i].bytes, keys[i].size);
    lua_rawget(L, -3);
    if (!encode_field(e, &field, i)) return false;
    lua_pop(L, 1);
  }
  put_end(e, '}', count, place->depth);
  return true;
}

TableKind json_table_kind(lua_State *L, int index, const char **why) {
  size_t length = lua_rawlen(L, index), items = 0, names = 0, others = 0;
  index = lua_absindex(L, index);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      names++;
    else if (lua_isinteger(L, -2))
      items++;
    else
      others++;
  }
  bool array = json_is_marked_array(L, index);
  if (others == 0 && names == 0 && items == length && (array || items > 0)) return KIND_ARRAY;
  if (others == 0 && items == 0 && !array) return KIND_PLAIN_OBJECT;
  if (others > 0)
    *why = "a table with a key that is neither a string nor an integer";
  else if (names > 0)
    *why = "a table that mixes list items and named fields";
  else
    *why = "a list with holes";
  return KIND_NONE;
}

/* [table] -> [table, leftovers] */
static bool encode_table(Encoder *e, const Place *place) {
  lua_State *L = e->L;
  const char *why;
  if (place->depth >= e->max_depth)
    return refuse(e, place, "a table that contains itself or is nested too deep");
  luaL_checkstack(L, 10, "too deep to encode");
  if (json_push_shape_of(L, -1)) return encode_object(e, place);
  switch (json_table_kind(L, -1, &why)) {
  case KIND_ARRAY: return encode_array(e, place);
  case KIND_PLAIN_OBJECT: return encode_plain_object(e, place);
  default: return refuse(e, place, why);
  }
}

static bool refuse_type(Encoder *e, const Place *place) {
  char what[32];
  snprintf(what, sizeof what, "%s%s", lua_isnil(e->L, -1) ? "" : "a ", luaL_typename(e->L, -1));
  return refuse(e, place, what);
}

/* [value] -> [value], or [value, ..., message] when it cannot be encoded */
static bool encode_value(Encoder *e, const Place *place) {
  lua_State *L = e->L;
  int top = lua_gettop(L);
  size_t n;
  const char *s;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, -1, &n);
    return encode_string(e, s, n, place, "a string that is not UTF-8");
  case LUA_TNUMBER: return encode_number(e, place);
  case LUA_TBOOLEAN:
    if (lua_toboolean(L, -1))
      put(e, "true", 4);
    else
      put(e, "false", 5);
    return true;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1)) return refuse_type(e, place);
    put(e, "null", 4);
    return true;
  case LUA_TTABLE:
    if (!encode_table(e, place)) return false;
    lua_settop(L, top);
    return true;
  default: return refuse_type(e, place);
  }
}

/* ---- encode ---- */

static NanMode nan_option(lua_State *L, int options) {
  static const char *const names[] = {"error", "allow", "null", "string"};
  lua_getfield(L, options, "nan");
  const char *choice = lua_isnil(L, -1) ? names[0] : lua_tostring(L, -1);
  lua_pop(L, 1);
  for (int i = 0; choice && i < 4; i++)
    if (strcmp(choice, names[i]) == 0) return (NanMode)i;
  luaL_argerror(L, options, "nan must be \"error\", \"allow\", \"null\" or \"string\"");
  return NAN_ERROR;
}

static void check_options(Encoder *e, int arg) {
  lua_State *L = e->L;
  e->max_depth = json_depth_option(L, arg);
  if (lua_isnoneornil(L, arg)) return;
  e->nan = nan_option(L, arg);
  lua_getfield(L, arg, "spaced");
  e->spaced = lua_toboolean(L, -1);
  lua_getfield(L, arg, "indent");
  int is_integer = 1;
  lua_Integer indent = lua_toboolean(L, -1) ? lua_tointegerx(L, -1, &is_integer) : 0;
  luaL_argcheck(L, is_integer && indent >= 0 && indent <= MAX_INDENT, arg,
                "indent must be from 0 to 16");
  e->indent = (int)indent;
  lua_pop(L, 2);
}

static int output_gc(lua_State *L) {
  buffer_free(luaL_checkudata(L, 1, OUTPUT));
  return 0;
}

/* encode(value [, options]) -> text; raises when the value has no JSON form */
int json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  Encoder e = {.L = L};
  check_options(&e, 2);
  e.out = lua_newuserdatauv(L, sizeof *e.out, 0);
  *e.out = (Buffer){0};
  luaL_setmetatable(L, OUTPUT);
  lua_pushvalue(L, 1); /* [value, options, output, value] */
  const Place root = {0};
  if (!encode_value(&e, &root)) {
    buffer_free(e.out);
    return luaL_error(L, "%s", lua_tostring(L, -1));
  }
  lua_pushlstring(L, e.out->data, e.out->size);
  buffer_free(e.out);
  return 1;
}

void json_open_encoder(lua_State *L) {
  luaL_newmetatable(L, OUTPUT);
  lua_pushcfunction(L, output_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
