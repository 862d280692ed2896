/* reduce_plan.h -- what the files of reductions share. */
#ifndef HONE_REDUCE_PLAN_H
#define HONE_REDUCE_PLAN_H

#include "tensor/device.h"
#include "tensor/loop.h"
#include "tensor/reduce.h"

enum { REDUCE_BLOCK = 2048 };

typedef union reduce_block {
  char bytes[REDUCE_BLOCK * 8];
  double align;
} reduce_block;

typedef struct reduce_plan {
  const kernel_table *k;
  loop kept, gone; /* the operand is the input; kept's elements are the results, in order */
  int64_t outputs, inputs;
  dtype in, as; /* what is in memory, what is computed in */
} reduce_plan;

/* Make the result in *out and the loops. in_order: the gone elements keep their order. */
int reduce_plan_start(reduce_plan *p, const char *name, tensor *out, const tensor *a, reduction how,
                      dtype result, bool in_order, tensor_error *error);
/* n <= REDUCE_BLOCK elements, contiguous, as p->as: where they are, or in *room. */
const void *reduce_load(const reduce_plan *p, const char *from, int64_t stride, int64_t n,
                        reduce_block *room);
/* Call body for gone elements first up to last of one result. */
void reduce_walk(const reduce_plan *p, int64_t output, int64_t first, int64_t last, loop_body *body,
                 void *context);
/* Into work.to, which moves to *out, or is released where that fails. */
int reduce_on_device(reduction_work work, tensor *out, tensor_error *error);
int64_t reduce_grain(const reduce_plan *p);           /* results that are worth a thread */
int64_t reduce_count(const tensor *a, unsigned dims); /* elements folded into one result */
accumulator fold_start(enum fold_op op, compute_type c);

#endif
