/* reduce.c -- from a reduction to launches of cuda/fold.cu: which layout its elements have, how
 * many threads work on a result, and whether several blocks do. */
#include "cuda/reduce.h"

#include "gpu/tensor/tensor.h"

enum { VECTOR_BYTES = 16, MOST_BLOCKS = 4096, MOST_COLUMN_BLOCKS = 2048 };
enum { SPLIT_VECTORS = 4096 /* worth a block of its own */, SPLIT_ROWS = 16 /* worth a thread */ };
enum { FOLD_KERNEL, PARTS_KERNEL };
enum layout { RUNS, ELEMENTS, COLUMNS };

#define MOST_INPUTS ((int64_t)1 << 30) /* of one block, which numbers them in 32 bits */

static const gpu_source source = {"fold.cu", {"fold", "fold_parts", NULL}};

/* The structs of fold.cu. */
enum fold_name {
  SUM,
  PRODUCT,
  SQUARES,
  MOST,
  LEAST,
  ANY,
  ALL,
  FIRST_MOST,
  FIRST_LEAST,
  VARIANCE,
  EXPONENTIALS,
  SOFTMAX
};
static const char *const names[] = {"Sum",        "Product",  "Squares",      "Most",
                                    "Least",      "Any",      "All",          "FirstMost",
                                    "FirstLeast", "Variance", "Exponentials", "Softmax"};

typedef struct variant {
  enum fold_name fold;
  enum layout layout;
  dtype in, out;
  int items;
} variant;

typedef struct plan {
  variant v;
  loop kept, gone;
  fold_arguments a;
  int64_t splits, blocks;
  int parts_group;
} plan;

/* ---- programs ---------------------------------------------------------------------------------
 */

static uint64_t key_of(const variant *v) {
  return (uint64_t)v->fold | (uint64_t)v->layout << 4 | (uint64_t)v->in << 8 |
         (uint64_t)v->out << 12 | (uint64_t)v->items << 16;
}

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const layouts[] = {"RUNS", "ELEMENTS", "COLUMNS"};
  const variant *v = context;
  bool floats = dtype_is_float(v->in) && v->fold != ANY && v->fold != ALL;
  gpu_macro(text, "IN", "%s", gpu_type_name(v->in));
  gpu_macro(text, "OUT", "%s", gpu_type_name(v->out));
  gpu_macro(text, "MADE", "%s", floats ? "float64" : "int64");
  gpu_macro(text, "ACCUMULATE", "%s", floats ? "double" : "uint64_t");
  gpu_macro(text, "FOLD", "%s", names[v->fold]);
  gpu_macro(text, "LAYOUT", "%s", layouts[v->layout]);
  gpu_macro(text, "ITEMS", "%d", v->items);
}

static size_t part_bytes(const variant *v) {
  size_t held = dtype_size(v->in) < 4 ? 4 : dtype_size(v->in);
  switch (v->fold) {
  case MOST:
  case LEAST: return held;
  case ANY:
  case ALL: return 4;
  case FIRST_MOST:
  case FIRST_LEAST:
  case EXPONENTIALS:
  case SOFTMAX: return 16;
  case VARIANCE: return 24;
  default: return 8;
  }
}

/* ---- layouts ----------------------------------------------------------------------------------
 */

static int64_t inner_stride(const loop *l) {
  return l->rank > 0 ? l->operand[0].stride[l->rank - 1] : 0;
}

/* A loop over the operand's dimensions that are in `dims`, or are not; its strides in a contiguous
 * result are those of the second operand, in elements. */
static void start_loop(loop *l, const tensor *in, unsigned dims, bool gone) {
  tensor from = *in, to;
  int64_t step = 1;
  for (int d = 0; d < in->rank; d++)
    if ((dims >> d & 1) != gone) from.shape[d] = 1;
  to = from;
  to.dtype = DTYPE_UINT8;
  for (int d = in->rank - 1; d >= 0; d--) {
    to.stride[d] = gone ? 0 : step;
    step *= to.shape[d];
  }
  loop_start(l, in->rank, from.shape);
  loop_add(l, &from);
  loop_add(l, &to);
}

/* Can the operand be read `items` neighbours along the inner dimension of one loop at a time? */
static bool takes_vectors(const loop *inside, const loop *outside, size_t size, int items) {
  int64_t bytes = (int64_t)size * items;
  int inner = inside->rank - 1;
  if ((uintptr_t)inside->operand[0].data % (uint64_t)bytes || inside->shape[inner] % items)
    return false;
  for (int d = 0; d < inner; d++)
    if (inside->operand[0].stride[d] % bytes) return false;
  for (int d = 0; d < outside->rank; d++)
    if (outside->operand[0].stride[d] % bytes) return false;
  return true;
}

static int most_items(const loop *inside, const loop *outside, size_t size, int most) {
  int items = most;
  while (items > 1 && !takes_vectors(inside, outside, size, items)) items /= 2;
  return items;
}

static place_map map_of(const loop *l, size_t size, int items) {
  place_map m = {.shape = gpu_strided_shape(l, items)};
  int64_t count = loop_count(l) / items;
  m.is_wide = count >= INT32_MAX;
  for (int d = 0; d < l->rank; d++) {
    int scale = d == l->rank - 1 ? items : 1;
    m.from[d] = l->operand[0].stride[d] / (int64_t)size * scale;
    m.to[d] = l->operand[1].stride[d] * scale;
  }
  return m;
}

static void choose_layout(plan *p) {
  size_t size = dtype_size(p->v.in);
  int full = VECTOR_BYTES / (int)size;
  int64_t element = (int64_t)size, kept = inner_stride(&p->kept), gone = inner_stride(&p->gone);
  int most = 128 / (int)part_bytes(&p->v); /* accumulators in registers */
  while (most & (most - 1)) most &= most - 1;
  p->v.items = 1;
  if (kept == element && gone != element && p->gone.rank > 0) {
    p->v.layout = COLUMNS;
    p->v.items = most_items(&p->kept, &p->gone, size, full < most ? full : most);
  } else if (p->gone.rank == 0 || (p->gone.rank == 1 && gone == element)) {
    p->v.layout = RUNS;
    p->v.items = full;
  } else {
    p->v.layout = ELEMENTS;
    if (gone == element) p->v.items = most_items(&p->gone, &p->kept, size, full);
  }
  bool columns = p->v.layout == COLUMNS;
  p->a.kept = map_of(&p->kept, size, columns ? p->v.items : 1);
  p->a.gone = map_of(&p->gone, size, p->v.layout == ELEMENTS ? p->v.items : 1);
  p->a.to_item = columns ? p->kept.operand[1].stride[p->kept.rank - 1] : 0;
}

/* ---- sharing the work out ---------------------------------------------------------------------
 */

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* The logarithm of the least power of two that is n or more, or of `most`, which is one. */
static int log_from(int64_t n, int most) {
  int log = 0;
  while (1 << log < n && 1 << log < most) log++;
  return log;
}

/* By how many blocks, `units` being what is counted in the inputs, of `items` elements each. */
static void set_splits(plan *p, int64_t wanted, int64_t units, int items) {
  int64_t least = divide_up(p->a.inputs, MOST_INPUTS);
  if (wanted < least) wanted = least;
  if (wanted < 1) wanted = 1;
  p->a.split = units ? divide_up(units, wanted) * items : 1;
  p->splits = p->a.inputs ? divide_up(p->a.inputs, p->a.split) : 1;
}

static int64_t fewer(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static void share_rows(plan *p) {
  int64_t units = divide_up(p->a.inputs, p->v.items);
  p->a.group_log = log_from(divide_up(units, 4), FOLD_THREADS);
  p->blocks = divide_up(p->a.outputs, FOLD_THREADS >> p->a.group_log);
  set_splits(p, fewer(MOST_BLOCKS / p->blocks, units / SPLIT_VECTORS), units, p->v.items);
  p->a.part_output = p->splits;
  p->a.part_split = 1;
}

static void share_columns(plan *p) {
  int64_t vectors = p->a.outputs / p->v.items, n = p->a.inputs;
  int lanes_log = log_from(vectors, n >= 64 ? 32 : n >= 16 ? 64 : FOLD_THREADS);
  p->blocks = divide_up(vectors, (int64_t)1 << lanes_log);
  int64_t worth = n / ((int64_t)(FOLD_THREADS >> lanes_log) * SPLIT_ROWS);
  p->a.group_log = log_from(FOLD_THREADS, FOLD_THREADS) - lanes_log;
  set_splits(p, fewer(MOST_COLUMN_BLOCKS / p->blocks, worth), n, 1);
  p->a.part_output = 1;
  p->a.part_split = p->a.outputs;
}

/* ---- launches ---------------------------------------------------------------------------------
 */

static int launch(gpu_device *device, const plan *p, int kernel, gpu_grid grid,
                  const fold_arguments *a, tensor_error *error) {
  gpu_error why;
  const gpu_program *program = gpu_program_get(device, &source, key_of(&p->v), define, &p->v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  return gpu_tensor_fail(gpu_program_launch(device, program, kernel, grid, a, &why), &why, error);
}

static int fold_parts(gpu_device *device, const plan *p, tensor_error *error) {
  fold_arguments a = p->a;
  a.inputs = p->splits;
  a.group_log = a.outputs < 16384 ? log_from(divide_up(p->splits, 4), FOLD_THREADS) : 0;
  int64_t blocks = divide_up(a.outputs, FOLD_THREADS >> a.group_log);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = FOLD_THREADS};
  return launch(device, p, PARTS_KERNEL, grid, &a, error);
}

static int run(gpu_device *device, plan *p, tensor_error *error) {
  tensor parts = {0};
  int code = 0;
  if (p->blocks > INT32_MAX || p->splits > UINT16_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one reduction");
  if (p->splits > 1) {
    size_t bytes = (size_t)p->splits * (size_t)p->a.outputs * part_bytes(&p->v);
    code = gpu_scratch(&parts, device->ordinal, bytes, error);
    if (!code) p->a.parts = tensor_data(&parts);
  }
  gpu_grid grid = {.blocks = {(unsigned)p->blocks, (unsigned)p->splits}, .threads = FOLD_THREADS};
  if (!code) code = launch(device, p, FOLD_KERNEL, grid, &p->a, error);
  if (!code && p->splits > 1) code = fold_parts(device, p, error);
  tensor_release(&parts);
  return code;
}

static int reduce(gpu_device *device, plan *p, const tensor *in, unsigned dims,
                  tensor_error *error) {
  bool in_order = p->v.fold == FIRST_MOST || p->v.fold == FIRST_LEAST;
  p->v.in = in->dtype;
  p->a.in = tensor_data(in);
  start_loop(&p->kept, in, dims, false);
  start_loop(&p->gone, in, dims, true);
  loop_simplify(&p->kept);
  if (in_order)
    loop_merge(&p->gone);
  else
    loop_simplify(&p->gone);
  p->a.outputs = loop_count(&p->kept);
  p->a.inputs = loop_count(&p->gone);
  if (p->a.outputs == 0) return 0;
  if (p->a.inputs == 0) p->gone.rank = 0;
  choose_layout(p);
  if (p->v.layout == COLUMNS)
    share_columns(p);
  else
    share_rows(p);
  return run(device, p, error);
}

/* ---- entries ----------------------------------------------------------------------------------
 */

static enum fold_name name_of(const reduction_work *w) {
  static const enum fold_name folds[FOLD_COUNT] = {
      [FOLD_SUM] = SUM, [FOLD_PROD] = PRODUCT, [FOLD_MAX] = MOST,       [FOLD_MIN] = LEAST,
      [FOLD_ANY] = ANY, [FOLD_ALL] = ALL,      [FOLD_SQUARES] = SQUARES};
  switch (w->kind) {
  case REDUCTION_EXTREME: return w->op == FOLD_MAX ? FIRST_MOST : FIRST_LEAST;
  case REDUCTION_VARIANCE: return VARIANCE;
  case REDUCTION_LOGSUMEXP: return EXPONENTIALS;
  default: return folds[w->op];
  }
}

int gpu_reduce(const reduction_work *w, tensor_error *error) {
  gpu_device *device = gpu_tensor_device(1, &w->in, error);
  if (!device) return TENSOR_DEVICE;
  plan p = {.v = {.fold = name_of(w), .out = w->to ? w->to->dtype : w->in->dtype}};
  p.a.out = w->to ? tensor_data(w->to) : NULL;
  p.a.indices = w->indices ? tensor_data(w->indices) : NULL;
  p.a.scale = w->scale;
  p.a.correction = w->correction;
  p.a.root = w->root;
  return reduce(device, &p, w->in, w->dims, error);
}

int gpu_softmax_sums(gpu_device *device, const tensor *in, int dim, void *sums,
                     tensor_error *error) {
  plan p = {.v = {.fold = SOFTMAX, .out = in->dtype}, .a = {.out = sums}};
  return reduce(device, &p, in, 1u << dim, error);
}
