/* lcuda_stream.c -- streams, events, and graphs captured from Lua functions. */
#include "lcuda.h"

/* ---- streams ------------------------------------------------------------------------------- */

typedef struct {
  gpu_device *device;
  unsigned generation;
  CUstream handle; /* NULL once closed */
} Stream;

static Stream *check_stream(lua_State *L, int arg) {
  Stream *s = luaL_checkudata(L, arg, LCUDA_STREAM);
  luaL_argcheck(L, s->handle != NULL, arg, "stream was closed");
  luaL_argcheck(L, s->generation == s->device->generation, arg, "stream was lost with its context");
  return s;
}

CUstream lcuda_stream(lua_State *L, int index, const gpu_device *device) {
  if (lua_isnil(L, index)) return device->stream;
  const Stream *s = luaL_testudata(L, index, LCUDA_STREAM);
  if (!s) luaL_error(L, "option 'stream' is not a stream");
  if (!s->handle || s->generation != s->device->generation) luaL_error(L, "the stream was closed");
  if (s->device != device)
    luaL_error(L, "the stream belongs to cuda:%d, not to cuda:%d", s->device->ordinal,
               device->ordinal);
  return s->handle;
}

/* Pushes a new stream; NULL, and nothing pushed, with `error` filled. */
static Stream *push_stream(lua_State *L, gpu_device *device, int priority, gpu_error *error) {
  Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (Stream){.device = device, .generation = device->generation};
  luaL_setmetatable(L, LCUDA_STREAM);
  CUresult result =
      gpu_state_get()->driver->stream_create(&s->handle, STREAM_NON_BLOCKING, priority);
  if (gpu_check(device, result, "make a stream", error) == 0) return s;
  lua_pop(L, 1);
  return NULL;
}

/* cuda.stream(priority = 0) -> stream | nil, message, code; lower numbers are served first */
static int cuda_stream(lua_State *L) {
  lua_Integer priority = luaL_optinteger(L, 1, 0);
  luaL_argcheck(L, -100 <= priority && priority <= 100, 1, "no such priority");
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device || !push_stream(L, device, (int)priority, &error)) return lcuda_refuse(L, &error);
  return 1;
}

/* cuda.priorities() -> lowest, highest | nil, message, code */
static int cuda_priorities(lua_State *L) {
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  int least = 0, greatest = 0;
  CUresult result = gpu_state_get()->driver->stream_priorities(&least, &greatest);
  if (gpu_check(device, result, "ask for priorities", &error)) return lcuda_refuse(L, &error);
  lua_pushinteger(L, least);
  lua_pushinteger(L, greatest);
  return 2;
}

static int stream_close(lua_State *L) {
  Stream *s = luaL_checkudata(L, 1, LCUDA_STREAM);
  gpu_error ignored;
  bool is_alive = s->handle && s->generation == s->device->generation;
  if (is_alive && gpu_activate(s->device, &ignored) == 0) {
    gpu_state_get()->driver->stream_destroy(s->handle);
  }
  s->handle = NULL;
  return 0;
}

/* stream:synchronize(seconds?) -> true | nil, message, code */
static int stream_synchronize(lua_State *L) {
  Stream *s = check_stream(L, 1);
  double seconds = luaL_optnumber(L, 2, 0);
  gpu_error error;
  int failed = gpu_activate(s->device, &error);
  if (!failed) failed = gpu_stream_synchronize(s->device, s->handle, seconds, &error);
  return lcuda_result(L, failed, &error);
}

/* stream:is_idle() -> boolean | nil, message, code */
static int stream_is_idle(lua_State *L) {
  Stream *s = check_stream(L, 1);
  gpu_error error;
  if (gpu_activate(s->device, &error)) return lcuda_refuse(L, &error);
  CUresult result = gpu_state_get()->driver->stream_query(s->handle);
  bool is_busy = result == CUDA_ERROR_NOT_READY;
  if (!is_busy && gpu_check(s->device, result, "ask a stream", &error))
    return lcuda_refuse(L, &error);
  lua_pushboolean(L, !is_busy);
  return 1;
}

/* stream:with(f, ...): f's work that names no stream goes to this one -> f's results */
static int stream_with(lua_State *L) {
  Stream *s = check_stream(L, 1);
  luaL_checkany(L, 2);
  gpu_device *device = s->device;
  if (device->capturing)
    return luaL_error(L, "a graph is being captured: it has a stream of its own");
  CUstream before = device->stream;
  device->stream = s->handle;
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  device->stream = before;
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* ---- events -------------------------------------------------------------------------------- */

typedef struct {
  gpu_device *device;
  unsigned generation;
  CUevent handle;
} Event;

static Event *check_event(lua_State *L, int arg) {
  Event *e = luaL_checkudata(L, arg, LCUDA_EVENT);
  luaL_argcheck(L, e->handle != NULL, arg, "event was closed");
  luaL_argcheck(L, e->generation == e->device->generation, arg, "event was lost with its context");
  return e;
}

/* cuda.event() -> event | nil, message, code */
static int cuda_event(lua_State *L) {
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  Event *e = lua_newuserdatauv(L, sizeof *e, 0);
  *e = (Event){.device = device, .generation = device->generation};
  luaL_setmetatable(L, LCUDA_EVENT);
  CUresult result = gpu_state_get()->driver->event_create(&e->handle, 0);
  if (gpu_check(device, result, "make an event", &error)) return lcuda_refuse(L, &error);
  return 1;
}

static int event_close(lua_State *L) {
  Event *e = luaL_checkudata(L, 1, LCUDA_EVENT);
  gpu_error ignored;
  bool is_alive = e->handle && e->generation == e->device->generation;
  if (is_alive && gpu_activate(e->device, &ignored) == 0) {
    gpu_state_get()->driver->event_destroy(e->handle);
  }
  e->handle = NULL;
  return 0;
}

/* event:record(stream?) -> event | nil, message, code */
static int event_record(lua_State *L) {
  Event *e = check_event(L, 1);
  lua_settop(L, 2);
  CUstream stream = lcuda_stream(L, 2, e->device);
  gpu_error error;
  int failed = gpu_activate(e->device, &error);
  CUresult result =
      failed ? CUDA_SUCCESS : gpu_state_get()->driver->event_record(e->handle, stream);
  if (!failed) failed = gpu_check(e->device, result, "record an event", &error);
  if (failed) return lcuda_refuse(L, &error);
  lua_settop(L, 1);
  return 1;
}

/* event:synchronize(seconds?) -> true | nil, message, code */
static int event_synchronize(lua_State *L) {
  Event *e = check_event(L, 1);
  double seconds = luaL_optnumber(L, 2, 0);
  gpu_error error;
  int failed = gpu_activate(e->device, &error);
  if (!failed) failed = gpu_event_wait(e->device, e->handle, seconds, &error);
  return lcuda_result(L, failed, &error);
}

/* event:elapsed(later) -> seconds | nil, message, code; waits for both */
static int event_elapsed(lua_State *L) {
  Event *start = check_event(L, 1), *stop = check_event(L, 2);
  luaL_argcheck(L, start->device == stop->device, 2, "events of two devices");
  gpu_error error;
  int failed = gpu_activate(start->device, &error);
  if (!failed) failed = gpu_event_wait(start->device, stop->handle, 0, &error);
  float milliseconds = 0;
  CUresult result =
      failed ? CUDA_SUCCESS
             : gpu_state_get()->driver->event_elapsed(&milliseconds, start->handle, stop->handle);
  if (!failed) failed = gpu_check(start->device, result, "read events", &error);
  if (failed) return lcuda_refuse(L, &error);
  lua_pushnumber(L, milliseconds * 1e-3);
  return 1;
}

/* stream:wait(event | stream) -> stream | nil, message, code: what comes next waits for it */
static int stream_wait(lua_State *L) {
  Stream *s = check_stream(L, 1);
  gpu_error error;
  int failed = gpu_activate(s->device, &error);
  if (failed) return lcuda_refuse(L, &error);
  if (luaL_testudata(L, 2, LCUDA_STREAM)) {
    const Stream *other = check_stream(L, 2);
    luaL_argcheck(L, other->device == s->device, 2, "stream of another device");
    failed = gpu_stream_follow(s->device, s->handle, other->handle, &error);
  } else {
    CUresult result = gpu_state_get()->driver->stream_wait(s->handle, check_event(L, 2)->handle, 0);
    failed = gpu_check(s->device, result, "wait for an event", &error);
  }
  if (failed) return lcuda_refuse(L, &error);
  lua_settop(L, 1);
  return 1;
}

/* ---- graphs -------------------------------------------------------------------------------- */

typedef struct { /* user value 1: a list of what its launches use */
  gpu_device *device;
  unsigned generation;
  CUgraph graph;
  CUgraphExec exec;
  size_t nodes;
} Graph;

static const char
    kept; /* its address: the registry's key for the list of the graph being captured */

void lcuda_keep(lua_State *L, int index) {
  int type = lua_type(L, index);
  if (type != LUA_TUSERDATA) return;
  index = lua_absindex(L, index);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &kept) == LUA_TTABLE) {
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  lua_pop(L, 1);
}

static Graph *check_graph(lua_State *L, int arg) {
  Graph *g = luaL_checkudata(L, arg, LCUDA_GRAPH);
  luaL_argcheck(L, g->exec != NULL, arg, "graph was closed");
  luaL_argcheck(L, g->generation == g->device->generation, arg, "graph was lost with its context");
  return g;
}

/* Ends with the captured graph in g whatever the function did; its error, if any, is on top. No
 * garbage is collected meanwhile: unloading a module, say, would spoil the capture. */
static int capture(lua_State *L, Graph *g, const Stream *s, bool *has_raised, gpu_error *error) {
  int failed = gpu_capture_begin(g->device, s->handle, error);
  if (failed) return failed;
  bool was_collecting = lua_gc(L, LUA_GCISRUNNING);
  lua_gc(L, LUA_GCSTOP);
  lua_pushvalue(L, 1);
  *has_raised = lua_pcall(L, 0, 0, 0) != LUA_OK;
  if (was_collecting) lua_gc(L, LUA_GCRESTART);
  return gpu_capture_end(g->device, &g->graph, error);
}

static int instantiate(Graph *g, gpu_error *error) {
  const gpu_driver *driver = gpu_state_get()->driver;
  CUresult result = driver->graph_nodes(g->graph, NULL, &g->nodes);
  if (!result) result = driver->graph_instantiate(&g->exec, g->graph, 0);
  return gpu_check(g->device, result, "make a graph", error);
}

/* cuda.graph(f) -> graph | nil, message, code */
static int cuda_graph(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  gpu_error error;
  gpu_device *device = lcuda_current(&error);
  if (!device) return lcuda_refuse(L, &error);
  Graph *g = lua_newuserdatauv(L, sizeof *g, 1); /* [f, graph] */
  *g = (Graph){.device = device, .generation = device->generation};
  luaL_setmetatable(L, LCUDA_GRAPH);
  const Stream *s = push_stream(L, device, 0, &error); /* [f, graph, stream] */
  if (!s) return lcuda_refuse(L, &error);
  lua_newtable(L); /* [f, graph, stream, list] */
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kept);
  bool has_raised = false;
  int failed = capture(L, g, s, &has_raised, &error);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kept);
  if (has_raised) return lua_error(L);
  if (!failed) failed = instantiate(g, &error);
  if (failed) return lcuda_refuse(L, &error);
  lua_settop(L, 2);
  return 1;
}

static int graph_close(lua_State *L) {
  Graph *g = luaL_checkudata(L, 1, LCUDA_GRAPH);
  const gpu_driver *driver = gpu_state_get()->driver;
  if (g->generation == g->device->generation) {
    if (g->exec) driver->graph_exec_destroy(g->exec);
    if (g->graph) driver->graph_destroy(g->graph);
  }
  g->exec = NULL;
  g->graph = NULL;
  return 0;
}

/* graph:launch(stream?), graph() -> true | nil, message, code */
static int graph_launch(lua_State *L) {
  Graph *g = check_graph(L, 1);
  lua_settop(L, 2);
  CUstream stream = lcuda_stream(L, 2, g->device);
  gpu_error error;
  if (gpu_activate(g->device, &error)) return lcuda_refuse(L, &error);
  CUresult result = gpu_state_get()->driver->graph_launch(g->exec, stream);
  return lcuda_result(L, gpu_check(g->device, result, "launch a graph", &error), &error);
}

/* graph:nodes() -> integer */
static int graph_nodes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_graph(L, 1)->nodes);
  return 1;
}

/* ---- tables -------------------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"stream", cuda_stream},
                                     {"priorities", cuda_priorities},
                                     {"event", cuda_event},
                                     {"graph", cuda_graph},
                                     {NULL, NULL}};
static const luaL_Reg stream_methods[] = {{"synchronize", stream_synchronize},
                                          {"is_idle", stream_is_idle},
                                          {"with", stream_with},
                                          {"wait", stream_wait},
                                          {"close", stream_close},
                                          {NULL, NULL}};
static const luaL_Reg stream_metamethods[] = {
    {"__gc", stream_close}, {"__close", stream_close}, {NULL, NULL}};
static const luaL_Reg event_methods[] = {{"record", event_record},
                                         {"synchronize", event_synchronize},
                                         {"elapsed", event_elapsed},
                                         {"close", event_close},
                                         {NULL, NULL}};
static const luaL_Reg event_metamethods[] = {
    {"__gc", event_close}, {"__close", event_close}, {NULL, NULL}};
static const luaL_Reg graph_methods[] = {
    {"launch", graph_launch}, {"nodes", graph_nodes}, {"close", graph_close}, {NULL, NULL}};
static const luaL_Reg graph_metamethods[] = {
    {"__gc", graph_close}, {"__close", graph_close}, {"__call", graph_launch}, {NULL, NULL}};

void lcuda_open_stream(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lcuda_class(L, LCUDA_STREAM, stream_methods, stream_metamethods);
  lcuda_class(L, LCUDA_EVENT, event_methods, event_metamethods);
  lcuda_class(L, LCUDA_GRAPH, graph_methods, graph_metamethods);
}
