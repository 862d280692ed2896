/* context.h -- devices, their primary contexts and their memory.
 * A device's context is made when the device is first touched. Everything that belongs to a context
 * remembers its generation: after a reset, what is older is dead. */
#ifndef HONE_GPU_CONTEXT_H
#define HONE_GPU_CONTEXT_H

#include <stdbool.h>

#include "driver.h"

enum { GPU_MAX_DEVICES = 64, GPU_RECENT = 16 };

typedef struct {
  int code; /* a CUresult, or -1 for a refusal of ours; 0: no error */
  char text[768];
} gpu_error;

typedef struct {
  CUdeviceptr *pointers;
  size_t count, capacity;
} gpu_pointers;

typedef struct {
  int ordinal;
  CUdevice handle;
  CUcontext context;     /* NULL until touched */
  struct gpu_kept *kept; /* blocks that were freed */
  CUstream own_stream;   /* waits for, and is waited for by, the legacy default stream */
  CUstream stream; /* where work goes that names no stream: own_stream, or what a script chose */
  CUmemoryPool pool;
  unsigned generation; /* counts contexts, from 1 */
  bool capturing;      /* `stream` is being captured into a graph */
  CUstream set_aside;  /* what `stream` was before, and is again then */
  bool lost;
  char lost_text[512];
  size_t bytes, peak_bytes;       /* handed out by gpu_memory_new */
  gpu_pointers deferred;          /* freed while a graph was captured */
  const char *recent[GPU_RECENT]; /* names of the kernels launched last, a ring */
  unsigned launches;              /* since the device was last seen idle */
} gpu_device;

typedef struct {
  const gpu_driver *driver;
  int count, current; /* current: the ordinal that scripts chose */
  gpu_device devices[GPU_MAX_DEVICES];
} gpu_state;

/* The state, shared by every part of the process that calls these functions from one library. A
 * second library (a Lua module with its own copy of this file) adopts the first one's. */
gpu_state *gpu_state_get(void);
void gpu_state_adopt(gpu_state *state);

/* Returns 0, or the error's code with `error` filled. Starts the driver. */
int gpu_open(gpu_error *error);

/* The device with its context made and current, or NULL with `error` filled: no such device, or its
 * context is lost. */
gpu_device *gpu_touch(int ordinal, gpu_error *error);

/* Make a touched device's context current in this thread. */
int gpu_activate(gpu_device *device, gpu_error *error);

/* Is another context, or none, current in this thread? */
bool gpu_is_elsewhere(const gpu_device *device);

/* The context is gone and everything made in it; the next touch makes a new one. A lost one stays.
 */
int gpu_reset(int ordinal, gpu_error *error);

int gpu_attribute(const gpu_device *device, int attribute);

/* Turn a result into an error: "cannot WHAT on cuda:0: REASON". A result that says that the context
 * is lost marks the device, and is blamed on the kernels launched since the device was last idle.
 */
int gpu_check(gpu_device *device, CUresult result, const char *what, gpu_error *error);
int gpu_refuse(gpu_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Note a launch, so that a fault can be blamed. The name lives as long as the process: gpu_intern.
 */
static inline void gpu_note_launch(gpu_device *device, const char *name) {
  device->recent[device->launches++ % GPU_RECENT] = name;
}
const char *gpu_intern(const char *name);

/* Wait until all streams of the device are idle, or one is, or an event has come. Ctrl-C ends the
 * wait, so do `seconds` (0: no limit): code -1. */
int gpu_synchronize(gpu_device *device, gpu_error *error);
int gpu_synchronize_within(gpu_device *device, double seconds, gpu_error *error);
int gpu_stream_synchronize(gpu_device *device, CUstream stream, double seconds, gpu_error *error);
int gpu_event_wait(gpu_device *device, CUevent event, double seconds, gpu_error *error);

/* Stream-ordered memory, on the device's own stream; what was freed is kept for a while, for asking
 * the driver takes as long as a launch. Running out of it is CUDA_ERROR_OUT_OF_MEMORY: collect
 * garbage, gpu_memory_trim, and try again. */
int gpu_memory_new(gpu_device *device, size_t bytes, CUdeviceptr *out, gpu_error *error);
void gpu_memory_trim(gpu_device *device);

/* Free it. `generation`: of the device when it was made. is_shared: streams other than the device's
 * own used it, and are waited for. */
void gpu_memory_free(gpu_device *device, unsigned generation, CUdeviceptr pointer, size_t bytes,
                     bool is_shared);

/* Work queued on `to` from now on waits for what is queued on `from`. */
int gpu_stream_follow(gpu_device *device, CUstream to, CUstream from, gpu_error *error);

/* Capture what is launched on the device's stream into a graph; frees wait for the end of it. */
int gpu_capture_begin(gpu_device *device, CUstream stream, gpu_error *error);
int gpu_capture_end(gpu_device *device, CUgraph *graph, gpu_error *error);

/* Seconds on a monotonic clock. */
double gpu_clock(void);

#endif
