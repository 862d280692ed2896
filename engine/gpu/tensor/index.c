/* index.c -- from elements named by tensors of indices to launches of cuda/index.cu and
 * cuda/index_add.cu. */
#include "cuda/index.h"

#include "gpu/tensor/fault.h"
#include "gpu/tensor/sort.h"
#include "gpu/tensor/tensor.h"

enum { THREADS = 256, STEPS = 4, MOST_BYTES = 16 /* that one instruction loads */ };
enum { TAKE, PUT };
enum { PLACES, ADD_SORTED, ADD_ATOMIC };
enum { PART, WHOLE, FIRST_INDEX }; /* operands of a loop */

static const gpu_source moves = {"index.cu", {"index_take", "index_put", NULL}};
static const gpu_source additions = {
    "index_add.cu", {"index_places", "index_add_sorted", "index_add_atomic", NULL}};

/* What a program is made for. */
typedef struct variant {
  size_t word; /* bytes that are moved at once */
  dtype type;  /* of what is added */
  bool is_wide;
} variant;

static void define_word(char text[GPU_PROGRAM_MACROS], const void *context) {
  static const char *const words[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t", "quad"};
  const variant *v = context;
  size_t bytes = v->word;
  gpu_macro(text, "WIDE", "%d", v->is_wide);
  gpu_macro(text, "WORD", "%s", bytes == 16 ? words[4] : words[size_index(bytes)]);
}

static bool is_added_atomically(dtype d) {
  return d == DTYPE_INT32 || d == DTYPE_INT64;
}

static void define_type(char text[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  dtype d = v->type;
  gpu_macro(text, "WIDE", "%d", v->is_wide);
  gpu_macro(text, "TYPE", "%s", gpu_type_name(d));
  if (is_added_atomically(d))
    gpu_macro(text, "ATOMIC", "%s", d == DTYPE_INT64 ? "uint64_t" : "uint32_t");
}

static int launch(gpu_device *device, const gpu_program *program, int kernel, int64_t count,
                  int per_block, const void *arguments, tensor_error *error) {
  gpu_error why;
  int64_t blocks = (count + per_block - 1) / per_block;
  if (!program) return TENSOR_DEVICE;
  if (blocks > INT32_MAX)
    return tensor_fail(error, TENSOR_INVALID, "too many elements for one launch");
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = THREADS};
  int failed = gpu_program_launch(device, program, kernel, grid, arguments, &why);
  return gpu_tensor_fail(failed, &why, error);
}

static const gpu_program *find_program(gpu_device *device, const gpu_source *source, uint64_t key,
                                       gpu_define *define, const void *context,
                                       tensor_error *error) {
  gpu_error why;
  const gpu_program *program = gpu_program_get(device, source, key, define, context, &why);
  if (!program) gpu_tensor_fail(-1, &why, error);
  return program;
}

/* ---- loops over places ------------------------------------------------------------------------
 */

static void add_operands(loop *l, const index_work *w) {
  loop_add(l, &w->part);
  loop_add(l, &w->whole);
  for (int k = 0; k < w->indices; k++) loop_add(l, &w->at[k].index);
}

/* May everything be moved in words of so many bytes? */
static bool takes_words(const loop *l, const index_work *w, int64_t bytes) {
  int inner = l->rank - 1;
  int64_t size = (int64_t)dtype_size(w->part.dtype), bits = l->shape[inner] * size;
  for (int k = 0; k < w->indices; k++) {
    if (l->operand[FIRST_INDEX + k].stride[inner] != 0) return false;
    bits |= w->at[k].step * size;
  }
  for (int k = PART; k <= WHOLE; k++) {
    if (l->operand[k].stride[inner] != size) return false;
    bits |= (int64_t)(uintptr_t)l->operand[k].data;
    for (int d = 0; d < inner; d++) bits |= l->operand[k].stride[d];
  }
  return bits % bytes == 0;
}

static int64_t choose_word(const loop *l, const index_work *w) {
  int64_t size = (int64_t)dtype_size(w->part.dtype), bytes = l->rank > 0 ? MOST_BYTES : size;
  while (bytes > size && !takes_words(l, w, bytes)) bytes /= 2;
  return bytes;
}

static void set_strides(int64_t stride[STRIDED_RANK], const loop *l, int k, int64_t size,
                        int64_t items) {
  for (int d = 0; d < l->rank; d++)
    stride[d] = l->operand[k].stride[d] / size / (d == l->rank - 1 ? 1 : items);
}

static int set_arguments(index_arguments *a, gpu_device *device, const index_work *w, const loop *l,
                         int64_t word, tensor_error *error) {
  int64_t size = (int64_t)dtype_size(w->part.dtype), items = word / size;
  *a = (index_arguments){.count = loop_count(l) / items,
                         .shape = gpu_strided_shape(l, (int)items),
                         .indices = w->indices,
                         .negative = w->negative,
                         .part = l->operand[PART].data,
                         .whole = l->operand[WHOLE].data};
  set_strides(a->part_stride, l, PART, size, items);
  set_strides(a->whole_stride, l, WHOLE, size, items);
  for (int k = 0; k < w->indices; k++) {
    a->at[k] = (index_operand){.data = (const int64_t *)l->operand[FIRST_INDEX + k].data,
                               .size = w->at[k].size,
                               .step = w->at[k].step / items,
                               .dim = w->at[k].dim};
    set_strides(a->at[k].stride, l, FIRST_INDEX + k, sizeof(int64_t), 1);
  }
  return gpu_fault_site(&a->site, device, w->verb, w->t, error);
}

/* How many blocks a row is worth, where at least half of their threads find work; else 0. */
static int64_t blocks_in_row(const index_arguments *a) {
  int64_t length = a->shape.size[a->shape.rank - 1], each = THREADS * STEPS;
  int64_t blocks = (length + each - 1) / each;
  return a->count > 0 && 2 * length >= blocks * each && blocks < INT32_MAX ? blocks : 0;
}

static int move(gpu_device *device, const index_work *w, tensor_error *error) {
  loop l;
  index_arguments a;
  loop_start(&l, w->part.rank, w->part.shape);
  add_operands(&l, w);
  loop_simplify(&l);
  size_t word = (size_t)choose_word(&l, w);
  variant v = {.word = word, .is_wide = loop_count(&l) > INT32_MAX};
  int code = set_arguments(&a, device, w, &l, (int64_t)word, error);
  if (code) return code;
  const gpu_program *program =
      find_program(device, &moves, word | (uint64_t)v.is_wide << 8, define_word, &v, error);
  int64_t count = a.count;
  a.row_blocks = blocks_in_row(&a);
  if (a.row_blocks)
    count = a.count / a.shape.size[a.shape.rank - 1] * a.row_blocks * THREADS * STEPS;
  return launch(device, program, w->what == INDEX_TAKE ? TAKE : PUT, count, THREADS * STEPS, &a,
                error);
}

/* ---- adding -----------------------------------------------------------------------------------
 */

static int add_atomically(gpu_device *device, const gpu_program *program, const index_work *w,
                          tensor_error *error) {
  loop l;
  index_arguments a;
  loop_start(&l, w->part.rank, w->part.shape);
  add_operands(&l, w);
  loop_simplify(&l);
  int code = set_arguments(&a, device, w, &l, (int64_t)dtype_size(w->part.dtype), error);
  return code ? code : launch(device, program, ADD_ATOMIC, a.count, THREADS, &a, error);
}

/* The dimensions in which places differ, and those in which the elements of a place do: where no
 * index moves, and the elements in `whole` are not the same ones. */
static void part_dimensions(loop *places, loop *rest, const index_work *w) {
  loop all;
  loop_start(&all, w->part.rank, w->part.shape);
  add_operands(&all, w);
  *places = *rest = all;
  places->rank = rest->rank = 0;
  for (int d = 0; d < all.rank; d++) {
    bool moves_place = all.operand[WHOLE].stride[d] == 0;
    for (int k = 0; k < w->indices; k++) moves_place |= all.operand[FIRST_INDEX + k].stride[d] != 0;
    loop *l = moves_place ? places : rest;
    l->shape[l->rank] = all.shape[d];
    for (int k = 0; k < all.operands; k++) l->operand[k].stride[l->rank] = all.operand[k].stride[d];
    l->rank++;
  }
  loop_merge(places); /* in order */
  rest->operands = FIRST_INDEX;
  loop_simplify(rest);
}

/* Where in `whole` each place begins, in `at`; a number above all of them for those out of range.
 */
static int find_places(gpu_device *device, const gpu_program *program, const index_work *w,
                       const loop *places, const tensor *at, int64_t *none, tensor_error *error) {
  index_arguments a;
  int64_t size = (int64_t)dtype_size(w->part.dtype);
  int code = set_arguments(&a, device, w, places, size, error);
  if (code) return code;
  a.part = tensor_data(at);
  for (int d = 0; d < places->rank; d++) a.none += (places->shape[d] - 1) * a.whole_stride[d];
  for (int k = 0; k < w->indices; k++) a.none += w->at[k].size * w->at[k].step;
  *none = ++a.none;
  return launch(device, program, PLACES, a.count, THREADS, &a, error);
}

static int add_in_order(gpu_device *device, const gpu_program *program, const index_work *w,
                        const loop *places, const loop *rest, const tensor *at, const tensor *order,
                        int64_t none, tensor_error *error) {
  int64_t size = (int64_t)dtype_size(w->part.dtype);
  index_add_arguments a = {.places = loop_count(places),
                           .rest = loop_count(rest),
                           .at = tensor_data(at),
                           .order = tensor_data(order),
                           .none = none,
                           .whole = places->operand[WHOLE].data,
                           .part = places->operand[PART].data,
                           .place_shape = gpu_strided_shape(places, 1),
                           .rest_shape = gpu_strided_shape(rest, 1)};
  set_strides(a.part_place_stride, places, PART, size, 1);
  set_strides(a.part_rest_stride, rest, PART, size, 1);
  set_strides(a.whole_rest_stride, rest, WHOLE, size, 1);
  return launch(device, program, ADD_SORTED, a.places * a.rest, THREADS, &a, error);
}

static int bits_of(int64_t number) {
  int bits = 1;
  while (bits < 63 && number >> bits) bits++;
  return bits;
}

static int add_sorted(gpu_device *device, const gpu_program *program, const index_work *w,
                      tensor_error *error) {
  loop places, rest;
  tensor at = {0}, sorted = {0}, order = {0};
  int64_t none, ordinal = device->ordinal;
  part_dimensions(&places, &rest, w);
  int64_t count = loop_count(&places);
  int code = tensor_empty(&at, DTYPE_INT64, (int)ordinal, 1, &count, error);
  if (!code) code = tensor_empty(&sorted, DTYPE_INT64, (int)ordinal, 1, &count, error);
  if (!code) code = tensor_empty(&order, DTYPE_INT64, (int)ordinal, 1, &count, error);
  if (!code) code = find_places(device, program, w, &places, &at, &none, error);
  if (!code) code = gpu_sort_numbers(device, &sorted, &order, &at, bits_of(none), error);
  if (!code) code = add_in_order(device, program, w, &places, &rest, &sorted, &order, none, error);
  tensor_release(&at);
  tensor_release(&sorted);
  tensor_release(&order);
  return code;
}

static int add(gpu_device *device, const index_work *w, tensor_error *error) {
  dtype d = w->part.dtype;
  variant v = {.type = d, .is_wide = tensor_count(&w->part) > INT32_MAX};
  const gpu_program *program =
      find_program(device, &additions, d | (uint64_t)v.is_wide << 8, define_type, &v, error);
  if (!program) return TENSOR_DEVICE;
  return is_added_atomically(d) ? add_atomically(device, program, w, error)
                                : add_sorted(device, program, w, error);
}

int gpu_index(const index_work *w, tensor_error *error) {
  const tensor *all[2 + TENSOR_MAX_RANK] = {&w->part, &w->whole};
  for (int k = 0; k < w->indices; k++) all[2 + k] = &w->at[k].index;
  gpu_device *device = gpu_tensor_device(2 + w->indices, all, error);
  if (!device) return TENSOR_DEVICE;
  if (tensor_count(&w->part) == 0) return 0;
  return w->what == INDEX_ADD ? add(device, w, error) : move(device, w, error);
}
