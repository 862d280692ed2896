/* lcuda.h -- what the files of hone.core.cuda share, and how other libraries' objects are passed to
 * kernels. */
#ifndef HONE_LCUDA_H
#define HONE_LCUDA_H

#include <lauxlib.h>
#include <lua.h>

#include "gpu/context.h"
#include "gpu/kernel.h"

#define LCUDA_BUFFER "hone.cuda.Buffer" /* metatable names; argument errors show them */
#define LCUDA_MODULE "hone.cuda.Loaded"
#define LCUDA_KERNEL "hone.cuda.Kernel"
#define LCUDA_LAUNCH "hone.cuda.Launch"
#define LCUDA_STREAM "hone.cuda.Stream"
#define LCUDA_EVENT "hone.cuda.Event"
#define LCUDA_GRAPH "hone.cuda.Graph"
#define LCUDA_TENSOR_MAP "hone.cuda.TensorMap"
#define LCUDA_TIMER "hone.cuda.Timer"

/* ---- objects with memory on a device --------------------------------------------------------- */

typedef struct {
  CUdeviceptr address;
  int device;      /* its ordinal */
  bool *is_shared; /* where to note that a stream other than the device's own uses it; NULL: no need
                    */
} lcuda_place;

/* A userdata whose metatable has this as a light userdata under LCUDA_POINTEE can be an argument of
 * a kernel. `locate` returns NULL, or why the object cannot be one: "was freed". */
typedef struct {
  const char *(*locate)(void *object, lcuda_place *place);
} lcuda_pointee;

#define LCUDA_POINTEE "__gpu"

/* ---- helpers --------------------------------------------------------------------------------- */

/* nil, message, code; raises "interrupted" */
int lcuda_refuse(lua_State *L, const gpu_error *error);

/* true, or a refusal when failed */
int lcuda_result(lua_State *L, int failed, const gpu_error *error);

/* The device that scripts chose, touched; NULL with error filled. */
gpu_device *lcuda_current(gpu_error *error);

/* A list of strings at `arg` as an array ended by NULL, which lives as long as the userdata that is
 * pushed and the strings' list. */
const char **lcuda_push_strings(lua_State *L, int arg, int *count);

/* Registers a class: methods, metamethods ("__gc"...), __name, __index. */
void lcuda_class(lua_State *L, const char *name, const luaL_Reg *methods,
                 const luaL_Reg *metamethods);

/* Registers a class without methods, whose objects are freed as garbage. */
void lcuda_collected(lua_State *L, const char *name, lua_CFunction free);

/* While a graph is captured, what its launches use is kept with it: the value at `index`. */
void lcuda_keep(lua_State *L, int index);

/* A stream argument: nil is the device's current one. Raises for a stream of another device. */
CUstream lcuda_stream(lua_State *L, int index, const gpu_device *device);

/* The place of the object at `index`; NULL, or why it has none. */
const char *lcuda_locate(lua_State *L, int index, lcuda_place *place);

/* ---- buffers --------------------------------------------------------------------------------- */

typedef struct {
  const lcuda_pointee *pointee; /* &lcuda_buffer_pointee: tells a buffer, see lcuda_test_buffer */
  gpu_device *device;
  unsigned generation;
  CUdeviceptr address; /* 0 before it is allocated, after it is freed, and of 0 bytes */
  size_t bytes;
  bool is_open, is_shared;
} lcuda_buffer;

extern const lcuda_pointee lcuda_buffer_pointee;

/* The buffer at `index`, NULL for anything else: a quicker luaL_testudata. Only a full userdata has
 * both an address and this size, and only a buffer begins like one. */
static inline lcuda_buffer *lcuda_test_buffer(lua_State *L, int index) {
  if (lua_rawlen(L, index) != sizeof(lcuda_buffer)) return NULL;
  lcuda_buffer *b = lua_touserdata(L, index);
  return b && b->pointee == &lcuda_buffer_pointee ? b : NULL;
}

/* ---- the parts of the library, each adding its functions to the table on top
 * --------------------- */

void lcuda_open_memory(lua_State *L);
void lcuda_open_kernel(lua_State *L);
void lcuda_open_launch(lua_State *L);
void lcuda_open_stream(lua_State *L);
void lcuda_open_timer(lua_State *L);
void lcuda_open_nvrtc(lua_State *L);
void lcuda_open_nvtx(lua_State *L);

#endif
