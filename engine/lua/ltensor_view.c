/* ltensor_view.c -- other shapes over the same elements, and copies of them. */
#include "lua/ltensor.h"
#include "tensor/device.h"

/* Call make(out, t, ...) with a fresh userdata as out. */
#define PUSH_VIEW(call)                                                                            \
  do {                                                                                             \
    tensor_error error;                                                                            \
    tensor *out = ltensor_push(L);                                                                 \
    LTENSOR_TRY_LATER(L, call);                                                                    \
    return 1;                                                                                      \
  } while (0)

/* t:view(sizes...) or t:view(dtype) -> tensor over the same bytes */
static int view(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  tensor *t = ltensor_look(L, 1);
  if (lua_type(L, 2) == LUA_TSTRING) {
    dtype d = ltensor_check_dtype(L, 2);
    ltensor_settle(L, t);
    PUSH_VIEW(tensor_view_dtype(out, t, d, &error));
  }
  int rank = ltensor_check_shape(L, 2, shape, NULL);
  PUSH_VIEW(tensor_view(out, t, rank, shape, &error));
}

/* t:as_strided(sizes, strides, offset) -> tensor over the same storage; all in elements */
static int as_strided(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK], stride[TENSOR_MAX_RANK];
  tensor *t = ltensor_look(L, 1);
  int rank = ltensor_check_sizes(L, 2, shape), strides = ltensor_check_sizes(L, 3, stride);
  luaL_argcheck(L, rank == strides, 3, "one stride for each size expected");
  int64_t offset = luaL_optinteger(L, 4, t->offset);
  PUSH_VIEW(tensor_as_strided(out, t, rank, shape, stride, offset, &error));
}

/* t:reshape(sizes...) -> tensor, a view where that is possible */
static int reshape(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  tensor *t = ltensor_look(L, 1);
  int rank = ltensor_check_shape(L, 2, shape, NULL);
  PUSH_VIEW(tensor_reshape(out, t, rank, shape, &error));
}

/* t:flatten([first [, last]]) -> tensor */
static int flatten(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int first = ltensor_opt_dim(L, 2, t->rank, 0);
  int last = ltensor_opt_dim(L, 3, t->rank, t->rank - 1);
  PUSH_VIEW(tensor_flatten(out, t, first, last, &error));
}

/* t:unflatten(dim, sizes) -> tensor: one dimension as several */
static int unflatten(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int64_t sizes[TENSOR_MAX_RANK], shape[2 * TENSOR_MAX_RANK];
  int dim = ltensor_check_dim(L, 2, t->rank), n = ltensor_check_sizes(L, 3, sizes), rank = 0;
  for (int i = 0; i < dim; i++) shape[rank++] = t->shape[i];
  for (int i = 0; i < n; i++) shape[rank++] = sizes[i];
  for (int i = dim + 1; i < t->rank; i++) shape[rank++] = t->shape[i];
  PUSH_VIEW(tensor_reshape(out, t, rank, shape, &error));
}

/* t:expand(sizes...) -> tensor; -1 keeps a size */
static int expand(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  tensor *t = ltensor_look(L, 1);
  int rank = ltensor_check_shape(L, 2, shape, NULL);
  PUSH_VIEW(tensor_expand(out, t, rank, shape, &error));
}

static int expand_as(lua_State *L) {
  tensor *t = ltensor_look(L, 1), *other = ltensor_look(L, 2);
  PUSH_VIEW(tensor_expand(out, t, other->rank, other->shape, &error));
}

/* t:permute(dims...) -> tensor */
static int permute(lua_State *L) {
  int64_t dims[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK];
  tensor *t = ltensor_look(L, 1);
  int n = ltensor_check_shape(L, 2, dims, NULL);
  if (n != t->rank)
    return luaL_error(L, "cannot permute: %d dimensions named, there are %d", n, t->rank);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, dims[i]);
    lua_replace(L, 2);
    order[i] = ltensor_check_dim(L, 2, t->rank);
  }
  PUSH_VIEW(tensor_permute(out, t, order, &error));
}

/* t:transpose(a, b) -> tensor */
static int transpose(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int a = ltensor_check_dim(L, 2, t->rank), b = ltensor_check_dim(L, 3, t->rank);
  PUSH_VIEW(tensor_transpose(out, t, t->rank ? a : 0, t->rank ? b : 0, &error));
}

/* t:t() -> tensor: a matrix transposed */
static int matrix_transpose(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  luaL_argcheck(L, t->rank <= 2, 1, "a matrix expected");
  PUSH_VIEW(tensor_transpose(out, t, 0, t->rank == 2, &error));
}

/* t:squeeze([dim]) -> tensor without its dimensions of size 1 */
static int squeeze(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int dim = ltensor_opt_dim(L, 2, t->rank, -1);
  PUSH_VIEW(tensor_squeeze(out, t, dim, &error));
}

/* t:unsqueeze(dim) -> tensor with a dimension of size 1 put in */
static int unsqueeze(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int dim = ltensor_check_dim(L, 2, t->rank + 1);
  PUSH_VIEW(tensor_unsqueeze(out, t, dim, &error));
}

/* t:narrow(dim, first, length) -> tensor; first counts from 1, negative from the end */
static int narrow(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  int dim = ltensor_check_dim(L, 2, t->rank);
  luaL_argcheck(L, t->rank > 0, 1, "a 0-d tensor cannot be narrowed");
  lua_Integer first = luaL_checkinteger(L, 3), length = luaL_checkinteger(L, 4);
  first = first < 0 ? first + t->shape[dim] : first - 1;
  PUSH_VIEW(tensor_narrow(out, t, dim, first, length, &error));
}

/* t:select(dim, index) -> tensor without that dimension; index counts from 1 */
static int select_one(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  luaL_argcheck(L, t->rank > 0, 1, "a 0-d tensor has nothing to select from");
  int dim = ltensor_check_dim(L, 2, t->rank);
  lua_Integer index = luaL_checkinteger(L, 3);
  luaL_argcheck(L, index != 0, 3, "positions count from 1, negative ones from the end");
  index = index < 0 ? index + t->shape[dim] : index - 1;
  PUSH_VIEW(tensor_select(out, t, dim, index, &error));
}

/* t:diagonal() -> view of a matrix's diagonal */
static int diagonal(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  luaL_argcheck(L, t->rank == 2, 1, "a matrix expected");
  tensor line = *t;
  line.rank = 1;
  line.shape[0] = t->shape[0] < t->shape[1] ? t->shape[0] : t->shape[1];
  line.stride[0] = t->stride[0] + t->stride[1];
  tensor_share(ltensor_push(L), &line);
  return 1;
}

/* t:contiguous() -> tensor: itself where it is so */
static int contiguous(lua_State *L) {
  tensor *t = ltensor_look(L, 1);
  PUSH_VIEW(tensor_contiguous(out, t, &error));
}

static int clone(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_look(L, 1), *out = ltensor_push(L);
  LTENSOR_TRY_LATER(L, tensor_clone(out, t, &error));
  ltensor_account(L, out);
  return 1;
}

/* t:to(dtype or options) -> tensor: itself where it is so */
static int to(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_look(L, 1);
  ltensor_options options = {t->dtype, t->storage->device};
  if (lua_type(L, 2) == LUA_TSTRING && dtype_from_name(lua_tostring(L, 2)) == DTYPE_NONE) {
    lua_newtable(L); /* a device's name */
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "device");
    lua_replace(L, 2);
  }
  ltensor_check_options(L, 2, &options);
  tensor *out = ltensor_push(L);
  if (options.device == t->storage->device) {
    LTENSOR_TRY_LATER(L, tensor_to(out, t, options.dtype, &error));
  } else {
    tensor *moved = ltensor_push(L);
    LTENSOR_TRY(L, tensor_to_device(moved, t, options.device, &error));
    LTENSOR_TRY(L, tensor_to(out, moved, options.dtype, &error));
    lua_pop(L, 1);
  }
  if (out->storage != t->storage) ltensor_account(L, out);
  return 1;
}

const luaL_Reg ltensor_view_functions[] = {{NULL, NULL}};

const luaL_Reg ltensor_view_methods[] = {{"view", view},
                                         {"as_strided", as_strided},
                                         {"reshape", reshape},
                                         {"flatten", flatten},
                                         {"unflatten", unflatten},
                                         {"expand", expand},
                                         {"expand_as", expand_as},
                                         {"permute", permute},
                                         {"transpose", transpose},
                                         {"t", matrix_transpose},
                                         {"squeeze", squeeze},
                                         {"unsqueeze", unsqueeze},
                                         {"narrow", narrow},
                                         {"select", select_one},
                                         {"diagonal", diagonal},
                                         {"contiguous", contiguous},
                                         {"clone", clone},
                                         {"to", to},
                                         {NULL, NULL}};
