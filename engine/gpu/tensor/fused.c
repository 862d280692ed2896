/* fused.c -- from a program of elementwise operations to a launch of cuda/fused.cu, of which each
 * such program, and each way to read its operands, has a variant. */
#include "tensor/fused.h"

#include "cuda/fused.h"
#include "gpu/tensor/tensor.h"
#include "gpu/tensor/variant.h"

enum { THREADS = 256, MOST_BYTES = 16 /* that one instruction loads */ };
enum { TIMES, FLAT, WIDE };

static const gpu_source source = {"fused.cu", {"fused", NULL}};

static void define(char macros[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(macros, "STEPS", "%d", v->choices[TIMES]);
  gpu_macro(macros, "FLAT", "%d", v->choices[FLAT]);
  gpu_macro(macros, "WIDE", "%d", v->choices[WIDE]);
  variant_define(macros, v);
}

/* ---- how operands are read --------------------------------------------------------------------
 */

static bool takes_vectors(const loop *l, int k, int items) {
  int inner = l->rank - 1;
  int64_t bytes = items * l->operand[k].stride[inner];
  if (bytes == 0) return k > 0; /* one element for all of them */
  if ((uintptr_t)l->operand[k].data % (uint64_t)bytes) return false;
  for (int d = 0; d < inner; d++)
    if (l->operand[k].stride[d] % bytes) return false;
  return true;
}

/* As many elements at a time as all operands allow, or one: nothing between, for each is a variant
 * of its own. */
static int choose_items(const loop *l, const size_t *sizes) {
  size_t largest = 1;
  int inner = l->rank - 1;
  if (inner < 0) return 1;
  for (int k = 0; k < l->operands; k++) {
    int64_t stride = l->operand[k].stride[inner];
    if (stride != 0 && stride != (int64_t)sizes[k]) return 1;
    if (sizes[k] > largest) largest = sizes[k];
  }
  int items = (int)(MOST_BYTES / largest);
  bool all = items > 1 && l->shape[inner] % items == 0;
  for (int k = 0; k < l->operands && all; k++) all = takes_vectors(l, k, items);
  return all ? items : 1;
}

static void set_strides(int64_t stride[STRIDED_RANK], const loop *l, int k, size_t size,
                        int items) {
  for (int d = 0; d < l->rank; d++) {
    bool inner = d == l->rank - 1;
    stride[d] = l->operand[k].stride[d] / (int64_t)size / (inner ? 1 : items);
  }
}

/* ---- the launch -------------------------------------------------------------------------------
 */

static void start_loop(loop *l, size_t *sizes, const fused *f) {
  loop_start(l, f->to.rank, f->to.shape);
  loop_add(l, &f->to);
  sizes[0] = dtype_size(f->to.dtype);
  for (int k = 0; k < f->leaves; k++) {
    if (f->leaf[k].is_number) continue;
    sizes[l->operands] = dtype_size(f->leaf[k].tensor.dtype);
    loop_add(l, &f->leaf[k].tensor);
  }
  loop_simplify(l);
}

static void set_leaves(variant *v, fused_arguments *a, const fused *f, const loop *l,
                       const size_t *sizes) {
  int inner = l->rank - 1;
  for (int i = 0, k = 1; i < f->leaves; i++) {
    const fused_leaf *leaf = &f->leaf[i];
    if (leaf->is_number) {
      variant_number(v, i, f, &a->value[i]);
      continue;
    }
    bool splat = inner < 0 || l->operand[k].stride[inner] == 0 || v->items == 1;
    v->leaf[i].dtype = (uint8_t)leaf->tensor.dtype;
    v->leaf[i].mode = splat ? VARIANT_SPLAT : VARIANT_VECTOR;
    a->in[i] = l->operand[k].data;
    set_strides(a->in_stride[i], l, k, sizes[k], splat ? 1 : v->items);
    k++;
  }
}

static int launch(gpu_device *device, const variant *v, const fused_arguments *a,
                  tensor_error *error) {
  gpu_error why;
  int64_t per_block = (int64_t)THREADS * v->choices[TIMES],
          blocks = (a->count + per_block - 1) / per_block;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  uint64_t key = variant_key(v);
  if (!key) return tensor_fail(error, TENSOR_NO_MEMORY, "cannot keep a program: out of memory");
  const gpu_program *program = gpu_program_get(device, &source, key, define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, a, &why), &why, error);
}

int gpu_fused(const fused *f, tensor_error *error) {
  const tensor *all[FUSED_LEAVES + 1] = {&f->to};
  int tensors = 1;
  for (int k = 0; k < f->leaves; k++)
    if (!f->leaf[k].is_number) all[tensors++] = &f->leaf[k].tensor;
  gpu_device *device = gpu_tensor_device(tensors, all, error);
  if (!device) return TENSOR_DEVICE;
  loop l;
  variant v;
  size_t sizes[FUSED_LEAVES + 1];
  fused_arguments a = {0};
  variant_start(&v, f);
  start_loop(&l, sizes, f);
  v.items = (uint8_t)choose_items(&l, sizes);
  v.choices[TIMES] = tensors <= 3 ? 4 : 2;
  v.choices[FLAT] = l.rank <= 1;
  a.out = l.operand[0].data;
  set_strides(a.out_stride, &l, 0, sizes[0], v.items);
  set_leaves(&v, &a, f, &l, sizes);
  a.shape = gpu_strided_shape(&l, v.items);
  a.count = loop_count(&l) / v.items;
  v.choices[WIDE] = a.count >= INT32_MAX;
  return launch(device, &v, &a, error);
}
