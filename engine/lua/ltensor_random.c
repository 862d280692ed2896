/* ltensor_random.c -- random numbers, and the generators that they come from. */
#include "lua/ltensor.h"
#include "tensor/philox.h"
#include "tensor/random.h"

#define GENERATOR "hone.Generator" /* metatable name; argument errors show it */

/* ---- generators ------------------------------------------------------------------------------ */

static int generator_seed(lua_State *L) {
  generator *g = luaL_checkudata(L, 1, GENERATOR);
  lua_pushinteger(L, (lua_Integer)g->seed);
  return 1;
}

static int generator_offset(lua_State *L) {
  generator *g = luaL_checkudata(L, 1, GENERATOR);
  lua_pushinteger(L, (lua_Integer)g->offset);
  return 1;
}

/* g:set_offset(n) -> g */
static int generator_set_offset(lua_State *L) {
  generator *g = luaL_checkudata(L, 1, GENERATOR);
  g->offset = (uint64_t)luaL_checkinteger(L, 2);
  lua_settop(L, 1);
  return 1;
}

/* g:manual_seed(seed) -> g, at offset 0 */
static int generator_manual_seed(lua_State *L) {
  generator *g = luaL_checkudata(L, 1, GENERATOR);
  *g = (generator){(uint64_t)luaL_checkinteger(L, 2), 0};
  lua_settop(L, 1);
  return 1;
}

/* tostring(g) -> "hone.Generator(seed=1, offset=2)" */
static int generator_tostring(lua_State *L) {
  generator *g = luaL_checkudata(L, 1, GENERATOR);
  lua_pushfstring(L, GENERATOR "(seed=%I, offset=%I)", (LUAI_UACINT)g->seed,
                  (LUAI_UACINT)g->offset);
  return 1;
}

static const luaL_Reg generator_methods[] = {{"seed", generator_seed},
                                             {"offset", generator_offset},
                                             {"set_offset", generator_set_offset},
                                             {"manual_seed", generator_manual_seed},
                                             {NULL, NULL}};

static generator *push_generator(lua_State *L, uint64_t seed) {
  generator *g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = (generator){seed, 0};
  if (luaL_newmetatable(L, GENERATOR)) {
    luaL_newlib(L, generator_methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, generator_tostring);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);
  return g;
}

/* Of this state; seeded alike in every run. */
static generator *push_default_generator(lua_State *L) {
  static const char key;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
    push_generator(L, 0);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  }
  return lua_touserdata(L, -1);
}

/* The generator at `arg`, or in the options there, or the default one. */
static generator *check_generator(lua_State *L, int arg) {
  if (lua_istable(L, arg)) {
    if (lua_getfield(L, arg, "generator") == LUA_TNIL) return push_default_generator(L);
    generator *g = luaL_testudata(L, -1, GENERATOR);
    luaL_argcheck(L, g != NULL, arg, "the generator is none");
    return g;
  }
  return lua_isnoneornil(L, arg) ? push_default_generator(L) : luaL_checkudata(L, arg, GENERATOR);
}

/* tensor.generator([seed]) -> generator at offset 0 */
static int make_generator(lua_State *L) {
  push_generator(L, (uint64_t)luaL_optinteger(L, 1, 0));
  return 1;
}

/* tensor.manual_seed(seed) -> the default generator, at offset 0 */
static int manual_seed(lua_State *L) {
  generator *g = push_default_generator(L);
  *g = (generator){(uint64_t)luaL_checkinteger(L, 1), 0};
  return 1;
}

/* tensor._philox(counter 1..4, key 1, 2) -> four words: for the published known answers */
static int philox_words(lua_State *L) {
  philox_block counter;
  for (int i = 0; i < 4; i++) counter.word[i] = (uint32_t)luaL_checkinteger(L, 1 + i);
  philox_block out =
      philox_rounds(counter, (uint32_t)luaL_checkinteger(L, 5), (uint32_t)luaL_checkinteger(L, 6));
  for (int i = 0; i < 4; i++) lua_pushinteger(L, out.word[i]);
  return 4;
}

/* ---- new tensors ----------------------------------------------------------------------------- */

static tensor *push_empty(lua_State *L, int rank, const int64_t *shape,
                          const ltensor_options *options) {
  tensor_error error;
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, tensor_empty(t, options->dtype, options->device, rank, shape, &error));
  ltensor_account(L, t);
  return t;
}

/* Where a call's options stand: the last table of the arguments, if any. */
static int options_position(lua_State *L) {
  int last = lua_gettop(L);
  return last > 0 && lua_istable(L, last) ? last : last + 1;
}

typedef int two_parameters(tensor *t, generator *g, double a, double b, tensor_error *error);

static int push_drawn(lua_State *L, two_parameters *draw) {
  int64_t shape[TENSOR_MAX_RANK];
  tensor_error error;
  ltensor_options options = {DTYPE_FLOAT32, DEVICE_CPU};
  int rank = ltensor_check_shape(L, 1, shape, &options);
  generator *g = check_generator(L, options_position(L));
  tensor *t = push_empty(L, rank, shape, &options);
  LTENSOR_TRY(L, draw(t, g, 0, 1, &error));
  return 1;
}

/* tensor.rand(sizes..., options) -> uniform in [0, 1); tensor.randn -> normal */
static int make_rand(lua_State *L) {
  return push_drawn(L, random_uniform);
}
static int make_randn(lua_State *L) {
  return push_drawn(L, random_normal);
}

static int push_drawn_like(lua_State *L, two_parameters *draw) {
  tensor_error error;
  tensor *like = ltensor_check(L, 1);
  ltensor_options options = {like->dtype, like->storage->device};
  ltensor_check_options(L, 2, &options);
  generator *g = check_generator(L, lua_istable(L, 2) ? 2 : 3);
  tensor *t = push_empty(L, like->rank, like->shape, &options);
  LTENSOR_TRY(L, draw(t, g, 0, 1, &error));
  return 1;
}

/* tensor.rand_like(t, options) -> tensor */
static int make_rand_like(lua_State *L) {
  return push_drawn_like(L, random_uniform);
}
static int make_randn_like(lua_State *L) {
  return push_drawn_like(L, random_normal);
}

/* tensor.randint([low,] high, sizes, options) -> integers in [low, high) */
static int make_randint(lua_State *L) {
  int64_t shape[TENSOR_MAX_RANK];
  tensor_error error;
  lua_Integer low = lua_istable(L, 2) ? 0 : luaL_checkinteger(L, 1);
  int sizes = lua_istable(L, 2) ? 2 : 3;
  lua_Integer high = luaL_checkinteger(L, sizes - 1);
  ltensor_options options = {DTYPE_INT64, DEVICE_CPU};
  luaL_checktype(L, sizes, LUA_TTABLE);
  int rank = ltensor_check_shape(L, sizes, shape, &options);
  generator *g = check_generator(L, options_position(L));
  tensor *t = push_empty(L, rank, shape, &options);
  LTENSOR_TRY(L, random_integers(t, g, low, high, &error));
  return 1;
}

/* tensor.randperm(n, options) -> 0 to n - 1 in random order */
static int make_randperm(lua_State *L) {
  tensor_error error;
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0, 1, "a count of 0 or more expected");
  ltensor_options options = {DTYPE_INT64, DEVICE_CPU};
  ltensor_check_options(L, 2, &options);
  generator *g = check_generator(L, options_position(L));
  tensor *t = ltensor_push(L);
  LTENSOR_TRY(L, random_permutation(t, g, n, options.dtype, options.device, &error));
  ltensor_account(L, t);
  return 1;
}

/* weights:multinomial(n, [replacement, [generator]]) -> categories */
static int multinomial(lua_State *L) {
  tensor_error error;
  const tensor *weights = ltensor_read(L, 1);
  lua_Integer n = luaL_checkinteger(L, 2);
  bool replacement = lua_toboolean(L, 3);
  generator *g = check_generator(L, 4);
  tensor *out = ltensor_push(L);
  LTENSOR_TRY(L, random_multinomial(out, g, weights, n, replacement, &error));
  ltensor_account(L, out);
  return 1;
}

/* p:bernoulli([generator]) -> 1 with probability p, element by element */
static int bernoulli(lua_State *L) {
  tensor_error error;
  const tensor *p = ltensor_read(L, 1);
  generator *g = check_generator(L, 2);
  ltensor_options options = {p->dtype, p->storage->device};
  tensor *t = push_empty(L, p->rank, p->shape, &options);
  LTENSOR_TRY(L, random_bernoulli_each(t, g, p, &error));
  return 1;
}

/* ---- into a tensor --------------------------------------------------------------------------- */

static int draw_into(lua_State *L, two_parameters *draw) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  double a = luaL_optnumber(L, 2, 0), b = luaL_optnumber(L, 3, 1);
  generator *g = check_generator(L, 4);
  LTENSOR_TRY(L, draw(t, g, a, b, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:uniform_([low, [high, [generator]]]) -> t; t:normal_([mean, [deviation, [generator]]]) -> t */
static int uniform_(lua_State *L) {
  return draw_into(L, random_uniform);
}
static int normal_(lua_State *L) {
  return draw_into(L, random_normal);
}

/* t:exponential_([rate, [generator]]) -> t */
static int exponential_(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  double rate = luaL_optnumber(L, 2, 1);
  generator *g = check_generator(L, 3);
  LTENSOR_TRY(L, random_exponential(t, g, rate, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:random_(low, high, [generator]) -> t */
static int random_(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1);
  lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
  generator *g = check_generator(L, 4);
  LTENSOR_TRY(L, random_integers(t, g, low, high, &error));
  lua_settop(L, 1);
  return 1;
}

/* t:bernoulli_([p, [generator]]) -> t; p a number or a tensor of t's shape */
static int bernoulli_(lua_State *L) {
  tensor_error error;
  tensor *t = ltensor_check(L, 1), *each = ltensor_test(L, 2);
  generator *g = check_generator(L, 3);
  if (each)
    LTENSOR_TRY(L, random_bernoulli_each(t, g, ltensor_check(L, 2), &error));
  else
    LTENSOR_TRY(L, random_bernoulli(t, g, luaL_optnumber(L, 2, 0.5), &error));
  lua_settop(L, 1);
  return 1;
}

const luaL_Reg ltensor_random_functions[] = {
    {"generator", make_generator}, {"manual_seed", manual_seed},
    {"rand", make_rand},           {"randn", make_randn},
    {"rand_like", make_rand_like}, {"randn_like", make_randn_like},
    {"randint", make_randint},     {"randperm", make_randperm},
    {"_philox", philox_words},     {NULL, NULL}};

const luaL_Reg ltensor_random_methods[] = {{"uniform_", uniform_},         {"normal_", normal_},
                                           {"exponential_", exponential_}, {"random_", random_},
                                           {"bernoulli_", bernoulli_},     {"bernoulli", bernoulli},
                                           {"multinomial", multinomial},   {NULL, NULL}};
