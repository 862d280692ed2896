/* print.h -- tensors as text, as torch prints them: even columns, long ones by their edges. */
#ifndef HONE_PRINT_H
#define HONE_PRINT_H

#include "tensor/tensor.h"

typedef enum print_scientific {
  SCIENTIFIC_NEVER,
  SCIENTIFIC_ALWAYS,
  SCIENTIFIC_AUTO
} print_scientific;

typedef struct print_options {
  int precision;     /* digits behind the point, at most PRINT_MOST_DIGITS */
  int64_t threshold; /* tensors of more elements are summarised */
  int64_t edge_items;
  int64_t line_width;
  print_scientific scientific;
} print_options;

#define PRINT_MOST_DIGITS 60
#define PRINT_DEFAULTS ((print_options){4, 1000, 3, 80, SCIENTIFIC_AUTO})

/* The text, for the caller to free. */
int tensor_print(char **text, size_t *size, const tensor *t, const print_options *options,
                 tensor_error *error);

#endif
