/* matmul.c -- batches of products: cuBLASLt for floats, a kernel of our own for integers. */
#include "cuda/matmul.h"

#include <string.h>

#include "gpu/blas.h"
#include "gpu/tensor/tensor.h"

/* ---- integers ---------------------------------------------------------------------------------
 */

static const gpu_source source = {"matmul.cu", {"matmul", NULL}};

typedef struct types {
  dtype in, out;
} types;

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  const types *t = context;
  gpu_macro(text, "IN", "%s", gpu_type_name(t->in));
  gpu_macro(text, "OUT", "%s", gpu_type_name(t->out));
}

enum { THREADS = 256, MOST_BATCHES = 65535 };

static int multiply_integers(gpu_device *device, const tensor *to, const tensor *a, const tensor *b,
                             tensor_error *error) {
  int rank = to->rank;
  int64_t batches = 1;
  matmul_arguments g = {.to = tensor_data(to),
                        .a = tensor_data(a),
                        .b = tensor_data(b),
                        .m = to->shape[rank - 2],
                        .n = to->shape[rank - 1],
                        .k = a->shape[rank - 1],
                        .a_row = a->stride[rank - 2],
                        .a_column = a->stride[rank - 1],
                        .b_row = b->stride[rank - 2],
                        .b_column = b->stride[rank - 1]};
  g.batch.rank = rank - 2;
  for (int d = 0; d < rank - 2; d++) {
    g.batch.size[d] = to->shape[d];
    g.a_batch[d] = a->stride[d];
    g.b_batch[d] = b->stride[d];
    batches *= to->shape[d];
  }
  int64_t rows = (g.m + MATMUL_SIDE - 1) / MATMUL_SIDE;
  int64_t columns = (g.n + MATMUL_SIDE - 1) / MATMUL_SIDE;
  if (batches > MOST_BATCHES || rows > MOST_BATCHES || columns > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "cannot multiply so many integers on a GPU at once");
  gpu_error why;
  types t = {a->dtype, to->dtype};
  const gpu_program *program =
      gpu_program_get(device, &source, (uint64_t)t.in << 8 | (uint64_t)t.out, define, &t, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)columns, (unsigned)rows, (unsigned)batches},
                   .threads = THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, 0, grid, &g, &why), &why, error);
}

/* ---- floats -----------------------------------------------------------------------------------
 */

static int blas_type(dtype d) {
  switch (d) {
  case DTYPE_FLOAT64: return BLAS_FLOAT64;
  case DTYPE_FLOAT16: return BLAS_FLOAT16;
  case DTYPE_BFLOAT16: return BLAS_BFLOAT16;
  case DTYPE_FLOAT8_E4M3FN: return BLAS_FLOAT8_E4M3FN;
  case DTYPE_FLOAT8_E5M2: return BLAS_FLOAT8_E5M2;
  default: return BLAS_FLOAT32;
  }
}

static bool is_float8(dtype d) {
  return d == DTYPE_FLOAT8_E4M3FN || d == DTYPE_FLOAT8_E5M2;
}

/* Can BLAS read the last two dimensions as they lie? One of them must be neighbours in memory, the
 * other far enough apart. */
static bool lies_plain(const tensor *t) {
  const int64_t *shape = t->shape + t->rank - 2, *stride = t->stride + t->rank - 2;
  bool rows = (stride[1] == 1 || shape[1] == 1) && (stride[0] >= shape[1] || shape[0] == 1);
  bool columns = (stride[0] == 1 || shape[0] == 1) && (stride[1] >= shape[0] || shape[1] == 1);
  return rows || columns;
}

/* The transpose of t's matrix, in BLAS's order of columns: a row-major [r, c] is a column-major
 * [c, r] as it lies. */
static gpu_matrix matrix_of(const tensor *t) {
  const int64_t *shape = t->shape + t->rank - 2, *stride = t->stride + t->rank - 2;
  bool rows = (stride[1] == 1 || shape[1] == 1) && (stride[0] >= shape[1] || shape[0] == 1);
  gpu_matrix m = {.data = (CUdeviceptr)(uintptr_t)tensor_data(t), .type = blas_type(t->dtype)};
  m.transposed = !rows;
  m.rows = rows ? shape[1] : shape[0];
  m.columns = rows ? shape[0] : shape[1];
  m.leading = rows ? stride[0] : stride[1];
  if (m.leading < m.rows) m.leading = m.rows; /* of a single column: its stride says nothing */
  return m;
}

typedef struct product {
  gpu_device *device;
  gpu_matrix to, a, b;
  int64_t to_size, a_size, b_size; /* of an element, in bytes */
  int code;
  gpu_error why;
} product;

/* The products of one run of the batch's innermost dimension: operands are to, a and b. */
static void multiply_run(void *context, char *const *data, const int64_t *stride, int64_t n) {
  product *p = context;
  if (p->code) return;
  gpu_matrix to = p->to, a = p->a, b = p->b;
  to.data = (CUdeviceptr)(uintptr_t)data[0];
  a.data = (CUdeviceptr)(uintptr_t)data[1];
  b.data = (CUdeviceptr)(uintptr_t)data[2];
  to.batch_stride = stride[0] / p->to_size;
  a.batch_stride = stride[1] / p->a_size;
  b.batch_stride = stride[2] / p->b_size;
  /* to = a b of rows is to' = b' a' of columns */
  p->code = gpu_blas_multiply(p->device, &to, &b, &a, n, &p->why);
}

/* The dimensions before the last two, as a loop over the three operands. */
static void start_batch(loop *l, const tensor *to, const tensor *a, const tensor *b) {
  const tensor *const all[3] = {to, a, b};
  loop_start(l, to->rank - 2, to->shape);
  for (int i = 0; i < 3; i++) {
    tensor outer = *all[i];
    outer.rank -= 2;
    loop_add(l, &outer);
  }
  loop_simplify(l);
}

/* 0, GPU_BLAS_UNSUPPORTED, or an error's code. */
static int multiply_plain(gpu_device *device, const tensor *to, const tensor *a, const tensor *b,
                          tensor_error *error) {
  product p = {.device = device,
               .to = matrix_of(to),
               .a = matrix_of(a),
               .b = matrix_of(b),
               .to_size = (int64_t)dtype_size(to->dtype),
               .a_size = (int64_t)dtype_size(a->dtype),
               .b_size = (int64_t)dtype_size(b->dtype)};
  p.to.transposed = false;
  p.to.rows = to->shape[to->rank - 1];
  p.to.columns = to->shape[to->rank - 2];
  p.to.leading = p.to.rows;
  loop l;
  start_batch(&l, to, a, b);
  loop_run(&l, 0, multiply_run, &p);
  return p.code < 0 ? gpu_tensor_fail(-1, &p.why, error) : p.code;
}

/* The operand as BLAS can read it. */
static int make_plain(tensor *out, const tensor *t, tensor_error *error) {
  if (!lies_plain(t)) return tensor_clone(out, t, error);
  tensor_share(out, t);
  return 0;
}

/* float8 goes through cuBLASLt in one form only: rows of a and columns of b lie plain, and sizes
 * are multiples of 16. */
static int multiply_float8(gpu_device *device, const tensor *to, const tensor *a, const tensor *b,
                           tensor_error *error) {
  tensor columns = {0}, turned = {0}, left = {0};
  int last = b->rank - 1;
  int code = tensor_transpose(&columns, b, last, last - 1, error);
  if (!code) code = tensor_contiguous(&turned, &columns, error);
  tensor_release(&columns);
  if (!code) code = tensor_transpose(&columns, &turned, last, last - 1, error);
  if (!code) code = tensor_contiguous(&left, a, error);
  if (!code) code = multiply_plain(device, to, &left, &columns, error);
  tensor_release(&columns);
  tensor_release(&turned);
  tensor_release(&left);
  return code;
}

/* Operands of which cuBLASLt has no kernel, as bfloat16 if they are float8, and contiguous. */
static int multiply_converted(gpu_device *device, const tensor *to, const tensor *a,
                              const tensor *b, tensor_error *error) {
  dtype as = is_float8(a->dtype) ? DTYPE_BFLOAT16 : a->dtype;
  tensor left = {0}, right = {0}, x = {0}, y = {0}, wide = {0};
  int code = tensor_to(&left, a, as, error);
  if (!code) code = tensor_to(&right, b, as, error);
  if (!code) code = tensor_contiguous(&x, &left, error);
  if (!code) code = tensor_contiguous(&y, &right, error);
  dtype sums = as == DTYPE_FLOAT64 ? DTYPE_FLOAT64 : DTYPE_FLOAT32;
  if (!code) code = tensor_empty(&wide, sums, to->storage->device, to->rank, to->shape, error);
  if (!code) code = multiply_plain(device, &wide, &x, &y, error);
  if (code == GPU_BLAS_UNSUPPORTED)
    code = tensor_fail(error, TENSOR_DEVICE, "cuBLASLt has no kernel for these products");
  if (!code) {
    tensor result = *to;
    code = tensor_copy(&result, &wide, error);
  }
  tensor_release(&left);
  tensor_release(&right);
  tensor_release(&x);
  tensor_release(&y);
  tensor_release(&wide);
  return code;
}

static int multiply_floats(gpu_device *device, const tensor *to, const tensor *a, const tensor *b,
                           tensor_error *error) {
  tensor x = {0}, y = {0};
  int code = make_plain(&x, a, error);
  if (!code) code = make_plain(&y, b, error);
  if (!code)
    code = is_float8(a->dtype) ? multiply_float8(device, to, &x, &y, error)
                               : multiply_plain(device, to, &x, &y, error);
  if (code == GPU_BLAS_UNSUPPORTED) code = multiply_converted(device, to, &x, &y, error);
  tensor_release(&x);
  tensor_release(&y);
  return code;
}

int gpu_matmul(const tensor *to, const tensor *a, const tensor *b, tensor_error *error) {
  const tensor *all[3] = {to, a, b};
  gpu_device *device = gpu_tensor_device(3, all, error);
  if (!device) return TENSOR_DEVICE;
  if (a->shape[a->rank - 1] == 0) {
    tensor result = *to;
    scalar zero;
    return tensor_fill(&result, scalar_integer(&zero, 0), error);
  }
  return dtype_is_float(a->dtype) ? multiply_floats(device, to, a, b, error)
                                  : multiply_integers(device, to, a, b, error);
}
