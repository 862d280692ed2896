/* ltensor_args.c -- what the functions of hone.core.tensor take and give back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lua/ltensor.h"

#define STEP_BYTES ((size_t)16 << 20)     /* made between two steps of the collector */
#define COLLECT_BYTES ((size_t)128 << 20) /* held, before a whole collection is worth it */

tensor *ltensor_test(lua_State *L, int arg) {
  return luaL_testudata(L, arg, TENSOR);
}

tensor *ltensor_look(lua_State *L, int arg) {
  tensor *t = luaL_checkudata(L, arg, TENSOR);
  luaL_argcheck(L, t->storage != NULL, arg, "tensor was closed");
  return t;
}

tensor *ltensor_check(lua_State *L, int arg) {
  tensor_error error;
  tensor *t = ltensor_look(L, arg);
  if (t->storage->pending || t->storage->readers || t->storage->copy)
    LTENSOR_TRY(L, storage_settle_to_change(t->storage, &error));
  return t;
}

void ltensor_settle(lua_State *L, const tensor *t) {
  tensor_error error;
  if (storage_waits(t->storage)) LTENSOR_TRY(L, storage_settle(t->storage, &error));
}

/* Parts that the call at hand reads; a call that makes nothing leaves its own to the next ones. */
enum { KEPT = 32 };
static struct {
  tensor part[KEPT];
  int count;
} kept;

const tensor *ltensor_to_read(lua_State *L, const tensor *t) {
  tensor_error error;
  tensor part;
  if (!storage_waits(t->storage)) return t;
  LTENSOR_TRY(L, pending_read(&part, t, &error));
  if (part.storage == t->storage) { /* all of it was computed, and the script holds it */
    tensor_release(&part);
    return t;
  }
  tensor *place = &kept.part[kept.count++ % KEPT];
  tensor_release(place);
  *place = part;
  return place;
}

const tensor *ltensor_read(lua_State *L, int arg) {
  return ltensor_to_read(L, ltensor_look(L, arg));
}

void ltensor_forget_read(void) {
  for (int i = 0; i < kept.count && i < KEPT; i++) tensor_release(&kept.part[i]);
  kept.count = 0;
}

tensor *ltensor_push(lua_State *L) {
  tensor *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (tensor){0}; /* __gc may run from here on: there is nothing to release */
  luaL_setmetatable(L, TENSOR);
  return t;
}

void ltensor_try(lua_State *L, int code, const tensor_error *error) {
  if (code) luaL_error(L, "%s", error->text);
}

/* A step is not enough when tensors outlive a few of them: a generational collector then takes them
 * for old ones, and it is the growth of Lua's own memory, not theirs, that makes it look at those.
 * So there is a whole collection whenever tensors hold twice of what the last one left. */
void ltensor_account(lua_State *L, const tensor *t) {
  static _Atomic size_t made, left; /* since the last step; after the last collection */
  size_t bytes = (t->storage->data ? t->storage->bytes : 0) + pending_bytes_made();
  ltensor_forget_read(); /* the call is at its end */
  if (made + bytes < STEP_BYTES) {
    made += bytes;
    return;
  }
  size_t kibibytes = (made + bytes) >> 10, in_use = storage_bytes_in_use();
  made = 0;
  if (in_use > COLLECT_BYTES && in_use > 2 * left) {
    lua_gc(L, LUA_GCCOLLECT);
    left = storage_bytes_in_use();
    return;
  }
  lua_gc(L, LUA_GCSTEP, kibibytes < 1 << 20 ? (int)kibibytes : 1 << 20);
}

int ltensor_finish(lua_State *L, const tensor *t) {
  ltensor_account(L, t);
  return 1;
}

/* ---- dimensions, dtypes -----------------------------------------------------------------------
 */

int ltensor_check_dim(lua_State *L, int arg, int rank) {
  lua_Integer d = luaL_checkinteger(L, arg);
  int most = rank > 0 ? rank : 1; /* a 0-d tensor is taken for one of one dimension, as in torch */
  if (d < 0) d += most + 1;
  if (d < 1 || d > most)
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "dimension %I, where there are %d",
                                  (LUAI_UACINT)luaL_checkinteger(L, arg), rank));
  return (int)d - 1;
}

int ltensor_opt_dim(lua_State *L, int arg, int rank, int fallback) {
  return lua_isnoneornil(L, arg) ? fallback : ltensor_check_dim(L, arg, rank);
}

dtype ltensor_check_dtype(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  dtype d = dtype_from_name(name);
  if (d == DTYPE_NONE) luaL_argerror(L, arg, lua_pushfstring(L, "there is no dtype '%s'", name));
  return d;
}

static int check_device(lua_State *L, int arg, const char *name) {
  if (strcmp(name, "cpu") == 0) return DEVICE_CPU;
  char *end = NULL;
  bool is_first = strcmp(name, "cuda") == 0;
  long ordinal = strncmp(name, "cuda:", 5) == 0 ? strtol(name + 5, &end, 10) : is_first ? 0 : -1;
  if (ordinal < 0 || ordinal > 1023 || (!is_first && (*end != '\0' || end == name + 5)))
    luaL_argerror(L, arg, lua_pushfstring(L, "there is no device '%s'", name));
  ltensor_start_cuda(L);
  return (int)ordinal;
}

static void read_options(lua_State *L, int arg, ltensor_options *options) {
  if (lua_getfield(L, arg, "dtype") != LUA_TNIL) {
    const char *name = lua_tostring(L, -1);
    options->dtype = name ? dtype_from_name(name) : DTYPE_NONE;
    if (options->dtype == DTYPE_NONE)
      luaL_argerror(L, arg,
                    lua_pushfstring(L, "there is no dtype '%s'", luaL_tolstring(L, -1, NULL)));
  }
  if (lua_getfield(L, arg, "device") != LUA_TNIL)
    options->device = check_device(L, arg, luaL_tolstring(L, -1, NULL));
}

void ltensor_check_options(lua_State *L, int arg, ltensor_options *options) {
  if (lua_isnoneornil(L, arg)) return;
  if (lua_type(L, arg) == LUA_TSTRING) {
    options->dtype = ltensor_check_dtype(L, arg);
    return;
  }
  luaL_checktype(L, arg, LUA_TTABLE);
  int top = lua_gettop(L);
  read_options(L, arg, options);
  lua_settop(L, top);
}

/* ---- sizes ------------------------------------------------------------------------------------
 */

static int64_t check_size(lua_State *L, int arg, int index) {
  int exact;
  lua_Integer size = lua_tointegerx(L, index, &exact);
  if (!exact) luaL_argerror(L, arg, "a size is not an integer");
  return size;
}

int ltensor_check_sizes(lua_State *L, int arg, int64_t *sizes) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Integer n = luaL_len(L, arg);
  if (n > TENSOR_MAX_RANK)
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "a tensor has at most %d dimensions", TENSOR_MAX_RANK));
  for (int i = 0; i < (int)n; i++) {
    lua_geti(L, arg, i + 1);
    sizes[i] = check_size(L, arg, -1);
    lua_pop(L, 1);
  }
  return (int)n;
}

int ltensor_check_shape(lua_State *L, int first, int64_t shape[TENSOR_MAX_RANK],
                        ltensor_options *options) {
  if (lua_type(L, first) == LUA_TTABLE) {
    int rank = ltensor_check_sizes(L, first, shape);
    if (options) ltensor_check_options(L, first, options);
    if (options) ltensor_check_options(L, first + 1, options);
    return rank;
  }
  int rank = 0, arg = first;
  for (; lua_type(L, arg) == LUA_TNUMBER; arg++, rank++) {
    luaL_argcheck(L, rank < TENSOR_MAX_RANK, arg, "a tensor has at most 8 dimensions");
    shape[rank] = check_size(L, arg, arg);
  }
  if (options)
    ltensor_check_options(L, arg, options);
  else if (!lua_isnoneornil(L, arg))
    luaL_argerror(L, arg, "a size expected");
  return rank;
}

/* ---- operands ---------------------------------------------------------------------------------
 */

operand ltensor_check_operand(lua_State *L, int arg, scalar *s) {
  switch (lua_type(L, arg)) {
  case LUA_TNUMBER:
    if (lua_isinteger(L, arg)) return scalar_integer(s, lua_tointeger(L, arg));
    return scalar_float(s, lua_tonumber(L, arg));
  case LUA_TBOOLEAN: return scalar_bool(s, lua_toboolean(L, arg));
  default:
    if (!ltensor_test(L, arg)) luaL_typeerror(L, arg, "tensor or number");
    return (operand){ltensor_look(L, arg), false};
  }
}

void ltensor_push_element(lua_State *L, dtype d, const void *element) {
  if (dtype_is_float(d) && d != DTYPE_FLOAT4_E2M1) {
    double value = 0;
    dtype_convert(DTYPE_FLOAT64, &value, d, element, 1);
    lua_pushnumber(L, value);
  } else {
    int64_t value = 0;
    dtype_convert(DTYPE_INT64, &value, d, element, 1);
    if (d == DTYPE_BOOL)
      lua_pushboolean(L, value != 0);
    else
      lua_pushinteger(L, value);
  }
}

void ltensor_push_shape(lua_State *L, int rank, const int64_t *shape) {
  lua_createtable(L, rank, 0);
  for (int i = 0; i < rank; i++) {
    lua_pushinteger(L, shape[i]);
    lua_seti(L, -2, i + 1);
  }
}
