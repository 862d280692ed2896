/* scan.c -- from a running sum or product to launches of cuda/scan.cu. */
#include "cuda/reduce.h"

#include "gpu/tensor/tensor.h"

enum { SUMS, ROWS, SHORT, COLUMN_SUMS, COLUMNS };
enum { VECTOR_BYTES = 16, BLOCKS = 1536 /* keep a device busy */, TILES = 4 /* worth a block */ };
enum { COLUMN_THREADS = 131072, COLUMN_LENGTH = 32, COLUMN_CHUNKS = 64, FEW_COLUMNS = 4096 };

static const gpu_source source = {
    "scan.cu", {"scan_sums", "scan_rows", "scan_short", "scan_column_sums", "scan_columns", NULL}};

typedef struct variant {
  dtype in, out;
  enum fold_op op;
  int items;
  bool aligned;
} variant;

static uint64_t key_of(const variant *v) {
  return (uint64_t)v->in | (uint64_t)v->out << 4 | (uint64_t)v->op << 8 | (uint64_t)v->items << 12 |
         (uint64_t)v->aligned << 20;
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  bool floats = dtype_is_float(v->in);
  gpu_macro(text, "IN", "%s", gpu_type_name(v->in));
  gpu_macro(text, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(text, "MADE", "%s", floats ? "float64" : "int64");
  gpu_macro(text, "ACCUMULATE", "%s", floats ? "double" : "uint64_t");
  gpu_macro(text, "JOIN", "%s", v->op == FOLD_PROD ? "*" : "+");
  gpu_macro(text, "START", "%d", v->op == FOLD_PROD);
  gpu_macro(text, "ITEMS", "%d", v->items);
  gpu_macro(text, "ALIGNED", "%d", v->aligned);
}

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int power_from(int64_t n, int least, int most) {
  int power = least;
  while (power < n && power < most) power *= 2;
  return power;
}

static int launch(gpu_device *device, const variant *v, int kernel, int64_t blocks, int threads,
                  const scan_arguments *a, tensor_error *error) {
  gpu_error why;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one running sum");
  const gpu_program *program = gpu_program_get(device, &source, key_of(v), define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = (unsigned)threads};
  return gpu_tensor_fail(gpu_program_launch(device, program, kernel, grid, a, &why), &why, error);
}

/* Chunks first, where there is more than one, then the scan itself. */
static int run(gpu_device *device, const variant *v, int sums, int64_t blocks, int threads,
               scan_arguments *a, tensor_error *error) {
  tensor parts = {0};
  int code = 0;
  if (a->chunks > 1) {
    size_t bytes = (size_t)(a->rows * a->inner * a->chunks) * 8;
    code = gpu_scratch(&parts, device->ordinal, bytes, error);
    if (!code) a->parts = tensor_data(&parts);
    if (!code) code = launch(device, v, sums, blocks, threads, a, error);
  }
  if (!code) code = launch(device, v, sums + 1, blocks, threads, a, error);
  tensor_release(&parts);
  return code;
}

static int64_t fewer(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static void cut(scan_arguments *a, int64_t chunks, int64_t multiple) {
  if (chunks < 1) chunks = 1;
  a->chunk = divide_up(divide_up(a->n, chunks), multiple) * multiple;
  a->chunks = divide_up(a->n, a->chunk);
}

static int scan_rows(gpu_device *device, variant *v, scan_arguments *a, const tensor *in, int dim,
                     tensor_error *error) {
  size_t size = dtype_size(v->in) > dtype_size(v->out) ? dtype_size(v->in) : dtype_size(v->out);
  v->items = VECTOR_BYTES / (int)size;
  v->aligned = gpu_row_items(in, dim, v->items) == v->items;
  a->map = gpu_row_map(in, dim);
  int64_t units = divide_up(a->n, v->items);
  if (units <= 32) {
    a->group = power_from(units, 1, 32);
    int64_t blocks = divide_up(a->rows, SCAN_THREADS / a->group);
    return launch(device, v, SHORT, blocks, SCAN_THREADS, a, error);
  }
  int threads = power_from(units, 32, SCAN_THREADS);
  int64_t tile = (int64_t)threads * v->items;
  cut(a, fewer(BLOCKS / a->rows, a->n / (tile * TILES)), tile);
  return run(device, v, SUMS, a->rows * a->chunks, threads, a, error);
}

static int scan_columns(gpu_device *device, variant *v, scan_arguments *a, tensor_error *error) {
  int64_t columns = a->rows * a->inner;
  v->items = 1;
  int64_t wanted = fewer(COLUMN_THREADS / columns, a->n / COLUMN_LENGTH);
  cut(a, fewer(wanted, COLUMN_CHUNKS), 1);
  int64_t blocks = divide_up(columns * a->chunks, SCAN_THREADS);
  return run(device, v, COLUMN_SUMS, blocks, SCAN_THREADS, a, error);
}

/* With the dimension brought to the end and back: for few columns, which are long. */
static int scan_turned(enum fold_op op, const tensor *to, const tensor *in, int dim,
                       tensor_error *error) {
  tensor across = {0}, turned = {0}, made = {0}, back = {0};
  int last = in->rank - 1;
  int code = tensor_transpose(&across, in, dim, last, error);
  if (!code) code = tensor_contiguous(&turned, &across, error);
  if (!code)
    code = tensor_empty(&made, to->dtype, to->storage->device, in->rank, turned.shape, error);
  if (!code) code = gpu_scan(op, &made, &turned, last, error);
  if (!code) code = tensor_transpose(&back, to, dim, last, error);
  if (!code) code = tensor_copy(&back, &made, error);
  tensor_release(&across);
  tensor_release(&turned);
  tensor_release(&made);
  tensor_release(&back);
  return code;
}

static int64_t inner_count(const tensor *t, int dim) {
  int64_t n = 1;
  for (int d = dim + 1; d < t->rank; d++) n *= t->shape[d];
  return n;
}

int gpu_scan(enum fold_op op, const tensor *to, const tensor *in, int dim, tensor_error *error) {
  tensor whole;
  if (tensor_count(in) == 0) return 0;
  int64_t n = in->shape[dim], inner = inner_count(in, dim), rows = tensor_count(in) / n / inner;
  if (inner > 1 && rows * inner < FEW_COLUMNS && n > FEW_COLUMNS)
    return scan_turned(op, to, in, dim, error);
  if (inner == 1 && (in->stride[dim] == 1 || n == 1)) {
    tensor_share(&whole, in);
  } else {
    int code = tensor_contiguous(&whole, in, error);
    if (code) return code;
  }
  const tensor *both[] = {to, &whole};
  gpu_device *device = gpu_tensor_device(2, both, error);
  variant v = {.in = in->dtype, .out = to->dtype, .op = op};
  scan_arguments a = {
      .in = tensor_data(&whole), .out = tensor_data(to), .rows = rows, .n = n, .inner = inner};
  int code = TENSOR_DEVICE;
  if (device)
    code = inner == 1 ? scan_rows(device, &v, &a, &whole, dim, error)
                      : scan_columns(device, &v, &a, error);
  tensor_release(&whole);
  return code;
}
