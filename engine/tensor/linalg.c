#include "tensor/linalg.h"

#include <string.h>

#include "tensor/device.h"
#include "tensor/elementwise.h"
#include "tensor/gemm.h"

/* ---- checks ---------------------------------------------------------------------------------- */

static int refuse(const tensor *a, const tensor *b, const char *why, tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot multiply %s and %s: %s",
                     tensor_describe(a, left), tensor_describe(b, right), why);
}

static int check_operands(const tensor *a, const tensor *b, tensor_error *error) {
  if (a->storage->device != b->storage->device)
    return refuse(a, b, "they lie on two devices; move one with to()", error);
  if (a->dtype != b->dtype) return refuse(a, b, "the dtypes differ", error);
  if (a->dtype == DTYPE_BOOL || a->dtype == DTYPE_FLOAT4_E2M1)
    return refuse(a, b, "this dtype has no products", error);
  return 0;
}

/* ---- batches of matrices, the dimensions before the last two being equal --------------------- */

/* Where a tensor's last two dimensions are matrices. */
static matrix matrix_of(const tensor *t) {
  const int64_t *shape = t->shape + t->rank - 2, *stride = t->stride + t->rank - 2;
  return (matrix){tensor_data(t), t->dtype, shape[0], shape[1], stride[0], stride[1]};
}

typedef struct operands {
  const tensor *a, *b;
} operands;

static int64_t batch_offset(const tensor *t, int64_t i) {
  int64_t offset = 0;
  for (int d = t->rank - 3; d >= 0; d--) {
    offset += i % t->shape[d] * t->stride[d];
    i /= t->shape[d];
  }
  return offset * (int64_t)dtype_size(t->dtype);
}

static void place(const void *context, int64_t i, int64_t *a_bytes, int64_t *b_bytes) {
  const operands *o = context;
  *a_bytes = batch_offset(o->a, i);
  *b_bytes = batch_offset(o->b, i);
}

static int multiply_on_cpu(tensor *to, const tensor *a, const tensor *b, int64_t count,
                           tensor_error *error) {
  matrix left = matrix_of(a), right = matrix_of(b);
  operands both = {a, b};
  gemm_batch batch = {count, place, &both};
  return gemm_batched(tensor_data(to), to->dtype, &left, &right, &batch, error);
}

/* [.., m, k] by [.., k, n], of one rank and with equal sizes before; the result is of `type`. */
static int multiply(tensor *out, const tensor *a, const tensor *b, dtype type,
                    tensor_error *error) {
  int rank = a->rank;
  int64_t shape[TENSOR_MAX_RANK], count = 1;
  memcpy(shape, a->shape, sizeof shape);
  shape[rank - 1] = b->shape[rank - 1];
  for (int d = 0; d < rank - 2; d++) count *= shape[d];
  tensor product = {0};
  int err = tensor_empty(&product, type, a->storage->device, rank, shape, error);
  if (err) return err;
  if (tensor_count(&product) > 0)
    err = tensor_is_on_cpu(a) ? multiply_on_cpu(&product, a, b, count, error)
                              : device_functions_get()->matmul(&product, a, b, error);
  if (err)
    tensor_release(&product);
  else
    *out = product;
  return err;
}

static int check_ranks(const tensor *a, const tensor *b, int rank_a, int rank_b, const char *why,
                       tensor_error *error) {
  int err = check_operands(a, b, error);
  if (err || (a->rank == rank_a && b->rank == rank_b)) return err;
  return refuse(a, b, why, error);
}

static int check_matrices(const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_ranks(a, b, 2, 2, "two matrices are needed", error);
  if (err || a->shape[1] == b->shape[0]) return err;
  return refuse(a, b, "the columns of the first are not as many as the rows of the second", error);
}

static int check_batches(const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_ranks(a, b, 3, 3, "two batches of matrices are needed", error);
  if (err || (a->shape[2] == b->shape[1] && a->shape[0] == b->shape[0])) return err;
  return refuse(a, b, "the sizes do not fit", error);
}

int tensor_mm(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_matrices(a, b, error);
  return err ? err : multiply(out, a, b, a->dtype, error);
}

int tensor_bmm(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_batches(a, b, error);
  return err ? err : multiply(out, a, b, a->dtype, error);
}

/* ---- matmul ---------------------------------------------------------------------------------- */

/* A view with the batch dimensions of `shape` (of `rank` with the last two) before its matrices. */
static int expand_batch(tensor *out, const tensor *t, int rank, const int64_t *shape,
                        tensor_error *error) {
  int64_t whole[TENSOR_MAX_RANK];
  memcpy(whole, shape, sizeof whole);
  memcpy(whole + rank - 2, t->shape + t->rank - 2, 2 * sizeof *whole);
  return tensor_expand(out, t, rank, whole, error);
}

/* The shape that the dimensions before the last two broadcast to. */
static int broadcast_batch(const tensor *a, const tensor *b, int *rank, int64_t *shape,
                           tensor_error *error) {
  tensor left = *a, right = *b; /* borrowed: only their shapes are looked at */
  for (int i = 1; i <= 2; i++) left.shape[left.rank - i] = right.shape[right.rank - i] = 1;
  return shape_broadcast("multiply", &left, &right, rank, shape, error);
}

static int multiply_broadcast(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int rank;
  int64_t shape[TENSOR_MAX_RANK];
  tensor left = {0}, right = {0};
  int err = broadcast_batch(a, b, &rank, shape, error);
  if (!err) err = expand_batch(&left, a, rank, shape, error);
  if (!err) err = expand_batch(&right, b, rank, shape, error);
  if (!err) err = multiply(out, &left, &right, a->dtype, error);
  tensor_release(&left);
  tensor_release(&right);
  return err;
}

/* [.., m, k] by one [k, n] as a single tall product where a's rows lie evenly; 1 where not. */
static int multiply_folded(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int64_t tall[2] = {-1, a->shape[a->rank - 1]}, shape[TENSOR_MAX_RANK];
  tensor rows = {0}, product = {0};
  if (tensor_count(a) == 0 || tensor_view(&rows, a, 2, tall, error) != 0) return 1;
  memcpy(shape, a->shape, sizeof shape);
  shape[a->rank - 1] = b->shape[1];
  int err = multiply(&product, &rows, b, a->dtype, error);
  if (!err) err = tensor_view(out, &product, a->rank, shape, error);
  tensor_release(&product);
  tensor_release(&rows);
  return err;
}

static int multiply_matrices(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  if (a->shape[a->rank - 1] != b->shape[b->rank - 2])
    return refuse(a, b, "the columns of the first are not as many as the rows of the second",
                  error);
  if (a->rank > 2 && b->rank == 2) {
    int err = multiply_folded(out, a, b, error);
    if (err <= 0) return err;
  }
  return multiply_broadcast(out, a, b, error);
}

/* Drop the dimension that made a vector a matrix. */
static int drop(tensor *t, int dim, tensor_error *error) {
  tensor without = {0};
  int err = tensor_squeeze(&without, t, dim, error);
  tensor_release(t);
  *t = without;
  return err;
}

int tensor_matmul(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_operands(a, b, error);
  if (err) return err;
  if (a->rank == 0 || b->rank == 0) return refuse(a, b, "a 0-d tensor is no matrix", error);
  tensor left = {0}, right = {0}, product = {0};
  if (a->rank == 1)
    err = tensor_unsqueeze(&left, a, 0, error);
  else
    tensor_share(&left, a);
  if (!err && b->rank == 1)
    err = tensor_unsqueeze(&right, b, 1, error);
  else if (!err)
    tensor_share(&right, b);
  if (!err) err = multiply_matrices(&product, &left, &right, error);
  if (!err && b->rank == 1) err = drop(&product, product.rank - 1, error);
  if (!err && a->rank == 1) err = drop(&product, product.rank - (b->rank == 1 ? 1 : 2), error);
  if (err)
    tensor_release(&product);
  else
    *out = product;
  tensor_release(&left);
  tensor_release(&right);
  return err;
}

/* ---- vectors --------------------------------------------------------------------------------- */

int tensor_mv(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_ranks(a, b, 2, 1, "a matrix and a vector are needed", error);
  return err ? err : tensor_matmul(out, a, b, error);
}

int tensor_dot(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_ranks(a, b, 1, 1, "two vectors are needed", error);
  return err ? err : tensor_matmul(out, a, b, error);
}

int tensor_outer(tensor *out, const tensor *a, const tensor *b, tensor_error *error) {
  int err = check_ranks(a, b, 1, 1, "two vectors are needed", error);
  tensor column = {0}, row = {0};
  if (!err) err = tensor_unsqueeze(&column, a, 1, error);
  if (!err) err = tensor_unsqueeze(&row, b, 0, error);
  operand left = {&column, false}, right = {&row, false};
  if (!err) err = tensor_binary(BINARY_mul, out, NULL, left, right, error);
  tensor_release(&column);
  tensor_release(&row);
  return err;
}

/* ---- sums of products ------------------------------------------------------------------------ */

static void scale_and_add_float32(float *sum, const float *product, int64_t n, float beta,
                                  float alpha) {
  for (int64_t i = 0; i < n; i++) sum[i] = alpha * product[i] + (beta == 0 ? 0 : beta * sum[i]);
}

static void scale_and_add_float64(double *sum, const double *product, int64_t n, double beta,
                                  double alpha) {
  for (int64_t i = 0; i < n; i++) sum[i] = alpha * product[i] + (beta == 0 ? 0 : beta * sum[i]);
}

static void scale_and_add_integer(uint64_t *sum, const uint64_t *product, int64_t n, uint64_t beta,
                                  uint64_t alpha) {
  for (int64_t i = 0; i < n; i++) sum[i] = alpha * product[i] + beta * sum[i];
}

static operand factor(scalar *s, const tensor *t, double value) {
  return dtype_is_float(t->dtype) ? scalar_float(s, value) : scalar_integer(s, (int64_t)value);
}

/* By one operation after the other, rounded as the loops below round. */
static int scale_and_add_on_device(tensor *sum, tensor *product, double beta, double alpha,
                                   tensor_error *error) {
  scalar s;
  operand total = {sum, false}, term = {product, false};
  int err = tensor_binary(BINARY_mul, NULL, product, term, factor(&s, product, alpha), error);
  if (!err && beta == 0) return tensor_copy(sum, product, error);
  if (!err) err = tensor_binary(BINARY_mul, NULL, sum, total, factor(&s, sum, beta), error);
  return err ? err : tensor_binary(BINARY_add, NULL, sum, term, total, error);
}

/* *sum = beta *sum + alpha *product: contiguous, of an accumulator's type. */
static void scale_and_add(tensor *sum, const tensor *product, double beta, double alpha) {
  void *to = tensor_data(sum);
  const void *from = tensor_data(product);
  int64_t n = tensor_count(sum);
  if (sum->dtype == DTYPE_FLOAT32)
    scale_and_add_float32(to, from, n, (float)beta, (float)alpha);
  else if (sum->dtype == DTYPE_FLOAT64)
    scale_and_add_float64(to, from, n, beta, alpha);
  else
    scale_and_add_integer(to, from, n, (uint64_t)(int64_t)beta, (uint64_t)(int64_t)alpha);
}

static bool is_whole(double x) {
  return x >= -0x1p53 && x <= 0x1p53 && x == (double)(int64_t)x;
}

static int check_factors(const tensor *a, double beta, double alpha, tensor_error *error) {
  if (dtype_is_float(a->dtype) || (is_whole(beta) && is_whole(alpha))) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot multiply %s by factors that are no integers",
                     dtype_name(a->dtype));
}

static int add_product(tensor *out, const tensor *c, const tensor *a, const tensor *b, double beta,
                       double alpha, tensor_error *error) {
  dtype wide = gemm_accumulator(a->dtype);
  tensor product = {0}, sum = {0};
  if (c->dtype != a->dtype) return refuse(c, a, "the dtypes differ", error);
  int err = check_factors(a, beta, alpha, error);
  if (!err) err = multiply(&product, a, b, wide, error);
  if (!err)
    err = tensor_empty(&sum, wide, product.storage->device, product.rank, product.shape, error);
  if (!err) err = tensor_copy(&sum, c, error);
  if (!err && !tensor_is_on_cpu(&sum))
    err = scale_and_add_on_device(&sum, &product, beta, alpha, error);
  else if (!err)
    scale_and_add(&sum, &product, beta, alpha);
  if (!err) err = tensor_to(out, &sum, a->dtype, error);
  tensor_release(&product);
  tensor_release(&sum);
  return err;
}

int tensor_addmm(tensor *out, const tensor *c, const tensor *a, const tensor *b, double beta,
                 double alpha, tensor_error *error) {
  int err = check_matrices(a, b, error);
  return err ? err : add_product(out, c, a, b, beta, alpha, error);
}

int tensor_baddbmm(tensor *out, const tensor *c, const tensor *a, const tensor *b, double beta,
                   double alpha, tensor_error *error) {
  int err = check_batches(a, b, error);
  return err ? err : add_product(out, c, a, b, beta, alpha, error);
}
