/* lcuda_launch.c -- launching kernels. A launch allocates nothing and, once it is prepared, looks
 * nothing up: its cost over the driver's is what a script pays for every kernel. */
#include <string.h>

#include "lcuda_kernel.h"

static const char launch_class; /* see lcuda_kernel_class */

/* ---- arguments ----------------------------------------------------------------------------- */

static bool fits(lua_Integer value, unsigned size) {
  if (size >= 8) return true;
  lua_Integer half = (lua_Integer)1 << (size * 8 - 1);
  return -half <= value && value < 2 * half;
}

static const char *put_float(double value, const gpu_param *p, unsigned char *to) {
  float narrow = (float)value;
  if (p->size == sizeof narrow)
    memcpy(to, &narrow, sizeof narrow);
  else if (p->size == sizeof value)
    memcpy(to, &value, sizeof value);
  else
    return "is a float, which the parameter is not";
  return NULL;
}

static const char *put_integer(lua_Integer value, const gpu_param *p, unsigned char *to) {
  if (p->kind == GPU_KIND_FLOAT) return put_float((double)value, p, to);
  if (p->kind == GPU_KIND_BYTES || p->size > 8 || (p->size & (p->size - 1)) != 0) {
    return "is a number, but the parameter is a struct: give its bytes as a string";
  }
  if (!fits(value, p->size)) return "is an integer that does not fit the parameter";
  memcpy(to, &value, p->size); /* CUDA's hosts are little-endian */
  return NULL;
}

static const char *put_number(lua_State *L, int index, const gpu_param *p, unsigned char *to) {
  if (lua_isinteger(L, index)) return put_integer(lua_tointeger(L, index), p, to);
  if (p->kind == GPU_KIND_FLOAT || p->kind == GPU_KIND_UNKNOWN) {
    return put_float(lua_tonumber(L, index), p, to);
  }
  int is_whole;
  lua_Integer value = lua_tointegerx(L, index, &is_whole);
  return is_whole ? put_integer(value, p, to) : "is a fraction, but the parameter is an integer";
}

static const char *put_string(lua_State *L, int index, const gpu_param *p, unsigned char *to) {
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  if (size != p->size) return "is a string of another size than the parameter";
  memcpy(to, bytes, size);
  return NULL;
}

/* Finds the class of the object at `index`; leaves nothing on the stack. */
static const lcuda_pointee *find_class(lua_State *L, int index, lcuda_last_class *last) {
  if (!lua_getmetatable(L, index)) return NULL;
  const void *metatable = lua_topointer(L, -1);
  if (metatable == last->metatable) {
    lua_pop(L, 1);
    return last->pointee;
  }
  lua_getfield(L, -1, LCUDA_POINTEE);
  const lcuda_pointee *pointee = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!pointee) {
    lua_pop(L, 1);
    return NULL;
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, metatable); /* pops it */
  *last = (lcuda_last_class){metatable, pointee};
  return pointee;
}

/* An object as the launch at hand sees it. */
typedef struct {
  gpu_device *device;
  CUstream stream;
  bool must_follow; /* the stream meets memory that the device's own stream made */
} Launching;

static const char *put_place(void *object, const lcuda_pointee *pointee, unsigned char *to,
                             Launching *launching) {
  lcuda_place place;
  const char *problem = pointee->locate(object, &place);
  if (problem) return problem;
  if (place.device != launching->device->ordinal) return "lies on another device than the kernel";
  memcpy(to, &place.address, sizeof place.address);
  bool is_foreign = launching->stream != launching->device->own_stream;
  if (is_foreign && place.is_shared && !*place.is_shared) {
    *place.is_shared = true;
    launching->must_follow = true;
  }
  return NULL;
}

static const char *put_object(lua_State *L, int index, const gpu_param *p, unsigned char *to,
                              lcuda_last_class *last, Launching *launching) {
  const lcuda_pointee *pointee = find_class(L, index, last);
  if (pointee) {
    if (p->size != 8 || p->kind == GPU_KIND_FLOAT || p->kind == GPU_KIND_BYTES) {
      return "is memory, but the parameter is no pointer";
    }
    return put_place(lua_touserdata(L, index), pointee, to, launching);
  }
  void *block = luaL_testudata(L, index, LCUDA_TENSOR_MAP);
  if (!block) return "is an object without device memory";
  if (p->size != sizeof(CUtensorMap)) return "is a tensor map, which the parameter is not";
  memcpy(to, (void *)(((uintptr_t)block + 63) & ~(uintptr_t)63), sizeof(CUtensorMap));
  return NULL;
}

static const char *put_slowly(lua_State *L, int index, const gpu_param *p, unsigned char *to,
                              lcuda_last_class *last, Launching *launching) {
  switch (lua_type(L, index)) {
  case LUA_TNUMBER: return put_number(L, index, p, to);
  case LUA_TBOOLEAN: return put_integer(lua_toboolean(L, index), p, to);
  case LUA_TSTRING: return put_string(L, index, p, to);
  case LUA_TUSERDATA: return put_object(L, index, p, to, last, launching);
  case LUA_TNIL: return "is nil";
  default: return "is of a type that no kernel takes";
  }
}

/* False for what is no buffer, or one that put_slowly refuses. */
static inline bool put_buffer(lua_State *L, int index, unsigned char *to, Launching *launching) {
  lcuda_buffer *b = lcuda_test_buffer(L, index);
  gpu_device *device = launching->device;
  if (!b || !b->is_open || b->device != device || b->generation != device->generation) return false;
  memcpy(to, &b->address, sizeof b->address);
  if (launching->stream != device->own_stream && !b->is_shared) {
    b->is_shared = true;
    launching->must_follow = true;
  }
  return true;
}

/* Writes the value at `index` (positive) into the parameter block; NULL, or what is wrong with it.
 * What most arguments are is done here with as few calls into Lua as can be: a nanosecond saved on
 * each is 1 % of a launch. */
static inline const char *put(lua_State *L, int index, const gpu_param *p, unsigned char *block,
                              lcuda_last_class *last, Launching *launching) {
  unsigned char *to = block + p->offset;
  int is_done = 0;
  if (p->size == 8 && (p->kind == GPU_KIND_INTEGER || p->kind == GPU_KIND_UNKNOWN)) {
    is_done = put_buffer(L, index, to, launching);
  } else if (p->size == 4 && p->kind == GPU_KIND_FLOAT) {
    float value = (float)lua_tonumberx(L, index, &is_done);
    memcpy(to, &value, sizeof value);
  } else if (p->size == 4 && p->kind == GPU_KIND_INTEGER) {
    lua_Integer value = lua_tointegerx(L, index, &is_done);
    memcpy(to, &value, 4);
    is_done = is_done && fits(value, 4);
  }
  return is_done ? NULL : put_slowly(L, index, p, to, last, launching);
}

static int raise_argument(lua_State *L, const gpu_kernel *k, unsigned i, const char *problem) {
  return luaL_error(L, "kernel '%s': argument %d %s (parameter of %d bytes)", k->name, (int)i + 1,
                    problem, (int)k->params[i].size);
}

static int raise_count(lua_State *L, const gpu_kernel *k, lua_Unsigned given) {
  return luaL_error(L, "kernel '%s' has %d parameter%s, got %d argument%s", k->name,
                    (int)k->param_count, k->param_count == 1 ? "" : "s", (int)given,
                    given == 1 ? "" : "s");
}

static void put_arguments(lua_State *L, int first, lcuda_kernel *k, unsigned char *block,
                          Launching *launching) {
  const gpu_kernel *kernel = &k->kernel;
  for (unsigned i = 0; i < kernel->param_count; i++) {
    const char *problem = put(L, first + (int)i, &kernel->params[i], block, &k->last, launching);
    if (problem) raise_argument(L, kernel, i, problem);
  }
  if (!launching->device->capturing) return;
  for (unsigned i = 0; i < kernel->param_count; i++) lcuda_keep(L, first + (int)i);
}

/* Positional arguments of the table at 2, left on the stack. */
static void put_list(lua_State *L, lcuda_kernel *k, unsigned char *block, Launching *launching) {
  int count = (int)k->kernel.param_count, first = lua_gettop(L) + 1;
  luaL_checkstack(L, count + 8, "too many arguments");
  for (int i = 1; i <= count; i++) lua_rawgeti(L, 2, i);
  put_arguments(L, first, k, block, launching);
}

/* ---- options ------------------------------------------------------------------------------- */

/* Upvalues of the functions that read options: their names, at hand. */
enum {
  UP_GRID = 1,
  UP_BLOCK,
  UP_SMEM,
  UP_CLUSTER,
  UP_COOPERATIVE,
  UP_STREAM,
  UP_COUNT = UP_STREAM
};
static const char *const option_names[] = {"grid",    "block",       "smem",
                                           "cluster", "cooperative", "stream"};

static int get_option(lua_State *L, int option) {
  lua_pushvalue(L, lua_upvalueindex(option));
  return lua_rawget(L, 2);
}

static unsigned positive(lua_State *L, int option) {
  int is_integer;
  lua_Integer value = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || value < 1 || value > INT32_MAX) {
    luaL_error(L, "launch: option '%s' is not a positive integer, or 1 to 3 of them",
               option_names[option - UP_GRID]);
  }
  return (unsigned)value;
}

/* An integer, or {x, y, z}; false when the option is absent. The value stays on the stack. */
static bool read_size(lua_State *L, int option, unsigned size[3]) {
  int type = get_option(L, option);
  size[0] = size[1] = size[2] = 1;
  if (type == LUA_TTABLE) {
    lua_Unsigned count = lua_rawlen(L, -1);
    if (count < 1 || count > 3) {
      luaL_error(L, "launch: option '%s' has 1 to 3 integers", option_names[option - UP_GRID]);
    }
    for (lua_Unsigned i = 0; i < count; i++) {
      lua_rawgeti(L, -1, (lua_Integer)i + 1);
      size[i] = positive(L, option);
      lua_pop(L, 1);
    }
  } else if (type != LUA_TNIL) {
    size[0] = positive(L, option);
  }
  return type != LUA_TNIL;
}

static unsigned read_smem(lua_State *L, bool *is_given) {
  *is_given = get_option(L, UP_SMEM) != LUA_TNIL;
  if (!*is_given) return 0;
  int is_integer;
  lua_Integer bytes = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || bytes < 0 || bytes > INT32_MAX) {
    luaL_error(L, "launch: option 'smem' is not a count of bytes");
  }
  return (unsigned)bytes;
}

static bool is_option(const char *name) {
  for (size_t i = 0; i < sizeof option_names / sizeof *option_names; i++) {
    if (strcmp(option_names[i], name) == 0) return true;
  }
  return false;
}

static void raise_unknown(lua_State *L) {
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING && !is_option(lua_tostring(L, -1))) {
      luaL_error(L, "launch: unknown option '%s'", lua_tostring(L, -1));
    }
  }
}

/* Positional arguments come first in a traversal: what follows the last is options, `known` of
 * them. */
static void check_names(lua_State *L, unsigned positional, unsigned known) {
  unsigned seen = 0;
  if (positional)
    lua_pushinteger(L, (lua_Integer)positional);
  else
    lua_pushnil(L);
  while (lua_next(L, 2)) {
    lua_pop(L, 1);
    if (++seen > known) raise_unknown(L);
  }
}

static void check_threads(lua_State *L, const gpu_kernel *k, const gpu_shape *s) {
  lua_Integer threads = (lua_Integer)s->block[0] * s->block[1] * s->block[2];
  if (s->block[0] > 1024 || s->block[1] > 1024 || s->block[2] > 64 || threads > k->max_threads) {
    luaL_error(L, "kernel '%s' cannot have %I threads in a block: it has at most %d", k->name,
               threads, k->max_threads);
  }
  if (s->grid[1] > 65535 || s->grid[2] > 65535) {
    luaL_error(L, "launch: a grid has at most 65535 blocks in y and z");
  }
}

/* Reads everything but the positional arguments, of which there are so many, from the table at 2.
 */
static CUstream read_options(lua_State *L, const gpu_kernel *k, unsigned positional,
                             gpu_shape *shape) {
  bool has_smem;
  *shape = (gpu_shape){0};
  bool has_grid = read_size(L, UP_GRID, shape->grid);
  bool has_block = read_size(L, UP_BLOCK, shape->block);
  bool has_cluster = read_size(L, UP_CLUSTER, shape->cluster);
  if (!has_cluster) shape->cluster[0] = 0;
  shape->shared_bytes = read_smem(L, &has_smem);
  bool has_cooperative = get_option(L, UP_COOPERATIVE) != LUA_TNIL;
  if (has_cooperative) shape->cooperative = lua_toboolean(L, -1);
  bool has_stream = get_option(L, UP_STREAM) != LUA_TNIL;
  CUstream stream = has_stream ? lcuda_stream(L, -1, k->device) : k->device->stream;
  if (!has_grid) luaL_error(L, "launch: option 'grid' is missing");
  if (!has_block) luaL_error(L, "launch: option 'block' is missing");
  check_names(L, positional, 2u + has_cluster + has_smem + has_cooperative + has_stream);
  check_threads(L, k, shape);
  return stream;
}

/* ---- launching ----------------------------------------------------------------------------- */

static int refuse_launch(lua_State *L, const gpu_kernel *k, CUresult result) {
  gpu_error error;
  char what[256];
  snprintf(what, sizeof what, "launch kernel '%.200s'", k->name);
  gpu_check(k->device, result, what, &error);
  return lcuda_refuse(L, &error);
}

/* The context need not be made current first: kernel and stream name it. Where the driver does not
 * take that from another context, it launches nothing and says so. */
static int launch(lua_State *L, const gpu_kernel *k, const gpu_shape *shape, unsigned char *block,
                  const Launching *launching) {
  gpu_error error;
  gpu_device *device = launching->device;
  bool must_follow = launching->must_follow && !device->capturing;
  int failed = device->lost || must_follow ? gpu_activate(device, &error) : 0;
  if (!failed && must_follow) {
    failed = gpu_stream_follow(device, launching->stream, device->own_stream, &error);
  }
  if (failed) return lcuda_refuse(L, &error);
  CUresult result = gpu_kernel_launch(k, shape, launching->stream, block);
  if (result != CUDA_SUCCESS && !device->lost && gpu_is_elsewhere(device)) {
    if (gpu_activate(device, &error)) return lcuda_refuse(L, &error);
    result = gpu_kernel_launch(k, shape, launching->stream, block);
  }
  if (result != CUDA_SUCCESS) return refuse_launch(L, k, result);
  lua_pushboolean(L, 1);
  return 1;
}

/* kernel:launch{grid=, block=, smem=?, cluster=?, cooperative=?, stream=?, args...} -> true | nil,
 * message, code */
static int kernel_launch(lua_State *L) {
  lcuda_kernel *k = lcuda_check_kernel(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_Unsigned count = lua_rawlen(L, 2);
  if (count != k->kernel.param_count) return raise_count(L, &k->kernel, count);
  gpu_shape shape;
  Launching launching = {k->kernel.device, NULL, false};
  launching.stream = read_options(L, &k->kernel, (unsigned)count, &shape);
  put_list(L, k, k->block, &launching);
  if (launching.device->capturing) lcuda_keep(L, 1);
  if (gpu_kernel_must_prepare(&k->kernel, &shape)) {
    gpu_error error;
    int failed = gpu_activate(launching.device, &error);
    if (!failed) failed = gpu_kernel_prepare(&k->kernel, &shape, &error);
    if (failed) return lcuda_refuse(L, &error);
  }
  return launch(L, &k->kernel, &shape, k->block, &launching);
}

/* ---- prepared launches --------------------------------------------------------------------- */

/* An object among the bound arguments: it may be freed, or move, before a call. */
typedef struct {
  void *object;
  const lcuda_pointee *pointee;
  unsigned index; /* of the parameter */
} Pointer;

typedef struct { /* user values: see LAUNCH_KERNEL */
  const char *own_class;
  lcuda_kernel *kernel;
  gpu_shape shape;
  CUstream stream; /* NULL: the device's current one at the call */
  bool has_arguments;
  unsigned pointer_count;
  Pointer *pointers;
  unsigned char *block;
} Launch;

enum { LAUNCH_KERNEL = 1, LAUNCH_STREAM, LAUNCH_ARGUMENTS, LAUNCH_BLOCK, LAUNCH_POINTERS };

static void note_pointers(lua_State *L, Launch *l) {
  const gpu_kernel *k = &l->kernel->kernel;
  for (unsigned i = 0; i < k->param_count; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    const lcuda_pointee *pointee =
        lua_type(L, -1) == LUA_TUSERDATA ? find_class(L, -1, &l->kernel->last) : NULL;
    if (pointee) l->pointers[l->pointer_count++] = (Pointer){lua_touserdata(L, -1), pointee, i};
    lua_pop(L, 1);
  }
}

/* Keep the bound arguments themselves, not the caller's table, which may change. */
static void copy_arguments(lua_State *L, unsigned count) {
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    lua_rawseti(L, -2, i);
  }
  lua_setiuservalue(L, -2, LAUNCH_ARGUMENTS);
}

/* kernel:bind{grid=, block=, ..., args...?} -> launch | nil, message, code */
static int kernel_bind(lua_State *L) {
  lcuda_kernel *k = lcuda_check_kernel(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  unsigned count = k->kernel.param_count;
  lua_Unsigned given = lua_rawlen(L, 2);
  if (given != count && given != 0) return raise_count(L, &k->kernel, given);
  Launch *l = lua_newuserdatauv(L, sizeof *l, LAUNCH_POINTERS); /* [kernel, options, launch] */
  *l = (Launch){.own_class = &launch_class, .kernel = k, .has_arguments = given == count};
  luaL_setmetatable(L, LCUDA_LAUNCH);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LAUNCH_KERNEL);
  lua_getfield(L, 2, "stream");
  bool has_stream = !lua_isnil(L, -1);
  lua_setiuservalue(L, -2, LAUNCH_STREAM);
  Launching launching = {k->kernel.device, NULL, false};
  launching.stream = read_options(L, &k->kernel, (unsigned)given, &l->shape);
  lua_settop(L, 3);
  if (has_stream) l->stream = launching.stream;
  l->block = lcuda_attach(L, LAUNCH_BLOCK, k->kernel.param_bytes);
  l->pointers = (Pointer *)(void *)lcuda_attach(L, LAUNCH_POINTERS, count * sizeof *l->pointers);
  if (l->has_arguments) {
    put_list(L, k, l->block, &launching);
    lua_settop(L, 3);
    note_pointers(L, l);
    copy_arguments(L, count);
  }
  gpu_error error;
  if (gpu_activate(launching.device, &error)) return lcuda_refuse(L, &error);
  if (gpu_kernel_prepare(&k->kernel, &l->shape, &error)) return lcuda_refuse(L, &error);
  return 1;
}

static void refresh_pointers(lua_State *L, const Launch *l, Launching *launching) {
  const gpu_kernel *k = &l->kernel->kernel;
  if (!l->has_arguments) raise_count(L, k, 0);
  for (unsigned i = 0; i < l->pointer_count; i++) {
    const Pointer *p = &l->pointers[i];
    const char *problem =
        put_place(p->object, p->pointee, l->block + k->params[p->index].offset, launching);
    if (problem) raise_argument(L, k, p->index, problem);
  }
}

/* launch() with the bound arguments, launch(args...) with others -> true | nil, message, code */
static int launch_call(lua_State *L) {
  const Launch *l = lcuda_check_self(L, sizeof *l, &launch_class, LCUDA_LAUNCH);
  const gpu_kernel *k = &l->kernel->kernel;
  gpu_device *device = k->device;
  if (k->generation != device->generation) luaL_argerror(L, 1, "kernel was lost with its context");
  unsigned given = (unsigned)lua_gettop(L) - 1;
  Launching launching = {device, l->stream ? l->stream : device->stream, false};
  unsigned char *block = given ? l->kernel->block : l->block;
  if (given == 0)
    refresh_pointers(L, l, &launching);
  else if (given != k->param_count)
    raise_count(L, k, given);
  else
    put_arguments(L, 2, l->kernel, block, &launching);
  if (device->capturing) lcuda_keep(L, 1);
  return launch(L, k, &l->shape, block, &launching);
}

/* ---- tables -------------------------------------------------------------------------------- */

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg kernel_methods[] = {
    {"launch", kernel_launch}, {"bind", kernel_bind}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__call", launch_call}, {NULL, NULL}};

/* After lcuda_open_kernel: adds to its class. */
void lcuda_open_launch(lua_State *L) {
  lcuda_class(L, LCUDA_LAUNCH, no_methods, metamethods);
  luaL_getmetatable(L, LCUDA_KERNEL);
  lua_getfield(L, -1, "__index");
  for (int i = 0; i < UP_COUNT; i++) lua_pushstring(L, option_names[i]);
  luaL_setfuncs(L, kernel_methods, UP_COUNT);
  lua_pop(L, 2);
}
