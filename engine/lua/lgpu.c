/* lgpu.c -- require "hone.core.gpu": what there is of CUDA on this machine. */
#include <lauxlib.h>

#include "gpu/probe.h"
#include "lua/fields.h"

/* Sets version and path in the table on top. */
static void set_library(lua_State *L, const GpuLibrary *library) {
  if (library->patch) {
    lua_pushfstring(L, "%d.%d.%d", library->major, library->minor, library->patch);
  } else {
    lua_pushfstring(L, "%d.%d", library->major, library->minor);
  }
  lua_setfield(L, -2, "version");
  lua_pushstring(L, library->path);
  lua_setfield(L, -2, "path");
}

/* gpu.library(name, folder?) -> {version =, path =} | nil, why; folder is tried after the loader's
 * own */
static int gpu_library(lua_State *L) {
  const char *name = gpu_library_names[luaL_checkoption(L, 1, NULL, gpu_library_names)];
  const char *folder = luaL_optstring(L, 2, NULL);
  GpuLibrary library;
  const char *problem = gpu_probe_library(name, folder, &library);
  if (problem) {
    lua_pushnil(L);
    lua_pushstring(L, problem);
    return 2;
  }
  lua_createtable(L, 0, 2);
  set_library(L, &library);
  return 1;
}

static void push_device(lua_State *L, const GpuDevice *device) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, device->name);
  lua_setfield(L, -2, "name");
  lua_pushfstring(L, "%d.%d", device->capability_major, device->capability_minor);
  lua_setfield(L, -2, "capability");
  set_integer(L, "memory", (lua_Integer)device->memory);
  set_integer(L, "processors", device->processors);
  set_integer(L, "l2_bytes", device->l2_bytes);
  set_integer(L, "clock_mhz", device->clock_khz / 1000);
  set_integer(L, "memory_clock_mhz", device->memory_clock_khz / 1000);
  set_integer(L, "bus_bits", device->bus_bits);
}

/* Pushes the list of devices; returns why it is not complete, NULL when it is. */
static const char *push_devices(lua_State *L, int count) {
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    GpuDevice device;
    const char *problem = gpu_probe_device(i, &device);
    if (problem) return problem;
    push_device(L, &device);
    lua_rawseti(L, -2, i + 1);
  }
  return NULL;
}

/* gpu.driver() -> {version =, path =, devices = {...}, problem = why it does not work} | nil, why
 */
static int gpu_driver(lua_State *L) {
  GpuLibrary driver;
  int count;
  const char *problem = gpu_probe_driver(&driver, &count);
  if (!driver.path[0]) {
    lua_pushnil(L);
    lua_pushstring(L, problem ? problem : "the driver cannot be located");
    return 2;
  }
  lua_createtable(L, 0, 4);
  set_library(L, &driver);
  const char *incomplete = push_devices(L, count);
  lua_setfield(L, -2, "devices");
  lua_pushstring(L, problem ? problem : incomplete); /* nil when there is none */
  lua_setfield(L, -2, "problem");
  return 1;
}

static const luaL_Reg functions[] = {
    {"library", gpu_library}, {"driver", gpu_driver}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_gpu(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
