/* lcuda_timer.c -- timing Lua functions that queue work, and the statistics behind it. */
#include <math.h>
#include <string.h>

#include "gpu/cupti.h"
#include "gpu/timer.h"
#include "lcuda.h"
#include "lua/fields.h"

#define SAMPLES "hone.cuda.Samples"

/* ---- options ------------------------------------------------------------------------------- */

/* scripts/hone/cuda/timing.lua has checked them and filled in what was left out. */
static double number_field(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  double value = luaL_checknumber(L, -1);
  lua_pop(L, 1);
  return value;
}

static bool flag_field(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static bool is_field(lua_State *L, int index, const char *name, const char *expected) {
  lua_getfield(L, index, name);
  bool is_equal = strcmp(luaL_optstring(L, -1, ""), expected) == 0;
  lua_pop(L, 1);
  return is_equal;
}

static stats_limits read_limits(lua_State *L, int index) {
  return (stats_limits){
      .rule = is_field(L, index, "stop", "entropy") ? STATS_STOP_ENTROPY : STATS_STOP_NOISE,
      .max_noise = number_field(L, index, "noise"),
      .min_time = number_field(L, index, "min_time"),
      .max_time = number_field(L, index, "max_time"),
      .min_samples = (size_t)number_field(L, index, "min_samples"),
      .max_samples = (size_t)number_field(L, index, "max_samples"),
  };
}

static gpu_timer_options read_options(lua_State *L, int index) {
  return (gpu_timer_options){
      .clock = is_field(L, index, "clock", "cupti") ? GPU_CLOCK_CUPTI : GPU_CLOCK_EVENTS,
      .cold = flag_field(L, index, "cold"),
      .block = flag_field(L, index, "block"),
      .body = flag_field(L, index, "body"),
      .graph = is_field(L, index, "clock", "graph"),
      .warmup = (unsigned)number_field(L, index, "warmup"),
      .timeout = number_field(L, index, "timeout"),
      .throttle = number_field(L, index, "throttle"),
      .limits = read_limits(L, index),
  };
}

/* ---- the timer of a device ----------------------------------------------------------------- */

static int timer_free(lua_State *L) {
  gpu_timer **timer = luaL_checkudata(L, 1, LCUDA_TIMER);
  if (*timer) gpu_timer_free(*timer);
  *timer = NULL;
  return 0;
}

static const char timers; /* its address: the registry's key for {[ordinal] = timer} */

static void push_timers(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &timers) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &timers);
}

/* The device's timer, which stays on the stack; NULL with error filled. */
static gpu_timer *push_timer(lua_State *L, gpu_device *device, gpu_error *error) {
  push_timers(L);
  lua_rawgeti(L, -1, device->ordinal);
  gpu_timer **held = luaL_testudata(L, -1, LCUDA_TIMER);
  if (held && gpu_timer_is_alive(*held)) return *held;
  lua_pop(L, 1);
  held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = NULL;
  luaL_setmetatable(L, LCUDA_TIMER);
  *held = gpu_timer_new(device, error);
  if (!*held) return NULL;
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, device->ordinal);
  return *held;
}

/* ---- samples ------------------------------------------------------------------------------- */

static gpu_samples *push_samples(lua_State *L) {
  gpu_samples *samples = lua_newuserdatauv(L, sizeof *samples, 0);
  *samples = (gpu_samples){0};
  luaL_setmetatable(L, SAMPLES);
  return samples;
}

static int samples_free(lua_State *L) {
  gpu_samples_free(luaL_checkudata(L, 1, SAMPLES));
  return 0;
}

static void push_result(lua_State *L, const gpu_samples *s) {
  lua_createtable(L, 0, 12);
  lua_createtable(L, (int)s->count, 0);
  for (size_t i = 0; i < s->count; i++) {
    lua_pushnumber(L, s->seconds[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "seconds");
  lua_createtable(L, (int)s->count, 0);
  for (size_t i = 0; i < s->count; i++) {
    lua_pushinteger(L, s->clocks[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "clocks");
  set_integer(L, "max_clock", s->max_clock);
  set_integer(L, "throttled", s->throttled);
  set_integer(L, "dropped", s->dropped);
  set_integer(L, "outside", s->outside);
  set_number(L, "wall", s->wall);
  set_number(L, "host", s->host);
  set_number(L, "overhead", s->overhead);
  set_number(L, "resolution", s->resolution);
  lua_pushboolean(L, s->blocked);
  lua_setfield(L, -2, "blocked");
  lua_pushstring(L, s->reason);
  lua_setfield(L, -2, "reason");
}

/* ---- running ------------------------------------------------------------------------------- */

typedef struct {
  lua_State *L;
  int function; /* its stack index */
  bool has_raised;
} Call;

/* Gives up when the function raises, or returns nil and a message: that, or the error, stays on
 * top. */
static int call(void *context) {
  Call *c = context;
  lua_pushvalue(c->L, c->function);
  if (lua_pcall(c->L, 0, 2, 0) != LUA_OK) {
    c->has_raised = true;
    return 1;
  }
  if (!lua_toboolean(c->L, -2) && lua_type(c->L, -1) == LUA_TSTRING) return 1;
  lua_pop(c->L, 2);
  return 0;
}

static int give_up(lua_State *L, const Call *calls, const gpu_error *error) {
  if (error->code != GPU_TIMER_GAVE_UP) return lcuda_refuse(L, error);
  if (calls[0].has_raised || calls[1].has_raised) return lua_error(L);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* options.cupti lists folders to look for CUPTI in. NULL, or why there is none. */
static const char *start_cupti(lua_State *L, int options) {
  int count;
  lua_getfield(L, options, "cupti");
  const char *problem = cupti_start(lcuda_push_strings(L, lua_gettop(L), &count));
  lua_pop(L, 2);
  return problem;
}

typedef struct {
  gpu_timer *timer;
  gpu_timer_options options;
} Setup;

/* Pushes what a run needs; false with error filled. */
static bool set_up(lua_State *L, int options, Setup *setup, gpu_error *error) {
  setup->options = read_options(L, options);
  gpu_device *device = lcuda_current(error);
  if (!device) return false;
  setup->timer = push_timer(L, device, error);
  if (!setup->timer) return false;
  const char *problem = setup->options.clock == GPU_CLOCK_CUPTI ? start_cupti(L, options) : NULL;
  if (problem) gpu_refuse(error, -1, "%s", problem);
  return !problem;
}

static void tear_down(const Setup *setup) {
  if (setup->options.clock == GPU_CLOCK_CUPTI) cupti_stop();
}

/* core.time(f, options) -> {seconds = {...}, clocks = {...}, reason =, ...} | nil, message, code */
static int core_time(lua_State *L) {
  luaL_checkany(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  gpu_error error = {0};
  Setup setup;
  if (!set_up(L, 2, &setup, &error)) return lcuda_refuse(L, &error);
  gpu_samples *samples = push_samples(L);
  Call calls[2] = {{L, 1, false}, {L, 1, false}};
  int failed = gpu_timer_run(setup.timer, &setup.options, call, &calls[0], samples, &error);
  tear_down(&setup);
  if (failed) return give_up(L, calls, &error);
  push_result(L, samples);
  return 1;
}

typedef struct {
  stats_limits limits;
  double confidence, margin;
  double *scratch; /* max_samples of them */
  stats_comparison result;
  const char *reason;
} Comparing;

enum { FIRST_LOOK = 16 };

/* Looking after every pair would find a difference in noise sooner or later: so at 16, 32, 64... */
static bool is_time_to_look(size_t count) {
  return count >= FIRST_LOOK && (count & (count - 1)) == 0;
}

/* How often, the last time included, as long as nothing is decided. */
static double looks(const stats_limits *limits) {
  double n = 1;
  for (size_t count = FIRST_LOOK; count < limits->max_samples; count *= 2) n++;
  return n;
}

/* Each look may be wrong by its share of the doubt (Bonferroni), so that all together are as sure
 * as was asked. */
static stats_comparison look(const Comparing *c, const gpu_samples *first,
                             const gpu_samples *second) {
  double n = looks(&c->limits);
  stats_comparison result = stats_compare(first->seconds, second->seconds, first->count,
                                          1 - (1 - c->confidence) / n, c->margin, c->scratch);
  result.confidence = fmax(1 - (1 - result.confidence) * n, 0);
  return result;
}

static bool is_decided(const gpu_samples *first, const gpu_samples *second, double wall,
                       void *context) {
  Comparing *c = context;
  bool is_last = wall >= c->limits.max_time || first->count >= c->limits.max_samples;
  if (!is_last && !is_time_to_look(first->count)) return false;
  c->result = look(c, first, second);
  c->reason = is_last ? "the limit of time or pairs was reached" : "the difference is clear";
  return is_last || (c->result.verdict != STATS_UNDECIDED && first->count >= c->limits.min_samples);
}

/* What was decided may not hold without the pairs at low clocks. */
static void judge_again(Comparing *c, const gpu_samples *samples) {
  c->result = look(c, &samples[0], &samples[1]);
  if (c->result.verdict == STATS_UNDECIDED) c->reason = "too many pairs were taken at low clocks";
}

static void push_comparison(lua_State *L, const Comparing *c, const gpu_samples *samples) {
  static const char *const verdicts[] = {"undecided", "faster", "slower", "same"};
  lua_createtable(L, 0, 8);
  lua_pushstring(L, verdicts[c->result.verdict]);
  lua_setfield(L, -2, "verdict");
  set_number(L, "confidence", c->result.confidence);
  set_number(L, "ratio", c->result.ratio);
  set_number(L, "low", c->result.low);
  set_number(L, "high", c->result.high);
  lua_pushstring(L, c->reason);
  lua_setfield(L, -2, "reason");
  push_result(L, &samples[0]);
  lua_setfield(L, -2, "first");
  push_result(L, &samples[1]);
  lua_setfield(L, -2, "second");
}

/* core.compare(f, g, options) -> {verdict =, confidence =, ratio =, low =, high =, first =, second
 * =} | nil, message, code */
static int core_compare(lua_State *L) {
  luaL_checkany(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  gpu_error error = {0};
  Setup setup;
  Comparing comparing = {.confidence = number_field(L, 3, "confidence"),
                         .margin = number_field(L, 3, "margin"),
                         .limits = read_limits(L, 3)};
  comparing.scratch =
      lua_newuserdatauv(L, (comparing.limits.max_samples + 1) * sizeof *comparing.scratch, 0);
  if (!set_up(L, 3, &setup, &error)) return lcuda_refuse(L, &error);
  gpu_samples *held[2] = {push_samples(L), push_samples(L)};
  gpu_samples samples[2] = {{0}, {0}};
  Call calls[2] = {{L, 1, false}, {L, 2, false}};
  gpu_work *const work[2] = {call, call};
  void *const contexts[2] = {&calls[0], &calls[1]};
  int failed = gpu_timer_run_pair(setup.timer, &setup.options, work, contexts, is_decided,
                                  &comparing, samples, &error);
  *held[0] = samples[0]; /* freed with their userdata from here on: nothing raised in between */
  *held[1] = samples[1];
  tear_down(&setup);
  if (failed) return give_up(L, calls, &error);
  if (samples[0].dropped) judge_again(&comparing, samples);
  push_comparison(L, &comparing, samples);
  return 1;
}

/* ---- statistics ---------------------------------------------------------------------------- */

/* The numbers of the list at `arg`, in a userdata that is pushed. */
static double *push_numbers(lua_State *L, int arg, size_t *count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  *count = (size_t)lua_rawlen(L, arg);
  double *values = lua_newuserdatauv(L, (*count + 1) * sizeof *values, 0);
  for (size_t i = 0; i < *count; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    if (!lua_isnumber(L, -1)) luaL_argerror(L, arg, "not a list of numbers");
    values[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return values;
}

/* core.summary(numbers, confidence) -> {median =, mean =, min =, max =, p10 =, p90 =, stddev =,
 * median_low =, median_high =, confidence =, count =} */
static int core_summary(lua_State *L) {
  size_t count, low, high;
  double *values = push_numbers(L, 1, &count);
  luaL_argcheck(L, count > 0, 1, "no numbers");
  stats_moments moments = {0};
  for (size_t i = 0; i < count; i++) stats_add(&moments, values[i]);
  stats_sort(values, count);
  double confidence = stats_median_interval(count, luaL_checknumber(L, 2), &low, &high);
  lua_createtable(L, 0, 11);
  set_integer(L, "count", (lua_Integer)count);
  set_number(L, "median", stats_quantile(values, count, 0.5));
  set_number(L, "p10", stats_quantile(values, count, 0.1));
  set_number(L, "p90", stats_quantile(values, count, 0.9));
  set_number(L, "min", values[0]);
  set_number(L, "max", values[count - 1]);
  set_number(L, "mean", moments.mean);
  set_number(L, "stddev", stats_deviation(&moments));
  set_number(L, "median_low", values[low]);
  set_number(L, "median_high", values[high]);
  set_number(L, "confidence", confidence);
  return 1;
}

/* core.stop_after(numbers, options) -> how many are enough | nil, why: the rule of core.time, a
 * number after another, each taking its own time of the wall's */
static int core_stop_after(lua_State *L) {
  size_t count;
  const double *values = push_numbers(L, 1, &count);
  stats_limits limits = read_limits(L, 2);
  stats_stop *stop = lua_newuserdatauv(L, sizeof *stop, 0);
  stats_stop_start(stop, &limits);
  double wall = 0;
  for (size_t i = 0; i < count; i++) {
    wall += values[i];
    if (!stats_stop_add(stop, values[i], wall)) continue;
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_pushstring(L, stop->reason);
    return 2;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "there are not enough");
  return 2;
}

/* core.judge(first, second, confidence, margin) -> {verdict =, ratio =, ...}: pairs of numbers */
static int core_judge(lua_State *L) {
  size_t count, other;
  const double *first = push_numbers(L, 1, &count), *second = push_numbers(L, 2, &other);
  luaL_argcheck(L, count == other, 2, "not one for each of the first");
  double *scratch = lua_newuserdatauv(L, (count + 1) * sizeof *scratch, 0);
  const Comparing c = {.result = stats_compare(first, second, count, luaL_checknumber(L, 3),
                                               luaL_checknumber(L, 4), scratch),
                       .reason = ""};
  const gpu_samples none[2] = {{0}, {0}};
  push_comparison(L, &c, none);
  return 1;
}

static const luaL_Reg functions[] = {{"time", core_time},       {"compare", core_compare},
                                     {"summary", core_summary}, {"stop_after", core_stop_after},
                                     {"judge", core_judge},     {NULL, NULL}};

void lcuda_open_timer(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lcuda_collected(L, LCUDA_TIMER, timer_free);
  lcuda_collected(L, SAMPLES, samples_free);
}
