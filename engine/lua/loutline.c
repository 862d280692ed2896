/* loutline.c -- require "hone.core.outline": where the statements of a Python source are, what
 * names they bind, and the bodies of its functions, told by its lines alone: strings, brackets and
 * indents. */
#include "lua/fields.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const char *text;
  size_t at, end;
  uint32_t line;
  bool certain; /* false from the first place on that is not understood */
} Scan;

/* A line in Python's sense: as many of the text as its strings and brackets take. */
typedef struct {
  size_t start;  /* of its first line in the text, the indent included */
  size_t first;  /* its first character that is no blank */
  size_t finish; /* behind its last character, a comment left out */
  uint32_t line;
  uint32_t end_line; /* where it finishes */
} Logical;

static size_t indent_of(const Logical *l) {
  return l->first - l->start;
}

static bool give_up(Scan *s) {
  s->certain = false;
  return false;
}

/* Moves behind the string that starts with the quote at s->at. */
static bool skip_string(Scan *s) {
  const char quote = s->text[s->at];
  size_t left = s->end - s->at;
  bool is_long = left >= 3 && s->text[s->at + 1] == quote && s->text[s->at + 2] == quote;
  s->at += is_long ? 3 : 1;
  for (; s->at < s->end; s->at++) {
    char c = s->text[s->at];
    if (c == '\\' && s->at + 1 < s->end) {
      c = s->text[++s->at];
      if (c == '\n') s->line++;
      if (c == '\r') return give_up(s);
    } else if (c == '\n') {
      if (!is_long) return give_up(s);
      s->line++;
    } else if (c == quote) {
      if (!is_long) {
        s->at++;
        return true;
      }
      if (s->end - s->at >= 3 && s->text[s->at + 1] == quote && s->text[s->at + 2] == quote) {
        s->at += 3;
        return true;
      }
    }
  }
  return give_up(s);
}

static void skip_comment(Scan *s) {
  const char *end = memchr(s->text + s->at, '\n', s->end - s->at);
  s->at = end ? (size_t)(end - s->text) : s->end;
}

/* Moves to the next line's first character that is no blank; false at the end of the text. */
static bool find_start(Scan *s, Logical *l) {
  while (s->at < s->end) {
    l->start = s->at;
    while (s->at < s->end && s->text[s->at] == ' ') s->at++;
    if (s->at == s->end) return false;
    char c = s->text[s->at];
    if (c == '#') skip_comment(s);
    if (s->at == s->end) return false;
    c = s->text[s->at];
    if (c == '\t' || c == '\f' || c == '\r') return give_up(s);
    if (c != '\n') {
      l->first = s->at;
      l->line = s->line;
      return true;
    }
    s->at++;
    s->line++;
  }
  return false;
}

/* Characters that end or carry a line; all others are part of it. */
static bool is_plain(unsigned char c) {
  static const bool special[256] = {
      ['\''] = true, ['"'] = true,  ['#'] = true, ['('] = true, [')'] = true,
      ['['] = true,  [']'] = true,  ['{'] = true, ['}'] = true, ['\\'] = true,
      ['\n'] = true, ['\r'] = true, [' '] = true};
  return !special[c];
}

/* The next line that says something; false when there is none, or the text is not understood. */
static bool next_line(Scan *s, Logical *l) {
  if (!find_start(s, l)) return false;
  uint32_t depth = 0;
  l->finish = l->first;
  while (s->at < s->end) {
    char c = s->text[s->at];
    if (is_plain((unsigned char)c)) {
      l->finish = ++s->at;
      continue;
    }
    switch (c) {
    case '\'':
    case '"':
      if (!skip_string(s)) return false;
      l->finish = s->at;
      continue;
    case '#': skip_comment(s); continue;
    case '(':
    case '[':
    case '{': depth++; break;
    case ')':
    case ']':
    case '}':
      if (depth-- == 0) return give_up(s);
      break;
    case '\\': /* the line goes on */
      if (s->end - s->at < 2 || s->text[s->at + 1] != '\n') return give_up(s);
      s->line++;
      s->at++;
      break;
    case '\r': return give_up(s);
    case '\n':
      l->end_line = s->line++;
      s->at++;
      if (depth == 0) return true;
      continue;
    case ' ': s->at++; continue;
    }
    l->finish = ++s->at;
  }
  l->end_line = s->line;
  return depth == 0 ? true : give_up(s);
}

static bool is_name_char(char c) {
  return c == '_' || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9');
}

/* The position behind `word` and the blanks after it, when a line goes on with them; else 0. */
static size_t behind_word(const Scan *s, size_t at, size_t end, const char *word) {
  size_t n = strlen(word);
  if (end - at <= n || memcmp(s->text + at, word, n) != 0 || s->text[at + n] != ' ') return 0;
  at += n;
  while (at < end && s->text[at] == ' ') at++;
  return at;
}

static size_t behind_def(const Scan *s, const Logical *l) {
  size_t async = behind_word(s, l->first, l->finish, "async");
  return behind_word(s, async ? async : l->first, l->finish, "def");
}

static Scan check_scan(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length < INT32_MAX, 1, "text too long");
  return (Scan){.text = text, .end = length, .line = 1, .certain = true};
}

/* ---- names that a statement binds ---- */

static size_t name_end(const Scan *s, size_t at, size_t end) {
  while (at < end && is_name_char(s->text[at])) at++;
  return at;
}

/* Appends a name to the list on top. */
static void add_name(lua_State *L, const Scan *s, size_t from, size_t to) {
  lua_pushlstring(L, s->text + from, to - from);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* The position of the next word of an import, behind blanks, line ends, comments and parentheses.
 */
static size_t next_word(const Scan *s, size_t at, size_t end) {
  for (; at < end; at++) {
    switch (s->text[at]) {
    case ' ':
    case '\n':
    case '\\':
    case '(':
    case ')': break;
    case '#': {
      const char *line_end = memchr(s->text + at, '\n', end - at);
      if (!line_end) return end;
      at = (size_t)(line_end - s->text);
      break;
    }
    default: return at;
    }
  }
  return at;
}

static size_t dotted_end(const Scan *s, size_t at, size_t end) {
  while (at < end && (is_name_char(s->text[at]) || s->text[at] == '.')) at++;
  return at;
}

static bool is_word(const Scan *s, size_t from, size_t to, const char *word) {
  return to - from == strlen(word) && memcmp(s->text + from, word, to - from) == 0;
}

/* Adds the names of `a, b as c`: in an import of modules the first part of each. */
static bool add_imported(lua_State *L, const Scan *s, size_t at, size_t end, bool of_modules) {
  for (at = next_word(s, at, end); at < end; at = next_word(s, at, end)) {
    size_t from = at, to = dotted_end(s, from, end);
    if (to == from || s->text[from] == '.') return false;
    if (of_modules) to = name_end(s, from, end);
    at = next_word(s, dotted_end(s, from, end), end);
    size_t word = dotted_end(s, at, end);
    if (is_word(s, at, word, "as")) {
      from = next_word(s, word, end);
      to = name_end(s, from, end);
      at = next_word(s, to, end);
    }
    add_name(L, s, from, to);
    if (at == end) return true;
    if (s->text[at++] != ',') return false;
  }
  return true;
}

/* Adds the names that an import binds to the list on top; false for other lines. */
static bool add_import(lua_State *L, const Scan *s, const Logical *l) {
  size_t at = behind_word(s, l->first, l->finish, "import");
  if (at) return add_imported(L, s, at, l->finish, true);
  size_t module = behind_word(s, l->first, l->finish, "from");
  if (!module) return false;
  size_t to = dotted_end(s, module, l->finish);
  at = next_word(s, to, l->finish);
  size_t word = name_end(s, at, l->finish);
  if (to == module || !is_word(s, at, word, "import")) return false;
  if (is_word(s, module, to, "__future__")) return true; /* binds nothing */
  return add_imported(L, s, word, l->finish, false);
}

/* Moves to the next `=` outside of strings and brackets that does not compare; false where there is
 * none. The rest is not certain where a `;` or a `:=` comes before it. */
static bool find_equals(Scan *rest) {
  uint32_t depth = 0;
  while (rest->at < rest->end) {
    char c = rest->text[rest->at];
    char next = rest->at + 1 < rest->end ? rest->text[rest->at + 1] : '\0';
    if (c == '\'' || c == '"') {
      if (!skip_string(rest)) return false;
      continue;
    }
    if (c == '#') {
      skip_comment(rest);
      continue;
    }
    if (c == '(' || c == '[' || c == '{') depth++;
    if (c == ')' || c == ']' || c == '}') depth--;
    if (c == ';' || (c == ':' && next == '=')) return give_up(rest);
    bool compares = next == '=' && (c == '=' || c == '!' || c == '<' || c == '>');
    if (c == '=' && depth == 0 && !compares) return true;
    rest->at += compares ? 2 : 1;
  }
  return false;
}

/* The rest of a line that starts as `name =` or `name:` does, and where the name ends; false for
 * other lines. */
static bool find_target(const Scan *s, const Logical *l, size_t *to, Scan *rest) {
  size_t at = *to = name_end(s, l->first, l->finish);
  while (at < l->finish && s->text[at] == ' ') at++;
  *rest = (Scan){.text = s->text, .at = at, .end = l->finish, .certain = true};
  return *to > l->first && at < l->finish && (s->text[at] == '=' || s->text[at] == ':');
}

/* Adds the name of `name = value` or `name: annotation` where nothing else is bound; false for
 * other lines. */
static bool add_assigned(lua_State *L, const Scan *s, const Logical *l) {
  size_t to;
  Scan rest;
  if (!find_target(s, l, &to, &rest)) return false;
  if (is_word(s, l->first, to, "try") || is_word(s, l->first, to, "lambda")) return false;
  bool has_value = find_equals(&rest);
  rest.at++;
  if ((has_value && find_equals(&rest)) || !rest.certain) return false;
  add_name(L, s, l->first, to);
  return true;
}

/* Whether a line is a string and nothing else, as documentation is. */
static bool is_string(const Scan *s, const Logical *l) {
  Scan rest = {.text = s->text, .at = l->first, .end = l->finish, .certain = true};
  char c = s->text[l->first];
  return (c == '"' || c == '\'') && skip_string(&rest) && rest.at == rest.end;
}

/* ---- the library ---- */

/* Pushes the names that a statement binds, as far as it starts in this line; nil where it takes a
 * syntax tree to tell. */
static void push_names(lua_State *L, const Scan *s, const Logical *l) {
  lua_newtable(L);
  size_t name = behind_def(s, l);
  if (!name) name = behind_word(s, l->first, l->finish, "class");
  if (name) {
    add_name(L, s, name, name_end(s, name, l->finish));
  } else if (!is_string(s, l) && !add_import(L, s, l) && !add_assigned(L, s, l)) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
}

/* Whether a line goes on with the statement before it, as else does. */
static bool is_clause(const Scan *s, const Logical *l) {
  static const char *const clauses[] = {"else", "elif", "except", "finally"};
  size_t to = name_end(s, l->first, l->finish);
  for (size_t i = 0; i < sizeof clauses / sizeof *clauses; i++)
    if (is_word(s, l->first, to, clauses[i])) return true;
  return false;
}

/* Completes the table on top, now that its end is known, and appends it to the list below. */
static void finish_statement(lua_State *L, const Logical *first, size_t end) {
  set_integer(L, "line", first->line);
  set_integer(L, "from", (lua_Integer)first->start + 1);
  set_integer(L, "to", (lua_Integer)end);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* Pushes the table of a statement, which starts in this line behind its decorators. Whether it is a
 * function or class. */
static bool push_statement(lua_State *L, const Scan *s, const Logical *l) {
  bool is_definition = behind_def(s, l) || behind_word(s, l->first, l->finish, "class");
  lua_createtable(L, 0, 5);
  push_names(L, s, l);
  lua_setfield(L, -2, "names");
  lua_pushboolean(L, is_definition);
  lua_setfield(L, -2, "is_definition");
  return is_definition;
}

/* statements(text) -> list of { names, is_definition, line, from, to } | nil where that is not
 * certain: the statements at the top level, decorators included, without comments around them;
 * names are nil where it takes a syntax tree to tell them */
static int outline_statements(lua_State *L) {
  Scan s = check_scan(L);
  lua_settop(L, 1);
  lua_newtable(L);
  Logical l, first = {0};
  size_t end = 0;
  bool decorated = false;
  while (next_line(&s, &l)) {
    if (indent_of(&l) == 0 && !is_clause(&s, &l)) {
      if (lua_gettop(L) > 2) finish_statement(L, &first, end);
      if (!decorated) first = l;
      bool was_decorated = decorated;
      decorated = s.text[l.first] == '@';
      if (!decorated && !push_statement(L, &s, &l) && was_decorated) return 0;
    } else if (lua_gettop(L) == 2) {
      return 0; /* nothing that it could belong to */
    }
    end = l.finish;
  }
  if (!s.certain || decorated) return 0;
  if (lua_gettop(L) > 2) finish_statement(L, &first, end);
  return 1;
}

/* bodies(text, from, to, shortest) -> list of from, to, line, line of the def, lines after the
 * first, ... | nil where that is not certain: the outermost functions' bodies that have at least so
 * many bytes, from the start of their first line to the end of their last; lines count from 1 where
 * the piece starts */
static int outline_bodies(lua_State *L) {
  Scan s = check_scan(L);
  lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
  lua_Integer shortest = luaL_checkinteger(L, 4);
  luaL_argcheck(L, 1 <= from && from <= to + 1, 2, "out of range");
  luaL_argcheck(L, to <= (lua_Integer)s.end, 3, "out of range");
  s.at = (size_t)from - 1;
  s.end = (size_t)to;
  lua_newtable(L);
  Logical l;
  lua_Integer n = 0;
  bool more = next_line(&s, &l);
  while (more) {
    bool has_body = behind_def(&s, &l) && s.text[l.finish - 1] == ':';
    Logical def = l;
    more = next_line(&s, &l);
    if (!has_body) continue;
    if (!more || indent_of(&l) <= indent_of(&def)) return 0;
    Logical body = l, last = l;
    while (more && indent_of(&l) > indent_of(&def)) {
      last = l;
      more = next_line(&s, &l);
    }
    if ((lua_Integer)(last.finish - body.start) < shortest) continue;
    const lua_Integer values[] = {(lua_Integer)body.start + 1, (lua_Integer)last.finish, body.line,
                                  def.line, last.end_line - body.line};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
      lua_pushinteger(L, values[i]);
      lua_rawseti(L, -2, ++n);
    }
  }
  return s.certain ? 1 : 0;
}

/* Appends the name and the value's text to the list on top, where a line assigns. */
static void add_field(lua_State *L, const Scan *s, const Logical *l) {
  size_t to;
  Scan rest;
  if (!find_target(s, l, &to, &rest) || !find_equals(&rest)) return;
  size_t value = rest.at + 1;
  while (value < l->finish && s->text[value] == ' ') value++;
  add_name(L, s, l->first, to);
  add_name(L, s, value, l->finish);
}

/* fields(text) -> list of name, text of the value, ... | nil where that is not certain: what the
 * bodies of the classes at the top level assign to names of their own */
static int outline_fields(lua_State *L) {
  Scan s = check_scan(L);
  lua_settop(L, 1);
  lua_newtable(L);
  Logical l;
  size_t own = 0; /* indent of the class's own statements; 0 outside of classes */
  bool opens = false;
  while (next_line(&s, &l)) {
    if (indent_of(&l) == 0) {
      opens = behind_word(&s, l.first, l.finish, "class") && s.text[l.finish - 1] == ':';
      own = 0;
      continue;
    }
    if (opens) own = indent_of(&l);
    opens = false;
    if (own && indent_of(&l) == own) add_field(L, &s, &l);
  }
  return s.certain ? 1 : 0;
}

static const luaL_Reg functions[] = {{"statements", outline_statements},
                                     {"bodies", outline_bodies},
                                     {"fields", outline_fields},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_outline(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
