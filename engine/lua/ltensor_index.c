/* ltensor_index.c -- t[...] and t[...] = value: positions count from 1, what index tensors hold
 * from 0. And the methods that take index tensors. */
#include <string.h>
#include "lua/ltensor.h"
#include "tensor/index.h"

/* ---- keys -------------------------------------------------------------------------------------
 */

/* A key is applied item by item: views at once, index tensors at the end. */
typedef struct selection {
  tensor *view;                      /* on the Lua stack */
  const tensor *at[TENSOR_MAX_RANK]; /* on the Lua stack too */
  int dim;                           /* of the view, that the next item is for */
  bool advanced;                     /* is there an index tensor? */
} selection;

/* Replace the view by what make(&next, view) makes. */
#define REPLACE_VIEW(s, call)                                                                      \
  do {                                                                                             \
    tensor_error error;                                                                            \
    tensor next, *view = (s)->view;                                                                \
    ltensor_try(L, call, &error);                                                                  \
    tensor_release(view);                                                                          \
    *view = next;                                                                                  \
  } while (0)

static void need_dimension(lua_State *L, const selection *s) {
  if (s->dim >= s->view->rank) luaL_error(L, "cannot index: more items than dimensions");
}

static void apply_integer(lua_State *L, selection *s, lua_Integer position) {
  need_dimension(L, s);
  int64_t size = s->view->shape[s->dim];
  int64_t index = position < 0 ? position + size : position - 1;
  if (index < 0 || index >= size)
    luaL_error(L, "cannot index: position %I is out of range for a dimension of size %I",
               (LUAI_UACINT)position, (LUAI_UACINT)size);
  REPLACE_VIEW(s, tensor_select(&next, view, s->dim, index, &error));
  for (int d = s->dim; d < s->view->rank; d++) s->at[d] = NULL;
}

static lua_Integer range_part(lua_State *L, int i, lua_Integer otherwise) {
  lua_Integer value = otherwise;
  if (lua_rawgeti(L, -1, i) != LUA_TNIL) {
    int exact;
    value = lua_tointegerx(L, -1, &exact);
    if (!exact) luaL_error(L, "cannot index: a range is {first, last, step}, of integers");
  }
  lua_pop(L, 1);
  return value;
}

/* {first, last, step}, both ends included, as string.sub counts them */
static void apply_range(lua_State *L, selection *s) {
  need_dimension(L, s);
  int64_t size = s->view->shape[s->dim];
  lua_Integer first = range_part(L, 1, 1), last = range_part(L, 2, -1), step = range_part(L, 3, 1);
  first = first < 0 ? first + size : first > 0 ? first - 1 : 0;
  last = last < 0 ? last + size + 1 : last;
  REPLACE_VIEW(s, tensor_slice(&next, view, s->dim, first, last, step, &error));
  s->dim++;
}

static void apply_newaxis(lua_State *L, selection *s) {
  REPLACE_VIEW(s, tensor_unsqueeze(&next, view, s->dim, &error));
  s->dim++;
}

/* Push the places where t is not zero; found on the CPU where it knows a device's small tensor. */
static tensor *push_places(lua_State *L, const tensor *t) {
  tensor_error error;
  tensor *places = ltensor_push(L), here, found;
  if (!tensor_on_host(&here, t, HOST_ASKS)) {
    LTENSOR_TRY(L, tensor_nonzero(places, ltensor_to_read(L, t), &error));
    return places;
  }
  int code = tensor_nonzero(&found, &here, &error);
  tensor_release(&here);
  ltensor_try(L, code, &error);
  code = tensor_from_host(places, &found, t->storage->device, &error);
  tensor_release(&found);
  ltensor_try(L, code, &error);
  return places;
}

/* A mask stands for the places where it holds: one index tensor for each of its dimensions. */
static void apply_mask(lua_State *L, selection *s, const tensor *mask) {
  tensor_error error;
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  bool fits = mask->rank > 0 && s->dim + mask->rank <= s->view->rank;
  for (int d = 0; d < mask->rank && fits; d++) fits = mask->shape[d] == s->view->shape[s->dim + d];
  if (!fits)
    luaL_error(L, "cannot index %s by the mask %s: the shapes do not fit",
               tensor_describe(s->view, left), tensor_describe(mask, right));
  tensor *places = push_places(L, mask);
  for (int d = 0; d < mask->rank; d++) {
    tensor *column = ltensor_push(L);
    LTENSOR_TRY(L, tensor_select(column, places, 1, d, &error));
    s->at[s->dim++] = column;
  }
  s->advanced = true;
}

static void apply_tensor(lua_State *L, selection *s, const tensor *index) {
  need_dimension(L, s);
  if (index->dtype == DTYPE_BOOL) {
    apply_mask(L, s, index);
    return;
  }
  s->at[s->dim++] = index;
  s->advanced = true;
}

/* How many dimensions an item takes up. */
static int item_width(lua_State *L) {
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strcmp(name, "...") == 0 || strcmp(name, "new") == 0) return 0;
  const tensor *t = ltensor_test(L, -1);
  return t && t->dtype == DTYPE_BOOL ? t->rank : 1;
}

/* All dimensions but those that later items take; none where too few are left for them. */
static void apply_ellipsis(selection *s, int taken) {
  int last = s->view->rank - taken;
  if (last > s->dim) s->dim = last;
}

static void apply_name(lua_State *L, selection *s, int taken) {
  const char *name = lua_tostring(L, -1);
  if (strcmp(name, "new") == 0)
    apply_newaxis(L, s);
  else if (strcmp(name, ":") == 0)
    need_dimension(L, s), s->dim++;
  else if (strcmp(name, "...") == 0)
    apply_ellipsis(s, taken);
  else
    luaL_error(L, "cannot index by '%s'", name);
  if (s->dim > s->view->rank) luaL_error(L, "cannot index: more items than dimensions");
}

/* The item at the stack's top; `taken` dimensions are left for the items after it. Pushed index
 * tensors stay on the stack. */
static void apply_item(lua_State *L, selection *s, int taken) {
  int exact;
  lua_Integer position;
  switch (lua_type(L, -1)) {
  case LUA_TNUMBER:
    position = lua_tointegerx(L, -1, &exact);
    if (!exact) luaL_error(L, "cannot index by a number that is not an integer");
    apply_integer(L, s, position);
    return;
  case LUA_TTABLE: apply_range(L, s); return;
  case LUA_TSTRING: apply_name(L, s, taken); return;
  default:
    if (!ltensor_test(L, -1)) luaL_error(L, "cannot index by a %s", luaL_typename(L, -1));
    apply_tensor(L, s, ltensor_look(L, lua_gettop(L)));
  }
}

/* Apply the key at index `key` to the tensor at index 1. */
static selection apply_key(lua_State *L, int key) {
  selection s = {0};
  tensor *t = ltensor_look(L, 1);
  s.view = ltensor_push(L);
  tensor_share(s.view, t);
  if (lua_type(L, key) != LUA_TTABLE) {
    lua_pushvalue(L, key);
    apply_item(L, &s, 0);
    return s;
  }
  lua_Integer n = luaL_len(L, key);
  if (n > 2 * TENSOR_MAX_RANK) luaL_error(L, "cannot index: too many items");
  luaL_checkstack(L, 64, "too many items");
  int taken = 0;
  for (int i = 1; i <= (int)n; i++, lua_pop(L, 1)) {
    lua_geti(L, key, i);
    taken += item_width(L);
  }
  for (int i = 1; i <= (int)n; i++) {
    lua_geti(L, key, i);
    taken -= item_width(L);
    apply_item(L, &s, taken);
  }
  return s;
}

static void read_indices(lua_State *L, selection *s) {
  for (int d = 0; d < s->view->rank; d++)
    if (s->at[d]) s->at[d] = ltensor_to_read(L, s->at[d]);
}

/* Push elements of t; where t is a cast that waits, first those of what it casts. */
static tensor *push_taken(lua_State *L, const tensor *t, const tensor *const *at, int dim) {
  tensor_error error;
  tensor *out = ltensor_push(L), *source = ltensor_push(L), *taken = ltensor_push(L);
  bool is_cast = t->storage->pending && pending_is_cast_of(source, t, &error);
  const tensor *from = is_cast ? source : ltensor_to_read(L, t);
  tensor *to = is_cast ? taken : out;
  if (dim < 0)
    LTENSOR_TRY(L, tensor_index(to, from, at, &error));
  else
    LTENSOR_TRY(L, tensor_index_select(to, from, dim, at[0], &error));
  if (is_cast) {
    LTENSOR_TRY_LATER(L, tensor_to(out, taken, t->dtype, &error));
    pending_count(t, tensor_count(out));
  }
  tensor_release(source);
  tensor_release(taken);
  lua_pop(L, 2);
  ltensor_account(L, out);
  return out;
}

int ltensor_get_index(lua_State *L) {
  selection s = apply_key(L, 2);
  if (s.advanced) {
    read_indices(L, &s);
    push_taken(L, s.view, s.at, -1);
  } else {
    tensor_share(ltensor_push(L), s.view);
  }
  return 1;
}

/* Before elements of t that index tensors name are written. */
static void settle_for_put(lua_State *L, selection *s, const tensor *value) {
  tensor_error error;
  read_indices(L, s);
  ltensor_settle(L, value);
  LTENSOR_TRY(L, storage_settle_to_change(s->view->storage, &error));
}

int ltensor_set_index(lua_State *L) {
  tensor_error error;
  scalar number;
  operand value = ltensor_check_operand(L, 3, &number);
  if (lua_type(L, 2) == LUA_TSTRING)
    return luaL_error(L, "a tensor has no field '%s'", lua_tostring(L, 2));
  selection s = apply_key(L, 2);
  if (s.advanced) {
    settle_for_put(L, &s, value.tensor);
    LTENSOR_TRY(L, tensor_index_put(s.view, s.at, value.tensor, false, &error));
    return 0;
  }
  tensor from = *value.tensor;
  while (from.rank > s.view->rank && from.shape[0] == 1) {
    from.rank--;
    memmove(from.shape, from.shape + 1, (size_t)from.rank * sizeof *from.shape);
    memmove(from.stride, from.stride + 1, (size_t)from.rank * sizeof *from.stride);
  }
  LTENSOR_TRY(L, tensor_copy(s.view, &from, &error));
  return 0;
}

/* t:index{...} -> tensor: t[{...}] */
static int index_method(lua_State *L) {
  lua_settop(L, 2);
  luaL_checktype(L, 2, LUA_TTABLE);
  return ltensor_get_index(L);
}

/* t:index_put_({...}, value, accumulate) -> t */
static int index_put_method(lua_State *L) {
  tensor_error error;
  scalar number;
  luaL_checktype(L, 2, LUA_TTABLE);
  operand value = ltensor_check_operand(L, 3, &number);
  bool accumulate = lua_toboolean(L, 4);
  lua_settop(L, 3);
  if (!accumulate) {
    ltensor_set_index(L);
  } else {
    selection s = apply_key(L, 2);
    luaL_argcheck(L, s.advanced, 2, "to accumulate, an index tensor is needed");
    settle_for_put(L, &s, value.tensor);
    LTENSOR_TRY(L, tensor_index_put(s.view, s.at, value.tensor, true, &error));
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- methods with index tensors ---------------------------------------------------------------
 */

/* t:index_select(dim, index) -> tensor */
static int index_select(lua_State *L) {
  const tensor *t = ltensor_look(L, 1), *index = ltensor_read(L, 3);
  push_taken(L, t, &index, ltensor_check_dim(L, 2, t->rank));
  return 1;
}

static int index_write(lua_State *L, bool accumulate) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  const tensor *index = ltensor_read(L, 3), *source = ltensor_read(L, 4);
  int dim = ltensor_check_dim(L, 2, t->rank);
  LTENSOR_TRY(L, tensor_index_write(t, dim, index, source, accumulate, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:index_copy_(dim, index, source) -> t; t:index_add_ likewise */
static int index_copy(lua_State *L) {
  return index_write(L, false);
}
static int index_add(lua_State *L) {
  return index_write(L, true);
}

/* t:gather(dim, index) -> tensor of the index's shape */
static int gather(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1), *index = ltensor_read(L, 3);
  int dim = ltensor_check_dim(L, 2, t->rank);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_gather(out, t, dim, index, &error));
  return ltensor_finish(L, out);
}

static int push_scatter(lua_State *L, bool accumulate) {
  tensor_error error;
  scalar s;
  tensor *t = ltensor_check(L, 1);
  const tensor *index = ltensor_read(L, 3);
  int dim = ltensor_check_dim(L, 2, t->rank);
  operand source = ltensor_check_operand(L, 4, &s);
  ltensor_settle(L, source.tensor);
  LTENSOR_TRY(L, tensor_scatter(t, dim, index, source.tensor, accumulate, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:scatter_(dim, index, source or number) -> t; t:scatter_add_ likewise */
static int scatter(lua_State *L) {
  return push_scatter(L, false);
}
static int scatter_add(lua_State *L) {
  return push_scatter(L, true);
}

/* t:nonzero() -> int64 [n, rank]: places, counted from 0 */
static int nonzero(lua_State *L) {
  return ltensor_finish(L, push_places(L, ltensor_look(L, 1)));
}

/* t:masked_select(mask) -> vector */
static int masked_select(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1), *mask = ltensor_read(L, 2);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_masked_select(out, t, mask, &error));
  return ltensor_finish(L, out);
}

/* t:take(index) -> tensor of the index's shape, from t's elements in order */
static int take(lua_State *L) {
  tensor_error error;
  const tensor *t = ltensor_read(L, 1), *index = ltensor_read(L, 2);
  int64_t all = -1;
  tensor *flat = ltensor_push(L), *out = ltensor_push(L);
  LTENSOR_TRY(L, tensor_reshape(flat, t, 1, tensor_count(t) ? &all : &(int64_t){0}, &error));
  const tensor *at[1] = {index};
  LTENSOR_TRY(L, tensor_index(out, flat, at, &error));
  return ltensor_finish(L, out);
}

const luaL_Reg ltensor_index_functions[] = {{NULL, NULL}};

const luaL_Reg ltensor_index_methods[] = {{"index", index_method},
                                          {"index_put_", index_put_method},
                                          {"index_select", index_select},
                                          {"index_copy_", index_copy},
                                          {"index_add_", index_add},
                                          {"gather", gather},
                                          {"scatter_", scatter},
                                          {"scatter_add_", scatter_add},
                                          {"nonzero", nonzero},
                                          {"masked_select", masked_select},
                                          {"take", take},
                                          {NULL, NULL}};
