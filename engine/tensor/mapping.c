#include "tensor/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void unmap(storage *s) {
  munmap(s->data, s->bytes);
}

static int wrap(storage **out, void *data, size_t bytes) {
  tensor_error ignored;
  int err = storage_wrap(out, DEVICE_CPU, data, bytes, data ? unmap : NULL, NULL, &ignored);
  if (err && data) munmap(data, bytes);
  return err ? ENOMEM : 0;
}

static int map(storage **out, int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  if (!S_ISREG(info.st_mode)) return ENODEV;
  if (info.st_size == 0) return wrap(out, NULL, 0); /* nothing cannot be mapped */
  size_t bytes = (size_t)info.st_size;
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  return data == MAP_FAILED ? errno : wrap(out, data, bytes);
}

int mapping_open(storage **out, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
  if (fd < 0) return errno;
  int err = map(out, fd);
  close(fd);
  return err;
}

static int copy_out(tensor *out, const storage *mapping, int64_t first, dtype dtype, int rank,
                    const int64_t *shape, tensor_error *error) {
  tensor made = {0};
  int err = tensor_empty(&made, dtype, DEVICE_CPU, rank, shape, error);
  if (err) return err;
  size_t bytes = tensor_bytes(&made);
  if (first < 0 || (uint64_t)first > mapping->bytes || bytes > mapping->bytes - (uint64_t)first) {
    tensor_release(&made);
    return tensor_fail(error, TENSOR_INVALID, "%zu bytes at byte %lld are not in the file", bytes,
                       (long long)first);
  }
  if (bytes) memcpy(tensor_data(&made), (const char *)mapping->data + first, bytes);
  *out = made;
  return 0;
}

int mapping_tensor(tensor *out, storage *mapping, int64_t first, dtype dtype, int rank,
                   const int64_t *shape, tensor_error *error) {
  if (first % (int64_t)dtype_size(dtype) != 0)
    return copy_out(out, mapping, first, dtype, rank, shape, error);
  return tensor_over(out, mapping, first, dtype, rank, shape, error);
}
