/* Random choices: permutations, and categories by weight. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/philox.h"
#include "tensor/random.h"
#include "tensor/sort.h"
#include "tensor/sortkeys.h"

static int no_memory(int64_t n, tensor_error *error) {
  return tensor_fail(error, TENSOR_NO_MEMORY, "cannot choose among %lld: out of memory",
                     (long long)n);
}

/* ---- permutations ---------------------------------------------------------------------------- */

/* Sorting by 64-bit keys of which hardly two are ever equal puts all orders on a par, and gives the
 * same one wherever it is done. */
static void shuffle(int64_t *order, int64_t n, const generator *g, sort_entry *entries) {
  for (int64_t i = 0; i < n; i++) {
    philox_block block = philox_draw(g->seed, g->offset, (uint64_t)i / 2, 0);
    entries[i] = (sort_entry){philox_word64(block, (int)(i % 2)), i};
  }
  sort_entries(entries, entries + n, n);
  for (int64_t i = 0; i < n; i++) order[i] = entries[i].index;
}

/* By the same keys, sorted where they are made. */
static int permute_on_device(tensor *out, generator *g, int64_t n, dtype dtype, int device,
                             tensor_error *error) {
  tensor keys = {0}, sorted = {0}, order = {0};
  int err = tensor_empty(&keys, DTYPE_INT64, device, 1, &n, error);
  draw_work work = {.kind = DRAW_KEYS, .into = &keys, .from = *g};
  if (!err && n > 0) err = device_functions_get()->draw(&work, error);
  if (!err) err = tensor_sort(&sorted, &order, &keys, 0, false, error);
  if (!err) err = tensor_to(out, &order, dtype, error);
  tensor_release(&keys);
  tensor_release(&sorted);
  tensor_release(&order);
  if (!err) g->offset++;
  return err;
}

int random_permutation(tensor *out, generator *g, int64_t n, dtype dtype, int device,
                       tensor_error *error) {
  if (device != DEVICE_CPU) return permute_on_device(out, g, n, dtype, device, error);
  tensor order = {0};
  int err = tensor_empty(&order, DTYPE_INT64, DEVICE_CPU, 1, &n, error);
  if (err) return err;
  sort_entry *entries = malloc(2 * (size_t)(n + 1) * sizeof *entries);
  if (entries) {
    shuffle(tensor_data(&order), n, g, entries);
    free(entries);
    err = tensor_to(out, &order, dtype, error);
  } else {
    err = no_memory(n, error);
  }
  tensor_release(&order);
  if (!err) g->offset++;
  return err;
}

/* ---- categories by weight -------------------------------------------------------------------- */

#define MOST_CATEGORIES ((int64_t)1 << 24) /* so that integer weights add up within 64 bits */

typedef struct choice {
  generator from;
  const tensor *weights; /* float64 [rows, categories], contiguous */
  int64_t *out;          /* [rows, n] */
  int64_t n, categories;
  bool replacement;
  atomic_bool out_of_memory;
} choice;

/* A weight as an integer: the larger of 1 and its part of the row's largest in units of 2^-40.
 * Integers add up to the same whatever the order, and so on every device. */
static uint64_t integer_weight(double weight, double largest) {
  uint64_t scaled = (uint64_t)(weight / largest * 0x1p40);
  return weight > 0 && scaled == 0 ? 1 : scaled;
}

static void sum_weights(uint64_t *sums, const double *weights, int64_t n) {
  double largest = 0;
  uint64_t sum = 0;
  for (int64_t i = 0; i < n; i++) largest = weights[i] > largest ? weights[i] : largest;
  for (int64_t i = 0; i < n; i++) sums[i] = sum += integer_weight(weights[i], largest);
}

/* The first category whose sum is above `number`. */
static int64_t category_of(uint64_t number, const uint64_t *sums, int64_t n) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (sums[middle] > number)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static void choose_with_replacement(const choice *c, int64_t row, void *room) {
  uint64_t *sums = room;
  sum_weights(sums, (const double *)tensor_data(c->weights) + row * c->categories, c->categories);
  for (int64_t i = row * c->n; i < (row + 1) * c->n; i++) {
    uint64_t number =
        philox_below(c->from.seed, c->from.offset, (uint64_t)i, sums[c->categories - 1]);
    c->out[i] = category_of(number, sums, c->categories);
  }
}

enum { PIECE = 256 }; /* categories looked at at a time; a multiple of 4 */

/* When the categories from number `first` of a row on arrive: after exponential numbers over their
 * weights, those without weight never. */
static void arrivals(sort_entry *piece, const choice *c, int64_t row, int64_t first, int64_t n) {
  const double *weights = (const double *)tensor_data(c->weights) + row * c->categories;
  philox_block block = {{0}};
  for (int64_t i = first; i < first + n; i++) {
    uint64_t at = (uint64_t)(row * c->categories + i);
    if (i == first || at % 4 == 0) block = philox_draw(c->from.seed, c->from.offset, at / 4, 0);
    float arrival = weights[i] > 0
                        ? PHILOX_DIV(philox_exponential(block.word[at % 4]), (float)weights[i])
                        : INFINITY;
    piece[i - first] = (sort_entry){philox_bits(arrival), i};
  }
}

/* The first to arrive is i with probability weight i over the sum, and so on among the rest. */
static void choose_without(const choice *c, int64_t row, void *room) {
  sort_entry piece[PIECE];
  sort_first first;
  sort_first_begin(&first, room, c->n);
  for (int64_t i = 0; i < c->categories; i += PIECE) {
    int64_t n = c->categories - i < PIECE ? c->categories - i : PIECE;
    arrivals(piece, c, row, i, n);
    sort_first_add(&first, piece, n);
  }
  sort_first_end(&first);
  for (int64_t i = 0; i < c->n; i++) c->out[row * c->n + i] = first.entries[i].index;
}

int multinomial_refuse_weight(double weight, tensor_error *error) {
  return tensor_fail(error, TENSOR_INVALID,
                     "cannot choose by a weight of %g (they must be finite, 0 or more)", weight);
}

int multinomial_refuse_row(int64_t positive, int64_t n, tensor_error *error) {
  if (positive == 0)
    return tensor_fail(error, TENSOR_INVALID, "cannot choose by weights that are all 0");
  return tensor_fail(error, TENSOR_INVALID,
                     "cannot choose %lld of %lld categories of positive weight", (long long)n,
                     (long long)positive);
}

static int check_weights(const choice *c, int64_t row, tensor_error *error) {
  const double *weights = (const double *)tensor_data(c->weights) + row * c->categories;
  int64_t positive = 0;
  for (int64_t i = 0; i < c->categories; i++) {
    if (!(weights[i] >= 0) || isinf(weights[i]))
      return multinomial_refuse_weight(weights[i], error);
    positive += weights[i] > 0;
  }
  bool enough = positive > 0 && (c->replacement || positive >= c->n);
  return enough ? 0 : multinomial_refuse_row(positive, c->n, error);
}

static void choose_some(void *context, int64_t begin, int64_t end) {
  choice *c = context;
  size_t room = c->replacement ? (size_t)c->categories * sizeof(uint64_t)
                               : (size_t)sort_first_room(c->n) * sizeof(sort_entry);
  void *memory = malloc(room);
  if (!memory) atomic_store(&c->out_of_memory, true);
  for (int64_t row = begin; memory && row < end; row++) {
    if (c->replacement)
      choose_with_replacement(c, row, memory);
    else
      choose_without(c, row, memory);
  }
  free(memory);
}

static int choose(choice *c, int64_t rows, tensor_error *error) {
  for (int64_t row = 0; row < rows; row++) {
    int err = check_weights(c, row, error);
    if (err) return err;
  }
  parallel_for(rows, 1 + 16384 / c->categories, choose_some, c);
  return atomic_load(&c->out_of_memory) ? no_memory(c->categories, error) : 0;
}

static int check_choice(const tensor *weights, int64_t n, bool replacement, tensor_error *error) {
  char text[TENSOR_TEXT];
  if (!dtype_is_float(weights->dtype) || weights->rank < 1 || weights->rank > 2)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot choose by %s (weights are floats of 1 or 2 dimensions)",
                       tensor_describe(weights, text));
  int64_t categories = weights->shape[weights->rank - 1];
  if (n < 1) return tensor_fail(error, TENSOR_INVALID, "cannot choose %lld", (long long)n);
  if (categories < 1 || categories > MOST_CATEGORIES)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot choose among %lld categories (1 to 2^24 can be)",
                       (long long)categories);
  if (!replacement && n > categories)
    return tensor_fail(error, TENSOR_INVALID,
                       "cannot choose %lld of %lld categories without replacement", (long long)n,
                       (long long)categories);
  return 0;
}

static int choose_rows(tensor *out, generator *g, const tensor *weights, int64_t n,
                       bool replacement, tensor_error *error) {
  int64_t shape[2] = {weights->rank == 2 ? weights->shape[0] : n, n};
  tensor chosen = {0};
  int err = tensor_empty(&chosen, DTYPE_INT64, DEVICE_CPU, weights->rank, shape, error);
  if (err) return err;
  choice c = {*g,          weights, tensor_data(&chosen), n, weights->shape[weights->rank - 1],
              replacement, false};
  err = choose(&c, weights->rank == 2 ? weights->shape[0] : 1, error);
  if (err) {
    tensor_release(&chosen);
    return err;
  }
  g->offset++;
  *out = chosen;
  return 0;
}

static int choose_on_device(tensor *out, generator *g, const tensor *weights, int64_t n,
                            bool replacement, tensor_error *error) {
  int64_t shape[2] = {weights->rank == 2 ? weights->shape[0] : n, n};
  tensor whole = {0}, chosen = {0};
  int err = tensor_contiguous(&whole, weights, error);
  if (!err)
    err = tensor_empty(&chosen, DTYPE_INT64, weights->storage->device, weights->rank, shape, error);
  multinomial_work work = {&chosen, &whole, n, replacement, *g};
  if (!err && tensor_count(&chosen) > 0) err = device_functions_get()->multinomial(&work, error);
  tensor_release(&whole);
  if (err) {
    tensor_release(&chosen);
    return err;
  }
  g->offset++;
  *out = chosen;
  return 0;
}

int random_multinomial(tensor *out, generator *g, const tensor *weights, int64_t n,
                       bool replacement, tensor_error *error) {
  tensor wide = {0}, whole = {0};
  int err = check_choice(weights, n, replacement, error);
  if (!err && !tensor_is_on_cpu(weights))
    return choose_on_device(out, g, weights, n, replacement, error);
  if (!err) err = tensor_to(&wide, weights, DTYPE_FLOAT64, error);
  if (!err) err = tensor_contiguous(&whole, &wide, error);
  if (!err) err = choose_rows(out, g, &whole, n, replacement, error);
  tensor_release(&wide);
  tensor_release(&whole);
  return err;
}
