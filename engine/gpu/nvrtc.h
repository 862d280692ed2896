/* nvrtc.h -- CUDA C++ to machine code by NVRTC, opened on first use. No device is needed. */
#ifndef HONE_GPU_NVRTC_H
#define HONE_GPU_NVRTC_H

#include <stddef.h>

typedef struct _nvrtcProgram *nvrtcProgram;

typedef struct {
  int (*version)(int *major, int *minor);
  const char *(*error_string)(int result);
  int (*create)(nvrtcProgram *program, const char *source, const char *name, int header_count,
                const char *const *headers, const char *const *include_names);
  int (*destroy)(nvrtcProgram *program);
  int (*compile)(nvrtcProgram program, int count, const char *const *options);
  int (*log_size)(nvrtcProgram program, size_t *size);
  int (*log)(nvrtcProgram program, char *text);
  int (*ptx_size)(nvrtcProgram program, size_t *size);
  int (*ptx)(nvrtcProgram program, char *text);
  int (*cubin_size)(nvrtcProgram program, size_t *size);
  int (*cubin)(nvrtcProgram program, char *bytes);
  int (*add_name)(nvrtcProgram program, const char *expression);
  int (*lowered_name)(nvrtcProgram program, const char *expression, const char **name);
  int (*arch_count)(int *count);
  int (*archs)(int *numbers);
} gpu_nvrtc;

/* NVRTC, looked for where the loader looks and then in `folders` (NULL, or ended by NULL); NULL and
 * why. Once it is found, that one stays. */
const gpu_nvrtc *gpu_nvrtc_open(const char *const *folders, const char **why);

/* The file that it came from. */
const char *gpu_nvrtc_path(void);

#endif
