/* lfs.c -- require "hone.core.fs": what neither LuaFileSystem nor standard Lua can do with files:
 * replace one atomically, append whole lines between processes, hash, list with kinds, remove a
 * tree. A refusal is nil, message, errno name; scripts/hone/fs.lua is the library people use. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <lauxlib.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include "lua/interrupted.h"

#define WRITER "hone.fs.Writer" /* metatable name; argument errors show it */
#define LISTING "hone.fs.listing"

typedef struct {
  int fd;                   /* -1 once committed or discarded */
  bool atomic;              /* false for a device or a pipe, which is written in place */
  char target[PATH_MAX];    /* what commit replaces, symbolic links resolved */
  char temporary[PATH_MAX]; /* "": the file has no name yet */
} Writer;

/* What is read and not yet written or hashed: too big for a stack, and one thread runs Lua. */
static char block[256 * 1024];

static int push_refusal(lua_State *L, const char *what, const char *path, int code) {
  const char *name = strerrorname_np(code);
  lua_pushnil(L);
  lua_pushfstring(L, "cannot %s %s: %s", what, path, strerror(code));
  lua_pushstring(L, name ? name : "EUNKNOWN");
  return 3;
}

/* A C string argument; a zero byte inside would silently name another file. */
static const char *check_path(lua_State *L, int arg) {
  size_t length;
  const char *path = luaL_checklstring(L, arg, &length);
  luaL_argcheck(L, strlen(path) == length, arg, "path contains a zero byte");
  return path;
}

/* Write all of it; 0 or an errno (EINTR when the user wants out: a pipe may block for ever). */
static int write_fully(int fd, const char *data, size_t n) {
  while (n > 0) {
    ssize_t written = write(fd, data, n);
    if (written < 0 && (errno != EINTR || hone_is_interrupted())) return errno;
    if (written > 0) {
      data += written;
      n -= (size_t)written;
    }
  }
  return 0;
}

/* ---- the writer: a temporary file that becomes the target in one step ------------------------ */

static Writer *check_writer(lua_State *L, int arg) {
  Writer *w = luaL_checkudata(L, arg, WRITER);
  luaL_argcheck(L, w->fd >= 0, arg, "writer was committed or discarded");
  return w;
}

static void discard(Writer *w) {
  if (w->fd < 0) return;
  close(w->fd);
  w->fd = -1;
  if (w->atomic && w->temporary[0]) unlink(w->temporary);
}

/* The length of the target's folder, the slash included. */
static int folder_length(const Writer *w) {
  const char *slash = strrchr(w->target, '/');
  return slash ? (int)(slash - w->target) + 1 : 0;
}

/* Have `make` give the file a name that nobody uses in the target's folder, so that the rename
 * stays within one file system. The name does not hold the target's: that one may be as long as
 * names may get. */
static int name_temporary(Writer *w, int (*make)(Writer *w)) {
  int err = EEXIST;
  for (int attempt = 0; attempt < 100 && err == EEXIST; attempt++) {
    unsigned long long number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return errno;
    int n = snprintf(w->temporary, sizeof w->temporary, "%.*s.hone-%016llx.tmp", folder_length(w),
                     w->target, number);
    if (n >= (int)sizeof w->temporary) return ENAMETOOLONG;
    err = make(w) == 0 ? 0 : errno;
  }
  if (err) w->temporary[0] = '\0'; /* it is another's */
  return err;
}

static int create_named(Writer *w) {
  w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  return w->fd >= 0 ? 0 : -1;
}

static int link_named(Writer *w) {
  char itself[64];
  snprintf(itself, sizeof itself, "/proc/self/fd/%d", w->fd);
  return linkat(AT_FDCWD, itself, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW);
}

/* A file without a name, where the file system has such: killed, we leave nothing of it. */
static bool open_nameless(Writer *w) {
  char folder[sizeof w->target];
  int length = folder_length(w);
  snprintf(folder, sizeof folder, "%.*s.", length, w->target);
  if (access("/proc/self/fd", X_OK) != 0) return false;
  w->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  w->temporary[0] = '\0';
  return w->fd >= 0;
}

static int open_temporary(Writer *w) {
  return open_nameless(w) ? 0 : name_temporary(w, create_named);
}

/* Replacing needs only a writable folder; a file that is read-only is respected all the same. */
static int open_replacement(Writer *w, const char *path, const struct stat *old) {
  if (!realpath(path, w->target)) return errno;
  if (faccessat(AT_FDCWD, w->target, W_OK, AT_EACCESS) != 0) return errno;
  int err = open_temporary(w);
  if (err) return err;
  /* Another owner's file stays theirs where we may give it back; where not, it becomes ours. */
  if (old->st_uid != geteuid() || old->st_gid != getegid()) {
    if (fchown(w->fd, old->st_uid, old->st_gid) != 0) errno = 0;
  }
  return fchmod(w->fd, old->st_mode & 07777) == 0 ? 0 : errno;
}

static int open_new(Writer *w, const char *path) {
  if (strlen(path) >= sizeof w->target) return ENAMETOOLONG;
  strcpy(w->target, path);
  return open_temporary(w);
}

static int open_in_place(Writer *w, const char *path) {
  w->atomic = false;
  w->fd = open(path, O_WRONLY | O_CLOEXEC);
  return w->fd >= 0 ? 0 : errno;
}

static int open_writer(Writer *w, const char *path) {
  struct stat old;
  if (stat(path, &old) != 0) return errno == ENOENT ? open_new(w, path) : errno;
  if (S_ISDIR(old.st_mode)) return EISDIR;
  if (!S_ISREG(old.st_mode)) return open_in_place(w, path);
  return open_replacement(w, path, &old);
}

/* fs.writer(path) -> writer | nil, message, code */
static int fs_writer(lua_State *L) {
  const char *path = check_path(L, 1);
  Writer *w = lua_newuserdatauv(L, sizeof *w, 1);
  w->fd = -1;
  w->atomic = true;
  luaL_setmetatable(L, WRITER);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1); /* the path as given, for messages */
  int err = open_writer(w, path);
  if (!err) return 1;
  discard(w);
  return push_refusal(L, "write", path, err);
}

static int writer_refusal(lua_State *L, int err) {
  if (err == EINTR) raise_interrupted(L);
  lua_getiuservalue(L, 1, 1);
  return push_refusal(L, "write", lua_tostring(L, -1), err);
}

/* writer:write(data, ...) -> writer | nil, message, code */
static int writer_write(lua_State *L) {
  Writer *w = check_writer(L, 1);
  int last = lua_gettop(L);
  for (int arg = 2; arg <= last; arg++) {
    size_t n;
    const char *data = luaL_checklstring(L, arg, &n);
    int err = write_fully(w->fd, data, n);
    if (err) return writer_refusal(L, err);
  }
  lua_settop(L, 1);
  return 1;
}

static int copy_into(Writer *w, int source) {
  struct stat info;
  if (fstat(source, &info) != 0) return errno;
  if (w->atomic && fchmod(w->fd, info.st_mode & 0777) != 0) return errno;
  for (;;) {
    ssize_t n = read(source, block, sizeof block);
    if (hone_is_interrupted()) return EINTR;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    int err = write_fully(w->fd, block, (size_t)n);
    if (err) return err;
  }
}

/* writer:copy(path) -> writer | nil, message, code: the contents and the permissions of a file */
static int writer_copy(lua_State *L) {
  Writer *w = check_writer(L, 1);
  const char *path = check_path(L, 2);
  int source = open(path, O_RDONLY | O_CLOEXEC);
  if (source < 0) return push_refusal(L, "read", path, errno);
  int err = copy_into(w, source);
  close(source);
  if (err == EINTR) raise_interrupted(L);
  if (err) return push_refusal(L, "copy", path, err);
  lua_settop(L, 1);
  return 1;
}

/* 0 or an errno; a file system that has nothing to sync is not an error. */
static int sync_file(int fd) {
  if (fsync(fd) == 0 || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) return 0;
  return errno;
}

/* The data reaches the disk before the name does, so a crash leaves the old file or the new one;
 * which of the two is not promised, and so the folder is not synced. */
static int replace_target(Writer *w, bool sync) {
  int err = w->atomic && sync ? sync_file(w->fd) : 0;
  if (!err && w->atomic && !w->temporary[0]) err = name_temporary(w, link_named);
  if (close(w->fd) != 0 && !err) err = errno;
  w->fd = -1;
  if (!w->atomic) return err;
  if (!err && rename(w->temporary, w->target) != 0) err = errno;
  if (err && w->temporary[0]) unlink(w->temporary);
  return err;
}

/* writer:commit(sync=true) -> true | nil, message, code */
static int writer_commit(lua_State *L) {
  Writer *w = check_writer(L, 1);
  bool sync = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  int err = replace_target(w, sync);
  if (err) return writer_refusal(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

static int writer_discard(lua_State *L) { /* method, __gc and __close: safe to call twice */
  discard(luaL_checkudata(L, 1, WRITER));
  return 0;
}

/* ---- whole lines at the end of a file -------------------------------------------------------- */

/* Take the lock without sleeping in the kernel, where Ctrl-C would not end the wait. A file system
 * without locks still appends in one write. */
static int lock_file(int fd) {
  const struct timespec pause = {.tv_nsec = 1000 * 1000};
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK) return 0;
    if (errno != EWOULDBLOCK && errno != EINTR) return errno;
    if (hone_is_interrupted()) return EINTR;
    nanosleep(&pause, NULL);
  }
  return 0;
}

/* Append n bytes, the first of which is a newline that is used only where the file needs one. */
static int append_locked(int fd, const char *line, size_t n) {
  int err = lock_file(fd);
  if (err) return err;
  struct stat now;
  if (fstat(fd, &now) != 0) return errno;
  char last = '\n';
  if (S_ISREG(now.st_mode) && now.st_size > 0 && pread(fd, &last, 1, now.st_size - 1) < 0)
    return errno;
  if (last == '\n') {
    line++;
    n--;
  }
  ssize_t written;
  do written = write(fd, line, n);
  while (written < 0 && errno == EINTR);
  if (written == (ssize_t)n) return 0;
  err = written < 0 ? errno : ENOSPC;
  /* Half a line would spoil the next one: take it back. */
  if (written > 0 && S_ISREG(now.st_mode) && ftruncate(fd, now.st_size) != 0) err = errno;
  return err;
}

/* fs.append_line(path, line) -> true | nil, message, code */
static int fs_append_line(lua_State *L) {
  const char *path = check_path(L, 1);
  size_t length;
  const char *line = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, !memchr(line, '\n', length), 2, "a line cannot contain a newline");
  lua_pushliteral(L, "\n");
  lua_pushvalue(L, 2);
  lua_pushliteral(L, "\n");
  lua_concat(L, 3); /* [path, line, whole] */
  const char *whole = lua_tostring(L, -1);
  int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return push_refusal(L, "append to", path, errno);
  int err = append_locked(fd, whole, length + 2);
  if (close(fd) != 0 && !err) err = errno;
  if (err == EINTR) raise_interrupted(L);
  if (err) return push_refusal(L, "append to", path, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- locks --------------------------------------------------------------------------------- */

#define LOCK "hone.fs.Lock"

static int lock_close(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, LOCK);
  if (*fd >= 0) close(*fd);
  *fd = -1;
  return 0;
}

/* fs.try_lock(path, note) -> lock | false, what its holder noted | nil, message, code. The file is
 * made where it is not there; closing the lock, or the process's end, gives it back. */
static int fs_try_lock(lua_State *L) {
  const char *path = check_path(L, 1);
  size_t length;
  const char *note = luaL_optlstring(L, 2, "", &length);
  int *fd = lua_newuserdatauv(L, sizeof *fd, 0);
  *fd = -1;
  luaL_setmetatable(L, LOCK);
  *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (*fd < 0) return push_refusal(L, "lock", path, errno);
  if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
    if (ftruncate(*fd, 0) == 0 && pwrite(*fd, note, length, 0) < 0) return 1; /* only a courtesy */
    return 1;
  }
  if (errno != EWOULDBLOCK) return push_refusal(L, "lock", path, errno);
  char holder[256];
  ssize_t n = pread(*fd, holder, sizeof holder, 0);
  lua_pushboolean(L, 0);
  lua_pushlstring(L, holder, n > 0 ? (size_t)n : 0);
  return 2;
}

/* ---- space ---------------------------------------------------------------------------------- */

/* fs.free_space(path) -> bytes that we may still write there | nil, message, code */
static int fs_free_space(lua_State *L) {
  const char *path = check_path(L, 1);
  struct statvfs info;
  if (statvfs(path, &info) != 0) return push_refusal(L, "ask for the space of", path, errno);
  lua_pushinteger(L, (lua_Integer)info.f_bavail * (lua_Integer)info.f_frsize);
  return 1;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* OpenSSL is opened by the first hash: mapping it takes longer than starting the whole engine. */
static struct {
  void *library; /* NULL until found; then for as long as the process lives */
  __typeof__(EVP_MD_CTX_new) *create;
  __typeof__(EVP_MD_CTX_free) *free;
  __typeof__(EVP_sha256) *sha256;
  __typeof__(EVP_DigestInit_ex) *start;
  __typeof__(EVP_DigestUpdate) *update;
  __typeof__(EVP_DigestFinal_ex) *finish;
} crypto;

static bool load_crypto(void) {
  if (crypto.library) return true;
  void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libcrypto.so.1.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return false;
  *(void **)&crypto.create = dlsym(library, "EVP_MD_CTX_new");
  *(void **)&crypto.free = dlsym(library, "EVP_MD_CTX_free");
  *(void **)&crypto.sha256 = dlsym(library, "EVP_sha256");
  *(void **)&crypto.start = dlsym(library, "EVP_DigestInit_ex");
  *(void **)&crypto.update = dlsym(library, "EVP_DigestUpdate");
  *(void **)&crypto.finish = dlsym(library, "EVP_DigestFinal_ex");
  crypto.library = library;
  return true;
}

typedef struct {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size;
} Digest;

static int push_hex(lua_State *L, const Digest *digest) {
  char hex[2 * EVP_MAX_MD_SIZE];
  for (unsigned i = 0; i < digest->size; i++) {
    hex[2 * i] = "0123456789abcdef"[digest->bytes[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[digest->bytes[i] & 15];
  }
  lua_pushlstring(L, hex, 2 * (size_t)digest->size);
  return 1;
}

static int push_no_crypto(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "cannot compute SHA-256: OpenSSL's libcrypto.so.3 is not installed");
  lua_pushliteral(L, "ENOTSUP");
  return 3;
}

/* Feed the rest of a file; 0, or an errno (EINTR when the user wants out). */
static int hash_rest(EVP_MD_CTX *context, int fd) {
  for (;;) {
    ssize_t n = read(fd, block, sizeof block);
    if (hone_is_interrupted()) return EINTR;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    if (!crypto.update(context, block, (size_t)n)) return ENOTSUP;
  }
}

/* Hash n bytes of data, or, where data is NULL, what is left to read from fd; 0 or an errno. */
static int hash(Digest *digest, const char *data, size_t n, int fd) {
  EVP_MD_CTX *context = crypto.create();
  int err = context && crypto.start(context, crypto.sha256(), NULL) ? 0 : ENOMEM;
  if (!err && !data) err = hash_rest(context, fd);
  if (!err && data && !crypto.update(context, data, n)) err = ENOTSUP;
  if (!err && !crypto.finish(context, digest->bytes, &digest->size)) err = ENOTSUP;
  crypto.free(context);
  return err;
}

/* fs.sha256(data) -> 64 hexadecimal digits | nil, message, code */
static int fs_sha256(lua_State *L) {
  size_t n;
  const char *data = luaL_checklstring(L, 1, &n);
  Digest digest;
  if (!load_crypto()) return push_no_crypto(L);
  int err = hash(&digest, data, n, -1);
  return err ? push_refusal(L, "compute", "SHA-256", err) : push_hex(L, &digest);
}

/* fs.sha256_file(path) -> 64 hexadecimal digits | nil, message, code */
static int fs_sha256_file(lua_State *L) {
  const char *path = check_path(L, 1);
  Digest digest;
  if (!load_crypto()) return push_no_crypto(L);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return push_refusal(L, "read", path, errno);
  int err = hash(&digest, NULL, 0, fd);
  close(fd);
  if (err == EINTR) raise_interrupted(L);
  return err ? push_refusal(L, "read", path, err) : push_hex(L, &digest);
}

/* ---- folders --------------------------------------------------------------------------------- */

static int close_listing(lua_State *L) {
  DIR **listing = luaL_checkudata(L, 1, LISTING);
  if (*listing) closedir(*listing);
  *listing = NULL;
  return 0;
}

/* What a path leads to, links followed: "file", "directory", "other", or "link" to nothing. */
static const char *kind_behind(int folder, const char *name) {
  struct stat info;
  if (fstatat(folder, name, &info, 0) != 0) return "link";
  if (S_ISREG(info.st_mode)) return "file";
  return S_ISDIR(info.st_mode) ? "directory" : "other";
}

static bool is_link(int folder, const struct dirent *entry) {
  struct stat info;
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_LNK;
  return fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode);
}

/* The kernel says most kinds along with the names: no stat for each file of a large dataset. */
static const char *kind_of(int folder, const struct dirent *entry) {
  switch (entry->d_type) {
  case DT_REG: return "file";
  case DT_DIR: return "directory";
  case DT_LNK:
  case DT_UNKNOWN: return kind_behind(folder, entry->d_name);
  default: return "other";
  }
}

/* fs.list(path) -> names, kinds by name, set of links by name | nil, message, code; unsorted */
static int fs_list(lua_State *L) {
  const char *path = check_path(L, 1);
  DIR **listing = lua_newuserdatauv(L, sizeof *listing, 0);
  *listing = NULL;
  luaL_setmetatable(L, LISTING);
  lua_toclose(L, -1);
  *listing = opendir(path);
  if (!*listing) return push_refusal(L, "list", path, errno);
  lua_newtable(L);
  lua_newtable(L);
  lua_newtable(L); /* [..., names, kinds, links] */
  lua_Integer count = 0;
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(*listing);
    if (!entry && errno) return push_refusal(L, "list", path, errno);
    if (!entry) return 3;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, -4, ++count);
    lua_pushstring(L, kind_of(dirfd(*listing), entry));
    lua_setfield(L, -3, entry->d_name);
    if (!is_link(dirfd(*listing), entry)) continue;
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, entry->d_name);
  }
}

/* Remove one entry of a walk that visits folders after their contents; 0 or an errno. */
static int remove_entry(const FTSENT *entry) {
  switch (entry->fts_info) {
  case FTS_D: return 0;
  case FTS_DNR:
  case FTS_ERR:
  case FTS_NS: return entry->fts_errno;
  case FTS_DP: return rmdir(entry->fts_accpath) == 0 ? 0 : errno;
  default: return unlink(entry->fts_accpath) == 0 ? 0 : errno;
  }
}

/* Remove a file, a link (never what it points to) or a whole tree. In C, so that an interrupt hook
 * cannot stop it in the middle of cleaning up. On failure `culprit` says what would not go. */
static int remove_tree(const char *path, char culprit[PATH_MAX]) {
  char *roots[] = {(char *)path, NULL};
  FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  if (!walk) return errno;
  int err = 0;
  const FTSENT *entry;
  while (!err && (errno = 0, entry = fts_read(walk))) {
    err = remove_entry(entry);
    if (err) snprintf(culprit, PATH_MAX, "%s", entry->fts_path);
  }
  if (!err && errno) err = errno;
  fts_close(walk);
  return err;
}

/* fs.remove(path) -> true | nil, message, code */
static int fs_remove(lua_State *L) {
  const char *path = check_path(L, 1);
  char culprit[PATH_MAX] = "";
  int err = remove_tree(path, culprit);
  if (err) return push_refusal(L, "remove", culprit[0] ? culprit : path, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* fs.mkdtemp(prefix) -> path | nil, message, code */
static int fs_mkdtemp(lua_State *L) {
  check_path(L, 1);
  lua_pushvalue(L, 1);
  lua_pushliteral(L, "XXXXXX");
  lua_concat(L, 2);
  size_t n;
  const char *template = lua_tolstring(L, -1, &n);
  char *path = lua_newuserdatauv(L, n + 1, 0);
  memcpy(path, template, n + 1);
  if (!mkdtemp(path)) return push_refusal(L, "make a directory", template, errno);
  lua_pushstring(L, path);
  return 1;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* fs.realpath(path) -> path | nil, message, code */
static int fs_realpath(lua_State *L) {
  const char *path = check_path(L, 1);
  char resolved[PATH_MAX];
  if (!realpath(path, resolved)) return push_refusal(L, "resolve", path, errno);
  lua_pushstring(L, resolved);
  return 1;
}

/* fs.home() -> the home folder in the user database | nil */
static int fs_home(lua_State *L) {
  const struct passwd *user = getpwuid(getuid());
  lua_pushstring(L, user && user->pw_dir && user->pw_dir[0] ? user->pw_dir : NULL);
  return 1;
}

/* fs.errno(number) -> message, name: what io, os and lfs return only the number of */
static int fs_errno(lua_State *L) {
  int code = (int)luaL_checkinteger(L, 1);
  const char *name = strerrorname_np(code);
  lua_pushstring(L, strerror(code));
  lua_pushstring(L, name ? name : "EUNKNOWN");
  return 2;
}

static const luaL_Reg functions[] = {
    {"append_line", fs_append_line},
    {"errno", fs_errno},
    {"free_space", fs_free_space},
    {"home", fs_home},
    {"list", fs_list},
    {"mkdtemp", fs_mkdtemp},
    {"realpath", fs_realpath},
    {"remove", fs_remove},
    {"sha256", fs_sha256},
    {"sha256_file", fs_sha256_file},
    {"try_lock", fs_try_lock},
    {"writer", fs_writer},
    {NULL, NULL},
};
static const luaL_Reg writer_methods[] = {{"commit", writer_commit},
                                          {"copy", writer_copy},
                                          {"discard", writer_discard},
                                          {"write", writer_write},
                                          {NULL, NULL}};
static const luaL_Reg writer_metamethods[] = {
    {"__gc", writer_discard}, {"__close", writer_discard}, {NULL, NULL}};
static const luaL_Reg lock_metamethods[] = {
    {"__gc", lock_close}, {"__close", lock_close}, {NULL, NULL}};
static const luaL_Reg listing_metamethods[] = {
    {"__gc", close_listing}, {"__close", close_listing}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_hone_core_fs(lua_State *L) {
  luaL_newmetatable(L, LISTING);
  luaL_setfuncs(L, listing_metamethods, 0);
  luaL_newmetatable(L, WRITER);
  luaL_setfuncs(L, writer_metamethods, 0);
  luaL_newlib(L, writer_methods);
  lua_setfield(L, -2, "__index");
  luaL_newmetatable(L, LOCK);
  luaL_setfuncs(L, lock_metamethods, 0);
  luaL_newlib(L, functions);
  return 1;
}
