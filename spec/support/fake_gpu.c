/* fake_gpu.c -- a driver for specs on machines without a GPU: HONE_LIBCUDA names it. It keeps
 * books instead of computing. Memory is the host's; a module is PTX text, of which the parameters
 * are read; a launch appends "launch NAME GRID BLOCK SMEM HEX" to the file FAKE_CUDA_LOG. Time
 * passes only when something is launched: kernel `spin` takes as many nanoseconds as its first
 * parameter says. With FAKE_CUDA_STEP, events come at multiples of so many nanoseconds alone.
 * Kernel `fault` accesses memory illegally, `hang` never ends. A device has FAKE_CUDA_MEMORY bytes. It is NVML too, where every fourth answer is a low clock, or all with
 * FAKE_NVML_LOW. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/driver.h"

enum { DEVICES = 2, MAX_PARAMS = 32, MAX_NODES = 1024, OUT_OF_MEMORY = 2, ILLEGAL = 700 };

struct CUctx_st {
  bool hangs;
  int sticky; /* the error that every call answers once a kernel faulted */
  size_t used;
  uint64_t now; /* nanoseconds */
};

struct CUfunc_st {
  char name[64];
  unsigned count;
  size_t offset[MAX_PARAMS], size[MAX_PARAMS];
  int max_dynamic;
};

struct CUmod_st {
  unsigned count;
  struct CUfunc_st functions[16];
};

typedef struct {
  CUfunction function;
  char line[4096];
  uint64_t takes;
  uint64_t *took; /* where the timer's own kernel stores that */
} Node;

struct CUgraph_st {
  size_t count;
  Node nodes[MAX_NODES];
};

struct CUstream_st {
  CUgraph capture;
};

struct CUevent_st {
  uint64_t at;
};

typedef struct {
  size_t bytes;
  CUcontext context;
  _Alignas(64) char data[];
} Block;

static struct CUctx_st contexts[DEVICES];
static CUcontext current;

#define EXPORT __attribute__((visibility("default"))) CUresult

static size_t limit(void) {
  const char *text = getenv("FAKE_CUDA_MEMORY");
  return text ? strtoull(text, NULL, 10) : 64 << 20;
}

static CUresult state(void) {
  return current ? current->sticky : 201;
}

/* ---- devices ------------------------------------------------------------------------------- */

EXPORT cuInit(unsigned flags) {
  return (int)flags * 0;
}
EXPORT cuDriverGetVersion(int *version) {
  return *version = 13000, 0;
}
EXPORT cuGetErrorName(CUresult e, const char **name) {
  *name = e == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
          : e == ILLEGAL     ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                             : "CUDA_ERROR";
  return 0;
}
EXPORT cuGetErrorString(CUresult e, const char **text) {
  *text = e == OUT_OF_MEMORY ? "out of memory"
          : e == ILLEGAL     ? "an illegal memory access was encountered"
                             : "fake error";
  return 0;
}
EXPORT cuDeviceGetCount(int *count) {
  return *count = DEVICES, 0;
}
EXPORT cuDeviceGet(CUdevice *device, int ordinal) {
  return *device = ordinal, 0;
}
EXPORT cuDeviceGetName(char *name, int size, CUdevice device) {
  snprintf(name, (size_t)size, "Fake GPU %d", device);
  return 0;
}
EXPORT cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  return *bytes = limit() + (size_t)device * 0, 0;
}
EXPORT cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  (void)device;
  *value = attribute == DEVICE_L2_CACHE_SIZE                    ? 1 << 20
           : attribute == DEVICE_CAPABILITY_MAJOR               ? 9
           : attribute == DEVICE_CAPABILITY_MINOR               ? 0
           : attribute == DEVICE_MAX_THREADS_PER_MULTIPROCESSOR ? 2048
           : attribute == DEVICE_MAX_SHARED_PER_BLOCK_OPTIN     ? 232448
                                                                : 1024;
  return 0;
}
EXPORT cuDeviceGetUuid(void *uuid, CUdevice device) {
  return memset(uuid, device, 16), 0;
}
EXPORT cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device) {
  *pool = (CUmemoryPool)(uintptr_t)&contexts[device];
  return 0;
}
EXPORT cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  return *context = &contexts[device], 0;
}
EXPORT cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return device * 0;
}
EXPORT cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return contexts[device] = (struct CUctx_st){0}, 0;
}
EXPORT cuCtxGetCurrent(CUcontext *context) {
  return *context = current, 0;
}
EXPORT cuCtxSetCurrent(CUcontext context) {
  return current = context, 0;
}
EXPORT cuCtxSynchronize(void) {
  return state();
}
EXPORT cuCtxResetPersistingL2Cache(void) {
  return state();
}
EXPORT cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  return *least = 0, *greatest = -5, state();
}

/* ---- memory -------------------------------------------------------------------------------- */

EXPORT cuMemGetInfo_v2(size_t *available, size_t *total) {
  return *total = limit(), *available = limit() - current->used, state();
}
EXPORT cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream) {
  (void)stream;
  if (state()) return state();
  if (current->used + bytes > limit()) return OUT_OF_MEMORY;
  Block *block = aligned_alloc(64, (sizeof *block + bytes + 63) & ~(size_t)63);
  block->bytes = bytes;
  block->context = current;
  current->used += bytes;
  return *pointer = (CUdeviceptr)(uintptr_t)block->data, 0;
}
EXPORT cuMemFreeAsync(CUdeviceptr pointer, CUstream stream) {
  (void)stream;
  Block *block = (Block *)(uintptr_t)(pointer - offsetof(Block, data));
  block->context->used -= block->bytes;
  free(block);
  return state();
}
EXPORT cuMemPoolTrimTo(CUmemoryPool pool, size_t keep) {
  return (void)pool, (void)keep, 0;
}
EXPORT cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value) {
  return (void)pool, (void)attribute, (void)value, 0;
}
EXPORT cuMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value) {
  (void)attribute;
  return *(uint64_t *)value = ((CUcontext)(uintptr_t)pool)->used, 0;
}
EXPORT cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) {
  return (void)flags, *pointer = calloc(1, bytes), 0;
}
EXPORT cuMemFreeHost(void *pointer) {
  return free(pointer), 0;
}
EXPORT cuMemHostGetDevicePointer_v2(CUdeviceptr *at, void *host, unsigned flags) {
  return (void)flags, *at = (CUdeviceptr)(uintptr_t)host, 0;
}
EXPORT cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  return (void)stream, memcpy((void *)(uintptr_t)to, from, bytes), state();
}
EXPORT cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return (void)stream, memcpy(to, (void *)(uintptr_t)from, bytes), state();
}
EXPORT cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return (void)stream, memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes), state();
}
EXPORT cuMemcpyPeerAsync(CUdeviceptr to, CUcontext a, CUdeviceptr from, CUcontext b, size_t bytes,
                         CUstream stream) {
  return (void)a, (void)b, cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
EXPORT cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  (void)stream;
  current->now += 1000;
  return memset((void *)(uintptr_t)to, value, count), state();
}
EXPORT cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  return cuMemsetD8Async(to, (unsigned char)value, count * 4, stream);
}

/* ---- modules ------------------------------------------------------------------------------- */

/* ".u32 x" has 4 bytes, ".align 4 .b8 x[12]" 12. */
static size_t param_size(const char *text, size_t *alignment) {
  const char *array = strchr(text, '['), *type = strpbrk(text, "usfb");
  size_t size = 0;
  if (array) {
    size = strtoul(array + 1, NULL, 10);
    *alignment = strstr(text, ".align") ? strtoul(strstr(text, ".align") + 6, NULL, 10) : 1;
  } else if (type) {
    size = strtoul(type + 1, NULL, 10) / 8;
    *alignment = size;
  }
  return size;
}

static void read_function(CUfunction f, const char *text) {
  char list[2048];
  *f = (struct CUfunc_st){0};
  sscanf(text, "%63[A-Za-z0-9_$]", f->name);
  const char *open = strchr(text, '('), *close = open ? strchr(open, ')') : NULL;
  snprintf(list, sizeof list, "%.*s", close ? (int)(close - open) : 0, open ? open : "");
  size_t end = 0;
  for (char *at = strstr(list, ".param"); at && f->count < MAX_PARAMS; at = strstr(at, ".param")) {
    char *comma = strchr(at, ',');
    if (comma) *comma = 0;
    size_t alignment = 1, size = param_size(at + 6, &alignment);
    f->offset[f->count] = end = (end + alignment - 1) / alignment * alignment;
    f->size[f->count++] = size;
    end += size;
    at = comma ? comma + 1 : at + strlen(at);
  }
}

EXPORT cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options,
                          void **values) {
  (void)count, (void)options, (void)values;
  if (state()) return state();
  CUmodule m = *module = calloc(1, sizeof *m);
  for (const char *at = strstr(image, ".entry "); at && m->count < 16;
       at = strstr(at + 1, ".entry ")) {
    read_function(&m->functions[m->count++], at + 7);
  }
  return 0;
}
EXPORT cuModuleUnload(CUmodule module) {
  return free(module), state();
}
EXPORT cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  for (unsigned i = 0; i < module->count; i++) {
    *function = &module->functions[i];
    if (strcmp((*function)->name, name) == 0) return state();
  }
  return 500;
}
EXPORT cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule module,
                            const char *name) {
  return (void)address, (void)bytes, (void)module, (void)name, 500;
}
EXPORT cuFuncGetParamInfo(CUfunction f, size_t i, size_t *offset, size_t *size) {
  if (i >= f->count) return 1;
  return *offset = f->offset[i], *size = f->size[i], 0;
}
EXPORT cuFuncGetAttribute(int *value, int attribute, CUfunction f) {
  *value = attribute == FUNCTION_MAX_THREADS          ? 1024
           : attribute == FUNCTION_MAX_DYNAMIC_SHARED ? f->max_dynamic
                                                      : 0;
  return state();
}
EXPORT cuFuncSetAttribute(CUfunction f, int attribute, int value) {
  if (attribute != FUNCTION_MAX_DYNAMIC_SHARED) return 0;
  if (value > 232448) return 1;
  return f->max_dynamic = value, 0;
}
EXPORT cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction f, int threads,
                                                   size_t smem) {
  return (void)f, (void)smem, *blocks = 2048 / threads, 0;
}
EXPORT cuOccupancyMaxPotentialBlockSize(int *grid, int *block, CUfunction f, size_t (*of)(int),
                                        size_t smem, int most) {
  return (void)f, (void)of, (void)smem, (void)most, *grid = 132, *block = 1024, 0;
}

/* ---- launches ------------------------------------------------------------------------------ */

static void run(const Node *node) {
  const char *path = getenv("FAKE_CUDA_LOG");
  FILE *file = path && strncmp(node->function->name, "hone_", 5) ? fopen(path, "a") : NULL;
  if (file) {
    fputs(node->line, file);
    fclose(file);
  }
  current->now += node->takes;
  if (node->took) *node->took = node->takes;
  if (strcmp(node->function->name, "hang") == 0) current->hangs = true;
  if (strcmp(node->function->name, "fault") == 0) current->sticky = ILLEGAL;
}

EXPORT cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                      unsigned bz, unsigned smem, CUstream stream, void **params, void **extra) {
  (void)params;
  if (state()) return state();
  if (smem > 49152 && (int)smem > f->max_dynamic) return 1;
  static Node node; /* too large to be cleared at every launch */
  node.function = f;
  node.takes = 100;
  node.took = NULL;
  const unsigned char *block = extra ? extra[1] : NULL;
  size_t size = extra && getenv("FAKE_CUDA_LOG") ? *(size_t *)extra[3] : 0;
  int n = size == 0 ? 0
                    : snprintf(node.line, sizeof node.line, "launch %s %ux%ux%u %ux%ux%u %u ",
                               f->name, gx, gy, gz, bx, by, bz, smem);
  for (size_t i = 0; i < size; i++)
    n += snprintf(node.line + n, sizeof node.line - (size_t)n, "%02x", block[i]);
  if (size) snprintf(node.line + n, sizeof node.line - (size_t)n, "\n");
  if (strcmp(f->name, "spin") == 0 || strcmp(f->name, "hone_spin") == 0)
    memcpy(&node.takes, block, sizeof node.takes);
  if (strcmp(f->name, "hone_spin") == 0) memcpy(&node.took, block + 8, sizeof node.took);
  if (strcmp(f->name, "hone_wait") == 0) node.takes = 0;
  if (stream && stream->capture) {
    if (stream->capture->count == MAX_NODES) return OUT_OF_MEMORY;
    stream->capture->nodes[stream->capture->count++] = node;
    return 0;
  }
  run(&node);
  return 0;
}
EXPORT cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **params, void **extra) {
  return cuLaunchKernel(f, c->grid[0], c->grid[1], c->grid[2], c->block[0], c->block[1],
                        c->block[2], c->shared_bytes, c->stream, params, extra);
}

/* ---- streams, events, graphs --------------------------------------------------------------- */

EXPORT cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
  return (void)flags, (void)priority, *stream = calloc(1, sizeof **stream), state();
}
EXPORT cuStreamDestroy_v2(CUstream stream) {
  return free(stream), state();
}
EXPORT cuStreamQuery(CUstream stream) {
  return (void)stream, current->hangs ? 600 : state();
}
EXPORT cuStreamSynchronize(CUstream stream) {
  return (void)stream, state();
}
EXPORT cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return (void)stream, (void)event, (void)flags, state();
}
EXPORT cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return (void)mode, stream->capture = calloc(1, sizeof *stream->capture), state();
}
EXPORT cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  return *graph = stream->capture, stream->capture = NULL, state();
}
EXPORT cuEventCreate(CUevent *event, unsigned flags) {
  return (void)flags, *event = calloc(1, sizeof **event), state();
}
EXPORT cuEventDestroy_v2(CUevent event) {
  return free(event), state();
}
EXPORT cuEventRecord(CUevent event, CUstream stream) {
  const char *text = getenv("FAKE_CUDA_STEP");
  uint64_t step = text ? strtoull(text, NULL, 10) : 1;
  current->now = (current->now + step - 1) / step * step;
  return (void)stream, event->at = current->now, state();
}
EXPORT cuCtxRecordEvent(CUcontext context, CUevent event) {
  return (void)context, cuEventRecord(event, NULL);
}
EXPORT cuEventQuery(CUevent event) {
  return (void)event, current->hangs ? 600 : state();
}
EXPORT cuEventElapsedTime(float *milliseconds, CUevent start, CUevent stop) {
  return *milliseconds = (float)(stop->at - start->at) * 1e-6F, state();
}
EXPORT cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  return (void)flags, *exec = (CUgraphExec)(void *)graph, 0;
}
EXPORT cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
  return (void)nodes, *count = graph->count, 0;
}
EXPORT cuGraphDestroy(CUgraph graph) {
  return free(graph), 0;
}
EXPORT cuGraphExecDestroy(CUgraphExec exec) {
  return (void)exec, 0;
}
EXPORT cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  CUgraph graph = (CUgraph)(void *)exec;
  (void)stream;
  for (size_t i = 0; i < graph->count; i++) run(&graph->nodes[i]);
  return state();
}
EXPORT cuTensorMapEncodeTiled(CUtensorMap *map, int type, unsigned rank, void *address,
                              const uint64_t *shape, const uint64_t *strides, const uint32_t *box,
                              const uint32_t *steps, int interleave, int swizzle, int promotion,
                              int fill) {
  (void)strides, (void)steps, (void)interleave, (void)promotion, (void)fill;
  memset(map, 0, sizeof *map);
  map->opaque[0] = (uint64_t)type;
  map->opaque[1] = rank;
  map->opaque[2] = (uint64_t)(uintptr_t)address;
  map->opaque[3] = shape[0];
  map->opaque[4] = box[0];
  map->opaque[5] = (uint64_t)swizzle;
  return 0;
}
EXPORT cuModuleGetFunctionCount(unsigned *count, CUmodule module) {
  return *count = module->count, 0;
}
EXPORT cuModuleEnumerateFunctions(CUfunction *functions, unsigned count, CUmodule module) {
  for (unsigned i = 0; i < count; i++) functions[i] = &module->functions[i];
  return 0;
}
EXPORT cuFuncGetName(const char **name, CUfunction function) {
  return *name = function->name, 0;
}

/* ---- NVML ---------------------------------------------------------------------------------- */

EXPORT nvmlInit_v2(void) {
  return 0;
}
EXPORT nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {
  return *device = (void *)(uintptr_t)bus, 0;
}
EXPORT nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *megahertz) {
  return (void)device, (void)type, *megahertz = 2000, 0;
}
EXPORT nvmlDeviceGetClockInfo(void *device, int type, unsigned *megahertz) {
  static int asked;
  (void)device, (void)type;
  *megahertz = getenv("FAKE_NVML_LOW") || ++asked % 4 == 0 ? 1000 : 1900;
  return 0;
}
