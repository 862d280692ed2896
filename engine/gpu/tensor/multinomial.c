/* multinomial.c -- from a choice by weight to launches of cuda/multinomial.cu. It waits once, to
 * learn whether the weights can be chosen by; not while a graph is captured. */
#include <stddef.h>

#include "cuda/multinomial.h"

#include "gpu/tensor/tensor.h"
#include "tensor/pending.h"
#include "tensor/sort.h"

enum { WEIGH, CHECK_ROWS, SUM_CHUNKS, CHOOSE };
enum { NONE_FIRST, ONE_FIRST, ALL_ARRIVALS };

static const gpu_source source = {"multinomial.cu",
                                  {"weigh", "check_rows", "sum_chunks", "choose", NULL}};

typedef struct variant {
  dtype in;
  int first;
} variant;

static void define(char text[GPU_PROGRAM_MACROS], const void *context) {
  const variant *v = context;
  gpu_macro(text, "IN", "%s", gpu_type_name(v->in));
  gpu_macro(text, "FIRST", "%d", v->first);
}

static int launch(gpu_device *device, const variant *v, int kernel, int64_t blocks,
                  const multinomial_arguments *a, tensor_error *error) {
  gpu_error why;
  uint64_t key = (uint64_t)v->in | (uint64_t)v->first << 4;
  if (blocks > INT32_MAX) return tensor_fail(error, TENSOR_INVALID, "too many choices at once");
  const gpu_program *program = gpu_program_get(device, &source, key, define, v, &why);
  if (!program) return gpu_tensor_fail(-1, &why, error);
  gpu_grid grid = {.blocks = {(unsigned)blocks}, .threads = MULTINOMIAL_THREADS};
  return gpu_tensor_fail(gpu_program_launch(device, program, kernel, grid, a, &why), &why, error);
}

/* What one launch leaves for the next: faults, rows, sums of chunks. */
typedef struct layout {
  size_t rows, sums, bytes;
} layout;

static layout lay_out(const multinomial_arguments *a) {
  layout l = {.rows = sizeof(multinomial_faults)};
  l.sums = l.rows + (size_t)a->rows * sizeof(multinomial_row);
  l.bytes = l.sums + (size_t)(a->rows * a->chunks) * sizeof *a->chunk_sums;
  return l;
}

/* `faults`: where they are to be noted; NULL: in the room. */
static int prepare(gpu_device *device, multinomial_arguments *a, tensor *room, void *faults,
                   tensor_error *error) {
  gpu_error why;
  layout l = lay_out(a);
  int code = gpu_scratch(room, device->ordinal, l.bytes, error);
  if (code) return code;
  char *at = tensor_data(room);
  a->faults = faults ? faults : (multinomial_faults *)(void *)at;
  a->row = (multinomial_row *)(void *)(at + l.rows);
  a->chunk_sums = (unsigned long long *)(void *)(at + l.sums);
  CUresult result =
      gpu_state_get()->driver->set8((CUdeviceptr)(uintptr_t)at, 0, l.sums, device->stream);
  return gpu_tensor_fail(gpu_check(device, result, "clear memory", &why), &why, error);
}

/* ---- refusals ---------------------------------------------------------------------------------
 */

static int refuse_weight(const multinomial_work *w, int64_t at, tensor_error *error) {
  double value = 0;
  char raw[8];
  size_t size = dtype_size(w->weights->dtype);
  size_t from = ((size_t)w->weights->offset + (size_t)at) * size;
  int code = device_functions_get()->download(raw, w->weights->storage, from, size, error);
  if (code) return code;
  dtype_convert(DTYPE_FLOAT64, &value, w->weights->dtype, raw, 1);
  return multinomial_refuse_weight(value, error);
}

/* As on the CPU: row by row, and in a row the weights first. */
static int refuse(const multinomial_work *w, const multinomial_arguments *a, const tensor *room,
                  multinomial_faults faults, tensor_error *error) {
  const device_functions *d = device_functions_get();
  int code = 0;
  int64_t at = (int64_t)~faults.weight, row = (int64_t)~faults.row;
  if (faults.weight && (!faults.row || at / a->categories <= row))
    return refuse_weight(w, at, error);
  if (!faults.row) return 0;
  unsigned long long positive;
  size_t from =
      lay_out(a).rows + (size_t)row * sizeof(multinomial_row) + offsetof(multinomial_row, positive);
  code = d->download(&positive, room->storage, from, sizeof positive, error);
  return code ? code : multinomial_refuse_row((int64_t)positive, w->n, error);
}

static int check(const multinomial_work *w, const multinomial_arguments *a, const tensor *room,
                 tensor_error *error) {
  multinomial_faults faults;
  int code = device_functions_get()->download(&faults, room->storage, 0, sizeof faults, error);
  return code ? code : refuse(w, a, room, faults, error);
}

/* ---- refusals that are put off ----------------------------------------------------------------
 * Where results may wait, so may they: many choices are asked about at once. */

enum { MOST_PUT_OFF = 64 };

static struct {
  tensor faults; /* of each of them */
  int count;
  struct {
    tensor weights, room;
    multinomial_arguments arguments;
    int64_t n;
  } choice[MOST_PUT_OFF];
} put_off;

static void forget_put_off(void) {
  for (int i = 0; i < put_off.count; i++) {
    tensor_release(&put_off.choice[i].weights);
    tensor_release(&put_off.choice[i].room);
  }
  put_off.count = 0;
  tensor_release(&put_off.faults);
}

int gpu_multinomial_check(tensor_error *error) {
  multinomial_faults faults[MOST_PUT_OFF];
  if (!error) forget_put_off();
  if (put_off.count == 0) return 0;
  int code = device_functions_get()->download(faults, put_off.faults.storage, 0,
                                              (size_t)put_off.count * sizeof *faults, error);
  for (int i = 0; i < put_off.count && !code; i++) {
    multinomial_work w = {.weights = &put_off.choice[i].weights, .n = put_off.choice[i].n};
    code = refuse(&w, &put_off.choice[i].arguments, &put_off.choice[i].room, faults[i], error);
  }
  forget_put_off();
  return code;
}

/* Where the next choice is to note its faults; NULL where it has to be asked about at once. */
static multinomial_faults *next_put_off(gpu_device *device, tensor_error *error) {
  gpu_error why;
  if (!pending_may_be_on(device->ordinal) || device->capturing) return NULL;
  bool is_elsewhere = put_off.count > 0 && put_off.faults.storage->device != device->ordinal;
  if (is_elsewhere || put_off.count == MOST_PUT_OFF) return NULL;
  if (put_off.count == 0) {
    size_t bytes = MOST_PUT_OFF * sizeof(multinomial_faults);
    if (gpu_scratch(&put_off.faults, device->ordinal, bytes, error)) return NULL;
    CUresult result = gpu_state_get()->driver->set8(
        (CUdeviceptr)(uintptr_t)tensor_data(&put_off.faults), 0, bytes, device->stream);
    if (gpu_check(device, result, "clear memory", &why)) {
      tensor_release(&put_off.faults);
      return NULL;
    }
  }
  return (multinomial_faults *)tensor_data(&put_off.faults) + put_off.count;
}

static void put_off_check(const multinomial_work *w, const multinomial_arguments *a,
                          const tensor *room) {
  int i = put_off.count++;
  tensor_share(&put_off.choice[i].weights, w->weights);
  tensor_share(&put_off.choice[i].room, room);
  put_off.choice[i].arguments = *a;
  put_off.choice[i].n = w->n;
}

/* ---- choosing ---------------------------------------------------------------------------------
 */

static int choose_with_replacement(gpu_device *device, const variant *v,
                                   const multinomial_arguments *a, tensor_error *error) {
  int code = launch(device, v, SUM_CHUNKS, a->rows * a->chunks, a, error);
  return code ? code : launch(device, v, CHOOSE, a->rows * a->n, a, error);
}

/* Of several without replacement: those that arrive first, in that order. */
static int choose_first(const multinomial_work *w, const tensor *arrivals, tensor_error *error) {
  tensor times = {0}, first = {0};
  int code = tensor_topk(&times, &first, arrivals, w->n, 1, false, error);
  if (!code) {
    tensor flat = *w->to;
    flat.rank = 2;
    flat.shape[0] = first.shape[0];
    flat.shape[1] = first.shape[1];
    flat.stride[0] = first.shape[1];
    flat.stride[1] = 1;
    code = tensor_copy(&flat, &first, error);
  }
  tensor_release(&times);
  tensor_release(&first);
  return code;
}

static multinomial_arguments arguments_of(const multinomial_work *w) {
  multinomial_arguments a = {.weights = tensor_data(w->weights),
                             .out = tensor_data(w->to),
                             .categories = w->weights->shape[w->weights->rank - 1],
                             .n = w->n,
                             .needed = w->replacement ? 1 : w->n,
                             .seed = w->from.seed,
                             .offset = w->from.offset};
  a.rows = tensor_count(w->weights) / a.categories;
  a.chunks = (a.categories + MULTINOMIAL_CHUNK - 1) / MULTINOMIAL_CHUNK;
  return a;
}

int gpu_multinomial(const multinomial_work *w, tensor_error *error) {
  const tensor *both[] = {w->to, w->weights};
  gpu_device *device = gpu_tensor_device(2, both, error);
  if (!device) return TENSOR_DEVICE;
  tensor room = {0}, arrivals = {0};
  multinomial_arguments a = arguments_of(w);
  variant v = {w->weights->dtype, w->replacement ? NONE_FIRST
                                  : w->n == 1    ? ONE_FIRST
                                                 : ALL_ARRIVALS};
  multinomial_faults *faults = next_put_off(device, error);
  int code = prepare(device, &a, &room, faults, error);
  if (!code && v.first == ALL_ARRIVALS) {
    int64_t shape[2] = {a.rows, a.categories};
    code = tensor_empty(&arrivals, DTYPE_FLOAT32, device->ordinal, 2, shape, error);
    if (!code) a.arrivals = tensor_data(&arrivals);
  }
  int64_t row_blocks = (a.rows + MULTINOMIAL_THREADS - 1) / MULTINOMIAL_THREADS;
  if (!code) code = launch(device, &v, WEIGH, a.rows * a.chunks, &a, error);
  if (!code) code = launch(device, &v, CHECK_ROWS, row_blocks, &a, error);
  if (!code && w->replacement) code = choose_with_replacement(device, &v, &a, error);
  if (!code && faults)
    put_off_check(w, &a, &room);
  else if (!code && !device->capturing)
    code = check(w, &a, &room, error);
  if (!code && v.first == ALL_ARRIVALS) code = choose_first(w, &arrivals, error);
  tensor_release(&room);
  tensor_release(&arrivals);
  return code;
}
