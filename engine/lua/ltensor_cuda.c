/* ltensor_cuda.c -- tensors on GPUs: CUDA started when a script first names such a device, and
 * tensors as arguments of kernels. */
#include "gpu/nvrtc.h"
#include "gpu/program.h"
#include "gpu/tensor/tensor.h"
#include "lua/gpu_state.h"
#include "lua/lcuda.h"
#include "lua/ltensor.h"

#define FIND_LIBRARIES "hone.tensor.find_libraries" /* in the registry: a function */
#define FOLDERS "hone.tensor.folders"               /* in the registry: what keeps the list alive */

/* tensor._on_cuda(function): called once, before CUDA is first used; it says where libraries are */
static int on_cuda(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, FIND_LIBRARIES);
  return 0;
}

/* tensor._cuda_libraries(folders) -> is NVRTC found there, or where the loader looks? */
static int cuda_libraries(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 1);
  const char **folders = lua_newuserdatauv(L, (n + 1) * sizeof *folders, 1);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    folders[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  folders[n] = NULL;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1); /* the strings live as long as their list */
  lua_setfield(L, LUA_REGISTRYINDEX, FOLDERS);
  gpu_library_folders(folders);
  const char *why;
  lua_pushboolean(L, gpu_nvrtc_open(folders, &why) != NULL);
  return 1;
}

void ltensor_start_cuda(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, FIND_LIBRARIES) == LUA_TFUNCTION) {
    lua_pushboolean(L, 0);
    lua_setfield(L, LUA_REGISTRYINDEX, FIND_LIBRARIES);
    share_gpu_state(L);
    gpu_tensors_register();
    lua_call(L, 0, 0);
  } else {
    lua_pop(L, 1);
  }
}

/* ---- arguments of kernels ---------------------------------------------------------------------
 */

static const char *locate(void *object, lcuda_place *place) {
  const tensor *t = object;
  tensor_error error;
  if (!t->storage) return "tensor was closed";
  if (t->storage->device == DEVICE_CPU) return "the tensor lies on the CPU; move it with to()";
  if (storage_settle_to_change(t->storage, &error)) return "the tensor cannot be computed";
  place->address = (CUdeviceptr)(uintptr_t)tensor_data(t);
  place->device = t->storage->device;
  place->is_shared = gpu_tensor_shared_flag(t->storage);
  return NULL;
}

void ltensor_set_pointee(lua_State *L) {
  static const lcuda_pointee pointee = {locate};
  lua_pushlightuserdata(L, (void *)(uintptr_t)&pointee);
  lua_setfield(L, -2, LCUDA_POINTEE);
}

/* ---- elements for Lua -------------------------------------------------------------------------
 */

tensor *ltensor_push_on_cpu(lua_State *L, tensor *t) {
  tensor_error error;
  tensor *here = ltensor_push(L);
  if (tensor_on_host(here, t, HOST_ASKS)) return here;
  LTENSOR_TRY(L, tensor_to_cpu(here, ltensor_to_read(L, t), &error));
  return here;
}

const luaL_Reg ltensor_cuda_functions[] = {
    {"_on_cuda", on_cuda}, {"_cuda_libraries", cuda_libraries}, {NULL, NULL}};
const luaL_Reg ltensor_cuda_methods[] = {{NULL, NULL}};
