/* lprocess.c -- require "hone.core.process": child processes over libuv.
 * One loop serves a Lua state. Nothing here calls Lua from inside the loop: callbacks fill buffers,
 * and scripts/hone/process.lua turns the loop with step() and takes what has come. Every child
 * leads a session of its own, so that it ends together with the processes that it started. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include "lua/interrupted.h"

#define CHILD "hone.process.Child" /* metatable names; argument errors show them */
#define LOOP "hone.process.Loop"

enum {
  READ_SIZE = 64 * 1024,
  HIGH_WATER = 1024 * 1024, /* an output nobody takes is read no further than this */
  POLL_MS = 100,            /* how long Ctrl-C may go unnoticed */
  STOP_POLL_MS = 10,        /* how often a group that was told to end is looked at */
  CLOSE_GRACE_MS = 500,     /* between SIGTERM and SIGKILL when the user or the state ends it all */
  DRAIN_MS = 100,           /* for the last output of a group that is gone */
  ABANDON_MS = 5000         /* a process that SIGKILL does not end hangs in a driver */
};

typedef struct Child Child;

typedef struct {
  uv_loop_t uv;
  uv_timer_t timer; /* bounds a turn */
  Child *children;
  bool open;
} Loop;

typedef struct {
  uv_pipe_t pipe;
  char *data; /* came and was not taken; malloc'ed */
  size_t size, capacity;
  bool open;      /* the end of the output was not seen */
  bool paused;    /* not read from, the buffer being full */
  bool unlimited; /* never paused */
} Output;

struct Child {
  Child *next;
  Loop *loop;
  uv_process_t process;
  uv_pipe_t input;
  Output output[2]; /* stdout, stderr */
  int handles;      /* of libuv, not yet closed: until then it may write into this struct */
  bool input_open, close_when_written;
  bool exited, orphan; /* orphan: no userdata refers to it; freed with its last handle */
  int status, signal;
  uint64_t ended;                   /* nanoseconds on uv_hrtime's clock */
  bool stopping, killed, abandoned; /* see advance */
  uint64_t kill_at, drop_at;        /* milliseconds on the same clock */
};

typedef struct {
  uv_write_t request;
  Child *child;
  char data[];
} Write;

static uint64_t now_ms(void) {
  return uv_hrtime() / 1000000;
}

/* nil, reason, errno name, from a negative libuv error; the caller says what was tried */
static int push_refusal(lua_State *L, int err) {
  lua_pushnil(L);
  lua_pushstring(L, strerror(-err));
  lua_pushstring(L, uv_err_name(err));
  return 3;
}

/* ---- a child's pipes ------------------------------------------------------------------------- */

static void free_child(Child *c) {
  Child **link = &c->loop->children;
  while (*link != c) link = &(*link)->next;
  *link = c->next;
  for (int i = 0; i < 2; i++) free(c->output[i].data);
  free(c);
}

static void handle_closed(uv_handle_t *handle) {
  Child *c = handle->data;
  if (--c->handles == 0 && c->orphan) free_child(c);
}

static void close_input(Child *c) {
  if (!c->input_open) return;
  c->input_open = false;
  uv_close((uv_handle_t *)&c->input, handle_closed);
}

static void close_output(Output *o) {
  if (!o->open) return;
  o->open = false;
  uv_close((uv_handle_t *)&o->pipe, handle_closed);
}

static Output *output_of(const uv_handle_t *handle) {
  Child *c = handle->data;
  return handle == (uv_handle_t *)&c->output[0].pipe ? &c->output[0] : &c->output[1];
}

/* Read straight into the end of the buffer. No room (len 0) reaches received as UV_ENOBUFS. */
static void make_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  (void)suggested;
  Output *o = output_of(handle);
  *room = uv_buf_init(NULL, 0);
  if (o->capacity - o->size < READ_SIZE) {
    size_t capacity = o->capacity * 2 > o->size + READ_SIZE ? o->capacity * 2 : o->size + READ_SIZE;
    char *data = realloc(o->data, capacity);
    if (!data) return;
    o->data = data;
    o->capacity = capacity;
  }
  *room = uv_buf_init(o->data + o->size, READ_SIZE);
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *room) {
  (void)room;
  Output *o = output_of((uv_handle_t *)stream);
  if (n < 0) {
    close_output(o); /* its end, or no memory: nothing more can be had */
    return;
  }
  o->size += (size_t)n;
  if (o->unlimited || o->size < HIGH_WATER) return;
  const Child *c = stream->data;
  if (c->stopping) { /* nobody takes it, and a full pipe would keep the child from ending */
    o->size = 0;
    return;
  }
  uv_read_stop(stream);
  o->paused = true;
}

static void resume(Output *o) {
  if (!o->open || !o->paused) return;
  o->paused = false;
  if (uv_read_start((uv_stream_t *)&o->pipe, make_room, received) != 0) close_output(o);
}

/* A child that stops reading early is not an error: the rest of its input is dropped. */
static void written(uv_write_t *request, int status) {
  Write *w = (Write *)request;
  Child *c = w->child;
  free(w);
  if (status == UV_ECANCELED) return;
  bool drained = uv_stream_get_write_queue_size((uv_stream_t *)&c->input) == 0;
  if (status < 0 || (c->close_when_written && drained)) close_input(c);
}

static void exited(uv_process_t *process, int64_t status, int term_signal) {
  Child *c = process->data;
  c->exited = true;
  c->status = (int)status;
  c->signal = term_signal;
  c->ended = uv_hrtime();
  close_input(c);
  uv_close((uv_handle_t *)process, handle_closed);
}

/* ---- ending a child -------------------------------------------------------------------------- */

static bool group_is_gone(const Child *c) {
  return kill(-c->process.pid, 0) != 0 && errno == ESRCH;
}

static bool is_over(const Child *c) {
  if (c->abandoned) return true;
  if (!c->exited || c->output[0].open || c->output[1].open) return false;
  return !c->stopping || c->killed || group_is_gone(c);
}

/* Ask the whole group to end; advance does the rest. */
static void stop(Child *c, uint64_t grace_ms) {
  if (c->stopping || is_over(c)) return;
  c->stopping = true;
  c->kill_at = now_ms() + grace_ms;
  for (int i = 0; i < 2; i++) resume(&c->output[i]);
  kill(-c->process.pid, SIGTERM);
}

static void drop_outputs(Child *c) {
  close_output(&c->output[0]);
  close_output(&c->output[1]);
}

/* A child that is stopping: SIGKILL when its grace is over; then, since a process that left the
 * group may hold the pipes for ever, its outputs are closed; and what does not even die is given
 * up. */
static void advance(Child *c) {
  if (!c->stopping || c->abandoned) return;
  uint64_t now = now_ms();
  bool gone = group_is_gone(c);
  if (!gone && !c->killed && now >= c->kill_at) {
    kill(-c->process.pid, SIGKILL);
    c->killed = true;
  }
  if (!c->exited && c->killed && now >= c->kill_at + ABANDON_MS) {
    c->abandoned = true;
    c->signal = SIGKILL;
    c->ended = uv_hrtime();
    close_input(c);
    drop_outputs(c);
  }
  if (!c->exited || !(gone || c->killed)) return;
  if (!c->drop_at) c->drop_at = now + DRAIN_MS;
  if (now >= c->drop_at) drop_outputs(c);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Writing to a child that closed its input raises SIGPIPE. The signal's disposition belongs to the
 * host, so it is held back for the moment and taken off the list. */
static void hold_sigpipe(sigset_t *before) {
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void release_sigpipe(const sigset_t *before) {
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  const struct timespec now = {0};
  if (!sigismember(before, SIGPIPE)) sigtimedwait(&pipe_only, NULL, &now);
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void time_is_up(uv_timer_t *timer) {
  (void)timer;
}

static uint64_t longest_turn(const Loop *loop) {
  for (const Child *c = loop->children; c; c = c->next)
    if (c->stopping && !is_over(c)) return STOP_POLL_MS;
  return POLL_MS;
}

static void advance_all(Loop *loop) {
  for (Child *c = loop->children; c; c = c->next) advance(c);
}

/* Serve the children for at most ms milliseconds, returning as soon as something happened. */
static void turn(Loop *loop, uint64_t ms) {
  advance_all(loop);
  uint64_t longest = longest_turn(loop);
  sigset_t before;
  hold_sigpipe(&before);
  uv_update_time(&loop->uv);
  uv_timer_start(&loop->timer, time_is_up, ms < longest ? ms : longest, 0);
  uv_run(&loop->uv, ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  uv_timer_stop(&loop->timer);
  release_sigpipe(&before);
  advance_all(loop);
}

static bool all_over(const Loop *loop) {
  for (const Child *c = loop->children; c; c = c->next)
    if (!is_over(c)) return false;
  return true;
}

static void stop_all(Loop *loop) {
  for (Child *c = loop->children; c; c = c->next) stop(c, CLOSE_GRACE_MS);
  while (!all_over(loop)) turn(loop, STOP_POLL_MS);
}

/* Ctrl-C ends every child before Lua hears of it. */
static void check_interrupt(lua_State *L, Loop *loop) {
  if (!hone_is_interrupted()) return;
  stop_all(loop);
  raise_interrupted(L);
}

static void close_handle(uv_handle_t *handle, void *unused) {
  (void)unused;
  if (!uv_is_closing(handle)) uv_close(handle, handle->data ? handle_closed : NULL);
}

/* The state closes. Its children's userdata were made later and so are collected already. */
static int loop_gc(lua_State *L) {
  Loop *loop = luaL_checkudata(L, 1, LOOP);
  if (!loop->open) return 0;
  stop_all(loop);
  loop->open = false;
  uv_walk(&loop->uv, close_handle, NULL);
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  uv_loop_close(&loop->uv);
  return 0;
}

static const char loop_key = 0;

static Loop *create_loop(lua_State *L) {
  Loop *loop = lua_newuserdatauv(L, sizeof *loop, 0);
  *loop = (Loop){.open = false};
  luaL_setmetatable(L, LOOP);
  int err = uv_loop_init(&loop->uv);
  if (err) luaL_error(L, "cannot start an event loop: %s", strerror(-err));
  uv_timer_init(&loop->uv, &loop->timer);
  loop->timer.data = NULL; /* not a child's */
  loop->open = true;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loop_key);
  return loop;
}

static Loop *get_loop(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loop_key);
  Loop *loop = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!loop) return create_loop(L);
  if (!loop->open) luaL_error(L, "processes cannot be used while the state closes");
  return loop;
}

/* process.step(ms): serve all children for at most that long; raises "interrupted" */
static int process_step(lua_State *L) {
  lua_Number ms = luaL_checknumber(L, 1);
  Loop *loop = get_loop(L);
  check_interrupt(L, loop);
  turn(loop, ms <= 0 ? 0 : ms >= POLL_MS ? POLL_MS : (uint64_t)ms + 1);
  check_interrupt(L, loop);
  return 0;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Lua opens files without O_CLOEXEC; children get their three streams and nothing else. */
static void keep_descriptors_private(void) {
  if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  DIR *listing = opendir("/proc/self/fd"); /* before Linux 5.11 */
  const struct dirent *entry;
  while (listing && (entry = readdir(listing))) {
    int fd = atoi(entry->d_name); /* "." and ".." become 0 */
    if (fd > STDERR_FILENO) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (listing) closedir(listing);
}

enum { NULL_DEVICE, INHERIT, PIPE, TO_STDOUT };
static const char *const stream_modes[] = {"null", "inherit", "pipe", "stdout", NULL};

static int stream_mode(lua_State *L, const char *field) {
  lua_getfield(L, 1, field);
  int mode = luaL_checkoption(L, -1, "null", stream_modes);
  lua_pop(L, 1);
  return mode;
}

/* An array of C strings for exec from a list of Lua strings, which must stay reachable; the array
 * is a userdata left on the stack. NULL, and nothing pushed, when the field is nil. */
static char **string_array(lua_State *L, const char *field) {
  if (lua_getfield(L, 1, field) == LUA_TNIL) {
    lua_pop(L, 1);
    return NULL;
  }
  size_t n = lua_rawlen(L, -1);
  char **array = lua_newuserdatauv(L, (n + 1) * sizeof *array, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (lua_Integer)i + 1);
    array[i] = (char *)luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  array[n] = NULL;
  return array;
}

/* Our ends of the pipes and the child's, by stream number; -1 where there is none. */
typedef struct {
  int ours[3], theirs[3];
} Pipes;

static void close_all(int fds[3]) {
  for (int i = 0; i < 3; i++)
    if (fds[i] >= 0) close(fds[i]);
}

/* Real pipes, where libuv itself would make sockets: a child cannot open those as /dev/stdin. */
static int open_pipes(Pipes *p, const int modes[3]) {
  *p = (Pipes){{-1, -1, -1}, {-1, -1, -1}};
  for (int i = 0; i < 3; i++) {
    if (modes[i] != PIPE) continue;
    uv_file ends[2]; /* read, write */
    int err = uv_pipe(ends, i == 0 ? 0 : UV_NONBLOCK_PIPE, i == 0 ? UV_NONBLOCK_PIPE : 0);
    if (err) return err;
    p->ours[i] = ends[i == 0 ? 1 : 0];
    p->theirs[i] = ends[i == 0 ? 0 : 1];
  }
  return 0;
}

static void describe_streams(uv_stdio_container_t stdio[3], const int modes[3], const Pipes *p) {
  for (int i = 0; i < 3; i++) {
    stdio[i].flags = modes[i] == NULL_DEVICE ? UV_IGNORE : UV_INHERIT_FD;
    stdio[i].data.fd = modes[i] == PIPE ? p->theirs[i] : i;
    if (modes[i] == TO_STDOUT) stdio[i] = stdio[1];
  }
}

/* Hand our end of a pipe to libuv, which owns it from then on. */
static int adopt_pipe(Child *c, uv_pipe_t *pipe, int *fd, bool *open) {
  if (*fd < 0) return 0;
  uv_pipe_init(&c->loop->uv, pipe, 0);
  pipe->data = c;
  c->handles++;
  *open = true;
  int err = uv_pipe_open(pipe, *fd);
  if (!err) *fd = -1;
  return err;
}

static int adopt_pipes(Child *c, Pipes *p) {
  int err = adopt_pipe(c, &c->input, &p->ours[0], &c->input_open);
  for (int i = 0; i < 2 && !err; i++) {
    Output *o = &c->output[i];
    err = adopt_pipe(c, &o->pipe, &p->ours[i + 1], &o->open);
    if (!err && o->open) err = uv_read_start((uv_stream_t *)&o->pipe, make_room, received);
  }
  return err;
}

static int spawn(Child *c, uv_process_options_t *options, const int modes[3]) {
  Pipes pipes;
  uv_stdio_container_t stdio[3];
  int err = open_pipes(&pipes, modes);
  if (!err) err = adopt_pipes(c, &pipes);
  if (!err) {
    describe_streams(stdio, modes, &pipes);
    options->stdio = stdio;
    options->stdio_count = 3;
    keep_descriptors_private();
    c->handles++;
    c->process.data = c;
    err = uv_spawn(&c->loop->uv, &c->process, options);
    c->process.data = c;
    if (err) uv_close((uv_handle_t *)&c->process, handle_closed);
  }
  close_all(pipes.ours);
  close_all(pipes.theirs);
  return err;
}

/* Nothing was started: close what was opened for it, and let the loop say so. */
static void undo(Child *c) {
  c->exited = true;
  close_input(c);
  drop_outputs(c);
  turn(c->loop, 0);
}

/* process.spawn{file=, args=, env=, cwd=, stdin=, stdout=, stderr=} -> child | nil, reason, code */
static int process_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  Loop *loop = get_loop(L);
  const int modes[3] = {stream_mode(L, "stdin"), stream_mode(L, "stdout"),
                        stream_mode(L, "stderr")};
  uv_process_options_t options = {.exit_cb = exited, .flags = UV_PROCESS_DETACHED};
  lua_getfield(L, 1, "file");
  options.file = luaL_checkstring(L, -1);
  lua_getfield(L, 1, "cwd");
  options.cwd = luaL_optstring(L, -1, NULL);
  options.args = string_array(L, "args");
  options.env = string_array(L, "env");
  Child **box = lua_newuserdatauv(L, sizeof(Child *), 0);
  *box = NULL;
  luaL_setmetatable(L, CHILD);
  Child *c = *box = calloc(1, sizeof **box);
  if (!c) return push_refusal(L, UV_ENOMEM);
  c->loop = loop;
  c->next = loop->children;
  loop->children = c;
  if (modes[1] == INHERIT || modes[2] == INHERIT) fflush(NULL); /* ours comes before the child's */
  int err = spawn(c, &options, modes);
  if (!err) return 1;
  undo(c);
  return push_refusal(L, err);
}

/* process.environment() -> list of "NAME=value" */
static int process_environment(lua_State *L) {
  lua_newtable(L);
  for (lua_Integer i = 0; environ && environ[i]; i++) {
    lua_pushstring(L, environ[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* process.is_program(path) -> boolean: a regular file that may be executed */
static int process_is_program(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat info;
  lua_pushboolean(L, stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0);
  return 1;
}

/* process.parallelism() -> how many processors this process may use */
static int process_parallelism(lua_State *L) {
  lua_pushinteger(L, uv_available_parallelism());
  return 1;
}

/* process.now() -> seconds on a clock that only goes forward */
static int process_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
  return 1;
}

/* process.pid() -> of this process */
static int process_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* process.wall() -> seconds since 1970, microseconds */
static int process_wall(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  lua_pushinteger(L, now.tv_sec);
  lua_pushinteger(L, now.tv_nsec / 1000);
  return 2;
}

/* process.signal_number("SIGTERM") -> 15 | nil */
static int process_signal_number(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "SIG", 3) == 0) name += 3;
  for (int number = 1; number < NSIG; number++) {
    const char *known = sigabbrev_np(number);
    if (!known || strcmp(known, name) != 0) continue;
    lua_pushinteger(L, number);
    return 1;
  }
  lua_pushnil(L);
  return 1;
}

/* ---- a running child ------------------------------------------------------------------------- */

static Child *check_child(lua_State *L) {
  Child **box = luaL_checkudata(L, 1, CHILD);
  luaL_argcheck(L, *box != NULL, 1, "process was released");
  return *box;
}

static Output *check_output(lua_State *L) {
  Child *c = check_child(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  luaL_argcheck(L, i == 1 || i == 2, 2, "1 (stdout) or 2 (stderr) expected");
  return &c->output[i - 1];
}

/* child:pid() -> integer, also the number of its process group */
static int child_pid(lua_State *L) {
  lua_pushinteger(L, check_child(L)->process.pid);
  return 1;
}

/* child:is_over() -> boolean: it exited, and all its output came */
static int child_is_over(lua_State *L) {
  lua_pushboolean(L, is_over(check_child(L)));
  return 1;
}

/* child:has_exited() -> boolean; others may still hold its outputs */
static int child_has_exited(lua_State *L) {
  lua_pushboolean(L, check_child(L)->exited);
  return 1;
}

/* child:outcome() -> status | nil, signal name | nil, time it ended on now()'s clock */
static int child_outcome(lua_State *L) {
  const Child *c = check_child(L);
  if (c->signal) {
    const char *name = sigabbrev_np(c->signal);
    lua_pushnil(L);
    if (name)
      lua_pushfstring(L, "SIG%s", name);
    else
      lua_pushfstring(L, "signal %d", c->signal);
  } else {
    lua_pushinteger(L, c->status);
    lua_pushnil(L);
  }
  lua_pushnumber(L, (lua_Number)c->ended / 1e9);
  return 3;
}

/* child:take(i) -> what came on stdout (1) or stderr (2) since the last time, "" if nothing did */
static int child_take(lua_State *L) {
  Output *o = check_output(L);
  lua_pushlstring(L, o->data ? o->data : "", o->size);
  o->size = 0;
  if (!o->open || o->capacity > 2 * HIGH_WATER) {
    free(o->data);
    o->data = NULL;
    o->capacity = 0;
  }
  resume(o);
  return 1;
}

/* child:is_open(i) -> boolean: more may come */
static int child_is_open(lua_State *L) {
  lua_pushboolean(L, check_output(L)->open);
  return 1;
}

/* child:unlimit(i): from now on read it as fast as it comes, however much that is */
static int child_unlimit(lua_State *L) {
  Output *o = check_output(L);
  o->unlimited = true;
  resume(o);
  return 0;
}

/* child:write(data) -> bytes that wait to be written | nil, reason, code */
static int child_write(lua_State *L) {
  Child *c = check_child(L);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  if (!c->input_open || c->close_when_written) return push_refusal(L, UV_EPIPE);
  Write *w = malloc(sizeof *w + n);
  if (!w) return push_refusal(L, UV_ENOMEM);
  w->child = c;
  memcpy(w->data, data, n);
  uv_buf_t buffer = {.base = w->data, .len = n}; /* uv_buf_init takes no more than 4 GiB */
  uv_stream_t *input = (uv_stream_t *)&c->input;
  sigset_t before;
  hold_sigpipe(&before);
  int err = uv_write(&w->request, input, &buffer, 1, written);
  release_sigpipe(&before);
  if (err) {
    free(w);
    return push_refusal(L, err);
  }
  lua_pushinteger(L, (lua_Integer)uv_stream_get_write_queue_size(input));
  return 1;
}

/* child:unwritten() -> bytes that wait to be written, 0 once the input is closed */
static int child_unwritten(lua_State *L) {
  Child *c = check_child(L);
  uv_stream_t *input = (uv_stream_t *)&c->input;
  lua_pushinteger(L, c->input_open ? (lua_Integer)uv_stream_get_write_queue_size(input) : 0);
  return 1;
}

/* child:close_input(): the child sees the end of its input once all was written */
static int child_close_input(lua_State *L) {
  Child *c = check_child(L);
  if (!c->input_open) return 0;
  c->close_when_written = true;
  if (uv_stream_get_write_queue_size((uv_stream_t *)&c->input) == 0) close_input(c);
  return 0;
}

/* child:signal(number) -> true | nil, reason, code: to the whole group */
static int child_signal(lua_State *L) {
  Child *c = check_child(L);
  int number = (int)luaL_checkinteger(L, 2);
  if (is_over(c)) return push_refusal(L, UV_ESRCH); /* its number may be another's by now */
  if (kill(-c->process.pid, number) != 0) return push_refusal(L, -errno);
  lua_pushboolean(L, 1);
  return 1;
}

/* child:stop(ms): SIGTERM now, SIGKILL after ms; step() until is_over() */
static int child_stop(lua_State *L) {
  Child *c = check_child(L);
  lua_Number ms = luaL_checknumber(L, 2);
  stop(c, ms <= 0 ? 0 : (uint64_t)ms);
  return 0;
}

/* Nobody can ask for it any more: end it, without waiting for that here. */
static int child_gc(lua_State *L) {
  Child **box = luaL_checkudata(L, 1, CHILD);
  Child *c = *box;
  *box = NULL;
  if (!c) return 0;
  c->orphan = true;
  if (c->handles == 0) {
    free_child(c);
    return 0;
  }
  stop(c, CLOSE_GRACE_MS);
  return 0;
}

static const luaL_Reg functions[] = {
    {"environment", process_environment},
    {"is_program", process_is_program},
    {"now", process_now},
    {"wall", process_wall},
    {"pid", process_pid},
    {"parallelism", process_parallelism},
    {"signal_number", process_signal_number},
    {"spawn", process_spawn},
    {"step", process_step},
    {NULL, NULL},
};
static const luaL_Reg methods[] = {
    {"close_input", child_close_input},
    {"has_exited", child_has_exited},
    {"is_open", child_is_open},
    {"is_over", child_is_over},
    {"outcome", child_outcome},
    {"pid", child_pid},
    {"signal", child_signal},
    {"stop", child_stop},
    {"take", child_take},
    {"unlimit", child_unlimit},
    {"unwritten", child_unwritten},
    {"write", child_write},
    {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_hone_core_process(lua_State *L) {
  luaL_newmetatable(L, LOOP);
  lua_pushcfunction(L, loop_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, CHILD);
  lua_pushcfunction(L, child_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
