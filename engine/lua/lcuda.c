/* lcuda.c -- require "hone.core.cuda": devices. The other parts are in lcuda_*.c. */
#include "lcuda.h"

#include <string.h>

#include "gpu/clocks.h"
#include "lua/fields.h"
#include "lua/gpu_state.h"
#include "lua/interrupted.h"

/* ---- helpers ------------------------------------------------------------------------------- */

int lcuda_refuse(lua_State *L, const gpu_error *error) {
  if (strcmp(error->text, "interrupted") == 0) return raise_interrupted(L);
  const char *name = NULL;
  const gpu_driver *driver = gpu_state_get()->driver;
  if (driver && error->code > 0) driver->error_name(error->code, &name);
  lua_pushnil(L);
  lua_pushstring(L, error->text);
  lua_pushstring(L, name ? name : "REFUSED");
  return 3;
}

int lcuda_result(lua_State *L, int failed, const gpu_error *error) {
  if (failed) return lcuda_refuse(L, error);
  lua_pushboolean(L, 1);
  return 1;
}

gpu_device *lcuda_current(gpu_error *error) {
  return gpu_touch(gpu_state_get()->current, error);
}

const char **lcuda_push_strings(lua_State *L, int arg, int *count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, arg);
  const char **strings = lua_newuserdatauv(L, (n + 1) * sizeof *strings, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_argerror(L, arg, "not a list of strings");
    strings[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  strings[n] = NULL;
  *count = (int)n;
  return strings;
}

void lcuda_collected(lua_State *L, const char *name, lua_CFunction free) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, free);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

void lcuda_class(lua_State *L, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *metamethods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

/* ---- devices ------------------------------------------------------------------------------- */

/* cuda.available() -> true | false, why */
static int cuda_available(lua_State *L) {
  gpu_error error;
  bool is_open = gpu_open(&error) == 0, has_device = is_open && gpu_state_get()->count > 0;
  lua_pushboolean(L, has_device);
  if (has_device) return 1;
  lua_pushstring(L, is_open ? "this machine has no CUDA device" : error.text);
  return 2;
}

static void set_attributes(lua_State *L, const gpu_device *device) {
  static const struct {
    const char *field;
    int attribute, divisor;
  } wanted[] = {
      {"processors", DEVICE_MULTIPROCESSOR_COUNT, 1},
      {"l2_bytes", DEVICE_L2_CACHE_SIZE, 1},
      {"clock_mhz", DEVICE_CLOCK_RATE, 1000},
      {"memory_clock_mhz", DEVICE_MEMORY_CLOCK_RATE, 1000},
      {"bus_bits", DEVICE_MEMORY_BUS_WIDTH, 1},
      {"max_threads_per_block", DEVICE_MAX_THREADS_PER_BLOCK, 1},
      {"max_threads_per_processor", DEVICE_MAX_THREADS_PER_MULTIPROCESSOR, 1},
      {"max_shared_per_block", DEVICE_MAX_SHARED_PER_BLOCK_OPTIN, 1},
      {"max_shared_per_processor", DEVICE_MAX_SHARED_PER_MULTIPROCESSOR, 1},
      {"warp_size", DEVICE_WARP_SIZE, 1},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    set_integer(L, wanted[i].field, gpu_attribute(device, wanted[i].attribute) / wanted[i].divisor);
  }
}

/* As nvidia-smi writes it: "GPU-" and five groups of digits. */
static void set_uuid(lua_State *L, const gpu_device *device) {
  const gpu_driver *driver = gpu_state_get()->driver;
  char uuid[16], text[48] = "GPU-";
  size_t n = strlen(text);
  if (!driver->device_uuid || driver->device_uuid(uuid, device->handle) != 0) return;
  for (int i = 0; i < 16; i++) {
    bool begins_group = i == 4 || i == 6 || i == 8 || i == 10;
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%02x", begins_group ? "-" : "",
                          (unsigned)(unsigned char)uuid[i]);
  }
  lua_pushstring(L, text);
  lua_setfield(L, -2, "uuid");
}

static void push_device(lua_State *L, const gpu_device *device) {
  const gpu_driver *driver = gpu_state_get()->driver;
  char name[256] = "";
  size_t memory = 0;
  driver->device_name(name, sizeof name, device->handle);
  driver->device_memory(&memory, device->handle);
  lua_createtable(L, 0, 15);
  set_integer(L, "index", device->ordinal);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_pushfstring(L, "%d.%d", gpu_attribute(device, DEVICE_CAPABILITY_MAJOR),
                  gpu_attribute(device, DEVICE_CAPABILITY_MINOR));
  lua_setfield(L, -2, "capability");
  set_integer(L, "memory", (lua_Integer)memory);
  set_uuid(L, device);
  set_attributes(L, device);
}

/* cuda.devices() -> {{index =, name =, ...}, ...} | nil, message, code */
static int cuda_devices(lua_State *L) {
  gpu_error error;
  if (gpu_open(&error)) return lcuda_refuse(L, &error);
  const gpu_state *state = gpu_state_get();
  lua_createtable(L, state->count, 0);
  for (int i = 0; i < state->count; i++) {
    push_device(L, &state->devices[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* cuda.device(index?) -> index of the chosen device | nil, message, code */
static int cuda_device(lua_State *L) {
  gpu_error error;
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer index = luaL_checkinteger(L, 1);
    luaL_argcheck(L, 0 <= index && index < GPU_MAX_DEVICES, 1, "there is no such device");
    if (!gpu_touch((int)index, &error)) return lcuda_refuse(L, &error);
    gpu_state_get()->current = (int)index;
  }
  lua_pushinteger(L, gpu_state_get()->current);
  return 1;
}

static int check_ordinal(lua_State *L, int arg) {
  return (int)luaL_optinteger(L, arg, gpu_state_get()->current);
}

/* cuda.synchronize(index?, seconds?) -> true | nil, message, code */
static int cuda_synchronize(lua_State *L) {
  gpu_error error;
  gpu_device *device = gpu_touch(check_ordinal(L, 1), &error);
  if (!device) return lcuda_refuse(L, &error);
  double seconds = luaL_optnumber(L, 2, 0);
  return lcuda_result(L, gpu_synchronize_within(device, seconds, &error), &error);
}

/* cuda.reset(index?) -> true | nil, message, code */
static int cuda_reset(lua_State *L) {
  gpu_error error;
  return lcuda_result(L, gpu_reset(check_ordinal(L, 1), &error), &error);
}

/* cuda.memory(index?) -> {used =, peak =, reserved =, free =, total =} | nil, message, code */
static int cuda_memory(lua_State *L) {
  gpu_error error;
  gpu_device *device = gpu_touch(check_ordinal(L, 1), &error);
  if (!device) return lcuda_refuse(L, &error);
  const gpu_driver *driver = gpu_state_get()->driver;
  size_t available = 0, total = 0;
  uint64_t reserved = 0;
  int failed = gpu_check(device, driver->memory_info(&available, &total), "ask for memory", &error);
  if (failed) return lcuda_refuse(L, &error);
  driver->pool_get(device->pool, POOL_RESERVED_CURRENT, &reserved);
  lua_createtable(L, 0, 5);
  set_integer(L, "used", (lua_Integer)device->bytes);
  set_integer(L, "peak", (lua_Integer)device->peak_bytes);
  set_integer(L, "reserved", (lua_Integer)reserved);
  set_integer(L, "free", (lua_Integer)available);
  set_integer(L, "total", (lua_Integer)total);
  return 1;
}

/* cuda.reset_peak(index?): the peak starts again from what is in use */
static int cuda_reset_peak(lua_State *L) {
  gpu_error error;
  gpu_device *device = gpu_touch(check_ordinal(L, 1), &error);
  if (!device) return lcuda_refuse(L, &error);
  device->peak_bytes = device->bytes;
  lua_pushboolean(L, 1);
  return 1;
}

/* cuda.clock(index?) -> MHz of the SMs now, the highest | nil, message, code */
static int cuda_clock(lua_State *L) {
  gpu_error error;
  gpu_device *device = gpu_touch(check_ordinal(L, 1), &error);
  if (!device) return lcuda_refuse(L, &error);
  int now = clocks_sm(device);
  if (now == 0) {
    gpu_refuse(&error, -1, "NVML (libnvidia-ml.so.1) does not tell the clocks of cuda:%d",
               device->ordinal);
    return lcuda_refuse(L, &error);
  }
  lua_pushinteger(L, now);
  lua_pushinteger(L, clocks_sm_max(device));
  return 2;
}

/* core.driver_version() -> 13000 for CUDA 13.0 | nil, message, code */
static int cuda_driver_version(lua_State *L) {
  gpu_error error;
  if (gpu_open(&error)) return lcuda_refuse(L, &error);
  lua_pushinteger(L, gpu_driver_version());
  return 1;
}

static const luaL_Reg functions[] = {{"available", cuda_available},
                                     {"devices", cuda_devices},
                                     {"device", cuda_device},
                                     {"synchronize", cuda_synchronize},
                                     {"reset", cuda_reset},
                                     {"memory", cuda_memory},
                                     {"reset_peak", cuda_reset_peak},
                                     {"clock", cuda_clock},
                                     {"driver_version", cuda_driver_version},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_cuda(lua_State *L) {
  share_gpu_state(L);
  luaL_newlib(L, functions);
  lcuda_open_memory(L);
  lcuda_open_kernel(L);
  lcuda_open_launch(L);
  lcuda_open_stream(L);
  lcuda_open_timer(L);
  lcuda_open_nvrtc(L);
  lcuda_open_nvtx(L);
  return 1;
}
