#include "tensor/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PREFIX "tensor("

typedef struct printer {
  FILE *out;
  int64_t column; /* characters of the line so far */
  const tensor *t;
  const print_options *options;
  bool summarised, floating;
  bool whole, scientific; /* of floats: all are whole numbers; an exponent is shown */
  double least, largest;  /* sizes of the numbers that are finite and not 0 */
  int width;
} printer;

static void put(printer *p, const char *text) {
  p->column += fprintf(p->out, "%s", text);
}

static void put_spaces(printer *p, int64_t n) {
  if (n > 0) p->column += fprintf(p->out, "%*s", (int)n, "");
}

static void start_line(printer *p, int64_t indent) {
  fputc('\n', p->out);
  p->column = 0;
  put_spaces(p, indent);
}

/* ---- one element
 * --------------------------------------------------------------------------------*/

enum { MOST_CHARACTERS = 400 }; /* of the largest float64 with all digits */

static const void *element_at(const printer *p, int64_t offset) {
  return (const char *)tensor_data(p->t) + offset * (int64_t)dtype_size(p->t->dtype);
}

static double float_at(const printer *p, int64_t offset) {
  double value;
  /* torch shows the bytes that hold pairs of float4. */
  dtype from = p->t->dtype == DTYPE_FLOAT4_E2M1 ? DTYPE_UINT8 : p->t->dtype;
  dtype_convert(DTYPE_FLOAT64, &value, from, element_at(p, offset), 1);
  return value;
}

static int format_integer(const printer *p, int64_t offset, char text[MOST_CHARACTERS]) {
  int64_t value;
  dtype_convert(DTYPE_INT64, &value, p->t->dtype, element_at(p, offset), 1);
  if (p->t->dtype == DTYPE_BOOL)
    return snprintf(text, MOST_CHARACTERS, "%s", value ? "True" : "False");
  return snprintf(text, MOST_CHARACTERS, "%lld", (long long)value);
}

static int format_float(const printer *p, double value, char text[MOST_CHARACTERS]) {
  int precision = p->options->precision;
  if (isnan(value)) return snprintf(text, MOST_CHARACTERS, "nan");
  if (isinf(value)) return snprintf(text, MOST_CHARACTERS, value < 0 ? "-inf" : "inf");
  if (p->scientific) return snprintf(text, MOST_CHARACTERS, "%.*e", precision, value);
  if (p->whole) return snprintf(text, MOST_CHARACTERS, "%.0f.", value);
  return snprintf(text, MOST_CHARACTERS, "%.*f", precision, value);
}

static int format_element(const printer *p, int64_t offset, char text[MOST_CHARACTERS]) {
  return p->floating ? format_float(p, float_at(p, offset), text) : format_integer(p, offset, text);
}

/* ---- the elements that are shown
 * ----------------------------------------------------------------*/

/* Where the middle of a dimension is left out: [first, last) is not shown. */
static bool has_gap(const printer *p, int64_t size, int64_t *first, int64_t *last) {
  *first = p->options->edge_items;
  *last = size - p->options->edge_items;
  return p->summarised && *first < *last;
}

static void visit(printer *p, int dim, int64_t offset, void (*each)(printer *, int64_t)) {
  if (dim == p->t->rank) {
    each(p, offset);
    return;
  }
  int64_t first, last;
  bool gap = has_gap(p, p->t->shape[dim], &first, &last);
  for (int64_t i = 0; i < p->t->shape[dim]; i++) {
    if (gap && i == first) i = last;
    visit(p, dim + 1, offset + i * p->t->stride[dim], each);
  }
}

static void look_at(printer *p, int64_t offset) {
  double value = float_at(p, offset), size = fabs(value);
  if (!isfinite(value) || value == 0) return;
  if (p->largest == 0 || size < p->least) p->least = size;
  if (size > p->largest) p->largest = size;
  if (value != ceil(value)) p->whole = false;
}

/* Zeros and what is not finite fit in, or stick out, as in torch. */
static void widen(printer *p, int64_t offset) {
  char text[MOST_CHARACTERS];
  if (p->floating) {
    double value = float_at(p, offset);
    if (!isfinite(value) || value == 0) return;
  }
  int width = format_element(p, offset, text);
  if (width > p->width) p->width = width;
}

static void choose_format(printer *p) {
  p->width = 1;
  p->whole = true;
  if (p->floating) visit(p, 0, 0, look_at);
  if (p->largest > 0) {
    bool spread = p->largest / p->least > 1000 || p->largest > 1e8 || p->least < 1e-4;
    print_scientific wish = p->options->scientific;
    p->scientific = wish == SCIENTIFIC_ALWAYS || (wish == SCIENTIFIC_AUTO && spread);
  }
  visit(p, 0, 0, widen);
}

/* ---- brackets
 * -----------------------------------------------------------------------------------*/

static void put_element(printer *p, int64_t offset) {
  char text[MOST_CHARACTERS];
  int n = format_element(p, offset, text);
  put_spaces(p, p->width - n);
  put(p, text);
}

/* Between the `shown`-th item of a vector and the one before. */
static void put_separator(printer *p, int64_t shown, int64_t indent) {
  int64_t a_line = (p->options->line_width - indent) / (p->width + 2);
  if (shown == 0) return;
  bool full = shown % (a_line > 1 ? a_line : 1) == 0;
  put(p, full ? "," : ", ");
  if (full) start_line(p, indent + 1);
}

static void put_vector(printer *p, int64_t offset, int64_t indent) {
  int dim = p->t->rank - 1;
  int64_t first, last, shown = 0;
  bool gap = has_gap(p, p->t->shape[dim], &first, &last);
  put(p, "[");
  for (int64_t i = 0; i < p->t->shape[dim]; i++, shown++) {
    put_separator(p, shown, indent);
    if (gap && i == first) {
      put(p, " ...");
      i = last - 1;
    } else {
      put_element(p, offset + i * p->t->stride[dim]);
    }
  }
  put(p, "]");
}

static void put_dimension(printer *p, int dim, int64_t offset, int64_t indent);

static void put_rows(printer *p, int dim, int64_t offset, int64_t indent) {
  int64_t first, last;
  bool gap = has_gap(p, p->t->shape[dim], &first, &last);
  put(p, "[");
  for (int64_t i = 0; i < p->t->shape[dim]; i++) {
    if (i > 0) {
      put(p, ",");
      for (int line = dim; line < p->t->rank - 1; line++)
        start_line(p, line == p->t->rank - 2 ? indent + 1 : 0);
    }
    if (gap && i == first) {
      put(p, "...");
      i = last - 1;
    } else {
      put_dimension(p, dim + 1, offset + i * p->t->stride[dim], indent + 1);
    }
  }
  put(p, "]");
}

static void put_dimension(printer *p, int dim, int64_t offset, int64_t indent) {
  if (dim == p->t->rank)
    put_element(p, offset);
  else if (dim == p->t->rank - 1)
    put_vector(p, offset, indent);
  else
    put_rows(p, dim, offset, indent);
}

/* ---- what follows the brackets
 * ------------------------------------------------------------------*/

/* *line: the length of the line as torch counts it, which is two more before the first suffix. */
static void put_suffix(printer *p, const char *suffix, int64_t *line) {
  int64_t n = (int64_t)strlen(suffix), indent = (int64_t)strlen(PREFIX);
  bool fits = *line + n + 2 <= p->options->line_width;
  put(p, fits ? ", " : ",");
  if (!fits) start_line(p, indent);
  *line = fits ? *line + n + 2 : indent + n;
  put(p, suffix);
}

static void put_suffixes(printer *p, int device) {
  char text[TENSOR_MAX_RANK * 24], sizes[TENSOR_TEXT];
  int64_t line = p->column + 2;
  bool empty = tensor_count(p->t) == 0;
  dtype d = p->t->dtype;
  if (device != DEVICE_CPU) {
    snprintf(text, sizeof text, "device='cuda:%d'", device);
    put_suffix(p, text, &line);
  }
  if (empty && p->t->rank != 1) {
    const char *list = shape_describe(p->t->rank, p->t->shape, sizes);
    snprintf(text, sizeof text, "size=(%.*s)", (int)strlen(list) - 2, list + 1);
    put_suffix(p, text, &line);
  }
  if (d == DTYPE_FLOAT32 || (!empty && (d == DTYPE_INT64 || d == DTYPE_BOOL))) return;
  snprintf(text, sizeof text, "dtype=%s", dtype_name(d));
  put_suffix(p, text, &line);
}

static void print_on_cpu(printer *p, int device) {
  put(p, PREFIX);
  if (tensor_count(p->t) == 0) {
    put(p, "[]");
  } else {
    choose_format(p);
    put_dimension(p, 0, 0, (int64_t)strlen(PREFIX));
  }
  put_suffixes(p, device);
  put(p, ")");
}

/* What was written, unless memory ran out. */
static int finish(FILE *out, char **text, tensor_error *error) {
  bool failed = !out || ferror(out);
  if (out && fclose(out) != 0) failed = true;
  if (!failed) return 0;
  free(*text);
  *text = NULL;
  return tensor_fail(error, TENSOR_NO_MEMORY, "cannot print: out of memory");
}

static int bring_here(tensor *here, const tensor *t, tensor_error *error) {
  if (t->storage->device == DEVICE_CPU) {
    tensor_share(here, t);
    return 0;
  }
  int err = tensor_empty(here, t->dtype, DEVICE_CPU, t->rank, t->shape, error);
  return err ? err : tensor_copy(here, t, error);
}

int tensor_print(char **text, size_t *size, const tensor *t, const print_options *options,
                 tensor_error *error) {
  tensor here = {0};
  int err = bring_here(&here, t, error);
  printer p = {.t = &here,
               .options = options,
               .floating = dtype_is_float(t->dtype),
               .summarised = tensor_count(t) > options->threshold};
  if (!err) {
    *text = NULL;
    p.out = open_memstream(text, size);
    if (p.out) print_on_cpu(&p, t->storage->device);
    err = finish(p.out, text, error);
  }
  tensor_release(&here);
  return err;
}
