/* softmax.c -- from a softmax to a launch of cuda/softmax.cu: rows that fit are held in registers,
 * by part of a warp, a block or a cluster of blocks. */
#include "cuda/reduce.h"

#include "gpu/tensor/tensor.h"

enum { SOFTMAX_KERNEL, NORMALISE_KERNEL };
enum { VECTOR_BYTES = 16, REGISTERS = 32 /* that hold elements */, NORMALISE_VECTORS = 2 };
enum { PLAIN_THREADS = 512, MOST_THREADS = 1024, MOST_CLUSTER = 8, HOPPER = 9 };

static const gpu_source source = {"softmax.cu", {"softmax", "normalise", NULL}};

typedef struct variant {
  dtype in, out;
  bool logarithm;
  int items, vectors, cluster;
} variant;

static uint64_t key_of(const variant *v) {
  return (uint64_t)v->in | (uint64_t)v->out << 4 | (uint64_t)v->logarithm << 8 |
         (uint64_t)v->items << 9 | (uint64_t)v->vectors << 16 | (uint64_t)v->cluster << 24;
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(text, "IN", "%s", gpu_type_name(v->in));
  gpu_macro(text, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(text, "LOGARITHM", "%d", v->logarithm);
  gpu_macro(text, "ITEMS", "%d", v->items);
  gpu_macro(text, "VECTORS", "%d", v->vectors);
  gpu_macro(text, "IS_ROUGH", "%d", dtype_size(v->in) < 4 && dtype_size(v->out) < 4);
  gpu_macro(text, "CLUSTER", "%d", v->cluster);
}

static int launch(gpu_device *device, const variant *v, int kernel, int64_t blocks, int threads,
                  const softmax_arguments *a, tensor_error *error) {
  gpu_error why;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one softmax");
  const gpu_program *program = gpu_program_get(device, &source, key_of(v), define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = (unsigned)threads};
  return gpu_tensor_fail(gpu_program_launch(device, program, kernel, grid, a, &why), &why, error);
}

/* ---- rows in registers ------------------------------------------------------------------------
 */

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int power_from(int64_t n, int most) {
  int power = 1;
  while (power < n && power < most) power *= 2;
  return power;
}

/* How rows of n elements are shared out; false where they are too long for it. */
static bool fit(variant *v, softmax_arguments *a, int *threads, bool has_clusters) {
  int64_t units = a->n / v->items;
  size_t size = dtype_size(v->in);
  int most = (REGISTERS * 4) / (v->items * (int)size);
  int bound = v->items == 1 ? REGISTERS / 2 : REGISTERS / 4; /* addresses need registers too */
  if (most > bound) most = bound;
  a->group = power_from(divide_up(units, most < 4 ? most : 4), SOFTMAX_THREADS);
  if (units > (int64_t)a->group * most)
    a->group = power_from(divide_up(units, most), PLAIN_THREADS);
  v->cluster =
      has_clusters ? power_from(divide_up(units, (int64_t)a->group * most), MOST_CLUSTER) : 1;
  if (units > (int64_t)a->group * most * v->cluster) a->group = MOST_THREADS;
  if (units > (int64_t)a->group * most * v->cluster) return false;
  v->vectors = power_from(divide_up(units, (int64_t)a->group * v->cluster), most);
  *threads = a->group > SOFTMAX_THREADS ? a->group : SOFTMAX_THREADS;
  if (v->cluster > 1) *threads = a->group;
  return true;
}

/* The loop over the rows of a tensor along `dim`, in the order of the result. */
static void row_loop(loop *l, const tensor *in, int dim) {
  tensor rows = *in;
  rows.shape[dim] = 1;
  loop_start(l, in->rank, rows.shape);
  loop_add(l, &rows);
  loop_merge(l);
}

place_map gpu_row_map(const tensor *in, int dim) {
  loop l;
  row_loop(&l, in, dim);
  place_map m = {.shape = gpu_strided_shape(&l, 1), .is_wide = loop_count(&l) >= INT32_MAX};
  for (int d = 0; d < l.rank; d++)
    m.from[d] = l.operand[0].stride[d] / (int64_t)dtype_size(in->dtype);
  return m;
}

/* Elements that can be loaded at once from every row. */
int gpu_row_items(const tensor *in, int dim, int most) {
  loop l;
  int items = most;
  row_loop(&l, in, dim);
  for (; items > 1; items /= 2) {
    int64_t bytes = items * (int64_t)dtype_size(in->dtype);
    bool even = in->shape[dim] % items == 0 && (uintptr_t)tensor_data(in) % (uint64_t)bytes == 0;
    for (int d = 0; d < l.rank; d++) even &= l.operand[0].stride[d] % bytes == 0;
    if (even) return items;
  }
  return 1;
}

static int softmax_rows(gpu_device *device, variant *v, const tensor *to, const tensor *in, int dim,
                        tensor_error *error) {
  int threads;
  softmax_arguments a = {.in = tensor_data(in), .out = tensor_data(to), .n = in->shape[dim]};
  v->items = gpu_row_items(in, dim, VECTOR_BYTES / (int)dtype_size(in->dtype));
  bool has_clusters = gpu_attribute(device, DEVICE_CAPABILITY_MAJOR) >= HOPPER;
  if (!fit(v, &a, &threads, has_clusters)) return 1;
  a.rows = tensor_count(in) / a.n;
  a.map = gpu_row_map(in, dim);
  int64_t blocks = v->cluster > 1 ? a.rows * v->cluster : divide_up(a.rows, threads / a.group);
  return launch(device, v, SOFTMAX_KERNEL, blocks, threads, &a, error);
}

/* ---- in two passes ----------------------------------------------------------------------------
 */

static int normalise(gpu_device *device, variant *v, const tensor *to, const tensor *in, int dim,
                     const tensor *sums, tensor_error *error) {
  loop l;
  tensor each = *to;
  int64_t step = 1, size = (int64_t)dtype_size(in->dtype);
  for (int d = to->rank - 1; d >= 0; d--) {
    each.stride[d] = d == dim ? 0 : step;
    if (d != dim) step *= to->shape[d];
  }
  each.dtype = DTYPE_UINT8;
  loop_start(&l, to->rank, to->shape);
  loop_add(&l, in);
  loop_add(&l, &each);
  loop_merge(&l);
  int inner = l.rank - 1;
  int64_t apart = l.rank ? l.operand[1].stride[inner] : 0;
  v->vectors = NORMALISE_VECTORS;
  v->cluster = 1;
  for (v->items = VECTOR_BYTES / (int)size; v->items > 1; v->items /= 2) {
    int64_t bytes = v->items * size;
    bool even = l.rank > 0 && l.shape[inner] % v->items == 0 &&
                l.operand[0].stride[inner] == size &&
                (uintptr_t)l.operand[0].data % (uint64_t)bytes == 0;
    for (int d = 0; d < inner; d++) even &= l.operand[0].stride[d] % bytes == 0;
    if (even) break;
  }
  softmax_arguments a = {.in = tensor_data(in),
                         .out = tensor_data(to),
                         .sums = tensor_data(sums),
                         .vectors = tensor_count(in) / v->items,
                         .to_item = apart,
                         .map = {.shape = gpu_strided_shape(&l, v->items)}};
  a.map.is_wide = a.vectors >= INT32_MAX;
  for (int d = 0; d < l.rank; d++) {
    int scale = d == inner ? v->items : 1;
    a.map.from[d] = l.operand[0].stride[d] / size * scale;
    a.map.to[d] = l.operand[1].stride[d] * scale;
  }
  int64_t blocks = divide_up(a.vectors, SOFTMAX_THREADS * NORMALISE_VECTORS);
  return launch(device, v, NORMALISE_KERNEL, blocks, SOFTMAX_THREADS, &a, error);
}

static int softmax_twice(gpu_device *device, variant *v, const tensor *to, const tensor *in,
                         int dim, tensor_error *error) {
  tensor sums = {0};
  size_t rows = (size_t)(tensor_count(in) / in->shape[dim]);
  int code = gpu_scratch(&sums, device->ordinal, rows * 16, error);
  if (!code) code = gpu_softmax_sums(device, in, dim, tensor_data(&sums), error);
  if (!code) code = normalise(device, v, to, in, dim, &sums, error);
  tensor_release(&sums);
  return code;
}

/* ---- entry ------------------------------------------------------------------------------------
 */

/* The step between neighbours in order of the elements. */
static int64_t inner_stride(const tensor *t) {
  for (int d = t->rank - 1; d >= 0; d--)
    if (t->shape[d] > 1) return t->stride[d];
  return 1;
}

static bool is_innermost(const tensor *t, int dim) {
  for (int d = dim + 1; d < t->rank; d++)
    if (t->shape[d] > 1) return false;
  return t->shape[dim] == 1 || t->stride[dim] == 1;
}

int gpu_softmax(const tensor *to, const tensor *in, int dim, bool logarithm, tensor_error *error) {
  tensor whole;
  if (tensor_count(in) == 0) return 0;
  if (inner_stride(in) != 1) {
    int code = tensor_contiguous(&whole, in, error);
    if (code) return code;
  } else {
    tensor_share(&whole, in);
  }
  const tensor *both[] = {to, &whole};
  gpu_device *device = gpu_tensor_device(2, both, error);
  variant v = {.in = in->dtype, .out = to->dtype, .logarithm = logarithm};
  int code = device ? 1 : TENSOR_DEVICE;
  if (device && is_innermost(&whole, dim)) code = softmax_rows(device, &v, to, &whole, dim, error);
  if (code == 1) code = softmax_twice(device, &v, to, &whole, dim, error);
  tensor_release(&whole);
  return code;
}
