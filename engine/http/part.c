#include "http/part.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* True when `path` still names the open file: its last holder may have finished, and renamed it to
 * the target, between our open and our lock. */
static bool names_same_file(int fd, const char *path) {
  struct stat opened, named;
  return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

int part_open(Part *p, const char *path) {
  for (;;) {
    p->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (p->fd < 0) return errno;
    if (flock(p->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      part_close(p); /* any other refusal is a file system without locks: go on without */
      return EWOULDBLOCK;
    }
    if (names_same_file(p->fd, path)) return 0;
    part_close(p);
  }
}

int part_size(const Part *p, long long *size) {
  struct stat status;
  if (fstat(p->fd, &status) != 0) return errno;
  *size = status.st_size;
  return 0;
}

int part_append(Part *p, const char *data, size_t size) {
  while (size > 0) {
    ssize_t written = write(p->fd, data, size);
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) {
      data += written;
      size -= (size_t)written;
    }
  }
  return 0;
}

int part_truncate(Part *p) {
  return ftruncate(p->fd, 0) == 0 ? 0 : errno;
}

int part_sync(Part *p) {
  return fsync(p->fd) == 0 ? 0 : errno;
}

int part_close(Part *p) {
  int fd = p->fd;
  p->fd = -1;
  return fd < 0 || close(fd) == 0 ? 0 : errno;
}
