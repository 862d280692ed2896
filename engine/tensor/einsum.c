/* Einstein's sums, as products of batches of matrices from left to right. */
#include <string.h>

#include "tensor/elementwise.h"
#include "tensor/linalg.h"

enum {
  ELLIPSIS = 52,
  LABELS = ELLIPSIS + TENSOR_MAX_RANK,
  MOST_OPERANDS = 16,
  MOST_SUBSCRIPTS = TENSOR_MAX_RANK + 1 /* of a tensor, and "..." that stands for nothing */
};

/* An operand whose dimensions are named by different labels: letters, then those of "...", which
 * are numbered from its left end. */
typedef struct term {
  tensor tensor;
  int labels[TENSOR_MAX_RANK];
} term;

typedef struct sum {
  const char *equation;
  int n;
  term terms[MOST_OPERANDS];
  int64_t sizes[LABELS]; /* 0: not seen */
  int uses[LABELS];      /* of letters, in the terms as written */
  int ellipsis;          /* the most dimensions that an operand's "..." stands for */
  int output[TENSOR_MAX_RANK], output_rank;
} sum;

static int complain(const sum *s, const char *why, tensor_error *error) {
  return tensor_fail(error, TENSOR_INVALID, "cannot sum \"%.80s\": %s", s->equation, why);
}

/* ---- reading the equation -------------------------------------------------------------------- */

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int label_of(char letter) {
  return letter >= 'a' ? letter - 'a' + 26 : letter - 'A'; /* 'A' sorts first */
}

/* A part of the equation between commas or arrow: its labels; "..." is ELLIPSIS. */
typedef struct subscripts {
  int labels[MOST_SUBSCRIPTS], count;
  bool ellipsis;
} subscripts;

/* false for what is no subscript */
static bool read_subscripts(subscripts *out, const char *p, const char *end) {
  *out = (subscripts){.count = 0};
  while (p < end) {
    if (*p == ' ') {
      p++;
      continue;
    }
    if (out->count == MOST_SUBSCRIPTS) return false;
    if (is_letter(*p)) {
      out->labels[out->count++] = label_of(*p++);
    } else if (end - p >= 3 && memcmp(p, "...", 3) == 0 && !out->ellipsis) {
      out->labels[out->count++] = ELLIPSIS;
      out->ellipsis = true;
      p += 3;
    } else {
      return false;
    }
  }
  return true;
}

static const char *find_end(const char *p, const char *end) {
  const char *comma = memchr(p, ',', (size_t)(end - p));
  return comma ? comma : end;
}

/* ---- operands: one label a dimension --------------------------------------------------------- */

static int append_dimension(sum *s, term *t, int label, int64_t size, int64_t stride,
                            tensor_error *error) {
  for (int d = 0; d < t->tensor.rank; d++) {
    if (t->labels[d] != label) continue;
    if (t->tensor.shape[d] != size)
      return complain(s, "a repeated subscript has dimensions of different sizes", error);
    t->tensor.stride[d] += stride; /* the diagonal */
    return 0;
  }
  t->labels[t->tensor.rank] = label;
  t->tensor.shape[t->tensor.rank] = size;
  t->tensor.stride[t->tensor.rank++] = stride;
  return 0;
}

static int note_size(sum *s, int label, int64_t size, tensor_error *error) {
  int64_t known = s->sizes[label];
  if (s->uses[label]++ && known != 1 && size != 1 && known != size)
    return complain(s, "the sizes of a subscript do not broadcast", error);
  if (s->uses[label] == 1 || size != 1) s->sizes[label] = size;
  return 0;
}

/* Name the operand's dimensions; those of "..." are aligned at its right end. */
static int read_term(sum *s, term *t, const subscripts *given, const tensor *operand,
                     tensor_error *error) {
  int own = operand->rank - (given->count - given->ellipsis), from = 0;
  if (own < 0 || (own > 0 && !given->ellipsis))
    return complain(s, "an operand has not as many dimensions as subscripts", error);
  tensor_share(&t->tensor, operand);
  t->tensor.rank = 0;
  int err = 0;
  for (int i = 0; i < given->count && !err; i++) {
    int times = given->labels[i] == ELLIPSIS ? own : 1;
    for (int j = 0; j < times && !err; j++, from++) {
      int label = given->labels[i];
      if (label == ELLIPSIS) label += s->ellipsis - own + j;
      err = append_dimension(s, t, label, operand->shape[from], operand->stride[from], error);
      if (!err) err = note_size(s, label, operand->shape[from], error);
    }
  }
  return err;
}

/* A dimension of size 1 that others make larger is left out: products repeat it by themselves. */
static void drop_ones(const sum *s, term *t) {
  int kept = 0;
  for (int d = 0; d < t->tensor.rank; d++) {
    if (t->tensor.shape[d] == 1 && s->sizes[t->labels[d]] != 1) continue;
    t->labels[kept] = t->labels[d];
    t->tensor.shape[kept] = t->tensor.shape[d];
    t->tensor.stride[kept++] = t->tensor.stride[d];
  }
  t->tensor.rank = kept;
}

static int read_operands(sum *s, const char *end, const tensor *const *operands,
                         tensor_error *error) {
  subscripts given[MOST_OPERANDS];
  const char *p = s->equation;
  for (int i = 0; i < s->n; i++) {
    const char *part = find_end(p, end);
    if (!read_subscripts(&given[i], p, part))
      return complain(s, "subscripts are letters and at most one \"...\" an operand", error);
    if ((part == end) != (i == s->n - 1))
      return complain(s, "there are not as many subscripts as operands", error);
    int own = operands[i]->rank - (given[i].count - given[i].ellipsis);
    if (given[i].ellipsis && own > s->ellipsis) s->ellipsis = own;
    p = part + 1;
  }
  int err = 0;
  for (int i = 0; i < s->n && !err; i++)
    err = read_term(s, &s->terms[i], &given[i], operands[i], error);
  for (int i = 0; i < s->n && !err; i++) drop_ones(s, &s->terms[i]);
  return err;
}

/* ---- the output ------------------------------------------------------------------------------ */

static int append_output(sum *s, int label, tensor_error *error) {
  if (s->output_rank == TENSOR_MAX_RANK)
    return complain(s, "the result has more than 8 dimensions", error);
  for (int i = 0; i < s->output_rank; i++)
    if (s->output[i] == label) return complain(s, "the output repeats a subscript", error);
  if (s->uses[label] == 0) return complain(s, "the output has a subscript of no operand", error);
  s->output[s->output_rank++] = label;
  return 0;
}

static int append_ellipsis(sum *s, tensor_error *error) {
  int err = 0;
  for (int i = 0; i < s->ellipsis && !err; i++) err = append_output(s, ELLIPSIS + i, error);
  return err;
}

static int read_output(sum *s, const char *p, tensor_error *error) {
  subscripts given;
  if (!read_subscripts(&given, p, p + strlen(p)))
    return complain(s, "the output's subscripts are letters and at most one \"...\"", error);
  int err = 0;
  for (int i = 0; i < given.count && !err; i++)
    err = given.labels[i] == ELLIPSIS ? append_ellipsis(s, error)
                                      : append_output(s, given.labels[i], error);
  return err;
}

/* Without an arrow: "...", then the letters that are written once, in the order of the alphabet. */
static int imply_output(sum *s, tensor_error *error) {
  int err = append_ellipsis(s, error);
  for (int label = 0; label < ELLIPSIS && !err; label++)
    if (s->uses[label] == 1) err = append_output(s, label, error);
  return err;
}

static int read_equation(sum *s, const tensor *const *operands, tensor_error *error) {
  const char *arrow = strstr(s->equation, "->");
  const char *end = arrow ? arrow : s->equation + strlen(s->equation);
  int err = read_operands(s, end, operands, error);
  if (err) return err;
  return arrow ? read_output(s, arrow + 2, error) : imply_output(s, error);
}

/* ---- summing --------------------------------------------------------------------------------- */

static bool has(const int *labels, int n, int label) {
  for (int i = 0; i < n; i++)
    if (labels[i] == label) return true;
  return false;
}

static bool term_has(const term *t, int label) {
  return has(t->labels, t->tensor.rank, label);
}

/* Is the label still needed after term number `done`? */
static bool is_needed(const sum *s, int done, int label) {
  bool needed = has(s->output, s->output_rank, label);
  for (int i = done + 1; i < s->n && !needed; i++) needed = term_has(&s->terms[i], label);
  return needed;
}

/* Labels in groups, one behind the other: [both kept, one side kept, summed]. */
typedef struct groups {
  int labels[3][TENSOR_MAX_RANK], count[3];
  int64_t size[3];
} groups;

static void group(groups *g, int which, const term *t, int d) {
  g->labels[which][g->count[which]++] = t->labels[d];
  g->size[which] *= t->tensor.shape[d];
}

enum { BATCH, OWN, SUMMED };

static groups group_labels(const sum *s, int done, const term *t, const term *other) {
  groups g = {.size = {1, 1, 1}};
  for (int d = 0; d < t->tensor.rank; d++) {
    bool shared = term_has(other, t->labels[d]);
    bool kept = is_needed(s, done, t->labels[d]);
    group(&g, shared && kept ? BATCH : shared ? SUMMED : OWN, t, d);
  }
  return g;
}

static int dimension_of(const term *t, int label) {
  int d = 0;
  while (t->labels[d] != label) d++;
  return d;
}

/* The term as a batch of matrices [batch, x, y], its dimensions in the groups' order. */
static int as_matrices(tensor *out, const term *t, const groups *g, const int arrangement[3],
                       tensor_error *error) {
  int order[TENSOR_MAX_RANK], n = 0;
  int64_t shape[3];
  for (int i = 0; i < 3; i++) {
    int which = arrangement[i];
    shape[i] = g->size[which];
    for (int j = 0; j < g->count[which]; j++) order[n++] = dimension_of(t, g->labels[which][j]);
  }
  tensor permuted = {0};
  int err = tensor_permute(&permuted, &t->tensor, order, error);
  if (!err) err = tensor_reshape(out, &permuted, 3, shape, error);
  tensor_release(&permuted);
  return err;
}

/* Name the dimensions of a product [batch, rows, columns] again. */
static int name_product(const sum *s, term *out, const tensor *product, const groups *a,
                        const groups *b, tensor_error *error) {
  int64_t shape[TENSOR_MAX_RANK];
  int rank = a->count[BATCH] + a->count[OWN] + b->count[OWN], n = 0;
  if (rank > TENSOR_MAX_RANK)
    return complain(s, "a product on the way has more than 8 dimensions", error);
  const struct {
    const groups *g;
    int which;
  } parts[3] = {{a, BATCH}, {a, OWN}, {b, OWN}};
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < parts[i].g->count[parts[i].which]; j++)
      out->labels[n++] = parts[i].g->labels[parts[i].which][j];
  for (int d = 0; d < rank; d++) shape[d] = s->sizes[out->labels[d]];
  return tensor_view(&out->tensor, product, rank, shape, error);
}

/* *a becomes the product of itself and *b; of labels that both have, those are summed over that are
 * not needed after term number `done`. */
static int multiply_term(const sum *s, int done, term *a, const term *b, tensor_error *error) {
  static const int left_order[3] = {BATCH, OWN, SUMMED}, right_order[3] = {BATCH, SUMMED, OWN};
  groups left = group_labels(s, done, a, b), right = group_labels(s, done, b, a);
  /* Both sides take the labels that they share in the first one's order. */
  memcpy(right.labels[BATCH], left.labels[BATCH], sizeof left.labels[BATCH]);
  memcpy(right.labels[SUMMED], left.labels[SUMMED], sizeof left.labels[SUMMED]);
  term result = {0};
  tensor x = {0}, y = {0}, product = {0};
  int err = as_matrices(&x, a, &left, left_order, error);
  if (!err) err = as_matrices(&y, b, &right, right_order, error);
  if (!err) err = tensor_bmm(&product, &x, &y, error);
  if (!err) err = name_product(s, &result, &product, &left, &right, error);
  tensor_release(&x);
  tensor_release(&y);
  tensor_release(&product);
  if (err) return err;
  tensor_release(&a->tensor);
  *a = result;
  return 0;
}

/* A tensor of ones that takes no memory to speak of: all its elements are one. */
static int make_one(tensor *out, const tensor *like, tensor_error *error) {
  scalar one;
  int err = tensor_empty(out, like->dtype, like->storage->device, 0, NULL, error);
  return err ? err : tensor_fill(out, scalar_integer(&one, 1), error);
}

/* Sum over the labels that neither `other` nor anything after term number `done` has, by a product
 * with ones. */
static int sum_out(const sum *s, int done, term *t, const term *other, tensor_error *error) {
  term ones = {0};
  int err = make_one(&ones.tensor, &t->tensor, error);
  for (int d = 0; d < t->tensor.rank && !err; d++) {
    int label = t->labels[d];
    if (is_needed(s, done, label) || (other && term_has(other, label))) continue;
    ones.labels[ones.tensor.rank] = label;
    ones.tensor.shape[ones.tensor.rank] = t->tensor.shape[d];
    ones.tensor.stride[ones.tensor.rank++] = 0;
  }
  if (!err && ones.tensor.rank > 0) err = multiply_term(s, done, t, &ones, error);
  tensor_release(&ones.tensor);
  return err;
}

static int multiply_all(sum *s, tensor_error *error) {
  term *product = &s->terms[0];
  int err = s->n == 1 ? sum_out(s, 0, product, NULL, error) : 0;
  for (int i = 1; i < s->n && !err; i++) {
    err = sum_out(s, i, product, &s->terms[i], error);
    if (!err) err = sum_out(s, i, &s->terms[i], product, error);
    if (!err) err = multiply_term(s, i, product, &s->terms[i], error);
  }
  return err;
}

static int arrange(tensor *out, const sum *s, tensor_error *error) {
  int order[TENSOR_MAX_RANK];
  for (int d = 0; d < s->output_rank; d++) order[d] = dimension_of(&s->terms[0], s->output[d]);
  return tensor_permute(out, &s->terms[0].tensor, order, error);
}

static int check_operands(const sum *s, const tensor *const *operands, tensor_error *error) {
  if (s->n < 1 || s->n > MOST_OPERANDS) return complain(s, "there must be 1 to 16 operands", error);
  for (int i = 0; i < s->n; i++) {
    if (operands[i]->storage->device != operands[0]->storage->device)
      return complain(s, "the operands lie on two devices", error);
    if (operands[i]->dtype != operands[0]->dtype)
      return complain(s, "the dtypes of the operands differ", error);
  }
  return 0;
}

int tensor_einsum(tensor *out, const char *equation, int n, const tensor *const *operands,
                  tensor_error *error) {
  sum s = {.equation = equation, .n = n};
  int err = check_operands(&s, operands, error);
  if (err) return err;
  err = read_equation(&s, operands, error);
  if (!err) err = multiply_all(&s, error);
  if (!err) err = arrange(out, &s, error);
  for (int i = 0; i < n; i++) tensor_release(&s.terms[i].tensor);
  return err;
}
