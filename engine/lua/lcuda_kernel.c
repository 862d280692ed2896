/* lcuda_kernel.c -- loaded modules, kernels and launches. A launch allocates nothing and, once it
 * is prepared, looks nothing up: its cost over the driver's is what a script pays for every kernel.
 */
#include <string.h>

#include "lcuda_kernel.h"

/* ---- modules ------------------------------------------------------------------------------- */

typedef struct {
  gpu_device *device;
  unsigned generation;
  CUmodule handle;
} Module;

static Module *check_module(lua_State *L, int arg) {
  Module *m = luaL_checkudata(L, arg, LCUDA_MODULE);
  luaL_argcheck(L, m->handle != NULL, arg, "module was unloaded");
  luaL_argcheck(L, m->generation == m->device->generation, arg, "module was lost with its context");
  return m;
}

/* core.load(image) -> loaded | nil, message, code; PTX text needs no zero byte: Lua's strings have
 * one */
static int core_load(lua_State *L) {
  const char *image = luaL_checkstring(L, 1);
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  Module *m = lua_newuserdatauv(L, sizeof *m, 0);
  *m = (Module){.device = device, .generation = device->generation};
  luaL_setmetatable(L, LCUDA_MODULE);
  if (gpu_module_load(device, image, &m->handle, &error)) return lcuda_refuse(L, &error);
  return 1;
}

static int module_unload(lua_State *L) {
  Module *m = luaL_checkudata(L, 1, LCUDA_MODULE);
  gpu_error ignored;
  bool is_alive = m->handle && m->generation == m->device->generation;
  if (is_alive && gpu_activate(m->device, &ignored) == 0) {
    gpu_state_get()->driver->module_unload(m->handle);
  }
  m->handle = NULL;
  return 0;
}

/* loaded:is_alive() -> boolean: neither unloaded nor lost with its context */
static int module_is_alive(lua_State *L) {
  const Module *m = luaL_checkudata(L, 1, LCUDA_MODULE);
  lua_pushboolean(L, m->handle && m->generation == m->device->generation);
  return 1;
}

enum { MAX_FUNCTIONS = 4096 };

/* loaded:names() -> {name, ...}: of its kernels; nil where the driver cannot tell */
static int module_names(lua_State *L) {
  const Module *m = check_module(L, 1);
  const gpu_driver *driver = gpu_state_get()->driver;
  unsigned count = 0;
  if (!driver->module_functions || !driver->module_count || !driver->function_name) return 0;
  if (driver->module_count(&count, m->handle) || count > MAX_FUNCTIONS) return 0;
  CUfunction *functions = lua_newuserdatauv(L, (count + 1) * sizeof *functions, 0);
  if (driver->module_functions(functions, count, m->handle)) return 0;
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    const char *name = NULL;
    if (driver->function_name(&name, functions[i]) || !name) continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

/* loaded:global(name) -> address, bytes | nil, message, code */
static int module_global(lua_State *L) {
  const Module *m = check_module(L, 1);
  const char *name = luaL_checkstring(L, 2);
  gpu_error error;
  if (gpu_activate(m->device, &error)) return lcuda_refuse(L, &error);
  CUdeviceptr address = 0;
  size_t bytes = 0;
  CUresult result = gpu_state_get()->driver->module_global(&address, &bytes, m->handle, name);
  if (result == CUDA_ERROR_NOT_FOUND) {
    gpu_refuse(&error, result, "the module has no variable '%s'", name);
    return lcuda_refuse(L, &error);
  }
  if (gpu_check(m->device, result, "look up a variable", &error)) return lcuda_refuse(L, &error);
  lua_pushinteger(L, (lua_Integer)address);
  lua_pushinteger(L, (lua_Integer)bytes);
  return 2;
}

/* ---- kernels ------------------------------------------------------------------------------- */

const char lcuda_kernel_class;

unsigned char *lcuda_attach(lua_State *L, int value, size_t size) {
  unsigned char *memory = lua_newuserdatauv(L, size + 1, 0);
  memset(memory, 0, size + 1);
  lua_setiuservalue(L, -2, value);
  return memory;
}

/* loaded:kernel(name, kinds?) -> kernel | nil, message, code */
static int module_kernel(lua_State *L) {
  const Module *m = check_module(L, 1);
  const char *name = luaL_checkstring(L, 2), *kinds = luaL_optstring(L, 3, NULL);
  gpu_error error;
  if (gpu_activate(m->device, &error)) return lcuda_refuse(L, &error);
  lcuda_kernel *k = lua_newuserdatauv(L, sizeof *k, 2);
  memset(k, 0, sizeof *k);
  k->own_class = &lcuda_kernel_class;
  k->kernel.device = m->device;
  luaL_setmetatable(L, LCUDA_KERNEL);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (gpu_kernel_open(m->device, m->handle, name, kinds, &k->kernel, &error)) {
    return lcuda_refuse(L, &error);
  }
  k->block = lcuda_attach(L, 2, k->kernel.param_bytes);
  return 1;
}

static int kernel_close(lua_State *L) {
  gpu_kernel_close(&((lcuda_kernel *)luaL_checkudata(L, 1, LCUDA_KERNEL))->kernel);
  return 0;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static int kernel_attributes(lua_State *L) {
  lcuda_kernel *k = lcuda_check_kernel(L);
  static const struct {
    const char *field;
    int attribute;
  } wanted[] = {{"registers", FUNCTION_REGISTERS},
                {"shared_bytes", FUNCTION_SHARED_BYTES},
                {"local_bytes", FUNCTION_LOCAL_BYTES},
                {"constant_bytes", FUNCTION_CONSTANT_BYTES},
                {"max_threads", FUNCTION_MAX_THREADS},
                {"ptx_version", FUNCTION_PTX_VERSION},
                {"binary_version", FUNCTION_BINARY_VERSION},
                {"max_dynamic_shared_bytes", FUNCTION_MAX_DYNAMIC_SHARED}};
  gpu_error error;
  if (gpu_activate(k->kernel.device, &error)) return lcuda_refuse(L, &error);
  lua_createtable(L, 0, 8);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    int value = 0;
    gpu_state_get()->driver->function_get(&value, wanted[i].attribute, k->kernel.function);
    lua_pushinteger(L, value);
    lua_setfield(L, -2, wanted[i].field);
  }
  return 1;
}

/* kernel:parameters() -> {{size =, offset =, kind = "float"|"integer"|"bytes"|"unknown"}, ...} */
static int kernel_parameters(lua_State *L) {
  const gpu_kernel *k = &lcuda_check_kernel(L)->kernel;
  lua_createtable(L, (int)k->param_count, 0);
  for (unsigned i = 0; i < k->param_count; i++) {
    const gpu_param *p = &k->params[i];
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, p->size);
    lua_setfield(L, -2, "size");
    lua_pushinteger(L, p->offset);
    lua_setfield(L, -2, "offset");
    lua_pushstring(L, p->kind == GPU_KIND_FLOAT     ? "float"
                      : p->kind == GPU_KIND_INTEGER ? "integer"
                      : p->kind == GPU_KIND_BYTES   ? "bytes"
                                                    : "unknown");
    lua_setfield(L, -2, "kind");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* kernel:occupancy(threads, smem = 0) -> blocks per multiprocessor, share of its threads | nil,
 * message, code */
static int kernel_occupancy(lua_State *L) {
  lcuda_kernel *k = lcuda_check_kernel(L);
  lua_Integer threads = luaL_checkinteger(L, 2), smem = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, 0 < threads && threads <= 1024, 2, "a block has 1 to 1024 threads");
  luaL_argcheck(L, 0 <= smem && smem <= INT32_MAX, 3, "not a count of bytes");
  gpu_shape shape = {.shared_bytes = (unsigned)smem};
  gpu_error error;
  if (gpu_activate(k->kernel.device, &error)) return lcuda_refuse(L, &error);
  if (gpu_kernel_prepare(&k->kernel, &shape, &error)) return lcuda_refuse(L, &error);
  int blocks = 0;
  CUresult result = gpu_state_get()->driver->occupancy_blocks(&blocks, k->kernel.function,
                                                              (int)threads, (size_t)smem);
  if (gpu_check(k->kernel.device, result, "ask for occupancy", &error))
    return lcuda_refuse(L, &error);
  int most = gpu_attribute(k->kernel.device, DEVICE_MAX_THREADS_PER_MULTIPROCESSOR);
  lua_pushinteger(L, blocks);
  lua_pushnumber(L, most ? (double)blocks * (double)threads / most : 0);
  return 2;
}

/* kernel:best_block(smem = 0) -> threads of a block, blocks that fill the device | nil, message,
 * code */
static int kernel_best_block(lua_State *L) {
  lcuda_kernel *k = lcuda_check_kernel(L);
  lua_Integer smem = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, 0 <= smem && smem <= INT32_MAX, 2, "not a count of bytes");
  gpu_error error;
  if (gpu_activate(k->kernel.device, &error)) return lcuda_refuse(L, &error);
  int grid = 0, block = 0;
  CUresult result = gpu_state_get()->driver->occupancy_best(&grid, &block, k->kernel.function, NULL,
                                                            (size_t)smem, 0);
  if (gpu_check(k->kernel.device, result, "ask for occupancy", &error))
    return lcuda_refuse(L, &error);
  lua_pushinteger(L, block);
  lua_pushinteger(L, grid);
  return 2;
}

static int kernel_name(lua_State *L) {
  lua_pushstring(L, ((lcuda_kernel *)luaL_checkudata(L, 1, LCUDA_KERNEL))->kernel.name);
  return 1;
}

static int kernel_tostring(lua_State *L) {
  const gpu_kernel *k = &((lcuda_kernel *)luaL_checkudata(L, 1, LCUDA_KERNEL))->kernel;
  lua_pushfstring(L, "cuda.Kernel (%s, %d parameters)", k->name, (int)k->param_count);
  return 1;
}

/* ---- tables -------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"load_image", core_load}, {NULL, NULL}};
static const luaL_Reg module_methods[] = {{"kernel", module_kernel},     {"names", module_names},
                                          {"global", module_global},     {"unload", module_unload},
                                          {"is_alive", module_is_alive}, {NULL, NULL}};
static const luaL_Reg module_metamethods[] = {
    {"__gc", module_unload}, {"__close", module_unload}, {NULL, NULL}};
static const luaL_Reg kernel_methods[] = {{"attributes", kernel_attributes},
                                          {"parameters", kernel_parameters},
                                          {"occupancy", kernel_occupancy},
                                          {"best_block", kernel_best_block},
                                          {"name", kernel_name},
                                          {NULL, NULL}};
static const luaL_Reg kernel_metamethods[] = {
    {"__gc", kernel_close}, {"__tostring", kernel_tostring}, {NULL, NULL}};

void lcuda_open_kernel(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lcuda_class(L, LCUDA_MODULE, module_methods, module_metamethods);
  lcuda_class(L, LCUDA_KERNEL, kernel_methods, kernel_metamethods);
}
