/* ljson_pick.c -- the wanted parts of many JSON texts that all look alike, without making tables of
 * the rest. What does not look as it should is not judged here: it is handed back to be read in
 * full. */
#include "ljson.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json/buffer.h"
#include "json/form.h"
#include "lua/interrupted.h"

#define PICKER "hone.json picker"

/* Longer texts are read in full: what a document may need is set aside beforehand. */
enum { LONGEST_TEXT = 1 << 20, MAX_FORM_NESTING = 32, MAX_FIELDS = 64 };

typedef struct {
  Form form;
  int slots;
  Buffer file;
  char *pool; /* what yyjson allocates from */
  size_t pool_size;
  yyjson_val *picked[FORM_SLOTS];
  FormText only[FORM_SLOTS]; /* the form's own, for what is picked */
} Picker;

static const char *const KINDS[] = {"text",    "string", "path",    "choice", "null",
                                    "boolean", "size",   "measure", "number", "any",
                                    "object",  "map",    "list",    "either", NULL};

/* ---- forms ---- */

static void read_form(lua_State *L, Picker *picker, Form *form, int depth);

static bool copy_text(lua_State *L, FormText *text) {
  size_t n;
  const char *bytes = lua_tolstring(L, -1, &n);
  text->bytes = malloc(n + 1);
  if (!text->bytes) return false;
  memcpy(text->bytes, bytes, n + 1);
  text->size = n;
  return true;
}

static void *new_items(lua_State *L, size_t n, size_t size) {
  void *items = calloc(n ? n : 1, size);
  if (!items) luaL_error(L, "not enough memory");
  return items;
}

/* [description]: {"choice", "A", "B"} */
static void read_choices(lua_State *L, Form *form) {
  size_t n = lua_rawlen(L, -1) - 1;
  form->choices = new_items(L, n, sizeof *form->choices);
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i + 2) != LUA_TSTRING)
      luaL_error(L, "a choice must be a string");
    if (!copy_text(L, &form->choices[i])) luaL_error(L, "not enough memory");
    form->choice_count = i + 1;
    lua_pop(L, 1);
  }
}

/* [description, part]: for an object the part is {name, form, optional = boolean} */
static void read_part(lua_State *L, Picker *picker, Form *form, Form *part, int depth) {
  luaL_checktype(L, -1, LUA_TTABLE);
  if (form->kind != FORM_OBJECT) {
    read_form(L, picker, part, depth + 1);
    return;
  }
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING) luaL_error(L, "a field must have a name");
  if (!copy_text(L, &part->name)) luaL_error(L, "not enough memory");
  lua_getfield(L, -2, "optional");
  part->optional = lua_toboolean(L, -1);
  lua_pop(L, 2);
  if (lua_rawgeti(L, -1, 2) != LUA_TTABLE) luaL_error(L, "a field must have a form");
  read_form(L, picker, part, depth + 1);
  lua_pop(L, 1);
}

/* [description]: {"object", field...}, {"map" or "list", form}, {"either", form...} */
static void read_parts(lua_State *L, Picker *picker, Form *form, int depth) {
  size_t n = lua_rawlen(L, -1) - 1;
  bool one = form->kind == FORM_MAP || form->kind == FORM_LIST;
  if (n > MAX_FIELDS || (one && n != 1)) luaL_error(L, "a form has the wrong number of parts");
  form->parts = new_items(L, n, sizeof *form->parts);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 2);
    form->part_count = i + 1;
    read_part(L, picker, form, &form->parts[i], depth);
    lua_pop(L, 1);
  }
}

static int integer_field(lua_State *L, const char *name) {
  lua_getfield(L, -1, name);
  int value = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

/* [description]: {kind, part..., pick = slot, least = count} */
static void read_form(lua_State *L, Picker *picker, Form *form, int depth) {
  luaL_checkstack(L, 8, "a form nests too deep");
  if (depth > MAX_FORM_NESTING) luaL_error(L, "a form nests too deep");
  lua_rawgeti(L, -1, 1);
  form->kind = (FormKind)luaL_checkoption(L, lua_gettop(L), NULL, KINDS);
  lua_pop(L, 1);
  form->slot = integer_field(L, "pick");
  if (form->slot < 0 || form->slot > FORM_SLOTS)
    luaL_error(L, "pick must be from 1 to %d", FORM_SLOTS);
  if (form->slot > picker->slots) picker->slots = form->slot;
  form->least = (size_t)integer_field(L, "least");
  if (lua_getfield(L, -1, "only") == LUA_TSTRING && !copy_text(L, &form->only))
    luaL_error(L, "not enough memory");
  lua_pop(L, 1);
  if (form->slot) picker->only[form->slot - 1] = form->only;
  if (form->kind == FORM_CHOICE)
    read_choices(L, form);
  else if (form->kind >= FORM_OBJECT)
    read_parts(L, picker, form, depth);
}

/* ---- reading ---- */

/* The whole file into picker->file: 0 or errno. */
static int read_file(lua_State *L, Picker *picker, const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  struct stat about;
  size_t room = fstat(file, &about) == 0 && about.st_size > 0 ? (size_t)about.st_size + 1 : 65536;
  int code = 0;
  picker->file.size = 0;
  for (ssize_t n = 1; n != 0;) {
    char *at = buffer_reserve(&picker->file, room);
    n = at ? read(file, at, room) : -1;
    if (n > 0) {
      picker->file.size += (size_t)n;
    } else if (n < 0 && (!at || errno != EINTR || hone_is_interrupted())) {
      code = at ? errno : ENOMEM;
      break;
    }
  }
  close(file);
  if (code == EINTR) raise_interrupted(L);
  return code;
}

static int push_failure(lua_State *L, const char *path, int code) {
  lua_pushnil(L);
  lua_pushfstring(L, "cannot open %s: %s", path, strerror(code));
  lua_pushstring(L, strerrorname_np(code));
  return 3;
}

static bool has_pool(Picker *picker, size_t size) {
  if (size <= picker->pool_size) return true;
  char *pool = realloc(picker->pool, size);
  if (!pool) return false;
  picker->pool = pool;
  picker->pool_size = size;
  return true;
}

/* The document of a text of the form, with picker->picked filled; NULL where it is none. It lies in
 * the pool, and is gone with the next. */
static yyjson_doc *match(Picker *picker, const char *text, size_t size) {
  static const yyjson_read_flag flags = YYJSON_READ_BIGNUM_AS_RAW;
  yyjson_alc pool;
  if (size > LONGEST_TEXT || !has_pool(picker, yyjson_read_max_memory_usage(size, flags)))
    return NULL;
  if (!yyjson_alc_pool_init(&pool, picker->pool, picker->pool_size)) return NULL;
  yyjson_doc *doc = yyjson_read_opts((char *)text, size, flags, &pool, NULL);
  memset(picker->picked, 0, sizeof picker->picked);
  return doc && form_matches(&picker->form, doc->root, picker->picked) ? doc : NULL;
}

/* One field of each object in a list. */
static void push_only(lua_State *L, yyjson_doc *doc, yyjson_val *list, const FormText *name) {
  size_t n = unsafe_yyjson_get_len(list);
  lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
  yyjson_val *item = list + 1;
  for (size_t i = 1; i <= n; i++, item = unsafe_yyjson_get_next(item)) {
    yyjson_val *field = yyjson_obj_getn(item, name->bytes, name->size);
    if (field)
      json_push_part(L, doc, field);
    else
      lua_pushboolean(L, false);
    lua_rawseti(L, -2, (lua_Integer)i);
  }
}

static void push_picked(lua_State *L, Picker *picker, yyjson_doc *doc, int slot) {
  yyjson_val *value = picker->picked[slot];
  if (!value)
    lua_pushboolean(L, false);
  else if (picker->only[slot].bytes && unsafe_yyjson_get_type(value) == YYJSON_TYPE_ARR)
    push_only(L, doc, value, &picker->only[slot]);
  else
    json_push_part(L, doc, value);
}

/* picker:value(path) -> part... | nil, message, code: those of a file that holds one value */
static int picker_value(lua_State *L) {
  Picker *picker = luaL_checkudata(L, 1, PICKER);
  const char *path = luaL_checkstring(L, 2);
  int code = read_file(L, picker, path);
  if (code) return push_failure(L, path, code);
  yyjson_doc *doc = match(picker, picker->file.data, picker->file.size);
  if (!doc) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s is of another form", path);
    lua_pushliteral(L, "FORM");
    return 3;
  }
  luaL_checkstack(L, FORM_SLOTS, NULL);
  for (int i = 0; i < picker->slots; i++) push_picked(L, picker, doc, i);
  return picker->slots;
}

static bool is_blank(const char *line, const char *end) {
  while (line < end && (*line == ' ' || *line == '\t' || *line == '\r')) line++;
  return line == end;
}

/* Neighbouring rows often say the same: [column] -> [column, value of the row before], or [column].
 */
static bool push_same(lua_State *L, yyjson_val *value, lua_Integer row) {
  if (!value || unsafe_yyjson_get_type(value) != YYJSON_TYPE_STR) return false;
  if (lua_rawgeti(L, -1, row - 1) == LUA_TSTRING) {
    size_t n;
    const char *before = lua_tolstring(L, -1, &n);
    if (n == unsafe_yyjson_get_len(value) && memcmp(before, unsafe_yyjson_get_str(value), n) == 0)
      return true;
  }
  lua_pop(L, 1);
  return false;
}

/* [columns] -> [columns] with a row more */
static void add_row(lua_State *L, Picker *picker, yyjson_doc *doc, int columns, lua_Integer row) {
  for (int i = 0; i < picker->slots; i++) {
    lua_rawgeti(L, columns, i + 1);
    if (!push_same(L, picker->picked[i], row)) push_picked(L, picker, doc, i);
    lua_rawseti(L, -2, row);
    lua_pop(L, 1);
  }
}

static int count_lines(const char *at, const char *end) {
  int lines = 0;
  for (; at < end && lines < INT_MAX; lines++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    at = newline ? newline + 1 : end;
  }
  return lines;
}

/* picker:lines(path) -> columns, count | nil, message, code: of a file with a value a line */
static int picker_lines(lua_State *L) {
  Picker *picker = luaL_checkudata(L, 1, PICKER);
  const char *path = luaL_checkstring(L, 2);
  int code = read_file(L, picker, path);
  if (code) return push_failure(L, path, code);
  lua_createtable(L, picker->slots, 0);
  int columns = lua_gettop(L);
  const char *at = picker->file.data, *end = at + picker->file.size, *next;
  int lines = count_lines(at, end);
  for (int i = 1; i <= picker->slots; i++) {
    lua_createtable(L, lines, 0);
    lua_rawseti(L, columns, i);
  }
  lua_Integer rows = 0, number = 0;
  for (; at < end; at = next) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *stop = newline ? newline : end;
    next = newline ? newline + 1 : end;
    number++;
    if (is_blank(at, stop)) continue;
    yyjson_doc *doc = match(picker, at, (size_t)(stop - at));
    if (!doc) {
      lua_pushnil(L);
      lua_pushfstring(L, "%s:%I is of another form", path, (LUAI_UACINT)number);
      lua_pushliteral(L, "FORM");
      return 3;
    }
    add_row(L, picker, doc, columns, ++rows);
  }
  lua_pushinteger(L, rows);
  return 2;
}

/* ---- the library ---- */

static int picker_free(lua_State *L) {
  Picker *picker = luaL_checkudata(L, 1, PICKER);
  form_free(&picker->form);
  buffer_free(&picker->file);
  picker->file = (Buffer){0};
  free(picker->pool);
  picker->pool = NULL;
  picker->pool_size = 0;
  return 0;
}

/* picker(form) -> picker */
int json_picker(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  Picker *picker = lua_newuserdatauv(L, sizeof *picker, 0);
  *picker = (Picker){0};
  luaL_setmetatable(L, PICKER);
  lua_insert(L, 1); /* [picker, description] */
  read_form(L, picker, &picker->form, 0);
  lua_settop(L, 1);
  return 1;
}

static const luaL_Reg methods[] = {{"value", picker_value}, {"lines", picker_lines}, {NULL, NULL}};

void json_open_picker(lua_State *L) {
  luaL_newmetatable(L, PICKER);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, picker_free);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
