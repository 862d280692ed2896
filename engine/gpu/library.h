/* library.h -- symbols of libraries that are opened at run time. */
#ifndef HONE_GPU_LIBRARY_H
#define HONE_GPU_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  const char *name;
  size_t slot; /* where in the table the address goes: offsetof(table, field) */
  bool optional;
} gpu_symbol;

/* Fills the slots of `table` from the library; returns the first name that is missing and not
 * optional, or NULL. */
const char *gpu_library_bind(void *handle, const gpu_symbol *symbols, size_t count, void *table);

/* The first of `files` (ended by NULL) that the loader finds, or that lies in one of `folders`
 * (NULL or ended by NULL). It stays open: closing CUDA's libraries is not safe once they have run.
 */
void *gpu_library_open(const char *const *files, const char *const *folders);

/* The file that a symbol of the library came from; "" when that cannot be told. */
void gpu_library_path(void *handle, const char *symbol, char *path, size_t size);

#endif
