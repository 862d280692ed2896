/* ljson_decode.c -- text to values, whole or line by line. yyjson reads the text into its document,
 * which is then turned into Lua values. */
#include "ljson.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "json/text.h"
#include "lua/interrupted.h"

#define DOCUMENT "hone.json document"
#define READER "hone.json reader"

typedef struct {
  bool nan;       /* NaN and Infinity are values */
  bool big_float; /* an integer past 64 bits becomes a float */
  int max_depth;
  const char *name; /* of the text in messages; kept alive by the options table */
} Options;

/* Where the text begins, for messages: a line of a longer file begins further down. */
typedef struct {
  const char *text;
  size_t size;
  size_t line, offset;
} Source;

typedef struct {
  lua_State *L;
  const Options *options;
  const Source *source;
  yyjson_doc *doc;
  int array_metatable, empty_shape; /* stack indices */
  const char *why;                  /* set when the text is refused, */
  size_t at;                        /* with the offset in it */
  char repeated[96];                /* why, when it names a key */
} Decoder;

static bool push_value(Decoder *d, yyjson_val *value, int depth);

/* ---- options ---- */

int json_depth_option(lua_State *L, int options) {
  if (lua_isnoneornil(L, options)) return JSON_DEPTH;
  lua_getfield(L, options, "max_depth");
  int is_integer = 1;
  lua_Integer depth = lua_isnil(L, -1) ? JSON_DEPTH : lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || depth < 1 || depth > JSON_DEPTH_LIMIT)
    luaL_argerror(L, options, "max_depth must be from 1 to 4096");
  lua_pop(L, 1);
  return (int)depth;
}

static bool big_option(lua_State *L, int options) {
  static const char *const choices[] = {"error", "float", NULL};
  lua_getfield(L, options, "big");
  const char *choice = lua_isnil(L, -1) ? choices[0] : lua_tostring(L, -1);
  bool is_float = choice && strcmp(choice, choices[1]) == 0;
  if (!choice || (!is_float && strcmp(choice, choices[0]) != 0))
    luaL_argerror(L, options, "big must be \"error\" or \"float\"");
  lua_pop(L, 1);
  return is_float;
}

/* [] -> [name]: leaves the name on the stack, so that it stays alive */
static Options check_options(lua_State *L, int arg) {
  Options o = {.max_depth = JSON_DEPTH, .name = "json"};
  if (lua_isnoneornil(L, arg)) {
    lua_pushnil(L);
    return o;
  }
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_getfield(L, arg, "nan");
  o.nan = lua_toboolean(L, -1);
  lua_pop(L, 1);
  o.big_float = big_option(L, arg);
  o.max_depth = json_depth_option(L, arg);
  lua_getfield(L, arg, "name");
  luaL_argcheck(L, lua_isnil(L, -1) || lua_isstring(L, -1), arg, "name must be a string");
  if (!lua_isnil(L, -1)) o.name = lua_tostring(L, -1);
  return o;
}

static yyjson_read_flag read_flags(const Options *o) {
  return YYJSON_READ_BIGNUM_AS_RAW | (o->nan ? YYJSON_READ_ALLOW_INF_AND_NAN : 0);
}

/* ---- building values ---- */

static bool refuse(Decoder *d, const char *why, size_t at) {
  d->why = why;
  d->at = at;
  return false;
}

/* Offset of a number, which yyjson does not keep: read again with numbers as text, which lie in the
 * document at the same positions. */
static size_t offset_of_number(Decoder *d, const yyjson_val *number) {
  size_t index = (size_t)(number - d->doc->root), at = 0;
  yyjson_read_flag flags = YYJSON_READ_NUMBER_AS_RAW | read_flags(d->options);
  yyjson_doc *again = yyjson_read(d->source->text, d->source->size, flags);
  if (again) at = (size_t)(again->root[index].uni.str - again->str_pool);
  yyjson_doc_free(again);
  return at;
}

static bool push_large_integer(Decoder *d, yyjson_val *value, double as_float) {
  if (!d->options->big_float)
    return refuse(d, "integer does not fit in 64 bits", offset_of_number(d, value));
  lua_pushnumber(d->L, as_float);
  return true;
}

static bool push_number(Decoder *d, yyjson_val *value) {
  uint64_t n = value->uni.u64;
  switch (unsafe_yyjson_get_subtype(value)) {
  case YYJSON_SUBTYPE_REAL: lua_pushnumber(d->L, value->uni.f64); return true;
  case YYJSON_SUBTYPE_SINT: lua_pushinteger(d->L, (lua_Integer)value->uni.i64); return true;
  default:
    if (n > LUA_MAXINTEGER) return push_large_integer(d, value, (double)n);
    lua_pushinteger(d->L, (lua_Integer)n);
    return true;
  }
}

/* A number too large for yyjson, as its text. */
static bool push_raw_number(Decoder *d, yyjson_val *value) {
  const char *text = value->uni.str;
  double number = strtod(text, NULL);
  if (!strpbrk(text, ".eE") && number - number == 0) return push_large_integer(d, value, number);
  if (!d->options->nan) return refuse(d, "number is too large", offset_of_number(d, value));
  lua_pushnumber(d->L, number);
  return true;
}

static bool push_array(Decoder *d, yyjson_val *array, int depth) {
  lua_State *L = d->L;
  size_t n = unsafe_yyjson_get_len(array);
  lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
  yyjson_val *item = array + 1;
  for (size_t i = 1; i <= n; i++) {
    if (!push_value(d, item, depth)) return false;
    lua_rawseti(L, -2, (lua_Integer)i);
    item = unsafe_yyjson_get_next(item);
  }
  lua_pushvalue(L, d->array_metatable);
  lua_setmetatable(L, -2);
  return true;
}

static void push_string(lua_State *L, yyjson_val *value) {
  lua_pushlstring(L, unsafe_yyjson_get_str(value), unsafe_yyjson_get_len(value));
}

/* String values point into a copy of the text, past their opening quote. */
static bool refuse_duplicate(Decoder *d, yyjson_val *key) {
  size_t n = unsafe_yyjson_get_len(key);
  bool shown = n < 64 && !memchr(key->uni.str, 0, n);
  if (shown) snprintf(d->repeated, sizeof d->repeated, "duplicate key \"%s\"", key->uni.str);
  const char *why = shown ? d->repeated : "duplicate key";
  return refuse(d, why, (size_t)(key->uni.str - d->doc->str_pool) - 1);
}

/* [object, dictionary, list of its keys] -> [object, dictionary] */
static bool fill_dictionary(Decoder *d, yyjson_val *key, size_t n, int depth) {
  lua_State *L = d->L;
  int list = lua_gettop(L), object = list - 2;
  lua_Integer listed = (lua_Integer)lua_rawlen(L, list);
  for (size_t i = 0; i < n; i++) {
    push_string(L, key);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, object) != LUA_TNIL) return refuse_duplicate(d, key);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, list, ++listed); /* [object, dictionary, list, key] */
    if (!push_value(d, key + 1, depth)) return false;
    lua_rawset(L, object);
    key = unsafe_yyjson_get_next(key + 1);
  }
  lua_pop(L, 1);
  return true;
}

/* [object, shape] -> [object, shape or dictionary] */
static bool fill_object(Decoder *d, yyjson_val *key, size_t n, int depth) {
  lua_State *L = d->L;
  int shape = lua_gettop(L);
  for (size_t i = 0; i < n; i++) {
    push_string(L, key);
    lua_pushvalue(L, -1); /* [object, shape, key, key] */
    ShapeStep step = json_shape_step(L, shape);
    if (step == SHAPE_HAS_KEY) return refuse_duplicate(d, key);
    if (step == SHAPE_FULL) {
      json_push_dictionary_of(L, shape, (int)(n - i)); /* [object, shape, key, dictionary, list] */
      lua_rotate(L, shape, 2);
      lua_pop(L, 2); /* [object, dictionary, list] */
      return fill_dictionary(d, key, n - i, depth);
    }
    lua_replace(L, shape); /* [object, next shape, key] */
    if (!push_value(d, key + 1, depth)) return false;
    lua_rawset(L, shape - 1);
    key = unsafe_yyjson_get_next(key + 1);
  }
  return true;
}

static bool push_object(Decoder *d, yyjson_val *object, int depth) {
  lua_State *L = d->L;
  size_t n = unsafe_yyjson_get_len(object);
  bool filled;
  lua_createtable(L, 0, n < INT_MAX ? (int)n : 0);
  if (n > SHAPE_MAX_KEYS) {
    json_push_dictionary(L, n < INT_MAX ? (int)n : 0);
    filled = fill_dictionary(d, object + 1, n, depth);
  } else {
    lua_pushvalue(L, d->empty_shape);
    filled = fill_object(d, object + 1, n, depth);
  }
  if (filled) lua_setmetatable(L, -2);
  return filled;
}

static bool push_container(Decoder *d, yyjson_val *value, int depth) {
  if (depth >= d->options->max_depth) {
    size_t at = text_deeper_than(d->source->text, d->source->size, (size_t)depth);
    return refuse(d, "nested too deep", at);
  }
  luaL_checkstack(d->L, 16, "json nested too deep");
  if (unsafe_yyjson_is_arr(value)) return push_array(d, value, depth + 1);
  return push_object(d, value, depth + 1);
}

/* [] -> [value]; when the text is refused, false, and the stack holds leftovers */
static bool push_value(Decoder *d, yyjson_val *value, int depth) {
  switch (unsafe_yyjson_get_type(value)) {
  case YYJSON_TYPE_STR: push_string(d->L, value); return true;
  case YYJSON_TYPE_NUM: return push_number(d, value);
  case YYJSON_TYPE_BOOL: lua_pushboolean(d->L, unsafe_yyjson_get_bool(value)); return true;
  case YYJSON_TYPE_RAW: return push_raw_number(d, value);
  case YYJSON_TYPE_NULL: lua_pushlightuserdata(d->L, NULL); return true;
  default: return push_container(d, value, depth);
  }
}

/* ---- one text ---- */

/* [] -> [nil, message, position] */
static int push_refusal(Decoder *d) {
  lua_State *L = d->L;
  const Source *s = d->source;
  Position p = text_position(s->text, s->size, d->at);
  lua_Integer line = (lua_Integer)(p.line + s->line), column = (lua_Integer)p.column;
  lua_Integer offset = (lua_Integer)(p.offset + s->offset) + 1;
  lua_pushnil(L);
  lua_pushfstring(L, "%s:%I:%I: %s (byte %I)", d->options->name, (LUAI_UACINT)line,
                  (LUAI_UACINT)column, d->why, (LUAI_UACINT)offset);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, offset);
  lua_setfield(L, -2, "offset");
  lua_pushinteger(L, line);
  lua_setfield(L, -2, "line");
  lua_pushinteger(L, column);
  lua_setfield(L, -2, "column");
  return 3;
}

static int refuse_syntax(Decoder *d, const yyjson_read_err *err) {
  if (err->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
    return luaL_error(d->L, "not enough memory");
  bool empty = d->source->size == 0 || err->code == YYJSON_READ_ERROR_EMPTY_CONTENT;
  refuse(d, empty ? "there is no value" : err->msg, err->pos);
  return push_refusal(d);
}

/* [] -> [value] | [nil, message, position]. The document lies in `held` so that an error raised on
 * the way (out of memory) frees it with that userdata. */
static int decode(lua_State *L, yyjson_doc **held, const Source *source, const Options *options) {
  int top = lua_gettop(L);
  Decoder d = {.L = L, .options = options, .source = source};
  yyjson_read_err err;
  luaL_checkstack(L, 12, "too many values to decode");
  if (*held) return luaL_error(L, "the lines are being read already");
  d.doc = yyjson_read_opts((char *)source->text, source->size, read_flags(options), NULL, &err);
  if (!d.doc) return refuse_syntax(&d, &err);
  *held = d.doc;
  json_push_array_metatable(L);
  json_push_empty_shape(L);
  d.array_metatable = top + 1;
  d.empty_shape = top + 2;
  bool done = push_value(&d, d.doc->root, 0);
  *held = NULL;
  yyjson_doc_free(d.doc);
  if (done) return 1;
  lua_settop(L, top);
  return push_refusal(&d);
}

void json_push_part(lua_State *L, yyjson_doc *doc, yyjson_val *part) {
  static const Options options = {.max_depth = JSON_DEPTH, .name = "json"};
  static const Source nowhere = {.text = ""};
  Decoder d = {.L = L, .options = &options, .source = &nowhere, .doc = doc};
  bool is_leaf = unsafe_yyjson_get_type(part) < YYJSON_TYPE_ARR;
  int top = lua_gettop(L);
  if (!is_leaf) {
    luaL_checkstack(L, 12, "too many values to decode");
    json_push_array_metatable(L);
    json_push_empty_shape(L);
    d.array_metatable = top + 1;
    d.empty_shape = top + 2;
  }
  if (!push_value(&d, part, 0)) luaL_error(L, "cannot decode: %s", d.why);
  if (!is_leaf) {
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  }
}

static int document_gc(lua_State *L) {
  yyjson_doc **held = luaL_checkudata(L, 1, DOCUMENT);
  yyjson_doc_free(*held);
  *held = NULL;
  return 0;
}

/* decode(text [, options]) -> value | nil, message, position */
int json_decode(lua_State *L) {
  Source source = {0};
  source.text = luaL_checklstring(L, 1, &source.size);
  lua_settop(L, 2);
  Options options = check_options(L, 2);
  yyjson_doc **held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = NULL;
  luaL_setmetatable(L, DOCUMENT);
  return decode(L, held, &source, &options);
}

/* ---- lines ---- */

typedef struct {
  FILE *file;          /* NULL once closed */
  luaL_Stream *stream; /* the script's file, which it may close; NULL when opened here */
  char *line;          /* getline's, reused */
  size_t capacity;
  size_t lines, bytes; /* read so far */
  yyjson_doc *doc;     /* of the line at hand */
  Options options;
} Reader;

static int reader_close(lua_State *L) {
  Reader *r = luaL_checkudata(L, 1, READER);
  if (r->file && !r->stream) fclose(r->file);
  r->file = NULL;
  free(r->line);
  r->line = NULL;
  r->capacity = 0;
  yyjson_doc_free(r->doc);
  r->doc = NULL;
  return 0;
}

static bool is_blank(const char *line, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\n') return false;
  return true;
}

/* [] -> [nil, message, name of the error] */
static int push_system_refusal(lua_State *L, const char *what, const char *path, int code) {
  lua_pushnil(L);
  lua_pushfstring(L, "cannot %s %s: %s", what, path, strerror(code));
  lua_pushstring(L, strerrorname_np(code));
  return 3;
}

/* The file ended or could not be read further. */
static int end_of_lines(lua_State *L, Reader *r) {
  int code = ferror(r->file) ? errno : 0;
  if (code == EINTR && hone_is_interrupted()) return raise_interrupted(L);
  lua_pushcfunction(L, reader_close);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_call(L, 1, 0);
  if (!code) return 0;
  lua_pushinteger(L, (lua_Integer)r->lines + 1);
  return 1 + push_system_refusal(L, "read", r->options.name, code);
}

/* iterator() -> line number, value | line number, nil, message, position; upvalue 1: the reader */
static int next_line(lua_State *L) {
  Reader *r = luaL_checkudata(L, lua_upvalueindex(1), READER);
  Source source = {.text = r->line};
  do {
    if (!r->file) return 0;
    if (r->stream && !r->stream->closef) return luaL_error(L, "the file was closed");
    ssize_t n = getline(&r->line, &r->capacity, r->file);
    if (n < 0) return end_of_lines(L, r);
    source = (Source){r->line, (size_t)n, r->lines, r->bytes};
    r->lines++;
    r->bytes += (size_t)n;
  } while (is_blank(source.text, source.size));
  lua_settop(L, 0);
  lua_pushinteger(L, (lua_Integer)r->lines);
  int results = decode(L, &r->doc, &source, &r->options);
  if (results == 1) lua_replace(L, 2);
  lua_settop(L, 1 + results);
  return 1 + results;
}

/* [] -> [reader]: its file is NULL, and errno set, when the path cannot be opened */
static Reader *open_reader(lua_State *L) {
  luaL_Stream *stream = luaL_testudata(L, 1, LUA_FILEHANDLE);
  const char *path = stream ? NULL : luaL_checkstring(L, 1);
  luaL_argcheck(L, !stream || stream->closef, 1, "the file is closed");
  Reader *r = lua_newuserdatauv(L, sizeof *r, 1);
  *r = (Reader){.stream = stream};
  luaL_setmetatable(L, READER);
  lua_pushvalue(L, 1); /* a stream must live as long as its reader */
  lua_setiuservalue(L, -2, 1);
  r->file = stream ? stream->f : fopen(path, "re");
  return r;
}

/* lines(path or file [, options]) -> iterator, nil, nil, closing value | nil, message, code */
int json_lines(lua_State *L) {
  lua_settop(L, 2);
  Reader *r = open_reader(L); /* [source, options, reader] */
  int code = errno;
  r->options = check_options(L, 2); /* [source, options, reader, name] */
  if (lua_isnil(L, 4)) r->options.name = r->stream ? "json" : lua_tostring(L, 1);
  if (!r->file) return push_system_refusal(L, "open", lua_tostring(L, 1), code);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 4);
  lua_pushcclosure(L, next_line, 3); /* holds what the name may point into */
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, 3);
  return 4;
}

static void new_holder(lua_State *L, const char *name, lua_CFunction release) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, release);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}

void json_open_decoder(lua_State *L) {
  new_holder(L, DOCUMENT, document_gc);
  new_holder(L, READER, reader_close);
}
