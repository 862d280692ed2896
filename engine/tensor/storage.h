/* storage.h -- memory that tensors share: counted, on the CPU or on a device. */
#ifndef HONE_STORAGE_H
#define HONE_STORAGE_H

#include <stdatomic.h>
#include <stddef.h>

#define DEVICE_CPU (-1)
#define STORAGE_ALIGNMENT 64

typedef struct tensor_error {
  char text[256]; /* one line: what was tried, on which shapes and dtypes, why not */
} tensor_error;

/* What functions return besides 0. */
enum { TENSOR_INVALID = -1, TENSOR_NO_MEMORY = -2, TENSOR_DEVICE = -3 };

/* Write the error's text; returns `code`. */
int tensor_fail(tensor_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef struct storage {
  void *data; /* NULL when there are no bytes */
  size_t bytes;
  int device; /* DEVICE_CPU, or the CUDA ordinal */
  atomic_int references;
  void (*release)(struct storage *); /* frees data, not the storage itself; NULL: nothing to free */
  void *owner;                       /* for release */
  /* What pending.h adds: */
  struct pending *pending; /* what its bytes will be; data is NULL until they are needed */
  int readers;             /* how many pending storages read this one */
  struct storage *copy;    /* on the CPU, of a device's bytes; without data, the bytes themselves */
  unsigned copied, asked;  /* in which span the copy was made; how often one was asked for */
} storage;

/* New memory, not initialised, with one reference. */
int storage_new(storage **out, int device, size_t bytes, tensor_error *error);

/* A storage whose memory storage_allocate makes later. */
int storage_blank(storage **out, int device, size_t bytes, tensor_error *error);
int storage_allocate(storage *s, tensor_error *error);

/* Memory that somebody else made (a mapped file, say); `release` runs once nobody refers to it. */
int storage_wrap(storage **out, int device, void *data, size_t bytes, void (*release)(storage *),
                 void *owner, tensor_error *error);

/* What storages that storage_new made hold at present, on the CPU and on devices. */
size_t storage_bytes_in_use(void);

storage *storage_retain(storage *s);
void storage_release(storage *s); /* NULL is fine */

#endif
