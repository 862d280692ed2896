#include "tensor/gemm.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tensor/blas.h"
#include "tensor/gemm_bf16.h"
#include "tensor/gemm_thin.h"
#include "tensor/parallel.h"

dtype gemm_accumulator(dtype d) {
  if (d == DTYPE_FLOAT64) return DTYPE_FLOAT64;
  return dtype_is_float(d) ? DTYPE_FLOAT32 : DTYPE_INT64;
}

/* ---- panels: operands as the loops below take them ------------------------------------------- */

/* A matrix whose elements lie side by side along its rows or, transposed, along its columns. */
typedef struct panel {
  const void *data;
  int64_t rows, columns, leading; /* elements from one row (or column) to the next */
  bool transposed;
} panel;

static const char *element(const matrix *m, int64_t row, int64_t column) {
  return (const char *)m->data +
         (row * m->row_stride + column * m->column_stride) * (int64_t)dtype_size(m->dtype);
}

/* Can the matrix be used where it is? BLAS wants unit steps one way, and rows apart. */
static bool as_panel(panel *p, const matrix *m, dtype accumulator) {
  bool by_rows =
      (m->column_stride == 1 || m->columns <= 1) && (m->row_stride >= m->columns || m->rows <= 1);
  bool by_columns =
      (m->row_stride == 1 || m->rows <= 1) && (m->column_stride >= m->rows || m->columns <= 1);
  if (m->dtype != accumulator || !(by_rows || by_columns)) return false;
  int64_t least = by_rows ? m->columns : m->rows;
  int64_t leading = by_rows ? m->row_stride : m->column_stride;
  *p = (panel){m->data, m->rows, m->columns, leading > least ? leading : least, !by_rows};
  return true;
}

/* One run of elements into `to`, widened. */
static void widen(void *to, dtype accumulator, const matrix *m, const char *from, int64_t n,
                  int64_t stride) {
  size_t size = dtype_size(m->dtype), wide = dtype_size(accumulator);
  if (stride == 1 || n <= 1) {
    dtype_convert(accumulator, to, m->dtype, from, n);
    return;
  }
  for (int64_t i = 0; i < n; i++)
    dtype_convert(accumulator, (char *)to + i * (int64_t)wide, m->dtype,
                  from + i * stride * (int64_t)size, 1);
}

typedef struct packing {
  const matrix *from;
  char *to;
  dtype accumulator;
  bool transposed;
} packing;

static void pack_lines(void *context, int64_t begin, int64_t end) {
  const packing *p = context;
  const matrix *m = p->from;
  int64_t length = p->transposed ? m->rows : m->columns;
  int64_t line_bytes = length * (int64_t)dtype_size(p->accumulator);
  for (int64_t i = begin; i < end; i++)
    widen(p->to + i * line_bytes, p->accumulator, m,
          p->transposed ? element(m, 0, i) : element(m, i, 0), length,
          p->transposed ? m->row_stride : m->column_stride);
}

/* A widened copy in `room`, laid out along the steps that are shorter. */
static panel packed(const matrix *m, void *room, dtype accumulator) {
  bool transposed = m->row_stride < m->column_stride && m->rows > 1;
  packing p = {m, room, accumulator, transposed};
  int64_t lines = transposed ? m->columns : m->rows, length = transposed ? m->rows : m->columns;
  parallel_for(lines, 1 + 65536 / (length + 1), pack_lines, &p);
  return (panel){room, m->rows, m->columns, length, transposed};
}

/* ---- products of panels: c += a b, c contiguous ---------------------------------------------- */

typedef struct product {
  panel a, b;
  void *c;
} product;

static int64_t row_step(const panel *p) {
  return p->transposed ? 1 : p->leading;
}
static int64_t column_step(const panel *p) {
  return p->transposed ? p->leading : 1;
}

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Of b, which stay in the cache for all rows of a. */
enum { BLOCK_ROWS = 64, BLOCK_COLUMNS = 256 };

#define NAME plain_float32
#define TYPE float
#include "tensor/gemm_plain.inc"

#define NAME plain_float64
#define TYPE double
#include "tensor/gemm_plain.inc"

#define NAME plain_integer
#define TYPE uint64_t /* two's complement: the same bits as signed, and defined */
#include "tensor/gemm_plain.inc"

static void multiply_plain(product *x, dtype accumulator) {
  parallel_body *loops = accumulator == DTYPE_FLOAT32   ? plain_float32
                         : accumulator == DTYPE_FLOAT64 ? plain_float64
                                                        : plain_integer;
  parallel_for(x->a.rows, 1 + 65536 / (x->a.columns * x->b.columns + 1), loops, x);
}

static bool fits_blas(const product *x) {
  const panel *a = &x->a, *b = &x->b;
  return a->rows <= INT_MAX && a->columns <= INT_MAX && b->columns <= INT_MAX &&
         a->leading <= INT_MAX && b->leading <= INT_MAX;
}

static void multiply_blas(const blas *library, const product *x, dtype accumulator) {
  const panel *a = &x->a, *b = &x->b;
  int ta = a->transposed ? BLAS_TRANSPOSED : BLAS_PLAIN;
  int tb = b->transposed ? BLAS_TRANSPOSED : BLAS_PLAIN;
  int m = (int)a->rows, n = (int)b->columns, k = (int)a->columns;
  int lda = (int)a->leading, ldb = (int)b->leading;
  if (accumulator == DTYPE_FLOAT32)
    library->sgemm(BLAS_ROW_MAJOR, ta, tb, m, n, k, 1, a->data, lda, b->data, ldb, 1, x->c, n);
  else
    library->dgemm(BLAS_ROW_MAJOR, ta, tb, m, n, k, 1, a->data, lda, b->data, ldb, 1, x->c, n);
}

static void multiply_panels(product *x, dtype accumulator) {
  const blas *library = accumulator == DTYPE_INT64 ? NULL : blas_open();
  if (library && fits_blas(x))
    multiply_blas(library, x, accumulator);
  else
    multiply_plain(x, accumulator);
}

/* ---- one product ----------------------------------------------------------------------------- */

enum { DEPTH = 1024 }; /* columns of a that are widened at a time */

static matrix columns_of(const matrix *m, int64_t first, int64_t n) {
  matrix part = *m;
  part.data = element(m, 0, first);
  part.columns = n;
  return part;
}

static matrix rows_of(const matrix *m, int64_t first, int64_t n) {
  matrix part = *m;
  part.data = element(m, first, 0);
  part.rows = n;
  return part;
}

/* c += a b through panels in `room`, which holds DEPTH columns of a and DEPTH rows of b. */
static void multiply_in_room(void *c, const matrix *a, const matrix *b, dtype accumulator,
                             void *room) {
  int64_t most = least(DEPTH, a->columns);
  int64_t a_bytes = a->rows * most * (int64_t)dtype_size(accumulator);
  for (int64_t first = 0; first < a->columns; first += DEPTH) {
    int64_t depth = least(DEPTH, a->columns - first);
    matrix part_a = columns_of(a, first, depth), part_b = rows_of(b, first, depth);
    product x = {.c = c};
    if (!as_panel(&x.a, &part_a, accumulator)) x.a = packed(&part_a, room, accumulator);
    if (!as_panel(&x.b, &part_b, accumulator))
      x.b = packed(&part_b, (char *)room + a_bytes, accumulator);
    multiply_panels(&x, accumulator);
  }
}

static int out_of_memory(const matrix *a, const matrix *b, tensor_error *error) {
  return tensor_fail(
      error, TENSOR_NO_MEMORY, "cannot multiply [%lld, %lld] and [%lld, %lld]: out of memory",
      (long long)a->rows, (long long)a->columns, (long long)b->rows, (long long)b->columns);
}

/* c = a b, c of the accumulator's type. */
static int multiply(void *c, const matrix *a, const matrix *b, dtype accumulator,
                    tensor_error *error) {
  size_t size = dtype_size(accumulator);
  memset(c, 0, (size_t)(a->rows * b->columns) * size);
  product x = {.c = c};
  if (as_panel(&x.a, a, accumulator) && as_panel(&x.b, b, accumulator)) {
    multiply_panels(&x, accumulator);
    return 0;
  }
  int64_t depth = least(DEPTH, a->columns);
  void *room = malloc((size_t)(depth * (a->rows + b->columns)) * size);
  if (!room) return out_of_memory(a, b, error);
  multiply_in_room(c, a, b, accumulator, room);
  free(room);
  return 0;
}

/* ---- bfloat16, and float8, whose numbers it holds
 * ------------------------------------------------ */

#define WORTH_PACKING 32768 /* multiplications */

static bool goes_by_bf16(const matrix *a, const matrix *b) {
  bool fits = a->dtype == DTYPE_BFLOAT16 || a->dtype == DTYPE_FLOAT8_E4M3FN ||
              a->dtype == DTYPE_FLOAT8_E5M2;
  return fits && !gemm_thin_fits(a, b) &&
         (double)a->rows * (double)a->columns * (double)b->columns >= WORTH_PACKING &&
         gemm_bf16_available();
}

/* As bfloat16: the matrix itself, or a copy in *copy, which the caller frees; false: no memory. */
static bool as_bf16(bf16_matrix *out, const matrix *m, void **copy) {
  *copy = NULL;
  *out = (bf16_matrix){m->data, m->rows, m->columns, m->row_stride, m->column_stride};
  if (m->dtype == DTYPE_BFLOAT16) return true;
  *copy = malloc((size_t)(m->rows * m->columns) * sizeof(uint16_t));
  if (!*copy) return false;
  panel p = packed(m, *copy, DTYPE_BFLOAT16);
  *out = (bf16_matrix){p.data, p.rows, p.columns, row_step(&p), column_step(&p)};
  return true;
}

static int multiply_bf16(void *c, dtype c_dtype, const matrix *a, const matrix *b,
                         tensor_error *error) {
  bf16_matrix left, right;
  void *copy_a = NULL, *copy_b = NULL;
  bool done = as_bf16(&left, a, &copy_a) && as_bf16(&right, b, &copy_b) &&
              gemm_bf16(c, c_dtype, &left, &right);
  free(copy_a);
  free(copy_b);
  return done ? 0 : out_of_memory(a, b, error);
}

/* ---- any type
 * ------------------------------------------------------------------------------------ */

/* c = a b, c of the accumulator's type. */
static int multiply_wide(void *c, const matrix *a, const matrix *b, tensor_error *error) {
  if (gemm_thin_fits(a, b)) return gemm_thin(c, a, b) ? 0 : out_of_memory(a, b, error);
  return multiply(c, a, b, gemm_accumulator(a->dtype), error);
}

typedef struct narrowing {
  char *to;
  dtype type;
  const char *from;
  dtype wide;
} narrowing;

static void narrow(void *context, int64_t begin, int64_t end) {
  const narrowing *x = context;
  dtype_convert(x->type, x->to + begin * (int64_t)dtype_size(x->type), x->wide,
                x->from + begin * (int64_t)dtype_size(x->wide), end - begin);
}

int gemm(void *c, dtype c_dtype, const matrix *a, const matrix *b, tensor_error *error) {
  dtype accumulator = gemm_accumulator(a->dtype);
  int64_t n = a->rows * b->columns;
  if (n == 0) return 0;
  if (a->columns == 0) {
    memset(c, 0, (size_t)n * dtype_size(c_dtype));
    return 0;
  }
  if (goes_by_bf16(a, b)) return multiply_bf16(c, c_dtype, a, b, error);
  if (c_dtype == accumulator) return multiply_wide(c, a, b, error);
  void *wide = malloc((size_t)n * dtype_size(accumulator));
  if (!wide) return out_of_memory(a, b, error);
  int err = multiply_wide(wide, a, b, error);
  narrowing x = {c, c_dtype, wide, accumulator};
  if (!err) parallel_for(n, 65536, narrow, &x);
  free(wide);
  return err;
}

/* ---- many products --------------------------------------------------------------------------- */

typedef struct batch_job {
  char *c;
  dtype c_dtype;
  const matrix *a, *b;
  const gemm_batch *batch;
  atomic_int code;
} batch_job;

static int multiply_one(const batch_job *job, int64_t i, tensor_error *error) {
  int64_t a_bytes, b_bytes;
  job->batch->place(job->batch->context, i, &a_bytes, &b_bytes);
  matrix a = *job->a, b = *job->b;
  a.data = (const char *)a.data + a_bytes;
  b.data = (const char *)b.data + b_bytes;
  int64_t bytes = a.rows * b.columns * (int64_t)dtype_size(job->c_dtype);
  return gemm(job->c + i * bytes, job->c_dtype, &a, &b, error);
}

static void multiply_some(void *context, int64_t begin, int64_t end) {
  batch_job *job = context;
  tensor_error ignored;
  for (int64_t i = begin; i < end; i++) {
    int err = multiply_one(job, i, &ignored);
    if (err) atomic_store(&job->code, err);
  }
}

static void set_blas_threads(int threads) {
  const blas *library = blas_open();
  if (library) library->set_threads(threads);
}

#define LARGE_PRODUCT 2e6 /* multiplications that are worth all threads together */

int gemm_batched(void *c, dtype c_dtype, const matrix *a, const matrix *b, const gemm_batch *batch,
                 tensor_error *error) {
  batch_job job = {c, c_dtype, a, b, batch, 0};
  double work = (double)a->rows * (double)a->columns * (double)b->columns;
  int err = 0;
  if (batch->count > 1 && work < LARGE_PRODUCT) {
    set_blas_threads(1); /* each product on one thread, several at once */
    parallel_for(batch->count, 1 + (int64_t)(65536 / (work + 1)), multiply_some, &job);
    err = atomic_load(&job.code);
    return err ? out_of_memory(a, b, error) : 0;
  }
  set_blas_threads(work < 65536 ? 1 : parallel_threads());
  for (int64_t i = 0; i < batch->count && !err; i++) err = multiply_one(&job, i, error);
  return err;
}
