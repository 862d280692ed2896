/* nvtx.h -- ranges of the host's time that profilers show: NVTX, by NVIDIA's own library. */
#ifndef HONE_GPU_NVTX_H
#define HONE_GPU_NVTX_H

#include <stdbool.h>

/* Is this process run under a profiler that listens to NVTX? Else there is nobody to tell. */
bool nvtx_is_heard(void);

/* Open the library (also looked for in `folders`); NULL, or why there is none. */
const char *nvtx_open(const char *const *folders);

/* Of the calling thread; nothing happens before the library is open. */
void nvtx_push(const char *name);
void nvtx_pop(void);
void nvtx_mark(const char *name);

#endif
