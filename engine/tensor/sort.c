#include "tensor/sort.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/sortkeys.h"

static int check_sortable(const char *verb, const tensor *t, tensor_error *error) {
  if (t->dtype == DTYPE_FLOAT4_E2M1)
    return tensor_fail(error, TENSOR_INVALID, "cannot %s %s", verb, dtype_name(t->dtype));
  return 0;
}

/* ---- rows: all positions but along one dimension --------------------------------------------- */

/* A 0-d tensor counts as one row of one element. */
static int64_t row_length(const tensor *t, int dim) {
  return t->rank ? t->shape[dim] : 1;
}
static int64_t row_stride(const tensor *t, int dim) {
  return t->rank ? t->stride[dim] : 1;
}

/* The first element of row number `row`, counted from the tensor's first, in elements. */
static int64_t row_offset(const tensor *t, int dim, int64_t row) {
  int64_t offset = 0;
  for (int d = t->rank - 1; d >= 0; d--) {
    if (d == dim) continue;
    offset += row % t->shape[d] * t->stride[d];
    row /= t->shape[d];
  }
  return offset;
}

/* What the rows of one call share. Every worker sorts in entries of its own. */
typedef struct row_job {
  const tensor *in;
  tensor *values, *indices;
  int dim;
  int64_t take; /* of every row, the first ones in order */
  bool descending;
  atomic_bool out_of_memory;
} row_job;

static void copy_element(char *to, const char *from, size_t bytes) {
  switch (bytes) {
  case 1: memcpy(to, from, 1); return;
  case 2: memcpy(to, from, 2); return;
  case 4: memcpy(to, from, 4); return;
  default: memcpy(to, from, 8);
  }
}

static const char *row_data(const row_job *job, int64_t row) {
  return (const char *)tensor_data(job->in) +
         row_offset(job->in, job->dim, row) * (int64_t)dtype_size(job->in->dtype);
}

static void store_row(const row_job *job, int64_t row, const sort_entry *entries) {
  size_t bytes = dtype_size(job->in->dtype);
  int64_t in_stride = row_stride(job->in, job->dim), out_stride = row_stride(job->values, job->dim);
  const char *in = row_data(job, row);
  int64_t at = row_offset(job->values, job->dim, row);
  char *values = (char *)tensor_data(job->values) + at * (int64_t)bytes;
  int64_t *indices = (int64_t *)tensor_data(job->indices) + at;
  for (int64_t i = 0; i < job->take; i++) {
    indices[i * out_stride] = entries[i].index;
    copy_element(values + i * out_stride * (int64_t)bytes,
                 in + entries[i].index * in_stride * (int64_t)bytes, bytes);
  }
}

static void sort_row(const row_job *job, int64_t row, sort_entry *entries) {
  int64_t n = row_length(job->in, job->dim);
  sort_load(entries, row_data(job, row), 0, n, row_stride(job->in, job->dim), job->in->dtype,
            job->descending);
  sort_entries(entries, entries + n, n);
}

enum { PIECE = 256 }; /* elements looked at at a time */

static void select_row(const row_job *job, int64_t row, sort_entry *entries) {
  sort_entry piece[PIECE];
  sort_first first;
  int64_t n = row_length(job->in, job->dim);
  sort_first_begin(&first, entries, job->take);
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t count = n - i < PIECE ? n - i : PIECE;
    sort_load(piece, row_data(job, row), i, count, row_stride(job->in, job->dim), job->in->dtype,
              job->descending);
    sort_first_add(&first, piece, count);
  }
  sort_first_end(&first);
}

static void order_some_rows(void *context, int64_t begin, int64_t end) {
  row_job *job = context;
  int64_t n = row_length(job->in, job->dim);
  bool select = sort_first_room(job->take) < 2 * n;
  size_t room = (size_t)(select ? sort_first_room(job->take) : 2 * n);
  sort_entry *entries = malloc(room * sizeof *entries);
  if (!entries) {
    atomic_store(&job->out_of_memory, true);
    return;
  }
  for (int64_t row = begin; row < end; row++) {
    if (select)
      select_row(job, row, entries);
    else
      sort_row(job, row, entries);
    store_row(job, row, entries);
  }
  free(entries);
}

enum { GRAIN = 16384 }; /* elements worth a thread */

static int run_rows(row_job *job, tensor_error *error) {
  int64_t n = row_length(job->in, job->dim);
  if (n == 0 || job->take == 0 || tensor_count(job->in) == 0) return 0;
  parallel_for(tensor_count(job->in) / n, 1 + GRAIN / n, order_some_rows, job);
  if (!atomic_load(&job->out_of_memory)) return 0;
  return tensor_fail(error, TENSOR_NO_MEMORY, "cannot sort rows of %lld elements: out of memory",
                     (long long)n);
}

/* Contiguous in the order of a tensor whose dimensions a and b are exchanged. */
static int exchange(tensor *out, const tensor *t, int a, int b, tensor_error *error) {
  tensor turned;
  int code = tensor_transpose(&turned, t, a, b, error);
  if (code) return code;
  code = tensor_contiguous(out, &turned, error);
  tensor_release(&turned);
  return code;
}

/* The rows as a matrix, sorted there, and put back where they stood. */
static int order_on_device(tensor out[2], const tensor *t, int dim, int64_t take, bool descending,
                           tensor_error *error) {
  tensor rows = {0}, made[2] = {{0}, {0}};
  int64_t n = row_length(t, dim), shape[TENSOR_MAX_RANK];
  int last = t->rank ? t->rank - 1 : 0;
  int err = t->rank ? exchange(&rows, t, dim, last, error) : tensor_contiguous(&rows, t, error);
  if (err) return err;
  memcpy(shape, rows.shape, sizeof shape);
  if (t->rank) shape[last] = take;
  err = tensor_empty(&made[0], t->dtype, t->storage->device, t->rank, shape, error);
  if (!err) err = tensor_empty(&made[1], DTYPE_INT64, t->storage->device, t->rank, shape, error);
  if (!err && tensor_count(&rows) > 0) {
    tensor matrix[3] = {made[0], made[1], rows};
    for (int i = 0; i < 3; i++) {
      int64_t width = i == 2 ? n : take;
      matrix[i].rank = 2;
      matrix[i].shape[0] = tensor_count(&rows) / n, matrix[i].stride[0] = width;
      matrix[i].shape[1] = width, matrix[i].stride[1] = 1;
    }
    err = device_functions_get()->order(&matrix[0], &matrix[1], &matrix[2], descending, error);
  }
  for (int i = 0; i < 2 && !err; i++) {
    if (t->rank)
      err = exchange(&out[i], &made[i], dim, last, error);
    else
      tensor_share(&out[i], &made[i]);
  }
  tensor_release(&rows);
  tensor_release(&made[0]);
  tensor_release(&made[1]);
  return err;
}

static int order_rows(tensor *values, tensor *indices, const tensor *t, int dim, int64_t take,
                      bool descending, tensor_error *error) {
  int64_t shape[TENSOR_MAX_RANK];
  memcpy(shape, t->shape, sizeof shape);
  if (t->rank) shape[dim] = take;
  tensor v = {0}, i = {0};
  if (!tensor_is_on_cpu(t)) {
    tensor out[2] = {{0}, {0}};
    int code = order_on_device(out, t, dim, take, descending, error);
    *values = out[0];
    *indices = out[1];
    return code;
  }
  int err = tensor_empty(&v, t->dtype, DEVICE_CPU, t->rank, shape, error);
  if (!err) err = tensor_empty(&i, DTYPE_INT64, DEVICE_CPU, t->rank, shape, error);
  row_job job = {t, &v, &i, dim, take, descending, false};
  if (!err) err = run_rows(&job, error);
  if (err) {
    tensor_release(&v);
    tensor_release(&i);
    return err;
  }
  *values = v;
  *indices = i;
  return 0;
}

int tensor_sort(tensor *values, tensor *indices, const tensor *t, int dim, bool descending,
                tensor_error *error) {
  int err = check_sortable("sort", t, error);
  return err ? err : order_rows(values, indices, t, dim, row_length(t, dim), descending, error);
}

int tensor_topk(tensor *values, tensor *indices, const tensor *t, int64_t k, int dim, bool largest,
                tensor_error *error) {
  int err = check_sortable("take the top of", t, error);
  if (err) return err;
  if (k < 0 || k > row_length(t, dim))
    return tensor_fail(error, TENSOR_INVALID, "cannot take %lld of %lld elements", (long long)k,
                       (long long)row_length(t, dim));
  if (t->rank == 0 && k == 0)
    return tensor_fail(error, TENSOR_INVALID, "cannot take 0 elements of a tensor of 0 dimensions");
  return order_rows(values, indices, t, dim, k, largest, error);
}

/* ---- distinct values ------------------------------------------------------------------------- */

static bool is_nan(const void *data, int64_t i, dtype type) {
  double value;
  dtype_convert(DTYPE_FLOAT64, &value, type, (const char *)data + i * (int64_t)dtype_size(type), 1);
  return value != value;
}

/* Does the sorted element i differ from the one before it? Keys say so but for NaN. */
static bool starts_group(const sort_entry *entries, int64_t i, const tensor *t) {
  return i == 0 || entries[i].key != entries[i - 1].key ||
         (dtype_is_float(t->dtype) && is_nan(tensor_data(t), entries[i].index, t->dtype));
}

static int64_t number_groups(const sort_entry *entries, int64_t n, const tensor *t,
                             int64_t *inverse) {
  int64_t groups = 0;
  for (int64_t i = 0; i < n; i++) {
    groups += starts_group(entries, i, t);
    inverse[entries[i].index] = groups - 1;
  }
  return groups;
}

static void fill_groups(const sort_entry *entries, int64_t n, const tensor *t,
                        const int64_t *inverse, tensor *values, tensor *counts) {
  size_t bytes = dtype_size(t->dtype);
  int64_t *count = tensor_data(counts);
  for (int64_t i = n; i-- > 0;) { /* downwards, so that the first of equals is what stays */
    int64_t group = inverse[entries[i].index];
    count[group]++;
    copy_element((char *)tensor_data(values) + group * (int64_t)bytes,
                 (const char *)tensor_data(t) + entries[i].index * (int64_t)bytes, bytes);
  }
}

static int unique_of(tensor out[3], const tensor *t, sort_entry *entries, tensor_error *error) {
  int64_t n = tensor_count(t);
  int err = tensor_empty(&out[1], DTYPE_INT64, DEVICE_CPU, t->rank, t->shape, error);
  if (err) return err;
  sort_load(entries, tensor_data(t), 0, n, 1, t->dtype, false);
  sort_entries(entries, entries + n, n);
  int64_t groups = number_groups(entries, n, t, tensor_data(&out[1]));
  err = tensor_empty(&out[0], t->dtype, DEVICE_CPU, 1, &groups, error);
  if (!err) err = tensor_zeros(&out[2], DTYPE_INT64, DEVICE_CPU, 1, &groups, error);
  if (!err) fill_groups(entries, n, t, tensor_data(&out[1]), &out[0], &out[2]);
  return err;
}

static int unique_on_device(tensor out[3], const tensor *t, tensor_error *error) {
  int err = tensor_empty(&out[1], DTYPE_INT64, t->storage->device, t->rank, t->shape, error);
  return err ? err : device_functions_get()->distinct(&out[0], &out[1], &out[2], t, error);
}

static int unique_of_contiguous(tensor out[3], const tensor *t, tensor_error *error) {
  int64_t n = tensor_count(t);
  sort_entry *entries = malloc(2 * (size_t)(n + 1) * sizeof *entries);
  if (!entries)
    return tensor_fail(error, TENSOR_NO_MEMORY, "cannot sort %lld elements: out of memory",
                       (long long)n);
  int err = unique_of(out, t, entries, error);
  free(entries);
  return err;
}

int tensor_unique(tensor *values, tensor *inverse, tensor *counts, const tensor *t,
                  tensor_error *error) {
  tensor out[3] = {0}, flat = {0};
  int err = check_sortable("find the distinct values of", t, error);
  if (!err) err = tensor_contiguous(&flat, t, error);
  if (!err)
    err = tensor_is_on_cpu(t) ? unique_of_contiguous(out, &flat, error)
                              : unique_on_device(out, &flat, error);
  tensor_release(&flat);
  if (err) {
    for (int i = 0; i < 3; i++) tensor_release(&out[i]);
    return err;
  }
  *values = out[0];
  *inverse = out[1];
  *counts = out[2];
  return 0;
}

/* ---- binary search --------------------------------------------------------------------------- */

static int64_t place_of(uint64_t key, const sort_entry *sorted, int64_t n, bool right) {
  int64_t low = 0, high = n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    bool before = right ? sorted[middle].key <= key : sorted[middle].key < key;
    if (before)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int check_search(const tensor *sorted, const tensor *values, tensor_error *error) {
  int err = check_sortable("search", sorted, error);
  if (!err) err = check_sortable("search for", values, error);
  if (!err && sorted->storage->device != values->storage->device)
    err = tensor_fail(error, TENSOR_DEVICE,
                      "cannot search tensors of two devices; move one of them with to()");
  if (err) return err;
  if (sorted->dtype != values->dtype)
    return tensor_fail(error, TENSOR_INVALID, "cannot search %s for %s: the dtypes differ",
                       dtype_name(sorted->dtype), dtype_name(values->dtype));
  bool fits = sorted->rank == 1 || (sorted->rank == values->rank && sorted->rank > 0);
  for (int d = 0; fits && sorted->rank > 1 && d < sorted->rank - 1; d++)
    fits = sorted->shape[d] == values->shape[d];
  char a[TENSOR_TEXT], b[TENSOR_TEXT];
  return fits ? 0
              : tensor_fail(error, TENSOR_INVALID,
                            "cannot search %s for %s: the leading sizes differ",
                            tensor_describe(sorted, a), tensor_describe(values, b));
}

/* `wanted` of every row, one row of `sorted` for all where it has one dimension. */
static void search_rows(tensor *out, const tensor *sorted, const tensor *values, bool right,
                        sort_entry *entries) {
  int64_t n = sorted->shape[sorted->rank - 1];
  int64_t rows = sorted->rank == 1 ? 1 : tensor_count(sorted) / (n ? n : 1);
  int64_t wanted = rows ? tensor_count(values) / rows : 0;
  size_t bytes = dtype_size(sorted->dtype);
  int64_t *places = tensor_data(out);
  for (int64_t row = 0; row < rows; row++) {
    sort_load(entries, (char *)tensor_data(sorted) + row * n * (int64_t)bytes, 0, n, 1,
              sorted->dtype, false);
    for (int64_t i = row * wanted; i < (row + 1) * wanted; i++) {
      sort_entry key;
      sort_load(&key, (char *)tensor_data(values) + i * (int64_t)bytes, 0, 1, 1, values->dtype,
                false);
      places[i] = place_of(key.key, entries, n, right);
    }
  }
}

static int search_contiguous(tensor *out, const tensor *sorted, const tensor *values, bool right,
                             tensor_error *error) {
  int64_t n = sorted->shape[sorted->rank - 1];
  int device = values->storage->device;
  if (n == 0 || tensor_count(values) == 0)
    return tensor_zeros(out, DTYPE_INT64, device, values->rank, values->shape, error);
  tensor places = {0};
  int err = tensor_empty(&places, DTYPE_INT64, device, values->rank, values->shape, error);
  if (err) return err;
  if (!tensor_is_on_cpu(values)) {
    err = device_functions_get()->search(&places, sorted, values, right, error);
    if (err)
      tensor_release(&places);
    else
      *out = places;
    return err;
  }
  sort_entry *entries = malloc((size_t)n * sizeof *entries);
  if (!entries) {
    tensor_release(&places);
    return tensor_fail(error, TENSOR_NO_MEMORY, "cannot search %lld elements: out of memory",
                       (long long)n);
  }
  search_rows(&places, sorted, values, right, entries);
  free(entries);
  *out = places;
  return 0;
}

int tensor_searchsorted(tensor *out, const tensor *sorted, const tensor *values, bool right,
                        tensor_error *error) {
  tensor s = {0}, v = {0};
  int err = check_search(sorted, values, error);
  if (!err) err = tensor_contiguous(&s, sorted, error);
  if (!err) err = tensor_contiguous(&v, values, error);
  if (!err) err = search_contiguous(out, &s, &v, right, error);
  tensor_release(&s);
  tensor_release(&v);
  return err;
}
