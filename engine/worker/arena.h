/* arena.h -- the judge's memory as the worker sees it. */
#ifndef HONE_WORKER_ARENA_H
#define HONE_WORKER_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "gpu/context.h"

typedef struct worker_arena {
  char *base; /* NULL: nothing is mapped */
  size_t bytes;
  gpu_device *device; /* NULL: on the CPU */
} worker_arena;

/* Map what a descriptor refers to. Returns NULL, or why not. */
const char *arena_map_file(worker_arena *arena, int descriptor, size_t bytes);

/* Open device memory of another process by its handle, 64 bytes. */
const char *arena_map_device(worker_arena *arena, gpu_device *device, const char *handle,
                             size_t bytes);

void arena_unmap(worker_arena *arena);

#endif
