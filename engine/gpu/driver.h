/* driver.h -- the CUDA driver, opened on first use. Declares what it needs of cuda.h, so that a
 * machine without the toolkit can build it; the names are those of cuda.h. */
#ifndef HONE_GPU_DRIVER_H
#define HONE_GPU_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult, CUdevice;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef unsigned long long CUdeviceptr;

typedef struct {
  unsigned id;
  char padding[4];
  union {
    char bytes[64];
    int cooperative;
    unsigned cluster[3];
  } value;
} CUlaunchAttribute;

typedef struct {
  unsigned grid[3], block[3], shared_bytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned attribute_count;
} CUlaunchConfig;

typedef struct {
  _Alignas(64) uint64_t opaque[16];
} CUtensorMap;

typedef struct {
  char bytes[64];
} CUipcMemHandle; /* plain bytes: another process may have them */

/* results that are told apart */
enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_TENSOR_MEMORY_LEAK = 721,
};

/* attributes of a device */
enum {
  DEVICE_MAX_THREADS_PER_BLOCK = 1,
  DEVICE_WARP_SIZE = 10,
  DEVICE_CLOCK_RATE = 13,
  DEVICE_MULTIPROCESSOR_COUNT = 16,
  DEVICE_PCI_BUS_ID = 33,
  DEVICE_PCI_DEVICE_ID = 34,
  DEVICE_MEMORY_CLOCK_RATE = 36,
  DEVICE_MEMORY_BUS_WIDTH = 37,
  DEVICE_L2_CACHE_SIZE = 38,
  DEVICE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
  DEVICE_PCI_DOMAIN_ID = 50,
  DEVICE_CAPABILITY_MAJOR = 75,
  DEVICE_CAPABILITY_MINOR = 76,
  DEVICE_MAX_SHARED_PER_MULTIPROCESSOR = 81,
  DEVICE_MAX_SHARED_PER_BLOCK_OPTIN = 97,
};

/* attributes of a function */
enum {
  FUNCTION_MAX_THREADS = 0,
  FUNCTION_SHARED_BYTES = 1,
  FUNCTION_CONSTANT_BYTES = 2,
  FUNCTION_LOCAL_BYTES = 3,
  FUNCTION_REGISTERS = 4,
  FUNCTION_PTX_VERSION = 5,
  FUNCTION_BINARY_VERSION = 6,
  FUNCTION_MAX_DYNAMIC_SHARED = 8,
  FUNCTION_NON_PORTABLE_CLUSTER = 14,
};

enum {
  EVENT_DISABLE_TIMING = 2,
  STREAM_NON_BLOCKING = 1,
  CAPTURE_THREAD_LOCAL = 1,
  POOL_RELEASE_THRESHOLD = 4,
  POOL_RESERVED_CURRENT = 5,
  LAUNCH_COOPERATIVE = 2,
  LAUNCH_CLUSTER = 4,
  HOST_ALLOC_PORTABLE_MAPPED = 3,
  IPC_LAZY_PEER_ACCESS = 1,
  JIT_ERROR_LOG = 5,
  JIT_ERROR_LOG_SIZE = 6,
};

#define LAUNCH_BUFFER_POINTER ((void *)1)
#define LAUNCH_BUFFER_SIZE ((void *)2)
#define LAUNCH_END ((void *)0)

/* field, symbol, parameters: what any driver has, enough to tell of its devices */
#define GPU_DRIVER_CORE(F)                                                                         \
  F(init, "cuInit", (unsigned flags))                                                              \
  F(driver_version, "cuDriverGetVersion", (int *version))                                          \
  F(error_string, "cuGetErrorString", (CUresult error, const char **text))                         \
  F(device_count, "cuDeviceGetCount", (int *count))                                                \
  F(device_get, "cuDeviceGet", (CUdevice * device, int ordinal))                                   \
  F(device_name, "cuDeviceGetName", (char *name, int size, CUdevice device))                       \
  F(device_memory, "cuDeviceTotalMem_v2", (size_t *bytes, CUdevice device))                        \
  F(device_attribute, "cuDeviceGetAttribute", (int *value, int attribute, CUdevice device))

/* What hone needs besides. */
#define GPU_DRIVER_REQUIRED(F)                                                                     \
  F(error_name, "cuGetErrorName", (CUresult error, const char **name))                             \
  F(device_pool, "cuDeviceGetDefaultMemPool", (CUmemoryPool * pool, CUdevice device))              \
  F(context_retain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))            \
  F(context_release, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                            \
  F(context_reset, "cuDevicePrimaryCtxReset_v2", (CUdevice device))                                \
  F(context_get, "cuCtxGetCurrent", (CUcontext * context))                                         \
  F(context_set, "cuCtxSetCurrent", (CUcontext context))                                           \
  F(context_synchronize, "cuCtxSynchronize", (void))                                               \
  F(context_reset_l2, "cuCtxResetPersistingL2Cache", (void))                                       \
  F(memory_info, "cuMemGetInfo_v2", (size_t *free, size_t *total))                                 \
  F(memory_alloc, "cuMemAllocAsync", (CUdeviceptr * pointer, size_t bytes, CUstream stream))       \
  F(memory_free, "cuMemFreeAsync", (CUdeviceptr pointer, CUstream stream))                         \
  F(pool_trim, "cuMemPoolTrimTo", (CUmemoryPool pool, size_t keep))                                \
  F(pool_set, "cuMemPoolSetAttribute", (CUmemoryPool pool, int attribute, void *value))            \
  F(pool_get, "cuMemPoolGetAttribute", (CUmemoryPool pool, int attribute, void *value))            \
  F(host_alloc, "cuMemHostAlloc", (void **pointer, size_t bytes, unsigned flags))                  \
  F(host_free, "cuMemFreeHost", (void *pointer))                                                   \
  F(host_pointer, "cuMemHostGetDevicePointer_v2", (CUdeviceptr * at, void *host, unsigned flags))  \
  F(copy_in, "cuMemcpyHtoDAsync_v2",                                                               \
    (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                             \
  F(copy_out, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t bytes, CUstream stream)) \
  F(copy, "cuMemcpyDtoDAsync_v2",                                                                  \
    (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                             \
  F(copy_peer, "cuMemcpyPeerAsync",                                                                \
    (CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes, \
     CUstream stream))                                                                             \
  F(set8, "cuMemsetD8Async", (CUdeviceptr to, unsigned char value, size_t count, CUstream stream)) \
  F(set32, "cuMemsetD32Async", (CUdeviceptr to, unsigned value, size_t count, CUstream stream))    \
  F(module_load, "cuModuleLoadDataEx",                                                             \
    (CUmodule * module, const void *image, unsigned count, int *options, void **values))           \
  F(module_unload, "cuModuleUnload", (CUmodule module))                                            \
  F(module_function, "cuModuleGetFunction",                                                        \
    (CUfunction * function, CUmodule module, const char *name))                                    \
  F(module_global, "cuModuleGetGlobal_v2",                                                         \
    (CUdeviceptr * address, size_t *bytes, CUmodule module, const char *name))                     \
  F(function_get, "cuFuncGetAttribute", (int *value, int attribute, CUfunction function))          \
  F(function_set, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))           \
  F(occupancy_blocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                               \
    (int *blocks, CUfunction function, int threads, size_t shared_bytes))                          \
  F(occupancy_best, "cuOccupancyMaxPotentialBlockSize",                                            \
    (int *grid, int *block, CUfunction function, size_t (*shared_of)(int), size_t shared_bytes,    \
     int limit))                                                                                   \
  F(launch, "cuLaunchKernel",                                                                      \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,     \
     unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **params,    \
     void **extra))                                                                                \
  F(stream_create, "cuStreamCreateWithPriority",                                                   \
    (CUstream * stream, unsigned flags, int priority))                                             \
  F(stream_destroy, "cuStreamDestroy_v2", (CUstream stream))                                       \
  F(stream_query, "cuStreamQuery", (CUstream stream))                                              \
  F(stream_synchronize, "cuStreamSynchronize", (CUstream stream))                                  \
  F(stream_wait, "cuStreamWaitEvent", (CUstream stream, CUevent event, unsigned flags))            \
  F(stream_begin_capture, "cuStreamBeginCapture_v2", (CUstream stream, int mode))                  \
  F(stream_end_capture, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                  \
  F(stream_priorities, "cuCtxGetStreamPriorityRange", (int *least, int *greatest))                 \
  F(event_create, "cuEventCreate", (CUevent * event, unsigned flags))                              \
  F(event_destroy, "cuEventDestroy_v2", (CUevent event))                                           \
  F(event_record, "cuEventRecord", (CUevent event, CUstream stream))                               \
  F(event_query, "cuEventQuery", (CUevent event))                                                  \
  F(event_elapsed, "cuEventElapsedTime", (float *milliseconds, CUevent start, CUevent stop))       \
  F(graph_instantiate, "cuGraphInstantiateWithFlags",                                              \
    (CUgraphExec * exec, CUgraph graph, unsigned long long flags))                                 \
  F(graph_nodes, "cuGraphGetNodes", (CUgraph graph, CUgraphNode * nodes, size_t *count))           \
  F(graph_destroy, "cuGraphDestroy", (CUgraph graph))                                              \
  F(graph_exec_destroy, "cuGraphExecDestroy", (CUgraphExec exec))                                  \
  F(graph_launch, "cuGraphLaunch", (CUgraphExec exec, CUstream stream))

/* NULL where the driver is older than the CUDA version at the right. */
#define GPU_DRIVER_OPTIONAL(F)                                                                     \
  F(launch_ex, "cuLaunchKernelEx", /* 11.8 */                                                      \
    (const CUlaunchConfig *config, CUfunction function, void **params, void **extra))              \
  F(tensor_map, "cuTensorMapEncodeTiled", /* 12.0 */                                               \
    (CUtensorMap * map, int type, unsigned rank, void *address, const uint64_t *shape,             \
     const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,          \
     int swizzle, int promotion, int fill))                                                        \
  F(function_param, "cuFuncGetParamInfo", /* 12.4 */                                               \
    (CUfunction function, size_t index, size_t *offset, size_t *bytes))                            \
  F(function_name, "cuFuncGetName", (const char **name, CUfunction function))     /* 12.3 */       \
  F(module_count, "cuModuleGetFunctionCount", (unsigned *count, CUmodule module)) /* 12.4 */       \
  F(module_functions, "cuModuleEnumerateFunctions",                               /* 12.4 */       \
    (CUfunction * functions, unsigned count, CUmodule module))                                     \
  F(context_record, "cuCtxRecordEvent", (CUcontext context, CUevent event)) /* 12.5 */             \
  F(device_uuid, "cuDeviceGetUuid_v2", (char uuid[16], CUdevice device))                           \
  F(ipc_handle, "cuIpcGetMemHandle", (CUipcMemHandle * handle, CUdeviceptr pointer))               \
  F(ipc_open, "cuIpcOpenMemHandle_v2",                                                             \
    (CUdeviceptr * pointer, CUipcMemHandle handle, unsigned flags))                                \
  F(ipc_close, "cuIpcCloseMemHandle", (CUdeviceptr pointer))                                       \
  F(plain_alloc, "cuMemAlloc_v2", (CUdeviceptr * pointer, size_t bytes))                           \
  F(plain_free, "cuMemFree_v2", (CUdeviceptr pointer))

#define GPU_DRIVER_FIELD(field, symbol, parameters) CUresult(*field) parameters;
typedef struct {
  GPU_DRIVER_CORE(GPU_DRIVER_FIELD)
  GPU_DRIVER_REQUIRED(GPU_DRIVER_FIELD)
  GPU_DRIVER_OPTIONAL(GPU_DRIVER_FIELD)
} gpu_driver;
#undef GPU_DRIVER_FIELD

/* The driver, initialised; NULL and why (for ever after) where there is none. The library is
 * libcuda.so.1, or what HONE_LIBCUDA names. */
const gpu_driver *gpu_driver_open(const char **why);

/* The same for a driver of any age, of which only the core may be called. */
const gpu_driver *gpu_driver_open_core(const char **why);

/* Of the driver that was opened, also when it cannot be used: its file and CUDA's version, 13000
 * for 13.0; "" and 0 when there is none. */
const char *gpu_driver_path(void);
int gpu_driver_version(void);

/* What the driver says of an error: "out of memory". */
const char *gpu_driver_describe(const gpu_driver *driver, CUresult error);

#endif
