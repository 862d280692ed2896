/* lworker.c -- require "hone.core.worker": processes that run somebody's kernels, from the judge's
 * side. scripts/hone/bench/worker.lua makes requests of it and reads replies. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"
#include "lua/fields.h"
#include "lua/interrupted.h"
#include "worker/message.h"
#include "worker/requests.h"

#define WORKER "hone.worker.Process" /* metatable names; argument errors show them */
#define MEMORY "hone.worker.Memory"

enum {
  SOCKET_FD = 3,       /* where a worker finds its socket */
  LOG_BYTES = 5 << 20, /* kept of what a solution prints */
  KILL_TURNS = 2000,   /* milliseconds to wait for a process that was killed */
};

typedef struct {
  message_channel channel; /* first: see drain */
  pid_t pid;
  bool has_ended;
  int status; /* as waitpid gives it */
  char *log;
  size_t log_size;
  uint64_t printed; /* bytes, kept or not */
} Process;

extern char **environ;

static int push_errno(lua_State *L, const char *what) {
  int error = errno;
  lua_pushnil(L);
  lua_pushfstring(L, "cannot %s: %s", what, strerror(error));
  return 2;
}

static Process *check_process(lua_State *L) {
  return luaL_checkudata(L, 1, WORKER);
}

/* ---- what it prints ------------------------------------------------------------------------ */

/* Read what has come; the first bytes are kept, so that a flood costs no memory. */
static void drain(message_channel *channel) {
  Process *p = (Process *)channel;
  char piece[16384];
  for (int turn = 0; turn < 64; turn++) {
    ssize_t n = read(channel->beside, piece, sizeof piece);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      close(channel->beside);
      channel->beside = -1;
      return;
    }
    size_t room = LOG_BYTES - p->log_size, take = (size_t)n < room ? (size_t)n : room;
    if (p->log) memcpy(p->log + p->log_size, piece, take);
    if (p->log) p->log_size += take;
    p->printed += (uint64_t)n;
  }
}

/* process:log() -> what it printed since it was last asked, how many bytes that were in all */
static int process_log(lua_State *L) {
  Process *p = check_process(L);
  if (p->channel.beside >= 0) drain(&p->channel);
  lua_pushlstring(L, p->log ? p->log : "", p->log_size);
  lua_pushinteger(L, (lua_Integer)p->printed);
  p->log_size = 0;
  p->printed = 0;
  return 2;
}

/* ---- starting ------------------------------------------------------------------------------ */

static const char **string_list(lua_State *L, int index) {
  lua_Unsigned n = lua_rawlen(L, index);
  const char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    list[i] = luaL_checkstring(L, -1); /* the table keeps it alive */
    lua_pop(L, 1);
  }
  list[n] = NULL;
  return list;
}

/* In a session of its own, with nothing of the host's open but the socket and the pipe. */
static int spawn_child(pid_t *pid, const char **argv, char **env, int socket, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  posix_spawn_file_actions_adddup2(&actions, socket, SOCKET_FD);
  posix_spawn_file_actions_addclosefrom_np(&actions, SOCKET_FD + 1);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  int error = posix_spawnp(pid, argv[0], &actions, &attributes, (char **)(uintptr_t)argv, env);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

static int interrupted(void) {
  return hone_is_interrupted();
}

/* The descriptors that the child gets must not be 0..3, which it gets them as. */
static int above(int fd) {
  if (fd > SOCKET_FD || fd < 0) return fd;
  int higher = fcntl(fd, F_DUPFD_CLOEXEC, SOCKET_FD + 1);
  close(fd);
  return higher;
}

static int start_process(Process *p, const char **argv, char **env) {
  int sockets[2], pipes[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return errno;
  if (pipe2(pipes, O_CLOEXEC) != 0) {
    int error = errno;
    close(sockets[0]), close(sockets[1]);
    return error;
  }
  p->channel.fd = sockets[0];
  p->channel.beside = pipes[0];
  fcntl(pipes[0], F_SETFL, O_NONBLOCK);
  sockets[1] = above(sockets[1]);
  pipes[1] = above(pipes[1]);
  int error = spawn_child(&p->pid, argv, env, sockets[1], pipes[1]);
  close(sockets[1]);
  close(pipes[1]);
  if (!error && message_send_key(&p->channel)) error = EPIPE;
  return error;
}

/* A solution runs as the same user as its judge, whose memory holds what it must not see: nobody
 * but root opens /proc/PID/mem of a process that says no. */
static void hide_memory(void) {
#ifndef __SANITIZE_ADDRESS__ /* whose search for leaks is such a look from outside */
  prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* worker.spawn(arguments[, environment]) -> process | nil, message: its last argument will be the
 * number of the socket's descriptor */
static int worker_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const char **argv = string_list(L, 1);
  char **env = environ;
  if (!lua_isnoneornil(L, 2)) env = (char **)(uintptr_t)string_list(L, 2);
  Process *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (Process){.channel = {.fd = -1,
                             .beside = -1,
                             .descriptor = -1,
                             .is_judge = true,
                             .is_interrupted = interrupted,
                             .drain = drain},
                 .has_ended = true};
  luaL_setmetatable(L, WORKER);
  p->log = malloc(LOG_BYTES);
  if (getrandom(p->channel.key, sizeof p->channel.key, 0) != sizeof p->channel.key) {
    return push_errno(L, "draw a key");
  }
  hide_memory();
  errno = start_process(p, argv, env);
  if (p->pid) p->has_ended = false;
  return errno ? push_errno(L, "start a worker") : 1;
}

/* ---- ending -------------------------------------------------------------------------------- */

/* Whether it has ended. What it started ends with it, while its number is still its own. */
static bool reap(Process *p) {
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return errno == ECHILD;
  if (info.si_pid != p->pid) return false;
  kill(-p->pid, SIGKILL);
  return waitpid(p->pid, &p->status, 0) == p->pid || errno == ECHILD;
}

static void look(Process *p, bool wait) {
  for (int turn = 0; !p->has_ended && turn < (wait ? KILL_TURNS : 1); turn++) {
    p->has_ended = reap(p);
    const struct timespec moment = {.tv_nsec = 1000000};
    if (!p->has_ended && wait) nanosleep(&moment, NULL);
  }
}

static void end_process(Process *p) {
  if (p->has_ended) return;
  kill(-p->pid, SIGKILL); /* and what it started */
  kill(p->pid, SIGKILL);
  look(p, true);
}

/* process:kill(): at once, with its children */
static int process_kill(lua_State *L) {
  end_process(check_process(L));
  return 0;
}

/* process:wait() -> how it ended: "exit status 0", "signal 11 (Segmentation fault)"; nil while it
 * runs. With true it is given a moment to end. */
static int process_wait(lua_State *L) {
  Process *p = check_process(L);
  look(p, lua_toboolean(L, 2));
  if (!p->has_ended) return 0;
  if (WIFSIGNALED(p->status)) {
    int number = WTERMSIG(p->status);
    lua_pushfstring(L, "signal %d (%s)", number, strsignal(number));
  } else {
    lua_pushfstring(L, "exit status %d", WEXITSTATUS(p->status));
  }
  return 1;
}

static int process_pid(lua_State *L) {
  lua_pushinteger(L, check_process(L)->pid);
  return 1;
}

static int process_gc(lua_State *L) {
  Process *p = check_process(L);
  end_process(p);
  if (p->channel.fd >= 0) close(p->channel.fd);
  if (p->channel.beside >= 0) close(p->channel.beside);
  p->channel.fd = p->channel.beside = -1;
  free(p->channel.data);
  free(p->log);
  p->channel.data = NULL;
  p->log = NULL;
  return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

static int push_channel_error(lua_State *L, int code) {
  static const char *const names[] = {"", "CLOSED", "FORGED", "LATE", "OUT_OF_MEMORY"};
  if (code == MESSAGE_INTERRUPTED) return raise_interrupted(L);
  lua_pushnil(L);
  lua_pushstring(L, names[-code]);
  return 2;
}

/* process:send(kind, text[, memory]) -> true | nil, code */
static int process_send(lua_State *L) {
  static const char *const names[] = {"start", "map", "load", "calls", "stop", NULL};
  Process *p = check_process(L);
  uint32_t kind = MESSAGE_START + (uint32_t)luaL_checkoption(L, 2, NULL, names);
  size_t size;
  const char *text = luaL_checklstring(L, 3, &size);
  const int *memory = luaL_testudata(L, 4, MEMORY);
  luaL_argcheck(L, p->channel.fd >= 0, 1, "the worker was closed");
  int failed = message_send(&p->channel, kind, text, size, memory ? *memory : -1);
  if (failed) return push_channel_error(L, failed);
  lua_pushboolean(L, 1);
  return 1;
}

/* process:receive(seconds) -> text | nil, code */
static int process_receive(lua_State *L) {
  Process *p = check_process(L);
  double seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, p->channel.fd >= 0, 1, "the worker was closed");
  int failed = message_receive(&p->channel, seconds);
  if (failed) return push_channel_error(L, failed);
  if (p->channel.descriptor >= 0) close(p->channel.descriptor); /* nobody sends us any */
  if (p->channel.kind != MESSAGE_REPLY) return push_channel_error(L, MESSAGE_FORGED);
  lua_pushlstring(L, (const char *)p->channel.data, p->channel.size);
  return 1;
}

/* ---- shared memory ------------------------------------------------------------------------- */

/* worker.memory(bytes) -> memory that can be sent along | nil, message */
static int worker_memory(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes > 0, 1, "a size must be positive");
  int *fd = lua_newuserdatauv(L, sizeof *fd, 0);
  *fd = -1;
  luaL_setmetatable(L, MEMORY);
  *fd = memfd_create("hone arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0 || ftruncate(*fd, bytes) != 0) return push_errno(L, "make shared memory");
  fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return 1;
}

/* memory:descriptor() -> its number, which stays the memory's */
static int memory_descriptor(lua_State *L) {
  lua_pushinteger(L, *(int *)luaL_checkudata(L, 1, MEMORY));
  return 1;
}

static int memory_close(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, MEMORY);
  if (*fd >= 0) close(*fd);
  *fd = -1;
  return 0;
}

/* worker.random(n) -> n secret bytes */
static int worker_random(lua_State *L) {
  char bytes[256];
  size_t n = (size_t)luaL_checkinteger(L, 1);
  luaL_argcheck(L, n <= sizeof bytes, 1, "at most 256");
  if (getrandom(bytes, n, 0) != (ssize_t)n) return luaL_error(L, "cannot draw random bytes");
  lua_pushlstring(L, bytes, n);
  return 1;
}

static const luaL_Reg functions[] = {
    {"spawn", worker_spawn}, {"memory", worker_memory}, {"random", worker_random}, {NULL, NULL}};
static const luaL_Reg process_methods[] = {{"send", process_send}, {"receive", process_receive},
                                           {"log", process_log},   {"kill", process_kill},
                                           {"wait", process_wait}, {"pid", process_pid},
                                           {"close", process_gc},  {NULL, NULL}};
static const luaL_Reg process_metamethods[] = {
    {"__gc", process_gc}, {"__close", process_gc}, {NULL, NULL}};
static const luaL_Reg memory_methods[] = {
    {"descriptor", memory_descriptor}, {"close", memory_close}, {NULL, NULL}};
static const luaL_Reg memory_metamethods[] = {
    {"__gc", memory_close}, {"__close", memory_close}, {NULL, NULL}};

static void make_type(lua_State *L, const char *name, const luaL_Reg *metamethods,
                      const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_hone_core_worker(lua_State *L);
int luaopen_hone_core_worker(lua_State *L) {
  make_type(L, WORKER, process_metamethods, process_methods);
  make_type(L, MEMORY, memory_metamethods, memory_methods);
  luaL_newlib(L, functions);
  lua_pushinteger(L, SOCKET_FD);
  lua_setfield(L, -2, "descriptor");
  return 1;
}
