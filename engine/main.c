/* main.c -- the command line: a script, a skill, -e, or the REPL. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#define INIT_VAR "LUA_INIT"
#define IGNORE_MARK "-" /* in "mod-v2", the file to load; the global is "mod" */

enum { EXIT_USAGE = 2 };

typedef struct {
  int argc;
  char **argv;
  int target;       /* index of the script or skill; argc: there is none */
  int options_end;  /* index behind the last option */
  bool interactive; /* -i */
  bool version;     /* -v or -i */
  bool execute;     /* -e */
  bool ignore_env;  /* -E */
} Command;

static const char usage[] = "usage: hone [options] [script | skill [arguments]]\n"
                            "\n"
                            "  hone SCRIPT [arguments]   run a Lua script, as lua does\n"
                            "  hone SKILL [--flags]      run a skill; `hone skills` lists them, "
                            "`hone SKILL --help` tells more\n"
                            "  hone                      talk to Lua; help() tells what there is\n"
                            "\n"
                            "options, as lua has them:\n"
                            "  -e CODE        run CODE\n"
                            "  -i             talk to Lua afterwards\n"
                            "  -l NAME        load a module into the global of its name\n"
                            "  -l G=NAME      load a module into the global G\n"
                            "  -v, --version  print the version\n"
                            "  -E             take no notice of LUA_INIT, LUA_PATH and LUA_CPATH\n"
                            "  -W             show warnings\n"
                            "  --             the options end here\n"
                            "  -              run standard input; the options end here\n"
                            "  --help         show this text\n"
                            "\n"
                            "environment: HONE_HOME, the folder that holds scripts/ and skills/\n";

static void print_version(void) {
  puts("hone " HONE_VERSION " (" LUA_RELEASE ")");
}

static int refuse(const char *format, const char *what) {
  fprintf(stderr, "hone: ");
  fprintf(stderr, format, what);
  fprintf(stderr, "\nusage: hone [options] [script | skill [arguments]] (--help tells more)\n");
  return EXIT_USAGE;
}

/* ---- options ------------------------------------------------------------------------------- */

/* The value of option i, -eVALUE or -e VALUE; *i moves to the value. NULL: there is none. */
static const char *option_value(const Command *c, int *i) {
  const char *attached = c->argv[*i] + 2;
  if (*attached) return attached;
  if (*i + 1 >= c->argc || c->argv[*i + 1][0] == '-') return NULL;
  return c->argv[++*i];
}

/* Returns 0, or the status to exit with when an option is wrong. */
static int parse_options(Command *c) {
  int i = 1;
  for (; i < c->argc; i++) {
    const char *option = c->argv[i];
    if (option[0] != '-' || option[1] == 0) break;
    if (strcmp(option, "--") == 0) {
      c->options_end = i++;
      c->target = i;
      return 0;
    }
    if (strchr("el", option[1])) {
      if (!option_value(c, &i)) return refuse("option '%s' needs an argument", option);
      c->execute |= option[1] == 'e';
      continue;
    }
    if (option[2] || !strchr("ivEW", option[1])) return refuse("unknown option '%s'", option);
    c->interactive |= option[1] == 'i';
    c->version |= option[1] == 'i' || option[1] == 'v';
    c->ignore_env |= option[1] == 'E';
  }
  c->target = c->options_end = i;
  return 0;
}

/* ---- running ------------------------------------------------------------------------------- */

/* The functions below return 0 or the exit status, the error being printed. */

static int run_chunk(lua_State *L, int load_status) {
  if (load_status != LUA_OK || host_call(L, 0, 0) != LUA_OK) return host_report(L);
  return 0;
}

static int run_string(lua_State *L, const char *code, const char *name) {
  return run_chunk(L, luaL_loadbuffer(L, code, strlen(code), name));
}

/* LUA_INIT holds code, or '@' and the name of a file. */
static int run_init(lua_State *L) {
  const char *name = "=" INIT_VAR LUA_VERSUFFIX;
  const char *init = getenv(name + 1);
  if (!init) {
    name = "=" INIT_VAR;
    init = getenv(name + 1);
  }
  if (!init) return 0;
  return *init == '@' ? run_chunk(L, luaL_loadfile(L, init + 1)) : run_string(L, init, name);
}

/* -l mod, or -l g=mod */
static int run_require(lua_State *L, const char *argument) {
  const char *equals = strchr(argument, '=');
  const char *module = equals ? equals + 1 : argument;
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  if (host_call(L, 1, 1) != LUA_OK) return host_report(L);
  const char *mark = equals ? equals : strstr(module, IGNORE_MARK);
  lua_pushlstring(L, argument, mark ? (size_t)(mark - argument) : strlen(argument));
  lua_insert(L, -2);
  lua_pushglobaltable(L);
  lua_rotate(L, -3, 1); /* [globals, name, module] */
  lua_settable(L, -3);
  lua_pop(L, 1);
  return 0;
}

static int run_options(lua_State *L, const Command *c) {
  int status = 0;
  for (int i = 1; i < c->options_end && !status; i++) {
    char option = c->argv[i][1];
    if (option == 'e')
      status = run_string(L, option_value(c, &i), "=(command line)");
    else if (option == 'l')
      status = run_require(L, option_value(c, &i));
    else if (option == 'W')
      lua_warning(L, "@on", 0);
  }
  return status;
}

/* The global arg: the target at 0, its arguments behind it, what came before at negative indices.
 * Without a target the interpreter's name is at 0. */
static void set_arg(lua_State *L, const Command *c) {
  int zero = c->target < c->argc ? c->target : 0;
  lua_createtable(L, c->argc - zero, zero + 1);
  for (int i = 0; i < c->argc; i++) {
    lua_pushstring(L, c->argv[i]);
    lua_rawseti(L, -2, i - zero);
  }
  lua_setglobal(L, "arg");
}

static int run_script(lua_State *L, const Command *c, const char *name) {
  bool is_stdin = strcmp(name, "-") == 0 && strcmp(c->argv[c->target - 1], "--") != 0;
  if (luaL_loadfile(L, is_stdin ? NULL : name) != LUA_OK) return host_report(L);
  int args = c->argc - c->target - 1;
  luaL_checkstack(L, args + 3, "too many arguments to script");
  for (int i = 1; i <= args; i++) lua_pushstring(L, c->argv[c->target + i]);
  return host_call(L, args, 0) == LUA_OK ? 0 : host_report(L);
}

/* A skill, or a script whose name does not look like one. */
static int run_word(lua_State *L, const Command *c, const char *word) {
  if (!host_require(L, "hone.launch", "kind")) return host_report(L);
  lua_pushstring(L, word);
  if (host_call(L, 1, 2) != LUA_OK) return host_report(L);
  const char *kind = lua_tostring(L, -2); /* [kind, skill's name or message] */
  if (!kind) {
    fprintf(stderr, "hone: %s\n", lua_tostring(L, -1));
    return EXIT_USAGE;
  }
  if (strcmp(kind, "script") == 0) return run_script(L, c, word);
  if (!host_require(L, "hone.cli", "main")) return host_report(L);
  lua_pushvalue(L, -2);
  lua_getglobal(L, "arg");
  if (host_call(L, 2, 1) != LUA_OK) return host_report(L);
  return (int)lua_tointeger(L, -1);
}

/* Does the word say by itself that it is a script? "/name" may be a skill typed with a slash. */
static bool is_script_name(const char *word) {
  size_t n = strlen(word);
  if (strcmp(word, "-") == 0 || strchr(word + (word[0] == '/'), '/')) return true;
  if (n > 4 && strcmp(word + n - 4, ".lua") == 0) return true;
  return word[0] == '/' && access(word, F_OK) == 0;
}

static int run_target(lua_State *L, const Command *c) {
  const char *word = c->argv[c->target];
  return is_script_name(word) ? run_script(L, c, word) : run_word(L, c, word);
}

static int run_repl(lua_State *L) {
  if (!host_require(L, "hone.repl", "run") || host_call(L, 0, 1) != LUA_OK) return host_report(L);
  return (int)lua_tointeger(L, -1);
}

static int run(lua_State *L, const Command *c) {
  bool has_target = c->target < c->argc;
  bool bare = !has_target && !c->execute && !c->version;
  if (c->version || (bare && isatty(STDIN_FILENO))) print_version();
  set_arg(L, c);
  int status = c->ignore_env ? 0 : run_init(L);
  if (!status) status = run_options(L, c);
  if (!status && has_target) status = run_target(L, c);
  if (status) return status;
  if (c->interactive) return run_repl(L);
  if (!bare) return 0;
  return isatty(STDIN_FILENO) ? run_repl(L) : run_chunk(L, luaL_loadfile(L, NULL));
}

/* run, where running out of memory is an error and no abort. */
static int run_protected(lua_State *L) {
  const Command *c = lua_touserdata(L, 1);
  lua_pushinteger(L, run(L, c));
  return 1;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return print_version(), EXIT_SUCCESS;
  if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout), EXIT_SUCCESS;
  Command command = {.argc = argc, .argv = argv};
  int status = parse_options(&command);
  if (status) return status;
  lua_State *L = host_open(!command.ignore_env);
  if (!L) {
    fputs("hone: not enough memory to start\n", stderr);
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, run_protected);
  lua_pushlightuserdata(L, &command);
  status = host_call(L, 1, 1) == LUA_OK ? (int)lua_tointeger(L, -1) : host_report(L);
  return host_close(L, status);
}
