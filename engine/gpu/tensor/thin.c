/* thin.c -- from a product of few rows with a matrix that is computed on the way to a launch of
 * cuda/thin.cu. */
#include "cuda/fused.h"
#include "gpu/tensor/tensor.h"
#include "gpu/tensor/variant.h"
#include "tensor/pending.h"

#include <string.h>

enum { THREADS = 256, ALL_THREADS = 1024, WARP = 32, MOST_BYTES = 16, FEW_ITEMS = 4 };
enum { ROWS, TIMES, ALONG_K };

static const gpu_source source = {"thin.cu", {"thin", NULL}};

static void define(char macros[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(macros, "M", "%d", v->choices[ROWS]);
  gpu_macro(macros, "STEPS", "%d", v->choices[TIMES]);
  gpu_macro(macros, "ALONG_K", "%d", v->choices[ALONG_K]);
  variant_define(macros, v);
}

/* ---- how the matrix lies ----------------------------------------------------------------------
 */

/* Some of the dimensions of a program's loop, of all its leaves. */
static void start_loop(loop *l, const fused *f, int first, int end) {
  loop_start(l, end - first, f->to.shape + first);
  for (int i = 0; i < f->leaves; i++) {
    tensor t = f->leaf[i].tensor;
    if (f->leaf[i].is_number) continue;
    t.rank = end - first;
    for (int d = 0; d < t.rank; d++) {
      t.shape[d] = f->leaf[i].tensor.shape[first + d];
      t.stride[d] = f->leaf[i].tensor.stride[first + d];
    }
    loop_add(l, &t);
  }
  loop_merge(l);
}

/* Do all leaves lie side by side, or stand still, along a loop's innermost dimension? */
static bool is_even(const loop *l, const size_t *sizes) {
  if (l->rank == 0) return false;
  for (int k = 0; k < l->operands; k++) {
    int64_t stride = l->operand[k].stride[l->rank - 1];
    if (stride != 0 && stride != (int64_t)sizes[k]) return false;
  }
  return true;
}

static bool divides_strides(const loop *l, int k, int64_t bytes, int dimensions) {
  for (int d = 0; d < dimensions; d++)
    if (l->operand[k].stride[d] % bytes) return false;
  return true;
}

/* May elements along `l` be read so many at a time, with the other dimensions as in `other`? */
static bool takes_vectors(const loop *l, const loop *other, const size_t *sizes, int items) {
  int inner = l->rank - 1;
  if (l->shape[inner] % items) return false;
  for (int k = 0; k < l->operands; k++) {
    int64_t bytes = items * (int64_t)sizes[k];
    if (l->operand[k].stride[inner] == 0) continue;
    if ((uintptr_t)l->operand[k].data % (uint64_t)bytes || !divides_strides(l, k, bytes, inner) ||
        !divides_strides(other, k, bytes, other->rank))
      return false;
  }
  return true;
}

static int choose_items(const loop *l, const loop *other, const size_t *sizes, int most) {
  size_t largest = 1;
  for (int k = 0; k < l->operands; k++)
    if (l->operand[k].stride[l->rank - 1] != 0 && sizes[k] > largest) largest = sizes[k];
  int items = (int)(MOST_BYTES / largest);
  if (items > most) items = most;
  return takes_vectors(l, other, sizes, items) ? items : 1;
}

/* Strides in bytes as strides of vectors, or of elements where they are read one by one. */
static void set_strides(int64_t stride[STRIDED_RANK], const loop *l, int k, int64_t size, int items,
                        bool lies_along) {
  memset(stride, 0, STRIDED_RANK * sizeof *stride);
  for (int d = 0; d < l->rank; d++) {
    bool inner = lies_along && d == l->rank - 1;
    stride[d] = l->operand[k].stride[d] / size / (inner ? 1 : items);
  }
}

/* ---- the launch -------------------------------------------------------------------------------
 */

static void set_leaves(variant *v, thin_arguments *a, const fused *f, const loop *outer,
                       const loop *inner, const size_t *sizes) {
  bool along_k = v->choices[ALONG_K];
  const loop *along = along_k ? inner : outer;
  for (int i = 0, k = 0; i < f->leaves; i++) {
    if (f->leaf[i].is_number) {
      variant_number(v, i, f, &a->value[i]);
      continue;
    }
    bool splat = along->operand[k].stride[along->rank - 1] == 0 || v->items == 1;
    int items = splat ? 1 : v->items;
    v->leaf[i].dtype = (uint8_t)f->leaf[i].tensor.dtype;
    v->leaf[i].mode = splat ? VARIANT_SPLAT : VARIANT_VECTOR;
    a->in[i] = inner->operand[k].data;
    set_strides(a->outer_stride[i], outer, k, (int64_t)sizes[k], items, !along_k);
    set_strides(a->inner_stride[i], inner, k, (int64_t)sizes[k], items, along_k);
    k++;
  }
}

static int launch(gpu_device *device, const variant *v, const thin_arguments *a,
                  tensor_error *error) {
  gpu_error why;
  bool along_k = v->choices[ALONG_K];
  int64_t of_a_block = along_k ? (int64_t)THREADS / WARP * v->choices[TIMES] : WARP * v->items;
  int64_t blocks = (a->outer + of_a_block - 1) / of_a_block;
  uint64_t key = variant_key(v);
  if (!key) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot keep a program: out of memory");
  const gpu_program *program = gpu_program_get(device, &source, key, define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = along_k ? THREADS : ALL_THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, a, &why), &why, error);
}

int gpu_thin(const tensor *to, const tensor *a, const fused *b, int outer_rank,
             tensor_error *error) {
  const tensor *all[FUSED_LEAVES + 2] = {to, a};
  size_t sizes[FUSED_LEAVES];
  int tensors = 2;
  for (int i = 0; i < b->leaves; i++) {
    if (b->leaf[i].is_number) continue;
    sizes[tensors - 2] = dtype_size(b->leaf[i].tensor.dtype);
    all[tensors++] = &b->leaf[i].tensor;
  }
  gpu_device *device = gpu_tensor_device(tensors, all, error);
  if (!device) return TENSOR_DEVICE;
  loop outer, inner;
  start_loop(&outer, b, 0, outer_rank);
  start_loop(&inner, b, outer_rank, b->to.rank);
  int64_t m = a->shape[a->rank - 2];
  thin_arguments g = {.outer = loop_count(&outer),
                      .n = to->shape[to->rank - 1],
                      .k = a->shape[a->rank - 1],
                      .m = (int32_t)m,
                      .a = tensor_data(a),
                      .out = tensor_data(to)};
  bool along_k = is_even(&inner, sizes);
  if ((!along_k && (!is_even(&outer, sizes) || m > 4)) || m > THIN_ROWS || g.outer > INT32_MAX ||
      g.k > INT32_MAX)
    return 1;
  variant v;
  variant_start(&v, b);
  v.choices[ALONG_K] = along_k;
  v.choices[ROWS] = m > 4 ? 8 : m > 2 ? 4 : (uint8_t)m;
  v.items = (uint8_t)(along_k ? choose_items(&inner, &outer, sizes, MOST_BYTES)
                              : choose_items(&outer, &inner, sizes, FEW_ITEMS));
  v.choices[TIMES] = along_k && g.n % 4 ? 1 : 4;
  set_leaves(&v, &g, b, &outer, &inner, sizes);
  g.outer_shape = gpu_strided_shape(&outer, along_k ? 1 : v.items);
  g.inner_shape = gpu_strided_shape(&inner, along_k ? v.items : 1);
  return launch(device, &v, &g, error);
}
