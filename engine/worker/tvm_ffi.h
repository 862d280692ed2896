/* tvm_ffi.h -- what is needed of apache-tvm-ffi's C ABI, as its tvm/ffi/c_api.h,
 * tvm/ffi/extra/c_env_api.h and dlpack/dlpack.h lay it out (version 0.1, stable by their word). The
 * library is opened at run time; its headers need not be there to build hone. Names without the
 * prefix TVMFFI are ours. */
#ifndef HONE_WORKER_TVM_FFI_H
#define HONE_WORKER_TVM_FFI_H

#include <stddef.h>
#include <stdint.h>

#include "worker/worker.h"

/* type_index of a value; from TVM_OBJECT on it owns a reference */
enum {
  TVM_NONE = 0,
  TVM_INT = 1,
  TVM_BOOL = 2,
  TVM_FLOAT = 3,
  TVM_DLTENSOR = 7,
  TVM_OBJECT = 64,
  TVM_TENSOR = 70,
  TVM_ARRAY = 71,
  TVM_LIST = 75,
};

typedef struct tvm_any { /* TVMFFIAny */
  int32_t type;
  uint32_t padding; /* 0 */
  union {
    int64_t integer;
    double number;
    void *pointer;
  } value;
} tvm_any;

typedef struct tvm_object { /* TVMFFIObject: what begins every object */
  uint64_t references;
  int32_t type;
  uint32_t padding;
  void (*deleter)(void *self, int flags);
} tvm_object;

typedef struct tvm_bytes { /* TVMFFIByteArray */
  const char *data;
  size_t size;
} tvm_bytes;

typedef struct tvm_error { /* an object, then TVMFFIErrorCell */
  tvm_object object;
  tvm_bytes kind, message, backtrace; /* backtrace: most recent call first */
} tvm_error;

typedef struct tvm_tensor { /* an object, then a DLTensor */
  tvm_object object;
  worker_tensor tensor; /* strides may be NULL */
} tvm_tensor;

typedef struct tvm_type_info { /* how TVMFFITypeInfo begins */
  int32_t type, depth;
  tvm_bytes key;
} tvm_type_info;

/* TVMFFISafeCallType: 0, -1 with the error kept in the thread, -2 with the error in the caller's
 * language. result->type is set to TVM_NONE before. */
typedef int (*tvm_function)(void *self, const tvm_any *args, int32_t count, tvm_any *result);

typedef struct tvm_managed { /* DLManagedTensorVersioned */
  uint32_t major, minor;
  void *context;
  void (*deleter)(struct tvm_managed *self);
  uint64_t flags;
  worker_tensor tensor;
} tvm_managed;

/* DLPackManagedTensorAllocator */
typedef int (*tvm_allocator)(worker_tensor *prototype, tvm_managed **out, void *context,
                             void (*set_error)(void *context, const char *kind, const char *text));

/* field, symbol, result, parameters */
#define TVM_FFI_FUNCTIONS(F)                                                                       \
  F(release, "TVMFFIObjectDecRef", int, (void *object))                                            \
  F(global, "TVMFFIFunctionGetGlobal", int, (const tvm_bytes *name, void **function))              \
  F(call, "TVMFFIFunctionCall", int,                                                               \
    (void *function, const tvm_any *args, int32_t count, tvm_any *result))                         \
  F(take_error, "TVMFFIErrorMoveFromRaised", void, (void **error))                                 \
  F(type_info, "TVMFFIGetTypeInfo", const tvm_type_info *, (int32_t type))                         \
  F(set_stream, "TVMFFIEnvSetStream", int,                                                         \
    (int32_t device_type, int32_t device_id, void *stream, void **before))                         \
  F(get_stream, "TVMFFIEnvGetStream", void *, (int32_t device_type, int32_t device_id))            \
  F(set_allocator, "TVMFFIEnvSetDLPackManagedTensorAllocator", int,                                \
    (tvm_allocator allocator, int for_all_threads, tvm_allocator *before))

typedef struct tvm_runtime {
  void *library;
#define FIELD(field, symbol, result, parameters) result(*field) parameters;
  TVM_FFI_FUNCTIONS(FIELD)
#undef FIELD
} tvm_runtime;

/* Open libtvm_ffi.so, once in a process. 0, or not 0 after hone_worker_fail. */
int tvm_open(tvm_runtime *runtime, const char *path);

/* Fail with the error that a call left behind in this thread. */
void tvm_fail(const tvm_runtime *runtime, int status);

/* Item `index` of an Array or List, as a value that owns a reference; its size. 0, or a status. */
int tvm_item(const tvm_runtime *runtime, const tvm_any *sequence, int64_t index, tvm_any *item);
int tvm_size(const tvm_runtime *runtime, const tvm_any *sequence, int64_t *size);

/* Give up a value. */
void tvm_drop(const tvm_runtime *runtime, tvm_any *value);

/* What a value is called to people: "Tensor", "int", "ffi.String". */
const char *tvm_type_name(const tvm_runtime *runtime, const tvm_any *value);

#endif
