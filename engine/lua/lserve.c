/* lserve.c -- require "hone.core.serve": the worker's loop for solutions written in Lua.
 * scripts/hone/bench/lua_worker.lua has the hooks. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

#include "lua/fields.h"
#include "lua/gpu_state.h"
#include "worker/worker.h"

enum { HOOKS = 1 }; /* where the table of hooks lies on the stack */

/* Call hooks[name] with the n arguments on the stack's top; its results stay. A raised error
 * becomes nil, message. Returns 0 where the first result is true. */
static int call_hook(lua_State *L, const char *name, int arguments) {
  lua_getfield(L, HOOKS, name);
  lua_insert(L, -arguments - 1);
  if (lua_pcall(L, arguments, 3, 0) != LUA_OK) {
    const char *text = lua_tostring(L, -1);
    hone_worker_fail(WORKER_RUNTIME_ERROR, text ? text : "an error that is no text");
    return -1;
  }
  if (lua_toboolean(L, -3)) return 0;
  const char *text = lua_tostring(L, -2), *code = lua_tostring(L, -1);
  bool is_compile = code && strcmp(code, "COMPILE_ERROR") == 0;
  hone_worker_fail(is_compile ? WORKER_COMPILE_ERROR : WORKER_RUNTIME_ERROR,
                   text ? text : "no reason was given");
  return -1;
}

static int hook_load(void *context, const char *artefact) {
  lua_State *L = context;
  lua_pushstring(L, artefact);
  int failed = call_hook(L, "load", 1);
  lua_settop(L, HOOKS);
  return failed;
}

static void push_tensor(lua_State *L, const worker_tensor *t) {
  lua_createtable(L, t->rank, 0);
  for (int i = 0; i < t->rank; i++) {
    lua_pushinteger(L, t->shape[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "shape");
  lua_pushlightuserdata(L, t->data);
  lua_setfield(L, -2, "address");
  set_integer(L, "device", t->device.type == 2 ? t->device.id : -1);
}

static void push_value(lua_State *L, const worker_value *v) {
  lua_createtable(L, 0, 6);
  lua_pushboolean(L, v->is_output);
  lua_setfield(L, -2, "is_output");
  lua_pushstring(L, v->dtype);
  lua_setfield(L, -2, "dtype");
  if (v->kind == WORKER_TENSOR) push_tensor(L, &v->tensor);
  if (v->kind == WORKER_INTEGER) set_integer(L, "value", v->integer);
  if (v->kind == WORKER_FLOAT) set_number(L, "value", v->number);
  if (v->kind == WORKER_BOOL) {
    lua_pushboolean(L, v->integer != 0);
    lua_setfield(L, -2, "value");
  }
}

static int hook_prepare(void *context, int call, const worker_value *values, int inputs,
                        int outputs) {
  lua_State *L = context;
  lua_pushinteger(L, call);
  lua_createtable(L, inputs + outputs, 0);
  for (int i = 0; i < inputs + outputs; i++) {
    push_value(L, &values[i]);
    lua_rawseti(L, -2, i + 1);
  }
  int failed = call_hook(L, "prepare", 2);
  lua_settop(L, HOOKS);
  return failed;
}

/* {type=, dtype=, shape=, device=, address=} at the stack's top; its elements lie row by row. */
static void tell_of(lua_State *L, int call, int output, int of) {
  int64_t shape[16], strides[16], next = 1;
  int rank = -1;
  if (lua_getfield(L, -1, "shape") == LUA_TTABLE) {
    rank = (int)lua_rawlen(L, -1) < 16 ? (int)lua_rawlen(L, -1) : 16;
    for (int i = 0; i < rank; i++) {
      lua_rawgeti(L, -1, i + 1);
      shape[i] = lua_tointeger(L, -1);
      lua_pop(L, 1);
    }
  }
  for (int i = rank - 1; i >= 0; i--) {
    strides[i] = next;
    next *= shape[i];
  }
  lua_getfield(L, -2, "type");
  lua_getfield(L, -3, "dtype");
  lua_getfield(L, -4, "device");
  lua_getfield(L, -5, "address");
  hone_worker_take(call, output, of, luaL_optstring(L, -4, "nil"), lua_tostring(L, -3), rank, shape,
                   strides, lua_tointeger(L, -2) >= 0 ? 2 : 1, lua_touserdata(L, -1));
  lua_pop(L, 5);
}

static int hook_run(void *context, int call, void *stream) {
  (void)stream; /* the device's own, as all of hone's work */
  lua_State *L = context;
  lua_pushinteger(L, call);
  int failed = call_hook(L, "run", 1);
  if (!failed && lua_istable(L, HOOKS + 2)) {
    int n = (int)lua_rawlen(L, HOOKS + 2);
    for (int i = 0; i < n; i++) {
      lua_rawgeti(L, HOOKS + 2, i + 1);
      tell_of(L, call, i, n);
      lua_pop(L, 1);
    }
  }
  lua_settop(L, HOOKS);
  return failed;
}

static void hook_forget(void *context) {
  lua_State *L = context;
  call_hook(L, "forget", 0);
  lua_settop(L, HOOKS);
}

/* serve.serve(descriptor, hooks) -> exit status: hooks.load(artefact), prepare(call, values),
 * run(call) and forget() return true (run with a list of what was returned), or nil, message, code;
 * calls count from 0 */
static int serve(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_remove(L, 1);
  lua_settop(L, HOOKS);
  luaL_checkstack(L, 32, NULL);
  share_gpu_state(L);
  const worker_language language = {L, hook_load, hook_prepare, hook_run, NULL, hook_forget};
  lua_pushinteger(L, hone_worker_serve(fd, &language));
  return 1;
}

__attribute__((visibility("default"))) int luaopen_hone_core_serve(lua_State *L);
int luaopen_hone_core_serve(lua_State *L) {
  static const luaL_Reg functions[] = {{"serve", serve}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
