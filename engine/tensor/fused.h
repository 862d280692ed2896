/* fused.h -- several elementwise operations as one loop: a short program over strided operands, in
 * which what one step makes, rounded as its dtype has it, is what later ones take. */
#ifndef HONE_FUSED_H
#define HONE_FUSED_H

#include "tensor/device.h"

enum { FUSED_LEAVES = 12, FUSED_STEPS = 20 };

/* What is read: a tensor of the loop's shape, with strides of 0 where it is broadcast, whose
 * storage is borrowed; or a number, of which only the dtype is one of a tensor's. */
typedef struct fused_leaf {
  bool is_number;
  tensor tensor;
  uint64_t bits;
} fused_leaf;

/* One operation. A value is a step, or ~leaf. */
typedef struct fused_step {
  enum elementwise_kind kind;
  int op;
  compute_type compute;
  dtype made, out;
  int inputs, in[3];
} fused_step;

struct fused {
  tensor to; /* of the loop's shape; borrowed */
  int leaves, steps, result;
  fused_leaf leaf[FUSED_LEAVES];
  fused_step step[FUSED_STEPS];
};

dtype fused_value_dtype(const fused *f, int value);
/* The tensors must have their memory; `to` overlaps no leaf other than element for element. */
int fused_run(const fused *f, tensor_error *error);

#endif
