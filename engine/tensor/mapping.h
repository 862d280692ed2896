/* mapping.h -- files as memory: read when touched, and never written back. */
#ifndef HONE_MAPPING_H
#define HONE_MAPPING_H

#include "tensor/tensor.h"

/* The bytes of a file, as a storage with one reference; 0 or an errno. Writes to it stay private.
 * A file that somebody shortens meanwhile takes its bytes away: touching them is a bus error. */
int mapping_open(storage **out, const char *path);

/* A tensor of the mapping's bytes from `first` on; of a copy of them where they are not aligned. */
int mapping_tensor(tensor *out, storage *mapping, int64_t first, dtype dtype, int rank,
                   const int64_t *shape, tensor_error *error);

#endif
