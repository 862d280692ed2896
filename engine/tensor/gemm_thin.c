#include "tensor/gemm_thin.h"

#include <stdlib.h>

#include "tensor/parallel.h"

enum { MOST_ROWS = 4, PIECE = 512 /* elements widened at a time */, LANES = 16 };

bool gemm_thin_fits(const matrix *a, const matrix *b) {
  return gemm_accumulator(a->dtype) == DTYPE_FLOAT32 && a->dtype != DTYPE_FLOAT32 &&
         a->rows <= MOST_ROWS && (b->row_stride == 1 || b->column_stride == 1);
}

typedef struct job {
  const float *a; /* widened, contiguous */
  int64_t rows;
  const matrix *b;
  float *c;
} job;

static void widen(float *to, const matrix *m, int64_t row, int64_t column, int64_t n) {
  const char *from = (const char *)m->data + (row * m->row_stride + column * m->column_stride) *
                                                 (int64_t)dtype_size(m->dtype);
  dtype_convert(DTYPE_FLOAT32, to, m->dtype, from, n);
}

/* ---- b lies along its rows: add multiples of them -------------------------------------------- */

static void add_multiple(float *restrict sum, float factor, const float *restrict row, int64_t n) {
  for (int64_t j = 0; j < n; j++) sum[j] += factor * row[j];
}

static void multiply_columns(const job *x, int64_t first, int64_t n) {
  float row[PIECE], sum[MOST_ROWS][PIECE] = {{0}};
  int64_t depth = x->b->rows;
  for (int64_t p = 0; p < depth; p++) {
    widen(row, x->b, p, first, n);
    for (int64_t i = 0; i < x->rows; i++) add_multiple(sum[i], x->a[i * depth + p], row, n);
  }
  for (int64_t i = 0; i < x->rows; i++)
    memcpy(x->c + i * x->b->columns + first, sum[i], (size_t)n * sizeof(float));
}

static void multiply_pieces(void *context, int64_t begin, int64_t end) {
  const job *x = context;
  for (int64_t first = begin * PIECE; first < end * PIECE && first < x->b->columns;
       first += PIECE) {
    int64_t rest = x->b->columns - first;
    multiply_columns(x, first, rest < PIECE ? rest : PIECE);
  }
}

/* ---- b lies along its columns: inner products with them
 * ------------------------------------------ */

/* In LANES sums at once, added up in pairs. */
static float inner_product(const float *a, const float *b, int64_t n) {
  float sum[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) sum[j] += a[i + j] * b[i + j];
  for (; i < n; i++) sum[i % LANES] += a[i] * b[i];
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int j = 0; j < half; j++) sum[j] += sum[j + half];
  return sum[0];
}

static void multiply_column(const job *x, int64_t column) {
  float piece[PIECE], sum[MOST_ROWS] = {0};
  int64_t depth = x->b->rows;
  for (int64_t first = 0; first < depth; first += PIECE) {
    int64_t n = depth - first < PIECE ? depth - first : PIECE;
    widen(piece, x->b, first, column, n);
    for (int64_t i = 0; i < x->rows; i++)
      sum[i] += inner_product(x->a + i * depth + first, piece, n);
  }
  for (int64_t i = 0; i < x->rows; i++) x->c[i * x->b->columns + column] = sum[i];
}

static void multiply_some_columns(void *context, int64_t begin, int64_t end) {
  for (int64_t column = begin; column < end; column++) multiply_column(context, column);
}

/* ---------------------------------------------------------------------------------------------- */

static void widen_all(float *to, const matrix *m) {
  size_t bytes = dtype_size(m->dtype);
  for (int64_t i = 0; i < m->rows * m->columns; i++) {
    int64_t at = i / m->columns * m->row_stride + i % m->columns * m->column_stride;
    dtype_convert(DTYPE_FLOAT32, to + i, m->dtype, (const char *)m->data + at * (int64_t)bytes, 1);
  }
}

bool gemm_thin(float *c, const matrix *a, const matrix *b) {
  float *wide = malloc((size_t)(a->rows * a->columns) * sizeof *wide);
  if (!wide) return false;
  widen_all(wide, a);
  job x = {wide, a->rows, b, c};
  if (b->column_stride == 1)
    parallel_for((b->columns + PIECE - 1) / PIECE, 1 + 65536 / (b->rows * PIECE + 1),
                 multiply_pieces, &x);
  else
    parallel_for(b->columns, 1 + 65536 / (b->rows + 1), multiply_some_columns, &x);
  free(wide);
  return true;
}
