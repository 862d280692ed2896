/* program.h -- the engine's own kernels. Their CUDA sources (the folder cuda/) are part of the
 * library; a program is one source with its macros defined, compiled by NVRTC when it is first
 * needed and kept: in memory for its context, as machine code on disk for the next process. */
#ifndef HONE_GPU_PROGRAM_H
#define HONE_GPU_PROGRAM_H

#include <stdint.h>

#include "context.h"

enum { GPU_PROGRAM_KERNELS = 12, GPU_PROGRAM_MACROS = 8192 };

/* A source: its file in cuda/, and the names of its kernels, ended by NULL. Each kernel takes one
 * struct by value, declared in a header that C and CUDA share. */
typedef struct gpu_source {
  const char *file; /* "elementwise.cu" */
  const char *kernels[GPU_PROGRAM_KERNELS + 1];
} gpu_source;

typedef struct gpu_program {
  CUfunction kernels[GPU_PROGRAM_KERNELS]; /* in the source's order */
  const char *names[GPU_PROGRAM_KERNELS];
} gpu_program;

/* Write the macros of a variant: lines "#define NAME value". */
typedef void gpu_define(char text[GPU_PROGRAM_MACROS], const void *context);

/* The program of `source` (a static object) and the macros that define(text, context) writes. Two
 * calls with one `key` must mean the same macros: only the first of them writes any. NULL with
 * `error` filled. The device's context is current. */
const gpu_program *gpu_program_get(gpu_device *device, const gpu_source *source, uint64_t key,
                                   gpu_define *define, const void *context, gpu_error *error);

typedef struct gpu_grid {
  unsigned blocks[3], threads, shared_bytes; /* blocks[1], [2]: 0 counts as 1 */
} gpu_grid;

/* Queue kernel number `kernel` on the device's current stream. */
int gpu_program_launch(gpu_device *device, const gpu_program *program, int kernel, gpu_grid grid,
                       const void *arguments, gpu_error *error);

/* Folders to look for NVRTC and cuBLASLt in besides the loader's own: a list ended by NULL, which
 * the caller keeps alive. */
void gpu_library_folders(const char *const *folders);
const char *const *gpu_library_folders_get(void);

#endif
