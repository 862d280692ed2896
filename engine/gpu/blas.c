#include "blas.h"

#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "program.h"

/* ---- the library ----------------------------------------------------------------------------- */

/* cuBLASLt's handles and its numbers for what is used here; the same in CUDA 12 and 13. */
typedef struct lt_handle *lt_handle;
typedef struct lt_desc *lt_desc;
typedef struct lt_layout *lt_layout;
typedef struct lt_preference *lt_preference;

enum {
  STATUS_NOT_SUPPORTED = 15,
  STATUS_INVALID_VALUE = 7,
  COMPUTE_SUM_FLOAT32 = 68,
  COMPUTE_SUM_FLOAT64 = 70,
  DESC_TRANSPOSE_A = 3,
  DESC_TRANSPOSE_B = 4,
  LAYOUT_BATCH_COUNT = 5,
  LAYOUT_BATCH_STRIDE = 6,
  PREFERENCE_WORKSPACE = 1,
  PREFERENCE_ALIGNMENT_A = 5, /* B, C and D follow */
  OPERATION_TRANSPOSE = 1,
};

typedef struct {
  uint64_t opaque[8];
} lt_algorithm;

typedef struct {
  lt_algorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} lt_heuristic;

static struct blas {
  int (*create)(lt_handle *handle);
  int (*desc_create)(lt_desc *desc, int compute, int scale_type);
  int (*desc_set)(lt_desc desc, int attribute, const void *value, size_t size);
  int (*desc_destroy)(lt_desc desc);
  int (*layout_create)(lt_layout *layout, int type, uint64_t rows, uint64_t columns, int64_t ld);
  int (*layout_set)(lt_layout layout, int attribute, const void *value, size_t size);
  int (*layout_destroy)(lt_layout layout);
  int (*preference_create)(lt_preference *preference);
  int (*preference_set)(lt_preference preference, int attribute, const void *value, size_t size);
  int (*preference_destroy)(lt_preference preference);
  int (*heuristic)(lt_handle handle, lt_desc desc, lt_layout a, lt_layout b, lt_layout c,
                   lt_layout d, lt_preference preference, int wanted, lt_heuristic *results,
                   int *found);
  int (*matmul)(lt_handle handle, lt_desc desc, const void *alpha, const void *a,
                lt_layout a_layout, const void *b, lt_layout b_layout, const void *beta,
                const void *c, lt_layout c_layout, void *d, lt_layout d_layout,
                const lt_algorithm *algorithm, void *workspace, size_t workspace_bytes,
                CUstream stream);
  const char *(*status_text)(int status);
} lt;

#define SYMBOL(field, name) {name, offsetof(struct blas, field), false}
static const gpu_symbol symbols[] = {
    SYMBOL(create, "cublasLtCreate"),
    SYMBOL(desc_create, "cublasLtMatmulDescCreate"),
    SYMBOL(desc_set, "cublasLtMatmulDescSetAttribute"),
    SYMBOL(desc_destroy, "cublasLtMatmulDescDestroy"),
    SYMBOL(layout_create, "cublasLtMatrixLayoutCreate"),
    SYMBOL(layout_set, "cublasLtMatrixLayoutSetAttribute"),
    SYMBOL(layout_destroy, "cublasLtMatrixLayoutDestroy"),
    SYMBOL(preference_create, "cublasLtMatmulPreferenceCreate"),
    SYMBOL(preference_set, "cublasLtMatmulPreferenceSetAttribute"),
    SYMBOL(preference_destroy, "cublasLtMatmulPreferenceDestroy"),
    SYMBOL(heuristic, "cublasLtMatmulAlgoGetHeuristic"),
    SYMBOL(matmul, "cublasLtMatmul"),
    SYMBOL(status_text, "cublasLtGetStatusString"),
};
#undef SYMBOL

static int open_library(gpu_error *error) {
  static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                      NULL};
  static bool is_open;
  if (is_open) return 0;
  void *handle = gpu_library_open(files, gpu_library_folders_get());
  if (!handle)
    return gpu_refuse(error, -1,
                      "cannot multiply on a GPU: cuBLASLt is not installed (no libcublasLt.so.13 "
                      "or .12): it comes with the CUDA toolkit, or with pip install nvidia-cublas");
  const char *missing = gpu_library_bind(handle, symbols, sizeof symbols / sizeof *symbols, &lt);
  if (missing) return gpu_refuse(error, -1, "cuBLASLt is too old: it has no %s", missing);
  is_open = true;
  return 0;
}

static int fail(int status, gpu_error *error) {
  if (status == 0) return 0;
  return gpu_refuse(error, -1, "cannot multiply on a GPU: cuBLASLt: %s", lt.status_text(status));
}

/* ---- what is kept of a device ---------------------------------------------------------------- */

/* As much as large products of Hopper's take. */
#define WORKSPACE_BYTES ((size_t)32 << 20)

typedef struct {
  unsigned generation; /* 0: nothing is kept yet */
  lt_handle handle;
  CUdeviceptr workspace;
} Kept;
static Kept kept[GPU_MAX_DEVICES];

static int prepare(gpu_device *device, Kept **out, gpu_error *error) {
  Kept *k = *out = &kept[device->ordinal];
  if (k->generation == device->generation) return 0;
  int failed = open_library(error);
  if (!failed) failed = fail(lt.create(&k->handle), error);
  if (!failed) failed = gpu_memory_new(device, WORKSPACE_BYTES, &k->workspace, error);
  if (!failed) k->generation = device->generation;
  return failed;
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* All that a choice of kernel depends on; compared byte by byte, so it has no padding. */
typedef struct {
  int64_t m, n, k, batch;
  int64_t leading[3], stride[3]; /* of a, b and to */
  int32_t type[3], transposed[2], aligned[3];
} Problem;

typedef struct plan {
  struct plan *next;
  int device;
  unsigned generation;
  Problem problem;
  bool is_supported;
  lt_desc desc;
  lt_layout layouts[4]; /* of a, b, to, and what could be added: nothing is */
  lt_heuristic chosen;
} Plan;

enum { BUCKETS = 256, MOST_ALIGNED = 256 };
static Plan *plans[BUCKETS];

static int32_t alignment_of(CUdeviceptr data) {
  int32_t bytes = MOST_ALIGNED;
  while (data % (unsigned)bytes) bytes /= 2;
  return bytes;
}

static Problem describe(const gpu_matrix *to, const gpu_matrix *a, const gpu_matrix *b,
                        int64_t batch) {
  const gpu_matrix *const all[3] = {a, b, to};
  Problem p;
  memset(&p, 0, sizeof p);
  p.m = to->rows;
  p.n = to->columns;
  p.k = a->transposed ? a->rows : a->columns;
  p.batch = batch;
  p.transposed[0] = a->transposed;
  p.transposed[1] = b->transposed;
  for (int i = 0; i < 3; i++) {
    p.type[i] = all[i]->type;
    p.leading[i] = all[i]->leading;
    p.stride[i] = all[i]->batch_stride;
    p.aligned[i] = alignment_of(all[i]->data);
  }
  return p;
}

static unsigned hash_of(const Problem *p) {
  const unsigned char *bytes = (const unsigned char *)p;
  uint64_t hash = 0xCBF29CE484222325;
  for (size_t i = 0; i < sizeof *p; i++) hash = (hash ^ bytes[i]) * 0x100000001B3;
  return (unsigned)(hash >> 40) % BUCKETS;
}

static int make_layout(lt_layout *layout, const Problem *p, int i, int64_t rows, int64_t columns) {
  int status =
      lt.layout_create(layout, p->type[i], (uint64_t)rows, (uint64_t)columns, p->leading[i]);
  int32_t count = (int32_t)p->batch;
  if (!status && count > 1) status = lt.layout_set(*layout, LAYOUT_BATCH_COUNT, &count, 4);
  if (!status && count > 1) status = lt.layout_set(*layout, LAYOUT_BATCH_STRIDE, &p->stride[i], 8);
  return status;
}

static bool is_small(int type) {
  return type == BLAS_FLOAT8_E4M3FN || type == BLAS_FLOAT8_E5M2;
}

static int make_layouts(Plan *plan) {
  const Problem *p = &plan->problem;
  bool ta = p->transposed[0], tb = p->transposed[1];
  int status = make_layout(&plan->layouts[0], p, 0, ta ? p->k : p->m, ta ? p->m : p->k);
  if (!status) status = make_layout(&plan->layouts[1], p, 1, tb ? p->n : p->k, tb ? p->k : p->n);
  if (!status) status = make_layout(&plan->layouts[2], p, 2, p->m, p->n);
  Problem added = *p; /* float8 can only be added to as a wider type */
  if (is_small(p->type[2])) added.type[2] = BLAS_BFLOAT16;
  if (!status) status = make_layout(&plan->layouts[3], &added, 2, p->m, p->n);
  return status;
}

static int make_desc(Plan *plan) {
  const Problem *p = &plan->problem;
  bool is_double = p->type[2] == BLAS_FLOAT64;
  int32_t transpose = OPERATION_TRANSPOSE;
  int status = lt.desc_create(&plan->desc, is_double ? COMPUTE_SUM_FLOAT64 : COMPUTE_SUM_FLOAT32,
                              is_double ? BLAS_FLOAT64 : BLAS_FLOAT32);
  if (!status && p->transposed[0])
    status = lt.desc_set(plan->desc, DESC_TRANSPOSE_A, &transpose, sizeof transpose);
  if (!status && p->transposed[1])
    status = lt.desc_set(plan->desc, DESC_TRANSPOSE_B, &transpose, sizeof transpose);
  return status;
}

static int choose(lt_handle handle, Plan *plan) {
  lt_preference preference;
  size_t workspace = WORKSPACE_BYTES;
  int found = 0, status = lt.preference_create(&preference);
  if (status) return status;
  lt.preference_set(preference, PREFERENCE_WORKSPACE, &workspace, sizeof workspace);
  for (int i = 0; i < 4; i++) {
    uint32_t bytes = (uint32_t)plan->problem.aligned[i < 3 ? i : 2];
    lt.preference_set(preference, PREFERENCE_ALIGNMENT_A + i, &bytes, sizeof bytes);
  }
  status = lt.heuristic(handle, plan->desc, plan->layouts[0], plan->layouts[1], plan->layouts[3],
                        plan->layouts[2], preference, 1, &plan->chosen, &found);
  lt.preference_destroy(preference);
  plan->is_supported = status == 0 && found > 0;
  return status == STATUS_NOT_SUPPORTED || status == STATUS_INVALID_VALUE ? 0 : status;
}

static void free_plan(Plan *plan) {
  if (plan->desc) lt.desc_destroy(plan->desc);
  for (int i = 0; i < 4; i++)
    if (plan->layouts[i]) lt.layout_destroy(plan->layouts[i]);
  free(plan);
}

static Plan *find_plan(const gpu_device *device, lt_handle handle, const Problem *p,
                       gpu_error *error) {
  Plan **bucket = &plans[hash_of(p)];
  for (Plan *plan = *bucket; plan; plan = plan->next) {
    if (plan->device == device->ordinal && plan->generation == device->generation &&
        memcmp(&plan->problem, p, sizeof *p) == 0)
      return plan;
  }
  Plan *plan = calloc(1, sizeof *plan);
  if (!plan) {
    gpu_refuse(error, -1, "cannot multiply: out of memory");
    return NULL;
  }
  plan->device = device->ordinal;
  plan->generation = device->generation;
  plan->problem = *p;
  int status = make_desc(plan);
  if (!status) status = make_layouts(plan);
  if (status == STATUS_NOT_SUPPORTED || status == STATUS_INVALID_VALUE)
    status = 0;
  else if (!status)
    status = choose(handle, plan);
  if (fail(status, error)) {
    free_plan(plan);
    return NULL;
  }
  plan->next = *bucket;
  return *bucket = plan;
}

/* ---- multiplying ------------------------------------------------------------------------------
 */

int gpu_blas_multiply(gpu_device *device, const gpu_matrix *to, const gpu_matrix *a,
                      const gpu_matrix *b, int64_t batch, gpu_error *error) {
  Kept *k;
  int failed = prepare(device, &k, error);
  if (failed) return failed;
  Problem p = describe(to, a, b, batch);
  Plan *plan = find_plan(device, k->handle, &p, error);
  if (!plan) return -1;
  if (!plan->is_supported) return GPU_BLAS_UNSUPPORTED;
  static const float one = 1, zero = 0;
  static const double one_double = 1, zero_double = 0;
  bool is_double = to->type == BLAS_FLOAT64;
  gpu_note_launch(device, "cublasLtMatmul");
  /* Nothing is added, so nothing is read of the third operand; but it must not be the result when
   * its type is another. */
  int status = lt.matmul(
      k->handle, plan->desc, is_double ? (const void *)&one_double : &one,
      (const void *)(uintptr_t)a->data, plan->layouts[0], (const void *)(uintptr_t)b->data,
      plan->layouts[1], is_double ? (const void *)&zero_double : &zero,
      (const void *)(uintptr_t)(is_small(to->type) ? k->workspace : to->data), plan->layouts[3],
      (void *)(uintptr_t)to->data, plan->layouts[2], &plan->chosen.algorithm,
      (void *)(uintptr_t)k->workspace, WORKSPACE_BYTES, device->stream);
  if (status == STATUS_NOT_SUPPORTED || status == STATUS_INVALID_VALUE) {
    plan->is_supported = false;
    return GPU_BLAS_UNSUPPORTED;
  }
  return fail(status, error) ? -1 : 0;
}
