/* sort.c -- how rows are sorted: short ones by a warp, those that fit into a block by one, longer
 * ones by cuda/sort.cu; and when only a few elements of each are wanted, by cuda/topk.cu first. */
#include "cuda/sort.h"

#include "cuda/compact.h"
#include "gpu/tensor/compact.h"
#include "gpu/tensor/sort.h"
#include "gpu/tensor/tensor.h"

enum { WARP = 32, SHORT_ITEMS = 4 };
enum { COUNT_BLOCKS = 264, LEAST_COUNTED = 4, MOST_COUNTED = 64 /* by a thread */ };
enum { COUNT, SWEEP };                          /* of sort.cu */
enum { TOPK_COUNT, TOPK_COLLECT, TOPK_JOIN };   /* of topk.cu */
enum { PLACES, FLAGS, WRITE_RUNS, COUNT_RUNS }; /* of search.cu */
#define LONG_ROW ((int64_t)1 << 30)             /* counts do not fit into 32 bits */

static const gpu_source short_rows = {"sort_short.cu", {"sort_short", NULL}};
static const gpu_source block_rows = {"sort_block.cu", {"sort_block", NULL}};
static const gpu_source long_rows = {"sort.cu", {"sort_count", "sort_sweep", NULL}};
static const gpu_source first_of_rows = {"topk.cu",
                                         {"topk_count", "topk_collect", "topk_join", NULL}};
static const gpu_source searches = {
    "search.cu", {"search_places", "distinct_flags", "distinct_write", "distinct_count", NULL}};

/* ---- programs ---------------------------------------------------------------------------------
 */

typedef struct variant {
  size_t size; /* of an element */
  bool is_float, is_long;
  int items;
} variant;

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const words[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
  const variant *v = context;
  gpu_macro(text, "WORD", "%s", words[size_index(v->size)]);
  gpu_macro(text, "BITS", "%d", (int)v->size * 8);
  gpu_macro(text, "FLOAT", "%d", v->is_float);
  if (v->items) gpu_macro(text, "ITEMS", "%d", v->items);
  gpu_macro(text, "COUNT", "%s", v->is_long ? "uint64_t" : "uint32_t");
}

/* The queue of an operation: after a failure the launches that follow are left out. */
typedef struct queue {
  gpu_device *device;
  tensor_error *error;
  int code;
} queue;

static const gpu_program *program_for(queue *q, const gpu_source *source, variant v) {
  gpu_error why;
  if (q->code) return NULL;
  uint64_t key =
      v.size | (uint64_t)v.is_float << 4 | (uint64_t)v.is_long << 5 | (uint64_t)v.items << 6;
  const gpu_program *program = gpu_program_get(q->device, source, key, define, &v, &why);
  if (!program) q->code = gpu_tensor_fail(-1, &why, q->error);
  return program;
}

static void launch(queue *q, const gpu_program *program, int kernel, int64_t blocks,
                   const void *arguments) {
  gpu_error why;
  if (q->code || blocks == 0) return;
  if (blocks > INT32_MAX) {
    q->code = tensor_fail(q->error, TENSOR_INVALID, "too many elements for one launch");
    return;
  }
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = SORT_THREADS};
  int failed = gpu_program_launch(q->device, program, kernel, grid, arguments, &why);
  q->code = gpu_tensor_fail(failed, &why, q->error);
}

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- scratch ----------------------------------------------------------------------------------
 */

/* Parts of one block of memory: first they are measured, then it is there and they are placed. */
typedef struct scratch {
  tensor memory;
  size_t used;
} scratch;

static size_t scratch_part(scratch *s, int64_t count, size_t size) {
  size_t at = s->used;
  s->used += ((size_t)count * size + 255) / 256 * 256;
  return at;
}

static void scratch_get(scratch *s, queue *q) {
  if (!q->code) q->code = gpu_scratch(&s->memory, q->device->ordinal, s->used, q->error);
}

static void *scratch_at(const scratch *s, size_t at) {
  return (char *)tensor_data(&s->memory) + at;
}

static void clear(queue *q, void *at, size_t bytes) {
  gpu_error why;
  if (q->code) return;
  CUresult result =
      gpu_state_get()->driver->set32((CUdeviceptr)(uintptr_t)at, 0, bytes / 4, q->device->stream);
  q->code = gpu_tensor_fail(gpu_check(q->device, result, "clear memory", &why), &why, q->error);
}

/* ---- sorting rows -----------------------------------------------------------------------------
 */

static sort_order order_of(dtype d, bool descending) {
  static const uint64_t largest[DTYPE_COUNT] = {[DTYPE_FLOAT64] = 0x7FF0000000000000u,
                                                [DTYPE_FLOAT32] = 0x7F800000u,
                                                [DTYPE_FLOAT16] = 0x7C00,
                                                [DTYPE_BFLOAT16] = 0x7F80,
                                                [DTYPE_FLOAT8_E4M3FN] = 0x7E,
                                                [DTYPE_FLOAT8_E5M2] = 0x7C};
  int bits = (int)dtype_size(d) * 8;
  bool is_signed = dtype_is_integer(d) && d != DTYPE_UINT8;
  uint64_t flip = is_signed ? (uint64_t)1 << (bits - 1) : 0;
  if (descending) flip ^= ~(uint64_t)0 >> (64 - bits);
  return (sort_order){.flip = flip, .largest = largest[d]};
}

static variant variant_of(dtype d, int items) {
  return (variant){.size = dtype_size(d), .is_float = dtype_is_float(d), .items = items};
}

static int tile_items(size_t size) {
  return size == 8 ? 8 : 16;
}

static int64_t block_length(dtype d) {
  return (int64_t)SORT_THREADS * tile_items(dtype_size(d));
}

/* The fewest items a thread, a power of two, for `threads` threads to hold a row. */
static int items_for(int64_t length, int threads) {
  int items = 1;
  while ((int64_t)items * threads < length) items *= 2;
  return items;
}

/* How many elements a thread counts: so few that all multiprocessors have something to do. */
static int count_items_for(int64_t rows, int64_t length) {
  int64_t items = divide_up(rows * length, (int64_t)COUNT_BLOCKS * SORT_THREADS);
  return items < LEAST_COUNTED ? LEAST_COUNTED : items > MOST_COUNTED ? MOST_COUNTED : (int)items;
}

/* Passes alternate between scratch and the results' own memory, where the last one must end. */
static void sweep(queue *q, sort_arguments a, dtype d, int bits) {
  size_t size = dtype_size(d);
  variant v = variant_of(d, tile_items(size));
  v.is_long = a.length >= LONG_ROW;
  size_t counted = v.is_long ? 8 : 4;
  const gpu_program *program = program_for(q, &long_rows, v);
  a.passes = (int32_t)divide_up(bits, SORT_DIGIT_BITS);
  a.tiles = divide_up(a.length, (int64_t)SORT_THREADS * v.items);
  a.count_items = count_items_for(a.rows, a.length);
  int64_t all = a.rows * a.length, state = a.rows * a.tiles * SORT_THREADS;
  bool whole = a.take == a.length;
  scratch s = {.used = 0};
  size_t tickets = scratch_part(&s, a.passes, sizeof *a.tickets);
  size_t histograms = scratch_part(&s, a.rows * a.passes * SORT_THREADS, counted);
  size_t states[2] = {scratch_part(&s, state, counted)}, cleared = s.used;
  states[1] = scratch_part(&s, state, counted);
  size_t words = scratch_part(&s, all, size), places = scratch_part(&s, all, sizeof(uint32_t));
  size_t more_words = whole ? 0 : scratch_part(&s, all, size);
  size_t more_places = whole ? 0 : scratch_part(&s, all, sizeof(uint32_t));
  scratch_get(&s, q);
  if (!q->code) {
    clear(q, tensor_data(&s.memory), cleared);
    void *result = a.to;
    void *own_words = whole ? a.to : scratch_at(&s, more_words);
    uint32_t *own_places = whole ? (uint32_t *)a.indices : scratch_at(&s, more_places);
    a.tickets = scratch_at(&s, tickets);
    a.histograms = scratch_at(&s, histograms);
    launch(q, program, COUNT, a.rows * divide_up(a.length, (int64_t)SORT_THREADS * a.count_items),
           &a);
    for (a.pass = 0; a.pass < a.passes; a.pass++) {
      bool is_last = a.pass == a.passes - 1, is_own = (a.passes - 1 - a.pass) % 2 == 0;
      a.tile_state = scratch_at(&s, states[a.pass % 2]);
      a.next_state = scratch_at(&s, states[(a.pass + 1) % 2]);
      a.to = is_last ? result : is_own ? own_words : scratch_at(&s, words);
      a.to_places = is_own ? own_places : scratch_at(&s, places);
      launch(q, program, SWEEP, a.rows * a.tiles, &a);
      a.from = a.to;
      a.from_places = a.to_places;
    }
  }
  tensor_release(&s.memory);
}

/* a: rows, where they lie, what is wanted and the order. */
static void sort_rows(queue *q, const sort_arguments *a, dtype d, int bits) {
  if (a->length <= WARP * SHORT_ITEMS) {
    variant v = variant_of(d, items_for(a->length, WARP));
    launch(q, program_for(q, &short_rows, v), 0, divide_up(a->rows, SORT_WARPS), a);
  } else if (a->length <= block_length(d)) {
    int items = items_for(a->length, SORT_THREADS);
    variant v = variant_of(d, items < 2 ? 2 : items);
    launch(q, program_for(q, &block_rows, v), 0, a->rows, a);
  } else {
    sweep(q, *a, d, bits);
  }
}

/* ---- the first of rows ------------------------------------------------------------------------
 */

enum { TOPK_BLOCKS = 1056, TOPK_CHUNK = 2048, TOPK_ROWS = 8192 /* at once */ };

static void select_rows(queue *q, const sort_arguments *sorted, dtype d) {
  size_t size = dtype_size(d);
  const gpu_program *program = program_for(q, &first_of_rows, variant_of(d, 0));
  topk_arguments a = {.from = sorted->from,
                      .rows = sorted->rows,
                      .length = sorted->length,
                      .take = sorted->take,
                      .order = sorted->order,
                      .passes = (int32_t)divide_up((int64_t)size * 8, TOPK_DIGIT_BITS)};
  int64_t most = divide_up(a.length, 2 * TOPK_CHUNK), wanted = divide_up(TOPK_BLOCKS, a.rows);
  a.chunk = divide_up(divide_up(a.length, wanted < most ? wanted : most), TOPK_CHUNK) * TOPK_CHUNK;
  a.chunks = divide_up(a.length, a.chunk);
  a.room = a.chunk < a.take ? a.chunk : a.take;
  int64_t lists = a.rows * a.chunks, taken = a.rows * a.take;
  scratch s = {.used = 0};
  size_t histograms = scratch_part(&s, a.rows * a.passes * TOPK_BINS, sizeof *a.histograms);
  size_t cleared = s.used;
  size_t states = scratch_part(&s, a.rows * (a.passes + 1), sizeof *a.states);
  size_t list = scratch_part(&s, lists * a.room, size);
  size_t list_places = scratch_part(&s, lists * a.room, sizeof *a.list_places);
  size_t before = scratch_part(&s, lists, sizeof *a.before);
  size_t equal = scratch_part(&s, lists, sizeof *a.equal);
  size_t to = scratch_part(&s, taken, size);
  size_t to_places = scratch_part(&s, taken, sizeof *a.to_places);
  scratch_get(&s, q);
  if (!q->code) {
    a.histograms = scratch_at(&s, histograms);
    a.states = scratch_at(&s, states);
    a.list = scratch_at(&s, list);
    a.list_places = scratch_at(&s, list_places);
    a.before = scratch_at(&s, before);
    a.equal = scratch_at(&s, equal);
    a.to = scratch_at(&s, to);
    a.to_places = scratch_at(&s, to_places);
    clear(q, a.histograms, cleared);
    for (a.pass = 0; a.pass < a.passes; a.pass++) launch(q, program, TOPK_COUNT, lists, &a);
    launch(q, program, TOPK_COLLECT, lists, &a);
    launch(q, program, TOPK_JOIN, lists, &a);
    sort_arguments few = *sorted;
    few.from = a.to;
    few.from_places = a.to_places;
    few.length = a.take;
    sort_rows(q, &few, d, (int)size * 8);
  }
  tensor_release(&s.memory);
}

/* Not too many rows at a time, for the memory that their counts take. */
static void select_some_rows(queue *q, sort_arguments a, dtype d) {
  int64_t rows = a.rows, size = (int64_t)dtype_size(d);
  for (int64_t done = 0; done < rows && !q->code; done += a.rows) {
    a.rows = rows - done < TOPK_ROWS ? rows - done : TOPK_ROWS;
    select_rows(q, &a, d);
    a.from = (const char *)a.from + a.rows * a.length * size;
    a.to = (char *)a.to + a.rows * a.take * size;
    a.indices += a.rows * a.take;
  }
}

/* ---- the functions of the device ---------------------------------------------------------------
 */

int gpu_order(const tensor *values, const tensor *indices, const tensor *t, bool descending,
              tensor_error *error) {
  gpu_device *device = gpu_tensor_device(3, (const tensor *[]){values, indices, t}, error);
  if (!device) return TENSOR_DEVICE;
  sort_arguments a = {.from = tensor_data(t),
                      .to = tensor_data(values),
                      .indices = tensor_data(indices),
                      .rows = t->shape[0],
                      .length = t->shape[1],
                      .take = values->shape[1],
                      .order = order_of(t->dtype, descending)};
  if (a.rows == 0 || a.take == 0) return 0;
  if (a.length > UINT32_MAX)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot sort rows of %lld elements on a GPU: at most "
                       "%lld",
                       (long long)a.length, (long long)UINT32_MAX);
  queue q = {device, error, 0};
  if (a.length > block_length(t->dtype) && a.take <= a.length / 4)
    select_some_rows(&q, a, t->dtype);
  else
    sort_rows(&q, &a, t->dtype, (int)dtype_size(t->dtype) * 8);
  return q.code;
}

int gpu_sort_numbers(gpu_device *device, const tensor *sorted, const tensor *order,
                     const tensor *numbers, int bits, tensor_error *error) {
  int64_t count = tensor_count(numbers);
  sort_arguments a = {.from = tensor_data(numbers),
                      .to = tensor_data(sorted),
                      .indices = tensor_data(order),
                      .rows = 1,
                      .length = count,
                      .take = count,
                      .order = order_of(DTYPE_INT64, false)};
  queue q = {device, error, 0};
  if (count > UINT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "cannot add at %lld places on a GPU: at most %lld",
                       (long long)count, (long long)UINT32_MAX);
  if (count > 0) sort_rows(&q, &a, DTYPE_INT64, bits);
  return q.code;
}

int gpu_search(const tensor *places, const tensor *sorted, const tensor *values, bool right,
               tensor_error *error) {
  gpu_device *device = gpu_tensor_device(3, (const tensor *[]){places, sorted, values}, error);
  if (!device) return TENSOR_DEVICE;
  int64_t length = sorted->shape[sorted->rank - 1];
  search_arguments a = {.sorted = tensor_data(sorted),
                        .values = tensor_data(values),
                        .places = tensor_data(places),
                        .count = tensor_count(values),
                        .length = length,
                        .row_stride = sorted->rank == 1 ? 0 : length,
                        .order = order_of(sorted->dtype, false),
                        .right = right};
  a.each = sorted->rank == 1 ? a.count : values->shape[values->rank - 1];
  queue q = {device, error, 0};
  const gpu_program *program = program_for(&q, &searches, variant_of(sorted->dtype, 0));
  launch(&q, program, PLACES, divide_up(a.count, SORT_THREADS), &a);
  return q.code;
}

/* ---- distinct values ---------------------------------------------------------------------------
 */

static int write_runs(queue *q, const gpu_program *program, distinct_arguments *a, tensor *values,
                      const tensor *inverse, tensor *counts, const tensor *sorted) {
  int ordinal = q->device->ordinal;
  tensor starts = {0};
  q->code = tensor_empty(values, sorted->dtype, ordinal, 1, &a->groups, q->error);
  if (!q->code) q->code = tensor_empty(counts, DTYPE_INT64, ordinal, 1, &a->groups, q->error);
  if (!q->code) q->code = tensor_empty(&starts, DTYPE_INT64, ordinal, 1, &a->groups, q->error);
  if (!q->code) {
    a->values = tensor_data(values);
    a->inverse = tensor_data(inverse);
    a->counts = tensor_data(counts);
    a->starts = tensor_data(&starts);
    launch(q, program, WRITE_RUNS, divide_up(a->count, COMPACT_TILE), a);
    launch(q, program, COUNT_RUNS, divide_up(a->groups, SORT_THREADS), a);
  }
  tensor_release(&starts);
  return q->code;
}

int gpu_distinct(tensor *values, const tensor *inverse, tensor *counts, const tensor *t,
                 tensor_error *error) {
  gpu_device *device = gpu_tensor_device(2, (const tensor *[]){inverse, t}, error);
  if (!device) return TENSOR_DEVICE;
  int64_t n = tensor_count(t), shape[2] = {1, n};
  tensor sorted = {0}, order = {0}, flags = {0}, starts = {0}, row = *t;
  row.rank = 2;
  row.shape[0] = 1, row.stride[0] = n;
  row.shape[1] = n, row.stride[1] = 1;
  int ordinal = device->ordinal;
  int code = tensor_empty(&sorted, t->dtype, ordinal, 2, shape, error);
  if (!code) code = tensor_empty(&order, DTYPE_INT64, ordinal, 2, shape, error);
  if (!code) code = tensor_empty(&flags, DTYPE_BOOL, ordinal, 1, &n, error);
  if (!code) code = gpu_order(&sorted, &order, &row, false, error);
  if (!code) {
    distinct_arguments a = {.sorted = tensor_data(&sorted),
                            .order = tensor_data(&order),
                            .count = n,
                            .by = order_of(t->dtype, false),
                            .flags = tensor_data(&flags)};
    queue q = {device, error, 0};
    const gpu_program *program = program_for(&q, &searches, variant_of(t->dtype, 0));
    launch(&q, program, FLAGS, divide_up(n, SORT_THREADS), &a);
    if (!q.code) q.code = gpu_count_flags(&starts, &a.groups, device, &flags, error);
    if (!q.code) {
      a.tile_starts = tensor_data(&starts);
      write_runs(&q, program, &a, values, inverse, counts, t);
    }
    code = q.code;
  }
  tensor_release(&sorted);
  tensor_release(&order);
  tensor_release(&flags);
  tensor_release(&starts);
  return code;
}
