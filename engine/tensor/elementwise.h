/* elementwise.h -- the operations of ops.def on tensors: promotion, broadcasting, in place or not.
 */
#ifndef HONE_ELEMENTWISE_H
#define HONE_ELEMENTWISE_H

#include "tensor/kernels.h"
#include "tensor/tensor.h"

/* A tensor, or a number of the language's own, which does not widen a tensor of its kind. */
typedef struct operand {
  const tensor *tensor;
  bool wrapped;
} operand;

/* Room for a number as an operand: no memory is allocated, and it must outlive the operand. */
typedef struct scalar {
  union {
    double f;
    int64_t i;
    uint8_t b;
  } value;
  storage storage;
  tensor tensor;
} scalar;

operand scalar_float(scalar *s, double value);
operand scalar_integer(scalar *s, int64_t value);
operand scalar_bool(scalar *s, bool value);

/* The dtype that operands promote to, as torch.result_type; DTYPE_NONE where they do not mix. */
dtype promote_operands(int n, const operand *operands);

const char *unary_name(enum unary_op op);
const char *binary_name(enum binary_op op);
const char *ternary_name(enum ternary_op op);

/* A new tensor in *out; with `into`, which may be an operand, its elements instead, and no *out. */
int tensor_unary(enum unary_op op, tensor *out, tensor *into, const tensor *a, tensor_error *error);
int tensor_binary(enum binary_op op, tensor *out, tensor *into, operand a, operand b,
                  tensor_error *error);
int tensor_ternary(enum ternary_op op, tensor *out, tensor *into, operand a, operand b, operand c,
                   tensor_error *error);
/* a where condition (bool or uint8) holds, else b. */
int tensor_where(tensor *out, tensor *into, const tensor *condition, operand a, operand b,
                 tensor_error *error);
int tensor_fill(tensor *t, operand value, tensor_error *error);

#endif
