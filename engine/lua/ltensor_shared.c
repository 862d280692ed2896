/* ltensor_shared.c -- tensors over memory that another process can have too. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/tensor/tensor.h"
#include "lua/ltensor.h"

static void unmap(storage *s) {
  munmap(s->data, s->bytes);
}

/* A uint8 tensor of all of a storage, whose reference it takes. */
static int finish(lua_State *L, tensor *t, storage *s) {
  tensor_error error;
  int64_t size = (int64_t)s->bytes;
  int code = tensor_over(t, s, 0, DTYPE_UINT8, 1, &size, &error);
  storage_release(s);
  ltensor_try(L, code, &error);
  return 1;
}

/* tensor._map_shared(descriptor, bytes) -> uint8 [bytes] on the CPU */
static int map_shared(lua_State *L) {
  tensor_error error;
  storage *s;
  int fd = (int)luaL_checkinteger(L, 1);
  size_t bytes = (size_t)luaL_checkinteger(L, 2);
  tensor *t = ltensor_push(L);
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return luaL_error(L, "cannot map memory: %s", strerror(errno));
  int code = storage_wrap(&s, DEVICE_CPU, data, bytes, unmap, NULL, &error);
  if (code) munmap(data, bytes);
  ltensor_try(L, code, &error);
  return finish(L, t, s);
}

/* tensor._new_shared(bytes, {device=}) -> uint8 [bytes] on a GPU, its handle in hex */
static int new_shared(lua_State *L) {
  tensor_error error;
  storage *s = NULL;
  char handle[64];
  size_t bytes = (size_t)luaL_checkinteger(L, 1);
  ltensor_options options = {DTYPE_UINT8, DEVICE_CPU};
  ltensor_check_options(L, 2, &options);
  luaL_argcheck(L, options.device != DEVICE_CPU, 2, "the device must be a GPU");
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, gpu_tensor_shared(&s, options.device, bytes, handle, &error));
  finish(L, t, s);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < sizeof handle; i++) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", (unsigned)(unsigned char)handle[i]);
    luaL_addstring(&b, hex);
  }
  luaL_pushresult(&b);
  return 2;
}

/* tensor._alias(address, bytes, device ordinal or -1) -> uint8 [bytes] over memory that outlives
 * it: for the process that runs somebody's kernels */
static int alias(lua_State *L) {
  tensor_error error;
  storage *s = NULL;
  luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
  size_t bytes = (size_t)luaL_checkinteger(L, 2);
  int device = (int)luaL_checkinteger(L, 3);
  tensor *t = ltensor_push(L);
  if (device != DEVICE_CPU) ltensor_start_cuda(L);
  int code = device == DEVICE_CPU
                 ? storage_wrap(&s, DEVICE_CPU, lua_touserdata(L, 1), bytes, NULL, NULL, &error)
                 : gpu_tensor_alias(&s, device, lua_touserdata(L, 1), bytes, &error);
  ltensor_try(L, code, &error);
  return finish(L, t, s);
}

/* t:_address() -> where its elements lie, the device's ordinal or -1 */
static int address(lua_State *L) {
  const tensor *t = ltensor_check(L, 1);
  lua_pushlightuserdata(L, tensor_data(t));
  lua_pushinteger(L, t->storage->device);
  return 2;
}

const luaL_Reg ltensor_shared_functions[] = {
    {"_map_shared", map_shared}, {"_new_shared", new_shared}, {"_alias", alias}, {NULL, NULL}};
const luaL_Reg ltensor_shared_methods[] = {{"_address", address}, {NULL, NULL}};
