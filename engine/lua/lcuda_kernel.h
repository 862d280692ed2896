/* lcuda_kernel.h -- what a kernel is to the files that make it and launch it. */
#ifndef HONE_LCUDA_KERNEL_H
#define HONE_LCUDA_KERNEL_H

#include "lcuda.h"

/* The class of the object last passed: most launches pass objects of one. The metatable is anchored
 * in the registry, so that its address stays its own. */
typedef struct {
  const void *metatable;
  const lcuda_pointee *pointee;
} lcuda_last_class;

typedef struct { /* user values: its module, its block */
  const char *own_class;
  gpu_kernel kernel;
  lcuda_last_class last;
  unsigned char *block; /* arguments of the launch at hand */
} lcuda_kernel;

/* Every kernel and prepared launch begins with the address of its own class: with its size, that
 * tells one in two calls into Lua. Anything else, luaL_checkudata refuses. */
extern const char lcuda_kernel_class;

static inline void *lcuda_check_self(lua_State *L, size_t size, const char *class,
                                     const char *name) {
  if (lua_rawlen(L, 1) == size) {
    void *self = lua_touserdata(L, 1);
    if (self && *(const char **)self == class) return self;
  }
  return luaL_checkudata(L, 1, name);
}

static inline lcuda_kernel *lcuda_check_kernel(lua_State *L) {
  lcuda_kernel *k = lcuda_check_self(L, sizeof *k, &lcuda_kernel_class, LCUDA_KERNEL);
  if (k->kernel.generation != k->kernel.device->generation) {
    luaL_argerror(L, 1, "kernel was lost with its context");
  }
  return k;
}

/* A parameter block of so many bytes, zeros, kept in user value `value` of the object on top. */
unsigned char *lcuda_attach(lua_State *L, int value, size_t size);

#endif
