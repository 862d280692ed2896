/* ltensor.h -- what the files of hone.core.tensor share. The userdata holds a tensor and is made
 * before anything can fail, so that an error leaks nothing. */
#ifndef HONE_LTENSOR_H
#define HONE_LTENSOR_H

#include <lauxlib.h>
#include <lua.h>
#include "tensor/elementwise.h"
#include "tensor/pending.h"
#include "tensor/tensor.h"

#define TENSOR "hone.Tensor" /* metatable name; argument errors show it */

/* A tensor that was not closed, with its elements, which may be written. */
tensor *ltensor_check(lua_State *L, int arg);
/* The same, to be read only, until ltensor_account: it may be a part of what waits. */
const tensor *ltensor_read(lua_State *L, int arg);
/* The same, of which the elements may still have to be computed (tensor/pending.h). */
tensor *ltensor_look(lua_State *L, int arg);
const tensor *ltensor_to_read(lua_State *L, const tensor *t);
void ltensor_settle(lua_State *L, const tensor *t);
void ltensor_forget_read(void);              /* what they gave is used no more */
tensor *ltensor_test(lua_State *L, int arg); /* NULL for anything else */
/* Push a userdata that holds no tensor yet; fill it, it releases what it holds. */
tensor *ltensor_push(lua_State *L);

/* Raise *error, blaming the caller, when code is not 0. */
void ltensor_try(lua_State *L, int code, const tensor_error *error);

/* Run `expression`; when memory ran out, collect garbage and run it once more; then raise. */
#define LTENSOR_TRY(L, expression)                                                                 \
  do {                                                                                             \
    int code_ = (expression);                                                                      \
    if (code_ == TENSOR_NO_MEMORY) {                                                               \
      lua_gc(L, LUA_GCCOLLECT);                                                                    \
      code_ = (expression);                                                                        \
    }                                                                                              \
    ltensor_try(L, code_, &error);                                                                 \
  } while (0)

/* The same, of which the results may wait. */
#define LTENSOR_TRY_LATER(L, expression)                                                           \
  do {                                                                                             \
    pending_allow(true);                                                                           \
    int code_ = (expression);                                                                      \
    pending_allow(false);                                                                          \
    if (code_ == TENSOR_NO_MEMORY) {                                                               \
      lua_gc(L, LUA_GCCOLLECT);                                                                    \
      code_ = (expression);                                                                        \
    }                                                                                              \
    ltensor_try(L, code_, &error);                                                                 \
  } while (0)

/* After a tensor was made, at the end of a call: let the collector know of the memory that it does
 * not see. What was read for it is let go of. */
void ltensor_account(lua_State *L, const tensor *t);

/* The same, as the end of a function that returns the tensor on top of the stack. */
int ltensor_finish(lua_State *L, const tensor *t);

/* A dimension argument, from 1 or from the end, as 0..rank-1. */
int ltensor_check_dim(lua_State *L, int arg, int rank);
int ltensor_opt_dim(lua_State *L, int arg, int rank, int fallback);
dtype ltensor_check_dtype(lua_State *L, int arg);

/* Creation arguments from `first` on: sizes or a table of sizes; then options, which are a table
 * {dtype=, device=} (the table of sizes may hold them too) or a dtype's name. -> rank */
typedef struct ltensor_options {
  dtype dtype; /* what it was set to before where nothing is given */
  int device;
} ltensor_options;
int ltensor_check_shape(lua_State *L, int first, int64_t shape[TENSOR_MAX_RANK],
                        ltensor_options *options);
void ltensor_check_options(lua_State *L, int arg, ltensor_options *options); /* nil is fine */
int ltensor_check_sizes(lua_State *L, int arg, int64_t *sizes); /* a table of integers -> count */

/* A tensor, which may wait, or a number or boolean put into *s. */
operand ltensor_check_operand(lua_State *L, int arg, scalar *s);
void ltensor_push_element(lua_State *L, dtype d, const void *element); /* number or boolean */
void ltensor_push_shape(lua_State *L, int rank, const int64_t *shape); /* a table */

/* From now on tensors can lie on GPUs; whether there are any is seen when one is used. */
void ltensor_start_cuda(lua_State *L);
/* The metatable is at the stack's top: its tensors can be arguments of kernels. */
void ltensor_set_pointee(lua_State *L);
/* Push a tensor's elements on the CPU, contiguous there; the tensor itself where it is so. */
tensor *ltensor_push_on_cpu(lua_State *L, tensor *t);

/* Each room's functions and methods, registered by ltensor.c; the method `tostring` (of the room
 * print) is __tostring too. */
#define LTENSOR_ROOM(name)                                                                         \
  extern const luaL_Reg ltensor_##name##_functions[], ltensor_##name##_methods[]

LTENSOR_ROOM(make);
LTENSOR_ROOM(view);
LTENSOR_ROOM(ops);
LTENSOR_ROOM(reduce);
LTENSOR_ROOM(index);
LTENSOR_ROOM(join);
LTENSOR_ROOM(cuda);
LTENSOR_ROOM(later);
LTENSOR_ROOM(shared);

/* The methods and operators made from ops.def; the table of methods is at the stack's top. */
void ltensor_register_elementwise(lua_State *L);
int ltensor_binary_operator(lua_State *L); /* upvalue 1: the binary_op */
int ltensor_get_index(lua_State *L);       /* (tensor, key): t[key] for a key that is no name */
int ltensor_set_index(lua_State *L);       /* (tensor, key, value): t[key] = value */

#endif
