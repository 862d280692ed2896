/* ljson_object.c -- tables that remember the order of their fields.
 *
 * An object is a plain table whose metatable, its shape, lists its keys in order. Objects with the
 * same keys in the same order share one shape. Shapes form a tree, a child having one key more than
 * its parent; children are held weakly, so a shape lives as long as an object of it or of a
 * descendant. Beyond SHAPE_MAX_KEYS keys, or where a shape has many children already (keys that are
 * data: identifiers, dates), an object gets a shape of its own, a dictionary. */
#include "ljson.h"

/* Positions in a shape's array part. A dictionary has no COUNT. MARK holds the address of
 * empty_shape, which no other table's metatable has there. */
enum { MARK = 1, PARENT, KEY, COUNT, CHILDREN, KEYS, POSITIONS, MISSES };

enum { MANY_CHILDREN = 64 };

/* Registry keys are the addresses of these. */
static char empty_shape, array_metatable, weak_values;

static int object_newindex(lua_State *L);
static int object_pairs(lua_State *L);

/* [] -> [metatable] */
static void push_metatable(lua_State *L, int slots) {
  lua_createtable(L, slots, 3);
  lua_pushlightuserdata(L, &empty_shape);
  lua_rawseti(L, -2, MARK);
  lua_pushcfunction(L, object_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, object_pairs);
  lua_setfield(L, -2, "__pairs");
  lua_pushliteral(L, "hone.json object");
  lua_setfield(L, -2, "__name");
}

void json_push_empty_shape(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &empty_shape);
}

void json_push_array_metatable(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &array_metatable);
}

static lua_Integer shape_count(lua_State *L, int shape) {
  lua_rawgeti(L, shape, COUNT);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static bool is_dictionary(lua_State *L, int shape) {
  bool none = lua_rawgeti(L, shape, COUNT) == LUA_TNIL;
  lua_pop(L, 1);
  return none;
}

static bool shape_has_key(lua_State *L, int shape, int key) {
  bool found = false;
  lua_pushvalue(L, shape);
  while (!found && lua_rawgeti(L, -1, KEY) != LUA_TNIL) { /* [shape, its last key] */
    found = lua_rawequal(L, -1, key);
    lua_rawgeti(L, -2, PARENT);
    lua_replace(L, -3);
    lua_pop(L, 1); /* [parent] */
  }
  lua_pop(L, found ? 1 : 2);
  return found;
}

/* [] -> [table of the shape's children by key] */
static void push_children(lua_State *L, int shape) {
  if (lua_rawgeti(L, shape, CHILDREN) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &weak_values);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawseti(L, shape, CHILDREN);
}

/* [key] -> [new child shape] */
static void add_child(lua_State *L, int shape) {
  int key = lua_gettop(L);
  lua_Integer count = shape_count(L, shape);
  push_metatable(L, COUNT); /* [key, child] */
  lua_pushvalue(L, shape);
  lua_rawseti(L, -2, PARENT);
  lua_pushvalue(L, key);
  lua_rawseti(L, -2, KEY);
  lua_pushinteger(L, count + 1);
  lua_rawseti(L, -2, COUNT);
  push_children(L, shape); /* [key, child, children] */
  lua_pushvalue(L, key);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_replace(L, key);
}

static lua_Integer living_children(lua_State *L, int shape) {
  lua_Integer n = 0;
  push_children(L, shape);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) n++;
  lua_pop(L, 1);
  return n;
}

/* Whether a child that is missing should not be added. Every so often the children are counted,
 * since those that died make room. */
static bool is_crowded(lua_State *L, int shape) {
  lua_rawgeti(L, shape, MISSES);
  lua_Integer misses = lua_tointeger(L, -1) + 1;
  lua_pop(L, 1);
  if (misses >= 2 * MANY_CHILDREN) {
    lua_Integer living = living_children(L, shape);
    misses = living < MANY_CHILDREN ? living : MANY_CHILDREN;
  }
  lua_pushinteger(L, misses);
  lua_rawseti(L, shape, MISSES);
  return misses >= MANY_CHILDREN;
}

ShapeStep json_shape_step(lua_State *L, int shape) {
  int key = lua_gettop(L);
  if (lua_rawgeti(L, shape, CHILDREN) == LUA_TTABLE) { /* [key, children] */
    lua_pushvalue(L, key);
    if (lua_rawget(L, -2) == LUA_TTABLE) { /* [key, children, child] */
      lua_replace(L, key);
      lua_pop(L, 1);
      return SHAPE_MOVED;
    }
  }
  lua_settop(L, key);
  ShapeStep step = SHAPE_MOVED;
  if (shape_has_key(L, shape, key))
    step = SHAPE_HAS_KEY;
  else if (shape_count(L, shape) >= SHAPE_MAX_KEYS || is_crowded(L, shape))
    step = SHAPE_FULL;
  if (step == SHAPE_MOVED)
    add_child(L, shape);
  else
    lua_pop(L, 1);
  return step;
}

void json_push_shape_keys(lua_State *L, int shape) {
  shape = lua_absindex(L, shape);
  if (lua_rawgeti(L, shape, KEYS) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_Integer n = shape_count(L, shape);
  lua_createtable(L, (int)n, 0);
  lua_pushvalue(L, shape); /* [keys, shape] */
  for (lua_Integer i = n; i > 0; i--) {
    lua_rawgeti(L, -1, KEY);
    lua_rawseti(L, -3, i);
    lua_rawgeti(L, -1, PARENT);
    lua_replace(L, -2);
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, shape, KEYS);
}

void json_push_dictionary(lua_State *L, int keys) {
  push_metatable(L, MARK);
  lua_createtable(L, keys, 0);
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, KEYS);
}

void json_push_dictionary_of(lua_State *L, int shape, int more) {
  json_push_shape_keys(L, shape); /* [keys] */
  int keys = lua_gettop(L);
  int n = (int)lua_rawlen(L, keys);
  json_push_dictionary(L, n + more); /* [keys, dictionary, list] */
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, keys, i);
    lua_rawseti(L, -2, i);
  }
  lua_remove(L, keys);
}

/* [] -> [set of the keys that a dictionary lists]; made when a field is first added by assignment
 */
static void push_positions(lua_State *L, int dictionary) {
  if (lua_rawgeti(L, dictionary, POSITIONS) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_rawgeti(L, dictionary, KEYS); /* [positions, keys] */
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_pushinteger(L, i);
    lua_rawset(L, -4);
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, dictionary, POSITIONS);
}

/* List a key that the dictionary may have had before: it then keeps its place. */
static void dictionary_add(lua_State *L, int dictionary, int key) {
  push_positions(L, dictionary);
  lua_pushvalue(L, key);
  if (lua_rawget(L, -2) == LUA_TNIL) { /* [positions, nil] */
    lua_rawgeti(L, dictionary, KEYS);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1) + 1;
    lua_pushvalue(L, key);
    lua_rawseti(L, -2, n);
    lua_pushvalue(L, key);
    lua_pushinteger(L, n);
    lua_rawset(L, -5);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

/* Give the object a dictionary with the keys of its full shape and one more. */
static void become_dictionary(lua_State *L, int object, int shape, int key) {
  json_push_dictionary_of(L, shape, 1);
  lua_pop(L, 1);
  dictionary_add(L, lua_gettop(L), key);
  lua_setmetatable(L, object);
}

bool json_push_shape_of(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;
  lua_rawgeti(L, -1, MARK);
  bool ours = lua_touserdata(L, -1) == &empty_shape;
  lua_pop(L, ours ? 1 : 2);
  return ours;
}

bool json_is_marked_array(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  json_push_array_metatable(L);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* __newindex(object, key, value): a field that the object does not have now */
static int object_newindex(lua_State *L) {
  lua_settop(L, 3);
  if (!json_push_shape_of(L, 1)) return luaL_typeerror(L, 1, "hone.json object");
  if (lua_type(L, 2) != LUA_TSTRING)
    return luaL_error(L, "an object's key must be a string, got a %s", luaL_typename(L, 2));
  if (lua_isnil(L, 3)) return 0;
  if (is_dictionary(L, 4)) {
    dictionary_add(L, 4, 2);
  } else {
    lua_pushvalue(L, 2);
    ShapeStep step = json_shape_step(L, 4);
    if (step == SHAPE_MOVED)
      lua_setmetatable(L, 1);
    else if (step == SHAPE_FULL)
      become_dictionary(L, 1, 4, 2);
  }
  lua_settop(L, 3);
  lua_rawset(L, 1);
  return 0;
}

/* The iterator of pairs; upvalues: list of keys, position of the last one */
static int object_next(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
  while (lua_rawgeti(L, lua_upvalueindex(1), ++i) != LUA_TNIL) { /* [key] */
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 1) != LUA_TNIL) { /* [key, value] */
      lua_pushinteger(L, i);
      lua_replace(L, lua_upvalueindex(2));
      return 2;
    }
    lua_pop(L, 2); /* the field was set to nil */
  }
  return 1;
}

static int object_pairs(lua_State *L) {
  if (!json_push_shape_of(L, 1)) return luaL_typeerror(L, 1, "hone.json object");
  json_push_shape_keys(L, lua_gettop(L));
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, object_next, 2);
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

/* object() -> empty object */
int json_object(lua_State *L) {
  lua_newtable(L);
  json_push_empty_shape(L);
  lua_setmetatable(L, -2);
  return 1;
}

/* array([list]) -> the same table, marked */
int json_array(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argcheck(L, !json_push_shape_of(L, 1), 1, "it is an object");
  json_push_array_metatable(L);
  lua_setmetatable(L, 1);
  return 1;
}

/* keys(table) -> list of its keys: in order for an object, sorted for a plain table */
int json_keys(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_newtable(L); /* [table, result] */
  lua_Integer n = 0;
  if (json_push_shape_of(L, 1)) {
    json_push_shape_keys(L, 3);
    for (lua_Integer i = 1; lua_rawgeti(L, 4, i) != LUA_TNIL; i++) {
      lua_pushvalue(L, -1);
      if (lua_rawget(L, 1) != LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_rawseti(L, 2, ++n);
      }
      lua_settop(L, 4);
    }
  } else {
    const char *why;
    size_t count;
    luaL_argcheck(L, json_table_kind(L, 1, &why) == KIND_PLAIN_OBJECT, 1, "it is not an object");
    const Key *keys = json_push_sorted_keys(L, 1, &count);
    for (size_t i = 0; i < count; i++) {
      lua_pushlstring(L, keys[i].bytes, keys[i].size);
      lua_rawseti(L, 2, (lua_Integer)i + 1);
    }
  }
  lua_settop(L, 2);
  return 1;
}

void json_open_objects(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &weak_values);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "hone.json array");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &array_metatable);
  push_metatable(L, COUNT);
  lua_pushinteger(L, 0);
  lua_rawseti(L, -2, COUNT);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &empty_shape);
}
