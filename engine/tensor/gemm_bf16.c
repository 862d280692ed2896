#include "tensor/gemm_bf16.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/parallel.h"

/* b is cut into panels of WIDTH columns, a into strips of HEIGHT rows; a strip times a panel stays
 * in HEIGHT * WIDTH / 16 = 24 of the 32 registers. Both are packed in pairs of neighbours along the
 * depth: what one instruction multiplies and adds. */
enum { WIDTH = 64, HEIGHT = 6, LANES = WIDTH / 16, DEPTH = 512 /* pairs at a time */, STRIPS = 40 };

bool gemm_bf16_available(void) {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512f");
}

static uint32_t element(const bf16_matrix *m, int64_t row, int64_t column) {
  return row < m->rows && column < m->columns
             ? m->data[row * m->row_stride + column * m->column_stride]
             : 0;
}

/* ---- packing --------------------------------------------------------------------------------- */

typedef struct job {
  const bf16_matrix *a, *b;
  void *c;
  dtype c_dtype;
  uint32_t *panels; /* of b: for every panel, its pairs of rows, WIDTH pairs each */
  int64_t pairs;    /* along the depth */
  atomic_bool out_of_memory;
} job;

/* One pair of rows of a panel that is full and lies along its rows. */
static void pack_row_pair(uint32_t *to, const uint16_t *even, const uint16_t *odd) {
  for (int j = 0; j < WIDTH; j++) to[j] = even[j] | (uint32_t)odd[j] << 16;
}

static void pack_panels(void *context, int64_t begin, int64_t end) {
  const job *x = context;
  const bf16_matrix *b = x->b;
  for (int64_t panel = begin; panel < end; panel++) {
    int64_t first = panel * WIDTH;
    bool plain = b->column_stride == 1 && first + WIDTH <= b->columns;
    uint32_t *to = x->panels + panel * x->pairs * WIDTH;
    for (int64_t p = 0; p < x->pairs; p++, to += WIDTH) {
      const uint16_t *even = b->data + 2 * p * b->row_stride + first;
      if (plain && 2 * p + 1 < b->rows) {
        pack_row_pair(to, even, even + b->row_stride);
        continue;
      }
      for (int j = 0; j < WIDTH; j++)
        to[j] = element(b, 2 * p, first + j) | element(b, 2 * p + 1, first + j) << 16;
    }
  }
}

/* `depth` pairs of columns of a strip of a, from pair `first` on. */
static void pack_strip(uint32_t *to, const bf16_matrix *a, int64_t row, int64_t first,
                       int64_t depth) {
  for (int i = 0; i < HEIGHT; i++) {
    bool plain = a->column_stride == 1 && row + i < a->rows && 2 * (first + depth) <= a->columns;
    const uint16_t *from = plain ? a->data + (row + i) * a->row_stride + 2 * first : NULL;
    for (int64_t p = 0; p < depth; p++) {
      if (plain)
        memcpy(&to[p * HEIGHT + i], from + 2 * p, 4);
      else
        to[p * HEIGHT + i] =
            element(a, row + i, 2 * (first + p)) | element(a, row + i, 2 * (first + p) + 1) << 16;
    }
  }
}

/* ---- a strip times a panel ------------------------------------------------------------------- */

/* tile += strip times panel, over `depth` pairs; a new tile is taken for zeros. The tile's rows are
 * `step` numbers apart. */
__attribute__((target("avx512f,avx512bf16"))) static void
multiply_tile(float *tile, int64_t step, bool new, const uint32_t *strip, const uint32_t *panel,
              int64_t depth) {
  __m512 sum[HEIGHT][LANES];
#pragma GCC unroll 6
  for (int i = 0; i < HEIGHT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < LANES; j++)
      sum[i][j] = new ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + i * step + 16 * j);
  for (int64_t p = 0; p < depth; p++) {
    __m512i right[LANES];
#pragma GCC unroll 4
    for (int j = 0; j < LANES; j++) right[j] = _mm512_loadu_si512(panel + p * WIDTH + 16 * j);
#pragma GCC unroll 6
    for (int i = 0; i < HEIGHT; i++) {
      __m512i left = _mm512_set1_epi32((int)strip[p * HEIGHT + i]);
#pragma GCC unroll 4
      for (int j = 0; j < LANES; j++)
        sum[i][j] = _mm512_dpbf16_ps(sum[i][j], (__m512bh)left, (__m512bh)right[j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < HEIGHT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < LANES; j++) _mm512_storeu_ps(tile + i * step + 16 * j, sum[i][j]);
}

/* The same at c's right and lower edges, where the tile stands over. */
static void multiply_edge(float *c, int64_t step, bool new, int64_t rows, int64_t columns,
                          const uint32_t *strip, const uint32_t *panel, int64_t depth) {
  float tile[HEIGHT * WIDTH] = {0};
  for (int64_t i = 0; i < rows && !new; i++)
    memcpy(tile + i * WIDTH, c + i * step, (size_t)columns * sizeof *tile);
  multiply_tile(tile, WIDTH, new, strip, panel, depth);
  for (int64_t i = 0; i < rows; i++)
    memcpy(c + i * step, tile + i * WIDTH, (size_t)columns * sizeof *tile);
}

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* `count` strips from number `first` on, over `depth` pairs, into c, which is their first row. The
 * strips, packed, stay in the second-level cache, and so does one panel after the other. */
static void multiply_strips(const job *x, float *c, const uint32_t *strips, int64_t first,
                            int64_t count, int64_t pair, int64_t depth) {
  int64_t n = x->b->columns;
  for (int64_t column = 0; column < n; column += WIDTH) {
    const uint32_t *panel = x->panels + column * x->pairs + pair * WIDTH;
    for (int64_t s = 0; s < count; s++) {
      int64_t rows = least(HEIGHT, x->a->rows - (first + s) * HEIGHT);
      int64_t columns = least(WIDTH, n - column);
      float *tile = c + s * HEIGHT * n + column;
      const uint32_t *strip = strips + s * DEPTH * HEIGHT;
      if (rows == HEIGHT && columns == WIDTH)
        multiply_tile(tile, n, pair == 0, strip, panel, depth);
      else
        multiply_edge(tile, n, pair == 0, rows, columns, strip, panel, depth);
    }
  }
}

/* The same over the whole depth, with room for the packed strips. */
static void multiply_block(const job *x, float *c, uint32_t *strips, int64_t first, int64_t count) {
  for (int64_t pair = 0; pair < x->pairs; pair += DEPTH) {
    int64_t depth = least(DEPTH, x->pairs - pair);
    for (int64_t s = 0; s < count; s++)
      pack_strip(strips + s * DEPTH * HEIGHT, x->a, (first + s) * HEIGHT, pair, depth);
    multiply_strips(x, c, strips, first, count, pair, depth);
  }
}

/* A block into its place in c; by way of `sums` where c is not float32. */
static void store_block(const job *x, float *sums, uint32_t *strips, int64_t first, int64_t count) {
  int64_t n = x->b->columns, rows = least(count * HEIGHT, x->a->rows - first * HEIGHT);
  char *c = (char *)x->c + first * HEIGHT * n * (int64_t)dtype_size(x->c_dtype);
  multiply_block(x, x->c_dtype == DTYPE_FLOAT32 ? (float *)c : sums, strips, first, count);
  if (x->c_dtype != DTYPE_FLOAT32) dtype_convert(x->c_dtype, c, DTYPE_FLOAT32, sums, rows * n);
}

static void multiply_rows(void *context, int64_t begin, int64_t end) {
  job *x = context;
  int64_t blocks = (end - begin + STRIPS - 1) / STRIPS;
  int64_t even = (end - begin + blocks - 1) / blocks; /* no small block is left over */
  size_t sums = x->c_dtype == DTYPE_FLOAT32 ? 0 : (size_t)(even * HEIGHT * x->b->columns);
  uint32_t *strips = malloc(sizeof *strips * STRIPS * DEPTH * HEIGHT + sums * sizeof(float));
  if (!strips) {
    atomic_store(&x->out_of_memory, true);
    return;
  }
  for (int64_t first = begin; first < end; first += even)
    store_block(x, (float *)(strips + STRIPS * DEPTH * HEIGHT), strips, first,
                least(even, end - first));
  free(strips);
}

bool gemm_bf16(void *c, dtype c_dtype, const bf16_matrix *a, const bf16_matrix *b) {
  int64_t panels = (b->columns + WIDTH - 1) / WIDTH, strips = (a->rows + HEIGHT - 1) / HEIGHT;
  job x = {.a = a, .b = b, .c = c, .c_dtype = c_dtype, .pairs = (b->rows + 1) / 2};
  x.panels = malloc((size_t)(panels * x.pairs) * WIDTH * sizeof *x.panels);
  if (!x.panels) return false;
  parallel_for(panels, 1 + 65536 / (x.pairs * WIDTH + 1), pack_panels, &x);
  parallel_for(strips, 1 + 65536 / (x.pairs * b->columns + 1), multiply_rows, &x);
  free(x.panels);
  return !atomic_load(&x.out_of_memory);
}

#else

bool gemm_bf16_available(void) {
  return false;
}

bool gemm_bf16(void *c, dtype c_dtype, const bf16_matrix *a, const bf16_matrix *b) {
  (void)c, (void)c_dtype, (void)a, (void)b;
  return false;
}

#endif
