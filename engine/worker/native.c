#include "worker/native.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "tensor/element.h"
#include "worker/copy.h"
#include "worker/tvm_ffi.h"

#define PREFIX "__tvm_ffi_" /* of a symbol that TVM_FFI_DLL_EXPORT_TYPED_FUNC defines */

/* A call that is ready to be made. */
typedef struct {
  const worker_value *values; /* inputs, then outputs */
  int inputs, outputs;
  tvm_any *args;
  int count;
  int device;     /* ordinal of the CUDA device that the tensors are on, or -1 */
  tvm_any result; /* what it returned: ours to release */
} Call;

typedef struct {
  tvm_runtime runtime;
  void *library;
  tvm_function function;
  bool dps;
  Call *calls;
  int call_count;
  int stream_device; /* the device whose stream was set, or -1 */
  void *stream;
} Native;

static void failed(int code, const char *format, const char *first, const char *second) {
  char message[2048];
  snprintf(message, sizeof message, format, first, second);
  hone_worker_fail(code, message);
}

/* ---- loading ------------------------------------------------------------------------------------
 */

/* Kernels find the driver's functions as they do in any program that was linked with it. */
static void open_driver(void) {
  const char *chosen = getenv("HONE_LIBCUDA");
  dlopen(chosen && *chosen ? chosen : "libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL);
}

static int open_library(Native *n, const char *path, const char *symbol) {
  n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!n->library) {
    failed(WORKER_COMPILE_ERROR, "cannot load the library: %s%s", dlerror(), "");
    return -1;
  }
  char name[512];
  snprintf(name, sizeof name, PREFIX "%s", symbol);
  *(void **)&n->function = dlsym(n->library, name);
  if (n->function) return 0;
  failed(WORKER_COMPILE_ERROR, "%s exports no tvm-ffi function '%s'", path, symbol);
  return -1;
}

static void unload(Native *n) {
  n->library = NULL; /* stays open: what it registered may be called at the end */
  n->function = NULL;
}

static int load_described(Native *n, yyjson_val *artefact) {
  const char *library = yyjson_get_str(yyjson_obj_get(artefact, "library"));
  const char *runtime = yyjson_get_str(yyjson_obj_get(artefact, "runtime"));
  const char *symbol = yyjson_get_str(yyjson_obj_get(artefact, "symbol"));
  if (!library || !runtime || !symbol) {
    hone_worker_fail(WORKER_COMPILE_ERROR, "the artefact names no library, runtime or symbol");
    return -1;
  }
  yyjson_val *dps = yyjson_obj_get(artefact, "dps");
  n->dps = !dps || yyjson_is_true(dps);
  open_driver();
  int err = tvm_open(&n->runtime, runtime);
  return err ? err : open_library(n, library, symbol);
}

static int load(void *context, const char *artefact) {
  unload(context);
  yyjson_doc *document = yyjson_read(artefact, strlen(artefact), 0);
  if (!document) {
    hone_worker_fail(WORKER_COMPILE_ERROR, "the artefact is not JSON");
    return -1;
  }
  int err = load_described(context, yyjson_doc_get_root(document));
  yyjson_doc_free(document);
  return err;
}

/* ---- calling ------------------------------------------------------------------------------------
 */

static tvm_any argument(const worker_value *value) {
  switch (value->kind) {
  case WORKER_TENSOR:
    return (tvm_any){.type = TVM_DLTENSOR, .value.pointer = (void *)&value->tensor};
  case WORKER_INTEGER: return (tvm_any){.type = TVM_INT, .value.integer = value->integer};
  case WORKER_BOOL: return (tvm_any){.type = TVM_BOOL, .value.integer = value->integer != 0};
  case WORKER_FLOAT: return (tvm_any){.type = TVM_FLOAT, .value.number = value->number};
  default: return (tvm_any){.type = TVM_NONE};
  }
}

/* Room for call number `call`; the ones before it keep their place. */
static Call *call_at(Native *n, int call) {
  if (call >= n->call_count) {
    Call *calls = realloc(n->calls, (size_t)(call + 1) * sizeof *calls);
    if (!calls) return NULL;
    memset(calls + n->call_count, 0, (size_t)(call + 1 - n->call_count) * sizeof *calls);
    n->calls = calls;
    n->call_count = call + 1;
  }
  return &n->calls[call];
}

static void forget_call(Native *n, Call *c) {
  if (n->runtime.library) tvm_drop(&n->runtime, &c->result);
  free(c->args);
  *c = (Call){0};
}

static int prepare(void *context, int call, const worker_value *values, int inputs, int outputs) {
  Native *n = context;
  Call *c = call_at(n, call);
  int count = inputs + (n->dps ? outputs : 0);
  if (c) forget_call(n, c);
  tvm_any *args = c ? calloc(count ? (size_t)count : 1, sizeof *args) : NULL;
  if (!args) {
    hone_worker_fail(WORKER_OUT_OF_MEMORY, "out of memory");
    return -1;
  }
  *c = (Call){.values = values, .inputs = inputs, .outputs = outputs, .args = args, .count = count};
  c->device = -1;
  for (int i = 0; i < inputs + outputs; i++) {
    const worker_value *value = &values[i];
    if (i < count) args[i] = argument(value);
    if (value->kind == WORKER_TENSOR && value->tensor.device.type == 2)
      c->device = value->tensor.device.id;
  }
  return 0;
}

static void set_stream(Native *n, int device, void *stream) {
  n->runtime.set_stream(2, device, stream, NULL);
  n->stream_device = device;
  n->stream = stream;
}

static int run(void *context, int call, void *stream) {
  Native *n = context;
  Call *c = &n->calls[call];
  if (c->device >= 0 && (c->device != n->stream_device || stream != n->stream))
    set_stream(n, c->device, stream);
  int status = n->function(NULL, c->args, c->count, &c->result);
  if (status) tvm_fail(&n->runtime, status);
  return status;
}

/* ---- what was returned
 * --------------------------------------------------------------------------- */

typedef struct {
  uint8_t code, bits;
  uint16_t lanes;
  const char *name;
} Dtype;

static const Dtype dtypes[] = {
    {2, 32, 1, "float32"},       {2, 16, 1, "float16"},     {4, 16, 1, "bfloat16"},
    {10, 8, 1, "float8_e4m3fn"}, {12, 8, 1, "float8_e5m2"}, {17, 4, 2, "float4_e2m1"},
    {0, 64, 1, "int64"},         {0, 32, 1, "int32"},       {0, 16, 1, "int16"},
    {0, 8, 1, "int8"},           {6, 8, 1, "bool"},         {2, 64, 1, "float64"},
    {1, 8, 1, "uint8"},          {1, 16, 1, "uint16"},      {1, 32, 1, "uint32"},
    {1, 64, 1, "uint64"},        {5, 64, 1, "complex64"},   {5, 128, 1, "complex128"},
};

static void dtype_name(const worker_tensor *t, char name[64]) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
    const Dtype *d = &dtypes[i];
    if (d->code != t->dtype.code || d->bits != t->dtype.bits || d->lanes != t->dtype.lanes)
      continue;
    snprintf(name, 64, "%s", d->name);
    return;
  }
  snprintf(name, 64, "dtype(code %d, %d bits, %d lanes)", t->dtype.code, t->dtype.bits,
           t->dtype.lanes);
}

static bool same_form(const worker_tensor *a, const worker_tensor *b) {
  if (a->rank != b->rank || a->device.type != b->device.type || a->device.id != b->device.id)
    return false;
  if (a->dtype.code != b->dtype.code || a->dtype.bits != b->dtype.bits ||
      a->dtype.lanes != b->dtype.lanes)
    return false;
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] != b->shape[i]) return false;
  return true;
}

static int take_tensor(const Call *c, int call, int output, int of, const worker_tensor *t) {
  char name[64];
  dtype_name(t, name);
  hone_worker_returned(call, output, of, "Tensor", name, t->rank, t->shape, t->device.type,
                       worker_first(t));
  if (output >= c->outputs || of != c->outputs) return 0;
  const worker_tensor *to = &c->values[c->inputs + output].tensor;
  if (!same_form(to, t)) return 0;
  const char *why = worker_copy(to, t);
  if (why) failed(WORKER_RUNTIME_ERROR, "cannot copy a returned tensor: %s%s", why, "");
  return why ? -1 : 0;
}

/* A number's bits in a definition's dtype; how many bytes, or 0 where that dtype is not known. */
static size_t put_number(const char *dtype, double number, int64_t integer, void *to) {
#define PUT(type, name, expression)                                                                \
  if (strcmp(dtype, name) == 0) {                                                                  \
    type element = (type)(expression);                                                             \
    memcpy(to, &element, sizeof element);                                                          \
    return sizeof element;                                                                         \
  }
  PUT(float, "float32", number)
  PUT(uint16_t, "float16", float16_from_float((float)number))
  PUT(uint16_t, "bfloat16", bfloat16_from_float((float)number))
  PUT(int64_t, "int64", integer)
  PUT(int32_t, "int32", integer)
  PUT(int16_t, "int16", integer)
  PUT(int8_t, "int8", integer)
  PUT(uint8_t, "bool", number != 0)
#undef PUT
  return 0;
}

/* A number is taken for a tensor without dimensions of the declared dtype. */
static int take_number(const Call *c, int call, int output, int of, const tvm_any *value) {
  const worker_value *place = &c->values[c->inputs + output];
  double number = value->type == TVM_FLOAT ? value->value.number : (double)value->value.integer;
  int64_t integer = value->type != TVM_FLOAT                    ? value->value.integer
                    : isfinite(number) && fabs(number) < 0x1p63 ? (int64_t)number
                                                                : 0;
  uint64_t element = 0;
  size_t bytes = put_number(place->dtype, number, integer, &element);
  hone_worker_returned(call, output, of, bytes ? "Tensor" : "float", place->dtype, bytes ? 0 : -1,
                       NULL, place->tensor.device.type, NULL);
  if (!bytes || place->kind != WORKER_TENSOR || place->tensor.rank != 0) return 0;
  const char *why = worker_write(&place->tensor, &element, bytes);
  if (why) failed(WORKER_RUNTIME_ERROR, "cannot copy a returned number: %s%s", why, "");
  return why ? -1 : 0;
}

static int take_value(const Native *n, const Call *c, int call, int output, int of,
                      const tvm_any *value) {
  if (value->type == TVM_TENSOR)
    return take_tensor(c, call, output, of, &((tvm_tensor *)value->value.pointer)->tensor);
  if (value->type == TVM_DLTENSOR) return take_tensor(c, call, output, of, value->value.pointer);
  bool is_number = value->type == TVM_INT || value->type == TVM_BOOL || value->type == TVM_FLOAT;
  if (is_number && output < c->outputs) return take_number(c, call, output, of, value);
  hone_worker_returned(call, output, of, tvm_type_name(&n->runtime, value), "", -1, NULL, 0, NULL);
  return 0;
}

static int take_items(const Native *n, const Call *c, int call) {
  int64_t size = 0;
  int err = tvm_size(&n->runtime, &c->result, &size);
  for (int64_t i = 0; i < size && !err; i++) {
    tvm_any item;
    err = tvm_item(&n->runtime, &c->result, i, &item);
    if (err) break;
    int taken = take_value(n, c, call, (int)i, (int)size, &item);
    tvm_drop(&n->runtime, &item);
    if (taken) return taken;
  }
  if (err) tvm_fail(&n->runtime, err);
  return err;
}

static int finish(void *context, int call) {
  const Native *n = context;
  const Call *c = &n->calls[call];
  if (n->dps) return 0;
  bool is_sequence = c->result.type == TVM_ARRAY || c->result.type == TVM_LIST;
  return is_sequence ? take_items(n, c, call) : take_value(n, c, call, 0, 1, &c->result);
}

static void forget(void *context) {
  Native *n = context;
  for (int i = 0; i < n->call_count; i++) forget_call(n, &n->calls[i]);
  free(n->calls);
  n->calls = NULL;
  n->call_count = 0;
}

worker_language native_language(void) {
  static Native native = {.stream_device = -1};
  return (worker_language){&native, load, prepare, run, finish, forget};
}
