/* join.c -- several tensors as one, one several times over, turned around or cut to a triangle. */
#include "tensor/device.h"
#include "tensor/elementwise.h"
#include "tensor/index.h"
#include "tensor/join.h"
#include "tensor/loop.h"

/* torch lets an empty vector stand for nothing at all. */
static bool is_nothing(const tensor *t) {
  return t->rank == 1 && t->shape[0] == 0;
}

static int common_dtype(dtype *common, int n, const tensor *const *parts, tensor_error *error) {
  *common = parts[0]->dtype;
  for (int i = 1; i < n; i++) {
    dtype next = dtype_promote(*common, parts[i]->dtype);
    if (next == DTYPE_NONE)
      return tensor_fail(error, TENSOR_INVALID, "cannot cat %s and %s: these dtypes do not mix",
                         dtype_name(*common), dtype_name(parts[i]->dtype));
    *common = next;
  }
  return 0;
}

static int check_fit(const tensor *model, const tensor *part, int dim, tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  bool fits = model->rank == part->rank;
  for (int d = 0; d < model->rank && fits; d++)
    fits = d == dim || model->shape[d] == part->shape[d];
  if (fits) return 0;
  return tensor_fail(error, TENSOR_INVALID, "cannot cat %.80s and %.80s along dimension %d",
                     tensor_describe(model, left), tensor_describe(part, right), dim + 1);
}

static int copy_part(tensor *out, int dim, int64_t *at, const tensor *part, tensor_error *error) {
  tensor place;
  int code = tensor_narrow(&place, out, dim, *at, part->shape[dim], error);
  if (code) return code;
  code = tensor_copy(&place, part, error);
  tensor_release(&place);
  *at += part->shape[dim];
  return code;
}

int tensor_cat(tensor *out, int n, const tensor *const *parts, int dim, tensor_error *error) {
  const tensor *model = parts[0];
  dtype common;
  int device;
  tensor made;
  int64_t shape[TENSOR_MAX_RANK] = {0}, length = 0, at = 0;
  for (int i = 0; i < n && is_nothing(model); i++) model = parts[i];
  int code = common_dtype(&common, n, parts, error);
  if (!code && model->rank == 0)
    code = tensor_fail(error, TENSOR_INVALID, "cannot cat 0-d tensors; stack them");
  for (int i = 0; i < n && !code; i++) {
    if (is_nothing(parts[i])) continue;
    code = check_fit(model, parts[i], dim, error);
    if (!code) length += parts[i]->shape[dim];
  }
  if (code) return code;
  for (int d = 0; d < model->rank; d++) shape[d] = d == dim ? length : model->shape[d];
  code = tensor_common_device(&device, "cat", n, parts, error);
  if (!code) code = tensor_empty(&made, common, device, model->rank, shape, error);
  if (code) return code;
  for (int i = 0; i < n && !code; i++)
    if (!is_nothing(parts[i])) code = copy_part(&made, dim, &at, parts[i], error);
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

int tensor_stack(tensor *out, int n, const tensor *const *parts, int dim, tensor_error *error) {
  dtype common;
  tensor made, place;
  int64_t shape[TENSOR_MAX_RANK + 1];
  int device, rank = parts[0]->rank + 1, code = common_dtype(&common, n, parts, error);
  for (int i = 0; i < n && !code; i++) code = check_fit(parts[0], parts[i], -1, error);
  if (code) return code;
  for (int d = 0; d < rank; d++) shape[d] = d == dim ? n : parts[0]->shape[d < dim ? d : d - 1];
  code = tensor_common_device(&device, "stack", n, parts, error);
  if (!code) code = tensor_empty(&made, common, device, rank, shape, error);
  if (code) return code;
  for (int i = 0; i < n && !code; i++) {
    code = tensor_select(&place, &made, dim, i, error);
    if (code) break;
    code = tensor_copy(&place, parts[i], error);
    tensor_release(&place);
  }
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

/* Copy what stands in the first `length` of a dimension of *filled to its `times - 1` repetitions.
 */
static int repeat_dimension(tensor *filled, int dim, int64_t length, int64_t times,
                            tensor_error *error) {
  tensor first, next;
  int code = tensor_narrow(&first, filled, dim, 0, length, error);
  if (code) return code;
  for (int64_t k = 1; k < times && !code; k++) {
    code = tensor_narrow(&next, filled, dim, k * length, length, error);
    if (code) break;
    code = tensor_copy(&next, &first, error);
    tensor_release(&next);
  }
  tensor_release(&first);
  return code;
}

int tensor_repeat(tensor *out, const tensor *t, int rank, const int64_t *times,
                  tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  int64_t shape[TENSOR_MAX_RANK];
  tensor made, corner;
  int added = rank - t->rank;
  bool fits = added >= 0;
  for (int i = 0; i < rank && fits; i++)
    fits = times[i] >= 0 &&
           !__builtin_mul_overflow(times[i], i < added ? 1 : t->shape[i - added], &shape[i]);
  if (!fits)
    return tensor_fail(error, TENSOR_INVALID, "cannot repeat %.80s %.80s times",
                       tensor_describe(t, left), shape_describe(rank, times, right));
  int code = tensor_empty(&made, t->dtype, t->storage->device, rank, shape, error);
  if (code) return code;
  if (tensor_count(&made) > 0) {
    corner = made; /* grows to the whole, dimension by dimension */
    for (int i = 0; i < rank; i++) corner.shape[i] = i < added ? 1 : t->shape[i - added];
    code = tensor_copy(&corner, t, error);
    for (int i = rank - 1; i >= 0 && !code; i--) {
      int64_t length = corner.shape[i];
      corner.shape[i] = shape[i];
      code = repeat_dimension(&corner, i, length, times[i], error);
    }
  }
  if (code)
    tensor_release(&made);
  else
    *out = made;
  return code;
}

static void copy_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  copy_strided(data[0], stride[0], data[1], stride[1], n, *(size_t *)context);
}

int tensor_flip(tensor *out, const tensor *t, unsigned dims, tensor_error *error) {
  size_t size = dtype_size(t->dtype);
  tensor made = {0};
  int code = tensor_empty(&made, t->dtype, t->storage->device, t->rank, t->shape, error);
  if (!code && tensor_count(t) > 0 && !tensor_is_on_cpu(t))
    code = device_functions_get()->flip(&made, t, dims, error);
  if (code) {
    tensor_release(&made);
    return code;
  }
  *out = made;
  if (tensor_count(t) == 0 || !tensor_is_on_cpu(t)) return 0;
  loop l;
  loop_start(&l, t->rank, t->shape);
  loop_add(&l, out);
  loop_add(&l, t);
  for (int d = 0; d < t->rank; d++) {
    if (!(dims >> d & 1)) continue;
    l.operand[1].data += (t->shape[d] - 1) * l.operand[1].stride[d];
    l.operand[1].stride[d] = -l.operand[1].stride[d];
  }
  loop_simplify(&l);
  loop_run(&l, LOOP_GRAIN, copy_segment, &size);
  return 0;
}

int tensor_triangle(tensor *out, const tensor *t, int64_t diagonal, bool upper,
                    tensor_error *error) {
  char text[TENSOR_TEXT];
  if (t->rank < 2)
    return tensor_fail(error, TENSOR_INVALID, "cannot take a triangle of %s: it is not a matrix",
                       tensor_describe(t, text));
  tensor made;
  int code = tensor_clone(&made, t, error);
  if (code) return code;
  if (!tensor_is_on_cpu(t) && tensor_count(t) > 0)
    code = device_functions_get()->triangle(&made, diagonal, upper, error);
  if (code) {
    tensor_release(&made);
    return code;
  }
  *out = made;
  if (!tensor_is_on_cpu(t)) return 0;
  int64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1];
  int64_t size = (int64_t)dtype_size(t->dtype), all = columns > 0 ? tensor_count(t) / columns : 0;
  if (diagonal > columns) diagonal = columns;
  if (diagonal < -rows) diagonal = -rows;
  char *data = tensor_data(out);
  for (int64_t i = 0; i < all; i++) {
    int64_t seam = i % rows + diagonal + (upper ? 0 : 1);
    seam = seam < 0 ? 0 : seam > columns ? columns : seam;
    char *row = data + i * columns * size;
    if (upper)
      memset(row, 0, (size_t)(seam * size));
    else
      memset(row + seam * size, 0, (size_t)((columns - seam) * size));
  }
  return 0;
}
