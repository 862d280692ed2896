/* ljson.h -- what the files of hone.core.json share. */
#ifndef HONE_LJSON_H
#define HONE_LJSON_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <yyjson.h>

/* Containers nest at most this deep by default, and never deeper than the second figure: values are
 * walked by recursion, whose C stack this bounds. */
enum { JSON_DEPTH = 512, JSON_DEPTH_LIMIT = 4096 };

/* Value of options.max_depth; `options` is the index of a table or of nil. */
int json_depth_option(lua_State *L, int options);

/* ---- ljson_object.c ---- */

/* Objects with more fields than this own their key list instead of sharing a shape. */
enum { SHAPE_MAX_KEYS = 64 };

typedef enum { SHAPE_MOVED, SHAPE_HAS_KEY, SHAPE_FULL } ShapeStep;

/* Create the empty shape and the arrays' metatable of this state. */
void json_open_objects(lua_State *L);

void json_push_empty_shape(lua_State *L);
void json_push_array_metatable(lua_State *L);

/* [key] -> [the shape that has one key more], or [] when the result is not SHAPE_MOVED. */
ShapeStep json_shape_step(lua_State *L, int shape);

/* [] -> [metatable of an object that owns its key list, list of its keys, to be filled] */
void json_push_dictionary(lua_State *L, int keys);

/* The same with the keys of a shape in the list, and room for more. */
void json_push_dictionary_of(lua_State *L, int shape, int more);

/* [] -> [list of the shape's keys, not to be changed] */
void json_push_shape_keys(lua_State *L, int shape);

/* Whether the value is an object of ours: then [] -> [shape], else [] -> []. */
bool json_push_shape_of(lua_State *L, int index);
bool json_is_marked_array(lua_State *L, int index);

int json_object(lua_State *L);
int json_array(lua_State *L);
int json_keys(lua_State *L);

/* ---- ljson_decode.c ---- */

void json_open_decoder(lua_State *L);
int json_decode(lua_State *L);
int json_lines(lua_State *L);

/* [] -> [value]: a part of a document of which it is known that nothing in it is refused. */
void json_push_part(lua_State *L, yyjson_doc *doc, yyjson_val *part);

/* ---- ljson_pick.c ---- */

void json_open_picker(lua_State *L);
int json_picker(lua_State *L);

/* ---- ljson_encode.c ---- */

/* What a Lua table is in JSON. */
typedef enum { KIND_ARRAY, KIND_OBJECT, KIND_PLAIN_OBJECT, KIND_NONE } TableKind;

/* For KIND_NONE, *why says what is wrong with the table. */
TableKind json_table_kind(lua_State *L, int index, const char **why);

typedef struct {
  const char *bytes;
  size_t size;
} Key;
/* [] -> [userdata]: the keys of a table that is KIND_PLAIN_OBJECT, sorted by their bytes. */
const Key *json_push_sorted_keys(lua_State *L, int table, size_t *count);

void json_open_encoder(lua_State *L);
int json_encode(lua_State *L);

#endif
