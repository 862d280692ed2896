/* lsyntax.c -- require "hone.core.syntax": syntax trees by tree-sitter.
 * scripts/hone/syntax.lua finds the grammars and adds queries' predicates; scripts/meta/syntax.lua
 * documents both. Nothing here recurses: sources may be nested as deep as their author likes. */
#include "lua/fields.h"
#include "lua/interrupted.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tree_sitter/api.h>

#define LANGUAGE "hone.syntax.Language"
#define TREE "hone.syntax.Tree"
#define NODE "hone.syntax.Node"
#define QUERY "hone.syntax.Query"
#define REGEX "hone.syntax.Regex"
#define PARSER "hone.syntax.Parser"
#define WALK "hone.syntax.Walk"

enum {
  ERROR_SYMBOL = UINT16_MAX, /* tree-sitter's symbol of ERROR nodes */
  MAX_FIELDS = 64,           /* a frame remembers the fields that it has seen in 64 bits */
  MAX_SYMBOLS = 4096,
  DEFAULT_DEPTH = 5000,
  MAX_DEPTH = 200000, /* Lua's stack holds one table a level, a million slots in all */
  MAX_QUERY_DEPTH = 200,
  TREE_FACTOR = 24,     /* memory of a tree, in sizes of its source */
  SLICE_MICROS = 50000, /* how long a parse may run before it looks for an interrupt */
  POLL_NODES = 4096,    /* how many nodes are converted between such looks */
};

/* ---- languages ---- */

typedef struct {
  const TSLanguage *grammar;
  uint32_t symbols;
  TSSymbol slice;               /* Python's a[from:to:step]; 0 in other languages */
  uint8_t records[MAX_SYMBOLS]; /* most named values that a table of this symbol has had */
} Language; /* user values: names of symbols, names of fields, symbols of the names asked for so far
             */

enum { NAMES = 1, FIELDS = 2, SYMBOLS = 3 };

static Language *check_language(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, LANGUAGE);
}

static TSSymbol find_symbol(const TSLanguage *grammar, const char *name, size_t length) {
  return ts_language_symbol_for_name(grammar, name, (uint32_t)length, true);
}

static void push_symbol_names(lua_State *L, const TSLanguage *grammar) {
  uint32_t n = ts_language_symbol_count(grammar);
  lua_createtable(L, (int)n, 2);
  for (uint32_t i = 0; i < n; i++) {
    lua_pushstring(L, ts_language_symbol_name(grammar, (TSSymbol)i));
    lua_rawseti(L, -2, i);
  }
  lua_pushliteral(L, "ERROR");
  lua_rawseti(L, -2, ERROR_SYMBOL);
}

/* The field `type` would hide the node's own type, and is called `annotation` in tables. */
static void push_field_names(lua_State *L, const TSLanguage *grammar) {
  uint32_t n = ts_language_field_count(grammar);
  lua_createtable(L, (int)n, 0);
  for (uint32_t i = 1; i <= n; i++) {
    const char *name = ts_language_field_name_for_id(grammar, (TSFieldId)i);
    lua_pushstring(L, strcmp(name, "type") == 0 ? "annotation" : name);
    lua_rawseti(L, -2, i);
  }
}

/* load(name, path) -> Language | nil, message: the grammar tree_sitter_<name> of a shared object,
 * which stays open for good (trees point into it) */
static int syntax_load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *path = luaL_checkstring(L, 2);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    lua_pushnil(L);
    lua_pushfstring(L, "cannot load the %s grammar: %s", name, dlerror());
    return 2;
  }
  lua_pushfstring(L, "tree_sitter_%s", name);
  const TSLanguage *(*open)(void) = NULL;
  *(void **)&open = dlsym(library, lua_tostring(L, -1));
  const TSLanguage *grammar = open ? open() : NULL;
  if (!grammar || ts_language_version(grammar) < TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION ||
      ts_language_version(grammar) > TREE_SITTER_LANGUAGE_VERSION ||
      ts_language_field_count(grammar) >= MAX_FIELDS ||
      ts_language_symbol_count(grammar) > MAX_SYMBOLS) {
    dlclose(library);
    lua_pushnil(L);
    lua_pushfstring(L, "cannot load the %s grammar: %s is not one that this build can use", name,
                    path);
    return 2;
  }
  Language *language = lua_newuserdatauv(L, sizeof *language, 3);
  *language = (Language){.grammar = grammar,
                         .symbols = ts_language_symbol_count(grammar),
                         .slice = find_symbol(grammar, "slice", strlen("slice"))};
  luaL_setmetatable(L, LANGUAGE);
  push_symbol_names(L, grammar);
  lua_setiuservalue(L, -2, NAMES);
  push_field_names(L, grammar);
  lua_setiuservalue(L, -2, FIELDS);
  lua_newtable(L);
  lua_setiuservalue(L, -2, SYMBOLS);
  return 1;
}

/* ---- trees and nodes ---- */

typedef struct {
  TSTree *tree; /* NULL before the parse and after close */
  const char *source;
  size_t length;
} Tree; /* user values: the source string, its Language */

enum { SOURCE = 1, TREE_LANGUAGE = 2 };

typedef struct {
  TSNode node;
} Node; /* user value: its Tree */

static Tree *check_tree(lua_State *L, int arg) {
  Tree *tree = luaL_checkudata(L, arg, TREE);
  luaL_argcheck(L, tree->tree != NULL, arg, "tree was closed");
  return tree;
}

/* tree:close(), __gc and __close: safe to call twice */
static int tree_close(lua_State *L) {
  Tree *tree = luaL_checkudata(L, 1, TREE);
  if (tree->tree) ts_tree_delete(tree->tree);
  tree->tree = NULL;
  return 0;
}

/* The Tree of the node at `arg`; it stays alive as long as the node does. */
static Tree *tree_of(lua_State *L, int arg) {
  lua_getiuservalue(L, arg, 1);
  Tree *tree = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return tree;
}

static TSNode check_node(lua_State *L, int arg) {
  Node *box = luaL_checkudata(L, arg, NODE);
  luaL_argcheck(L, tree_of(L, arg)->tree != NULL, arg, "tree was closed");
  return box->node;
}

/* Pushes a Node, or nil for a null node; `tree` is the stack index of its Tree. */
static void push_node(lua_State *L, TSNode node, int tree) {
  if (ts_node_is_null(node)) {
    lua_pushnil(L);
    return;
  }
  tree = lua_absindex(L, tree);
  Node *box = lua_newuserdatauv(L, sizeof *box, 1);
  box->node = node;
  luaL_setmetatable(L, NODE);
  lua_pushvalue(L, tree);
  lua_setiuservalue(L, -2, 1);
}

static void push_text(lua_State *L, const Tree *tree, TSNode node) {
  uint32_t from = ts_node_start_byte(node), to = ts_node_end_byte(node);
  lua_pushlstring(L, tree->source + from, to - from);
}

/* tree:root() -> Node */
static int tree_root(lua_State *L) {
  push_node(L, ts_tree_root_node(check_tree(L, 1)->tree), 1);
  return 1;
}

/* tree:source() -> string */
static int tree_source(lua_State *L) {
  check_tree(L, 1);
  lua_getiuservalue(L, 1, SOURCE);
  return 1;
}

/* ---- parsing ---- */

typedef struct {
  TSParser *parser;
} Parser;

static int parser_gc(lua_State *L) {
  Parser *box = luaL_checkudata(L, 1, PARSER);
  if (box->parser) ts_parser_delete(box->parser);
  box->parser = NULL;
  return 0;
}

/* The one parser, in the closure's first upvalue: a parse never calls Lua, so it is never in use.
 */
static TSParser *shared_parser(lua_State *L) {
  Parser *box = lua_touserdata(L, lua_upvalueindex(1));
  if (!box->parser) box->parser = ts_parser_new();
  ts_parser_reset(box->parser);
  return box->parser;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Trees are not in Lua's memory: without this the collector would let many large ones pile up. */
static void tell_collector(lua_State *L, size_t bytes) {
  if (lua_gc(L, LUA_GCISRUNNING)) lua_gc(L, LUA_GCSTEP, (int)(bytes / 1024) + 1);
}

/* parse(language, source, seconds) -> Tree | nil, message, code */
static int syntax_parse(lua_State *L) {
  Language *language = check_language(L, 1);
  size_t length;
  const char *source = luaL_checklstring(L, 2, &length);
  double seconds = luaL_checknumber(L, 3);
  if (length > INT32_MAX) {
    lua_pushnil(L);
    lua_pushliteral(L, "cannot parse a source of more than 2 GiB");
    lua_pushliteral(L, "too_large");
    return 3;
  }
  tell_collector(L, length * TREE_FACTOR);
  Tree *tree = lua_newuserdatauv(L, sizeof *tree, 2);
  *tree = (Tree){.source = source, .length = length};
  luaL_setmetatable(L, TREE);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, SOURCE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, TREE_LANGUAGE);

  TSParser *parser = shared_parser(L);
  ts_parser_set_language(parser, language->grammar);
  ts_parser_set_timeout_micros(parser, SLICE_MICROS);
  double deadline = seconds_now() + seconds;
  for (;;) { /* a parse that ran out of its slice goes on where it stopped */
    tree->tree = ts_parser_parse_string(parser, NULL, source, (uint32_t)length);
    if (tree->tree) return 1;
    if (hone_is_interrupted()) return raise_interrupted(L);
    if (seconds_now() > deadline) break;
  }
  ts_parser_reset(parser);
  lua_pushnil(L);
  lua_pushfstring(L, "cannot parse the source: not done after %f seconds", seconds);
  lua_pushliteral(L, "timeout");
  return 3;
}

/* ---- walking ---- */

typedef struct {
  uint64_t seen;   /* fields that already hold a node */
  uint32_t n;      /* children stored so far */
  uint32_t colons; /* of a slice, so far */
  TSSymbol symbol;
  uint8_t records; /* named values beside the ones that every table has */
  bool tokens;     /* unnamed children are stored too */
} Frame;

typedef struct {
  TSTreeCursor cursor;
  bool open;     /* the cursor holds memory */
  Frame *frames; /* one for each table under construction */
  size_t capacity;
} Walk;

static int walk_gc(lua_State *L) {
  Walk *walk = luaL_checkudata(L, 1, WALK);
  if (walk->open) ts_tree_cursor_delete(&walk->cursor);
  free(walk->frames);
  *walk = (Walk){0};
  return 0;
}

/* Pushes a walk that starts at `node`; close_walk frees what it holds before the collector does. */
static Walk *push_walk(lua_State *L, TSNode node) {
  Walk *walk = lua_newuserdatauv(L, sizeof *walk, 0);
  *walk = (Walk){0};
  luaL_setmetatable(L, WALK);
  walk->cursor = ts_tree_cursor_new(node);
  walk->open = true;
  return walk;
}

static void close_walk(Walk *walk) {
  ts_tree_cursor_delete(&walk->cursor);
  free(walk->frames);
  *walk = (Walk){0};
}

/* Comments and line continuations; what error recovery set aside is kept. */
static bool is_trivia(TSNode node) {
  return ts_node_is_extra(node) && ts_node_symbol(node) != ERROR_SYMBOL;
}

/* ---- conversion to tables ---- */

enum { LAZY = 1, TOKENS = 2, TEXT = 4 };

typedef struct {
  const Tree *tree;
  Language *language;
  Walk *walk;
  int names, fields, symbols; /* stack indices of the language's tables */
  bool offsets;
  uint32_t line; /* number of the source's first line */
  size_t max_depth;
  uint8_t flags[]; /* LAZY, TOKENS, TEXT by symbol */
} Conversion;

static uint8_t flags_of(const Conversion *c, TSSymbol symbol) {
  return symbol < c->language->symbols ? c->flags[symbol] : 0;
}

/* Sets `flag` for the type whose name is on top, and pops it; no node is of a type that the grammar
 * does not know. The grammar looks a name up in a long list, hence the table. */
static void set_flag(lua_State *L, Conversion *c, uint8_t flag) {
  lua_pushvalue(L, -1);
  if (lua_rawget(L, c->symbols) == LUA_TNIL) {
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    lua_pop(L, 1);
    lua_pushinteger(L, find_symbol(c->language->grammar, name, length));
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, c->symbols);
  }
  lua_Integer symbol = lua_tointeger(L, -1);
  if (symbol) c->flags[symbol] |= flag;
  lua_pop(L, 2);
}

/* Sets `flag` for each type named in the list opts[field]; opts is at `opts`. */
static void read_types(lua_State *L, Conversion *c, int opts, const char *field, uint8_t flag) {
  if (lua_getfield(L, opts, field) != LUA_TNIL) {
    if (!lua_istable(L, -1))
      luaL_error(L, "bad option '%s' (list of node types expected, got %s)", field,
                 luaL_typename(L, -1));
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
      if (lua_geti(L, -1, i) != LUA_TSTRING)
        luaL_error(L, "bad option '%s' (list of node types expected)", field);
      set_flag(L, c, flag);
    }
  }
  lua_pop(L, 1);
}

static void read_options(lua_State *L, Conversion *c, int opts) {
  lua_pushliteral(L, "dotted_name");
  set_flag(L, c, TEXT);
  lua_pushliteral(L, "string_content");
  set_flag(L, c, TEXT);
  if (lua_isnoneornil(L, opts)) return;
  luaL_checktype(L, opts, LUA_TTABLE);
  read_types(L, c, opts, "lazy", LAZY);
  read_types(L, c, opts, "tokens", TOKENS);
  read_types(L, c, opts, "text", TEXT);
  lua_getfield(L, opts, "offsets");
  c->offsets = lua_toboolean(L, -1);
  if (lua_getfield(L, opts, "line") != LUA_TNIL) {
    lua_Integer line = lua_tointeger(L, -1);
    if (line < 1 || line > INT32_MAX) luaL_error(L, "bad option 'line' (1 or more expected)");
    c->line = (uint32_t)line;
  }
  if (lua_getfield(L, opts, "max_depth") != LUA_TNIL) {
    lua_Integer depth = lua_tointeger(L, -1);
    if (depth < 1 || depth > MAX_DEPTH)
      luaL_error(L, "bad option 'max_depth' (1 to %d expected)", MAX_DEPTH);
    c->max_depth = (size_t)depth;
  }
  lua_pop(L, 3);
}

/* First and last byte, so that source:sub(from, to) is the text. */
static void set_offsets(lua_State *L, TSNode node) {
  set_integer(L, "from", (lua_Integer)ts_node_start_byte(node) + 1);
  set_integer(L, "to", ts_node_end_byte(node));
}

/* Pushes the table of a named node, still without its children. True when it has some to come. */
static bool push_table(lua_State *L, Conversion *c, TSNode node, TSSymbol symbol) {
  uint32_t children = ts_node_named_child_count(node);
  uint8_t flags = flags_of(c, symbol);
  bool lazy = (flags & LAZY) && children > 0;
  int records = children > 0 && symbol < MAX_SYMBOLS ? c->language->records[symbol] : 1;
  lua_createtable(L, lazy ? 0 : (int)children, 2 + records + (c->offsets ? 2 : 0));
  lua_rawgeti(L, c->names, symbol);
  lua_setfield(L, -2, "type");
  set_integer(L, "line", (lua_Integer)ts_node_start_point(node).row + c->line);
  if (c->offsets || lazy) set_offsets(L, node);
  if (lazy) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "lazy");
    return false;
  }
  if (children == 0 || (flags & TEXT)) {
    push_text(L, c->tree, node);
    lua_setfield(L, -2, "text");
  }
  if (ts_node_is_missing(node)) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "missing");
  }
  return children > 0 || ((flags & TOKENS) && ts_node_child_count(node) > 0);
}

/* Adds the frame of the table that was just pushed. False when it is one too deep. */
static bool push_frame(lua_State *L, Conversion *c, size_t depth, TSSymbol symbol) {
  Walk *walk = c->walk;
  if (depth >= c->max_depth || !lua_checkstack(L, 8)) return false;
  if (depth == walk->capacity) {
    size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
    Frame *frames = realloc(walk->frames, capacity * sizeof *frames);
    if (!frames) return false;
    walk->frames = frames;
    walk->capacity = capacity;
  }
  walk->frames[depth] =
      (Frame){.symbol = symbol, .tokens = (flags_of(c, symbol) & TOKENS) != 0, .records = 1};
  return true;
}

/* parent[name of field] = the value on top, which stays there */
static void set_field(lua_State *L, const Conversion *c, Frame *frame, int parent,
                      TSFieldId field) {
  lua_rawgeti(L, c->fields, field);
  lua_pushvalue(L, -2);
  lua_rawset(L, parent);
  frame->records++;
}

/* parent[slice part] = the value on top: a part's place among the colons says which it is */
static void set_slice_part(lua_State *L, Frame *frame, int parent) {
  static const char *const parts[] = {"start", "stop", "step"};
  if (frame->colons > 2) return;
  lua_pushvalue(L, -1);
  lua_setfield(L, parent, parts[frame->colons]);
  frame->records++;
}

/* Stores the table on top in its parent, as the next child and under its field's name. */
static void attach(lua_State *L, const Conversion *c, Frame *frame, TSFieldId field) {
  int parent = lua_gettop(L) - 1;
  lua_pushvalue(L, -1);
  lua_rawseti(L, parent, ++frame->n);
  if (frame->symbol == c->language->slice) set_slice_part(L, frame, parent);
  if (!field || (frame->seen & (UINT64_C(1) << field))) return;
  frame->seen |= UINT64_C(1) << field;
  set_field(L, c, frame, parent, field);
}

/* Adds the token on top, a string, to the parent's list `operators`: a < b not in c has two. */
static void add_operator(lua_State *L, Frame *frame, int parent) {
  if (lua_getfield(L, parent, "operators") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, parent, "operators");
    frame->records++;
  }
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* An unnamed child matters only where it fills a field, as operators do, or parts a slice. */
static void store_token(lua_State *L, const Conversion *c, Frame *frame, TSNode node,
                        TSFieldId field) {
  int parent = lua_gettop(L);
  TSSymbol symbol = ts_node_symbol(node);
  if (frame->tokens) {
    lua_createtable(L, 0, 1);
    lua_rawgeti(L, c->names, symbol);
    lua_setfield(L, -2, "type");
    lua_rawseti(L, parent, ++frame->n);
  }
  if (frame->symbol == c->language->slice) {
    uint32_t from = ts_node_start_byte(node);
    if (from < c->tree->length && c->tree->source[from] == ':') frame->colons++;
  }
  if (!field || (frame->seen & (UINT64_C(1) << field))) return;
  lua_rawgeti(L, c->names, symbol);
  lua_rawgeti(L, c->fields, field);
  bool list = strcmp(lua_tostring(L, -1), "operators") == 0;
  lua_pop(L, 1);
  if (list)
    add_operator(L, frame, parent);
  else
    set_field(L, c, frame, parent, field);
  lua_settop(L, parent);
}

/* Takes in the node under the cursor. Its table is on top afterwards when its children are due. */
static bool visit(lua_State *L, Conversion *c, Frame *frame, TSNode node) {
  if (is_trivia(node)) return false;
  TSFieldId field = ts_tree_cursor_current_field_id(&c->walk->cursor);
  if (!ts_node_is_named(node)) {
    store_token(L, c, frame, node, field);
    return false;
  }
  bool descend = push_table(L, c, node, ts_node_symbol(node));
  attach(L, c, frame, field);
  if (!descend) lua_pop(L, 1);
  return descend;
}

/* Remembers how large the table came out, so that the next of its kind is made large enough. */
static void finish_frame(Conversion *c, const Frame *frame) {
  if (frame->symbol >= MAX_SYMBOLS) return;
  uint8_t *records = &c->language->records[frame->symbol];
  if (frame->records > *records) *records = frame->records;
}

/* Fills the table on top from the node that the cursor starts at. Returns the line of the node that
 * is nested too deep, or 0: then the table is on top again, with all that it holds. */
static uint32_t fill_table(lua_State *L, Conversion *c) {
  Walk *walk = c->walk;
  TSTreeCursor *cursor = &walk->cursor;
  size_t depth = 0;
  uint32_t visited = 0;
  TSNode node = ts_tree_cursor_current_node(cursor);
  if (!push_frame(L, c, depth, ts_node_symbol(node)))
    return ts_node_start_point(node).row + c->line;
  if (!ts_tree_cursor_goto_first_child(cursor)) return 0;
  for (;;) {
    if (++visited % POLL_NODES == 0 && hone_is_interrupted()) raise_interrupted(L);
    node = ts_tree_cursor_current_node(cursor);
    if (visit(L, c, &walk->frames[depth], node)) {
      if (!push_frame(L, c, ++depth, ts_node_symbol(node)))
        return ts_node_start_point(node).row + c->line;
      ts_tree_cursor_goto_first_child(cursor);
      continue;
    }
    while (!ts_tree_cursor_goto_next_sibling(cursor)) {
      finish_frame(c, &walk->frames[depth]);
      if (depth-- == 0) return 0;
      ts_tree_cursor_goto_parent(cursor);
      lua_pop(L, 1);
    }
  }
}

/* Pushes what a conversion needs: the language's tables, and itself, on the stack of its own. */
static Conversion *push_conversion(lua_State *L, const Tree *tree, int opts, TSNode node) {
  lua_getiuservalue(L, 1, TREE_LANGUAGE);
  Language *language = lua_touserdata(L, -1);
  int at = lua_gettop(L);
  for (int i = NAMES; i <= SYMBOLS; i++) lua_getiuservalue(L, at, i);
  Conversion *c = lua_newuserdatauv(L, sizeof *c + language->symbols, 0);
  memset(c, 0, sizeof *c + language->symbols);
  c->tree = tree;
  c->language = language;
  c->names = at + NAMES;
  c->fields = at + FIELDS;
  c->symbols = at + SYMBOLS;
  c->line = 1;
  c->max_depth = DEFAULT_DEPTH;
  read_options(L, c, opts);
  c->walk = push_walk(L, node);
  return c;
}

static int finish_conversion(lua_State *L, Conversion *c, int table) {
  uint32_t too_deep = fill_table(L, c);
  close_walk(c->walk);
  if (!too_deep) {
    lua_settop(L, table);
    return 1;
  }
  lua_pushnil(L);
  lua_pushfstring(L, "cannot convert the source: line %d is nested more than %d levels deep",
                  (int)too_deep, (int)c->max_depth);
  lua_pushliteral(L, "too_deep");
  return 3;
}

/* tree:to_table(node?, opts?) -> table | nil, message, code */
static int tree_to_table(lua_State *L) {
  Tree *tree = check_tree(L, 1);
  TSNode node = ts_tree_root_node(tree->tree);
  if (!lua_isnoneornil(L, 2)) {
    node = check_node(L, 2);
    luaL_argcheck(L, tree_of(L, 2) == tree, 2, "node of another tree");
  }
  lua_settop(L, 3);
  Conversion *c = push_conversion(L, tree, 3, node);
  TSSymbol symbol = ts_node_symbol(node);
  uint8_t flags = flags_of(c, symbol);
  if (flags & LAZY) c->flags[symbol] &= (uint8_t)~LAZY; /* it was asked for */
  push_table(L, c, node, symbol);
  if (flags & LAZY) c->flags[symbol] = flags;
  return finish_conversion(L, c, lua_gettop(L));
}

static lua_Integer stub_field(lua_State *L, int stub, const char *key) {
  int is_integer;
  lua_getfield(L, stub, key);
  lua_Integer value = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer) luaL_argerror(L, stub, "not a lazy node of to_table");
  lua_pop(L, 1);
  return value;
}

/* Moves the cursor down to the node of this symbol that spans exactly [from, to). */
static bool seek(TSTreeCursor *cursor, uint32_t from, uint32_t to, const char *type) {
  do {
    TSNode node = ts_tree_cursor_current_node(cursor);
    if (ts_node_start_byte(node) == from && ts_node_end_byte(node) == to &&
        strcmp(ts_node_type(node), type) == 0)
      return true;
  } while (ts_tree_cursor_goto_first_child_for_byte(cursor, from) >= 0);
  return false;
}

/* tree:expand(stub, opts?) -> stub, its children filled in | nil, message, code */
static int tree_expand(lua_State *L) {
  Tree *tree = check_tree(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  bool lazy = lua_getfield(L, 2, "lazy") == LUA_TBOOLEAN && lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (!lazy) {
    lua_settop(L, 2);
    return 1;
  }
  lua_Integer from = stub_field(L, 2, "from") - 1, to = stub_field(L, 2, "to");
  lua_getfield(L, 2, "type");
  const char *type = luaL_checkstring(L, -1);
  Conversion *c = push_conversion(L, tree, 3, ts_tree_root_node(tree->tree));
  if (from < 0 || to > (lua_Integer)tree->length ||
      !seek(&c->walk->cursor, (uint32_t)from, (uint32_t)to, type))
    return luaL_argerror(L, 2, "not a lazy node of this tree");
  TSNode node = ts_tree_cursor_current_node(&c->walk->cursor);
  ts_tree_cursor_reset(&c->walk->cursor, node);
  lua_pushvalue(L, 2);
  int results = finish_conversion(L, c, lua_gettop(L));
  if (results == 1) {
    lua_pushnil(L);
    lua_setfield(L, -2, "lazy");
  }
  return results;
}

/* ---- errors ---- */

enum { EXCERPT = 40 }; /* bytes of an unexpected text that are shown */

/* Pushes "missing ')'" or "unexpected 'text'". */
static void push_complaint(lua_State *L, const Tree *tree, TSNode node) {
  if (ts_node_is_missing(node)) {
    lua_pushfstring(L, "missing '%s'", ts_node_type(node));
    return;
  }
  uint32_t from = ts_node_start_byte(node), to = ts_node_end_byte(node);
  size_t length = 0;
  while (from + length < to && length < EXCERPT &&
         (unsigned char)tree->source[from + length] >= ' ')
    length++;
  while (length > 0 && ((unsigned char)tree->source[from + length - 1] & 0xC0) == 0x80 &&
         from + length < to)
    length--; /* not half of a UTF-8 sequence */
  lua_pushlstring(L, tree->source + from, length);
  lua_pushfstring(L, "unexpected '%s'%s", lua_tostring(L, -1), from + length < to ? "..." : "");
  lua_remove(L, -2);
}

/* Appends { row, col, message, missing, node } for `node` to the list on top. */
static void add_error(lua_State *L, int tree, TSNode node) {
  TSPoint start = ts_node_start_point(node);
  lua_createtable(L, 0, 5);
  set_integer(L, "row", (lua_Integer)start.row + 1);
  set_integer(L, "col", (lua_Integer)start.column + 1);
  push_complaint(L, lua_touserdata(L, tree), node);
  lua_setfield(L, -2, "message");
  lua_pushboolean(L, ts_node_is_missing(node));
  lua_setfield(L, -2, "missing");
  push_node(L, node, tree);
  lua_setfield(L, -2, "node");
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* tree:errors(limit?) -> list of { row, col, message, missing, node }, in the order of the source
 */
static int tree_errors(lua_State *L) {
  Tree *tree = check_tree(L, 1);
  lua_Integer limit = luaL_optinteger(L, 2, 100);
  lua_settop(L, 1);
  Walk *walk = push_walk(L, ts_tree_root_node(tree->tree));
  TSTreeCursor *cursor = &walk->cursor;
  lua_newtable(L);
  bool walking = true;
  while (walking && (lua_Integer)lua_rawlen(L, -1) < limit) {
    TSNode node = ts_tree_cursor_current_node(cursor);
    bool found = ts_node_is_missing(node) || ts_node_symbol(node) == ERROR_SYMBOL;
    if (found) add_error(L, 1, node);
    if (!found && ts_node_has_error(node) && ts_tree_cursor_goto_first_child(cursor)) continue;
    while (walking && !ts_tree_cursor_goto_next_sibling(cursor))
      walking = ts_tree_cursor_goto_parent(cursor);
  }
  close_walk(walk);
  return 1;
}

/* ---- nodes ---- */

/* node:type() -> string */
static int node_type(lua_State *L) {
  lua_pushstring(L, ts_node_type(check_node(L, 1)));
  return 1;
}

/* node:text() -> string */
static int node_text(lua_State *L) {
  TSNode node = check_node(L, 1);
  push_text(L, tree_of(L, 1), node);
  return 1;
}

static int push_point(lua_State *L, TSPoint point) {
  lua_pushinteger(L, (lua_Integer)point.row + 1);
  lua_pushinteger(L, (lua_Integer)point.column + 1);
  return 2;
}

/* node:start() -> row, col */
static int node_start(lua_State *L) {
  return push_point(L, ts_node_start_point(check_node(L, 1)));
}

/* node:finish() -> row, col of the first byte behind it */
static int node_finish(lua_State *L) {
  return push_point(L, ts_node_end_point(check_node(L, 1)));
}

/* node:range() -> first byte, last byte */
static int node_range(lua_State *L) {
  TSNode node = check_node(L, 1);
  lua_pushinteger(L, (lua_Integer)ts_node_start_byte(node) + 1);
  lua_pushinteger(L, ts_node_end_byte(node));
  return 2;
}

static int push_children(lua_State *L, bool named_only, TSFieldId field) {
  Walk *walk = push_walk(L, check_node(L, 1));
  TSTreeCursor *cursor = &walk->cursor;
  lua_getiuservalue(L, 1, 1);
  int tree = lua_gettop(L);
  lua_newtable(L);
  lua_Integer n = 0;
  for (bool more = ts_tree_cursor_goto_first_child(cursor); more;
       more = ts_tree_cursor_goto_next_sibling(cursor)) {
    TSNode child = ts_tree_cursor_current_node(cursor);
    if (named_only && !ts_node_is_named(child)) continue;
    if (field && ts_tree_cursor_current_field_id(cursor) != field) continue;
    push_node(L, child, tree);
    lua_rawseti(L, -2, ++n);
  }
  close_walk(walk);
  return 1;
}

/* node:children() -> list of Node */
static int node_children(lua_State *L) {
  return push_children(L, false, 0);
}

/* node:named_children() -> list of Node */
static int node_named_children(lua_State *L) {
  return push_children(L, true, 0);
}

static TSFieldId check_field(lua_State *L, TSNode node, int arg) {
  size_t length;
  const char *name = luaL_checklstring(L, arg, &length);
  return ts_language_field_id_for_name(ts_node_language(node), name, (uint32_t)length);
}

/* node:child_by_field(name) -> Node | nil */
static int node_child_by_field(lua_State *L) {
  TSNode node = check_node(L, 1);
  TSFieldId field = check_field(L, node, 2);
  lua_getiuservalue(L, 1, 1);
  push_node(L, ts_node_child_by_field_id(node, field), -1);
  return 1;
}

/* node:children_by_field(name) -> list of Node */
static int node_children_by_field(lua_State *L) {
  TSFieldId field = check_field(L, check_node(L, 1), 2);
  if (field) return push_children(L, false, field);
  lua_newtable(L);
  return 1;
}

/* node:parent() -> Node | nil for the root */
static int node_parent(lua_State *L) {
  TSNode node = check_node(L, 1);
  lua_getiuservalue(L, 1, 1);
  push_node(L, ts_node_parent(node), -1);
  return 1;
}

/* node:tree() -> Tree */
static int node_tree(lua_State *L) {
  check_node(L, 1);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/* node:is_named() -> boolean */
static int node_is_named(lua_State *L) {
  lua_pushboolean(L, ts_node_is_named(check_node(L, 1)));
  return 1;
}

/* node:is_error() -> boolean */
static int node_is_error(lua_State *L) {
  lua_pushboolean(L, ts_node_symbol(check_node(L, 1)) == ERROR_SYMBOL);
  return 1;
}

/* node:is_missing() -> boolean */
static int node_is_missing(lua_State *L) {
  lua_pushboolean(L, ts_node_is_missing(check_node(L, 1)));
  return 1;
}

/* node:has_error() -> boolean */
static int node_has_error(lua_State *L) {
  lua_pushboolean(L, ts_node_has_error(check_node(L, 1)));
  return 1;
}

static int node_eq(lua_State *L) {
  const Node *a = luaL_testudata(L, 1, NODE), *b = luaL_testudata(L, 2, NODE);
  lua_pushboolean(L, a && b && ts_node_eq(a->node, b->node));
  return 1;
}

static int node_tostring(lua_State *L) {
  const Node *box = luaL_checkudata(L, 1, NODE);
  if (!tree_of(L, 1)->tree) {
    lua_pushliteral(L, "node of a closed tree");
    return 1;
  }
  TSPoint start = ts_node_start_point(box->node);
  lua_pushfstring(L, "node: %s at %d:%d", ts_node_type(box->node), (int)start.row + 1,
                  (int)start.column + 1);
  return 1;
}

/* ---- queries ---- */

typedef struct {
  TSQuery *query;
  TSQueryCursor *cursor;
} Query; /* user values: the Tree */

static int query_gc(lua_State *L) {
  Query *query = luaL_checkudata(L, 1, QUERY);
  if (query->cursor) ts_query_cursor_delete(query->cursor);
  if (query->query) ts_query_delete(query->query);
  *query = (Query){0};
  return 0;
}

/* tree-sitter reads a query by recursion: text that is nested deeper than this is refused. */
static bool too_nested(const char *text, size_t length) {
  int depth = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '(' || text[i] == '[') depth++;
    if (text[i] == ')' || text[i] == ']') depth--;
    if (depth > MAX_QUERY_DEPTH) return true;
  }
  return false;
}

static int refuse_query(lua_State *L, const char *why, uint32_t offset) {
  lua_pushnil(L);
  lua_pushfstring(L, "bad query: %s at byte %d", why, (int)offset + 1);
  lua_pushinteger(L, (lua_Integer)offset + 1);
  return 3;
}

/* Pushes the predicates of one pattern: lists whose items are strings or { capture = name }. */
static void push_predicates(lua_State *L, const TSQuery *query, uint32_t pattern) {
  uint32_t n;
  const TSQueryPredicateStep *steps = ts_query_predicates_for_pattern(query, pattern, &n);
  lua_newtable(L);
  lua_newtable(L);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t length;
    if (steps[i].type == TSQueryPredicateStepTypeDone) {
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
      lua_newtable(L);
      continue;
    }
    if (steps[i].type == TSQueryPredicateStepTypeString) {
      const char *value = ts_query_string_value_for_id(query, steps[i].value_id, &length);
      lua_pushlstring(L, value, length);
    } else {
      const char *value = ts_query_capture_name_for_id(query, steps[i].value_id, &length);
      lua_createtable(L, 0, 1);
      lua_pushlstring(L, value, length);
      lua_setfield(L, -2, "capture");
    }
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  lua_pop(L, 1);
}

/* matches(tree, text, node?) -> Query, predicates by pattern | nil, message, offset */
static int syntax_matches(lua_State *L) {
  static const char *const reasons[] = {"no error",        "syntax error",    "unknown node type",
                                        "unknown field",   "unknown capture", "impossible pattern",
                                        "another language"};
  Tree *tree = check_tree(L, 1);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  TSNode start = ts_tree_root_node(tree->tree);
  if (!lua_isnoneornil(L, 3)) {
    start = check_node(L, 3);
    luaL_argcheck(L, tree_of(L, 3) == tree, 3, "node of another tree");
  }
  if (length > INT32_MAX || too_nested(text, length)) return refuse_query(L, "nested too deep", 0);
  Query *query = lua_newuserdatauv(L, sizeof *query, 1);
  *query = (Query){0};
  luaL_setmetatable(L, QUERY);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  uint32_t offset;
  TSQueryError error;
  query->query = ts_query_new(ts_node_language(start), text, (uint32_t)length, &offset, &error);
  if (!query->query) return refuse_query(L, reasons[error], offset);
  query->cursor = ts_query_cursor_new();
  ts_query_cursor_exec(query->cursor, query->query, start);
  lua_newtable(L);
  for (uint32_t i = 0; i < ts_query_pattern_count(query->query); i++) {
    push_predicates(L, query->query, i);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 2;
}

/* Adds one captured node to the table on top: alone, or to a list where the pattern repeats it. */
static void add_capture(lua_State *L, const TSQuery *query, uint32_t pattern,
                        TSQueryCapture capture, int tree) {
  uint32_t length;
  const char *name = ts_query_capture_name_for_id(query, capture.index, &length);
  TSQuantifier quantifier = ts_query_capture_quantifier_for_id(query, pattern, capture.index);
  bool list = quantifier == TSQuantifierZeroOrMore || quantifier == TSQuantifierOneOrMore;
  lua_pushlstring(L, name, length);
  if (!list) {
    push_node(L, capture.node, tree);
    lua_rawset(L, -3);
    return;
  }
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
  push_node(L, capture.node, tree);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 2);
}

/* query:next() -> captures, pattern | nil */
static int query_next(lua_State *L) {
  Query *query = luaL_checkudata(L, 1, QUERY);
  lua_getiuservalue(L, 1, 1);
  int tree = lua_gettop(L);
  TSQueryMatch match;
  check_tree(L, tree);
  if (!ts_query_cursor_next_match(query->cursor, &match)) return 0;
  lua_createtable(L, 0, match.capture_count);
  for (uint16_t i = 0; i < match.capture_count; i++)
    add_capture(L, query->query, match.pattern_index, match.captures[i], tree);
  lua_pushinteger(L, (lua_Integer)match.pattern_index + 1);
  return 2;
}

/* ---- regular expressions, for #match? ---- */

typedef struct {
  regex_t regex;
  bool compiled;
} Regex;

static int regex_gc(lua_State *L) {
  Regex *box = luaL_checkudata(L, 1, REGEX);
  if (box->compiled) regfree(&box->regex);
  box->compiled = false;
  return 0;
}

/* regex(pattern) -> Regex | nil, message: POSIX extended syntax */
static int syntax_regex(lua_State *L) {
  const char *pattern = luaL_checkstring(L, 1);
  Regex *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->compiled = false;
  luaL_setmetatable(L, REGEX);
  int error = regcomp(&box->regex, pattern, REG_EXTENDED | REG_NOSUB);
  box->compiled = error == 0;
  if (!error) return 1;
  char why[128];
  regerror(error, &box->regex, why, sizeof why);
  lua_pushnil(L);
  lua_pushfstring(L, "bad regular expression '%s': %s", pattern, why);
  return 2;
}

/* regex:matches(text) -> boolean */
static int regex_matches(lua_State *L) {
  Regex *box = luaL_checkudata(L, 1, REGEX);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  regmatch_t span = {.rm_so = 0, .rm_eo = (regoff_t)length};
  lua_pushboolean(L, regexec(&box->regex, text, 1, &span, REG_STARTEND) == 0);
  return 1;
}

/* ---- the library ---- */

static const luaL_Reg tree_methods[] = {{"root", tree_root},
                                        {"source", tree_source},
                                        {"to_table", tree_to_table},
                                        {"expand", tree_expand},
                                        {"errors", tree_errors},
                                        {"close", tree_close},
                                        {NULL, NULL}};
static const luaL_Reg node_methods[] = {{"type", node_type},
                                        {"text", node_text},
                                        {"start", node_start},
                                        {"finish", node_finish},
                                        {"range", node_range},
                                        {"children", node_children},
                                        {"named_children", node_named_children},
                                        {"child_by_field", node_child_by_field},
                                        {"children_by_field", node_children_by_field},
                                        {"parent", node_parent},
                                        {"tree", node_tree},
                                        {"is_named", node_is_named},
                                        {"is_error", node_is_error},
                                        {"is_missing", node_is_missing},
                                        {"has_error", node_has_error},
                                        {NULL, NULL}};
static const luaL_Reg query_methods[] = {{"next", query_next}, {NULL, NULL}};
static const luaL_Reg regex_methods[] = {{"matches", regex_matches}, {NULL, NULL}};
static const luaL_Reg no_methods[] = {{NULL, NULL}};

static const luaL_Reg tree_meta[] = {{"__gc", tree_close}, {"__close", tree_close}, {NULL, NULL}};
static const luaL_Reg node_meta[] = {
    {"__eq", node_eq}, {"__tostring", node_tostring}, {NULL, NULL}};
static const luaL_Reg query_meta[] = {{"__gc", query_gc}, {NULL, NULL}};
static const luaL_Reg regex_meta[] = {{"__gc", regex_gc}, {NULL, NULL}};
static const luaL_Reg parser_meta[] = {{"__gc", parser_gc}, {NULL, NULL}};
static const luaL_Reg walk_meta[] = {{"__gc", walk_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"load", syntax_load}, {"matches", syntax_matches}, {"regex", syntax_regex}, {NULL, NULL}};

/* Makes a metatable; leaves the table of its methods on the stack. */
static void push_class(lua_State *L, const char *name, const luaL_Reg *meta,
                       const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}

__attribute__((visibility("default"))) int luaopen_hone_core_syntax(lua_State *L) {
  luaL_newlib(L, functions);
  push_class(L, LANGUAGE, no_methods, no_methods);
  push_class(L, PARSER, parser_meta, no_methods);
  push_class(L, WALK, walk_meta, no_methods);
  push_class(L, QUERY, query_meta, query_methods);
  push_class(L, REGEX, regex_meta, regex_methods);
  push_class(L, NODE, node_meta, node_methods);
  lua_pop(L, 6);
  push_class(L, TREE, tree_meta, tree_methods);
  lua_setfield(L, -2, "tree_methods");
  Parser *parser = lua_newuserdatauv(L, sizeof *parser, 0);
  parser->parser = NULL;
  luaL_setmetatable(L, PARSER);
  lua_pushcclosure(L, syntax_parse, 1);
  lua_setfield(L, -2, "parse");
  return 1;
}
