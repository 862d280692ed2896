/* index.c -- elements named by tensors of indices. */
#include <stdlib.h>
#include "tensor/device.h"
#include "tensor/index.h"
#include "tensor/kernels.h"
#include "tensor/loop.h"
#include "tensor/parallel.h"

enum { BLOCK = 512 };

static int refuse(const char *verb, const tensor *a, const tensor *b, const char *why,
                  tensor_error *error) {
  char left[TENSOR_TEXT], right[TENSOR_TEXT];
  return tensor_fail(error, TENSOR_INVALID, "cannot %s %.80s by %.80s: %s", verb,
                     tensor_describe(a, left), tensor_describe(b, right), why);
}

/* ---- moving elements --------------------------------------------------------------------------
 */

#define COPY(Word)                                                                                 \
  for (int64_t i = 0; i < n; i++)                                                                  \
  *(Word *)(to + i * to_stride) = *(const Word *)(from + i * from_stride)

void copy_strided(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n,
                  size_t size) {
  if (to_stride == (int64_t)size && from_stride == (int64_t)size) {
    memcpy(to, from, (size_t)n * size);
    return;
  }
  switch (size) {
  case 1: COPY(uint8_t); break;
  case 2: COPY(uint16_t); break;
  case 4: COPY(uint32_t); break;
  default: COPY(uint64_t); break;
  }
}

static bool is_computed_in(dtype d) {
  return compute_dtype(dtype_compute(d)) == d;
}

/* to += from, in the dtype's computing type. */
static void add_strided(dtype d, char *to, int64_t to_stride, const char *from, int64_t from_stride,
                        int64_t n) {
  const kernel_table *k = kernels();
  compute_type c = dtype_compute(d);
  dtype wide = compute_dtype(c);
  size_t size = dtype_size(d);
  if (is_computed_in(d) && to_stride == (int64_t)size && from_stride == (int64_t)size) {
    k->binary[c][BINARY_add](to, to, from, n);
    return;
  }
  union {
    char bytes[BLOCK * 8];
    double align;
  } raw, a, b;
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t length = n - done < BLOCK ? n - done : BLOCK;
    copy_strided(raw.bytes, (int64_t)size, to + done * to_stride, to_stride, length, size);
    dtype_convert(wide, a.bytes, d, raw.bytes, length);
    copy_strided(raw.bytes, (int64_t)size, from + done * from_stride, from_stride, length, size);
    dtype_convert(wide, b.bytes, d, raw.bytes, length);
    k->binary[c][BINARY_add](a.bytes, a.bytes, b.bytes, length);
    dtype_convert(d, raw.bytes, wide, a.bytes, length);
    copy_strided(to + done * to_stride, to_stride, raw.bytes, (int64_t)size, length, size);
  }
}

static inline void copy_element(char *to, const char *from, size_t size) {
  switch (size) {
  case 1: *to = *from; break;
  case 2: *(uint16_t *)to = *(const uint16_t *)from; break;
  case 4: *(uint32_t *)to = *(const uint32_t *)from; break;
  default: *(uint64_t *)to = *(const uint64_t *)from; break;
  }
}

static inline void add_element(dtype d, char *to, const char *from) {
  switch (d) {
  case DTYPE_FLOAT32: *(float *)to += *(const float *)from; break;
  case DTYPE_FLOAT64: *(double *)to += *(const double *)from; break;
  case DTYPE_INT32: *(uint32_t *)to += *(const uint32_t *)from; break;
  case DTYPE_INT64: *(uint64_t *)to += *(const uint64_t *)from; break;
  default: add_strided(d, to, 0, from, 0, 1); break;
  }
}

/* ---- checking indices -------------------------------------------------------------------------
 */

typedef struct range_check {
  int64_t low, high; /* valid: low <= index < high */
  int64_t bad;
  bool found;
} range_check;

static void find_bad(range_check *c, const char *data, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n && !c->found; i++) {
    int64_t index = *(const int64_t *)(data + i * stride);
    if (index < c->low || index >= c->high) c->found = true, c->bad = index;
  }
}

/* Contiguous ones are looked at many at a time; only where one is bad, for which it is. */
static void check_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  range_check *c = context;
  const int64_t *indices = (const int64_t *)data[0];
  int64_t low = c->low, high = c->high;
  int bad = *stride != sizeof *indices;
  if (!bad)
    for (int64_t i = 0; i < n; i++) bad |= (indices[i] < low) | (indices[i] >= high);
  if (bad) find_bad(c, data[0], *stride, n);
}

/* Is every element of `index`, int64, in range for dimension dim of t? */
static int check_range(const char *verb, const tensor *t, int dim, const tensor *index,
                       bool negative, tensor_error *error) {
  char text[TENSOR_TEXT];
  int64_t size = t->shape[dim];
  range_check c = {.low = negative ? -size : 0, .high = size};
  loop l;
  loop_start(&l, index->rank, index->shape);
  loop_add(&l, index);
  loop_simplify(&l);
  loop_run(&l, 0, check_segment, &c);
  if (!c.found) return 0;
  return tensor_fail(error, TENSOR_INVALID,
                     "cannot %s %.100s: index %lld is out of range for dimension %d of size %lld",
                     verb, tensor_describe(t, text), (long long)c.bad, dim + 1, (long long)size);
}

/* The indices as int64 where t lies; in range, but that a device sees to that itself. Those on the
 * CPU are brought to t's device. */
static int take_indices(tensor *out, const char *verb, const tensor *t, int dim,
                        const tensor *index, bool negative, tensor_error *error) {
  tensor made;
  bool is_here = tensor_is_on_cpu(index);
  if (!is_here && index->storage->device != t->storage->device)
    return refuse(verb, t, index, "the index lies on another device; move it with to()", error);
  if (!dtype_is_integer(index->dtype) || index->dtype == DTYPE_UINT8)
    return refuse(verb, t, index, "indices are int64, int32, int16 or int8", error);
  int code = tensor_to(&made, index, DTYPE_INT64, error);
  if (code) return code;
  if (is_here) code = check_range(verb, t, dim, &made, negative, error);
  if (!code) code = tensor_to_device(out, &made, t->storage->device, error);
  tensor_release(&made);
  return code;
}

/* ---- by several index tensors -----------------------------------------------------------------
 */

typedef struct plan {
  tensor at;   /* int64, contiguous: for each place of the index tensors, bytes into t */
  tensor rest; /* t without the indexed dimensions; shares nothing */
  int rank;    /* of the result */
  int64_t shape[TENSOR_MAX_RANK];
  int front; /* dimensions of the result before those of the index tensors */
} plan;

typedef struct adding {
  int64_t size, step; /* of the dimension, in elements and bytes */
} adding;

static void add_offsets(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const adding *a = context;
  for (int64_t i = 0; i < n; i++) {
    int64_t index = *(const int64_t *)(data[1] + i * stride[1]);
    *(int64_t *)(data[0] + i * stride[0]) += (index < 0 ? index + a->size : index) * a->step;
  }
}

static int add_dimension(plan *p, const tensor *t, int dim, const tensor *index, bool negative,
                         tensor_error *error) {
  tensor indices;
  int code = take_indices(&indices, "index", t, dim, index, negative, error);
  if (code) return code;
  adding a = {t->shape[dim], t->stride[dim] * (int64_t)dtype_size(t->dtype)};
  loop l;
  loop_start(&l, p->at.rank, p->at.shape);
  loop_add(&l, &p->at);
  loop_add(&l, &indices);
  loop_simplify(&l);
  loop_run(&l, LOOP_GRAIN, add_offsets, &a);
  tensor_release(&indices);
  return 0;
}

/* The shape that the index tensors broadcast to, and the dimensions that are not indexed. */
static int lay_out(plan *p, const tensor *t, const tensor *const *at, tensor *shape,
                   tensor_error *error) {
  int first = -1, last = -1, count = 0;
  *shape = (tensor){.dtype = DTYPE_INT64};
  p->rest = *t;
  p->rest.rank = 0;
  for (int d = 0; d < t->rank; d++) {
    if (!at[d]) {
      p->rest.shape[p->rest.rank] = t->shape[d];
      p->rest.stride[p->rest.rank++] = t->stride[d];
      continue;
    }
    if (first < 0) first = d;
    last = d;
    count++;
    int code = shape_broadcast("index by", shape, at[d], &shape->rank, shape->shape, error);
    if (code) return code;
  }
  p->front = last - first + 1 == count ? first : 0;
  p->rank = shape->rank + p->rest.rank;
  if (p->rank > TENSOR_MAX_RANK)
    return tensor_fail(error, TENSOR_INVALID, "cannot index: the result would have %d dimensions",
                       p->rank);
  int n = 0;
  for (int i = 0; i < p->front; i++) p->shape[n++] = p->rest.shape[i];
  for (int i = 0; i < shape->rank; i++) p->shape[n++] = shape->shape[i];
  for (int i = p->front; i < p->rest.rank; i++) p->shape[n++] = p->rest.shape[i];
  return 0;
}

static int make_plan(plan *p, const tensor *t, const tensor *const *at, bool negative,
                     tensor_error *error) {
  tensor shape;
  int code = lay_out(p, t, at, &shape, error);
  if (code) return code;
  code = tensor_zeros(&p->at, DTYPE_INT64, DEVICE_CPU, shape.rank, shape.shape, error);
  for (int d = 0; d < t->rank && !code; d++) {
    if (!at[d]) continue;
    code = add_dimension(p, t, d, at[d], negative, error);
    if (code) tensor_release(&p->at);
  }
  return code;
}

/* A loop over the elements that share a place: their positions in t and in the result. */
typedef struct moving {
  const plan *plan;
  loop inner;          /* operand 0: t without offset; operand 1: the result at the first place */
  int64_t count, step; /* elements a place; bytes between places in the result */
  dtype dtype;
  enum { TAKE, PUT, ADD } what;
} moving;

static void start_moving(moving *m, const plan *p, const tensor *result) {
  tensor part = *result;
  int places = p->at.rank;
  part.rank = p->rest.rank;
  for (int i = 0; i < part.rank; i++) {
    part.shape[i] = p->rest.shape[i];
    part.stride[i] = result->stride[i < p->front ? i : i + places];
  }
  m->plan = p;
  m->dtype = result->dtype;
  m->step = (int64_t)dtype_size(m->dtype);
  for (int i = p->front; i < part.rank; i++) m->step *= part.shape[i];
  loop_start(&m->inner, part.rank, part.shape);
  loop_add(&m->inner, &p->rest);
  loop_add(&m->inner, &part);
  loop_simplify(&m->inner);
  m->count = loop_count(&m->inner);
}

static void move_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const moving *m = context;
  size_t size = dtype_size(m->dtype);
  if (m->what == TAKE)
    copy_strided(data[1], stride[1], data[0], stride[0], n, size);
  else if (m->what == PUT)
    copy_strided(data[0], stride[0], data[1], stride[1], n, size);
  else
    add_strided(m->dtype, data[0], stride[0], data[1], stride[1], n);
}

/* The same where a place is one element. */
static void move_elements(const moving *m, const int64_t *at, int64_t begin, int64_t end) {
  char *t = m->inner.operand[0].data, *result = m->inner.operand[1].data;
  size_t size = dtype_size(m->dtype);
  for (int64_t i = begin; i < end; i++) {
    if (m->what == TAKE)
      copy_element(result + i * m->step, t + at[i], size);
    else if (m->what == PUT)
      copy_element(t + at[i], result + i * m->step, size);
    else
      add_element(m->dtype, t + at[i], result + i * m->step);
  }
}

static void move_places(void *context, int64_t begin, int64_t end) {
  moving *m = context;
  const int64_t *at = tensor_data(&m->plan->at);
  if (m->count == 1) {
    move_elements(m, at, begin, end);
    return;
  }
  loop inner = m->inner;
  for (int64_t i = begin; i < end; i++) {
    inner.operand[0].data = m->inner.operand[0].data + at[i];
    inner.operand[1].data = m->inner.operand[1].data + i * m->step;
    loop_run_range(&inner, 0, m->count, move_segment, m);
  }
}

/* All places; in order where several may be the same one. */
static void move_all(moving *m) {
  int64_t places = tensor_count(&m->plan->at);
  if (places == 0 || m->count == 0) return;
  int64_t grain = m->count >= LOOP_GRAIN ? 1 : LOOP_GRAIN / m->count;
  if (m->what == TAKE)
    parallel_for(places, grain, move_places, m);
  else
    move_places(m, 0, places);
}

/* ---- the same on a device ---------------------------------------------------------------------
 */

static void release_work(index_work *w) {
  for (int k = 0; k < w->indices; k++) tensor_release(&w->at[k].index);
}

/* A tensor over the places as one over the result, in whose other dimensions it stands still. */
static tensor over_result(const tensor *index, const plan *p, int places) {
  tensor wide = *index;
  wide.rank = p->rank;
  for (int i = 0; i < p->rank; i++) {
    int from = i - p->front - (places - index->rank);
    bool moves = from >= 0 && from < index->rank && index->shape[from] > 1;
    wide.shape[i] = p->shape[i];
    wide.stride[i] = moves ? index->stride[from] : 0;
  }
  return wide;
}

/* The work, but for `part`; p: the result's shape. Its index tensors are to be released. */
static int plan_work(index_work *w, plan *p, const tensor *t, const tensor *const *at,
                     tensor_error *error) {
  tensor shape, indices;
  int code = lay_out(p, t, at, &shape, error);
  w->t = t;
  w->whole = *t;
  w->whole.rank = p->rank;
  for (int i = 0; i < p->rank && !code; i++) {
    bool is_place = i >= p->front && i < p->front + shape.rank;
    w->whole.shape[i] = p->shape[i];
    w->whole.stride[i] = is_place ? 0 : p->rest.stride[i < p->front ? i : i - shape.rank];
  }
  for (int d = 0; d < t->rank && !code; d++) {
    if (!at[d]) continue;
    code = take_indices(&indices, w->verb, t, d, at[d], w->negative, error);
    if (code) break;
    w->at[w->indices].index = over_result(&indices, p, shape.rank);
    w->at[w->indices].dim = d;
    w->at[w->indices].size = t->shape[d];
    w->at[w->indices++].step = t->stride[d];
  }
  if (code) release_work(w);
  return code;
}

static int index_on_device(tensor *out, const char *verb, const tensor *t, const tensor *const *at,
                           bool negative, tensor_error *error) {
  plan p = {0};
  tensor made;
  index_work w = {.what = INDEX_TAKE, .verb = verb, .negative = negative};
  int code = plan_work(&w, &p, t, at, error);
  if (code) return code;
  code = tensor_empty(&made, t->dtype, t->storage->device, p.rank, p.shape, error);
  if (!code) {
    w.part = made;
    code = device_functions_get()->index(&w, error);
    if (code)
      tensor_release(&made);
    else
      *out = made;
  }
  release_work(&w);
  return code;
}

static int run_index(tensor *out, const char *verb, const tensor *t, const tensor *const *at,
                     bool negative, tensor_error *error) {
  plan p = {0};
  moving m = {.what = TAKE};
  if (!tensor_is_on_cpu(t)) return index_on_device(out, verb, t, at, negative, error);
  int code = make_plan(&p, t, at, negative, error);
  if (code) return code;
  code = tensor_empty(out, t->dtype, DEVICE_CPU, p.rank, p.shape, error);
  if (!code) {
    start_moving(&m, &p, out);
    move_all(&m);
  }
  tensor_release(&p.at);
  return code;
}

int tensor_index(tensor *out, const tensor *t, const tensor *const *at, tensor_error *error) {
  return run_index(out, "index", t, at, true, error);
}

static int check_written(const char *verb, const tensor *t, const tensor *source, bool accumulate,
                         tensor_error *error) {
  if (t->dtype == DTYPE_FLOAT4_E2M1 && (accumulate || source->dtype != t->dtype))
    return refuse(verb, t, source, "float4_e2m1 holds pairs", error);
  if (tensor_overlaps_itself(t))
    return refuse(verb, t, source, "several of its elements share their memory; clone it first",
                  error);
  return 0;
}

/* As t's dtype, and where t lies, to which a single number is brought. */
static int to_place_of(tensor *out, const tensor *values, const tensor *t, tensor_error *error) {
  tensor cast;
  int device;
  int code = tensor_common_device(&device, "write", 2, (const tensor *[]){t, values}, error);
  if (!code && device != t->storage->device)
    code =
        refuse("write", t, values, "the values lie on another device; move them with to()", error);
  if (!code) code = tensor_to(&cast, values, t->dtype, error);
  if (code) return code;
  code = tensor_to_device(out, &cast, device, error);
  tensor_release(&cast);
  return code;
}

/* values as t's dtype, broadcast to a shape, contiguous, and of memory of their own */
static int spread(tensor *out, const tensor *values, const tensor *t, int rank,
                  const int64_t *shape, tensor_error *error) {
  tensor narrow = *values, cast, wide;
  while (narrow.rank > rank && narrow.shape[0] == 1) { /* as torch allows */
    narrow.rank--;
    memmove(narrow.shape, narrow.shape + 1, (size_t)narrow.rank * sizeof *narrow.shape);
    memmove(narrow.stride, narrow.stride + 1, (size_t)narrow.rank * sizeof *narrow.stride);
  }
  int code = to_place_of(&cast, &narrow, t, error);
  if (code) return code;
  code = tensor_expand(&wide, &cast, rank, shape, error);
  if (!code) {
    bool shared = values->storage == t->storage;
    code = shared ? tensor_clone(out, &wide, error) : tensor_contiguous(out, &wide, error);
    tensor_release(&wide);
  }
  tensor_release(&cast);
  return code;
}

static int put_on_device(const char *verb, tensor *t, const tensor *const *at, const tensor *values,
                         bool accumulate, bool negative, tensor_error *error) {
  plan p = {0};
  index_work w = {.what = accumulate ? INDEX_ADD : INDEX_PUT, .verb = verb, .negative = negative};
  int code = check_written(verb, t, values, accumulate, error);
  if (!code) code = plan_work(&w, &p, t, at, error);
  if (code) return code;
  code = spread(&w.part, values, t, p.rank, p.shape, error);
  if (!code) {
    code = device_functions_get()->index(&w, error);
    tensor_release(&w.part);
  }
  release_work(&w);
  return code;
}

static int run_put(const char *verb, tensor *t, const tensor *const *at, const tensor *values,
                   bool accumulate, bool negative, tensor_error *error) {
  if (!tensor_is_on_cpu(t)) return put_on_device(verb, t, at, values, accumulate, negative, error);
  plan p = {0};
  tensor source;
  moving m = {.what = accumulate ? ADD : PUT};
  int code = check_written("write", t, values, accumulate, error);
  if (!code) code = make_plan(&p, t, at, negative, error);
  if (code) return code;
  code = spread(&source, values, t, p.rank, p.shape, error);
  if (!code) {
    start_moving(&m, &p, &source);
    move_all(&m);
    tensor_release(&source);
  }
  tensor_release(&p.at);
  return code;
}

int tensor_index_put(tensor *t, const tensor *const *at, const tensor *values, bool accumulate,
                     tensor_error *error) {
  return run_put("index_put_", t, at, values, accumulate, true, error);
}

/* ---- along one dimension ----------------------------------------------------------------------
 */

/* A vector of indices (a 0-d one counts as a vector of one) for dimension dim of t. */
static int one_index(const tensor **at, tensor *vector, const char *verb, const tensor *t, int dim,
                     const tensor *index, tensor_error *error) {
  if (t->rank == 0) return refuse(verb, t, index, "a 0-d tensor has no dimension", error);
  if (index->rank > 1) return refuse(verb, t, index, "the index is not a vector", error);
  *vector = *index;
  if (index->rank == 0) vector->rank = 1, vector->shape[0] = vector->stride[0] = 1;
  for (int d = 0; d < t->rank; d++) at[d] = d == dim ? vector : NULL;
  return 0;
}

int tensor_index_select(tensor *out, const tensor *t, int dim, const tensor *index,
                        tensor_error *error) {
  const tensor *at[TENSOR_MAX_RANK];
  tensor vector;
  int code = one_index(at, &vector, "index_select", t, dim, index, error);
  return code ? code : run_index(out, "index_select", t, at, false, error);
}

int tensor_index_write(tensor *t, int dim, const tensor *index, const tensor *source,
                       bool accumulate, tensor_error *error) {
  const char *verb = accumulate ? "index_add_" : "index_copy_";
  const tensor *at[TENSOR_MAX_RANK];
  tensor vector;
  int code = one_index(at, &vector, verb, t, dim, index, error);
  if (code) return code;
  bool fits = source->rank == t->rank;
  for (int d = 0; d < t->rank && fits; d++)
    fits = source->shape[d] == (d == dim ? vector.shape[0] : t->shape[d]);
  if (!fits) return refuse(verb, t, source, "the source's shape is not that of the slices", error);
  if (source->dtype != t->dtype) return refuse(verb, t, source, "the dtypes differ", error);
  return run_put(verb, t, at, source, accumulate, false, error);
}

/* ---- gather and scatter -----------------------------------------------------------------------
 */

typedef struct along {
  int64_t step; /* bytes, of the dimension */
  dtype dtype;
  bool accumulate;
} along;

static void gather_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const along *g = context;
  size_t size = dtype_size(g->dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t index = *(const int64_t *)(data[1] + i * stride[1]);
    copy_element(data[0] + i * stride[0], data[2] + i * stride[2] + index * g->step, size);
  }
}

static void scatter_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  const along *g = context;
  size_t size = dtype_size(g->dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t index = *(const int64_t *)(data[0] + i * stride[0]);
    char *to = data[2] + i * stride[2] + index * g->step;
    const char *from = data[1] + i * stride[1];
    if (g->accumulate)
      add_element(g->dtype, to, from);
    else
      copy_element(to, from, size);
  }
}

/* Each of the index's sizes fits t's and, where there is one, the source's. */
static int check_along(const char *verb, const tensor *t, int dim, const tensor *index,
                       const tensor *source, tensor_error *error) {
  if (index->rank != t->rank || (source && source->rank != 0 && source->rank != t->rank))
    return refuse(verb, t, index, "the numbers of dimensions differ", error);
  for (int d = 0; d < t->rank; d++) {
    bool fits = d == dim || index->shape[d] <= t->shape[d];
    if (source && source->rank > 0 && index->shape[d] > source->shape[d]) fits = false;
    if (!fits && tensor_count(index) > 0)
      return refuse(verb, t, index, "the index is too large", error);
  }
  return 0;
}

/* t as the loop over `index` sees it: dimension dim does not move. */
static tensor without_motion(const tensor *t, int dim, const tensor *index) {
  tensor still = *t;
  for (int d = 0; d < t->rank; d++) still.shape[d] = index->shape[d];
  if (t->rank > 0) still.stride[dim] = 0;
  return still;
}

static const tensor *as_vector(tensor *room, const tensor *t) {
  if (t->rank > 0) return t;
  *room = *t;
  room->rank = 1;
  room->shape[0] = room->stride[0] = 1;
  return room;
}

static int64_t step_of(const tensor *t, int dim) {
  return t->stride[dim] * (int64_t)dtype_size(t->dtype);
}

static int along_on_device(int what, const char *verb, const tensor *t, int dim,
                           const tensor *indices, const tensor *part, tensor_error *error) {
  index_work w = {.what = what, .verb = verb, .t = t, .part = *part, .indices = 1};
  w.whole = without_motion(t, dim, indices);
  w.at[0].index = *indices;
  w.at[0].dim = dim;
  w.at[0].size = t->shape[dim];
  w.at[0].step = t->stride[dim];
  return device_functions_get()->index(&w, error);
}

int tensor_gather(tensor *out, const tensor *t, int dim, const tensor *index, tensor_error *error) {
  tensor indices, made = {0}, room, index_room;
  int rank = index->rank;
  t = as_vector(&room, t);
  index = as_vector(&index_room, index);
  int code = check_along("gather", t, dim, index, NULL, error);
  if (!code) code = take_indices(&indices, "gather", t, dim, index, false, error);
  if (code) return code;
  code = tensor_empty(&made, t->dtype, t->storage->device, index->rank, index->shape, error);
  if (!code && !tensor_is_on_cpu(t)) {
    code = along_on_device(INDEX_TAKE, "gather", t, dim, &indices, &made, error);
    made.rank = rank;
    if (code)
      tensor_release(&made);
    else
      *out = made;
  } else if (!code) {
    tensor still = without_motion(t, dim, index);
    along g = {.step = step_of(t, dim), .dtype = t->dtype};
    loop l;
    loop_start(&l, index->rank, index->shape);
    loop_add(&l, &made);
    loop_add(&l, &indices);
    loop_add(&l, &still);
    loop_simplify(&l);
    loop_run(&l, LOOP_GRAIN, gather_segment, &g);
    made.rank = rank;
    *out = made;
  }
  tensor_release(&indices);
  return code;
}

/* A tensor of its own memory: what is read must not change while t is written. An index that was
 * in range could be overwritten by one that is not. */
static int apart_from(tensor *out, const tensor *t, const tensor *source, tensor_error *error) {
  if (source->storage == t->storage) return tensor_clone(out, source, error);
  tensor_share(out, source);
  return 0;
}

static void scatter_elements(const tensor *t, int dim, const tensor *indices, const tensor *source,
                             bool accumulate) {
  tensor part = *source, still = without_motion(t, dim, indices);
  for (int d = 0; d < part.rank; d++) part.shape[d] = indices->shape[d];
  along g = {.step = step_of(t, dim), .dtype = t->dtype, .accumulate = accumulate};
  loop l;
  loop_start(&l, indices->rank, indices->shape);
  loop_add(&l, indices);
  loop_add(&l, &part);
  loop_add(&l, &still);
  loop_merge(&l);
  loop_run(&l, 0, scatter_segment, &g);
}

static int scatter_on_device(const char *verb, const tensor *t, int dim, const tensor *indices,
                             const tensor *source, bool accumulate, tensor_error *error) {
  tensor part = *source;
  part.rank = indices->rank;
  for (int d = 0; d < part.rank; d++) {
    part.shape[d] = indices->shape[d];
    if (source->rank == 0) part.stride[d] = 0;
  }
  return along_on_device(accumulate ? INDEX_ADD : INDEX_PUT, verb, t, dim, indices, &part, error);
}

static int run_scatter(const char *verb, const tensor *t, int dim, const tensor *indices,
                       const tensor *source, bool accumulate, tensor_error *error) {
  tensor own = {0}, own_indices = {0}, cast = {0};
  int code = apart_from(&own, t, source, error);
  if (!code) code = apart_from(&own_indices, t, indices, error);
  if (!code) code = to_place_of(&cast, &own, t, error);
  if (!code && !tensor_is_on_cpu(t))
    code = scatter_on_device(verb, t, dim, &own_indices, &cast, accumulate, error);
  else if (!code)
    scatter_elements(t, dim, &own_indices, &cast, accumulate);
  tensor_release(&own);
  tensor_release(&own_indices);
  tensor_release(&cast);
  return code;
}

int tensor_scatter(tensor *t, int dim, const tensor *index, const tensor *source, bool accumulate,
                   tensor_error *error) {
  const char *verb = accumulate ? "scatter_add_" : "scatter_";
  tensor indices, room, index_room, source_room;
  const tensor *into = as_vector(&room, t);
  if (t->rank == 0 || source->rank > 0) source = as_vector(&source_room, source);
  index = as_vector(&index_room, index);
  int code = check_along(verb, into, dim, index, source, error);
  if (!code) code = check_written(verb, into, source, accumulate, error);
  if (!code && source->rank > 0 && source->dtype != t->dtype)
    code = refuse(verb, t, source, "the dtypes differ", error);
  if (!code) code = take_indices(&indices, verb, into, dim, index, false, error);
  if (code) return code;
  code = run_scatter(verb, into, dim, &indices, source, accumulate, error);
  tensor_release(&indices);
  return code;
}

/* ---- what is not zero -------------------------------------------------------------------------
 */

typedef struct search {
  dtype dtype; /* of the first operand */
  int64_t seen, found;
  int64_t total;   /* how many there are, once they were counted */
  int64_t *linear; /* where not NULL, receives the places that were found */
  char *to;        /* where not NULL, receives the second operand's elements */
  size_t size;
} search;

/* The element is taken every time, and stays if its place is one: nothing here is hard to predict.
 */
#define TAKE_ELEMENTS(Word)                                                                        \
  for (int64_t i = 0; i < n && s->found < s->total; i++) {                                         \
    ((Word *)s->to)[s->found] = *(const Word *)(from + i * stride);                                \
    s->found += is[i] != 0;                                                                        \
  }

static void take_elements(search *s, const uint8_t *is, const char *from, int64_t stride,
                          int64_t n) {
  switch (s->size) {
  case 1: TAKE_ELEMENTS(uint8_t) break;
  case 2: TAKE_ELEMENTS(uint16_t) break;
  case 4: TAKE_ELEMENTS(uint32_t) break;
  default: TAKE_ELEMENTS(uint64_t) break;
  }
}

static void take_places(search *s, const uint8_t *is, int64_t n) {
  for (int64_t i = 0; i < n && s->found < s->total; i++) {
    s->linear[s->found] = s->seen + i;
    s->found += is[i] != 0;
  }
}

static void count_places(search *s, const uint8_t *is, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) count += is[i] != 0;
  s->found += count;
}

static void search_segment(void *context, char *const *data, const int64_t *stride, int64_t n) {
  search *s = context;
  size_t size = dtype_size(s->dtype);
  char raw[BLOCK * 8];
  uint8_t is[BLOCK];
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t length = n - done < BLOCK ? n - done : BLOCK;
    copy_strided(raw, (int64_t)size, data[0] + done * stride[0], stride[0], length, size);
    dtype_convert(DTYPE_BOOL, is, s->dtype, raw, length);
    if (s->linear)
      take_places(s, is, length);
    else if (s->to)
      take_elements(s, is, data[1] + done * stride[1], stride[1], length);
    else
      count_places(s, is, length);
    s->seen += length;
  }
}

static void divide_place(const tensor *t, int64_t place, int64_t *at) {
  for (int d = t->rank - 1; d >= 0; d--) {
    at[d] = place % t->shape[d];
    place /= t->shape[d];
  }
}

/* The places as coordinates, one row each, in place of their numbers at the array's end. Most are
 * in the row of the one before, which saves the divisions. */
static void write_coordinates(const tensor *t, int64_t *rows, int64_t found) {
  const int64_t *linear = rows + found * (t->rank - 1);
  int64_t at[TENSOR_MAX_RANK], last = t->rank - 1, width = t->shape[last], start = -width;
  for (int64_t i = 0; i < found; i++) {
    int64_t place = linear[i];
    if (place - start >= width) {
      divide_place(t, place, at);
      start = place - at[last];
    }
    at[last] = place - start;
    for (int d = 0; d <= last; d++) rows[i * t->rank + d] = at[d];
  }
}

/* As bools, contiguous. */
static int as_flags(tensor *out, const tensor *t, tensor_error *error) {
  tensor flags;
  int code = tensor_to(&flags, t, DTYPE_BOOL, error);
  if (code) return code;
  code = tensor_contiguous(out, &flags, error);
  tensor_release(&flags);
  return code;
}

static int nonzero_on_device(tensor *out, const tensor *t, tensor_error *error) {
  tensor flags;
  int code = as_flags(&flags, t, error);
  if (code) return code;
  code = device_functions_get()->nonzero(out, &flags, error);
  tensor_release(&flags);
  return code;
}

int tensor_nonzero(tensor *out, const tensor *t, tensor_error *error) {
  if (!tensor_is_on_cpu(t)) return nonzero_on_device(out, t, error);
  search s = {.dtype = t->dtype};
  loop l;
  loop_start(&l, t->rank, t->shape);
  loop_add(&l, t);
  loop_merge(&l);
  loop_run(&l, 0, search_segment, &s);
  int64_t shape[2] = {s.found, t->rank};
  int code = tensor_empty(out, DTYPE_INT64, DEVICE_CPU, 2, shape, error);
  if (code || t->rank == 0 || s.found == 0) return code;
  int64_t *rows = tensor_data(out);
  search again = {.dtype = t->dtype, .total = s.found, .linear = rows + s.found * (t->rank - 1)};
  loop_run(&l, 0, search_segment, &again);
  write_coordinates(t, rows, s.found);
  return 0;
}

/* t broadcast to a shape, as a vector. */
static int as_long_vector(tensor *out, const tensor *t, int rank, const int64_t *shape,
                          tensor_error *error) {
  tensor wide;
  int64_t count = 1;
  for (int d = 0; d < rank; d++) count *= shape[d];
  int code = tensor_expand(&wide, t, rank, shape, error);
  if (code) return code;
  code = tensor_reshape(out, &wide, 1, &count, error);
  tensor_release(&wide);
  return code;
}

static int masked_select_on_device(tensor *out, const tensor *t, const tensor *mask, int rank,
                                   const int64_t *shape, tensor_error *error) {
  tensor here = {0}, flags = {0}, elements = {0}, places = {0}, column = {0};
  int code = tensor_to_device(&here, mask, t->storage->device, error);
  if (!code) code = as_long_vector(&flags, &here, rank, shape, error);
  if (!code) code = as_long_vector(&elements, t, rank, shape, error);
  if (!code) code = nonzero_on_device(&places, &flags, error);
  if (!code) code = tensor_select(&column, &places, 1, 0, error);
  if (!code) code = tensor_index(out, &elements, (const tensor *[]){&column}, error);
  tensor_release(&here);
  tensor_release(&flags);
  tensor_release(&elements);
  tensor_release(&places);
  tensor_release(&column);
  return code;
}

int tensor_masked_select(tensor *out, const tensor *t, const tensor *mask, tensor_error *error) {
  int rank;
  int64_t shape[TENSOR_MAX_RANK];
  if (mask->dtype != DTYPE_BOOL)
    return refuse("masked_select", t, mask, "the mask is not bool", error);
  int code = shape_broadcast("masked_select", t, mask, &rank, shape, error);
  if (code) return code;
  if (!tensor_is_on_cpu(t)) return masked_select_on_device(out, t, mask, rank, shape, error);
  if (!tensor_is_on_cpu(mask))
    return refuse("masked_select", t, mask, "the mask lies on another device; move it with to()",
                  error);
  search s = {.dtype = DTYPE_BOOL};
  loop l;
  loop_start(&l, rank, shape);
  loop_add(&l, mask);
  loop_add(&l, t);
  loop_merge(&l);
  loop_run(&l, 0, search_segment, &s);
  code = tensor_empty(out, t->dtype, DEVICE_CPU, 1, &s.found, error);
  if (code || s.found == 0) return code;
  search again = {
      .dtype = DTYPE_BOOL, .total = s.found, .to = tensor_data(out), .size = dtype_size(t->dtype)};
  loop_run(&l, 0, search_segment, &again);
  return 0;
}
